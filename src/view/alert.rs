//! Alerts as a reader sees them.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::{AlertKind, Explained, Labels, Moved, Severity};
use crate::subject::Millis;

/// Where an alert stands in its life cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Over the threshold, but not yet in enough windows.
    Pending,
    /// Told to the sinks.
    Firing,
    /// Firing, and somebody has taken it on.
    Acknowledged,
    /// Firing when it was last judged; the latest window has too few rows.
    Insufficient,
    /// Firing when it was last judged; the latest window has no rows.
    NoData,
    /// Below the clearing level again for long enough.
    Resolved,
}

impl AlertState {
    /// All states in the order of a life.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Firing, Self::Acknowledged, Self::Insufficient, Self::NoData, Self::Resolved];

    /// Name in labels, queries and payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Acknowledged => "acknowledged",
            Self::Insufficient => "insufficient",
            Self::NoData => "no_data",
            Self::Resolved => "resolved",
        }
    }
}

/// Why a text is not an alert state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an alert state: expected pending, firing, acknowledged, insufficient, no_data or resolved"
)]
pub struct AlertStateError(String);

impl FromStr for AlertState {
    type Err = AlertStateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| AlertStateError(text.to_owned()))
    }
}

/// One alert: a column of a subject at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertView {
    /// Identity of the alert group over its whole episode, as in notifications.
    pub group: String,
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// Segment value; absent for the whole traffic.
    pub segment: Option<String>,
    /// Column, or `latency` or `volume`.
    pub column: String,
    /// Detector that decided.
    pub detector: String,
    /// What went wrong.
    pub kind: AlertKind,
    /// How urgent it is.
    pub severity: Severity,
    /// Where it stands.
    pub state: AlertState,
    /// Name of the horizon.
    pub horizon: String,
    /// End of the first window of this episode.
    pub since: Millis,
    /// End of the window that last changed its state.
    pub changed_at: Millis,
    /// Statistic in the latest window.
    pub statistic: f64,
    /// Threshold in the latest window.
    pub threshold: f64,
    /// Content address of the reference.
    pub reference: String,
    /// Bins that moved most, at most five.
    pub moved: Vec<Moved>,
    /// What stands behind it, where it was judged under the budget.
    #[serde(default)]
    pub explained: Option<Box<Explained>>,
    /// All labels, by which it is routed and silenced.
    #[serde(default)]
    pub labels: Labels,
    /// What keeps it from being told: `silence: s4`, `maintenance: nightly`, `inhibition: kind="volume"`.
    #[serde(default)]
    pub suppressed_by: Option<String>,
    /// Who has taken it on.
    #[serde(default)]
    pub acknowledged_by: Option<String>,
    /// What was said about it.
    #[serde(default)]
    pub comment: Option<String>,
    /// Page that says what to do.
    #[serde(default)]
    pub runbook: Option<String>,
}

/// Where a silence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SilenceState {
    /// Event time has not reached its begin.
    Pending,
    /// It holds.
    Active,
    /// It is over.
    Expired,
}

/// A silence: alerts that fit are not told while it holds. Begin and end are compared with event time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SilenceView {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: SilenceState,
    /// Conditions that an alert must fit.
    pub matchers: Vec<String>,
    /// Begin; absent when it held as soon as it was created.
    pub starts_at: Option<Millis>,
    /// End.
    pub ends_at: Millis,
    /// Who created it.
    pub created_by: String,
    /// Wall-clock time of that.
    pub created_at: Millis,
    /// Wall-clock time at which somebody ended it early.
    pub expired_at: Option<Millis>,
    /// Why.
    pub comment: String,
}
