//! The panes and rolling totals of every subject, by number.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::admission::{Budget, Charge, DENSE_PANES, NotAdmitted};
use super::fit::Fits;
use super::horizon::RollingTotal;
use super::pane::Pane;
use super::plan::{Plan, Plans};
use crate::engine::{PaneRow, SubjectId};
use crate::subject::Subject;

/// A model version with its plans and the numbers of its subjects.
#[derive(Debug)]
pub(super) struct VersionState {
    pub(super) model: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) watched: bool,
    pub(super) plans: Plans,
    pub(super) events: u64,
    /// Left out for other versions of the model.
    pub(super) surplus: bool,
    /// Events not counted, or not in their segment, in the order of [`NotAdmitted::ALL`].
    pub(super) not_admitted: [u64; NotAdmitted::ALL.len()],
    whole: Option<SubjectId>,
    segments: HashMap<Arc<str>, SubjectId>,
    /// Where the values of the shapes of its events go.
    pub(super) fits: Fits,
}

impl VersionState {
    pub(super) fn new(model: &str, version: &str) -> Self {
        Self {
            model: model.into(),
            version: version.into(),
            watched: false,
            plans: Plans::default(),
            events: 0,
            surplus: false,
            not_admitted: [0; NotAdmitted::ALL.len()],
            whole: None,
            segments: HashMap::new(),
            fits: Fits::default(),
        }
    }

    /// The whole, once it was seen.
    pub(super) fn whole(&self) -> Option<SubjectId> {
        self.whole
    }

    /// The whole, then its segments by name.
    pub(super) fn subjects(&self) -> Vec<SubjectId> {
        let mut segments: Vec<_> = self.segments.iter().collect();
        segments.sort();
        self.whole.into_iter().chain(segments.into_iter().map(|(_, id)| *id)).collect()
    }
}

#[derive(Debug)]
struct SubjectState {
    subject: Subject,
    /// Oldest pane in which the subject was ever seen.
    first_pane: Option<i64>,
    panes: BTreeMap<i64, Pane>,
    totals: Vec<RollingTotal>,
    dirty: BTreeSet<i64>,
    charge: Charge,
}

/// All subjects.
#[derive(Debug)]
pub(super) struct Subjects {
    horizons: usize,
    pub(super) budget: Budget,
    states: Vec<Option<SubjectState>>,
    new: Vec<SubjectId>,
    /// Bytes that the panes changed since the last checkpoint will take: a packed cell has about one.
    dirty_bytes: usize,
}

impl Subjects {
    pub(super) fn new(horizons: usize, kept_panes: i64) -> Self {
        Self {
            horizons,
            budget: Budget::new(horizons, kept_panes),
            states: Vec::new(),
            new: Vec::new(),
            dirty_bytes: 0,
        }
    }

    fn state(&self, id: SubjectId) -> Option<&SubjectState> {
        self.states.get(id as usize).and_then(Option::as_ref)
    }

    fn add(&mut self, subject: Subject) -> SubjectId {
        // Subjects are bounded by registered versions times segments, far below the range of the number.
        let id = SubjectId::try_from(self.states.len()).unwrap_or(SubjectId::MAX);
        self.place(id, subject);
        self.new.push(id);
        id
    }

    fn place(&mut self, id: SubjectId, subject: Subject) {
        let totals = (0..self.horizons).map(|_| RollingTotal::default()).collect();
        let state = SubjectState {
            subject,
            first_pane: None,
            panes: BTreeMap::new(),
            totals,
            dirty: BTreeSet::new(),
            charge: Charge::default(),
        };
        if self.states.len() <= id as usize {
            self.states.resize_with(id as usize + 1, || None);
        }
        self.states[id as usize] = Some(state);
    }

    pub(super) fn whole(&mut self, version: &mut VersionState) -> SubjectId {
        *version.whole.get_or_insert_with(|| {
            self.add(Subject {
                model: Arc::clone(&version.model),
                version: Arc::clone(&version.version),
                segment: None,
            })
        })
    }

