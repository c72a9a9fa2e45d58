//! What time of day and day of week do to a quantity: a regression on a few harmonics and weekday contrasts, used only
//! as far as the baseline's length supports it.

use serde::{Deserialize, Serialize};

/// Milliseconds of a day.
const DAY: f64 = 86_400_000.0;

/// Harmonics of the day at most.
const HARMONICS: usize = 3;

/// Shortest baseline, in days, for a daily and for a weekly season.
const DAYS_FOR_DAILY: f64 = 3.0;
const DAYS_FOR_WEEKLY: f64 = 14.0;

/// Which regressors a baseline of some length supports. All times are milliseconds since the epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeasonDesign {
    window_ms: i64,
    harmonics: usize,
    weekdays: bool,
}

impl SeasonDesign {
    /// Regressors for windows of `window_ms` that a baseline of `span_ms` can estimate.
    #[must_use]
    pub fn new(window_ms: i64, span_ms: i64) -> Self {
        let (window, span) = (window_ms.max(1) as f64, span_ms as f64);
        let daily = window < DAY && span >= DAYS_FOR_DAILY * DAY;
        let per_day = (DAY / window) as usize;
        let harmonics = if daily { HARMONICS.min(per_day / 2).max(1) } else { 0 };
        Self { window_ms, harmonics, weekdays: span >= DAYS_FOR_WEEKLY * DAY }
    }

    /// Number of regressors.
    #[must_use]
    pub fn len(&self) -> usize {
        2 * self.harmonics + if self.weekdays { 6 } else { 0 }
    }

    /// Whether no season can be estimated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the days of the week are told apart.
    pub(super) fn has_weekdays(&self) -> bool {
        self.weekdays
    }

    /// Windows of a day.
    pub(super) fn windows_of_day(&self) -> usize {
        usize::try_from(DAY as i64 / self.window_ms.max(1)).unwrap_or(1).max(1)
    }

    /// Which window of its day and which day of the week it is that starts at `start_ms`; Monday is 0.
    pub(super) fn place(&self, start_ms: i64) -> (usize, usize) {
        let middle = start_ms as f64 + self.window_ms as f64 / 2.0;
        let of_day = (middle / DAY).rem_euclid(1.0) * self.windows_of_day() as f64;
        ((of_day as usize).min(self.windows_of_day() - 1), weekday(middle) as usize)
    }

    /// Regressors of the window that starts at `start_ms`.
    #[must_use]
    pub fn row(&self, start_ms: i64) -> Vec<f64> {
        let middle = start_ms as f64 + self.window_ms as f64 / 2.0;
        let mut row = Vec::with_capacity(self.len());
        let of_day = (middle / DAY).rem_euclid(1.0);
        for harmonic in 1..=self.harmonics {
            let angle = std::f64::consts::TAU * harmonic as f64 * of_day;
            row.extend([angle.sin(), angle.cos()]);
        }
        if self.weekdays {
            // Sunday is the one that the others are contrasted with.
            let weekday = weekday(middle);
            let contrast = |day| f64::from(weekday == day) - f64::from(weekday == 6);
            row.extend((0..6).map(contrast));
        }
        row
    }
}

/// Day of the week; the epoch was a Thursday, and Monday is 0.
fn weekday(at: f64) -> i64 {
    ((at / DAY).floor() as i64 + 3).rem_euclid(7)
}

/// Weighted least squares with an intercept: `coefficients[0]` is the intercept. A regressor that does not vary, or
/// follows from the others, gets zero.
#[must_use]
pub fn weighted_regression(rows: &[Vec<f64>], values: &[f64], weights: &[f64]) -> Vec<f64> {
    let width = rows.first().map_or(0, Vec::len) + 1;
    let mut normal = vec![vec![0.0; width + 1]; width];
    for ((row, value), weight) in rows.iter().zip(values).zip(weights) {
        let with_intercept = || std::iter::once(1.0).chain(row.iter().copied());
        for ((i, a), line) in with_intercept().enumerate().zip(&mut normal) {
            line.iter_mut().zip(with_intercept().take(i + 1)).for_each(|(sum, b)| *sum += weight * a * b);
            line[width] += weight * a * value;
        }
    }
    let lower = normal.clone();
    for (i, row) in normal.iter_mut().enumerate() {
        row[i..width].iter_mut().zip(&lower[i..]).for_each(|(upper, mirrored)| *upper = mirrored[i]);
    }
    solve(normal)
}

/// Gauss–Jordan elimination of a symmetric system, without rows whose pivot vanishes.
fn solve(mut system: Vec<Vec<f64>>) -> Vec<f64> {
    let width = system.len();
    let scale: Vec<f64> = (0..width).map(|i| system[i][i]).collect();
    let mut kept = vec![false; width];
    for pivot in 0..width {
        if system[pivot][pivot] <= 1e-9 * scale[pivot] || scale[pivot] <= 0.0 {
            continue;
        }
        kept[pivot] = true;
        let head = system[pivot][pivot];
        system[pivot].iter_mut().for_each(|x| *x /= head);
        let line = system[pivot].clone();
        for (row, other) in system.iter_mut().enumerate().filter(|(row, _)| *row != pivot) {
            let factor = other[pivot];
            if factor != 0.0 && (row > pivot || kept[row]) {
                other.iter_mut().zip(&line).for_each(|(x, head)| *x -= factor * head);
            }
        }
    }
    (0..width).map(|i| if kept[i] { system[i][width] } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_baseline_supports_no_season() {
        let hour = 3_600_000;
        assert!(SeasonDesign::new(hour, 48 * hour).is_empty());
        assert_eq!(SeasonDesign::new(hour, 96 * hour).len(), 6);
        assert_eq!(SeasonDesign::new(hour, 14 * 24 * hour).len(), 12);
        assert_eq!(SeasonDesign::new(24 * hour, 30 * 24 * hour).len(), 6, "a day has no hours to tell apart");
    }

    #[test]
    fn regression_finds_the_coefficients_and_leaves_out_what_repeats() {
        let rows: Vec<Vec<f64>> =
            (0..50).map(|i| vec![f64::from(i), f64::from(i % 7), 2.0 * f64::from(i)]).collect();
        let values: Vec<f64> = rows.iter().map(|row| 3.0 + 0.5 * row[0] - 2.0 * row[1]).collect();
        let found = weighted_regression(&rows, &values, &vec![1.0; 50]);
        let errors: Vec<f64> = found.iter().zip([3.0, 0.5, -2.0, 0.0]).map(|(a, b)| (a - b).abs()).collect();
        assert!(errors.iter().all(|error| *error < 1e-6), "{found:?}");
    }
}
