//! Case 1: `kill -9` at random moments, and case 8: a process that stands still for a while.

use std::time::Duration;

use rand::RngExt as _;

use crate::support::{Kafka, wait_until};
use crate::world::{PATIENCE, World};
use crate::{invariants, times, workload};

/// A delivery is given up after ten seconds; a pause is longer than it is asked to be where the machine is busy.
const NEAR_TIMEOUT: u64 = 4_000;

/// Waits for a random moment without asking anything of the daemon.
pub(crate) fn pause(millis: u64) {
    let mut looks = 0;
    wait_until(PATIENCE, "a random moment", || {
        looks += 1;
        looks * 20 > millis
    });
}

#[test]
fn kill_9_at_random_moments_loses_and_doubles_nothing() {
    let kills = std::env::var("ANCHORWATCH_KILLS").ok().and_then(|text| text.parse().ok());
    let kills = kills.unwrap_or_else(|| times(12, 1_000));
    let mut rng = workload::rng("kills");
    let records = if kills > 100 { workload::records(60_000, 2) } else { workload::stream() };
    let mut world = World::new("kill_9", Kafka::shared(), |_| {});
    world.start();
    let mut slowest = Duration::ZERO;
    for number in 0..kills {
        let share = |number: usize| records.len() * number / kills;
        world.produce(&records[share(number)..share(number + 1)]);
        pause(rng.random_range(20..if kills > 100 { 1_500 } else { 1_200 }));
        world.kill();
        world.spawn(&[]);
        // Now and then it is killed again before it is ready.
        if number % 4 != 3 {
            slowest = slowest.max(world.daemon().ready_after());
        }
    }
    world.settle();
    let said = invariants::check(&mut world);
    world.stop();
    eprintln!(
        "{} kills over {} records: {} counters in {} panes equal the recount; {} notifications and actions; ready after {slowest:?} at most; {} MiB",
        world.crashes,
        world.produced.len(),
        said["cells"],
        said["panes"],
        world.receiver.requests().len(),
        world.peak_rss_kib / 1024,
    );
}

#[test]
fn kill_9_beside_producers_that_repeat_themselves_counts_each_event_once() {
    const REACH: u32 = 40;
    let mut rng = workload::rng("repeated");
    // A producer sends the last records of a partition again, some of them twice, others when they are out of reach.
    let mut records = Vec::new();
    let mut sent: [Vec<workload::Planned>; workload::PARTITIONS as usize] = Default::default();
    for record in workload::stream() {
        let of_partition = &mut sent[record.partition as usize];
        of_partition.push(record.clone());
        records.push(record);
        if rng.random_bool(0.05) {
            let back = rng.random_range(1..=of_partition.len().min(60));
            records.push(of_partition[of_partition.len() - back].clone());
        }
    }
    let kills = times(8, 200);
    let mut world = World::new("repeated", Kafka::shared(), |config| World::know_duplicates(config, REACH));
    world.start();
    for chunk in records.chunks(records.len().div_ceil(kills)) {
        world.produce(chunk);
        pause(rng.random_range(20..1_200));
        world.kill();
        world.spawn(&[]);
    }
    world.settle();
    let said = invariants::check(&mut world);
    world.stop();
    let duplicates = said["law"]["duplicate"].as_u64().expect("a count");
    assert!(duplicates > 150, "{duplicates} of {} records were known", records.len());
    eprintln!("{kills} kills, {duplicates} duplicates of {} records", records.len());
}

#[test]
fn a_process_that_stood_still_goes_on_where_it_was() {
    let mut rng = workload::rng("zombie");
    let records = workload::stream();
    let mut world = World::new("zombie", Kafka::shared(), |_| {});
    // Answers take so long that it is often stopped in the midst of one.
    for target in ["/slack", "/pagerduty", "/webhook", "/retrain", "/rollback"] {
        let slow = crate::support::Reply::ok().after(Duration::from_millis(150));
        world.receiver.always(target, slow);
    }
    world.start();
    let rounds = times(5, 200);
    for chunk in records.chunks(records.len().div_ceil(rounds)) {
        world.produce(chunk);
        pause(rng.random_range(20..600));
        let standstill = rng.random_range(500..times(1_500, 20_000) as u64);
        world.daemon().signal("STOP");
        pause(standstill);
        world.daemon().signal("CONT");
        world.standstills += usize::from(standstill >= NEAR_TIMEOUT);
    }
    world.settle();
    invariants::check(&mut world);
    world.stop();
}
