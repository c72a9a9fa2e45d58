//! The statistics of Anchorwatch.

pub mod binning;
pub mod counts;
pub mod distributions;
pub mod latency;
pub mod samples;
pub mod two_sample;

pub use binning::{Binning, BinningError, CategoricalBinning, NumericBinning};
pub use counts::CountsError;
pub use latency::LatencySummary;
