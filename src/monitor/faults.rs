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
    Stuck = 4,
}

impl FaultKind {
    pub(super) const ALL: [Self; 5] =
        [Self::Missing, Self::WrongType, Self::OutOfRange, Self::Unseen, Self::Stuck];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::Unseen => "unseen",
            Self::Stuck => "stuck",
        }
    }

    pub(super) const fn floor(self, floors: &FaultFloors, binning: &Binning) -> f64 {
        match (self, binning) {
            (Self::Missing, _) => floors.missing,
            (Self::WrongType, _) => floors.wrong_type,
            (Self::OutOfRange, _) => floors.out_of_range,
            (Self::Unseen, Binning::Categorical(_)) => floors.unseen,
            (Self::Unseen, Binning::Numeric(_)) => floors.unseen_number,
            (Self::Stuck, _) => floors.stuck,
        }
    }
}

/// What every window needs again of a column's reference.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReferenceSide {
    present: u64,
    /// First and last cell that hold anything.
    span: Option<(usize, usize)>,
    /// Values seen just once, if every value lies on one of the points.
    once: Option<u64>,
}

impl ReferenceSide {
    pub(super) fn new(reference: ColumnCounts<'_>) -> Self {
        let cells = reference.cells;
        let span = span(cells.iter().copied());
        let once = || cells.iter().filter(|count| **count == 1).count() as u64;
        let on_points = span.is_some_and(|(low, high)| low % 2 == 1 && gaps(cells, low, high) == 0);
        Self { present: reference.present(), span, once: on_points.then(once) }
    }
}

/// One column's counts in a window, with the reference's beside them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) column: &'a Column,
    pub(super) reference: ColumnCounts<'a>,
    pub(super) window: ColumnCounts<'a>,
    /// Values present in the reference and in the window: summed once, since every kind of fault asks for them.
    present: [u64; 2],
    known: ReferenceSide,
}

/// `(faulty, of)` in the reference and in the window.
type Rates = ((u64, u64), (u64, u64));

/// The rates of a column by the kinds of [`FaultKind::ALL`]; `None` where a kind does not apply.
pub(super) type AllRates = [Option<Rates>; FaultKind::ALL.len()];

