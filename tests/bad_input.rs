//! Mistakes and mishaps as a new user meets them: each gives one clear message that says what to do, nothing crashes, and
//! every record stays accounted for.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use support::flights::{Produced, anchorwatch, produce, succeeds};
use support::{Daemon, Kafka, free_port, http, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
/// Noon of a day in the past.
const NOON: i64 = 1_700_049_600_000;
const MINUTE: i64 = 60_000;

/// A folder with a configuration, and what belongs to it.
struct Place {
    folder: TempDir,
    http: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, http: format!("127.0.0.1:{}", free_port()) }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a writable folder");
        path
    }

    /// A small configuration that reads `topic`.
    fn config(&self, bootstrap: &str, topic: &str) -> PathBuf {
        let config = json!({
            "data_dir": self.data(),
            "kafka": {"bootstrap": bootstrap, "topics": [topic], "group": topic},
            "windows": {"pane": "1m", "horizons": [{"length": "5m", "every": "1m"}], "min_rows": 100,
                        "lateness": "1m", "idle_after": "1h"},
            "monitor": {"untimed": "classical"},
            "http": {"listen": self.http},
            "checkpoint": {"every": "200ms", "on_corruption": "halt"},
        });
        self.file("anchorwatch.yaml", &config.to_string()) // JSON is YAML
    }

    /// Registers model `m` with a number `x`, a text `y` and a number `z`.
    fn register(&self) {
        let row = |i: i64| format!("{},{},{}\n", i % 50, letter(i), i % 7);
        let rows: String = (0..600).map(row).collect();
        let baseline = self.file("baseline.csv", &format!("x,y,z\n{rows}"));
        let (data, baseline) = (self.data().display().to_string(), baseline.display().to_string());
        let model = ["reference", "create", "--model", "m", "--version", "1.0.0"];
        succeeds(&[&["--data-dir", &data], &model[..], &["--from", &baseline]].concat());
    }

    fn daemon(&self, config: &Path) -> Daemon {
        Daemon::spawn(config, &self.http, &[])
    }
}

fn letter(i: i64) -> &'static str {
    ["a", "b", "c"][i as usize % 3]
}

fn event(model: &str, version: &str, i: i64) -> Value {
    json!({"model": model, "version": version, "ts": NOON + i * 1_000,
           "features": {"x": i % 50, "y": letter(i), "z": i % 7}})
}

fn send(kafka: &Kafka, topic: &str, events: impl IntoIterator<Item = Value>) {
    let record = |event: Value| Produced { partition: 0, value: Some(event.to_string().into_bytes()) };
    produce(kafka, topic, &events.into_iter().map(record).collect::<Vec<_>>());
}

fn law(daemon: &Daemon) -> Value {
    daemon.http_get("/api/v1/status").json()["law"].take()
}

/// Waits until so many records were read, checks L-1, and returns the law's counters.
#[track_caller]
fn wait_law(daemon: &Daemon, read: u64) -> Value {
    wait_until(PATIENCE, &format!("{read} records to be read"), || law(daemon)["read"] == read);
    let law = law(daemon);
    let refused: u64 = law["refused"].as_object().expect("reasons").values().filter_map(Value::as_u64).sum();
    let classes = ["counted", "late", "future", "unmatched", "duplicate"];
    let left = refused + classes.iter().filter_map(|class| law[class].as_u64()).sum::<u64>();
    assert_eq!(law["read"], left, "L-1: {law}");
    law
}

/// Lines of the log at level ERROR or WARN that contain this.
fn complaints(daemon: &Daemon, part: &str) -> usize {
    let log = daemon.stderr();
    let serious = |line: &&str| line.contains("\"ERROR\"") || line.contains("\"WARN\"");
    log.lines().filter(serious).filter(|line| line.contains(part)).count()
}

#[track_caller]
fn wait_complaint(daemon: &Daemon, part: &str) {
    wait_until(PATIENCE, &format!("a log line with `{part}`"), || complaints(daemon, part) > 0);
    assert_eq!(complaints(daemon, part), 1, "said more than once:\n{}", daemon.stderr());
    assert!(!daemon.stderr().contains("panicked"), "{}", daemon.stderr());
}

/// `anchorwatch run` fails with this exit code and one message with all of these parts.
#[track_caller]
fn fails(config: &Path, code: i32, parts: &[&str]) -> String {
    let Output { status, stderr, .. } = anchorwatch(&["run", &config.display().to_string()]);
    let told = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(code), "{told}");
    assert!(!told.contains("panicked"), "{told}");
    for part in parts {
        assert!(told.contains(part), "`{part}` is not in: {told}");
    }
    told
}

