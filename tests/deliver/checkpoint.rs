//! One transaction per checkpoint, and what a start restores.

use std::io::{Seek, SeekFrom, Write};

use anchorwatch::alert::Delivery;
use anchorwatch::engine::{AuditRow, Checkpoint, PaneRow, Position, RefusedRecord};
use anchorwatch::store::{MAX_REFUSED, NotTaken, Retry, Store, StoreError, spawn_writer};
use anchorwatch::subject::Subject;

use crate::fixtures::{decided, open, row, told};

fn position(next_offset: i64) -> Position {
    let last_record_hash = Some(u64::MAX - 3);
    Position {
        topic: "flights".into(),
        partition: 2,
        next_offset,
        max_event_time: Some(-7),
        last_record_hash,
    }
}

fn pane(subject: u32, pane: i64, count: u8) -> PaneRow {
    PaneRow { subject, pane, reference: "sha256:9b".into(), counts: [count, 0, 255].as_slice().into() }
}

fn subjects() -> Vec<(u32, Subject)> {
    let whole = Subject::whole("flights", "1.0.0");
    vec![(0, whole.clone()), (u32::MAX, whole.segment("UA"))]
}

fn refused(offset: i64) -> RefusedRecord {
    let (topic, reason, detail) = ("flights".into(), "not_json".into(), "at byte 7".into());
    let (size, sha256) = (Some(7), Some("0f".into()));
    RefusedRecord { topic, partition: 0, offset, reason, detail, size, sha256 }
}

#[test]
fn what_was_applied_is_restored_with_the_oddest_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let panes = vec![pane(0, i64::MIN, 1), pane(u32::MAX, -1, 2), pane(0, i64::MAX, 3)];
    let documents = [("alerts".to_owned(), Some("{}".to_owned())), ("gone".to_owned(), Some("1".to_owned()))];
    let checkpoint = Checkpoint {
        subjects: subjects(),
        panes,
        positions: vec![position(41)],
        documents: documents.into(),
        ..Checkpoint::default()
    };
    open(folder.path()).apply(&checkpoint).expect("a checkpoint");
    let mut store = open(folder.path());
    let second = Checkpoint {
        panes: vec![pane(0, i64::MAX, 9)],
        drop_panes_below: Some(-1),
        positions: vec![position(41)],
        documents: [("gone".to_owned(), None)].into(),
        ..Checkpoint::default()
    };
    store.apply(&second).expect("a checkpoint");
    let restored = store.restore().expect("a state");
    assert_eq!(restored.subjects, subjects());
    assert_eq!(restored.panes, [pane(u32::MAX, -1, 2), pane(0, i64::MAX, 9)]);
    assert_eq!(restored.positions, [position(41)]);
    assert_eq!(restored.documents, [("alerts".to_owned(), "{}".to_owned())].into());
}

#[test]
fn a_position_that_goes_back_fails_the_whole_checkpoint_until_it_is_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    store
        .apply(&Checkpoint { positions: vec![position(10)], ..Checkpoint::default() })
        .expect("a checkpoint");
    let back = Checkpoint {
        positions: vec![position(3)],
        audit: vec![AuditRow {
            at: 1,
            actor: "a".into(),
            what: "x".into(),
            key: "y".into(),
            detail: "z".into(),
        }],
        ..decided([row("slack", told("k", "g"))])
    };
    let error = store.apply(&back).expect_err("a refusal");
    assert!(matches!(error, StoreError::Backwards { stored: 10, offered: 3, .. }), "{error}");
    assert_eq!(error.retry(), Retry::Never);
    assert!(store.list_outbox(None, 9).expect("rows").is_empty() && store.audit(9).expect("rows").is_empty());
    store.forget_position("flights", 2, 77).expect("forgotten");
    store.apply(&back).expect("a checkpoint");
    assert_eq!(store.restore().expect("a state").positions, [position(3)]);
    let trail: Vec<_> = store.audit(9).expect("rows").into_iter().map(|entry| entry.row.what).collect();
    assert_eq!(trail, ["x", "position_forgotten"]);
}

#[test]
fn a_replayed_transition_is_in_the_outbox_once_per_target() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    for _ in 0..3 {
        let rows = [row("slack", told("k", "g")), row("hook", told("k", "g"))];
        store.apply(&decided(rows)).expect("a checkpoint");
    }
    assert_eq!(store.list_outbox(None, 9).expect("rows").len(), 2);
}

#[test]
fn numbers_that_json_does_not_have_come_back_as_the_nearest_that_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    let mut delivery = told("k", "g");
    if let Delivery::Notification(notification) = &mut delivery {
        notification.findings[0].statistic = f64::INFINITY;
        notification.findings[0].p_value = Some(f64::NAN);
    }
    store.apply(&decided([row("slack", delivery)])).expect("a checkpoint");
    let due = store.due("slack", (0, 10), 1).expect("rows");
    let Delivery::Notification(read) = &due.items[0].delivery else { panic!("a notification") };
    assert_eq!((read.findings[0].statistic, read.findings[0].p_value), (f64::MAX, Some(0.0)));
}

