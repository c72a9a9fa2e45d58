//! Performance before any label is known: what the scores of a window let expect, if the relation of score and label is
//! still that of the baseline (confidence-based performance estimation).
//!
//! The calibration is fitted once, when a reference is made, on the baseline's labels per cell of the score. A window then
//! needs nothing but its counts of the score. By the same labels chance has a band: where the figures of so many predictions
//! will lie, if the estimate is right.

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::estimate::cbpe::estimate_cells;
use anchorwatch_detectors::estimate::sampling_error::{SamplingErrors, roc_auc_cells};
use anchorwatch_detectors::estimate::{Isotonic, Trust};
use anchorwatch_detectors::performance::Confusion;

use crate::reference::{Reference, Role, Sampling};
use crate::view::{EstimateView, Interval, Level, WindowView};

/// Score from which a prediction counts as positive.
const DECISION: f64 = 0.5;

/// Half the width of a band in standard errors, as `NannyML` has it.
const BAND: f64 = 3.0;

/// The share of positives that each cell of the score stands for, from the baseline's negatives and positives per cell.
/// Never falls from cell to cell. `None` without labels.
#[must_use]
pub fn calibrated_scores(outcomes: &[[u64; 2]]) -> Option<Vec<f64>> {
    let used = || outcomes.iter().enumerate().filter(|(_, [negatives, positives])| negatives + positives > 0);
    // The place of a cell stands for its score: only the order matters.
    let places: Vec<f64> = used().map(|(cell, _)| cell as f64).collect();
    let positives: Vec<u64> = used().map(|(_, one)| one[1]).collect();
    let negatives: Vec<u64> = used().map(|(_, one)| one[0]).collect();
    let fit = Isotonic::fit_counts(&places, &positives, &negatives)?;
    Some((0..outcomes.len()).map(|cell| fit.apply(cell as f64)).collect())
}

/// What the counts of a window let expect; `None` if the reference has no calibrated score between 0 and 1, or the window
/// no scores. `windows` are the verdicts on the same window: an estimate is at risk if a feature or the score drifts.
#[must_use]
pub fn estimate(reference: &Reference, counts: &[u64], windows: &[WindowView]) -> Option<EstimateView> {
    let calibration = reference.calibration.as_ref()?;
    let probabilities = calibration.calibrated_scores.as_ref()?;
    let column = reference.columns.iter().position(|column| column.role == Role::Score)?;
    let Binning::Numeric(knots) = &reference.columns.get(column)?.binning else { return None };
    let cells = reference.live_layout().column(counts, column).cells;
    let scores: Vec<f64> = (0..cells.len()).map(|cell| middle(knots.knots(), cell)).collect();
    let within = |(score, count): (&f64, &u64)| *count == 0 || (0.0..=1.0).contains(score);
    if cells.len() != probabilities.len() || !scores.iter().zip(cells).all(within) {
        return None;
    }
    let at_risk = windows.iter().any(is_drifting);
    let trust = if at_risk { Trust::CalibrationAtRisk } else { Trust::Trusted };
    let decided: Vec<bool> = scores.iter().map(|score| *score >= DECISION).collect();
    let estimate = estimate_cells(cells, probabilities, &decided, trust);
    let squared = |((score, p), count): ((&f64, &f64), &u64)| {
        *count as f64 * (p * (1.0 - score).powi(2) + (1.0 - p) * score.powi(2))
    };
    let brier: f64 = scores.iter().zip(probabilities).zip(cells).map(squared).sum();
    let whole = windows.first()?;
    let view = EstimateView {
        model: whole.model.clone(),
        version: whole.version.clone(),
        start: whole.start,
        end: whole.end,
        predictions: estimate.count,
        accuracy: estimate.accuracy(),
        precision: estimate.precision(),
        recall: estimate.recall(),
        specificity: estimate.specificity(),
        f1: estimate.f1(),
        roc_auc: estimate.roc_auc,
        average_precision: estimate.average_precision,
        brier: Some(brier / estimate.count as f64),
        calibration_at_risk: at_risk,
        ..EstimateView::default()
    };
    let view = match &calibration.sampling {
        Some(sampling) => with_bands(view, sampling),
        None => view,
    };
    (estimate.count > 0).then_some(view)
}

/// How far chance goes in figures of decisions, from the baseline's negatives and positives per cell of the score. `None`
/// without labels.
#[must_use]
pub fn sampling(reference: &Reference, outcomes: &[[u64; 2]]) -> Option<Sampling> {
    let score = reference.columns.iter().find(|column| column.role == Role::Score)?;
    let Binning::Numeric(knots) = &score.binning else { return None };
    let mut decisions = Confusion::default();
    for (cell, [negatives, positives]) in outcomes.iter().enumerate() {
        let (came, did_not) = match middle(knots.knots(), cell) >= DECISION {
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

/// Whether labels of this value are those of two classes.
#[must_use]
pub fn class_of(label: f64) -> Option<usize> {
    match label {
        0.0 => Some(0),
        1.0 => Some(1),
        _ => None,
    }
}

/// Counters of each cell of the score by class, for [`calibrated_scores`]; empty if the reference has no score.
#[must_use]
pub fn outcome_cells(reference: &Reference) -> Vec<[u64; 2]> {
    let score = reference.columns.iter().find(|column| column.role == Role::Score);
    let numeric = score.filter(|column| matches!(column.binning, Binning::Numeric(_)));
    vec![[0; 2]; numeric.map_or(0, |column| column.binning.cells())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_cell_is_its_cut_point_or_half_way_between_two() {
        let knots = [0.25, 0.75];
        let middles: Vec<f64> = (0..5).map(|cell| middle(&knots, cell)).collect();
        assert_eq!(middles, [0.25, 0.25, 0.5, 0.75, 0.75]);
    }

    #[test]
    fn calibrated_scores_never_fall_and_reach_into_cells_without_labels() {
        let shares = calibrated_scores(&[[10, 0], [0, 0], [4, 6], [6, 4], [0, 5]]).expect("labels");
        assert_eq!((shares[0], shares[2], shares[3], shares[4]), (0.0, 0.5, 0.5, 1.0));
        assert!((0.0..=0.5).contains(&shares[1]) && shares.is_sorted());
        assert_eq!(calibrated_scores(&[[0, 0]]), None);
    }

    #[test]
    fn bands_are_three_standard_errors_of_so_many_predictions() {
        let view =
            EstimateView { predictions: 400, accuracy: Some(0.7), f1: Some(0.99), ..EstimateView::default() };
        let decisions =
            Confusion { true_positive: 30, false_positive: 10, false_negative: 20, true_negative: 40 };
        let seen = with_bands(view, &Sampling { decisions, roc_auc: Some(0.5) });
        let away = 3.0 * (0.7f64 * 0.3 / 400.0).sqrt();
        let accuracy = seen.accuracy_band.expect("a band");
        assert!((accuracy.lower - 0.7 + away).abs() < 1e-12 && (accuracy.upper - 0.7 - away).abs() < 1e-12);
        let f1 = seen.f1_band.expect("a band");
        assert!(f1.lower < 0.99 && f1.upper == 1.0, "no share is above 1");
        assert_eq!((seen.recall_band, seen.roc_auc_band), (None, None), "nothing was expected of them");
    }
}
