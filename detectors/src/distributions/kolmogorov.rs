//! The laws of Kolmogorov and Smirnov for one sample: the limit, the exact law at size `n`, and the one-sided law.
//!
//! Not here: two samples ([`super::lattice`]) and the statistic itself ([`crate::two_sample`]).

use std::f64::consts::PI;

use statrs::function::gamma::ln_gamma;

/// Terms of a theta series; the last is below the rounding of the first wherever the series is used.
const TERMS: i32 = 20;
/// Up to this size, and for small deviations, the exact matrix method is used throughout.
const SMALL_N: u64 = 140;
/// Largest size for which the one-sided law is summed term by term (some twenty milliseconds).
const SUMMED_N: u64 = 100_000;
/// Largest size for the matrix method; beyond, its cost and rounding exceed those of the expansion.
const MATRIX_N: u64 = 100_000;

/// The limit law: the chance that `sup |B(t)|` of a Brownian bridge is at least `x`, i.e. `2 Σ (-1)^(k-1) e^(-2k²x²)`.
///
/// 1 for `x <= 0`; NaN stays NaN.
///
/// ```
/// use anchorwatch_detectors::distributions::kolmogorov::kolmogorov_sf;
/// assert!((kolmogorov_sf(1.3581) - 0.05).abs() < 1e-6);
/// ```
#[must_use]
pub fn kolmogorov_sf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x <= 0.0 {
        return 1.0;
    }
    if x < 1.0 {
        return 1.0 - limit_k0(x);
    }
    let term = |k: i32| (-2.0 * f64::from(k * k) * x * x).exp();
    let sum: f64 = (1..=TERMS).map(|k| if k % 2 == 1 { term(k) } else { -term(k) }).sum();
    (2.0 * sum).clamp(0.0, 1.0)
}

/// The distribution function of the limit law, by the series that converges fast for small `z`.
fn limit_k0(z: f64) -> f64 {
    let sum: f64 = (1..=TERMS).map(|k| (-(f64::from(2 * k - 1) * PI / z).powi(2) / 8.0).exp()).sum();
    (2.0 * PI).sqrt() / z * sum
}

/// The chance that the two-sided one-sample statistic `D_n` is at least `d`, at finite `n`.
///
/// Follows Simard and L'Ecuyer (2011): closed forms at both ends, twice the one-sided law in the tail, the matrix of
/// Marsaglia, Tsang and Wang (2003), and the expansion of Pelz and Good (1976). About nine digits or better.
/// `None` if `n` is 0 or `d` is NaN.
#[must_use]
pub fn kstwo_sf(d: f64, n: u64) -> Option<f64> {
    if n == 0 || d.is_nan() {
        return None;
    }
    let size = n as f64;
    let t = size * d;
    let sf = if d >= 1.0 {
        0.0
    } else if t <= 0.5 {
        1.0
    } else if t <= 1.0 {
        1.0 - (ln_gamma(size + 1.0) - size * size.ln() + size * (2.0 * t - 1.0).ln()).exp()
    } else if t >= size - 1.0 {
        2.0 * (1.0 - d).powf(size)
    } else {
        inner_sf(d, n)
    };
    Some(sf.clamp(0.0, 1.0))
}

/// The middle of the range, where no closed form is known.
fn inner_sf(d: f64, n: u64) -> f64 {
    let size = n as f64;
    let deviation = size * d * d;
    let tail_from = if n <= SMALL_N { 4.0 } else { 2.2 };
    if deviation >= 370.0 {
        0.0
    } else if d >= 0.5 || deviation >= tail_from {
        2.0 * one_sided(d, n)
    } else if n <= SMALL_N || (n <= MATRIX_N && size * d.powf(1.5) <= 1.4) {
        1.0 - matrix_cdf(d, n)
    } else {
        1.0 - pelz_good_cdf(d, n)
    }
}

/// The chance that the one-sided one-sample statistic `D_n⁺` is at least `d` (Birnbaum and Tingey 1951), exact.
///
/// `None` if `n` is 0 or `d` is NaN. Cost grows with `n`; beyond a hundred thousand the limit
/// `e^(-2(nd + 1/6)²/n)` stands in, good to some five digits where it matters.
#[must_use]
pub fn smirnov_sf(d: f64, n: u64) -> Option<f64> {
    if n == 0 || d.is_nan() {
        return None;
    }
    if d <= 0.0 {
        return Some(1.0);
    }
    if d >= 1.0 {
        return Some(0.0);
    }
    Some(one_sided(d, n).clamp(0.0, 1.0))
}

fn one_sided(d: f64, n: u64) -> f64 {
    let size = n as f64;
    if n > SUMMED_N {
        return (-2.0 * (size * d + 1.0 / 6.0).powi(2) / size).exp();
    }
    let last = (size * (1.0 - d)).floor() as u64;
    let ln_n = ln_gamma(size + 1.0);
    let term = |j: u64| {
        let j = j as f64;
        let up = d + j / size;
        let down = 1.0 - up;
        if down <= 0.0 {
            return if j == size { d * up.powf(j - 1.0) } else { 0.0 };
        }
        let choose = ln_n - ln_gamma(j + 1.0) - ln_gamma(size - j + 1.0);
        d * (choose + (j - 1.0) * up.ln() + (size - j) * down.ln()).exp()
    };
    (0..=last).map(term).sum()
}

