//! What people can ask of alerts.

use super::Alerts;
use crate::engine::{CommandError, CommandOutcome};
use crate::subject::Millis;

/// An order about alerts.
#[derive(Debug, Clone, PartialEq)]
pub enum AlertCommand {
    /// Somebody has taken the group's episode on: repeats are held until it resolves.
    Acknowledge {
        /// The episode, as in [`super::Notification::group`].
        group: String,
    },
}

impl Alerts {
    /// Carries out an order.
    ///
    /// # Errors
    /// When there is no such group or silence; nothing has changed then.
    pub fn command(
        &mut self,
        command: &AlertCommand,
        _by: &str,
        _at: Millis,
    ) -> Result<CommandOutcome, CommandError> {
        match command {
            AlertCommand::Acknowledge { group } => {
                Err(CommandError::NotFound(format!("no firing group `{group}`")))
            }
        }
    }
}
