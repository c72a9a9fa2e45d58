//! Records made from a seed: several models, Zipf-distributed, and everything that can be wrong with a stream.
#![allow(dead_code, reason = "the tests of faults use all of it, the bench beside Alertmanager a part")]

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::support::flights::succeeds;
use crate::world::Broker;

/// Partitions of every topic of the tests.
pub(crate) const PARTITIONS: i32 = 3;
/// Models that are watched.
pub(crate) const MODELS: usize = 4;
/// Features of each.
const FEATURES: usize = 8;
/// First event time: 2026-01-05 00:00 UTC.
pub(crate) const BEGIN: i64 = 1_767_571_200_000;
/// Event time between two records.
const STEP: i64 = 1_000;
const MINUTE: i64 = 60_000;
/// Never to be seen outside the records: a raw value of a feature.
pub(crate) const RAW_CANARY: &str = "canary-raw-5b1d2f";
const SEGMENTS: [&str; 3] = ["north", "south", "west"];

/// A record to be produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) partition: i32,
    pub(crate) timestamp: i64,
    pub(crate) value: Option<Vec<u8>>,
}

/// The seed of this run: `ANCHORWATCH_SEED`, or a new one, which is printed.
pub(crate) fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let given = std::env::var("ANCHORWATCH_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| rand::random_range(0..1_000_000));
        eprintln!("ANCHORWATCH_SEED={seed}");
        seed
    })
}

/// Says how to run a test again when it has failed.
pub(crate) struct Replay;

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let form = std::env::var("ANCHORWATCH_FAULTS")
                .map_or_else(|_| String::new(), |form| format!("ANCHORWATCH_FAULTS={form} "));
            // One at a time, tests run on the main thread: then what was asked for is run again.
            let asked = || std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
            let thread = std::thread::current();
            let test = thread.name().filter(|name| *name != "main").map_or_else(asked, str::to_owned);
            let seed = seed();
            eprintln!(
                "replay: {form}ANCHORWATCH_SEED={seed} cargo test --features failpoints --test faults {test} -- --nocapture"
            );
        }
    }
}

/// Random numbers of a case: the same for the same seed.
pub(crate) fn rng(case: &str) -> StdRng {
    let mixed = case.bytes().fold(seed(), |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
    StdRng::seed_from_u64(mixed)
}

/// Index below `n` with weights 1, 1/2, 1/3, …
fn zipf(rng: &mut StdRng, n: usize) -> usize {
    let total: f64 = (1..=n).map(|k| 1.0 / k as f64).sum();
    let mut left = rng.random_range(0.0..total);
    for k in 0..n {
        left -= 1.0 / (k + 1) as f64;
        if left < 0.0 {
            return k;
        }
    }
    n - 1
}

fn normal(rng: &mut StdRng) -> f64 {
    (0..6).map(|_| rng.random_range(-1.0..1.0)).sum()
}

fn features(rng: &mut StdRng, moved: f64) -> Map<String, Value> {
    let mut features = Map::new();
    for index in 0..FEATURES {
        let value = match index % 4 {
            0 | 1 => json!(normal(rng) * 10.0 + moved * 8.0),
            2 => json!(format!("c{}", zipf(rng, 12))),
            _ => json!(rng.random_bool(0.3 + moved * 0.3)),
        };
        features.insert(format!("f{index}"), value);
    }
    features
}

/// Rows of a baseline, one JSON object a line.
fn baseline(model: usize) -> String {
    let mut rng = StdRng::seed_from_u64(model as u64);
    let mut lines = String::new();
    for row in 0..3_000_i64 {
        let mut fields = features(&mut rng, 0.0);
        fields.insert("ts".into(), json!(BEGIN - (3_000 - row) * 20_000));
        fields.insert("score".into(), json!(rng.random_range(0.0..1.0)));
        fields.insert("prediction".into(), json!(if rng.random_bool(0.4) { "yes" } else { "no" }));
        fields.insert("label".into(), json!(if rng.random_bool(0.4) { "yes" } else { "no" }));
        fields.insert("latency_ms".into(), json!(rng.random_range(1.0..40.0)));
        fields.insert("region".into(), json!(SEGMENTS[zipf(&mut rng, 3)]));
        lines.push_str(&Value::Object(fields).to_string());
        lines.push('\n');
    }
    lines
}

/// A data folder in which every model is registered; made once, to be copied.
pub(crate) fn registered() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for model in 0..MODELS {
            let rows = folder.path().join(format!("m{model}.jsonl"));
            fs::write(&rows, baseline(model)).expect("a writable folder");
            register(&folder.path().join("data"), &format!("m{model}"), &rows);
        }
        folder
    });
    Box::leak(Box::new(folder.path().join("data")))
}

fn register(data: &Path, model: &str, rows: &Path) {
    let (data, rows) = (data.display().to_string(), rows.display().to_string());
    // The earlier version is what a rollback returns to.
    for version in ["0.9.0", "1.0.0"] {
        let name = ["--data-dir", &data, "reference", "create", "--model", model, "--version", version];
        let how = ["--from", &rows, "--segment-by", "region", "--ignore", "region", "--window", "15m"];
        succeeds(&[&name[..], &how].concat());
        succeeds(&["--data-dir", &data, "model", "promote", model, version]);
    }
}

