//! Evidently 0.7.23: its tests by name, their default thresholds, and which one it picks by itself.
//!
//! Source: the package's `calculations/stattests` and `calculations/data_drift`. Not offered: tests by unseeded permutation
//! (`empirical_mmd`, `TVD`), the domain classifier of texts, and its one-sided Mann–Whitney test.

use crate::contingency::{ChiSquare, fisher_exact, reference_as_expected, two_proportion_z};
use crate::counts::total;
use crate::distributions::chi_square_sf;
use crate::divergence::jensen_shannon;
use crate::samples::epps_singleton::epps_singleton;
use crate::samples::{Moments, energy_distance, student_t, wasserstein};
use crate::two_sample::rank::{AndersonDarling, anderson_darling};

use super::histogram::{Rule, count};
use super::{finite, ks_samples, pooled, scipy_cramer_von_mises, scipy_ks_p_value};

/// Distinct reference values up to which a numeric column is binned by value.
const FEW_VALUES: usize = 20;
/// Reference rows up to which significance tests are the default.
const SMALL_REFERENCE: u64 = 1_000;
/// The least deviation that a Wasserstein distance is divided by.
const LEAST_DEVIATION: f64 = 0.001;

/// How a column is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Numbers.
    Numeric,
    /// Categories.
    Categorical,
}

/// A statistical test of the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Test {
    /// `ks`: p-value of `SciPy`'s `ks_2samp`.
    Ks,
    /// `psi`: Sturges bins over the pooled range, or one per value; zeros to 1e-4 or a millionth of the smallest share.
    Psi,
    /// `jensenshannon`: the distance in base e on the same bins, without filling.
    JensenShannon,
    /// `kl_div`: of reference from window, on the filled bins, renormalised.
    Kl,
    /// `hellinger`: Sturges edges on the *distinct* pooled values, as densities; on categories as usual.
    Hellinger,
    /// `wasserstein`: over the population deviation of the reference, at least 0.001.
    Wasserstein,
    /// `anderson`: p-value of the two-sample Anderson–Darling test, clipped to 0.001–0.25.
    Anderson,
    /// `t_test`: p-value of Student's t with equal variances.
    TTest,
    /// `ed`: the energy distance, in the root of the unit.
    Energy,
    /// `es`: p-value of Epps and Singleton.
    EppsSingleton,
    /// `cramer_von_mises`: p-value, exact up to 20 rows, where the tool's own loses digits under `NumPy` 2.
    CramerVonMises,
    /// `chisquare`: p-value of the window against the reference as truth; any unseen category gives 0.
    ChiSquare,
    /// `z`: two-sided p-value of two proportions, of all categories but the first.
    Z,
    /// `g_test`: p-value against the reference's counts as they are; an error unless both sides have as many rows.
    GTest,
    /// `fisher_exact`: two-sided p-value of a two-by-two table; an error unless both sides have as many rows.
    FisherExact,
}

impl Test {
    /// Every test offered.
    pub const ALL: [Self; 15] = [
        Self::Ks,
        Self::Psi,
        Self::JensenShannon,
        Self::Kl,
        Self::Hellinger,
        Self::Wasserstein,
        Self::Anderson,
        Self::TTest,
        Self::Energy,
        Self::EppsSingleton,
        Self::CramerVonMises,
        Self::ChiSquare,
        Self::Z,
        Self::GTest,
        Self::FisherExact,
    ];

