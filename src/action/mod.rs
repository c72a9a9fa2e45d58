//! Step 9 of 10: whether an alert starts a retraining or a rollback.
//!
//! Every reason not to act is checked here and kept in the audit trail. Times are event times (ends of windows), so a
//! replay decides the same.

mod command;

use std::collections::BTreeMap;

pub use command::ActionCommand;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::alert::{ActionKind, ActionRequest, Delivery, Notification, Transition};
use crate::config::{Action, ActionMode};
use crate::engine::{AuditRow, OutboxRow};
use crate::subject::Millis;

const DAY: Millis = 86_400_000;

/// What the registry says of the version that an alert judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionFacts {
    /// Whether the version is still watched and not archived.
    pub current: bool,
    /// The version that a rollback returns to.
    pub rollback_to: Option<String>,
}

/// What was decided, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Put into the outbox.
    Sent,
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
            Self::DryRun => "dry_run",
            Self::Held => "held",
        }
    }
}

/// A guard that kept an action back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Guard {
    #[error("the version is no longer current")]
    Superseded,
    #[error("the cooldown since the last run for this model is not over")]
    Cooldown,
    #[error("the daily budget for this model is spent")]
    Budget,
    #[error("the registry knows no earlier good version to return to")]
    NoTarget,
}

/// Runs of one action for one model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Runs {
    last: Option<Millis>,
    day: i64,
    today: u32,
}

/// Actions and the memory of their guards.
#[derive(Debug)]
pub struct Actions {
    configured: Vec<Action>,
    runs: BTreeMap<String, BTreeMap<String, Runs>>,
    dirty: bool,
}

/// One decision with what it leaves behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Name of the action.
    pub action: String,
    /// What was decided.
    pub decision: Decision,
    /// The delivery, if it is to be sent.
    pub outbox: Option<OutboxRow>,
    /// Trace for the audit trail.
    pub audit: AuditRow,
}

impl Actions {
    /// The configured actions, none of them run yet.
    #[must_use]
    pub fn new(configured: Vec<Action>) -> Self {
        Self { configured, runs: BTreeMap::new(), dirty: false }
    }

    /// Whether this notification could start any action.
    #[must_use]
    pub fn wanted_by(&self, notification: &Notification) -> bool {
        notification.transition != Transition::Resolved
            && self.configured.iter().any(|action| wants(action, notification))
    }

    /// Decides on every action that this notification could start.
    pub fn decide(&mut self, notification: &Notification, facts: &VersionFacts) -> Vec<Decided> {
        if notification.transition == Transition::Resolved {
            return Vec::new();
        }
        let configured = std::mem::take(&mut self.configured);
        let wanted = configured.iter().filter(|action| wants(action, notification));
        let decided = wanted.map(|action| self.decide_one(action, notification, facts)).collect();
        self.configured = configured;
        decided
    }

    fn decide_one(&mut self, action: &Action, cause: &Notification, facts: &VersionFacts) -> Decided {
        let request = request(action, cause, facts);
        let (decision, detail) = match self.guard(action, cause, facts) {
            Some(guard) => (Decision::Held, guard.to_string()),
            None => {
                self.count(action, cause);
                match action.mode {
                    ActionMode::DryRun => {
                        (Decision::DryRun, "mode is dry_run: recorded, not sent".to_owned())
                    }
                    ActionMode::Auto => (Decision::Sent, format!("because of {}", cause.summary)),
                }
            }
        };
        let what = format!("{}_{}", action.kind.as_str(), decision.as_str());
        let audit = AuditRow {
            at: cause.at,
            actor: AuditRow::SELF.to_owned(),
            what,
            key: request.key.clone(),
            detail,
        };
        let expires_at = action.max_evidence_age.map(|age| cause.at.saturating_add(age.millis()));
        let row =
            || OutboxRow { target: action.name.clone(), delivery: Delivery::Action(request), expires_at };
        let outbox = (decision == Decision::Sent).then(row);
        Decided { action: action.name.clone(), decision, outbox, audit }
    }

    fn guard(&self, action: &Action, cause: &Notification, facts: &VersionFacts) -> Option<Guard> {
        let runs = self
            .runs
            .get(&action.name)
            .and_then(|models| models.get(&cause.model))
            .copied()
            .unwrap_or_default();
        let cooling = runs.last.is_some_and(|last| cause.at < last.saturating_add(action.cooldown.millis()));
        let today = if runs.day == cause.at.div_euclid(DAY) { runs.today } else { 0 };
        let checks = [
            (!facts.current, Guard::Superseded),
            (cooling, Guard::Cooldown),
            (today >= action.daily_budget, Guard::Budget),
            (action.kind == ActionKind::Rollback && facts.rollback_to.is_none(), Guard::NoTarget),
        ];
        checks.into_iter().find(|(held, _)| *held).map(|(_, guard)| guard)
    }

    fn count(&mut self, action: &Action, cause: &Notification) {
        let models = self.runs.entry(action.name.clone()).or_default();
        let runs = models.entry(cause.model.clone()).or_default();
        let day = cause.at.div_euclid(DAY);
        let today = if runs.day == day { runs.today + 1 } else { 1 };
        *runs = Runs { last: Some(cause.at), day, today };
        self.dirty = true;
    }

