//! The panes and rolling totals of every subject, by its place here.

mod dirty;
mod leaving;
mod opened;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use dirty::Dirty;
pub(super) use opened::Opened;

use super::Arrivals;
use super::admission::{Budget, Charge, DENSE_PANES, NotAdmitted};
use super::batch::PlanPlace;
use super::blocks::{self, Gathered};
use super::fit::Fits;
use super::horizon::RollingTotal;
use super::latencies::LatencyBounds;
use super::pane::{Counting, PaneCounts, Size};
use super::plan::{Plan, Plans};
use super::settings::{Blocks, WindowSettings};
use crate::engine::{PaneRow, SubjectId, SubjectNumber};
use crate::subject::Subject;
use crate::view::LatencyHistogram;
use crate::workers;

/// A model version with its plans and the numbers of its subjects.
#[derive(Debug)]
pub(super) struct VersionState {
    pub(super) model: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) watched: bool,
    pub(super) plans: Plans,
    pub(super) arrivals: Arrivals,
    /// Left out for other versions of the model.
    pub(super) surplus: bool,
    /// Events not counted, or not in their segment, in the order of [`NotAdmitted::ALL`].
    pub(super) not_admitted: [u64; NotAdmitted::ALL.len()],
    whole: Option<SubjectId>,
    segments: HashMap<Arc<str>, SubjectId>,
    /// Where the values of the shapes of its events go.
    pub(super) fits: Fits,
    /// Where its plan stood in the batch that its events were put into last.
    pub(super) place: PlanPlace,
}

impl VersionState {
    pub(super) fn new(model: &str, version: &str) -> Self {
        Self {
            model: model.into(),
            version: version.into(),
            watched: false,
            plans: Plans::default(),
            arrivals: Arrivals::default(),
            surplus: false,
            not_admitted: [0; NotAdmitted::ALL.len()],
            whole: None,
            segments: HashMap::new(),
            fits: Fits::default(),
            place: PlanPlace::default(),
        }
    }

    /// The whole, once it was seen.
    pub(super) fn whole(&self) -> Option<SubjectId> {
        self.whole
    }

    /// The whole and its segments, in no order.
    fn ids(&self) -> impl Iterator<Item = SubjectId> {
        self.whole.iter().chain(self.segments.values()).copied()
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
    /// By which the state file knows it.
    number: SubjectNumber,
    /// Oldest pane in which the subject was ever seen.
    first_pane: Option<i64>,
    panes: BTreeMap<i64, PaneCounts>,
    totals: Vec<RollingTotal>,
    /// Panes changed since the last checkpoint.
    dirty: Dirty,
    charge: Charge,
    /// Its place among the turns at which old panes are gathered.
    turn: i64,
    /// Latencies in panes that closed; of the whole only.
    latencies: Option<Arc<LatencyHistogram>>,
}

impl SubjectState {
    /// Drops the panes below this one.
    fn drop_before(&mut self, needed: i64) {
        while let Some(oldest) = self.panes.first_entry().filter(|oldest| *oldest.key() < needed) {
            oldest.remove();
        }
        self.dirty.drop_before(needed);
    }

