//! The monitored quantities of a reference: what is measured of which column, on which counters, with which tolerance.
//!
//! The list follows from the reference alone, so whoever holds the reference watches the same things.

use std::ops::Range;

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::calibrated::{Family, Fit, Law, Quantity, ScoreShape, quantile_cells};
use anchorwatch_detectors::latency::BUCKETS;

use super::shapes::Shapes;
use super::tolerance::Setting;
use crate::config::Tolerated;
use crate::reference::{Column, ColumnCounts, Moment, Reference, Role, Slice};

/// Fewest baseline values of a column for it to be watched.
const FEWEST_VALUES: u64 = 50;

/// Least baseline share of a tail that is worth watching.
const LEAST_TAIL: f64 = 2e-4;

/// Least baseline share of a category that is watched on its own, and the most categories that are.
const LEAST_LEVEL: f64 = 0.004;
const MOST_LEVELS: usize = 40;

/// Tolerated changes of shares, by default: those of [`Tolerated`].
const TOLERATED_RATE: f64 = 0.002;
const TOLERATED_LEVEL: f64 = 0.008;
const TOLERATED_NEW_VALUES: f64 = 0.02;

/// Steps of a column's grid over which two neighbouring values of the baseline have room for another between them.
const ROOM_FOR_ANOTHER: f64 = 1.5;

const TOLERATED_MISSING_OF_SLICE: f64 = 0.01;

/// Name under which the quantities of score against label stand.
pub const PERFORMANCE: &str = "performance";

/// Name of the latency among the columns.
pub const LATENCY: &str = "latency_ms";

/// What is read off the counters of a window.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Measure {
    /// Mean of a column's score of this degree, less one.
    Score { column: usize, degree: usize },
    /// The same of the latency.
    LatencyScore { degree: usize },
    /// Share of cells among the values of a column, or among all of its rows.
    Cells { column: usize, cells: Vec<Range<usize>>, of_rows: bool },
    /// Share of rows without a usable value.
    Missing { column: usize },
    /// Share of rows with a value of another type.
    WrongType { column: usize },
    /// Share of latencies in this bucket or a later one.
    LatencyFrom { bucket: usize },
    /// Mean of a joint term.
    Term(usize),
}

/// One monitored quantity with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitored {
    /// Column, `latency_ms`, `performance`, or two columns joined by a colon.
    pub feature: String,
    /// What changed if it alarms: `location`, `missing`, `level`, ….
    pub kind: &'static str,
    /// Category, quantile or column that the kind is about.
    pub about: Option<About>,
    /// The slice that is compared with the rest; `None` for the whole.
    pub slice: Option<Slice>,
    pub(super) quantity: Quantity,
    pub(super) measure: Measure,
}

/// What a kind is about, where one column has several quantities of it.
#[derive(Debug, Clone, PartialEq)]
pub enum About {
    /// Position of a category in the column's binning.
    Category(usize),
    /// Quantile of the baseline.
    Quantile(f64),
    /// Another column.
    Column(String),
}

impl Monitored {
    /// Key of its fit in the reference.
    #[must_use]
    pub fn key(&self) -> String {
        let slice = match &self.slice {
            None => String::new(),
            Some(Slice::Segment(value)) => format!("segment {value}/"),
            Some(Slice::Version(value)) => format!("version {value}/"),
        };
        let about = match &self.about {
            None => String::new(),
            Some(About::Category(place)) => format!("/{place}"),
            Some(About::Quantile(q)) => format!("/{q}"),
            Some(About::Column(name)) => format!("/{name}"),
        };
        format!("{slice}{}/{}{about}", self.feature, self.kind)
    }

    /// The change that is tolerated: what is by default, as much larger as the configuration asks for.
    pub(super) fn tolerated(&self, fit: &Fit, tolerated: &Tolerated) -> f64 {
        let setting = Setting::of(self);
        let larger = setting.value(tolerated) / setting.value(&Tolerated::default());
        larger * self.quantity.tolerated(fit)
    }

    /// The family whose part of the budget it shares.
    #[must_use]
    pub fn family(&self) -> Family {
        self.quantity.family
    }
}

/// All monitored quantities of a reference; `slices` are compared with the rest of their window. `variances` are those
/// of one event's joint terms, which only calibration needs.
pub(super) fn monitored(reference: &Reference, slices: &[Slice], variances: &[f64]) -> Vec<Monitored> {
    let mut list = List { reference, variances, shapes: Shapes::of(reference, slices), all: Vec::new() };
    for (index, column) in reference.columns.iter().enumerate() {
        list.column(index, column);
    }
    list.latency();
    list.performance();
    list.pairs();
    for slice in slices {
        list.slice(slice);
    }
    list.all
}

