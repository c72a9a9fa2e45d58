//! A table as a sequence of windows: every row is counted on a reference's columns, in its window and its slices.
//!
//! The baseline is read so a third time, for calibration; and a file of events is, for `backtest`. Rows may come in any
//! order. At most [`DENSE`] windows are kept unpacked, the others as sparse counts.

use std::collections::{BTreeMap, HashMap};

use anchorwatch_detectors::counts::{decode_sparse, encode_sparse};
use anchorwatch_detectors::latency;

use super::count::segment_value;
use super::error::BuildError;
use super::options::RoleColumns;
use super::plan::read;
use super::source::{Cell, Field, Place, Source, Table};
use super::time::instant;
use crate::monitor::calibrated::SeriesWindow;
use crate::monitor::estimate::learn::{LabelledRow, Outcomes};
use crate::reference::{Column, Layout, Outcome, Reference, Role, Slice, Value};
use crate::subject::Millis;

/// Windows that are kept unpacked.
const DENSE: usize = 8;

/// Most windows of a table; rows of windows beyond are left out and counted.
pub const MOST_WINDOWS: usize = 20_000;

/// Most windows without any row that are put between two others.
const MOST_EMPTY: i64 = 2_000;

/// How a table's fields are read as a reference's columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) reference: &'a Reference,
    pub(super) roles: &'a RoleColumns,
    pub(super) slices: &'a [Slice],
    pub(super) window_ms: Millis,
    /// Whether all rows are of one window, with or without a time.
    pub(super) as_one: bool,
}

/// Fields of the table by meaning; found anew when a batch has more fields.
#[derive(Debug, Default)]
pub(super) struct Binding {
    pub(super) columns: Vec<Option<usize>>,
    time: Option<usize>,
    latency: Option<usize>,
    segment: Option<usize>,
    version: Option<usize>,
}

impl Binding {
    pub(super) fn of(reading: &Reading<'_>, fields: &[Field]) -> Self {
        let find = |places: &[Place], name: &str| {
            places.iter().find_map(|place| fields.iter().position(|f| f.place == *place && f.name == name))
        };
        let roles = reading.roles;
        let column = |column: &Column| match column.role {
            Role::Feature => find(&[Place::Features, Place::Top], &column.name),
            Role::Score => find(&[Place::Top], &roles.score),
            Role::Prediction => find(&[Place::Top], &roles.prediction),
            Role::Label => find(&[Place::Top], &roles.label),
        };
        let segment = reading.reference.segment_field.as_deref();
        Self {
            columns: reading.reference.columns.iter().map(column).collect(),
            time: find(&[Place::Top], &roles.time),
            latency: find(&[Place::Top], &roles.latency),
            segment: segment.and_then(|name| find(&[Place::Segment, Place::Features, Place::Top], name)),
            version: find(&[Place::Top], &roles.version),
        }
    }
}

/// Counts of one window: the whole, then the slices by their place.
struct Open {
    counts: Vec<Vec<u64>>,
}

/// A table's windows, packed, with what calibration needs besides.
pub struct CountedSeries {
    windows: BTreeMap<Millis, Vec<Option<Vec<u8>>>>,
    slices: Vec<Slice>,
    layout: Layout,
    window_ms: Millis,
    /// Rows read.
    pub rows: u64,
    /// Rows without a readable time, or in windows beyond [`MOST_WINDOWS`].
    pub left_out: u64,
    /// Variance of one event, by joint term.
    pub term_variances: Vec<f64>,
    /// Columns of the reference that no row had a field for.
    pub absent: Vec<String>,
    /// What labels say, by cell of the score.
    pub outcomes: Outcomes,
}

impl CountedSeries {
    /// First instant of the first window and end of the last.
    #[must_use]
    pub fn range(&self) -> Option<(Millis, Millis)> {
        let (first, last) = (self.windows.keys().next()?, self.windows.keys().next_back()?);
        Some((*first, last + self.window_ms))
    }

    /// Number of windows with rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether no row was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// All windows in time order, from `from` if that is earlier than the first; those without rows are empty.
    pub fn windows(&self, from: Option<Millis>) -> impl Iterator<Item = SeriesWindow> + '_ {
        let mut next = from.filter(|from| self.range().is_some_and(|(first, _)| *from < first));
        self.windows.iter().flat_map(move |(start, packed)| {
            let gap_from = next.map_or(*start, |next| next.max(start - MOST_EMPTY * self.window_ms));
            next = Some(start + self.window_ms);
            let empty = (0..(start - gap_from) / self.window_ms)
                .map(move |index| self.unpack(gap_from + index * self.window_ms, &[]));
            empty.chain([self.unpack(*start, packed)])
        })
    }

    /// The window that starts at this instant; empty if it has no rows.
    #[must_use]
    pub fn window(&self, start: Millis) -> SeriesWindow {
        self.unpack(start, self.windows.get(&start).map_or(&[], Vec::as_slice))
    }

    fn unpack(&self, start: Millis, packed: &[Option<Vec<u8>>]) -> SeriesWindow {
        let counts = |place: usize| {
            let bytes = packed.get(place)?.as_ref()?;
            // They were packed by this very program.
            decode_sparse(bytes, self.layout.len()).ok()
        };
        let slices = self.slices.iter().enumerate();
        SeriesWindow {
            start,
            whole: counts(0).unwrap_or_else(|| vec![0; self.layout.len()]),
            slices: slices.filter_map(|(place, slice)| Some((slice.clone(), counts(place + 1)?))).collect(),
        }
    }
}

