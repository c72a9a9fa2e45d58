//! Two references side by side: columns that came, went or changed kind, and how far the shared ones moved.
//!
//! On equal binnings the statistics are those of a live window. On different ones a distribution function is known
//! exactly at its own cut points and within a gap's mass elsewhere, so the KS distance comes as an interval and the PSI
//! as an approximation by interpolation.

use std::collections::BTreeMap;

use anchorwatch_detectors::batch::GROUPS;
use anchorwatch_detectors::binning::{Binning, CategoricalBinning, NumericBinning};
use anchorwatch_detectors::divergence::{Smoothing, group, psi, quantile_groups};
use anchorwatch_detectors::two_sample::ks_uncertainty;
use serde::Serialize;

use crate::reference::{Column, ColumnCounts, ColumnKind, Reference, Role};

/// A column that only one reference has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OneSided {
    /// Column name.
    pub name: String,
    /// Meaning of the column.
    pub role: Role,
    /// Reading of its values.
    pub kind: ColumnKind,
}

/// A column that the two references read differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindChange {
    /// Column name.
    pub name: String,
    /// Meaning of the column.
    pub role: Role,
    /// Kind in the first reference.
    pub from: ColumnKind,
    /// Kind in the second.
    pub to: ColumnKind,
}

/// A column that both references read in the same way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SharedColumn {
    /// Column name.
    pub name: String,
    /// Meaning of the column.
    pub role: Role,
    /// Reading of its values.
    pub kind: ColumnKind,
    /// Whether both are counted on the same cells; if not, `psi` is an approximation.
    pub same_binning: bool,
    /// Population stability index of the second against the first.
    pub psi: Option<f64>,
    /// Least and largest possible KS distance; numeric columns only.
    pub ks: Option<(f64, f64)>,
    /// Share of missing values in the first and the second.
    pub missing: (f64, f64),
}

/// How the second of two references differs from the first.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ReferenceDiff {
    /// Columns of the second only.
    pub added: Vec<OneSided>,
    /// Columns of the first only.
    pub removed: Vec<OneSided>,
    /// Columns of another kind.
    pub changed: Vec<KindChange>,
    /// Columns of the same kind, the furthest moved first.
    pub shared: Vec<SharedColumn>,
}

/// Compares two references.
#[must_use]
pub fn diff(a: &Reference, b: &Reference) -> ReferenceDiff {
    let find = |reference: &Reference, column: &Column| {
        reference.columns.iter().position(|other| other.role == column.role && other.name == column.name)
    };
    let one = |column: &Column| OneSided { name: column.name.clone(), role: column.role, kind: column.kind };
    let mut result = ReferenceDiff::default();
    let (layout_a, layout_b) = (a.layout(), b.layout());
    for (position, column) in a.columns.iter().enumerate() {
        let Some((other, there)) = find(b, column).and_then(|there| Some((b.columns.get(there)?, there)))
        else {
            result.removed.push(one(column));
            continue;
        };
        if other.kind != column.kind {
            let (name, role) = (column.name.clone(), column.role);
            result.changed.push(KindChange { name, role, from: column.kind, to: other.kind });
            continue;
        }
        let (first, second) = (layout_a.column(&a.profile, position), layout_b.column(&b.profile, there));
        result.shared.push(compare(column, other, first, second));
    }
    result.added = b.columns.iter().filter(|column| find(a, column).is_none()).map(one).collect();
    let moved = |column: &SharedColumn| column.psi.unwrap_or(0.0);
    result.shared.sort_by(|x, y| moved(y).total_cmp(&moved(x)));
    result
}

fn compare(a: &Column, b: &Column, first: ColumnCounts<'_>, second: ColumnCounts<'_>) -> SharedColumn {
    let (psi, ks) = match (&a.binning, &b.binning) {
        (Binning::Numeric(x), Binning::Numeric(y)) => numeric((x, first.cells), (y, second.cells)),
        (Binning::Categorical(x), Binning::Categorical(y)) => {
            (categorical((x, first.cells), (y, second.cells)), None)
        }
        _ => (None, None),
    };
    let missing = |counts: ColumnCounts<'_>| counts.missing as f64 / (counts.total() as f64).max(1.0);
    SharedColumn {
        name: a.name.clone(),
        role: a.role,
        kind: a.kind,
        same_binning: a.binning == b.binning,
        psi,
        ks,
        missing: (missing(first), missing(second)),
    }
}

type Side<'a, B> = (&'a B, &'a [u64]);

fn numeric(a: Side<'_, NumericBinning>, b: Side<'_, NumericBinning>) -> (Option<f64>, Option<(f64, f64)>) {
    let groups = quantile_groups(a.1, GROUPS);
    let reference = group(a.1, &groups);
    if a.0 == b.0 {
        let ks = ks_uncertainty(a.1, b.1).map(|interval| (interval.low, interval.high));
        return (psi(&reference, &group(b.1, &groups), Smoothing::default()), ks);
    }
    let (Some(a), Some(b)) = (Distribution::new(a), Distribution::new(b)) else { return (None, None) };
    let edges =
        groups.iter().map(|range| a.binning.bounds(range.end - 1).map_or(f64::INFINITY, |(_, high)| high));
    let mut below = 0.0;
    let moved: Vec<u64> = edges
        .map(|edge| {
            let upto = b.between(edge);
            let inside = ((upto - below) * b.total as f64).round().max(0.0);
            below = upto;
            inside as u64
        })
        .collect();
    (psi(&reference, &moved, Smoothing::default()), Some(a.distance(&b)))
}

