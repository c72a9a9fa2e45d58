//! How well scores order positives above negatives: ROC AUC and average precision, from counts per score cell.
//!
//! Counts cannot say in which order positives and negatives of one cell came, so each area has a certified interval,
//! of width zero where all scores of a cell are equal. Not here: whether scores are right as probabilities
//! ([`super::calibration`]).
//!
//! All functions take the positives and the negatives of each cell, lowest scores first. They are `None` if a side is
//! empty, the lists differ in length, or a side holds `2^62` and more.

use statrs::function::gamma::digamma;

use crate::counts::total;

/// What is known of the scores inside one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// All scores of a cell are equal: distinct values of raw samples.
    Equal,
    /// The cells of a [`NumericBinning`](crate::NumericBinning): odd ones hold equal values, even ones are gaps.
    GapTie,
    /// Nothing: fixed bins.
    Unknown,
}

impl Within {
    fn is_certain(self, cell: usize) -> bool {
        match self {
            Self::Equal => true,
            Self::GapTie => cell % 2 == 1,
            Self::Unknown => false,
        }
    }
}

/// An area under a curve, within 0 to 1, and the certified interval of what the raw scores would give.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// The area if all scores of a cell were equal.
    pub value: f64,
    /// No order inside the cells gives less.
    pub low: f64,
    /// No order inside the cells gives more.
    pub high: f64,
}

/// The area under the ROC curve: the chance that a positive scores above a negative, ties counting one half.
///
/// The interval has half width `Σ pos·neg / 2PN` over the uncertain cells.
///
/// ```
/// use anchorwatch_detectors::performance::ranking::{roc_auc, Within};
/// let area = roc_auc(&[0, 1, 2], &[2, 1, 0], Within::Unknown).expect("both classes");
/// assert_eq!((area.value, area.low, area.high), (8.5 / 9.0, 8.0 / 9.0, 1.0));
/// ```
#[must_use]
pub fn roc_auc(positives: &[u64], negatives: &[u64], within: Within) -> Option<Area> {
    let (p, n) = sizes(positives, negatives)?;
    let (mut twice, mut unsure, mut below) = (0u128, 0u128, 0u128);
    for (cell, (&pos, &neg)) in positives.iter().zip(negatives).enumerate() {
        let (pos, neg) = (u128::from(pos), u128::from(neg));
        twice += pos * (2 * below + neg);
        below += neg;
        if !within.is_certain(cell) {
            unsure += pos * neg;
        }
    }
    let pairs = 2.0 * p as f64 * n as f64;
    let share = |twice: u128| (twice as f64 / pairs).clamp(0.0, 1.0);
    Some(Area { value: share(twice), low: share(twice.saturating_sub(unsure)), high: share(twice + unsure) })
}

/// The standard error of the ROC AUC by DeLong, DeLong and Clarke-Pearson (1988), cells taken as ties.
///
/// Also `None` with fewer than two positives or negatives.
#[must_use]
pub fn roc_auc_standard_error(positives: &[u64], negatives: &[u64]) -> Option<f64> {
    let (p, n) = sizes(positives, negatives)?;
    if p < 2 || n < 2 {
        return None;
    }
    let (p, n) = (p as f64, n as f64);
    let area = roc_auc(positives, negatives, Within::Equal)?.value;
    let (mut below, mut above) = (0.0, p);
    let (mut of_positives, mut of_negatives) = (0.0, 0.0);
    for (&pos, &neg) in positives.iter().zip(negatives) {
        let (pos, neg) = (pos as f64, neg as f64);
        above -= pos;
        of_positives += pos * ((below + neg / 2.0) / n - area).powi(2);
        of_negatives += neg * ((above + pos / 2.0) / p - area).powi(2);
        below += neg;
    }
    Some((of_positives / (p - 1.0) / p + of_negatives / (n - 1.0) / n).sqrt())
}