#[test]
fn refused_records_wait_until_sent_and_are_bounded_with_a_count_of_the_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    let refuse = |range: std::ops::Range<i64>| Checkpoint {
        refused: range.map(refused).collect(),
        ..Checkpoint::default()
    };
    store.apply(&refuse(0..10)).expect("a checkpoint");
    let pending = store.refused_pending(4, 0).expect("rows").rows;
    assert_eq!(pending.iter().map(|row| row.record.clone()).collect::<Vec<_>>(), [0, 1, 2, 3].map(refused));
    store.refused_sent(&pending.iter().map(|row| row.id).collect::<Vec<_>>()).expect("marked");
    assert_eq!(store.refused_pending(1, 0).expect("rows").rows[0].record, refused(4));
    store.apply(&refuse(10..MAX_REFUSED + 7)).expect("a checkpoint");
    assert_eq!(
        store.refused_dropped().expect("a count"),
        3,
        "seven were dropped, of which four had been sent"
    );
    assert_eq!(store.refused_pending(1, 0).expect("rows").rows[0].record, refused(7));
}

#[test]
fn a_damaged_file_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("anchorwatch.db"), "this is no database, but long enough to look at")
        .expect("a file");
    let error = Store::open(folder.path()).expect_err("damage");
    assert!(matches!(error, StoreError::Damaged { .. }) && error.to_string().contains("backup"), "{error}");

    let folder = tempfile::tempdir().expect("a folder");
    let rows: Vec<_> = (0..400).map(|n| row("slack", told(&format!("k{n}"), "g"))).collect();
    open(folder.path()).apply(&decided(rows)).expect("a checkpoint");
    let mut file =
        std::fs::OpenOptions::new().write(true).open(folder.path().join("anchorwatch.db")).expect("a file");
    file.seek(SeekFrom::Start(64 * 1_024)).expect("a place");
    file.write_all(&[0xAB; 32 * 1_024]).expect("written");
    let error = Store::open(folder.path()).expect_err("damage");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(error.retry(), Retry::Never);
}

#[test]
fn a_full_disk_is_worth_another_try_and_the_checkpoint_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (handle, thread) = spawn_writer(store).expect("a writer");
    handle.call_blocking(|store| store.limit_pages(40)).expect("a limit");
    let big = Checkpoint {
        documents: [("d".to_owned(), Some("x".repeat(1 << 20)))].into(),
        ..Checkpoint::default()
    };
    let failed = handle.apply_blocking(Box::new(big)).expect_err("a full disk");
    assert_eq!(failed.error.retry(), Retry::Backoff, "{}", failed.error);
    handle.call_blocking(|store| store.limit_pages(100_000)).expect("a limit");
    handle.apply_blocking(failed.checkpoint.expect("the checkpoint")).expect("space again");
    drop(handle);
    thread.join().expect("the writer ends with its last handle");
    assert_eq!(open(folder.path()).restore().expect("a state").documents["d"].len(), 1 << 20);
}

#[test]
fn at_most_one_checkpoint_is_under_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let (handle, _thread) = spawn_writer(open(folder.path())).expect("a writer");
    let (open_gate, gate) = std::sync::mpsc::sync_channel::<()>(0);
    let (begun, begin) = std::sync::mpsc::sync_channel::<()>(1);
    let blocker = handle.clone();
    let blocked = std::thread::spawn(move || {
        blocker.call_blocking(move |_| {
            begun.send(()).expect("the test waits");
            // Ends when the test opens the gate, or has failed.
            let _ = gate.recv();
            Ok(())
        })
    });
    begin.recv().expect("the writer is busy");
    let first = handle.try_apply(Box::default()).expect("a ticket");
    let second = Box::new(Checkpoint { positions: vec![position(1)], ..Checkpoint::default() });
    let Err(NotTaken::Busy(returned)) = handle.try_apply(second.clone()) else { panic!("one is under way") };
    assert_eq!(returned, second);
    open_gate.send(()).expect("the writer waits");
    first.wait().expect("written");
    handle.try_apply(returned).expect("a ticket").wait().expect("written");
    blocked.join().expect("a thread").expect("the gate");
}

#[test]
fn a_writer_that_has_ended_is_not_taken_for_a_busy_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (handle, thread) = spawn_writer(open(folder.path())).expect("a writer");
    let job = handle.call_blocking(|_| -> Result<(), StoreError> { panic!("a job that fails on purpose") });
    assert!(matches!(job, Err(StoreError::Stopped)));
    assert!(thread.join().is_err(), "the thread has ended");
    for _ in 0..2 {
        assert!(matches!(handle.try_apply(Box::default()), Err(NotTaken::Ended)));
    }
}

#[test]
fn the_audit_trail_can_neither_be_changed_nor_shortened() {
    let folder = tempfile::tempdir().expect("a folder");
    let audit =
        vec![AuditRow { at: 1, actor: "a".into(), what: "x".into(), key: "y".into(), detail: "z".into() }];
    open(folder.path()).apply(&Checkpoint { audit, ..Checkpoint::default() }).expect("a checkpoint");
    let file = rusqlite::Connection::open(folder.path().join("anchorwatch.db")).expect("the file");
    for sql in ["UPDATE audit SET what = 'y'", "DELETE FROM audit"] {
        let error = file.execute(sql, []).expect_err("a refusal");
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}
