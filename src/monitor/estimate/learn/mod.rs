//! What a baseline's labelled rows teach of performance, so that it can be expected of windows without labels.
//!
//! Rows are counted per cell of the score, in integers, so that a reference does not depend on their order.

mod class_scores;
mod crossed;

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::estimate::loss_by_cells::groups;
use anchorwatch_detectors::estimate::{ConfidenceThreshold, LossSums, LossUnits};
use anchorwatch_detectors::performance::{RegressionScale, RegressionState};

use super::{calibrated_scores, column_of, confidence_threshold, middles, outcome_cells, sampling};
use crate::reference::{Calibration, ClassOutcomes, Expected, QuantileOutcome, Reference, Role};

use class_scores::ClassScoreCounts;
pub use class_scores::{Unusable, class_scores};
use crossed::Crossed;

/// Most classes of which a reference keeps how they are predicted.
pub const MOST_CLASSES: usize = 32;

/// Share of the rows whose score may be below what the likeliest of so many classes has at least.
const STRAY_SCORES: f64 = 0.01;

/// What one row of a baseline says of score, prediction and label; cells are slots of the columns.
#[derive(Debug, Clone, Copy)]
pub struct LabelledRow<'a> {
    /// The cell of each column; `usize::MAX` where the value is none.
    pub cells: &'a [usize],
    /// The score.
    pub score: Option<f64>,
    /// Its slot; `usize::MAX` without such a column, as of the other two.
    pub score_cell: usize,
    /// Slot of the prediction.
    pub prediction_cell: usize,
    /// The label as a number.
    pub label: Option<f64>,
    /// Its slot.
    pub label_cell: usize,
}

impl Default for LabelledRow<'_> {
    fn default() -> Self {
        let nowhere = usize::MAX;
        Self {
            cells: &[],
            score: None,
            score_cell: nowhere,
            prediction_cell: nowhere,
            label: None,
            label_cell: nowhere,
        }
    }
}

/// Errors of numbers.
#[derive(Debug, Clone, PartialEq)]
struct LossCounts {
    units: LossUnits,
    /// By cell of the score.
    cells: Vec<LossSums>,
    /// By group of the score and of each feature.
    crossed: Crossed,
}

/// The labelled rows of a baseline, as far as they have been counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcomes {
    /// Whether labels are compared with the score as numbers.
    compared: bool,
    /// Rows with a label of 0 and of 1, by cell of the score.
    of_classes: Vec<[u64; 2]>,
    /// Labels that are neither 0 nor 1.
    other_labels: bool,
    /// Errors where labels are numbers.
    losses: Option<LossCounts>,
    /// Errors of scores that foretell a quantile of the label.
    quantile: Option<RegressionState>,
    /// Right and wrong predictions, where labels are one of several classes.
    classes: Option<ClassCounts>,
    /// Scores of each of the classes, where there are any.
    class_scores: Option<ClassScoreCounts>,
}

impl Outcomes {
    /// Nothing counted yet on the columns of this reference, whose joint terms are chosen.
    #[must_use]
    pub fn new(reference: &Reference) -> Self {
        let of_classes = outcome_cells(reference);
        let terms = reference.joint.residual.as_ref();
        let is_numeric = |column: usize| {
            reference.columns.get(column).is_some_and(|label| matches!(label.binning, Binning::Numeric(_)))
        };
        let number = terms.filter(|terms| is_numeric(terms.label));
        let spread_of = |column: usize, scale: f64| usual_spread(reference, column).unwrap_or(scale);
        Self {
            compared: terms.is_some(),
            losses: number.map(|terms| LossCounts {
                units: LossUnits::new(spread_of(terms.label, terms.scale)),
                cells: vec![LossSums::default(); of_classes.len()],
                crossed: Crossed::new(reference, terms.score),
            }),
            quantile: number.and_then(|terms| {
                let spread = spread_of(terms.label, terms.scale);
                Some(RegressionState::new(RegressionScale { centre: 0.0, spread, quantile: terms.quantile? }))
            }),
            class_scores: match &reference.joint.expected {
                Some(Expected::Classes(scores)) => ClassScoreCounts::new(reference, scores),
                Some(Expected::Losses(_)) | None => None,
            },
            classes: if terms.is_none() { ClassCounts::new(reference) } else { None },
            of_classes,
            other_labels: false,
        }
    }

