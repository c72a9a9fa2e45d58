//! Reconstruction error by principal components: how far rows lie from the plane the reference lies near.
//!
//! Columns are scaled by the reference; the fewest components are kept that explain more than a share of the variance.
//! A row's residual is one number, which [`crate::GapTie`] can count like a column. Not here: filling in missing values.

use super::linear::{dot, eigen_symmetric};
use super::moments::{Gaussian, Scaling, symmetric};
use super::{RowError, sound_rows};

/// Components fitted on a reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    scaling: Scaling,
    eigenvalues: Vec<f64>,
    /// The kept directions, each of length 1.
    components: Vec<Vec<f64>>,
}

/// The residuals of a window's rows, summarised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reconstruction {
    /// Rows behind it.
    pub count: u64,
    /// Mean Euclidean residual in spreads of the reference, at least 0.
    pub mean: f64,
    /// Sample deviation of the residuals over `sqrt(count)`; `None` for a single row.
    pub standard_error: Option<f64>,
}

impl Pca {
    /// Fits rows, keeping the fewest components that together explain more than `share` of the variance, at least one.
    ///
    /// `None` without sound rows, without columns, or unless `share` is within 0 to 1.
    #[must_use]
    pub fn fit(reference: &[Vec<f64>], share: f64) -> Option<Self> {
        Self::of_gaussian(&Gaussian::of_rows(reference)?, share)
    }

    /// Fits a mean and covariance, e.g. from mergeable sums; as [`Pca::fit`].
    #[must_use]
    pub fn of_gaussian(reference: &Gaussian, share: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&share) {
            return None;
        }
        let scaling = reference.scaling();
        let spread = scaling.spread();
        let scaled =
            symmetric(reference.dimensions(), |i, j| reference.covariance[i][j] / (spread[i] * spread[j]));
        let pairs = eigen_symmetric(&scaled)?;
        let all: f64 = pairs.iter().map(|pair| pair.value.max(0.0)).sum();
        let explained = pairs.iter().scan(0.0, |sum, pair| {
            *sum += pair.value.max(0.0) / all;
            Some(*sum)
        });
        let kept = explained.take_while(|&sum| sum <= share).count().saturating_add(1).min(pairs.len());
        let eigenvalues = pairs.iter().map(|pair| pair.value).collect();
        let components: Vec<Vec<f64>> = pairs.into_iter().take(kept).map(|pair| pair.vector).collect();
        (kept > 0).then_some(Self { scaling, eigenvalues, components })
    }

    /// How many components are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.components.len()
    }

    /// All eigenvalues of the scaled covariance, largest first.
    #[must_use]
    pub fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }

    /// The scaling by the reference.
    #[must_use]
    pub fn scaling(&self) -> &Scaling {
        &self.scaling
    }

    /// The distance of one row from the plane of the components, in spreads of the reference, at least 0.
    ///
    /// # Errors
    /// When the row has another length or a value that is not finite.
    pub fn residual(&self, row: &[f64]) -> Result<f64, RowError> {
        let mut rest = self.scaling.scaled(row)?;
        for component in &self.components {
            let along = dot(&rest, component);
            rest.iter_mut().zip(component).for_each(|(x, direction)| *x -= along * direction);
        }
        Ok(dot(&rest, &rest).sqrt())
    }

    /// The mean squared residual of rows with this mean and covariance, in squared spreads of the reference, at least 0;
    /// `None` without rows or with other dimensions.
    #[must_use]
    pub fn mean_square_residual(&self, rows: &Gaussian) -> Option<f64> {
        let (d, n) = (self.scaling.dimensions(), rows.count as f64);
        if rows.count == 0 || rows.dimensions() != d {
            return None;
        }
        let (centre, spread) = (self.scaling.centre(), self.scaling.spread());
        let from_centre = |i: usize| rows.mean[i] - centre[i];
        // Second moments around the centre of the reference.
        let second = symmetric(d, |i, j| {
            let moment = rows.covariance[i][j] * (n - 1.0) / n + from_centre(i) * from_centre(j);
            moment / (spread[i] * spread[j])
        });
        let along = |component: &Vec<f64>| {
            let rows = second.iter().map(|row| dot(row, component));
            dot(&rows.collect::<Vec<_>>(), component)
        };
        let all: f64 = (0..d).map(|i| second[i][i]).sum();
        Some((all - self.components.iter().map(along).sum::<f64>()).max(0.0))
    }

    /// The mean residual of the sound rows; `None` without any.
    #[must_use]
    pub fn reconstruction(&self, rows: &[Vec<f64>]) -> Option<Reconstruction> {
        let residuals: Vec<f64> =
            sound_rows(rows).into_iter().filter_map(|row| self.residual(row).ok()).collect();
        let moments = crate::samples::Moments::new(&residuals)?;
        let standard_error =
            moments.variance_sample().map(|variance| (variance / moments.count as f64).sqrt());
        Some(Reconstruction { count: moments.count, mean: moments.mean, standard_error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_off_the_line_of_the_reference_stand_out() {
        let line: Vec<Vec<f64>> =
            (0..50).map(|i| vec![f64::from(i), 2.0 * f64::from(i) + f64::from(i * 7 % 5)]).collect();
        let pca = Pca::fit(&line, 0.9).unwrap();
        assert_eq!((pca.kept(), pca.eigenvalues().len()), (1, 2));
        let off = pca.reconstruction(&[vec![10.0, 80.0]]).unwrap();
        assert!(off.mean > 10.0 * pca.reconstruction(&line).unwrap().mean);
        assert_eq!(off.standard_error, None);
    }

    #[test]
    fn moments_say_the_same_of_residuals_as_the_rows() {
        let rows = |shift: u32| -> Vec<Vec<f64>> {
            (0..60).map(|i| [7, 11, 13].map(|m| f64::from((i * shift + i) % m)).to_vec()).collect()
        };
        let pca = Pca::fit(&rows(1), 0.65).unwrap();
        for shift in [1, 4, 9] {
            let squares =
                rows(shift).iter().map(|row| pca.residual(row).unwrap().powi(2)).sum::<f64>() / 60.0;
            let of_moments = pca.mean_square_residual(&Gaussian::of_rows(&rows(shift)).unwrap()).unwrap();
            assert!((squares - of_moments).abs() < 1e-9, "{squares} {of_moments}");
        }
    }

    #[test]
    fn all_components_leave_nothing_and_no_rows_say_nothing() {
        let rows: Vec<Vec<f64>> = (0..20).map(|i| vec![f64::from(i % 3), f64::from(i % 7)]).collect();
        let pca = Pca::fit(&rows, 1.0).unwrap();
        assert!(pca.reconstruction(&rows).unwrap().mean < 1e-12);
        assert_eq!(pca.reconstruction(&[]), None);
        assert_eq!((Pca::fit(&[], 0.5), Pca::fit(&rows, f64::NAN)), (None, None));
        assert_eq!(Pca::fit(&[vec![], vec![]], 0.5), None);
        let constant = Pca::fit(&[vec![1.0, 1.0], vec![1.0, 1.0]], 0.5).unwrap();
        assert_eq!(constant.residual(&[1.0, f64::NAN]), Err(RowError::NotFinite { at: 1 }));
    }
}
