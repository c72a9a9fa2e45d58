//! Killing the daemon ten times at random moments, on a real Kafka, changes nothing: counts, positions, alert states,
//! decisions and deliveries are those of a daemon that read the same stream undisturbed. Asked to stop, it drains.
//!
//! The moments come from a seed, which is printed; `ANCHORWATCH_SEED` sets it.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

mod support;
#[path = "support/waiting.rs"]
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anchorwatch::store::Store;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use support::flights::{self, Produced, at};
use support::{Daemon, Kafka, Receiver, Request, free_port, http, wait_until};

const TOPIC: &str = "flights";
const KILLS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(180);
/// Looks of 20 ms between the moment that is waited for and the kill.
const MOST_LOOKS: u32 = 40;

/// One way to read the stream: a daemon with a state of its own and its own paths at the receiver.
struct Reader {
    name: &'static str,
    folder: PathBuf,
    config: PathBuf,
    http: String,
    daemon: Daemon,
}

impl Reader {
    fn start(name: &'static str, folder: &Path, kafka: &Kafka, receiver: &Receiver) -> Self {
        let folder = folder.join(name);
        kafka.create_topic(&format!("refused-{name}"), 1);
        let http = format!("127.0.0.1:{}", free_port());
        let config = configuration(name, &folder, kafka, receiver, &http);
        let mut daemon = Daemon::spawn(&config, &http, &[]);
        daemon.wait_ready();
        Self { name, folder, config, http, daemon }
    }

    /// Records accounted for, as far as the daemon answers.
    fn read(&self) -> Option<u64> {
        http::get(&self.http, "/api/v1/status").ok()?.json()["law"]["read"].as_u64()
    }

    fn start_again(&mut self) {
        self.daemon = Daemon::spawn(&self.config, &self.http, &[]);
    }

    /// Waits until everything is read, judged and delivered.
    fn settle(&self, records: u64, end: i64) {
        wait_until(PATIENCE, &format!("{} to read {records} records", self.name), || {
            self.read() == Some(records)
        });
        wait_until(PATIENCE, &format!("{} to judge the last window", self.name), || {
            let page = self.daemon.http_get("/api/v1/windows?horizon=6h").json();
            let ends = page["items"].as_array().expect("items").iter().map(|window| window["end"].clone());
            ends.into_iter().max_by_key(Value::as_i64).is_some_and(|last| last == end)
        });
        wait_until(PATIENCE, &format!("{} to deliver", self.name), || {
            let state = Outcome::read(&self.folder.join("data"));
            let told = state.outbox.values().all(|state| state == "delivered" || state == "unknown");
            state.records() == Some(records) && told && state.pointers_waiting == 0
        });
    }
}

fn configuration(name: &str, folder: &Path, kafka: &Kafka, receiver: &Receiver, http: &str) -> PathBuf {
    let secret = |file: &str, value: &str| {
        fs::write(folder.join(file), value).expect("a writable folder");
        json!({"file": folder.join(file)})
    };
    let url = |target: &str| receiver.url(&format!("/{name}/{target}"));
    let config = json!({
        "data_dir": folder.join("data"),
        "kafka": {"bootstrap": kafka.bootstrap(), "topics": [TOPIC], "group": name,
                  "dead_letter_topic": format!("refused-{name}")},
        "windows": {
            "pane": "1h", "horizons": [{"length": "6h", "every": "1h"}, {"length": "24h", "every": "2h"}],
            "lateness": "1h", "idle_after": "1h", "min_rows": 150,
        },
        "segments": {"field": "origin"},
        "monitor": {"verdicts": "both"},
        "sinks": [
            {"name": "slack", "type": "slack", "url": secret("slack", &url("slack")),
             "rate_per_minute": 60_000, "burst": 1_000},
            {"name": "pagerduty", "type": "pagerduty", "url": url("pagerduty"), "rate_per_minute": 60_000, "burst": 1_000,
             "routing_key": secret("pagerduty", "0123456789abcdef0123456789abcdef")},
            {"name": "webhook", "type": "webhook", "url": url("webhook"), "rate_per_minute": 60_000, "burst": 1_000},
        ],
        "actions": [
            {"name": "retrain", "kind": "retrain", "url": url("retrain"), "on": ["drift", "data_fault"], "mode": "dry_run",
             "cooldown": "12h", "daily_budget": 2, "max_evidence_age": "36500d"},
        ],
        "action_guards": {"deploy_grace": "0s"},
        "http": {"listen": http},
        "checkpoint": {"every": "300ms"},
    });
    let path = folder.join("anchorwatch.yaml"); // JSON is YAML
    fs::write(&path, config.to_string()).expect("a writable folder");
    path
}

