//! Performance before any label is known: what the scores and predictions of a window let expect, if one relation is
//! still that of the baseline: that of score and label (confidence-based estimates, losses by cells), or that of label and
//! prediction (label shift).
//!
//! What is needed of the baseline is learned once, when a reference is made ([`learn`]). A window then needs nothing but its
//! counts of score and prediction. By the labels of the baseline chance has a band: where the figures of so many
//! predictions will lie, if the estimate is right.

pub mod learn;

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::estimate::cbpe::estimate_cells;
use anchorwatch_detectors::estimate::loss_by_cells::expected_loss;
use anchorwatch_detectors::estimate::multiclass::mean_roc_auc;
use anchorwatch_detectors::estimate::sampling_error::{SamplingErrors, roc_auc_cells};
use anchorwatch_detectors::estimate::thresholded_confidence::{mean_confidence, mean_entropy};
use anchorwatch_detectors::estimate::{
    ClassSums, ConfidenceThreshold, Isotonic, MulticlassEstimate, Trust, label_shift,
};
use anchorwatch_detectors::performance::Confusion;

use crate::reference::{Calibration, ClassOutcomes, ClassScore, Column, Expected, Reference, Role, Sampling};
use crate::view::{ClassShare, EstimateView, Interval, Level, WindowView};

/// Score from which a prediction counts as positive.
const DECISION: f64 = 0.5;

/// Half the width of a band in standard errors, as `NannyML` has it.
const BAND: f64 = 3.0;

/// The share of positives that each cell of the score stands for, from the baseline's negatives and positives per cell.
/// Never falls from cell to cell. `None` without labels.
fn calibrated_scores(outcomes: &[[u64; 2]]) -> Option<Vec<f64>> {
    let used = || outcomes.iter().enumerate().filter(|(_, [negatives, positives])| negatives + positives > 0);
    // The place of a cell stands for its score: only the order matters.
    let places: Vec<f64> = used().map(|(cell, _)| cell as f64).collect();
    let positives: Vec<u64> = used().map(|(_, one)| one[1]).collect();
    let negatives: Vec<u64> = used().map(|(_, one)| one[0]).collect();
    let fit = Isotonic::fit_counts(&places, &positives, &negatives)?;
    Some((0..outcomes.len()).map(|cell| fit.apply(cell as f64)).collect())
}

/// What the counts of a window let expect; `None` if the baseline had no labels to learn from, its score is to be a
/// probability and is not between 0 and 1, or the window has nothing to go by. `windows` are the verdicts on the same
/// window: an estimate is at risk if a feature or the score drifts.
#[must_use]
pub fn estimate(reference: &Reference, counts: &[u64], windows: &[WindowView]) -> Option<EstimateView> {
    let calibration = reference.calibration.as_ref()?;
    let at_risk = windows.iter().any(is_drifting);
    let trust = if at_risk { Trust::CalibrationAtRisk } else { Trust::Trusted };
    let scores = ScoreCells::of(reference, counts);
    let scores = scores.as_ref();
    let figures = scores
        .and_then(|scores| of_two_classes(calibration, scores, trust))
        .or_else(|| of_several_classes(reference, calibration, counts, scores))
        .or_else(|| by_two_columns(reference, counts))
        .or_else(|| of_a_number(calibration, scores?))?;
    let whole = windows.first()?;
    Some(EstimateView {
        model: whole.model.clone(),
        version: whole.version.clone(),
        start: whole.start,
        end: whole.end,
        calibration_at_risk: at_risk,
        ..figures
    })
}

/// The cells of the score: what each stands for, and how many predictions of the window it has.
struct ScoreCells<'a> {
    middles: Vec<f64>,
    counts: &'a [u64],
}

impl<'a> ScoreCells<'a> {
    /// `None` if the reference has no score that is a number.
    fn of(reference: &Reference, counts: &'a [u64]) -> Option<Self> {
        let (column, score) = column_of(reference, Role::Score)?;
        let middles = middles(score)?;
        Some(Self { middles, counts: reference.live_layout().column(counts, column).cells })
    }

