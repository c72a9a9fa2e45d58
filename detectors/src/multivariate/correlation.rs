//! Shift of correlations: the pair of columns whose relation changed most.
//!
//! Fisher's (1921) z makes the error of a correlation nearly normal and independent of the correlation itself. Works on
//! means and covariances, hence on mergeable sums. Not here: relations that are not linear.

use crate::distributions::normal_sf;

use super::moments::Gaussian;

/// The largest change of any correlation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CorrelationShift {
    /// The largest `|atanh r_ref - atanh r_win| / sqrt(1/(n-3) + 1/(m-3))`; infinite if only one side is a straight line.
    pub max_z: f64,
    /// The two columns it belongs to.
    pub pair: (usize, usize),
    /// Root of the sum of squared differences over the whole matrix, each pair counted twice.
    pub frobenius: f64,
    /// Chance of any pair changing that much without drift, by Bonferroni over the pairs; nearly normal rows presumed.
    pub p_value: f64,
}

/// Compares all correlations; pairs with a constant column are left out.
///
/// `None` with fewer than four rows on a side, other dimensions, or no pair left.
#[must_use]
pub fn correlation_shift(reference: &Gaussian, window: &Gaussian) -> Option<CorrelationShift> {
    let d = reference.dimensions();
    if window.dimensions() != d || reference.count < 4 || window.count < 4 {
        return None;
    }
    let deviation = (1.0 / (reference.count as f64 - 3.0) + 1.0 / (window.count as f64 - 3.0)).sqrt();
    let (mut pairs, mut squares) = (0.0, 0.0);
    let mut largest: Option<(f64, (usize, usize))> = None;
    for j in 1..d {
        for i in 0..j {
            let Some((r, w)) = reference.correlation(i, j).zip(window.correlation(i, j)) else {
                continue;
            };
            pairs += 1.0;
            squares += 2.0 * (r - w).powi(2);
            let z = if r == w { 0.0 } else { (r.atanh() - w.atanh()).abs() / deviation };
            if largest.is_none_or(|(most, _)| z > most) {
                largest = Some((z, (i, j)));
            }
        }
    }
    let (max_z, pair) = largest?;
    let p_value = (2.0 * normal_sf(max_z) * pairs).clamp(0.0, 1.0);
    Some(CorrelationShift { max_z, pair, frobenius: squares.sqrt(), p_value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(relation: impl Fn(f64) -> f64) -> Gaussian {
        let row = |i: u32| {
            let x = f64::from(i * 37 % 101);
            vec![x, relation(x), f64::from(i * 53 % 97), 1.0]
        };
        Gaussian::of_rows(&(0..200).map(row).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_pair_that_changed_is_named_and_constants_are_left_out() {
        let noise = |x: f64| (x * 7.3) % 11.0;
        let shift = correlation_shift(&rows(|x| x + noise(x)), &rows(|x| noise(x) - x)).unwrap();
        assert_eq!(shift.pair, (0, 1));
        assert!(shift.p_value < 1e-9 && shift.max_z > 10.0);
        let same = correlation_shift(&rows(noise), &rows(noise)).unwrap();
        assert_eq!((same.max_z, same.frobenius, same.p_value), (0.0, 0.0, 1.0));
    }

    #[test]
    fn a_straight_line_that_bends_is_infinitely_far() {
        let shift = correlation_shift(&rows(|x| x), &rows(|x| (x * 7.3) % 11.0)).unwrap();
        assert!(shift.max_z > 100.0 && shift.p_value == 0.0);
    }

    #[test]
    fn few_rows_or_columns_say_nothing() {
        let few = Gaussian::of_rows(&[vec![1.0, 2.0], vec![2.0, 1.0]]).unwrap();
        assert_eq!(correlation_shift(&few, &few), None);
        let one = Gaussian::of_rows(&(0..9).map(|i| vec![f64::from(i)]).collect::<Vec<_>>()).unwrap();
        assert_eq!(correlation_shift(&one, &one), None);
    }
}
