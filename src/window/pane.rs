//! One pane: the counts of one subject in the smallest slice of event time. Dense while events arrive, sparse after.

use anchorwatch_detectors::counts::{decode_sparse, encode_sparse, merge};

/// Counts of a pane in its reference's layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pane {
    /// Flat counters, ready to be incremented.
    Dense(Vec<u64>),
    /// The same counters, packed.
    Sparse(Vec<u8>),
}

impl Pane {
    pub(super) fn new(len: usize) -> Self {
        Self::Dense(vec![0; len])
    }

    /// The counters, unpacked if need be. A packed pane that does not fit `len` is taken as empty: its length was
    /// checked when it was restored, and it was packed by this program.
    pub(super) fn dense(&mut self, len: usize) -> &mut [u64] {
        if let Self::Sparse(bytes) = self {
            *self = Self::Dense(decode_sparse(bytes, len).unwrap_or_else(|_| vec![0; len]));
        }
        match self {
            Self::Dense(counts) => counts,
            Self::Sparse(_) => &mut [],
        }
    }

    /// Packs the counters.
    pub(super) fn pack(&mut self) {
        if let Self::Dense(counts) = self {
            *self = Self::Sparse(encode_sparse(counts));
        }
    }

    pub(super) fn is_dense(&self) -> bool {
        matches!(self, Self::Dense(_))
    }

    /// The packed form, for a checkpoint.
    pub(super) fn packed(&self) -> Vec<u8> {
        match self {
            Self::Dense(counts) => encode_sparse(counts),
            Self::Sparse(bytes) => bytes.clone(),
        }
    }

    /// A copy of the counters.
    pub(super) fn counts(&self, len: usize) -> Vec<u64> {
        match self {
            Self::Dense(counts) => counts.clone(),
            Self::Sparse(bytes) => decode_sparse(bytes, len).unwrap_or_else(|_| vec![0; len]),
        }
    }

    /// Adds the counters to a window's.
    pub(super) fn add_to(&self, total: &mut [u64]) {
        match self {
            Self::Dense(counts) => merge(total, counts),
            Self::Sparse(_) => merge(total, &self.counts(total.len())),
        }
    }
}
