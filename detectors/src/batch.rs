//! The list of detectors that judge one window against one reference, and one way to call them all.
//!
//! Adding a detector is a function elsewhere in this crate and one line in each match here; the conformance suite walks
//! [`BatchDetector::ALL`]. Not here: thresholds, error control, and what an alarm does.

mod moved;

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use self::moved::{proportions, standardised_means, standardised_wasserstein};
use crate::binning::Binning;
use crate::contingency::{ChiSquareOptions, chi_square, g_test};
use crate::counts::total;
use crate::distributions::lattice::Alternative;
use crate::divergence::{
    Smoothing, eighth_p_value, group, hellinger, jensen_shannon, kl, psi, psi_p_value, quantile_groups,
    total_variation,
};
use crate::two_sample::ks;
use crate::two_sample::rank::{
    AndersonDarling, anderson_darling_square, cramer_von_mises, mann_whitney, mean_square_difference,
};

/// Quantile groups into which numeric cells are gathered for detectors that ignore order.
pub const GROUPS: usize = 10;
/// Expected counts below which columns of a contingency table are pooled.
const SPARSE: f64 = 5.0;

/// A statistic of two profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchDetector {
    /// Population stability index on ten quantile groups, or on categories.
    Psi,
    /// Kolmogorov–Smirnov distance; numeric only.
    Ks,
    /// Chi-square test of homogeneity; the statistic is Cramér's V, `sqrt(χ² / (n + m))`, which does not grow with size.
    ChiSquare,
    /// Jensen–Shannon distance in base 2.
    JensenShannon,
    /// Hellinger distance.
    Hellinger,
    /// Total variation distance.
    TotalVariation,
    /// Wasserstein-1 distance over the reference's interquartile range; numeric only.
    Wasserstein,
    /// Kuiper's distance, the sum of both one-sided ones; numeric only.
    Kuiper,
    /// Mann–Whitney test; the statistic is `|2 A - 1|`, where `A` is the chance that a value of the window is the larger;
    /// numeric only.
    MannWhitney,
    /// Cramér–von Mises test; the statistic is the root mean square difference of the two distribution functions over the
    /// pooled values, at most `sqrt(1/3)`; numeric only.
    CramerVonMises,
    /// Anderson–Darling test; the statistic is the same root with the tails weighted up, `sqrt(A² (1/n + 1/m))`, without
    /// upper bound. Its table of p-values ends at 0.001, too coarse for a family of columns: it gives none. Numeric only.
    AndersonDarling,
    /// G test of homogeneity; the statistic is `sqrt(G / (n + m))`, which does not grow with size, at most `sqrt(2 ln 2)`.
    GTest,
    /// Kullback–Leibler divergence of the reference from the window in nats, on the groups of the PSI and smoothed as it.
    KullbackLeibler,
    /// Welch's t test on the middles of cells; the statistic is Cohen's (1988) d, the difference of the means over the root
    /// of the mean variance; numeric only.
    Welch,
    /// Tests of two proportions, one for each group or category, by Bonferroni; the statistic is the largest difference of
    /// a share.
    Proportions,
}

/// What a detector says of a window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The size of the change, at least 0; for its range see the detector.
    pub statistic: f64,
    /// The chance of at least this statistic without drift, at this one look; `None` if no law is known.
    pub p_value: Option<f64>,
    /// Size of the reference.
    pub n: u64,
    /// Size of the window.
    pub m: u64,
}

impl BatchDetector {
    /// Every detector.
    pub const ALL: [Self; 15] = [
        Self::Psi,
        Self::Ks,
        Self::ChiSquare,
        Self::JensenShannon,
        Self::Hellinger,
        Self::TotalVariation,
        Self::Wasserstein,
        Self::Kuiper,
        Self::MannWhitney,
        Self::CramerVonMises,
        Self::AndersonDarling,
        Self::GTest,
        Self::KullbackLeibler,
        Self::Welch,
        Self::Proportions,
    ];

