//! Deliveries over HTTP to a receiver that answers well or badly.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anchorwatch::alert::{ActionKind, Delivery};
use anchorwatch::deliver::{
    self, Ailments, BreakerPolicy, DeliveryObserver, DeliveryOutcome, DeliverySettings, Rate, RetryPolicy,
    Sink, Target, Timeouts, UpkeepPolicy,
};
use anchorwatch::engine::OutboxRow;
use anchorwatch::store::{OutboxEntry, OutboxState, Store, StoreHandle, spawn_writer};
use anchorwatch::view::TargetView;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::fixtures::{SECRET, asked, automation, decided, every_sink, open, row, told, webhook};
use crate::support::{Receiver, Reply, Request, wait_until};

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// An instant that is long over.
pub(crate) const LONG_AGO: i64 = 1_700_000_000_000;

#[derive(Default)]
pub(crate) struct Seen {
    outcomes: Mutex<Vec<(String, DeliveryOutcome)>>,
    targets: Mutex<Vec<TargetView>>,
    ailments: Mutex<Ailments>,
    fell_back: Mutex<usize>,
    /// Breaks off so many attempts after their answers.
    pub(crate) breaks_off: AtomicUsize,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    pub(crate) fn of(&self, target: &str) -> Vec<DeliveryOutcome> {
        let seen = locked(&self.outcomes);
        seen.iter().filter(|(name, _)| name == target).map(|(_, outcome)| *outcome).collect()
    }

    pub(crate) fn target(&self, name: &str) -> TargetView {
        locked(&self.targets).iter().find(|view| view.target == name).cloned().unwrap_or_default()
    }

    pub(crate) fn ailments(&self) -> Ailments {
        locked(&self.ailments).clone()
    }

    pub(crate) fn fell_back(&self) -> usize {
        *locked(&self.fell_back)
    }
}

impl DeliveryObserver for Seen {
    fn outcome(&self, target: &str, outcome: DeliveryOutcome) {
        locked(&self.outcomes).push((target.to_owned(), outcome));
    }

    fn targets(&self, targets: &[TargetView]) {
        *locked(&self.targets) = targets.to_vec();
    }

    fn ailments(&self, ailments: &Ailments) {
        *locked(&self.ailments) = ailments.clone();
    }

    fn template_failed(&self, _target: &str) {
        *locked(&self.fell_back) += 1;
    }

    fn duration(&self, _target: &str, seconds: f64) {
        assert!(seconds >= 0.0);
        let left =
            self.breaks_off.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        assert!(left.is_err(), "an error in this program, on purpose");
    }
}

/// The deliveries of one process, from start to stop.
pub(crate) struct Running {
    pub(crate) store: StoreHandle,
    pub(crate) seen: Arc<Seen>,
    pub(crate) clock: Arc<AtomicI64>,
    /// Replaces the targets, as a reload does.
    pub(crate) targets: watch::Sender<Arc<Vec<Target>>>,
    shutdown: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

/// Pauses of a few milliseconds instead of minutes.
fn quick() -> RetryPolicy {
    let (base, max) = (Duration::from_millis(2), Duration::from_millis(20));
    RetryPolicy { base, max, max_retry_after: Duration::from_secs(1), ..RetryPolicy::default() }
}

/// Milliseconds instead of minutes everywhere.
pub(crate) fn quick_settings() -> DeliverySettings {
    let (failures, pause, max_pause) = (5, Duration::from_millis(10), Duration::from_millis(40));
    let look_every = Duration::from_millis(10);
    DeliverySettings {
        retry: quick(),
        breaker: BreakerPolicy { failures, pause, max_pause },
        upkeep: UpkeepPolicy {
            look_every,
            tend_every: 5 * look_every,
            tell_after: 10 * look_every,
            ..UpkeepPolicy::default()
        },
        timeouts: Timeouts { connect: Duration::from_secs(3), total: Duration::from_secs(5) },
        ..DeliverySettings::default()
    }
}

/// A target that may be asked as fast as it answers.
pub(crate) fn unhurried(name: &str, sink: &Sink) -> Target {
    Target { rate: Rate { per_minute: 60_000, burst: 10_000 }, ..Target::new(name, sink.clone()) }
}

/// The real clock's course, so that a test can also jump.
fn clock(jumped: &Arc<AtomicI64>) -> Arc<dyn Fn() -> i64 + Send + Sync> {
    let jumped = Arc::clone(jumped);
    Arc::new(move || unix_millis() + jumped.load(Ordering::Relaxed))
}

#[expect(clippy::disallowed_methods, reason = "the state file notes decisions by the real clock")]
pub(crate) fn unix_millis() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since_epoch.as_millis()).expect("a time")
}