/// One event at its time; models drift in the middle third of `[0, count)`.
fn event(rng: &mut StdRng, index: usize, count: usize, ts: i64) -> Value {
    let model = zipf(rng, MODELS);
    let drifts = (count / 3..count * 2 / 3).contains(&index) && model < 2;
    let mut fields = features(rng, if drifts { 1.0 } else { 0.0 });
    match rng.random_range(0..200) {
        0 => _ = fields.remove("f0"),
        1 => _ = fields.insert("f0".into(), json!("no number")),
        2 => _ = fields.insert("f2".into(), json!(RAW_CANARY)),
        3 => _ = fields.insert("f1".into(), Value::Null),
        4 => _ = fields.insert("f4".into(), json!([1, {"a": 2}])),
        5 => _ = fields.insert("unheard_of".into(), json!(1)),
        _ => {}
    }
    if rng.random_bool(0.03) {
        return json!({"model": format!("m{model}"), "ts": ts, "label": if rng.random_bool(0.4) {"yes"} else {"no"}});
    }
    json!({
        "id": format!("r{index}"), "model": format!("m{model}"), "version": "1.0.0", "ts": ts, "features": fields,
        "prediction": {"label": if rng.random_bool(0.4) {"yes"} else {"no"}, "score": rng.random_range(0.0..1.0)},
        "latency_ms": rng.random_range(1.0..40.0), "segment": {"region": SEGMENTS[zipf(rng, 3)]},
    })
}

/// A record that is no event, each kind with one fault.
fn poison(rng: &mut StdRng, ts: i64) -> Vec<u8> {
    let text = match rng.random_range(0..12) {
        0 => return (0..rng.random_range(2..300)).map(|_| rng.random_range(0x80..=0xff)).collect(),
        1 => "{\"model\":\"m0\",".to_owned(),
        2 => format!("{{\"model\":\"m0\",\"version\":\"1.0.0\",\"ts\":{ts},\"features\":{{\"f0\":NaN}}}}"),
        3 => "[1,2,3]".to_owned(),
        4 => format!("{{\"x\":{}{}}}", "[".repeat(60), "]".repeat(60)),
        5 => format!(
            "{{\"model\":\"m0\",\"version\":\"1.0.0\",\"ts\":{ts},\"features\":{{\"f0\":1,\"f0\":2}}}}"
        ),
        6 => json!({"model": "m0", "version": "1.0.0", "ts": "yesterday", "features": {}}).to_string(),
        7 => json!({"model": "m0", "version": "1.0.0", "ts": ts}).to_string(),
        8 => json!({"model": "m0", "version": "7.7.7", "ts": ts, "features": {}}).to_string(),
        9 => json!({"model": "nobody", "version": "1.0.0", "ts": ts, "features": {}}).to_string(),
        10 => {
            json!({"model": "m0", "version": "1.0.0", "ts": ts, "features": {"x".repeat(300): 1}}).to_string()
        }
        _ => json!({"model": "m0", "version": "1.0.0", "ts": ts, "features": 7}).to_string(),
    };
    text.into_bytes()
}

/// The stream of the short cases: one for all, so that one undisturbed run is enough to compare them with.
pub(crate) fn stream() -> Vec<Planned> {
    records(8_000, 2)
}

/// `count` records and a little more, in the order in which they are to be produced; `poisoned` of 1,000 are no events.
pub(crate) fn records(count: usize, poisoned: u32) -> Vec<Planned> {
    let mut rng = rng("workload");
    let mut planned: Vec<Planned> = Vec::with_capacity(count + count / 50);
    for index in 0..count {
        let on_time = BEGIN + index as i64 * STEP;
        let ts = match rng.random_range(0..1_000) {
            0..50 => on_time - rng.random_range(0..2 * MINUTE),
            50..55 => on_time - rng.random_range(4 * MINUTE..60 * MINUTE),
            55 => 4_102_444_800_000,
            _ => on_time,
        };
        let value = match rng.random_range(0..1_000) {
            999 => None,
            chance if chance < poisoned => Some(poison(&mut rng, ts)),
            _ => Some(event(&mut rng, index, count, ts).to_string().into_bytes()),
        };
        let partition = rng.random_range(0..PARTITIONS);
        let record = Planned { partition, timestamp: on_time, value };
        planned.push(record.clone());
        if rng.random_bool(0.01) {
            let partition = rng.random_range(0..PARTITIONS);
            planned.push(Planned { partition, ..record });
        }
    }
    planned
}

/// Produces in this order, exactly once, and waits until the broker has everything.
pub(crate) fn produce(broker: &dyn Broker, topic: &str, records: &[Planned]) {
    let mut settings = broker.client();
    settings.set("enable.idempotence", "true").set("linger.ms", "5").set("message.timeout.ms", "120000");
    let producer: rdkafka::producer::ThreadedProducer<_> = settings.create().expect("a producer");
    for Planned { partition, timestamp, value } in records {
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(*partition).timestamp(*timestamp);
        record.payload = value.as_deref();
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            producer.flush(std::time::Duration::from_secs(10)).expect("Kafka takes the records");
            record = back;
        }
    }
    producer.flush(std::time::Duration::from_secs(120)).expect("Kafka takes the records");
}
