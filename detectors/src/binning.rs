//! From a value to the cell that counts it: cut points of numeric columns, known categories of categorical ones.
//!
//! Here live the two kinds of binning, how knots are chosen from a sorted baseline, and the human label of a cell. Not
//! here: the counts themselves ([`crate::counts`]) and what is computed from them ([`crate::two_sample`],
//! [`crate::divergence`]). Latencies have fixed buckets of their own ([`crate::latency`]).

use std::hint::select_unpredictable;

use serde::{Deserialize, Serialize};

mod knots;
mod table;

use table::Table;

/// Most knots or categories a binning may have.
pub const MAX_POINTS: usize = 100_000;

/// Values that [`NumericBinning::cells_of`] looks up in lock step.
pub const LANES: usize = 8;

/// Why a binning was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BinningError {
    /// A knot or a value is NaN or infinite.
    #[error("value {value} at index {index} is not finite")]
    NotFinite {
        /// Zero-based place in the list.
        index: usize,
        /// What was found there.
        value: f64,
    },
    /// Knots must increase strictly; values must not decrease.
    #[error("value {value} at index {index} is out of order")]
    OutOfOrder {
        /// Zero-based place of the first value that breaks the order.
        index: usize,
        /// What was found there.
        value: f64,
    },
    /// More knots or categories than [`MAX_POINTS`].
    #[error("{got} cut points or categories; at most {MAX_POINTS} are supported")]
    TooMany {
        /// How many were given.
        got: usize,
    },
    /// Knots were to be chosen with a budget of none.
    #[error("at least one cut point must be allowed")]
    NoPoints,
    /// Cut points and categories are not there as the kind of the binning says.
    #[error("a numeric binning has knots and nothing else, a categorical one categories")]
    OtherKind,
    /// A category is listed twice.
    #[error("category {category:?} is listed twice")]
    DuplicateCategory {
        /// The repeated category.
        category: String,
    },
}

/// Cut points of a numeric column: strictly increasing finite values ("knots").
///
/// `k` knots make `2k + 1` cells in value order: the gap below the first knot, the first knot itself (its *tie* cell),
/// the gap between the first and second knot, and so on. When every distinct baseline value is a knot, statistics of
/// order read off the cells are exact.
///
/// ```
/// use anchorwatch_detectors::NumericBinning;
/// let binning = NumericBinning::new(vec![1.0, 2.0])?;
/// assert_eq!(binning.cells(), 5);
/// assert_eq!([0.5, 1.0, 1.5, 2.0, 9.0].map(|x| binning.cell(x)), [0, 1, 2, 3, 4]);
/// # Ok::<(), anchorwatch_detectors::BinningError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NumericFields")]
pub struct NumericBinning {
    knots: Vec<f64>,
}

/// The unchecked form of a [`NumericBinning`], as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NumericFields {
    knots: Vec<f64>,
}

impl TryFrom<NumericFields> for NumericBinning {
    type Error = BinningError;

    fn try_from(fields: NumericFields) -> Result<Self, BinningError> {
        Self::new(fields.knots)
    }
}

impl NumericBinning {
    /// Checks and takes the knots; `-0.0` becomes `0.0`. No knots at all is allowed and makes a single cell.
    ///
    /// # Errors
    /// When a knot is not finite, when knots do not increase strictly, or when there are more than [`MAX_POINTS`].
    pub fn new(mut knots: Vec<f64>) -> Result<Self, BinningError> {
        if knots.len() > MAX_POINTS {
            return Err(BinningError::TooMany { got: knots.len() });
        }
        let mut previous = f64::NEG_INFINITY;
        for (index, knot) in knots.iter_mut().enumerate() {
            let value = *knot;
            if !value.is_finite() {
                return Err(BinningError::NotFinite { index, value });
            }
            if value <= previous {
                return Err(BinningError::OutOfOrder { index, value });
            }
            *knot = value + 0.0;
            previous = value;
        }
        Ok(Self { knots })
    }

    /// Chooses at most `points` knots from baseline `values`, which must be finite and sorted upwards.
    ///
    /// With at most `points` distinct values each is a knot. Otherwise these are, as long as the budget lasts: the
    /// minimum and maximum; the deciles, that is the `ceil(i·n/10)`-th order statistics; values with more than
    /// `1/points` of the mass, heaviest first; the twentieths. The rest of the budget goes where it makes the largest
    /// mass strictly between two knots as small as it can be, since that mass bounds the error of a distance.
    ///
    /// # Errors
    /// When `points` is 0 or more than [`MAX_POINTS`], or when a value is not finite or out of order.
    pub fn from_sorted_values(values: &[f64], points: usize) -> Result<Self, BinningError> {
        Self::new(knots::choose(values, points)?)
    }

