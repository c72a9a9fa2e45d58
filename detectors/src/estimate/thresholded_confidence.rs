//! Average thresholded confidence: the share of predictions that are surer than a threshold learned on the reference.
//!
//! On the reference as many predictions lie above the threshold as were right. Scores of one cell share a confidence, so
//! those at the threshold count by the fraction that makes this exact. Besides, what confidences are on average, and how
//! much is left open. Not here: the calibrated probabilities themselves ([`super::cbpe`]).

use serde::{Deserialize, Serialize};

use crate::counts::total;

/// The confidence above which the reference holds as many predictions as were right (Garg et al. 2022).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConfidenceThreshold {
    /// The threshold, one of the reference's confidences.
    pub confidence: f64,
    /// Share of the predictions at the threshold itself that count as above it, within 0 to 1.
    pub fraction: f64,
}

impl ConfidenceThreshold {
    /// Learns the threshold from the reference's counts per cell, the confidence of each cell, and its accuracy.
    ///
    /// `None` if the lists differ in length, nothing was counted, a confidence in use is NaN, or `accuracy` is not within
    /// 0 to 1.
    ///
    /// ```
    /// use anchorwatch_detectors::estimate::ConfidenceThreshold;
    /// let (confidences, reference) = ([0.9, 0.6, 0.7], [50, 30, 20]);
    /// let threshold = ConfidenceThreshold::learn(&confidences, &reference, 0.6).expect("counts");
    /// assert_eq!((threshold.confidence, threshold.fraction), (0.7, 0.5));
    /// assert_eq!(threshold.accuracy(&confidences, &reference), Some(0.6));
    /// assert_eq!(threshold.accuracy(&confidences, &[1, 3, 4]), Some(3.0 / 8.0));
    /// ```
    #[must_use]
    pub fn learn(confidences: &[f64], counts: &[u64], accuracy: f64) -> Option<Self> {
        let mut used: Vec<(f64, u64)> =
            confidences.iter().copied().zip(counts.iter().copied()).filter(|(_, count)| *count > 0).collect();
        let fits = confidences.len() == counts.len() && (0.0..=1.0).contains(&accuracy);
        if !fits || used.iter().any(|(confidence, _)| confidence.is_nan()) {
            return None;
        }
        used.sort_by(|a, b| b.0.total_cmp(&a.0));
        let right = accuracy * total(counts) as f64;
        let mut above = 0.0;
        let mut found = None;
        for run in used.chunk_by(|a, b| a.0 == b.0) {
            let at = run.iter().map(|(_, count)| *count as f64).sum::<f64>();
            let confidence = run.first()?.0;
            found = Some(Self { confidence, fraction: ((right - above) / at).clamp(0.0, 1.0) });
            above += at;
            if above >= right {
                break;
            }
        }
        found
    }

    /// The expected accuracy of a window counted on the same cells, within 0 to 1: the share of its predictions above the
    /// threshold. `None` without any.
    #[must_use]
    pub fn accuracy(&self, confidences: &[f64], counts: &[u64]) -> Option<f64> {
        mean(counts, confidences, |confidence| match confidence {
            _ if confidence > self.confidence => 1.0,
            _ if confidence == self.confidence => self.fraction,
            _ => 0.0,
        })
    }
}

/// Mean confidence in the likelier of two classes, of counts per cell and the probability of each cell: 0.5 to 1, as far
/// as probabilities are within 0 to 1. `None` without counts.
#[must_use]
pub fn mean_confidence(counts: &[u64], probabilities: &[f64]) -> Option<f64> {
    mean(counts, probabilities, |p| p.max(1.0 - p))
}

