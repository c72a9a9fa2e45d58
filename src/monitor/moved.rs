//! Which bins or categories moved, for the evidence of a verdict.

use std::ops::Range;

use anchorwatch_detectors::batch::GROUPS;
use anchorwatch_detectors::binning::{Binning, NumericBinning};
use anchorwatch_detectors::divergence::{group, quantile_groups};

use crate::alert::Moved;
use crate::reference::{Column, ColumnCounts, ColumnKind};

/// Most bins that are told.
const MOST: usize = 5;

/// Fewest rows of which a share is told: a smaller group might be somebody. None at all is nobody.
const SMALLEST_GROUP: u64 = 10;

/// Who reads what moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Somebody who has the rows at hand: sees names, and groups however small.
    Owner,
    /// Whoever receives alerts. Categories are raw values of the baseline, and named only if asked for; groups too
    /// small to hide in are left out.
    Subscriber {
        /// Whether categories are named.
        show_categories: bool,
    },
}

/// The bins whose share changed most, the largest change first.
pub(super) fn moved_bins(
    column: &Column,
    reference: ColumnCounts<'_>,
    window: ColumnCounts<'_>,
    reader: Reader,
) -> Vec<Moved> {
    let (show_categories, smallest) = match reader {
        Reader::Owner => (true, 1),
        Reader::Subscriber { show_categories } => (show_categories, SMALLEST_GROUP),
    };
    let (n, m) = (reference.present() as f64, window.present() as f64);
    if n == 0.0 || m == 0.0 {
        return Vec::new();
    }
    let bins: Vec<(String, u64, u64)> = match &column.binning {
        Binning::Numeric(knots) => {
            let groups = quantile_groups(reference.cells, GROUPS);
            let sides = group(reference.cells, &groups).into_iter().zip(group(window.cells, &groups));
            let labels = groups.iter().map(|range| group_label(column, knots, range));
            labels.zip(sides).map(|(label, (r, w))| (label, r, w)).collect()
        }
        Binning::Categorical(_) => {
            let sides = reference.cells.iter().zip(window.cells).enumerate();
            sides.map(|(cell, (r, w))| (category_label(column, cell, show_categories), *r, *w)).collect()
        }
    };
    let mut moved: Vec<Moved> = bins
        .into_iter()
        .filter(|(_, r, w)| [r, w].into_iter().all(|rows| *rows == 0 || *rows >= smallest))
        .map(|(bin, r, w)| Moved { bin, from: r as f64 / n, to: w as f64 / m })
        .filter(|moved| moved.from != moved.to)
        .collect();
    moved.sort_by(|a, b| (b.to - b.from).abs().total_cmp(&(a.to - a.from).abs()));
    moved.truncate(MOST);
    moved
}

/// A category by its name, or by its place among those of the reference.
fn category_label(column: &Column, cell: usize, show: bool) -> String {
    let is_unseen = cell + 1 == column.binning.cells();
    if show || is_unseen || column.kind == ColumnKind::Boolean {
        column.binning.label(cell)
    } else {
        format!("category {} of the reference", cell + 1)
    }
}

/// The values of a run of cells: round brackets exclude an end, square ones include it.
fn group_label(column: &Column, knots: &NumericBinning, cells: &Range<usize>) -> String {
    let last = cells.end.saturating_sub(1);
    let low = knots.bounds(cells.start).map(|(low, _)| low).filter(|low| low.is_finite());
    let high = knots.bounds(last).map(|(_, high)| high).filter(|high| high.is_finite());
    // A 32-bit number is told as short as it was written.
    let told = |x: f64| if column.single_precision { (x as f32).to_string() } else { x.to_string() };
    let (from_tie, to_tie) = (cells.start % 2 == 1, last % 2 == 1);
    match (low, high) {
        (Some(low), Some(high)) if low == high => format!("= {}", told(low)),
        (Some(low), Some(high)) => {
            let (open, close) = (if from_tie { '[' } else { '(' }, if to_tie { ']' } else { ')' });
            format!("{open}{}, {}{close}", told(low), told(high))
        }
        (None, Some(high)) => format!("{} {}", if to_tie { "≤" } else { "<" }, told(high)),
        (Some(low), None) => format!("{} {}", if from_tie { "≥" } else { ">" }, told(low)),
        (None, None) => "any value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use anchorwatch_detectors::binning::CategoricalBinning;

    use super::*;
    use crate::reference::Role;

    fn column(kind: ColumnKind, binning: Binning) -> Column {
        Column {
            name: "diagnosis".to_owned(),
            role: Role::Feature,
            kind,
            required: true,
            single_precision: false,
            binning,
            usual: None,
            unseen_beyond: 0.0,
            notes: Vec::new(),
        }
    }

    fn moved_for(reader: Reader, kind: ColumnKind, reference: &[u64], window: &[u64]) -> Vec<String> {
        let names = ["asthma", "diabetes", "none"].map(str::to_owned).to_vec();
        let binning = Binning::Categorical(CategoricalBinning::new(names).expect("distinct"));
        let column = column(kind, binning);
        let counts = |cells| ColumnCounts { cells, missing: 0, non_finite: 0, wrong_type: 0 };
        let bins = moved_bins(&column, counts(reference), counts(window), reader);
        bins.into_iter().map(|moved| moved.bin).collect()
    }

    fn moved(kind: ColumnKind, reference: &[u64], window: &[u64], show: bool) -> Vec<String> {
        moved_for(Reader::Subscriber { show_categories: show }, kind, reference, window)
    }

    #[test]
    fn whoever_has_the_rows_sees_small_groups_too() {
        let bins = moved_for(Reader::Owner, ColumnKind::Categorical, &[500, 490, 10, 0], &[500, 485, 3, 12]);
        assert_eq!(bins, ["unseen", "none", "diabetes"]);
    }

    #[test]
    fn a_group_is_told_by_the_values_that_its_cells_can_hold() {
        let knots = NumericBinning::new(vec![0.5, f64::from(0.7_f32), 2.0]).expect("ascending");
        let mut column = column(ColumnKind::Numeric, Binning::Numeric(knots.clone()));
        let label = |column: &Column, cells: Range<usize>| group_label(column, &knots, &cells);
        assert_eq!(label(&column, 0..1), "< 0.5");
        assert_eq!(label(&column, 0..2), "≤ 0.5");
        assert_eq!(label(&column, 1..2), "= 0.5");
        assert_eq!(label(&column, 1..6), "[0.5, 2]");
        assert_eq!(label(&column, 2..5), "(0.5, 2)", "a group may end between two cut points");
        assert_eq!(label(&column, 5..7), "≥ 2");
        assert_eq!(label(&column, 6..7), "> 2");
        assert_eq!(label(&column, 0..7), "any value");
        column.single_precision = true;
        assert_eq!(label(&column, 2..4), "(0.5, 0.7]");
    }

    #[test]
    fn categories_are_named_only_if_asked_for() {
        let of = |show| moved(ColumnKind::Categorical, &[500, 300, 200, 0], &[100, 200, 500, 200], show);
        let places = [
            "category 1 of the reference",
            "category 3 of the reference",
            "unseen",
            "category 2 of the reference",
        ];
        assert_eq!(of(false), places);
        assert_eq!(of(true), ["asthma", "none", "unseen", "diabetes"]);
    }

    #[test]
    fn a_group_too_small_to_hide_in_is_left_out() {
        let bins = moved(ColumnKind::Categorical, &[9, 500, 491, 0], &[400, 9, 0, 591], true);
        assert_eq!(bins, ["unseen", "none"], "nobody at all is nobody; nine are somebody");
    }
}
