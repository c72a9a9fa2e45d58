//! The secret from which approval tokens are made: from the configuration, or made once in the data folder.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use rand::Rng as _;

use crate::action::ApprovalKey;
use crate::config::Config;

/// Name of the file in the data folder; only its owner may read it.
const FILE: &str = "approval.key";

/// The key of this daemon; the same after a restart, so that tokens stay what they are.
pub(super) fn load(config: &Config) -> anyhow::Result<ApprovalKey> {
    if let Some(source) = &config.action_guards.approval_key {
        let secret = source.read().context("action_guards.approval_key")?;
        return Ok(ApprovalKey::new(secret.expose().as_bytes()));
    }
    let path = config.data_dir.join(FILE);
    make(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let key = text.trim();
    anyhow::ensure!(key.len() >= 32, "{} is damaged: remove it, and a new one is made", path.display());
    Ok(ApprovalKey::new(key.as_bytes()))
}

/// Makes the file unless there is one.
fn make(path: &Path) -> std::io::Result<()> {
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(file, "{text}")?;
    file.sync_all()
}
