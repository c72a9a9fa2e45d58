//! frouros 0.9.0: batch distances and tests on raw samples.
//!
//! Source: the package's `detectors/data_drift/batch`. Not offered: its PSI, whose floor of 2.2e-308 lets one empty bin
//! decide, and its Kuiper test, which returns another statistic; the guide has the correct ones.

use crate::contingency::ChiSquare;
use crate::multivariate::{Bandwidth, mmd2_unbiased};
use crate::samples::{Moments, TTest, energy_distance, wasserstein, welch_t};
use crate::two_sample::rank::{AndersonDarling, RankTest, anderson_darling as k_sample};

use super::histogram::{Rule, count, linspace};
use super::{finite, ks_samples, pooled, scipy_contingency, scipy_cramer_von_mises, scipy_ks_p_value};

/// A distance of the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Distance {
    /// `HellingerDistance` on bins of equal width over the pooled range.
    Hellinger,
    /// `BhattacharyyaDistance`: 1 less the coefficient (later versions return its negative logarithm).
    Bhattacharyya,
    /// `HINormalizedComplement`: 1 less the common mass of the histograms.
    HistogramIntersection,
    /// `JS`: distance in base e of two piecewise linear distribution functions, cut into one bin fewer than asked for.
    JensenShannon,
    /// `KL`: of window from reference on the same cuts.
    Kl,
    /// `EMD`: Wasserstein-1 in the unit of the data; bins do not matter.
    Emd,
    /// `EnergyDistance`; bins do not matter.
    Energy,
}

impl Distance {
    /// Every distance offered.
    pub const ALL: [Self; 7] = [
        Self::Hellinger,
        Self::Bhattacharyya,
        Self::HistogramIntersection,
        Self::JensenShannon,
        Self::Kl,
        Self::Emd,
        Self::Energy,
    ];

    /// The distance of two samples on `bins` bins (the tool's default is 10).
    ///
    /// `None` if a sample has no finite value or there is no bin; infinite where the tool divides by an empty bin.
    #[must_use]
    pub fn of_samples(self, reference: &[f64], window: &[f64], bins: usize) -> Option<f64> {
        let (reference, window) = (finite(reference), finite(window));
        if reference.is_empty() || window.is_empty() {
            return None;
        }
        let (p, q) = match self {
            Self::Emd => return wasserstein(&reference, &window),
            Self::Energy => return energy_distance(&reference, &window),
            Self::JensenShannon | Self::Kl => cut(&reference, &window, bins)?,
            Self::Hellinger | Self::Bhattacharyya | Self::HistogramIntersection => {
                shares(&reference, &window, bins)?
            }
        };
        let sum = |term: fn(f64, f64) -> f64| p.iter().zip(&q).map(|(p, q)| term(*p, *q)).sum::<f64>();
        Some(match self {
            Self::Hellinger => (sum(|p, q| (p.sqrt() - q.sqrt()).powi(2)) / 2.0).sqrt(),
            Self::Bhattacharyya => 1.0 - sum(|p, q| (p * q).sqrt()),
            Self::HistogramIntersection => 1.0 - sum(f64::min),
            Self::Kl => sum(|p, q| relative_entropy(q, p)),
            Self::JensenShannon | Self::Emd | Self::Energy => js_distance(&p, &q)?,
        })
    }
}

/// Shares on bins of equal width over the pooled range.
fn shares(reference: &[f64], window: &[f64], bins: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let all: Vec<f64> = reference.iter().chain(window).copied().collect();
    let edges = Rule::Bins(bins).edges(&all)?;
    let of = |sample: &[f64]| -> Vec<f64> {
        count(sample, &edges).into_iter().map(|count| count as f64 / sample.len() as f64).collect()
    };
    Some((of(reference), of(window)))
}

/// Mass between `bins` points of the pooled range, by the distribution functions of each side's own histogram.
fn cut(reference: &[f64], window: &[f64], bins: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let all = Moments::new(&reference.iter().chain(window).copied().collect::<Vec<f64>>())?;
    let points = linspace(all.min, all.max, bins.checked_sub(1).filter(|&cuts| cuts > 0)?);
    let of = |sample: &[f64]| -> Option<Vec<f64>> {
        let edges = Rule::Auto.edges(sample)?;
        let masses = masses(&count(sample, &edges), &edges);
        let all: f64 = masses.iter().sum();
        let cumulated = masses.iter().scan(0.0, |sum, mass| {
            *sum += mass / all;
            Some(*sum)
        });
        let heights: Vec<f64> = std::iter::once(0.0).chain(cumulated).collect();
        let at: Vec<f64> = points.iter().map(|&point| interpolate(&edges, &heights, point)).collect();
        Some(at.iter().zip(at.iter().skip(1)).map(|(low, high)| high - low).collect())
    };
    Some((of(reference)?, of(window)?))
}

