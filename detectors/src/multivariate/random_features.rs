//! Maximum mean discrepancy by random Fourier features (Rahimi and Recht 2007): sums, so mergeable and subtractable.
//!
//! Each row becomes `D` numbers `sqrt(2/D) cos(w·x + b)` whose inner products approximate a Gaussian kernel; the squared
//! distance of the means approximates the discrepancy with error about `1/sqrt(D)`. The directions follow from a seed, the
//! same for reference and windows. Not here: the exact estimate ([`super::mmd`]).

use crate::counts::CountsError;
use crate::distributions::chi_square_isf;
use crate::fixed_point::{FixedPoint, merge_sums, subtract_sums};

use super::linear::dot;
use super::{RowError, check_row};

/// Features are summed exactly to `2^-60`.
const UNIT: FixedPoint = FixedPoint::new(-60);

/// Variance of all features together up to which rows are the same but for rounding.
const SAME: f64 = 1e-12;

/// Degrees of freedom from which a chi-square variable is as good as normal.
const MOST_FREEDOM: f64 = 1e6;

/// The random directions and phases of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomFeatures {
    weights: Vec<Vec<f64>>,
    phases: Vec<f64>,
    dimensions: usize,
}

impl RandomFeatures {
    /// `features` random directions for rows of `dimensions` numbers and the kernel `exp(-d² / (2 σ²))`.
    ///
    /// `None` without features or dimensions, or unless `sigma` is finite and above 0.
    #[must_use]
    pub fn new(dimensions: usize, features: usize, sigma: f64, seed: u64) -> Option<Self> {
        if dimensions == 0 || features == 0 || !(sigma.is_finite() && sigma > 0.0) {
            return None;
        }
        let mut random = SplitMix64(seed);
        let weights =
            (0..features).map(|_| (0..dimensions).map(|_| random.normal() / sigma).collect()).collect();
        let phases = (0..features).map(|_| random.uniform() * std::f64::consts::TAU).collect();
        Some(Self { weights, phases, dimensions })
    }

    /// Directions and phases, feature by feature.
    pub fn directions(&self) -> impl Iterator<Item = (&[f64], f64)> {
        self.weights.iter().map(Vec::as_slice).zip(self.phases.iter().copied())
    }

    /// The features of a row.
    ///
    /// # Errors
    /// When the row has another length or a value that is not finite.
    pub fn of_row(&self, row: &[f64]) -> Result<Vec<f64>, RowError> {
        check_row(row, self.dimensions)?;
        let scale = (2.0 / self.phases.len() as f64).sqrt();
        let feature = |(weights, phase): (&Vec<f64>, &f64)| scale * (dot(weights, row) + phase).cos();
        Ok(self.weights.iter().zip(&self.phases).map(feature).collect())
    }
}

impl RandomFeatures {
    /// What the squared distance between the mean features of `n` and of `m` rows like these passes with chance `p`, over
    /// `1/n + 1/m`. It is a sum of squared normal variables weighted by the eigenvalues of the features' covariance; a
    /// chi-square variable with its mean, variance and skewness stands in for it (Imhof 1961, section 4). The moments are
    /// estimated without bias, the higher ones from products of rows that differ.
    ///
    /// `None` with fewer than four rows, rows that do not fit or do not differ, or unless `p` is between 0 and 1.
    #[must_use]
    pub fn seldom(&self, rows: &[Vec<f64>], p: f64) -> Option<f64> {
        let mut features = rows.iter().map(|row| self.of_row(row)).collect::<Result<Vec<_>, _>>().ok()?;
        let n = features.len() as f64;
        if n < 4.0 {
            return None;
        }
        for feature in 0..self.phases.len() {
            let mean = features.iter().map(|row| row[feature]).sum::<f64>() / n;
            features.iter_mut().for_each(|row| row[feature] -= mean);
        }
        let first = features.iter().map(|row| dot(row, row)).sum::<f64>() / (n - 1.0);
        let products: Vec<Vec<f64>> = (0..features.len())
            .map(|i| {
                let of_rows = |j: usize| if i == j { 0.0 } else { dot(&features[i], &features[j]) };
                (0..features.len()).map(of_rows).collect()
            })
            .collect();
        let (mut second, mut third) = (0.0, 0.0);
        for (i, row) in products.iter().enumerate() {
            for (product, other) in row.iter().zip(&products).take(i) {
                second += 2.0 * product * product;
                third += 2.0 * product * dot(row, other);
            }
        }
        let (second, third) = (second / (n * (n - 1.0)), third / (n * (n - 1.0) * (n - 2.0)));
        if first <= SAME || second <= 0.0 {
            return None;
        }
        // The most skewed sum has one term; that of very many equal ones is normal.
        let freedom = (second.powi(3) / third.max(0.0).powi(2)).clamp(1.0, MOST_FREEDOM);
        let square = chi_square_isf(p, freedom)?;
        Some(first + (square - freedom) * (second / freedom).sqrt())
    }
}

