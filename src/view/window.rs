//! Judged windows: the latest one per subject and horizon, with a verdict per column.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use smol_str::SmolStr;

use crate::alert::{AlertKind, Explained, Moved, Severity};
use crate::reference::Role;
use crate::subject::{Millis, Subject};

/// Outcome of a judgement, from best to worst after `Insufficient`.
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
    serde::Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Too few rows to say anything.
    #[default]
    Insufficient,
    /// No change worth telling.
    Stable,
    /// Between the clearing level and the threshold.
    Warning,
    /// Over the threshold, and significant.
    Drift,
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 4] = [Self::Insufficient, Self::Stable, Self::Warning, Self::Drift];

    /// Name in labels and payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insufficient => "insufficient",
            Self::Stable => "stable",
            Self::Warning => "warning",
            Self::Drift => "drift",
        }
    }

    /// Value of the gauge `anchorwatch_feature_verdict`.
    #[must_use]
    pub const fn gauge(self) -> f64 {
        match self {
            Self::Insufficient => -1.0,
            Self::Stable => 0.0,
            Self::Warning => 1.0,
            Self::Drift => 2.0,
        }
    }
}

/// Verdict of one detector on one column of a window.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct VerdictView {
    /// Column, or `latency` or `volume`.
    pub column: SmolStr,
    /// Meaning of the column; absent for `latency` and `volume`.
    pub role: Option<Role>,
    /// Detector, `ks`.
    pub detector: SmolStr,
    /// Its statistic; absent when the evidence is insufficient.
    pub statistic: Option<f64>,
    /// The threshold in force for this window length.
    pub threshold: Option<f64>,
    /// P-value, where the detector has one.
    pub p_value: Option<f64>,
    /// P-value after false-discovery control over the columns of the subject.
    pub adjusted_p_value: Option<f64>,
    /// Rows of the window that this column was counted for.
    pub rows: u64,
    /// Rows of the reference behind the comparison.
    pub reference_rows: u64,
    /// Outcome.
    pub level: Level,
    /// Kind of alert that it can raise.
    pub kind: AlertKind,
    /// Severity of that alert, where the verdict itself says; else the configuration does.
    pub severity: Option<Severity>,
    /// The data fault that keeps this verdict from alerting, `missing`.
    pub inhibited_by: Option<String>,
    /// Bins that moved most, at most five.
    pub moved: Vec<Moved>,
    /// What stands behind it, where it was judged under the budget and is over.
    pub explained: Option<Box<Explained>>,
}

/// Shares of a column's rows that were not usable values, or were values the reference does not know; and how many different
/// ones there were.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct ColumnRatios {
    /// Column name.
    pub column: SmolStr,
    /// Null or absent; absent here when the window is empty.
    pub missing: Option<f64>,
    /// Categories that the reference does not know, or numbers that are none of its few distinct values.
    pub unseen: Option<f64>,
    /// Outside the range of the reference; only for numeric columns.
    pub out_of_range: Option<f64>,
    /// Another type, NaN or infinite.
    pub wrong_type: Option<f64>,
    /// Different values of a column of categories: those of the reference that came, and an estimate of how many others,
    /// which ends at about a hundred. Absent where references made earlier do not tell them apart.
    pub distinct: Option<f64>,
}

/// One latency quantile beside the reference's.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LatencyQuantile {
    /// The quantile, `0.99`.
    pub quantile: f64,
    /// Milliseconds in the window.
    pub value_ms: f64,
    /// Milliseconds in the reference, if its baseline carried latencies.
    pub reference_ms: Option<f64>,
}

/// Latency of a window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct LatencyView {
    /// Configured quantiles, ascending.
    pub quantiles: Vec<LatencyQuantile>,
    /// Share of predictions over the configured objective; absent without an objective.
    pub objective_exceeded: Option<f64>,
}

/// One judged window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct WindowView {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// Segment value; absent for the whole traffic.
    pub segment: Option<String>,
    /// Name of the horizon, `1h`.
    pub horizon: String,
    /// First instant, inclusive.
    pub start: Millis,
    /// Last instant, exclusive.
    pub end: Millis,
    /// Rows counted in it.
    pub rows: u64,
    /// Share of its time in which no record is known to be missing.
    pub coverage: f64,
    /// Content address of the reference it was compared with.
    pub reference: String,
    /// Worst level of its verdicts that are not inhibited.
    pub level: Level,
    /// One per column and detector, plus latency and volume.
    pub verdicts: Vec<VerdictView>,
    /// Latency, if the window has any.
    pub latency: Option<LatencyView>,
    /// Data quality per column.
    pub columns: Vec<ColumnRatios>,
}

impl WindowView {
    /// The subject that was judged.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject {
            model: self.model.as_str().into(),
            version: self.version.as_str().into(),
            segment: self.segment.as_deref().map(Into::into),
        }
    }
}

/// The latest windows of one subject, one per horizon.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SubjectView {
    /// In order of first publication, which is the order of the configuration.
    pub windows: Vec<Arc<WindowView>>,
}

impl SubjectView {
    /// The same subject after this window was judged: it takes the place of the last one of its horizon, which is given
    /// out.
    #[must_use]
    pub fn with(&self, window: Arc<WindowView>) -> (Self, Option<Arc<WindowView>>) {
        let mut windows = self.windows.clone();
        let gone = match windows.iter_mut().find(|known| known.horizon == window.horizon) {
            Some(known) => Some(std::mem::replace(known, window)),
            None => {
                windows.push(window);
                None
            }
        };
        (Self { windows }, gone)
    }
}
