//! The statistics of Anchorwatch: two profiles in, one score out.
//!
//! Nothing here reads a file, a clock or a socket, starts a thread, or draws a random number; nothing panics, whatever the
//! input. What cannot be answered is `None`. A profile is a flat slice of counts over the cells of a [`Binning`], so it
//! merges and subtracts exactly.
//!
//! | Module | What lives there |
//! |---|---|
//! | [`binning`] | from a value to the cell that counts it; choice of knots; labels |
//! | [`calibrated`] | many quantities under one false-alarm budget: season, variance, scan, e-detector |
//! | [`counts`] | merging and subtracting counts; their compact encoding |
//! | [`gap_tie`] | the counting state of a numeric column with sums per gap |
//! | [`latency`] | 512 buckets of latencies; quantiles, shares above an objective, burn rates |
//! | [`batch`] | the list of detectors and the one way to call them |
//! | [`two_sample`] | statistics of order: Kolmogorov–Smirnov, Kuiper, ranks, Wasserstein |
//! | [`divergence`] | statistics without order: PSI, Jensen–Shannon, Hellinger, total variation |
//! | [`contingency`] | tables of categories: chi-square, G, Fisher, two proportions |
//! | [`multiple`] | many tests at one look: adjusted p-values, e-BH |
//! | [`performance`] | metrics of labelled predictions: classification, regression, calibration |
//! | [`estimate`] | performance without labels: CBPE, calibration, label shift |
//! | [`quality`] | missing, out-of-range and unseen rates; limits from chunks |
//! | [`multivariate`] | several columns at once: Hotelling, correlations, PCA, mean discrepancy |
//! | [`burn`] | burn rates of an error budget on paired windows |
//! | [`compat`] | what other tools compute, convention by convention |
//! | [`samples`] | statistics of raw samples |
//! | [`sequential`] | detectors of a change in a stream, one value at a time |
//! | [`distributions`] | tail probabilities and intervals alone |
//!
//! ```
//! use anchorwatch_detectors::{BatchDetector, Binning, NumericBinning};
//!
//! let baseline: Vec<f64> = (0..1000).map(f64::from).collect();
//! let binning = NumericBinning::from_sorted_values(&baseline, 256)?;
//! let reference = binning.count(&baseline);
//! let window = binning.count(&[700.0, 810.0, 930.0, 955.0, 990.0]);
//! let score = BatchDetector::Ks.score(&Binning::Numeric(binning), &reference, &window).expect("both have values");
//! assert!(score.statistic > 0.65 && score.p_value.expect("KS has a law") < 0.05);
//! # Ok::<(), anchorwatch_detectors::BinningError>(())
//! ```

pub mod batch;
pub mod binning;
pub mod burn;
pub mod calibrated;
pub mod compat;
pub mod contingency;
pub mod counts;
pub mod distributions;
pub mod divergence;
pub mod estimate;
pub mod fixed_point;
pub mod gap_tie;
pub mod latency;
pub mod multiple;
pub mod multivariate;
pub mod performance;
pub mod quality;
pub mod samples;
pub mod sequential;
pub mod two_sample;

pub use batch::{BatchDetector, Score};
pub use binning::{Binning, BinningError, CategoricalBinning, NumericBinning};
pub use counts::CountsError;
pub use gap_tie::GapTie;
pub use latency::LatencySummary;
