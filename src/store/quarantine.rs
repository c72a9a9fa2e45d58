//! A damaged state file is never thrown away: it is set aside under another name, and what can still be read of the
//! registry, the audit trail and the orders of people is carried over into the new one.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Row, params, params_from_iter};

use super::seals::{self, Sealed};
use super::{STATE_FILE, Store, StoreError, sums};
use crate::subject::Millis;

/// Tables that Kafka cannot give back, those that others refer to first.
const IRREPLACEABLE: [&str; 5] = ["model", "version", "reference", "stage_change", "audit"];

/// Documents that hold what people ordered, and which Kafka cannot give back either: whether actions are suspended, what
/// was asked for and what that used of the budgets; silences.
const ORDERS: [&str; 2] = ["actions", "alert-silences"];

/// What became of the rows that Kafka cannot give back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Rows carried over.
    pub carried: usize,
    /// Rows that are not what was written, or do not fit the others any more.
    pub left: usize,
    /// Whether people may have ordered something that nobody remembers now.
    pub orders_lost: bool,
}

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
    /// Carries over what can be read of models, versions, references, the audit trail and the orders of people of a damaged
    /// file. What cannot be read, or is not what was written, is left.
    ///
    /// # Errors
    /// When this file cannot be written.
    pub fn salvage(&mut self, damaged: &Path) -> Result<Salvaged, StoreError> {
        let Ok(source) = Connection::open_with_flags(damaged, OpenFlags::SQLITE_OPEN_READ_ONLY) else {
            return Ok(Salvaged { orders_lost: true, ..Salvaged::default() });
        };
        let (orders, orders_lost) = orders(&source);
        let Self { path, connection, .. } = self;
        let failed = |source| StoreError::sqlite(path, source);
        let transaction = connection.transaction().map_err(failed)?;
        let mut salvaged = Salvaged { orders_lost, ..Salvaged::default() };
        for table in IRREPLACEABLE {
            let Readable { columns, rows, unsound } = readable(&source, table);
            salvaged.left += unsound;
            let places = vec!["?"; columns.len()].join(", ");
            let insert = format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({places})", columns.join(", "));
            for row in rows {
                let values = params_from_iter(row);
                let inserted = match Sealed::named(table) {
                    Some(sealed) => seals::change(&transaction, sealed, &insert, values),
                    None => transaction.execute(&insert, values),
                };
                match inserted {
                    Ok(count) => salvaged.carried += count,
                    // It does not fit the others any more: lost like those that could not be read.
                    Err(_) => salvaged.left += 1,
                }
            }
        }
        for (name, json) in &orders {
            let sum = sums::of_document(name, json);
            let replace = "REPLACE INTO document (name, json, sum) VALUES (?1, ?2, ?3)";
            salvaged.carried += transaction.execute(replace, params![name, json, sum]).map_err(failed)?;
        }
        transaction.execute("UPDATE registry_revision SET revision = revision + 1", []).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(salvaged)
    }
}

/// The documents of [`ORDERS`] that are what was written, and whether one that is not here may have been there.
fn orders(source: &Connection) -> (Vec<(String, String)>, bool) {
    let (mut found, mut unsound) = (Vec::new(), false);
    let mut read = || -> rusqlite::Result<()> {
        seals::check_schema(source)?;
        let mut select = source.prepare("SELECT name, json, sum FROM document")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            match document(row) {
                Some((name, json)) if ORDERS.contains(&name.as_str()) => found.push((name, json)),
                Some(_) => {}
                // Not even its name is sure.
                None => unsound = true,
            }
        }
        Ok(())
    };
    let cut_short = read().is_err();
    let lost = (cut_short || unsound) && found.len() < ORDERS.len();
    (found, lost)
}

/// A document that is what was written.
fn document(row: &Row<'_>) -> Option<(String, String)> {
    let (name, json): (String, String) = (row.get(0).ok()?, row.get(1).ok()?);
    let sum: i64 = row.get(2).ok()?;
    (sum == sums::of_document(&name, &json)).then_some((name, json))
}

/// What can be read of a table.
#[derive(Default)]
struct Readable {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    /// Rows that are not what was written.
    unsound: usize,
}

fn readable(source: &Connection, table: &str) -> Readable {
    let mut found = Readable::default();
    if seals::check_schema(source).is_err() {
        return found;
    }
    let Ok(mut select) = source.prepare(&format!("SELECT * FROM {table} ORDER BY rowid")) else {
        return found;
    };
    found.columns = select.column_names().map(str::to_owned).collect();
    // A file from before there were sums has nothing to compare with.
    let sealed = Sealed::named(table).filter(|_| found.columns.iter().any(|name| name == "sum"));
    if let Ok(mut rows) = select.query([]) {
        while let Ok(Some(row)) = rows.next() {
            let values: rusqlite::Result<Vec<Value>> =
                (0..found.columns.len()).map(|index| row.get(index)).collect();
            match values {
                Ok(values) if sealed.is_none_or(|table| seals::check(table, row).is_ok()) => {
                    found.rows.push(values);
                }
                Ok(_) | Err(_) => found.unsound += 1,
            }
        }
    }
    found
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
        let salvaged = Salvaged { carried: 1, left: 0, orders_lost: false };
        assert_eq!(anew.salvage(&aside).expect("salvaged"), salvaged, "nobody ordered anything");
        assert_eq!(anew.audit(9).expect("rows").first().map(|entry| entry.row.clone()), Some(row));
        std::fs::write(&aside, b"no database at all").expect("written");
        let nothing = Salvaged { orders_lost: true, ..Salvaged::default() };
        assert_eq!(anew.salvage(&aside).expect("nothing to salvage"), nothing);
    }

    #[test]
    fn orders_of_people_are_carried_over_or_known_to_be_lost() {
        let rots: [(&str, &[&str], bool); 4] = [
            ("UPDATE document SET json = '{}' WHERE name = 'core'", &ORDERS, false),
            ("UPDATE document SET json = '{}' WHERE name = 'actions'", &["alert-silences"], true),
            ("UPDATE document SET name = 'actionz' WHERE name = 'actions'", &["alert-silences"], true),
            ("DROP TABLE document", &[], true),
        ];
        for (rot, carried, orders_lost) in rots {
            let folder = tempfile::tempdir().expect("a folder");
            let mut store = Store::open(folder.path()).expect("a state file");
            let names = ["core", "actions", "alert-silences"];
            let documents = names.map(|name| (name.to_owned(), Some(format!("{{\"of\": \"{name}\"}}"))));
            store
                .apply(&Checkpoint { documents: documents.into_iter().collect(), ..Checkpoint::default() })
                .expect("written");
            store.connection.execute(rot, []).expect("rotten");
            drop(store);
            let aside = set_aside(folder.path(), "corrupt", 7).expect("set aside");
            let mut anew = Store::open(folder.path()).expect("a new state file");
            assert_eq!(anew.salvage(&aside).expect("salvaged").orders_lost, orders_lost, "{rot}");
            let documents = anew.restore().expect("sound").documents;
            assert_eq!(documents.keys().map(String::as_str).collect::<Vec<_>>(), carried, "{rot}");
        }
    }
}
