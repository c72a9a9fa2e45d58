//! Case 2: the process ends at every place of `src/fault.rs`.

use anchorwatch::fault::Place;
use rand::RngExt as _;

use crate::support::{Kafka, wait_until};
use crate::world::{PATIENCE, World};
use crate::{invariants, times, workload};

/// Hits that pass before the one that ends it: few where a place is reached seldom.
fn hits(place: Place, rng: &mut rand::rngs::StdRng) -> u32 {
    match place {
        Place::RecordTaken | Place::RecordPassed => rng.random_range(0..150),
        Place::PaneClosed | Place::WindowsJudged => rng.random_range(0..2),
        // A chunk may be read so fast that one checkpoint holds all of it.
        _ => 0,
    }
}

#[test]
fn an_end_at_every_fail_point_loses_and_doubles_nothing() {
    let mut rng = workload::rng("fail points");
    let rounds = times(1, 10);
    let records =
        if rounds > 1 { workload::records(300 * Place::ALL.len() * rounds, 2) } else { workload::stream() };
    let mut world = World::new("fail_points", Kafka::shared(), |_| {});
    let mut chunks = records.chunks(records.len().div_ceil(Place::ALL.len() * rounds + 1));
    // Deliveries and windows are under way from the first place on.
    world.start();
    let first = chunks.next().expect("records");
    world.produce(first);
    world.wait_read(world.produced.len());
    world.stop();
    for _ in 0..rounds {
        for place in Place::ALL {
            let chunk = chunks.next().unwrap_or_default();
            end_at(&mut world, place, hits(place, &mut rng), chunk);
        }
    }
    world.start();
    world.settle();
    invariants::check(&mut world);
    world.stop();
}

fn end_at(world: &mut World<'_>, place: Place, hits: u32, chunk: &[workload::Planned]) {
    let when = format!("{}={hits}*off->return", place.name());
    eprintln!("{when}");
    world.spawn(&[("FAILPOINTS", &when)]);
    world.produce(chunk);
    if matches!(place, Place::Stopping | Place::Stopped) {
        let all = world.produced.len();
        wait_until(PATIENCE, "something to be read", || {
            world.read().is_some_and(|read| read + 200 > all as u64)
        });
        world.daemon().signal("TERM");
    }
    // Deliveries happen only when something is to be told: then this place is left to a later chunk.
    let seldom = matches!(
        place,
        Place::DeliveryDue
            | Place::DeliveryAttempting
            | Place::DeliveryAnswered
            | Place::DeliverySettled
            | Place::PointerSent
            | Place::PointersMarked
    );
    if seldom {
        let all = world.produced.len();
        let mut ended = false;
        wait_until(PATIENCE, "the end or the end of the chunk", || {
            ended = world.daemon().has_ended();
            ended || world.read().is_some_and(|read| read >= all as u64)
        });
        crate::kills::pause(1_500);
        if !world.daemon().has_ended() {
            eprintln!("  not reached with this chunk: killed instead");
            world.kill();
            return;
        }
    }
    let status = world.wait_end();
    assert!(!status.success(), "{} did not end the process: {status}", place.name());
}