/// The same for failures with exit code 1, which are told in one line.
#[track_caller]
fn fails_in_one_line(config: &Path, parts: &[&str]) {
    let told = fails(config, 1, parts);
    assert_eq!(told.lines().filter(|line| line.starts_with("anchorwatch: ")).count(), 1, "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn a_daemon_that_starts_before_its_broker_waits_and_then_counts_everything() {
    let kafka = Kafka::start();
    let place = Place::new();
    kafka.create_topic("early", 1);
    send(&kafka, "early", (0..50).map(|i| event("m", "1.0.0", i)));
    place.register();
    kafka.stop();

    let config = place.config(kafka.bootstrap(), "early");
    let daemon = place.daemon(&config);
    wait_until(PATIENCE, "the daemon to say why it is not ready", || {
        let ready = http::get(&place.http, "/readyz").ok();
        ready.is_some_and(|answer| answer.status == 503 && answer.body.contains("kafka.bootstrap"))
    });
    wait_complaint(&daemon, "is the broker up and kafka.bootstrap right?");
    assert_eq!(daemon.http_get("/livez").status, 200, "waiting is no reason to be restarted");
    kafka.start_again();
    assert_eq!(wait_law(&daemon, 50)["counted"], 50);
    wait_until(PATIENCE, "the daemon to be ready", || daemon.http_get("/readyz").status == 200);
}

#[test]
fn a_topic_that_does_not_exist_is_named_and_read_from_its_first_record_once_it_does() {
    let kafka = Kafka::shared();
    let place = Place::new();
    place.register();
    let daemon = place.daemon(&place.config(kafka.bootstrap(), "misspelt"));
    wait_until(PATIENCE, "the missing topic to be named", || {
        let ready = http::get(&place.http, "/readyz").ok();
        ready.is_some_and(|answer| answer.status == 503 && answer.body.contains("kafka.topics: misspelt"))
    });
    wait_complaint(&daemon, "misspelt");
    kafka.create_topic("misspelt", 1);
    send(kafka, "misspelt", (0..40).map(|i| event("m", "1.0.0", i)));
    assert_eq!(wait_law(&daemon, 40)["counted"], 40);
}

#[test]
fn without_a_reference_every_event_is_refused_until_one_is_created() {
    let kafka = Kafka::shared();
    let place = Place::new();
    kafka.create_topic("bare", 1);
    let mut daemon = place.daemon(&place.config(kafka.bootstrap(), "bare"));
    daemon.wait_ready();
    wait_complaint(&daemon, "anchorwatch reference create");
    send(kafka, "bare", (0..30).map(|i| event("m", "1.0.0", i)));
    assert_eq!(wait_law(&daemon, 30)["refused"], json!({"unknown_model": 30}));

    place.register();
    wait_until(PATIENCE, "the running daemon to see the new reference", || {
        daemon.http_get("/api/v1/models").json()["total"] == 1
    });
    send(kafka, "bare", (30..50).map(|i| event("m", "1.0.0", i)));
    let law = wait_law(&daemon, 50);
    assert_eq!((&law["counted"], &law["refused"]["unknown_model"]), (&json!(20), &json!(30)));
}

#[test]
fn events_of_unknown_models_and_versions_are_refused_and_the_others_counted() {
    let kafka = Kafka::shared();
    let place = Place::new();
    place.register();
    kafka.create_topic("mixed", 1);
    let mut daemon = place.daemon(&place.config(kafka.bootstrap(), "mixed"));
    daemon.wait_ready();
    let events = (0..30).map(|i| match i % 3 {
        0 => event("m", "1.0.0", i),
        1 => event("somebody-else", "1.0.0", i),
        _ => event("m", "9.9.9", i),
    });
    send(kafka, "mixed", events);
    let law = wait_law(&daemon, 30);
    assert_eq!(law["counted"], 10);
    assert_eq!(law["refused"], json!({"unknown_model": 10, "unknown_version": 10}));
}

#[test]
fn events_of_another_schema_are_counted_and_alarm_as_a_data_fault() {
    let kafka = Kafka::shared();
    let place = Place::new();
    place.register();
    kafka.create_topic("foreign", 1);
    let mut daemon = place.daemon(&place.config(kafka.bootstrap(), "foreign"));
    daemon.wait_ready();
    // `x` is a text here, `z` is not sent, and nobody asked for `extra`.
    let foreign = |i: i64| {
        json!({"model": "m", "version": "1.0.0", "ts": NOON + i * 500,
               "features": {"x": "twelve", "y": letter(i), "extra": i}})
    };
    send(kafka, "foreign", (0..2_400).map(foreign));
    assert_eq!(wait_law(&daemon, 2_400)["counted"], 2_400);
    let end = NOON + 18 * MINUTE;
    let mut window = Value::Null;
    wait_until(PATIENCE, "the last window to be judged", || {
        window = daemon.http_get("/api/v1/windows?model=m").json()["items"][0].take();
        window["end"] == end
    });
    assert_eq!((&window["level"], &window["rows"]), (&json!("drift"), &json!(600)));
    let share = |column: &str, fault: &str| {
        let columns = window["columns"].as_array().expect("columns").iter();
        columns.clone().find(|found| found["column"] == column).map(|found| found[fault].clone())
    };
    assert_eq!(share("x", "wrong_type"), Some(json!(1.0)));
    assert_eq!(share("z", "missing"), Some(json!(1.0)));
    assert_eq!(share("y", "missing"), Some(json!(0.0)));
    let alerts = daemon.http_get("/api/v1/alerts?state=firing").json();
    let alerts = alerts["items"].as_array().expect("alerts");
    let mut found: Vec<(&str, &str)> = alerts
        .iter()
        .map(|alert| (alert["kind"].as_str().expect("a kind"), alert["column"].as_str().expect("a column")))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("data_fault", "x"), ("data_fault", "z")]);
    assert!(daemon.terminate().success(), "{}", daemon.stderr());
}

