//! Standard errors of estimated metrics on a chunk of given size, from the labelled reference, as `NannyML` has them.
//!
//! Each is the deviation of the metric's per-row contributions on the reference over the root of the rows that a chunk of
//! that size will contribute. Not here: intervals from the window's own counts ([`crate::performance`]).

use crate::counts::total;
use crate::performance::Confusion;
use crate::samples::Pooled;

/// Standard errors of the metrics on `chunk` rows; `None` where the reference has no row that contributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingErrors {
    /// Of the accuracy.
    pub accuracy: Option<f64>,
    /// Of the precision.
    pub precision: Option<f64>,
    /// Of the recall.
    pub recall: Option<f64>,
    /// Of the specificity.
    pub specificity: Option<f64>,
    /// Of F1.
    pub f1: Option<f64>,
}

impl SamplingErrors {
    /// The standard errors that a reference with these decisions foretells for a chunk of `chunk` rows.
    #[must_use]
    pub fn new(reference: &Confusion, chunk: u64) -> Self {
        let [tp, fp, fn_, tn] = [
            reference.true_positive,
            reference.false_positive,
            reference.false_negative,
            reference.true_negative,
        ]
        .map(|count| count as f64);
        let rows = chunk as f64 / (tp + fp + fn_ + tn);
        let error = |hits: f64, misses: f64| {
            let relevant = hits + misses;
            let defined = chunk > 0 && relevant > 0.0;
            defined.then(|| (hits * misses).sqrt() / relevant / (rows * relevant).sqrt())
        };
        let f1_scale = (tp + fp + fn_) / (tp + 0.5 * (fp + fn_));
        Self {
            accuracy: error(tp + tn, fp + fn_),
            precision: error(tp, fp),
            recall: error(tp, fn_),
            specificity: error(tn, fp),
            f1: error(tp, fp + fn_).map(|error| error * f1_scale),
        }
    }
}

/// The standard error of the ROC AUC on a chunk: the deviation of the placements of the rarer class among the other.
///
/// `None` for an empty chunk or one class. Equal scores count half, unlike in `NannyML`, whose order of them is arbitrary.
#[must_use]
pub fn roc_auc(labels: &[bool], scores: &[f64], chunk: u64) -> Option<f64> {
    let of_class = |class: bool| -> Vec<f64> {
        labels.iter().zip(scores).filter(|(label, _)| **label == class).map(|(_, score)| *score).collect()
    };
    let cells = Pooled::new(&of_class(true), &of_class(false));
    roc_auc_cells(&cells.reference, &cells.window, chunk)
}

/// The same of the reference's positives and negatives per score cell, lowest scores first; scores of one cell count half.
///
/// ```
/// use anchorwatch_detectors::estimate::sampling_error::{roc_auc, roc_auc_cells};
/// let raw = roc_auc(&[true, false, true, false], &[0.9, 0.1, 0.4, 0.5], 100);
/// assert_eq!(raw, roc_auc_cells(&[0, 1, 0, 1], &[1, 0, 1, 0], 100));
/// ```
#[must_use]
pub fn roc_auc_cells(positives: &[u64], negatives: &[u64], chunk: u64) -> Option<f64> {
    let (of_positives, of_negatives) = (total(positives), total(negatives));
    let (rare, other) =
        if of_positives <= of_negatives { (positives, negatives) } else { (negatives, positives) };
    let (n, m) = (total(rare) as f64, total(other) as f64);
    if chunk == 0 || n == 0.0 || m == 0.0 {
        return None;
    }
    let (mut below, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for (&rare, &other) in rare.iter().zip(other) {
        let placement = (below + other as f64 / 2.0) / m;
        sum += rare as f64 * placement;
        squares += rare as f64 * placement * placement;
        below += other as f64;
    }
    let variance = (squares / n - (sum / n).powi(2)).max(0.0);
    Some((variance / (chunk as f64 * n / (n + m))).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_chunk_has_a_smaller_error() {
        let reference =
            Confusion { true_positive: 30, false_positive: 10, false_negative: 20, true_negative: 40 };
        let (small, large) = (SamplingErrors::new(&reference, 100), SamplingErrors::new(&reference, 400));
        assert!((small.accuracy.unwrap() - 2.0 * large.accuracy.unwrap()).abs() < 1e-15);
        assert!((small.accuracy.unwrap() - (0.7f64 * 0.3 / 100.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn without_relevant_rows_there_is_no_error() {
        let none = SamplingErrors::new(&Confusion::default(), 10);
        assert_eq!((none.accuracy, none.f1), (None, None));
        assert_eq!(roc_auc(&[true, true], &[0.1, 0.2], 5), None);
        assert_eq!(roc_auc(&[true, false], &[0.9, 0.2], 5), Some(0.0));
    }
}
