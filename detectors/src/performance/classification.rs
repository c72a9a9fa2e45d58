//! All metrics of a binary classifier at once, from raw arrays or from a mergeable state.
//!
//! The state is about 17 kB: counts per score cell and class, four counts, two sums, a reliability curve. Not here:
//! several classes, which are judged one against the rest.

use crate::counts::{CountsError, checked_merge, subtract};
use crate::samples::Pooled;

use super::calibration::{CALIBRATION_BINS, CalibrationBins, ProbabilityState, brier, log_loss};
use super::confusion::Confusion;
use super::ranking::{Area, Within, average_precision, roc_auc, roc_auc_standard_error};

/// Cells of the scores 0, 0.001, …, 1: the areas of the ranking are certified to about `1/1000` of each other.
pub const SCORE_CELLS: usize = 1_001;

/// The metrics of a binary classifier; what is undefined is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassificationMetrics {
    /// Decisions against truth at the threshold.
    pub confusion: Confusion,
    /// Area under the ROC curve; `None` with one class.
    pub roc_auc: Option<Area>,
    /// Its standard error.
    pub roc_auc_standard_error: Option<f64>,
    /// Average precision; `None` without positives.
    pub average_precision: Option<Area>,
    /// Mean log loss in nats.
    pub log_loss: Option<f64>,
    /// Mean squared error of the scores.
    pub brier: Option<f64>,
    /// Expected calibration error on ten bins of equal width.
    pub expected_calibration_error: Option<f64>,
}

impl ClassificationMetrics {
    /// The metrics of raw arrays; a score at or above `threshold` predicts the positive class.
    ///
    /// Pairs with a NaN score are left out, as is what one array has beyond the other.
    ///
    /// ```
    /// use anchorwatch_detectors::performance::ClassificationMetrics;
    /// let metrics = ClassificationMetrics::of_samples(&[true, false, true], &[0.9, 0.4, 0.3], 0.5);
    /// assert_eq!(metrics.confusion.recall(), Some(0.5));
    /// assert_eq!(metrics.roc_auc.expect("two classes").value, 0.5);
    /// ```
    #[must_use]
    pub fn of_samples(labels: &[bool], scores: &[f64], threshold: f64) -> Self {
        let pairs =
            || labels.iter().copied().zip(scores.iter().copied()).filter(|(_, score)| !score.is_nan());
        let of_class = |class: bool| -> Vec<f64> {
            pairs().filter(|(label, _)| *label == class).map(|(_, score)| score).collect()
        };
        let cells = Pooled::new(&of_class(true), &of_class(false));
        let mut confusion = Confusion::default();
        let mut bins = CalibrationBins::new(CALIBRATION_BINS);
        for (label, score) in pairs() {
            confusion.add(label, score >= threshold);
            bins.add(label, score);
        }
        let n = confusion.total();
        let mean = |loss: fn(bool, f64) -> f64| {
            (n > 0).then(|| pairs().map(|(label, score)| loss(label, score)).sum::<f64>() / n as f64)
        };
        Self {
            confusion,
            roc_auc: roc_auc(&cells.reference, &cells.window, Within::Equal),
            roc_auc_standard_error: roc_auc_standard_error(&cells.reference, &cells.window),
            average_precision: average_precision(&cells.reference, &cells.window, Within::Equal),
            log_loss: mean(log_loss),
            brier: mean(brier),
            expected_calibration_error: bins.expected_error(),
        }
    }
}

/// What a pane remembers of labelled predictions; merges and subtracts exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassificationState {
    threshold: f64,
    confusion: Confusion,
    positives: Vec<u64>,
    negatives: Vec<u64>,
    probabilities: ProbabilityState,
}

impl ClassificationState {
    /// The empty state for decisions at `threshold`.
    #[must_use]
    pub fn new(threshold: f64) -> Self {
        Self {
            threshold,
            confusion: Confusion::default(),
            positives: vec![0; SCORE_CELLS],
            negatives: vec![0; SCORE_CELLS],
            probabilities: ProbabilityState::default(),
        }
    }

    /// Counts one labelled prediction; a NaN score is ignored, others are held within 0 to 1 for their cell.
    pub fn add(&mut self, label: bool, score: f64) {
        if score.is_nan() {
            return;
        }
        self.confusion.add(label, score >= self.threshold);
        let side = if label { &mut self.positives } else { &mut self.negatives };
        let cell = ((score * (SCORE_CELLS - 1) as f64) as usize).min(SCORE_CELLS - 1);
        if let Some(count) = side.get_mut(cell) {
            *count = count.saturating_add(1);
        }
        self.probabilities.add(label, score);
    }

