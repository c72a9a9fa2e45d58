//! Distances between two profiles that ignore the order of cells: PSI, Jensen–Shannon, Kullback–Leibler, Hellinger, …
//!
//! Here live the quantile groups of numeric cells, the distances on grouped counts, and the law of the PSI without drift.
//! Not here: statistics of order ([`crate::two_sample`]) and tests of a contingency table ([`crate::contingency`]).
//!
//! Distances take the groups' counts of the reference (`p`) and of the window (`q`). All are `None` if a profile is
//! empty or the groups differ in number.

use std::ops::Range;

use crate::counts::total;
use crate::distributions::{chi_square_isf, chi_square_sf};

/// Groups of cells with about equal reference mass, whose edges are order statistics of the reference.
///
/// Edge `i` is the `ceil(i·n/groups)`-th smallest reference value; a group reaches from above one edge up to and with
/// the next, equal edges are one, and the last group holds all above the last edge, even if the reference has nothing
/// there. Empty for an empty reference or no groups.
///
/// ```
/// use anchorwatch_detectors::{divergence::{group, quantile_groups}, NumericBinning};
/// let binning = NumericBinning::new(vec![1.0, 2.0, 3.0, 4.0])?;
/// let reference = binning.count(&[1.0, 2.0, 3.0, 4.0]);
/// let groups = quantile_groups(&reference, 2);
/// assert_eq!(groups, [0..4, 4..9]);
/// assert_eq!(group(&reference, &groups), [2, 2]);
/// # Ok::<(), anchorwatch_detectors::BinningError>(())
/// ```
#[must_use]
pub fn quantile_groups(reference_cells: &[u64], groups: usize) -> Vec<Range<usize>> {
    let n = u128::from(total(reference_cells));
    if n == 0 || groups == 0 {
        return Vec::new();
    }
    let mut result = Vec::new();
    let (mut start, mut edge, mut seen) = (0, 1u128, 0u128);
    let of = groups as u128;
    for (cell, &count) in reference_cells.iter().enumerate() {
        seen += u128::from(count);
        if count == 0 || edge >= of || seen < (edge * n).div_ceil(of) {
            continue;
        }
        result.push(start..cell + 1);
        start = cell + 1;
        // The next edge is the first whose order statistic lies beyond this cell.
        edge = seen * of / n + 1;
    }
    if start < reference_cells.len() {
        result.push(start..reference_cells.len());
    }
    result
}

/// The counts of each group of cells; ranges beyond the cells count as empty.
#[must_use]
pub fn group(cells: &[u64], groups: &[Range<usize>]) -> Vec<u64> {
    groups.iter().map(|range| cells.get(range.clone()).map_or(0, total)).collect()
}

/// What to do about groups without mass, where a logarithm would be infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Smoothing {
    /// Shares below this are raised to it, on both sides, without renormalising.
    Floor(f64),
    /// This is added to each share.
    Add(f64),
    /// Half an observation is added to each group: `(c + 1/2) / (n + groups/2)`.
    Half,
}

impl Default for Smoothing {
    /// A floor of `1e-4`.
    fn default() -> Self {
        Self::Floor(1e-4)
    }
}

impl Smoothing {
    fn shares(self, counts: &[u64], n: f64) -> Vec<f64> {
        let share = |&count: &u64| match self {
            Self::Floor(floor) => (count as f64 / n).max(floor),
            Self::Add(extra) => count as f64 / n + extra,
            Self::Half => (count as f64 + 0.5) / (n + 0.5 * counts.len() as f64),
        };
        counts.iter().map(share).collect()
    }
}

/// The population stability index `Σ (p - q) ln(p/q)`: 0 for equal shares, without upper bound.
#[must_use]
pub fn psi(reference: &[u64], window: &[u64], smoothing: Smoothing) -> Option<f64> {
    let (n, m) = sizes(reference, window)?;
    let (p, q) = (smoothing.shares(reference, n), smoothing.shares(window, m));
    let term = |(p, q): (f64, f64)| if p == q { 0.0 } else { (p - q) * (p / q).ln() };
    Some(p.into_iter().zip(q).map(term).sum())
}

