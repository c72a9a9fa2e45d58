//! Orders of people about deliveries, and an outbox that stays bounded.

use anchorwatch::alert::{ActionKind, Delivery, Notification, Transition};
use anchorwatch::engine::CommandError;
use anchorwatch::store::{OutboxState, Settlement, Stale, Store};
use anchorwatch::view::{OutboxOrder, OutboxQuery};

use crate::fixtures::{asked, decided, notification, open, row, told};
use crate::workers::{folder, unix_millis};

fn dead() -> Settlement {
    Settlement::Dead { error: "answered 404".to_owned() }
}

fn unknown() -> Settlement {
    Settlement::Unknown { error: "no answer".to_owned() }
}

fn end(store: &mut Store, id: i64, settlement: &Settlement) {
    assert!(store.attempting(id, 1).expect("durable"));
    assert!(store.settle(id, 2, settlement).expect("durable"));
}

fn states(store: &Store) -> Vec<String> {
    let rows = store.list_outbox(None, 1_000).expect("rows");
    rows.into_iter().rev().map(|row| row.state).collect()
}

fn order(store: &mut Store, order: &OutboxOrder) -> Result<Vec<i64>, CommandError> {
    store.outbox_order(order, "mia", 77).expect("a state file").map(|changed| changed.changed)
}

fn updated(key: &str, group: &str) -> Delivery {
    let (key, group) = (key.to_owned(), group.to_owned());
    Delivery::Notification(Notification { key, group, ..notification(Transition::Updated) })
}

#[test]
fn what_was_given_up_is_sent_again_under_its_key_and_the_audit_trail_says_by_whom() {
    let folder = folder();
    let mut store = open(folder.path());
    store.apply(&decided([row("slack", told("k-1", "g"))])).expect("a checkpoint");
    end(&mut store, 1, &dead());
    assert_eq!(order(&mut store, &OutboxOrder::Retry { ids: vec![1] }), Ok(vec![1]));
    let due = store.due("slack", (3, 10), 9).expect("rows").items;
    assert_eq!((due[0].delivery.key(), due[0].attempt, due[0].first_attempt_at), ("k-1", 0, None));
    let trail = store.audit(1).expect("rows");
    let trail = &trail[0].row;
    assert_eq!(
        (trail.actor.as_str(), trail.what.as_str(), trail.key.as_str()),
        ("mia", "delivery_retried", "k-1")
    );
    let again = order(&mut store, &OutboxOrder::Retry { ids: vec![1] });
    assert!(matches!(again, Err(CommandError::Conflict(_))), "it waits already");
    assert!(matches!(
        order(&mut store, &OutboxOrder::Retry { ids: vec![9] }),
        Err(CommandError::NotFound(_))
    ));
}

#[test]
fn an_order_is_carried_out_as_a_whole_or_not_at_all() {
    let folder = folder();
    let mut store = open(folder.path());
    store.apply(&decided(["a", "b"].map(|key| row("slack", told(key, key))))).expect("a checkpoint");
    end(&mut store, 1, &dead());
    assert!(order(&mut store, &OutboxOrder::Retry { ids: vec![1, 2] }).is_err());
    assert_eq!(states(&store), ["dead", "pending"]);
    assert_eq!(store.audit(9).expect("rows").len(), 0);
}

