//! The audit trail: what was decided and done, by whom; rows are only ever added.

use rusqlite::{Connection, params};

use super::checkpoint::bounded;
use super::{Store, StoreError};
use crate::engine::AuditRow;

/// One row of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Number of the row, ascending.
    pub id: i64,
    /// The decision.
    pub row: AuditRow,
}

impl Store {
    /// The newest rows of the audit trail, newest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(
            "SELECT id, at, actor, what, key, detail FROM audit ORDER BY id DESC LIMIT ?1",
            [bounded(limit)],
            |row| {
                let entry = AuditRow {
                    at: row.get(1)?,
                    actor: row.get(2)?,
                    what: row.get(3)?,
                    key: row.get(4)?,
                    detail: row.get(5)?,
                };
                Ok(AuditEntry { id: row.get(0)?, row: entry })
            },
        )
    }
}

/// Appends to the audit trail inside the caller's transaction.
pub(in crate::store) fn append_audit(connection: &Connection, row: &AuditRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO audit (at, actor, what, key, detail) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![row.at, row.actor, row.what, row.key, row.detail])?;
    Ok(())
}
