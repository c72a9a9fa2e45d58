//! Tests of a table of two rows, reference and window, and one column per category.
//!
//! Here live chi-square with and without Yates' correction and pooling of sparse cells, the reference taken as exact
//! expectation, the G test, Fisher's exact test, tests of two proportions, and the rate of new categories. Not here:
//! distances of shares ([`crate::divergence`]).

use crate::counts::total;
use crate::distributions::{chi_square_sf, normal_sf};

/// Pooled sizes up to which two proportions are compared by Fisher's exact test.
pub const EXACT_TOTAL: u64 = 100_000;

/// A weight, relative to that of the table that was seen, which millions of would not show in a p-value.
const NEGLIGIBLE: f64 = 1e-30;

/// A chi-square statistic with its degrees of freedom and p-value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquare {
    /// The statistic, at least 0; infinite if something impossible under the expectation was seen.
    pub statistic: f64,
    /// Degrees of freedom: columns in use less one.
    pub df: usize,
    /// The chance of a statistic at least as large without drift; `None` if it has no law.
    pub p_value: Option<f64>,
}

impl ChiSquare {
    /// Two samples of one common category cannot differ: no degrees of freedom, statistic 0, p-value 1.
    fn of_samples(statistic: f64, df: usize) -> Self {
        if df == 0 {
            return Self { statistic: 0.0, df, p_value: Some(1.0) };
        }
        Self { statistic, df, p_value: chi_square_sf(statistic, df as f64) }
    }
}

/// How the table is prepared for the chi-square test.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ChiSquareOptions {
    /// Yates' continuity correction, applied only with one degree of freedom.
    pub yates: bool,
    /// Columns whose smaller expected count is below this are pooled into one; 5 is customary, `None` pools nothing.
    pub pool_below: Option<f64>,
}

/// Pearson's chi-square test of homogeneity: may reference and window share one distribution?
///
/// Columns without counts are dropped. `None` if a row is empty or the columns differ in number.
///
/// ```
/// use anchorwatch_detectors::contingency::{chi_square, ChiSquareOptions};
/// let test = chi_square(&[30, 70], &[30, 70], ChiSquareOptions::default()).expect("neither row is empty");
/// assert_eq!((test.statistic, test.df, test.p_value), (0.0, 1, Some(1.0)));
/// ```
#[must_use]
pub fn chi_square(reference: &[u64], window: &[u64], options: ChiSquareOptions) -> Option<ChiSquare> {
    let table = Table::new(reference, window, options.pool_below)?;
    let yates = options.yates && table.df() == 1;
    let term = |observed: f64, expected: f64| {
        let difference = (observed - expected).abs();
        let corrected = if yates { difference - difference.min(0.5) } else { difference };
        corrected * corrected / expected
    };
    Some(ChiSquare::of_samples(table.sum(term), table.df()))
}

/// The G test of homogeneity, twice the log-likelihood ratio; `None` as for [`chi_square`].
#[must_use]
pub fn g_test(reference: &[u64], window: &[u64]) -> Option<ChiSquare> {
    let table = Table::new(reference, window, None)?;
    let term = |observed: f64, expected: f64| {
        if observed > 0.0 { 2.0 * observed * (observed / expected).ln() } else { 0.0 }
    };
    Some(ChiSquare::of_samples(table.sum(term).max(0.0), table.df()))
}

/// Goodness of fit with the reference, scaled to the window's size, taken as exact expectation.
///
/// Ignores that the reference is a sample, and a single category that the reference lacks gives an infinite statistic;
/// prefer [`chi_square`]. Degrees of freedom: categories in use less one; with none there is no p-value. `None` as there.
#[must_use]
pub fn reference_as_expected(reference: &[u64], window: &[u64]) -> Option<ChiSquare> {
    let table = Table::new(reference, window, None)?;
    let scale = table.window / table.reference;
    let term = |&(r, w): &(f64, f64)| {
        if r == 0.0 { f64::INFINITY } else { (w - r * scale).powi(2) / (r * scale) }
    };
    let statistic: f64 = table.columns.iter().map(term).sum();
    Some(ChiSquare { statistic, df: table.df(), p_value: chi_square_sf(statistic, table.df() as f64) })
}

/// The columns in use and the sizes of both rows.
struct Table {
    columns: Vec<(f64, f64)>,
    reference: f64,
    window: f64,
}

impl Table {
    fn new(reference: &[u64], window: &[u64], pool_below: Option<f64>) -> Option<Self> {
        let (n, m) = (total(reference), total(window));
        if n == 0 || m == 0 || reference.len() != window.len() {
            return None;
        }
        let in_use = reference.iter().zip(window).filter(|(r, w)| **r > 0 || **w > 0);
        let columns = in_use.map(|(&r, &w)| (r as f64, w as f64)).collect();
        let mut table = Self { columns, reference: n as f64, window: m as f64 };
        if let Some(least) = pool_below {
            table.pool(least);
        }
        Some(table)
    }

    fn df(&self) -> usize {
        self.columns.len().saturating_sub(1)
    }

