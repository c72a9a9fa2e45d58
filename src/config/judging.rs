//! The part of the tree about judging: detectors and their floors, and latency.

use anchorwatch_detectors::BatchDetector;
use anchorwatch_detectors::multiple::{Correction, adjust};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SequentialRule, Span};

/// Detectors and their thresholds. An alarm needs both: significance and an effect above its floor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Monitor {
    /// Which verdicts alert. The classical ones are always computed and exported.
    pub verdicts: Verdicts,
    /// How versions are judged whose baseline has no times, or too few windows.
    pub untimed: Untimed,
    /// Length of the windows that are judged under the false-alarm budget; references are calibrated for it.
    pub window: Span,
    /// At most one false alarm of a model, on average, in this time. Its versions that had events within the longest of
    /// `windows.horizons` share it evenly.
    pub one_false_alarm_in: FalseAlarms,
    /// Changes that stay quiet under that budget however certain they are.
    pub tolerated: Tolerated,
    /// How the detectors below decide on drift.
    pub rule: Rule,
    /// How their p-values are adjusted over the columns of a subject in one look.
    pub correction: MultipleTests,
    /// What adjusted p-values are held against; with `rule: p_value`, what each p-value is.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub false_discovery_rate: f64,
    /// Detectors by kind of column.
    pub detectors: Detectors,
    /// Effect floors of the drift detectors.
    pub floors: Floors,
    /// Largest tolerated rise of a fault's share over the reference.
    pub faults: FaultFloors,
    /// Latency judgement.
    pub latency: LatencySettings,
    /// Threshold as a multiple of the largest deviation of baseline windows of the same length.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub baseline_margin: f64,
    /// Show categories by their names in `moved`, and so in alerts, payloads and the API. Else by their place in the reference.
    pub show_categories: bool,
    /// Sequential detectors, by name; none by default.
    pub sequential: Vec<SequentialRule>,
    /// Silence of a version, in event time of the others, before `volume` alarms; absent turns it off. It is known within the
    /// longest of `windows.horizons`, and alerts whatever `verdicts` says.
    pub silence_after: Option<Span>,
}

impl Monitor {
    /// Length of the windows that are judged under the budget, in milliseconds; `None` if none are.
    #[must_use]
    pub fn watch_window(&self) -> Option<crate::subject::Millis> {
        (self.verdicts != Verdicts::Classical).then(|| self.window.millis())
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            verdicts: Verdicts::default(),
            untimed: Untimed::default(),
            window: Span::from_hours(1),
            one_false_alarm_in: FalseAlarms::default(),
            tolerated: Tolerated::default(),
            rule: Rule::default(),
            correction: MultipleTests::default(),
            false_discovery_rate: 0.01,
            detectors: Detectors::default(),
            floors: Floors::default(),
            faults: FaultFloors::default(),
            latency: LatencySettings::default(),
            baseline_margin: 1.5,
            show_categories: false,
            sequential: Vec::new(),
            silence_after: None,
        }
    }
}

/// Which verdicts become alerts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdicts {
    /// Those under the false-alarm budget; the thresholds below for versions whose reference has no calibration.
    #[default]
    Calibrated,
    /// Those of the detectors and thresholds below.
    Classical,
    /// Both.
    Both,
}

/// What judges versions whose baseline does not show how windows differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Untimed {
    /// The false-alarm budget, with wide assumptions on how windows differ, which verdicts and alerts tell of.
    #[default]
    Assumed,
    /// The classical detectors and thresholds alone, which then alert.
    Classical,
}

/// Mean time between two false alarms of a model, by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FalseAlarms {
    /// Of warnings.
    pub warning: Span,
    /// Of critical alerts.
    pub critical: Span,
}

impl Default for FalseAlarms {
    fn default() -> Self {
        Self { warning: Span::from_hours(30 * 24), critical: Span::from_hours(180 * 24) }
    }
}