    /// The name in configuration, metrics and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Psi => "psi",
            Self::Ks => "ks",
            Self::ChiSquare => "chi_square",
            Self::JensenShannon => "jensen_shannon",
            Self::Hellinger => "hellinger",
            Self::TotalVariation => "total_variation",
            Self::Wasserstein => "wasserstein",
            Self::Kuiper => "kuiper",
            Self::MannWhitney => "mann_whitney",
            Self::CramerVonMises => "cramer_von_mises",
            Self::AndersonDarling => "anderson_darling",
            Self::GTest => "g_test",
            Self::KullbackLeibler => "kullback_leibler",
            Self::Welch => "welch",
            Self::Proportions => "proportions",
        }
    }

    /// Whether the detector can judge columns of this kind.
    #[must_use]
    pub fn applies_to(self, binning: &Binning) -> bool {
        matches!(binning, Binning::Numeric(_)) || !self.looks_at_order()
    }

    /// Whether the order of cells matters, so that it cannot judge categories.
    fn looks_at_order(self) -> bool {
        match self {
            Self::Ks
            | Self::Wasserstein
            | Self::Kuiper
            | Self::MannWhitney
            | Self::CramerVonMises
            | Self::AndersonDarling
            | Self::Welch => true,
            Self::Psi
            | Self::ChiSquare
            | Self::JensenShannon
            | Self::Hellinger
            | Self::TotalVariation
            | Self::GTest
            | Self::KullbackLeibler
            | Self::Proportions => false,
        }
    }

    /// A statistic that the detector never exceeds; infinite if there is none.
    #[must_use]
    pub fn upper_bound(self) -> f64 {
        match self {
            Self::Psi | Self::Wasserstein | Self::AndersonDarling | Self::KullbackLeibler | Self::Welch => {
                f64::INFINITY
            }
            Self::GTest => (2.0 * std::f64::consts::LN_2).sqrt(),
            Self::Ks
            | Self::ChiSquare
            | Self::JensenShannon
            | Self::Hellinger
            | Self::TotalVariation
            | Self::Kuiper
            | Self::MannWhitney
            | Self::CramerVonMises
            | Self::Proportions => 1.0,
        }
    }

    /// Compares a window with a reference, both counted over the cells of `binning`.
    ///
    /// `None` if a profile is empty or has other cells, or if the detector does not apply to the column.
    ///
    /// ```
    /// use anchorwatch_detectors::{BatchDetector, Binning, CategoricalBinning};
    /// let binning = Binning::Categorical(CategoricalBinning::new(vec!["a".into(), "b".into()])?);
    /// let score = BatchDetector::TotalVariation.score(&binning, &[50, 50, 0], &[25, 50, 25]).expect("enough data");
    /// assert_eq!((score.statistic, score.n, score.m), (0.25, 100, 100));
    /// # Ok::<(), anchorwatch_detectors::BinningError>(())
    /// ```
    #[must_use]
    pub fn score(self, binning: &Binning, reference: &[u64], window: &[u64]) -> Option<Score> {
        self.judge(binning, reference, window, true)
    }

    /// The statistic alone, without the cost of the exact p-value; `None` as for [`BatchDetector::score`].
    #[must_use]
    pub fn statistic(self, binning: &Binning, reference: &[u64], window: &[u64]) -> Option<f64> {
        self.judge(binning, reference, window, false).map(|score| score.statistic)
    }

    fn judge(self, binning: &Binning, reference: &[u64], window: &[u64], with_p: bool) -> Option<Score> {
        let (n, m) = (total(reference), total(window));
        let fits = reference.len() == binning.cells() && window.len() == binning.cells();
        if n == 0 || m == 0 || !fits || !self.applies_to(binning) {
            return None;
        }
        let (statistic, p_value) = if self.looks_at_order() {
            self.of_order(binning, reference, window, with_p)?
        } else {
            let (reference, window) = grouped(binning, reference, window);
            self.of_groups(&reference, &window, n, m, with_p)?
        };
        Some(Score { statistic, p_value, n, m })
    }

    /// The detectors that look at the order of cells.
    fn of_order(
        self,
        binning: &Binning,
        reference: &[u64],
        window: &[u64],
        with_p: bool,
    ) -> Option<(f64, Option<f64>)> {
        match self {
            Self::Ks => ks(reference, window).map(|ks| (ks.statistic, with_p.then(|| ks.p_value()))),
            Self::Wasserstein => Some((standardised_wasserstein(binning, reference, window)?, None)),
            Self::Kuiper => {
                ks(reference, window).map(|ks| (ks.kuiper().min(1.0), with_p.then(|| ks.p_kuiper())))
            }
            Self::MannWhitney => {
                let test = mann_whitney(reference, window)?;
                let effect = (2.0 * test.probability_window_larger() - 1.0).abs().min(1.0);
                Some((effect, with_p.then(|| test.p_value(Alternative::TwoSided))))
            }
            Self::CramerVonMises => {
                let test = cramer_von_mises(reference, window)?;
                let distance = mean_square_difference(reference, window)?.sqrt();
                Some((distance, with_p.then_some(test.p_value)))
            }
            Self::AndersonDarling => {
                let a2 = anderson_darling_square(reference, window, AndersonDarling::Midrank)?;
                Some(((a2.max(0.0) * scale_of(reference, window)).sqrt(), None))
            }
            Self::Welch => {
                let (d, test) = standardised_means(binning, reference, window)?;
                Some((d, test.filter(|_| with_p)))
            }
            Self::Psi
            | Self::ChiSquare
            | Self::JensenShannon
            | Self::Hellinger
            | Self::TotalVariation
            | Self::GTest
            | Self::KullbackLeibler
            | Self::Proportions => None,
        }
    }

    /// The detectors that ignore the order of groups.
    fn of_groups(
        self,
        reference: &[u64],
        window: &[u64],
        n: u64,
        m: u64,
        with_p: bool,
    ) -> Option<(f64, Option<f64>)> {
        let bins = reference.len();
        let p = |of: &dyn Fn() -> Option<f64>| if with_p { of() } else { None };
        match self {
            Self::Psi => {
                let psi = psi(reference, window, Smoothing::default())?;
                Some((psi, p(&|| psi_p_value(psi, n, m, bins))))
            }
            Self::ChiSquare => {
                let options = ChiSquareOptions { yates: false, pool_below: Some(SPARSE) };
                let test = chi_square(reference, window, options)?;
                let cramers_v = (test.statistic / (n as f64 + m as f64)).sqrt().min(1.0);
                Some((cramers_v, test.p_value))
            }
            Self::JensenShannon => {
                let divergence = jensen_shannon(reference, window)?;
                Some((divergence.distance_base_2(), p(&|| eighth_p_value(divergence.nats, n, m, bins))))
            }
            Self::Hellinger => {
                let distance = hellinger(reference, window)?;
                Some((distance, p(&|| eighth_p_value(distance * distance, n, m, bins))))
            }
            Self::TotalVariation => Some((total_variation(reference, window)?, None)),
            Self::GTest => {
                let test = g_test(reference, window)?;
                Some(((test.statistic.max(0.0) / (n as f64 + m as f64)).sqrt(), test.p_value))
            }
            Self::KullbackLeibler => {
                let nats = kl(reference, window, Smoothing::default())?;
                // Either direction is half of the PSI for small changes.
                Some((nats.max(0.0), p(&|| psi_p_value(2.0 * nats.max(0.0), n, m, bins))))
            }
            Self::Proportions => {
                let (largest, p_value) = proportions(reference, window, n, m)?;
                Some((largest, p_value.filter(|_| with_p)))
            }
            Self::Ks
            | Self::Wasserstein
            | Self::Kuiper
            | Self::MannWhitney
            | Self::CramerVonMises
            | Self::AndersonDarling
            | Self::Welch => None,
        }
    }
}

