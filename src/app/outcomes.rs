//! Between actions that are decided and what becomes of them: the last word before sending, the kill switch, and what
//! the outbox knows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::action::{LAST_MOMENT, SendRules, Settled};
use crate::alert::ActionRequest;
use crate::deliver::SendGuard;
use crate::engine::Engine;
use crate::store::{ActionDelivery, OutboxEntry, OutboxState, OutboxStats, StoreError, StoreHandle, Ticket};
use crate::subject::Millis;
use crate::telemetry::Metrics;

use super::wall_clock;

/// Unknown deliveries that are looked at together; the newest, and when they are known the next.
const MOST_UNKNOWN: usize = 100;

/// The last word before an action is sent; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    kill_switch: Option<PathBuf>,
    rules: Arc<Mutex<SendRules>>,
}

impl Gate {
    pub(super) fn new(kill_switch: Option<PathBuf>) -> Self {
        Self { kill_switch, rules: Arc::default() }
    }

    /// A file that cannot be looked at counts as there: whoever cannot see the switch must not act.
    fn is_switched_off(&self) -> bool {
        self.kill_switch.as_deref().is_some_and(|path| path.try_exists().unwrap_or(true))
    }

    fn set(&self, rules: SendRules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }
}

impl SendGuard for Gate {
    fn check(&self, request: &ActionRequest, _now: Millis) -> Result<(), String> {
        if self.is_switched_off() {
            let path = self.kill_switch.as_deref().map(Path::display);
            return Err(path.map_or_else(String::new, |path| format!("the kill switch {path} exists")));
        }
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &rules.suspended {
            return Err(format!("actions are suspended: {reason}"));
        }
        match rules.requests.get(&request.key) {
            Some(None) => Ok(()),
            Some(Some(reason)) => Err(reason.clone()),
            None => Err("nobody asks for it any more".to_owned()),
        }
    }
}

/// Follows actions on behalf of the engine's thread, which never waits for the state file: it asks, and takes the answer
/// in when it is there.
#[derive(Debug)]
pub(super) struct Outcomes {
    store: StoreHandle,
    gate: Gate,
    head: Option<String>,
    asked: Option<Ticket<Seen>>,
    /// When that was.
    asked_at: Millis,
    passing_on: Option<Ticket<()>>,
    /// Deliveries as they stood when the last answer was written.
    outbox: Vec<OutboxStats>,
}

/// What the state file says at one moment.
#[derive(Debug)]
struct Seen {
    found: Vec<(String, ActionDelivery)>,
    unknown: Vec<OutboxEntry>,
    head: Option<String>,
    outbox: Vec<OutboxStats>,
}

impl Outcomes {
    pub(super) fn new(store: StoreHandle, gate: Gate) -> Self {
        Self { store, gate, head: None, asked: None, asked_at: 0, passing_on: None, outbox: Vec::new() }
    }

    /// Tells the gate what may be sent as things stand; before anybody is answered, and before a checkpoint.
    pub(super) fn open_gate(&self, engine: &Engine) {
        self.gate.set(engine.send_rules());
    }

    /// Looks at the file of the kill switch. Answers whether there is news to be made durable.
    pub(super) fn kill_switch(&self, engine: &mut Engine, now: Millis) -> bool {
        engine.set_kill_switch(self.gate.is_switched_off(), now)
    }

    /// Deliveries by target, as last heard.
    pub(super) fn outbox(&self) -> &[OutboxStats] {
        &self.outbox
    }

    /// How long an answer has been awaited.
    pub(super) fn waiting_for(&self, now: Millis) -> Millis {
        if self.asked.is_some() { now - self.asked_at } else { 0 }
    }

    /// Asks what became of deliveries, unless an earlier question is not answered yet.
    ///
    /// # Errors
    /// When nobody is left to answer.
    pub(super) fn ask(&mut self, engine: &Engine, now: Millis) -> Result<(), StoreError> {
        // What is being passed on would be found once more.
        if self.asked.is_some() || self.passing_on.is_some() {
            return Ok(());
        }
        let unsettled = engine.unsettled_actions();
        self.asked_at = now;
        self.asked = self.store.ask(move |store| {
            let mut found = Vec::new();
            for (key, target) in unsettled {
                found.extend(store.action_delivery(&key, &target)?.map(|delivery| (key, delivery)));
            }
            let unknown = store.unknown_actions(MOST_UNKNOWN)?;
            Ok(Seen { found, unknown, head: store.audit_head()?, outbox: store.outbox_stats()? })
        })?;
        Ok(())
    }

