//! Case 10: nobody can know whether an action was taken. It is held, never repeated.

use std::time::Duration;

use rand::RngExt as _;

use crate::kills::pause;
use crate::outcome::Outcome;
use crate::support::{Kafka, Reply, wait_until};
use crate::world::{PATIENCE, World};
use crate::{invariants, times, workload};

const ACTIONS: [&str; 2] = ["/retrain", "/rollback"];

fn asked(world: &World<'_>) -> usize {
    ACTIONS.iter().map(|path| world.receiver.requests_to(path).len()).sum()
}

/// The states of all actions.
fn states(world: &World<'_>) -> Vec<String> {
    let outcome = Outcome::read(&world.data());
    let actions =
        outcome.outbox.into_iter().filter(|((_, to), _)| ["retrain", "rollback"].contains(&to.as_str()));
    actions.map(|(_, row)| row.state).collect()
}

#[test]
fn an_action_that_was_taken_but_not_answered_is_held() {
    let records = workload::stream();
    let mut world = World::new("cut", Kafka::shared(), |_| {});
    ACTIONS.iter().for_each(|path| world.receiver.always(path, Reply::Drop));
    world.start();
    world.produce(&records);
    world.settle();
    let states = states(&world);
    let unknown = states.iter().filter(|state| *state == "unknown").count();
    assert!(unknown > 0 && states.iter().all(|state| state == "unknown" || state == "dead"), "{states:?}");
    let before = asked(&world);
    assert_eq!(before, unknown);
    // Neither time nor a restart makes it ask again.
    world.kill();
    world.start();
    pause(2_000);
    assert_eq!(asked(&world), before, "I3: an action was repeated");
    invariants::recount(&world);
    invariants::actions_once(&world, &Outcome::read(&world.data()));
    world.stop();
}

#[test]
fn an_end_while_an_action_is_under_way_holds_it() {
    let mut rng = workload::rng("under way");
    let records = workload::stream();
    for round in 0..times(2, 500) {
        let mut world = World::new(&format!("under_way-{round}"), Kafka::shared(), |_| {});
        ACTIONS
            .iter()
            .for_each(|path| world.receiver.always(path, Reply::ok().after(Duration::from_secs(3))));
        world.start();
        world.produce(&records);
        wait_until(PATIENCE, "an action to be asked for", || asked(&world) > 0);
        pause(rng.random_range(0..200));
        world.kill();
        ACTIONS.iter().for_each(|path| world.receiver.always(path, Reply::ok()));
        world.start();
        world.settle();
        let states = states(&world);
        assert!(states.iter().any(|state| state == "unknown"), "{states:?}");
        invariants::recount(&world);
        invariants::actions_once(&world, &Outcome::read(&world.data()));
        world.stop();
    }
}
