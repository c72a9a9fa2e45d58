//! Actions against a model of their laws: whatever the order of alerts, orders, deliveries and restarts, a request is
//! let go at most once, never while actions are suspended, and no budget is exceeded.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::fixtures::*;
use super::{ActionCommand, Actions, RequestState, Settled};
use crate::alert::{ActionKind, AlertKind, Delivery, Transition};
use crate::config::{ActionMode, Config};
use crate::subject::Millis;

const MODELS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Event {
    Fire(usize, bool),
    Spread(usize, bool),
    Calm(usize, bool),
    Pass(Millis),
    Approve(usize, bool, bool),
    Refuse(usize),
    Settle(usize, Settled),
    Report(usize, bool),
    Suspend,
    Resume,
    KillSwitch(bool),
    Restart,
    Promote(usize),
    LastWord,
}

fn event() -> impl Strategy<Value = Event> {
    let model = || 0..MODELS.len();
    let settled = prop_oneof![
        Just(Settled::Delivered),
        Just(Settled::Dead),
        Just(Settled::Stopped),
        Just(Settled::Expired),
        Just(Settled::Unknown),
    ];
    prop_oneof![
        6 => (model(), any::<bool>()).prop_map(|(model, kind)| Event::Fire(model, kind)),
        3 => (model(), any::<bool>()).prop_map(|(model, kind)| Event::Spread(model, kind)),
        3 => (model(), any::<bool>()).prop_map(|(model, kind)| Event::Calm(model, kind)),
        8 => prop_oneof![Just(MINUTE), Just(30 * MINUTE), Just(6 * HOUR), Just(25 * HOUR)].prop_map(Event::Pass),
        5 => (0..8_usize, any::<bool>(), any::<bool>()).prop_map(|(at, by, right)| Event::Approve(at, by, right)),
        1 => (0..8_usize).prop_map(Event::Refuse),
        5 => (0..8_usize, settled).prop_map(|(at, settled)| Event::Settle(at, settled)),
        2 => (0..8_usize, any::<bool>()).prop_map(|(at, good)| Event::Report(at, good)),
        1 => Just(Event::Suspend),
        2 => Just(Event::Resume),
        1 => any::<bool>().prop_map(Event::KillSwitch),
        3 => Just(Event::Restart),
        1 => model().prop_map(Event::Promote),
        3 => Just(Event::LastWord),
    ]
}

/// What the laws are checked on.
struct Model {
    config: Config,
    actions: Actions,
    world: World,
    suspended: bool,
    killed: bool,
    /// Keys let go, with kind, model and event time.
    let_go: BTreeMap<String, (ActionKind, String, Millis)>,
    approvals: BTreeMap<String, BTreeSet<String>>,
    needed: usize,
}

const fn kind(rollback: bool) -> ActionKind {
    if rollback { ActionKind::Rollback } else { ActionKind::Retrain }
}

impl Model {
    fn new(mode: ActionMode, needed: u32) -> Self {
        let mut config = config(mode);
        config.actions.iter_mut().for_each(|action| action.approvals = needed);
        let actions = actions(&config);
        Self {
            config,
            actions,
            world: World::new(&MODELS),
            suspended: false,
            killed: false,
            let_go: BTreeMap::new(),
            approvals: BTreeMap::new(),
            needed: needed as usize,
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Fire(model, rollback) => {
                let (model, alert) = (MODELS[*model], alert_of(kind(*rollback)));
                self.world.calm(model, alert);
                self.world.fire(model, alert);
                self.tell(model, alert, Transition::Firing);
            }
            Event::Spread(model, rollback) => {
                let (model, alert) = (MODELS[*model], alert_of(kind(*rollback)));
                self.world.signals.push(signal(model, alert, "z", self.world.at));
                self.tell(model, alert, Transition::Updated);
            }
            Event::Calm(model, rollback) => {
                let (model, alert) = (MODELS[*model], alert_of(kind(*rollback)));
                self.world.calm(model, alert);
                self.tell(model, alert, Transition::Resolved);
            }
            Event::Pass(time) => {
                self.world.judge(self.world.at + time);
                self.actions.consider(&[], &self.world.situation());
                self.actions.expire(self.world.now);
            }
            Event::Approve(at, by, right) => self.approve(*at, if *by { "anna" } else { "bert" }, *right),
            Event::Refuse(at) => {
                let (key, reason) = (self.key(*at), String::new());
                self.order(&ActionCommand::Refuse { key, reason });
            }
            Event::Settle(at, settled) => {
                let key = self.key(*at);
                self.actions.settled(&key, *settled, "", self.world.now);
            }
            Event::Report(at, succeeded) => {
                let (key, detail, succeeded) = (self.key(*at), String::new(), *succeeded);
                self.order(&ActionCommand::Outcome { key, succeeded, detail });
            }
            Event::Suspend => {
                self.order(&ActionCommand::Suspend { reason: String::new() });
                self.suspended = true;
            }
            Event::Resume => {
                self.order(&ActionCommand::Resume);
                self.suspended = false;
            }
            Event::KillSwitch(exists) => {
                self.killed = *exists;
                self.actions.set_kill_switch(*exists);
            }
            Event::Restart => self.restart(),
            Event::Promote(model) => {
                let facts = self.world.models.get_mut(MODELS[*model]).expect("a model");
                facts.serving = Some("0.9.0".to_owned());
                facts.versions.insert(format!("2.0.{}", facts.versions.len()));
            }
            Event::LastWord => self.last_word(),
        }
        self.check_left();
    }

