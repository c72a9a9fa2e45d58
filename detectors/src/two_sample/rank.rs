//! Rank tests on ordered cells: Mann–Whitney, Cramér–von Mises, Anderson–Darling.
//!
//! Values of one cell count as tied and share their mid-rank, so the tests are those of the data as binned. Not here:
//! the distance between distribution functions (the parent module) and in units of the data ([`super::transport`]).

use crate::counts::total;
use crate::distributions::cramer_von_mises::{limit_cdf, two_sample_exact_sf};
use crate::distributions::normal_sf;

use super::Alternative;

/// A test statistic and its p-value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankTest {
    /// The value of the statistic.
    pub statistic: f64,
    /// The chance of a value at least as extreme without drift, within 0 to 1.
    pub p_value: f64,
}

/// One ordered cell: counts of both profiles in it, and below it.
struct Cell {
    reference: f64,
    window: f64,
    reference_below: f64,
    window_below: f64,
}

impl Cell {
    fn size(&self) -> f64 {
        self.reference + self.window
    }

    /// Mean rank of the cell's values in the pooled order, counted from 1.
    fn midrank(&self) -> f64 {
        self.reference_below + self.window_below + f64::midpoint(self.size(), 1.0)
    }
}

fn cells(reference: &[u64], window: &[u64]) -> impl Iterator<Item = Cell> {
    let (mut reference_below, mut window_below) = (0.0, 0.0);
    reference.iter().zip(window).filter(|(r, w)| **r > 0 || **w > 0).map(move |(&r, &w)| {
        let cell = Cell { reference: r as f64, window: w as f64, reference_below, window_below };
        reference_below += cell.reference;
        window_below += cell.window;
        cell
    })
}

fn sizes(reference: &[u64], window: &[u64]) -> Option<(f64, f64)> {
    let (n, m) = (total(reference), total(window));
    (n > 0 && m > 0 && reference.len() == window.len()).then_some((n as f64, m as f64))
}

/// Mann and Whitney's statistic with the variance its p-values need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannWhitney {
    /// `U` of the reference: pairs in which the reference is larger, ties counting one half.
    pub u: f64,
    /// Size of the reference.
    pub n: f64,
    /// Size of the window.
    pub m: f64,
    /// Standard deviation of `u` without drift, corrected for ties.
    pub deviation: f64,
}

/// Counts the pairs of Mann and Whitney (1947); `None` if a profile is empty or the cells differ in number.
#[must_use]
pub fn mann_whitney(reference: &[u64], window: &[u64]) -> Option<MannWhitney> {
    let (n, m) = sizes(reference, window)?;
    let (mut u, mut ties) = (0.0, 0.0);
    for cell in cells(reference, window) {
        u += cell.reference * (cell.window_below + 0.5 * cell.window);
        ties += cell.size().powi(3) - cell.size();
    }
    let all = n + m;
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    Some(MannWhitney { u, n, m, deviation: variance.max(0.0).sqrt() })
}

impl MannWhitney {
    /// The p-value by the normal approximation with continuity correction; 1 if all values tie.
    ///
    /// `Less` asks whether the reference tends to smaller values than the window, `Greater` to larger ones.
    #[must_use]
    pub fn p_value(&self, alternative: Alternative) -> f64 {
        let other = self.n * self.m - self.u;
        let (u, factor) = match alternative {
            Alternative::TwoSided => (self.u.max(other), 2.0),
            Alternative::Less => (other, 1.0),
            Alternative::Greater => (self.u, 1.0),
        };
        let distance = u - self.n * self.m / 2.0 - 0.5;
        if self.deviation == 0.0 {
            return 1.0;
        }
        (factor * normal_sf(distance / self.deviation)).clamp(0.0, 1.0)
    }

    /// The exact two-sided p-value, which presumes no ties, while `n·m` is at most 2,500; otherwise `None`.
    #[must_use]
    pub fn p_exact(&self) -> Option<f64> {
        let pairs = self.n * self.m;
        if pairs > 2_500.0 {
            return None;
        }
        let counts = arrangements(self.n as usize, self.m as usize);
        let extreme = self.u.max(pairs - self.u).floor() as usize;
        let tail: f64 = counts.iter().skip(extreme).sum();
        Some((2.0 * tail / counts.iter().sum::<f64>()).clamp(0.0, 1.0))
    }

    /// The area under the ROC curve of window against reference: the chance that a window value is the larger.
    #[must_use]
    pub fn probability_window_larger(&self) -> f64 {
        1.0 - self.u / (self.n * self.m)
    }
}

/// How many arrangements of two samples without ties give each `U`, by whose value comes last (Mann and Whitney 1947).
fn arrangements(n: usize, m: usize) -> Vec<f64> {
    let mut tables = vec![vec![1.0]; m + 1];
    for _ in 0..n {
        let mut before = vec![1.0];
        for (of_window, table) in tables.iter_mut().enumerate().skip(1) {
            // The last value is of the reference and exceeds all of the window, or it is of the window.
            let mut sum = vec![0.0; table.len() + of_window];
            for (place, count) in table.iter().enumerate() {
                add_at(&mut sum, place + of_window, *count);
            }
            for (place, count) in before.iter().enumerate() {
                add_at(&mut sum, place, *count);
            }
            before.clone_from(&sum);
            *table = sum;
        }
    }
    tables.pop().unwrap_or_default()
}

