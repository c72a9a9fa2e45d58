//! Alerts as a reader sees them.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::{AlertKind, Moved, Severity};
use crate::subject::Millis;

/// Where an alert stands in its life cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Over the threshold, but not yet in enough windows.
    Pending,
    /// Told to the sinks.
    Firing,
    /// Below the clearing level again for long enough.
    Resolved,
}

impl AlertState {
    /// All states in the order of a life.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Firing, Self::Resolved];

    /// Name in labels, queries and payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// Why a text is not an alert state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an alert state: expected pending, firing or resolved")]
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
}
