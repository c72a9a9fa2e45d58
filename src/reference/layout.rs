//! The flat layout of counters: one block per column, then latency, on which baselines and panes are both counted; then what
//! only panes count.

use anchorwatch_detectors::latency::BUCKETS;

use super::{Column, NEW_VALUES};

/// Slots after the cells of a column, one per way a value can fail to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Null or absent.
    Missing = 0,
    /// NaN or infinite.
    NonFinite = 1,
    /// Another type than the reference's.
    WrongType = 2,
}

/// Number of [`Fault`] slots of a column.
const FAULTS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    offset: usize,
    cells: usize,
    /// Index of the first counter of different new values, if the column has them.
    new_values: Option<usize>,
}

/// Offsets of every counter in a flat array: `[rows, column blocks…, latency buckets, latency missing, latency invalid,
/// different new values of columns…, joint terms…]`. A baseline's own profile ends with latency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    blocks: Vec<Block>,
    latency: usize,
    joint: usize,
    len: usize,
}

/// The counters of one column, borrowed from a flat array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnCounts<'a> {
    /// Counts per cell of the binning, in its order.
    pub cells: &'a [u64],
    /// Null or absent values.
    pub missing: u64,
    /// NaN and infinities.
    pub non_finite: u64,
    /// Values of another type.
    pub wrong_type: u64,
}

impl ColumnCounts<'_> {
    /// Values that fell on the binning.
    #[must_use]
    pub fn present(&self) -> u64 {
        self.cells.iter().sum()
    }

    /// All rows that this column was counted for.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.present() + self.missing + self.non_finite + self.wrong_type
    }
}

impl Layout {
    /// Slot that counts rows (predictions).
    pub const ROWS: usize = 0;

    /// The layout of these columns, in their order.
    #[must_use]
    pub fn new(columns: &[Column]) -> Self {
        let mut offset = Self::ROWS + 1;
        let blocks = columns
            .iter()
            .map(|column| {
                let block = Block { offset, cells: column.binning.cells(), new_values: None };
                offset += block.cells + FAULTS;
                block
            })
            .collect();
        let joint = offset + BUCKETS + 2;
        Self { blocks, latency: offset, joint, len: joint }
    }

    /// The same layout with counters of different new values for each of the columns that tell them apart; before joint
    /// terms.
    #[must_use]
    pub fn with_new_values(mut self, columns: &[Column]) -> Self {
        for (block, _) in self.blocks.iter_mut().zip(columns).filter(|(_, column)| column.tells_new_values())
        {
            block.new_values = Some(self.joint);
            self.joint += NEW_VALUES;
        }
        Self { len: self.joint, ..self }
    }

    /// The same layout with `terms` counters of joint terms at its end.
    #[must_use]
    pub fn with_joint(self, terms: usize) -> Self {
        Self { len: self.joint + terms, ..self }
    }

    #[cfg(test)]
    pub(super) fn of_joint_only(terms: usize) -> Self {
        Self::new(&[]).with_joint(terms)
    }

    /// Index of the joint counter at this place.
    #[must_use]
    pub fn joint(&self, place: usize) -> usize {
        self.joint + place
    }

    /// Number of counters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Always false: there is at least the row counter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.blocks.len()
    }

    /// Index of `slot` (from [`Column::slot`]) of the column at position `column`.
    #[must_use]
    pub fn index(&self, column: usize, slot: usize) -> usize {
        self.blocks[column].offset + slot
    }

    /// Index of the counter of this one among the places of a column's new values; `None` if they are not told apart.
    #[must_use]
    pub fn new_value(&self, column: usize, place: usize) -> Option<usize> {
        self.blocks.get(column)?.new_values.map(|first| first + place % NEW_VALUES)
    }

    /// The counters of a column's different new values; `None` if they are not told apart.
    #[must_use]
    pub fn new_values<'a>(&self, counts: &'a [u64], column: usize) -> Option<&'a [u64]> {
        let first = self.blocks.get(column)?.new_values?;
        counts.get(first..first + NEW_VALUES)
    }

    /// Index of a latency bucket.
    #[must_use]
    pub fn latency_bucket(&self, bucket: usize) -> usize {
        self.latency + bucket
    }

    /// Index of the counter of events without a latency.
    #[must_use]
    pub fn latency_missing(&self) -> usize {
        self.latency + BUCKETS
    }

    /// Index of the counter of negative or non-finite latencies.
    #[must_use]
    pub fn latency_invalid(&self) -> usize {
        self.latency + BUCKETS + 1
    }

    /// The counters of the column at position `column`.
    #[must_use]
    pub fn column<'a>(&self, counts: &'a [u64], column: usize) -> ColumnCounts<'a> {
        let Block { offset, cells, .. } = self.blocks[column];
        ColumnCounts {
            cells: &counts[offset..offset + cells],
            missing: counts[offset + cells + Fault::Missing as usize],
            non_finite: counts[offset + cells + Fault::NonFinite as usize],
            wrong_type: counts[offset + cells + Fault::WrongType as usize],
        }
    }

    /// The latency buckets.
    #[must_use]
    pub fn latency<'a>(&self, counts: &'a [u64]) -> &'a [u64] {
        &counts[self.latency..self.latency + BUCKETS]
    }
}
