//! The statistics of Anchorwatch.

pub mod batch;
pub mod binning;
pub mod contingency;
pub mod counts;
pub mod distributions;
pub mod divergence;
pub mod gap_tie;
pub mod latency;
pub mod multiple;
pub mod samples;
pub mod two_sample;

pub use batch::{BatchDetector, Score};
pub use binning::{Binning, BinningError, CategoricalBinning, NumericBinning};
pub use counts::CountsError;
pub use gap_tie::GapTie;
pub use latency::LatencySummary;
