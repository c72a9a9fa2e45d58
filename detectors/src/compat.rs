//! What other monitoring tools compute, convention by convention, for moving over and for comparing.
//!
//! Each submodule is one tool, at a named version, and takes raw samples or counts per category; where a tool uses a
//! statistic of this crate with other bins or another default, only the difference stands there. Not here: a tool's bugs
//! (the guide lists them), and anything this crate would choose by itself.
//!
//! A numeric sample drops NaN and infinities first. Counts are per category, reference and window aligned, over all
//! categories that either has. What a tool answers with an error or NaN is `None`.

use crate::contingency::{ChiSquare, ChiSquareOptions, chi_square};
use crate::distributions::lattice::ks_two_sample_sf;
use crate::samples::Pooled;
use crate::two_sample::rank::{RankTest, cramer_von_mises_exact};
use crate::two_sample::{Alternative, Ks, cramer_von_mises, ks};

pub mod alibi;
pub mod evidently;
pub mod frouros;
pub mod histogram;
pub mod nannyml;
pub mod scouter;
pub mod whylogs;

/// The largest sample for which `SciPy`'s `ks_2samp` chooses the exact law by itself.
const SCIPY_EXACT_KS: u64 = 10_000;
/// The largest sample for which `SciPy`'s `cramervonmises_2samp` does.
const SCIPY_EXACT_CVM: u64 = 20;

/// The finite values of a sample.
#[must_use]
pub fn finite(sample: &[f64]) -> Vec<f64> {
    sample.iter().copied().filter(|value| value.is_finite()).collect()
}

/// Two samples as counts over their distinct finite values.
fn pooled(reference: &[f64], window: &[f64]) -> Pooled {
    Pooled::new(&finite(reference), &finite(window))
}

/// The Kolmogorov–Smirnov distance of two samples; `None` if one is empty.
fn ks_samples(reference: &[f64], window: &[f64]) -> Option<Ks> {
    let pooled = pooled(reference, window);
    ks(&pooled.reference, &pooled.window)
}

/// The p-value that `SciPy`'s `ks_2samp` gives with `method="auto"`: exact up to 10,000 values on the larger side.
///
/// Costs `n·m` steps, up to a second: for comparison, not for every window.
#[must_use]
pub fn scipy_ks_p_value(ks: &Ks) -> Option<f64> {
    if ks.n.max(ks.m) > SCIPY_EXACT_KS {
        return ks.p_finite();
    }
    let lcm = ks.n.checked_mul(ks.m)? / crate::distributions::lattice::gcd(ks.n, ks.m).max(1);
    let h = (ks.statistic * lcm as f64).round() as u64;
    ks_two_sample_sf(ks.n, ks.m, h, Alternative::TwoSided).or_else(|| ks.p_finite())
}

/// `SciPy`'s `cramervonmises_2samp` with `method="auto"`: exact up to 20 values on the larger side.
///
/// `None` with fewer than two values on a side.
#[must_use]
pub fn scipy_cramer_von_mises(reference: &[f64], window: &[f64]) -> Option<RankTest> {
    let pooled = pooled(reference, window);
    let (n, m) = (crate::counts::total(&pooled.reference), crate::counts::total(&pooled.window));
    if n < 2 || m < 2 {
        return None;
    }
    let test = cramer_von_mises(&pooled.reference, &pooled.window)?;
    let exact = if n.max(m) <= SCIPY_EXACT_CVM {
        cramer_von_mises_exact(&pooled.reference, &pooled.window)
    } else {
        None
    };
    Some(RankTest { p_value: exact.unwrap_or(test.p_value), ..test })
}

/// `SciPy`'s `chi2_contingency` as it is by default: Yates' correction on a two-by-two table, none on others.
#[must_use]
pub fn scipy_contingency(reference: &[u64], window: &[u64]) -> Option<ChiSquare> {
    let used = reference.iter().zip(window).filter(|(r, w)| **r > 0 || **w > 0).count();
    chi_square(reference, window, ChiSquareOptions { yates: used == 2, pool_below: None })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_sample_makes_a_convention_panic(
            a in proptest::collection::vec(any::<f64>(), 0..40), b in proptest::collection::vec(any::<f64>(), 0..40),
            counts in proptest::collection::vec((0u64..9, 0u64..9), 0..8),
        ) {
            let (reference, window): (Vec<u64>, Vec<u64>) = counts.into_iter().unzip();
            for test in evidently::Test::ALL {
                std::hint::black_box((test.numeric(&a, &b), test.categorical(&reference, &window)));
            }
            for method in nannyml::Method::ALL {
                std::hint::black_box((method.numeric(&a, &b), method.categorical(&reference, &window)));
            }
            for distance in frouros::Distance::ALL {
                std::hint::black_box((distance.of_samples(&a, &b, 10), distance.of_samples(&a, &b, 0)));
            }
            std::hint::black_box((whylogs::hellinger(&a, &b), whylogs::chi_square(&reference, &window)));
            std::hint::black_box((alibi::ks(&a, &b), alibi::fisher_exact(&reference, &window, Alternative::Less)));
            std::hint::black_box(scouter::psi(&a, &b, 10));
        }
    }
}