fn add_at(counts: &mut [f64], place: usize, count: f64) {
    if let Some(slot) = counts.get_mut(place) {
        *slot += count;
    }
}

/// The two-sample test of Cramér and von Mises with mid-ranks and the limiting p-value (Anderson 1962).
///
/// `None` if a profile is empty or the cells differ in number.
#[must_use]
pub fn cramer_von_mises(reference: &[u64], window: &[u64]) -> Option<RankTest> {
    let (n, m) = sizes(reference, window)?;
    let (product, all) = (n * m, n + m);
    let u = anderson_u(reference, window, n, m);
    let statistic = u / (product * all) - (4.0 * product - 1.0) / (6.0 * all);
    let expected = (1.0 + 1.0 / all) / 6.0;
    let numerator = (all + 1.0) * (4.0 * product * all - 3.0 * (n * n + m * m) - 2.0 * product);
    let deviation = (45.0 * numerator / (45.0 * all * all * 4.0 * product)).sqrt();
    let limit = 1.0 / 6.0 + (statistic - expected) / deviation;
    Some(RankTest { statistic, p_value: (1.0 - limit_cdf(limit)).clamp(0.0, 1.0) })
}

/// What [`cramer_von_mises`] measures, as a size of change: the mean of `(F - G)²` over the pooled values, within 0 to 1.
///
/// Without ties it is the statistic over `n m / (n + m)`; with ties it is 0 where the shares are equal, which the statistic
/// of unequal sizes is not. `None` as there.
#[must_use]
pub fn mean_square_difference(reference: &[u64], window: &[u64]) -> Option<f64> {
    let (n, m) = sizes(reference, window)?;
    let square = |cell: &Cell| {
        let difference = (cell.reference_below + cell.reference) / n - (cell.window_below + cell.window) / m;
        cell.size() * difference * difference
    };
    Some((cells(reference, window).map(|cell| square(&cell)).sum::<f64>() / (n + m)).min(1.0))
}

/// The exact p-value of [`cramer_von_mises`] for samples of at most 20 without ties; `None` for larger ones.
#[must_use]
pub fn cramer_von_mises_exact(reference: &[u64], window: &[u64]) -> Option<f64> {
    let (n, m) = sizes(reference, window)?;
    two_sample_exact_sf(anderson_u(reference, window, n, m), n as u64, m as u64)
}

/// Anderson's `U = n Σ (r_i - i)² + m Σ (s_j - j)²` over the pooled ranks of both samples.
fn anderson_u(reference: &[u64], window: &[u64], n: f64, m: f64) -> f64 {
    let (mut of_reference, mut of_window) = (0.0, 0.0);
    for cell in cells(reference, window) {
        of_reference += squared_shifts(cell.midrank() - cell.reference_below, cell.reference);
        of_window += squared_shifts(cell.midrank() - cell.window_below, cell.window);
    }
    n * of_reference + m * of_window
}

/// `Σ_{i=1}^{count} (shift - i)²`.
fn squared_shifts(shift: f64, count: f64) -> f64 {
    let centre = shift - f64::midpoint(count, 1.0);
    count * centre * centre + count * (count * count - 1.0) / 12.0
}

/// Which form of the Anderson–Darling statistic treats ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AndersonDarling {
    /// Scholz and Stephens' (1987) eq. 7: half of the ties count as below.
    Midrank,
    /// Their eq. 6: the right-continuous distribution function.
    Right,
}

/// The normalised Anderson–Darling statistic of two samples (Scholz and Stephens 1987), p clipped to 0.001–0.25.
///
/// `None` if a profile is empty, all values tie, or the cells differ in number.
#[must_use]
pub fn anderson_darling(reference: &[u64], window: &[u64], variant: AndersonDarling) -> Option<RankTest> {
    let (n, m) = sizes(reference, window)?;
    let statistic = (anderson_darling_square(reference, window, variant)? - 1.0) / a2_deviation(n, m);
    Some(RankTest { statistic, p_value: anderson_darling_p(statistic) })
}

/// `A²` before it is normalised, which needs no pass over the numbers up to the size; about 1 without drift, and `None` as
/// for [`anderson_darling`].
#[must_use]
pub fn anderson_darling_square(reference: &[u64], window: &[u64], variant: AndersonDarling) -> Option<f64> {
    let (n, m) = sizes(reference, window)?;
    if cells(reference, window).count() < 2 || n + m < 4.0 {
        return None;
    }
    Some(match variant {
        AndersonDarling::Midrank => a2_midrank(reference, window, n, m),
        AndersonDarling::Right => a2_right(reference, window, n, m),
    })
}