#[test]
fn an_action_is_never_put_back_and_an_unknown_one_ends_by_the_word_of_a_person() {
    let folder = folder();
    let mut store = open(folder.path());
    let rows = ["a", "b", "c"].map(|key| row("retrain", asked(key, ActionKind::Retrain)));
    store.apply(&decided(rows)).expect("a checkpoint");
    for id in 1..=3 {
        let settlement = if id == 1 { dead() } else { unknown() };
        end(&mut store, id, &settlement);
    }
    for id in [1, 3] {
        let again = order(&mut store, &OutboxOrder::Retry { ids: vec![id] });
        assert!(matches!(again, Err(CommandError::Conflict(why)) if why.contains("asked for once")));
    }
    let all = OutboxOrder::RetryDead { target: "retrain".to_owned() };
    let changed = store.outbox_order(&all, "mia", 77).expect("a state file").expect("done");
    assert_eq!((changed.changed, changed.left), (vec![], 1), "dead actions are left alone");
    let dropped = order(&mut store, &OutboxOrder::Drop { id: 3 });
    let says_how = |why: &str| why.contains("`anchorwatch actions outcome c succeeded`");
    assert!(matches!(dropped, Err(CommandError::Conflict(why)) if says_how(&why)), "it is settled first");
    let settle = |id, taken| OutboxOrder::Settle { id, taken };
    assert!(matches!(order(&mut store, &settle(1, true)), Err(CommandError::Conflict(_))), "it is known");
    assert_eq!(order(&mut store, &settle(3, true)), Ok(vec![3]));
    assert!(store.action_known(2, (false, "ann: looked"), 78).expect("durable"));
    assert!(!store.action_known(2, (true, "ann: looked"), 79).expect("durable"), "it is known already");
    assert_eq!(states(&store), ["dead", "dead", "delivered"]);
    let what: Vec<_> = store.audit(2).expect("rows").into_iter().map(|entry| entry.row.what).collect();
    assert_eq!(what, ["action_settled_not_taken", "action_settled_taken"]);
    assert!(store.unknown_actions(9).expect("rows").is_empty());
}

#[test]
fn deliveries_are_listed_page_by_page_and_by_state() {
    let folder = folder();
    let mut store = open(folder.path());
    let rows = (0..5).map(|n| row(["slack", "hook"][n % 2], told(&format!("k{n}"), "g")));
    store.apply(&decided(rows)).expect("a checkpoint");
    end(&mut store, 1, &dead());
    let ask = |query: OutboxQuery| {
        let rows = store.outbox_rows(&query).expect("a state file").expect("a question");
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let query = |state: Option<&str>, target: Option<&str>, before| OutboxQuery {
        state: state.map(str::to_owned),
        target: target.map(str::to_owned),
        before,
        limit: 2,
    };
    assert_eq!(ask(query(None, None, None)), [5, 4]);
    assert_eq!(ask(query(None, None, Some(4))), [3, 2]);
    assert_eq!(ask(query(Some("dead"), None, None)), [1]);
    assert_eq!(ask(query(None, Some("hook"), None)), [4, 2]);
    let wrong = store.outbox_rows(&query(Some("gone"), None, None)).expect("a state file");
    assert!(matches!(wrong, Err(CommandError::Invalid(text)) if text.contains("pending, inflight")));
    let shown = store.outbox_detail(1).expect("a state file").expect("a row");
    assert_eq!(shown.payload.expect("kept")["model"], "flights");
}

#[test]
fn a_full_outbox_leaves_out_updates_and_never_firing_or_resolved() {
    let folder = folder();
    let mut store = open(folder.path());
    store.limit_outbox(4);
    let rows = [
        row("slack", told("firing", "g")),
        row("slack", updated("u1", "g")),
        row("slack", updated("u2", "g")),
        row("slack", updated("other", "h")),
    ];
    store.apply(&decided(rows)).expect("a checkpoint");
    assert_eq!(states(&store), ["pending"; 4], "as many as may wait");
    let resolved =
        Notification { key: "resolved".into(), group: "g".into(), ..notification(Transition::Resolved) };
    let more = [row("slack", updated("u3", "g")), row("slack", Delivery::Notification(resolved))];
    store.apply(&decided(more)).expect("a checkpoint");
    // Each update of `g` has a newer row; that of `h` stays, since four are enough room.
    assert_eq!(states(&store), ["pending", "expired", "expired", "pending", "expired", "pending"]);
    store
        .apply(&decided((0..3).map(|n| row("slack", told(&format!("f{n}"), &format!("f{n}"))))))
        .expect("a checkpoint");
    let open: Vec<_> = store.list_outbox(Some(OutboxState::Pending), 99).expect("rows");
    let keys: Vec<&str> = open.iter().rev().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, ["firing", "resolved", "f0", "f1", "f2"], "over the bound, but no transition is lost");
    assert_eq!(store.outbox_left().expect("counts").replaced, 4);
}