/// Changes that stay quiet under the false-alarm budget however certain they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tolerated {
    /// Of a mean, in standard deviations of one event; of a slice against the rest twice as much.
    #[schemars(range(min = 0))]
    pub deviations: f64,
    /// Of the share of missing, mistyped, out-of-range or new values, as a share of rows. Of a segment's missing values five
    /// times, and of new numbers between few known ones ten times as much.
    #[schemars(range(min = 0, max = 1))]
    pub rate: f64,
    /// Of the share of a category or a label, as a share of rows.
    #[schemars(range(min = 0, max = 1))]
    pub level: f64,
    /// Of the share of a tail, as a part of that share.
    #[schemars(range(min = 0))]
    pub tail: f64,
}

impl Default for Tolerated {
    fn default() -> Self {
        Self { deviations: 0.05, rate: 0.002, level: 0.008, tail: 0.25 }
    }
}

/// How classical detectors decide on drift.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Significance after the correction, and an effect over the floor and over what windows of the baseline show.
    #[default]
    CalibratedFloor,
    /// The effect reaches the floor, whatever its size would be by chance.
    Fixed,
    /// The p-value of each column is at most `false_discovery_rate`, whatever the effect and without the correction. The
    /// statistic of a verdict is then the negative decimal logarithm of the p-value.
    PValue,
}

/// How p-values of one look are adjusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MultipleTests {
    /// False-discovery rate, for independent or positively dependent columns (Benjamini and Hochberg 1995).
    #[default]
    BenjaminiHochberg,
    /// False-discovery rate under any dependence (Benjamini and Yekutieli 2001).
    BenjaminiYekutieli,
    /// Chance of any false discovery, under any dependence (Holm 1979).
    Holm,
    /// The same; never stronger than Holm.
    Bonferroni,
    /// Each p-value as it is.
    None,
}

impl MultipleTests {
    /// The p-values of one look, adjusted.
    #[must_use]
    pub fn adjust(self, p_values: &[f64]) -> Vec<f64> {
        let correction = match self {
            Self::BenjaminiHochberg => Correction::BenjaminiHochberg,
            Self::BenjaminiYekutieli => Correction::BenjaminiYekutieli,
            Self::Holm => Correction::Holm,
            Self::Bonferroni => Correction::Bonferroni,
            Self::None => return p_values.to_vec(),
        };
        adjust(p_values, correction)
    }
}

/// A comparison of a window's profile with the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// Kolmogorov-Smirnov distance.
    Ks,
    /// Population stability index.
    Psi,
    /// Chi-square of the contingency table; judged by its effect size, Cramér's V.
    ChiSquare,
    /// Jensen-Shannon distance, base 2.
    JensenShannon,
    /// Hellinger distance.
    Hellinger,
    /// Total variation distance.
    TotalVariation,
    /// Wasserstein-1 distance over the interquartile range of the reference.
    Wasserstein,
    /// Kuiper's distance, for cyclic columns.
    Kuiper,
    /// Mann-Whitney test; judged by how far the chance that a value of the window is the larger is from one half.
    MannWhitney,
    /// Cramér-von Mises test; judged by the root mean square difference of the distribution functions.
    CramerVonMises,
    /// Anderson-Darling test; judged by the same root with the tails weighted up, and by the p-value of `ks`.
    AndersonDarling,
    /// G test of the contingency table; judged by the root of G over all rows.
    GTest,
    /// Kullback-Leibler divergence of the reference from the window, in nats.
    KullbackLeibler,
    /// Welch's t test; judged by the difference of the means over the root of the mean variance.
    Welch,
    /// Fisher's exact test or the z test of each group's share; judged by the largest difference of a share.
    Proportions,
}

