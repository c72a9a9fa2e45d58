//! Batches whose rows stand aside and are counted in steps, while others come in: counting the rows of thousands of models
//! takes a tenth of a second. Not here: how rows are counted (`batch.rs`), and what an edge does with them (`closing.rs`).
//!
//! Bound: [`BATCHES`] batches, the one that is being filled among them. When none is left, all that stands aside is counted
//! at once.

use std::collections::{HashMap, VecDeque};

use super::Windows;
use super::batch::Batch;
use super::subjects::Subjects;
use crate::engine::SubjectId;

/// Batches that there are.
pub(super) const BATCHES: u64 = 3;

/// Rows that are counted at once: they take no longer than it takes to read a batch of records.
const AT_ONCE: usize = 4_096;

/// Rows that may still wait when a checkpoint is taken, which counts them at once.
const FEW: usize = 16_384;

/// So many rows of those that stand aside are counted whenever [`EVERY`] have come in: they are counted long before the
/// next batch is full.
const SOME: usize = 512;
const EVERY: u32 = 128;

/// A batch that stands aside.
#[derive(Debug)]
struct Aside {
    batch: Batch,
    /// Panes before this one were closed when it came here.
    closed: Option<i64>,
    /// Whether the edge that began last sees its rows.
    before_edge: bool,
}

/// All that stands aside.
#[derive(Debug)]
pub(super) struct Asides {
    waiting: VecDeque<Aside>,
    empty: Vec<Batch>,
    /// Rows that came in since some of these were counted.
    came_in: u32,
}

impl Asides {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), empty: (2..=BATCHES).map(Batch::new).collect(), came_in: 0 }
    }

    /// Takes the rows of a full batch: few are counted at once, others stand aside.
    pub(super) fn take_full(&mut self, batch: &mut Batch, closed: Option<i64>, subjects: &mut Subjects) {
        if batch.len() > AT_ONCE {
            self.put(batch, closed, subjects);
        } else {
            batch.settle_some(subjects, closed, usize::MAX);
        }
    }

    /// Makes the rows of a batch stand aside.
    fn put(&mut self, batch: &mut Batch, closed: Option<i64>, subjects: &mut Subjects) {
        if batch.len() == 0 {
            return;
        }
        if self.empty.is_empty() {
            self.settle_all(subjects);
        }
        if let Some(empty) = self.empty.pop() {
            let batch = std::mem::replace(batch, empty);
            self.waiting.push_back(Aside { batch, closed, before_edge: false });
        }
    }

    /// Counts about so many rows; gives whether some are left. It counts as it would have when they came here: what amends
    /// panes that were older than the edge under way is in that edge's windows.
    fn settle_some(&mut self, subjects: &mut Subjects, most: usize) -> bool {
        let Some(Aside { batch, closed, before_edge }) = self.waiting.front_mut() else { return false };
        let more = if *before_edge {
            let held = subjects.release_amendments();
            let more = batch.settle_some(subjects, *closed, most);
            subjects.hold_again(held);
            more
        } else {
            batch.settle_some(subjects, *closed, most)
        };
        if !more {
            self.empty.extend(self.waiting.pop_front().map(|aside| aside.batch));
        }
        !self.waiting.is_empty()
    }

    fn settle_all(&mut self, subjects: &mut Subjects) {
        while self.settle_some(subjects, usize::MAX) {}
    }

    /// A row comes in: now and then some of those that stand aside are counted.
    pub(super) fn one_came_in(&mut self, subjects: &mut Subjects) {
        if self.waiting.is_empty() {
            return;
        }
        self.came_in += 1;
        if self.came_in >= EVERY {
            self.came_in = 0;
            self.settle_some(subjects, SOME);
        }
    }

    /// The newest pane of each subject with rows among these.
    pub(super) fn newest_panes(&self) -> HashMap<SubjectId, i64> {
        let mut newest = HashMap::new();
        for (id, pane) in self.waiting.iter().flat_map(|aside| aside.batch.targets()) {
            newest.entry(id).and_modify(|newest: &mut i64| *newest = pane.max(*newest)).or_insert(pane);
        }
        newest
    }

    /// Bytes that the counts of these rows will take in a checkpoint, about.
    pub(super) fn bytes(&self) -> usize {
        self.waiting.iter().map(|aside| aside.batch.bytes()).sum()
    }
}

impl Windows {
    /// An edge begins: all that waits stands aside, to be counted by [`Windows::settle_closing`] before its windows are read.
    pub(super) fn stand_aside(&mut self) {
        let Self { asides, batch, subjects, closed, .. } = self;
        asides.put(batch, *closed, subjects);
        asides.waiting.iter_mut().for_each(|aside| aside.before_edge = true);
    }

    /// Counts about so many of the rows that waited when the edge began; gives whether some are left.
    pub fn settle_closing(&mut self, most: usize) -> bool {
        let Self { asides, subjects, .. } = self;
        let is_left = |asides: &Asides| asides.waiting.front().is_some_and(|aside| aside.before_edge);
        is_left(asides) && {
            asides.settle_some(subjects, most);
            is_left(asides)
        }
    }

    /// Counts about so many of the rows that wait, ahead of a checkpoint; gives whether it is better taken later, since it
    /// would count more at once than a batch of records may wait for.
    pub fn settle_ahead(&mut self, most: usize) -> bool {
        let Self { asides, batch, subjects, closed, .. } = self;
        if asides.waiting.is_empty() && batch.len() > FEW {
            asides.put(batch, *closed, subjects);
        }
        asides.settle_some(subjects, most) || batch.len() > FEW
    }

    /// Adds what waits to the counts, which must come before anybody reads them.
    pub fn settle(&mut self) {
        let Self { asides, batch, subjects, closed, .. } = self;
        asides.settle_all(subjects);
        batch.settle_some(subjects, *closed, usize::MAX);
    }
}
