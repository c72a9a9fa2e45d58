//! Each guard, the budgets and the stop when many models fire at once.

use super::fixtures::*;
use super::*;
use crate::alert::{ActionKind, AlertKind};
use crate::config::Span;

/// Begins an alert of the kind that starts this action, and considers it.
pub(super) fn begin(actions: &mut Actions, world: &mut World, model: &str, kind: ActionKind) {
    let alert = alert_of(kind);
    world.fire(model, alert);
    let told = notification(model, alert, Transition::Firing, world.at, world.at);
    actions.consider(&[told], &world.situation());
}

pub(super) fn step(actions: &mut Actions, world: &mut World, by: Millis) {
    world.judge(world.at + by);
    actions.consider(&[], &world.situation());
}

pub(super) fn decisions(actions: &mut Actions) -> Vec<(Decision, Option<Guard>)> {
    actions.take_left().decided.into_iter().map(|one| (one.decision, one.guard)).collect()
}

pub(super) fn only(actions: &Actions) -> Request {
    let [request] = actions.memory.requests.as_slice() else {
        panic!("{} requests", actions.memory.requests.len())
    };
    request.clone()
}

pub(super) fn state(actions: &Actions) -> RequestState {
    only(actions).state
}

type Bend = fn(&mut World, &mut Config);

/// Everything is in order, but for one thing: the guard that says so. Rollback first, then retraining.
const SITUATIONS: [(&str, ActionKind, Bend, Guard); 15] = [
    ("the kill switch", ActionKind::Retrain, |_, config| drop(config.actions.remove(1)), Guard::Suspended),
    (
        "an archived version",
        ActionKind::Retrain,
        |world, _| world.facts_mut("m").current = false,
        Guard::Superseded,
    ),
    (
        "another version in production",
        ActionKind::Rollback,
        |world, _| world.models.get_mut("m").unwrap().serving = Some("2.0.0".to_owned()),
        Guard::NotServing,
    ),
    (
        "no earlier version",
        ActionKind::Rollback,
        |world, _| world.facts_mut("m").rollback_to = None,
        Guard::NoTarget,
    ),
    (
        "an earlier version that is not registered any more",
        ActionKind::Rollback,
        |world, _| assert!(world.models.get_mut("m").unwrap().versions.remove("0.9.0")),
        Guard::NoTarget,
    ),
    (
        "an earlier version that fires itself",
        ActionKind::Rollback,
        |world, _| assert!(world.firing.insert(("m".to_owned(), "0.9.0".to_owned()))),
        Guard::TargetFiring,
    ),
    (
        "an earlier version that was rolled back from six days ago",
        ActionKind::Rollback,
        |world, _| world.facts_mut("m").target_rolled_back_at = Some(START - 6 * 24 * HOUR),
        Guard::PingPong,
    ),
    (
        "a version that came to its stage 29 minutes ago",
        ActionKind::Retrain,
        |world, _| world.facts_mut("m").since = Some(START - 29 * MINUTE),
        Guard::DeployGrace,
    ),
    (
        "no window of the model since four minutes",
        ActionKind::Retrain,
        |world, _| world.windows.iter_mut().for_each(|window| window.end -= 4 * MINUTE),
        Guard::StaleEvidence,
    ),
    (
        "a window with a gap",
        ActionKind::Retrain,
        |world, _| world.windows.iter_mut().for_each(|window| window.coverage = 0.94),
        Guard::Coverage,
    ),
    (
        "a window with few rows",
        ActionKind::Retrain,
        |world, _| world.windows.iter_mut().for_each(|window| window.rows = 99),
        Guard::Samples,
    ),
    (
        "a window with fewer rows than the action asks for",
        ActionKind::Retrain,
        |_, config| config.actions[0].min_rows = 1_001,
        Guard::Samples,
    ),
    (
        "a single column that has just begun",
        ActionKind::Retrain,
        |_, config| config.actions[0].min_signals = 3,
        Guard::Signals,
    ),
    (
        "a budget of nobody",
        ActionKind::Retrain,
        |_, config| config.action_guards.max_per_hour = 0,
        Guard::HourlyBudget,
    ),
    (
        "an earlier version that was rolled back from in the future of the events, in a replay",
        ActionKind::Rollback,
        |world, _| world.facts_mut("m").target_rolled_back_at = Some(START + HOUR),
        Guard::PingPong,
    ),
];