impl Detector {
    /// The statistic behind it.
    #[must_use]
    pub const fn batch(self) -> BatchDetector {
        match self {
            Self::Ks => BatchDetector::Ks,
            Self::Psi => BatchDetector::Psi,
            Self::ChiSquare => BatchDetector::ChiSquare,
            Self::JensenShannon => BatchDetector::JensenShannon,
            Self::Hellinger => BatchDetector::Hellinger,
            Self::TotalVariation => BatchDetector::TotalVariation,
            Self::Wasserstein => BatchDetector::Wasserstein,
            Self::Kuiper => BatchDetector::Kuiper,
            Self::MannWhitney => BatchDetector::MannWhitney,
            Self::CramerVonMises => BatchDetector::CramerVonMises,
            Self::AndersonDarling => BatchDetector::AndersonDarling,
            Self::GTest => BatchDetector::GTest,
            Self::KullbackLeibler => BatchDetector::KullbackLeibler,
            Self::Welch => BatchDetector::Welch,
            Self::Proportions => BatchDetector::Proportions,
        }
    }
}

/// Which detectors judge which columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Detectors {
    /// Numeric columns.
    pub numeric: Vec<Detector>,
    /// Categorical and boolean columns; `ks`, `wasserstein`, `kuiper`, `mann_whitney`, `cramer_von_mises`,
    /// `anderson_darling` and `welch` do not apply to them.
    pub categorical: Vec<Detector>,
    /// All numeric columns together, in their ranks; none by default.
    pub multivariate: Vec<Multivariate>,
}

/// A comparison of the numeric columns together, by means and covariances of their ranks in the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Multivariate {
    /// Hotelling's T²; judged by the Mahalanobis distance of the means.
    HotellingT2,
    /// Residuals off the plane of the principal components; judged by the relative change of their root mean square.
    PcaReconstruction,
    /// The pair whose correlation changed most; judged by the change.
    CorrelationShift,
    /// Maximum mean discrepancy by random features of all columns, categories too; judged by the distance of their means. It
    /// needs a reference made with `--mmd`, and costs about as much an event as everything else.
    Mmd,
}

impl Multivariate {
    /// Name in verdicts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HotellingT2 => "hotelling_t2",
            Self::PcaReconstruction => "pca_reconstruction",
            Self::CorrelationShift => "correlation_shift",
            Self::Mmd => "mmd",
        }
    }
}

impl Default for Detectors {
    fn default() -> Self {
        Self {
            numeric: vec![Detector::Ks, Detector::Psi, Detector::Wasserstein],
            categorical: vec![Detector::JensenShannon, Detector::Psi],
            multivariate: Vec::new(),
        }
    }
}

/// Effect floors: changes below them stay quiet however certain they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Floors {
    /// Kolmogorov-Smirnov distance.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub ks: f64,
    /// Population stability index.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub psi: f64,
    /// Cramér's V of the chi-square test.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub chi_square: f64,
    /// Jensen-Shannon distance, base 2.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub jensen_shannon: f64,
    /// Hellinger distance.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub hellinger: f64,
    /// Total variation distance.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub total_variation: f64,
    /// Wasserstein-1 distance over the interquartile range of the reference.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub wasserstein: f64,
    /// Kuiper's distance.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub kuiper: f64,
    /// Twice the difference to one half of the chance that a value of the window is the larger.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub mann_whitney: f64,
    /// Root mean square difference of the distribution functions, of the Cramér-von Mises test.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub cramer_von_mises: f64,
    /// The same root with the tails weighted up, of the Anderson-Darling test.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub anderson_darling: f64,
    /// Root of G over all rows.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub g_test: f64,
    /// Kullback-Leibler divergence, in nats.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub kullback_leibler: f64,
    /// Difference of the means over the root of the mean variance.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub welch: f64,
    /// Largest difference of a share.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub proportions: f64,
    /// Mahalanobis distance of the means of all columns, in ranks.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub hotelling_t2: f64,
    /// Relative change of the root mean square residual.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub pca_reconstruction: f64,
    /// Change of a correlation of ranks.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 2))]
    pub correlation_shift: f64,
    /// Maximum mean discrepancy, within 0 to about 1.4.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub mmd: f64,
}