#[test]
fn a_broken_configuration_is_explained_all_at_once_with_places() {
    let place = Place::new();
    let config = place.file(
        "anchorwatch.yaml",
        "kafka: {bootstrap: 9092, topics: []}\nwindows: {pane: banana, min_rows: 0}\nsink: []\n\
         monitor: {detectors: {numeric: [kss]}}\n",
    );
    let told = fails(
        &config,
        64,
        &["kafka.bootstrap", "kafka.topics", "windows.pane", "windows.min_rows", "sinks", "`ks`"],
    );
    let places = ["kafka.bootstrap: ", "kafka.topics: ", "windows.pane: ", "windows.min_rows: ", "sink: "];
    for begin in places.into_iter().chain(["monitor.detectors.numeric[0]: "]) {
        assert_eq!(told.lines().filter(|line| line.starts_with(begin)).count(), 1, "`{begin}` in\n{told}");
    }
    assert_eq!(told.lines().count(), 6, "{told}");

    let torn = place.file("torn.yaml", "kafka:\n  topics: [a\n  bootstrap: b\n");
    let told = fails(&torn, 64, &["torn.yaml:", "not usable YAML"]);
    assert_eq!(told.lines().count(), 1, "{told}");
    fails(&place.folder.path().join("absent.yaml"), 64, &["absent.yaml", "anchorwatch check"]);
}

#[test]
fn a_port_that_is_taken_is_named_with_the_key_to_change() {
    let place = Place::new();
    let _taken = TcpListener::bind(&place.http).expect("a free port");
    let config = place.config("127.0.0.1:1", "any");
    fails_in_one_line(
        &config,
        &["cannot listen on", &place.http, "another process has the port", "http.listen"],
    );
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named_with_the_key_to_change() {
    let place = Place::new();
    // Below a file there is no folder, whoever asks.
    place.file("data", "a file");
    let config = place.config("127.0.0.1:1", "any");
    fails_in_one_line(&config, &["cannot use", "for the state file", "write access", "data_dir"]);
}

#[test]
fn a_damaged_state_file_is_told_with_the_way_out() {
    let place = Place::new();
    fs::create_dir_all(place.data()).expect("a writable folder");
    place.file("data/anchorwatch.db", &"this is no database ".repeat(400));
    let config = place.config("127.0.0.1:1", "any");
    fails_in_one_line(&config, &["anchorwatch.db", "is damaged", "backup", "count anew from Kafka"]);
}

#[test]
fn a_page_that_was_overwritten_is_noticed_at_the_start() {
    let place = Place::new();
    place.register();
    let file = place.data().join("anchorwatch.db");
    Connection::open(&file)
        .and_then(|db| db.pragma_update(None, "journal_mode", "DELETE"))
        .expect("one file");
    let mut bytes = fs::read(&file).expect("the state file");
    for page in 1..bytes.len() / 4_096 {
        bytes[page * 4_096..page * 4_096 + 64].fill(0xA5);
    }
    fs::write(&file, bytes).expect("writable");
    let config = place.config("127.0.0.1:1", "any");
    fails_in_one_line(&config, &["anchorwatch.db", "is damaged", "backup"]);
}

#[test]
fn the_state_of_a_newer_program_is_left_alone() {
    let place = Place::new();
    place.register();
    let file = place.data().join("anchorwatch.db");
    Connection::open(&file).and_then(|db| db.pragma_update(None, "user_version", 99)).expect("a version");
    let config = place.config("127.0.0.1:1", "any");
    fails_in_one_line(&config, &["schema 99", "newer than this program", "start the newer program"]);
}

#[test]
fn a_secret_that_is_not_there_is_named_by_its_place() {
    let place = Place::new();
    let config = json!({
        "data_dir": place.data(),
        "kafka": {"bootstrap": "127.0.0.1:1", "topics": ["any"]},
        "sinks": [{"name": "team", "type": "slack", "url": {"file": place.folder.path().join("absent")}}],
        "http": {"listen": place.http},
    });
    let config = place.file("anchorwatch.yaml", &config.to_string());
    let told = fails(&config, 64, &["sinks[0].url: ", "cannot be read", "absent"]);
    assert_eq!(told.trim_end().lines().count(), 1, "{told}");
}
