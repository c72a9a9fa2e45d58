//! `NannyML` 0.13.1: univariate drift methods on a chunk against the whole reference.
//!
//! Source: the package's `drift/univariate/methods.py`. Realised and estimated performance are in
//! [`crate::performance`] and [`crate::estimate`], thresholds from chunks in [`crate::quality::Limits`], the
//! reconstruction error in [`crate::multivariate::pca`]. Not offered: the domain classifier.

use crate::contingency::ChiSquare;
use crate::divergence::{hellinger, jensen_shannon, l_infinity};
use crate::samples::wasserstein;

use super::histogram::{Rule, count};
use super::{finite, ks_samples, scipy_contingency};

/// Reference rows from which two methods are estimated on equal-width bins.
const LARGE_REFERENCE: usize = 10_000;
/// How many such bins.
const ESTIMATION_BINS: usize = 10_000;

/// A drift method of the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `jensen_shannon`: distance in base 2; Doane bins of the reference and one bin for all outside them, or categories
    /// and one for all unseen ones.
    JensenShannon,
    /// `hellinger` on the same bins.
    Hellinger,
    /// `kolmogorov_smirnov`: D, exact up to 9,999 reference rows, else on 10,000 bins of equal width.
    KolmogorovSmirnov,
    /// `wasserstein`: in the unit of the data, exact or estimated likewise.
    Wasserstein,
    /// `l_infinity`: the largest difference of shares of a category.
    LInfinity,
}

impl Method {
    /// Every method offered; chi-square is [`chi2`].
    pub const ALL: [Self; 5] =
        [Self::JensenShannon, Self::Hellinger, Self::KolmogorovSmirnov, Self::Wasserstein, Self::LInfinity];

    /// The tool's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JensenShannon => "jensen_shannon",
            Self::Hellinger => "hellinger",
            Self::KolmogorovSmirnov => "kolmogorov_smirnov",
            Self::Wasserstein => "wasserstein",
            Self::LInfinity => "l_infinity",
        }
    }

    /// The value for two numeric samples; `None` if one has no finite value or the method is not for numbers.
    #[must_use]
    pub fn numeric(self, reference: &[f64], window: &[f64]) -> Option<f64> {
        let (reference, window) = (finite(reference), finite(window));
        if reference.is_empty() || window.is_empty() {
            return None;
        }
        let large = reference.len() >= LARGE_REFERENCE;
        match self {
            Self::JensenShannon => {
                let (reference, window) = binned(&reference, &window)?;
                Some(jensen_shannon(&reference, &window)?.distance_base_2())
            }
            Self::Hellinger => {
                let (reference, window) = binned(&reference, &window)?;
                hellinger(&reference, &window)
            }
            Self::KolmogorovSmirnov if large => Estimation::new(&reference, &window)?.ks(),
            Self::KolmogorovSmirnov => Some(ks_samples(&reference, &window)?.statistic),
            Self::Wasserstein if large => Estimation::new(&reference, &window)?.wasserstein(),
            Self::Wasserstein => wasserstein(&reference, &window),
            Self::LInfinity => None,
        }
    }

    /// The value for counts per category; `None` if a side is empty or the method is not for categories.
    #[must_use]
    pub fn categorical(self, reference: &[u64], window: &[u64]) -> Option<f64> {
        match self {
            Self::JensenShannon => {
                let (reference, window) = unseen_as_one(reference, window);
                Some(jensen_shannon(&reference, &window)?.distance_base_2())
            }
            Self::Hellinger => {
                let (reference, window) = unseen_as_one(reference, window);
                hellinger(&reference, &window)
            }
            Self::LInfinity => l_infinity(reference, window),
            Self::KolmogorovSmirnov | Self::Wasserstein => None,
        }
    }
}

/// `chi2`: the contingency table with unseen categories as columns, Yates' correction on two by two; drift below 0.05.
#[must_use]
pub fn chi2(reference: &[u64], window: &[u64]) -> Option<ChiSquare> {
    scipy_contingency(reference, window)
}

