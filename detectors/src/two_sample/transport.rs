//! The Wasserstein-1 distance: how far mass must be carried, in units of the data.
//!
//! Here live its certified bounds from counts alone, and the much closer bounds when the sum of each gap's values was
//! kept as well. Not here: the exact distance of raw samples ([`crate::samples::wasserstein`]).

use crate::binning::NumericBinning;

use super::Walk;

/// What counts say about the Wasserstein-1 distance, in units of the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WassersteinBounds {
    /// The distance is at least this.
    pub low: f64,
    /// The distance is at most this; infinite if counts alone place mass beyond the outer knots.
    pub high: f64,
    /// A value between the bounds: gaps evenly filled, mass beyond the outer knots placed on them.
    pub estimate: f64,
}

/// One gap between two knots, or beyond the outer ones.
struct Gap {
    low: f64,
    high: f64,
    /// `F_reference - F_window` just above `low`.
    start: f64,
    /// Share of the reference inside.
    reference: f64,
    /// Share of the window inside.
    window: f64,
}

/// Bounds of the Wasserstein-1 distance between profiles over a numeric binning.
///
/// `None` if a profile is empty or does not have the binning's cells.
#[must_use]
pub fn wasserstein(binning: &NumericBinning, reference: &[u64], window: &[u64]) -> Option<WassersteinBounds> {
    sum_gaps(binning, reference, window, |_, gap| gap.bounds())
}

/// The estimate of [`wasserstein`] alone, to the last bit, for a fraction of the cost of its bounds.
pub(crate) fn wasserstein_estimate(
    binning: &NumericBinning,
    reference: &[u64],
    window: &[u64],
) -> Option<f64> {
    if reference.len() != binning.cells() || window.len() != binning.cells() {
        return None;
    }
    let walk = Walk::new(reference, window)?;
    // Beyond that the differences are not whole numbers of 64 bits.
    let Some((n, m, scale)) = walk.in_64_bits() else {
        return wasserstein(binning, reference, window).map(|bounds| bounds.estimate);
    };
    let share = |scaled: i64| scaled as f64 / scale as f64;
    let of_cell =
        |cell: usize| Some((reference.get(cell)?.cast_signed() * m, window.get(cell)?.cast_signed() * n));
    let (up, down) = of_cell(0)?;
    let (mut difference, mut sum) = (up - down, 0.0);
    // Between two knots: beyond the outer ones no distance is known.
    for (index, knots) in binning.knots().windows(2).enumerate() {
        let ((tied, untied), (up, down)) = (of_cell(2 * index + 1)?, of_cell(2 * index + 2)?);
        difference += tied - untied;
        let (start, width) = (share(difference), knots[1] - knots[0]);
        if width.is_finite() {
            sum += width * mean_absolute(start, start + share(up) - share(down));
        }
        difference += up - down;
    }
    Some(sum)
}

/// Bounds of the Wasserstein-1 distance when each distinct reference value is a knot and the window's gap sums are known.
///
/// `means` holds, per gap, the mean of the window's values in it (ignored where the window has none). The distance is
/// then exact wherever the distribution functions do not cross inside a gap. Where the reference has mass inside a gap
/// the bounds are those of [`wasserstein`]. `None` as there, or if there is not one mean per gap.
#[must_use]
pub fn wasserstein_with_means(
    binning: &NumericBinning,
    reference: &[u64],
    window: &[u64],
    means: &[f64],
) -> Option<WassersteinBounds> {
    if means.len() != binning.knots().len() + 1 {
        return None;
    }
    sum_gaps(binning, reference, window, |index, gap| match means.get(index) {
        Some(&mean) if gap.reference == 0.0 && gap.window > 0.0 => gap.bounds_with_mean(mean),
        _ => gap.bounds(),
    })
}

fn sum_gaps(
    binning: &NumericBinning,
    reference: &[u64],
    window: &[u64],
    of_gap: impl Fn(usize, &Gap) -> WassersteinBounds,
) -> Option<WassersteinBounds> {
    let cells = binning.cells();
    if reference.len() != cells || window.len() != cells {
        return None;
    }
    let walk = Walk::new(reference, window)?;
    let mut sum = WassersteinBounds { low: 0.0, high: 0.0, estimate: 0.0 };
    for (cell, step) in walk.steps(reference, window).enumerate().step_by(2) {
        let (low, high) = binning.bounds(cell)?;
        let gap = Gap {
            low,
            high,
            start: walk.share(step.before),
            reference: walk.share(step.up),
            window: walk.share(step.down),
        };
        let part = of_gap(cell / 2, &gap);
        sum.low += part.low;
        sum.high += part.high;
        sum.estimate += part.estimate;
    }
    Some(sum)
}

impl Gap {
    /// The difference of the distribution functions inside stays within `start - window` and `start + reference`.
    fn bounds(&self) -> WassersteinBounds {
        let width = self.high - self.low;
        if !width.is_finite() {
            let high = if self.reference + self.window > 0.0 { f64::INFINITY } else { 0.0 };
            return WassersteinBounds { low: 0.0, high, estimate: 0.0 };
        }
        let (least, most) = (self.start - self.window, self.start + self.reference);
        let nearest = if least > 0.0 { least } else { (-most).max(0.0) };
        let end = self.start + self.reference - self.window;
        WassersteinBounds {
            low: width * nearest,
            high: width * most.abs().max(least.abs()),
            estimate: width * mean_absolute(self.start, end),
        }
    }

    /// Only the window has mass here; its mean fixes the signed area, and the crossing bounds the rest.
    fn bounds_with_mean(&self, mean: f64) -> WassersteinBounds {
        let exact = |value: f64| WassersteinBounds { low: value, high: value, estimate: value };
        if !self.low.is_finite() && !self.high.is_finite() {
            return exact(0.0);
        }
        if !self.low.is_finite() {
            return exact(self.window * (self.high - mean).max(0.0));
        }
        if !self.high.is_finite() {
            return exact(self.window * (mean - self.low).max(0.0));
        }
        let mean = mean.clamp(self.low, self.high);
        let end = self.start - self.window;
        let (before, after) = (self.start * (mean - self.low), end * (self.high - mean));
        let low = (before + after).abs();
        if self.start <= 0.0 || end >= 0.0 {
            return exact(low);
        }
        let high = before.abs() + after.abs();
        WassersteinBounds { low, high, estimate: f64::midpoint(low, high) }
    }
}

/// The mean of `|x|` along a straight line from `start` to `end`.
fn mean_absolute(start: f64, end: f64) -> f64 {
    if start * end >= 0.0 {
        return f64::midpoint(start.abs(), end.abs());
    }
    (start * start + end * end) / (2.0 * (start - end).abs())
}