/// All that a state file remembers, without its own numbering and without the wall clock.
#[derive(Debug, PartialEq)]
struct Outcome {
    panes: BTreeMap<(String, i64), (String, Vec<u8>)>,
    positions: BTreeMap<i32, (i64, Option<i64>, Option<u64>)>,
    documents: BTreeMap<String, Value>,
    outbox: BTreeMap<(String, String), String>,
    audit: BTreeSet<(i64, String, String, String)>,
    pointers_waiting: usize,
}

impl Outcome {
    fn read(data: &Path) -> Self {
        let mut store = Store::open(data).expect("the state file");
        let state = store.restore().expect("its content");
        let names: BTreeMap<u32, String> =
            state.subjects.iter().map(|(id, subject)| (*id, subject.to_string())).collect();
        let panes = state.panes.into_iter().map(|row| {
            ((names[&row.subject].clone(), row.pane), (row.reference, row.counts.packed().into_owned()))
        });
        let positions = state.positions.into_iter().map(|position| {
            (position.partition, (position.next_offset, position.max_event_time, position.last_record_hash))
        });
        let documents = state
            .documents
            .into_iter()
            .map(|(name, text)| (name, serde_json::from_str(&text).expect("a JSON document")))
            // What became of requests is the business of their targets; which were decided is not.
            .map(|(name, value): (String, Value)| match name.as_str() {
                "actions" => (name, value["runs"].clone()),
                _ => (name, value),
            });
        let outbox = store.list_outbox(None, usize::MAX).expect("the outbox");
        let audit = store.audit(usize::MAX).expect("the audit trail").into_iter().map(|entry| entry.row);
        // What became of a request is told with the time of the clock; what was decided, with that of the event.
        let decided = audit.filter(|row| !row.what.starts_with("action_"));
        Self {
            panes: panes.collect(),
            positions: positions.collect(),
            documents: waiting::in_order(documents),
            outbox: outbox.into_iter().map(|row| ((row.key, row.target), row.state)).collect(),
            pointers_waiting: store.refused_pending(usize::MAX, 0).expect("pointers").rows.len(),
            audit: decided.map(|row| (row.at, row.what, row.key, row.detail)).collect(),
        }
    }

    fn records(&self) -> Option<u64> {
        self.documents.get("core")?["law"]["read"].as_u64()
    }

    fn keys(&self) -> BTreeSet<(String, String)> {
        self.outbox.keys().cloned().collect()
    }
}

/// What identifies a request to its receiver.
fn identity(request: &Request) -> String {
    match request.header("idempotency-key") {
        "" => String::from_utf8_lossy(&request.body).into_owned(),
        key => key.to_owned(),
    }
}

/// How often each request arrived.
fn received(receiver: &Receiver, reader: &str, target: &str) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for request in receiver.requests_to(&format!("/{reader}/{target}")) {
        *times.entry(identity(&request)).or_default() += 1;
    }
    times
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a writable folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (path, into) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &into);
        } else {
            fs::copy(path, into).expect("a copy");
        }
    }
}

fn records() -> Vec<Produced> {
    let events = flights::shuffled(flights::events(at(4, 8, 0), at(4, 12, 16)), 20 * 60_000, 7);
    let mut records = flights::spread(events, 3, 7);
    for index in 0..30 {
        let value = Some(format!("broken {index}").into_bytes());
        records.insert(index * records.len() / 31, Produced { partition: 1, value });
    }
    records
}

fn pointers(kafka: &Kafka, reader: &str) -> Vec<Vec<u8>> {
    kafka.read_all(&format!("refused-{reader}")).into_iter().map(|pointer| pointer.value).collect()
}