/// Count, mean and sum of squares of one joint term (Welford 1962).
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn push(&mut self, x: f64) {
        self.n += 1.0;
        let off = x - self.mean;
        self.mean += off / self.n;
        self.squares += off * (x - self.mean);
    }
}

struct Counter<'a> {
    reading: &'a Reading<'a>,
    layout: Layout,
    open: HashMap<Millis, Open>,
    /// Open windows, the one touched last at the end.
    touched: Vec<Millis>,
    packed: BTreeMap<Millis, Vec<Option<Vec<u8>>>>,
    segments: HashMap<String, usize>,
    versions: HashMap<String, usize>,
    spreads: Vec<Spread>,
    outcomes: Outcomes,
    cells: Vec<usize>,
    additions: Vec<(usize, u64)>,
    terms: Vec<(usize, u64)>,
    rows: u64,
    left_out: u64,
}

/// Counts all rows of a source in windows.
pub(super) fn series(
    source: &mut Source,
    reading: &Reading<'_>,
    advance: &dyn Fn(u64),
) -> Result<CountedSeries, BuildError> {
    let mut counter = Counter::new(reading);
    let (mut binding, mut known) = (Binding::default(), 0);
    while let Some(table) = source.next()? {
        if source.fields().len() != known {
            known = source.fields().len();
            binding = Binding::of(reading, source.fields());
        }
        counter.take(&binding, &table);
        advance(source.position());
    }
    let columns = reading.reference.columns.iter().zip(&binding.columns);
    let absent = columns.filter(|(_, field)| field.is_none()).map(|(column, _)| column.name.clone());
    Ok(CountedSeries { absent: absent.collect(), ..counter.finish() })
}

impl<'a> Counter<'a> {
    fn new(reading: &'a Reading<'a>) -> Self {
        let place = |wanted: fn(&Slice) -> Option<&String>| -> HashMap<String, usize> {
            let named = reading.slices.iter().enumerate();
            named.filter_map(|(index, slice)| Some((wanted(slice)?.clone(), index + 1))).collect()
        };
        Self {
            layout: reading.reference.live_layout(),
            open: HashMap::new(),
            touched: Vec::new(),
            packed: BTreeMap::new(),
            segments: place(|slice| match slice {
                Slice::Segment(value) => Some(value),
                Slice::Version(_) => None,
            }),
            versions: place(|slice| match slice {
                Slice::Version(value) => Some(value),
                Slice::Segment(_) => None,
            }),
            spreads: vec![Spread::default(); reading.reference.joint.terms()],
            outcomes: Outcomes::new(reading.reference),
            cells: Vec::new(),
            additions: Vec::new(),
            terms: Vec::new(),
            rows: 0,
            left_out: 0,
            reading,
        }
    }

    fn take(&mut self, binding: &Binding, table: &Table) {
        for row in 0..table.rows {
            self.rows += 1;
            let at = binding.time.and_then(|field| instant(table.cell(field, row)));
            let start = if self.reading.as_one {
                Some(0)
            } else {
                at.map(|at| at.div_euclid(self.reading.window_ms) * self.reading.window_ms)
            };
            let Some(start) = start.filter(|start| self.make_room(*start)) else {
                self.left_out += 1;
                continue;
            };
            self.row(binding, table, row);
            let of = |field: Option<usize>, known: &HashMap<String, usize>| {
                let value = segment_value(table.cell(field?, row))?;
                known.get(value.as_ref()).copied()
            };
            let slices = [of(binding.segment, &self.segments), of(binding.version, &self.versions)];
            let Some(open) = self.open.get_mut(&start) else { continue };
            let all = self.additions.iter().chain(&self.terms);
            all.for_each(|(index, amount)| add(&mut open.counts, 0, self.layout.len(), *index, *amount));
            for place in slices.into_iter().flatten() {
                // Of the joint terms a slice needs the residual only.
                let of_slice = self.additions.iter().chain(self.terms.iter().take(2));
                of_slice.for_each(|(index, amount)| {
                    add(&mut open.counts, place, self.layout.len(), *index, *amount);
                });
            }
        }
    }

