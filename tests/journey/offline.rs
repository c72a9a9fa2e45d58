//! What the daemon should have counted and computed, from the Parquet files by plain loops: no code of its windows, its
//! detectors or its decoder. Only the cut points and categories are taken from the reference.

use std::collections::BTreeMap;

use anchorwatch::reference::{Column, ColumnKind, Layout, Reference, Role};
use anchorwatch::subject::Millis;
use anchorwatch_detectors::binning::Binning;

use crate::support::flights::{Cell, HOUR, Table};

/// Latency buckets: sixteen to an octave, thirty-two octaves from one microsecond on.
const BUCKETS: usize = 512;
/// A share below this counts as this in the PSI.
const PSI_FLOOR: f64 = 1e-4;

/// Values of one column: cells in the order of the binning, then missing, not finite, wrong type.
pub(crate) type ColumnTally = Vec<u64>;

/// Everything counted of one subject in one stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Predictions.
    pub(crate) rows: u64,
    /// One per column of the reference.
    pub(crate) columns: Vec<ColumnTally>,
    /// Latency buckets, then missing and invalid.
    pub(crate) latency: Vec<u64>,
}

impl Tally {
    fn new(reference: &Reference) -> Self {
        let columns = reference.columns.iter().map(|column| vec![0; column.binning.cells() + 3]).collect();
        Self { rows: 0, columns, latency: vec![0; BUCKETS + 2] }
    }

    fn add(&mut self, other: &Self) {
        let sum = |into: &mut Vec<u64>, from: &Vec<u64>| into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        self.rows += other.rows;
        self.columns.iter_mut().zip(&other.columns).for_each(|(a, b)| sum(a, b));
        sum(&mut self.latency, &other.latency);
    }

    /// The same from counters of the state file.
    pub(crate) fn of_counters(layout: &Layout, counts: &[u64]) -> Self {
        let column = |index| {
            let column = layout.column(counts, index);
            [column.cells, &[column.missing, column.non_finite, column.wrong_type]].concat()
        };
        let spoilt = [counts[layout.latency_missing()], counts[layout.latency_invalid()]];
        Self {
            rows: counts[Layout::ROWS],
            columns: (0..layout.columns()).map(column).collect(),
            latency: [layout.latency(counts), &spoilt].concat(),
        }
    }

    /// All counters added up.
    pub(crate) fn total(&self) -> u64 {
        self.rows + self.columns.iter().flatten().chain(&self.latency).sum::<u64>()
    }
}

/// A subject's panes by (segment, pane).
pub(crate) type Panes = BTreeMap<(Option<String>, i64), Tally>;

/// The tables beside the reference that was built from one of them.
#[derive(Debug)]
pub(crate) struct Offline {
    /// The active reference.
    pub(crate) reference: Reference,
    baseline: Table,
    stream: Table,
}

impl Offline {
    /// Reads the tables; of the stream only what happens in `[from, to)`.
    pub(crate) fn new(reference: Reference, from: Millis, to: Millis) -> Self {
        let mut stream = Table::read("events.parquet");
        let times = [stream.column("ts"), stream.column("label_ts")];
        stream.retain(|row| {
            times.iter().any(|time| row[*time].time().is_some_and(|t| (from..to).contains(&t)))
        });
        Self { reference, baseline: Table::read("reference.parquet"), stream }
    }

    /// Counts of every hour of `[from, to)`, of the whole and of each origin.
    pub(crate) fn panes(&self, from: Millis, to: Millis) -> Panes {
        let stream = &self.stream;
        let (ts, label_ts, origin) =
            (stream.column("ts"), stream.column("label_ts"), stream.column("origin"));
        let (label, latency) = (stream.column("label"), stream.column("latency_ms"));
        let sources: Vec<usize> =
            self.reference.columns.iter().map(|c| stream.column(source_of(c))).collect();
        let mut panes = Panes::new();
        for row in stream.rows() {
            if let Some(time) = row[ts].time().filter(|time| (from..to).contains(time)) {
                for segment in [None, row[origin].text().map(str::to_owned)] {
                    let tally = pane(&mut panes, &self.reference, segment, time);
                    tally.rows += 1;
                    for (index, column) in self.reference.columns.iter().enumerate() {
                        if column.role != Role::Label {
                            tally.columns[index][slot(column, &row[sources[index]])] += 1;
                        }
                    }
                    tally.latency[bucket(row[latency].number())] += 1;
                }
            }
            let told =
                row[label_ts].time().filter(|time| (from..to).contains(time) && row[label] != Cell::Null);
            if let Some(time) = told {
                let tally = pane(&mut panes, &self.reference, None, time);
                for (index, column) in self.reference.columns.iter().enumerate() {
                    if column.role == Role::Label {
                        tally.columns[index][slot(column, &row[label])] += 1;
                    }
                }
            }
        }
        panes
    }

