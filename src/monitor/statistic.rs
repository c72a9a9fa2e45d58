//! One detector on one column: the effect that is compared with a threshold, and the significance of the change.
//!
//! The effect is what the detector measures; the p-value comes from the column's own test (Kolmogorov-Smirnov for
//! numbers, chi-square for categories) or, for the PSI, from its law (Yurdakul 2018), both knowing both sample sizes.

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::{contingency, divergence, two_sample};

use crate::config::Detector;

/// Quantile groups on which binned divergences of numeric columns are computed.
pub(super) const GROUPS: usize = 10;

/// Cells of one column on both sides, with the groups on which divergences are computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparison<'a> {
    pub(super) binning: &'a Binning,
    pub(super) reference: &'a [u64],
    pub(super) window: &'a [u64],
}

/// Both sides on the groups of the reference: quantile groups of a number, cells of a category.
pub(super) struct Grouped {
    pub(super) reference: Vec<u64>,
    pub(super) window: Vec<u64>,
}

impl Comparison<'_> {
    pub(super) fn grouped(&self) -> Grouped {
        match self.binning {
            Binning::Numeric(_) => {
                let groups = divergence::quantile_groups(self.reference, GROUPS);
                Grouped {
                    reference: divergence::group(self.reference, &groups),
                    window: divergence::group(self.window, &groups),
                }
            }
            Binning::Categorical(_) => {
                Grouped { reference: self.reference.to_vec(), window: self.window.to_vec() }
            }
        }
    }

    /// The effect of a detector; `None` where it does not apply or a side is empty.
    pub(super) fn effect(&self, detector: Detector, grouped: &Grouped) -> Option<f64> {
        let (reference, window) = (grouped.reference.as_slice(), grouped.window.as_slice());
        match detector {
            Detector::Ks => match self.binning {
                Binning::Numeric(_) => two_sample::ks(self.reference, self.window).map(|ks| ks.statistic),
                Binning::Categorical(_) => None,
            },
            Detector::Psi => divergence::psi(reference, window, divergence::Smoothing::Half),
            Detector::ChiSquare => cramers_v(reference, window),
            Detector::JensenShannon => {
                divergence::jensen_shannon(reference, window).map(|js| js.distance_base_2())
            }
            Detector::Hellinger => divergence::hellinger(reference, window),
            Detector::TotalVariation => divergence::total_variation(reference, window),
            Detector::Wasserstein => self.wasserstein(),
        }
    }

    /// Wasserstein-1 over the interquartile range of the reference.
    fn wasserstein(&self) -> Option<f64> {
        let Binning::Numeric(knots) = self.binning else { return None };
        let distance = two_sample::wasserstein(knots, self.reference, self.window)?.estimate;
        let quartile = |q: f64| {
            let total: u64 = self.reference.iter().sum();
            let rank = (q * total as f64).ceil().max(1.0) as u64;
            let mut below = 0;
            let cell = self.reference.iter().position(|count| {
                below += count;
                below >= rank
            })?;
            knots.knots().get((cell / 2).min(knots.knots().len().saturating_sub(1))).copied()
        };
        let range = quartile(0.75)? - quartile(0.25)?;
        (range > 0.0).then(|| distance / range)
    }

    /// Significance of the change under a detector.
    pub(super) fn p_value(&self, detector: Detector, effect: f64, grouped: &Grouped) -> Option<f64> {
        match (detector, self.binning) {
            (Detector::Psi, _) => {
                let total = |counts: &[u64]| counts.iter().sum::<u64>();
                let bins = grouped.reference.iter().zip(&grouped.window).filter(|(r, w)| **r + **w > 0).count();
                divergence::psi_p_value(effect, total(&grouped.reference), total(&grouped.window), bins)
            }
            (Detector::Ks | Detector::Wasserstein, Binning::Numeric(_)) => {
                two_sample::ks(self.reference, self.window).map(|ks| ks.p_value())
            }
            _ => contingency::chi_square(&grouped.reference, &grouped.window).map(|test| test.p_value),
        }
    }
}

/// Cramér's V of a table of two rows: the square root of chi-square over the number of rows.
fn cramers_v(reference: &[u64], window: &[u64]) -> Option<f64> {
    let rows: u64 = reference.iter().chain(window).sum();
    contingency::chi_square(reference, window).map(|test| (test.statistic / rows as f64).sqrt())
}
