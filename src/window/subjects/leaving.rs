//! Subjects by the numbers that the state file has, and those that leave. A number is given once and for ever; a place
//! here is not: it is another one after somebody left.

use super::{Subjects, VersionState};
use crate::engine::{SubjectId, SubjectNumber};
use crate::subject::Subject;

impl Subjects {
    /// The place of a subject that was restored.
    fn place_of(&self, number: SubjectNumber) -> Option<SubjectId> {
        let place = self.states.binary_search_by_key(&number, |state| state.number).ok()?;
        SubjectId::try_from(place).ok()
    }

    /// Takes a subject up; they must come in the order of their numbers.
    pub(in crate::window) fn restore(
        &mut self,
        number: SubjectNumber,
        subject: Subject,
        version: &mut VersionState,
    ) {
        let segment = subject.segment.clone();
        let id = self.place(number, subject);
        self.next = self.next.max(number.saturating_add(1));
        match segment {
            None => version.whole = Some(id),
            Some(segment) => _ = version.segments.insert(segment, id),
        }
    }

    /// The number that the next new subject gets.
    pub(in crate::window) fn next_number(&self) -> SubjectNumber {
        self.next
    }

    /// No new subject gets a number below this one.
    pub(in crate::window) fn restore_next_number(&mut self, next: SubjectNumber) {
        self.next = self.next.max(next);
    }

    /// A subject by the number that the state file has.
    pub(in crate::window) fn of_number(&self, number: SubjectNumber) -> Option<(SubjectId, &Subject)> {
        let id = self.place_of(number)?;
        Some((id, self.name(id)?))
    }

    /// Whether nothing is kept of a version's traffic any more.
    pub(in crate::window) fn are_empty(&self, version: &VersionState) -> bool {
        let mut states = version.ids().filter_map(|id| self.state(id));
        states.all(|state| state.panes.is_empty() && state.dirty.is_empty())
    }

    /// Keeps the subjects of these versions only, which are told their new places. Nobody else may remember one.
    pub(in crate::window) fn keep_only<'v>(&mut self, versions: impl Iterator<Item = &'v mut VersionState>) {
        let mut kept: Vec<Option<SubjectId>> = vec![None; self.states.len()];
        let mut versions: Vec<&mut VersionState> = versions.collect();
        for id in versions.iter().flat_map(|version| version.ids()) {
            if let Some(place) = kept.get_mut(id as usize) {
                *place = Some(id);
            }
        }
        for (next, place) in (0..).zip(kept.iter_mut().flatten()) {
            *place = next;
        }
        let place = |id: SubjectId| kept.get(id as usize).copied().flatten();
        for version in &mut versions {
            version.whole = version.whole.and_then(place);
            version.segments.retain(|_, id| place(*id).map(|place| *id = place).is_some());
        }
        let new = std::mem::take(&mut self.new);
        // What the state file never heard of need not leave it.
        let unheard: Vec<SubjectId> = new.iter().copied().filter(|id| place(*id).is_none()).collect();
        self.new = new.into_iter().filter_map(place).collect();
        let Self { states, left, budget, .. } = self;
        let mut stays = (0..).zip(&kept).map(|(id, place)| (id, place.is_some()));
        states.retain_mut(|state| {
            let (id, stays) = stays.next().unwrap_or((SubjectId::MAX, true));
            if !stays {
                budget.panes_left(&mut state.charge);
                budget.totals_left(&mut state.charge);
                if !unheard.contains(&id) {
                    left.push(state.number);
                }
            }
            stays
        });
    }

    /// Numbers of subjects that left since the last call.
    pub(in crate::window) fn take_left(&mut self) -> Vec<SubjectNumber> {
        std::mem::take(&mut self.left)
    }
}