    /// Counts of a window: the sum of its hours.
    pub(crate) fn window(&self, panes: &Panes, segment: Option<&str>, from: Millis, to: Millis) -> Tally {
        let mut sum = Tally::new(&self.reference);
        let hours = from / HOUR..to / HOUR;
        let own = panes.iter().filter(|((of, hour), _)| of.as_deref() == segment && hours.contains(hour));
        own.for_each(|(_, tally)| sum.add(tally));
        sum
    }

    /// Values that a column had in a window, as they stand in the table.
    fn live(&self, column: &Column, segment: Option<&str>, from: Millis, to: Millis) -> Vec<&Cell> {
        let time = if column.role == Role::Label { "label_ts" } else { "ts" };
        let (time, source) = (self.stream.column(time), self.stream.column(source_of(column)));
        let origin = self.stream.column("origin");
        let inside = |row: &&Vec<Cell>| {
            row[time].time().is_some_and(|time| (from..to).contains(&time))
                && segment.is_none_or(|segment| row[origin].text() == Some(segment))
        };
        self.stream.rows().iter().filter(inside).map(|row| &row[source]).collect()
    }

    fn base(&self, column: &Column, segment: Option<&str>) -> Vec<&Cell> {
        let (source, origin) = (self.baseline.column(source_of(column)), self.baseline.column("origin"));
        let inside = |row: &&Vec<Cell>| segment.is_none_or(|segment| row[origin].text() == Some(segment));
        self.baseline.rows().iter().filter(inside).map(|row| &row[source]).collect()
    }

    /// A detector's statistic on a window, from the raw values; `None` for detectors that are not recomputed.
    pub(crate) fn statistic(
        &self,
        column: &Column,
        detector: &str,
        segment: Option<&str>,
        (from, to): (Millis, Millis),
    ) -> Option<f64> {
        let (base, live) = (self.base(column, segment), self.live(column, segment, from, to));
        match (&column.binning, detector) {
            (Binning::Numeric(binning), "ks") => Some(ks_at(binning.knots(), &sorted(&base), &sorted(&live))),
            (Binning::Numeric(_), "psi") => {
                Some(psi(&by_deciles(column, segment.is_none(), &sorted(&base), &sorted(&live))))
            }
            (Binning::Categorical(_), "psi") => Some(psi(&by_category(column, &base, &live))),
            (Binning::Categorical(_), "jensen_shannon") => {
                Some(jensen_shannon(&by_category(column, &base, &live)))
            }
            _ => None,
        }
    }

    /// The two-sample distance of the raw values, and the largest share of the baseline strictly between two cut points,
    /// by which the distance at the cut points may fall short of it.
    pub(crate) fn exact_ks(&self, column: &Column, (from, to): (Millis, Millis)) -> Option<(f64, f64)> {
        let Binning::Numeric(binning) = &column.binning else { return None };
        let (base, live) = (sorted(&self.base(column, None)), sorted(&self.live(column, None, from, to)));
        let everywhere: Vec<f64> = base.iter().chain(&live).copied().collect();
        let knots = binning.knots();
        let between = |pair: &[f64]| base.iter().filter(|x| pair[0] < **x && **x < pair[1]).count();
        let gap = knots.windows(2).map(between).max().unwrap_or(0);
        Some((ks_at(&everywhere, &base, &live), gap as f64 / base.len() as f64))
    }

    /// The latency below which a share of the window's predictions stayed, in milliseconds, from the raw values.
    pub(crate) fn latency_quantile(&self, q: f64, (from, to): (Millis, Millis)) -> f64 {
        let (ts, latency) = (self.stream.column("ts"), self.stream.column("latency_ms"));
        let inside = |row: &&Vec<Cell>| row[ts].time().is_some_and(|time| (from..to).contains(&time));
        let values: Vec<&Cell> = self.stream.rows().iter().filter(inside).map(|row| &row[latency]).collect();
        let values = sorted(&values);
        values[((q * values.len() as f64).ceil() as usize).clamp(1, values.len()) - 1]
    }
}

fn pane<'p>(
    panes: &'p mut Panes,
    reference: &Reference,
    segment: Option<String>,
    at: Millis,
) -> &'p mut Tally {
    panes.entry((segment, at.div_euclid(HOUR))).or_insert_with(|| Tally::new(reference))
}

/// Column of the table behind a column of the reference.
fn source_of(column: &Column) -> &str {
    match column.role {
        Role::Feature => &column.name,
        Role::Score => "score",
        Role::Prediction => "prediction",
        Role::Label => "label",
    }
}

