//! Whether scores are right as probabilities: expected calibration error, log loss and Brier score.
//!
//! Here live the bins of a reliability curve and the sums of both losses as mergeable states, and the error on bins of equal
//! count for raw arrays.
//! Not here: repairing scores ([`crate::estimate::isotonic`]).

use serde::{Deserialize, Serialize};

use crate::counts::{CountsError, checked_merge, subtract, total};
use crate::fixed_point::{FixedPoint, merge_sums, subtract_sums};

/// Bins of the curve of a [`ProbabilityState`].
pub const CALIBRATION_BINS: usize = 10;
/// Sums of scores and of losses are exact to `2^-80`.
const UNIT: FixedPoint = FixedPoint::new(-80);

/// The smallest score, and distance from 1, that a log loss takes: `2^-52`.
pub const CLIP: f64 = f64::EPSILON;

/// The log loss of one prediction in nats, at least 0 and at most 36.05: the score is clipped to [`CLIP`]; NaN stays NaN.
#[must_use]
pub fn log_loss(label: bool, score: f64) -> f64 {
    let score = score.clamp(CLIP, 1.0 - CLIP);
    if label { -score.ln() } else { -(1.0 - score).ln() }
}

/// The squared error of one score against its label.
#[must_use]
pub fn brier(label: bool, score: f64) -> f64 {
    (score - f64::from(u8::from(label))).powi(2)
}

/// A reliability curve: counts, positives and sums of scores on bins of equal width over 0 to 1.
///
/// ```
/// use anchorwatch_detectors::performance::CalibrationBins;
/// let mut bins = CalibrationBins::new(10);
/// bins.add(true, 0.75);
/// bins.add(false, 0.71);
/// assert!((bins.expected_error().expect("two scores") - 0.23).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalibrationBins {
    counts: Vec<u64>,
    positives: Vec<u64>,
    scores: Vec<i128>,
}

/// One bin of a reliability curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// Predictions in the bin.
    pub count: u64,
    /// Their mean score.
    pub mean_score: f64,
    /// Their share of positives.
    pub positive_rate: f64,
}

impl CalibrationBins {
    /// Empty bins, at least one.
    #[must_use]
    pub fn new(bins: usize) -> Self {
        let bins = bins.max(1);
        Self { counts: vec![0; bins], positives: vec![0; bins], scores: vec![0; bins] }
    }

    /// Counts one prediction in bin `floor(score · bins)`; scores outside 0 to 1 go to the end bins, NaN nowhere.
    pub fn add(&mut self, label: bool, score: f64) {
        if score.is_nan() {
            return;
        }
        // A negative product is cast to 0, one beyond the last bin is held there.
        let bin = ((score * self.counts.len() as f64) as usize).min(self.counts.len().saturating_sub(1));
        let at = |counts: &mut Vec<u64>, by: u64| {
            if let Some(count) = counts.get_mut(bin) {
                *count = count.saturating_add(by);
            }
        };
        at(&mut self.counts, 1);
        at(&mut self.positives, u64::from(label));
        if let Some(sum) = self.scores.get_mut(bin) {
            *sum = sum.wrapping_add(UNIT.units(score));
        }
    }

    /// Adds another curve with as many bins; on an error this one is unchanged.
    ///
    /// # Errors
    /// When the curves have different bins or a count would overflow.
    pub fn merge(&mut self, other: &Self) -> Result<(), CountsError> {
        checked_merge(&mut self.counts, &other.counts)?;
        crate::counts::merge(&mut self.positives, &other.positives);
        merge_sums(&mut self.scores, &other.scores);
        Ok(())
    }

    /// Takes away a curve that was merged before; on an error this one is unchanged.
    ///
    /// # Errors
    /// When the curves have different bins or a count would fall below zero.
    pub fn subtract(&mut self, other: &Self) -> Result<(), CountsError> {
        let mut positives = self.positives.clone();
        subtract(&mut positives, &other.positives)?;
        subtract(&mut self.counts, &other.counts)?;
        self.positives = positives;
        subtract_sums(&mut self.scores, &other.scores);
        Ok(())
    }

    /// Predictions in all bins.
    #[must_use]
    pub fn count(&self) -> u64 {
        total(&self.counts)
    }

    /// The bins in use, lowest scores first.
    #[must_use]
    pub fn curve(&self) -> Vec<ReliabilityBin> {
        let bins = self.counts.iter().zip(&self.positives).zip(&self.scores);
        let bin = |((&count, &positives), &sum): ((&u64, &u64), &i128)| {
            (count > 0).then(|| ReliabilityBin {
                count,
                mean_score: UNIT.value(sum) / count as f64,
                positive_rate: positives as f64 / count as f64,
            })
        };
        bins.filter_map(bin).collect()
    }

    /// The expected calibration error: the mean over predictions of `|positive rate - mean score|` of their bin.
    ///
    /// Within 0 to 1 for scores within 0 to 1; `None` without predictions.
    #[must_use]
    pub fn expected_error(&self) -> Option<f64> {
        let n = self.count();
        let error = |bin: ReliabilityBin| bin.count as f64 * (bin.positive_rate - bin.mean_score).abs();
        (n > 0).then(|| self.curve().into_iter().map(error).sum::<f64>() / n as f64)
    }
}

