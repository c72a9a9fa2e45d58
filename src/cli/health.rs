//! `anchorwatch health`: whether a running daemon lives, as its image asks without a shell or curl.

use std::io::Write;

use anyhow::bail;
use clap::Args;

use super::client::ClientArgs;

/// Asks whether a running daemon lives.
#[derive(Debug, Clone, Args)]
pub struct HealthCommand {
    #[command(flatten)]
    client: ClientArgs,
    /// Ask whether it reads and judges events too, not only whether it lives.
    #[arg(long)]
    ready: bool,
}

impl HealthCommand {
    /// Asks.
    ///
    /// # Errors
    /// When the daemon cannot be reached, or says that it is not well.
    pub fn run_to(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let answer = self.client.client()?.get(if self.ready { "/readyz" } else { "/livez" }, &[])?;
        if answer["ok"] != true {
            bail!("not well: {}", answer["reasons"]);
        }
        writeln!(out, "ok")?;
        Ok(())
    }
}
