//! KSWIN: the latest values of a sliding window against older ones, by the Kolmogorov–Smirnov test.
//!
//! Raab, Heusinger and Schleif 2020, as river: the test is at every value once the window is full, the alarm also needs a
//! distance above 0.1, and after an alarm the window is empty. The older sample is as large as the latest one. A window
//! of twice that size holds exactly those values; of a longer window they are drawn anew at each value, by a generator
//! seeded with the detector's `seed` and the number of the value, so that a replay draws the same. The convention of
//! frouros has no demand on the distance.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Spec, Values};
use super::{BuildError, Detector, Sequential, Signal, seeded};

/// Distance that river demands beside significance.
const LEAST_DISTANCE: f64 = 0.1;
const LATEST: &str = "values in each of the two samples";
const LEVEL: &str = "p-value at or below which an alarm is raised";
const SEED_ABOUT: &str = "seeds the draw of the older sample from a longer window";

const ALPHA: Parameter = Parameter::real("alpha", 0.005, 1e-300, 1.0, LEVEL);
const WINDOW: Parameter = Parameter::whole("window_size", 100.0, 2.0, 1e5, "values in the window");
const STAT: Parameter = Parameter::whole("stat_size", 30.0, 1.0, 1e4, LATEST);
const SEED: Parameter = Parameter::whole("seed", 0.0, 0.0, 1e15, SEED_ABOUT);

const FROUROS_ALPHA: Parameter = Parameter::real("alpha", 0.0001, 1e-300, 1.0, LEVEL);
const FROUROS_WINDOW: Parameter =
    Parameter::whole("min_num_instances", 100.0, 2.0, 1e5, "values in the window");
const FROUROS_STAT: Parameter = Parameter::whole("num_test_instances", 30.0, 1.0, 1e4, LATEST);

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "kswin",
    about: "Kolmogorov–Smirnov test in a sliding window (Raab et al. 2020), as river",
    parameters: &[ALPHA, WINDOW, STAT, SEED],
    build: |values| build(values, [&ALPHA, &WINDOW, &STAT, &SEED], true),
};

/// How to build frouros' convention by name.
pub(super) const FROUROS: Spec = Spec {
    name: "kswin_frouros",
    about: "KSWIN as frouros, without river's least distance of 0.1",
    parameters: &[FROUROS_ALPHA, FROUROS_WINDOW, FROUROS_STAT, SEED],
    build: |values| build(values, [&FROUROS_ALPHA, &FROUROS_WINDOW, &FROUROS_STAT, &SEED], false),
};

fn build(
    values: &Values,
    [alpha, window, stat, seed]: [&Parameter; 4],
    as_river: bool,
) -> Result<Detector, BuildError> {
    let (window, stat) = (values.count(window) as usize, values.count(stat) as usize);
    values.demand(window >= 2 * stat, "the window must hold at least two samples")?;
    // The p-value falls with the distance, so the level is one distance, found once.
    let significant = smallest(stat as u64, |h| equal_sizes_sf(stat as u64, h) <= values.get(alpha));
    let large = smallest(stat as u64, |h| h as f64 / stat as f64 > LEAST_DISTANCE);
    let least = if as_river { significant.max(large) } else { significant };
    Ok(Kswin {
        window_size: window,
        stat_size: stat,
        seed: values.count(seed),
        least,
        window: VecDeque::new(),
        taken: 0,
        distance: 0,
        signal: Signal::Stable,
    }
    .into())
}

/// The smallest number up to `n` from which on a condition holds; `n + 1` if it holds for none.
fn smallest(n: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, n + 1);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The chance that two samples of `n` values of one continuous law differ by at least `h / n`.
///
/// Gnedenko and Korolyuk 1951: the alternating sum `2 Σ (-1)^(k+1) C(2n, n - kh) / C(2n, n)`, by Horner's scheme.
fn equal_sizes_sf(n: u64, h: u64) -> f64 {
    if h == 0 {
        return 1.0;
    }
    let mut sum = 0.0;
    for k in (0..=n / h).rev() {
        let ratio = (0..h).map(|j| {
            let below = n.saturating_sub(k * h + j) as f64;
            below / (n + k * h + j + 1) as f64
        });
        sum = ratio.product::<f64>() * (1.0 - sum);
    }
    (2.0 * sum).clamp(0.0, 1.0)
}

