//! The law of the Cramér–von Mises statistic: its limit, and the exact two-sample law for small samples.
//!
//! Not here: the statistic itself ([`crate::two_sample::cramer_von_mises`]).

use std::collections::BTreeMap;
use std::f64::consts::PI;

use statrs::function::gamma::ln_gamma;

use super::lattice::gcd;

/// Largest sample for the exact two-sample law, whose table grows steeply.
pub const EXACT_LIMIT: u64 = 20;

/// The limiting distribution function (Csörgő and Faraway 1996, eq. 1.2), to about nine digits.
///
/// 0 for `x <= 0.003` (below `1e-12`); NaN stays NaN.
#[must_use]
pub fn limit_cdf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x <= 0.003 {
        return 0.0;
    }
    let mut sum = 0.0;
    for k in 0..100 {
        let k = f64::from(k);
        let y = 4.0 * k + 1.0;
        let scale = (ln_gamma(k + 0.5) - ln_gamma(k + 1.0)).exp() / (PI.powf(1.5) * x.sqrt());
        let term = scale * y.sqrt() * scaled_bessel(y * y / (16.0 * x));
        sum += term;
        if term < 1e-14 {
            break;
        }
    }
    sum.clamp(0.0, 1.0)
}

/// `e^(-q) K_{1/4}(q)` by the trapezoidal rule on `∫ e^(-q cosh t) cosh(t/4) dt`, which converges geometrically.
fn scaled_bessel(q: f64) -> f64 {
    const STEP: f64 = 1.0 / 64.0;
    let at = |t: f64| (-q * (1.0 + t.cosh())).exp() * (t / 4.0).cosh();
    let mut sum = 0.5 * at(0.0);
    for i in 1..4096 {
        let term = at(f64::from(i) * STEP);
        sum += term;
        if term < sum * 1e-18 {
            break;
        }
    }
    sum * STEP
}

/// The exact chance that Anderson's (1962) `U` of two samples of sizes `n` and `m` is at least `u`, without ties.
///
/// By the recursion of Xiao, Gordon and Yakovlev (2007). `None` if a sample is empty or larger than [`EXACT_LIMIT`],
/// or if `u` is not finite.
#[must_use]
pub fn two_sample_exact_sf(u: f64, n: u64, m: u64) -> Option<f64> {
    if n == 0 || m == 0 || n > EXACT_LIMIT || m > EXACT_LIMIT || !u.is_finite() {
        return None;
    }
    let lcm = n / gcd(n, m) * m;
    let product = (n * m) as f64;
    let centred = 6.0 * u - product * (4.0 * product - 1.0);
    let bound = ((lcm * lcm * (n + m)) as f64 * centred / (6.0 * product * product)).floor();
    let (frequent, all) = frequencies(n, m, (lcm / n) as i64, (lcm / m) as i64).into_iter().fold(
        (0.0, 0.0),
        |(at_least, all), (value, count)| {
            (if value as f64 >= bound { at_least + count } else { at_least }, all + count)
        },
    );
    Some(frequent / all)
}

/// How many orders of the two samples give each value of the scaled statistic.
fn frequencies(n: u64, m: u64, a: i64, b: i64) -> BTreeMap<i64, f64> {
    let mut tables: Vec<BTreeMap<i64, f64>> = vec![BTreeMap::new(); n as usize + 1];
    if let Some(first) = tables.first_mut() {
        first.insert(0, 1.0);
    }
    for row in 0..=m as i64 {
        let mut before: BTreeMap<i64, f64> = BTreeMap::new();
        for (column, table) in tables.iter_mut().enumerate() {
            for (&value, &count) in &*table {
                *before.entry(value).or_insert(0.0) += count;
            }
            let distance = a * column as i64 - b * row;
            before = before.iter().map(|(value, count)| (value + distance * distance, *count)).collect();
            table.clone_from(&before);
        }
    }
    tables.pop().unwrap_or_default()
}
