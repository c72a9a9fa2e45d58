//! The counting state of a numeric profile together with the sum of the values inside each gap.
//!
//! Counts alone give every statistic of order; the sums, kept as fixed-point integers, add a Wasserstein distance that is
//! exact or nearly so. Not here: panes, time, and counts of missing values.
//!
//! * G-1: merging is associative and commutative, so any grouping of partitions and panes gives the same state.
//! * G-2: subtracting a merged state restores the one before, bit for bit.

use crate::binning::NumericBinning;
use crate::counts::{CountsError, checked_merge, subtract};
use crate::two_sample::transport::{WassersteinBounds, wasserstein_with_means};

/// Bits of a sum below the leading bit of the largest knot.
const FRACTION_BITS: i32 = 72;
/// A single value is cut off at this power of two of units, so that `2^31` of them fit an `i128`.
const VALUE_BITS: i32 = 96;

/// Counts per cell and sums per gap of one numeric column.
///
/// ```
/// use anchorwatch_detectors::{gap_tie::GapTie, NumericBinning};
/// let binning = NumericBinning::new(vec![1.0, 2.0])?;
/// let mut state = GapTie::new(&binning);
/// for value in [1.0, 1.25, 1.75] {
///     state.add(&binning, value);
/// }
/// assert_eq!(state.counts(), [0, 1, 2, 0, 0]);
/// assert_eq!(state.gap_means(&binning)[1], 1.5);
/// # Ok::<(), anchorwatch_detectors::BinningError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapTie {
    counts: Vec<u64>,
    sums: Vec<i128>,
}

impl GapTie {
    /// The empty state of a binning.
    #[must_use]
    pub fn new(binning: &NumericBinning) -> Self {
        Self { counts: vec![0; binning.cells()], sums: vec![0; binning.knots().len() + 1] }
    }

    /// Takes counts and sums that [`GapTie::counts`] and [`GapTie::sums`] of a state of the same binning gave.
    ///
    /// # Errors
    /// When there is not one count per cell and one sum per gap.
    pub fn from_parts(
        binning: &NumericBinning,
        counts: Vec<u64>,
        sums: Vec<i128>,
    ) -> Result<Self, CountsError> {
        for (left, right) in [(counts.len(), binning.cells()), (sums.len(), binning.knots().len() + 1)] {
            if left != right {
                return Err(CountsError::LengthMismatch { left, right });
            }
        }
        Ok(Self { counts, sums })
    }

    /// Counts a finite value; anything else is ignored, as is a value whose cell this state does not have.
    ///
    /// A sum is exact to 72 bits below the largest knot; a value over 16 million times that knot enters it cut off.
    pub fn add(&mut self, binning: &NumericBinning, value: f64) {
        let cell = binning.cell(value);
        if !value.is_finite() {
            return;
        }
        if let Some(count) = self.counts.get_mut(cell) {
            *count = count.saturating_add(1);
        }
        if let (0, Some(sum)) = (cell % 2, self.sums.get_mut(cell / 2)) {
            let limit = 2f64.powi(VALUE_BITS);
            *sum = sum.wrapping_add(shift(value, -exponent(binning)).clamp(-limit, limit) as i128);
        }
    }

    /// The counts, one per cell of the binning.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The sums of the values inside each gap, in fixed-point units that depend on the binning alone.
    #[must_use]
    pub fn sums(&self) -> &[i128] {
        &self.sums
    }

    /// Adds another state of the same binning; on an error this one is unchanged.
    ///
    /// # Errors
    /// When the states have different cells or a count would overflow.
    pub fn merge(&mut self, other: &Self) -> Result<(), CountsError> {
        checked_merge(&mut self.counts, &other.counts)?;
        for (sum, other) in self.sums.iter_mut().zip(&other.sums) {
            *sum = sum.wrapping_add(*other);
        }
        Ok(())
    }

    /// Takes away a state that was merged before; on an error this one is unchanged.
    ///
    /// # Errors
    /// When the states have different cells or a count would fall below zero.
    pub fn subtract(&mut self, other: &Self) -> Result<(), CountsError> {
        subtract(&mut self.counts, &other.counts)?;
        for (sum, other) in self.sums.iter_mut().zip(&other.sums) {
            *sum = sum.wrapping_sub(*other);
        }
        Ok(())
    }

