//! The confusion matrix of a binary decision, and the metrics that are ratios of its four counts.
//!
//! Not here: metrics of scores before the decision ([`super::ranking`], [`super::calibration`]).

use serde::{Deserialize, Serialize};

use crate::counts::{CountsError, checked_merge, subtract};
use crate::distributions::{ProportionInterval, wilson};

/// How often each pair of truth and prediction occurred; merges and subtracts exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Confusion {
    /// Positive, and predicted so.
    pub true_positive: u64,
    /// Negative, but predicted positive.
    pub false_positive: u64,
    /// Positive, but predicted negative.
    pub false_negative: u64,
    /// Negative, and predicted so.
    pub true_negative: u64,
}

impl Confusion {
    /// Counts one labelled prediction.
    ///
    /// ```
    /// use anchorwatch_detectors::performance::Confusion;
    /// let mut confusion = Confusion::default();
    /// for (truth, predicted) in [(true, true), (true, false), (false, true), (true, true)] {
    ///     confusion.add(truth, predicted);
    /// }
    /// assert_eq!((confusion.precision(), confusion.specificity()), (Some(2.0 / 3.0), Some(0.0)));
    /// ```
    pub fn add(&mut self, truth: bool, predicted: bool) {
        let cell = match (truth, predicted) {
            (true, true) => &mut self.true_positive,
            (false, true) => &mut self.false_positive,
            (true, false) => &mut self.false_negative,
            (false, false) => &mut self.true_negative,
        };
        *cell = cell.saturating_add(1);
    }

    /// Adds another matrix; on an error this one is unchanged.
    ///
    /// # Errors
    /// When a count would overflow.
    pub fn merge(&mut self, other: &Self) -> Result<(), CountsError> {
        self.change(|cells| checked_merge(cells, &other.cells()))
    }

    /// Takes away a matrix that was merged before; on an error this one is unchanged.
    ///
    /// # Errors
    /// When a count would fall below zero.
    pub fn subtract(&mut self, other: &Self) -> Result<(), CountsError> {
        self.change(|cells| subtract(cells, &other.cells()))
    }

    fn cells(&self) -> [u64; 4] {
        [self.true_positive, self.false_positive, self.false_negative, self.true_negative]
    }

    fn change(
        &mut self,
        by: impl FnOnce(&mut [u64; 4]) -> Result<(), CountsError>,
    ) -> Result<(), CountsError> {
        let mut cells = self.cells();
        by(&mut cells)?;
        let [true_positive, false_positive, false_negative, true_negative] = cells;
        *self = Self { true_positive, false_positive, false_negative, true_negative };
        Ok(())
    }

    /// All labelled predictions.
    #[must_use]
    pub fn total(&self) -> u64 {
        crate::counts::total(&self.cells())
    }

    /// Share of right predictions, within 0 to 1; `None` without any.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.true_positive.saturating_add(self.true_negative), self.total())
    }

    /// Share of true ones among predicted positives, within 0 to 1; `None` if nothing was predicted positive.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positive, self.true_positive.saturating_add(self.false_positive))
    }

    /// Share of positives that were found, within 0 to 1; `None` if there are none.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positive, self.true_positive.saturating_add(self.false_negative))
    }

    /// Share of negatives that were left alone, within 0 to 1; `None` if there are none.
    #[must_use]
    pub fn specificity(&self) -> Option<f64> {
        ratio(self.true_negative, self.true_negative.saturating_add(self.false_positive))
    }

    /// Harmonic mean of precision and recall, within 0 to 1; `None` if nothing is or was predicted positive.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        let found = 2.0 * self.true_positive as f64;
        let all = found + self.false_positive as f64 + self.false_negative as f64;
        (all > 0.0).then(|| found / all)
    }

    /// Share predicted positive, within 0 to 1; `None` without predictions.
    #[must_use]
    pub fn positive_rate(&self) -> Option<f64> {
        ratio(self.true_positive.saturating_add(self.false_positive), self.total())
    }

    /// Matthews' (1975) correlation of truth and prediction, within -1 to 1; 0 if either never varies, `None` if empty.
    #[must_use]
    pub fn matthews(&self) -> Option<f64> {
        let [tp, fp, fn_, tn] = self.cells().map(|count| count as f64);
        if self.total() == 0 {
            return None;
        }
        let margins = (tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_);
        Some(if margins > 0.0 { ((tp * tn - fp * fn_) / margins.sqrt()).clamp(-1.0, 1.0) } else { 0.0 })
    }

    /// Wilson's (1927) interval of the accuracy at two-sided `confidence`; `None` as for [`wilson`].
    #[must_use]
    pub fn accuracy_interval(&self, confidence: f64) -> Option<ProportionInterval> {
        wilson(self.true_positive.saturating_add(self.true_negative), self.total(), confidence)
    }

    /// Wilson's interval of the precision.
    #[must_use]
    pub fn precision_interval(&self, confidence: f64) -> Option<ProportionInterval> {
        wilson(self.true_positive, self.true_positive.saturating_add(self.false_positive), confidence)
    }

    /// Wilson's interval of the recall.
    #[must_use]
    pub fn recall_interval(&self, confidence: f64) -> Option<ProportionInterval> {
        wilson(self.true_positive, self.true_positive.saturating_add(self.false_negative), confidence)
    }

    /// Wilson's interval of the specificity.
    #[must_use]
    pub fn specificity_interval(&self, confidence: f64) -> Option<ProportionInterval> {
        wilson(self.true_negative, self.true_negative.saturating_add(self.false_positive), confidence)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_known_of_an_empty_matrix() {
        let empty = Confusion::default();
        let metrics = [empty.accuracy(), empty.precision(), empty.recall(), empty.specificity(), empty.f1()];
        assert!(metrics.iter().all(Option::is_none));
        assert_eq!(
            (empty.matthews(), empty.positive_rate(), empty.accuracy_interval(0.95)),
            (None, None, None)
        );
    }

    #[test]
    fn a_perfect_prediction_correlates_fully_and_its_opposite_inversely() {
        let right = Confusion { true_positive: 3, true_negative: 5, ..Confusion::default() };
        let wrong = Confusion { false_positive: 3, false_negative: 5, ..Confusion::default() };
        assert_eq!((right.matthews(), wrong.matthews()), (Some(1.0), Some(-1.0)));
    }

    proptest! {
        #[test]
        fn metrics_are_bounded_and_subtraction_undoes_merging(a: [u32; 4], b: [u32; 4]) {
            let of = |[tp, fp, fn_, tn]: [u32; 4]| Confusion {
                true_positive: tp.into(), false_positive: fp.into(),
                false_negative: fn_.into(), true_negative: tn.into(),
            };
            let (mut a, b) = (of(a), of(b));
            for metric in [a.accuracy(), a.precision(), a.recall(), a.specificity(), a.f1()] {
                prop_assert!(metric.is_none_or(|value| (0.0..=1.0).contains(&value)));
            }
            prop_assert!(a.matthews().is_none_or(|value| value.abs() <= 1.0));
            let before = a;
            a.merge(&b).unwrap();
            a.subtract(&b).unwrap();
            prop_assert_eq!(a, before);
        }
    }
}
