//! The last windows of one quantity, and the largest change that any span of them shows.

use std::f64::consts::SQRT_2;

use super::fit::Fit;
use super::quantity::{Law, Quantity};
use super::spread::skew;

/// Spans that are scanned, in windows.
pub const SPANS: [usize; 11] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48];

/// Part of a span's standard score that its latest quarter must show by itself.
const LASTS: f64 = 0.25;

/// Standard errors by which the change of an earlier quarter of a span may exceed that of its latest one.
const FADES: f64 = 2.0;

/// The least part of an earlier quarter's change that the latest one shows while a change lasts, however certain both are.
const STAYS: f64 = 0.5;

/// Root of three.
const SQRT_3: f64 = 1.732_050_807_568_877_2;

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

/// Windows in the latest quarter of each of [`SPANS`], at least one, and the root of their number.
const LATEST_OF_SPANS: [(usize, f64); SPANS.len()] = [
    (1, 1.0),
    (1, 1.0),
    (1, 1.0),
    (1, 1.0),
    (1, 1.0),
    (2, SQRT_2),
    (3, SQRT_3),
    (4, 2.0),
    (6, SQRT_2 * SQRT_3),
    (8, 2.0 * SQRT_2),
    (12, 2.0 * SQRT_3),
];

/// The remembered windows of a quantity: the last one lies at `newest`, those before it lie before it, around the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ring<'a> {
    /// All places; one that remembers no window has no events.
    pub windows: &'a [Window; REMEMBERED],
    /// Place of the last window.
    pub newest: usize,
    /// Windows that are remembered.
    pub known: usize,
}

impl<'a> Ring<'a> {
    /// The remembered windows, oldest first.
    pub(super) fn oldest_first(self) -> impl Iterator<Item = &'a Window> {
        (0..self.known).rev().map(move |before| &self.windows[self.place(before)])
    }

    /// Place of the window that came so many before the last one.
    #[inline]
    fn place(&self, before: usize) -> usize {
        if before <= self.newest { self.newest - before } else { self.newest + REMEMBERED - before }
    }
}

/// The remembered windows with their weights, as they lie in the ring. A column each, so that the arithmetic of several windows
/// goes into one instruction; a window without events weighs nothing.
#[derive(Debug)]
struct Weighed {
    precision: [f64; REMEMBERED],
    standard: [f64; REMEMBERED],
    clipped: [f64; REMEMBERED],
    weighted: [f64; REMEMBERED],
    sum: [f64; REMEMBERED],
    count: [f64; REMEMBERED],
    expected: [f64; REMEMBERED],
}

impl Default for Weighed {
    fn default() -> Self {
        let nothing = [0.0; REMEMBERED];
        Self {
            precision: nothing,
            standard: nothing,
            clipped: nothing,
            weighted: nothing,
            sum: nothing,
            count: nothing,
            expected: nothing,
        }
    }
}

/// Sums over the windows of a span.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    precision: f64,
    clipped: f64,
    weighted: f64,
    sum: f64,
    count: f64,
    expected: f64,
}

impl Total {
    #[inline]
    fn add(&mut self, all: &Weighed, index: usize) {
        self.precision += all.precision[index];
        self.clipped += all.clipped[index];
        self.weighted += all.weighted[index];
        self.sum += all.sum[index];
        self.count += all.count[index];
        self.expected += all.expected[index];
    }
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
    #[inline]
    fn weigh(&self, windows: &[Window; REMEMBERED]) -> Weighed {
        let mut all = Weighed::default();
        for (index, window) in windows.iter().enumerate() {
            all.sum[index] = f64::from(window.sum);
            all.count[index] = f64::from(window.count);
            all.expected[index] = f64::from(window.expected);
        }
        for index in 0..REMEMBERED {
            all.precision[index] = self.fit.precision(all.count[index]);
            all.standard[index] = all.sum[index] / all.count[index] - all.expected[index];
        }
        if self.quantity.score.is_some() {
            for index in (0..REMEMBERED).filter(|index| windows[*index].count > 0.0) {
                let (count, precision) = (all.count[index], all.precision[index]);
                all.standard[index] = self.quantity.of_few(all.standard[index], count / precision, count);
            }
        }
        let clip = self.fit.clip.unwrap_or(f64::INFINITY);
        for index in 0..REMEMBERED {
            let (used, root) = (all.count[index] > 0.0, all.precision[index].sqrt());
            let of_used = |value: f64| if used { value } else { 0.0 };
            let standard = all.standard[index] * root;
            let clipped = standard.max(-clip).min(clip);
            all.standard[index] = of_used(standard);
            all.clipped[index] = of_used(clipped);
            all.weighted[index] = of_used(clipped * root);
            all.sum[index] = of_used(all.sum[index]);
            all.expected[index] = of_used(all.count[index] * all.expected[index]);
        }
        all
    }

