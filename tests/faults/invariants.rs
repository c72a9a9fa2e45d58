//! What must hold after every fault, whatever it was: I1 to I6, in one place.
//!
//! * I1: every counter equals the recount of all records by `oracle.py`; so do the law, the positions, the refusals.
//! * I2: what was decided is what an undisturbed daemon decides; every notification arrives, no more often than once
//!   and once more for each crash and each scripted failure; a standstill breaks off what is under way to a target.
//! * I3: an action is asked for at most once.
//! * I4: memory stays below the bound.
//! * I5: positions only move forward (checked at every end of the process, see `world.rs`).
//! * I6: no secret and no raw value in any file, log or request.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anchorwatch::config::default_concurrency;
use anchorwatch::registry::Registry;
use base64::Engine as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::outcome::Outcome;
use crate::support::{Request, wait_for};
use crate::workload::{Planned, RAW_CANARY};
use crate::world::{Broker, MEMORY_MAX_KIB, PATIENCE, SECRET_CANARIES, World};

/// I4: what the daemon may use, in KiB: `memory.max` and the third that a container has more …
const MEMORY_BOUND_KIB: u64 = MEMORY_MAX_KIB * 4 / 3;
/// … but of short streams no more than the program itself, built with symbols, and the panes of so many records, in KiB.
const MEMORY_OF_PROGRAM_KIB: u64 = 400 * 1024;
const MEMORY_PER_RECORD_KIB: u64 = 8;

/// Checks everything; the daemon is to be settled. Returns what the oracle said.
pub(crate) fn check(world: &mut World<'_>) -> Value {
    let counted = recount(world);
    let outcome = Outcome::read(&world.data());
    let calm = undisturbed(world);
    same_decisions(&outcome, &calm);
    arrived(world, &outcome);
    actions_once(world, &outcome);
    let short = MEMORY_OF_PROGRAM_KIB + world.produced.len() as u64 * MEMORY_PER_RECORD_KIB;
    let bound = short.min(MEMORY_BOUND_KIB);
    assert!(world.peak_rss_kib <= bound, "I4: {} of {bound} KiB", world.peak_rss_kib);
    no_canary(world);
    counted
}

/// I1 alone, for cases in which something else is allowed to differ.
pub(crate) fn recount(world: &World<'_>) -> Value {
    let records = world.folder().join("records.jsonl");
    dump(world.broker, &world.topic, world.partitions, &records);
    let said = oracle(world, &world.data(), &records);
    assert_eq!(said["differences"], json!(0), "I1: {}", said["wrong"]);
    said
}

/// Runs the oracle on a state folder of this world and a list of records.
pub(crate) fn oracle(world: &World<'_>, data: &Path, records: &Path) -> Value {
    let folder = world.folder();
    let references = folder.join("references.json");
    fs::write(&references, references_of(data).to_string()).expect("a writable folder");
    let job = folder.join("job.json");
    let minute = 60_000;
    // What `WindowSettings::blocks` says of the windows of a `World`: after so many panes, so many together.
    let settings = json!({
        "pane_ms": minute, "lateness": 2 * minute, "correction": 0, "max_ahead": 5 * minute,
        "kept_panes": 26 * 60, "blocks": [[16, 120]], "now": anchorwatch::app::wall_clock(), "segment_field": "region", "max_segments": 50,
        "max_bytes": 1 << 20, "max_features": 1024, "max_depth": 16, "dedup": world.dedup,
    });
    let state = data.join("anchorwatch.db");
    let asked = json!({"records": records, "state": state, "references": references, "settings": settings});
    fs::write(&job, asked.to_string()).expect("a writable folder");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/oracle.py");
    let output = Command::new("python3").arg(program).arg(&job).output().expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&said)
        .unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
}

