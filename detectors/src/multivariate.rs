//! Changes that no single column shows: of means together, of correlations, of structure, of embeddings.
//!
//! Here live exact statistics of raw rows and, where sums suffice, mergeable states: [`moments`] for Hotelling's T² and
//! correlations, [`random_features`] for the mean discrepancy. Not here: statistics of one column.
//!
//! A row is a slice with one finite number per dimension. Rows of another length or with other numbers are left out.

pub mod correlation;
pub mod embedding;
pub mod hotelling;
pub mod linear;
pub mod mmd;
pub mod moments;
pub mod pca;
pub mod random_features;

pub use correlation::{CorrelationShift, correlation_shift};
pub use hotelling::{Hotelling, hotelling};
pub use mmd::{Bandwidth, mmd2_unbiased};
pub use moments::{Gaussian, MomentSums, Scaling};
pub use pca::Pca;
pub use random_features::{FeatureSums, RandomFeatures};

/// Why a row was not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The row has another number of values.
    #[error("{got} values where {want} are expected")]
    WrongLength {
        /// Values in the row.
        got: usize,
        /// Dimensions of the state.
        want: usize,
    },
    /// A value is NaN or infinite.
    #[error("value {at} is not finite")]
    NotFinite {
        /// Place of the first such value.
        at: usize,
    },
}

/// Checks that a row can be counted.
pub(crate) fn check_row(row: &[f64], want: usize) -> Result<(), RowError> {
    if row.len() != want {
        return Err(RowError::WrongLength { got: row.len(), want });
    }
    match row.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(RowError::NotFinite { at }),
        None => Ok(()),
    }
}

/// The rows that can be counted together: finite and as long as the first one.
pub(crate) fn sound_rows(rows: &[Vec<f64>]) -> Vec<&[f64]> {
    let dimensions = rows.first().map_or(0, Vec::len);
    rows.iter().map(Vec::as_slice).filter(|row| check_row(row, dimensions).is_ok()).collect()
}
