//! The life of a request: what people and targets can do with it, and what became of it.

use super::fixtures::*;
use super::tests::{begin, decisions, only, state, step};
use super::*;
use crate::alert::{ActionKind, AlertKind, Severity};
use crate::engine::CommandError;

fn waiting() -> (Actions, World, String, String) {
    let (mut actions, mut world) = (actions(&config(ActionMode::Approve)), World::new(&["m"]));
    begin(&mut actions, &mut world, "m", ActionKind::Rollback);
    let request = only(&actions);
    let token = actions.approval_key.token(&request).expect("a key");
    (actions, world, request.key, token)
}

fn approve(key: &str, token: &str) -> ActionCommand {
    ActionCommand::Approve { key: key.to_owned(), token: token.to_owned() }
}

#[test]
fn a_request_waits_for_people_and_says_how_to_approve_it() {
    let (mut actions, world, key, token) = waiting();
    let left = actions.take_left();
    assert!(left.outbox.is_empty());
    let line = &left.told[0].summary;
    assert!(line.contains(&format!("anchorwatch actions approve {key} --token {token}")), "{line}");
    assert_eq!(left.told[0].severity, Severity::Critical);
    assert!(!format!("{:?}", left.audit).contains(&token), "the token is in the message only");
    assert!(!format!("{:?}", actions.memory).contains(&token));
    let answer = actions.command(&approve(&key, &token), ("anna", START), &world.situation()).expect("right");
    assert_eq!((answer.what.as_str(), answer.detail.as_str()), ("action_approved", "approved by anna"));
    let left = actions.take_left();
    let Delivery::Action(request) = &left.outbox[0].delivery else { panic!("{:?}", left.outbox) };
    assert_eq!(request.approved_by, ["anna"]);
    let again = actions.command(&approve(&key, &token), ("anna", START), &world.situation());
    assert!(matches!(again, Err(CommandError::Conflict(_))), "a token is good once: {again:?}");
}

#[test]
fn a_wrong_or_late_token_changes_nothing() {
    let (mut actions, world, key, token) = waiting();
    let mut tried = |token: &str, now| {
        let situation = Situation { now, ..world.situation() };
        let outcome = actions.command(&approve(&key, token), ("anna", START), &situation);
        (outcome.is_ok(), state(&actions))
    };
    assert_eq!(tried("0123456789abcdef0123456789abcdef", START), (false, RequestState::Waiting));
    assert_eq!(tried("", START), (false, RequestState::Waiting));
    assert_eq!(tried(&token, START + 30 * MINUTE), (false, RequestState::Waiting));
    assert!(actions.take_left().outbox.is_empty());
    assert!(!actions.expire(START + 30 * MINUTE - 1));
    assert!(actions.expire(START + 30 * MINUTE));
    assert_eq!(state(&actions), RequestState::Expired);
    let left = actions.take_left();
    assert_eq!(
        (left.told[0].transition, left.audit[0].what.as_str()),
        (Transition::Resolved, "action_expired")
    );
}

#[test]
fn the_time_for_an_approval_is_that_of_the_clock_that_set_it() {
    for jump in [-300 * HOUR, 300 * HOUR] {
        let (mut actions, world, key, token) = waiting();
        let last = Situation { now: START + 30 * MINUTE - 1, ..world.situation() };
        let outcome = actions.command(&approve(&key, &token), ("anna", START + jump), &last);
        assert!(outcome.is_ok(), "the wall clock jumped by {jump}: {outcome:?}");
    }
}

#[test]
fn declined_approvals_leave_a_bounded_trail_and_none_for_what_does_not_wait() {
    let (mut actions, _, key, _) = waiting();
    let kept = (0..1_000).filter(|_| actions.declined(&key)).count();
    assert_eq!(kept, 10);
    assert!(!actions.declined("0123456789abcdef0123456789abcdef"), "nobody asked for it");
    let mut again = Actions::new(&config(ActionMode::Approve));
    again.restore(&actions.take_document().expect("it changed")).expect("its own document");
    assert!(!again.declined(&key), "also after a restart");
    assert!(actions.expire(START + 30 * MINUTE));
    assert!(!actions.declined(&key));
}