    /// The most telling span that ends with the newest window.
    #[inline]
    pub(super) fn scan(&self, ring: Ring<'_>) -> Scanned {
        let all = self.weigh(ring.windows);
        let mut best = Scanned::default();
        let mut total = Total::default();
        let mut lean = [0.0; REMEMBERED + 1];
        // Of the latest windows, together: weighted change, and weight.
        let mut change = [(0.0, 0.0); REMEMBERED + 1];
        let mut first = 0;
        for (place, (span, inflation)) in SPANS.iter().zip(self.inflation).enumerate() {
            if *span > ring.known {
                break;
            }
            for index in first..*span {
                total.add(&all, ring.place(index));
                lean[index + 1] = total.clipped;
                change[index + 1] = (total.weighted, total.precision);
            }
            first = *span;
            // A span whose latest windows do not lean its way tells nothing, whatever it comes to.
            let (latest, root) = LATEST_OF_SPANS[place];
            let leans = lean[latest] / root;
            let least = if *span >= SHORTEST_TO_LEAN { 1.0 } else { 0.0 };
            if leans.abs() <= least || (self.quantity.rises_only && leans < 0.0) {
                continue;
            }
            let mut z = self.z(&total, *span, *inflation);
            if *span == 1 {
                z = self.outlier(&all, ring.newest, z);
            }
            // Of a change that lasts the latest quarter shows half of `z` by itself. Where it shows not even half of that, what
            // was large is over, and only chance still leans that way.
            let lasts = *span < SHORTEST_TO_LEAN || leans.abs() >= LASTS * z.abs();
            let lasts = lasts && !faded(&change, (*span, latest), leans.signum(), *inflation);
            if leans * z > 0.0 && lasts && z.abs() > best.z.abs() {
                best = Scanned { z, span: *span, ..best };
            }
        }
        for index in first..ring.known.min(LATEST) {
            total.add(&all, ring.place(index));
            lean[index + 1] = total.clipped;
        }
        let latest = ring.known.min(LATEST);
        best.recent = lean[latest] / (latest.max(1) as f64).sqrt();
        best
    }

    fn z(&self, total: &Total, span: usize, inflation: f64) -> f64 {
        let z = match (self.quantity.law, self.fit.clip) {
            (Law::Share, None) => self.z_of_counts(total, span, inflation),
            (_, clip) => {
                let variance = total.precision * inflation + total.precision.powi(2) * self.fit.error;
                let excess = (total.weighted.abs() - self.tolerance * total.precision).max(0.0);
                let mut z = excess / variance.sqrt();
                // A tight clip has already taken the skew of bursts away.
                if self.quantity.law == Law::Share && !self.fit.is_bursty() {
                    let change = total.weighted.signum() * excess / total.precision;
                    z *= skew(change, self.expected(total));
                }
                z = self
                    .quantity
                    .unskewed(
                        total.weighted.signum() * z,
                        self.fit.relative(total.precision / inflation),
                        total.count,
                    )
                    .abs();
                let bound = total.clipped.abs() / (span as f64 * inflation).sqrt();
                total.weighted.signum() * if clip.is_some() { z.min(bound) } else { z }
            }
        };
        if z.is_finite() { z } else { 0.0 }
    }

    /// Mean that the baseline lets expect of these windows.
    fn expected(&self, total: &Total) -> f64 {
        if total.count > 0.0 { total.expected / total.count } else { self.fit.mean }
    }

