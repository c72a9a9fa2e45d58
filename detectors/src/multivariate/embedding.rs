//! Distances between the mean vectors of two sets of embeddings: cheap, additive, and blind to all but the mean.
//!
//! Not here: a law without drift; a threshold on such a distance depends on the dimension and on the size of the window.

/// A distance of two vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Root of the summed squares.
    Euclidean,
    /// 1 less the cosine of the angle, within 0 to 2.
    Cosine,
    /// Sum of absolute differences.
    Cityblock,
    /// Largest absolute difference.
    Chebyshev,
}

impl Metric {
    /// The distance; `None` if the vectors differ in length, are empty, or, for the cosine, one is zero.
    #[must_use]
    pub fn distance(self, a: &[f64], b: &[f64]) -> Option<f64> {
        if a.len() != b.len() || a.is_empty() {
            return None;
        }
        let differences = || a.iter().zip(b).map(|(a, b)| (a - b).abs());
        let distance = match self {
            Self::Euclidean => differences().map(|x| x * x).sum::<f64>().sqrt(),
            Self::Cosine => {
                let dot = super::linear::dot;
                1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
            }
            Self::Cityblock => differences().sum(),
            Self::Chebyshev => differences().fold(0.0, f64::max),
        };
        distance.is_finite().then_some(distance)
    }
}

/// The mean of the sound rows; `None` without any.
#[must_use]
pub fn mean(rows: &[Vec<f64>]) -> Option<Vec<f64>> {
    let rows = super::sound_rows(rows);
    let first = rows.first()?;
    let column = |j: usize| rows.iter().filter_map(|row| row.get(j)).sum::<f64>() / rows.len() as f64;
    Some((0..first.len()).map(column).collect())
}

/// The distance of the mean vectors; `None` as for [`mean`] and [`Metric::distance`].
///
/// ```
/// use anchorwatch_detectors::multivariate::embedding::{mean_distance, Metric};
/// let (a, b) = ([vec![0.0, 0.0], vec![2.0, 0.0]], [vec![4.0, 4.0]]);
/// assert_eq!(mean_distance(&a, &b, Metric::Euclidean), Some(5.0));
/// ```
#[must_use]
pub fn mean_distance(reference: &[Vec<f64>], window: &[Vec<f64>], metric: Metric) -> Option<f64> {
    metric.distance(&mean(reference)?, &mean(window)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_without_direction_have_no_angle() {
        assert_eq!(Metric::Cosine.distance(&[0.0, 0.0], &[1.0, 0.0]), None);
        assert_eq!(Metric::Cosine.distance(&[1.0, 0.0], &[-1.0, 0.0]), Some(2.0));
        assert_eq!(Metric::Chebyshev.distance(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(Metric::Euclidean.distance(&[], &[]), None);
        assert_eq!(mean(&[vec![f64::NAN]]), None);
    }
}