    /// What one row adds to the counters of its window.
    fn row(&mut self, binding: &Binding, table: &Table, row: usize) {
        let reference = self.reading.reference;
        self.additions.clear();
        self.terms.clear();
        self.cells.clear();
        self.additions.push((Layout::ROWS, 1));
        let mut labelled = LabelledRow::default();
        for (position, (column, field)) in reference.columns.iter().zip(&binding.columns).enumerate() {
            let value = field.map_or(Value::Missing, |field| read(column.kind, table.cell(field, row)));
            let slot = column.slot(value);
            match column.role {
                Role::Score => (labelled.score, labelled.score_cell) = (crate::window::truth(value), slot),
                Role::Label => {
                    labelled.label = crate::window::outcome(&reference.joint, value);
                    labelled.label_cell = slot;
                }
                Role::Prediction => labelled.prediction_cell = slot,
                Role::Feature => {}
            }
            self.cells.push(if slot < column.binning.cells() { slot } else { usize::MAX });
            // A label that is not there yet is not a row without a label.
            if column.role != Role::Label || value != Value::Missing {
                self.additions.push((self.layout.index(position, slot), 1));
            }
        }
        if let Some(field) = binding.latency {
            self.additions.push((latency_index(&self.layout, table.cell(field, row)), 1));
        }
        self.outcomes.add(&LabelledRow { cells: &self.cells, ..labelled });
        let outcome = labelled.score.zip(labelled.label).map(|(score, label)| Outcome { score, label });
        let (layout, terms) = (&self.layout, &mut self.terms);
        reference.joint.add(&self.cells, outcome, |place, amount| terms.push((layout.joint(place), amount)));
        let spreads = &mut self.spreads;
        reference.joint.each(&self.cells, outcome, |term, value| {
            spreads[term].push(value as f64 / reference.joint.one(term));
        });
    }

    /// Opens a window, packing the one that was not touched for longest; false if there are too many windows.
    fn make_room(&mut self, start: Millis) -> bool {
        if self.touched.last() == Some(&start) {
            return true;
        }
        if let Some(place) = self.touched.iter().position(|other| *other == start) {
            self.touched.remove(place);
            self.touched.push(start);
            return true;
        }
        let counts = match self.packed.get(&start) {
            None if self.packed.len() + self.open.len() >= MOST_WINDOWS => return false,
            None => Vec::new(),
            Some(packed) => {
                let unpack = |bytes: &Option<Vec<u8>>| {
                    bytes
                        .as_ref()
                        .and_then(|bytes| decode_sparse(bytes, self.layout.len()).ok())
                        .unwrap_or_default()
                };
                packed.iter().map(unpack).collect()
            }
        };
        if self.touched.len() >= DENSE {
            let oldest = self.touched.remove(0);
            self.pack(oldest);
        }
        self.open.insert(start, Open { counts });
        self.touched.push(start);
        true
    }

    fn pack(&mut self, start: Millis) {
        let Some(open) = self.open.remove(&start) else { return };
        let pack = |counts: Vec<u64>| (!counts.is_empty()).then(|| encode_sparse(&counts));
        self.packed.insert(start, open.counts.into_iter().map(pack).collect());
    }

    fn finish(mut self) -> CountedSeries {
        for start in std::mem::take(&mut self.touched) {
            self.pack(start);
        }
        let variance = |spread: &Spread| if spread.n > 1.0 { spread.squares / spread.n } else { 1.0 };
        CountedSeries {
            windows: self.packed,
            slices: self.reading.slices.to_vec(),
            layout: self.layout,
            window_ms: self.reading.window_ms,
            rows: self.rows,
            left_out: self.left_out,
            outcomes: self.outcomes,
            term_variances: self.spreads.iter().map(variance).collect(),
            absent: Vec::new(),
        }
    }
}

fn add(counts: &mut Vec<Vec<u64>>, place: usize, len: usize, index: usize, amount: u64) {
    if counts.len() <= place {
        counts.resize_with(place + 1, Vec::new);
    }
    let counts = &mut counts[place];
    if counts.is_empty() {
        counts.resize(len, 0);
    }
    if let Some(counter) = counts.get_mut(index) {
        *counter += amount;
    }
}

fn latency_index(layout: &Layout, cell: Cell<'_>) -> usize {
    let ms = match cell {
        Cell::Missing => return layout.latency_missing(),
        Cell::Number(ms) => Some(ms),
        Cell::Raw(text) => text.trim().parse().ok(),
        Cell::Text(_) | Cell::Bool(_) | Cell::Time(_) | Cell::Nested => None,
    };
    ms.and_then(latency::bucket)
        .map_or_else(|| layout.latency_invalid(), |bucket| layout.latency_bucket(bucket))
}
