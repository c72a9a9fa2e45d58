//! What the guards remember; one document of the checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Evidence, Request, RequestState};
use crate::alert::Notification;
use crate::config::Action;
use crate::subject::Millis;

const DAY: Millis = 86_400_000;
const HOUR: Millis = 3_600_000;

/// Requests that are over and still shown; older ones are in the audit trail.
const MAX_FINISHED: usize = 200;

/// Alerts that may start an action and are looked at again at each judged window; beyond it the oldest give way.
const MAX_CANDIDATES: usize = 5_000;

/// Runs of one kind of action for one model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Runs {
    /// When it was last asked for, also of people.
    pub(super) last: Option<Millis>,
    day: i64,
    today: u32,
}

impl Runs {
    pub(super) fn on_day_of(self, at: Millis) -> u32 {
        if self.day == at.div_euclid(DAY) { self.today } else { 0 }
    }
}

/// Why nothing is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Who suspended.
    pub by: String,
    /// Since when: event time if by itself, else wall clock.
    pub at: Millis,
    /// Why.
    pub reason: String,
    /// Event time at which it ends by itself.
    pub until: Option<Millis>,
}

/// An alert that may start an action and has not yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Candidate {
    pub(super) action: String,
    pub(super) cause: Notification,
    pub(super) evidence: Evidence,
    /// The guard that held it last.
    pub(super) held: Option<String>,
    /// Every guard that held it so far, so that each is told once, however they take turns.
    #[serde(default)]
    pub(super) told: BTreeSet<String>,
}

/// Everything that must survive a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// Runs by kind, or by name for dry runs, and model.
    pub(super) runs: BTreeMap<String, BTreeMap<String, Runs>>,
    /// When requests were let go within the last hour.
    let_go: Vec<Millis>,
    pub(super) suspended: Option<Suspension>,
    /// Event time up to which alerts were forgiven by whoever resumed last.
    pub(super) forgiven: Millis,
    pub(super) candidates: Vec<Candidate>,
    pub(super) requests: Vec<Request>,
    /// Versions that were rolled back from, by model.
    rolled_back: BTreeMap<String, BTreeMap<String, Millis>>,
    /// Event time of the last decision.
    pub(super) clock: Millis,
}

/// The document of an earlier version: runs by name of the action and model.
type FirstDocument = BTreeMap<String, BTreeMap<String, Runs>>;

impl Memory {
    pub(super) fn restore(document: &str, configured: &[Action]) -> Result<Self, serde_json::Error> {
        let Ok(first) = serde_json::from_str::<FirstDocument>(document) else {
            return serde_json::from_str(document);
        };
        let mut memory = Self::default();
        for (name, models) in first {
            if let Some(action) = configured.iter().find(|action| action.name == name) {
                memory.runs.insert(super::guard::run_key(action), models);
            }
        }
        Ok(memory)
    }

    pub(super) fn runs(&self, key: &str, model: &str) -> Runs {
        self.runs.get(key).and_then(|models| models.get(model)).copied().unwrap_or_default()
    }

    /// Begins the cooldown; `longest` is that of all actions. What no cooldown and no budget looks at any more is
    /// forgotten: models come and go.
    pub(super) fn asked(&mut self, key: &str, model: &str, (at, longest): (Millis, Millis)) {
        let then = at.saturating_sub(longest.max(DAY)).saturating_sub(DAY);
        for models in self.runs.values_mut() {
            models.retain(|_, runs| {
                runs.last.is_some_and(|last| last >= then) || runs.day >= then.div_euclid(DAY)
            });
        }
        self.runs.entry(key.to_owned()).or_default().entry(model.to_owned()).or_default().last = Some(at);
    }

    /// Takes one run of the model's budget.
    pub(super) fn ran(&mut self, key: &str, model: &str, at: Millis) {
        let runs = self.runs.entry(key.to_owned()).or_default().entry(model.to_owned()).or_default();
        let today = runs.on_day_of(at) + 1;
        (runs.day, runs.today) = (at.div_euclid(DAY), today);
    }

    /// Takes one of everybody's budget.
    pub(super) fn let_go(&mut self, request: &Request, at: Millis) {
        self.let_go.retain(|then| *then > at - HOUR);
        self.let_go.push(at);
        if request.to_version.is_some() {
            let of_model = self.rolled_back.entry(request.model.clone()).or_default();
            of_model.insert(request.version.clone(), at);
        }
    }

    pub(super) fn let_go_in_hour_before(&self, at: Millis) -> usize {
        self.let_go.iter().filter(|then| **then > at - HOUR).count()
    }

    pub(super) fn rolled_back_at(&self, model: &str, version: &str) -> Option<Millis> {
        self.rolled_back.get(model)?.get(version).copied()
    }

    pub(super) fn forget_rollbacks_before(&mut self, then: Millis) {
        self.rolled_back.values_mut().for_each(|of_model| of_model.retain(|_, at| *at >= then));
        self.rolled_back.retain(|_, of_model| !of_model.is_empty());
    }

    /// Notes an alert that may start an action; it takes the place of one of the same episode, with what was told of it.
    pub(super) fn note(&mut self, mut candidate: Candidate) {
        let same = |known: &Candidate| {
            known.action == candidate.action && known.cause.group == candidate.cause.group
        };
        if let Some(known) = self.candidates.iter().position(same) {
            let known = self.candidates.remove(known);
            (candidate.held, candidate.told) = (known.held, known.told);
        }
        if self.candidates.len() >= MAX_CANDIDATES {
            self.candidates.remove(0);
        }
        self.candidates.push(candidate);
    }

    /// Adds a request and forgets the oldest finished ones above the bound.
    pub(super) fn add(&mut self, request: Request) {
        self.requests.push(request);
        let finished = self.requests.iter().filter(|request| request.state.is_over()).count();
        let mut surplus = finished.saturating_sub(MAX_FINISHED);
        self.requests.retain(|request| {
            let goes = surplus > 0 && request.state.is_over();
            surplus -= usize::from(goes);
            !goes
        });
    }

    pub(super) fn in_state(&self, state: RequestState) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(move |request| request.state == state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_come_and_go_leave_no_runs_behind_and_no_cooldown_is_cut_short() {
        let (mut memory, cooldown) = (Memory::default(), 3 * DAY);
        for day in 0..1_000 {
            let (model, at) = (format!("m{day}"), day * DAY + HOUR);
            memory.asked("retrain", &model, (at, cooldown));
            memory.ran("retrain", &model, at);
            assert!(memory.runs["retrain"].len() <= 5, "{:?}", memory.runs);
            for ago in 0..=3.min(day) {
                let runs = memory.runs("retrain", &format!("m{}", day - ago));
                assert_eq!(runs.last, Some(at - ago * DAY));
            }
        }
    }
}
