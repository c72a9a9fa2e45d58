//! References: the immutable, content-addressed description of a baseline.
//!
//! Here live the columns, the flat layout on which baselines and live panes are both counted, the provenance and
//! the byte format. Building one from files and keeping it is the registry's work.

mod artifact;
mod code;
mod embedding;
mod expected;
mod joint;
mod layout;
mod windows;

use std::collections::BTreeMap;

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::calibrated::{Fit, SeasonDesign, VolumeFit};
use anchorwatch_detectors::estimate::{ConfidenceThreshold, LossGroup};
use anchorwatch_detectors::performance::Confusion;
use serde::{Deserialize, Serialize};

use crate::subject::Millis;

pub use artifact::{ArtifactError, HEAD_PREFIX, ReferenceId, decode, decode_head, encode, head_len};
pub use code::{CodeText, code_text};
pub use embedding::{Discrepancy, Embedding, MOST_FEATURES};
pub use expected::{ClassScore, ClassScores, Expected, Losses, MOST_CLASS_SCORES};
pub use joint::{Joint, Moment, Outcome, ResidualTerms, is_quantile};
pub use layout::{ColumnCounts, Fault, Layout};
pub use windows::{BaselineWindow, BaselineWindows, ReadWindows, WindowsUnread};

/// What a column means to the model.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An input of the model.
    Feature,
    /// The model's numeric output.
    Score,
    /// The model's decision.
    Prediction,
    /// The ground truth, which arrives later in feedback events.
    Label,
}

/// How the values of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Numbers on cut points.
    Numeric,
    /// Text on known categories.
    Categorical,
    /// Whole numbers that stand for categories; counted by their decimal text.
    CodedCategory,
    /// `false` and `true`.
    Boolean,
}

/// One value as an event or a baseline row carries it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// JSON number, or a numeric column of a file.
    Number(f64),
    /// JSON string.
    Text(&'a str),
    /// JSON boolean.
    Bool(bool),
    /// JSON null, or an absent field.
    Missing,
    /// An array or object where a single value was expected.
    Nested,
}

/// One column of a reference: its name, how it is read and where it is cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Name in the event's `features`; for other roles the role's own name.
    pub name: String,
    /// Meaning of the column.
    pub role: Role,
    /// Reading of its values.
    pub kind: ColumnKind,
    /// Whether an event without it is a data fault.
    pub required: bool,
    /// Whether the baseline held 32-bit floats: a service may send such a value widened or as its short decimal, so
    /// values are rounded to 32 bits before they are looked up.
    #[serde(default)]
    pub single_precision: bool,
    /// Cut points or categories.
    pub binning: Binning,
    /// Ends of the usual range of a numeric column, both of them cut points: the baseline's smallest and largest value,
    /// each moved out by half the interquartile range or the last gap of the baseline, whichever is more.
    #[serde(default)]
    pub usual: Option<(f64, f64)>,
    /// Values among the unseen, of as many as the baseline has, that are to be expected beyond those it has there: it
    /// happened not to see them.
    #[serde(default)]
    pub unseen_beyond: f64,
    /// What the builder noticed and decided, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Column {
    /// Slot of a value inside this column's block of a [`Layout`]: a cell, or one of the fault slots after the cells.
    #[must_use]
    pub fn slot(&self, value: Value<'_>) -> usize {
        let cells = self.binning.cells();
        let fault = |fault: Fault| cells + fault as usize;
        match (&self.binning, value) {
            (_, Value::Missing) => fault(Fault::Missing),
            (Binning::Numeric(_), Value::Number(x)) if !x.is_finite() => fault(Fault::NonFinite),
            (Binning::Numeric(knots), Value::Number(x)) if self.single_precision => {
                knots.cell(f64::from(x as f32))
            }
            (Binning::Numeric(knots), Value::Number(x)) => knots.cell(x),
            (Binning::Numeric(_), Value::Text(_) | Value::Bool(_) | Value::Nested) => fault(Fault::WrongType),
            (Binning::Categorical(categories), value) => self.category_slot(categories, value, fault),
        }
    }

    /// Whether the different values that are in no category are told apart.
    #[must_use]
    pub fn tells_new_values(&self) -> bool {
        matches!(self.kind, ColumnKind::Categorical | ColumnKind::CodedCategory)
            && matches!(self.binning, Binning::Categorical(_))
    }

    /// Place of a value that is in no category among those that tell different ones apart, below [`NEW_VALUES`]; `None` of
    /// any other value. Equal values have equal places, on every machine.
    #[must_use]
    pub fn new_value(&self, value: Value<'_>) -> Option<usize> {
        let Binning::Categorical(categories) = &self.binning else { return None };
        if !self.tells_new_values() || self.slot(value) != categories.unseen_cell() {
            return None;
        }
        match value {
            Value::Text(text) => Some(new_value(text.as_bytes())),
            Value::Number(code) => Some(new_value(CodeText::default().of(code).as_bytes())),
            Value::Bool(_) | Value::Missing | Value::Nested => None,
        }
    }

    fn category_slot(
        &self,
        categories: &anchorwatch_detectors::binning::CategoricalBinning,
        value: Value<'_>,
        fault: impl Fn(Fault) -> usize,
    ) -> usize {
        match (self.kind, value) {
            (ColumnKind::Categorical, Value::Text(text)) => categories.cell(text),
            (ColumnKind::Boolean, Value::Bool(truth)) => {
                categories.cell(if truth { "true" } else { "false" })
            }
            (ColumnKind::CodedCategory, Value::Number(code)) if code.is_finite() => {
                categories.cell(CodeText::default().of(code))
            }
            (ColumnKind::CodedCategory, Value::Number(_)) => fault(Fault::NonFinite),
            _ => fault(Fault::WrongType),
        }
    }
}

