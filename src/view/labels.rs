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

/// Lower and upper end of what a figure may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
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
    /// Share of right decisions, a score from 0.5 on saying yes; absent, as all down to `calibration_error`, unless labels are
    /// 0 and 1. Where they name one of several classes there are accuracy, MCC, and of precision, recall and F1 the means over
    /// the classes.
    pub accuracy: Option<f64>,
    /// Wilson's interval of it at 95 %, as of the other rates.
    pub accuracy_interval: Option<Interval>,
    /// Share of right ones among the decisions that said yes.
    pub precision: Option<f64>,
    /// Its interval.
    pub precision_interval: Option<Interval>,
    /// Share of what came true of which the score said so.
    pub recall: Option<f64>,
    /// Its interval.
    pub recall_interval: Option<Interval>,
    /// Share of what did not come true of which the score said so.
    pub specificity: Option<f64>,
    /// Its interval.
    pub specificity_interval: Option<Interval>,
    /// Harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// Correlation of decision and label (Matthews), from -1 to 1; 0 if either never varies.
    pub mcc: Option<f64>,
    /// Area under the ROC curve, scores of one cell of the baseline counting as ties; absent unless both labels came.
    pub roc_auc: Option<f64>,
    /// Interval of it at 95 %, by `DeLong`'s standard error; absent unless both labels came twice.
    pub roc_auc_interval: Option<Interval>,
    /// What the area is for certain, whatever the order of scores within their cells.
    pub roc_auc_certified: Option<Interval>,
    /// Average precision, scores of one cell counting as ties; absent unless something came true.
    pub average_precision: Option<f64>,
    /// What it is for certain, whatever the order within cells.
    pub average_precision_certified: Option<Interval>,
    /// Mean log loss of the scores in nats; absent, as the next one, unless all scores are from 0 to 1.
    pub log_loss: Option<f64>,
    /// Expected calibration error on ten bins of equal width.
    pub calibration_error: Option<f64>,
    /// Mean absolute error of a number, as the next ones not cut off at the baseline's range; absent where labels are 0 and 1.
    pub mae: Option<f64>,
    /// Interval of it at 95 %.
    pub mae_interval: Option<Interval>,
    /// Root of the mean squared error.
    pub rmse: Option<f64>,
    /// Mean of the absolute error over the label's size: huge as soon as one label is 0.
    pub mape: Option<f64>,
    /// Mean of score minus label.
    pub bias: Option<f64>,
    /// Share of the labels' variance that the scores explain; absent if all labels are equal.
    pub r2: Option<f64>,
    /// Mean pinball loss of scores that foretell a quantile of the label; absent, as the next one, unless the reference was made
    /// with `--quantile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile_loss: Option<f64>,
    /// Share of labels that the score is not below: near the quantile, if the model is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile_coverage: Option<f64>,
    /// Median delay of the labels in seconds.
    pub delay_p50: Option<f64>,
    /// The delay that 90 % of the labels do not exceed.
    pub delay_p90: Option<f64>,
    /// The delay that 99 % of the labels do not exceed.
    pub delay_p99: Option<f64>,
    /// Each class of several, where `monitor.show_categories` allows their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassView>,
}

/// How well one class of several is told from the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassView {
    /// Its name.
    pub class: String,
    /// Predictions whose label it is.
    pub came: u64,
    /// Predictions that said it.
    pub said: u64,
    /// Share of right ones among those that said it; absent if none did.
    pub precision: Option<f64>,
    /// Share of its own of which the prediction said so; absent if it never came.
    pub recall: Option<f64>,
}

