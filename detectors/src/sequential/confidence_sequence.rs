//! An interval of a rate that holds at all times at once, and the detector that watches it leave a band.
//!
//! With `S` the sum of `t` values within 0 to 1, a Beta(a, b) mixture of bets has won
//! `B(a + S, b + t - S) / (B(a, b) p^S (1 - p)^(t - S))` against the rate `p`. The interval is all `p` that have lost
//! less than `1/alpha`; by Ville's inequality (1939) the true rate is ever outside with chance at most `alpha`, however
//! often one looks (Howard, Ramdas, McAuliffe and Sekhon 2021). Valid for independent values of one mean, and for
//! values whose mean given the past is `p`. State adds up and subtracts: counts of disjoint parts give the whole.

use serde::{Deserialize, Serialize};
use statrs::function::gamma::ln_gamma;

use super::parameters::{Parameter, Spec};
use super::{Sequential, Signal};
use crate::distributions::ProportionInterval;

const AT_MOST: Parameter =
    Parameter::real("at_most", 0.5, 0.0, 1.0, "largest rate that is no drift; 1 for no such limit");
const AT_LEAST: Parameter =
    Parameter::real("at_least", 0.0, 0.0, 1.0, "smallest rate that is no drift; 0 for no such limit");
const ALPHA: Parameter =
    Parameter::real("alpha", 0.05, 1e-300, 1.0 - 1e-9, "chance of a false alarm ever, between two restarts");
const PRIOR_A: Parameter = Parameter::real("a", 0.5, 1e-3, 1e6, "first parameter of the mixture");
const PRIOR_B: Parameter = Parameter::real("b", 0.5, 1e-3, 1e6, "second parameter of the mixture");

/// Halvings after which a limit is as exact as `f64` can say.
const HALVINGS: usize = 100;

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "confidence_sequence",
    about: "time-uniform interval of a rate leaving its band (Howard et al. 2021)",
    parameters: &[AT_MOST, AT_LEAST, ALPHA, PRIOR_A, PRIOR_B],
    build: |values| {
        let (at_most, at_least) = (values.get(&AT_MOST), values.get(&AT_LEAST));
        values.demand(at_least <= at_most, "at_least must not exceed at_most")?;
        let sequence = BetaBinomial::new(values.get(&PRIOR_A), values.get(&PRIOR_B));
        let alpha = values.get(&ALPHA);
        Ok(RateGuard { at_most, at_least, alpha, sequence, signal: Signal::Stable }.into())
    },
};

/// Sum and number of values within 0 to 1.
///
/// ```
/// use anchorwatch_detectors::sequential::confidence_sequence::BetaBinomial;
/// let mut sequence = BetaBinomial::new(0.5, 0.5);
/// (0..200).for_each(|i| sequence.add(f64::from(u8::from(i % 4 == 0))));
/// let interval = sequence.interval(0.05).unwrap();
/// assert!(interval.low < 0.25 && 0.25 < interval.high && interval.high - interval.low < 0.22);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BetaBinomial {
    a: f64,
    b: f64,
    sum: f64,
    trials: u64,
}

impl BetaBinomial {
    /// Starts empty; `a` and `b` are brought within `1e-3` to `1e6`, NaN to 1/2. Both 1/2 is a good choice.
    #[must_use]
    pub fn new(a: f64, b: f64) -> Self {
        let within = |x: f64| if x.is_nan() { 0.5 } else { x.clamp(1e-3, 1e6) };
        Self { a: within(a), b: within(b), sum: 0.0, trials: 0 }
    }

    /// Takes a value, cut off at 0 and 1; NaN is ignored.
    pub fn add(&mut self, value: f64) {
        if !value.is_nan() {
            self.sum += value.clamp(0.0, 1.0);
            self.trials = self.trials.saturating_add(1);
        }
    }

    /// Adds what another has seen; exact if all values are 0 or 1.
    pub fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.trials = self.trials.saturating_add(other.trials);
    }

    /// Takes away what was merged before.
    pub fn subtract(&mut self, other: &Self) {
        self.sum = (self.sum - other.sum).max(0.0);
        self.trials = self.trials.saturating_sub(other.trials);
    }

    /// The mean of the values; `None` before the first.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        (self.trials > 0).then(|| (self.sum / self.trials as f64).clamp(0.0, 1.0))
    }

    /// The logarithm of what the mixture has won against the rate `p`; infinite if the values rule it out.
    #[must_use]
    pub fn ln_evidence(&self, p: f64) -> f64 {
        let (hits, misses) = self.hits_and_misses();
        let times = |count: f64, ln: f64| if count > 0.0 { count * ln } else { 0.0 };
        ln_beta(self.a + hits, self.b + misses)
            - ln_beta(self.a, self.b)
            - times(hits, p.ln())
            - times(misses, (-p).ln_1p())
    }

    /// The interval of rates not ruled out at `alpha`, now and at any other time.
    ///
    /// `None` before the first value or unless `alpha` is strictly between 0 and 1.
    #[must_use]
    pub fn interval(&self, alpha: f64) -> Option<ProportionInterval> {
        let rate = self.rate()?;
        if !(alpha > 0.0 && alpha < 1.0) {
            return None;
        }
        let (hits, misses) = self.hits_and_misses();
        let kept = |p: f64| self.ln_evidence(p) < -alpha.ln();
        let low = if hits > 0.0 { boundary(rate, 0.0, kept) } else { 0.0 };
        let high = if misses > 0.0 { boundary(rate, 1.0, kept) } else { 1.0 };
        Some(ProportionInterval { low, high })
    }

    fn hits_and_misses(&self) -> (f64, f64) {
        (self.sum, (self.trials as f64 - self.sum).max(0.0))
    }
}

/// Where a condition that holds `inside` ceases on the way `out`.
fn boundary(mut inside: f64, mut out: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(inside, out);
        if holds(middle) {
            inside = middle;
        } else {
            out = middle;
        }
    }
    out
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// The detector: alarms when the interval lies wholly outside the band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateGuard {
    at_most: f64,
    at_least: f64,
    alpha: f64,
    sequence: BetaBinomial,
    signal: Signal,
}

impl RateGuard {
    /// What has been seen since the last restart.
    #[must_use]
    pub fn sequence(&self) -> &BetaBinomial {
        &self.sequence
    }
}

impl Sequential for RateGuard {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            self.sequence = BetaBinomial::new(self.sequence.a, self.sequence.b);
        }
        self.sequence.add(value);
        self.signal = if self.statistic() >= self.threshold() { Signal::Drift } else { Signal::Stable };
        self.signal
    }

    /// The logarithm of the evidence against the nearer end of the band; 0 inside it.
    fn statistic(&self) -> f64 {
        let against = |p: f64| self.sequence.ln_evidence(p).clamp(0.0, f64::MAX);
        match self.sequence.rate() {
            Some(rate) if rate > self.at_most => against(self.at_most),
            Some(rate) if rate < self.at_least => against(self.at_least),
            _ => 0.0,
        }
    }

    fn threshold(&self) -> f64 {
        -self.alpha.ln()
    }
}
