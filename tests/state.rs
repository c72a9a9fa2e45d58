//! The state file when things go wrong with it: damaged, put back from a copy, on a disk that is full. Counts end up
//! right or are known to be incomplete, never silently wrong.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anchorwatch::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use support::flights::{Produced, anchorwatch, produce, succeeds};
use support::{Daemon, Kafka, free_port, wait_until};

const PATIENCE: Duration = Duration::from_secs(90);
const MINUTE: i64 = 60_000;

struct Place {
    folder: TempDir,
    http: String,
    topic: &'static str,
    config: Value,
    /// Noon of the events: half an hour ago, so that a rebuild by time finds them.
    begin: i64,
}

impl Place {
    fn new(kafka: &Kafka, topic: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let http = format!("127.0.0.1:{}", free_port());
        kafka.create_topic(topic, 1);
        let config = json!({
            "data_dir": folder.path().join("data"),
            "kafka": {"bootstrap": kafka.bootstrap(), "topics": [topic], "group": topic, "statistics_every": "1s"},
            "windows": {"pane": "1m", "horizons": [{"length": "5m", "every": "1m"}], "min_rows": 10,
                        "lateness": "1m", "idle_after": "1h"},
            "http": {"listen": http},
            "checkpoint": {"every": "200ms"},
        });
        let begin = (anchorwatch::app::wall_clock() / MINUTE - 30) * MINUTE;
        let place = Self { folder, http, topic, config, begin };
        place.register();
        place
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn db(&self) -> PathBuf {
        self.data().join("anchorwatch.db")
    }

    fn register(&self) {
        let rows: String = (0..600).map(|i| format!("{}\n", i % 50)).collect();
        let baseline = self.folder.path().join("baseline.csv");
        fs::write(&baseline, format!("x\n{rows}")).expect("a writable folder");
        let (data, baseline) = (self.data().display().to_string(), baseline.display().to_string());
        let model = ["reference", "create", "--model", "m", "--version", "1.0.0"];
        succeeds(&[&["--data-dir", &data], &model[..], &["--from", &baseline]].concat());
    }

    fn config_file(&self) -> PathBuf {
        let path = self.folder.path().join("anchorwatch.yaml");
        fs::write(&path, self.config.to_string()).expect("a writable folder"); // JSON is YAML
        path
    }

    fn daemon(&self) -> Daemon {
        Daemon::spawn(&self.config_file(), &self.http, &[])
    }

    /// One event a second from the beginning on.
    fn send(&self, kafka: &Kafka, range: std::ops::Range<i64>) {
        let record = |i: i64| {
            let event = json!({"model": "m", "version": "1.0.0", "ts": self.begin + i * 1_000,
                               "features": {"x": i % 50}});
            Produced { partition: 0, value: Some(event.to_string().into_bytes()) }
        };
        produce(kafka, self.topic, &range.map(record).collect::<Vec<_>>());
    }

    /// Rows by pane, in minutes after the beginning.
    fn rows(&self) -> Vec<(i64, u64)> {
        let store = Store::open(&self.data()).expect("the state file");
        let registry = anchorwatch::registry::Registry::open(&self.data()).expect("the registry");
        let reference = registry.load_reference(&registry.list_references(None).expect("rows")[0].id);
        let len = reference.expect("a reference").live_layout().len();
        let panes = store.restore().expect("its content").panes.into_iter();
        panes
            .map(|row| {
                let counts =
                    anchorwatch_detectors::counts::decode_sparse(&row.counts.packed(), len).expect("counts");
                (row.pane - self.begin / MINUTE, counts[anchorwatch::reference::Layout::ROWS])
            })
            .collect()
    }

    fn audit(&self) -> Vec<String> {
        let store = Store::open(&self.data()).expect("the state file");
        store.audit(1_000).expect("rows").into_iter().map(|entry| entry.row.what).collect()
    }

    fn damage(&self) {
        let mut bytes = fs::read(self.db()).expect("the state file");
        for page in 1..bytes.len() / 4_096 {
            bytes[page * 4_096..page * 4_096 + 64].fill(0xA5);
        }
        fs::write(self.db(), bytes).expect("writable");
    }

    fn set_aside(&self) -> usize {
        let names = fs::read_dir(self.data()).expect("a folder").flatten().map(|entry| entry.file_name());
        let is_file =
            |name: &str| name.contains(".corrupt-") && !name.ends_with("-wal") && !name.ends_with("-shm");
        names.filter(|name| is_file(&name.to_string_lossy())).count()
    }
}

#[track_caller]
fn wait_read(daemon: &Daemon, read: u64) {
    wait_until(PATIENCE, &format!("{read} records to be read"), || {
        daemon.try_get("/api/v1/status").is_some_and(|answer| answer.json()["law"]["read"] == read)
    });
}

fn stop(daemon: &mut Daemon) {
    assert_eq!(daemon.terminate().code(), Some(0), "{}", daemon.stderr());
}

/// Rows that panes must have if nothing is missing.
fn full(minutes: std::ops::Range<i64>) -> Vec<(i64, u64)> {
    minutes.map(|minute| (minute, 60)).collect()
}

#[test]
fn a_damaged_state_is_set_aside_and_counted_anew_and_windows_before_it_are_not_trusted() {
    let kafka = Kafka::shared();
    let place = Place::new(kafka, "damaged");
    let mut daemon = place.daemon();
    daemon.wait_ready();
    place.send(kafka, 0..1_200);
    wait_read(&daemon, 1_200);
    wait_until(PATIENCE, "windows", || {
        daemon.http_get("/api/v1/windows?model=m").json()["items"][0]["end"] == place.begin + 18 * MINUTE
    });
    stop(&mut daemon);
    let before = place.rows();
    place.damage();
    let mut daemon = place.daemon();
    daemon.wait_ready();
    assert_eq!(place.set_aside(), 1, "the damaged file is kept");
    // The log holds everything, by the time of its records: it is counted again.
    wait_read(&daemon, 1_200);
    wait_until(PATIENCE, "windows", || {
        daemon.http_get("/api/v1/windows?model=m").json()["items"][0]["end"] == place.begin + 18 * MINUTE
    });
    let page = daemon.http_get("/api/v1/windows?model=m").json();
    assert_eq!(page["items"][0]["coverage"], 1.0, "windows that begin behind the first record are whole");
    stop(&mut daemon);
    let rows = place.rows();
    assert!(before.iter().all(|pane| rows.contains(pane)), "{before:?} {rows:?}");
    assert!(place.audit().contains(&"state_damaged".to_owned()));
}

#[test]
fn what_the_log_no_longer_holds_lowers_the_coverage_after_a_rebuild() {
    let kafka = Kafka::shared();
    let place = Place::new(kafka, "damaged-cut");
    let mut daemon = place.daemon();
    daemon.wait_ready();
    place.send(kafka, 0..600);
    wait_read(&daemon, 600);
    stop(&mut daemon);
    place.damage();
    kafka.delete_records("damaged-cut", 0, 400);
    place.send(kafka, 600..700);
    let mut daemon = place.daemon();
    // 300 of the records are left; the windows of the first minutes behind the loss say so.
    wait_read(&daemon, 300);
    wait_until(PATIENCE, "windows", || {
        daemon.http_get("/api/v1/windows?model=m").json()["items"][0]["end"] == place.begin + 10 * MINUTE
    });
    let window = daemon.http_get("/api/v1/windows?model=m").json()["items"][0].take();
    let coverage = window["coverage"].as_f64().expect("a coverage");
    assert!(coverage < 0.5 && window["level"] == "insufficient", "{window}");
    stop(&mut daemon);
}

#[test]
fn a_damaged_state_comes_back_from_the_newest_good_copy() {
    let kafka = Kafka::shared();
    let mut place = Place::new(kafka, "copied");
    let copies = place.folder.path().join("copies");
    place.config["checkpoint"]["backup"] = json!({"to": copies, "every": "1s", "keep": 2});
    let mut daemon = place.daemon();
    daemon.wait_ready();
    place.send(kafka, 0..600);
    wait_read(&daemon, 600);
    wait_until(PATIENCE, "a copy", || {
        daemon.metric("anchorwatch_backups_total{outcome=\"made\"}").is_some_and(|made| made >= 3.0)
    });
    stop(&mut daemon);
    let count = fs::read_dir(&copies)
        .expect("a folder")
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json"));
    assert_eq!(count.count(), 2, "old copies are dropped");
    place.config["checkpoint"]["backup"]["every"] = json!("1h");
    let mut daemon = place.daemon();
    place.send(kafka, 600..900);
    wait_read(&daemon, 900);
    stop(&mut daemon);
    let before = place.rows();
    assert_eq!(before.iter().map(|(_, rows)| rows).sum::<u64>() % 60, 0, "whole minutes: {before:?}");
    place.damage();
    let mut daemon = place.daemon();
    wait_read(&daemon, 900);
    stop(&mut daemon);
    assert_eq!(place.rows(), before, "what came after the copy was read again");
    assert!(place.audit().contains(&"state_damaged".to_owned()));
}

#[test]
fn orders_of_people_survive_a_rebuild_and_where_they_cannot_be_read_actions_start_suspended() {
    let kafka = Kafka::shared();
    let mut place = Place::new(kafka, "orders");
    place.config["actions"] =
        json!([{"name": "retrain", "kind": "retrain", "url": "http://127.0.0.1:1/", "on": ["drift"]}]);
    let mut daemon = place.daemon();
    daemon.wait_ready();
    place.send(kafka, 0..300);
    wait_read(&daemon, 300);
    let url = format!("http://{}", place.http);
    succeeds(&["actions", "--url", &url, "suspend", "--reason", "a freeze"]);
    let silence = ["alerts", "silence", "add", "model=m", "--for", "300d", "--comment", "a known incident"];
    succeeds(&[&silence[..], &["--url", &url]].concat());
    stop(&mut daemon);
    // One rotten value: everything is counted anew, and the orders hold.
    let file = rusqlite::Connection::open(place.db()).expect("the state file");
    assert_eq!(file.execute("UPDATE position SET max_event_time = 77", []), Ok(1));
    drop(file);
    let suspended = |daemon: &Daemon| {
        daemon.http_get("/api/v1/status").json()["actions_suspended"].as_str().unwrap_or_default().to_owned()
    };
    let mut daemon = place.daemon();
    daemon.wait_ready();
    wait_read(&daemon, 300);
    assert_eq!((place.set_aside(), suspended(&daemon)), (1, "a freeze (by local)".to_owned()));
    let silences = daemon.http_get("/api/v1/silences").json();
    assert_eq!(silences["items"][0]["comment"], "a known incident", "{silences}");
    succeeds(&["actions", "--url", &url, "resume"]);
    stop(&mut daemon);
    // Nothing can be read: somebody may have suspended them.
    place.damage();
    let mut daemon = place.daemon();
    daemon.wait_ready();
    wait_until(PATIENCE, "the suspension to be shown", || {
        suspended(&daemon).contains("orders of people were lost")
    });
    succeeds(&["actions", "--url", &url, "resume"]);
    stop(&mut daemon);
    let mut daemon = place.daemon();
    daemon.wait_ready();
    assert_eq!(suspended(&daemon), "", "a person resumed them");
    stop(&mut daemon);
}

#[test]
fn a_person_can_decide_instead() {
    let kafka = Kafka::shared();
    let mut place = Place::new(kafka, "halting");
    place.config["checkpoint"]["on_corruption"] = json!("halt");
    place.damage();
    let mut daemon = place.daemon();
    assert_eq!(daemon.wait().code(), Some(1));
    assert!(daemon.stderr().contains("is damaged"), "{}", daemon.stderr());
    assert_eq!(place.set_aside(), 0);
}

#[test]
fn backup_and_restore_carry_the_state_to_another_folder_and_never_overwrite_one_unasked() {
    let kafka = Kafka::shared();
    let mut place = Place::new(kafka, "moved");
    let mut daemon = place.daemon();
    daemon.wait_ready();
    place.send(kafka, 0..600);
    wait_read(&daemon, 600);
    let copies = place.folder.path().join("copies").display().to_string();
    let data = place.data().display().to_string();
    wait_until(PATIENCE, "a copy of everything", || {
        succeeds(&["--data-dir", &data, "backup", "--to", &copies]).contains("counted up to offset 600")
    });
    let refused = anchorwatch(&["--data-dir", &data, "restore", "--from", &copies]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another daemon"), "it runs");
    stop(&mut daemon);
    let refused = anchorwatch(&["--data-dir", &data, "restore", "--from", &copies]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--force"), "{refused:?}");

    let elsewhere = place.folder.path().join("elsewhere");
    let told = succeeds(&[
        "--data-dir",
        &elsewhere.display().to_string(),
        "restore",
        "--from",
        &format!("file://{copies}"),
    ]);
    assert!(told.contains("restored"), "{told}");
    place.send(kafka, 600..900);
    place.config["data_dir"] = json!(elsewhere);
    let mut daemon = place.daemon();
    wait_read(&daemon, 900);
    stop(&mut daemon);
    let mut moved = Place { config: place.config.clone(), ..place };
    fs::rename(moved.data(), moved.folder.path().join("old")).expect("renamed");
    fs::rename(&elsewhere, moved.data()).expect("renamed");
    moved.config["data_dir"] = json!(moved.data());
    let rows = moved.rows();
    assert!(full(7..15).iter().all(|pane| rows.contains(pane)), "{rows:?}");

    let copy = fs::read_dir(&copies).expect("a folder").flatten().map(|entry| entry.path());
    let copy = copy.filter(|path| path.extension().is_some_and(|extension| extension == "db")).max();
    let copy = copy.expect("a copy");
    let mut bytes = fs::read(&copy).expect("readable");
    bytes[5_000] ^= 1;
    fs::write(&copy, bytes).expect("writable");
    let empty = moved.folder.path().join("empty").display().to_string();
    for manifest in fs::read_dir(&copies).expect("a folder").flatten().map(|entry| entry.path()) {
        // Only the damaged copy is left.
        if manifest.extension().is_some_and(|extension| extension == "json")
            && manifest.with_extension("db") != copy
        {
            fs::remove_file(manifest).expect("removable");
        }
    }
    let refused = anchorwatch(&["--data-dir", &empty, "restore", "--from", &copies]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("damaged"), "{told}");
}

/// Bounds the files that a running process may write, as a full disk would; 0 lifts the bound.
fn bound_files(daemon: &Daemon, bytes: u64) {
    let limit = if bytes == 0 { "unlimited".to_owned() } else { bytes.to_string() };
    let set = Command::new("prlimit")
        .args(["--pid", &daemon.pid().to_string(), &format!("--fsize={limit}:unlimited")])
        .status();
    assert!(set.is_ok_and(|status| status.success()), "prlimit of util-linux is needed");
}

#[test]
fn a_full_disk_pauses_reading_and_nothing_is_lost_when_there_is_room_again() {
    let kafka = Kafka::shared();
    let place = Place::new(kafka, "full");
    let config = place.config_file();
    // A write beyond the bound is to fail, not to end the process; its log is not a file of its own.
    let script = format!(
        "trap '' XFSZ; exec 2> >(cat >&2); exec '{}' run '{}'",
        env!("CARGO_BIN_EXE_anchorwatch"),
        config.display()
    );
    let mut daemon = Daemon::launch(Command::new("bash").args(["-c", &script]), &place.http);
    daemon.wait_ready();
    place.send(kafka, 0..300);
    wait_read(&daemon, 300);
    wait_until(PATIENCE, "a checkpoint", || {
        Store::open(&place.data())
            .and_then(|store| store.restore())
            .is_ok_and(|state| state.positions.first().is_some_and(|position| position.next_offset == 300))
    });
    bound_files(&daemon, 4_096);
    place.send(kafka, 300..600);
    wait_until(PATIENCE, "the disk to be full", || daemon.metric("anchorwatch_state_writable") == Some(0.0));
    wait_until(PATIENCE, "the reason not to be ready", || {
        let ready = daemon.http_get("/readyz");
        ready.status == 503 && ready.body.contains("cannot be written")
    });
    assert_eq!(daemon.http_get("/livez").status, 200, "a restart would not make room");
    // Paused: nothing more is taken from Kafka, while the API answers.
    place.send(kafka, 600..900);
    let read = || daemon.http_get("/api/v1/status").json()["law"]["read"].as_u64();
    let paused_at = read();
    let mut looks = 0;
    wait_until(PATIENCE, "a while", || {
        looks += 1;
        looks > 50
    });
    assert_eq!(read(), paused_at);
    bound_files(&daemon, 0);
    wait_read(&daemon, 900);
    wait_until(PATIENCE, "the state to be written", || {
        daemon.metric("anchorwatch_state_writable") == Some(1.0)
    });
    stop(&mut daemon);
    let rows = place.rows();
    assert!(full(8..15).iter().all(|pane| rows.contains(pane)), "{rows:?}");
    let state = Store::open(&place.data()).and_then(|store| store.restore()).expect("the state file");
    let core: Value = serde_json::from_str(&state.documents["core"]).expect("JSON");
    assert_eq!((&core["law"]["read"], &core["law"]["counted"]), (&json!(900), &json!(900)));
}
