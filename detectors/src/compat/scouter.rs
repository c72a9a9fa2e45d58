//! Scouter's population stability index: quantile bins of the reference, `1e-10` added to each share.
//!
//! Source: the crate's `psi` module. Its default threshold takes the reference as exact, which fires too often when the
//! reference is not much larger than the window.

use crate::distributions::chi_square_isf;
use crate::divergence::{Smoothing, group, psi as stability_index, quantile_groups};

/// The index on `bins` quantile bins; `None` if a sample has no finite value or there is no bin.
#[must_use]
pub fn psi(reference: &[f64], window: &[f64], bins: usize) -> Option<f64> {
    let pooled = super::pooled(reference, window);
    let groups = quantile_groups(&pooled.reference, bins);
    let (reference, window) = (group(&pooled.reference, &groups), group(&pooled.window, &groups));
    stability_index(&reference, &window, Smoothing::Add(1e-10))
}

/// The default threshold for a window of `m` values: the 95 % point of chi-square with `bins - 1` degrees, over `m`.
///
/// `None` for an empty window or fewer than two bins.
#[must_use]
pub fn psi_threshold(m: u64, bins: usize) -> Option<f64> {
    let df = bins.checked_sub(1).filter(|&df| df > 0)?;
    (m > 0).then(|| chi_square_isf(0.05, df as f64).map(|point| point / m as f64))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_bin_costs_two_where_a_tenth_of_the_mass_was() {
        let reference: Vec<f64> = (0..100).map(f64::from).collect();
        let window: Vec<f64> = (10..100).map(f64::from).collect();
        assert!((psi(&reference, &window, 10).unwrap() - 2.08).abs() < 0.01);
        assert!((psi_threshold(1_000, 10).unwrap() - 0.016_919).abs() < 1e-5);
        assert_eq!((psi_threshold(0, 10), psi_threshold(10, 1)), (None, None));
    }
}
