//! Confidence-based performance estimation: the expected confusion matrix and ranking of a calibrated classifier.
//!
//! A prediction with calibrated probability `p` is `p` of a positive and `1 - p` of a negative. Summing these shares
//! gives the matrix that labels would give on average; kept per score cell, also the areas of the ranking. The sums are
//! fixed-point integers: mergeable, subtractable, and, with ties counted half, independent of the order of events
//! (`NannyML`'s are not). Not here: the calibration itself ([`super::isotonic`], [`super::platt`]).

use crate::counts::CountsError;
use crate::fixed_point::{FixedPoint, merge_sums, subtract_sums};

use super::isotonic::Isotonic;
use super::platt::Platt;

/// Cells of raw scores 0, 0.001, …, 1.
pub const SCORE_CELLS: usize = 1_001;
/// Probabilities are summed exactly to `2^-60`.
pub(super) const UNIT: FixedPoint = FixedPoint::new(-60);

/// From a raw score to a probability.
#[derive(Debug, Clone, PartialEq)]
pub enum Calibration {
    /// Scores are probabilities already.
    Raw,
    /// Steps fitted on the reference.
    Isotonic(Isotonic),
    /// A logistic curve fitted on the reference.
    Platt(Platt),
}

impl Calibration {
    /// The probability of a score, within 0 to 1; NaN for NaN.
    #[must_use]
    pub fn apply(&self, score: f64) -> f64 {
        match self {
            Self::Raw => score.clamp(0.0, 1.0),
            Self::Isotonic(fit) => fit.apply(score),
            Self::Platt(fit) => fit.apply(score),
        }
    }
}

/// Whether the calibration may still hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Neither scores nor features have drifted since the calibration was fitted.
    Trusted,
    /// They have: the relation of score and label may have changed with them.
    CalibrationAtRisk,
}

/// Expected performance without labels; what is undefined is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Predictions behind the estimate.
    pub count: u64,
    /// Expected true positives.
    pub true_positive: f64,
    /// Expected false positives.
    pub false_positive: f64,
    /// Expected false negatives.
    pub false_negative: f64,
    /// Expected true negatives.
    pub true_negative: f64,
    /// Area under the ROC curve, ties counting one half; `None` if one class is not expected at all.
    pub roc_auc: Option<f64>,
    /// Average precision; `None` if no positive is expected.
    pub average_precision: Option<f64>,
    /// Whether to believe it.
    pub trust: Trust,
}

impl Estimate {
    /// Expected share of right predictions.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.true_positive + self.true_negative, self.false_positive + self.false_negative)
    }

    /// Expected precision.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positive, self.false_positive)
    }

    /// Expected recall.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positive, self.false_negative)
    }

    /// Expected specificity.
    #[must_use]
    pub fn specificity(&self) -> Option<f64> {
        ratio(self.true_negative, self.false_positive)
    }

    /// F1 of the expected counts.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        ratio(2.0 * self.true_positive, self.false_positive + self.false_negative)
    }
}

fn ratio(part: f64, rest: f64) -> Option<f64> {
    (part + rest > 0.0).then(|| (part / (part + rest)).clamp(0.0, 1.0))
}

/// What a pane remembers of predictions without labels: about 33 kB; merges and subtracts exactly.
///
/// ```
/// use anchorwatch_detectors::estimate::{Calibration, CbpeState, Trust};
/// let mut state = CbpeState::new(0.5);
/// for score in [0.9, 0.8, 0.2] {
///     state.add(&Calibration::Raw, score);
/// }
/// let estimate = state.estimate(Trust::Trusted);
/// assert!((estimate.accuracy().expect("three predictions") - 2.5 / 3.0).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CbpeState {
    threshold: f64,
    count: u64,
    /// Expected true positives, false positives, false negatives, true negatives.
    confusion: [i128; 4],
    positives: Vec<i128>,
    negatives: Vec<i128>,
}

impl CbpeState {
    /// The empty state for decisions at `threshold` of the raw score.
    #[must_use]
    pub fn new(threshold: f64) -> Self {
        Self {
            threshold,
            count: 0,
            confusion: [0; 4],
            positives: vec![0; SCORE_CELLS],
            negatives: vec![0; SCORE_CELLS],
        }
    }