    /// The smaller of a column's two expected counts.
    fn least_expected(&self, column: (f64, f64)) -> f64 {
        (column.0 + column.1) * self.reference.min(self.window) / (self.reference + self.window)
    }

    /// Pools sparse columns into one and, if that is still sparse, with the smallest of the others.
    fn pool(&mut self, least: f64) {
        let (mut kept, sparse): (Vec<_>, Vec<_>) =
            self.columns.iter().partition(|&&column| self.least_expected(column) >= least);
        let join = |a: (f64, f64), b: (f64, f64)| (a.0 + b.0, a.1 + b.1);
        if let Some(mut pooled) = sparse.into_iter().reduce(join) {
            kept.sort_by(|a, b| (b.0 + b.1).total_cmp(&(a.0 + a.1)));
            if self.least_expected(pooled) < least
                && let Some(smallest) = kept.pop()
            {
                pooled = join(pooled, smallest);
            }
            kept.push(pooled);
        }
        self.columns = kept;
    }

    fn sum(&self, term: impl Fn(f64, f64) -> f64) -> f64 {
        let all = self.reference + self.window;
        let of_column = |&(r, w): &(f64, f64)| {
            let share = (r + w) / all;
            term(r, share * self.reference) + term(w, share * self.window)
        };
        self.columns.iter().map(of_column).sum()
    }
}

/// A table of two rows and two columns: `[[a, b], [c, d]]`.
pub type TwoByTwo = [[u64; 2]; 2];

/// The sample odds ratio `ad / bc` of a two-by-two table: infinite if only the denominator is 0, `None` if both are.
#[must_use]
pub fn odds_ratio([[a, b], [c, d]]: TwoByTwo) -> Option<f64> {
    let (numerator, denominator) = (a as f64 * d as f64, b as f64 * c as f64);
    (numerator > 0.0 || denominator > 0.0).then_some(numerator / denominator)
}

/// Fisher's exact test, two-sided: the mass of all tables with the same margins that are no more likely than this one.
///
/// 1 if a margin is empty. The cost grows with the smallest margin; `None` beyond ten million.
#[must_use]
pub fn fisher_exact([[a, b], [c, d]]: TwoByTwo) -> Option<f64> {
    let row = a.checked_add(b)?;
    let other_row = c.checked_add(d)?;
    let column = a.checked_add(c)?;
    let all = row.checked_add(other_row)?;
    let low = column.saturating_sub(other_row);
    let high = row.min(column);
    if high - low > 10_000_000 {
        return None;
    }
    let (r, k, rest) = (row as f64, column as f64, (all - row) as f64);
    // Weight of `x + 1` relative to `x` in the hypergeometric law.
    let ratio = |x: u64| {
        let x = x as f64;
        (r - x) * (k - x) / ((x + 1.0) * (rest - k + x + 1.0))
    };
    let (tail, sum) = relative_weights(a, low, high, ratio).fold((0.0, 0.0), |(tail, sum), weight| {
        (if weight <= 1.0 + 1e-9 { tail + weight } else { tail }, sum + weight)
    });
    Some(if sum.is_finite() { f64::min(tail / sum, 1.0) } else { 0.0 })
}

/// The weights of `low..=high` relative to that of `at`, by multiplying ratios outwards. The law has one peak, so what has come
/// down to [`NEGLIGIBLE`] stays below it and is left out.
fn relative_weights(
    at: u64,
    low: u64,
    high: u64,
    ratio: impl Fn(u64) -> f64 + Copy,
) -> impl Iterator<Item = f64> {
    let up = (at..high).scan(1.0, move |weight, x| {
        *weight *= ratio(x);
        Some(*weight)
    });
    let down = (low..at).rev().scan(1.0, move |weight, x| {
        *weight /= ratio(x);
        Some(*weight)
    });
    let counts = |weight: &f64| *weight >= NEGLIGIBLE;
    std::iter::once(1.0).chain(up.take_while(counts)).chain(down.take_while(counts))
}

/// Two proportions compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proportions {
    /// Share in the reference.
    pub reference: f64,
    /// Share in the window.
    pub window: f64,
    /// Two-sided p-value.
    pub p_value: f64,
}

/// Compares `hits` of `n` in the reference with those in the window, as `(hits, n)`.
///
/// By Fisher's exact test up to [`EXACT_TOTAL`] rows, beyond by [`two_proportion_z`]. `None` if a side is empty or has
/// more hits than rows.
#[must_use]
pub fn two_proportions(reference: (u64, u64), window: (u64, u64)) -> Option<Proportions> {
    let ((a, n), (c, m)) = (reference, window);
    let (b, d) = (n.checked_sub(a)?, m.checked_sub(c)?);
    if n == 0 || m == 0 {
        return None;
    }
    let small = n.checked_add(m).is_some_and(|all| all <= EXACT_TOTAL);
    let p_value =
        if small { fisher_exact([[a, b], [c, d]])? } else { two_proportion_z(reference, window)?.1 };
    Some(Proportions { reference: a as f64 / n as f64, window: c as f64 / m as f64, p_value })
}

