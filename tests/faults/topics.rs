//! Case 18: topics that get partitions, lose records, or are made anew under the daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anchorwatch::store::Store;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::outcome::Outcome;
use crate::support::{Kafka, wait_until};
use crate::workload::{PARTITIONS, Planned};
use crate::world::{PATIENCE, World};
use crate::{invariants, workload};

fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    kafka.client().create().expect("an admin client")
}

/// Waits for the answer to an order to the broker.
fn told<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(answer)
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)))
}

/// Joins lists of records and leaves out what `keep` refuses.
fn joined(world: &World<'_>, lists: &[PathBuf], keep: impl Fn(&Value) -> bool) -> PathBuf {
    let text: String =
        lists.iter().map(|path| fs::read_to_string(path).expect("a list of records")).collect();
    let lines = text.lines().filter(|line| keep(&serde_json::from_str(line).expect("a record")));
    let path = world.folder().join("joined.jsonl");
    fs::write(&path, lines.map(|line| format!("{line}\n")).collect::<String>()).expect("a writable folder");
    path
}

/// I1 over this list of records.
fn counts(world: &World<'_>, records: &Path) {
    let said = invariants::oracle(world, &world.data(), records);
    assert_eq!(said["differences"], json!(0), "I1: {}", said["wrong"]);
}

/// Partitions of which a gap was written into the audit trail.
fn gaps(world: &World<'_>) -> Vec<String> {
    let store = Store::open(&world.data()).expect("the state file");
    let audit = store.audit(usize::MAX).expect("the audit trail").into_iter().map(|entry| entry.row);
    audit.filter(|row| row.what == "offset_gap").map(|row| row.key).collect()
}

fn wait_saved(world: &World<'_>, records: u64) {
    wait_until(PATIENCE, &format!("{records} records to be read and saved"), || {
        Outcome::read(&world.data()).records() == Some(records)
    });
}

#[test]
fn added_partitions_are_read_from_their_first_record() {
    let kafka = Kafka::shared();
    let records = workload::stream();
    let mut world = World::new("partitions", kafka, |_| {});
    world.start();
    world.produce(&records[..records.len() / 2]);
    world.wait_read(world.produced.len());
    let order = NewPartitions::new(&world.topic, 5);
    let made = told(admin(kafka).create_partitions([&order], &options())).expect("Kafka answers");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    world.partitions = 5;
    wait_until(PATIENCE, "leaders of the new partitions", || kafka.offsets(&world.topic).len() == 5);
    let moved = records[records.len() / 2..].iter().enumerate();
    let moved: Vec<Planned> = moved
        .map(|(index, record)| Planned {
            partition: i32::try_from(index % 5).expect("a partition"),
            ..record.clone()
        })
        .collect();
    world.produce(&moved);
    wait_saved(&world, records.len() as u64);
    world.stop();
    invariants::recount(&world);
}

#[test]
fn records_that_are_gone_leave_a_gap_that_is_told() {
    let kafka = Kafka::shared();
    let records = workload::stream();
    let mut world = World::new("truncated", kafka, |_| {});
    world.start();
    world.produce(&records[..records.len() / 2]);
    world.wait_read(world.produced.len());
    world.stop();
    let read = Outcome::positions_of(&world.data());
    world.produce(&records[records.len() / 2..]);
    let all = world.folder().join("all.jsonl");
    invariants::dump(world.broker, &world.topic, PARTITIONS, &all);
    // Half of what was not read yet is deleted, in two of three partitions.
    let mut list = TopicPartitionList::new();
    let mut first = read.clone();
    for (partition, (_, end)) in (0..2).zip(kafka.offsets(&world.topic)) {
        let to = i64::midpoint(read[&partition], end);
        first.insert(partition, to);
        list.add_partition_offset(&world.topic, partition, Offset::Offset(to)).expect("an offset");
    }
    told(admin(kafka).delete_records(&list, &options())).expect("Kafka deletes");
    world.start();
    let partition =
        |record: &Value| i32::try_from(record["partition"].as_i64().expect("a partition")).expect("small");
    let left = joined(&world, &[all], |record| {
        let (partition, offset) = (partition(record), record["offset"].as_i64().expect("an offset"));
        offset < read[&partition] || offset >= first[&partition]
    });
    let count = fs::read_to_string(&left).expect("a list").lines().count();
    wait_saved(&world, count as u64);
    world.stop();
    counts(&world, &left);
    assert_eq!(gaps(&world).len(), 2, "{:?}", gaps(&world));
}

#[test]
fn a_topic_made_anew_is_noticed_by_its_records() {
    let kafka = Kafka::shared();
    let records = workload::stream();
    let half = records.len() / 2;
    for (name, second) in [("shorter", &records[half..half + half / 2]), ("longer", &records[half..])] {
        let mut world = World::new(name, kafka, |_| {});
        world.start();
        // The longer one holds more than was read: only the records tell that they are others.
        let first = if name == "longer" { &records[..half / 2] } else { &records[..half] };
        world.produce(first);
        world.wait_read(first.len());
        world.stop();
        let before = world.folder().join("before.jsonl");
        invariants::dump(world.broker, &world.topic, PARTITIONS, &before);
        let gone = told(admin(kafka).delete_topics(&[&world.topic], &options())).expect("Kafka answers");
        assert!(gone.iter().all(Result::is_ok), "{gone:?}");
        let admin = admin(kafka);
        wait_until(PATIENCE, "the topic to be gone", || {
            let known = admin.inner().fetch_metadata(None, Duration::from_secs(10)).expect("metadata");
            known.topics().iter().all(|topic| topic.name() != world.topic)
        });
        kafka.create_topic(&world.topic, PARTITIONS);
        world.produced.clear();
        world.produce(second);
        world.forget_positions();
        world.start();
        wait_saved(&world, (first.len() + second.len()) as u64);
        world.stop();
        let after = world.folder().join("after.jsonl");
        invariants::dump(world.broker, &world.topic, PARTITIONS, &after);
        let both = joined(&world, &[before, after], |_| true);
        counts(&world, &both);
        assert!(gaps(&world).len() >= 3, "{name}: {:?}", gaps(&world));
    }
}