impl Default for Floors {
    fn default() -> Self {
        Self {
            ks: 0.1,
            psi: 0.1,
            chi_square: 0.1,
            jensen_shannon: 0.1,
            hellinger: 0.1,
            total_variation: 0.1,
            wasserstein: 0.1,
            kuiper: 0.1,
            mann_whitney: 0.1,
            cramer_von_mises: 0.05,
            anderson_darling: 0.15,
            g_test: 0.1,
            kullback_leibler: 0.05,
            welch: 0.2,
            proportions: 0.1,
            hotelling_t2: 0.3,
            pca_reconstruction: 0.1,
            correlation_shift: 0.2,
            mmd: 0.02,
        }
    }
}

impl Floors {
    /// The floor of a detector.
    #[must_use]
    pub const fn of(&self, detector: Detector) -> f64 {
        match detector {
            Detector::Ks => self.ks,
            Detector::Psi => self.psi,
            Detector::ChiSquare => self.chi_square,
            Detector::JensenShannon => self.jensen_shannon,
            Detector::Hellinger => self.hellinger,
            Detector::TotalVariation => self.total_variation,
            Detector::Wasserstein => self.wasserstein,
            Detector::Kuiper => self.kuiper,
            Detector::MannWhitney => self.mann_whitney,
            Detector::CramerVonMises => self.cramer_von_mises,
            Detector::AndersonDarling => self.anderson_darling,
            Detector::GTest => self.g_test,
            Detector::KullbackLeibler => self.kullback_leibler,
            Detector::Welch => self.welch,
            Detector::Proportions => self.proportions,
        }
    }

    /// The floor of a comparison of all columns.
    #[must_use]
    pub const fn of_all(&self, detector: Multivariate) -> f64 {
        match detector {
            Multivariate::HotellingT2 => self.hotelling_t2,
            Multivariate::PcaReconstruction => self.pca_reconstruction,
            Multivariate::CorrelationShift => self.correlation_shift,
            Multivariate::Mmd => self.mmd,
        }
    }
}

/// Tolerated rises of fault shares over the reference, as shares of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FaultFloors {
    /// Null or absent.
    #[schemars(range(min = 0, max = 1))]
    pub missing: f64,
    /// Another type, NaN or infinite.
    #[schemars(range(min = 0, max = 1))]
    pub wrong_type: f64,
    /// Outside the range of the reference.
    #[schemars(range(min = 0, max = 1))]
    pub out_of_range: f64,
    /// Categories that the reference does not know.
    #[schemars(range(min = 0, max = 1))]
    pub unseen: f64,
    /// Numbers that are none of the reference's values, where it has few distinct ones.
    #[schemars(range(min = 0, max = 1))]
    pub unseen_number: f64,
    /// One number repeated, over its share in the reference.
    #[schemars(range(min = 0, max = 1))]
    pub stuck: f64,
}

impl Default for FaultFloors {
    fn default() -> Self {
        Self {
            missing: 0.05,
            wrong_type: 0.01,
            out_of_range: 0.02,
            unseen: 0.02,
            unseen_number: 0.1,
            stuck: 0.2,
        }
    }
}

/// Latency judgement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LatencySettings {
    /// Quantiles compared with the reference.
    #[schemars(length(min = 1), extend("items" = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}))]
    pub quantiles: Vec<f64>,
    /// Factor over the reference's quantile that alarms.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub factor: f64,
    /// Objective in milliseconds: at most `1 - target` of predictions may take longer. Alerts while the error budget burns.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub objective_ms: Option<f64>,
    /// Share of predictions that must meet the objective.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub target: f64,
    /// Bounds of the histogram `anchorwatch_latency_seconds` in milliseconds, ascending; `[]` for none. Each is moved up to the
    /// next edge of the buckets in which latencies are counted, at most 1/16 above from 1 µs on; bounds that share an edge are one.
    #[schemars(
        length(max = 64),
        extend("items" = {"type": "number", "exclusiveMinimum": 0, "maximum": 4_000_000})
    )]
    pub buckets_ms: Vec<f64>,
}

impl Default for LatencySettings {
    fn default() -> Self {
        Self {
            quantiles: vec![0.5, 0.95, 0.99],
            factor: 1.5,
            objective_ms: None,
            target: 0.99,
            buckets_ms: vec![5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0],
        }
    }
}