#[test]
fn ten_kills_at_random_moments_lose_and_double_nothing() {
    let seed = std::env::var("ANCHORWATCH_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    eprintln!("ANCHORWATCH_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = Kafka::start();
    kafka.create_topic(TOPIC, 3);
    let receiver = Receiver::start();
    flights::register(&folder.path().join("calm/data"));
    copy(&folder.path().join("calm/data"), &folder.path().join("killed/data"));
    let calm = Reader::start("calm", folder.path(), &kafka, &receiver);
    let mut killed = Reader::start("killed", folder.path(), &kafka, &receiver);

    let records = records();
    let mut produced = 0;
    for chunk in records.chunks(records.len() / (KILLS + 2)).take(KILLS) {
        flights::produce(&kafka, TOPIC, chunk);
        let moment = rng.random_range(produced..=produced + chunk.len() as u64);
        produced += chunk.len() as u64;
        wait_until(PATIENCE, &format!("{moment} records to be read"), || {
            killed.read().is_some_and(|read| read >= moment)
        });
        let (mut looks, wanted) = (0, rng.random_range(0..=MOST_LOOKS));
        wait_until(PATIENCE, "a random moment", || {
            looks += 1;
            looks > wanted
        });
        killed.daemon.kill_9();
        killed.start_again();
    }

    // Asked to stop in the middle of the stream, it leaves nothing that was read behind.
    let rest = &records[usize::try_from(produced).expect("a count")..];
    flights::produce(&kafka, TOPIC, &rest[..rest.len() / 2]);
    let moment = produced + rest.len() as u64 / 4;
    wait_until(PATIENCE, "part of the rest", || killed.read().is_some_and(|read| read >= moment));
    let stopped = killed.daemon.terminate();
    assert_eq!(stopped.code(), Some(0), "{}", killed.daemon.stderr());
    let saved = Outcome::read(&killed.folder.join("data"));
    let positions: i64 = saved.positions.values().map(|(next, _, _)| *next).sum();
    assert_eq!(saved.records(), Some(positions.unsigned_abs()));
    assert!(saved.records().is_some_and(|read| read >= moment), "less was saved than had been read");
    killed.start_again();
    flights::produce(&kafka, TOPIC, &rest[rest.len() / 2..]);

    let (all, end) = (records.len() as u64, at(4, 12, 14));
    for reader in [&calm, &killed] {
        reader.settle(all, end);
    }
    let mut ended = Vec::new();
    for mut reader in [calm, killed] {
        assert_eq!(reader.daemon.terminate().code(), Some(0), "{}", reader.daemon.stderr());
        ended.push(Outcome::read(&reader.folder.join("data")));
    }
    compare(&ended[0], &ended[1], &records);
    compare_requests(&receiver);
    let own: BTreeSet<Vec<u8>> = pointers(&kafka, "calm").into_iter().collect();
    let after_kills: BTreeSet<Vec<u8>> = pointers(&kafka, "killed").into_iter().collect();
    assert_eq!(own.len(), 30, "pointers to refused records");
    assert!(own == after_kills, "other pointers after the kills");
    assert!(pointers(&kafka, "killed").len() <= 30 * (1 + KILLS));
}

fn compare(calm: &Outcome, killed: &Outcome, records: &[Produced]) {
    assert_eq!(killed.panes.keys().collect::<Vec<_>>(), calm.panes.keys().collect::<Vec<_>>());
    for (key, pane) in &calm.panes {
        assert_eq!(&killed.panes[key], pane, "counts of {key:?}");
    }
    assert_eq!(killed.positions, calm.positions);
    let law = &calm.documents["core"]["law"];
    let (read, counted) = (records.len(), records.len() - 30);
    assert_eq!(
        *law,
        json!({"read": read, "counted": counted, "late": 0, "future": 0, "unmatched": 0, "duplicate": 0,
                            "refused": {"not_json": 30}}),
        "L-1"
    );
    assert!(calm.documents.keys().any(|name| name.starts_with("alerts/")), "{:?}", calm.documents.keys());
    assert_eq!(killed.documents, calm.documents, "law, closing edge, events, plans, alert states, actions");
    assert_eq!(killed.keys(), calm.keys(), "what was decided");
    assert_eq!(killed.audit, calm.audit, "why it was decided");
    let targets: BTreeSet<String> = calm.keys().into_iter().map(|(_, target)| target).collect();
    assert_eq!(targets.into_iter().collect::<Vec<_>>(), ["pagerduty", "slack", "webhook"]);
}

/// Notifications arrive at least once, and no more often than there were ends. Actions are only recorded here: what
/// becomes of those that are sent is compared in tests/faults.
fn compare_requests(receiver: &Receiver) {
    for target in ["slack", "pagerduty", "webhook"] {
        let (calm, after_kills) = (received(receiver, "calm", target), received(receiver, "killed", target));
        assert_eq!(after_kills.keys().collect::<Vec<_>>(), calm.keys().collect::<Vec<_>>(), "{target}");
        assert!(after_kills.values().all(|times| *times <= 1 + KILLS), "{target}: {after_kills:?}");
    }
}
