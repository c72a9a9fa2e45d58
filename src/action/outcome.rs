//! What became of a request: was it taken, did the version change, did the drift end?

use std::collections::BTreeMap;

use super::{Actions, ModelFacts, Request, RequestState, Situation};
use crate::alert::{ActionKind, Severity, Transition};
use crate::subject::Millis;
use crate::view::Level;

/// Judged windows in a row without the alert after which an action counts as effective.
const CALM: u32 = 3;

/// Longest wait for judged windows after an action was done.
const LONGEST_WATCH: Millis = 7 * 86_400_000;

/// How the delivery of a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The target took it.
    Delivered,
    /// The target refused it, or was never reached.
    Dead,
    /// A guard stopped it just before it was sent.
    Stopped,
    /// It was no longer worth sending.
    Expired,
    /// Nobody knows.
    Unknown,
}

impl Actions {
    /// Notes how the delivery of a request ended; one of which more is known already stays as it is. Answers whether it is
    /// news: of one that was unknown, only what a person found out is. From `now` on, by the engine's own clock, a request
    /// that was taken has the time to be confirmed: event time may be days behind, and may pass in a minute.
    pub fn settled(&mut self, key: &str, settled: Settled, detail: &str, now: Millis) -> bool {
        let follows = |state| matches!(state, RequestState::Pending | RequestState::Unknown);
        let Some(index) = self.position(key, follows) else { return false };
        let was_unknown = self.memory.requests[index].state == RequestState::Unknown;
        if was_unknown && settled == Settled::Unknown {
            return false;
        }
        let at = self.memory.clock;
        let (state, detail) = match settled {
            Settled::Delivered if was_unknown => (RequestState::Sent, detail),
            Settled::Delivered => (RequestState::Sent, "the target took it"),
            Settled::Dead => (RequestState::Failed, detail),
            Settled::Stopped => (RequestState::Withdrawn, detail),
            Settled::Expired => (RequestState::Expired, "the target was not reached in time"),
            Settled::Unknown => (RequestState::Unknown, detail),
        };
        self.set_state(index, state, detail);
        self.memory.requests[index].taken_at = (state == RequestState::Sent).then_some(now);
        match settled {
            Settled::Delivered if was_unknown => {
                self.tell_index(index, Transition::Updated, Severity::Warning, at);
            }
            Settled::Delivered => {} // everybody was told when it began
            Settled::Stopped => self.tell_index(index, Transition::Resolved, Severity::Warning, at),
            Settled::Dead | Settled::Expired | Settled::Unknown => {
                self.tell_index(index, Transition::Updated, Severity::Critical, at);
            }
        }
        true
    }

    /// What is known of a request whose delivery does not know it: whether it was taken, and how that is known.
    #[must_use]
    pub fn known(&self, key: &str) -> Option<(bool, &str)> {
        let request = self.memory.requests.iter().find(|request| request.key == key)?;
        let taken = match request.state {
            RequestState::Sent
            | RequestState::Confirmed
            | RequestState::Effective
            | RequestState::Ineffective => true,
            RequestState::Failed => false,
            RequestState::Waiting
            | RequestState::Pending
            | RequestState::Unknown
            | RequestState::Unconfirmed
            | RequestState::Refused
            | RequestState::Expired
            | RequestState::Withdrawn => return None,
        };
        Some((taken, &request.detail))
    }

    /// Ends what waited too long for people, by the engine's own clock. Answers whether anything ended.
    pub fn expire(&mut self, now: Millis) -> bool {
        let over = |request: &Request| {
            request.state == RequestState::Waiting && request.approve_until.is_some_and(|until| now >= until)
        };
        let over: Vec<usize> =
            (0..self.memory.requests.len()).filter(|index| over(&self.memory.requests[*index])).collect();
        for index in &over {
            self.set_state(*index, RequestState::Expired, "nobody approved it in time");
            let key = self.memory.requests[*index].key.clone();
            self.audit(now, "action_expired", &key, "nobody approved it in time".to_owned());
            let at = self.memory.clock;
            self.tell_index(*index, Transition::Resolved, Severity::Warning, at);
        }
        !over.is_empty()
    }

    /// Looks whether the registry shows what was asked. Answers whether it does for any request.
    pub fn registry_changed(&mut self, models: &BTreeMap<String, ModelFacts>) -> bool {
        let at = self.memory.clock;
        let asked = |state| matches!(state, RequestState::Sent | RequestState::Unknown);
        let mut any = false;
        for index in 0..self.memory.requests.len() {
            any |= asked(self.memory.requests[index].state) && self.watch_registry(index, models, at);
        }
        any
    }

    /// Looks after every request that is not over.
    pub(super) fn watch(&mut self, s: &Situation<'_>) {
        for index in 0..self.memory.requests.len() {
            match self.memory.requests[index].state {
                RequestState::Waiting => self.watch_waiting(index, s),
                RequestState::Sent => {
                    if !self.watch_registry(index, s.models, s.at) {
                        self.watch_clock(index, s);
                    }
                }
                RequestState::Unknown => _ = self.watch_registry(index, s.models, s.at),
                RequestState::Confirmed => self.watch_effect(index, s),
                // The outbox ends it: it is sent, or it expires.
                RequestState::Pending
                | RequestState::Effective
                | RequestState::Ineffective
                | RequestState::Unconfirmed
                | RequestState::Refused
                | RequestState::Expired
                | RequestState::Withdrawn
                | RequestState::Failed => {}
            }
        }
    }