fn a2_midrank(reference: &[u64], window: &[u64], n: f64, m: f64) -> f64 {
    let all = n + m;
    let (mut of_reference, mut of_window) = (0.0, 0.0);
    for cell in cells(reference, window) {
        let size = cell.size();
        let below = cell.reference_below + cell.window_below + size / 2.0;
        let scale = size / all / (below * (all - below) - all * size / 4.0);
        of_reference += scale * (all * (cell.reference_below + cell.reference / 2.0) - below * n).powi(2);
        of_window += scale * (all * (cell.window_below + cell.window / 2.0) - below * m).powi(2);
    }
    (all - 1.0) / all * (of_reference / n + of_window / m)
}

fn a2_right(reference: &[u64], window: &[u64], n: f64, m: f64) -> f64 {
    let all = n + m;
    let (mut of_reference, mut of_window) = (0.0, 0.0);
    for cell in cells(reference, window) {
        let up_to = cell.reference_below + cell.window_below + cell.size();
        if up_to >= all {
            break;
        }
        let scale = cell.size() / all / (up_to * (all - up_to));
        of_reference += scale * (all * (cell.reference_below + cell.reference) - up_to * n).powi(2);
        of_window += scale * (all * (cell.window_below + cell.window) - up_to * m).powi(2);
    }
    of_reference / n + of_window / m
}

/// The standard deviation of the statistic for two samples, from eq. 4 and 5 of Scholz and Stephens.
fn a2_deviation(n: f64, m: f64) -> f64 {
    let (all, k) = (n + m, 2.0);
    let inverse_sizes = 1.0 / n + 1.0 / m;
    let (h, g) = harmonic_sums(all);
    let a = (4.0 * g - 6.0) * (k - 1.0) + (10.0 - 6.0 * g) * inverse_sizes;
    let b = (2.0 * g - 4.0) * k * k + 8.0 * h * k + (2.0 * g - 14.0 * h - 4.0) * inverse_sizes - 8.0 * h
        + 4.0 * g
        - 6.0;
    let c = (6.0 * h + 2.0 * g - 2.0) * k * k
        + (4.0 * h - 4.0 * g + 6.0) * k
        + (2.0 * h - 6.0) * inverse_sizes
        + 4.0 * h;
    let d = (2.0 * h + 6.0) * k * k - 4.0 * h * k;
    let numerator = ((a * all + b) * all + c) * all + d;
    (numerator / ((all - 1.0) * (all - 2.0) * (all - 3.0))).sqrt()
}

/// `h = Σ 1/i` and `g = ΣΣ_{i<j} 1/((N - i) j)` below `N`; beyond a million by their asymptotic forms.
fn harmonic_sums(all: f64) -> (f64, f64) {
    if all > 1e6 {
        let h = (all - 1.0).ln() + 0.577_215_664_901_532_9 + 0.5 / (all - 1.0);
        return (h, std::f64::consts::PI.powi(2) / 6.0);
    }
    let (mut h, mut g) = (0.0, 0.0);
    for i in (1..all as u64).rev() {
        g += h / (all - i as f64);
        h += 1.0 / i as f64;
    }
    (h, g)
}

/// Interpolates the p-value by a quadratic in the logarithm of the tabled levels, least squares, as `SciPy` does.
fn anderson_darling_p(statistic: f64) -> f64 {
    // Table 2 of Scholz and Stephens at k = 2: b0 + b1 + b2.
    const B0: [f64; 7] = [0.675, 1.281, 1.645, 1.96, 2.326, 2.573, 3.085];
    const B1: [f64; 7] = [-0.245, 0.25, 0.678, 1.149, 1.822, 2.364, 3.615];
    const B2: [f64; 7] = [-0.105, -0.305, -0.362, -0.391, -0.396, -0.345, -0.154];
    const LEVELS: [f64; 7] = [0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001];
    let critical: [f64; 7] = std::array::from_fn(|level| B0[level] + B1[level] + B2[level]);
    if statistic < critical[0] {
        return LEVELS[0];
    }
    if statistic > critical[6] {
        return LEVELS[6];
    }
    let [c0, c1, c2] = quadratic_fit(&critical, &LEVELS.map(f64::ln));
    (c0 + statistic * (c1 + statistic * c2)).exp()
}

/// Least-squares coefficients of `c0 + c1 x + c2 x²`, by the normal equations on centred abscissae.
fn quadratic_fit(x: &[f64; 7], y: &[f64; 7]) -> [f64; 3] {
    let mean = x.iter().sum::<f64>() / 7.0;
    let moment = |power: i32| x.iter().map(|x| (x - mean).powi(power)).sum::<f64>();
    let right = |power: i32| x.iter().zip(y).map(|(x, y)| (x - mean).powi(power) * y).sum::<f64>();
    let (s2, s3, s4) = (moment(2), moment(3), moment(4));
    let (t0, t1, t2) = (right(0), right(1), right(2));
    // With Σ(x - mean) = 0 the system has two unknowns once the constant is eliminated.
    let (p, q) = (s4 - s2 * s2 / 7.0, t2 - s2 * t0 / 7.0);
    let determinant = s2 * p - s3 * s3;
    let (slope, curve) = ((t1 * p - s3 * q) / determinant, (s2 * q - s3 * t1) / determinant);
    let constant = (t0 - s2 * curve) / 7.0;
    [constant - slope * mean + curve * mean * mean, slope - 2.0 * curve * mean, curve]
}
