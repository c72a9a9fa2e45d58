//! The collector service of Evidently beside Anchorwatch: a half-full window and `kill -9`, what a window counts, and
//! whether senders wait while it is judged. `collector.py` drives the service and says what it saw.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::outcome::Outcome;
use crate::support::{Kafka, wait_until};
use crate::workload::{self, Planned};
use crate::world::World;
use crate::{Bar, PATIENCE, only_webhook};

/// Records that are sent one by one to see how long each takes.
const PROBES: usize = 100;

/// The version of Evidently, and the rows of the table.
pub(crate) fn bars() -> (String, Vec<Bar>) {
    let peer = drive();
    let text = |case: &str, field: &str| peer[case][field].to_string();
    let seconds = |field: &str| peer["waiting_posts"][field].as_f64().expect("seconds");
    let (lost, counted) = killed_in_the_middle();
    let (calm, busy) = waiting_senders();
    let version = peer["version"].as_str().expect("a version").to_owned();
    let bars = vec![
        Bar {
            what: "`kill -9` with a half-full window: accepted rows that no window counts".to_owned(),
            peer: format!("{} of {}", text("half_full_window", "lost"), text("half_full_window", "accepted")),
            ours: format!("{lost} of {counted}; every counter as without the kill"),
        },
        Bar {
            what: "what a window of \"10 rows\" counts".to_owned(),
            peer: format!(
                "POSTs: {} reports after one POST of 5,000 rows, the first one after the tenth POST, over {} rows",
                text("rows_or_posts", "reports_of_5000_rows_in_one_post"),
                text("rows_or_posts", "rows_of_the_report_at_the_tenth_post")
            ),
            ours: "event time; rows are counted one by one however they are sent".to_owned(),
        },
        Bar {
            what: "longest time to send one row: at rest, and while a window is judged".to_owned(),
            peer: format!("{:.2} s, {:.2} s", seconds("before_s"), seconds("during_s")),
            ours: format!("{:.2} s, {:.2} s (to Kafka)", calm.as_secs_f64(), busy.as_secs_f64()),
        },
    ];
    (version, bars)
}

fn drive() -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let python = cache().join("peers-collector/bin/python");
    assert!(python.exists(), "{} is missing: deploy/local/setup.sh peers installs it", python.display());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/reliability/collector.py");
    let output = Command::new(python).arg(script).arg(folder.path()).output().expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().last().expect(&complaint);
    serde_json::from_str(last).expect(&complaint)
}

/// Where `deploy/local/setup.sh` keeps what it installed.
fn cache() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    folder("ANCHORWATCH_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("anchorwatch")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/anchorwatch")))
        .expect("ANCHORWATCH_CACHE or HOME")
}

/// Reads these records, ended by `kill -9` after so many of them.
fn read_all(name: &str, records: &[Planned], killed_after: Option<usize>) -> Outcome {
    let mut world = World::new(name, Kafka::shared(), only_webhook);
    world.start();
    let (before, after) = records.split_at(killed_after.unwrap_or(0));
    world.produce(before);
    if killed_after.is_some() {
        world.wait_read(before.len());
        world.kill();
        world.start();
    }
    world.produce(after);
    world.settle();
    Outcome::read(&world.data())
}

/// Records that are lost by an end in the middle of a window, and how many there were.
fn killed_in_the_middle() -> (usize, usize) {
    let records = workload::stream();
    let calm = read_all("bench-calm", &records, None);
    let killed = read_all("bench-half", &records, Some(records.len() / 2));
    assert!(killed.panes == calm.panes, "counters differ after the kill");
    let read = usize::try_from(killed.records().expect("a count")).expect("a small count");
    (records.len() - read, records.len())
}

/// Longest time until Kafka has a record: without a daemon, and while one judges a backlog.
fn waiting_senders() -> (Duration, Duration) {
    let kafka = Kafka::shared();
    let mut world = World::new("bench-senders", kafka, only_webhook);
    let producer: BaseProducer = kafka.client().create().expect("a producer");
    let send = |topic: &str| {
        let begun = Instant::now();
        assert!(producer.send(BaseRecord::<(), str>::to(topic).partition(0).payload("{}")).is_ok());
        producer.flush(PATIENCE).expect("Kafka takes the record");
        begun.elapsed()
    };
    let topic = world.topic.clone();
    send(&topic); // the first one connects
    let calm = (0..PROBES).map(|_| send(&topic)).max().unwrap_or_default();
    world.produce(&workload::stream());
    world.start();
    let mut busy = Vec::new();
    let all = world.produced.len() as u64;
    wait_until(PATIENCE * 5, "the backlog to be read and judged", || {
        busy.push(send(&topic));
        world.read() >= Some(all + busy.len() as u64) && Outcome::read(&world.data()).is_judged()
    });
    (calm, busy.into_iter().max().unwrap_or_default())
}