/// Counters over which the values of a column that are in no category are spread: how many of them are in use says how
/// many different values there were, up to about a hundred.
pub const NEW_VALUES: usize = 32;

/// Place of a new value: a hash (FNV-1a, mixed as MurmurHash3 does in the end), so that nothing of the value itself is kept.
pub(crate) fn new_value(text: &[u8]) -> usize {
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Texts that differ in their last byte only have hashes that differ little: they would spread too evenly.
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (mixed >> 59) as usize
}

/// How the monitored quantities of a baseline vary from window to window, or what is assumed of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Length of the windows, in milliseconds.
    pub window_ms: Millis,
    /// Number of windows behind it; none where it is assumed.
    pub windows: usize,
    /// Whether the baseline does not show how its windows differ, so that it is assumed. It then holds for windows of any
    /// length.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assumed: bool,
    /// Time zone in which the day and the week of the season are counted, `Europe/Berlin`.
    pub time_zone: String,
    /// The regressors of the season.
    pub season: SeasonDesign,
    /// Slices that are compared with the rest of their window.
    pub slices: Vec<Slice>,
    /// Fit of each quantity by its key.
    pub fits: BTreeMap<String, Fit>,
    /// Traffic.
    pub volume: Option<VolumeFit>,
    /// What the baseline was too short or too poor for, one sentence each.
    pub assumptions: Vec<String>,
    /// Share of positives by cell of the score, never falling; absent without a score or labels of 0 and 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated_scores: Option<Vec<f64>>,
    /// How far chance goes in figures of decisions; absent as those shares are, and in references made before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
    /// From which confidence on as many decisions stand as were right; absent without labels of classes, and in references
    /// made before it was kept, as the next ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<ConfidenceThreshold>,
    /// Mean errors by groups of cells of the score, where labels are numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub losses: Option<Vec<LossGroup>>,
    /// How predictions of several classes came out, where labels are one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassOutcomes>,
    /// How well the score foretells its quantile of the label; absent unless [`ResidualTerms::quantile`] names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<QuantileOutcome>,
}

/// What the labels of a baseline say of scores that foretell a quantile of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QuantileOutcome {
    /// Mean pinball loss, in units of the label.
    pub loss: f64,
    /// Share of labels that the score is not below.
    pub coverage: f64,
}

/// What the labels of a baseline say of predictions of several classes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassOutcomes {
    /// Share of right predictions by cell of the score, never falling; absent where the score is not the confidence of the
    /// predicted class.
    pub calibrated_right: Option<Vec<f64>>,
    /// Right predictions with a score.
    pub right: u64,
    /// Wrong ones.
    pub wrong: u64,
    /// Names of the classes: the categories of the prediction in their order, then those of the label that it has not. Empty,
    /// as the next, of many classes.
    pub names: Vec<String>,
    /// Rows by class of the prediction (outer) and of the label.
    pub confusion: Vec<Vec<u64>>,
}

/// What the labels of a baseline say of the sampling error of figures of any number of predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Decisions of the baseline, a cell of the score being positive if its middle is.
    pub decisions: Confusion,
    /// Standard error of the area under the ROC curve of one prediction; that of `n` is less by the root of `n`.
    pub roc_auc: Option<f64>,
}

