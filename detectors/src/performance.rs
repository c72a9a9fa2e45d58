//! Realised performance: how good predictions were, once the labels are known.
//!
//! Each metric comes in two ways: from raw arrays, and from a state of integers per pane that merges over partitions and
//! subtracts when a pane leaves a window. Not here: performance without labels ([`crate::estimate`]), and the join of
//! predictions with late labels.
//!
//! What divides zero by zero is undefined and `None`, never 0: a precision without predicted positives is not bad, it is
//! unknown.

pub mod calibration;
pub mod classes;
pub mod classification;
pub mod confusion;
pub mod delay_curve;
pub mod ranking;
pub mod regression;

pub use calibration::{CalibrationBins, ProbabilityState};
pub use classes::{ClassConfusion, OfClass};
pub use classification::{ClassificationMetrics, ClassificationState};
pub use confusion::Confusion;
pub use delay_curve::{DelayCurve, Weighted};
pub use ranking::{Area, Within};
pub use regression::{RegressionMetrics, RegressionScale, RegressionState};