/// Counts on Doane bins of the reference, and one more for what lies outside its range.
fn binned(reference: &[f64], window: &[f64]) -> Option<(Vec<u64>, Vec<u64>)> {
    let edges = Rule::Doane.edges(reference)?;
    let with_rest = |sample: &[f64]| {
        let mut counts = count(sample, &edges);
        counts.push(sample.len() as u64 - crate::counts::total(&counts));
        counts
    };
    Some((with_rest(reference), with_rest(window)))
}

/// Categories of the reference, and one more for all that only the window has.
fn unseen_as_one(reference: &[u64], window: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let pairs = || reference.iter().copied().zip(window.iter().copied());
    let unseen = pairs().filter(|(r, _)| *r == 0).fold(0u64, |sum, (_, w)| sum.saturating_add(w));
    let (mut known, mut seen): (Vec<u64>, Vec<u64>) = pairs().filter(|(r, _)| *r > 0).unzip();
    known.push(0);
    seen.push(unseen);
    (known, seen)
}

/// Cumulative counts on 10,000 bins of equal width over the reference's range, and the window's values outside it.
struct Estimation {
    edges: Vec<f64>,
    reference: Vec<f64>,
    window: Vec<f64>,
    /// How much one row of the window weighs.
    row: f64,
    below: Vec<f64>,
    above: Vec<f64>,
}

impl Estimation {
    fn new(reference: &[f64], window: &[f64]) -> Option<Self> {
        let edges = Rule::Bins(ESTIMATION_BINS).edges(reference)?;
        let (first, last) = (*edges.first()?, *edges.last()?);
        let outside = |is: &dyn Fn(f64) -> bool| window.iter().copied().filter(|&value| is(value)).collect();
        let (below, above): (Vec<f64>, Vec<f64>) =
            (outside(&|value| value < first), outside(&|value| value > last));
        let cumulative = |sample: &[f64], start: usize| -> Vec<f64> {
            let n = sample.len() as f64;
            let steps = count(sample, &edges).into_iter().scan(start as u64, |sum, count| {
                *sum += count;
                Some(*sum as f64 / n)
            });
            steps.collect()
        };
        let (reference, row) = (cumulative(reference, 0), 1.0 / window.len() as f64);
        Some(Self { reference, window: cumulative(window, below.len()), row, below, above, edges })
    }

    /// The differences of the distribution functions at the end of each bin, the window's raised by `shift`.
    fn differences(&self, shift: f64) -> impl Iterator<Item = f64> {
        self.reference.iter().zip(&self.window).map(move |(r, w)| (r - w - shift).abs())
    }

    fn ks(&self) -> Option<f64> {
        self.differences(0.0).reduce(f64::max)
    }

    /// The area between the functions, each bin at the height of its end, and exactly beyond the reference's range.
    ///
    /// With values below the range the tool counts one row too many inside it, which is kept for parity.
    fn wasserstein(&self) -> Option<f64> {
        let shift = if self.below.is_empty() { 0.0 } else { self.row };
        let widths = self.edges.iter().zip(self.edges.iter().skip(1)).map(|(low, high)| high - low);
        let inside: f64 =
            self.differences(shift).zip(widths).map(|(difference, width)| difference * width).sum();
        let (first, last) = (*self.edges.first()?, *self.edges.last()?);
        let left: f64 = self.below.iter().map(|value| first - value).sum();
        let right: f64 = self.above.iter().map(|value| value - last).sum();
        Some(inside + (left + right) * self.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_unseen_mass_is_one_bin() {
        assert_eq!(unseen_as_one(&[3, 0, 0, 2], &[1, 4, 5, 0]), (vec![3, 2, 0], vec![1, 0, 9]));
        assert_eq!(Method::LInfinity.categorical(&[5, 5], &[0, 5]), Some(0.5));
        assert_eq!(Method::LInfinity.numeric(&[1.0], &[1.0]), None);
        assert_eq!(Method::Wasserstein.categorical(&[1], &[1]), None);
    }

    #[test]
    fn mass_outside_the_reference_counts_as_lost() {
        let reference: Vec<f64> = (0..50).map(f64::from).collect();
        let window = vec![1_000.0; 20];
        assert_eq!(Method::JensenShannon.numeric(&reference, &window), Some(1.0));
        assert_eq!(Method::Hellinger.numeric(&reference, &window), Some(1.0));
    }
}