    /// Number of a segment's subject; `None` above the bound of segments.
    pub(super) fn segment(
        &mut self,
        version: &mut VersionState,
        value: &str,
        most: usize,
    ) -> Option<SubjectId> {
        if let Some(id) = version.segments.get(value) {
            return Some(*id);
        }
        if version.segments.len() >= most {
            return None;
        }
        let segment: Arc<str> = value.into();
        let (model, version_name) = (Arc::clone(&version.model), Arc::clone(&version.version));
        let id = self.add(Subject { model, version: version_name, segment: Some(Arc::clone(&segment)) });
        version.segments.insert(segment, id);
        Some(id)
    }

    /// Whether a subject may be counted; known ones always may.
    pub(super) fn admit(&mut self, id: SubjectId, counters: usize) -> bool {
        let state = self.states.get_mut(id as usize).and_then(Option::as_mut);
        state.is_some_and(|state| self.budget.admit(&mut state.charge, counters))
    }

    /// Gives the totals of a version that is no longer watched back.
    pub(super) fn forget_totals(&mut self, version: &VersionState) {
        for id in version.subjects() {
            let Some(state) = self.states.get_mut(id as usize).and_then(Option::as_mut) else { continue };
            state.totals.iter_mut().for_each(|total| *total = RollingTotal::default());
            self.budget.totals_left(&mut state.charge);
        }
    }

    /// Opens a pane of a subject for counting; `amended` when windows may already contain it.
    pub(super) fn open(&mut self, id: SubjectId, pane: i64, len: usize, amended: bool) -> Option<Opened<'_>> {
        let state = self.states.get_mut(id as usize).and_then(Option::as_mut)?;
        state.first_pane = Some(state.first_pane.map_or(pane, |first| first.min(pane)));
        let entry = state.panes.entry(pane).or_insert_with(|| Pane::new(len));
        let was_dense = entry.is_dense();
        entry.dense(len);
        let fresh = state.dirty.insert(pane);
        self.dirty_bytes += if fresh { len } else { 0 };
        if fresh || !was_dense {
            bound_dense(state, pane);
        }
        let totals = if amended { state.totals.as_mut_slice() } else { &mut [] };
        Some(Opened { counts: state.panes.get_mut(&pane)?.dense(len), totals, pane })
    }

    /// Adds to counters of a pane; `amended` when windows may already contain it.
    pub(super) fn count(
        &mut self,
        id: SubjectId,
        pane: i64,
        len: usize,
        slots: &[(usize, u64)],
        amended: bool,
    ) {
        if let Some(mut open) = self.open(id, pane, len, amended) {
            slots.iter().for_each(|(index, amount)| open.add(*index, *amount));
        }
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    pub(super) fn name(&self, id: SubjectId) -> Option<&Subject> {
        self.state(id).map(|state| &state.subject)
    }

    pub(super) fn newest_pane(&self, version: &VersionState) -> Option<i64> {
        let ids = version.subjects();
        ids.iter().filter_map(|id| self.state(*id)?.panes.keys().next_back().copied()).max()
    }

    pub(super) fn first_panes(&self) -> impl Iterator<Item = (SubjectId, i64)> {
        (0..).zip(&self.states).filter_map(|(id, state)| Some((id, state.as_ref()?.first_pane?)))
    }

    /// Whoever has a first pane was admitted once, and so has totals.
    pub(super) fn restore_first_pane(&mut self, id: SubjectId, pane: i64, counters: usize) {
        if let Some(state) = self.states.get_mut(id as usize).and_then(Option::as_mut) {
            self.budget.charge_totals(&mut state.charge, counters);
            state.first_pane = Some(pane);
        }
    }

    /// Whether a subject was seen before this pane.
    pub(super) fn seen_before(&self, id: SubjectId, pane: i64) -> bool {
        self.state(id).and_then(|state| state.first_pane).is_some_and(|first| first < pane)
    }

    pub(super) fn newest_pane_of(&self, id: SubjectId) -> Option<i64> {
        self.state(id)?.panes.keys().next_back().copied()
    }

    /// Packs the panes below `edge` and forgets those below `needed`.
    pub(super) fn close(&mut self, edge: i64, needed: i64) {
        for state in self.states.iter_mut().flatten() {
            if let Some(pane) = state.panes.get_mut(&(edge - 1)) {
                pane.pack();
            }
            if state.panes.keys().next().is_some_and(|oldest| *oldest < needed) {
                state.panes = state.panes.split_off(&needed);
                state.dirty = state.dirty.split_off(&needed);
                if state.panes.is_empty() {
                    self.budget.panes_left(&mut state.charge);
                }
            }
        }
    }

    pub(super) fn window(
        &mut self,
        id: SubjectId,
        horizon: usize,
        edge: i64,
        length: (i64, i64),
        plans: &Plans,
    ) -> Option<(&Arc<Plan>, &[u64])> {
        let state = self.states.get_mut(id as usize)?.as_mut()?;
        state.totals.get_mut(horizon)?.advance(edge, length, plans, &state.panes)
    }

    pub(super) fn sum(&self, id: SubjectId, from: i64, to: i64, counters: usize) -> Vec<u64> {
        let mut total = vec![0; counters];
        if let Some(state) = self.state(id) {
            state.panes.range(from..to).for_each(|(_, pane)| pane.add_to(&mut total));
        }
        total
    }

    pub(super) fn restore(&mut self, id: SubjectId, subject: Subject, version: &mut VersionState) {
        match &subject.segment {
            None => version.whole = Some(id),
            Some(segment) => {
                version.segments.insert(Arc::clone(segment), id);
            }
        }
        self.place(id, subject);
    }

    pub(super) fn restore_pane(&mut self, id: SubjectId, pane: i64, counts: Vec<u8>, counters: usize) {
        if let Some(state) = self.states.get_mut(id as usize).and_then(Option::as_mut) {
            self.budget.charge(&mut state.charge, counters);
            state.panes.insert(pane, Pane::Sparse(counts));
        }
    }

    pub(super) fn take_new(&mut self) -> Vec<(SubjectId, Subject)> {
        let new = std::mem::take(&mut self.new);
        new.into_iter().filter_map(|id| Some((id, self.name(id)?.clone()))).collect()
    }

    pub(super) fn take_dirty(&mut self, reference: impl Fn(&Subject, i64) -> Option<String>) -> Vec<PaneRow> {
        let mut rows = Vec::new();
        self.dirty_bytes = 0;
        for (id, state) in (0..).zip(&mut self.states) {
            let Some(state) = state else { continue };
            for number in std::mem::take(&mut state.dirty) {
                let Some(pane) = state.panes.get(&number) else { continue };
                let Some(reference) = reference(&state.subject, number) else { continue };
                rows.push(PaneRow { subject: id, pane: number, reference, counts: pane.packed() });
            }
        }
        rows
    }
}