    /// Whether all predictions have a score between 0 and 1.
    fn are_probabilities(&self) -> bool {
        self.middles.iter().zip(self.counts).all(|(score, count)| *count == 0 || (0.0..=1.0).contains(score))
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

fn column_of(reference: &Reference, role: Role) -> Option<(usize, &Column)> {
    reference.columns.iter().enumerate().find(|(_, column)| column.role == role)
}

/// What each cell of a numeric column stands for.
fn middles(column: &Column) -> Option<Vec<f64>> {
    let Binning::Numeric(knots) = &column.binning else { return None };
    Some((0..column.binning.cells()).map(|cell| middle(knots.knots(), cell)).collect())
}

/// Labels of 0 and 1, or of a positive class and the rest.
fn of_two_classes(calibration: &Calibration, scores: &ScoreCells<'_>, trust: Trust) -> Option<EstimateView> {
    let probabilities = calibration.calibrated_scores.as_ref()?;
    let ScoreCells { middles, counts } = scores;
    if counts.len() != probabilities.len() || !scores.are_probabilities() {
        return None;
    }
    let decided: Vec<bool> = middles.iter().map(|score| *score >= DECISION).collect();
    let estimate = estimate_cells(counts, probabilities, &decided, trust);
    let squared = |((score, p), count): ((&f64, &f64), &u64)| {
        *count as f64 * (p * (1.0 - score).powi(2) + (1.0 - p) * score.powi(2))
    };
    let brier: f64 = middles.iter().zip(probabilities).zip(*counts).map(squared).sum();
    let all = estimate.count as f64;
    let thresholded =
        |threshold: &ConfidenceThreshold| threshold.accuracy(&confidences(middles, probabilities), counts);
    let view = EstimateView {
        predictions: estimate.count,
        accuracy: estimate.accuracy(),
        precision: estimate.precision(),
        recall: estimate.recall(),
        specificity: estimate.specificity(),
        f1: estimate.f1(),
        roc_auc: estimate.roc_auc,
        average_precision: estimate.average_precision,
        brier: Some(brier / all),
        positive_share: Some(((estimate.true_positive + estimate.false_negative) / all).clamp(0.0, 1.0)),
        confidence: mean_confidence(counts, probabilities),
        entropy: mean_entropy(counts, probabilities),
        accuracy_thresholded: calibration.confidence.as_ref().and_then(thresholded),
        ..EstimateView::default()
    };
    let view = match &calibration.sampling {
        Some(sampling) => under_label_shift(with_bands(view, sampling), sampling, &decided, counts),
        None => view,
    };
    (estimate.count > 0).then_some(view)
}

/// How sure the decision in each cell is: the calibrated probability that it is right.
fn confidences(middles: &[f64], probabilities: &[f64]) -> Vec<f64> {
    let of = |(score, p): (&f64, &f64)| if *score >= DECISION { *p } else { 1.0 - p };
    middles.iter().zip(probabilities).map(of).collect()
}

/// Adds what decisions say if only the share of positives has changed.
fn under_label_shift(
    view: EstimateView,
    sampling: &Sampling,
    decided: &[bool],
    counts: &[u64],
) -> EstimateView {
    let Confusion { true_positive, false_positive, false_negative, true_negative } = sampling.decisions;
    let positives: u64 =
        counts.iter().zip(decided).filter(|(_, decided)| **decided).map(|(count, _)| count).sum();
    let table = [[true_negative, false_negative], [false_positive, true_positive]];
    let shift = label_shift(&table, &[view.predictions.saturating_sub(positives), positives]);
    EstimateView {
        accuracy_label_shift: shift.as_ref().map(|shift| shift.accuracy),
        positive_share_label_shift: shift.as_ref().and_then(|shift| shift.shares.get(1).copied()),
        ..view
    }
}

/// Labels of several classes: by the confidence of the predicted class, and by the classes that are predicted.
fn of_several_classes(
    reference: &Reference,
    calibration: &Calibration,
    counts: &[u64],
    scores: Option<&ScoreCells<'_>>,
) -> Option<EstimateView> {
    let classes = calibration.classes.as_ref();
    let by_confidence =
        classes.zip(scores).and_then(|(classes, scores)| by_confidence(calibration, classes, scores));
    let by_score = match by_class_scores(reference, classes, counts) {
        // Those of a few events do not speak for all.
        Some(by_scores)
            if by_confidence.as_ref().is_some_and(|one| by_scores.predictions < one.predictions / 2) =>
        {
            by_confidence
        }
        Some(by_scores) => Some(EstimateView {
            accuracy_thresholded: by_confidence.as_ref().and_then(|one| one.accuracy_thresholded),
            confidence: by_confidence.as_ref().and_then(|one| one.confidence),
            ..by_scores
        }),
        None => by_confidence,
    };
    let Some(classes) = classes else { return by_score };
    let (column, prediction) = column_of(reference, Role::Prediction)?;
    let predicted = reference.live_layout().column(counts, column).cells;
    // Classes begin with the categories of the prediction, in their order; what it did not know then has no class.
    let known = prediction.binning.cells().saturating_sub(1).min(classes.names.len());
    let mut of_classes: Vec<u64> = predicted.get(..known)?.to_vec();
    of_classes.resize(classes.names.len(), 0);
    let shift = label_shift(&classes.confusion, &of_classes);
    if by_score.is_none() && shift.is_none() {
        return None;
    }
    let view = by_score
        .unwrap_or_else(|| EstimateView { predictions: of_classes.iter().sum(), ..EstimateView::default() });
    let share = |(class, share): (&String, &f64)| ClassShare { class: class.clone(), share: *share };
    Some(EstimateView {
        accuracy_label_shift: shift.as_ref().map(|shift| shift.accuracy),
        class_shares_label_shift: shift
            .map(|shift| classes.names.iter().zip(&shift.shares).map(share).collect())
            .unwrap_or_default(),
        ..view
    })
}

/// By a score of each class.
fn by_class_scores(
    reference: &Reference,
    outcomes: Option<&ClassOutcomes>,
    counts: &[u64],
) -> Option<EstimateView> {
    let Some(Expected::Classes(scores)) = &reference.joint.expected else { return None };
    let classes = scores.classes();
    let layout = reference.live_layout();
    let sums: Vec<(f64, f64)> = reference.joint.expected_sums(&layout, counts).collect();
    let (expected, right) = sums.split_at_checked(classes.len())?;
    let each = expected.iter().zip(right);
    let each = each.map(|((_, expected), (predicted, right))| ClassSums {
        predicted: *predicted,
        expected: *expected,
        right: *right,
    });
    let estimate = MulticlassEstimate::new(each.collect());
    let accuracy = estimate.accuracy();
    // Every row with scores has a term of each class.
    let (rows, _) = expected.first().filter(|(rows, _)| *rows > 0.0)?;
    let predictions = *rows as u64;
    let error = |outcomes| SamplingErrors::new(&right_and_wrong(outcomes), predictions).accuracy;
    let share = |(class, (rows, sum)): (&ClassScore, &(f64, f64))| ClassShare {
        class: class.class.clone(),
        share: (sum / rows).clamp(0.0, 1.0),
    };
    Some(EstimateView {
        predictions,
        accuracy,
        accuracy_band: band(accuracy, outcomes.and_then(error)),
        precision: estimate.macro_precision(),
        recall: estimate.macro_recall(),
        f1: estimate.macro_f1(),
        roc_auc: mean_roc_auc(
            classes
                .iter()
                .map(|class| (layout.column(counts, class.column).cells, class.calibrated.as_slice())),
        ),
        class_shares: classes.iter().zip(expected).map(share).collect(),
        ..EstimateView::default()
    })
}

/// What became of predictions of several classes: of those with a score, or, without one, of all.
fn right_and_wrong(outcomes: &ClassOutcomes) -> Confusion {
    let (right, wrong) = match outcomes.right + outcomes.wrong {
        0 => {
            let all: u64 = outcomes.confusion.iter().flatten().sum();
            let right: u64 =
                outcomes.confusion.iter().enumerate().filter_map(|(class, row)| row.get(class)).sum();
            (right, all - right)
        }
        _ => (outcomes.right, outcomes.wrong),
    };
    Confusion { true_positive: right, false_positive: wrong, ..Confusion::default() }
}

fn by_confidence(
    calibration: &Calibration,
    classes: &ClassOutcomes,
    scores: &ScoreCells<'_>,
) -> Option<EstimateView> {
    let right = classes.calibrated_right.as_ref()?;
    let total = scores.total();
    if right.len() != scores.counts.len() || total == 0 || !scores.are_probabilities() {
        return None;
    }
    let mean = |values: &[f64]| {
        let sum: f64 = scores.counts.iter().zip(values).map(|(count, value)| *count as f64 * value).sum();
        Some((sum / total as f64).clamp(0.0, 1.0))
    };
    let accuracy = mean(right);
    let threshold = calibration.confidence.as_ref();
    Some(EstimateView {
        predictions: total,
        accuracy,
        accuracy_band: band(accuracy, SamplingErrors::new(&right_and_wrong(classes), total).accuracy),
        accuracy_thresholded: threshold.and_then(|one| one.accuracy(right, scores.counts)),
        confidence: mean(&scores.middles),
        ..EstimateView::default()
    })
}

/// Labels that are numbers, by the prediction and the feature that errors depend on most besides it.
fn by_two_columns(reference: &Reference, counts: &[u64]) -> Option<EstimateView> {
    let Some(Expected::Losses(losses)) = &reference.joint.expected else { return None };
    let layout = reference.live_layout();
    let sums: Vec<(f64, f64)> = reference.joint.expected_sums(&layout, counts).collect();
    let (predictions, [absolute, squared]) = losses.means(&sums)?;
    Some(EstimateView {
        predictions,
        mae: Some(absolute),
        rmse: Some(squared.sqrt()),
        loss_feature: reference.columns.get(losses.feature()).map(|column| column.name.clone()),
        ..EstimateView::default()
    })
}

/// Labels that are numbers, by the prediction alone.
fn of_a_number(calibration: &Calibration, scores: &ScoreCells<'_>) -> Option<EstimateView> {
    let loss = expected_loss(calibration.losses.as_ref()?, scores.counts)?;
    Some(EstimateView {
        predictions: loss.count,
        mae: Some(loss.mae),
        rmse: Some(loss.rmse),
        ..EstimateView::default()
    })
}

/// How far chance goes in figures of decisions, from the baseline's negatives and positives per cell of the score. `None`
/// without labels.
fn sampling(reference: &Reference, outcomes: &[[u64; 2]]) -> Option<Sampling> {
    let middles = middles(column_of(reference, Role::Score)?.1)?;
    let mut decisions = Confusion::default();
    for (middle, [negatives, positives]) in middles.iter().zip(outcomes) {
        let (came, did_not) = match *middle >= DECISION {
            true => (&mut decisions.true_positive, &mut decisions.false_positive),
            false => (&mut decisions.false_negative, &mut decisions.true_negative),
        };
        *came = came.saturating_add(*positives);
        *did_not = did_not.saturating_add(*negatives);
    }
    let of_class = |class: usize| outcomes.iter().map(|counts| counts[class]).collect::<Vec<u64>>();
    let roc_auc = roc_auc_cells(&of_class(1), &of_class(0), 1);
    (decisions.total() > 0).then_some(Sampling { decisions, roc_auc })
}

/// From which confidence on as many decisions stand as were right, from the baseline's negatives and positives per cell of
/// the score and the shares that [`calibrated_scores`] gives. `None` without labels.
fn confidence_threshold(
    reference: &Reference,
    outcomes: &[[u64; 2]],
    calibrated: &[f64],
) -> Option<ConfidenceThreshold> {
    let middles = middles(column_of(reference, Role::Score)?.1)?;
    let decisions = sampling(reference, outcomes)?.decisions;
    let counts: Vec<u64> = outcomes.iter().map(|[negatives, positives]| negatives + positives).collect();
    ConfidenceThreshold::learn(&confidences(&middles, calibrated), &counts, decisions.accuracy()?)
}

/// Adds the bands.
fn with_bands(view: EstimateView, sampling: &Sampling) -> EstimateView {
    let errors = SamplingErrors::new(&sampling.decisions, view.predictions);
    let roc_auc = sampling.roc_auc.map(|of_one| of_one / (view.predictions as f64).sqrt());
    EstimateView {
        accuracy_band: band(view.accuracy, errors.accuracy),
        precision_band: band(view.precision, errors.precision),
        recall_band: band(view.recall, errors.recall),
        specificity_band: band(view.specificity, errors.specificity),
        f1_band: band(view.f1, errors.f1),
        roc_auc_band: band(view.roc_auc, roc_auc),
        ..view
    }
}

fn band(value: Option<f64>, standard_error: Option<f64>) -> Option<Interval> {
    let (value, away) = (value?, BAND * standard_error?);
    Some(Interval { lower: (value - away).max(0.0), upper: (value + away).min(1.0) })
}

fn is_drifting(window: &WindowView) -> bool {
    let inputs = window.verdicts.iter().filter(|one| matches!(one.role, Some(Role::Feature | Role::Score)));
    window.segment.is_none() && inputs.map(|one| one.level).any(|level| level == Level::Drift)
}

/// Middle of a cell: the cut point itself, or half-way to the next; beyond the ends, the last of them.
pub(super) fn middle(knots: &[f64], cell: usize) -> f64 {
    let at = |index: usize| knots.get(index).copied();
    let low = cell.div_ceil(2).checked_sub(1).and_then(at);
    let high = at(cell / 2);
    match (low, high) {
        (Some(low), Some(high)) => f64::midpoint(low, high),
        (one, other) => one.or(other).unwrap_or(f64::NAN),
    }
}

/// Counters of each cell of the score by class, for [`calibrated_scores`]; empty if the reference has no score.
fn outcome_cells(reference: &Reference) -> Vec<[u64; 2]> {
    let score = reference.columns.iter().find(|column| column.role == Role::Score);
    let numeric = score.filter(|column| matches!(column.binning, Binning::Numeric(_)));
    vec![[0; 2]; numeric.map_or(0, |column| column.binning.cells())]
}

#[cfg(test)]
mod tests;
