//! Labels that come later: what waits, how much of it is labelled, and what the labels say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::subject::Millis;

/// What waits of one model, and what became of its predictions and labels since the state file was created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct JoinView {
    /// Model name.
    pub model: String,
    /// Predictions that wait for their label.
    pub waiting: u64,
    /// Labels that wait for their prediction.
    pub early: u64,
    /// Labels that found their prediction.
    pub joined: u64,
    /// Labels whose prediction did not come, or came more than `events.labels.wait` before them.
    pub unmatched: u64,
    /// Predictions and labels whose `id` was waiting already.
    pub repeated: u64,
    /// Predictions whose label did not come in time.
    pub expired: u64,
    /// Predictions that had to leave, because too many waited.
    pub dropped: u64,
    /// Predictions of windows whose performance was judged before.
    pub late: u64,
}

/// Performance in one window of prediction time whose labels are complete, or as complete as they get.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PerformanceView {
    /// First instant, inclusive.
    pub start: Millis,
    /// Last instant, exclusive.
    pub end: Millis,
    /// Predictions whose label was waited for, or came with them.
    pub predictions: u64,
    /// Those of them with a label.
    pub labelled: u64,
    /// Mean of label minus score; absent without a label.
    pub mean_residual: Option<f64>,
    /// Mean of its square: the Brier score, where labels are 0 and 1.
    pub mean_squared_residual: Option<f64>,
    /// Share of right decisions, a score from 0.5 on saying yes; absent, as the next three, unless labels are 0 and 1.
    pub accuracy: Option<f64>,
    /// Share of right ones among the decisions that said yes.
    pub precision: Option<f64>,
    /// Share of what came true of which the score said so.
    pub recall: Option<f64>,
    /// Harmonic mean of both.
    pub f1: Option<f64>,
    /// Area under the ROC curve, scores of one cell of the baseline counting as ties; absent unless labels are 0 and 1 and
    /// both came.
    pub roc_auc: Option<f64>,
    /// Median delay of the labels in seconds.
    pub delay_p50: Option<f64>,
    /// The delay that 90 % of the labels do not exceed.
    pub delay_p90: Option<f64>,
    /// The delay that 99 % of the labels do not exceed.
    pub delay_p99: Option<f64>,
}

impl PerformanceView {
    /// Share of the predictions that have a label.
    #[must_use]
    pub fn coverage(&self) -> Option<f64> {
        (self.predictions > 0).then(|| self.labelled as f64 / self.predictions as f64)
    }
}

/// What the scores of the latest window let expect of the performance, without any label.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct EstimateView {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// First instant, inclusive.
    pub start: Millis,
    /// Last instant, exclusive.
    pub end: Millis,
    /// Scores behind it.
    pub predictions: u64,
    /// Expected share of right predictions, where a score from 0.5 on is a positive.
    pub accuracy: Option<f64>,
    /// Expected area under the ROC curve.
    pub roc_auc: Option<f64>,
    /// Expected Brier score.
    pub brier: Option<f64>,
    /// A feature or the score drifts in this window: the relation of score and label may have changed with it.
    pub calibration_at_risk: bool,
}

/// How far the labels of a version have come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct LabelsView {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// Predictions of windows that are over, but not judged yet.
    pub provisional_predictions: u64,
    /// Those of them with a label.
    pub provisional_labelled: u64,
    /// The latest window that was judged.
    pub latest: Option<PerformanceView>,
}
