//! What comes back from a checkpoint, and what leaves for good.
//!
//! A version that left the registry is kept for as long as a window may still look at its panes. Then it is forgotten with
//! its subjects and plans; should it come back, it begins anew, under new numbers. So memory is bounded by the versions
//! that are watched and those of the longest window, however many come and go.

use anchorwatch_detectors::counts::visit_sparse;

use super::subjects::VersionState;
use super::{Plans, Windows};
use crate::engine::{PaneRow, SubjectId, SubjectNumber};
use crate::subject::Subject;
use crate::workers;

/// Most that one counter of a pane or block can hold: ten million events a second for two hours. So no sum over the counters
/// of a window reaches the end of its numbers.
const MOST_COUNTED: u64 = 1 << 36;

/// Panes of a checkpoint that a thread reads at once.
const ROWS: usize = 256;

impl Windows {
    /// Forgets versions that left the registry and of whose traffic nothing is kept, and plans by which nothing that is
    /// kept was counted, unless `in_use` says of model, version and reference that somebody else needs it. Gives whether
    /// there were any. Between two edges only: subjects change their places.
    pub fn forget_unneeded(&mut self, in_use: impl Fn(&str, &str, &str) -> bool) -> bool {
        self.settle();
        let forgotten = self.forget_plans(in_use);
        let leaves =
            |state: &VersionState| !state.watched && !state.surplus && self.subjects.are_empty(state);
        let stays: Vec<bool> = self.versions.iter().map(|state| !leaves(state)).collect();
        let leaving = stays.iter().filter(|stays| !**stays).count();
        if leaving == 0 || self.held_amendments() > 0 {
            return forgotten;
        }
        let place =
            |next: &mut usize, stays: &bool| Some(std::mem::replace(next, *next + usize::from(*stays)));
        let places: Vec<usize> = stays.iter().scan(0, place).collect();
        let mut stays = stays.into_iter();
        self.versions.retain(|_| stays.next().unwrap_or(true));
        self.forgotten += leaving as u64;
        self.subjects.keep_only(self.versions.iter_mut());
        self.by_name.clear();
        for (index, state) in self.versions.iter().enumerate() {
            let of_model = self.by_name.entry(state.model.to_string()).or_default();
            of_model.insert(state.version.to_string(), index);
        }
        // Whoever takes feedback is watched, and stays.
        self.feedback.values_mut().for_each(|index| *index = places.get(*index).copied().unwrap_or(0));
        (self.last_version, self.counted) = (0, None);
        true
    }

    /// Versions that are known, watched or still looked at, and those that were forgotten since the start.
    #[must_use]
    pub fn known_and_forgotten(&self) -> (usize, u64) {
        (self.versions.len(), self.forgotten)
    }

    fn forget_plans(&mut self, in_use: impl Fn(&str, &str, &str) -> bool) -> bool {
        let Some(needed) = self.needed_from() else { return false };
        let mut forgotten = false;
        for state in &mut self.versions {
            let unneeded = |plans: &Plans| {
                let mut entries = plans.entries();
                let ((_, oldest), (next, _)) = (entries.next()?, entries.next()?);
                (next <= needed && !in_use(&state.model, &state.version, oldest)).then_some(next)
            };
            while let Some(next) = unneeded(&state.plans) {
                state.plans.forget_before(next);
                forgotten = true;
            }
        }
        forgotten
    }

    /// The number that the next new subject gets in the state file.
    #[must_use]
    pub fn next_subject(&self) -> SubjectNumber {
        self.subjects.next_number()
    }

    /// No new subject gets a number below this one: it belonged to somebody.
    pub fn restore_next_subject(&mut self, next: SubjectNumber) {
        self.subjects.restore_next_number(next);
    }

    /// Numbers of subjects that left since the last call; nothing of them is to stay.
    pub fn take_left_subjects(&mut self) -> Vec<SubjectNumber> {
        self.subjects.take_left()
    }

    /// Restores the first pane of a subject.
    pub fn restore_first_pane(&mut self, number: SubjectNumber, pane: i64) {
        let Some((id, subject)) = self.subjects.of_number(number) else { return };
        let version = self.by_name.get(&*subject.model).and_then(|known| known.get(&*subject.version));
        let plan = version.and_then(|index| self.versions[*index].plans.newest());
        let counters = plan.map_or(0, |plan| plan.layout.len());
        self.subjects.restore_first_pane(id, pane, counters);
    }

    /// Takes up a subject from a checkpoint; they must come in the order of their numbers.
    pub fn restore_subject(&mut self, number: SubjectNumber, subject: Subject) {
        let index = self.version_index(&subject.model, &subject.version);
        self.subjects.restore(number, subject, &mut self.versions[index]);
    }

    /// Takes up the panes of a checkpoint; gives how many, and how many cannot be used: their subject is unknown, their
    /// reference is not the one that holds for them, or they are damaged. Every count is read once to know, on all threads.
    pub fn restore_panes(&mut self, rows: Vec<PaneRow>) -> (usize, usize) {
        if let Some(newest) = rows.iter().map(|row| row.subject).max() {
            self.restore_next_subject(newest.saturating_add(1));
        }
        let windows = &*self;
        let usable =
            workers::each(workers::available(), rows.chunks(ROWS).collect(), |rows: &[PaneRow]| {
                rows.iter().map(|row| windows.whose_pane(row)).collect::<Vec<_>>()
            });
        let all = rows.len();
        let mut taken = 0;
        for (row, usable) in rows.into_iter().zip(usable.into_iter().flatten()) {
            if let Some((id, counters)) = usable {
                self.subjects.restore_pane(id, row.pane, row.counts, counters);
                taken += 1;
            }
        }
        (taken, all - taken)
    }

    /// The subject of a pane, and how many counters it has; `None` if the pane cannot be used.
    fn whose_pane(&self, row: &PaneRow) -> Option<(SubjectId, usize)> {
        let (id, subject) = self.subjects.of_number(row.subject)?;
        let index = *self.by_name.get(&*subject.model)?.get(&*subject.version)?;
        let (_, plan) = self.versions.get(index)?.plans.at(row.pane)?;
        if plan.reference_id != row.reference {
            return None;
        }
        let single = plan.size().single();
        let mut possible = true;
        let read = visit_sparse(&row.counts.packed(), plan.layout.len(), |slot, count| {
            possible &= slot >= single || count <= MOST_COUNTED;
        });
        (read.is_ok() && possible).then_some((id, plan.layout.len()))
    }
}