#[test]
fn each_precondition_that_fails_is_named_and_nothing_is_sent() {
    for (what, kind, bend, guard) in SITUATIONS {
        let mut config = config(ActionMode::Auto);
        let mut world = World::new(&["m"]);
        bend(&mut world, &mut config);
        let mut actions = actions(&config);
        actions.set_kill_switch(guard == Guard::Suspended);
        begin(&mut actions, &mut world, "m", kind);
        let left = actions.take_left();
        let decided: Vec<_> = left.decided.iter().map(|one| (one.decision, one.guard)).collect();
        assert_eq!(decided, [(Decision::Held, Some(guard))], "{what}");
        assert!(left.outbox.is_empty() && left.told.is_empty(), "{what}");
        let [row] = left.audit.as_slice() else { panic!("{what}: {:?}", left.audit) };
        assert!(row.detail.starts_with(&format!("held by {}: {guard}; inputs ", guard.as_str())), "{row:?}");
        assert_eq!(row.what, format!("{}_held", kind.as_str()));
    }
}

#[test]
fn when_everything_is_in_order_the_request_goes_out_with_its_evidence() {
    for kind in [ActionKind::Retrain, ActionKind::Rollback] {
        let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
        begin(&mut actions, &mut world, "m", kind);
        let left = actions.take_left();
        assert_eq!(left.decided[0].decision, Decision::Sent);
        let [row] = left.outbox.as_slice() else { panic!("{:?}", left.outbox) };
        let Delivery::Action(request) = &row.delivery else { panic!("{row:?}") };
        let to = (kind == ActionKind::Rollback).then_some("0.9.0");
        assert_eq!((request.kind, request.to_version.as_deref()), (kind, to));
        assert_eq!(request.cause.findings.len(), 1);
        // Lateness of 2 minutes, a step of 1, two panes and a quarter of an hour.
        assert_eq!(row.expires_at, Some(world.at + 20 * MINUTE));
        assert_eq!((left.told[0].transition, left.told[0].kind), (Transition::Firing, AlertKind::Operation));
    }
}

#[test]
fn a_dry_run_sends_and_tells_nothing_but_leaves_a_trace() {
    let (mut actions, mut world) = (actions(&config(ActionMode::DryRun)), World::new(&["m"]));
    begin(&mut actions, &mut world, "m", ActionKind::Retrain);
    let left = actions.take_left();
    assert_eq!(left.decided[0].decision, Decision::DryRun);
    assert!(left.outbox.is_empty() && left.told.is_empty());
    assert_eq!(left.audit[0].what, "retrain_dry_run");
}

#[test]
fn one_column_alone_must_last_for_three_windows_and_is_not_lost_until_then() {
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
    world.signals.push(signal("m", AlertKind::Drift, "x", world.at));
    let told = notification("m", AlertKind::Drift, Transition::Firing, world.at, world.at);
    actions.consider(&[told], &world.situation());
    assert_eq!(decisions(&mut actions), [(Decision::Held, Some(Guard::Signals))]);
    step(&mut actions, &mut world, MINUTE);
    assert_eq!(decisions(&mut actions), [], "the same guard is told once");
    step(&mut actions, &mut world, MINUTE);
    assert_eq!(decisions(&mut actions), [(Decision::Sent, None)]);
}

#[test]
fn an_alert_that_guards_hold_in_turn_leaves_one_trace_of_each() {
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
    actions.set_kill_switch(true);
    begin(&mut actions, &mut world, "m", ActionKind::Retrain);
    let since = world.at;
    for turn in 0..100 {
        actions.set_kill_switch(turn % 2 == 0);
        world.judge(world.at + MINUTE);
        world.windows.iter_mut().for_each(|window| window.rows = 1);
        let told = notification("m", AlertKind::Drift, Transition::Updated, world.at, since);
        let told = if turn % 3 == 0 { vec![told] } else { Vec::new() };
        actions.consider(&told, &world.situation());
    }
    let held = |guard| (Decision::Held, Some(guard));
    let left = actions.take_left();
    let decided: Vec<_> = left.decided.iter().map(|one| (one.decision, one.guard)).collect();
    assert_eq!(decided, [held(Guard::Suspended), held(Guard::Samples)]);
    assert_eq!(left.audit.len(), 2, "{:?}", left.audit);
    assert_eq!(actions.held()[0].guard, "samples", "what is shown is what holds it now");
}

