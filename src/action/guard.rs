//! The guards: every reason not to act, each with its name, its sentence and the moments at which it is asked.

use super::{Actions, Evidence, Request, Situation, VersionFacts};
use crate::alert::{ActionKind, Notification};
use crate::config::{Action, ActionMode};

/// A guard that keeps an action back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Guard {
    /// Actions are suspended.
    #[error("all actions are suspended")]
    Suspended,
    /// The counts are not whole.
    #[error("the state was lost lately: its windows are not trusted for actions yet")]
    StateLost,
    /// The version is archived, or no longer watched.
    #[error("the version is no longer current")]
    Superseded,
    /// Another version is in production.
    #[error("another version is in production: there is nothing to roll back")]
    NotServing,
    /// Nothing to return to.
    #[error("the registry knows no earlier good version to return to")]
    NoTarget,
    /// The version to return to fires itself.
    #[error("the version to return to fires itself")]
    TargetFiring,
    /// The version to return to was rolled back from lately.
    #[error("the version to return to was itself rolled back from lately")]
    PingPong,
    /// The version is too new in its stage.
    #[error("the version came to its stage only lately")]
    DeployGrace,
    /// The alert is over.
    #[error("the alert is over")]
    Resolved,
    /// No window was judged lately.
    #[error("the last judged window behind it is too old")]
    StaleEvidence,
    /// The window has gaps.
    #[error("the window behind it was not watched without a gap")]
    Coverage,
    /// The window has too few rows.
    #[error("the window behind it has too few rows")]
    Samples,
    /// A single alert that is too young.
    #[error("one alert alone must last for more windows, or another column or kind must fire too")]
    Signals,
    /// Another request for the model is not over.
    #[error("another action for this model is not over")]
    OpenAction,
    /// The last run was lately.
    #[error("the cooldown since the last run for this model is not over")]
    Cooldown,
    /// The model's budget is spent.
    #[error("the daily budget for this model is spent")]
    DailyBudget,
    /// The budget of all models is spent.
    #[error("the hourly budget of all models is spent")]
    HourlyBudget,
}

/// When guards are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Decide,
    Approve,
    Send,
}

impl Guard {
    /// All guards, in the order in which they are asked.
    pub const ALL: [Self; 17] = [
        Self::Suspended,
        Self::StateLost,
        Self::Superseded,
        Self::NotServing,
        Self::NoTarget,
        Self::TargetFiring,
        Self::PingPong,
        Self::DeployGrace,
        Self::Resolved,
        Self::StaleEvidence,
        Self::Coverage,
        Self::Samples,
        Self::Signals,
        Self::OpenAction,
        Self::Cooldown,
        Self::DailyBudget,
        Self::HourlyBudget,
    ];

    /// Name in labels and the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::StateLost => "state_lost",
            Self::Superseded => "superseded",
            Self::NotServing => "not_serving",
            Self::NoTarget => "no_target",
            Self::TargetFiring => "target_firing",
            Self::PingPong => "ping_pong",
            Self::DeployGrace => "deploy_grace",
            Self::Resolved => "resolved",
            Self::StaleEvidence => "stale_evidence",
            Self::Coverage => "coverage",
            Self::Samples => "samples",
            Self::Signals => "signals",
            Self::OpenAction => "open_action",
            Self::Cooldown => "cooldown",
            Self::DailyBudget => "daily_budget",
            Self::HourlyBudget => "hourly_budget",
        }
    }

    /// What an approval or a send need not ask again: it was counted when the request was made.
    const fn applies(self, phase: Phase) -> bool {
        match (self, phase) {
            (_, Phase::Decide) => true,
            (Self::Cooldown | Self::Signals, Phase::Approve) => false,
            (_, Phase::Approve) => true,
            (Self::Signals | Self::Cooldown | Self::DailyBudget | Self::HourlyBudget, Phase::Send) => false,
            (_, Phase::Send) => true,
        }
    }
}

/// What the guards look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) action: &'a Action,
    pub(super) cause: &'a Notification,
    pub(super) evidence: &'a Evidence,
    /// The request itself, once it is made.
    pub(super) own: Option<&'a Request>,
    pub(super) situation: Situation<'a>,
}