    /// Packs the pane that was just closed, once its latencies are noted, and gathers old ones where it is their time.
    fn tidy(
        &mut self,
        edge: i64,
        (levels, bounds): (&[Blocks], &LatencyBounds),
        plans: &Plans,
    ) -> Vec<Gathered> {
        if let Some(pane) = self.panes.get_mut(&(edge - 1)) {
            if let (Some(latencies), Some((_, plan))) = (&mut self.latencies, plans.at(edge - 1)) {
                bounds.add(latencies, pane, &plan.layout);
            }
            pane.pack();
        }
        let due = levels.iter().filter_map(|level| blocks::due(*level, edge, self.turn));
        due.flat_map(|range| blocks::gather(&mut self.panes, range, plans)).collect()
    }
}

/// Increments that wait until the windows which are being judged are finished: they came too late for those.
#[derive(Debug)]
pub(super) struct Amendment {
    id: SubjectId,
    pane: i64,
    size: Size,
    list: Vec<(u32, u32)>,
}

/// Bytes that a counter in use takes in a packed pane: the distance to the one before it, and the count.
pub(super) const PACKED_CELL: usize = 3;

/// All subjects.
#[derive(Debug)]
pub(super) struct Subjects {
    horizons: usize,
    levels: Vec<Blocks>,
    pub(super) latency_bounds: LatencyBounds,
    pub(super) budget: Budget,
    /// In the order of their numbers.
    states: Vec<SubjectState>,
    /// The number of the next new one: none is given twice, whoever left.
    next: SubjectNumber,
    new: Vec<SubjectId>,
    /// Numbers of those that left since the last checkpoint.
    left: Vec<SubjectNumber>,
    /// Bytes that the panes changed since the last checkpoint will take, at most.
    dirty_bytes: usize,
    /// Panes whose counts moved into newer ones since the last checkpoint.
    gone: Vec<(SubjectNumber, i64)>,
    /// While windows are judged, what came too late for them.
    amendments: Option<Vec<Amendment>>,
}

impl Subjects {
    pub(super) fn new(settings: &WindowSettings) -> Self {
        let horizons = settings.horizons.len();
        Self {
            horizons,
            levels: settings.blocks(),
            latency_bounds: LatencyBounds::default(),
            budget: Budget::new(horizons, settings.held()),
            states: Vec::new(),
            next: 0,
            new: Vec::new(),
            left: Vec::new(),
            dirty_bytes: 0,
            gone: Vec::new(),
            amendments: None,
        }
    }

    fn state(&self, id: SubjectId) -> Option<&SubjectState> {
        self.states.get(id as usize)
    }

    fn add(&mut self, subject: Subject) -> SubjectId {
        let id = self.place(self.next, subject);
        self.next = self.next.saturating_add(1);
        self.new.push(id);
        id
    }

    fn place(&mut self, number: SubjectNumber, subject: Subject) -> SubjectId {
        // Subjects are bounded by watched versions times segments, far below the range of the place.
        let id = SubjectId::try_from(self.states.len()).unwrap_or(SubjectId::MAX);
        let totals = (0..self.horizons).map(|_| RollingTotal::default()).collect();
        self.states.push(SubjectState {
            turn: blocks::turn(&subject),
            latencies: self.latency_bounds.begin(&subject),
            subject,
            number,
            first_pane: None,
            panes: BTreeMap::new(),
            totals,
            dirty: Dirty::default(),
            charge: Charge::default(),
        });
        id
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
        let state = self.states.get_mut(id as usize);
        state.is_some_and(|state| self.budget.admit(&mut state.charge, counters))
    }

    /// Gives the totals of a version that is no longer watched back.
    pub(super) fn forget_totals(&mut self, version: &VersionState) {
        for id in version.subjects() {
            let Some(state) = self.states.get_mut(id as usize) else { continue };
            state.totals.iter_mut().for_each(|total| *total = RollingTotal::default());
            self.budget.totals_left(&mut state.charge);
        }
    }

    /// Opens a pane of a subject to add about so many times to its counters; `amended` when windows may already contain
    /// it.
    pub(super) fn open(
        &mut self,
        id: SubjectId,
        pane: i64,
        (size, additions): (Size, usize),
        amended: bool,
    ) -> Option<Opened<'_>> {
        if amended && let Some(waiting) = &mut self.amendments {
            waiting.push(Amendment { id, pane, size, list: Vec::with_capacity(additions) });
            let counts = Counting::list(&mut waiting.last_mut()?.list, size);
            return Some(Opened { counts, totals: &mut [], pane, size });
        }
        let state = self.states.get_mut(id as usize)?;
        state.first_pane = Some(state.first_pane.map_or(pane, |first| first.min(pane)));
        let was_packed = state.panes.entry(pane).or_default().is_packed();
        // However much is added, a pane has no more than all of its counters.
        let (more, most) = ((additions + size.joint) * PACKED_CELL, size.len * PACKED_CELL);
        let (more, fresh) = state.dirty.add(pane, more, most);
        self.dirty_bytes += more;
        if fresh || was_packed {
            bound_unpacked(state, pane);
        }
        let totals = if amended { state.totals.as_mut_slice() } else { &mut [] };
        let counts = state.panes.get_mut(&pane)?.open(size, additions);
        Some(Opened { counts, totals, pane, size })
    }