    /// Takes in what became of deliveries, if the answer is there; lets the outbox know what was found out of those that it
    /// does not know, and shows the head of the audit trail. Answers whether there is news to be made durable.
    ///
    /// So a word about an unknown action holds on both sides, wherever it was said: `actions outcome` ends its delivery,
    /// and what `outbox settle` ended, also without a daemon, is taken in here. An answer may be older than what the
    /// engine knows by now: what it holds for over stays over.
    ///
    /// # Errors
    /// When nobody is left to write the state.
    pub(super) fn take_in(
        &mut self,
        engine: &mut Engine,
        metrics: &Metrics,
        now: Millis,
    ) -> Result<bool, StoreError> {
        // The file may be refusing for a while: then the row is found again.
        if let Some(Ok(())) = answer(&mut self.passing_on)? {
            self.store.wake();
        }
        let Some(seen) = answer(&mut self.asked)? else { return Ok(false) };
        // As above; the engine's own checkpoint says so.
        let Ok(Seen { found, unknown, head, outbox }) = seen else { return Ok(false) };
        self.outbox = outbox;
        let mut news = false;
        for (key, ActionDelivery { state, error }) in found {
            let error = error.unwrap_or_default();
            if let Some(settled) = settled(state, &error)
                && engine.action_settled(&key, settled, &error, now)
            {
                tracing::info!(key, state = state.as_str(), error, "the request of an action is settled");
                news = true;
            }
        }
        self.pass_on(engine, unknown)?;
        if news {
            self.open_gate(engine);
        }
        if head != self.head
            && let Some(hash) = &head
        {
            metrics.audit_head(hash);
            tracing::info!(audit_head = hash, "the audit trail grew");
            self.head = head;
        }
        Ok(news)
    }

    /// Ends deliveries that are unknown to the outbox and no longer to the engine.
    fn pass_on(&mut self, engine: &Engine, unknown: Vec<OutboxEntry>) -> Result<(), StoreError> {
        let known: Vec<(i64, bool, String)> = unknown
            .into_iter()
            .filter_map(|row| {
                engine.action_known(&row.key).map(|(taken, how)| (row.id, taken, how.to_owned()))
            })
            .collect();
        if known.is_empty() {
            return Ok(());
        }
        let wall = wall_clock();
        self.passing_on = self.store.ask(move |store| {
            for (id, taken, how) in &known {
                store.action_known(*id, (*taken, how), wall)?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// The answer to a question, if it is there, and frees the place of the question.
///
/// # Errors
/// When nobody is left to answer.
fn answer<T>(asked: &mut Option<Ticket<T>>) -> Result<Option<Result<T, StoreError>>, StoreError> {
    let Some(outcome) = asked.as_mut().and_then(Ticket::poll) else { return Ok(None) };
    *asked = None;
    match outcome {
        Err(StoreError::Stopped) => Err(StoreError::Stopped),
        outcome => Ok(Some(outcome)),
    }
}

fn settled(state: OutboxState, error: &str) -> Option<Settled> {
    match state {
        OutboxState::Pending | OutboxState::Inflight | OutboxState::Held => None,
        OutboxState::Delivered => Some(Settled::Delivered),
        OutboxState::Dead if error.starts_with(LAST_MOMENT) => Some(Settled::Stopped),
        OutboxState::Dead => Some(Settled::Dead),
        OutboxState::Expired => Some(Settled::Expired),
        OutboxState::Unknown => Some(Settled::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::store::{Store, spawn_writer};

    #[test]
    fn the_engine_waits_for_no_answer_of_the_state_file_and_asks_one_question_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("a state file");
        let (handle, thread) = spawn_writer(store).expect("a writer");
        let config = "kafka: {bootstrap: 'h:1', topics: [predictions]}";
        let mut engine = Engine::new(&crate::config::parse(config, "test").expect("a configuration"));
        let metrics = Metrics::new().expect("metrics");
        let mut outcomes = Outcomes::new(handle.clone(), Gate::new(None));
        let (begun, begins) = mpsc::channel();
        let (goes_on, wait) = mpsc::channel::<()>();
        let slow = move |_: &mut Store| {
            begun.send(()).expect("the test waits");
            wait.recv().expect("the test says when");
            Ok(())
        };
        let mut slow = handle.ask(slow).expect("a writer").expect("a place");
        begins.recv().expect("the disk is slow from now on");
        // If anything of this waited, it would wait for ever.
        for now in 0..1_000 {
            outcomes.ask(&engine, now).expect("a writer");
            assert!(!outcomes.take_in(&mut engine, &metrics, now).expect("a writer"));
        }
        assert_eq!((handle.queued(), outcomes.waiting_for(1_000)), (1, 1_000));
        assert!(slow.poll().is_none());
        goes_on.send(()).expect("the disk was slow");
        while outcomes.asked.is_some() {
            outcomes.take_in(&mut engine, &metrics, 1_000).expect("a writer");
        }
        assert!(slow.poll().is_some());
        let broken = handle.ask(|_| -> Result<(), StoreError> { panic!("a job that fails on purpose") });
        broken.expect("a writer").expect("a place");
        assert!(thread.join().is_err());
        assert!(matches!(outcomes.ask(&engine, 1_000), Err(StoreError::Stopped)));
    }
}