    /// The mean of the values inside each gap, lowest gap first; 0 for an empty gap.
    #[must_use]
    pub fn gap_means(&self, binning: &NumericBinning) -> Vec<f64> {
        let exponent = exponent(binning);
        let gaps = self.counts.iter().step_by(2);
        let mean = |(&count, &sum): (&u64, &i128)| {
            if count == 0 { 0.0 } else { shift(sum as f64 / count as f64, exponent) }
        };
        gaps.zip(&self.sums).map(mean).collect()
    }

    /// Bounds of the Wasserstein-1 distance of this window from reference counts over the same binning.
    ///
    /// Close when each distinct reference value is a knot; `None` if either is empty or the cells differ.
    #[must_use]
    pub fn wasserstein(&self, binning: &NumericBinning, reference: &[u64]) -> Option<WassersteinBounds> {
        wasserstein_with_means(binning, reference, &self.counts, &self.gap_means(binning))
    }
}

/// The exponent of the fixed-point unit: 72 bits below the largest knot, the same for all states of a binning.
fn exponent(binning: &NumericBinning) -> i32 {
    let ends = [binning.knots().first(), binning.knots().last()];
    let largest = ends.into_iter().flatten().fold(0.0f64, |largest, knot| largest.max(knot.abs()));
    let leading = if largest > 0.0 { largest.log2().ceil() as i32 } else { 0 };
    leading - FRACTION_BITS
}

/// `value · 2^exponent`, in two steps since the power alone may leave the range of `f64`.
fn shift(value: f64, exponent: i32) -> f64 {
    let half = exponent / 2;
    value * 2f64.powi(half) * 2f64.powi(exponent - half)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state(binning: &NumericBinning, values: &[f64]) -> GapTie {
        let mut state = GapTie::new(binning);
        values.iter().for_each(|&value| state.add(binning, value));
        state
    }

    #[test]
    fn states_of_different_binnings_do_not_mix() {
        let [one, two] =
            [vec![1.0], vec![1.0, 2.0]].map(|knots| GapTie::new(&NumericBinning::new(knots).unwrap()));
        let mut left = one.clone();
        assert!(left.merge(&two).is_err() && left.subtract(&two).is_err());
        let binning = NumericBinning::new(vec![1.0]).unwrap();
        assert!(GapTie::from_parts(&binning, two.counts.clone(), one.sums.clone()).is_err());
        assert!(GapTie::from_parts(&binning, one.counts.clone(), two.sums.clone()).is_err());
        assert_eq!(GapTie::from_parts(&binning, one.counts.clone(), one.sums.clone()), Ok(one.clone()));
        assert_eq!(left, one);
    }

    #[test]
    fn no_value_makes_a_state_panic() {
        for knots in [vec![], vec![0.0], vec![5e-324], vec![f64::MIN, f64::MAX]] {
            let binning = NumericBinning::new(knots).unwrap();
            let all = [f64::NAN, f64::INFINITY, f64::MAX, f64::MIN, 5e-324, -0.0, 1.0];
            let state = state(&binning, &all);
            assert_eq!(state.counts().iter().sum::<u64>(), 5);
            assert_eq!(state.gap_means(&binning).len(), binning.knots().len() + 1);
        }
    }

    proptest! {
        #[test]
        fn g1_g2_merging_is_exact_and_undone_by_subtracting(
            a in proptest::collection::vec(-9.0f64..9.0, 0..40),
            b in proptest::collection::vec(-9.0f64..9.0, 0..40),
        ) {
            let binning = NumericBinning::new(vec![-3.0, 0.5, 7.0]).unwrap();
            let whole = state(&binning, &[a.clone(), b.clone()].concat());
            let (left, right) = (state(&binning, &a), state(&binning, &b));
            let mut merged = right.clone();
            merged.merge(&left).unwrap();
            prop_assert_eq!(&merged, &whole);
            merged.subtract(&right).unwrap();
            prop_assert_eq!(merged, left);
        }
    }
}
