//! The statistics of Anchorwatch.

pub mod binning;
pub mod counts;
pub mod latency;

pub use binning::{Binning, BinningError, CategoricalBinning, NumericBinning};
pub use counts::CountsError;
pub use latency::LatencySummary;