#[test]
fn the_token_of_one_request_does_not_fit_another() {
    let (actions, _, _, token) = waiting();
    let request = only(&actions);
    for other in [
        Request { to_version: Some("0.8.0".to_owned()), ..request.clone() },
        Request { model: "n".to_owned(), ..request.clone() },
        Request { version: "1.0.1".to_owned(), ..request.clone() },
        Request { key: "k".to_owned(), ..request.clone() },
    ] {
        assert!(!actions.approval_key.fits(&other, &token));
    }
    assert!(actions.approval_key.fits(&request, &token));
    assert!(!ApprovalKey::default().fits(&request, ""), "without a key nothing is approved");
}

#[test]
fn two_people_must_approve_when_two_are_asked() {
    let mut config = config(ActionMode::Approve);
    config.actions[1].approvals = 2;
    let (mut actions, mut world) = (actions(&config), World::new(&["m"]));
    begin(&mut actions, &mut world, "m", ActionKind::Rollback);
    let request = only(&actions);
    let token = actions.approval_key.token(&request).unwrap();
    actions.take_left();
    let mut by = |name: &str| {
        let order = approve(&request.key, &token);
        actions.command(&order, (name, START), &world.situation()).map(|outcome| outcome.detail)
    };
    assert_eq!(by("anna").unwrap(), "approved by anna: 1 of 2");
    assert!(matches!(by("anna"), Err(CommandError::Conflict(_))));
    assert_eq!(by("bert").unwrap(), "approved by anna, bert");
    assert_eq!(actions.take_left().outbox.len(), 1);
}

