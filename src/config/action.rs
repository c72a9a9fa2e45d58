//! What may be started: retraining and rollback, with their guards.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretSource, Span};
use crate::alert::{ActionKind, AlertKind, Severity};

/// An automation that is started. Off unless configured; `dry_run` unless `mode` says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Name in metrics, logs and the outbox.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What is asked.
    pub kind: ActionKind,
    /// Address of the webhook.
    pub url: String,
    /// Signing secret.
    #[serde(default)]
    pub secret: Option<SecretSource>,
    /// Kinds of alerts that start it.
    #[schemars(length(min = 1))]
    pub on: Vec<AlertKind>,
    /// Lowest severity that starts it.
    #[serde(default)]
    pub min_severity: Option<Severity>,
    /// Only these models; empty means all.
    #[serde(default)]
    pub models: Vec<String>,
    /// Whether the request is only recorded, sent once a person approves, or sent.
    #[serde(default)]
    pub mode: ActionMode,
    /// People that must approve, each by another name; only with `mode: approve`.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 5))]
    pub approvals: u32,
    /// Shortest time between two runs of this kind for one model.
    #[serde(default = "default_cooldown")]
    pub cooldown: Span,
    /// Most runs of this kind per model and day (UTC): by default 1 for `rollback`, 2 for `retrain`.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub daily_budget: Option<u32>,
    /// Oldest evidence that may still be sent, by the wall clock: by default `windows.lateness`, the time between
    /// two judgements of its horizon, two panes and 15 minutes.
    #[serde(default)]
    pub max_evidence_age: Option<Span>,
    /// Fewest rows of the window behind it; `windows.min_rows` holds in any case.
    #[serde(default)]
    pub min_rows: u64,
    /// Least share of that window that was watched without a gap.
    #[serde(default = "default_coverage")]
    #[schemars(range(min = 0, max = 1))]
    pub min_coverage: f64,
    /// Alerts of the version that must fire, each of another column or kind …
    #[serde(default = "default_signals")]
    #[schemars(range(min = 1))]
    pub min_signals: u32,
    /// … or judged windows for which a single one must have lasted.
    #[serde(default = "default_windows")]
    #[schemars(range(min = 1))]
    pub or_windows: u32,
    /// Time (of events) in which the registry or the automation must say that it was done: by default 1h for
    /// `rollback`, 24h for `retrain`.
    #[serde(default)]
    pub confirm_within: Option<Span>,
    /// Judged windows after that, in which the alert must end.
    #[serde(default = "default_effect")]
    #[schemars(range(min = 1))]
    pub effect_windows: u32,
}

impl Action {
    /// Most runs per model and day.
    #[must_use]
    pub const fn budget(&self) -> u32 {
        match (self.daily_budget, self.kind) {
            (Some(budget), _) => budget,
            (None, ActionKind::Rollback) => 1,
            (None, ActionKind::Retrain) => 2,
        }
    }

    /// Time in which it must be confirmed.
    #[must_use]
    pub const fn confirm_within(&self) -> Span {
        match (self.confirm_within, self.kind) {
            (Some(span), _) => span,
            (None, ActionKind::Rollback) => Span::from_hours(1),
            (None, ActionKind::Retrain) => Span::from_hours(24),
        }
    }
}

const fn one() -> u32 {
    1
}

fn default_cooldown() -> Span {
    Span::from_hours(6)
}

const fn default_coverage() -> f64 {
    0.95
}

const fn default_signals() -> u32 {
    2
}

const fn default_windows() -> u32 {
    3
}

const fn default_effect() -> u32 {
    12
}

/// Whether an action's request is really sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionMode {
    /// Record what would have been sent.
    #[default]
    DryRun,
    /// Ask people; send it once enough of them have approved.
    Approve,
    /// Send it.
    Auto,
}

/// Guards over all actions together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ActionGuards {
    /// While this file exists nothing is started or sent, whatever is in it.
    pub kill_switch_file: Option<PathBuf>,
    /// Most actions let go per hour, over all models.
    #[schemars(range(min = 1))]
    pub max_per_hour: u32,
    /// Time after a version came to its stage in which nothing is started for it; `0s` switches this off.
    pub deploy_grace: Span,
    /// Time in which a version that was rolled back from is no target of a rollback.
    pub ping_pong: Span,
    /// All actions are suspended when more than this share of the models …
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub blast_share: f64,
    /// … and at least this many of them …
    #[schemars(range(min = 2))]
    pub blast_models: usize,
    /// … begin to fire within this time: then it is the data upstream, not the models.
    pub blast_within: Span,
    /// Time (of events) after which such a suspension ends by itself; absent means when a person resumes.
    pub resume_after: Option<Span>,
    /// Secret from which approval tokens are made; absent means `approval.key` in the data folder, made at the start.
    pub approval_key: Option<SecretSource>,
    /// Time that people have for an approval.
    pub approval_ttl: Span,
}

impl Default for ActionGuards {
    fn default() -> Self {
        Self {
            kill_switch_file: None,
            max_per_hour: 3,
            deploy_grace: Span::from_mins(30),
            ping_pong: Span::from_hours(7 * 24),
            blast_share: 0.2,
            blast_models: 5,
            blast_within: Span::from_mins(10),
            resume_after: None,
            approval_key: None,
            approval_ttl: Span::from_mins(30),
        }
    }
}
