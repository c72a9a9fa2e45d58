//! Maximum mean discrepancy by random Fourier features (Rahimi and Recht 2007): sums, so mergeable and subtractable.
//!
//! Each row becomes `D` numbers `sqrt(2/D) cos(w·x + b)` whose inner products approximate a Gaussian kernel; the squared
//! distance of the means approximates the discrepancy with error about `1/sqrt(D)`. The directions follow from a seed, the
//! same for reference and windows. Not here: the exact estimate ([`super::mmd`]).

use crate::counts::CountsError;
use crate::fixed_point::{FixedPoint, merge_sums, subtract_sums};

use super::linear::dot;
use super::{RowError, check_row};

/// Features are summed exactly to `2^-60`.
const UNIT: FixedPoint = FixedPoint::new(-60);

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