    /// Counts one prediction; ignored if its score is NaN.
    pub fn add(&mut self, calibration: &Calibration, score: f64) {
        let p = calibration.apply(score);
        if p.is_nan() {
            return;
        }
        self.count = self.count.saturating_add(1);
        let (positive, one) = (UNIT.units(p), UNIT.units(1.0));
        let negative = one - positive;
        let shares =
            if score >= self.threshold { [positive, negative, 0, 0] } else { [0, 0, positive, negative] };
        merge_sums(&mut self.confusion, &shares);
        let cell = ((score * (SCORE_CELLS - 1) as f64) as usize).min(SCORE_CELLS - 1);
        for (cells, share) in [(&mut self.positives, positive), (&mut self.negatives, negative)] {
            if let Some(sum) = cells.get_mut(cell) {
                *sum = sum.wrapping_add(share);
            }
        }
    }

    /// Adds another state of the same threshold and calibration.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        merge_sums(&mut self.confusion, &other.confusion);
        merge_sums(&mut self.positives, &other.positives);
        merge_sums(&mut self.negatives, &other.negatives);
    }

    /// Takes away a state that was merged before; on an error this one is unchanged.
    ///
    /// # Errors
    /// When the other state holds more predictions.
    pub fn subtract(&mut self, other: &Self) -> Result<(), CountsError> {
        self.count = self.count.checked_sub(other.count).ok_or(CountsError::Underflow { cell: 0 })?;
        subtract_sums(&mut self.confusion, &other.confusion);
        subtract_sums(&mut self.positives, &other.positives);
        subtract_sums(&mut self.negatives, &other.negatives);
        Ok(())
    }

    /// The estimate so far; scores of one cell count as ties.
    #[must_use]
    pub fn estimate(&self, trust: Trust) -> Estimate {
        let real = |sums: &[i128]| -> Vec<f64> { sums.iter().map(|&units| UNIT.value(units)).collect() };
        estimate(self.count, self.confusion.map(|units| UNIT.value(units)), trust, || {
            (real(&self.positives), real(&self.negatives))
        })
    }
}

/// The estimate of raw arrays: scores for order and decision, calibrated probabilities for what is expected.
///
/// Pairs with a NaN on either side are left out; probabilities are held within 0 to 1.
#[must_use]
pub fn estimate_samples(scores: &[f64], probabilities: &[f64], threshold: f64, trust: Trust) -> Estimate {
    let sound = |(score, p): &(f64, f64)| !score.is_nan() && !p.is_nan();
    let mut pairs: Vec<(f64, f64)> =
        scores.iter().copied().zip(probabilities.iter().map(|p| p.clamp(0.0, 1.0))).filter(sound).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut confusion = [0.0; 4];
    for &(score, p) in &pairs {
        let shares = if score >= threshold { [p, 1.0 - p, 0.0, 0.0] } else { [0.0, 0.0, p, 1.0 - p] };
        confusion.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
    }
    estimate(pairs.len() as u64, confusion, trust, || {
        let runs = pairs.chunk_by(|a, b| a.0 == b.0);
        let sums = |run: &[(f64, f64)]| {
            let positive: f64 = run.iter().map(|(_, p)| p).sum();
            (positive, run.iter().map(|(_, p)| 1.0 - p).sum::<f64>())
        };
        runs.map(sums).unzip()
    })
}

/// The estimate of counts per score cell, lowest scores first: the calibrated probability of each cell, and whether its
/// predictions are positive. Scores of one cell count as ties. What one list has beyond another is left out.
///
/// ```
/// use anchorwatch_detectors::estimate::{Trust, cbpe::estimate_cells};
/// let estimate = estimate_cells(&[2, 2], &[0.25, 1.0], &[false, true], Trust::Trusted);
/// assert_eq!((estimate.count, estimate.accuracy()), (4, Some(0.875)));
/// ```
#[must_use]
pub fn estimate_cells(counts: &[u64], probabilities: &[f64], positive: &[bool], trust: Trust) -> Estimate {
    let mut confusion = [0.0; 4];
    let (mut positives, mut negatives) = (Vec::new(), Vec::new());
    for ((&count, &p), &decided) in counts.iter().zip(probabilities).zip(positive) {
        let (share, rest) = (count as f64 * p, count as f64 * (1.0 - p));
        let shares = if decided { [share, rest, 0.0, 0.0] } else { [0.0, 0.0, share, rest] };
        confusion.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
        positives.push(share);
        negatives.push(rest);
    }
    let count = counts.iter().take(positives.len()).sum();
    estimate(count, confusion, trust, || (positives, negatives))
}

