//! Maximum mean discrepancy (Gretton et al. 2012): any change of a joint distribution, by a Gaussian kernel.
//!
//! The exact estimate costs `(n + m)²` and is for raw rows of an investigation; [`super::random_features`] is its mergeable
//! approximation. Its value depends on the bandwidth more than on anything else, so each rule has a name.

use super::sound_rows;

/// How wide the Gaussian kernel `exp(-d² / (2 σ²))` is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bandwidth {
    /// `σ` itself, above 0.
    Sigma(f64),
    /// `σ² = d²/2` with `d²` the lower median of squared distances inside the reference (Alibi Detect).
    ReferenceMedian,
    /// `σ² = d²/2` with `d` the median distance between a reference row and a window row (Evidently).
    CrossMedian,
}

impl Bandwidth {
    /// The `σ` for these rows; `None` if there is none above 0.
    #[must_use]
    pub fn sigma(self, reference: &[Vec<f64>], window: &[Vec<f64>]) -> Option<f64> {
        let (reference, window) = (sound_rows(reference), sound_rows(window));
        let sigma = match self {
            Self::Sigma(sigma) => sigma,
            Self::ReferenceMedian => {
                let mut squares: Vec<f64> = pairs(&reference).collect();
                squares.sort_by(f64::total_cmp);
                // The place m + (m² - m)/2 - 1 among all m² distances, of which m are zero and the others come twice.
                let m = reference.len();
                let place = (m + m * m.saturating_sub(1) / 2).checked_sub(1)?;
                let square = place.checked_sub(m).and_then(|beyond| squares.get(beyond / 2)).copied();
                (0.5 * square.unwrap_or(0.0)).sqrt()
            }
            Self::CrossMedian => {
                let distances: Vec<f64> = reference
                    .iter()
                    .flat_map(|a| window.iter().map(|b| square_distance(a, b).sqrt()))
                    .collect();
                let sorted = crate::samples::sorted(&distances);
                let (low, high) =
                    (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
                f64::midpoint(*low, *high) / std::f64::consts::SQRT_2
            }
        };
        (sigma.is_finite() && sigma > 0.0).then_some(sigma)
    }
}

/// The unbiased estimate of the squared discrepancy, within about -1 to 2: below 0 by chance if nothing changed.
///
/// `None` with fewer than two sound rows on a side, other dimensions, or no bandwidth.
///
/// ```
/// use anchorwatch_detectors::multivariate::{mmd2_unbiased, Bandwidth};
/// let rows = |shift: f64| -> Vec<Vec<f64>> { (0..30).map(|i| vec![f64::from(i) / 30.0 + shift]).collect() };
/// let of = |shift| mmd2_unbiased(&rows(0.0), &rows(shift), Bandwidth::ReferenceMedian).expect("rows");
/// assert!(of(0.0) < 0.0 && of(2.0) > 0.8);
/// ```
#[must_use]
pub fn mmd2_unbiased(reference: &[Vec<f64>], window: &[Vec<f64>], bandwidth: Bandwidth) -> Option<f64> {
    let sigma = bandwidth.sigma(reference, window)?;
    let (reference, window) = (sound_rows(reference), sound_rows(window));
    let (n, m) = (reference.len(), window.len());
    let same = reference.first()?.len() == window.first()?.len();
    if n < 2 || m < 2 || !same {
        return None;
    }
    let gamma = 1.0 / (2.0 * sigma * sigma);
    let inside = |rows: &[&[f64]]| {
        let count = rows.len() as f64;
        2.0 * pairs(rows).map(|square| (-gamma * square).exp()).sum::<f64>() / (count * (count - 1.0))
    };
    let across = reference.iter().flat_map(|a| window.iter().map(|b| (-gamma * square_distance(a, b)).exp()));
    Some(inside(&reference) + inside(&window) - 2.0 * across.sum::<f64>() / (n as f64 * m as f64))
}

/// Squared distances of all pairs of different rows, each pair once.
fn pairs(rows: &[&[f64]]) -> impl Iterator<Item = f64> {
    rows.iter().enumerate().flat_map(|(i, a)| rows.iter().skip(i + 1).map(|b| square_distance(a, b)))
}

fn square_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_spread_have_no_bandwidth() {
        let point = vec![vec![1.0]; 5];
        assert_eq!(mmd2_unbiased(&point, &point, Bandwidth::ReferenceMedian), None);
        assert_eq!(mmd2_unbiased(&point, &point, Bandwidth::CrossMedian), None);
        assert_eq!(mmd2_unbiased(&point, &point, Bandwidth::Sigma(f64::NAN)), None);
        assert_eq!(mmd2_unbiased(&point, &point, Bandwidth::Sigma(1.0)), Some(0.0));
        assert_eq!(mmd2_unbiased(&[], &point, Bandwidth::Sigma(1.0)), None);
        assert_eq!(mmd2_unbiased(&point, &[vec![1.0, 2.0], vec![2.0, 1.0]], Bandwidth::Sigma(1.0)), None);
    }

    #[test]
    fn the_median_rules_are_those_of_a_small_example() {
        let (reference, window) = ([vec![0.0], vec![1.0], vec![3.0]], [vec![1.0], vec![2.0]]);
        // Nine squared distances: 0 0 0 1 1 4 4 9 9; the place 3 + 3 - 1 holds 4.
        let sigma = Bandwidth::ReferenceMedian.sigma(&reference, &window).unwrap();
        assert!((sigma - 2f64.sqrt()).abs() < 1e-15);
        // Six distances: 0 1 1 1 2 2.
        let sigma = Bandwidth::CrossMedian.sigma(&reference, &window).unwrap();
        assert!((sigma - 0.5f64.sqrt()).abs() < 1e-15);
    }
}
