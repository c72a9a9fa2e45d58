//! Which bins or categories moved, for the evidence of a verdict.

use anchorwatch_detectors::batch::GROUPS;
use anchorwatch_detectors::binning::{Binning, NumericBinning};
use anchorwatch_detectors::divergence::{group, quantile_groups};

use crate::alert::Moved;
use crate::reference::{Column, ColumnCounts, ColumnKind};

/// Most bins that are told.
const MOST: usize = 5;

/// Fewest rows of which a share is told: a smaller group might be somebody. None at all is nobody.
const SMALLEST_GROUP: u64 = 10;

/// The bins whose share changed most, the largest change first. Categories are raw values of the baseline, and named
/// only if asked for; so are groups too small to hide in left out.
pub(super) fn moved_bins(
    column: &Column,
    reference: ColumnCounts<'_>,
    window: ColumnCounts<'_>,
    show_categories: bool,
) -> Vec<Moved> {
    let (n, m) = (reference.present() as f64, window.present() as f64);
    if n == 0.0 || m == 0.0 {
        return Vec::new();
    }
    let bins: Vec<(String, u64, u64)> = match &column.binning {
        Binning::Numeric(knots) => {
            let groups = quantile_groups(reference.cells, GROUPS);
            let sides = group(reference.cells, &groups).into_iter().zip(group(window.cells, &groups));
            let labels = groups.iter().map(|range| group_label(knots, range.start, range.end - 1));
            labels.zip(sides).map(|(label, (r, w))| (label, r, w)).collect()
        }
        Binning::Categorical(_) => {
            let sides = reference.cells.iter().zip(window.cells).enumerate();
            sides.map(|(cell, (r, w))| (category_label(column, cell, show_categories), *r, *w)).collect()
        }
    };
    let mut moved: Vec<Moved> = bins
        .into_iter()
        .filter(|(_, r, w)| [r, w].into_iter().all(|rows| *rows == 0 || *rows >= SMALLEST_GROUP))
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

/// `(low, high]` of a run of cells: it begins above a knot and ends with one, as quantile groups do.
fn group_label(knots: &NumericBinning, first: usize, last: usize) -> String {
    let knots = knots.knots();
    let low = (first > 0).then(|| knots.get((first - 1) / 2)).flatten();
    let high = if last % 2 == 1 { knots.get(last / 2) } else { None };
    match (low, high) {
        (Some(low), Some(high)) => format!("({low}, {high}]"),
        (None, Some(high)) => format!("≤ {high}"),
        (Some(low), None) => format!("> {low}"),
        (None, None) => "any value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use anchorwatch_detectors::binning::CategoricalBinning;

    use super::*;
    use crate::reference::Role;

    fn moved(kind: ColumnKind, reference: &[u64], window: &[u64], show: bool) -> Vec<String> {
        let names = ["asthma", "diabetes", "none"].map(str::to_owned).to_vec();
        let column = Column {
            name: "diagnosis".to_owned(),
            role: Role::Feature,
            kind,
            required: true,
            single_precision: false,
            binning: Binning::Categorical(CategoricalBinning::new(names).expect("distinct")),
            usual: None,
            unseen_beyond: 0.0,
            notes: Vec::new(),
        };
        let counts = |cells| ColumnCounts { cells, missing: 0, non_finite: 0, wrong_type: 0 };
        let bins = moved_bins(&column, counts(reference), counts(window), show);
        bins.into_iter().map(|moved| moved.bin).collect()
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
