//! What may be started: retraining and rollback, with their guards.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretSource, Span};
use crate::alert::{ActionKind, AlertKind, Severity};

/// An automation that is started. Off unless configured; `dry_run` unless `mode` says `auto`.
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
    /// Whether the request is sent or only recorded.
    #[serde(default)]
    pub mode: ActionMode,
    /// Shortest time between two runs for one model.
    #[serde(default = "default_cooldown")]
    pub cooldown: Span,
    /// Most runs per model and day (UTC).
    #[serde(default = "default_daily_budget")]
    #[schemars(range(min = 1))]
    pub daily_budget: u32,
    /// Oldest evidence that may still start it, by the wall clock; absent means any age.
    #[serde(default)]
    pub max_evidence_age: Option<Span>,
}

fn default_cooldown() -> Span {
    Span::from_hours(6)
}

const fn default_daily_budget() -> u32 {
    1
}

/// Whether an action's request is really sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionMode {
    /// Record what would have been sent.
    #[default]
    DryRun,
    /// Send it.
    Auto,
}