    fn tell(&mut self, model: &str, alert: AlertKind, transition: Transition) {
        let told = notification(model, alert, transition, self.world.at, START);
        self.actions.consider(&[told], &self.world.situation());
    }

    fn key(&self, at: usize) -> String {
        let requests = &self.actions.memory.requests;
        requests.get(at % requests.len().max(1)).map_or("none".to_owned(), |request| request.key.clone())
    }

    fn order(&mut self, command: &ActionCommand) {
        // Refusals change nothing; what is let go is looked at below.
        let _ = self.actions.command(command, ("anna", self.world.now), &self.world.situation());
    }

    fn approve(&mut self, at: usize, by: &str, right: bool) {
        let key = self.key(at);
        let request = self.actions.memory.requests.iter().find(|request| request.key == key).cloned();
        let token = request.and_then(|request| self.actions.approval_key.token(&request)).unwrap_or_default();
        let token = if right { token } else { "wrong".to_owned() };
        let order = ActionCommand::Approve { key: key.clone(), token };
        let (now, situation) = (self.world.now, self.world.situation());
        if self.actions.command(&order, (by, now), &situation).is_ok() {
            assert!(right, "approved with a wrong token");
            self.approvals.entry(key).or_default().insert(by.to_owned());
        }
    }

    /// The state file holds what the last checkpoint wrote; here each event is one.
    fn restart(&mut self) {
        let mut restarted = actions(&self.config);
        let document = serde_json::to_string(&self.actions.memory).expect("a document");
        restarted.restore(&document).expect("its own document");
        restarted.set_kill_switch(self.killed);
        self.actions = restarted;
    }

    /// Whoever sends asks last: nothing may go while actions are suspended.
    fn last_word(&self) {
        let rules = self.actions.send_rules(&self.world.situation());
        if self.suspended || self.killed {
            assert!(rules.suspended.is_some(), "G-1");
        }
        for key in rules.requests.keys() {
            assert!(self.let_go.contains_key(key), "only what was let go can be sent");
        }
    }

    fn check_left(&mut self) {
        let left = self.actions.take_left();
        for row in left.outbox {
            let Delivery::Action(request) = row.delivery else { panic!("a notification") };
            assert!(!self.suspended && !self.killed, "G-1: let go while suspended");
            if self.config.actions[0].mode == ActionMode::Approve {
                assert_eq!(self.approvals.get(&request.key).map_or(0, BTreeSet::len), self.needed);
            }
            let entry = (request.kind, request.model.clone(), self.actions.clock());
            assert!(self.let_go.insert(request.key, entry).is_none(), "G-1: let go twice");
        }
        self.check_budgets();
        let open = |model: &str| {
            let requests = self.actions.memory.requests.iter();
            requests.filter(|request| request.model == model && request.state.is_open()).count()
        };
        assert!(MODELS.iter().all(|model| open(model) <= 1), "one open action per model");
    }

    fn check_budgets(&self) {
        let mut of_day: BTreeMap<(&str, &str, i64), u32> = BTreeMap::new();
        for (kind, model, at) in self.let_go.values() {
            let in_hour = self.let_go.values().filter(|(_, _, then)| *then > at - HOUR && then <= at).count();
            assert!(in_hour <= 3, "G-2: {in_hour} in an hour");
            *of_day.entry((kind.as_str(), model, at.div_euclid(24 * HOUR))).or_default() += 1;
        }
        for ((kind, model, _), count) in of_day {
            let budget = if kind == "rollback" { 1 } else { 2 };
            assert!(count <= budget, "G-2: {count} times {kind} of {model} in a day");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// G-1 and G-2 in every order of events.
    #[test]
    fn a_request_is_let_go_once_within_its_budget_and_never_while_suspended(
        approve in any::<bool>(),
        needed in 1..3_u32,
        events in proptest::collection::vec(event(), 1..80),
    ) {
        let mode = if approve { ActionMode::Approve } else { ActionMode::Auto };
        let mut model = Model::new(mode, if approve { needed } else { 1 });
        for event in &events {
            model.happen(event);
        }
    }

    /// A restart at any moment changes no decision.
    #[test]
    fn a_restart_changes_no_decision(events in proptest::collection::vec(event(), 1..60)) {
        let run = |restarts: bool| {
            let mut model = Model::new(ActionMode::Auto, 1);
            for event in &events {
                match event {
                    Event::Restart if !restarts => {}
                    event => model.happen(event),
                }
            }
            let states: Vec<(String, RequestState)> = model
                .actions
                .memory
                .requests
                .iter()
                .map(|request| (request.key.clone(), request.state))
                .collect();
            (model.let_go, states)
        };
        prop_assert_eq!(run(true), run(false));
    }
}
