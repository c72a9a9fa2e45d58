//! `anchorwatch restore --from PLACE`: the newest good copy becomes the state.

use std::io::Write;

use anyhow::bail;
use clap::Args;

use super::CliContext;
use crate::app;
use crate::store::{StateLock, set_aside};

/// Puts the newest good copy of the state in place. The daemon must not run.
#[derive(Debug, Clone, Args)]
pub struct RestoreCommand {
    /// Where `anchorwatch backup` or `checkpoint.backup` put the copies.
    #[arg(long)]
    from: String,
    /// Put it in place of a state that is there; that one is set aside, not deleted.
    #[arg(long)]
    force: bool,
}

impl RestoreCommand {
    /// Checks the copy and puts it in place.
    ///
    /// # Errors
    /// When a daemon runs, a state is there, or no copy is good; nothing has changed then.
    pub fn run_to(&self, context: &CliContext, out: &mut impl Write) -> anyhow::Result<()> {
        let data_dir = &context.data_dir;
        let _lock = StateLock::take(data_dir)?;
        let is_there = app::holds_state(data_dir);
        if is_there && !self.force {
            bail!("{} holds a state already: pass --force to set it aside and restore", data_dir.display());
        }
        // First the copy, so that a bad one changes nothing.
        let copy = app::fetch_newest_good_copy(data_dir, &self.from)?;
        app::note_recovery(
            data_dir,
            &format!("the state was restored from a copy made at {}", copy.created),
        )?;
        if is_there {
            let aside = set_aside(data_dir, "replaced", app::wall_clock())?;
            writeln!(out, "the state that was there is now {}", aside.display())?;
        }
        copy.put_in_place(data_dir)?;
        writeln!(
            out,
            "restored the copy made at {}; counting goes on from its offsets, and no action is started for the length \
             of the longest horizon",
            copy.created
        )?;
        Ok(())
    }
}