    /// Adds another state of the same threshold; on an error this one is unchanged.
    ///
    /// # Errors
    /// When a count would overflow.
    pub fn merge(&mut self, other: &Self) -> Result<(), CountsError> {
        let mut merged = self.clone();
        merged.confusion.merge(&other.confusion)?;
        checked_merge(&mut merged.positives, &other.positives)?;
        checked_merge(&mut merged.negatives, &other.negatives)?;
        merged.probabilities.merge(&other.probabilities)?;
        *self = merged;
        Ok(())
    }

    /// Takes away a state that was merged before; on an error this one is unchanged.
    ///
    /// # Errors
    /// When a count would fall below zero.
    pub fn subtract(&mut self, other: &Self) -> Result<(), CountsError> {
        let mut rest = self.clone();
        rest.confusion.subtract(&other.confusion)?;
        subtract(&mut rest.positives, &other.positives)?;
        subtract(&mut rest.negatives, &other.negatives)?;
        rest.probabilities.subtract(&other.probabilities)?;
        *self = rest;
        Ok(())
    }

    /// The metrics so far; the areas of the ranking with their certified intervals, all else as of raw arrays.
    #[must_use]
    pub fn metrics(&self) -> ClassificationMetrics {
        ClassificationMetrics {
            confusion: self.confusion,
            roc_auc: roc_auc(&self.positives, &self.negatives, Within::Unknown),
            roc_auc_standard_error: roc_auc_standard_error(&self.positives, &self.negatives),
            average_precision: average_precision(&self.positives, &self.negatives, Within::Unknown),
            log_loss: self.probabilities.log_loss(),
            brier: self.probabilities.brier(),
            expected_calibration_error: self.probabilities.expected_error(),
        }
    }

    /// Share of the predictions with a label, among `predictions` in all; `None` if there are none or fewer than labels.
    #[must_use]
    pub fn coverage(&self, predictions: u64) -> Option<f64> {
        let labelled = self.confusion.total();
        (predictions > 0 && labelled <= predictions).then(|| labelled as f64 / predictions as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_known_without_labels() {
        let metrics = ClassificationState::new(0.5).metrics();
        assert_eq!((metrics.log_loss, metrics.roc_auc), (None, None));
        assert_eq!(ClassificationMetrics::of_samples(&[true], &[f64::NAN], 0.5).brier, None);
        assert_eq!(ClassificationState::new(0.5).coverage(4), Some(0.0));
        assert_eq!(ClassificationState::new(0.5).coverage(0), None);
    }

    proptest! {
        #[test]
        fn the_state_says_what_the_raw_arrays_say(
            pairs in proptest::collection::vec((any::<bool>(), 0.0f64..=1.0), 1..80), cut in 0usize..80,
        ) {
            let fill = |pairs: &[(bool, f64)]| {
                let mut state = ClassificationState::new(0.4);
                pairs.iter().for_each(|&(label, score)| state.add(label, score));
                state
            };
            let (labels, scores): (Vec<bool>, Vec<f64>) = pairs.iter().copied().unzip();
            let (left, right) = pairs.split_at(cut.min(pairs.len()));
            let mut merged = fill(right);
            merged.merge(&fill(left)).unwrap();
            prop_assert_eq!(&merged, &fill(&pairs));
            let (streamed, raw) = (merged.metrics(), ClassificationMetrics::of_samples(&labels, &scores, 0.4));
            prop_assert_eq!(streamed.confusion, raw.confusion);
            for (a, b) in [
                (streamed.log_loss, raw.log_loss),
                (streamed.brier, raw.brier),
                (streamed.expected_calibration_error, raw.expected_calibration_error),
            ] {
                prop_assert!((a.unwrap() - b.unwrap()).abs() < 1e-12);
            }
            if let (Some(streamed), Some(raw)) = (streamed.roc_auc, raw.roc_auc) {
                prop_assert!(streamed.low <= raw.value + 1e-12 && raw.value <= streamed.high + 1e-12);
            }
            merged.subtract(&fill(left)).unwrap();
            prop_assert_eq!(merged, fill(right));
        }

        #[test]
        fn no_score_makes_a_metric_panic(pairs in proptest::collection::vec(any::<(bool, f64)>(), 0..30), t: f64) {
            let mut state = ClassificationState::new(t);
            pairs.iter().for_each(|&(label, score)| state.add(label, score));
            let (labels, scores): (Vec<bool>, Vec<f64>) = pairs.into_iter().unzip();
            std::hint::black_box((state.metrics(), ClassificationMetrics::of_samples(&labels, &scores, t)));
        }
    }
}