impl Running {
    pub(crate) fn start(folder: &Path, targets: &[(&str, Sink)]) -> Self {
        Self::with(
            folder,
            targets.iter().map(|(name, sink)| unhurried(name, sink)).collect(),
            quick_settings(),
        )
    }

    fn start_with(folder: &Path, targets: &[(&str, Sink)], total: Duration) -> Self {
        let timeouts = Timeouts { connect: Duration::from_secs(3), total };
        let targets = targets.iter().map(|(name, sink)| unhurried(name, sink)).collect();
        Self::with(folder, targets, DeliverySettings { timeouts, ..quick_settings() })
    }

    pub(crate) fn with(folder: &Path, targets: Vec<Target>, settings: DeliverySettings) -> Self {
        Self::on(open(folder), targets, settings)
    }

    /// On a state file that was bent before.
    pub(crate) fn on(store: Store, targets: Vec<Target>, settings: DeliverySettings) -> Self {
        let (store, writer) = spawn_writer(store).expect("a writer");
        let (jumped, seen) = (Arc::default(), Arc::new(Seen::default()));
        let settings = DeliverySettings { clock: clock(&jumped), ..settings };
        let (shutdown, stop) = watch::channel(false);
        let (targets, live) = watch::channel(Arc::new(targets));
        let work = deliver::run(store.clone(), live, settings, seen.clone(), stop);
        let runner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(work).expect("deliveries begin");
        });
        Self { store, seen, clock: jumped, targets, shutdown, threads: vec![runner, writer] }
    }

    pub(crate) fn decide(&self, rows: impl IntoIterator<Item = OutboxRow>) {
        self.store.apply_blocking(Box::new(decided(rows))).expect("a checkpoint");
    }

    pub(crate) fn rows(&self, state: OutboxState) -> Vec<OutboxEntry> {
        self.store.call_blocking(move |store| store.list_outbox(Some(state), 1_000)).expect("rows")
    }

    pub(crate) fn wait_for(&self, state: OutboxState, count: usize) -> Vec<OutboxEntry> {
        wait_until(DEADLINE, &format!("{count} rows {}", state.as_str()), || self.rows(state).len() >= count);
        self.rows(state)
    }

    pub(crate) fn stop(self) {
        let Self { store, shutdown, threads, .. } = self;
        drop(store);
        shutdown.send(true).expect("deliveries listen");
        for thread in threads {
            thread.join().expect("a clean end");
        }
    }
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

pub(crate) fn ids(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.header("webhook-id")).collect()
}

#[test]
fn every_kind_of_sink_is_reached() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.always("/v2/enqueue", Reply::status(202));
    let sinks = every_sink(&receiver.url(""));
    let targets: Vec<_> = sinks.iter().map(|sink| (sink.kind(), sink.clone())).collect();
    let running = Running::start(folder.path(), &targets);
    let rows = ["slack", "pagerduty", "webhook"].map(|target| row(target, told("k-1", "g")));
    running.decide(rows.into_iter().chain([row("action", asked("a-1", ActionKind::Retrain))]));
    running.wait_for(OutboxState::Delivered, 4);
    assert_eq!(receiver.requests().len(), 4);
    assert!(receiver.requests().iter().all(|request| request.method == "POST"));
    assert!(running.rows(OutboxState::Pending).is_empty());
    running.stop();
}

#[test]
fn a_failing_target_is_tried_again_under_the_same_key_until_it_confirms() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.next(
        "/hook",
        [Reply::status(500), Reply::status(503), Reply::Drop, Reply::Refuse, Reply::status(429)],
    );
    let running = Running::start(folder.path(), &[("hook", webhook(&receiver.url("/hook")))]);
    running.decide([row("hook", told("k-1", "g"))]);
    let delivered = running.wait_for(OutboxState::Delivered, 1);
    assert_eq!(delivered[0].attempt, 6);
    assert_eq!(ids(&receiver.requests()), ["k-1"; 5], "the refused connection carried none");
    let outcomes = running.seen.of("hook");
    assert_eq!(outcomes.last(), Some(&DeliveryOutcome::Delivered));
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == DeliveryOutcome::Retry).count(), 5);
    running.stop();
}

#[test]
fn a_slow_answer_is_a_failure_that_is_tried_again() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.next("/hook", [Reply::ok().after(Duration::from_secs(60))]);
    let running = Running::start_with(
        folder.path(),
        &[("hook", webhook(&receiver.url("/hook")))],
        Duration::from_millis(400),
    );
    running.decide([row("hook", told("k-1", "g"))]);
    let delivered = running.wait_for(OutboxState::Delivered, 1);
    assert!(delivered[0].attempt >= 2);
    assert_eq!(delivered[0].last_error.as_deref(), Some("no answer: timed out"));
    running.stop();
}

