//! Step 4 of 10 for usual events: their values wait, row by row, until there are enough to look up column by column.
//!
//! Whether and where an event counts is decided before it comes here; what it adds is additive, so it does not matter
//! when it is added, as long as that is before anybody reads the counts: whoever does calls [`Batch::settle_some`] first.
//! Then eight values of a column are looked up in lock step, and each pane is found once for all of its rows. The counts
//! are those of one event at a time (`count.rs`), to the last bit.
//!
//! Rows are taken plan by plan. Cut points and counters of thousands of models are in no cache when the turn comes to one of
//! them, so the more models there are, the more rows wait: then what is fetched for one row serves the next ones too.
//!
//! Bound: [`MOST`] rows and [`WORDS`] words, 78 MB in all, whatever the number of versions, and 0.3 MB for few; there are three,
//! two of which may stand aside (`aside.rs`). A full batch does, or is counted at once if it is small.

use std::sync::Arc;

use anchorwatch_detectors::binning::{Binning, LANES, NumericBinning};

use super::aside::BATCHES;
use super::fit::Fit;
use super::pairs::{Block, ROWS};
use super::plan::Plan;
use super::rows::{RowShape, Scan};
use super::subjects::{PACKED_CELL, Subjects};
use crate::engine::SubjectId;
use crate::reference::Layout;

/// Rows that may wait whatever their plans: those of one batch of records, which the nearer caches hold.
const FEW_PLANS: usize = 1_024;
/// Rows that may wait for each plan.
const EACH: usize = 32;
/// Rows that may wait.
const MOST: usize = 327_680;
/// Values that may wait.
const WORDS: usize = 8_388_608;
/// Rows that are looked up together: so many stay in the nearest cache.
const BLOCK: usize = 64;
/// Rows that are looked up each by itself.
const FEW: usize = 3;
/// No row, or no subject.
const NONE: u32 = u32::MAX;

/// A row: its values are consecutive words, in the shape that its plan has for rows.
#[derive(Debug, Clone, Copy)]
struct Row {
    begins: u32,
    /// Index among the plans of the batch.
    plan: u32,
    /// The next row of the same plan.
    next: u32,
    /// Who counts it: the whole, and perhaps a segment as well.
    subjects: [SubjectId; 2],
    pane: i64,
}

/// The rows of one plan, in the order in which they came.
#[derive(Debug)]
struct Waiting {
    plan: Arc<Plan>,
    first: u32,
    last: u32,
}

/// Where a plan stands among those of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PlanPlace {
    batch: u64,
    plan: u32,
}

/// A row that counts in a pane of a subject.
#[derive(Debug, Clone, Copy)]
struct Target {
    subject: SubjectId,
    begins: u32,
    pane: i64,
}

/// Rows that wait.
#[derive(Debug)]
pub(super) struct Batch {
    /// A batch that was settled gives way to the next one. No place has the number 0, and no two batches the same.
    number: u64,
    words: Vec<u64>,
    rows: Vec<Row>,
    /// Whether any of the rows has a new value: hardly any batch has, and looking for them costs every row.
    any_new: bool,
    plans: Vec<Waiting>,
    /// Plans whose rows are counted, the first ones.
    settled: usize,
    /// Where the rows of one plan begin, while they are counted.
    begins: Vec<u32>,
    targets: Vec<Target>,
    /// Joint terms of the rows that are being counted.
    block: Block,
}

