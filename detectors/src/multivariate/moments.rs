//! Mean and covariance of rows, from raw rows or from a mergeable state of fixed-point sums.
//!
//! The state counts rows in units of the reference's spread around its mean, so that sums stay small and exact. Not here:
//! what is compared ([`mod@super::hotelling`], [`super::correlation`]).

use crate::counts::CountsError;
use crate::fixed_point::{FixedPoint, merge_sums, subtract_sums};

use super::{RowError, check_row, sound_rows};

/// Sums of scaled values and of their products are exact to `2^-60`.
const UNIT: FixedPoint = FixedPoint::new(-60);
/// Scaled values are held within this many spreads, so that products of a billion rows fit.
const FARTHEST: f64 = 65_536.0;

/// Where a reference lies and how far it spreads, per dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    centre: Vec<f64>,
    spread: Vec<f64>,
}

impl Scaling {
    /// The mean and population deviation of each column; a column without spread has spread 1. `None` without rows.
    #[must_use]
    pub fn of_rows(rows: &[Vec<f64>]) -> Option<Self> {
        Gaussian::of_rows(rows).map(|gaussian| gaussian.scaling())
    }

    /// The number of dimensions.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.centre.len()
    }

    /// The mean per dimension.
    #[must_use]
    pub fn centre(&self) -> &[f64] {
        &self.centre
    }

    /// The population deviation per dimension; 1 where it is 0.
    #[must_use]
    pub fn spread(&self) -> &[f64] {
        &self.spread
    }

    /// The row in spreads from the centre.
    ///
    /// # Errors
    /// When the row has another length or a value that is not finite.
    pub fn scaled(&self, row: &[f64]) -> Result<Vec<f64>, RowError> {
        check_row(row, self.dimensions())?;
        let scales = self.centre.iter().zip(&self.spread);
        Ok(row.iter().zip(scales).map(|(x, (centre, spread))| (x - centre) / spread).collect())
    }
}

/// Size, mean and sample covariance of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussian {
    /// How many rows.
    pub count: u64,
    /// Mean per dimension.
    pub mean: Vec<f64>,
    /// Covariance by `n - 1`, as rows; zero for a single row.
    pub covariance: Vec<Vec<f64>>,
}

impl Gaussian {
    /// Two passes over raw rows; `None` if none is sound.
    ///
    /// ```
    /// use anchorwatch_detectors::multivariate::Gaussian;
    /// let rows = [vec![1.0, 2.0], vec![3.0, 6.0]];
    /// let gaussian = Gaussian::of_rows(&rows).expect("two rows");
    /// assert_eq!((gaussian.mean, gaussian.covariance[0][1]), (vec![2.0, 4.0], 4.0));
    /// ```
    #[must_use]
    pub fn of_rows(rows: &[Vec<f64>]) -> Option<Self> {
        let rows = sound_rows(rows);
        let dimensions = rows.first()?.len();
        let n = rows.len() as f64;
        let mean: Vec<f64> =
            (0..dimensions).map(|j| rows.iter().map(|row| row[j]).sum::<f64>() / n).collect();
        let product = |i: usize, j: usize| -> f64 {
            rows.iter().map(|row| (row[i] - mean[i]) * (row[j] - mean[j])).sum()
        };
        let freedom = (n - 1.0).max(1.0);
        let covariance = symmetric(dimensions, |i, j| product(i, j) / freedom);
        Some(Self { count: rows.len() as u64, mean, covariance })
    }

    /// The number of dimensions.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.mean.len()
    }

    /// The correlation of two dimensions, within -1 to 1; `None` if one has no spread or does not exist.
    #[must_use]
    pub fn correlation(&self, i: usize, j: usize) -> Option<f64> {
        let at = |i: usize, j: usize| self.covariance.get(i).and_then(|row| row.get(j)).copied();
        let spread = (at(i, i)? * at(j, j)?).sqrt();
        (spread > 0.0).then_some((at(i, j)? / spread).clamp(-1.0, 1.0))
    }

    /// Mean and population deviation per dimension; a dimension without spread has spread 1.
    #[must_use]
    pub fn scaling(&self) -> Scaling {
        let n = self.count as f64;
        let spread = |(i, row): (usize, &Vec<f64>)| {
            let deviation = (row[i] * (n - 1.0) / n).sqrt();
            if deviation > 0.0 { deviation } else { 1.0 }
        };
        Scaling {
            centre: self.mean.clone(),
            spread: self.covariance.iter().enumerate().map(spread).collect(),
        }
    }
}

/// A symmetric matrix as rows, from its upper triangle.
pub(crate) fn symmetric(size: usize, element: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
    (0..size).map(|i| (0..size).map(|j| element(i.min(j), i.max(j))).collect()).collect()
}

/// What a pane remembers of rows: `16 (d + d(d+1)/2)` bytes; merges and subtracts exactly.
///
/// ```
/// use anchorwatch_detectors::multivariate::{Gaussian, MomentSums, Scaling};
/// let rows = [vec![1.0, 2.0], vec![3.0, 5.0], vec![4.0, 1.0]];
/// let scaling = Scaling::of_rows(&rows).expect("three rows");
/// let mut state = MomentSums::new(&scaling);
/// for row in &rows {
///     state.add(&scaling, row)?;
/// }
/// let gaussian = state.gaussian(&scaling).expect("three rows");
/// assert!((gaussian.covariance[0][1] - Gaussian::of_rows(&rows).expect("three rows").covariance[0][1]).abs() < 1e-12);
/// # Ok::<(), anchorwatch_detectors::multivariate::RowError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MomentSums {
    count: u64,
    sums: Vec<i128>,
    /// Upper triangle, row by row.
    products: Vec<i128>,
}