    /// The knots, strictly increasing and finite.
    #[must_use]
    pub fn knots(&self) -> &[f64] {
        &self.knots
    }

    /// How many cells there are: `2k + 1` for `k` knots.
    #[must_use]
    pub fn cells(&self) -> usize {
        2 * self.knots.len() + 1
    }

    /// The cell that counts `x`: `2i + 1` if `x` equals knot `i`, else `2i` where `i` knots lie below `x`.
    ///
    /// Infinities fall into the outer cells; a NaN, which the caller should count as missing instead, into the first.
    #[must_use]
    pub fn cell(&self, x: f64) -> usize {
        let below = self.knots.partition_point(|&knot| knot < x);
        let tie = self.knots.get(below).is_some_and(|&knot| knot == x);
        2 * below + usize::from(tie)
    }

    /// The cells of several values, each as [`NumericBinning::cell`] says: in lock step, since one search waits for
    /// memory most of its time.
    #[must_use]
    pub fn cells_of(&self, values: [f64; LANES]) -> [usize; LANES] {
        let knots = self.knots.as_slice();
        let mut below = [0; LANES];
        let mut size = knots.len();
        if size == 0 {
            return below;
        }
        while size > 1 {
            let half = size / 2;
            for (below, x) in below.iter_mut().zip(values) {
                let middle = *below + half;
                *below = select_unpredictable(knots[middle] < x, middle, *below);
            }
            size -= half;
        }
        for (below, x) in below.iter_mut().zip(values) {
            let first = *below + usize::from(knots[*below] < x);
            let tie = knots.get(first).is_some_and(|&knot| knot == x);
            *below = 2 * first + usize::from(tie);
        }
        below
    }

    /// The cells of values of several columns, each as [`NumericBinning::cell`] says, in lock step too: for a single row,
    /// whose columns have nothing but their searches in common.
    #[must_use]
    pub fn cells_across(binnings: [&Self; LANES], values: [f64; LANES]) -> [usize; LANES] {
        let mut below = [0; LANES];
        let mut size = binnings.map(|binning| binning.knots.len());
        let longest = size.into_iter().max().unwrap_or(0);
        for _ in 0..usize::BITS - longest.leading_zeros() {
            for lane in 0..LANES {
                let (half, knots) = (size[lane] / 2, &binnings[lane].knots);
                let middle = below[lane] + half;
                let is_below = knots.get(middle).is_some_and(|&knot| knot < values[lane]);
                below[lane] = select_unpredictable(is_below, middle, below[lane]);
                size[lane] -= half;
            }
        }
        for lane in 0..LANES {
            let at = |place: usize| binnings[lane].knots.get(place).copied();
            let first = below[lane] + usize::from(at(below[lane]).is_some_and(|knot| knot < values[lane]));
            below[lane] = 2 * first + usize::from(at(first) == Some(values[lane]));
        }
        below
    }

    /// The values a cell can hold, as `(low, high)`: equal for a tie cell, infinite at the ends; `None` past the last.
    #[must_use]
    pub fn bounds(&self, cell: usize) -> Option<(f64, f64)> {
        if cell >= self.cells() {
            return None;
        }
        let at = |index: usize| self.knots.get(index).copied();
        if cell % 2 == 1 {
            return at(cell / 2).map(|knot| (knot, knot));
        }
        let low = (cell / 2).checked_sub(1).and_then(at).unwrap_or(f64::NEG_INFINITY);
        Some((low, at(cell / 2).unwrap_or(f64::INFINITY)))
    }

    /// Counts `values` into cells: the flat slice that every statistic of this crate reads. NaN are skipped.
    #[must_use]
    pub fn count(&self, values: &[f64]) -> Vec<u64> {
        let mut counts = vec![0; self.cells()];
        for &value in values.iter().filter(|value| !value.is_nan()) {
            if let Some(count) = counts.get_mut(self.cell(value)) {
                *count += 1;
            }
        }
        counts
    }

    fn label(&self, cell: usize) -> String {
        match self.bounds(cell) {
            None => format!("cell {cell}"),
            Some((low, high)) if low == high => format!("{low:?}"),
            Some((low, high)) => match (low.is_finite(), high.is_finite()) {
                (false, false) => "any value".to_owned(),
                (false, true) => format!("< {high:?}"),
                (true, false) => format!("> {low:?}"),
                (true, true) => format!("({low:?}, {high:?})"),
            },
        }
    }
}

