//! S-1: whatever rots in a row of the outbox, the registry or the pointers to refused records is noticed.

use std::fs;
use std::path::Path;

use anchorwatch::alert::ActionKind;
use anchorwatch::engine::{Checkpoint, RefusedRecord};
use anchorwatch::store::{OutboxState, Settlement, StageChange, Store, StoreError, StoredReference};
use anchorwatch::view::Stage;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::fixtures::{asked, decided, open, row, told};

const SEALED: [&str; 6] = ["outbox", "refused", "model", "version", "reference", "stage_change"];

/// A file with something in each of these tables, written by every way there is to write them.
fn filled(folder: &Path) {
    let mut store = open(folder);
    let deliveries = [
        row("hook", told("n1", "g1")),
        row("hook", told("n2", "g1")),
        row("hook", told("n3", "g2")),
        row("retrain", asked("a1", ActionKind::Retrain)),
    ];
    let refused = |offset| RefusedRecord {
        topic: "events".into(),
        partition: 0,
        offset,
        reason: "not_json".into(),
        detail: "at byte 3".into(),
        size: Some(3),
        sha256: Some("ab".into()),
    };
    let checkpoint = Checkpoint { refused: vec![refused(7), refused(9)], ..decided(deliveries) };
    store.apply(&checkpoint).expect("a checkpoint");
    store.refused_sent(&[1]).expect("sent");
    assert!(store.attempting(3, 5).expect("an answer"));
    assert!(store.settle(3, 6, &Settlement::Delivered).expect("an answer"));
    for (id, version) in [("aa", "1.0.0"), ("bb", "1.0.0"), ("cc", "1.1.0")] {
        let reference = StoredReference {
            id: id.into(),
            model: "flights".into(),
            version: version.into(),
            added_at: 3,
            rows: 10,
            columns: 2,
            dataset: "flights.csv".into(),
            active: false,
        };
        assert!(store.add_reference(&reference).expect("registered"));
    }
    assert!(store.activate_reference("bb").expect("activated"));
    let (model, version, reason) = ("flights".to_owned(), "1.0.0".to_owned(), "promoted".to_owned());
    let change = StageChange { model, version, from: Stage::None, to: Stage::Production, reason, at: 4 };
    assert!(store.change_stages(&[change]).expect("promoted"));
    store.restore().expect("a sound file");
}

/// The same file without what decides whether a value may stand in a column.
fn raw(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join("anchorwatch.db")).expect("a state file");
    let careless = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;";
    connection.execute_batch(careless).expect("pragmas");
    connection
}

fn columns(connection: &Connection, table: &str) -> Vec<String> {
    let select = connection.prepare(&format!("SELECT * FROM {table}")).expect("a table");
    select.column_names().map(str::to_owned).collect()
}

fn rotten(value: Value) -> Value {
    match value {
        Value::Null => Value::Integer(1),
        Value::Integer(number) => Value::Integer(number ^ 1),
        Value::Real(number) => Value::Real(number + 1.0),
        Value::Text(text) if text.is_empty() => Value::Text("x".to_owned()),
        Value::Text(text) => Value::Text(text.replacen(|_| true, "~", 1)),
        Value::Blob(bytes) => Value::Blob([&bytes[..], &[1]].concat()),
    }
}

