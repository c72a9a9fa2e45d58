//! Step 9 of 10: whether an alert starts a retraining or a rollback.
//!
//! Every reason not to act is a guard with a name; what was decided, and which guard held it, is kept in the audit
//! trail. Times are event times (ends of windows), so a replay decides the same; only the time that people have for an
//! approval, and that automations have to say that they did it, runs on the engine's own clock.
//!
//! | file | holds |
//! |---|---|
//! | `evidence.rs` | what a decision rests on |
//! | `guard.rs` | the guards |
//! | `request.rs` | the life of a request |
//! | `memory.rs` | what survives a restart: budgets, requests, suspension |
//! | `outcome.rs` | what became of a request |
//! | `approval.rs`, `command.rs`, `tell.rs` | tokens, orders of people, what people are told |
//! | `basis.rs` | what a row of the audit trail rests on |
//!
//! G-1: a request is let go at most once, and never while actions are suspended. G-2: no budget is ever exceeded.

mod approval;
mod basis;
mod command;
mod evidence;
mod guard;
mod memory;
mod outcome;
mod request;
mod tell;

use std::collections::{BTreeMap, BTreeSet};

pub use approval::ApprovalKey;
pub use basis::{Basis, LAST_MOMENT};
pub use command::ActionCommand;
pub use evidence::{Evidence, ModelFacts, Signal, Situation, VersionFacts};
pub use guard::Guard;
pub use memory::Suspension;
pub use outcome::Settled;
pub use request::{Request, RequestState};
pub use tell::without_token;

use crate::alert::{Delivery, Notification, Transition};
use crate::config::{Action, ActionGuards, ActionMode, Config};
use crate::engine::{AuditRow, OutboxRow};
use crate::subject::Millis;
use crate::view::{ActionView, HeldView};
use crate::window::WindowSettings;
use guard::{Look, Phase, run_key};
use memory::{Candidate, Memory};

/// Added to the default age of evidence: time for a target that does not answer.
const SPARE_AGE: Millis = 15 * 60_000;

/// What was decided, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Put into the outbox.
    Sent,
    /// Put before people.
    Asked,
    /// Recorded only.
    DryRun,
    /// A guard kept it back.
    Held,
}

impl Decision {
    /// Label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Asked => "asked",
            Self::DryRun => "dry_run",
            Self::Held => "held",
        }
    }
}

/// One decision, for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Name of the action.
    pub action: String,
    /// What was decided.
    pub decision: Decision,
    /// The guard that held it.
    pub guard: Option<Guard>,
}

/// What decisions leave behind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Left {
    /// Decisions, for metrics.
    pub decided: Vec<Decided>,
    /// Requests to be sent.
    pub outbox: Vec<OutboxRow>,
    /// What people are to be told.
    pub told: Vec<Notification>,
    /// Traces for the audit trail.
    pub audit: Vec<AuditRow>,
}

/// Which requests may be sent at this moment; whoever sends asks here last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendRules {
    /// Why nothing may be sent.
    pub suspended: Option<String>,
    /// Every request in the outbox by its key, with the reason why not.
    pub requests: BTreeMap<String, Option<String>>,
}

/// What the guards measure against.
#[derive(Debug, Clone)]
struct Limits {
    guards: ActionGuards,
    pane: Millis,
    /// Time between two judgements, by horizon.
    steps: BTreeMap<String, Millis>,
    min_rows: u64,
    /// Beside the time between two judgements of its own horizon.
    evidence_age: Millis,
    longest_cooldown: Millis,
    link_base: Option<String>,
}

/// Actions and the memory of their guards.
#[derive(Debug)]
pub struct Actions {
    configured: Vec<Action>,
    limits: Limits,
    approval_key: ApprovalKey,
    kill_switch: bool,
    memory: Memory,
    left: Left,
    dirty: bool,
}

