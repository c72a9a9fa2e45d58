//! Hostile input through a whole daemon on a real Kafka, beside one that reads the same stream undisturbed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::flights::{self, Produced, at};
use crate::support::{Daemon, Kafka, free_port, wait_until};

const PATIENCE: Duration = Duration::from_secs(180);
/// What the attack may cost a daemon beyond what the undisturbed one takes: its bound, and what allocators keep.
const MOST_GROWTH: usize = 64 << 20;

fn start(folder: &Path, kafka: &Kafka, topic: &str) -> Daemon {
    let http = format!("127.0.0.1:{}", free_port());
    let folder = folder.join(topic);
    flights::register(&folder.join("data"));
    let config = json!({
        "data_dir": folder.join("data"),
        "kafka": {"bootstrap": kafka.bootstrap(), "topics": [topic], "group": topic},
        "windows": {"pane": "1h", "horizons": [{"length": "6h", "every": "1h"}], "lateness": "1h", "idle_after": "1s", "min_rows": 150},
        "http": {"listen": http},
        "checkpoint": {"every": "300ms"},
    });
    let path = folder.join("anchorwatch.yaml"); // JSON is YAML
    fs::write(&path, config.to_string()).expect("a writable folder");
    let mut daemon = Daemon::spawn(&path, &http, &[]);
    daemon.wait_ready();
    daemon
}

fn attacks(i: usize) -> Vec<Vec<u8>> {
    let mut records = vec![
        format!(r#"{{"model":"unknown-{i}","version":"1.0.0","features":{{}}}}"#).into_bytes(),
        format!(r#"{{"model":"flights","version":"7.{i}.0","features":{{}}}}"#).into_bytes(),
        br#"{"model":"flights","version":"1.0.0","features":{"temp":1e999}}"#.to_vec(),
        b"\xff\xfe".to_vec(),
    ];
    if i.is_multiple_of(1_000) {
        let many: Vec<String> = (0..10_000).map(|i| format!(r#""f{i}":{i}"#)).collect();
        records.push(
            format!(r#"{{"model":"flights","version":"1.0.0","features":{{{}}}}}"#, many.join(","))
                .into_bytes(),
        );
        records.push("[".repeat(900_000).into_bytes());
        records.push(
            format!(r#"{{"model":"flights","version":"1.0.0","features":{{"{}":1}}}}"#, "k".repeat(900_000))
                .into_bytes(),
        );
    }
    records
}

/// The latest windows. Each daemon built its own reference, whose address tells when, and reads its own topic: both stand
/// in the command that explains a verdict.
fn windows(daemon: &Daemon) -> Value {
    let page = daemon.http_get("/api/v1/windows?model=flights&version=1.0.0&limit=100").json();
    let mut windows = page["items"].clone();
    for window in windows.as_array_mut().expect("items") {
        window["reference"] = Value::Null;
        for verdict in window["verdicts"].as_array_mut().into_iter().flatten() {
            if let Some(explained) = verdict.get_mut("explained").and_then(Value::as_object_mut) {
                explained.remove("command");
            }
        }
    }
    windows
}

#[test]
fn a_daemon_under_attack_judges_as_the_one_beside_it() {
    let (folder, kafka) = (tempfile::tempdir().expect("a folder"), Kafka::shared());
    let record = |value| Produced { partition: 0, value: Some(value) };
    let clean: Vec<Produced> =
        flights::events(at(7, 1, 0), at(7, 6, 0)).into_iter().map(|event| record(event.json)).collect();
    let mut hostile = Vec::new();
    for (i, event) in clean.iter().enumerate() {
        hostile.push(event.clone());
        hostile.extend(attacks(i).into_iter().map(record));
    }
    let mut ends = Vec::new();
    for (topic, records) in [("clean", &clean), ("hostile", &hostile)] {
        kafka.create_topic(topic, 1);
        flights::produce(kafka, topic, records);
        let daemon = start(folder.path(), kafka, topic);
        wait_until(PATIENCE, "everything to be read", || {
            daemon.metric("anchorwatch_records_read_total") == Some(records.len() as f64)
        });
        let counted = clean.len() as f64;
        assert_eq!(daemon.metric("anchorwatch_records_counted_total"), Some(counted));
        ends.push((daemon, records.len()));
    }
    let [(quiet, _), (loud, _)] = &ends[..] else { unreachable!("two daemons") };
    wait_until(PATIENCE, "both to judge the same", || {
        windows(quiet) != json!([]) && windows(quiet) == windows(loud)
    });
    let [one, other] = [quiet, loud].map(|daemon| resident(daemon.pid()));
    assert!(other <= one + MOST_GROWTH, "{} MiB beside {} MiB", other >> 20, one >> 20);
    let series = |daemon: &Daemon| daemon.http_get("/metrics").body.lines().count();
    assert!(series(loud) <= series(quiet) + 10, "{} lines beside {}", series(loud), series(quiet));
    let status = loud.http_get("/api/v1/status").json();
    assert_eq!(status["unknown"].as_array().map(Vec::len), Some(100));
}

/// Resident memory of a process in bytes.
fn resident(process: u32) -> usize {
    let text = fs::read_to_string(format!("/proc/{process}/statm")).expect("Linux");
    let pages: usize =
        text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4_096
}
