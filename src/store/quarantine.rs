//! A damaged state file is never thrown away: it is set aside under another name, and what can still be read of the
//! registry and the audit trail is carried over into the new one.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::{STATE_FILE, Store, StoreError};
use crate::subject::Millis;

/// Tables that Kafka cannot give back, those that others refer to first.
const IRREPLACEABLE: [&str; 5] = ["model", "version", "reference", "stage_change", "audit"];

/// Files that belong to a database.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// Sets the state file of this folder aside, as `anchorwatch.db.WHY-NOW`, and gives its new path.
///
/// # Errors
/// When the system refuses to rename it.
pub fn set_aside(data_dir: &Path, why: &str, now: Millis) -> Result<PathBuf, StoreError> {
    let to = format!("{STATE_FILE}.{why}-{now}");
    for suffix in SUFFIXES {
        let from = data_dir.join(format!("{STATE_FILE}{suffix}"));
        if from.exists() {
            std::fs::rename(&from, data_dir.join(format!("{to}{suffix}")))
                .map_err(|source| StoreError::Folder { path: data_dir.to_owned(), source })?;
        }
    }
    Ok(data_dir.join(to))
}

impl Store {
    /// Carries over what can be read of models, versions, references and the audit trail of a damaged file. Gives the
    /// number of rows. What cannot be read is left.
    ///
    /// # Errors
    /// When this file cannot be written.
    pub fn salvage(&mut self, damaged: &Path) -> Result<usize, StoreError> {
        let Ok(source) = Connection::open_with_flags(damaged, OpenFlags::SQLITE_OPEN_READ_ONLY) else {
            return Ok(0);
        };
        let Self { path, connection, .. } = self;
        let failed = |source| StoreError::sqlite(path, source);
        let transaction = connection.transaction().map_err(failed)?;
        let mut carried = 0;
        for table in IRREPLACEABLE {
            let (columns, rows) = readable(&source, table);
            let places = vec!["?"; columns.len()].join(", ");
            let insert = format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({places})", columns.join(", "));
            for row in rows {
                // A row that does not fit the others any more is lost like those that could not be read.
                carried += transaction.execute(&insert, params_from_iter(row)).unwrap_or(0);
            }
        }
        transaction.execute("UPDATE registry_revision SET revision = revision + 1", []).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(carried)
    }
}

/// Columns of a table, and its rows as far as they can be read.
fn readable(source: &Connection, table: &str) -> (Vec<String>, Vec<Vec<Value>>) {
    let mut found = Vec::new();
    let Ok(mut select) = source.prepare(&format!("SELECT * FROM {table} ORDER BY rowid")) else {
        return (Vec::new(), found);
    };
    let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
    if let Ok(mut rows) = select.query([]) {
        while let Ok(Some(row)) = rows.next() {
            let values: rusqlite::Result<Vec<Value>> =
                (0..columns.len()).map(|index| row.get(index)).collect();
            found.extend(values);
        }
    }
    (columns, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{AuditRow, Checkpoint};

    #[test]
    fn what_kafka_cannot_give_back_is_carried_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let row = AuditRow {
            at: 1,
            actor: "me".into(),
            what: "silence_created".into(),
            key: "k".into(),
            detail: "d".into(),
        };
        let mut store = Store::open(folder.path()).expect("a state file");
        store.apply(&Checkpoint { audit: vec![row.clone()], ..Checkpoint::default() }).expect("written");
        drop(store);
        let aside = set_aside(folder.path(), "corrupt", 7).expect("set aside");
        assert!(aside.ends_with("anchorwatch.db.corrupt-7") && aside.exists());
        let mut anew = Store::open(folder.path()).expect("a new state file");
        assert_eq!(anew.salvage(&aside).expect("salvaged"), 1);
        assert_eq!(anew.audit(9).expect("rows").first().map(|entry| entry.row.clone()), Some(row));
        std::fs::write(&aside, b"no database at all").expect("written");
        assert_eq!(anew.salvage(&aside).expect("nothing to salvage"), 0);
    }
}