/// Known categories of a column, in the order given; every other string falls into one last cell, `unseen`.
///
/// ```
/// use anchorwatch_detectors::CategoricalBinning;
/// let binning = CategoricalBinning::new(vec!["card".into(), "cash".into()])?;
/// assert_eq!(binning.cell("cash"), 1);
/// assert_eq!(binning.cell("crypto"), binning.unseen_cell());
/// # Ok::<(), anchorwatch_detectors::BinningError>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "CategoricalFields")]
pub struct CategoricalBinning {
    categories: Vec<String>,
    #[serde(skip)]
    table: Table,
}

impl PartialEq for CategoricalBinning {
    fn eq(&self, other: &Self) -> bool {
        // The table follows from the categories.
        self.categories == other.categories
    }
}

impl Eq for CategoricalBinning {}

/// The unchecked form of a [`CategoricalBinning`], as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CategoricalFields {
    categories: Vec<String>,
}

impl TryFrom<CategoricalFields> for CategoricalBinning {
    type Error = BinningError;

    fn try_from(fields: CategoricalFields) -> Result<Self, BinningError> {
        Self::new(fields.categories)
    }
}

impl CategoricalBinning {
    /// Checks and takes the categories.
    ///
    /// # Errors
    /// When a category is listed twice or when there are more than [`MAX_POINTS`].
    pub fn new(categories: Vec<String>) -> Result<Self, BinningError> {
        if categories.len() > MAX_POINTS {
            return Err(BinningError::TooMany { got: categories.len() });
        }
        match Table::new(&categories) {
            Ok(table) => Ok(Self { categories, table }),
            Err(twice) => Err(BinningError::DuplicateCategory { category: categories[twice].clone() }),
        }
    }

    /// The known categories, in cell order.
    #[must_use]
    pub fn categories(&self) -> &[String] {
        &self.categories
    }

    /// How many cells there are: one per category and one for `unseen`.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.categories.len() + 1
    }

    /// The cell that counts `category`.
    #[must_use]
    pub fn cell(&self, category: &str) -> usize {
        self.cell_of_bytes(category.as_bytes())
    }

    /// The same for a text that is known to be UTF-8, or need not be: bytes that are not are no category.
    #[must_use]
    #[inline]
    pub fn cell_of_bytes(&self, category: &[u8]) -> usize {
        self.table.find(&self.categories, category).unwrap_or(self.categories.len())
    }

    /// The last cell, which counts every category that is not known.
    #[must_use]
    pub fn unseen_cell(&self) -> usize {
        self.categories.len()
    }

    fn label(&self, cell: usize) -> String {
        match self.categories.get(cell) {
            Some(category) => category.clone(),
            None if cell == self.unseen_cell() => "unseen".to_owned(),
            None => format!("cell {cell}"),
        }
    }
}

/// How a column's values are told apart; written with a `kind` of `numeric` or `categorical`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", try_from = "Fields")]
pub enum Binning {
    /// Ordered cells at and between knots.
    Numeric(NumericBinning),
    /// One cell per known category and one for the rest.
    Categorical(CategoricalBinning),
}

/// The unchecked form of a [`Binning`], as it is written. Told apart by serde, its points would be held as values of any type
/// before it knows the kind, which takes most of the time of reading thousands of columns.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    kind: Kind,
    knots: Option<Vec<f64>>,
    categories: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Numeric,
    Categorical,
}

impl TryFrom<Fields> for Binning {
    type Error = BinningError;

    fn try_from(fields: Fields) -> Result<Self, BinningError> {
        match fields {
            Fields { kind: Kind::Numeric, knots: Some(knots), categories: None } => {
                Ok(Self::Numeric(NumericBinning::new(knots)?))
            }
            Fields { kind: Kind::Categorical, knots: None, categories: Some(categories) } => {
                Ok(Self::Categorical(CategoricalBinning::new(categories)?))
            }
            Fields { .. } => Err(BinningError::OtherKind),
        }
    }
}

impl Binning {
    /// How many cells there are.
    #[must_use]
    pub fn cells(&self) -> usize {
        match self {
            Self::Numeric(binning) => binning.cells(),
            Self::Categorical(binning) => binning.cells(),
        }
    }

    /// What a person would call the cell: `(3.1, 4.0)`, `4.0`, `> 9.1`, a category's name, `unseen`.
    #[must_use]
    pub fn label(&self, cell: usize) -> String {
        match self {
            Self::Numeric(binning) => binning.label(cell),
            Self::Categorical(binning) => binning.label(cell),
        }
    }
}

#[cfg(test)]
mod tests;
