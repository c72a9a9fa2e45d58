//! Hotelling's (1931) two-sample T²: do the means of all dimensions together differ?
//!
//! Works on means and covariances, hence on mergeable sums. Not here: changes of spread or correlation.

use crate::distributions::incomplete_beta;

use super::linear::inverse_form;
use super::moments::{Gaussian, symmetric};

/// The statistic, its F form and its p-value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hotelling {
    /// `T² = nm/(n+m) d' S⁻¹ d` with the pooled covariance `S`, at least 0.
    pub t2: f64,
    /// `T² (n+m-p-1) / (p (n+m-2))`, Snedecor's F with `p` and `n+m-p-1` degrees of freedom for normal rows.
    pub f: f64,
    /// The chance of a larger value without a change of mean, within 0 to 1.
    pub p_value: f64,
}

/// Compares the means; `None` if dimensions differ or are none, the pooled covariance is singular, or rows are too few.
///
/// ```
/// use anchorwatch_detectors::multivariate::{hotelling, Gaussian};
/// let rows = |shift: f64| -> Vec<Vec<f64>> {
///     (0..20).map(|i| vec![f64::from(i % 5) + shift, f64::from(i % 4)]).collect()
/// };
/// let of = |shift| Gaussian::of_rows(&rows(shift)).expect("rows");
/// assert!(hotelling(&of(0.0), &of(0.0)).expect("enough rows").p_value > 0.99);
/// assert!(hotelling(&of(0.0), &of(3.0)).expect("enough rows").p_value < 1e-6);
/// ```
#[must_use]
pub fn hotelling(reference: &Gaussian, window: &Gaussian) -> Option<Hotelling> {
    let d = reference.dimensions();
    let (n, m, p) = (reference.count as f64, window.count as f64, d as f64);
    let freedom = n + m - p - 1.0;
    if d == 0 || window.dimensions() != d || n < 1.0 || m < 1.0 || freedom <= 0.0 {
        return None;
    }
    let pooled = symmetric(d, |i, j| {
        ((n - 1.0) * reference.covariance[i][j] + (m - 1.0) * window.covariance[i][j]) / (n + m - 2.0)
    });
    let difference: Vec<f64> = window.mean.iter().zip(&reference.mean).map(|(w, r)| w - r).collect();
    let t2 = (n * m / (n + m) * inverse_form(&pooled, &difference)?).max(0.0);
    let f = t2 * freedom / (p * (n + m - 2.0));
    let p_value = incomplete_beta(freedom / 2.0, p / 2.0, freedom / (freedom + p * f))?;
    Some(Hotelling { t2, f, p_value })
}

/// The mean squared Mahalanobis distance of rows from the reference, by the reference's covariance; at least 0.
///
/// About the number of dimensions without drift. `None` if no row is sound or the covariance is singular.
#[must_use]
pub fn mean_mahalanobis_squared(reference: &Gaussian, rows: &[Vec<f64>]) -> Option<f64> {
    let distance = |row: &[f64]| {
        let difference: Vec<f64> = row.iter().zip(&reference.mean).map(|(x, mean)| x - mean).collect();
        inverse_form(&reference.covariance, &difference)
    };
    let sound = super::sound_rows(rows);
    let rows: Vec<&[f64]> = sound.into_iter().filter(|row| row.len() == reference.dimensions()).collect();
    let distances: Vec<f64> = rows.iter().map(|row| distance(row)).collect::<Option<_>>()?;
    (!distances.is_empty()).then(|| distances.iter().sum::<f64>() / distances.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_inverted_has_no_statistic() {
        let line: Vec<Vec<f64>> = (0..9).map(|i| vec![f64::from(i), 2.0 * f64::from(i)]).collect();
        let line = Gaussian::of_rows(&line).unwrap();
        assert_eq!(hotelling(&line, &line), None);
        let point = Gaussian::of_rows(&[vec![1.0]]).unwrap();
        assert_eq!(hotelling(&point, &point), None);
        assert_eq!(mean_mahalanobis_squared(&point, &[vec![1.0]]), None);
    }

    #[test]
    fn in_one_dimension_it_is_the_square_of_students_t() {
        let (a, b) = ([1.0, 2.0, 4.0, 7.0], [3.0, 5.0, 8.0]);
        let of =
            |sample: &[f64]| Gaussian::of_rows(&sample.iter().map(|&x| vec![x]).collect::<Vec<_>>()).unwrap();
        let moments = |sample: &[f64]| crate::samples::Moments::new(sample).unwrap();
        let t = crate::samples::student_t(&moments(&a), &moments(&b)).unwrap();
        let t2 = hotelling(&of(&a), &of(&b)).unwrap();
        assert!((t2.t2 - t.statistic.powi(2)).abs() < 1e-12 && (t2.p_value - t.p_value).abs() < 1e-12);
    }
}