/// The mass of each bin as `SciPy`'s `rv_histogram` takes it: the count, or, where rounding makes the widths differ, the
/// count times the width.
fn masses(counts: &[u64], edges: &[f64]) -> Vec<f64> {
    let widths: Vec<f64> = edges.iter().zip(edges.iter().skip(1)).map(|(low, high)| high - low).collect();
    let first = widths.first().copied().unwrap_or(0.0);
    let vary = widths.iter().any(|width| (width - first).abs() > 1e-8 + 1e-5 * first.abs());
    let mass = |(&count, width): (&u64, f64)| count as f64 * if vary { width } else { 1.0 };
    counts.iter().zip(widths).map(mass).collect()
}

/// The piecewise linear function through the points; constant outside.
fn interpolate(x: &[f64], y: &[f64], at: f64) -> f64 {
    let above = x.partition_point(|&x| x <= at);
    let point = |place: usize| Some((*x.get(place)?, *y.get(place)?));
    match (above.checked_sub(1).and_then(point), point(above)) {
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * ((at - x0) / (x1 - x0)),
        (Some((_, y)), None) | (None, Some((_, y))) => y,
        (None, None) => 0.0,
    }
}

/// `p ln(p/q)`: 0 for no mass, infinite where only `q` has none.
fn relative_entropy(p: f64, q: f64) -> f64 {
    if p > 0.0 && q > 0.0 {
        p * (p / q).ln()
    } else if p == 0.0 && q >= 0.0 {
        0.0
    } else {
        f64::INFINITY
    }
}

/// The Jensen–Shannon distance in base e of masses that need not sum to 1; `None` if one side has none.
fn js_distance(p: &[f64], q: &[f64]) -> Option<f64> {
    let (p_sum, q_sum) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
    let term = |(p, q): (&f64, &f64)| {
        let (p, q) = (p / p_sum, q / q_sum);
        let middle = f64::midpoint(p, q);
        relative_entropy(p, middle) + relative_entropy(q, middle)
    };
    let divergence = p.iter().zip(q).map(term).sum::<f64>() / 2.0;
    (p_sum > 0.0 && q_sum > 0.0).then(|| divergence.max(0.0).sqrt())
}

/// `KSTest`: `SciPy`'s choice of the exact or the finite-size law. `IncrementalKSTest` is the same on a sliding window.
#[must_use]
pub fn ks(reference: &[f64], window: &[f64]) -> Option<RankTest> {
    let ks = ks_samples(reference, window)?;
    Some(RankTest { statistic: ks.statistic, p_value: scipy_ks_p_value(&ks)? })
}

/// `CVMTest`: `SciPy`'s choice of the exact or the limit law.
#[must_use]
pub fn cramer_von_mises(reference: &[f64], window: &[f64]) -> Option<RankTest> {
    scipy_cramer_von_mises(reference, window)
}

/// `AndersonDarlingTest`: mid-ranks, p clipped to 0.001–0.25.
#[must_use]
pub fn anderson_darling(reference: &[f64], window: &[f64]) -> Option<RankTest> {
    let pooled = pooled(reference, window);
    k_sample(&pooled.reference, &pooled.window, AndersonDarling::Midrank)
}

/// `WelchTTest`.
#[must_use]
pub fn welch(reference: &[f64], window: &[f64]) -> Option<TTest> {
    welch_t(&Moments::new(&finite(reference))?, &Moments::new(&finite(window))?)
}

/// `ChiSquareTest`: the contingency table, Yates' correction on two by two.
#[must_use]
pub fn chi_square(reference: &[u64], window: &[u64]) -> Option<ChiSquare> {
    scipy_contingency(reference, window)
}

/// `MMD` of one column: the unbiased estimate with the kernel width `sigma`, 1 by default.
#[must_use]
pub fn mmd(reference: &[f64], window: &[f64], sigma: f64) -> Option<f64> {
    let rows = |sample: &[f64]| -> Vec<Vec<f64>> { finite(sample).into_iter().map(|x| vec![x]).collect() };
    mmd2_unbiased(&rows(reference), &rows(window), Bandwidth::Sigma(sigma))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disjoint_samples_are_as_far_as_can_be() {
        let (reference, window) = ([0.0, 0.1, 0.2], [5.0, 5.1, 5.2]);
        let of = |distance: Distance| distance.of_samples(&reference, &window, 10).unwrap();
        assert_eq!(of(Distance::Hellinger), 1.0);
        assert_eq!(of(Distance::HistogramIntersection), 1.0);
        assert_eq!(of(Distance::Kl), f64::INFINITY);
        assert_eq!(Distance::Kl.of_samples(&reference, &window, 1), None);
    }
}
