//! The last windows of one quantity, and the largest change that any span of them shows.

use super::fit::Fit;
use super::quantity::{Law, Quantity};
use super::spread::skew;

/// Spans that are scanned, in windows.
pub const SPANS: [usize; 11] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48];

/// Windows that are remembered.
pub const REMEMBERED: usize = 48;

/// Windows that must still lean the way that the evidence points.
const LATEST: usize = 4;

/// Fewest events of a share that may alarm as a rise.
const FEWEST_HITS: f64 = 4.0;

/// Spans from this length on must still lean by more than a standard deviation in their latest quarter; the newest
/// window of shorter ones must lean the same way.
const SHORTEST_TO_LEAN: usize = 4;

/// One window of one quantity. Single precision halves the memory; both are read back the same on every replay.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Window {
    /// Sum of scores.
    pub sum: f32,
    /// Events.
    pub count: f32,
    /// Mean that the baseline predicts.
    pub expected: f32,
}

/// What the scan found.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Scanned {
    /// Signed standard score of the most telling span; zero if none leans.
    pub z: f64,
    /// Its length in windows.
    pub span: usize,
    /// Standard score of the latest four windows together.
    pub recent: f64,
}

/// One window with its weights, as the scan sums them up.
#[derive(Debug, Clone, Copy, Default)]
struct Weighed {
    precision: f64,
    standard: f64,
    clipped: f64,
    sum: f64,
    count: f64,
    expected: f64,
}

/// What does not change from window to window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged<'a> {
    /// The quantity.
    pub quantity: &'a Quantity,
    /// Its baseline.
    pub fit: &'a Fit,
    /// Change of the mean that is tolerated.
    pub tolerance: f64,
    /// Least |z| that matters.
    pub threshold: f64,
    /// [`Fit::inflation`] of each of [`SPANS`].
    pub inflation: &'a [f64; SPANS.len()],
}

/// [`Fit::inflation`] of every span.
#[must_use]
pub(super) fn inflations(fit: &Fit) -> [f64; SPANS.len()] {
    SPANS.map(|span| fit.inflation(span))
}