fn estimate(
    count: u64,
    [true_positive, false_positive, false_negative, true_negative]: [f64; 4],
    trust: Trust,
    cells: impl FnOnce() -> (Vec<f64>, Vec<f64>),
) -> Estimate {
    let (positives, negatives) = cells();
    let (roc_auc, average_precision) = areas(&positives, &negatives);
    Estimate {
        count,
        true_positive,
        false_positive,
        false_negative,
        true_negative,
        roc_auc,
        average_precision,
        trust,
    }
}

/// ROC AUC and average precision of expected counts per cell, lowest scores first.
pub(super) fn areas(positives: &[f64], negatives: &[f64]) -> (Option<f64>, Option<f64>) {
    let (p, n) = (positives.iter().sum::<f64>(), negatives.iter().sum::<f64>());
    let (mut ranked, mut precision, mut found, mut false_alarms) = (0.0, 0.0, 0.0, 0.0);
    for (&pos, &neg) in positives.iter().zip(negatives).rev() {
        ranked += neg * (found + pos / 2.0);
        found += pos;
        false_alarms += neg;
        if pos > 0.0 {
            precision += pos * found / (found + false_alarms);
        }
    }
    let auc = (p > 0.0 && n > 0.0).then(|| (ranked / (p * n)).clamp(0.0, 1.0));
    (auc, (p > 0.0).then(|| (precision / p).clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_expected_of_nothing() {
        let estimate = CbpeState::new(0.5).estimate(Trust::CalibrationAtRisk);
        assert_eq!((estimate.accuracy(), estimate.roc_auc, estimate.f1()), (None, None, None));
        assert_eq!(estimate.trust, Trust::CalibrationAtRisk);
        let mut state = CbpeState::new(0.5);
        state.add(&Calibration::Raw, f64::NAN);
        assert_eq!(state, CbpeState::new(0.5));
    }

    proptest! {
        #[test]
        fn the_state_says_what_the_raw_arrays_say(
            scores in proptest::collection::vec(0u16..=1000, 1..60), cut in 0usize..60,
        ) {
            // Scores in the middle of their cell, one value per cell, so that cells are exact.
            let scores: Vec<f64> = scores.into_iter().map(|score| (f64::from(score) + 0.5) / 1001.0).collect();
            let fill = |scores: &[f64]| {
                let mut state = CbpeState::new(0.3);
                scores.iter().for_each(|&score| state.add(&Calibration::Raw, score));
                state
            };
            let (left, right) = scores.split_at(cut.min(scores.len()));
            let mut merged = fill(right);
            merged.merge(&fill(left));
            prop_assert_eq!(&merged, &fill(&scores));
            let streamed = merged.estimate(Trust::Trusted);
            let raw = estimate_samples(&scores, &scores, 0.3, Trust::Trusted);
            prop_assert!((streamed.accuracy().unwrap() - raw.accuracy().unwrap()).abs() < 1e-12);
            prop_assert!((streamed.roc_auc.unwrap() - raw.roc_auc.unwrap()).abs() < 0.01);
            merged.subtract(&fill(left)).unwrap();
            prop_assert_eq!(merged, fill(right));
        }

        #[test]
        fn no_score_makes_an_estimate_panic(scores in proptest::collection::vec(any::<f64>(), 0..20), t: f64) {
            let mut state = CbpeState::new(t);
            scores.iter().for_each(|&score| state.add(&Calibration::Raw, score));
            let raw = estimate_samples(&scores, &scores, t, Trust::Trusted);
            for value in [raw.accuracy(), raw.precision(), raw.recall(), raw.roc_auc, raw.average_precision] {
                prop_assert!(value.is_none_or(|value| (0.0..=1.0).contains(&value)));
            }
            std::hint::black_box(state.estimate(Trust::Trusted));
        }
    }
}