#[test]
fn evidence_ages_by_the_step_of_its_own_horizon() {
    let mut config = config(ActionMode::Auto);
    let longer = crate::config::parse(
        "{kafka: {bootstrap: 'h:1', topics: [t]}, windows: {pane: 1m, horizons: [{length: 15m, every: 1m}, \
         {length: 24h, every: 6h}]}}",
        "test",
    );
    config.windows.horizons = longer.expect("valid settings").windows.horizons;
    let (mut actions, mut world) = (actions(&config), World::new(&["m"]));
    begin(&mut actions, &mut world, "m", ActionKind::Retrain);
    let left = actions.take_left();
    assert_eq!(left.outbox[0].expires_at, Some(world.at + 20 * MINUTE));
}

#[test]
fn drift_beside_another_kind_are_two_signals() {
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
    world.signals.push(signal("m", AlertKind::Drift, "x", world.at));
    world.signals.push(signal("m", AlertKind::Latency, "latency", world.at));
    let told = notification("m", AlertKind::Drift, Transition::Firing, world.at, world.at);
    actions.consider(&[told], &world.situation());
    assert_eq!(decisions(&mut actions), [(Decision::Sent, None)]);
}

#[test]
fn an_alert_that_is_over_before_the_guards_agree_starts_nothing() {
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
    actions.set_kill_switch(true);
    begin(&mut actions, &mut world, "m", ActionKind::Retrain);
    world.calm("m", AlertKind::Drift);
    actions.set_kill_switch(false);
    step(&mut actions, &mut world, MINUTE);
    assert_eq!(decisions(&mut actions), [(Decision::Held, Some(Guard::Suspended))]);
    assert!(actions.held().is_empty());
}

/// A request that ended, so that only the cooldown and the budgets can hold the next one.
fn run_and_end(actions: &mut Actions, world: &mut World, model: &str) -> Vec<(Decision, Option<Guard>)> {
    let alert = AlertKind::Drift;
    world.calm(model, alert);
    begin(actions, world, model, ActionKind::Retrain);
    let decided = decisions(actions);
    for (key, _) in actions.unsettled() {
        actions.settled(&key, Settled::Dead, "410", START);
    }
    actions.take_left();
    decided
}

#[test]
fn cooldown_and_daily_budget_hold_further_runs() {
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
    let mut told = Vec::new();
    for hours in [0, 1, 6, 12, 24] {
        world.judge(START + hours * HOUR);
        told.extend(run_and_end(&mut actions, &mut world, "m"));
        world.calm("m", AlertKind::Drift);
        actions.consider(&[], &world.situation());
    }
    let held = |guard| (Decision::Held, Some(guard));
    let sent = (Decision::Sent, None);
    assert_eq!(told, [sent, held(Guard::Cooldown), sent, held(Guard::DailyBudget), sent]);
}

#[test]
fn at_most_three_requests_go_out_in_an_hour_whatever_the_models() {
    let models = ["a", "b", "c", "d"];
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&models));
    world.judge(START + HOUR);
    let told: Vec<_> = models.iter().flat_map(|model| run_and_end(&mut actions, &mut world, model)).collect();
    assert_eq!(told[3], (Decision::Held, Some(Guard::HourlyBudget)));
    assert!(told[..3].iter().all(|one| *one == (Decision::Sent, None)));
    world.judge(world.at + HOUR);
    world.signals.retain(|signal| signal.model == "d");
    actions.consider(&[], &world.situation());
    assert_eq!(decisions(&mut actions), [(Decision::Sent, None)], "not lost");
}

#[test]
fn while_an_action_is_not_over_no_other_begins_for_the_model() {
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
    begin(&mut actions, &mut world, "m", ActionKind::Retrain);
    let key = only(&actions).key;
    actions.settled(&key, Settled::Delivered, "", START);
    actions.take_left();
    begin(&mut actions, &mut world, "m", ActionKind::Rollback);
    assert_eq!(decisions(&mut actions), [(Decision::Held, Some(Guard::OpenAction))]);
    step(&mut actions, &mut world, 24 * HOUR);
    assert_eq!(only_state(&actions, &key), RequestState::Unconfirmed);
    step(&mut actions, &mut world, MINUTE);
    let sent = actions.take_left().decided;
    assert!(sent.iter().any(|one| one.action == "back" && one.decision == Decision::Sent), "{sent:?}");
}