impl Actions {
    /// The first guard that keeps it back.
    pub(super) fn guard(&self, look: &Look<'_>, phase: Phase) -> Option<Guard> {
        let facts = look.situation.facts_of(&look.cause.model, &look.cause.version);
        Guard::ALL
            .into_iter()
            .filter(|guard| guard.applies(phase))
            .find(|guard| self.keeps_back(*guard, look, &facts))
    }

    fn keeps_back(&self, guard: Guard, look: &Look<'_>, facts: &VersionFacts) -> bool {
        let Look { action, cause, evidence, situation, .. } = *look;
        let at = situation.at;
        match guard {
            Guard::Suspended => self.suspended().is_some(),
            Guard::StateLost => situation.state_lost,
            Guard::Superseded => !facts.current,
            Guard::NotServing | Guard::NoTarget | Guard::TargetFiring | Guard::PingPong => {
                action.kind == ActionKind::Rollback && self.bad_target(guard, look, facts)
            }
            Guard::DeployGrace => {
                let grace = self.limits.guards.deploy_grace.millis();
                grace > 0 && facts.since.is_some_and(|since| at < since.saturating_add(grace))
            }
            Guard::Resolved => situation.signals_of(cause).next().is_none(),
            Guard::StaleEvidence => {
                at > evidence.at.saturating_add(evidence.step).saturating_add(2 * self.limits.pane)
            }
            Guard::Coverage => evidence.coverage < action.min_coverage,
            Guard::Samples => evidence.rows < action.min_rows.max(self.limits.min_rows),
            Guard::Signals => !self.enough_signals(look),
            Guard::OpenAction => self.memory.requests.iter().any(|request| {
                request.state.is_open()
                    && request.model == cause.model
                    && look.own.is_none_or(|own| own.key != request.key)
            }),
            Guard::Cooldown => {
                let last = self.memory.runs(&run_key(action), &cause.model).last;
                last.is_some_and(|last| at < last.saturating_add(action.cooldown.millis()))
            }
            Guard::DailyBudget => {
                self.memory.runs(&run_key(action), &cause.model).on_day_of(at) >= action.budget()
            }
            Guard::HourlyBudget => {
                action.mode != ActionMode::DryRun
                    && self.memory.let_go_in_hour_before(at) >= self.limits.guards.max_per_hour as usize
            }
        }
    }

    fn bad_target(&self, guard: Guard, look: &Look<'_>, facts: &VersionFacts) -> bool {
        let Look { cause, situation, own, .. } = *look;
        let target = facts.rollback_to.as_deref();
        match (guard, target) {
            (Guard::NotServing, _) => {
                let serving = situation.models.get(&cause.model).and_then(|model| model.serving.as_ref());
                serving.is_some_and(|serving| *serving != cause.version)
            }
            (Guard::NoTarget, None) => true,
            (Guard::NoTarget, Some(target)) => {
                let model = situation.models.get(&cause.model);
                own.is_some_and(|own| own.to_version.as_deref() != Some(target))
                    || model.is_some_and(|model| !model.versions.contains(target))
            }
            (Guard::TargetFiring, Some(target)) => situation.fires(&cause.model, target),
            (Guard::PingPong, Some(target)) => {
                let within = self.limits.guards.ping_pong.millis();
                let lately = |then| situation.at < then + within;
                facts.target_rolled_back_at.is_some_and(lately)
                    || self.memory.rolled_back_at(&cause.model, target).is_some_and(lately)
            }
            _ => false,
        }
    }

    /// Several columns or kinds of the version, or one alert of the group for long enough.
    fn enough_signals(&self, look: &Look<'_>) -> bool {
        let Look { action, cause, situation, .. } = *look;
        let independent = situation.independent(&cause.model, &cause.version);
        let lasting = situation.signals_of(cause).any(|signal| {
            let step = self.limits.steps.get(&signal.horizon).copied().unwrap_or(self.limits.pane).max(1);
            (situation.at - signal.since).div_euclid(step) + 1 >= i64::from(action.or_windows)
        });
        independent >= action.min_signals as usize || lasting
    }
}

/// Under which name runs are remembered: a dry run uses nobody's budget but its own.
pub(super) fn run_key(action: &Action) -> String {
    match action.mode {
        ActionMode::DryRun => format!("dry_run:{}", action.name),
        ActionMode::Approve | ActionMode::Auto => action.kind.as_str().to_owned(),
    }
}
