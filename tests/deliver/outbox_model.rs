//! The outbox against a model of a few lines: same answers after every operation, restarts, orders of people and want of
//! space included.

use anchorwatch::alert::{ActionKind, Delivery, Notification, Transition};
use anchorwatch::engine::OutboxRow;
use anchorwatch::store::{OutboxState, Settlement, Store};
use anchorwatch::view::OutboxOrder;
use proptest::prelude::*;

use crate::fixtures::{asked, decided, notification, open};

const TARGETS: [&str; 2] = ["slack", "hook"];
/// Longest pause; settlements ask for less.
const LONGEST: i64 = 50;
/// So few may wait that room must be made.
const MOST_OPEN: usize = 5;

#[derive(Debug, Clone)]
enum Op {
    /// `step` 0 fires, 1 and 2 update, 3 resolves, 4 asks for an action.
    Decide {
        key: u8,
        group: u8,
        target: usize,
        step: u8,
    },
    Due {
        target: usize,
        limit: usize,
    },
    Attempt {
        row: usize,
    },
    Settle {
        row: usize,
        end: u8,
        pause: i64,
    },
    Retry {
        row: usize,
    },
    Drop {
        row: usize,
    },
    Judge {
        row: usize,
        taken: bool,
    },
    Pass {
        millis: i64,
    },
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0..12_u8, 0..3_u8, 0..2_usize, 0..5_u8)
            .prop_map(|(key, group, target, step)| Op::Decide { key, group, target, step }),
        3 => (0..2_usize, 1..4_usize).prop_map(|(target, limit)| Op::Due { target, limit }),
        4 => (0..12_usize).prop_map(|row| Op::Attempt { row }),
        4 => (0..12_usize, 0..5_u8, 0..50_i64).prop_map(|(row, end, pause)| Op::Settle { row, end, pause }),
        1 => (0..12_usize).prop_map(|row| Op::Retry { row }),
        1 => (0..12_usize).prop_map(|row| Op::Drop { row }),
        1 => (0..12_usize, any::<bool>()).prop_map(|(row, taken)| Op::Judge { row, taken }),
        1 => (-60..40_i64).prop_map(|millis| Op::Pass { millis }),
        1 => Just(Op::Restart),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    key: String,
    target: &'static str,
    flow: String,
    action: bool,
    replaceable: bool,
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
        self.make_room();
    }

    fn open(&self) -> usize {
        self.rows.iter().filter(|row| row.is_open()).count()
    }

    /// Updates with a newer row of their group leave, then the oldest updates; nothing else ever does.
    fn make_room(&mut self) {
        if self.open() <= MOST_OPEN {
            return;
        }
        let may_leave = |row: &Row| row.replaceable && row.state == OutboxState::Pending;
        let replaced: Vec<usize> = (0..self.rows.len())
            .filter(|index| {
                let row = &self.rows[*index];
                let newer = &self.rows[index + 1..];
                may_leave(row)
                    && newer.iter().any(|n| n.target == row.target && n.flow == row.flow && n.is_open())
            })
            .collect();
        for index in replaced {
            self.rows[index].state = OutboxState::Expired;
        }
        let excess = self.open().saturating_sub(MOST_OPEN);
        for row in self.rows.iter_mut().filter(|row| may_leave(row)).take(excess) {
            row.state = OutboxState::Expired;
        }
    }

    fn put_back(row: &mut Row) {
        (row.state, row.attempt, row.next_at) = (OutboxState::Pending, 0, 0);
    }

    fn retry(&mut self, index: usize) -> bool {
        match self.rows.get_mut(index) {
            Some(row) if !row.action && row.state == OutboxState::Dead => {
                Self::put_back(row);
                true
            }
            _ => false,
        }
    }

    fn drop_row(&mut self, index: usize) -> bool {
        match self.rows.get_mut(index) {
            Some(row) if matches!(row.state, OutboxState::Pending | OutboxState::Dead) => {
                row.state = OutboxState::Expired;
                true
            }
            _ => false,
        }
    }

    fn judge(&mut self, index: usize, taken: bool) -> bool {
        match self.rows.get_mut(index) {
            Some(row) if row.action && row.state == OutboxState::Unknown => {
                row.state = if taken { OutboxState::Delivered } else { OutboxState::Dead };
                true
            }
            _ => false,
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
        let is_due = |row: &&Row| row.next_at <= self.now || row.next_at > self.now + LONGEST;
        let (now, later): (Vec<&Row>, Vec<&Row>) = waiting.partition(is_due);
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

fn delivery(key: u8, group: u8, step: u8) -> (Delivery, String) {
    let transition = match step {
        0 => Transition::Firing,
        1 | 2 => Transition::Updated,
        3 => Transition::Resolved,
        _ => return (asked(&format!("a{key}"), ActionKind::Retrain), "flights".to_owned()),
    };
    let (key, group) = (format!("n{key}"), format!("g{group}"));
    let told = Notification { key, group: group.clone(), ..notification(transition) };
    (Delivery::Notification(told), group)
}

fn obeyed(store: &mut Store, now: i64, order: &OutboxOrder) -> bool {
    store.outbox_order(order, "mia", now).expect("a state file").is_ok()
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
        Op::Decide { key, group, target, step } => {
            let (delivery, flow) = delivery(key, group, step);
            let (action, replaceable) = (step == 4, step == 1 || step == 2);
            let (key, target) = (delivery.key().to_owned(), TARGETS[target]);
            let row = OutboxRow { target: target.to_owned(), delivery, expires_at: None };
            store.apply(&decided([row])).expect("a checkpoint");
            let state = OutboxState::Pending;
            model.decide(Row { key, target, flow, action, replaceable, state, attempt: 0, next_at: 0 });
        }
        Op::Due { target, limit } => {
            let due = store.due(TARGETS[target], (model.now, LONGEST), limit).expect("rows");
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
        Op::Retry { row } => {
            let order = OutboxOrder::Retry { ids: vec![id(store, model, row)] };
            assert_eq!(obeyed(store, model.now, &order), model.retry(row));
        }
        Op::Drop { row } => {
            let order = OutboxOrder::Drop { id: id(store, model, row) };
            assert_eq!(obeyed(store, model.now, &order), model.drop_row(row));
        }
        Op::Judge { row, taken } => {
            let order = OutboxOrder::Settle { id: id(store, model, row), taken };
            assert_eq!(obeyed(store, model.now, &order), model.judge(row, taken));
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
    store.restore().expect("every row is sealed, whichever operation wrote it last");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// O-1 to O-6, and S-1.
    #[test]
    fn the_outbox_answers_like_its_model(ops in prop::collection::vec(op(), 1..50)) {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut store, mut model) = (open(folder.path()), Model::default());
        store.limit_outbox(MOST_OPEN);
        for op in &ops {
            if matches!(op, Op::Restart) {
                drop(store);
                store = open(folder.path());
                store.limit_outbox(MOST_OPEN);
                store.recover_outbox(model.now).expect("recovered");
                model.restart();
            } else {
                step(&mut store, &mut model, op);
            }
        }
        assert_same(&store, &model);
    }
}