#[test]
fn settled_rows_leave_after_their_time_but_never_those_that_nobody_settled() {
    let folder = folder();
    let mut store = open(folder.path());
    store
        .apply(&decided([row("slack", told("a", "a")), row("slack", told("b", "b"))]))
        .expect("a checkpoint");
    store.apply(&decided([row("retrain", asked("c", ActionKind::Retrain))])).expect("a checkpoint");
    end(&mut store, 1, &Settlement::Delivered);
    end(&mut store, 2, &dead());
    end(&mut store, 3, &unknown());
    assert_eq!(store.prune_outbox(2, 99).expect("pruned"), 0, "not old enough");
    assert_eq!(store.prune_outbox(3, 1).expect("pruned"), 1, "bounded");
    assert_eq!(store.prune_outbox(3, 99).expect("pruned"), 1);
    assert_eq!(states(&store), ["unknown"]);
    assert_eq!(store.outbox_left().expect("counts").pruned, 2);
}

#[test]
fn rows_that_waited_too_long_are_given_up_with_a_reason() {
    let folder = folder();
    let mut store = open(folder.path());
    let rows = [
        row("gone", told("a", "a")),
        row("slack", told("b", "b")),
        row("gone", asked("c", ActionKind::Retrain)),
    ];
    store.apply(&decided(rows)).expect("a checkpoint");
    let stale = |target: &str, decided_before, actions| Stale {
        target: target.to_owned(),
        decided_before,
        actions,
        error: "target `gone` is no longer configured".to_owned(),
    };
    let now = unix_millis();
    assert_eq!(store.give_up_outbox(&stale("gone", now - 60_000, true), now, 99).expect("durable"), 0);
    assert_eq!(store.give_up_outbox(&stale("gone", now + 60_000, false), now, 99).expect("durable"), 1);
    assert_eq!(store.give_up_outbox(&stale("gone", now + 60_000, true), now, 99).expect("durable"), 1);
    assert_eq!(states(&store), ["dead", "pending", "dead"]);
    let row = &store.list_outbox(Some(OutboxState::Dead), 1).expect("rows")[0];
    assert_eq!(row.last_error.as_deref(), Some("target `gone` is no longer configured"));
}

#[test]
fn every_attempt_of_an_action_stands_in_the_audit_trail_before_it_goes_out_and_none_of_a_notification() {
    let folder = folder();
    let mut store = open(folder.path());
    let rows = [row("slack", told("k-1", "g")), row("retrain", asked("a-1", ActionKind::Retrain))];
    store.apply(&decided(rows)).expect("a checkpoint");
    let trail = |store: &Store| -> Vec<String> {
        let rows = store.audit(9).expect("rows").into_iter().rev();
        rows.map(|entry| format!("{} {} {}", entry.row.what, entry.row.key, entry.row.detail)).collect()
    };
    assert!(store.attempting(1, 5).expect("durable") && store.attempting(2, 5).expect("durable"));
    assert!(!store.attempting(2, 6).expect("durable"), "it is under way");
    assert_eq!(trail(&store), ["action_attempting a-1 retrain: attempt 1"]);
    let again = Settlement::Retry { next_at: 7, error: "refused".to_owned() };
    assert!(store.settle(2, 6, &again).expect("durable") && store.attempting(2, 7).expect("durable"));
    assert_eq!(trail(&store).last().map(String::as_str), Some("action_attempting a-1 retrain: attempt 2"));
}