fn only_state(actions: &Actions, key: &str) -> RequestState {
    actions.memory.requests.iter().find(|request| request.key == key).expect("known").state
}

#[test]
fn a_version_that_was_rolled_back_from_is_no_target_for_a_week() {
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
    begin(&mut actions, &mut world, "m", ActionKind::Rollback);
    let key = only(&actions).key;
    actions.settled(&key, Settled::Delivered, "", START);
    actions.consider(&[], &world.situation());
    // Now 0.9.0 serves, fires as well, and the registry would return to 1.0.0.
    let facts = VersionFacts { rollback_to: Some("1.0.0".to_owned()), ..world.facts_mut("m").clone() };
    world.facts = [(("m".to_owned(), "0.9.0".to_owned()), facts)].into();
    world.models.get_mut("m").unwrap().serving = Some("0.9.0".to_owned());
    for (days, expected) in [(2, Some(Guard::PingPong)), (8, None)] {
        world.judge(START + days * 24 * HOUR);
        let version = || "0.9.0".to_owned();
        world.signals = ["x", "y"]
            .map(|column| Signal {
                version: version(),
                ..signal("m", AlertKind::DataFault, column, world.at)
            })
            .into();
        let told = notification("m", AlertKind::DataFault, Transition::Firing, world.at, world.at);
        actions.memory.requests.clear();
        actions.take_left();
        actions.consider(&[Notification { version: version(), ..told }], &world.situation());
        assert_eq!(decisions(&mut actions)[0].1, expected, "after {days} days");
    }
}

#[test]
fn many_models_at_once_suspend_everything_until_a_person_resumes() {
    let names: Vec<String> = (0..20).map(|index| format!("m{index:02}")).collect();
    let models: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&models));
    for model in &models[..5] {
        world.fire(model, AlertKind::Drift);
    }
    let told = |model: &&str| notification(model, AlertKind::Drift, Transition::Firing, START, START);
    let first: Vec<Notification> = models[..4].iter().map(told).collect();
    let four = Situation { signals: &world.signals[..8], ..world.situation() };
    actions.consider(&first[..1], &four);
    assert_eq!(
        decisions(&mut actions),
        [(Decision::Sent, None)],
        "20 % is not more than 20 %, and 4 are not 5"
    );
    assert!(actions.suspension().is_none());

    world.fire("m05", AlertKind::Drift);
    actions.consider(&first[1..], &world.situation());
    let held = actions.take_left();
    assert!(held.outbox.is_empty() && held.decided.iter().all(|one| one.guard == Some(Guard::Suspended)));
    assert!(actions.suspension().unwrap().reason.starts_with("6 of 20 models"));
    assert!(held.audit.iter().any(|row| row.what == "actions_suspended"));
    assert_eq!(actions.send_rules(&world.situation()).suspended, actions.suspended());

    actions.command(&ActionCommand::Resume, ("anna", START), &world.situation()).expect("suspended");
    step(&mut actions, &mut world, MINUTE);
    assert!(actions.suspension().is_none(), "the same alerts do not suspend again");
    assert_eq!(actions.take_left().outbox.len(), 2, "two more of the hour's three");
}

#[test]
fn a_suspension_by_itself_ends_after_the_configured_time() {
    let mut config = config(ActionMode::Auto);
    config.action_guards.resume_after = Some(Span::from_hours(2));
    config.action_guards.blast_models = 2;
    let (mut actions, mut world) = (actions(&config), World::new(&["a", "b"]));
    world.fire("a", AlertKind::Drift);
    begin(&mut actions, &mut world, "b", ActionKind::Retrain);
    assert!(actions.suspended().is_some());
    step(&mut actions, &mut world, 119 * MINUTE);
    assert!(actions.suspended().is_some());
    step(&mut actions, &mut world, MINUTE);
    assert_eq!(actions.suspended(), None);
}
