//! The chain of the audit trail: whatever is changed in the table is found.

use proptest::prelude::*;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use super::{AuditEntry, BrokenAudit, append_audit};
use crate::engine::{AuditRow, Checkpoint};
use crate::store::Store;

fn row(index: usize) -> AuditRow {
    AuditRow {
        at: 1_000 + i64::try_from(index).unwrap(),
        actor: "anchorwatch".to_owned(),
        what: ["retrain_held", "retrain_sent", "action_delivered"][index % 3].to_owned(),
        key: format!("key-{}", index / 3),
        detail: match index % 3 {
            0 => format!("held by cooldown: {index}; inputs {index:032x}"),
            1 => format!("because of {index}; inputs {index:032x}"),
            _ => "again: ok".to_owned(),
        },
    }
}

fn filled(folder: &tempfile::TempDir, rows: usize) -> Store {
    let mut store = Store::open(folder.path()).unwrap();
    let audit = (0..rows).map(row).collect();
    store.apply(&Checkpoint { audit, ..Checkpoint::default() }).unwrap();
    store
}

/// Opens the file as somebody would who wants to change it unseen.
fn tampering(folder: &tempfile::TempDir) -> Connection {
    let connection = Connection::open(folder.path().join("anchorwatch.db")).unwrap();
    connection
        .execute_batch("DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_deleted;")
        .unwrap();
    connection
}

#[test]
fn a_chain_that_nobody_touched_holds_and_ends_at_its_head() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder, 2_500);
    let proof = store.verify_audit(None).unwrap().unwrap();
    assert_eq!((proof.rows, proof.unchained, proof.head.clone()), (2_500, 0, store.audit_head().unwrap()));
    assert_eq!(store.verify_audit(proof.head.as_deref()).unwrap(), Ok(proof));
}

#[test]
fn an_empty_trail_holds() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder, 0);
    assert_eq!(store.verify_audit(None).unwrap().unwrap().rows, 0);
    assert_eq!(store.audit_head().unwrap(), None);
}

#[test]
fn rows_cut_off_at_the_end_are_found_by_the_hash_that_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder, 9);
    let head = store.audit_head().unwrap().unwrap();
    tampering(&folder).execute("DELETE FROM audit WHERE id > 6", []).unwrap();
    assert!(store.verify_audit(None).unwrap().is_ok(), "a shorter chain is a chain");
    assert_eq!(store.verify_audit(Some(&head)).unwrap(), Err(BrokenAudit::Head { head }));
}

#[test]
fn a_hash_that_was_kept_earlier_still_proves_a_trail_that_grew() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(&folder, 5);
    let head = store.audit_head().unwrap();
    store.apply(&Checkpoint { audit: vec![row(5)], ..Checkpoint::default() }).unwrap();
    assert!(store.verify_audit(head.as_deref()).unwrap().is_ok());
}

#[test]
fn rows_from_before_the_chain_are_held_together_by_the_first_row_after_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(&folder, 0);
    let connection = tampering(&folder);
    for index in 0..4 {
        let old = row(index);
        connection
            .execute(
                "INSERT INTO audit (at, actor, what, key, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![old.at, old.actor, old.what, old.key, old.detail],
            )
            .unwrap();
    }
    store.apply(&Checkpoint { audit: vec![row(4), row(5)], ..Checkpoint::default() }).unwrap();
    let proof = store.verify_audit(None).unwrap().unwrap();
    assert_eq!((proof.unchained, proof.rows), (4, 2));
    connection.execute("UPDATE audit SET detail = 'nothing happened' WHERE id = 2", []).unwrap();
    assert_eq!(store.verify_audit(None).unwrap(), Err(BrokenAudit::Row { id: 5 }));
}

#[test]
fn rows_chained_before_there_were_columns_for_guard_and_inputs_still_hold() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder, 0);
    // As the version before wrote it: the hash of the empty trail, then each field with its length.
    let old = row(0);
    let mut digest = Sha256::new_with_prefix(super::digits(Sha256::new_with_prefix(super::GENESIS)));
    digest.update(1_i64.to_le_bytes());
    digest.update(old.at.to_le_bytes());
    for text in [&old.actor, &old.what, &old.key, &old.detail] {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    }
    let sql = "INSERT INTO audit (id, at, actor, what, key, detail, hash) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)";
    let hash = super::digits(digest);
    let connection = tampering(&folder);
    connection.execute(sql, params![old.at, old.actor, old.what, old.key, old.detail, hash]).unwrap();
    append_audit(&store.connection, &row(0)).unwrap();
    append_audit(&store.connection, &row(2)).unwrap();
    assert_eq!(store.verify_audit(Some(&hash)).unwrap().unwrap().rows, 3);
    let basis: Vec<_> =
        store.audit(9).unwrap().into_iter().map(|entry| (entry.guard, entry.inputs)).collect();
    let digits = Some(format!("{:032x}", 0));
    assert_eq!(basis, [(None, None), (Some("cooldown".to_owned()), digits), (None, None)]);
    connection.execute("UPDATE audit SET guard = 'samples' WHERE id = 1", []).unwrap();
    assert_eq!(store.verify_audit(None).unwrap(), Err(BrokenAudit::Row { id: 1 }));
    connection.execute("UPDATE audit SET guard = NULL WHERE id <= 2", []).unwrap();
    assert_eq!(store.verify_audit(None).unwrap(), Err(BrokenAudit::Row { id: 2 }));
}

