//! ADWIN: a window that grows while the mean stands still and drops its oldest part when it does not.
//!
//! Bifet and Gavaldà 2007, with the choices of river: the variance of the whole window enters the bound, both parts of a
//! cut must be long enough, and after an alarm the detector starts from nothing, where the paper keeps the rest of the
//! window. The window is kept as buckets of 1, 2, 4, … values, so its memory grows with the logarithm of its length.
//! The bound is meant for values within 0 to 1; other scales work, since the variance is measured, but the small second
//! term of the bound is then off.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::excess::excess;
use super::parameters::{Parameter, Spec};
use super::{Sequential, Signal};

const DELTA: Parameter =
    Parameter::real("delta", 0.002, 1e-300, 1.0, "chance of a false alarm at one look, roughly");
const CLOCK: Parameter = Parameter::whole("clock", 32.0, 1.0, 1e9, "updates from one look to the next");
const MAX_BUCKETS: Parameter = Parameter::whole("max_buckets", 5.0, 2.0, 100.0, "buckets of one size");
const MIN_WINDOW: Parameter =
    Parameter::whole("min_window_length", 5.0, 1.0, 1e9, "shortest part of a cut, in values");
const GRACE: Parameter = Parameter::whole("grace_period", 10.0, 0.0, 1e9, "values before the first look");

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "adwin",
    about: "adaptive window on the mean (Bifet and Gavaldà 2007), as river",
    parameters: &[DELTA, CLOCK, MAX_BUCKETS, MIN_WINDOW, GRACE],
    build: |values| {
        Ok(Adwin {
            delta: values.get(&DELTA),
            clock: values.count(&CLOCK),
            max_buckets: values.count(&MAX_BUCKETS) as usize,
            min_window: values.get(&MIN_WINDOW),
            grace: values.get(&GRACE),
            window: Window::default(),
            signal: Signal::Stable,
        }
        .into())
    },
};

/// The sum of `2^row` consecutive values and their squared deviations from their mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Bucket {
    total: f64,
    squares: f64,
}

/// All values since the last restart or cut, in buckets: row `i` holds those of `2^i` values, the oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Window {
    rows: Vec<VecDeque<Bucket>>,
    width: f64,
    total: f64,
    squares: f64,
    ticks: u64,
    /// The largest difference of means over its bound at the last look.
    worst: f64,
}

/// The detector with its state; at most `max_buckets + 1` buckets of 16 bytes for each doubling of the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adwin {
    delta: f64,
    clock: u64,
    max_buckets: usize,
    min_window: f64,
    grace: f64,
    window: Window,
    signal: Signal,
}

/// How many values a bucket of this row stands for.
fn length(row: usize) -> f64 {
    2f64.powi(i32::try_from(row).unwrap_or(i32::MAX))
}

/// What joining two groups adds to their squared deviations.
fn between(n: f64, m: f64, difference: f64) -> f64 {
    n * m * difference * difference / (n + m)
}

impl Window {
    fn insert(&mut self, value: f64, max_buckets: usize) {
        if self.width > 0.0 {
            let gap = value - self.total / self.width;
            self.squares += self.width * gap * gap / (self.width + 1.0);
        }
        self.width += 1.0;
        self.total += value;
        if self.rows.is_empty() {
            self.rows.push(VecDeque::new());
        }
        let mut carried = Some(Bucket { total: value, squares: 0.0 });
        for (row, buckets) in self.rows.iter_mut().enumerate() {
            let Some(bucket) = carried.take() else { break };
            buckets.push_back(bucket);
            if buckets.len() > max_buckets
                && let (Some(first), Some(second)) = (buckets.pop_front(), buckets.pop_front())
            {
                let n = length(row);
                let gap = first.total / n - second.total / n;
                let squares = first.squares + second.squares + between(n, n, gap);
                carried = Some(Bucket { total: first.total + second.total, squares });
            }
        }
        if let Some(bucket) = carried {
            self.rows.push(VecDeque::from([bucket]));
        }
    }

    fn drop_oldest(&mut self) {
        let Some((row, buckets)) = self.rows.iter_mut().enumerate().next_back() else { return };
        let Some(oldest) = buckets.pop_front() else { return };
        let n = length(row);
        self.width -= n;
        self.total -= oldest.total;
        let gap = oldest.total / n - self.total / self.width;
        self.squares -= oldest.squares + between(n, self.width, gap);
        if buckets.is_empty() {
            self.rows.pop();
        }
    }
}

impl Adwin {
    /// How many values the window holds.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.window.width
    }

    /// The mean of the window; 0 if it is empty.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.window.width > 0.0 { self.window.total / self.window.width } else { 0.0 }
    }

    /// The sum of squared deviations of the window from its mean.
    #[must_use]
    pub fn squares(&self) -> f64 {
        self.window.squares
    }

    /// The difference of means over its bound, the first that exceeds 1 from the oldest cut on, or else the largest.
    fn look(&self) -> f64 {
        let window = &self.window;
        let confidence = (2.0 * window.width.ln() / self.delta).ln();
        let variance = (window.squares / window.width).max(0.0);
        let (mut before, mut after) = (0.0, window.width);
        let (mut sum_before, mut sum_after) = (0.0, window.total);
        let mut worst = 0.0f64;
        let oldest_first = window.rows.iter().enumerate().rev();
        let buckets = oldest_first.flat_map(|(row, buckets)| buckets.iter().map(move |bucket| (row, bucket)));
        for (row, bucket) in buckets {
            before += length(row);
            after -= length(row);
            sum_before += bucket.total;
            sum_after -= bucket.total;
            if before < self.min_window || after < self.min_window {
                continue;
            }
            let gap: f64 = (sum_before / before - sum_after / after).abs();
            let inverse = 1.0 / (before - self.min_window + 1.0) + 1.0 / (after - self.min_window + 1.0);
            let bound = (2.0 * inverse * variance * confidence).sqrt() + 2.0 / 3.0 * confidence * inverse;
            worst = worst.max(excess(gap, bound));
            if worst > 1.0 {
                break;
            }
        }
        worst
    }
}

impl Sequential for Adwin {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            self.window = Window::default();
        }
        self.signal = Signal::Stable;
        self.window.insert(value, self.max_buckets.max(2));
        self.window.ticks = self.window.ticks.wrapping_add(1);
        if !self.window.ticks.is_multiple_of(self.clock) || self.window.width <= self.grace {
            return self.signal;
        }
        let mut worst = self.look();
        self.window.worst = worst;
        while worst > 1.0 {
            self.signal = Signal::Drift;
            self.window.drop_oldest();
            worst = self.look();
        }
        self.signal
    }

    fn statistic(&self) -> f64 {
        self.window.worst
    }

    fn threshold(&self) -> f64 {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_window_is_as_wide_as_its_buckets_and_logarithmic_in_size() {
        let mut detector = SPEC.build(&BTreeMap::new()).unwrap();
        (0..100_000).for_each(|i| {
            detector.update(f64::from(i % 7));
        });
        let super::super::Detector::Adwin(adwin) = detector else { panic!("another detector") };
        let buckets = adwin.window.rows.iter().enumerate().map(|(row, b)| length(row) * b.len() as f64);
        assert_eq!(buckets.sum::<f64>(), adwin.width());
        assert!(adwin.window.rows.len() <= 17 && adwin.window.rows.iter().all(|row| row.len() <= 5));
        assert!((adwin.mean() - 3.0).abs() < 0.01);
        assert!((adwin.squares() / adwin.width() - 4.0).abs() < 0.01);
    }
}