/// The average precision `Σ (R_i - R_{i-1}) P_i` over the thresholds, highest first, without interpolation.
///
/// Defined without negatives (1), undefined without positives.
#[must_use]
pub fn average_precision(positives: &[u64], negatives: &[u64], within: Within) -> Option<Area> {
    let (p, n) = (total(positives), total(negatives));
    if p == 0 || !fits(p) || !fits(n) || positives.len() != negatives.len() {
        return None;
    }
    let (mut found, mut false_alarms) = (0.0, 0.0);
    let (mut value, mut low) = (0.0, 0.0);
    for (cell, (&pos, &neg)) in positives.iter().zip(negatives).enumerate().rev() {
        let (pos, neg) = (pos as f64, neg as f64);
        if pos > 0.0 {
            let tied = pos * (found + pos) / (found + pos + false_alarms + neg);
            value += tied;
            let certain = within.is_certain(cell);
            low += if certain { tied } else { negatives_first(found, pos, false_alarms + neg) };
        }
        found += pos;
        false_alarms += neg;
    }
    let high = highest_precision(positives, negatives, within);
    let p = p as f64;
    let (value, low) = ((value / p).clamp(0.0, 1.0), (low / p).clamp(0.0, 1.0));
    Some(Area { value, low: low.min(value), high: (high / p).clamp(value, 1.0) })
}

/// `Σ_{j=1}^{pos} (found + j) / (found + j + before)`: each positive of a cell behind all its negatives.
fn negatives_first(found: f64, pos: f64, before: f64) -> f64 {
    if before == 0.0 {
        return pos;
    }
    let harmonic = digamma(found + pos + before + 1.0) - digamma(found + before + 1.0);
    (pos - before * harmonic).clamp(0.0, pos)
}

/// The sum of precisions with the positives of each uncertain cell tied in front of its negatives.
fn highest_precision(positives: &[u64], negatives: &[u64], within: Within) -> f64 {
    let (mut found, mut false_alarms, mut sum) = (0.0, 0.0, 0.0);
    for (cell, (&pos, &neg)) in positives.iter().zip(negatives).enumerate().rev() {
        let (pos, neg) = (pos as f64, neg as f64);
        let counted = if within.is_certain(cell) { neg } else { 0.0 };
        if pos > 0.0 {
            sum += pos * (found + pos) / (found + pos + false_alarms + counted);
        }
        found += pos;
        false_alarms += neg;
    }
    sum
}

fn fits(size: u64) -> bool {
    size < 1 << 62
}

fn sizes(positives: &[u64], negatives: &[u64]) -> Option<(u64, u64)> {
    let (p, n) = (total(positives), total(negatives));
    let sound = p > 0 && n > 0 && fits(p) && fits(n) && positives.len() == negatives.len();
    sound.then_some((p, n))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples::Pooled;

    #[test]
    fn one_class_alone_has_no_roc_curve() {
        assert_eq!(roc_auc(&[1, 2], &[0, 0], Within::Equal), None);
        assert_eq!(roc_auc(&[1], &[1, 2], Within::Equal), None);
        assert_eq!(average_precision(&[1, 2], &[0, 0], Within::Unknown).unwrap().low, 1.0);
        assert_eq!(average_precision(&[0], &[3], Within::Equal), None);
        assert_eq!(roc_auc_standard_error(&[1], &[5]), None);
        assert_eq!(roc_auc(&[u64::MAX], &[1], Within::Equal), None);
    }

    #[test]
    fn the_standard_error_is_that_of_a_small_example() {
        // Placements of the positives 1, 1/2 and of the negatives 1/2, 1: both sample variances are 1/8.
        let error = roc_auc_standard_error(&[0, 1, 0, 1], &[1, 0, 1, 0]).unwrap();
        assert!((error - (0.125f64 / 2.0 + 0.125 / 2.0).sqrt()).abs() < 1e-15);
    }

    proptest! {
        #[test]
        fn coarse_cells_certify_what_fine_cells_say(
            positives in proptest::collection::vec(0u32..60, 1..80),
            negatives in proptest::collection::vec(0u32..60, 1..80),
        ) {
            let raw = |scores: &[u32]| scores.iter().copied().map(f64::from).collect::<Vec<f64>>();
            let coarse = |scores: &[u32]| {
                let mut cells = [0u64; 10];
                scores.iter().for_each(|&score| cells[score as usize / 6] += 1);
                cells
            };
            let exact = Pooled::new(&raw(&positives), &raw(&negatives));
            for curve in [roc_auc, average_precision] {
                let truth = curve(&exact.reference, &exact.window, Within::Equal).unwrap();
                prop_assert!(truth.low == truth.value && truth.value == truth.high);
                let area = curve(&coarse(&positives), &coarse(&negatives), Within::Unknown).unwrap();
                prop_assert!(area.low <= truth.value + 1e-12 && truth.value <= area.high + 1e-12);
                prop_assert!(area.low <= area.value && area.value <= area.high);
            }
        }
    }
}