impl Batch {
    /// A batch of no rows, with room for those of few plans; `number` is 1 to [`BATCHES`].
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            words: Vec::with_capacity(32 * FEW_PLANS),
            rows: Vec::with_capacity(FEW_PLANS),
            any_new: false,
            plans: Vec::new(),
            settled: 0,
            begins: Vec::with_capacity(FEW_PLANS),
            targets: Vec::with_capacity(2 * FEW_PLANS),
            block: Block::default(),
        }
    }

    /// Whether a row of this plan still fits; one does always, alone.
    pub(super) fn has_room(&self, plan: &Plan) -> bool {
        let words = self.words.len() + plan.rows.blank().len();
        let most = (EACH * self.plans.len()).clamp(FEW_PLANS, MOST);
        self.rows.is_empty() || (self.rows.len() < most && words <= WORDS)
    }

    /// Takes in a row; [`Batch::count_in`] says where it counts. `place` is where the plan of its version stood last.
    pub(super) fn push(&mut self, plan: &Arc<Plan>, place: &mut PlanPlace, fit: &Fit, scan: Scan<'_>) {
        let begins = self.words.len();
        self.words.extend_from_slice(plan.rows.blank());
        self.any_new |= plan.rows.fill(&mut self.words[begins..], plan, fit, scan);
        let row = self.rows.len() as u32;
        let known = self.plans.get_mut(place.plan as usize).filter(|_| place.batch == self.number);
        match known.filter(|waiting| Arc::ptr_eq(&waiting.plan, plan)) {
            Some(waiting) => {
                self.rows[waiting.last as usize].next = row;
                waiting.last = row;
            }
            None => {
                *place = PlanPlace { batch: self.number, plan: self.plans.len() as u32 };
                self.plans.push(Waiting { plan: Arc::clone(plan), first: row, last: row });
            }
        }
        let begins = begins as u32;
        self.rows.push(Row { begins, plan: place.plan, next: NONE, subjects: [NONE; 2], pane: 0 });
    }

    /// Makes the newest row count in this pane, of the whole and of the segment if there is one.
    pub(super) fn count_in(&mut self, whole: SubjectId, segment: Option<SubjectId>, pane: i64) {
        if let Some(newest) = self.rows.last_mut() {
            (newest.subjects, newest.pane) = ([whole, segment.unwrap_or(NONE)], pane);
        }
    }

    /// Looks the newest row up at once, and gives the cell of each column as `Slots::cells` does.
    pub(super) fn cells_of_newest(&mut self, cells: &mut Vec<usize>) {
        cells.clear();
        let Some(newest) = self.rows.last() else { return };
        let plan = &self.plans[newest.plan as usize].plan;
        look_up(&mut self.words, plan, &[newest.begins]);
        let row = &self.words[newest.begins as usize..];
        cells.extend((0..plan.layout.columns()).map(|column| plan.rows.cell(column, row[column])));
    }

    /// Subjects and panes in which rows that wait will count.
    pub(super) fn targets(&self) -> impl Iterator<Item = (SubjectId, i64)> {
        let of_row = |row: &Row| row.subjects.map(|subject| (subject, row.pane));
        self.rows.iter().flat_map(of_row).filter(|(subject, _)| *subject != NONE)
    }

    /// Bytes that the counts of what waits will take in a checkpoint, about.
    pub(super) fn bytes(&self) -> usize {
        self.words.len() * PACKED_CELL
    }

    /// Rows that wait, or are being counted.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds so many rows to the counts, and the others of the last one's plan; gives whether some are left. Until none is,
    /// nothing may be pushed. Panes below `closed` may be in windows already.
    pub(super) fn settle_some(&mut self, subjects: &mut Subjects, closed: Option<i64>, most: usize) -> bool {
        let Self { words, rows, any_new, plans, settled, begins, targets, block, .. } = self;
        let mut done = 0;
        while done < most
            && let Some(Waiting { plan, first, .. }) = plans.get(*settled)
        {
            *settled += 1;
            begins.clear();
            targets.clear();
            let mut next = *first;
            while let Some(row) = rows.get(next as usize) {
                begins.push(row.begins);
                let counted = row.subjects.into_iter().filter(|subject| *subject != NONE);
                targets.extend(counted.map(|subject| Target { subject, begins: row.begins, pane: row.pane }));
                next = row.next;
            }
            done += begins.len();
            begins.chunks(BLOCK).for_each(|rows| look_up(words, plan, rows));
            count(plan, (words, *any_new), targets, (subjects, closed), block);
        }
        if *settled < plans.len() {
            return true;
        }
        if !plans.is_empty() {
            self.plans.clear();
            self.settled = 0;
            self.words.clear();
            self.rows.clear();
            self.any_new = false;
            self.number += BATCHES;
        }
        false
    }
}

/// Adds rows of one plan, which were looked up, to the panes that they count in.
fn count(
    plan: &Plan,
    (words, any_new): (&[u64], bool),
    targets: &mut [Target],
    (subjects, closed): (&mut Subjects, Option<i64>),
    block: &mut Block,
) {
    let in_order = |a: &Target, b: &Target| (a.subject, a.pane) <= (b.subject, b.pane);
    if !targets.is_sorted_by(in_order) {
        targets.sort_unstable_by_key(|target| (target.subject, target.pane));
    }
    let amended = |pane| closed.is_some_and(|closed| pane < closed);
    // What may wait for an edge goes row by row: the bound on that is one of rows.
    let together = |a: &Target, b: &Target| (a.subject, a.pane) == (b.subject, b.pane) && !amended(a.pane);
    for run in targets.chunk_by(together) {
        let Target { subject, pane, .. } = run[0];
        let of_row = |target: &Target| &words[target.begins as usize..];
        let with_new = if any_new { run } else { &[] };
        let new_values = with_new.iter().flat_map(|target| plan.rows.new_values(of_row(target)));
        let new_values = new_values.filter_map(|(column, place)| plan.layout.new_value(column, place));
        let additions = run.len() * plan.rows.counted() + 1 + new_values.clone().count();
        let size = (plan.size(), additions);
        let Some(mut open) = subjects.open(subject, pane, size, amended(pane)) else { continue };
        open.add(Layout::ROWS, run.len() as u64);
        for target in run {
            let begins = target.begins as usize;
            let counted = &words[begins..begins + plan.rows.counted()];
            open.add_one_each(counted.iter().map(|word| RowShape::index(*word)));
        }
        open.add_one_each(new_values);
        if plan.reference.joint.is_empty() {
            continue;
        }
        for part in run.chunks(ROWS) {
            let rows = part.iter().map(|target| &words[target.begins as usize..]);
            match open.joint() {
                Some(joint) => block.add(plan, rows, |place, amount| {
                    if let Some(counter) = joint.get_mut(place) {
                        *counter = counter.saturating_add(amount);
                    }
                }),
                None => block.add(plan, rows, |place, amount| open.add(plan.layout.joint(place), amount)),
            }
        }
    }
}

/// Looks the numeric values of rows of one plan up, eight of a column at a time.
fn look_up(words: &mut [u64], plan: &Plan, rows: &[u32]) {
    for column in plan.rows.numeric() {
        let Binning::Numeric(binning) = &plan.reference.columns[column].binning else { continue };
        let (eights, rest) = rows.as_chunks::<LANES>();
        for eight in eights {
            let places = eight.map(|begins| begins as usize + column);
            let values = places.map(|place| words[place]);
            let cells = binning.cells_of(values.map(f64::from_bits));
            for lane in 0..LANES {
                words[places[lane]] = plan.rows.looked_up(column, values[lane], cells[lane]);
            }
        }
        if rest.len() > FEW {
            for begins in rest {
                let place = *begins as usize + column;
                let cell = binning.cell(f64::from_bits(words[place]));
                words[place] = plan.rows.looked_up(column, words[place], cell);
            }
        }
    }
    let (_, rest) = rows.as_chunks::<LANES>();
    if rest.len() <= FEW {
        rest.iter().for_each(|begins| look_up_one(&mut words[*begins as usize..], plan));
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