/// What of a column's reference every comparison needs again, worked out once: its size and its quantile groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    n: u64,
    used: usize,
    /// Empty for categories, whose groups depend on the window too.
    groups: Vec<Range<usize>>,
    grouped: Vec<u64>,
}

impl Baseline {
    /// The baseline of a column, counted over the cells of `binning`.
    #[must_use]
    pub fn new(binning: &Binning, reference: &[u64]) -> Self {
        let groups = match binning {
            Binning::Numeric(_) => quantile_groups(reference, GROUPS),
            Binning::Categorical(_) => Vec::new(),
        };
        Self {
            n: total(reference),
            used: reference.iter().filter(|count| **count > 0).count(),
            grouped: group(reference, &groups),
            groups,
        }
    }

    /// Puts a window beside the reference that this baseline was made of.
    ///
    /// `None` if either is empty or has other cells than `binning`.
    ///
    /// ```
    /// use anchorwatch_detectors::{BatchDetector, Binning, NumericBinning, batch::Baseline};
    /// let values: Vec<f64> = (0..500).map(f64::from).collect();
    /// let numeric = NumericBinning::from_sorted_values(&values, 64)?;
    /// let (reference, window) = (numeric.count(&values), numeric.count(&values[300..]));
    /// let binning = Binning::Numeric(numeric);
    /// let baseline = Baseline::new(&binning, &reference);
    /// let pair = baseline.beside(&binning, &reference, &window).expect("neither is empty");
    /// assert_eq!(pair.score(BatchDetector::Psi), BatchDetector::Psi.score(&binning, &reference, &window));
    /// # Ok::<(), anchorwatch_detectors::BinningError>(())
    /// ```
    #[must_use]
    pub fn beside<'a>(
        &'a self,
        binning: &'a Binning,
        reference: &'a [u64],
        window: &'a [u64],
    ) -> Option<Comparison<'a>> {
        let m = total(window);
        let fits = reference.len() == binning.cells() && window.len() == binning.cells();
        if self.n == 0 || m == 0 || !fits {
            return None;
        }
        let groups = match binning {
            Binning::Numeric(_) => (Cow::Borrowed(&*self.grouped), group(window, &self.groups)),
            Binning::Categorical(_) => {
                let (reference, window) = grouped(binning, reference, window);
                (Cow::Owned(reference), window)
            }
        };
        let bins = match binning {
            Binning::Numeric(_) => GROUPS.min(self.used),
            Binning::Categorical(_) => groups.1.len(),
        };
        Some(Comparison { binning, reference, window, n: self.n, m, groups, bins })
    }
}