#[test]
fn retry_after_is_honoured() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.next("/hook", [Reply::retry_after(429, 3_600)]); // more than the second that the policy honours
    let running = Running::start(folder.path(), &[("hook", webhook(&receiver.url("/hook")))]);
    let begun = tokio::time::Instant::now();
    running.decide([row("hook", told("k-1", "g"))]);
    running.wait_for(OutboxState::Delivered, 1);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    running.stop();
}

#[test]
fn a_refusal_is_final_and_a_redirect_is_not_followed() {
    let (folder, receiver) = (folder(), Receiver::start());
    let elsewhere = vec![("Location", receiver.url("/elsewhere"))];
    receiver.always("/gone", Reply::status(410));
    receiver.always("/unknown", Reply::status(404));
    receiver.always("/moved", Reply::Answer(307, elsewhere, String::new()));
    let targets =
        ["gone", "unknown", "moved"].map(|name| (name, webhook(&receiver.url(&format!("/{name}")))));
    let running = Running::start(folder.path(), &targets);
    running.decide(["gone", "unknown", "moved"].map(|target| row(target, told("k-1", "g"))));
    let mut dead = running.wait_for(OutboxState::Dead, 3);
    dead.sort_by(|a, b| a.target.cmp(&b.target));
    let errors: Vec<_> = dead.iter().map(|entry| entry.last_error.as_deref().unwrap_or_default()).collect();
    assert!(
        errors[0].contains("410") && errors[1].contains("redirect") && errors[2] == "answered 404",
        "{errors:?}"
    );
    assert_eq!(receiver.requests().len(), 3, "each was asked once, and nobody elsewhere");
    running.stop();
}

#[test]
fn a_dead_target_never_delays_another() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.always("/slow", Reply::ok().after(Duration::from_secs(600)));
    let targets = [("slow", webhook(&receiver.url("/slow"))), ("quick", webhook(&receiver.url("/quick")))];
    let running = Running::start(folder.path(), &targets);
    let rows = (0..30)
        .flat_map(|n| ["slow", "quick"].map(|target| row(target, told(&format!("k-{n}"), &format!("g{n}")))));
    running.decide(rows);
    let delivered = running.wait_for(OutboxState::Delivered, 30);
    assert!(delivered.iter().all(|entry| entry.target == "quick"));
    assert!(receiver.requests_to("/slow").len() < 30, "the slow target was still busy");
    running.stop();
}

#[test]
fn a_group_arrives_in_order_while_others_overtake_it() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.next("/hook", [Reply::status(500), Reply::status(500)]);
    let running = Running::start(folder.path(), &[("hook", webhook(&receiver.url("/hook")))]);
    let rows = [("firing", "g"), ("resolved", "g"), ("again", "g")];
    running.decide(rows.map(|(key, group)| row("hook", told(key, group))));
    running.wait_for(OutboxState::Delivered, 3);
    let requests = receiver.requests();
    assert_eq!(ids(&requests), ["firing", "firing", "firing", "resolved", "again"]);
    running.stop();
}

#[test]
fn an_alert_is_given_up_some_time_after_its_first_attempt() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.always("/hook", Reply::status(500));
    let running = Running::with(
        folder.path(),
        vec![unhurried("hook", &webhook(&receiver.url("/hook")))],
        give_up_after(Duration::from_millis(300)),
    );
    let begun = tokio::time::Instant::now();
    running.decide([row("hook", told("k-1", "g"))]);
    let dead = running.wait_for(OutboxState::Dead, 1);
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert!(dead[0].last_error.as_deref().is_some_and(|error| error.starts_with("given up: answered 500")));
    running.stop();
}

pub(crate) fn give_up_after(give_up_after: Duration) -> DeliverySettings {
    let settings = quick_settings();
    DeliverySettings { retry: RetryPolicy { give_up_after, ..settings.retry.clone() }, ..settings }
}

#[test]
fn an_action_that_is_too_old_is_not_sent() {
    let (folder, receiver) = (folder(), Receiver::start());
    let running = Running::start(folder.path(), &[("retrain", automation(&receiver.url("/retrain")))]);
    let late = OutboxRow { expires_at: Some(LONG_AGO), ..row("retrain", asked("a-1", ActionKind::Retrain)) };
    running.decide([late]);
    running.wait_for(OutboxState::Expired, 1);
    assert!(receiver.requests().is_empty());
    running.stop();
}