fn references_of(data: &Path) -> Value {
    let registry = Registry::open(data).expect("the registry");
    let mut models: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for entry in registry.active().expect("active references") {
        let reference = registry.load_reference(entry.reference_id.as_str()).expect("a reference");
        let described = json!({"id": entry.reference_id.as_str(), "columns": reference.columns, "joint": reference.joint,
                               "takes_feedback": entry.version == "1.0.0"});
        models.entry(entry.model).or_default().insert(entry.version, described);
    }
    json!(models)
}

/// Writes every record of a topic, one JSON object a line.
pub(crate) fn dump(broker: &dyn Broker, topic: &str, partitions: i32, path: &Path) {
    let consumer: BaseConsumer = broker.client().set("group.id", "oracle").create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    let mut count = 0;
    for partition in 0..partitions {
        let look = || consumer.fetch_watermarks(topic, partition, std::time::Duration::from_secs(10)).ok();
        let (first, next) = wait_for(PATIENCE, "the ends of the topic", look);
        count += next - first;
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&list).expect("an assignment");
    let mut file = std::io::BufWriter::new(fs::File::create(path).expect("a writable folder"));
    for _ in 0..count {
        let line = wait_for(PATIENCE, "all records", || {
            let record = consumer.poll(std::time::Duration::from_millis(500))?.ok()?;
            let payload =
                record.payload().map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes));
            Some(json!({"topic": topic, "partition": record.partition(), "offset": record.offset(),
                        "timestamp": record.timestamp().to_millis(), "payload": payload}))
        });
        writeln!(file, "{line}").expect("a writable folder");
    }
}

/// What an undisturbed daemon makes of the same records; found out once per list of records.
fn undisturbed(world: &World<'_>) -> Outcome {
    type Known = std::sync::Mutex<Vec<(Vec<Planned>, Option<u32>, Outcome)>>;
    let (records, dedup) = (&world.produced, world.dedup);
    static KNOWN: OnceLock<Known> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Default::default).lock().expect("no case failed here");
    if let Some((.., outcome)) = known.iter().find(|(list, reach, _)| list == records && *reach == dedup) {
        return outcome.clone();
    }
    let mut calm = World::new("calm", world.broker, |config| {
        if let Some(reach) = dedup {
            World::know_duplicates(config, reach);
        }
    });
    calm.start();
    calm.produce(records);
    calm.settle();
    calm.stop();
    let outcome = Outcome::read(&calm.data());
    recount(&calm);
    assert!(outcome.outbox.len() > 4, "the workload is to cause alerts and actions: {:?}", outcome.outbox);
    known.push((records.clone(), dedup, outcome.clone()));
    outcome
}

/// I2, first half.
fn same_decisions(outcome: &Outcome, calm: &Outcome) {
    assert_eq!(outcome.panes.len(), calm.panes.len());
    for (key, pane) in &calm.panes {
        assert_eq!(outcome.panes.get(key), Some(pane), "counts of {key:?}");
    }
    assert_eq!(outcome.positions, calm.positions);
    for (name, document) in &calm.documents {
        let ours = outcome.documents.get(name).map(without_unknown_actions);
        assert_eq!(ours, Some(without_unknown_actions(document)), "document {name}");
    }
    let (ours, theirs) = (outcome.keys(), calm.keys());
    let lost: Vec<_> = theirs.difference(&ours).collect();
    let made_up: Vec<_> = ours.difference(&theirs).collect();
    assert!(lost.is_empty() && made_up.is_empty(), "I2: lost {lost:?}, made up {made_up:?}");
    assert_eq!(outcome.audit, calm.audit, "why it was decided");
}

/// Troubles as they would be if no end had come in the midst of an action's request.
fn without_unknown_actions(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(Value::Array(open)) = document.get_mut("open") {
        open.retain(|trouble| trouble[0][0] != "action_unknown");
    }
    document
}

/// What identifies a request to its receiver.
pub(crate) fn identity(request: &Request) -> String {
    match request.header("idempotency-key") {
        "" => String::from_utf8_lossy(&request.body).into_owned(),
        key => key.to_owned(),
    }
}