/// What a pane remembers of rows: 16 bytes per feature; merges and subtracts exactly.
///
/// ```
/// use anchorwatch_detectors::multivariate::{FeatureSums, RandomFeatures};
/// let features = RandomFeatures::new(1, 256, 0.5, 7).expect("a sound kernel");
/// let sums = |shift: f64| {
///     let mut sums = FeatureSums::new(&features);
///     (0..200).try_for_each(|i| sums.add(&features, &[f64::from(i) / 200.0 + shift])).expect("finite rows");
///     sums
/// };
/// let (near, far) = (sums(0.0).mmd2(&sums(0.01)), sums(0.0).mmd2(&sums(1.0)));
/// assert!(near.expect("rows") < 0.01 && far.expect("rows") > 0.3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureSums {
    count: u64,
    sums: Vec<i128>,
    /// Sum of the squared lengths of the feature vectors, which makes the estimate unbiased.
    lengths: i128,
}

impl FeatureSums {
    /// The empty state.
    #[must_use]
    pub fn new(features: &RandomFeatures) -> Self {
        Self { count: 0, sums: vec![0; features.phases.len()], lengths: 0 }
    }

    /// Counts a row.
    ///
    /// # Errors
    /// When the row has another length or a value that is not finite; it is then not counted.
    pub fn add(&mut self, features: &RandomFeatures, row: &[f64]) -> Result<(), RowError> {
        let of_row = features.of_row(row)?;
        // A finite row can still overflow in the product with a direction.
        check_row(&of_row, self.sums.len())?;
        let units: Vec<i128> = of_row.iter().map(|&feature| UNIT.units(feature)).collect();
        self.count = self.count.saturating_add(1);
        merge_sums(&mut self.sums, &units);
        self.lengths = self.lengths.wrapping_add(UNIT.units(dot(&of_row, &of_row)));
        Ok(())
    }

    /// How many rows were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds another state of the same features; on an error this one is unchanged.
    ///
    /// # Errors
    /// When the states have different features.
    pub fn merge(&mut self, other: &Self) -> Result<(), CountsError> {
        self.check(other)?;
        self.count = self.count.saturating_add(other.count);
        merge_sums(&mut self.sums, &other.sums);
        self.lengths = self.lengths.wrapping_add(other.lengths);
        Ok(())
    }

    /// Takes away a state that was merged before; on an error this one is unchanged.
    ///
    /// # Errors
    /// When the states have different features or the other one holds more rows.
    pub fn subtract(&mut self, other: &Self) -> Result<(), CountsError> {
        self.check(other)?;
        self.count = self.count.checked_sub(other.count).ok_or(CountsError::Underflow { cell: 0 })?;
        subtract_sums(&mut self.sums, &other.sums);
        self.lengths = self.lengths.wrapping_sub(other.lengths);
        Ok(())
    }

    fn check(&self, other: &Self) -> Result<(), CountsError> {
        let (left, right) = (self.sums.len(), other.sums.len());
        if left == right { Ok(()) } else { Err(CountsError::LengthMismatch { left, right }) }
    }

    /// The unbiased estimate of the squared discrepancy between two states of the same features.
    ///
    /// Below 0 by chance if nothing changed; its expectation does not grow as windows shrink. `None` with fewer than two
    /// rows on a side or other features.
    #[must_use]
    pub fn mmd2(&self, window: &Self) -> Option<f64> {
        if self.count < 2 || window.count < 2 || self.check(window).is_err() {
            return None;
        }
        let real = |state: &Self| -> Vec<f64> { state.sums.iter().map(|&sum| UNIT.value(sum)).collect() };
        let inside = |state: &Self, sums: &[f64]| {
            let n = state.count as f64;
            (dot(sums, sums) - UNIT.value(state.lengths)) / (n * (n - 1.0))
        };
        let (a, b) = (real(self), real(window));
        let across = dot(&a, &b) / (self.count as f64 * window.count as f64);
        Some(inside(self, &a) + inside(window, &b) - 2.0 * across)
    }
}