    /// Counts one row; nothing if it has no label.
    pub fn add(&mut self, row: &LabelledRow<'_>) {
        if let Some(classes) = &mut self.classes {
            classes.add(row);
        }
        if let Some(scores) = &mut self.class_scores {
            scores.add(row.cells, row.label_cell);
        }
        let Some(label) = row.label.filter(|_| self.compared) else { return };
        match (class_of(label), self.of_classes.get_mut(row.score_cell)) {
            (Some(class), Some(outcomes)) => outcomes[class] += 1,
            (Some(_), None) => {}
            (None, _) => self.other_labels = true,
        }
        if let Some((errors, score)) = self.quantile.as_mut().zip(row.score) {
            errors.add(label, score);
        }
        if let Some(LossCounts { units, cells, crossed }) = &mut self.losses
            && let Some((sums, score)) = cells.get_mut(row.score_cell).zip(row.score)
        {
            sums.add(score - label, units);
            crossed.add(row.cells, score - label, units);
        }
    }

    /// What the rows teach that needs two columns of an event at once; `None` if that is nothing.
    #[must_use]
    pub fn expected(&self) -> Option<Expected> {
        if let Some(scores) = &self.class_scores {
            return scores.learned().map(Expected::Classes);
        }
        let LossCounts { units, cells, crossed } = self.losses.as_ref().filter(|_| self.other_labels)?;
        crossed.learned(&groups(cells, units)).map(Expected::Losses)
    }

    /// Adds to a calibration what the rows teach.
    #[must_use]
    pub fn teach(&self, reference: &Reference, calibration: Calibration) -> Calibration {
        if let Some(classes) = &self.classes {
            let (classes, confidence) = classes.learned(reference);
            return Calibration { classes, confidence, ..calibration };
        }
        if self.other_labels {
            let learned = self.losses.as_ref().map(|losses| groups(&losses.cells, &losses.units));
            return Calibration {
                losses: learned.filter(|groups| !groups.is_empty()),
                quantile: self.quantile.and_then(|errors| foretold(&errors)),
                ..calibration
            };
        }
        let calibrated = calibrated_scores(&self.of_classes);
        let threshold = |shares: &Vec<f64>| confidence_threshold(reference, &self.of_classes, shares);
        Calibration {
            confidence: calibrated.as_ref().and_then(threshold),
            sampling: sampling(reference, &self.of_classes),
            calibrated_scores: calibrated,
            ..calibration
        }
    }
}

fn foretold(errors: &RegressionState) -> Option<QuantileOutcome> {
    let metrics = errors.metrics()?;
    Some(QuantileOutcome { loss: metrics.quantile_loss, coverage: metrics.quantile_coverage? })
}

/// The interquartile range of a column of numbers in the baseline, which no wild value stretches; `None` if it is 0.
fn usual_spread(reference: &Reference, column: usize) -> Option<f64> {
    let middles = middles(reference.columns.get(column)?)?;
    let layout = reference.layout();
    let counts = layout.column(&reference.profile, column).cells;
    let all: u64 = counts.iter().sum();
    let quartile = |part: u64| {
        let mut below = 0;
        let reached = |(_, count): &(&f64, &u64)| {
            below += **count;
            below * 4 >= all * part
        };
        middles.iter().zip(counts).find(reached).map(|(middle, _)| *middle)
    };
    Some(quartile(3)? - quartile(1)?).filter(|spread| *spread > 0.0)
}

/// Whether labels of this value are those of two classes.
fn class_of(label: f64) -> Option<usize> {
    match label {
        0.0 => Some(0),
        1.0 => Some(1),
        _ => None,
    }
}

