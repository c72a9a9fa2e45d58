//! The two-sample test of Epps and Singleton (1986) on empirical characteristic functions.
//!
//! Sees differences of shape that rank tests miss, also in discrete data. Not here: tests on distribution functions
//! ([`crate::two_sample`]).

use super::{pairwise_sum, quantile_linear, sorted};
use crate::distributions::chi_square_sf;

/// Real and imaginary parts at two points.
const PARTS: usize = 4;
/// Fewest values of a sample for which the covariance means anything.
const FEWEST: usize = 5;
/// Sweeps of Jacobi's method; four suffice for a matrix of this size.
const SWEEPS: usize = 30;
/// Eigenvalues below this share of the largest count as zero, as in `NumPy`'s pseudo-inverse.
const NEGLIGIBLE: f64 = 1e-15;

type Vector = [f64; PARTS];
type Matrix = [Vector; PARTS];

/// The statistic of Epps and Singleton and its law.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EppsSingleton {
    /// The quadratic form `W`, with the small-sample correction below 25 values.
    pub statistic: f64,
    /// Rank of the covariance: degrees of freedom of the chi-square law.
    pub df: usize,
    /// The chance of a statistic at least as large without drift.
    pub p_value: f64,
}

/// Compares two samples at the points `t`, in units of half the pooled interquartile range; `[0.4, 0.8]` is customary.
///
/// NaN are dropped. `None` if a sample has fewer than five values or an infinite one, if the pooled quartiles are equal,
/// or if nothing varies.
#[must_use]
pub fn epps_singleton(reference: &[f64], window: &[f64], t: [f64; 2]) -> Option<EppsSingleton> {
    let pooled = sorted(&[reference, window].concat());
    let scale = (quantile_linear(&pooled, 0.75)? - quantile_linear(&pooled, 0.25)?) / 2.0;
    let points = t.map(|t| t / scale);
    if !points.iter().all(|point| point.is_finite()) || !pooled.iter().all(|x| x.is_finite()) {
        return None;
    }
    let (left, right) = (Side::new(reference, points)?, Side::new(window, points)?);
    let (n, m) = (left.size, right.size);
    let covariance =
        matrix(|i, j| (n + m) / n * left.covariance(i, j) + (n + m) / m * right.covariance(i, j));
    let difference: Vector = std::array::from_fn(|i| left.means[i] - right.means[i]);
    let (form, df) = inverse_form(covariance, &difference)?;
    let statistic = (n + m) * form * small_sample_correction(n, m);
    Some(EppsSingleton { statistic, df, p_value: chi_square_sf(statistic, df as f64)? })
}

fn small_sample_correction(n: f64, m: f64) -> f64 {
    if n.max(m) >= 25.0 {
        return 1.0;
    }
    1.0 / (1.0 + (n + m).powf(-0.45) + 10.1 * (n.powf(-1.7) + m.powf(-1.7)))
}

/// One sample's characteristic function at the points: means, and deviations from them.
struct Side {
    size: f64,
    means: Vector,
    deviations: [Vec<f64>; PARTS],
}

impl Side {
    fn new(sample: &[f64], points: [f64; 2]) -> Option<Self> {
        let values: Vec<f64> = sample.iter().copied().filter(|x| !x.is_nan()).collect();
        if values.len() < FEWEST {
            return None;
        }
        let [first, second] = points;
        let mut deviations = [
            values.iter().map(|x| (first * x).cos()).collect::<Vec<f64>>(),
            values.iter().map(|x| (second * x).cos()).collect(),
            values.iter().map(|x| (first * x).sin()).collect(),
            values.iter().map(|x| (second * x).sin()).collect(),
        ];
        let size = values.len() as f64;
        let means: Vector = std::array::from_fn(|i| pairwise_sum(&deviations[i]) / size);
        for (part, mean) in deviations.iter_mut().zip(means) {
            part.iter_mut().for_each(|value| *value -= mean);
        }
        Some(Self { size, means, deviations })
    }

    fn covariance(&self, i: usize, j: usize) -> f64 {
        let products = self.deviations[i].iter().zip(&self.deviations[j]).map(|(a, b)| a * b);
        products.sum::<f64>() / self.size
    }
}

fn matrix(entry: impl Fn(usize, usize) -> f64) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| entry(i, j)))
}

/// `vᵀ M⁺ v` with the pseudo-inverse of a symmetric matrix, and its rank; `None` if the matrix is zero.
fn inverse_form(matrix: Matrix, vector: &Vector) -> Option<(f64, usize)> {
    let (values, vectors) = eigen(matrix);
    let largest = values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let mut form = 0.0;
    let mut rank = 0;
    for (index, &value) in values.iter().enumerate() {
        if value.abs() > NEGLIGIBLE * largest {
            let along: f64 = vectors.iter().zip(vector).map(|(row, entry)| row[index] * entry).sum();
            form += along * along / value;
            rank += 1;
        }
    }
    (rank > 0).then_some((form, rank))
}

/// Eigenvalues of a symmetric matrix and its eigenvectors as columns, by Jacobi's rotations.
fn eigen(mut a: Matrix) -> (Vector, Matrix) {
    let mut vectors = matrix(|i, j| f64::from(u8::from(i == j)));
    for _ in 0..SWEEPS {
        for p in 0..PARTS {
            for q in p + 1..PARTS {
                if a[p][q] != 0.0 {
                    rotate(&mut a, &mut vectors, p, q);
                }
            }
        }
    }
    (std::array::from_fn(|i| a[i][i]), vectors)
}

/// Turns the plane of `p` and `q` so that their entry becomes zero.
fn rotate(a: &mut Matrix, vectors: &mut Matrix, p: usize, q: usize) {
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let turn = |x: &mut f64, y: &mut f64| (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
    for row in a.iter_mut().chain(vectors.iter_mut()) {
        let (mut x, mut y) = (row[p], row[q]);
        turn(&mut x, &mut y);
        (row[p], row[q]) = (x, y);
    }
    let (upper, lower) = a.split_at_mut(q);
    for (x, y) in upper[p].iter_mut().zip(&mut lower[0]) {
        turn(x, y);
    }
    (a[p][q], a[q][p]) = (0.0, 0.0);
}
