//! Case 9: targets that are slow, fail, redirect or answer without end.

use std::time::Duration;

use crate::outcome::Outcome;
use crate::support::{Kafka, Reply, wait_until};
use crate::world::{PATIENCE, World};
use crate::{invariants, times, workload};

/// Bad answers with which a delivery is to be tried again.
fn failures() -> Vec<Reply> {
    vec![
        Reply::status(500),
        Reply::Drop,
        Reply::retry_after(429, 1),
        Reply::Refuse,
        Reply::retry_after(503, 1),
        Reply::status(408),
        Reply::ok().after(Duration::from_secs(11)),
    ]
}

#[test]
fn a_target_that_fails_in_every_way_is_told_everything_in_the_end() {
    let records = workload::stream();
    let mut world = World::new("webhooks", Kafka::shared(), |_| {});
    for _ in 0..times(1, 5) {
        for failure in failures() {
            world.receiver.next("/webhook", [failure, Reply::ok(), Reply::ok()]);
            world.scripted += 1;
        }
        // A body without end is as good as its status.
        world.receiver.next("/webhook", [Reply::Flood(1 << 30)]);
    }
    world.receiver.always("/slack", Reply::ok().after(Duration::from_millis(100)));
    world.start();
    world.produce(&records);
    world.settle();
    invariants::check(&mut world);
    world.stop();
}

#[test]
fn a_target_that_hangs_delays_neither_the_others_nor_the_counting() {
    let records = workload::stream();
    let mut world = World::new("hanging", Kafka::shared(), |_| {});
    world.receiver.always("/webhook", Reply::status(200).after(Duration::from_secs(30)));
    world.start();
    world.produce(&records);
    world.wait_read(records.len());
    let told = |world: &World<'_>, target: &str| {
        let outcome = Outcome::read(&world.data());
        let mut rows = outcome.outbox.iter().filter(|((_, to), _)| to == target);
        outcome.is_judged() && rows.all(|(_, row)| row.state == "delivered")
    };
    wait_until(PATIENCE, "the others to be told", || told(&world, "slack") && told(&world, "pagerduty"));
    assert!(!told(&world, "webhook"), "the hanging target was not the last");
    // Mended, it is told the rest; what hung is repeated under the same key.
    world.receiver.always("/webhook", Reply::ok());
    world.scripted += 1 + world.receiver.requests_to("/webhook").len();
    world.settle();
    invariants::check(&mut world);
    world.stop();
}

#[test]
fn a_redirect_is_not_followed() {
    let records = workload::stream();
    let mut world = World::new("redirect", Kafka::shared(), |_| {});
    let there = [("Location", world.receiver.url("/stolen"))];
    world.receiver.always("/webhook", Reply::Answer(302, there.to_vec(), String::new()));
    world.start();
    world.produce(&records);
    world.wait_read(records.len());
    world.receiver.wait_for_requests("/webhook", 1, PATIENCE);
    wait_until(PATIENCE, "an end of the first delivery", || {
        let outcome = Outcome::read(&world.data());
        outcome.outbox.iter().any(|((_, to), row)| to == "webhook" && row.last_error.is_some())
    });
    assert!(world.receiver.requests_to("/stolen").is_empty(), "a redirect was followed");
    world.stop();
}
