//! Step 4 of 10 for usual events: their values wait, row by row, until there are enough to look up column by column.
//!
//! Whether and where an event counts is decided before it comes here; what it adds is additive, so it does not matter
//! when it is added, as long as that is before anybody reads the counts: whoever does calls [`Batch::settle`] first.
//! Then eight values of a column are looked up in lock step, and each pane is found once for all of its rows. The counts
//! are those of one event at a time (`count.rs`), to the last bit.
//!
//! Bound: [`MOST`] rows and [`WORDS`] words, 0.4 MB in all, whatever the number of versions. A full batch settles.

use std::sync::Arc;

use anchorwatch_detectors::binning::{Binning, LANES, NumericBinning};

use super::fit::Fit;
use super::pairs::{Block, ROWS};
use super::plan::Plan;
use super::rows::{RowShape, Scan};
use super::subjects::Subjects;
use crate::engine::SubjectId;
use crate::reference::Layout;

/// Rows that may wait: those of one batch of records.
const MOST: usize = 1_024;
/// Values that may wait.
const WORDS: usize = 32_768;
/// Rows that are looked up together: so many stay in the nearest cache.
const BLOCK: usize = 64;
/// Panes whose memory is asked for at once, before they are counted into one after the other.
const AHEAD: usize = 16;
/// Rows that are looked up each by itself.
const FEW: usize = 3;

/// A row: its values are consecutive words, in the shape that its plan has for rows.
#[derive(Debug, Clone, Copy)]
struct Row {
    begins: u32,
    /// Index among the plans of the batch.
    plan: u32,
}

/// A row that counts in a pane of a subject: the whole, and perhaps a segment as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    subject: SubjectId,
    row: u32,
    pane: i64,
}

/// Rows that wait.
#[derive(Debug)]
pub(super) struct Batch {
    words: Vec<u64>,
    rows: Vec<Row>,
    plans: Vec<Arc<Plan>>,
    targets: Vec<Target>,
    /// The rows by plan, while they are looked up.
    order: Vec<Row>,
    /// Joint terms of the rows that are being counted.
    block: Block,
}

impl Batch {
    /// A batch of no rows, with room for all.
    pub(super) fn new() -> Self {
        Self {
            words: Vec::with_capacity(WORDS),
            rows: Vec::with_capacity(MOST),
            plans: Vec::new(),
            targets: Vec::with_capacity(2 * MOST),
            order: Vec::with_capacity(MOST),
            block: Block::default(),
        }
    }

    /// Whether a row of this plan still fits; one does always, alone.
    pub(super) fn has_room(&self, plan: &Plan) -> bool {
        let words = self.words.len() + plan.rows.blank().len();
        self.rows.is_empty() || (self.rows.len() < MOST && words <= WORDS)
    }

    /// Takes in a row; [`Batch::count_in`] says where it counts.
    pub(super) fn push(&mut self, plan: &Arc<Plan>, fit: &Fit, scan: Scan<'_>) {
        let begins = self.words.len();
        self.words.extend_from_slice(plan.rows.blank());
        plan.rows.fill(&mut self.words[begins..], plan, fit, scan);
        if self.plans.last().is_none_or(|last| !Arc::ptr_eq(last, plan)) {
            self.plans.push(Arc::clone(plan));
        }
        self.rows.push(Row { begins: begins as u32, plan: self.plans.len() as u32 - 1 });
    }

    /// Makes the newest row count in this pane.
    pub(super) fn count_in(&mut self, subject: SubjectId, pane: i64) {
        self.targets.push(Target { subject, row: self.rows.len().saturating_sub(1) as u32, pane });
    }

    /// Looks the newest row up at once, and gives the cell of each column as `Slots::cells` does.
    pub(super) fn cells_of_newest(&mut self, cells: &mut Vec<usize>) {
        cells.clear();
        let Some(newest) = self.rows.last() else { return };
        let plan = &self.plans[newest.plan as usize];
        look_up(&mut self.words, plan, std::slice::from_ref(newest));
        let row = &self.words[newest.begins as usize..];
        cells.extend((0..plan.layout.columns()).map(|column| plan.rows.cell(column, row[column])));
    }