#[test]
fn one_rotten_value_in_any_column_of_a_sealed_table_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    let sound = folder.path().join("sound.db");
    raw(folder.path()).execute("VACUUM INTO ?1", [sound.display().to_string()]).expect("a copy");
    let (mut tried, copy) = (0, folder.path().join("copy"));
    for table in SEALED {
        for column in columns(&raw(folder.path()), table) {
            let _ = fs::remove_dir_all(&copy);
            fs::create_dir_all(&copy).expect("a writable folder");
            fs::copy(&sound, copy.join("anchorwatch.db")).expect("a copy");
            let connection = raw(&copy);
            let (id, value): (i64, Value) = connection
                .query_row(
                    &format!("SELECT rowid, {column} FROM {table} ORDER BY rowid DESC LIMIT 1"),
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .expect("a row");
            let sql = format!("UPDATE {table} SET {column} = ?1 WHERE {column} IS ?2");
            // A column of text takes no number where it was NULL.
            let changed = connection.execute(&sql, [&rotten(value.clone()), &value]);
            let changed = changed.or_else(|_| connection.execute(&sql, [&Value::Text("x".into()), &value]));
            assert!(changed.is_ok_and(|rows| rows > 0), "{table}.{column} of row {id}");
            drop(connection);
            let read = Store::open(&copy).and_then(|store| store.restore());
            assert!(matches!(read, Err(StoreError::Damaged { .. })), "{table}.{column}: {read:?}");
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried} columns");
}

#[test]
fn rows_from_before_there_were_seals_are_sealed_when_the_file_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    let connection = raw(folder.path());
    for table in SEALED {
        connection.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN sum")).expect("an older table");
    }
    for column in ["size", "sha256"] {
        connection
            .execute_batch(&format!("ALTER TABLE refused DROP COLUMN {column}"))
            .expect("an older table");
    }
    connection.pragma_update(None, "user_version", 7).expect("an older file");
    drop(connection);
    open(folder.path()).restore().expect("an upgraded file");
    let rotted = "UPDATE version SET stage = 'archived' WHERE version = '1.1.0'";
    assert_eq!(raw(folder.path()).execute(rotted, []), Ok(1));
    let store = open(folder.path());
    assert!(matches!(store.restore(), Err(StoreError::Damaged { .. })));
    assert!(matches!(store.versions(None), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_delivery_that_rots_under_the_daemon_is_never_sent_and_blocks_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    let mut store = open(folder.path());
    let rotted = "UPDATE outbox SET expires_at = 77 WHERE key IN ('n1', 'a1')";
    assert_eq!(raw(folder.path()).execute(rotted, []), Ok(2));
    assert!(store.due("hook", (10, 10), 9).expect("rows").items.is_empty());
    let next = store.due("hook", (10, 10), 9).expect("rows").items;
    assert_eq!(next.iter().map(|item| item.delivery.key()).collect::<Vec<_>>(), ["n2"]);
    assert!(store.due("retrain", (10, 10), 9).expect("rows").items.is_empty());
    let ends = store.list_outbox(None, 9).expect("rows");
    let end = |key: &str| ends.iter().find(|entry| entry.key == key).map(|entry| entry.state.clone());
    assert_eq!(end("n1").as_deref(), Some(OutboxState::Dead.as_str()));
    assert_eq!(end("a1").as_deref(), Some(OutboxState::Unknown.as_str()), "nobody knows whether it was sent");
}

#[test]
fn a_pointer_that_rots_under_the_daemon_is_left_out_and_counted_and_blocks_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    let pointer = |offset| RefusedRecord {
        topic: "predictions".into(),
        partition: 0,
        offset,
        reason: "not_json".into(),
        detail: "x".into(),
        size: None,
        sha256: None,
    };
    let refused = (0..4).map(pointer).collect();
    store.apply(&Checkpoint { refused, ..Checkpoint::default() }).expect("a checkpoint");
    let rotted = "UPDATE refused SET \"offset\" = 77 WHERE id IN (1, 3)";
    assert_eq!(raw(folder.path()).execute(rotted, []), Ok(2));
    let found = store.refused_pending(9, 5).expect("rows");
    assert_eq!((found.looked_at, found.rotten), (4, 2));
    assert_eq!(found.rows.iter().map(|row| row.record.offset).collect::<Vec<_>>(), [1, 3]);
    let again = store.refused_pending(9, 6).expect("rows");
    assert_eq!((again.looked_at, again.rotten), (2, 0), "left out for good");
    let trail = store.audit(9).expect("rows");
    assert_eq!(trail.iter().filter(|entry| entry.row.what == "pointer_damaged").count(), 2);
    store.restore().expect("what is left is what was written");
}

#[test]
fn a_copy_of_a_rotten_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    let copy = folder.path().join("copy.db");
    anchorwatch::store::snapshot(folder.path(), &copy).expect("a copy of a sound file");
    fs::remove_file(&copy).expect("removed");
    let rotted = "UPDATE outbox SET state = 'delivered' WHERE key = 'n1'";
    assert_eq!(raw(folder.path()).execute(rotted, []), Ok(1));
    let copied = anchorwatch::store::snapshot(folder.path(), &copy);
    assert!(matches!(copied, Err(StoreError::Damaged { .. })), "{copied:?}");
}

#[test]
fn rotten_rows_of_the_registry_are_left_behind_by_the_salvage() {
    let folder = tempfile::tempdir().expect("a folder");
    filled(folder.path());
    let rotted = "UPDATE version SET stage = 'archived' WHERE version = '1.1.0'";
    assert_eq!(raw(folder.path()).execute(rotted, []), Ok(1));
    let aside = anchorwatch::store::set_aside(folder.path(), "corrupt", 1).expect("set aside");
    let mut store = open(folder.path());
    let salvaged = store.salvage(&aside).expect("salvaged");
    // The rotten version, and the reference that nothing belongs to any more.
    assert_eq!(salvaged.left, 2);
    store.restore().expect("a sound file");
    let versions = store.versions(None).expect("versions");
    assert_eq!(versions.iter().map(|row| row.version.as_str()).collect::<Vec<_>>(), ["1.0.0"]);
    assert_eq!(versions.first().map(|row| row.stage), Some(Stage::Production));
}