/// A pane that is being counted into.
#[derive(Debug)]
pub(super) struct Opened<'s> {
    counts: &'s mut [u64],
    /// Totals that may hold the pane already.
    totals: &'s mut [RollingTotal],
    pane: i64,
}

impl Opened<'_> {
    /// Increments a counter; one out of range is none.
    pub(super) fn add(&mut self, index: usize, amount: u64) {
        if let Some(counter) = self.counts.get_mut(index) {
            *counter += amount;
        }
        self.totals.iter_mut().for_each(|total| total.amend(self.pane, index, amount));
    }

    /// Increments each of these counters by one.
    pub(super) fn add_one_each(&mut self, indices: impl Iterator<Item = usize>) {
        if self.totals.is_empty() {
            for index in indices {
                if let Some(counter) = self.counts.get_mut(index) {
                    *counter += 1;
                }
            }
        } else {
            indices.for_each(|index| self.add(index, 1));
        }
    }
}

/// Packs the oldest unpacked panes above the bound, never the one just counted.
fn bound_dense(state: &mut SubjectState, just_counted: i64) {
    let dense: Vec<i64> =
        state.panes.iter().filter(|(_, pane)| pane.is_dense()).map(|(number, _)| *number).collect();
    let surplus = dense.len().saturating_sub(DENSE_PANES);
    for number in dense.into_iter().filter(|number| *number != just_counted).take(surplus) {
        if let Some(pane) = state.panes.get_mut(&number) {
            pane.pack();
        }
    }
}
