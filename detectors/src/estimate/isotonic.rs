//! Isotonic calibration: the non-decreasing function from score to probability that fits the reference best.
//!
//! Fitted by pooling adjacent violators (Ayer et al. 1955) in integers, so that the order of the data does not matter;
//! applied as scikit-learn applies it: linear between the thresholds, constant outside. Not here: when to calibrate.

use serde::{Deserialize, Serialize};

/// A fitted calibration: probabilities at thresholds of the score, both non-decreasing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Isotonic {
    thresholds: Vec<f64>,
    probabilities: Vec<f64>,
}

/// Neighbouring scores that share one probability.
#[derive(Clone, Copy)]
struct Block {
    positives: u64,
    count: u64,
    first: usize,
    last: usize,
}

impl Block {
    /// Whether this block's rate is at least that of the next, which isotonic order forbids.
    fn violates(&self, next: &Self) -> bool {
        u128::from(self.positives) * u128::from(next.count)
            >= u128::from(next.positives) * u128::from(self.count)
    }

    fn rate(&self) -> f64 {
        self.positives as f64 / self.count as f64
    }
}

impl Isotonic {
    /// Fits labels on scores; pairs with a NaN score are left out. `None` without any pair.
    ///
    /// ```
    /// use anchorwatch_detectors::estimate::Isotonic;
    /// let fit = Isotonic::fit(&[0.125, 0.25, 0.5, 0.75], &[false, true, false, true]).expect("four pairs");
    /// assert_eq!((fit.apply(0.1), fit.apply(0.375), fit.apply(0.625)), (0.0, 0.5, 0.75));
    /// ```
    #[must_use]
    pub fn fit(scores: &[f64], labels: &[bool]) -> Option<Self> {
        let of_class = |class: bool| -> Vec<f64> {
            scores.iter().zip(labels).filter(|(_, label)| **label == class).map(|(score, _)| *score).collect()
        };
        let pooled = crate::samples::Pooled::new(&of_class(true), &of_class(false));
        Self::fit_counts(&pooled.values, &pooled.reference, &pooled.window)
    }

    /// Fits the counts of positives and negatives at increasing scores.
    ///
    /// `None` if the lists differ in length, scores do not increase, or nothing was counted.
    #[must_use]
    pub fn fit_counts(scores: &[f64], positives: &[u64], negatives: &[u64]) -> Option<Self> {
        let fits = scores.len() == positives.len() && scores.len() == negatives.len();
        if !fits || !scores.is_sorted_by(|a, b| a < b) {
            return None;
        }
        let mut blocks: Vec<Block> = Vec::new();
        for (place, (&positives, &negatives)) in positives.iter().zip(negatives).enumerate() {
            let count = positives.saturating_add(negatives);
            if count == 0 {
                continue;
            }
            let mut block = Block { positives, count, first: place, last: place };
            while let Some(before) = blocks.pop_if(|before| before.violates(&block)) {
                block.positives = block.positives.saturating_add(before.positives);
                block.count = block.count.saturating_add(before.count);
                block.first = before.first;
            }
            blocks.push(block);
        }
        let ends = blocks.iter().flat_map(|block| {
            let once = block.first == block.last;
            let ends = [Some(block.first), (!once).then_some(block.last)];
            ends.into_iter().flatten().map(|place| (place, block.rate()))
        });
        let (thresholds, probabilities): (Vec<f64>, Vec<f64>) =
            ends.filter_map(|(place, rate)| Some((*scores.get(place)?, rate))).unzip();
        (!thresholds.is_empty()).then_some(Self { thresholds, probabilities })
    }

    /// The calibrated probability of a score, within 0 to 1; NaN for NaN.
    #[must_use]
    pub fn apply(&self, score: f64) -> f64 {
        if score.is_nan() {
            return f64::NAN;
        }
        let above = self.thresholds.partition_point(|&threshold| threshold < score);
        let at = |place: usize| Some((*self.thresholds.get(place)?, *self.probabilities.get(place)?));
        match (above.checked_sub(1).and_then(at), at(above)) {
            // Within a block nothing is gained or lost by a rounding.
            (Some(_), Some((x1, y1))) if score == x1 => y1,
            (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * ((score - x0) / (x1 - x0)),
            (Some((_, y)), None) | (None, Some((_, y))) => y,
            (None, None) => f64::NAN,
        }
    }

    /// The scores at which the function bends, increasing.
    #[must_use]
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// The probabilities there, non-decreasing.
    #[must_use]
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        assert_eq!(Isotonic::fit(&[], &[]), None);
        assert_eq!(Isotonic::fit(&[f64::NAN], &[true]), None);
        assert_eq!(Isotonic::fit_counts(&[0.2, 0.1], &[1, 1], &[0, 0]), None);
        assert_eq!(Isotonic::fit_counts(&[0.2], &[1], &[]), None);
        assert!(Isotonic::fit(&[0.5], &[true]).unwrap().apply(f64::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn the_fit_rises_keeps_the_mean_and_ignores_order(
            pairs in proptest::collection::vec((0u8..30, any::<bool>()), 1..80),
        ) {
            let split = |pairs: &[(u8, bool)]| -> (Vec<f64>, Vec<bool>) {
                pairs.iter().map(|&(score, label)| (f64::from(score), label)).unzip()
            };
            let (scores, labels) = split(&pairs);
            let fit = Isotonic::fit(&scores, &labels).unwrap();
            prop_assert!(fit.probabilities.is_sorted());
            prop_assert!(fit.thresholds.is_sorted_by(|a, b| a < b));
            let sum: f64 = scores.iter().map(|&score| fit.apply(score)).sum();
            let positives = labels.iter().filter(|label| **label).count() as f64;
            prop_assert!((sum - positives).abs() < 1e-9);
            let mut reversed = pairs;
            reversed.reverse();
            let (scores, labels) = split(&reversed);
            prop_assert_eq!(Isotonic::fit(&scores, &labels).unwrap(), fit);
        }
    }
}
