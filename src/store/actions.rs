//! What became of the deliveries of actions, for the engine.

use rusqlite::params;

use super::checkpoint::bounded;
use super::outbox::{ENTRY, entry};
use super::{OutboxEntry, OutboxState, Store, StoreError};

/// Where the delivery of an action stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionDelivery {
    /// Its state.
    pub state: OutboxState,
    /// What went wrong last.
    pub error: Option<String>,
}

impl Store {
    /// The newest actions whose outcome is not known.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn unknown_actions(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY} FROM outbox WHERE state = 'unknown' AND class = 'action' ORDER BY id DESC LIMIT ?1"
        );
        self.read(&sql, [bounded(limit)], entry)
    }

    /// The delivery of this action under this key; `None` before the checkpoint that holds it.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn action_delivery(&self, key: &str, target: &str) -> Result<Option<ActionDelivery>, StoreError> {
        let sql = "SELECT state, last_error FROM outbox WHERE key = ?1 AND target = ?2";
        let found = self.read(sql, params![key, target], |row| {
            let state: String = row.get(0)?;
            let known = OutboxState::ALL.into_iter().find(|known| known.as_str() == state);
            // A state of a later version is not settled for this one.
            Ok(ActionDelivery { state: known.unwrap_or(OutboxState::Held), error: row.get(1)? })
        })?;
        Ok(found.into_iter().next())
    }
}
