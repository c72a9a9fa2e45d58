//! Tail probabilities and intervals: the p-value machinery on its own, without data.
//!
//! Here live the normal, chi-square and Student tails, intervals of a proportion and the binomial tail. The laws of
//! Kolmogorov and Smirnov are in [`kolmogorov`], exact two-sample laws by lattice paths in [`lattice`], the law of
//! Cramér and von Mises in [`cramer_von_mises`]. Not here: any statistic computed from counts.
//!
//! Probabilities lie within 0 to 1. Where an argument makes the question meaningless the answer is `None`.

use statrs::function::erf::erfc_inv;
use statrs::function::gamma::{checked_gamma_ur, ln_gamma};

pub mod cramer_von_mises;
pub mod kolmogorov;
pub mod lattice;

/// Halvings of an interval after which a root is as exact as `f64` can say.
const HALVINGS: usize = 200;
/// Degrees of freedom beyond which the series of the incomplete gamma function becomes too long.
const LARGE_DF: f64 = 1e7;
/// Steps after which a continued fraction is taken as it is; reached only beyond some `1e8` trials.
const FRACTION_STEPS: usize = 20_000;

/// The chance that a standard normal variable exceeds `z`; NaN stays NaN.
#[must_use]
pub fn normal_sf(z: f64) -> f64 {
    // By the chi-square tail, which keeps three digits more than the error function at hand.
    let tail = chi_square_sf(z * z, 1.0).unwrap_or(f64::NAN) / 2.0;
    if z < 0.0 { 1.0 - tail } else { tail }
}

/// The `z` that a standard normal variable exceeds with chance `p`; infinite at 0 and 1, `None` outside.
#[must_use]
pub fn normal_isf(p: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&p) {
        return None;
    }
    let z = std::f64::consts::SQRT_2 * erfc_inv(2.0 * p);
    let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    // One step of Newton's method mends the last digits wherever the density is not lost itself.
    Some(if density > 1e-300 { z + (normal_sf(z) - p) / density } else { z })
}

/// The chance that a chi-square variable with `df` degrees of freedom is at least `x`.
///
/// `None` if `x` is NaN or `df` is not positive. Infinite `x` gives 0. Beyond ten million degrees of freedom the
/// approximation of Wilson and Hilferty (1931) stands in for the incomplete gamma function.
#[must_use]
pub fn chi_square_sf(x: f64, df: f64) -> Option<f64> {
    if x.is_nan() || !(df.is_finite() && df > 0.0) {
        return None;
    }
    if x <= 0.0 {
        return Some(1.0);
    }
    if x == f64::INFINITY {
        return Some(0.0);
    }
    if df > LARGE_DF {
        let cubic = 2.0 / (9.0 * df);
        return Some(normal_sf(((x / df).cbrt() - (1.0 - cubic)) / cubic.sqrt()));
    }
    checked_gamma_ur(df / 2.0, x / 2.0).ok().map(|p| p.clamp(0.0, 1.0))
}

/// The value that a chi-square variable with `df` degrees of freedom exceeds with chance `p`, by bisection.
///
/// `None` unless `p` is strictly between 0 and 1 and `df` is positive.
#[must_use]
pub fn chi_square_isf(p: f64, df: f64) -> Option<f64> {
    if !(p > 0.0 && p < 1.0 && df.is_finite() && df > 0.0) {
        return None;
    }
    let mut high = df + 1.0;
    while chi_square_sf(high, df)? > p {
        high *= 2.0;
    }
    Some(bisect(0.0, high, |x| chi_square_sf(x, df).is_some_and(|tail| tail > p)))
}

/// The chance that a Student variable with `df` degrees of freedom is at least `|t|` away from 0.
///
/// `None` if `t` is NaN or `df` is not positive.
#[must_use]
pub fn student_two_sided(t: f64, df: f64) -> Option<f64> {
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        return None;
    }
    if t.is_infinite() {
        return Some(0.0);
    }
    incomplete_beta(df / 2.0, 0.5, df / (df + t * t))
}

/// The regularised incomplete beta function `I_x(a, b)`, by Lentz's continued fraction.
///
/// `None` unless `a` and `b` are positive and finite and `x` is within 0 to 1.
#[must_use]
pub fn incomplete_beta(a: f64, b: f64, x: f64) -> Option<f64> {
    if !(a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite() && (0.0..=1.0).contains(&x)) {
        return None;
    }
    if x == 0.0 || x == 1.0 {
        return Some(x);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    let value = if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    };
    Some(value.clamp(0.0, 1.0))
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let away_from_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..FRACTION_STEPS {
        let k = step as f64;
        let even = k * (b - k) * x / ((a + 2.0 * k - 1.0) * (a + 2.0 * k));
        let odd = -(a + k) * (a + b + k) * x / ((a + 2.0 * k) * (a + 2.0 * k + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            change *= c * d;
        }
        fraction *= change;
        if (change - 1.0).abs() < 1e-16 {
            break;
        }
    }
    fraction
}

/// The chance of at least `successes` in `trials` independent trials that each succeed with chance `p`.
///
/// `None` if `p` is not within 0 to 1.
#[must_use]
pub fn binomial_sf(successes: u64, trials: u64, p: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&p) {
        return None;
    }
    if successes == 0 {
        return Some(1.0);
    }
    if successes > trials {
        return Some(0.0);
    }
    incomplete_beta(successes as f64, (trials - successes) as f64 + 1.0, p)
}

/// An interval of a proportion; both ends within 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProportionInterval {
    /// Lower confidence limit.
    pub low: f64,
    /// Upper confidence limit.
    pub high: f64,
}

/// The exact interval of Clopper and Pearson (1934) at two-sided `confidence`, e.g. `0.95`.
///
/// `None` if there are no trials, more successes than trials, or `confidence` is not strictly between 0 and 1.
#[must_use]
pub fn clopper_pearson(successes: u64, trials: u64, confidence: f64) -> Option<ProportionInterval> {
    let tail = checked_tail(successes, trials, confidence)?;
    let (k, n) = (successes as f64, trials as f64);
    let below = |a: f64, b: f64, mass: f64| {
        bisect(0.0, 1.0, |x| incomplete_beta(a, b, x).is_some_and(|cdf| cdf < mass))
    };
    let low = if successes == 0 { 0.0 } else { below(k, n - k + 1.0, tail) };
    // The upper limit is found from the mirrored question, which keeps its small tail exact.
    let high = if successes == trials { 1.0 } else { 1.0 - below(n - k, k + 1.0, tail) };
    Some(ProportionInterval { low, high })
}

/// The score interval of Wilson (1927) at two-sided `confidence`, without continuity correction.
///
/// `None` as for [`clopper_pearson`].
#[must_use]
pub fn wilson(successes: u64, trials: u64, confidence: f64) -> Option<ProportionInterval> {
    let z = normal_isf(checked_tail(successes, trials, confidence)?)?;
    let (k, n) = (successes as f64, trials as f64);
    let centre = (k + z * z / 2.0) / (n + z * z);
    let half = z / (n + z * z) * (k * (n - k) / n + z * z / 4.0).sqrt();
    let low = if successes == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if successes == trials { 1.0 } else { (centre + half).min(1.0) };
    Some(ProportionInterval { low, high })
}

fn checked_tail(successes: u64, trials: u64, confidence: f64) -> Option<f64> {
    let asked = trials > 0 && successes <= trials && confidence > 0.0 && confidence < 1.0;
    asked.then(|| (1.0 - confidence) / 2.0)
}

/// The end of the stretch from `low` on which `holds`, which must hold up to some point of the interval and not after.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests;
