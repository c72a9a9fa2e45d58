//! Statistics of a batch detector that are put together from several parts of this crate: shares, means and distances in
//! the units of the reference. Not here: which detector uses which.

use crate::binning::{Binning, NumericBinning};
use crate::contingency::{two_proportion_z, two_proportions};
use crate::counts::total;
use crate::samples::{Moments, welch_t};
use crate::two_sample::transport;

/// The largest difference of a group's share, and the p-value of the group whose share is the least likely, times the tests:
/// one if there are two groups, whose shares say the same. `None` without groups.
pub(super) fn proportions(reference: &[u64], window: &[u64], n: u64, m: u64) -> Option<(f64, Option<f64>)> {
    let groups = || reference.iter().zip(window);
    let share = |(r, w): (&u64, &u64)| (*w as f64 / m as f64 - *r as f64 / n as f64).abs();
    let largest = groups().map(share).reduce(f64::max)?.min(1.0);
    let z = |(r, w): (&u64, &u64)| two_proportion_z((*r, n), (*w, m)).map_or(0.0, |(z, _)| z.abs());
    let (r, w) = groups().max_by(|a, b| z(*a).total_cmp(&z(*b)))?;
    let tests = if reference.len() <= 2 { 1.0 } else { reference.len() as f64 };
    let p_value = two_proportions((*r, n), (*w, m)).map(|test| (test.p_value * tests).min(1.0));
    Some((largest, p_value))
}

/// Difference of the means over the root of the mean variance, and Welch's p-value; `None` if neither side has a spread.
pub(super) fn standardised_means(
    binning: &Binning,
    reference: &[u64],
    window: &[u64],
) -> Option<(f64, Option<f64>)> {
    let Binning::Numeric(binning) = binning else {
        return None;
    };
    let (reference, window) = (moments(binning, reference)?, moments(binning, window)?);
    let variance = |side: &Moments| side.squares / side.count as f64;
    let spread = f64::midpoint(variance(&reference), variance(&window)).sqrt();
    let d = (window.mean - reference.mean).abs() / spread;
    let p_value = welch_t(&reference, &window).map(|test| test.p_value.clamp(0.0, 1.0));
    d.is_finite().then_some((d, p_value.filter(|p| !p.is_nan())))
}

/// Moments of counts, each value in the middle of its cell, or at the inner end of an outermost one; `None` if there are none.
fn moments(binning: &NumericBinning, counts: &[u64]) -> Option<Moments> {
    let value = |cell: usize| {
        let (low, high) = binning.bounds(cell)?;
        let middle = f64::midpoint(low, high);
        [middle, low, high].into_iter().find(|value| value.is_finite())
    };
    let used = || (0..counts.len()).filter(|cell| counts[*cell] > 0);
    let values: Vec<(f64, f64)> =
        used().map(|cell| Some((value(cell)?, counts[cell] as f64))).collect::<Option<_>>()?;
    let all: f64 = values.iter().map(|(_, count)| count).sum();
    let mean = values.iter().map(|(value, count)| value * count).sum::<f64>() / all;
    let squares = values.iter().map(|(value, count)| (value - mean).powi(2) * count).sum();
    let (min, max) = (values.first()?.0, values.last()?.0);
    Some(Moments { count: total(counts), mean, squares, min, max })
}

/// The distance over the interquartile range of the reference, or its whole range if the quartiles are equal.
///
/// `None` if the reference is constant, when there is no unit to measure in.
pub(super) fn standardised_wasserstein(binning: &Binning, reference: &[u64], window: &[u64]) -> Option<f64> {
    let Binning::Numeric(binning) = binning else {
        return None;
    };
    let n = u128::from(total(reference));
    let value_at = |quarter: u128| {
        let mut seen = 0;
        let cell = reference.iter().position(|&count| {
            seen += u128::from(count);
            count > 0 && seen >= (quarter * n).div_ceil(4).max(1)
        })?;
        let (low, high) = binning.bounds(cell)?;
        let middle = f64::midpoint(low, high);
        Some(if middle.is_finite() {
            middle
        } else if low.is_finite() {
            low
        } else {
            high
        })
    };
    let quartiles = value_at(3)? - value_at(1)?;
    let scale = if quartiles > 0.0 { quartiles } else { value_at(4)? - value_at(0)? };
    let distance = transport::wasserstein_estimate(binning, reference, window)?;
    (scale > 0.0 && scale.is_finite()).then(|| distance / scale)
}