impl<'a> Sides<'a> {
    pub(super) fn new(
        column: &'a Column,
        (reference, known): (ColumnCounts<'a>, ReferenceSide),
        window: ColumnCounts<'a>,
    ) -> Self {
        Self { column, reference, window, present: [known.present, window.present()], known }
    }

    /// Values present in the reference and in the window.
    pub(super) const fn present(&self) -> [u64; 2] {
        self.present
    }

    /// Rows that the column was counted for, in the reference and in the window.
    pub(super) fn totals(&self) -> [u64; 2] {
        let absent = |side: &ColumnCounts<'_>| side.missing + side.non_finite + side.wrong_type;
        [self.present[0] + absent(&self.reference), self.present[1] + absent(&self.window)]
    }

    /// The rates of every kind.
    pub(super) fn all_rates(&self) -> AllRates {
        FaultKind::ALL.map(|kind| self.counts(kind))
    }

    /// Faulty values of a kind and the values among which they were counted; `None` where the kind does not apply.
    ///
    /// Missing and wrong type are shares of all rows, the others of the values present. A category is unseen if the
    /// reference does not know it; a number, if the reference has few distinct values and it is none of them. A number
    /// is stuck if one value takes a far larger share than it has in the reference.
    fn counts(&self, kind: FaultKind) -> Option<Rates> {
        let of = |[reference, window]: [u64; 2], faulty: fn(&ColumnCounts<'_>) -> u64| {
            Some(((faulty(&self.reference), reference), (faulty(&self.window), window)))
        };
        match (kind, &self.column.binning) {
            (FaultKind::Missing, _) => of(self.totals(), |side| side.missing),
            (FaultKind::WrongType, _) => of(self.totals(), |side| side.wrong_type + side.non_finite),
            (FaultKind::OutOfRange, Binning::Numeric(_)) => of(self.present, |side| outer(side.cells)),
            (FaultKind::Unseen, Binning::Categorical(_)) => of(self.present, |side| last(side.cells)),
            (FaultKind::Unseen, Binning::Numeric(_)) => self.off_grid(),
            (FaultKind::Stuck, Binning::Numeric(_)) => self.heaviest(),
            (FaultKind::OutOfRange | FaultKind::Stuck, Binning::Categorical(_)) => None,
        }
    }

    /// Numbers between the known ones, if the reference knows every one of its values. What the reference saw only
    /// once counts as unseen there, since that is how often something new comes (Good 1953).
    fn off_grid(&self) -> Option<Rates> {
        let ((low, high), once) = self.known.span.zip(self.known.once)?;
        Some(((once, self.present[0]), (gaps(self.window.cells, low, high), self.present[1])))
    }

    /// The cell within the range of the reference that holds most of the window, the last of several, and what it holds of
    /// the reference.
    fn heaviest(&self) -> Option<Rates> {
        let (low, high) = self.known.span?;
        let within = self.window.cells.get(low..=high)?;
        let most = largest(within);
        let cell = low + within.iter().rposition(|count| *count == most)?;
        let normal = self.reference.cells.get(cell)?;
        Some(((*normal, self.present[0]), (most, self.present[1])))
    }

    /// Share of the window that nothing else in the reference resembles, where the window is a part of the reference:
    /// what would have been unseen had the window come later. For numbers, within the range of the rest.
    pub(super) fn unseen_elsewhere(&self) -> f64 {
        let (whole, window) = (self.reference.cells, self.window.cells);
        let rest = || whole.iter().zip(window).map(|(all, here)| all.saturating_sub(*here));
        let range = match self.column.binning {
            Binning::Numeric(_) if self.off_grid().is_none() => None,
            Binning::Numeric(_) => span(rest()),
            Binning::Categorical(_) => Some((0, whole.len())),
        };
        let Some((low, high)) = range else { return 0.0 };
        let alone = rest()
            .zip(window)
            .enumerate()
            .filter(|(cell, (rest, _))| *rest == 0 && (low..=high).contains(cell));
        let rows: u64 = alone.map(|(_, (_, here))| here).sum();
        if rows == 0 { 0.0 } else { rows as f64 / self.present[1] as f64 }
    }

    /// Share of a fault in the window; `None` where it does not apply or nothing was counted.
    pub(super) fn rate(&self, kind: FaultKind) -> Option<f64> {
        window_rate(self.counts(kind))
    }
}

/// Share of a fault in the window; `None` where it does not apply or nothing was counted.
pub(super) fn window_rate(rates: Option<Rates>) -> Option<f64> {
    let (_, (faulty, total)) = rates?;
    (total > 0).then(|| faulty as f64 / total as f64)
}

/// Compares the shares of every applicable fault; the p-value is one-sided, for a rise.
pub(super) fn scores(rates: &AllRates) -> impl Iterator<Item = FaultScore> {
    FaultKind::ALL.into_iter().zip(rates).filter_map(|(kind, rates)| {
        let (reference, window) = (*rates)?;
        if reference.1 == 0 || window.1 == 0 {
            return None;
        }
        Some(FaultScore {
            kind,
            reference: reference.0 as f64 / reference.1 as f64,
            window: window.0 as f64 / window.1 as f64,
            p_value: rise_p_value(reference, window),
        })
    })
}

/// What the gaps between the points hold, from one cell to another. Cells of points have odd numbers; the gaps between them
/// stand every other cell after the lowest.
fn gaps(cells: &[u64], low: usize, high: usize) -> u64 {
    cells.get(low + 1..=high).unwrap_or_default().iter().step_by(2).sum()
}

/// The largest count; several are looked at side by side.
fn largest(counts: &[u64]) -> u64 {
    let (eights, rest) = counts.as_chunks::<8>();
    let mut most = [0; 8];
    for eight in eights {
        for (most, count) in most.iter_mut().zip(eight) {
            *most = (*most).max(*count);
        }
    }
    most.iter().chain(rest).copied().max().unwrap_or(0)
}

/// First and last cell that hold anything.
fn span(cells: impl DoubleEndedIterator<Item = u64> + ExactSizeIterator + Clone) -> Option<(usize, usize)> {
    let mut backwards = cells.clone();
    let low = { cells }.position(|count| count > 0)?;
    backwards.rposition(|count| count > 0).map(|high| (low, high))
}

fn outer(cells: &[u64]) -> u64 {
    cells.first().copied().unwrap_or(0) + last(cells)
}

fn last(cells: &[u64]) -> u64 {
    cells.last().copied().unwrap_or(0)
}

/// A fault's share in the window beside the reference's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FaultScore {
    pub(super) kind: FaultKind,
    pub(super) reference: f64,
    pub(super) window: f64,
    pub(super) p_value: f64,
}

/// One-sided p-value of a rise from the reference's proportion to the window's, each as `(hits, of)`.
fn rise_p_value(reference: (u64, u64), window: (u64, u64)) -> f64 {
    let share = |(hits, of): (u64, u64)| hits as f64 / of as f64;
    // Most faults of most windows are none: no test has to say so.
    if share(window) <= share(reference) {
        return 1.0;
    }
    contingency::two_proportions(reference, window).map_or(1.0, |test| test.p_value / 2.0)
}