    /// Signed root of the binomial deviance against the expected count, pushed out by the tolerated change.
    fn z_of_counts(&self, total: &Total, span: usize, inflation: f64) -> f64 {
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
    fn outlier(&self, all: &Weighed, newest: usize, z: f64) -> f64 {
        let Some(clip) = self.fit.clip else { return z };
        let factor = if clip < 3.0 { 2.5 } else { 2.0 };
        let (standard, count) = (all.standard[newest], all.count[newest]);
        let relative = self.fit.relative(all.precision[newest]);
        let mut size = self.quantity.unskewed(standard, relative, count).abs();
        if size <= self.threshold || standard.abs() <= factor * self.fit.worst {
            return z;
        }
        if self.quantity.law == Law::Share {
            // Rare counts are skewed: their exact tail must agree, with events that clump taken for fewer.
            let expected = all.expected[newest] + self.tolerance * count;
            let (hits, rise) = (all.sum[newest], all.sum[newest] >= expected);
            let entropy = if hits > 0.0 { hits * (hits / expected).ln() } else { 0.0 };
            let root = (2.0 * (entropy - (hits - expected)) / self.fit.clumping(count)).max(0.0).sqrt();
            if rise && hits < FEWEST_HITS {
                return z;
            }
            size = size.min(root);
        }
        if size > self.threshold { standard.signum() * size.max(z.abs()) } else { z }
    }
}

/// Whether an earlier quarter of a span changed plainly more than the latest one, as behind a drift that came and went.
/// `change` are weighted changes and weights from the newest window back; what is compared is their ratio, since quarters
/// may have different traffic.
fn faded(change: &[(f64, f64)], (span, quarter): (usize, usize), sign: f64, inflation: f64) -> bool {
    if span < SHORTEST_TO_LEAN {
        return false;
    }
    let of = |place: usize| {
        let ((before, weight_before), (after, weight_after)) =
            (change[place * quarter], change[(place + 1) * quarter]);
        let weight = weight_after - weight_before;
        (sign * (after - before) / weight, 1.0 / weight)
    };
    let (latest, of_latest) = of(0);
    (1..span / quarter).map(of).any(|(earlier, of_earlier)| {
        let error = (inflation * (of_earlier + of_latest)).sqrt();
        earlier - latest > FADES * error && latest < STAYS * earlier
    })
}

/// Twice the log likelihood ratio of `hits` in `count` against the share `p`.
fn binomial_deviance(hits: f64, count: f64, p: f64) -> f64 {
    let (p, q) = (p.clamp(1e-9, 1.0 - 1e-9), (hits / count.max(1.0)).clamp(0.0, 1.0));
    let part = |q: f64, p: f64| if q > 0.0 { q * (q.max(1e-12) / p).ln() } else { 0.0 };
    2.0 * count * (part(q, p) + part(1.0 - q, 1.0 - p))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether windows of these changes and weights, newest first, count as faded over all of them.
    fn is_faded(windows: &[(f64, f64)], inflation: f64) -> bool {
        let place = SPANS.iter().position(|span| *span == windows.len()).expect("a span");
        let sums = windows.iter().scan((0.0, 0.0), |sum, (change, weight)| {
            *sum = (sum.0 + change * weight, sum.1 + weight);
            Some(*sum)
        });
        let change: Vec<(f64, f64)> = std::iter::once((0.0, 0.0)).chain(sums).collect();
        let sign = change[LATEST_OF_SPANS[place].0].0.signum();
        faded(&change, (windows.len(), LATEST_OF_SPANS[place].0), sign, inflation)
    }

    #[test]
    fn what_came_and_went_has_faded_and_what_lasts_or_grows_has_not() {
        let quarters = |changes: [f64; 4], weights: [f64; 4]| -> Vec<(f64, f64)> {
            changes.into_iter().zip(weights).flat_map(|quarter| [quarter; 6]).collect()
        };
        let steps = |changes: [f64; 4]| quarters(changes, [1.0; 4]);
        assert!(is_faded(&steps([0.6, 0.6, 2.2, 0.6]), 1.0));
        assert!(is_faded(&steps([-0.6, -0.6, -2.2, -0.6]), 1.0), "downwards as well");
        assert!(!is_faded(&steps([1.1; 4]), 1.0));
        assert!(!is_faded(&steps([2.2, 1.6, 1.0, 0.4]), 1.0), "it grows");
        assert!(!is_faded(&steps([0.6, 0.6, 1.4, 0.6]), 1.0), "chance differs by as much");
        assert!(!is_faded(&steps([0.6, 0.6, 2.2, 0.6]), 4.0), "of windows that vary together");
        assert!(!is_faded(&steps([0.6, -2.2, -2.2, 0.6]), 1.0), "the other way is no part of it");
        assert!(
            !is_faded(&quarters([1.0; 4], [1.0, 9.0, 100.0, 9.0]), 1.0),
            "less traffic is no smaller change"
        );
        assert!(!is_faded(&steps([30.0, 40.0, 45.0, 40.0]), 1.0), "nor is a large one that varies");
        assert!(
            !is_faded(&quarters([1.0; 4], [1.0, 0.0, 1.0, 0.0]), 1.0),
            "nights without traffic say nothing"
        );
        assert!(!is_faded(&[(0.6, 1.0), (3.0, 1.0), (3.0, 1.0)], 1.0), "a span too short to have quarters");
    }
}