/// The chance of a PSI at least this large without drift: `PSI / (1/n + 1/m)` is about chi-square with `bins - 1`
/// degrees of freedom (Yurdakul 2018). `None` for an empty side or fewer than two bins.
#[must_use]
pub fn psi_p_value(psi: f64, n: u64, m: u64, bins: usize) -> Option<f64> {
    let df = bins.checked_sub(1).filter(|&df| df > 0)?;
    chi_square_sf(psi / inverse_sizes(n, m)?, df as f64)
}

/// The PSI exceeded with chance `alpha` without drift; `None` as for [`psi_p_value`] or unless `0 < alpha < 1`.
///
/// A fixed threshold below this one fires on noise: with 100 values on each side and 10 bins it is 0.34 at 5 %.
#[must_use]
pub fn psi_threshold(n: u64, m: u64, bins: usize, alpha: f64) -> Option<f64> {
    let df = bins.checked_sub(1).filter(|&df| df > 0)?;
    Some(chi_square_isf(alpha, df as f64)? * inverse_sizes(n, m)?)
}

/// `1/n + 1/m`, the scale of every divergence without drift.
fn inverse_sizes(n: u64, m: u64) -> Option<f64> {
    (n > 0 && m > 0).then(|| 1.0 / n as f64 + 1.0 / m as f64)
}

/// The Jensen–Shannon divergence in the unit of its caller's choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JensenShannon {
    /// The divergence in nats, within 0 to ln 2.
    pub nats: f64,
}

impl JensenShannon {
    /// The divergence in bits (base 2), within 0 to 1.
    #[must_use]
    pub fn bits(&self) -> f64 {
        self.nats / std::f64::consts::LN_2
    }

    /// The distance, the square root of the divergence: within 0 to 0.8326 in base e.
    #[must_use]
    pub fn distance(&self) -> f64 {
        self.nats.sqrt()
    }

    /// The distance in base 2, within 0 to 1.
    #[must_use]
    pub fn distance_base_2(&self) -> f64 {
        self.bits().sqrt()
    }
}

/// The Jensen–Shannon divergence of the shares, without smoothing.
#[must_use]
pub fn jensen_shannon(reference: &[u64], window: &[u64]) -> Option<JensenShannon> {
    let half = |p: f64, q: f64| {
        if p > 0.0 { p * (p / f64::midpoint(p, q)).ln() } else { 0.0 }
    };
    let sum = sum_over_shares(reference, window, |p, q| half(p, q) + half(q, p))?;
    Some(JensenShannon { nats: (sum / 2.0).clamp(0.0, std::f64::consts::LN_2) })
}

/// The Kullback–Leibler divergence `Σ p ln(p/q)` in nats, of shares smoothed and then renormalised.
///
/// Infinite if the smoothing leaves a share of the window at zero where the reference has mass.
#[must_use]
pub fn kl(reference: &[u64], window: &[u64], smoothing: Smoothing) -> Option<f64> {
    let (n, m) = sizes(reference, window)?;
    let (p, q) = (smoothing.shares(reference, n), smoothing.shares(window, m));
    let (p_sum, q_sum) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
    let term = |(p, q): (f64, f64)| {
        if p > 0.0 { p / p_sum * (p / p_sum / (q / q_sum)).ln() } else { 0.0 }
    };
    Some(p.into_iter().zip(q).map(term).sum::<f64>().max(0.0))
}

/// The Hellinger distance `sqrt(Σ (√p - √q)² / 2)`, within 0 to 1.
#[must_use]
pub fn hellinger(reference: &[u64], window: &[u64]) -> Option<f64> {
    let sum = sum_over_shares(reference, window, |p, q| (p.sqrt() - q.sqrt()).powi(2))?;
    Some((sum / 2.0).sqrt().min(1.0))
}

/// The total variation distance `Σ |p - q| / 2`, within 0 to 1.
#[must_use]
pub fn total_variation(reference: &[u64], window: &[u64]) -> Option<f64> {
    sum_over_shares(reference, window, |p, q| (p - q).abs()).map(|sum| (sum / 2.0).min(1.0))
}

/// The largest difference of shares, within 0 to 1.
#[must_use]
pub fn l_infinity(reference: &[u64], window: &[u64]) -> Option<f64> {
    let (n, m) = sizes(reference, window)?;
    let difference = |(&r, &w): (&u64, &u64)| (r as f64 / n - w as f64 / m).abs();
    reference.iter().zip(window).map(difference).reduce(f64::max)
}