/// Predictions and labels of several classes.
#[derive(Debug, Clone, PartialEq)]
struct ClassCounts {
    /// Names of the classes: the categories of the prediction in their order, then those that only the label has.
    names: Vec<String>,
    /// Number of categories of the prediction, and its cells.
    predicted: [usize; 2],
    /// Class of each category of the label.
    of_label: Vec<usize>,
    /// Cells of the label.
    labels: usize,
    /// Rows by class of the prediction (outer) and of the label; empty of more than [`MOST_CLASSES`].
    confusion: Vec<Vec<u64>>,
    /// Wrong and right predictions by cell of the score.
    by_score: Vec<[u64; 2]>,
}

impl ClassCounts {
    /// `None` unless prediction and label are both one of several categories.
    fn new(reference: &Reference) -> Option<Self> {
        let of = |role: Role| match &column_of(reference, role)?.1.binning {
            Binning::Categorical(table) => Some((table.categories(), table.cells())),
            Binning::Numeric(_) => None,
        };
        let ((predictions, prediction_cells), (labels, label_cells)) =
            (of(Role::Prediction)?, of(Role::Label)?);
        let mut names = predictions.to_vec();
        names.extend(labels.iter().filter(|label| !predictions.contains(label)).cloned());
        let class = |label: &String| names.iter().position(|name| name == label);
        let of_label = labels.iter().filter_map(class).collect();
        let table = if names.len() <= MOST_CLASSES { names.len() } else { 0 };
        Some(Self {
            predicted: [predictions.len(), prediction_cells],
            of_label,
            labels: label_cells,
            confusion: vec![vec![0; table]; table],
            by_score: outcome_cells(reference),
            names,
        })
    }

    fn add(&mut self, row: &LabelledRow<'_>) {
        let [categories, cells] = self.predicted;
        if row.prediction_cell >= cells || row.label_cell >= self.labels {
            return;
        }
        // What either has beyond its categories is of no class: of two such values nobody knows whether they are the same.
        let predicted = Some(row.prediction_cell).filter(|cell| *cell < categories);
        let label = self.of_label.get(row.label_cell).copied();
        if predicted.is_none() && label.is_none() {
            return;
        }
        if let Some(outcomes) = self.by_score.get_mut(row.score_cell) {
            outcomes[usize::from(predicted == label)] += 1;
        }
        if let Some((predicted, label)) = predicted.zip(label)
            && let Some(count) = self.confusion.get_mut(predicted).and_then(|row| row.get_mut(label))
        {
            *count += 1;
        }
    }

    /// Whether scores can be those of the predicted class: the largest of so many shares is at least one of them all.
    fn are_confidences(&self, scores: &[f64]) -> bool {
        let least = 1.0 / self.names.len().max(1) as f64;
        let rows = |stray: bool| -> u64 {
            let cells = scores.iter().zip(&self.by_score);
            cells
                .filter(|(score, _)| !stray || **score < least)
                .map(|(_, counts)| counts[0] + counts[1])
                .sum()
        };
        rows(true) as f64 <= STRAY_SCORES * rows(false) as f64
    }

    fn learned(&self, reference: &Reference) -> (Option<ClassOutcomes>, Option<ConfidenceThreshold>) {
        let scores = column_of(reference, Role::Score).and_then(|(_, column)| middles(column));
        let confidences = scores.filter(|scores| self.are_confidences(scores));
        let calibrated_right = confidences.and_then(|_| calibrated_scores(&self.by_score));
        let counts: Vec<u64> = self.by_score.iter().map(|[wrong, right]| wrong + right).collect();
        let of = |class: usize| self.by_score.iter().map(|counts| counts[class]).sum::<u64>();
        let (wrong, right) = (of(0), of(1));
        let accuracy = right as f64 / (wrong + right) as f64;
        let threshold = calibrated_right
            .as_ref()
            .and_then(|shares| ConfidenceThreshold::learn(shares, &counts, accuracy));
        let counted = self.confusion.iter().flatten().any(|count| *count > 0);
        let outcomes = (counted || calibrated_right.is_some()).then(|| ClassOutcomes {
            calibrated_right,
            right,
            wrong,
            names: if self.confusion.is_empty() { Vec::new() } else { self.names.clone() },
            confusion: self.confusion.clone(),
        });
        (outcomes, threshold)
    }
}