#[test]
fn an_action_without_an_answer_is_held_and_never_repeated() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.always("/dropped", Reply::Drop);
    receiver.always("/failed", Reply::status(500));
    receiver.always("/proxy", Reply::status(503)); // as a proxy says when the upstream took it and closed
    receiver.next("/busy", [Reply::retry_after(503, 0)]);
    let names = ["dropped", "failed", "proxy", "busy"];
    let targets = names.map(|name| (name, automation(&receiver.url(&format!("/{name}")))));
    let running = Running::start(folder.path(), &targets);
    running.decide(names.map(|target| row(target, asked("a-1", ActionKind::Rollback))));
    running.wait_for(OutboxState::Unknown, 3);
    running.wait_for(OutboxState::Delivered, 1);
    let count = |name| receiver.requests_to(&format!("/{name}")).len();
    assert_eq!(names.map(count), [1, 1, 1, 2]);
    let trail = running.store.call_blocking(|store| store.audit(9)).expect("rows");
    assert!(trail.iter().any(|entry| entry.row.what == "action_unknown"), "{trail:?}");
    running.stop();
}

#[test]
fn an_unreachable_automation_is_tried_again_because_nothing_was_sent() {
    let (folder, receiver) = (folder(), Receiver::start());
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let url = format!("http://{closed}/retrain");
    let running = Running::start(folder.path(), &[("retrain", automation(&url))]);
    running.decide([row("retrain", asked("a-1", ActionKind::Retrain))]);
    wait_until(DEADLINE, "two failures", || running.seen.of("retrain").len() >= 2);
    assert!(running.seen.of("retrain").iter().all(|outcome| *outcome == DeliveryOutcome::Retry));
    assert!(running.rows(OutboxState::Unknown).is_empty());
    drop(receiver);
    running.stop();
}

#[test]
fn a_crash_between_sending_and_recording_repeats_a_notification_but_holds_an_action() {
    let (folder, receiver) = (folder(), Receiver::start());
    let mut store = open(folder.path());
    let rows = [row("hook", told("k-1", "g")), row("retrain", asked("a-1", ActionKind::Retrain))];
    store.apply(&decided(rows)).expect("a checkpoint");
    assert!(
        store.attempting(1, LONG_AGO).expect("durable") && store.attempting(2, LONG_AGO).expect("durable")
    );
    drop(store); // the process ends here, with both requests under way
    let targets =
        [("hook", webhook(&receiver.url("/hook"))), ("retrain", automation(&receiver.url("/retrain")))];
    let running = Running::start(folder.path(), &targets);
    running.wait_for(OutboxState::Delivered, 1);
    let held = running.wait_for(OutboxState::Unknown, 1);
    assert_eq!(held[0].key, "a-1");
    assert_eq!(ids(&receiver.requests()), ["k-1"]);
    running.stop();
}

#[test]
fn what_was_delivered_is_not_sent_again_after_a_restart() {
    let (folder, receiver) = (folder(), Receiver::start());
    for _ in 0..3 {
        let running = Running::start(folder.path(), &[("hook", webhook(&receiver.url("/hook")))]);
        running.decide([row("hook", told("k-1", "g"))]);
        running.wait_for(OutboxState::Delivered, 1);
        running.stop();
    }
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn the_receiver_can_verify_the_signature() {
    let (folder, receiver) = (folder(), Receiver::start());
    let running = Running::start(folder.path(), &[("hook", webhook(&receiver.url("/hook")))]);
    let delivery = told("flights/1.0.0 firing", "g");
    running.decide([row("hook", delivery)]);
    running.wait_for(OutboxState::Delivered, 1);
    let request = &receiver.requests()[0];
    let (id, seconds) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    assert!(id.starts_with("aw_") && !id.contains('.'), "{id}");
    let key = STANDARD.decode(&SECRET["whsec_".len()..]).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    mac.update([format!("{id}.{seconds}.").as_bytes(), &request.body].concat().as_slice());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(request.header("webhook-signature"), expected);
    running.stop();
}

#[test]
fn an_action_that_no_sink_can_say_is_dead_with_a_reason() {
    let (folder, receiver) = (folder(), Receiver::start());
    let pagerduty = every_sink(&receiver.url("")).remove(1);
    let running = Running::start(folder.path(), &[("pager", pagerduty)]);
    let delivery: Delivery = asked("a-1", ActionKind::Retrain);
    running.decide([row("pager", delivery)]);
    let dead = running.wait_for(OutboxState::Dead, 1);
    assert!(dead[0].last_error.as_deref().unwrap_or_default().contains("route it to a webhook"));
    assert!(receiver.requests().is_empty());
    running.stop();
}
