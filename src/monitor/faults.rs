//! Data faults: shares of values that are missing, of another type, out of range or unseen.
//!
//! They are judged before drift: broken data look like drift, and the repair is another one.

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::contingency;

use crate::config::FaultFloors;
use crate::reference::{Column, ColumnCounts};

/// A way in which values can be faulty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    Missing = 0,
    WrongType = 1,
    OutOfRange = 2,
    Unseen = 3,
}

impl FaultKind {
    pub(super) const ALL: [Self; 4] = [Self::Missing, Self::WrongType, Self::OutOfRange, Self::Unseen];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::Unseen => "unseen",
        }
    }

    pub(super) const fn floor(self, floors: &FaultFloors) -> f64 {
        match self {
            Self::Missing => floors.missing,
            Self::WrongType => floors.wrong_type,
            Self::OutOfRange => floors.out_of_range,
            Self::Unseen => floors.unseen,
        }
    }
}

/// Faulty values of a kind and the values among which they were counted; `None` where the kind does not apply.
///
/// Missing and wrong type are shares of all rows; out of range and unseen are shares of the values present.
fn fault_counts(kind: FaultKind, column: &Column, counts: ColumnCounts<'_>) -> Option<(u64, u64)> {
    let edge = |cell: Option<&u64>| cell.copied().unwrap_or(0);
    match (kind, &column.binning) {
        (FaultKind::Missing, _) => Some((counts.missing, counts.total())),
        (FaultKind::WrongType, _) => Some((counts.wrong_type + counts.non_finite, counts.total())),
        (FaultKind::OutOfRange, Binning::Numeric(_)) => {
            Some((edge(counts.cells.first()) + edge(counts.cells.last()), counts.present()))
        }
        (FaultKind::Unseen, Binning::Categorical(_)) => Some((edge(counts.cells.last()), counts.present())),
        (FaultKind::OutOfRange, Binning::Categorical(_)) | (FaultKind::Unseen, Binning::Numeric(_)) => None,
    }
}

/// Share of a fault; `None` where it does not apply or nothing was counted.
pub(super) fn fault_rate(kind: FaultKind, column: &Column, counts: ColumnCounts<'_>) -> Option<f64> {
    let (faulty, total) = fault_counts(kind, column, counts)?;
    (total > 0).then(|| faulty as f64 / total as f64)
}

/// A fault's share in the window beside the reference's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FaultScore {
    pub(super) kind: FaultKind,
    pub(super) reference: f64,
    pub(super) window: f64,
    pub(super) p_value: f64,
}

/// Compares the shares of every applicable fault; the p-value is one-sided, for a rise.
pub(super) fn scores<'a>(
    column: &'a Column,
    reference: ColumnCounts<'a>,
    window: ColumnCounts<'a>,
) -> impl Iterator<Item = FaultScore> + 'a {
    FaultKind::ALL.into_iter().filter_map(move |kind| {
        let (normal, normal_total) = fault_counts(kind, column, reference)?;
        let (faulty, total) = fault_counts(kind, column, window)?;
        if total == 0 || normal_total == 0 {
            return None;
        }
        Some(FaultScore {
            kind,
            reference: normal as f64 / normal_total as f64,
            window: faulty as f64 / total as f64,
            p_value: rise_p_value((normal, normal_total), (faulty, total)),
        })
    })
}

/// One-sided p-value of a rise from the reference's proportion to the window's, each as `(hits, of)`.
fn rise_p_value(reference: (u64, u64), window: (u64, u64)) -> f64 {
    match contingency::two_proportions(reference, window) {
        Some(test) if test.window > test.reference => test.p_value / 2.0,
        _ => 1.0,
    }
}