#[test]
fn an_approval_asks_every_guard_once_more() {
    let (mut actions, mut world, key, token) = waiting();
    actions.take_left();
    let held = |actions: &mut Actions, world: &World| {
        let outcome = actions.command(&approve(&key, &token), ("anna", START), &world.situation());
        let Err(CommandError::Conflict(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(state(actions), RequestState::Waiting);
        error
    };
    actions.set_kill_switch(true);
    assert!(held(&mut actions, &world).starts_with("held by suspended"));
    actions.set_kill_switch(false);
    world.facts_mut("m").rollback_to = Some("0.8.0".to_owned());
    assert!(
        held(&mut actions, &world).starts_with("held by no_target"),
        "what was asked is what is approved"
    );
    world.facts_mut("m").current = false;
    assert!(held(&mut actions, &world).starts_with("held by superseded"));
    assert!(actions.take_left().outbox.is_empty());
}

#[test]
fn a_request_that_waits_is_withdrawn_when_the_alert_is_over() {
    let (mut actions, mut world, key, token) = waiting();
    world.calm("m", AlertKind::DataFault);
    step(&mut actions, &mut world, MINUTE);
    assert_eq!(state(&actions), RequestState::Withdrawn);
    assert!(actions.command(&approve(&key, &token), ("anna", START), &world.situation()).is_err());
}

#[test]
fn a_refusal_ends_it_and_the_cooldown_keeps_it_from_being_asked_again_at_once() {
    let (mut actions, mut world, key, _) = waiting();
    let refuse = ActionCommand::Refuse { key, reason: "a known\nincident".to_owned() };
    let outcome = actions.command(&refuse, ("anna", START), &world.situation()).expect("it waits");
    assert_eq!(outcome.detail, "refused by anna: a known incident");
    assert_eq!(state(&actions), RequestState::Refused);
    actions.take_left();
    world.judge(world.at + MINUTE);
    let told = notification("m", AlertKind::DataFault, Transition::Updated, world.at, START);
    actions.consider(&[told], &world.situation());
    assert_eq!(decisions(&mut actions), [(Decision::Held, Some(Guard::Cooldown))]);
}

fn sent() -> (Actions, World, String) {
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
    begin(&mut actions, &mut world, "m", ActionKind::Rollback);
    let key = only(&actions).key;
    actions.settled(&key, Settled::Delivered, "", START);
    actions.take_left();
    (actions, world, key)
}

#[test]
fn a_rollback_is_confirmed_by_the_registry_and_effective_when_the_alert_ends() {
    let (mut actions, mut world, _) = sent();
    step(&mut actions, &mut world, MINUTE);
    assert_eq!(state(&actions), RequestState::Sent);
    world.models.get_mut("m").unwrap().serving = Some("0.9.0".to_owned());
    step(&mut actions, &mut world, MINUTE);
    assert_eq!(state(&actions), RequestState::Confirmed);
    world.calm("m", AlertKind::DataFault);
    let facts = world.facts_mut("m").clone();
    world.facts = [(("m".to_owned(), "0.9.0".to_owned()), facts)].into();
    (0..3).for_each(|_| step(&mut actions, &mut world, MINUTE));
    assert_eq!(state(&actions), RequestState::Effective);
    let told = actions.take_left().told;
    assert_eq!(told.last().unwrap().transition, Transition::Resolved);
}

#[test]
fn an_action_that_does_not_help_is_told() {
    let (mut actions, mut world, key) = sent();
    let report = ActionCommand::Outcome { key, succeeded: true, detail: "run 17".to_owned() };
    actions.command(&report, ("pipeline", START), &world.situation()).expect("it was sent");
    assert_eq!(
        (state(&actions), only(&actions).detail.as_str()),
        (RequestState::Confirmed, "pipeline: run 17")
    );
    actions.take_left();
    (0..12).for_each(|_| step(&mut actions, &mut world, MINUTE));
    assert_eq!(state(&actions), RequestState::Ineffective);
    let told = actions.take_left().told;
    assert_eq!((told[0].transition, told[0].severity), (Transition::Updated, Severity::Critical));
}

#[test]
fn a_retraining_is_confirmed_by_a_new_version() {
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
    begin(&mut actions, &mut world, "m", ActionKind::Retrain);
    let key = only(&actions).key;
    actions.settled(&key, Settled::Delivered, "", START);
    world.models.get_mut("m").unwrap().versions.insert("1.1.0".to_owned());
    step(&mut actions, &mut world, MINUTE);
    assert_eq!(state(&actions), RequestState::Confirmed);
}

#[test]
fn nobody_confirming_in_time_is_told() {
    let (mut actions, mut world, _) = sent();
    step(&mut actions, &mut world, HOUR - 1);
    assert_eq!(state(&actions), RequestState::Sent);
    step(&mut actions, &mut world, 1);
    assert_eq!(state(&actions), RequestState::Unconfirmed);
    assert_eq!(actions.take_left().told.len(), 1);
}

#[test]
fn a_catch_up_of_event_time_takes_no_time_from_whoever_confirms() {
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
    begin(&mut actions, &mut world, "m", ActionKind::Rollback);
    let key = only(&actions).key;
    let mut pass = |actions: &mut Actions, hours: i64, now| {
        world.judge(START + hours * HOUR);
        world.now = now;
        actions.consider(&[], &world.situation());
        only(actions).state
    };
    assert_eq!(pass(&mut actions, 25, START + MINUTE), RequestState::Pending, "it is not even sent");
    assert!(actions.settled(&key, Settled::Delivered, "", START + 2 * MINUTE));
    assert_eq!(pass(&mut actions, 50, START + 3 * MINUTE), RequestState::Sent);
    assert_eq!(pass(&mut actions, 51, START + 62 * MINUTE - 1), RequestState::Sent);
    assert_eq!(pass(&mut actions, 52, START + 62 * MINUTE), RequestState::Unconfirmed);
}

#[test]
fn an_unknown_outcome_holds_the_model_until_somebody_knows() {
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
    begin(&mut actions, &mut world, "m", ActionKind::Retrain);
    let key = only(&actions).key;
    actions.settled(&key, Settled::Unknown, "no answer", START);
    step(&mut actions, &mut world, 25 * HOUR);
    assert_eq!(state(&actions), RequestState::Unknown);
    let told = actions.take_left().told;
    let asks = format!("`anchorwatch actions outcome {key} succeeded`");
    assert!(told.iter().any(|one| one.severity == Severity::Critical && one.summary.contains(&asks)));
    let report = ActionCommand::Outcome { key, succeeded: false, detail: String::new() };
    actions.command(&report, ("anna", START), &world.situation()).expect("it is unknown");
    assert_eq!(state(&actions), RequestState::Failed);
}

#[test]
fn what_is_said_of_an_unknown_delivery_is_said_of_the_request_and_the_other_way_round() {
    let unknown = || {
        let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
        begin(&mut actions, &mut world, "m", ActionKind::Retrain);
        let key = only(&actions).key;
        assert!(actions.settled(&key, Settled::Unknown, "no answer", START));
        assert!(!actions.settled(&key, Settled::Unknown, "no answer", START), "that is no news");
        assert_eq!((actions.unsettled().len(), actions.known(&key)), (1, None));
        assert!(!actions.waits_to_be_sent() && actions.send_rules(&world.situation()).requests.is_empty());
        actions.take_left();
        (actions, world, key)
    };
    for (settled, said, expected) in [
        (Settled::Delivered, "taken, says mia", RequestState::Sent),
        (Settled::Dead, "not taken, says mia", RequestState::Failed),
    ] {
        let (mut actions, _, key) = unknown();
        assert!(actions.settled(&key, settled, said, START));
        assert_eq!((state(&actions), only(&actions).detail.as_str()), (expected, said));
        assert!(actions.take_left().told.iter().any(|told| told.summary.contains(said)));
    }
    for succeeded in [true, false] {
        let (mut actions, world, key) = unknown();
        let report = ActionCommand::Outcome { key: key.clone(), succeeded, detail: "looked".to_owned() };
        actions.command(&report, ("anna", START), &world.situation()).expect("it is unknown");
        assert_eq!(actions.known(&key), Some((succeeded, "anna: looked")));
        assert!(actions.unsettled().is_empty());
    }
}

#[test]
fn a_loss_of_orders_suspends_until_a_person_resumes_and_only_where_there_are_actions() {
    let mut actions = actions(&config(ActionMode::Auto));
    actions.orders_were_lost(START);
    assert!(actions.suspended().is_some_and(|reason| reason.contains("orders of people were lost")));
    assert_eq!(actions.take_left().audit.len(), 1);
    let mut none = Actions::new(&Config { actions: Vec::new(), ..config(ActionMode::Auto) });
    none.orders_were_lost(START);
    assert_eq!(none.suspended(), None);
}

#[test]
fn whoever_sends_is_told_what_changed_since_the_decision() {
    type Change = fn(&mut World);
    let cases: [(&str, Change); 4] = [
        ("superseded", |world| world.facts_mut("m").current = false),
        ("not_serving", |world| world.models.get_mut("m").unwrap().serving = Some("0.9.0".to_owned())),
        ("no_target", |world| world.facts_mut("m").rollback_to = None),
        ("resolved", |world| world.calm("m", AlertKind::DataFault)),
    ];
    for (guard, change) in cases {
        let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
        begin(&mut actions, &mut world, "m", ActionKind::Rollback);
        let key = only(&actions).key;
        assert_eq!(actions.send_rules(&world.situation()).requests[&key], None, "it may go");
        change(&mut world);
        let rules = actions.send_rules(&world.situation());
        let reason = rules.requests[&key].clone().expect("it may not go");
        assert!(reason.starts_with(&format!("{guard}: ")), "{reason}");
        actions.settled(&key, Settled::Stopped, &reason, START);
        assert_eq!(state(&actions), RequestState::Withdrawn);
    }
}

#[test]
fn everything_is_remembered_across_a_restart() {
    let config = config(ActionMode::Approve);
    let (mut actions, mut world) = (actions(&config), World::new(&["m", "n"]));
    begin(&mut actions, &mut world, "m", ActionKind::Rollback);
    begin(&mut actions, &mut world, "n", ActionKind::Retrain);
    let suspend = ActionCommand::Suspend { reason: "a freeze".to_owned() };
    actions.command(&suspend, ("anna", START), &world.situation()).expect("not suspended");
    let document = actions.take_document().expect("changed");
    assert_eq!(actions.take_document(), None);
    let mut restarted = Actions::new(&config);
    restarted.restore(&document).expect("its own document");
    assert_eq!(restarted.memory, actions.memory);
    assert_eq!(restarted.suspended().as_deref(), Some("a freeze (by anna)"));
}

#[test]
fn the_document_of_an_earlier_version_keeps_its_cooldowns() {
    let first = r#"{"again":{"m":{"last":1699920000000,"day":19675,"today":1}}}"#;
    let (mut actions, mut world) = (actions(&config(ActionMode::Auto)), World::new(&["m"]));
    actions.restore(first).expect("an earlier document");
    world.judge(START + HOUR);
    begin(&mut actions, &mut world, "m", ActionKind::Retrain);
    assert_eq!(decisions(&mut actions), [(Decision::Held, Some(Guard::Cooldown))]);
}