#[test]
fn a_row_that_was_put_at_the_end_without_the_chain_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder, 3);
    let forged = "INSERT INTO audit (at, what, key, detail, hash) VALUES (9, 'a', 'b', 'c', 'd')";
    tampering(&folder).execute(forged, []).unwrap();
    assert_eq!(store.verify_audit(None).unwrap(), Err(BrokenAudit::Row { id: 4 }));
}

#[test]
fn fields_cannot_be_moved_into_one_another() {
    let chained = |key: &str, detail: &str, guard: Option<&str>, inputs: Option<&str>| {
        let row = AuditRow { key: key.to_owned(), detail: detail.to_owned(), ..row(0) };
        let (guard, inputs) = (guard.map(str::to_owned), inputs.map(str::to_owned));
        super::chained("", &AuditEntry { id: 1, row, guard, inputs, hash: None })
    };
    assert_ne!(chained("ab", "c", None, None), chained("a", "bc", None, None));
    assert_ne!(chained("a", "b", Some("cd"), Some("e")), chained("a", "b", Some("c"), Some("de")));
    assert_ne!(chained("a", "b", Some("c"), None), chained("a", "b", None, Some("c")));
    assert_ne!(chained("a", "b", Some(""), None), chained("a", "b", None, None));
}

#[test]
fn the_number_of_a_row_is_never_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder, 3);
    tampering(&folder).execute("DELETE FROM audit WHERE id = 3", []).unwrap();
    append_audit(&store.connection, &row(3)).unwrap();
    assert_eq!(store.audit(1).unwrap()[0].id, 4);
}

/// One change to the table.
#[derive(Debug, Clone)]
enum Change {
    Field(usize, usize),
    Remove(usize),
    Swap(usize, usize),
    Duplicate(usize),
    ForgetHashes(usize),
}

const ROWS: usize = 12;

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..ROWS, 0..8_usize).prop_map(|(row, field)| Change::Field(row, field)),
        (0..ROWS - 1).prop_map(Change::Remove),
        (0..ROWS, 1..ROWS).prop_map(|(a, apart)| Change::Swap(a, (a + apart) % ROWS)),
        (0..ROWS).prop_map(Change::Duplicate),
        (1..ROWS - 1).prop_map(Change::ForgetHashes),
    ]
}

fn make(connection: &Connection, change: &Change) {
    let id = |row: usize| i64::try_from(row).unwrap() + 1;
    match change {
        Change::Field(row, field) => {
            let sql = [
                "UPDATE audit SET at = at + 1 WHERE id = ?1",
                "UPDATE audit SET actor = actor || ' ' WHERE id = ?1",
                "UPDATE audit SET what = 'retrain_dry_run' WHERE id = ?1",
                "UPDATE audit SET key = 'key-of-another' WHERE id = ?1",
                "UPDATE audit SET detail = '' WHERE id = ?1",
                "UPDATE audit SET id = id + 1000 WHERE id = ?1",
                "UPDATE audit SET guard = iif(guard IS NULL, 'samples', NULL) WHERE id = ?1",
                "UPDATE audit SET inputs = coalesce(inputs, '') || '0' WHERE id = ?1",
            ];
            connection.execute(sql[*field], [id(*row)]).unwrap();
        }
        Change::Remove(row) => {
            connection.execute("DELETE FROM audit WHERE id = ?1", [id(*row)]).unwrap();
        }
        Change::Swap(a, b) => {
            let sql = "UPDATE audit SET id = ?2 WHERE id = ?1";
            for (from, to) in [(id(*a), -1), (id(*b), id(*a)), (-1, id(*b))] {
                connection.execute(sql, [from, to]).unwrap();
            }
        }
        Change::Duplicate(row) => {
            let sql = "INSERT INTO audit (at, actor, what, key, detail, guard, inputs, hash)
                       SELECT at, actor, what, key, detail, guard, inputs, hash FROM audit WHERE id = ?1";
            connection.execute(sql, [id(*row)]).unwrap();
        }
        // As if the chain began later than it did.
        Change::ForgetHashes(rows) => {
            connection.execute("UPDATE audit SET hash = NULL WHERE id <= ?1", [id(*rows)]).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// H-1: any single change to the table is found, with the first row that does not fit.
    #[test]
    fn any_single_change_is_found(change in change()) {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(&folder, ROWS);
        make(&tampering(&folder), &change);
        prop_assert!(matches!(store.verify_audit(None).unwrap(), Err(BrokenAudit::Row { .. })), "{change:?}");
    }
}
