//! The audit trail: what was decided and done, by whom; rows are only ever added.
//!
//! H-1: each row's hash is SHA-256 over the hash of the row before it and the row itself, so that a row that was
//! changed, removed, put in or moved is found. Rows cut off at the end are found by whoever kept the last hash.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::checkpoint::bounded;
use super::{Store, StoreError};
use crate::action::Basis;
use crate::engine::AuditRow;

/// Begins the digest of the rows from before the chain.
const GENESIS: &[u8] = b"anchorwatch audit trail";

const COLUMNS: &str = "id, at, actor, what, key, detail, guard, inputs, hash";

/// One row of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Number of the row, ascending.
    pub id: i64,
    /// The decision.
    pub row: AuditRow,
    /// The guard that kept an action back.
    pub guard: Option<String>,
    /// Digest of what the decision of an action rested on.
    pub inputs: Option<String>,
    /// Its place in the chain; `None` for rows from before there was one.
    pub hash: Option<String>,
}

/// A chain that holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditProof {
    /// Rows in the chain.
    pub rows: u64,
    /// Rows from before the chain, held together by the hash of the first row after them.
    pub unchained: u64,
    /// Hash of the newest row.
    pub head: Option<String>,
}

/// The first place at which the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenAudit {
    /// The row was changed, or something before it was removed, put in or moved.
    #[error(
        "row {id} does not fit the rows before it: it was changed, or one before it was removed, put in or moved"
    )]
    Row {
        /// Number of the row.
        id: i64,
    },
    /// The chain itself holds, but does not reach or contain the hash that was kept.
    #[error("no row has the hash {head}: rows at the end were cut off, or the trail was written anew")]
    Head {
        /// The hash that was kept.
        head: String,
    },
}

impl Store {
    /// The newest rows of the audit trail, newest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM audit ORDER BY id DESC LIMIT ?1");
        self.read(&sql, [bounded(limit)], entry)
    }

    /// At most `limit` rows after this one, oldest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn audit_after(&self, id: i64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2");
        self.read(&sql, params![id, bounded(limit)], entry)
    }

    /// Hash of the newest row; `None` while there is none with a hash.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn audit_head(&self) -> Result<Option<String>, StoreError> {
        let found = self.read("SELECT hash FROM audit ORDER BY id DESC LIMIT 1", [], |row| row.get(0))?;
        Ok(found.into_iter().next().flatten())
    }

    /// Follows the chain from its beginning. With a hash that was kept, a row with it must be there.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn verify_audit(&self, kept: Option<&str>) -> Result<Result<AuditProof, BrokenAudit>, StoreError> {
        let mut chain = Chain::default();
        let mut last = i64::MIN;
        loop {
            let page = self.audit_after(last, PAGE)?;
            let Some(end) = page.last() else { break };
            last = end.id;
            for entry in &page {
                if let Err(broken) = chain.follow(entry, kept) {
                    return Ok(Err(broken));
                }
            }
        }
        Ok(match kept {
            Some(head) if !chain.found => Err(BrokenAudit::Head { head: head.to_owned() }),
            _ => Ok(chain.proof),
        })
    }
}

/// Rows read at a time.
const PAGE: usize = 1_000;

/// A walk along the chain.
struct Chain {
    genesis: Sha256,
    proof: AuditProof,
    found: bool,
}

impl Default for Chain {
    fn default() -> Self {
        Self { genesis: Sha256::new_with_prefix(GENESIS), proof: AuditProof::default(), found: false }
    }
}

impl Chain {
    fn follow(&mut self, entry: &AuditEntry, kept: Option<&str>) -> Result<(), BrokenAudit> {
        let broken = BrokenAudit::Row { id: entry.id };
        let Some(hash) = &entry.hash else {
            self.proof.unchained += 1;
            add(&mut self.genesis, entry);
            return if self.proof.head.is_none() { Ok(()) } else { Err(broken) };
        };
        let before = self.proof.head.clone().unwrap_or_else(|| digits(self.genesis.clone()));
        if *hash != chained(&before, entry) {
            return Err(broken);
        }
        self.proof.rows += 1;
        self.found |= kept == Some(hash.as_str());
        self.proof.head = Some(hash.clone());
        Ok(())
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let decision = AuditRow {
        at: row.get(1)?,
        actor: row.get(2)?,
        what: row.get(3)?,
        key: row.get(4)?,
        detail: row.get(5)?,
    };
    Ok(AuditEntry {
        id: row.get(0)?,
        row: decision,
        guard: row.get(6)?,
        inputs: row.get(7)?,
        hash: row.get(8)?,
    })
}

fn digits(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash of a row: of the hash before it and of each field with its length, so that no two rows read alike.
fn chained(before: &str, entry: &AuditEntry) -> String {
    let mut digest = Sha256::new_with_prefix(before.as_bytes());
    add(&mut digest, entry);
    digits(digest)
}

fn add(digest: &mut Sha256, entry: &AuditEntry) {
    let AuditEntry { id, row: AuditRow { at, actor, what, key, detail }, guard, inputs, hash: _ } = entry;
    digest.update(id.to_le_bytes());
    digest.update(at.to_le_bytes());
    for text in [actor, what, key, detail] {
        add_text(digest, text);
    }
    // A row without either hashes as it did before there were these columns.
    if guard.is_some() || inputs.is_some() {
        for column in [guard, inputs] {
            digest.update([u8::from(column.is_some())]);
            add_text(digest, column.as_deref().unwrap_or_default());
        }
    }
}

fn add_text(digest: &mut Sha256, text: &str) {
    digest.update((text.len() as u64).to_le_bytes());
    digest.update(text.as_bytes());
}

/// Appends to the audit trail inside the caller's transaction.
pub(in crate::store) fn append_audit(connection: &Connection, row: &AuditRow) -> rusqlite::Result<()> {
    let newest: Option<(i64, Option<String>)> = connection
        .prepare_cached("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let newest_id = newest.as_ref().map_or(0, |(id, _)| *id);
    let before = match newest {
        Some((_, Some(hash))) => hash,
        Some((_, None)) | None => genesis(connection)?,
    };
    // The number is part of the hash, so it is given here and not by the table.
    let last: i64 = connection
        .prepare_cached("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0)")?
        .query_row([], |row| row.get(0))?;
    let id = last.max(newest_id) + 1;
    let Basis { guard, inputs } = Basis::of(row);
    let (guard, inputs) = (guard.map(|guard| guard.as_str().to_owned()), inputs.map(str::to_owned));
    let entry = AuditEntry { id, row: row.clone(), guard, inputs, hash: None };
    let hash = chained(&before, &entry);
    let AuditEntry { guard, inputs, .. } = entry;
    let sql = format!("INSERT INTO audit ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    connection
        .prepare_cached(&sql)?
        .execute(params![id, row.at, row.actor, row.what, row.key, row.detail, guard, inputs, hash])?;
    Ok(())
}

/// The digest of the rows from before the chain.
fn genesis(connection: &Connection) -> rusqlite::Result<String> {
    let mut digest = Sha256::new_with_prefix(GENESIS);
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM audit ORDER BY id"))?;
    for found in statement.query_map([], entry)? {
        add(&mut digest, &found?);
    }
    Ok(digits(digest))
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
