//! `anchorwatch backup --to PLACE`: one copy of the state, with or without a running daemon.

use std::io::Write;

use clap::Args;

use super::CliContext;
use crate::app;

/// Copies the state file and the references to a folder or an object store.
#[derive(Debug, Clone, Args)]
pub struct BackupCommand {
    /// A folder, or file://, s3://, gs:// or az://; credentials come from the environment.
    #[arg(long)]
    to: String,
    /// How many copies to keep there.
    #[arg(long, default_value_t = 3)]
    keep: usize,
}

impl BackupCommand {
    /// Makes the copy and says where it is.
    ///
    /// # Errors
    /// When the state file cannot be read, or the place cannot be written.
    pub fn run_to(&self, context: &CliContext, out: &mut impl Write) -> anyhow::Result<()> {
        let manifest = app::back_up(&context.data_dir, &self.to, self.keep)?;
        writeln!(out, "{} ({} bytes, sha256 {})", manifest.file, manifest.size, manifest.sha256)?;
        for offset in &manifest.offsets {
            writeln!(
                out,
                "  {}/{} counted up to offset {}",
                offset.topic, offset.partition, offset.next_offset
            )?;
        }
        Ok(())
    }
}
