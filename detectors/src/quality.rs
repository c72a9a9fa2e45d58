//! Data quality: how many rows are missing, out of range or unseen, and when such a rate is too high.
//!
//! Rates are over *all* rows of a column, also those without a value. Tests of a rate against the reference's are in
//! [`crate::contingency::two_proportions`]. Not here: parsing, which decides what a missing value is.

use serde::{Deserialize, Serialize};

use crate::distributions::clopper_pearson;
use crate::samples::Moments;

/// How many of a column's rows are affected by something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rate {
    /// Rows affected.
    pub count: u64,
    /// Rows in all.
    pub total: u64,
}

impl Rate {
    /// Counts the rows for which `affected` holds.
    pub fn of<T>(rows: impl IntoIterator<Item = T>, affected: impl Fn(T) -> bool) -> Self {
        rows.into_iter().fold(Self::default(), |rate, row| Self {
            count: rate.count + u64::from(affected(row)),
            total: rate.total + 1,
        })
    }

    /// The share affected, within 0 to 1; `None` without rows.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.total > 0).then(|| self.count as f64 / self.total as f64)
    }

    /// The rate no reference of this size contradicts: the upper limit of Clopper and Pearson at one-sided `confidence`.
    ///
    /// Above 0 even if nothing was affected, so that one affected row is no proof of a change. `None` without rows or
    /// unless `confidence` is strictly between one half and 1.
    ///
    /// ```
    /// use anchorwatch_detectors::quality::Rate;
    /// let clean = Rate { count: 0, total: 1_000 };
    /// assert!((clean.ceiling(0.999).expect("rows") - 0.0068840).abs() < 1e-6);
    /// ```
    #[must_use]
    pub fn ceiling(&self, confidence: f64) -> Option<f64> {
        clopper_pearson(self.count, self.total, 2.0 * confidence - 1.0).map(|interval| interval.high)
    }
}

/// Rows without a number; NaN is missing.
#[must_use]
pub fn missing(values: &[f64]) -> Rate {
    Rate::of(values, |value| value.is_nan())
}

/// Rows outside `low` to `high`, both included; infinities are outside, missing values are not.
#[must_use]
pub fn out_of_range(values: &[f64], low: f64, high: f64) -> Rate {
    Rate::of(values, |&value| value < low || value > high)
}

/// Rows whose category the reference does not have; a missing value counts as a category of its own.
#[must_use]
pub fn unseen(reference: &[Option<&str>], window: &[Option<&str>]) -> Rate {
    let known: std::collections::HashSet<&Option<&str>> = reference.iter().collect();
    Rate::of(window, |row| !known.contains(row))
}

/// How many different things were thrown by a hash into places of which these many counts say how often each was hit:
/// linear counting (Whang, Vander-Zanden and Taylor 1990). Exact of none; if every place was hit, the number below which
/// chance would have left one.
///
/// ```
/// use anchorwatch_detectors::quality::different;
/// assert_eq!(different(&[0; 32]), 0.0);
/// let mut one_name = [0; 32];
/// one_name[7] = 1_000;
/// assert!((different(&one_name) - 1.0).abs() < 0.02);
/// assert!((different(&[1; 32]) - 32.0 * 32_f64.ln()).abs() < 1e-12);
/// ```
#[must_use]
pub fn different(counts: &[u64]) -> f64 {
    let places = counts.len() as f64;
    let empty = counts.iter().filter(|count| **count == 0).count().max(1) as f64;
    places * (places.max(1.0) / empty).ln()
}

/// Limits within which a metric of a window is normal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// A value below is too low.
    pub lower: f64,
    /// A value above is too high.
    pub upper: f64,
}

impl Limits {
    /// The mean less `lower` and plus `upper` population deviations of the metric on the reference's chunks.
    ///
    /// `NannyML`'s default with 3 and 3. The chunks are few, so that the false alarms per look are not those of a normal
    /// law: see the guide. `None` unless all values are finite and there is at least one.
    #[must_use]
    pub fn of_chunks(values: &[f64], lower: f64, upper: f64) -> Option<Self> {
        let moments = values.iter().all(|value| value.is_finite()).then(|| Moments::new(values))??;
        let deviation = moments.variance_population().sqrt();
        Some(Self { lower: moments.mean - lower * deviation, upper: moments.mean + upper * deviation })
    }

    /// The same limits held within what the metric can take, e.g. 0 to 1 for a rate.
    #[must_use]
    pub fn within(self, least: f64, most: f64) -> Self {
        Self { lower: self.lower.max(least), upper: self.upper.min(most) }
    }

    /// Whether a value is inside the limits, which are inside; NaN is not.
    #[must_use]
    pub fn contain(&self, value: f64) -> bool {
        self.lower <= value && value <= self.upper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_all_rows() {
        let values = [1.0, f64::NAN, f64::INFINITY, -5.0];
        assert_eq!(missing(&values).share(), Some(0.25));
        assert_eq!(out_of_range(&values, 0.0, 2.0), Rate { count: 2, total: 4 });
        assert_eq!(missing(&[]).share(), None);
        assert_eq!(missing(&[]).ceiling(0.999), None);
    }

    #[test]
    fn a_missing_category_is_known_only_if_the_reference_had_one() {
        let window = [Some("a"), None, Some("c")];
        assert_eq!(unseen(&[Some("a")], &window).count, 2);
        assert_eq!(unseen(&[Some("a"), None], &window).count, 1);
    }

    #[test]
    fn limits_hold_their_ends_and_nothing_that_is_no_number() {
        let limits = Limits::of_chunks(&[0.0, 2.0], 1.0, 3.0).unwrap().within(0.5, 9.0);
        assert_eq!((limits.lower, limits.upper), (0.5, 4.0));
        assert!(limits.contain(4.0) && !limits.contain(4.1) && !limits.contain(f64::NAN));
        assert_eq!(Limits::of_chunks(&[], 3.0, 3.0), None);
        assert_eq!(Limits::of_chunks(&[f64::INFINITY], 3.0, 3.0), None);
    }
}