    /// Adds everything that waits to the counts. Panes below `closed` may be in windows already.
    pub(super) fn settle(&mut self, subjects: &mut Subjects, closed: Option<i64>) {
        if self.rows.is_empty() {
            return;
        }
        self.look_up_all();
        let Self { words, rows, plans, targets, block, .. } = self;
        let in_order = |a: &Target, b: &Target| (a.subject, a.pane) <= (b.subject, b.pane);
        if !targets.is_sorted_by(in_order) {
            targets.sort_unstable_by_key(|target| (target.subject, target.pane));
        }
        let amended = |pane| closed.is_some_and(|closed| pane < closed);
        // What may wait for an edge goes row by row: the bound on that is one of rows.
        let together =
            |a: &Target, b: &Target| (a.subject, a.pane) == (b.subject, b.pane) && !amended(a.pane);
        // A pane of a subject has one plan, so a run of rows has.
        let mut ahead = targets.chunk_by(together).map(|run| (run[0].subject, run[0].pane));
        let mut fetched = 0;
        for run in targets.chunk_by(together) {
            if fetched == 0 {
                let next: [Option<(SubjectId, i64)>; AHEAD] = std::array::from_fn(|_| ahead.next());
                subjects.fetch(&next);
                fetched = AHEAD;
            }
            fetched -= 1;
            let Target { subject, row, pane } = run[0];
            let plan = &plans[rows[row as usize].plan as usize];
            let size = (plan.size(), run.len() * plan.rows.counted() + 1);
            let Some(mut open) = subjects.open(subject, pane, size, amended(pane)) else { continue };
            let begins = |target: &Target| rows[target.row as usize].begins as usize;
            open.add(Layout::ROWS, run.len() as u64);
            for target in run {
                let counted = begins(target)..begins(target) + plan.rows.counted();
                open.add_one_each(words[counted].iter().map(|word| RowShape::index(*word)));
            }
            if plan.reference.joint.is_empty() {
                continue;
            }
            for part in run.chunks(ROWS) {
                let rows = part.iter().map(|target| &words[begins(target)..]);
                match open.joint() {
                    Some(joint) => block.add(plan, rows, |place, amount| {
                        if let Some(counter) = joint.get_mut(place) {
                            *counter = counter.saturating_add(amount);
                        }
                    }),
                    None => {
                        block.add(plan, rows, |place, amount| open.add(plan.layout.joint(place), amount));
                    }
                }
            }
        }
        self.clear();
    }

    /// Turns the values of all rows into the counters that they increment, plan by plan.
    fn look_up_all(&mut self) {
        let Self { words, rows, plans, order, .. } = self;
        let plan_of = |row: &Row| &plans[row.plan as usize];
        order.clear();
        order.extend_from_slice(rows);
        if plans.len() > 1 {
            order.sort_unstable_by_key(|row| Arc::as_ptr(plan_of(row)));
        }
        for run in order.chunk_by(|a, b| Arc::ptr_eq(plan_of(a), plan_of(b))) {
            run.chunks(BLOCK).for_each(|rows| look_up(words, plan_of(&rows[0]), rows));
        }
    }

    fn clear(&mut self) {
        self.words.clear();
        self.rows.clear();
        self.plans.clear();
        self.targets.clear();
    }
}

/// Looks the numeric values of rows of one plan up, eight of a column at a time.
fn look_up(words: &mut [u64], plan: &Plan, rows: &[Row]) {
    for column in plan.rows.numeric() {
        let Binning::Numeric(binning) = &plan.reference.columns[column].binning else { continue };
        let (eights, rest) = rows.as_chunks::<LANES>();
        for eight in eights {
            let places = eight.map(|row| row.begins as usize + column);
            let values = places.map(|place| words[place]);
            let cells = binning.cells_of(values.map(f64::from_bits));
            for lane in 0..LANES {
                words[places[lane]] = plan.rows.looked_up(column, values[lane], cells[lane]);
            }
        }
        if rest.len() > FEW {
            for row in rest {
                let place = row.begins as usize + column;
                let cell = binning.cell(f64::from_bits(words[place]));
                words[place] = plan.rows.looked_up(column, words[place], cell);
            }
        }
    }
    let (_, rest) = rows.as_chunks::<LANES>();
    if rest.len() <= FEW {
        rest.iter().for_each(|row| look_up_one(&mut words[row.begins as usize..], plan));
    }
}

/// Looks the numeric values of one row up, eight columns at a time.
fn look_up_one(row: &mut [u64], plan: &Plan) {
    for columns in plan.rows.numeric_columns().chunks(LANES) {
        // Fewer than eight are looked up with the first one again.
        let column = |lane: usize| columns.get(lane).map_or(columns[0], |column| *column) as usize;
        let columns: [usize; LANES] = std::array::from_fn(column);
        let binning = |column: usize| match &plan.reference.columns[column].binning {
            Binning::Numeric(binning) => Some(binning),
            Binning::Categorical(_) => None,
        };
        let Some(first) = binning(columns[0]) else { continue };
        let binnings = columns.map(|column| binning(column).unwrap_or(first));
        let values = columns.map(|column| row[column]);
        let cells = NumericBinning::cells_across(binnings, values.map(f64::from_bits));
        for lane in 0..LANES {
            row[columns[lane]] = plan.rows.looked_up(columns[lane], values[lane], cells[lane]);
        }
    }
}
