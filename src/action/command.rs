//! What people can ask of actions.

use super::Actions;
use crate::engine::{CommandError, CommandOutcome, OutboxRow};
use crate::subject::Millis;

/// An order about actions.
#[derive(Debug, Clone, PartialEq)]
pub enum ActionCommand {
    /// Let a waiting action go.
    Approve {
        /// Key of the request.
        key: String,
    },
}

impl Actions {
    /// Carries out an order; the rows are the deliveries that it lets go.
    ///
    /// # Errors
    /// When there is no such waiting action; nothing has changed then.
    pub fn command(
        &mut self,
        command: &ActionCommand,
        _by: &str,
        _at: Millis,
    ) -> Result<(CommandOutcome, Vec<OutboxRow>), CommandError> {
        match command {
            ActionCommand::Approve { key } => {
                Err(CommandError::NotFound(format!("no action `{key}` waits for approval")))
            }
        }
    }
}
