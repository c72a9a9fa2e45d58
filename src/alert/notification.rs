//! What a sink is told: the transition of an alert group with its evidence, neutral to any target's payload.

use serde::{Deserialize, Serialize};

use super::{Explained, Labels};
use crate::subject::Millis;

/// What went wrong, which decides routing, grouping and inhibition.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// Missing, wrong type, out of range, unseen: the data are broken, not the world.
    DataFault,
    /// The distribution moved.
    Drift,
    /// Latency against the reference or the objective.
    Latency,
    /// Traffic fell silent or burst.
    Volume,
    /// Anchorwatch itself is in trouble.
    Operation,
}

impl AlertKind {
    /// All kinds, in order of judgement.
    pub const ALL: [Self; 5] = [Self::DataFault, Self::Drift, Self::Latency, Self::Volume, Self::Operation];

    /// Name in labels, configuration and payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DataFault => "data_fault",
            Self::Drift => "drift",
            Self::Latency => "latency",
            Self::Volume => "volume",
            Self::Operation => "operation",
        }
    }
}

/// How urgent an alert is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look in working hours.
    Warning,
    /// Worth waking somebody.
    Critical,
}

impl Severity {
    /// Name in labels and payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What happened to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// The first alert of the group began to fire.
    Firing,
    /// Further columns joined a firing group, it became critical, or it can no longer be judged.
    Updated,
    /// Nothing changed, and it still fires.
    Repeated,
    /// The last alert of the group cleared.
    Resolved,
}

impl Transition {
    /// Name in keys and payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Updated => "updated",
            Self::Repeated => "repeated",
            Self::Resolved => "resolved",
        }
    }
}

/// Whether a firing alert can still be judged.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// It can.
    #[default]
    Sufficient,
    /// The latest windows have too few rows.
    Insufficient,
    /// The latest windows have no rows at all.
    NoData,
}

impl Evidence {
    fn is_sufficient(&self) -> bool {
        *self == Self::Sufficient
    }
}

/// The window on which a finding rests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WindowRef {
    /// Name of the horizon, `1h`.
    pub horizon: String,
    /// First instant, inclusive.
    pub start: Millis,
    /// Last instant, exclusive.
    pub end: Millis,
    /// Rows counted in it.
    pub rows: u64,
    /// Share of its time in which no record is known to be missing.
    #[serde(default = "whole")]
    pub coverage: f64,
}

/// Coverage of windows that were written down before coverage was.
const fn whole() -> f64 {
    1.0
}

/// One bin, category or quantile that moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Moved {
    /// What moved: `(3.1, 4]`, `UA`, `missing`, `p99 (ms)`.
    pub bin: String,
    /// Share (or value) in the reference.
    pub from: f64,
    /// Share (or value) in the window.
    pub to: f64,
}

/// One column's evidence inside a notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// Segment value, if the finding concerns one segment only.
    pub segment: Option<String>,
    /// Column, or `latency` or `volume`.
    pub column: String,
    /// Detector that decided, `psi`.
    pub detector: String,
    /// Its statistic in this window.
    pub statistic: f64,
    /// The threshold it passed.
    pub threshold: f64,
    /// Adjusted p-value, where the detector has one.
    pub p_value: Option<f64>,
    /// Window behind it.
    pub window: WindowRef,
    /// End of the first window of this episode.
    pub since: Millis,
    /// Bins that moved most, at most five.
    pub moved: Vec<Moved>,
    /// What stands behind it, where it was judged under the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<Box<Explained>>,
    /// Model and version it speaks of, where the findings of a group speak of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// A transition worth telling; the same on every replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Notification {
    /// Stable identity of this transition; the idempotency key of its deliveries.
    pub key: String,
    /// Identity of the alert group over its whole episode; PagerDuty's `dedup_key`.
    pub group: String,
    /// What happened.
    pub transition: Transition,
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// Kind shared by the group.
    pub kind: AlertKind,
    /// Highest severity in the group.
    pub severity: Severity,
    /// One line for people.
    pub summary: String,
    /// Event time of the transition: the end of the window that caused it.
    pub at: Millis,
    /// Event time at which the episode began.
    pub since: Millis,
    /// Reference the window was compared with.
    pub reference: String,
    /// Lowest coverage of the windows behind the evidence.
    #[serde(default = "whole")]
    pub coverage: f64,
    /// Evidence, most severe first, at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Findings left out above that bound.
    pub more_findings: usize,
    /// Page of this alert, if a base URL is configured.
    pub link: Option<String>,
    /// Page that says what to do, if one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// Labels that all alerts of the group share, beside model, version and kind.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Whether the group can still be judged.
    #[serde(default, skip_serializing_if = "Evidence::is_sufficient")]
    pub evidence: Evidence,
    /// How often a group that did not change was told again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeat: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Most entries of a digest.
pub const MAX_DIGEST: usize = 50;

/// One line of a digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DigestEntry {
    /// Identity of the alert group over its whole episode.
    pub group: String,
    /// What happened.
    pub transition: Transition,
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// Kind of the alert.
    pub kind: AlertKind,
    /// One line for people.
    pub summary: String,
    /// Event time of the transition.
    pub at: Millis,
}

/// Warnings of a while, told together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Digest {
    /// Stable identity; the idempotency key of its delivery.
    pub key: String,
    /// Route that collected it, which tells digests apart.
    pub route: String,
    /// Begin of the interval in event time.
    pub from: Millis,
    /// Its end.
    pub to: Millis,
    /// What happened, oldest first, at most [`MAX_DIGEST`].
    pub entries: Vec<DigestEntry>,
    /// Entries left out above that bound.
    pub more: u64,
}

/// Most findings a notification carries.
pub const MAX_FINDINGS: usize = 10;

/// What an automation is asked to do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Start a training job.
    Retrain,
    /// Return to an earlier version.
    Rollback,
}

impl ActionKind {
    /// Name in labels and payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retrain => "retrain",
            Self::Rollback => "rollback",
        }
    }
}

/// A guarded request to an automation, with the evidence that caused it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ActionRequest {
    /// Stable identity; the idempotency key of the request.
    pub key: String,
    /// Name of the configured action.
    pub action: String,
    /// What is asked.
    pub kind: ActionKind,
    /// Model name.
    pub model: String,
    /// Version that the alert judged.
    pub version: String,
    /// For a rollback: the version to return to.
    pub to_version: Option<String>,
    /// Who approved it, if people were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<String>,
    /// The notification that caused it.
    pub cause: Notification,
}

/// Body of an outbox row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Delivery {
    /// Tell somebody.
    Notification(Notification),
    /// Ask an automation.
    Action(ActionRequest),
    /// Tell somebody of a whole interval.
    Digest(Digest),
}

impl Delivery {
    /// The stable identity of this delivery.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Notification(notification) => &notification.key,
            Self::Action(request) => &request.key,
            Self::Digest(digest) => &digest.key,
        }
    }
}