impl MomentSums {
    /// The empty state.
    #[must_use]
    pub fn new(scaling: &Scaling) -> Self {
        let d = scaling.dimensions();
        Self { count: 0, sums: vec![0; d], products: vec![0; d * (d + 1) / 2] }
    }

    /// Counts a row; values beyond 65,536 spreads of the reference enter the sums cut off.
    ///
    /// # Errors
    /// When the row has another length or a value that is not finite; it is then not counted.
    pub fn add(&mut self, scaling: &Scaling, row: &[f64]) -> Result<(), RowError> {
        let scaled = scaling.scaled(row)?;
        check_row(&scaled, self.sums.len())?;
        let scaled: Vec<f64> = scaled.iter().map(|x| x.clamp(-FARTHEST, FARTHEST)).collect();
        self.count = self.count.saturating_add(1);
        for (sum, x) in self.sums.iter_mut().zip(&scaled) {
            *sum = sum.wrapping_add(UNIT.units(*x));
        }
        let pairs = scaled.iter().enumerate().flat_map(|(i, x)| scaled.iter().skip(i).map(move |y| x * y));
        for (sum, product) in self.products.iter_mut().zip(pairs) {
            *sum = sum.wrapping_add(UNIT.units(product));
        }
        Ok(())
    }

    /// How many rows were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds another state of the same scaling; on an error this one is unchanged.
    ///
    /// # Errors
    /// When the states have different dimensions.
    pub fn merge(&mut self, other: &Self) -> Result<(), CountsError> {
        self.check(other)?;
        self.count = self.count.saturating_add(other.count);
        merge_sums(&mut self.sums, &other.sums);
        merge_sums(&mut self.products, &other.products);
        Ok(())
    }

    /// Takes away a state that was merged before; on an error this one is unchanged.
    ///
    /// # Errors
    /// When the states have different dimensions or the other one holds more rows.
    pub fn subtract(&mut self, other: &Self) -> Result<(), CountsError> {
        self.check(other)?;
        self.count = self.count.checked_sub(other.count).ok_or(CountsError::Underflow { cell: 0 })?;
        subtract_sums(&mut self.sums, &other.sums);
        subtract_sums(&mut self.products, &other.products);
        Ok(())
    }

    fn check(&self, other: &Self) -> Result<(), CountsError> {
        let (left, right) = (self.sums.len(), other.sums.len());
        if left == right { Ok(()) } else { Err(CountsError::LengthMismatch { left, right }) }
    }

    /// Size, mean and covariance in the units of the rows; `None` without rows.
    #[must_use]
    pub fn gaussian(&self, scaling: &Scaling) -> Option<Gaussian> {
        let d = self.sums.len();
        if self.count == 0 || scaling.dimensions() != d {
            return None;
        }
        let n = self.count as f64;
        let scaled: Vec<f64> = self.sums.iter().map(|&sum| UNIT.value(sum) / n).collect();
        // Row `i` of the triangle begins behind `d + (d - 1) + …` elements.
        let place = |i: usize, j: usize| i * (2 * d + 1 - i) / 2 + (j - i);
        let covariance = symmetric(d, |i, j| {
            let product = UNIT.value(self.products[place(i, j)]);
            let centred = product - n * scaled[i] * scaled[j];
            centred / (n - 1.0).max(1.0) * scaling.spread[i] * scaling.spread[j]
        });
        let scales = scaling.centre.iter().zip(&scaling.spread);
        let mean = scaled.iter().zip(scales).map(|(x, (centre, spread))| centre + x * spread).collect();
        Some(Gaussian { count: self.count, mean, covariance })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows() -> impl Strategy<Value = Vec<Vec<f64>>> {
        proptest::collection::vec(proptest::collection::vec(-100.0f64..100.0, 3), 2..40)
    }

    #[test]
    fn rows_that_do_not_fit_are_named_and_not_counted() {
        let scaling = Scaling::of_rows(&[vec![1.0, 2.0], vec![f64::NAN, 1.0], vec![1.0]]).unwrap();
        assert_eq!((scaling.spread(), scaling.dimensions()), (&[1.0, 1.0][..], 2));
        let mut state = MomentSums::new(&scaling);
        assert_eq!(state.add(&scaling, &[1.0]), Err(RowError::WrongLength { got: 1, want: 2 }));
        assert_eq!(state.add(&scaling, &[1.0, f64::INFINITY]), Err(RowError::NotFinite { at: 1 }));
        assert_eq!((state.count(), state.gaussian(&scaling)), (0, None));
        assert_eq!(Gaussian::of_rows(&[]), None);
    }

    proptest! {
        #[test]
        fn the_state_says_what_the_raw_rows_say(rows in rows(), cut in 0usize..40) {
            let scaling = Scaling::of_rows(&rows).unwrap();
            let fill = |rows: &[Vec<f64>]| {
                let mut state = MomentSums::new(&scaling);
                rows.iter().for_each(|row| state.add(&scaling, row).unwrap());
                state
            };
            let (left, right) = rows.split_at(cut.min(rows.len()));
            let mut merged = fill(right);
            merged.merge(&fill(left)).unwrap();
            prop_assert_eq!(&merged, &fill(&rows));
            let (streamed, raw) = (merged.gaussian(&scaling).unwrap(), Gaussian::of_rows(&rows).unwrap());
            for (a, b) in streamed.covariance.iter().flatten().zip(raw.covariance.iter().flatten()) {
                prop_assert!((a - b).abs() < 1e-8);
            }
            merged.subtract(&fill(left)).unwrap();
            prop_assert_eq!(merged, fill(right));
        }
    }
}
