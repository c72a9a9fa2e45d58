//! A full disk, a clock that jumps, an error of our own: deliveries wait, go on, or end with a reason.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use anchorwatch::alert::{ActionKind, ActionRequest};
use anchorwatch::deliver::{self, DeliverySettings, SendGuard};
use anchorwatch::engine::{AuditRow, Checkpoint};
use anchorwatch::store::{OutboxState, Retry, Settlement, Store, spawn_writer};
use tokio::sync::watch;

use crate::fixtures::{asked, automation, decided, open, row, told, webhook};
use crate::support::{Receiver, Reply, wait_until};
use crate::workers::{
    DEADLINE, LONG_AGO, Running, Seen, folder, ids, quick_settings, unhurried, unix_millis,
};

const DAY: i64 = 24 * 3_600_000;

#[test]
fn an_attempt_that_breaks_off_is_made_again_for_a_notification_and_held_for_an_action() {
    let (folder, receiver) = (folder(), Receiver::start());
    let targets =
        [("hook", webhook(&receiver.url("/hook"))), ("retrain", automation(&receiver.url("/retrain")))];
    let running = Running::start(folder.path(), &targets);
    running.seen.breaks_off.store(1, Ordering::Relaxed);
    running.decide([row("hook", told("firing", "g")), row("hook", told("resolved", "g"))]);
    running.wait_for(OutboxState::Delivered, 2);
    assert_eq!(ids(&receiver.requests()), ["firing", "firing", "resolved"], "its group goes on, in order");
    running.seen.breaks_off.store(1, Ordering::Relaxed);
    running.decide([row("retrain", asked("a-1", ActionKind::Rollback))]);
    running.wait_for(OutboxState::Unknown, 1);
    assert_eq!(receiver.requests_to("/retrain").len(), 1, "it may have been taken");
    running.stop();
}

#[test]
fn a_start_on_a_full_disk_delivers_as_soon_as_there_is_room() {
    let (folder, receiver) = (folder(), Receiver::start());
    let mut store = open(folder.path());
    let rows = [row("hook", told("k-1", "g")), row("retrain", asked("a-1", ActionKind::Retrain))];
    store.apply(&decided(rows)).expect("a checkpoint");
    assert!(
        store.attempting(1, LONG_AGO).expect("durable") && store.attempting(2, LONG_AGO).expect("durable")
    );
    drop(store); // the process ends here, with both requests under way
    let mut store = open(folder.path());
    fill(&mut store);
    let full = store.recover_outbox(1).expect_err("no room for the row of the audit trail");
    assert_eq!(full.retry(), Retry::Backoff, "{full}");
    let targets =
        [("hook", webhook(&receiver.url("/hook"))), ("retrain", automation(&receiver.url("/retrain")))];
    let targets = targets.iter().map(|(name, sink)| unhurried(name, sink)).collect();
    let running = Running::on(store, targets, quick_settings());
    assert_eq!(running.rows(OutboxState::Inflight).len(), 2, "they wait");
    running.store.call_blocking(|store| store.limit_pages(1_000_000)).expect("room");
    running.wait_for(OutboxState::Delivered, 1);
    assert_eq!(running.wait_for(OutboxState::Unknown, 1)[0].key, "a-1");
    assert_eq!(ids(&receiver.requests()), ["k-1"]);
    running.stop();
}

/// Takes away every page that is left, and what is left of those that are begun.
fn fill(store: &mut Store) {
    store.limit_pages(1).expect("no more than there are");
    for length in [400, 100, 20, 1] {
        let detail = "x".repeat(length);
        let row = AuditRow { at: 1, actor: "a".into(), what: "w".into(), key: "k".into(), detail };
        let more = Checkpoint { audit: vec![row], ..Checkpoint::default() };
        while store.apply(&more).is_ok() {}
    }
}