/// The largest difference of the two samples' counts at or below a value; both of one size.
fn count_difference(older: &mut [f64], latest: &mut [f64]) -> u64 {
    older.sort_unstable_by(f64::total_cmp);
    latest.sort_unstable_by(f64::total_cmp);
    let (mut i, mut j, mut largest) = (0usize, 0usize, 0usize);
    while let (Some(&a), Some(&b)) = (older.get(i), latest.get(j)) {
        let at = a.min(b);
        i += older.iter().skip(i).take_while(|&&x| x <= at).count();
        j += latest.iter().skip(j).take_while(|&&x| x <= at).count();
        largest = largest.max(i.abs_diff(j));
    }
    largest as u64
}

/// The detector with its state: the window, 8 bytes per value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kswin {
    window_size: usize,
    stat_size: usize,
    seed: u64,
    /// Smallest difference of counts that is an alarm.
    least: u64,
    window: VecDeque<f64>,
    taken: u64,
    /// Difference of counts at the last test.
    distance: u64,
    signal: Signal,
}

impl Kswin {
    /// The p-value of the last test, exact for values without ties; `None` while the window fills.
    #[must_use]
    pub fn p_value(&self) -> Option<f64> {
        (self.window.len() >= self.window_size).then(|| equal_sizes_sf(self.stat_size as u64, self.distance))
    }
}

impl Sequential for Kswin {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            self.window.clear();
            self.distance = 0;
        }
        self.signal = Signal::Stable;
        self.window.push_back(value);
        let surplus = self.window.len().saturating_sub(self.window_size);
        self.window.drain(..surplus);
        self.taken = self.taken.wrapping_add(1);
        if self.window.len() < self.window_size {
            return self.signal;
        }
        let rest = self.window_size.saturating_sub(self.stat_size);
        let mut latest: Vec<f64> = self.window.iter().skip(rest).copied().collect();
        let drawn = seeded::draw(self.seed, self.taken, rest, self.stat_size);
        let mut older: Vec<f64> = drawn.iter().filter_map(|&i| self.window.get(i)).copied().collect();
        self.distance = count_difference(&mut older, &mut latest);
        if self.distance >= self.least {
            self.signal = Signal::Drift;
        }
        self.signal
    }

    fn statistic(&self) -> f64 {
        self.distance as f64 / self.stat_size.max(1) as f64
    }

    fn threshold(&self) -> f64 {
        self.least as f64 / self.stat_size.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distributions::lattice::{Alternative, ks_two_sample_sf};

    #[test]
    fn the_closed_form_is_the_law_of_all_orders() {
        for n in [1, 2, 5, 30, 100] {
            for h in 0..=n {
                let want = ks_two_sample_sf(n, n, h, Alternative::TwoSided).unwrap();
                let got = equal_sizes_sf(n, h);
                assert!((got - want).abs() <= 1e-12 * want.max(1e-3), "{n} {h}: {got} {want}");
            }
        }
    }

    #[test]
    fn a_longer_window_draws_the_same_sample_again() {
        let given = [("window_size", 300.0), ("alpha", 1e-6)].map(|(name, value)| (name.to_owned(), value));
        let mut one = SPEC.build(&given.clone().into()).unwrap();
        let mut other = SPEC.build(&given.into()).unwrap();
        for i in 0..1_000u64 {
            let value = seeded::uniform(5, i) + if i < 600 { 0.0 } else { 0.8 };
            assert_eq!(one.update(value), other.update(value));
        }
        assert_eq!(one, other);
    }
}