    /// The document of the guards' memory, if it changed since the last call.
    pub fn take_document(&mut self) -> Option<String> {
        std::mem::take(&mut self.dirty).then(|| serde_json::to_string(&self.runs).unwrap_or_default())
    }

    /// Takes the document back.
    ///
    /// # Errors
    /// When it is not one of this program's documents.
    pub fn restore(&mut self, document: &str) -> Result<(), serde_json::Error> {
        self.runs = serde_json::from_str(document)?;
        Ok(())
    }
}

fn wants(action: &Action, notification: &Notification) -> bool {
    action.on.contains(&notification.kind)
        && action.min_severity.is_none_or(|least| notification.severity >= least)
        && (action.models.is_empty() || action.models.contains(&notification.model))
}

fn request(action: &Action, cause: &Notification, facts: &VersionFacts) -> ActionRequest {
    let digest = Sha256::digest(format!("{}\n{}", action.name, cause.key));
    ActionRequest {
        key: digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
        action: action.name.clone(),
        kind: action.kind,
        model: cause.model.clone(),
        version: cause.version.clone(),
        to_version: facts.rollback_to.clone().filter(|_| action.kind == ActionKind::Rollback),
        cause: cause.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{AlertKind, Severity};
    use crate::config::Span;

    fn action(kind: ActionKind) -> Action {
        Action {
            name: "act".to_owned(),
            kind,
            url: "http://127.0.0.1/".to_owned(),
            secret: None,
            on: vec![AlertKind::Drift],
            min_severity: None,
            models: Vec::new(),
            mode: ActionMode::Auto,
            cooldown: Span::from_hours(6),
            daily_budget: 2,
            max_evidence_age: None,
        }
    }

    fn notification(at: Millis) -> Notification {
        Notification {
            key: format!("key-{at}"),
            group: "g".to_owned(),
            transition: Transition::Firing,
            model: "m".to_owned(),
            version: "1.0.0".to_owned(),
            kind: AlertKind::Drift,
            severity: Severity::Warning,
            summary: "drift".to_owned(),
            at,
            since: at,
            reference: "r".to_owned(),
            coverage: 1.0,
            findings: Vec::new(),
            more_findings: 0,
            link: None,
            runbook: None,
            labels: Default::default(),
            evidence: Default::default(),
            repeat: 0,
        }
    }

    const HOUR: Millis = 3_600_000;

    fn facts() -> VersionFacts {
        VersionFacts { current: true, rollback_to: Some("0.9.0".to_owned()) }
    }

    fn decisions(actions: &mut Actions, times: &[Millis]) -> Vec<Decision> {
        times
            .iter()
            .flat_map(|at| actions.decide(&notification(*at), &facts()))
            .map(|one| one.decision)
            .collect()
    }

    #[test]
    fn cooldown_and_daily_budget_hold_further_runs() {
        let mut actions = Actions::new(vec![action(ActionKind::Retrain)]);
        let told = decisions(&mut actions, &[0, HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR]);
        use Decision::{Held, Sent};
        assert_eq!(told, [Sent, Held, Sent, Held, Sent]);
    }

    #[test]
    fn a_dry_run_sends_nothing_but_leaves_a_trace() {
        let mut actions =
            Actions::new(vec![Action { mode: ActionMode::DryRun, ..action(ActionKind::Retrain) }]);
        let decided = actions.decide(&notification(0), &facts());
        assert_eq!(decided[0].decision, Decision::DryRun);
        assert!(decided[0].outbox.is_none());
        assert_eq!(decided[0].audit.what, "retrain_dry_run");
    }

    #[test]
    fn a_rollback_names_the_version_to_return_to_or_is_held() {
        let mut actions = Actions::new(vec![action(ActionKind::Rollback)]);
        let held = actions.decide(&notification(0), &VersionFacts { current: true, rollback_to: None });
        assert_eq!(held[0].decision, Decision::Held);
        let sent = actions.decide(&notification(0), &facts());
        let Some(Delivery::Action(request)) = sent[0].outbox.as_ref().map(|row| &row.delivery) else {
            panic!("nothing sent")
        };
        assert_eq!(request.to_version.as_deref(), Some("0.9.0"));
    }

    #[test]
    fn a_superseded_version_starts_nothing() {
        let mut actions = Actions::new(vec![action(ActionKind::Retrain)]);
        let decided = actions.decide(&notification(0), &VersionFacts::default());
        assert_eq!(decided[0].decision, Decision::Held);
    }

    #[test]
    fn guards_remember_across_a_restart() {
        let mut actions = Actions::new(vec![action(ActionKind::Retrain)]);
        decisions(&mut actions, &[0]);
        let document = actions.take_document().expect("changed");
        let mut restarted = Actions::new(vec![action(ActionKind::Retrain)]);
        restarted.restore(&document).expect("its own document");
        assert_eq!(decisions(&mut restarted, &[HOUR]), [Decision::Held]);
    }
}