/// Mean entropy of two classes in nats, of counts per cell and the probability of each cell: 0, if all is certain, to ln 2.
/// `None` without counts.
///
/// ```
/// use anchorwatch_detectors::estimate::thresholded_confidence::{mean_confidence, mean_entropy};
/// assert_eq!(mean_entropy(&[1, 1], &[0.5, 1.0]), Some(2f64.ln() / 2.0));
/// assert_eq!(mean_confidence(&[1, 3], &[0.5, 0.1]), Some(0.8));
/// ```
#[must_use]
pub fn mean_entropy(counts: &[u64], probabilities: &[f64]) -> Option<f64> {
    // Neighbouring cells often share their probability, and a logarithm costs more than all else here.
    let mut before = (f64::NAN, 0.0);
    mean(counts, probabilities, |p| {
        if p != before.0 {
            before = (p, entropy(p));
        }
        before.1
    })
}

/// Entropy of one prediction in nats.
fn entropy(p: f64) -> f64 {
    let term = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    term(p) + term(1.0 - p)
}

/// Mean of a quantity of each cell; what one list has beyond the other is left out.
fn mean(counts: &[u64], values: &[f64], mut quantity: impl FnMut(f64) -> f64) -> Option<f64> {
    let used = counts.iter().zip(values).filter(|(count, _)| **count > 0);
    let (sum, all) = used.fold((0.0, 0.0), |(sum, all), (count, value)| {
        (sum + *count as f64 * quantity(*value), all + *count as f64)
    });
    (all > 0.0).then(|| sum / all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_case_by_hand() {
        // 65 of 100 were right: all 50 at 0.9 and 15 of the 40 at 0.8.
        let (confidences, reference) = ([0.8, 0.55, 0.9, 0.8], [10, 10, 50, 30]);
        let threshold = ConfidenceThreshold::learn(&confidences, &reference, 0.65).unwrap();
        assert_eq!(threshold, ConfidenceThreshold { confidence: 0.8, fraction: 15.0 / 40.0 });
        let seen = threshold.accuracy(&confidences, &[8, 20, 10, 0]).unwrap();
        assert!((seen - (10.0 + 8.0 * 0.375) / 38.0).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_learned_is_refused() {
        let learn = ConfidenceThreshold::learn;
        assert_eq!(learn(&[], &[], 0.5), None);
        assert_eq!(learn(&[0.5], &[0], 0.5), None);
        assert_eq!(learn(&[0.5], &[1, 2], 0.5), None);
        assert_eq!(learn(&[f64::NAN], &[1], 0.5), None);
        assert_eq!(learn(&[0.5], &[1], 1.5), None);
        assert_eq!(learn(&[0.5], &[1], f64::NAN), None);
        assert!(learn(&[f64::NAN, 0.5], &[0, 1], 0.5).is_some(), "no prediction has it");
        assert_eq!(learn(&[0.5], &[4], 1.0).unwrap().accuracy(&[0.5], &[0]), None);
    }

    #[test]
    fn certainty_has_no_entropy() {
        assert_eq!(mean_entropy(&[3, 2], &[0.0, 1.0]), Some(0.0));
        assert_eq!(mean_entropy(&[0], &[0.5]), None);
        let quarter = -(0.25f64 * 0.25f64.ln() + 0.75 * 0.75f64.ln());
        assert!((mean_entropy(&[1, 1, 2], &[0.25, 0.25, 0.75]).unwrap() - quarter).abs() < 1e-12);
        assert_eq!(mean_confidence(&[1, 1], &[0.25, 1.0]), Some(0.875));
    }

    proptest! {
        #[test]
        fn the_reference_has_its_own_accuracy_to_the_last_row(
            cells in proptest::collection::vec((0u8..=10, 0u64..50), 1..40), accuracy in 0.0..=1.0f64,
        ) {
            let (confidences, counts): (Vec<f64>, Vec<u64>) =
                cells.into_iter().map(|(confidence, count)| (f64::from(confidence) / 10.0, count)).unzip();
            let threshold = ConfidenceThreshold::learn(&confidences, &counts, accuracy);
            prop_assert_eq!(threshold.is_some(), counts.iter().any(|count| *count > 0));
            if let Some(threshold) = threshold {
                let seen = threshold.accuracy(&confidences, &counts).unwrap();
                prop_assert!((seen - accuracy).abs() < 1e-12, "{} {}", seen, accuracy);
            }
        }
    }
}