/// A distribution function known at its cut points.
struct Distribution<'a> {
    binning: &'a NumericBinning,
    /// Share of values in all cells before each cell, and one more for all.
    before: Vec<f64>,
    total: u64,
}

impl<'a> Distribution<'a> {
    fn new((binning, cells): Side<'a, NumericBinning>) -> Option<Self> {
        let total: u64 = cells.iter().sum();
        let mut seen = 0;
        let mut before = vec![0.0];
        before.extend(cells.iter().map(|count| {
            seen += count;
            seen as f64 / total as f64
        }));
        (total > 0).then_some(Self { binning, before, total })
    }

    fn at(&self, cell: usize) -> f64 {
        self.before.get(cell).copied().unwrap_or(1.0)
    }

    /// Least and largest possible share of values up to `x`.
    fn bounds(&self, x: f64) -> (f64, f64) {
        let cell = self.binning.cell(x);
        let (low, high) = (self.at(cell), self.at(cell + 1));
        if cell % 2 == 1 || x == f64::INFINITY { (high, high) } else { (low, high) }
    }

    /// Share of values up to `x`, interpolated inside a gap.
    fn between(&self, x: f64) -> f64 {
        let (low, high) = self.bounds(x);
        let along = match self.binning.bounds(self.binning.cell(x)) {
            Some((from, to)) if from.is_finite() && to.is_finite() && to > from => (x - from) / (to - from),
            _ => 0.5,
        };
        low + (high - low) * along
    }

    /// Least and largest possible distance: exact at own cut points, within a gap's mass at the other's.
    fn distance(&self, other: &Self) -> (f64, f64) {
        let knots = self.binning.knots().iter().chain(other.binning.knots());
        let widest = |d: &Self| {
            (0..d.binning.cells()).step_by(2).map(|gap| d.at(gap + 1) - d.at(gap)).fold(0.0, f64::max)
        };
        let (low, high) = knots.fold((0.0_f64, 0.0_f64), |(least, most), x| {
            let ((a_low, a_high), (b_low, b_high)) = (self.bounds(*x), other.bounds(*x));
            (least.max(a_low - b_high).max(b_low - a_high), most.max(a_high - b_low).max(b_high - a_low))
        });
        (low, (high + widest(self).max(widest(other))).min(1.0))
    }
}

fn categorical(a: Side<'_, CategoricalBinning>, b: Side<'_, CategoricalBinning>) -> Option<f64> {
    let mut shares: BTreeMap<Option<&str>, (u64, u64)> = BTreeMap::new();
    for (cell, count) in a.1.iter().enumerate() {
        shares.entry(a.0.categories().get(cell).map(String::as_str)).or_default().0 += count;
    }
    for (cell, count) in b.1.iter().enumerate() {
        shares.entry(b.0.categories().get(cell).map(String::as_str)).or_default().1 += count;
    }
    let (first, second): (Vec<u64>, Vec<u64>) = shares.into_values().filter(|(p, q)| p + q > 0).unzip();
    psi(&first, &second, Smoothing::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn side(values: &[f64], points: usize) -> (NumericBinning, Vec<u64>) {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let binning = NumericBinning::from_sorted_values(&sorted, points).unwrap();
        let counts = binning.count(values);
        (binning, counts)
    }

    fn exact_distance(a: &[f64], b: &[f64]) -> f64 {
        let share =
            |values: &[f64], x: f64| values.iter().filter(|v| **v <= x).count() as f64 / values.len() as f64;
        a.iter().chain(b).map(|x| (share(a, *x) - share(b, *x)).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn categories_of_either_side_are_compared() {
        let binning = |names: &[&str]| {
            CategoricalBinning::new(names.iter().map(|n| (*n).to_owned()).collect()).unwrap()
        };
        let (a, b) = (binning(&["x", "y"]), binning(&["y", "z"]));
        assert_eq!(categorical((&a, &[5, 5, 0]), (&a, &[50, 50, 0])), Some(0.0));
        assert!(categorical((&a, &[5, 5, 0]), (&b, &[5, 5, 0])).unwrap() > 1.0);
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_distance_whatever_the_cut_points(
            a in proptest::collection::vec(-20i32..20, 1..80),
            b in proptest::collection::vec(-20i32..20, 1..80),
            points in 2usize..30,
        ) {
            let a: Vec<f64> = a.into_iter().map(f64::from).collect();
            let b: Vec<f64> = b.into_iter().map(f64::from).collect();
            let (first, second) = (side(&a, points), side(&b, points));
            let (psi, ks) = numeric((&first.0, &first.1), (&second.0, &second.1));
            let (low, high) = ks.unwrap();
            let exact = exact_distance(&a, &b);
            prop_assert!(low <= exact + 1e-9 && exact <= high + 1e-9, "{low} {exact} {high}");
            prop_assert!(psi.unwrap() >= 0.0);
        }
    }
}