#[test]
fn deliveries_that_cannot_begin_end_with_the_reason() {
    let folder = folder();
    let mut store = open(folder.path());
    store.apply(&decided([row("hook", told("k-1", "g"))])).expect("a checkpoint");
    assert!(store.attempting(1, LONG_AGO).expect("durable"));
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON outbox BEGIN SELECT RAISE(ABORT, 'no'); END";
    let file = rusqlite::Connection::open(folder.path().join("anchorwatch.db")).expect("the file");
    file.execute(refuse, []).expect("a trigger");
    let (store, _writer) = spawn_writer(store).expect("a writer");
    let (_shutdown, stop) = watch::channel(false);
    let seen = Arc::new(Seen::default());
    let work = deliver::run(store, deliver::fixed(Vec::new()), quick_settings(), seen, stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    assert!(runtime.block_on(work).is_err());
}

/// The last word on an action, which never comes: it waits until it may break, and breaks.
struct Breaks(Mutex<mpsc::Receiver<()>>);

impl SendGuard for Breaks {
    fn check(&self, _request: &ActionRequest, _now: i64) -> Result<(), String> {
        let waiting = self.0.lock().expect("one worker asks");
        waiting.recv().expect("the test says when");
        panic!("an error in this program, on purpose");
    }
}

#[test]
fn a_worker_that_breaks_ends_all_deliveries_by_name_after_what_is_under_way() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.always("/hook", Reply::ok().after(Duration::from_millis(300)));
    let mut store = open(folder.path());
    let rows = [row("hook", told("k-1", "g")), row("retrain", asked("a-1", ActionKind::Retrain))];
    store.apply(&decided(rows)).expect("a checkpoint");
    let (store, _writer) = spawn_writer(store).expect("a writer");
    let (_shutdown, stop) = watch::channel(false);
    let (now, waiting) = mpsc::channel();
    let settings = DeliverySettings { guard: Arc::new(Breaks(Mutex::new(waiting))), ..quick_settings() };
    let targets =
        [("hook", webhook(&receiver.url("/hook"))), ("retrain", automation(&receiver.url("/retrain")))];
    let targets = deliver::fixed(targets.iter().map(|(name, sink)| unhurried(name, sink)).collect());
    let work = deliver::run(store.clone(), targets, settings, Arc::new(Seen::default()), stop);
    let running = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(work)
    });
    receiver.wait_for_requests("/hook", 1, DEADLINE);
    now.send(()).expect("the guard waits");
    let why = running.join().expect("an orderly end").expect_err("nobody tells the automation any more");
    assert!(why.to_string().starts_with("the worker of retrain ended early"), "{why}");
    let rows = store.call_blocking(|store| store.list_outbox(None, 9)).expect("rows");
    let states: Vec<_> = rows.iter().map(|row| (row.key.as_str(), row.state.as_str())).collect();
    assert!(states.contains(&("k-1", "delivered")), "{states:?}");
    assert!(states.contains(&("a-1", "pending")), "{states:?}");
    assert!(receiver.requests_to("/retrain").is_empty());
}

#[test]
fn no_jump_of_the_clock_ends_a_delivery_or_delays_it_by_a_day() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.always("/hook", Reply::status(500));
    let running = Running::start(folder.path(), &[("hook", webhook(&receiver.url("/hook")))]);
    running.decide((0..9).map(|n| row("hook", told(&format!("k{n}"), &format!("g{n}")))));
    wait_until(DEADLINE, "an open breaker", || running.seen.target("hook").failures >= 5);
    for jump in [DAY + 60_000, -DAY, 40 * DAY, -400 * DAY, 0] {
        running.clock.store(jump, Ordering::Relaxed);
        let before = receiver.requests_to("/hook").len();
        receiver.wait_for_requests("/hook", before + 3, DEADLINE);
        assert!(running.rows(OutboxState::Dead).is_empty(), "a jump by {jump} ms ended a delivery");
    }
    receiver.always("/hook", Reply::ok());
    running.wait_for(OutboxState::Delivered, 9);
    running.stop();
}

#[test]
fn a_clock_that_was_set_back_before_the_start_delays_no_delivery() {
    let (folder, receiver) = (folder(), Receiver::start());
    let mut store = open(folder.path());
    store.apply(&decided([row("hook", told("k-1", "g"))])).expect("a checkpoint");
    let ahead = unix_millis() + DAY;
    assert!(store.attempting(1, ahead).expect("durable"));
    let retry = Settlement::Retry { next_at: ahead, error: "answered 500".to_owned() };
    assert!(store.settle(1, ahead, &retry).expect("durable"));
    drop(store);
    let running = Running::start(folder.path(), &[("hook", webhook(&receiver.url("/hook")))]);
    running.wait_for(OutboxState::Delivered, 1);
    running.stop();
}