/// The pooled z statistic of two proportions (window minus reference) and its two-sided p-value.
///
/// `(0, 1)` if both are the same constant. `None` as for [`two_proportions`].
#[must_use]
pub fn two_proportion_z(reference: (u64, u64), window: (u64, u64)) -> Option<(f64, f64)> {
    let ((a, n), (c, m)) = (reference, window);
    if n == 0 || m == 0 || a > n || c > m {
        return None;
    }
    let (a, n, c, m) = (a as f64, n as f64, c as f64, m as f64);
    let pooled = (a + c) / (n + m);
    let deviation = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    if deviation == 0.0 {
        return Some((0.0, 1.0));
    }
    let z = (c / m - a / n) / deviation;
    Some((z, (2.0 * normal_sf(z.abs())).min(1.0)))
}

/// The share of the window in categories that the reference does not have; `None` if the window is empty or the cells
/// differ in number.
#[must_use]
pub fn new_category_rate(reference: &[u64], window: &[u64]) -> Option<f64> {
    let m = total(window);
    if m == 0 || reference.len() != window.len() {
        return None;
    }
    let new = reference.iter().zip(window).filter(|(r, _)| **r == 0);
    let new = new.fold(0u64, |sum, (_, w)| sum.saturating_add(*w));
    Some(new as f64 / m as f64)
}

/// The cells that hold something in one profile and nothing in the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CategoryChanges {
    /// Cells seen in the window only.
    pub appeared: Vec<usize>,
    /// Cells seen in the reference only.
    pub vanished: Vec<usize>,
}

/// Which cells appeared and which vanished, in cell order.
#[must_use]
pub fn category_changes(reference: &[u64], window: &[u64]) -> CategoryChanges {
    let mut changes = CategoryChanges::default();
    for (cell, (&r, &w)) in reference.iter().zip(window).enumerate() {
        match (r, w) {
            (0, 1..) => changes.appeared.push(cell),
            (1.., 0) => changes.vanished.push(cell),
            _ => {}
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lonely_category_cannot_drift() {
        let test = chi_square(&[5], &[7], ChiSquareOptions::default()).unwrap();
        assert_eq!((test.df, test.p_value), (0, Some(1.0)));
        assert_eq!(reference_as_expected(&[5], &[7]).unwrap().p_value, None);
        assert_eq!(chi_square(&[0], &[7], ChiSquareOptions::default()), None);
        assert_eq!(two_proportions((1, 0), (0, 1)), None);
        assert_eq!(two_proportions((0, 0), (0, 1)), None);
        assert_eq!(new_category_rate(&[1], &[0]), None);
    }

    #[test]
    fn sparse_columns_are_pooled() {
        let options = ChiSquareOptions { yates: false, pool_below: Some(5.0) };
        let test = chi_square(&[100, 100, 3, 2, 4], &[100, 100, 1, 5, 3], options).unwrap();
        assert_eq!(test.df, 2);
        let lonely = chi_square(&[100, 40, 1], &[100, 40, 0], options).unwrap();
        assert_eq!(lonely.df, 1);
    }

    #[test]
    fn one_unseen_value_is_no_drift_in_a_table_but_is_against_an_exact_expectation() {
        let (reference, window) = ([500, 500, 0], [499, 500, 1]);
        assert!(chi_square(&reference, &window, ChiSquareOptions::default()).unwrap().p_value.unwrap() > 0.5);
        assert_eq!(reference_as_expected(&reference, &window).unwrap().p_value, Some(0.0));
    }

    proptest! {
        #[test]
        fn p_values_are_probabilities(
            cells in proptest::collection::vec((0u64..60, 0u64..60), 0..12), least in 0.0f64..20.0, yates: bool,
        ) {
            let (reference, window): (Vec<u64>, Vec<u64>) = cells.into_iter().unzip();
            for pool_below in [None, Some(least), Some(f64::NAN)] {
                if let Some(test) = chi_square(&reference, &window, ChiSquareOptions { yates, pool_below }) {
                    prop_assert!((0.0..=1.0).contains(&test.p_value.unwrap()) && test.statistic >= 0.0);
                }
            }
            if let Some(test) = g_test(&reference, &window) {
                prop_assert!((0.0..=1.0).contains(&test.p_value.unwrap()));
            }
        }

        #[test]
        fn fisher_is_symmetric_and_near_z_for_many(a in 0u64..300, b in 0u64..300, c in 0u64..300, d in 0u64..300) {
            let p = fisher_exact([[a, b], [c, d]]).unwrap();
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert!((p - fisher_exact([[c, d], [a, b]]).unwrap()).abs() < 1e-9);
            prop_assert!((p - fisher_exact([[a, c], [b, d]]).unwrap()).abs() < 1e-9);
            if [a, b, c, d].iter().all(|&count| count > 100) {
                let (_, z) = two_proportion_z((a, a + b), (c, c + d)).unwrap();
                prop_assert!((p - z).abs() < 0.1);
            }
        }
    }
}