/// A small generator of known quality (Steele, Lea and Flood 2014), so that a seed means the same everywhere.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Within 0 to below 1.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 * 2f64.powi(-53)
    }

    /// Standard normal, by Box and Muller (1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::multivariate::{Bandwidth, mmd2_unbiased};

    fn sums(features: &RandomFeatures, rows: &[Vec<f64>]) -> FeatureSums {
        let mut sums = FeatureSums::new(features);
        rows.iter().for_each(|row| sums.add(features, row).unwrap());
        sums
    }

    #[test]
    fn a_kernel_needs_a_width() {
        for sigma in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(RandomFeatures::new(2, 8, sigma, 1), None);
        }
        let features = RandomFeatures::new(1, 8, 1e-300, 1).unwrap();
        assert!(FeatureSums::new(&features).add(&features, &[1e300]).is_err());
        assert_eq!(FeatureSums::new(&features).mmd2(&FeatureSums::new(&features)), None);
    }

    #[test]
    fn many_features_come_near_the_exact_estimate() {
        let rows = |shift: f64| -> Vec<Vec<f64>> {
            (0..120)
                .map(|i| vec![f64::from(i * 37 % 101) / 30.0 + shift, f64::from(i * 53 % 97) / 30.0])
                .collect()
        };
        let features = RandomFeatures::new(2, 4_096, 1.0, 11).unwrap();
        let fast = sums(&features, &rows(0.0)).mmd2(&sums(&features, &rows(0.7))).unwrap();
        let exact = mmd2_unbiased(&rows(0.0), &rows(0.7), Bandwidth::Sigma(1.0)).unwrap();
        assert!((fast - exact).abs() < 0.02, "{fast} {exact}");
    }

    #[test]
    fn what_chance_does_follows_from_the_directions_in_which_rows_vary() {
        let mut random = SplitMix64(3);
        let mut rows = |columns: usize| -> Vec<Vec<f64>> {
            (0..400).map(|_| (0..columns).map(|_| random.normal()).collect()).collect()
        };
        let seldom = |rows: &[Vec<f64>], sigma: f64| {
            let features = RandomFeatures::new(rows[0].len(), 256, sigma, 5).unwrap();
            let of_rows: Vec<Vec<f64>> = rows.iter().map(|row| features.of_row(row).unwrap()).collect();
            let n = rows.len() as f64;
            let variance = |feature: usize| {
                let mean = of_rows.iter().map(|row| row[feature]).sum::<f64>() / n;
                of_rows.iter().map(|row| (row[feature] - mean).powi(2)).sum::<f64>() / (n - 1.0)
            };
            features.seldom(rows, 0.001).unwrap() / (0..256).map(variance).sum::<f64>()
        };
        // A wide kernel sees little but the mean of each column: chi-square of as many degrees of freedom as columns.
        let (one, six) = (rows(1), rows(6));
        let of = |freedom: f64| chi_square_isf(0.001, freedom).unwrap() / freedom;
        assert!((seldom(&one, 20.0) / of(1.0) - 1.0).abs() < 0.05, "{} {}", seldom(&one, 20.0), of(1.0));
        assert!((seldom(&six, 60.0) / of(6.0) - 1.0).abs() < 0.1, "{} {}", seldom(&six, 60.0), of(6.0));
        assert!(seldom(&six, 1.0) < of(20.0), "a narrow one sees more");
        let features = RandomFeatures::new(1, 8, 1.0, 1).unwrap();
        assert_eq!(features.seldom(&vec![vec![1.0]; 9], 0.001), None, "rows that do not differ");
        assert_eq!(features.seldom(&one[..3], 0.001), None);
        assert_eq!(features.seldom(&six, 0.001), None, "rows of other columns");
        assert_eq!(features.seldom(&one, 1.0), None);
    }

    proptest! {
        #[test]
        fn sums_merge_in_any_order_and_subtract(
            rows in proptest::collection::vec(proptest::collection::vec(-9.0f64..9.0, 2), 1..30), cut in 0usize..30,
        ) {
            let features = RandomFeatures::new(2, 16, 2.0, 5).unwrap();
            let (left, right) = rows.split_at(cut.min(rows.len()));
            let mut merged = sums(&features, right);
            merged.merge(&sums(&features, left)).unwrap();
            prop_assert_eq!(&merged, &sums(&features, &rows));
            merged.subtract(&sums(&features, left)).unwrap();
            prop_assert_eq!(merged, sums(&features, right));
        }
    }
}