/// A window beside its reference, grouped once for all detectors of the column.
#[derive(Debug, Clone)]
pub struct Comparison<'a> {
    binning: &'a Binning,
    reference: &'a [u64],
    window: &'a [u64],
    n: u64,
    m: u64,
    groups: (Cow<'a, [u64]>, Vec<u64>),
    bins: usize,
}

impl Comparison<'_> {
    /// The same as [`BatchDetector::score`] of the two.
    #[must_use]
    pub fn score(&self, detector: BatchDetector) -> Option<Score> {
        self.judge(detector, true)
    }

    /// The same as [`BatchDetector::statistic`] of the two.
    #[must_use]
    pub fn statistic(&self, detector: BatchDetector) -> Option<f64> {
        self.judge(detector, false).map(|score| score.statistic)
    }

    fn judge(&self, detector: BatchDetector, with_p: bool) -> Option<Score> {
        if !detector.applies_to(self.binning) {
            return None;
        }
        let (n, m) = (self.n, self.m);
        let (statistic, p_value) = if detector.looks_at_order() {
            detector.of_order(self.binning, self.reference, self.window, with_p)?
        } else {
            detector.of_groups(&self.groups.0, &self.groups.1, n, m, with_p)?
        };
        Some(Score { statistic, p_value, n, m })
    }

    /// Bins on which detectors that ignore order compare: quantile groups of numbers, at most as many as the reference
    /// uses cells, or categories that either side uses.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.bins
    }
}

/// `1/n + 1/m`: what a test's statistic is scaled by to become the size of a change.
fn scale_of(reference: &[u64], window: &[u64]) -> f64 {
    1.0 / total(reference) as f64 + 1.0 / total(window) as f64
}

/// Quantile groups of a numeric column; of a categorical one the cells that either profile uses.
fn grouped(binning: &Binning, reference: &[u64], window: &[u64]) -> (Vec<u64>, Vec<u64>) {
    match binning {
        Binning::Numeric(_) => {
            let groups = quantile_groups(reference, GROUPS);
            (group(reference, &groups), group(window, &groups))
        }
        Binning::Categorical(_) => {
            let used = reference.iter().zip(window).filter(|(r, w)| **r > 0 || **w > 0);
            used.map(|(&r, &w)| (r, w)).unzip()
        }
    }
}
