//! What stands behind a verdict, as payloads and the API carry it: since when, by how much, where, and the command that
//! shows all of it. Plain data; `monitor/calibrated/explain.rs` finds it out.

use serde::{Deserialize, Serialize};

use crate::subject::Millis;

/// Most entries of each list.
pub const MAX_EXPLAINED: usize = 5;

/// Most of what follows from a finding that it lists.
pub const MAX_FOLLOWS: usize = 3;

/// A quantile of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct QuantileShift {
    /// The quantile, `0.5`.
    pub quantile: f64,
    /// Value in the reference.
    pub from: f64,
    /// Value in the window.
    pub to: f64,
}

/// A column's part of everything that stands out in the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DriftShare {
    /// Column, or two joined by a colon.
    pub column: String,
    /// Slice in which it stands out, `segment EWR`; absent for the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// Part of the sum of squared heats, within 0 to 1.
    pub share: f64,
}

/// A slice in which the column differs from the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SliceShift {
    /// The slice, `segment EWR`.
    pub slice: String,
    /// What differs, `location`.
    pub kind: String,
    /// Difference to the rest (or share, for `missing`).
    pub mean: f64,
    /// What the baseline lets expect of it.
    pub expected: f64,
    /// Standard score of the run of windows.
    pub z: f64,
}

/// Something else that stands out in the window and follows from this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Consequence {
    /// Column, or two joined by a colon.
    pub column: String,
    /// What changed, `location`.
    pub kind: String,
    /// Slice in which it stands out, `segment EWR`; absent for the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// Its statistic in this window.
    pub statistic: f64,
    /// The threshold it passed.
    pub threshold: f64,
}

/// What stands behind one verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Explained {
    /// What changed: `location`, `level category 3`, `missing`.
    pub kind: String,
    /// Mean of it over the run of windows: of scores in standard deviations, else a share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// What the baseline lets expect of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<f64>,
    /// Windows of the most telling run, the judged one last.
    pub run_windows: usize,
    /// Start of the window in which the change most likely began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_since: Option<Millis>,
    /// Five quantiles of a numeric column or of the latency, before and now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<QuantileShift>,
    /// How what stands out is shared among the columns, the largest part first; at most five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<DriftShare>,
    /// Slices in which it is concentrated, the furthest first; at most five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceShift>,
    /// What else stands out and follows from this, such as the drift of a column whose unit changed; it does not alert on its
    /// own. The loudest first, at most three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follows: Vec<Consequence>,
    /// Whether the baseline does not show how its windows differ, as rows without times, so that it is assumed: what is
    /// expected, the limit, and the rate of false alarms are then no better than that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assumed: bool,
    /// Shows all of it again from the topic; to be typed where the configuration and the references are. Absent where the
    /// topic alone does not show it: of labels that came later, and of several topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}
