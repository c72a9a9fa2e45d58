//! Second reading of a baseline: every row is counted, in the whole, its window and its segment.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use anchorwatch_detectors::latency;

use super::error::BuildError;
use super::plan::{Plan, read};
use super::source::{Cell, Source, Table};
use super::time::instant;
use crate::reference::{BaselineWindow, Column, Layout, code_text};
use crate::subject::Millis;

/// What the second reading counted.
#[derive(Debug)]
pub(super) struct Counted {
    /// Rows read.
    pub(super) rows: u64,
    /// The whole baseline.
    pub(super) profile: Vec<u64>,
    /// Windows in time order.
    pub(super) windows: Vec<BaselineWindow>,
    /// Segments by value.
    pub(super) segments: BTreeMap<String, Vec<u64>>,
}

/// Counts all rows on the plan's columns.
pub(super) fn count(source: &mut Source, plan: &Plan, advance: &dyn Fn(u64)) -> Result<Counted, BuildError> {
    let columns: Vec<Column> = plan.columns.iter().map(|(_, column)| column.clone()).collect();
    let mut counter = Counter::new(plan, Layout::new(&columns));
    while let Some(table) = source.next()? {
        counter.take(plan, &table);
        advance(source.position());
    }
    Ok(counter.finish())
}

/// Where a row is counted besides the whole.
#[derive(Debug, Clone, Copy)]
struct Also {
    window: Option<usize>,
    segment: Option<usize>,
}

/// A stretch of the baseline that is being counted: one by one while that is little.
struct Stretch {
    start: Millis,
    slots: Vec<u32>,
    /// All counters, once there are many.
    counts: Vec<u64>,
}

impl Stretch {
    fn add(&mut self, slot: usize, len: usize) {
        if self.counts.is_empty() {
            // No layout comes near 2^32 counters.
            self.slots.push(slot as u32);
            if self.slots.len() > len {
                self.counts = self.flat(len);
                self.slots = Vec::new();
            }
        } else if let Some(count) = self.counts.get_mut(slot) {
            *count += 1;
        }
    }

    fn flat(&self, len: usize) -> Vec<u64> {
        let mut counts = vec![0; len];
        for slot in &self.slots {
            if let Some(count) = counts.get_mut(*slot as usize) {
                *count += 1;
            }
        }
        counts
    }

    fn window(self, len: usize) -> BaselineWindow {
        if self.counts.is_empty() {
            BaselineWindow::new(self.start, &self.flat(len))
        } else {
            BaselineWindow::new(self.start, &self.counts)
        }
    }
}

struct Counter {
    layout: Layout,
    rows: u64,
    profile: Vec<u64>,
    starts: HashMap<Millis, usize>,
    stretches: Vec<Stretch>,
    names: HashMap<String, usize>,
    segments: Vec<Vec<u64>>,
}

impl Counter {
    fn new(plan: &Plan, layout: Layout) -> Self {
        let empty = vec![0; layout.len()];
        let values = plan.segments.as_ref().map_or(&[][..], |(_, values)| values);
        let names: HashMap<String, usize> =
            values.iter().enumerate().map(|(index, value)| (value.clone(), index)).collect();
        Self {
            segments: vec![empty.clone(); names.len()],
            profile: empty,
            rows: 0,
            starts: HashMap::new(),
            stretches: Vec::new(),
            names,
            layout,
        }
    }

    fn take(&mut self, plan: &Plan, table: &Table) {
        let also: Vec<Also> = (0..table.rows).map(|row| self.locate(plan, table, row)).collect();
        for place in &also {
            self.add(*place, Layout::ROWS);
        }
        for (position, (field, column)) in plan.columns.iter().enumerate() {
            for (row, place) in also.iter().enumerate() {
                let slot = column.slot(read(column.kind, table.cell(*field, row)));
                self.add(*place, self.layout.index(position, slot));
            }
        }
        if let Some(field) = plan.latency {
            for (row, place) in also.iter().enumerate() {
                self.add(*place, self.latency_index(table.cell(field, row)));
            }
        }
        self.rows += table.rows as u64;
    }

    fn locate(&mut self, plan: &Plan, table: &Table, row: usize) -> Also {
        let at = plan.time.and_then(|field| instant(table.cell(field, row)));
        let window = at.zip(plan.window_ms).map(|(at, length)| {
            let start = at.div_euclid(length) * length;
            *self.starts.entry(start).or_insert_with(|| {
                self.stretches.push(Stretch { start, slots: Vec::new(), counts: Vec::new() });
                self.stretches.len() - 1
            })
        });
        let value = plan.segments.as_ref().and_then(|(field, _)| segment_value(table.cell(*field, row)));
        let segment = value.and_then(|value| self.names.get(value.as_ref()).copied());
        Also { window, segment }
    }

    fn latency_index(&self, cell: Cell<'_>) -> usize {
        let ms = match cell {
            Cell::Missing => return self.layout.latency_missing(),
            Cell::Number(ms) => Some(ms),
            Cell::Raw(text) => text.trim().parse().ok(),
            Cell::Text(_) | Cell::Bool(_) | Cell::Time(_) | Cell::Nested => None,
        };
        ms.and_then(latency::bucket)
            .map_or_else(|| self.layout.latency_invalid(), |bucket| self.layout.latency_bucket(bucket))
    }

    fn add(&mut self, also: Also, index: usize) {
        if let Some(stretch) = also.window.and_then(|window| self.stretches.get_mut(window)) {
            stretch.add(index, self.layout.len());
        }
        let segment = also.segment.and_then(|segment| self.segments.get_mut(segment));
        for counts in [Some(&mut self.profile), segment].into_iter().flatten() {
            if let Some(count) = counts.get_mut(index) {
                *count += 1;
            }
        }
    }

    fn finish(mut self) -> Counted {
        self.stretches.sort_by_key(|stretch| stretch.start);
        let windows = self.stretches.into_iter().map(|stretch| stretch.window(self.layout.len())).collect();
        let mut names: Vec<(String, usize)> = self.names.into_iter().collect();
        names.sort_by_key(|(_, index)| *index);
        let segments = names.into_iter().map(|(name, _)| name).zip(self.segments).collect();
        Counted { rows: self.rows, profile: self.profile, windows, segments }
    }
}

/// The segment a cell names, written as an event would name it.
pub(super) fn segment_value(cell: Cell<'_>) -> Option<Cow<'_, str>> {
    match cell {
        Cell::Text(text) | Cell::Raw(text) => Some(Cow::Borrowed(text)),
        Cell::Number(x) => Some(Cow::Owned(code_text(x))),
        Cell::Bool(truth) => Some(Cow::Borrowed(if truth { "true" } else { "false" })),
        Cell::Missing | Cell::Time(_) | Cell::Nested => None,
    }
}