fn slot(column: &Column, value: &Cell) -> usize {
    let cells = column.binning.cells();
    let (missing, wrong) = (cells, cells + 2);
    match (&column.binning, value) {
        (_, Cell::Null) => missing,
        (Binning::Numeric(binning), Cell::Number(x)) => {
            let below = binning.knots().partition_point(|knot| knot < x);
            2 * below + usize::from(binning.knots().get(below) == Some(x))
        }
        (Binning::Categorical(binning), value) => {
            let text = match (column.kind, value) {
                (ColumnKind::Categorical, Cell::Text(text)) => text.clone(),
                (ColumnKind::CodedCategory, Cell::Number(code)) => code.to_string(),
                _ => return wrong,
            };
            binning.categories().iter().position(|known| *known == text).unwrap_or(binning.categories().len())
        }
        _ => wrong,
    }
}

fn bucket(latency_ms: Option<f64>) -> usize {
    let Some(millis) = latency_ms else { return BUCKETS };
    if millis < 0.0 {
        return BUCKETS + 1;
    }
    let (mut octave, mut start) = (0, 1.0);
    let micros = (millis * 1_000.0).max(1.0);
    while octave < 31 && micros >= 2.0 * start {
        octave += 1;
        start *= 2.0;
    }
    16 * octave + (((micros / start) - 1.0) * 16.0).floor().min(15.0) as usize
}

fn sorted(values: &[&Cell]) -> Vec<f64> {
    let mut numbers: Vec<f64> = values.iter().filter_map(|cell| cell.number()).collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// Largest difference of the two empirical distribution functions at these points, from the left and from the right.
fn ks_at(points: &[f64], base: &[f64], live: &[f64]) -> f64 {
    let below = |values: &[f64], x: f64| values.partition_point(|v| *v < x) as f64 / values.len() as f64;
    let up_to = |values: &[f64], x: f64| values.partition_point(|v| *v <= x) as f64 / values.len() as f64;
    let at = |x: &f64| {
        let left = (below(base, *x) - below(live, *x)).abs();
        left.max((up_to(base, *x) - up_to(live, *x)).abs())
    };
    points.iter().map(at).fold(0.0, f64::max)
}

/// Shares of baseline and window between the deciles of the baseline; the last group has no upper end. The deciles of the
/// whole baseline are cut points; a segment's group ends with the cell that holds its decile.
fn by_deciles(column: &Column, whole: bool, base: &[f64], live: &[f64]) -> Vec<(f64, f64)> {
    let cell = |x: f64| slot(column, &Cell::Number(x));
    let mut edges: Vec<usize> =
        (1..10).map(|i| cell(base[(i * base.len()).div_ceil(10).max(1) - 1])).collect();
    edges.dedup();
    assert!(!whole || edges.iter().all(|edge| edge % 2 == 1), "a decile of {} is no cut point", column.name);
    let shares = |values: &[f64]| {
        let mut counts = vec![0_u64; edges.len() + 1];
        values.iter().for_each(|x| counts[edges.partition_point(|edge| *edge < cell(*x))] += 1);
        counts.into_iter().map(|count| count as f64 / values.len() as f64).collect::<Vec<f64>>()
    };
    shares(base).into_iter().zip(shares(live)).collect()
}

/// Shares of the categories that either side has; those the reference does not know are one.
fn by_category(column: &Column, base: &[&Cell], live: &[&Cell]) -> Vec<(f64, f64)> {
    let cells = column.binning.cells();
    let shares = |values: &[&Cell]| {
        let mut counts = vec![0_u64; cells + 3];
        values.iter().for_each(|value| counts[slot(column, value)] += 1);
        let present: u64 = counts[..cells].iter().sum();
        counts[..cells].iter().map(|count| *count as f64 / present as f64).collect::<Vec<f64>>()
    };
    let pairs = shares(base).into_iter().zip(shares(live));
    pairs.filter(|(p, q)| *p > 0.0 || *q > 0.0).collect()
}

fn psi(shares: &[(f64, f64)]) -> f64 {
    let raised = shares.iter().map(|(p, q)| (p.max(PSI_FLOOR), q.max(PSI_FLOOR)));
    raised.map(|(p, q)| (p - q) * (p / q).ln()).sum()
}

/// The distance: the square root of the divergence in bits.
fn jensen_shannon(shares: &[(f64, f64)]) -> f64 {
    let part = |p: f64, middle: f64| if p > 0.0 { p * (p / middle).log2() } else { 0.0 };
    let term = |(p, q): &(f64, f64)| (part(*p, (p + q) / 2.0) + part(*q, (p + q) / 2.0)) / 2.0;
    shares.iter().map(term).sum::<f64>().max(0.0).sqrt()
}