    /// Adds to counters of a pane; `amended` when windows may already contain it.
    pub(super) fn count(
        &mut self,
        id: SubjectId,
        pane: i64,
        size: Size,
        slots: &[(usize, u64)],
        amended: bool,
    ) {
        if let Some(mut open) = self.open(id, pane, (size, slots.len()), amended) {
            slots.iter().for_each(|(slot, amount)| open.add(*slot, *amount));
        }
    }

    /// What amends closed panes does not wait until [`Subjects::hold_again`] gets back what this gives.
    pub(super) fn release_amendments(&mut self) -> Option<Vec<Amendment>> {
        self.amendments.take()
    }

    /// Ends what [`Subjects::release_amendments`] began.
    pub(super) fn hold_again(&mut self, held: Option<Vec<Amendment>>) {
        self.amendments = held;
    }

    /// From now on what amends closed panes waits until [`Subjects::apply_amendments`].
    pub(super) fn hold_amendments(&mut self) {
        self.amendments.get_or_insert_default();
    }

    /// Amendments that wait.
    pub(super) fn held_amendments(&self) -> usize {
        self.amendments.as_ref().map_or(0, Vec::len)
    }

    /// Counts what waited, in the order in which it came.
    pub(super) fn apply_amendments(&mut self) {
        for Amendment { id, pane, size, list } in self.amendments.take().unwrap_or_default() {
            if let Some(mut open) = self.open(id, pane, (size, list.len()), true) {
                list.into_iter().for_each(|(slot, amount)| open.add(slot as usize, u64::from(amount)));
            }
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

    /// The oldest pane that holds anything, of those from this one on.
    pub(super) fn oldest_pane_from(&self, pane: i64) -> Option<i64> {
        self.states.iter().filter_map(|state| state.panes.range(pane..).next()).map(|(pane, _)| *pane).min()
    }

    pub(super) fn first_panes(&self) -> impl Iterator<Item = (SubjectNumber, i64)> {
        self.states.iter().filter_map(|state| Some((state.number, state.first_pane?)))
    }

    /// Whoever has a first pane was admitted once, and so has totals.
    pub(super) fn restore_first_pane(&mut self, id: SubjectId, pane: i64, counters: usize) {
        if let Some(state) = self.states.get_mut(id as usize) {
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

    /// The newest pane before this one with events.
    pub(super) fn newest_before(&self, id: SubjectId, pane: i64) -> Option<i64> {
        self.state(id)?.panes.range(..pane).next_back().map(|(number, _)| *number)
    }

    /// Latencies in panes that closed.
    pub(super) fn latencies(&self, id: SubjectId) -> Option<&Arc<LatencyHistogram>> {
        self.state(id)?.latencies.as_ref()
    }

    /// Subjects that there are.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// Forgets subjects whose panes are all below `needed`. Of the others [`Self::tidy`] drops those panes.
    pub(super) fn forget(&mut self, needed: i64) {
        for state in &mut self.states {
            if state.panes.keys().next_back().is_some_and(|newest| *newest < needed) {
                state.panes.clear();
                state.dirty.clear();
                self.budget.panes_left(&mut state.charge);
            }
        }
    }

    /// Drops the panes below `needed` of the subjects at these places; of those for which there are plans it notes the latencies
    /// of panes that were just closed, packs them, and gathers old ones where it is their time.
    pub(super) fn tidy<'p>(
        &mut self,
        places: Range<usize>,
        (edge, needed): (i64, i64),
        plans: impl Fn(&Subject) -> Option<&'p Plans>,
        threads: usize,
    ) {
        let for_all = (self.levels.as_slice(), &self.latency_bounds);
        let states = self.states.get_mut(places).unwrap_or_default().iter_mut();
        let due = states.map(|state| (plans(&state.subject), state)).collect();
        let tidied = workers::each(threads, due, |(plans, state): (Option<&Plans>, &mut SubjectState)| {
            state.drop_before(needed);
            (plans.map_or_else(Vec::new, |plans| state.tidy(edge, for_all, plans)), state)
        });
        for (gathered, state) in tidied {
            for Gathered { into, gone } in gathered {
                let bytes = state.panes.get(&into).map_or(0, |pane| pane.packed().len());
                self.dirty_bytes += state.dirty.add(into, bytes, usize::MAX).0;
                for number in gone {
                    state.dirty.remove(number);
                    self.gone.push((state.number, number));
                }
            }
        }
    }

    /// The running total of a subject at one horizon.
    pub(super) fn total(&mut self, id: SubjectId, horizon: usize) -> Option<&mut RollingTotal> {
        self.states.get_mut(id as usize)?.totals.get_mut(horizon)
    }

    pub(super) fn panes(&self, id: SubjectId) -> Option<&BTreeMap<i64, PaneCounts>> {
        self.state(id).map(|state| &state.panes)
    }

    pub(super) fn sum(&self, id: SubjectId, (from, to): (i64, i64), plan: &Plan) -> Vec<u64> {
        let mut counts = Vec::new();
        let Some(state) = self.state(id) else { return vec![0; plan.layout.len()] };
        // W-2: a window that was just judged is the sum of its panes already.
        if state.totals.iter().any(|total| total.sum((from, to), plan, &mut counts)) {
            return counts;
        }
        counts.resize(plan.layout.len(), 0);
        for (_, pane) in state.panes.range(from..to) {
            pane.each(plan.layout.len(), |slot, amount| {
                if let Some(counter) = counts.get_mut(slot) {
                    *counter = u64::saturating_add(*counter, amount);
                }
            });
        }
        counts
    }

    pub(super) fn restore_pane(&mut self, id: SubjectId, pane: i64, counts: PaneCounts, counters: usize) {
        if let Some(state) = self.states.get_mut(id as usize) {
            self.budget.charge(&mut state.charge, counters);
            state.panes.insert(pane, counts);
        }
    }

    pub(super) fn take_new(&mut self) -> Vec<(SubjectNumber, Subject)> {
        let new = std::mem::take(&mut self.new).into_iter().filter_map(|id| self.state(id));
        new.map(|state| (state.number, state.subject.clone())).collect()
    }

    /// Panes whose counts moved into newer ones since the last call.
    pub(super) fn take_gone(&mut self) -> Vec<(SubjectNumber, i64)> {
        std::mem::take(&mut self.gone)
    }

    /// The panes of these versions that changed since the last call, by the numbers of their subjects.
    pub(super) fn take_dirty(&mut self, versions: &[VersionState]) -> Vec<PaneRow> {
        let mut rows = Vec::new();
        self.dirty_bytes = 0;
        for version in versions {
            for id in version.ids() {
                let Some(SubjectState { number: subject, panes, dirty, .. }) =
                    self.states.get_mut(id as usize)
                else {
                    continue;
                };
                for number in dirty.take() {
                    let (Some(pane), Some((_, plan))) = (panes.get(&number), version.plans.at(number)) else {
                        continue;
                    };
                    let (reference, counts) = (plan.reference_id.clone(), pane.clone());
                    rows.push(PaneRow { subject: *subject, pane: number, reference, counts });
                }
            }
        }
        rows.sort_unstable_by_key(|row| (row.subject, row.pane));
        rows
    }
}

/// Packs the oldest unpacked panes above the bound, never the one just counted.
fn bound_unpacked(state: &mut SubjectState, just_counted: i64) {
    let unpacked: Vec<i64> =
        state.panes.iter().filter(|(_, pane)| !pane.is_packed()).map(|(number, _)| *number).collect();
    let surplus = unpacked.len().saturating_sub(DENSE_PANES);
    for number in unpacked.into_iter().filter(|number| *number != just_counted).take(surplus) {
        if let Some(pane) = state.panes.get_mut(&number) {
            pane.pack();
        }
    }
}
