//! The outbox against a model of a few lines: same answers after every operation, restarts included.

use anchorwatch::alert::{ActionKind, Delivery};
use anchorwatch::engine::OutboxRow;
use anchorwatch::store::{OutboxState, Settlement, Store};
use proptest::prelude::*;

use crate::fixtures::{asked, decided, open, told};

const TARGETS: [&str; 2] = ["slack", "hook"];

#[derive(Debug, Clone)]
enum Op {
    Decide { key: u8, group: u8, target: usize, action: bool },
    Due { target: usize, limit: usize },
    Attempt { row: usize },
    Settle { row: usize, end: u8, pause: i64 },
    Pass { millis: i64 },
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..8_u8, 0..3_u8, 0..2_usize, any::<bool>())
            .prop_map(|(key, group, target, action)| Op::Decide { key, group, target, action }),
        3 => (0..2_usize, 1..4_usize).prop_map(|(target, limit)| Op::Due { target, limit }),
        4 => (0..12_usize).prop_map(|row| Op::Attempt { row }),
        4 => (0..12_usize, 0..5_u8, 0..50_i64).prop_map(|(row, end, pause)| Op::Settle { row, end, pause }),
        1 => (1..40_i64).prop_map(|millis| Op::Pass { millis }),
        1 => Just(Op::Restart),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    key: String,
    target: &'static str,
    flow: String,
    action: bool,
    state: OutboxState,
    attempt: u32,
    next_at: i64,
}

impl Row {
    fn is_open(&self) -> bool {
        matches!(self.state, OutboxState::Pending | OutboxState::Inflight)
    }
}

#[derive(Default)]
struct Model {
    rows: Vec<Row>,
    now: i64,
}

impl Model {
    fn decide(&mut self, row: Row) {
        if !self.rows.iter().any(|known| known.key == row.key && known.target == row.target) {
            self.rows.push(row);
        }
    }

    fn due(&self, target: &str, limit: usize) -> (Vec<String>, Option<i64>) {
        let mut heads: Vec<&Row> = Vec::new();
        for row in self.rows.iter().filter(|row| row.target == target && row.is_open()) {
            if !heads.iter().any(|head| head.flow == row.flow) {
                heads.push(row);
            }
        }
        let waiting = heads.into_iter().filter(|row| row.state == OutboxState::Pending);
        let (now, later): (Vec<&Row>, Vec<&Row>) = waiting.partition(|row| row.next_at <= self.now);
        let keys = now.iter().take(limit).map(|row| row.key.clone()).collect();
        (keys, later.iter().map(|row| row.next_at).min())
    }

    fn attempt(&mut self, index: usize) -> bool {
        match self.rows.get_mut(index) {
            Some(row) if row.state == OutboxState::Pending => {
                (row.state, row.attempt) = (OutboxState::Inflight, row.attempt + 1);
                true
            }
            _ => false,
        }
    }

    fn settle(&mut self, index: usize, state: OutboxState, next_at: i64) -> bool {
        match self.rows.get_mut(index).filter(|row| row.is_open()) {
            Some(row) => {
                (row.state, row.next_at) = (state, next_at);
                true
            }
            None => false,
        }
    }

    fn restart(&mut self) {
        for row in self.rows.iter_mut().filter(|row| row.state == OutboxState::Inflight) {
            row.state = if row.action { OutboxState::Unknown } else { OutboxState::Pending };
            row.next_at = 0;
        }
    }
}

fn delivery(key: u8, group: u8, action: bool) -> (Delivery, String) {
    if action {
        (asked(&format!("a{key}"), ActionKind::Retrain), "flights".to_owned())
    } else {
        let group = format!("g{group}");
        (told(&format!("n{key}"), &group), group)
    }
}

fn settlement(end: u8, next_at: i64) -> (Settlement, OutboxState, i64) {
    let error = || "answered 500".to_owned();
    match end {
        0 => (Settlement::Delivered, OutboxState::Delivered, 0),
        1 => (Settlement::Retry { next_at, error: error() }, OutboxState::Pending, next_at),
        2 => (Settlement::Dead { error: error() }, OutboxState::Dead, 0),
        3 => (Settlement::Expired, OutboxState::Expired, 0),
        _ => (Settlement::Unknown { error: error() }, OutboxState::Unknown, 0),
    }
}

/// Number of the model's row in the state file; one that does not exist if the model has no such row.
fn id(store: &Store, model: &Model, index: usize) -> i64 {
    let Some(row) = model.rows.get(index) else { return i64::MAX };
    let entries = store.list_outbox(None, 100).expect("rows");
    let found = entries.iter().find(|entry| entry.key == row.key && entry.target == row.target);
    found.expect("every row of the model").id
}

fn step(store: &mut Store, model: &mut Model, op: &Op) {
    match *op {
        Op::Decide { key, group, target, action } => {
            let (delivery, flow) = delivery(key, group, action);
            let (key, target) = (delivery.key().to_owned(), TARGETS[target]);
            let row = OutboxRow { target: target.to_owned(), delivery, expires_at: None };
            store.apply(&decided([row])).expect("a checkpoint");
            let state = OutboxState::Pending;
            model.decide(Row { key, target, flow, action, state, attempt: 0, next_at: 0 });
        }
        Op::Due { target, limit } => {
            let due = store.due(TARGETS[target], model.now, limit).expect("rows");
            let keys: Vec<_> = due.items.iter().map(|item| item.delivery.key().to_owned()).collect();
            assert_eq!((keys, due.next_at), model.due(TARGETS[target], limit));
        }
        Op::Attempt { row } => {
            let number = id(store, model, row);
            assert_eq!(store.attempting(number, model.now).expect("an answer"), model.attempt(row));
        }
        Op::Settle { row, end, pause } => {
            let (settlement, state, next_at) = settlement(end, model.now + pause);
            let done = store.settle(id(store, model, row), model.now, &settlement).expect("an answer");
            assert_eq!(done, model.settle(row, state, next_at));
        }
        Op::Pass { millis } => model.now += millis,
        Op::Restart => unreachable!("restarts replace the store"),
    }
}

fn assert_same(store: &Store, model: &Model) {
    let found: Vec<_> = store.list_outbox(None, 100).expect("rows").into_iter().rev().collect();
    let found: Vec<_> =
        found.iter().map(|e| (e.key.as_str(), e.target.as_str(), e.state.as_str(), e.attempt)).collect();
    let expected: Vec<_> = model
        .rows
        .iter()
        .map(|row| (row.key.as_str(), row.target, row.state.as_str(), row.attempt))
        .collect();
    assert_eq!(found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_outbox_answers_like_its_model(ops in prop::collection::vec(op(), 1..40)) {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut store, mut model) = (open(folder.path()), Model::default());
        for op in &ops {
            if matches!(op, Op::Restart) {
                drop(store);
                store = open(folder.path());
                store.recover_outbox(model.now).expect("recovered");
                model.restart();
            } else {
                step(&mut store, &mut model, op);
            }
        }
        assert_same(&store, &model);
    }
}