/// What the labels so far say of windows that still wait for some. Each label stands for as many predictions as there are
/// for one that is labelled by now, by how late labels of its class were in final windows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct ProvisionalView {
    /// First instant of the oldest of these windows, inclusive.
    pub start: Millis,
    /// Last instant of the latest, exclusive.
    pub end: Millis,
    /// Predictions in them.
    pub predictions: u64,
    /// Those with a label.
    pub labelled: u64,
    /// As many labels that stand for one prediction each would say as much.
    pub effective: f64,
    /// Share of right decisions; as below absent where labels are numbers.
    pub accuracy: Option<f64>,
    /// Wilson's interval of it at 95 %, for `effective` labels.
    pub accuracy_interval: Option<Interval>,
    /// Share of right ones among the decisions that said yes; absent, as the next four, unless labels are 0 and 1.
    pub precision: Option<f64>,
    /// Share of what came true of which the score said so.
    pub recall: Option<f64>,
    /// Share of what did not come true of which the score said so.
    pub specificity: Option<f64>,
    /// Harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// Share of labels of 1.
    pub positive_share: Option<f64>,
    /// Mean absolute error of a number; absent, as the next two, where labels are classes.
    pub mae: Option<f64>,
    /// Root of the mean squared error.
    pub rmse: Option<f64>,
    /// Mean of score minus label.
    pub bias: Option<f64>,
}

impl PerformanceView {
    /// Share of the predictions that have a label.
    #[must_use]
    pub fn coverage(&self) -> Option<f64> {
        (self.predictions > 0).then(|| self.labelled as f64 / self.predictions as f64)
    }
}

/// A class and its share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct ClassShare {
    /// Name of the class.
    pub class: String,
    /// Share of the rows, from 0 to 1.
    pub share: f64,
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
    /// Where the share that is observed will lie by chance, if the estimate is right: three standard errors of so many
    /// predictions, by the labels of the baseline. Absent, as of the others, for references made without counts of them.
    pub accuracy_band: Option<Interval>,
    /// Expected share of right ones among the positives; of several classes, each with a score of its own, the mean over
    /// the classes, as of recall, F1 and area.
    pub precision: Option<f64>,
    /// Its band.
    pub precision_band: Option<Interval>,
    /// Expected share of what will come true of which the score said so.
    pub recall: Option<f64>,
    /// Its band.
    pub recall_band: Option<Interval>,
    /// Expected share of what will not come true of which the score said so.
    pub specificity: Option<f64>,
    /// Its band.
    pub specificity_band: Option<Interval>,
    /// F1 of the expected counts.
    pub f1: Option<f64>,
    /// Its band.
    pub f1_band: Option<Interval>,
    /// Expected area under the ROC curve.
    pub roc_auc: Option<f64>,
    /// Its band.
    pub roc_auc_band: Option<Interval>,
    /// Expected average precision.
    pub average_precision: Option<f64>,
    /// Expected Brier score.
    pub brier: Option<f64>,
    /// Expected share of right predictions as the share of those that are surer than a threshold of the baseline; of several
    /// classes too, as the accuracy itself.
    pub accuracy_thresholded: Option<f64>,
    /// Share of right predictions if rows of a class are still predicted as in the baseline, and only the number of rows per
    /// class has changed; absent where predictions hardly tell the classes apart.
    pub accuracy_label_shift: Option<f64>,
    /// Expected share of positives, if a score means what it did.
    pub positive_share: Option<f64>,
    /// Share of positives, if rows of a class are still predicted as in the baseline.
    pub positive_share_label_shift: Option<f64>,
    /// The same of several classes, 32 at most; empty unless labels are one of several and `monitor.show_categories` allows
    /// their names.
    pub class_shares_label_shift: Vec<ClassShare>,
    /// The same where each class has a score, if a score means what it did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_shares: Vec<ClassShare>,
    /// Mean confidence in the likelier class, from 0.5 to 1; of several classes the mean score.
    pub confidence: Option<f64>,
    /// Mean entropy of the two classes in nats, from 0 to 0.69.
    pub entropy: Option<f64>,
    /// Expected mean absolute error, where labels are numbers; in their unit, as the next.
    pub mae: Option<f64>,
    /// Expected root of the mean squared error.
    pub rmse: Option<f64>,
    /// The feature by which, besides the prediction, errors are expected; absent if the prediction alone says as much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_feature: Option<String>,
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
    /// What these labels say of all of them; absent until final windows have shown how late labels come.
    pub provisional: Option<ProvisionalView>,
    /// The latest window that was judged.
    pub latest: Option<PerformanceView>,
}