impl Judged<'_> {
    fn weigh(&self, window: Window) -> Weighed {
        let (sum, count, expected) =
            (f64::from(window.sum), f64::from(window.count), f64::from(window.expected));
        if count <= 0.0 {
            return Weighed::default();
        }
        let precision = self.fit.precision(count);
        let change = self.quantity.of_few(sum / count - expected, count / precision, count);
        let standard = change * precision.sqrt();
        let clipped = self.fit.clip.map_or(standard, |clip| standard.clamp(-clip, clip));
        Weighed { precision, standard, clipped, sum, count, expected: count * expected }
    }

    /// The most telling span that ends with the newest window; `windows` come newest first.
    pub(super) fn scan(&self, windows: impl Iterator<Item = Window>) -> Scanned {
        let mut best = Scanned::default();
        let mut total = Weighed::default();
        let mut weighted = 0.0;
        let mut known = 0;
        let mut lean = [0.0; REMEMBERED + 1];
        let mut spans = SPANS.iter().zip(self.inflation).peekable();
        let mut newest = Weighed::default();
        for (index, window) in windows.take(REMEMBERED).enumerate() {
            let one = self.weigh(window);
            if index == 0 {
                newest = one;
            }
            total.precision += one.precision;
            total.clipped += one.clipped;
            total.sum += one.sum;
            total.count += one.count;
            total.expected += one.expected;
            weighted += one.clipped * one.precision.sqrt();
            lean[index + 1] = total.clipped;
            known = index + 1;
            let Some((span, inflation)) = spans.next_if(|(span, _)| **span == index + 1) else { continue };
            let mut z = self.z(&total, weighted, *span, *inflation);
            if *span == 1 {
                z = self.outlier(&newest, z);
            }
            if self.quantity.rises_only && z < 0.0 {
                z = 0.0;
            }
            let latest = (span / 4).max(1);
            let least = if *span >= SHORTEST_TO_LEAN { 1.0 } else { 0.0 };
            if lean[latest] / (latest as f64).sqrt() * z.signum() <= least {
                z = 0.0;
            }
            if z.abs() > best.z.abs() {
                best = Scanned { z, span: *span, ..best };
            }
        }
        let mut latest = lean.iter().take(LATEST + 1).enumerate().filter(|(windows, _)| *windows <= known);
        best.recent = latest.next_back().map_or(0.0, |(windows, sum)| sum / (windows.max(1) as f64).sqrt());
        best
    }

    fn z(&self, total: &Weighed, weighted: f64, span: usize, inflation: f64) -> f64 {
        let z = match (self.quantity.law, self.fit.clip) {
            (Law::Share, None) => self.z_of_counts(total, span, inflation),
            (_, clip) => {
                let variance = total.precision * inflation + total.precision.powi(2) * self.fit.error;
                let excess = (weighted.abs() - self.tolerance * total.precision).max(0.0);
                let mut z = excess / variance.sqrt();
                // A tight clip has already taken the skew of bursts away.
                if self.quantity.law == Law::Share && !self.fit.is_bursty() {
                    let change = weighted.signum() * excess / total.precision;
                    z *= skew(change, self.expected(total));
                }
                let bound = total.clipped.abs() / (span as f64 * inflation).sqrt();
                weighted.signum() * if clip.is_some() { z.min(bound) } else { z }
            }
        };
        if z.is_finite() { z } else { 0.0 }
    }

    /// Mean that the baseline lets expect of these windows.
    fn expected(&self, total: &Weighed) -> f64 {
        if total.count > 0.0 { total.expected / total.count } else { self.fit.mean }
    }

    /// Signed root of the binomial deviance against the expected count, pushed out by the tolerated change.
    fn z_of_counts(&self, total: &Weighed, span: usize, inflation: f64) -> f64 {
        let slack = self.tolerance * total.count;
        let (above, below) = (total.expected + slack, (total.expected - slack).max(1e-9));
        let (expected, sign) = match total.sum {
            hits if hits > above => (above, 1.0),
            hits if hits < below => (below, -1.0),
            _ => return 0.0,
        };
        if sign > 0.0 && total.sum < FEWEST_HITS {
            return 0.0;
        }
        let deviance = binomial_deviance(total.sum, total.count, expected / total.count.max(1.0));
        let spread = self.fit.clumping(total.count / span as f64);
        let shrink = 1.0 / (inflation * spread + total.count / self.fit.events).sqrt();
        sign * deviance.max(0.0).sqrt() * shrink
    }

    /// One window far beyond anything that the baseline held counts at once, clipped or not.
    fn outlier(&self, newest: &Weighed, z: f64) -> f64 {
        let Some(clip) = self.fit.clip else { return z };
        let factor = if clip < 3.0 { 2.5 } else { 2.0 };
        let mut size = newest.standard.abs();
        if size <= self.threshold.max(factor * self.fit.worst) {
            return z;
        }
        if self.quantity.law == Law::Share {
            // Rare counts are skewed: their exact tail must agree, with events that clump taken for fewer.
            let expected = newest.expected + self.tolerance * newest.count;
            let (hits, rise) = (newest.sum, newest.sum >= expected);
            let entropy = if hits > 0.0 { hits * (hits / expected).ln() } else { 0.0 };
            let root =
                (2.0 * (entropy - (hits - expected)) / self.fit.clumping(newest.count)).max(0.0).sqrt();
            if rise && hits < FEWEST_HITS {
                return z;
            }
            size = size.min(root);
        }
        if size > self.threshold { newest.standard.signum() * size.max(z.abs()) } else { z }
    }
}

/// Twice the log likelihood ratio of `hits` in `count` against the share `p`.
fn binomial_deviance(hits: f64, count: f64, p: f64) -> f64 {
    let (p, q) = (p.clamp(1e-9, 1.0 - 1e-9), (hits / count.max(1.0)).clamp(0.0, 1.0));
    let part = |q: f64, p: f64| if q > 0.0 { q * (q.max(1e-12) / p).ln() } else { 0.0 };
    2.0 * count * (part(q, p) + part(1.0 - q, 1.0 - p))
}