impl Actions {
    /// The configured actions, none of them run yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let windows = WindowSettings::new(&config.windows, None, None);
        let step = |every: i64| every * windows.pane_ms;
        let steps: BTreeMap<String, Millis> =
            windows.horizons.iter().map(|horizon| (horizon.name.clone(), step(horizon.every))).collect();
        let limits = Limits {
            guards: config.action_guards.clone(),
            pane: windows.pane_ms,
            steps,
            min_rows: config.windows.min_rows,
            evidence_age: windows.lateness + 2 * windows.pane_ms + SPARE_AGE,
            longest_cooldown: config.actions.iter().map(|action| action.cooldown.millis()).max().unwrap_or(0),
            link_base: config.alerts.link_base.clone(),
        };
        Self {
            configured: config.actions.clone(),
            limits,
            approval_key: ApprovalKey::default(),
            kill_switch: false,
            memory: Memory::default(),
            left: Left::default(),
            dirty: false,
        }
    }

    /// Sets the secret from which approval tokens are made.
    pub fn set_approval_key(&mut self, key: ApprovalKey) {
        self.approval_key = key;
    }

    /// Notes whether the file of the kill switch exists; answers whether that is news.
    pub fn set_kill_switch(&mut self, exists: bool) -> bool {
        std::mem::replace(&mut self.kill_switch, exists) != exists
    }

    /// Whether there is nothing to decide and nothing to watch, so that the caller can spare itself the evidence.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.configured.is_empty() && self.memory.requests.is_empty()
    }

    /// Why nothing is started at present.
    #[must_use]
    pub fn suspended(&self) -> Option<String> {
        if self.kill_switch {
            return Some("the file of the kill switch exists".to_owned());
        }
        self.memory
            .suspended
            .as_ref()
            .map(|suspension| format!("{} (by {})", suspension.reason, suspension.by))
    }

    /// Whether the kill switch is why.
    #[must_use]
    pub fn kill_switch(&self) -> bool {
        self.kill_switch
    }

    /// The suspension by order, or by the blast-radius stop.
    #[must_use]
    pub fn suspension(&self) -> Option<&Suspension> {
        self.memory.suspended.as_ref()
    }

    /// Event time of the last decision.
    #[must_use]
    pub fn clock(&self) -> Millis {
        self.memory.clock
    }

    /// Takes in what was told and judged just now, decides what it starts, and looks after requests that are not over.
    pub fn consider(&mut self, told: &[Notification], situation: &Situation<'_>) {
        self.memory.clock = self.memory.clock.max(situation.at);
        self.resume_when_due(situation.at);
        self.take_in(told, situation);
        self.refresh(situation);
        self.watch_blast_radius(situation);
        self.decide(situation);
        self.watch(situation);
    }

    /// What was left behind since the last call.
    pub fn take_left(&mut self) -> Left {
        std::mem::take(&mut self.left)
    }

    fn take_in(&mut self, told: &[Notification], s: &Situation<'_>) {
        for notification in told {
            if notification.transition == Transition::Resolved {
                let before = self.memory.candidates.len();
                self.memory.candidates.retain(|known| known.cause.group != notification.group);
                self.dirty |= before != self.memory.candidates.len();
                continue;
            }
            if notification.transition == Transition::Repeated {
                continue; // nothing new
            }
            for action in self.configured.iter().filter(|action| wants(action, notification)) {
                let evidence = s.evidence(notification, &self.limits.steps).unwrap_or_default();
                let (action, cause) = (action.name.clone(), notification.clone());
                self.memory.note(Candidate { action, cause, evidence, held: None, told: BTreeSet::new() });
                self.dirty = true;
            }
        }
        let before = self.memory.candidates.len();
        self.memory.candidates.retain(|known| s.signals_of(&known.cause).next().is_some());
        self.dirty |= before != self.memory.candidates.len();
    }

    fn refresh(&mut self, s: &Situation<'_>) {
        for known in &mut self.memory.candidates {
            if let Some(evidence) = s.evidence(&known.cause, &self.limits.steps) {
                known.evidence = evidence;
            }
        }
        let open = |state| matches!(state, RequestState::Waiting | RequestState::Pending);
        for request in self.memory.requests.iter_mut().filter(|request| open(request.state)) {
            if let Some(evidence) = s.evidence(&request.cause, &self.limits.steps) {
                request.evidence = evidence;
            }
        }
    }

    /// Many models at once: it is the data upstream, and an action on each would be wrong.
    fn watch_blast_radius(&mut self, s: &Situation<'_>) {
        let guards = &self.limits.guards;
        if self.memory.suspended.is_some() {
            return;
        }
        let from = (s.at - guards.blast_within.millis()).max(self.memory.forgiven);
        let began = s.signals.iter().filter(|signal| signal.began > from && signal.began <= s.at);
        let models = began.map(|signal| signal.model.as_str()).collect::<BTreeSet<_>>().len();
        let watched = s.facts.keys().map(|(model, _)| model.as_str()).collect::<BTreeSet<_>>().len();
        if models < guards.blast_models || (models as f64) <= guards.blast_share * watched as f64 {
            return;
        }
        let until = guards.resume_after.map(|after| s.at.saturating_add(after.millis()));
        let reason = format!(
            "{models} of {watched} models began to fire within {}: it is the data upstream",
            guards.blast_within
        );
        self.suspend(Suspension { by: AuditRow::SELF.to_owned(), at: s.at, reason: reason.clone(), until });
        self.audit(s.at, "actions_suspended", "", reason);
    }

    fn suspend(&mut self, suspension: Suspension) {
        self.memory.suspended = Some(suspension);
        self.dirty = true;
    }

    fn resume_when_due(&mut self, at: Millis) {
        let until = self.memory.suspended.as_ref().and_then(|suspension| suspension.until);
        if until.is_some_and(|until| at >= until) {
            self.resume();
            self.audit(at, "actions_resumed", "", "the configured time is over".to_owned());
        }
    }

    fn resume(&mut self) {
        self.memory.suspended = None;
        self.memory.forgiven = self.memory.clock;
        self.dirty = true;
    }

    fn decide(&mut self, s: &Situation<'_>) {
        let configured = std::mem::take(&mut self.configured);
        for candidate in std::mem::take(&mut self.memory.candidates) {
            let Some(action) = configured.iter().find(|action| action.name == candidate.action) else {
                self.dirty = true;
                continue;
            };
            let Candidate { cause, evidence, .. } = &candidate;
            let look = Look { action, cause, evidence, own: None, situation: *s };
            match self.guard(&look, Phase::Decide) {
                Some(guard) => self.hold(action, candidate, guard, s),
                None => self.act(action, &candidate, s),
            }
        }
        self.configured = configured;
    }

    /// Told once per guard; looked at again at the next judged window.
    fn hold(&mut self, action: &Action, mut candidate: Candidate, guard: Guard, s: &Situation<'_>) {
        let before = candidate.held.replace(guard.as_str().to_owned());
        self.dirty |= before.as_deref() != Some(guard.as_str());
        if candidate.told.insert(guard.as_str().to_owned()) {
            let key = request::key(&action.name, &candidate.cause);
            let detail = basis::with_inputs(&basis::held(guard), &basis::inputs(&candidate, s));
            self.audit(s.at, &format!("{}_held", action.kind.as_str()), &key, detail);
            self.count(action, Decision::Held, Some(guard));
            self.dirty = true;
        }
        if guard != Guard::Superseded {
            self.memory.candidates.push(candidate);
        }
    }

    fn act(&mut self, action: &Action, candidate: &Candidate, s: &Situation<'_>) {
        let request = Request::new(action, &candidate.cause, candidate.evidence, s);
        let summary = format!("because of {}", candidate.cause.summary);
        let because = basis::with_inputs(&summary, &basis::inputs(candidate, s));
        let (run, what) = (run_key(action), action.kind.as_str());
        self.dirty = true;
        if self.memory.requests.iter().any(|known| known.key == request.key) {
            return;
        }
        self.memory.asked(&run, &request.model, (s.at, self.limits.longest_cooldown));
        match action.mode {
            ActionMode::DryRun => {
                self.memory.ran(&run, &request.model, s.at);
                self.count(action, Decision::DryRun, None);
                let detail = format!("mode is dry_run: recorded, not sent; {because}");
                self.audit(s.at, &format!("{what}_dry_run"), &request.key, detail);
            }
            ActionMode::Approve => {
                self.count(action, Decision::Asked, None);
                let until = s.now.saturating_add(self.limits.guards.approval_ttl.millis());
                self.audit(s.at, &format!("{what}_asked"), &request.key, because);
                let (state, approve_until) = (RequestState::Waiting, Some(until));
                let request = Request { state, approve_until, ..request };
                self.ask_people(action, &request, s.at);
                self.memory.add(request);
            }
            ActionMode::Auto => {
                self.count(action, Decision::Sent, None);
                self.audit(s.at, &format!("{what}_sent"), &request.key, because);
                self.tell_start(&request, s.at);
                self.let_go(action, &request, s.at);
                self.memory.add(request);
            }
        }
    }

    /// G-1, G-2: the one place from which a request goes into the outbox.
    fn let_go(&mut self, action: &Action, request: &Request, at: Millis) {
        debug_assert!(self.suspended().is_none(), "G-1");
        debug_assert!(
            self.memory.runs(&run_key(action), &request.model).on_day_of(at) < action.budget(),
            "G-2"
        );
        self.memory.ran(&run_key(action), &request.model, at);
        self.memory.forget_rollbacks_before(at - self.limits.guards.ping_pong.millis());
        self.memory.let_go(request, at);
        let usual = request.evidence.step.saturating_add(self.limits.evidence_age);
        let age = action.max_evidence_age.map_or(usual, |age| age.millis());
        self.left.outbox.push(OutboxRow {
            target: action.name.clone(),
            delivery: Delivery::Action(request.payload()),
            expires_at: Some(request.evidence.at.saturating_add(age)),
        });
    }

    fn count(&mut self, action: &Action, decision: Decision, guard: Option<Guard>) {
        self.left.decided.push(Decided { action: action.name.clone(), decision, guard });
    }

    fn audit(&mut self, at: Millis, what: &str, key: &str, detail: String) {
        let (actor, what, key) = (AuditRow::SELF.to_owned(), what.to_owned(), key.to_owned());
        self.left.audit.push(AuditRow { at, actor, what, key, detail });
    }

    /// Which requests in the outbox may be sent, as things stand.
    #[must_use]
    pub fn send_rules(&self, situation: &Situation<'_>) -> SendRules {
        let requests = self.memory.in_state(RequestState::Pending).map(|request| {
            let action = self.configured.iter().find(|action| action.name == request.action);
            let reason = action.map_or(Some("it is no longer configured".to_owned()), |action| {
                let Request { cause, evidence, .. } = request;
                let look = Look { action, cause, evidence, own: Some(request), situation: *situation };
                self.guard(&look, Phase::Send).map(|guard| format!("{}: {guard}", guard.as_str()))
            });
            (request.key.clone(), reason)
        });
        SendRules { suspended: self.suspended(), requests: requests.collect() }
    }

    /// Requests of which the outbox may know more, since they wait there or nobody knows whether they were taken: key and
    /// name of the action.
    #[must_use]
    pub fn unsettled(&self) -> Vec<(String, String)> {
        let follows = |state| matches!(state, RequestState::Pending | RequestState::Unknown);
        let open = self.memory.requests.iter().filter(|request| follows(request.state));
        open.map(|request| (request.key.clone(), request.action.clone())).collect()
    }

    /// Whether any request waits in the outbox.
    #[must_use]
    pub fn waits_to_be_sent(&self) -> bool {
        self.memory.in_state(RequestState::Pending).next().is_some()
    }

    /// Requests for display, newest first.
    #[must_use]
    pub fn views(&self) -> Vec<ActionView> {
        let needed = |request: &Request| {
            let action = self.configured.iter().find(|action| action.name == request.action);
            action.map_or(1, |action| action.approvals)
        };
        self.memory.requests.iter().rev().map(|request| ActionView::of(request, needed(request))).collect()
    }

    /// What a guard holds at present.
    #[must_use]
    pub fn held(&self) -> Vec<HeldView> {
        let held = self.memory.candidates.iter().filter_map(|known| {
            Some(HeldView {
                action: known.action.clone(),
                model: known.cause.model.clone(),
                version: known.cause.version.clone(),
                guard: known.held.clone()?,
                because: known.cause.summary.clone(),
            })
        });
        held.collect()
    }

    /// The document of the guards' memory, if it changed since the last call.
    pub fn take_document(&mut self) -> Option<String> {
        std::mem::take(&mut self.dirty).then(|| serde_json::to_string(&self.memory).unwrap_or_default())
    }

    /// Takes the document back.
    ///
    /// # Errors
    /// When it is not one of this program's documents.
    pub fn restore(&mut self, document: &str) -> Result<(), serde_json::Error> {
        self.memory = Memory::restore(document, &self.configured)?;
        Ok(())
    }
}

fn wants(action: &Action, notification: &Notification) -> bool {
    action.on.contains(&notification.kind)
        && action.min_severity.is_none_or(|least| notification.severity >= least)
        && (action.models.is_empty() || action.models.contains(&notification.model))
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