    /// The tool's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ks => "ks",
            Self::Psi => "psi",
            Self::JensenShannon => "jensenshannon",
            Self::Kl => "kl_div",
            Self::Hellinger => "hellinger",
            Self::Wasserstein => "wasserstein",
            Self::Anderson => "anderson",
            Self::TTest => "t_test",
            Self::Energy => "ed",
            Self::EppsSingleton => "es",
            Self::CramerVonMises => "cramer_von_mises",
            Self::ChiSquare => "chisquare",
            Self::Z => "z",
            Self::GTest => "g_test",
            Self::FisherExact => "fisher_exact",
        }
    }

    /// Whether the value is a p-value, which alarms when small; otherwise a distance, which alarms when large.
    #[must_use]
    pub fn is_p_value(self) -> bool {
        !matches!(
            self,
            Self::Psi | Self::JensenShannon | Self::Kl | Self::Hellinger | Self::Wasserstein | Self::Energy
        )
    }

    /// The threshold by default.
    #[must_use]
    pub fn threshold(self) -> f64 {
        match self {
            Self::Ks | Self::TTest | Self::EppsSingleton | Self::ChiSquare | Self::Z => 0.05,
            Self::Psi
            | Self::JensenShannon
            | Self::Kl
            | Self::Hellinger
            | Self::Wasserstein
            | Self::Anderson
            | Self::Energy
            | Self::CramerVonMises
            | Self::GTest
            | Self::FisherExact => 0.1,
        }
    }

    /// Whether the tool calls this value drift; an undefined value is none.
    #[must_use]
    pub fn drifts(self, value: Option<f64>, threshold: f64) -> bool {
        value.is_some_and(|value| match self {
            Self::Ks | Self::CramerVonMises => value <= threshold,
            Self::Energy => value > threshold,
            _ if self.is_p_value() => value < threshold,
            _ => value >= threshold,
        })
    }

    /// The value for two numeric samples; `None` if one has no finite value or the test is not for numbers.
    ///
    /// ```
    /// use anchorwatch_detectors::compat::evidently::Test;
    /// let (reference, window) = ([1.0, 2.0, 3.0], [2.0, 4.0]);
    /// assert!((Test::Wasserstein.numeric(&reference, &window).expect("numbers") - 1.224744871391589).abs() < 1e-12);
    /// ```
    #[must_use]
    pub fn numeric(self, reference: &[f64], window: &[f64]) -> Option<f64> {
        let (reference, window) = (finite(reference), finite(window));
        if reference.is_empty() || window.is_empty() {
            return None;
        }
        match self {
            Self::Ks => scipy_ks_p_value(&ks_samples(&reference, &window)?),
            Self::Psi | Self::JensenShannon | Self::Kl => {
                let (reference, window) = binned(&reference, &window)?;
                self.of_counts(&reference, &window)
            }
            Self::Hellinger => hellinger_densities(&reference, &window),
            Self::Wasserstein => {
                let deviation = Moments::new(&reference)?.variance_population().sqrt();
                Some(wasserstein(&reference, &window)? / deviation.max(LEAST_DEVIATION))
            }
            Self::Anderson => {
                let pooled = pooled(&reference, &window);
                let test = anderson_darling(&pooled.reference, &pooled.window, AndersonDarling::Midrank)?;
                Some(test.p_value)
            }
            Self::TTest => Some(student_t(&Moments::new(&reference)?, &Moments::new(&window)?)?.p_value),
            Self::Energy => energy_distance(&reference, &window),
            Self::EppsSingleton => Some(epps_singleton(&reference, &window, [0.4, 0.8])?.p_value),
            Self::CramerVonMises => Some(scipy_cramer_von_mises(&reference, &window)?.p_value),
            Self::ChiSquare | Self::Z | Self::GTest | Self::FisherExact => {
                let pooled = pooled(&reference, &window);
                self.categorical(&pooled.reference, &pooled.window)
            }
        }
    }

    /// The value for counts per category, in the sorted order of their names; `None` if a side is empty, the lists differ
    /// in length, or the test is not for categories.
    #[must_use]
    pub fn categorical(self, reference: &[u64], window: &[u64]) -> Option<f64> {
        if total(reference) == 0 || total(window) == 0 || reference.len() != window.len() {
            return None;
        }
        self.of_counts(reference, window)
    }

    fn of_counts(self, reference: &[u64], window: &[u64]) -> Option<f64> {
        let used: Vec<(u64, u64)> =
            reference.iter().copied().zip(window.iter().copied()).filter(|(r, w)| *r > 0 || *w > 0).collect();
        let (n, m) = (total(reference), total(window));
        let (first_r, first_w) = used.first().copied()?;
        match self {
            Self::Psi => {
                let pairs = filled(reference).into_iter().zip(filled(window));
                Some(pairs.map(|(p, q)| (p - q) * (p / q).ln()).sum())
            }
            Self::Kl => {
                let (p, q) = (filled(reference), filled(window));
                let (p_sum, q_sum) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
                Some(p.iter().zip(&q).map(|(p, q)| p / p_sum * (p / p_sum / (q / q_sum)).ln()).sum())
            }
            Self::JensenShannon => Some(jensen_shannon(reference, window)?.distance()),
            Self::Hellinger => {
                let share = |(r, w): &(u64, u64)| (*r as f64 / n as f64 * (*w as f64 / m as f64)).sqrt();
                let overlap: f64 = used.iter().map(share).sum();
                Some((1.0 - overlap.clamp(0.0, 1.0)).sqrt())
            }
            Self::ChiSquare => reference_as_expected(reference, window)?.p_value,
            Self::Z => Some(two_proportion_z((n - first_r, n), (m - first_w, m))?.1),
            Self::GTest => g_against_counts(&used)?.p_value,
            Self::FisherExact => {
                let [a, b] = <[(u64, u64); 2]>::try_from(used).ok().filter(|_| n == m)?;
                fisher_exact([[a.0, b.0], [a.1, b.1]])
            }
            _ => None,
        }
    }
}

/// The test the tool picks for a column, by reference rows and distinct pooled values.
#[must_use]
pub fn default_test(column: ColumnType, reference_rows: u64, distinct: u64) -> Test {
    let small = reference_rows <= SMALL_REFERENCE;
    match (column, distinct) {
        (ColumnType::Numeric, 6..) => {
            if small {
                Test::Ks
            } else {
                Test::Wasserstein
            }
        }
        (ColumnType::Numeric | ColumnType::Categorical, 3..) => {
            if small {
                Test::ChiSquare
            } else {
                Test::JensenShannon
            }
        }
        (ColumnType::Numeric | ColumnType::Categorical, _) => {
            if small {
                Test::Z
            } else {
                Test::JensenShannon
            }
        }
    }
}