/// A part of the traffic that is compared with the rest of the same window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slice {
    /// A value of the segment field.
    Segment(String),
    /// A model version.
    Version(String),
}

/// Where a baseline came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Provenance {
    /// File name, dataset URI or topic range.
    pub dataset: String,
    /// Hex SHA-256 of the data that was read, if it was one file.
    pub dataset_sha256: Option<String>,
    /// Rows read.
    pub rows: u64,
    /// First and last event time, if the baseline has a time column.
    pub time_range: Option<(Millis, Millis)>,
    /// Commit of the training code.
    pub git_commit: Option<String>,
    /// Person or job that created it.
    pub creator: Option<String>,
    /// Wall-clock time of creation.
    pub created_at: Millis,
    /// Free text.
    pub notes: Option<String>,
    /// What the builder left out or approximated, one sentence each.
    pub remarks: Vec<String>,
}

/// The profiles of a baseline with their provenance; immutable once built.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Registered model name.
    pub model: String,
    /// Semantic version of the model.
    pub version: String,
    /// Columns in a fixed order: features first, then score, prediction, label where present.
    pub columns: Vec<Column>,
    /// Whether the baseline carried latencies.
    pub has_latency: bool,
    /// Counts of the whole baseline in this reference's [`Layout`].
    pub profile: Vec<u64>,
    /// Length of each baseline window in milliseconds; `None` without a time column.
    pub window_ms: Option<Millis>,
    /// Baseline windows in time order, empty stretches left out; or where they are read.
    pub windows: BaselineWindows,
    /// Field whose values split the baseline into segments.
    pub segment_field: Option<String>,
    /// Counts of each segment in the same layout, at most [`MAX_SEGMENTS`].
    pub segments: BTreeMap<String, Vec<u64>>,
    /// What is counted besides the columns, in live windows.
    pub joint: Joint,
    /// How every monitored quantity varies while nothing is wrong, or what is assumed of that; `None` in references of older
    /// versions whose baseline has no times.
    pub calibration: Option<Calibration>,
    /// Where the baseline came from.
    pub provenance: Provenance,
}

/// Largest number of segments a reference keeps apart; the rest are counted only in the whole.
pub const MAX_SEGMENTS: usize = 50;

impl Reference {
    /// The flat layout of this reference's own counts.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout::new(&self.columns)
    }

    /// The flat layout of every pane counted against it: its own with what only panes count behind.
    #[must_use]
    pub fn live_layout(&self) -> Layout {
        self.layout_with(&self.joint)
    }

    /// The flat layout of panes that count these terms.
    #[must_use]
    pub fn layout_with(&self, joint: &Joint) -> Layout {
        let layout =
            if joint.new_values { self.layout().with_new_values(&self.columns) } else { self.layout() };
        layout.with_joint(joint.len())
    }

    /// What the baseline was too short or too poor for, one sentence each.
    #[must_use]
    pub fn assumptions(&self) -> &[String] {
        self.calibration.as_ref().map_or(&[], |calibration| &calibration.assumptions)
    }

    /// Whether nothing but assumptions says how windows differ while nothing is wrong.
    #[must_use]
    pub fn is_assumed(&self) -> bool {
        self.calibration.as_ref().is_some_and(|calibration| calibration.assumed)
    }

    /// The quantile of the label that the score foretells, if that is what it does.
    #[must_use]
    pub fn quantile(&self) -> Option<f64> {
        self.joint.residual.as_ref().and_then(|terms| terms.quantile)
    }

    /// Counts to compare a subject with: its segment's if the baseline has them, else the whole.
    #[must_use]
    pub fn profile_of(&self, segment: Option<&str>) -> &[u64] {
        segment.and_then(|value| self.segments.get(value)).unwrap_or(&self.profile)
    }
}

#[cfg(test)]
mod tests {
    use anchorwatch_detectors::quality::different;

    use super::{NEW_VALUES, new_value};

    #[test]
    fn places_of_new_values_tell_how_many_there_are() {
        for (names, off) in [(0_usize, 0.0), (1, 0.02), (5, 0.5), (20, 2.0), (60, 8.0)] {
            let estimate = |trial: usize| {
                let mut places = [0; NEW_VALUES];
                (0..names).for_each(|name| places[new_value(format!("{trial}-{name}").as_bytes())] += 1);
                different(&places)
            };
            let mean = (0..200).map(estimate).sum::<f64>() / 200.0;
            assert!((mean - names as f64).abs() <= off, "{names}: {mean}");
        }
    }
}