/// `P(D_n < d)` by the matrix power of Marsaglia, Tsang and Wang.
fn matrix_cdf(d: f64, n: u64) -> f64 {
    let size = n as f64;
    let k = (size * d).ceil();
    let order = 2 * k as usize - 1;
    let h = k - size * d;
    let (power, mut exponent) = power_of(&start_matrix(order, h), order, n);
    let middle = k as usize - 1;
    let mut value = power.get(middle * order + middle).copied().unwrap_or(0.0);
    for i in 1..=n {
        value *= i as f64 / size;
        if value < 1e-140 {
            value *= 1e140;
            exponent -= 140;
        }
    }
    value * 10f64.powi(exponent)
}

/// The matrix H of the method: ones on and below the first superdiagonal, corrected at the rim, over factorials.
fn start_matrix(order: usize, h: f64) -> Vec<f64> {
    let mut matrix = vec![0.0; order * order];
    for (place, cell) in matrix.iter_mut().enumerate() {
        let (row, column) = (place / order, place % order);
        if row + 1 < column {
            continue;
        }
        let mut value = 1.0;
        if column == 0 {
            value -= h.powi(row as i32 + 1);
        }
        if row + 1 == order {
            value -= h.powi((order - column) as i32);
        }
        if column == 0 && row + 1 == order && 2.0 * h > 1.0 {
            value += (2.0 * h - 1.0).powi(order as i32);
        }
        *cell = (1..=(row + 1 - column)).fold(value, |value, factor| value / factor as f64);
    }
    matrix
}

/// `base^n` as a matrix and a decimal exponent that keeps its entries in range.
fn power_of(base: &[f64], order: usize, n: u64) -> (Vec<f64>, i32) {
    let (mut square, mut square_exponent) = (base.to_vec(), 0);
    let mut result: Vec<f64> =
        (0..order * order).map(|place| f64::from(u8::from(place / order == place % order))).collect();
    let mut exponent = 0;
    let mut left = n;
    loop {
        if left & 1 == 1 {
            result = multiply(&result, &square, order);
            exponent += square_exponent;
            exponent += rescale(&mut result, order);
        }
        left >>= 1;
        if left == 0 {
            return (result, exponent);
        }
        square = multiply(&square, &square, order);
        square_exponent *= 2;
        square_exponent += rescale(&mut square, order);
    }
}

fn multiply(left: &[f64], right: &[f64], order: usize) -> Vec<f64> {
    let mut product = vec![0.0; order * order];
    for (row, into) in left.chunks_exact(order).zip(product.chunks_exact_mut(order)) {
        for (factor, line) in row.iter().zip(right.chunks_exact(order)) {
            for (cell, value) in into.iter_mut().zip(line) {
                *cell += factor * value;
            }
        }
    }
    product
}

/// Divides by `1e140` when the middle entry has grown beyond it; returns the change of the exponent.
fn rescale(matrix: &mut [f64], order: usize) -> i32 {
    if matrix.get((order / 2) * order + order / 2).is_none_or(|&middle| middle <= 1e140) {
        return 0;
    }
    for cell in matrix {
        *cell *= 1e-140;
    }
    140
}

/// `P(D_n < d)` by the expansion of Pelz and Good to the order `n^(-3/2)`.
fn pelz_good_cdf(d: f64, n: u64) -> f64 {
    let root = (n as f64).sqrt();
    let z = root * d;
    let (z2, z4) = (z * z, z.powi(4));
    let (z6, z8) = (z.powi(6), z.powi(8));
    let half_root = (PI / 2.0).sqrt();
    let (mut k1, mut k2, mut k3) = (0.0, 0.0, 0.0);
    for k in 0..TERMS {
        // Each of these stands for k + 1/2 and for -(k + 1/2).
        let q = (PI * (f64::from(k) + 0.5)).powi(2);
        let weight = 2.0 * (-q / (2.0 * z2)).exp();
        k1 += (q - z2) * weight;
        k2 += ((6.0 * z6 + 2.0 * z4) + q * (2.0 * z4 - 5.0 * z2) + q * q * (1.0 - 2.0 * z2)) * weight;
        let sixth = q.powi(3) * (5.0 - 30.0 * z2) + q * q * (212.0 * z4 - 60.0 * z2);
        k3 += (sixth + q * (135.0 * z4 - 96.0 * z6) - 30.0 * z6 - 90.0 * z8) * weight;
    }
    let (mut k2_whole, mut k3_whole) = (0.0, 0.0);
    for k in 1..TERMS {
        let q = (PI * f64::from(k)).powi(2);
        let weight = 2.0 * (-q / (2.0 * z2)).exp();
        k2_whole += q * weight;
        k3_whole += (3.0 * q * z2 - q * q) * weight;
    }
    let first = half_root * k1 / (6.0 * z4);
    let second = half_root * (k2 / (72.0 * z.powi(7)) - k2_whole / (36.0 * z.powi(3)));
    let third = half_root * (k3 / (6480.0 * z.powi(10)) + k3_whole / (216.0 * z6));
    limit_k0(z) + first / root + second / (root * root) + third / root.powi(3)
}
