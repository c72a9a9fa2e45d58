//! Between actions that are decided and what becomes of them: the last word before sending, the kill switch, and what
//! the outbox knows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::action::{LAST_MOMENT, SendRules, Settled};
use crate::alert::ActionRequest;
use crate::deliver::SendGuard;
use crate::engine::Engine;
use crate::store::{ActionDelivery, OutboxEntry, OutboxState, StoreError, StoreHandle};
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

/// Follows actions on behalf of the engine's thread.
#[derive(Debug)]
pub(super) struct Outcomes {
    store: StoreHandle,
    gate: Gate,
    head: Option<String>,
}

impl Outcomes {
    pub(super) fn new(store: StoreHandle, gate: Gate) -> Self {
        Self { store, gate, head: None }
    }

    /// Tells the gate what may be sent as things stand; before anybody is answered, and before a checkpoint.
    pub(super) fn open_gate(&self, engine: &Engine) {
        self.gate.set(engine.send_rules());
    }

    /// Looks at the file of the kill switch. Answers whether there is news to be made durable.
    pub(super) fn kill_switch(&self, engine: &mut Engine, now: Millis) -> bool {
        engine.set_kill_switch(self.gate.is_switched_off(), now)
    }

    /// Takes in what became of deliveries, lets the outbox know what was found out of those that it does not know, ends
    /// what waited too long, shows the head of the audit trail. Answers whether there is news to be made durable.
    ///
    /// So a word about an unknown action holds on both sides, wherever it was said: `actions outcome` ends its delivery,
    /// and what `outbox settle` ended, also without a daemon, is taken in here.
    ///
    /// # Errors
    /// When nobody is left to write the state.
    pub(super) fn look(
        &mut self,
        engine: &mut Engine,
        metrics: &Metrics,
        now: Millis,
    ) -> Result<bool, StoreError> {
        let mut news = engine.expire_actions(now);
        let unsettled = engine.unsettled_actions();
        let asked = self.store.call_blocking(move |store| {
            let mut found = Vec::new();
            for (key, target) in unsettled {
                found.extend(store.action_delivery(&key, &target)?.map(|delivery| (key, delivery)));
            }
            let unknown = store.unknown_actions(MOST_UNKNOWN)?;
            Ok((found, unknown, store.audit_head()?))
        });
        let (found, unknown, head) = match asked {
            Ok(answer) => answer,
            Err(StoreError::Stopped) => return Err(StoreError::Stopped),
            // The file may be refusing for a while; the engine's own checkpoint says so, and this is asked again.
            Err(_) => return Ok(news),
        };
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
    fn pass_on(&self, engine: &Engine, unknown: Vec<OutboxEntry>) -> Result<(), StoreError> {
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
        let noted = self.store.call_blocking(move |store| {
            for (id, taken, how) in &known {
                store.action_known(*id, (*taken, how), wall)?;
            }
            Ok(())
        });
        match noted {
            Err(StoreError::Stopped) => Err(StoreError::Stopped),
            // As above: it is tried again.
            Err(_) => Ok(()),
            Ok(()) => {
                self.store.wake();
                Ok(())
            }
        }
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
