//! Orders of people to the running core: they change state between two records and are part of the next checkpoint.
//!
//! Who may give which order is the API's business; that it was given, and by whom, stands in the audit trail.

use serde_json::Value;

use super::{AuditRow, Engine};
use crate::action::ActionCommand;
use crate::alert::AlertCommand;
use crate::subject::Millis;

/// What a person asks of the running core.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// About alerts: acknowledge, silence.
    Alert(AlertCommand),
    /// About actions: approve, refuse, suspend.
    Action(ActionCommand),
}

/// A command, with who gave it and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Name of the token or client, or `local`.
    pub by: String,
    /// Wall-clock time.
    pub at: Millis,
    /// What is asked.
    pub command: Command,
}

/// Why an order is not carried out; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no such alert, silence or action.
    #[error("{0}")]
    NotFound(String),
    /// It is not in a state in which this can be done.
    #[error("{0}")]
    Conflict(String),
    /// The order itself makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// What an order brought about.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandOutcome {
    /// What was done, for the audit trail: `silence_created`.
    pub what: String,
    /// Key of the thing it was done to.
    pub key: String,
    /// One line of explanation.
    pub detail: String,
    /// Answer to the asker.
    pub answer: Value,
}

impl Engine {
    /// Carries an order out. What it changed is durable with the next checkpoint, and only then is it answered.
    ///
    /// # Errors
    /// When it cannot be carried out; nothing has changed then.
    pub fn command(&mut self, order: &Order) -> Result<Value, CommandError> {
        let outcome = match &order.command {
            Command::Alert(command) => self.alerts.command(command, &order.by, order.at),
            Command::Action(command) => self.command_action(command, &order.by, order.at),
        }?;
        let CommandOutcome { what, key, detail, answer } = outcome;
        self.alerts_changed = true;
        self.audit.push(AuditRow { at: order.at, actor: order.by.clone(), what, key, detail });
        Ok(answer)
    }
}