    fn watch_waiting(&mut self, index: usize, s: &Situation<'_>) {
        let request = &self.memory.requests[index];
        if s.signals_of(&request.cause).next().is_none() {
            self.end(index, RequestState::Withdrawn, "the alert is over", (Transition::Resolved, s.at));
        }
    }

    /// Whether the registry shows that it was done.
    fn watch_registry(&mut self, index: usize, models: &BTreeMap<String, ModelFacts>, at: Millis) -> bool {
        let request = &self.memory.requests[index];
        let Some(model) = models.get(&request.model) else { return false };
        let seen = match request.kind {
            ActionKind::Rollback => model.serving.is_some() && model.serving == request.to_version,
            ActionKind::Retrain => request
                .known_versions
                .as_ref()
                .is_some_and(|known| model.versions.iter().any(|version| !known.contains(version))),
        };
        if seen {
            self.confirm(index, "the registry shows it", at);
        }
        seen
    }

    pub(super) fn confirm(&mut self, index: usize, detail: &str, at: Millis) {
        self.memory.requests[index].confirmed_at = Some(at);
        self.end(index, RequestState::Confirmed, detail, (Transition::Updated, at));
    }

    fn watch_clock(&mut self, index: usize, s: &Situation<'_>) {
        let request = &mut self.memory.requests[index];
        // One of an earlier version of this document says nothing of it.
        self.dirty |= request.taken_at.is_none();
        let taken_at = *request.taken_at.get_or_insert(s.now);
        let action = self.configured.iter().find(|action| action.name == request.action);
        let within = action.map_or(0, |action| action.confirm_within().millis());
        if s.now >= taken_at.saturating_add(within) {
            let detail = "nobody said in time that it was done";
            self.end(index, RequestState::Unconfirmed, detail, (Transition::Updated, s.at));
        }
    }

    /// Whether the alert ended: judged windows of the versions that serve now, without the kind that caused it.
    fn watch_effect(&mut self, index: usize, s: &Situation<'_>) {
        let request = &self.memory.requests[index];
        let (kind, model) = (request.cause.kind, request.model.as_str());
        let is_current = |version: &str| s.facts_of(model, version).current;
        let judged = s.windows.iter().filter(|window| {
            window.model == model
                && window.segment.is_none()
                && window.level != Level::Insufficient
                && is_current(&window.version)
        });
        let mut any = false;
        let mut over = s
            .signals
            .iter()
            .any(|signal| signal.model == model && signal.kind == kind && is_current(&signal.version));
        for window in judged {
            any = true;
            over |= window.verdicts.iter().any(|verdict| {
                verdict.kind == kind && verdict.level == Level::Drift && verdict.inhibited_by.is_none()
            });
        }
        let (mut windows, mut calm) = request.judged;
        if any {
            windows += 1;
            calm = if over { 0 } else { calm + 1 };
        }
        let since = request.confirmed_at.unwrap_or(s.at);
        let action = self.configured.iter().find(|action| action.name == request.action);
        let most = action.map_or(0, |action| action.effect_windows);
        if (windows, calm) != request.judged {
            self.memory.requests[index].judged = (windows, calm);
            self.dirty = true;
        }
        if calm >= CALM {
            self.end(index, RequestState::Effective, "the alert ended", (Transition::Resolved, s.at));
        } else if windows >= most.max(CALM) {
            let detail = format!("the alert did not end within {windows} judged windows");
            self.end(index, RequestState::Ineffective, &detail, (Transition::Updated, s.at));
        } else if s.at >= since.saturating_add(LONGEST_WATCH) {
            let detail = "too few windows were judged since to see an effect";
            self.end(index, RequestState::Unconfirmed, detail, (Transition::Updated, s.at));
        }
    }

    /// A step in the life of a request that is told and kept in the audit trail.
    pub(super) fn end(
        &mut self,
        index: usize,
        state: RequestState,
        detail: &str,
        (transition, at): (Transition, Millis),
    ) {
        self.set_state(index, state, detail);
        let key = self.memory.requests[index].key.clone();
        self.audit(at, &format!("action_{}", state.as_str()), &key, detail.to_owned());
        let calm = matches!(state, RequestState::Confirmed | RequestState::Effective);
        let severity = if calm { Severity::Warning } else { Severity::Critical };
        self.tell_index(index, transition, severity, at);
    }

    pub(super) fn set_state(&mut self, index: usize, state: RequestState, detail: &str) {
        let request = &mut self.memory.requests[index];
        request.state = state;
        detail.clone_into(&mut request.detail);
        self.dirty = true;
    }

    pub(super) fn position(&self, key: &str, fits: impl Fn(RequestState) -> bool) -> Option<usize> {
        self.memory.requests.iter().position(|request| request.key == key && fits(request.state))
    }
}