struct List<'a> {
    reference: &'a Reference,
    variances: &'a [f64],
    shapes: Shapes<'a>,
    all: Vec<Monitored>,
}

fn mean(variance: f64, family: Family) -> Quantity {
    Quantity {
        law: Law::Mean { variance },
        family,
        rises_only: false,
        tolerance: None,
        prior: 0.0,
        column: None,
        other_column: None,
        tail_of: None,
        borrows: false,
        score: None,
        part_of: None,
    }
}

fn share(family: Family, tolerance: f64) -> Quantity {
    Quantity { law: Law::Share, tolerance: Some(tolerance), ..mean(0.0, family) }
}

impl List<'_> {
    fn push(&mut self, feature: &str, kind: &'static str, quantity: Quantity, measure: Measure) {
        let (feature, about, slice) = (feature.to_owned(), None, None);
        self.all.push(Monitored { feature, kind, about, slice, quantity, measure });
    }

    fn push_about(
        &mut self,
        feature: &str,
        kind: &'static str,
        about: About,
        quantity: Quantity,
        measure: Measure,
    ) {
        self.push(feature, kind, quantity, measure);
        if let Some(last) = self.all.last_mut() {
            last.about = Some(about);
        }
    }

    fn column(&mut self, index: usize, column: &Column) {
        let counts = self.reference.layout().column(&self.reference.profile, index);
        if counts.present() < FEWEST_VALUES {
            return;
        }
        match (&column.binning, column.role) {
            (_, Role::Label) if two_values(column, counts).is_some() => {
                self.label_rate(index, column, counts);
            }
            (Binning::Numeric(_), _) => self.numeric(index, column, counts),
            (Binning::Categorical(_), _) => self.categorical(index, column, counts),
        }
        if column.role != Role::Label {
            self.push(
                &column.name,
                "missing",
                share(Family::Rate, TOLERATED_RATE),
                Measure::Missing { column: index },
            );
            let wrong = Quantity { rises_only: true, ..share(Family::Rate, TOLERATED_RATE) };
            self.push(&column.name, "wrong_type", wrong, Measure::WrongType { column: index });
        }
    }

    fn numeric(&mut self, index: usize, column: &Column, counts: ColumnCounts<'_>) {
        let family = if column.role == Role::Label { Family::Performance } else { Family::Marginal };
        for (degree, kind) in ["location", "spread", "skew", "shape"].into_iter().enumerate() {
            let score = Quantity { column: Some(index), ..mean(1.0, family) };
            self.push(&column.name, kind, score, Measure::Score { column: index, degree });
        }
        if column.role == Role::Label {
            return;
        }
        let last = counts.cells.len();
        let tail = |borrows, tolerance| Quantity {
            law: Law::Share,
            rises_only: true,
            tolerance,
            column: Some(index),
            tail_of: Some(index),
            borrows,
            ..mean(0.0, Family::Rate)
        };
        if let (Some((low, high)), Binning::Numeric(knots)) = (column.usual, &column.binning) {
            let cells = vec![0..knots.cell(low), knots.cell(high) + 1..last];
            let measure = Measure::Cells { column: index, cells, of_rows: false };
            self.push(&column.name, "range", tail(true, Some(TOLERATED_RATE)), measure);
        }
        let off_grid = off_grid(&column.binning, counts.cells);
        // On a grid a tail begins at its next value: what lies between two values is no matter of size.
        let between = |cell: usize| usize::from(off_grid.is_some() && cell.is_multiple_of(2));
        if let Some(cells) = off_grid.clone() {
            let once = counts.cells.iter().filter(|count| **count == 1).count();
            let new = Quantity {
                prior: once as f64 / counts.present() as f64,
                // Events of an hour may share their value, as they share those of the tails.
                ..tail(true, Some(TOLERATED_NEW_VALUES))
            };
            let measure = Measure::Cells { column: index, cells, of_rows: false };
            self.push(&column.name, "new_value", new, measure);
        }
        for (q, kind) in
            [(0.995, "tail_high"), (0.999, "tail_high"), (0.005, "tail_low"), (0.001, "tail_low")]
        {
            let cells = match kind {
                "tail_high" => {
                    let first = quantile_cells(counts.cells, q);
                    first + between(first)..last
                }
                _ => {
                    let end = quantile_cells(counts.cells, q).saturating_sub(1);
                    0..end.saturating_sub(between(end.saturating_sub(1)))
                }
            };
            let hits: u64 = counts.cells.get(cells.clone()).unwrap_or_default().iter().sum();
            if hits as f64 >= LEAST_TAIL * counts.present() as f64 {
                let measure = Measure::Cells { column: index, cells: vec![cells], of_rows: false };
                self.push_about(&column.name, kind, About::Quantile(q), tail(false, None), measure);
            }
        }
    }

    fn categorical(&mut self, index: usize, column: &Column, counts: ColumnCounts<'_>) {
        let total = counts.total() as f64;
        let Some((_, known)) = counts.cells.split_last() else { return };
        let new = Quantity {
            rises_only: true,
            prior: column.unseen_beyond / total,
            ..share(Family::Rate, TOLERATED_RATE)
        };
        let unseen = known.len();
        let cells = vec![only(unseen)];
        self.push(&column.name, "new_category", new, Measure::Cells { column: index, cells, of_rows: true });
        let mut heaviest: Vec<usize> = (0..known.len()).collect();
        heaviest.sort_by_key(|place| (std::cmp::Reverse(known[*place]), *place));
        heaviest.truncate(MOST_LEVELS);
        heaviest.retain(|place| known[*place] as f64 >= LEAST_LEVEL * total);
        let level = share(Family::Marginal, TOLERATED_LEVEL);
        // Of two categories one says all.
        let told = if heaviest.len() == 2 { 1 } else { heaviest.len() };
        for place in &heaviest[..told] {
            let cells = vec![only(*place)];
            let measure = Measure::Cells { column: index, cells, of_rows: true };
            self.push_about(&column.name, "level", About::Category(*place), level, measure);
        }
        let rare = (0..known.len()).filter(|place| !heaviest.contains(place)).map(only);
        let measure = Measure::Cells { column: index, cells: rare.collect(), of_rows: true };
        self.push(&column.name, "rare_levels", level, measure);
    }

    /// A label of two values: the share of its more frequent one.
    fn label_rate(&mut self, index: usize, column: &Column, counts: ColumnCounts<'_>) {
        let Some(cell) = two_values(column, counts) else { return };
        let measure = Measure::Cells { column: index, cells: vec![only(cell)], of_rows: false };
        self.push(&column.name, "label_rate", share(Family::Performance, TOLERATED_LEVEL), measure);
    }

    fn latency(&mut self) {
        let counts = self.reference.layout();
        let counts = counts.latency(&self.reference.profile);
        let total: u64 = counts.iter().sum();
        if !self.reference.has_latency || total < FEWEST_VALUES {
            return;
        }
        for (degree, kind) in ["location", "spread", "skew", "shape"].into_iter().enumerate() {
            let score =
                Quantity { column: Some(self.reference.columns.len()), ..mean(1.0, Family::Marginal) };
            self.push(LATENCY, kind, score, Measure::LatencyScore { degree });
        }
        let tail = Quantity {
            law: Law::Share,
            rises_only: true,
            // A number of its own beside those of the columns.
            column: Some(self.reference.columns.len()),
            tail_of: Some(self.reference.columns.len()),
            ..mean(0.0, Family::Rate)
        };
        for q in [0.5, 0.9, 0.99, 0.999] {
            let bucket = quantile_cells(counts, q);
            let hits: u64 = counts.get(bucket..).unwrap_or_default().iter().sum();
            if bucket < BUCKETS && hits as f64 >= LEAST_TAIL * total as f64 {
                let measure = Measure::LatencyFrom { bucket };
                self.push_about(LATENCY, "latency_above", About::Quantile(q), tail, measure);
            }
        }
        let beyond =
            counts.iter().rposition(|count| *count > 0).map_or(BUCKETS, |last| (last + 9).min(BUCKETS));
        if beyond < BUCKETS {
            let range = Quantity { borrows: true, tolerance: Some(TOLERATED_RATE), ..tail };
            self.push(LATENCY, "range", range, Measure::LatencyFrom { bucket: beyond });
        }
    }

    fn variance(&self, term: usize) -> f64 {
        self.variances.get(term).copied().unwrap_or(1.0).max(1e-6)
    }

    fn performance(&mut self) {
        let reference = self.reference;
        let Some(residual) = &reference.joint.residual else { return };
        for (term, kind) in ["calibration", "slope", "brier"].into_iter().enumerate() {
            let quantity = mean(self.variance(term), Family::Performance);
            self.push(PERFORMANCE, kind, quantity, Measure::Term(term));
        }
        for (index, column) in residual.columns.iter().enumerate() {
            let term = Moment::ALL.len() + index;
            let quantity = mean(self.variance(term), Family::Performance);
            let name = reference.columns.get(*column).map_or_else(String::new, |column| column.name.clone());
            self.push_about(PERFORMANCE, "concept", About::Column(name), quantity, Measure::Term(term));
        }
    }

    fn pairs(&mut self) {
        let reference = self.reference;
        let name = |column: usize| reference.columns.get(column).map_or("", |column| column.name.as_str());
        for (index, (a, b)) in reference.joint.pairs.iter().enumerate() {
            let term = reference.joint.residual_terms() + index;
            let quantity = Quantity {
                column: Some(*a),
                other_column: Some(*b),
                ..mean(self.variance(term), Family::Pair)
            };
            let feature = format!("{}:{}", name(*a), name(*b));
            self.push(&feature, "correlation", quantity, Measure::Term(term));
        }
    }

    fn slice(&mut self, slice: &Slice) {
        let family = match slice {
            Slice::Segment(_) => Family::Segment,
            Slice::Version(_) => Family::Version,
        };
        // Windows of a slice may hold a handful of events.
        let contrast =
            |variance: f64, score: Option<ScoreShape>| Quantity { score, ..mean(variance, family) };
        let first = self.all.len();
        for (index, column) in self.reference.columns.iter().enumerate() {
            let counts = self.reference.layout().column(&self.reference.profile, index);
            if column.role == Role::Label || counts.present() < FEWEST_VALUES {
                continue;
            }
            if matches!(column.binning, Binning::Numeric(_)) {
                let degrees: &[&'static str] = match slice {
                    Slice::Segment(_) => &["location"],
                    Slice::Version(_) => &["location", "spread"],
                };
                for (degree, kind) in degrees.iter().enumerate() {
                    let contrast = contrast(1.0, self.shapes.of_slice(slice, index, degree));
                    self.push(&column.name, kind, contrast, Measure::Score { column: index, degree });
                }
            }
            let measure = Measure::Missing { column: index };
            let part_of =
                self.all[..first].iter().position(|one| one.slice.is_none() && one.measure == measure);
            let missing = Quantity { part_of, ..share(family, TOLERATED_MISSING_OF_SLICE) };
            self.push(&column.name, "missing", missing, measure);
        }
        if self.reference.has_latency {
            let contrast = contrast(1.0, self.shapes.of_slice(slice, self.reference.columns.len(), 0));
            self.push(LATENCY, "location", contrast, Measure::LatencyScore { degree: 0 });
        }
        if self.reference.joint.residual.is_some() {
            let contrast = contrast(self.variance(0), Some(self.shapes.residual));
            self.push(PERFORMANCE, "calibration", contrast, Measure::Term(0));
        }
        self.all[first..].iter_mut().for_each(|one| one.slice = Some(slice.clone()));
    }
}