/// The share of columns of an embedding whose Wasserstein distance reaches `limit`; `None` without rows or columns.
///
/// The tool calls the embedding drifted if more than 0.2 of the columns are, by default.
#[must_use]
pub fn embedding_ratio(reference: &[Vec<f64>], window: &[Vec<f64>], limit: f64) -> Option<f64> {
    let columns = reference.first()?.len();
    let column = |rows: &[Vec<f64>], j: usize| -> Vec<f64> {
        rows.iter().filter_map(|row| row.get(j)).copied().collect()
    };
    let drifted = (0..columns)
        .filter(|&j| {
            let value = Test::Wasserstein.numeric(&column(reference, j), &column(window, j));
            Test::Wasserstein.drifts(value, limit)
        })
        .count();
    (columns > 0 && !window.is_empty()).then(|| drifted as f64 / columns as f64)
}

/// Counts on Sturges bins of the pooled range, or per value if the reference has at most 20 of them.
fn binned(reference: &[f64], window: &[f64]) -> Option<(Vec<u64>, Vec<u64>)> {
    let pooled = pooled(reference, window);
    if pooled.reference.iter().filter(|&&count| count > 0).count() <= FEW_VALUES {
        return Some((pooled.reference, pooled.window));
    }
    let all: Vec<f64> = reference.iter().chain(window).copied().collect();
    let edges = Rule::Sturges.edges(&all)?;
    Some((count(reference, &edges), count(window, &edges)))
}

/// Shares with zeros filled: to 1e-4, or to a millionth of the smallest share if that is no larger than 1e-4.
fn filled(counts: &[u64]) -> Vec<f64> {
    let n = total(counts) as f64;
    let least = counts.iter().copied().filter(|&count| count > 0).min().unwrap_or(0) as f64 / n;
    let fill = if least <= 0.0001 { least / 1e6 } else { 0.0001 };
    counts.iter().map(|&count| if count == 0 { fill } else { count as f64 / n }).collect()
}

/// The distance of densities on Sturges edges of the distinct values.
fn hellinger_densities(reference: &[f64], window: &[f64]) -> Option<f64> {
    let values = pooled(reference, window).values;
    let edges = Rule::Sturges.edges(&values)?;
    // A density times its width is a share again.
    let shares = |sample: &[f64]| -> Vec<f64> {
        count(sample, &edges).into_iter().map(|count| count as f64 / sample.len() as f64).collect()
    };
    let overlap: f64 = shares(reference).iter().zip(shares(window)).map(|(p, q)| (p * q).sqrt()).sum();
    let distance = (1.0 - overlap.clamp(0.0, 1.0)).sqrt();
    distance.is_finite().then_some(distance)
}

/// G of the window's counts against the reference's own; `None` unless both sides have as many rows, as the tool raises.
fn g_against_counts(pairs: &[(u64, u64)]) -> Option<ChiSquare> {
    let (n, m) =
        pairs.iter().fold((0u64, 0u64), |(n, m), (r, w)| (n.saturating_add(*r), m.saturating_add(*w)));
    if n != m {
        return None;
    }
    let term = |(r, w): &(u64, u64)| {
        if *w == 0 { 0.0 } else { 2.0 * *w as f64 * (*w as f64 / *r as f64).ln() }
    };
    let statistic: f64 = pairs.iter().map(term).sum();
    let df = pairs.len().saturating_sub(1);
    Some(ChiSquare { statistic, df, p_value: chi_square_sf(statistic, df as f64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_swings_with_the_number_of_reference_rows() {
        assert_eq!(default_test(ColumnType::Numeric, 1_000, 500), Test::Ks);
        assert_eq!(default_test(ColumnType::Numeric, 1_001, 500), Test::Wasserstein);
        assert_eq!(default_test(ColumnType::Categorical, 10, 500), Test::ChiSquare);
    }

    #[test]
    fn one_outlier_in_the_reference_hides_a_large_shift_from_equal_width_bins() {
        let mut reference: Vec<f64> = (0..500).map(|i| f64::from(i) / 100.0).collect();
        let window: Vec<f64> = reference.iter().map(|x| x + 4.0).collect();
        assert!(Test::Psi.numeric(&reference, &window).unwrap() > 1.0);
        reference.push(1e6);
        assert!(Test::Psi.numeric(&reference, &window).unwrap() < 0.1);
    }

    #[test]
    fn what_the_tool_refuses_is_undefined() {
        assert_eq!(Test::GTest.categorical(&[5, 5], &[5, 6]), None);
        assert_eq!(Test::FisherExact.categorical(&[5, 5], &[5, 6]), None);
        assert_eq!(Test::Ks.numeric(&[f64::NAN], &[1.0]), None);
        assert_eq!(Test::Ks.categorical(&[1], &[1]), None);
        assert!(!Test::TTest.drifts(None, 0.05));
    }
}