/// What a pane remembers of labelled probabilities: ten bins of the reliability curve, and the sums of both losses.
///
/// ```
/// use anchorwatch_detectors::performance::ProbabilityState;
/// let mut state = ProbabilityState::default();
/// state.add(true, 0.5);
/// state.add(false, 0.5);
/// assert_eq!((state.count(), state.brier(), state.expected_error()), (2, Some(0.25), Some(0.0)));
/// assert!((state.log_loss().expect("two labels") - 2f64.ln()).abs() < 1e-15);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbabilityState {
    bins: CalibrationBins,
    log_loss: i128,
    brier: i128,
}

impl Default for ProbabilityState {
    fn default() -> Self {
        Self { bins: CalibrationBins::new(CALIBRATION_BINS), log_loss: 0, brier: 0 }
    }
}

impl ProbabilityState {
    /// Counts one labelled prediction; a NaN score is ignored.
    pub fn add(&mut self, label: bool, score: f64) {
        if score.is_nan() {
            return;
        }
        self.bins.add(label, score);
        self.log_loss = self.log_loss.wrapping_add(UNIT.units(log_loss(label, score)));
        self.brier = self.brier.wrapping_add(UNIT.units(brier(label, score)));
    }

    /// Adds another state; on an error this one is unchanged.
    ///
    /// # Errors
    /// When a count would overflow.
    pub fn merge(&mut self, other: &Self) -> Result<(), CountsError> {
        self.bins.merge(&other.bins)?;
        self.log_loss = self.log_loss.wrapping_add(other.log_loss);
        self.brier = self.brier.wrapping_add(other.brier);
        Ok(())
    }

    /// Takes away a state that was merged before; on an error this one is unchanged.
    ///
    /// # Errors
    /// When a count would fall below zero.
    pub fn subtract(&mut self, other: &Self) -> Result<(), CountsError> {
        self.bins.subtract(&other.bins)?;
        self.log_loss = self.log_loss.wrapping_sub(other.log_loss);
        self.brier = self.brier.wrapping_sub(other.brier);
        Ok(())
    }

    /// Labelled predictions.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.bins.count()
    }

    /// Mean log loss in nats; `None` without predictions.
    #[must_use]
    pub fn log_loss(&self) -> Option<f64> {
        self.mean(self.log_loss)
    }

    /// Mean squared error of the scores; `None` without predictions.
    #[must_use]
    pub fn brier(&self) -> Option<f64> {
        self.mean(self.brier)
    }

    /// The expected calibration error: [`CalibrationBins::expected_error`] of ten bins.
    #[must_use]
    pub fn expected_error(&self) -> Option<f64> {
        self.bins.expected_error()
    }

    fn mean(&self, units: i128) -> Option<f64> {
        let n = self.count();
        (n > 0).then(|| UNIT.value(units) / n as f64)
    }
}

/// The expected calibration error on bins of `floor(n / bins)` sorted scores each, the last with the remainder.
///
/// `NannyML`'s form: with a large remainder there are more than `bins` bins, and with at most twice as many scores as bins
/// there are `n / 2` of them. Pairs without a score are left out; equal scores keep the order of the arrays. `None` for
/// no bins or fewer than four scores.
#[must_use]
pub fn expected_error_equal_count(labels: &[bool], scores: &[f64], bins: usize) -> Option<f64> {
    let mut pairs: Vec<(f64, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    pairs.retain(|(score, _)| !score.is_nan());
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = pairs.len();
    let bins = if n <= bins.saturating_mul(2) { n / 2 } else { bins };
    let size = n.checked_div(bins).filter(|_| n >= 4)?;
    let (full, last) = pairs.split_at((n / size - 1) * size);
    let gap = |bin: &[(f64, bool)]| {
        let sum = |sum: f64, (score, label): &(f64, bool)| sum + f64::from(u8::from(*label)) - score;
        bin.iter().fold(0.0, sum).abs()
    };
    let error: f64 = full.chunks(size).chain(std::iter::once(last)).map(gap).sum();
    Some(error / n as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scores_that_are_no_probabilities_do_no_harm() {
        let mut bins = CalibrationBins::new(0);
        for score in [f64::NAN, f64::INFINITY, -3.0, 1.0] {
            bins.add(true, score);
        }
        assert_eq!(bins.curve().len(), 1);
        assert_eq!(CalibrationBins::new(3).expected_error(), None);
        assert_eq!(expected_error_equal_count(&[true], &[0.5], 0), None);
        assert_eq!(expected_error_equal_count(&[true], &[0.5], 2), None);
        assert_eq!(expected_error_equal_count(&[true; 5], &[0.5; 5], 9), Some(0.5));
        assert!(log_loss(true, 0.0) < 36.05 && log_loss(false, 1.0) > 36.0);
    }

    proptest! {
        #[test]
        fn curves_merge_in_any_order_and_subtract(
            pairs in proptest::collection::vec((any::<bool>(), 0.0f64..=1.0), 1..60), cut in 0usize..60,
        ) {
            let fill = |pairs: &[(bool, f64)]| {
                let mut bins = CalibrationBins::new(10);
                pairs.iter().for_each(|&(label, score)| bins.add(label, score));
                bins
            };
            let (left, right) = pairs.split_at(cut.min(pairs.len()));
            let mut merged = fill(right);
            merged.merge(&fill(left)).unwrap();
            prop_assert_eq!(&merged, &fill(&pairs));
            prop_assert!((0.0..=1.0).contains(&merged.expected_error().unwrap()));
            merged.subtract(&fill(left)).unwrap();
            prop_assert_eq!(merged, fill(right));
        }
    }
}
