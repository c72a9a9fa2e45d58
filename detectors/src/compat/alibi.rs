//! Alibi Detect 0.13.0: per-feature tests on raw samples; its discrepancy is [`crate::multivariate::mmd`].
//!
//! Source: the package's `cd` modules. Results there are of single precision, here of double. Not offered: learned
//! kernels, context-aware and online discrepancies, LSDD, classifiers.

use crate::contingency::{ChiSquare, TwoByTwo, fisher_exact as fisher_two_sided, odds_ratio};
use crate::distributions::lattice::Alternative;
use crate::two_sample::rank::RankTest;

use super::{ks_samples, scipy_contingency, scipy_cramer_von_mises};

/// `KSDrift`: the distance, and the p-value by the finite-size law, never the exact one.
///
/// The p-value is `None` for a single pair of values, whose effective size rounds to 0.
#[must_use]
pub fn ks(reference: &[f64], window: &[f64]) -> Option<(f64, Option<f64>)> {
    let ks = ks_samples(reference, window)?;
    Some((ks.statistic, ks.p_finite()))
}

/// `CVMDrift`: `SciPy`'s choice of the exact or the limit law.
#[must_use]
pub fn cramer_von_mises(reference: &[f64], window: &[f64]) -> Option<RankTest> {
    scipy_cramer_von_mises(reference, window)
}

/// `ChiSquareDrift`: the contingency table with unseen categories as columns, Yates' correction on two by two.
#[must_use]
pub fn chi_square(reference: &[u64], window: &[u64]) -> Option<ChiSquare> {
    scipy_contingency(reference, window)
}

/// `FETDrift`: odds ratio and p-value of the second of two categories being more frequent in the window (`Greater`, the
/// default), less frequent, or either.
///
/// `None` unless there are two categories; the odds ratio is infinite if only its denominator is zero.
#[must_use]
pub fn fisher_exact(reference: &[u64], window: &[u64], alternative: Alternative) -> Option<RankTest> {
    let (&[r0, r1], &[w0, w1]) = (reference, window) else {
        return None;
    };
    let table = [[w1, r1], [w0, r0]];
    let p_value = match alternative {
        Alternative::TwoSided => fisher_two_sided(table)?,
        Alternative::Greater => upper_tail(table)?,
        Alternative::Less => upper_tail([[r1, w1], [r0, w0]])?,
    };
    Some(RankTest { statistic: odds_ratio(table).unwrap_or(f64::NAN), p_value })
}

/// The chance of a first cell at least this large with these margins; `None` beyond ten million steps.
fn upper_tail([[a, b], [c, d]]: TwoByTwo) -> Option<f64> {
    let (row, column) = (a.checked_add(b)?, a.checked_add(c)?);
    let other_row = c.checked_add(d)?;
    let (low, high) = (column.saturating_sub(other_row), row.min(column));
    if high - low > 10_000_000 {
        return None;
    }
    // Weights relative to that of `a`, outwards both ways: none overflows that matters to the ratio.
    let ratio = |x: u64| {
        let up = (row - x) as f64 * (column - x) as f64;
        up / ((x + 1) as f64 * ((other_row + x + 1) - column) as f64)
    };
    let walk = |weight: &mut f64, factor: f64| {
        *weight *= factor;
        Some(*weight)
    };
    let above: f64 = (a..high).scan(1.0, |weight, x| walk(weight, ratio(x))).sum();
    let below: f64 = (low..a).rev().scan(1.0, |weight, x| walk(weight, 1.0 / ratio(x))).sum();
    let tail = (1.0 + above) / (1.0 + above + below);
    Some(if tail.is_finite() {
        tail
    } else if below.is_finite() {
        1.0
    } else {
        0.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sided_tails_overlap_in_the_table_itself() {
        let p = |alternative| fisher_exact(&[6, 4], &[3, 7], alternative).unwrap().p_value;
        let (greater, less) = (p(Alternative::Greater), p(Alternative::Less));
        assert!(greater < less && greater + less > 1.0);
        assert!((greater - 34_166.0 / 184_756.0).abs() < 1e-12, "{greater}");
        assert_eq!(fisher_exact(&[1, 2, 3], &[1, 2, 3], Alternative::Less), None);
    }
}
