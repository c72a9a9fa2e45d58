//! `NumPy`'s histograms: edges of equal width by its named rules, and counts between them.
//!
//! All rules take finite values. Edges of equal width move with every extreme value, which is why this crate bins by
//! quantiles of the reference and keeps these for comparison only.

use crate::samples::{Moments, quantile_linear, sorted};

/// More bins than this are never made; a rule that asks for more is answered with `None`.
pub const MOST_BINS: f64 = 1e6;

/// How many bins of equal width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// So many.
    Bins(usize),
    /// Sturges (1926): `log2 n + 1`.
    Sturges,
    /// Doane (1976): Sturges with a term for skewness.
    Doane,
    /// The finer of Sturges and of Freedman and Diaconis (1981).
    Auto,
}

impl Rule {
    /// The edges for a sample, at least two; `None` if it is empty, has no finite range, or the rule asks for no bin or
    /// more than [`MOST_BINS`].
    ///
    /// A constant sample gets one bin from half below to half above.
    #[must_use]
    pub fn edges(self, sample: &[f64]) -> Option<Vec<f64>> {
        let moments = sample.iter().all(|value| value.is_finite()).then(|| Moments::new(sample))??;
        let (low, high) = if moments.min == moments.max {
            (moments.min - 0.5, moments.max + 0.5)
        } else {
            (moments.min, moments.max)
        };
        let range = moments.max - moments.min;
        let bins = match self.width(sample, &moments) {
            None => 1.0,
            Some(Width::Bins(bins)) => bins as f64,
            Some(Width::Each(width)) => ((high - low) / width).ceil(),
        };
        let sound = range.is_finite() && (1.0..=MOST_BINS).contains(&bins);
        sound.then(|| linspace(low, high, bins as usize))
    }

    /// What the rule asks for; `None` for one bin.
    fn width(self, sample: &[f64], moments: &Moments) -> Option<Width> {
        let n = moments.count as f64;
        let range = moments.max - moments.min;
        let sturges = range / (n.log2() + 1.0);
        let width = match self {
            Self::Bins(bins) => return Some(Width::Bins(bins)),
            Self::Sturges => sturges,
            Self::Doane => doane(sample, moments, range)?,
            Self::Auto => {
                let sample = sorted(sample);
                let spread = quantile_linear(&sample, 0.75)? - quantile_linear(&sample, 0.25)?;
                let freedman_diaconis = 2.0 * spread / n.cbrt();
                if freedman_diaconis > 0.0 { freedman_diaconis.min(sturges) } else { sturges }
            }
        };
        (width > 0.0).then_some(Width::Each(width))
    }
}

enum Width {
    Bins(usize),
    Each(f64),
}

fn doane(sample: &[f64], moments: &Moments, range: f64) -> Option<f64> {
    let n = moments.count as f64;
    let deviation = moments.variance_population().sqrt();
    if n <= 2.0 || deviation == 0.0 {
        return None;
    }
    let skewness = sample.iter().map(|x| ((x - moments.mean) / deviation).powi(3)).sum::<f64>() / n;
    let error = (6.0 * (n - 2.0) / ((n + 1.0) * (n + 3.0))).sqrt();
    Some(range / (1.0 + n.log2() + (1.0 + skewness.abs() / error).log2()))
}

/// `bins + 1` points from `low` to `high` in equal steps, both ends exact.
#[must_use]
pub fn linspace(low: f64, high: f64, bins: usize) -> Vec<f64> {
    let step = (high - low) / bins as f64;
    (0..bins).map(|place| place as f64 * step + low).chain([high]).collect()
}

/// Counts values between edges: each bin has its lower edge, the last one both; values outside count nowhere.
#[must_use]
pub fn count(sample: &[f64], edges: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; edges.len().saturating_sub(1)];
    let last = counts.len().saturating_sub(1);
    for &value in sample {
        let inside = edges.last().is_some_and(|&end| value <= end);
        let bin = edges.partition_point(|&edge| edge <= value).checked_sub(1).filter(|_| inside);
        if let Some(count) = bin.and_then(|bin| counts.get_mut(bin.min(last))) {
            *count += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_samples_get_one_bin_or_none() {
        assert_eq!(Rule::Sturges.edges(&[]), None);
        assert_eq!(Rule::Doane.edges(&[3.0, 3.0]), Some(vec![2.5, 3.5]));
        assert_eq!(Rule::Bins(0).edges(&[1.0, 2.0]), None);
        assert_eq!(Rule::Auto.edges(&[f64::MIN, f64::MAX]), None);
        assert_eq!(Rule::Bins(2).edges(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn the_last_bin_has_both_its_edges() {
        assert_eq!(count(&[0.0, 1.0, 2.0, 2.1, -0.1, f64::NAN], &[0.0, 1.0, 2.0]), [1, 2]);
        assert_eq!(count(&[1.0], &[]), Vec::<u64>::new());
        assert_eq!(count(&[1.0], &[1.0]), Vec::<u64>::new());
    }
}