/// The chance of a divergence at least this large without drift, for those that behave as an eighth of the PSI.
///
/// Holds for [`JensenShannon::nats`] and for the square of [`hellinger`]: eight times either, over `1/n + 1/m`, is
/// about chi-square with `bins - 1` degrees of freedom. `None` as for [`psi_p_value`].
#[must_use]
pub fn eighth_p_value(divergence: f64, n: u64, m: u64, bins: usize) -> Option<f64> {
    psi_p_value(8.0 * divergence, n, m, bins)
}

fn sizes(reference: &[u64], window: &[u64]) -> Option<(f64, f64)> {
    let (n, m) = (total(reference), total(window));
    (n > 0 && m > 0 && reference.len() == window.len()).then_some((n as f64, m as f64))
}

fn sum_over_shares(reference: &[u64], window: &[u64], term: impl Fn(f64, f64) -> f64) -> Option<f64> {
    let (n, m) = sizes(reference, window)?;
    Some(reference.iter().zip(window).map(|(&r, &w)| term(r as f64 / n, w as f64 / m)).sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
        let count = || prop_oneof![Just(0u64), 0u64..50, Just(100_000u64)];
        proptest::collection::vec((count(), count()), 0..30).prop_map(|cells| cells.into_iter().unzip())
    }

    #[test]
    fn one_group_or_none_has_no_law() {
        assert_eq!(psi_p_value(0.1, 10, 10, 1), None);
        assert_eq!(psi_p_value(0.1, 0, 10, 3), None);
        assert_eq!(psi_threshold(10, 10, 0, 0.05), None);
        assert_eq!(psi_threshold(10, 10, 5, f64::NAN), None);
        assert!(quantile_groups(&[], 10).is_empty() && quantile_groups(&[1], 0).is_empty());
    }

    #[test]
    fn the_threshold_is_where_the_p_value_is_alpha() {
        let threshold = psi_threshold(100, 100, 10, 0.05).unwrap();
        assert!((threshold - 0.338_38).abs() < 1e-5);
        assert!((psi_p_value(threshold, 100, 100, 10).unwrap() - 0.05).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn groups_cover_all_cells_once_and_share_the_mass(
            cells in proptest::collection::vec(0u64..20, 1..60), groups in 1usize..25,
        ) {
            let ranges = quantile_groups(&cells, groups);
            let n = total(&cells);
            prop_assert!(ranges.len() <= groups);
            prop_assert_eq!(total(&group(&cells, &ranges)), n);
            let mut next = 0;
            for range in &ranges {
                prop_assert!(range.start == next && range.end > range.start);
                next = range.end;
                // All but the cell of its edge is less than one group's share.
                let before_edge: u64 = cells[range.start..range.end - 1].iter().sum();
                prop_assert!(before_edge * groups as u64 <= n + groups as u64);
            }
            prop_assert!(n == 0 || next == cells.len());
        }

        #[test]
        fn distances_are_defined_symmetric_and_bounded((reference, window) in pair()) {
            let defined = total(&reference) > 0 && total(&window) > 0;
            let both = |f: fn(&[u64], &[u64]) -> Option<f64>| (f(&reference, &window), f(&window, &reference));
            let bounded = [
                both(|r, w| jensen_shannon(r, w).map(|js| js.distance_base_2())),
                both(hellinger),
                both(total_variation),
                both(l_infinity),
            ];
            for (there, back) in bounded {
                prop_assert_eq!(there.is_some(), defined);
                if let (Some(there), Some(back)) = (there, back) {
                    prop_assert!((0.0..=1.0).contains(&there) && (there - back).abs() < 1e-7);
                }
            }
            for smoothing in [Smoothing::default(), Smoothing::Add(1e-10), Smoothing::Half] {
                if let Some(there) = psi(&reference, &window, smoothing) {
                    prop_assert!(there >= 0.0 && (there - psi(&window, &reference, smoothing).unwrap()).abs() < 1e-9);
                    prop_assert!(kl(&reference, &window, smoothing).unwrap() >= 0.0);
                    prop_assert_eq!(psi(&reference, &reference, smoothing), Some(0.0));
                }
            }
        }
    }
}