/// Cells between the values of a baseline of few values, all of them cut points: what falls there comes of another unit or
/// rounding. Where neighbours lie further apart than a step of the grid, a value of the same grid may have been missed;
/// beyond the ends it is a matter of range. `None` if most values are not cut points, or there is no room.
fn off_grid(binning: &Binning, counts: &[u64]) -> Option<Vec<Range<usize>>> {
    let Binning::Numeric(binning) = binning else { return None };
    let knots = binning.knots();
    if counts.iter().step_by(2).any(|count| *count > 0) {
        return None;
    }
    let used: Vec<usize> = (0..knots.len()).filter(|knot| counts.get(2 * knot + 1) > Some(&0)).collect();
    let step = |pair: &[usize]| knots[pair[1]] - knots[pair[0]];
    let mut steps: Vec<f64> = used.windows(2).map(step).collect();
    steps.sort_by(f64::total_cmp);
    let usual = *steps.get(steps.len() / 2)?;
    let narrow = used.windows(2).filter(|pair| step(pair) < ROOM_FOR_ANOTHER * usual);
    Some(narrow.flat_map(|pair| (2 * pair[0] + 2..2 * pair[1] + 1).step_by(2).map(only)).collect())
}

/// One cell as a range.
fn only(cell: usize) -> Range<usize> {
    cell..cell + 1
}

/// The heavier cell of a label that has two values; `None` if it has more.
fn two_values(column: &Column, counts: ColumnCounts<'_>) -> Option<usize> {
    let used: Vec<usize> = (0..counts.cells.len()).filter(|cell| counts.cells[*cell] > 0).collect();
    let known = match &column.binning {
        Binning::Categorical(categories) => categories.categories().len(),
        Binning::Numeric(_) => counts.cells.len(),
    };
    let few = used.len() <= 2 && used.iter().all(|cell| *cell < known);
    few.then(|| used.into_iter().max_by_key(|cell| counts.cells[*cell])).flatten()
}
