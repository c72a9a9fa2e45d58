//! Cases 14 to 16: what can be wrong with a stream itself, and a stream ten times as fast. Duplicates, reordering, late
//! and future records are in every stream of these tests; here are many that are no events at all.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::kills::pause;
use crate::support::{Kafka, wait_for, wait_until};
use crate::workload::Planned;
use crate::world::{PATIENCE, World};
use crate::{invariants, times, workload};

/// `(topic, partition, offset, reason)` of every pointer to a refused record.
fn pointers(world: &World<'_>) -> Vec<(String, i64, i64, String)> {
    let topic = format!("{}-refused", world.topic);
    let consumer: BaseConsumer =
        world.broker.client().set("group.id", "pointers").create().expect("a consumer");
    let look = || consumer.fetch_watermarks(&topic, 0, Duration::from_secs(10)).ok();
    let (_, count) = wait_for(PATIENCE, "the end of the pointers", look);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Beginning).expect("an offset");
    consumer.assign(&list).expect("an assignment");
    let pointer = |_| {
        let record = wait_for(PATIENCE, "all pointers", || {
            consumer.poll(Duration::from_millis(500))?.ok()?.payload().map(<[u8]>::to_vec)
        });
        let pointer: Value = serde_json::from_slice(&record).expect("JSON");
        let text = |field: &str| pointer[field].as_str().expect("a text").to_owned();
        let number = |field: &str| pointer[field].as_i64().expect("a number");
        (text("topic"), number("partition"), number("offset"), text("reason"))
    };
    (0..count).map(pointer).collect()
}

#[test]
fn poison_is_counted_pointed_at_and_passed() {
    let records = workload::records(times(6_000, 100_000), 60);
    let mut world = World::new("poison", Kafka::shared(), |_| {});
    world.start();
    for chunk in records.chunks(records.len().div_ceil(4)) {
        world.produce(chunk);
        pause(400);
        world.kill();
        world.start();
    }
    world.settle();
    let said = invariants::check(&mut world);
    let refused: BTreeSet<_> = said["refused_at"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| {
            let number = |index: usize| one[index].as_i64().expect("a number");
            let text = |index: usize| one[index].as_str().expect("a text").to_owned();
            (text(0), number(1), number(2), text(3))
        })
        .collect();
    assert!(refused.len() > 200, "{}", refused.len());
    let pointers = pointers(&world);
    assert_eq!(
        pointers.iter().cloned().collect::<BTreeSet<_>>(),
        refused,
        "pointers in the dead-letter topic"
    );
    assert!(pointers.len() <= refused.len() * (1 + world.crashes));
    world.stop();
}

#[test]
fn the_oracle_notices_one_record_more_or_less() {
    let records = workload::stream();
    let mut world = World::new("oracle", Kafka::shared(), |_| {});
    world.start();
    world.produce(&records[..1_000]);
    world.settle();
    world.stop();
    invariants::recount(&world);
    let path = world.folder().join("records.jsonl");
    let text = fs::read_to_string(&path).expect("the list of records");
    for (lost, doubled) in [(1, 0), (0, 1)] {
        // Positions would tell at once: the record in question is not the last of its partition.
        let mut lines: Vec<&str> = text.lines().collect();
        let index = lines.iter().position(|line| line.contains("\"offset\":100,")).expect("a record");
        let line = lines[index];
        if lost == 1 {
            lines.remove(index);
        }
        (0..doubled).for_each(|_| lines.insert(index, line));
        fs::write(&path, lines.join("\n")).expect("a writable folder");
        let said = invariants::oracle(&world, &world.data(), &path);
        assert_ne!(said["differences"], 0, "{said}");
    }
}

/// Records per second in calm times; a burst has ten times as many.
const CALM_RATE: usize = 100;

#[test]
fn a_burst_is_caught_up_with_in_bounded_memory() {
    let (calm, burst) = (Duration::from_secs(5), Duration::from_secs(times(6, 60) as u64));
    let of = |time: Duration, rate: usize| time.as_secs() as usize * rate;
    let records = workload::records(of(calm, CALM_RATE) + of(burst, 10 * CALM_RATE), 2);
    let mut world = World::new("burst", Kafka::shared(), |_| {});
    world.start();
    let (first, rest) = records.split_at(of(calm, CALM_RATE));
    produce_paced(&mut world, first, CALM_RATE);
    world.wait_read(first.len());
    produce_paced(&mut world, rest, 10 * CALM_RATE);
    let (all, behind) = (records.len() as u64, world.read());
    wait_until(2 * burst, "the lag to end", || world.read() == Some(all));
    eprintln!("{all} records; {behind:?} were counted when the burst ended");
    world.settle();
    invariants::check(&mut world);
    eprintln!("{} MiB at most", world.peak_rss_kib / 1024);
    world.stop();
}

/// Produces `rate` records a second, a tenth of them every tenth of a second.
#[expect(clippy::disallowed_methods, reason = "the pace is that of the clock")]
fn produce_paced(world: &mut World<'_>, records: &[Planned], rate: usize) {
    let begun = Instant::now();
    for (number, chunk) in (1..).zip(records.chunks(rate / 10)) {
        world.produce(chunk);
        let due = Duration::from_millis(100) * number;
        wait_until(due + PATIENCE, "the time of the next records", || begun.elapsed() >= due);
    }
}