/// How often each request arrived at a path.
pub(crate) fn received(world: &World<'_>, target: &str) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for request in world.receiver.requests_to(&format!("/{target}")) {
        *times.entry(identity(&request)).or_default() += 1;
    }
    times
}

/// I2, second half. Slack and PagerDuty are told without a key, and two notifications may have the same text: there the
/// number counts.
fn arrived(world: &World<'_>, outcome: &Outcome) {
    let most = 1 + world.crashes + world.scripted;
    let decided = outcome.outbox.keys().filter(|(_, to)| to == "webhook");
    let wanted: BTreeSet<&str> = decided.map(|(key, _)| key.as_str()).collect();
    let told = world.receiver.requests_to("/webhook");
    let surplus: BTreeMap<String, Value> = told
        .iter()
        .map(|request| (identity(request), request.json()["data"]["kind"].take()))
        .filter(|(key, _)| !wanted.contains(key.as_str()))
        .collect();
    // What an action or the daemon itself was said to do before an older state was put back depends on the moment.
    let forgotten = world.put_back > 0 && surplus.values().all(|kind| kind == "operation");
    assert!(surplus.is_empty() || forgotten, "I2: keys at the webhook that nobody decided: {surplus:?}");
    for target in ["slack", "pagerduty"] {
        let decided = outcome.outbox.keys().filter(|(_, to)| to == target).count();
        let times = received(world, target);
        let told: usize = times.values().sum();
        let all = decided + surplus.len();
        assert!(times.len() <= all && told >= decided, "I2: {target} was told {told} of {decided} times");
        let bound = all * most + world.standstills * default_concurrency();
        assert!(told <= bound, "I2: {target} was told {told} times, not {decided} to {bound}");
    }
    let times = received(world, "webhook");
    let most = most + world.standstills;
    assert!(times.values().all(|count| *count <= most), "I2: more than {most} times: {times:?}");
    let lost: Vec<_> = wanted.iter().filter(|key| !times.contains_key(**key)).collect();
    assert!(lost.is_empty(), "I2: keys that the webhook never saw: {lost:?}");
}

/// I3; a state that was put back has forgotten what it asked for since.
pub(crate) fn actions_once(world: &World<'_>, outcome: &Outcome) {
    let most = 1 + world.put_back;
    for action in ["retrain", "rollback"] {
        let times = received(world, action);
        for ((key, _), row) in outcome.outbox.iter().filter(|((_, target), _)| target == action) {
            let asked = times.get(key).copied().unwrap_or_default();
            let fits = if row.state == "delivered" { (1..=most).contains(&asked) } else { asked <= most };
            assert!(fits, "I3: {action} {key} is {} and was asked for {asked} times", row.state);
        }
        let known = |key: &String| outcome.outbox.contains_key(&(key.clone(), action.to_owned()));
        // What is held because another is not over depends on the moment: the older state may decide on others.
        let forgotten = |times: usize| world.put_back > 0 && times == 1;
        let decided = times.iter().all(|(key, times)| known(key) || forgotten(*times));
        assert!(decided, "I3: an action that nobody decided: {times:?}");
    }
}

/// I6.
fn no_canary(world: &World<'_>) {
    let canaries: Vec<&str> = SECRET_CANARIES.into_iter().chain([RAW_CANARY]).collect();
    let log = world.logs();
    for canary in &canaries {
        assert!(!log.contains(canary), "I6: {canary} in the log");
        for file in files(&world.data()) {
            let bytes = fs::read(&file).unwrap_or_default();
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "I6: {canary} in {}", file.display());
        }
        for request in world.receiver.requests() {
            // PagerDuty's key belongs into its body.
            let sent = *canary == SECRET_CANARIES[0] && request.path == "/pagerduty";
            let text =
                String::from_utf8_lossy(&request.body).into_owned() + &format!("{:?}", request.headers);
            assert!(sent || !text.contains(canary), "I6: {canary} in a request to {}", request.path);
        }
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
