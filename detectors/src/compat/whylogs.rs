//! whylogs 1.6.4: drift scores of two profiles, computed from the samples that its sketches hold exactly.
//!
//! Source: the package's `viz/drift/column_drift_algorithms.py`. Beyond about a thousand values its sketches answer
//! approximately and at random; this does not. Not offered: its KS, which looks at a hundred quantiles only.

use crate::contingency::ChiSquare;
use crate::counts::total;
use crate::distributions::chi_square_sf;
use crate::samples::Moments;

use super::finite;

/// The most bins.
const MOST_BINS: f64 = 30.0;
/// Values per bin, on average.
const PER_BIN: f64 = 4.0;

/// What the tool calls a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// `NO_DRIFT`.
    NoDrift,
    /// `POSSIBLE_DRIFT`.
    PossibleDrift,
    /// `DRIFT`.
    Drift,
}

impl Category {
    /// By a p-value: below 0.05 drift, below 0.15 possible drift.
    #[must_use]
    pub fn of_p_value(p: f64) -> Self {
        match p {
            p if p < 0.05 => Self::Drift,
            p if p < 0.15 => Self::PossibleDrift,
            _ => Self::NoDrift,
        }
    }

    /// By a Hellinger distance: below 0.15 no drift, below 0.4 possible drift.
    #[must_use]
    pub fn of_hellinger(distance: f64) -> Self {
        match distance {
            distance if distance < 0.15 => Self::NoDrift,
            distance if distance < 0.4 => Self::PossibleDrift,
            _ => Self::Drift,
        }
    }

    /// The tool's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoDrift => "NO_DRIFT",
            Self::PossibleDrift => "POSSIBLE_DRIFT",
            Self::Drift => "DRIFT",
        }
    }
}

/// The Hellinger distance on 2 to 30 bins of equal width over the pooled range, the last one a ten-millionth wider.
///
/// `None` if a sample has no finite value.
#[must_use]
pub fn hellinger(reference: &[f64], window: &[f64]) -> Option<f64> {
    let (reference, window) = (finite(reference), finite(window));
    let all = Moments::new(&reference.iter().chain(&window).copied().collect::<Vec<f64>>())?;
    if reference.is_empty() || window.is_empty() {
        return None;
    }
    let bins = (all.count as f64 / PER_BIN).ceil().clamp(2.0, MOST_BINS);
    let width = (all.max + all.max.abs() * 1e-7 - all.min) / bins;
    let edges: Vec<f64> = (0..=bins as usize).map(|place| all.min + place as f64 * width).collect();
    let shares = |sample: &[f64]| {
        let mut shares = vec![0.0; edges.len() + 1];
        for value in sample {
            if let Some(share) = shares.get_mut(edges.partition_point(|edge| edge <= value)) {
                *share += 1.0 / sample.len() as f64;
            }
        }
        shares
    };
    let squares = shares(&reference)
        .iter()
        .zip(shares(&window))
        .map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2))
        .sum::<f64>();
    Some((squares / 2.0).sqrt())
}

/// The window against the reference as truth, expectations cut off to whole numbers, categories of the window less one as
/// degrees of freedom: infinite, with p 0, as soon as one expectation is below 1.
///
/// `None` if a side is empty or the lists differ in length.
#[must_use]
pub fn chi_square(reference: &[u64], window: &[u64]) -> Option<ChiSquare> {
    let (n, m) = (total(reference), total(window));
    if n == 0 || m == 0 || reference.len() != window.len() {
        return None;
    }
    let used = reference.iter().zip(window).filter(|(r, w)| **r > 0 || **w > 0);
    let term = |(&r, &w): (&u64, &u64)| {
        let expected = (r as f64 / n as f64 * m as f64).trunc();
        if expected == 0.0 { f64::INFINITY } else { (w as f64 - expected).powi(2) / expected }
    };
    let statistic: f64 = used.map(term).sum();
    let df = window.iter().filter(|&&count| count > 0).count().saturating_sub(1).max(1);
    Some(ChiSquare { statistic, df, p_value: chi_square_sf(statistic, df as f64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rare_category_is_certain_drift_to_it() {
        let test = chi_square(&[10_000, 1], &[100, 0]).unwrap();
        assert_eq!((test.statistic, test.p_value), (f64::INFINITY, Some(0.0)));
        assert_eq!(chi_square(&[1], &[0]), None);
        assert_eq!(hellinger(&[f64::NAN], &[1.0]), None);
        assert_eq!(hellinger(&[0.0], &[0.0]), Some(0.0));
    }
}
