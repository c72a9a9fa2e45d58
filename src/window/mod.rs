//! Steps 3, 4 and 6 of 10: events are counted into panes by event time; panes become rolling windows as the watermark
//! passes them.
//!
//! Everything here is a pure function of the records and of the clock that is passed in. Laws:
//! - W-1: a record counts in exactly one pane, or is late or future.
//! - W-2: a window equals the sum of its panes.
//! - W-3: packing and merging panes conserve counts.

mod admission;
mod arrivals;
mod aside;
mod batch;
mod blocks;
mod closing;
mod count;
mod dedup;
mod fit;
mod gaps;
mod horizon;
mod join;
mod last_record;
mod latencies;
mod leaving;
mod moving;
mod observe;
mod pairs;
mod pane;
mod partition;
mod plan;
mod recent;
mod rows;
mod settings;
mod subjects;

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::{PaneRow, SubjectId, SubjectNumber};
use crate::event::Refusal;
use crate::reference::{CodeText, Reference};
use crate::subject::{Millis, Subject};

pub use admission::NotAdmitted;
pub use arrivals::Arrivals;
pub(crate) use count::{outcome, truth};
pub use dedup::Dedup;
pub use gaps::{Gap, GapReason, Gaps};
pub(crate) use join::foretells_numbers;
pub use join::{Decisions, FinalWindow, JOIN_DOCUMENTS, Join, JoinSettings, Predicted};
pub use last_record::{LastRecord, record_hash};
pub use moving::Lent;
pub use observe::{Seen, Usual};
pub use pane::PaneCounts;
pub use partition::{Partition, PartitionId, Partitions, Patience};
pub use plan::{Plan, Plans};
pub use settings::{Blocks, HorizonSettings, WindowSettings};

use admission::admitted;
use aside::Asides;
use batch::Batch;
use count::Slots;
use observe::Counted;
use recent::Recent;
use subjects::{Subjects, VersionState};

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Counted in its pane.
    Counted,
    /// Its pane is sealed.
    Late,
    /// Ahead of the clock.
    Future,
    /// Feedback for which the reference has no label column.
    Unmatched,
    /// Its `id` was seen shortly before.
    Duplicate,
    /// Nothing is known of its model or version.
    Refused(Refusal),
}

/// A version that is to be watched, with its active reference.
#[derive(Debug, Clone)]
pub struct WatchedVersion {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// Content address of the active reference.
    pub reference_id: String,
    /// The reference.
    pub reference: Arc<Reference>,
    /// Whether feedback events without a version belong to it.
    pub takes_feedback: bool,
}

/// Counts of all subjects in panes and rolling windows.
#[derive(Debug)]
pub struct Windows {
    settings: WindowSettings,
    versions: Vec<VersionState>,
    by_name: HashMap<String, HashMap<String, usize>>,
    feedback: HashMap<String, usize>,
    subjects: Subjects,
    /// All panes before this one are closed.
    closed: Option<i64>,
    /// Pane of the earliest of the partitions' first events: where closing begins. It does not depend on how the
    /// partitions are interleaved, which the oldest pane counted so far would.
    start: Option<i64>,
    slots: Slots,
    /// Usual events that wait to be counted.
    batch: Batch,
    /// Those that stand aside.
    asides: Asides,
    /// Text of the last segment that is a number.
    code: CodeText,
    counted: Option<Counted>,
    last_version: usize,
    recent: Recent,
    versions_per_model: usize,
    /// What the last event was not admitted to.
    not_admitted: Option<NotAdmitted>,
    /// Versions that were forgotten since the start.
    forgotten: u64,
}

/// A version as a checkpoint knows it; cheap to clone.
#[derive(Debug, Clone)]
pub struct KnownVersion {
    /// Model name.
    pub model: Arc<str>,
    /// Model version.
    pub version: Arc<str>,
    /// Its plans.
    pub plans: Plans,
    /// How its events came.
    pub arrivals: Arrivals,
}

impl Windows {
    /// Windows that have counted nothing yet.
    #[must_use]
    pub fn new(settings: WindowSettings) -> Self {
        Self {
            subjects: Subjects::new(&settings),
            settings,
            versions: Vec::new(),
            by_name: HashMap::new(),
            feedback: HashMap::new(),
            closed: None,
            start: None,
            slots: Slots::default(),
            batch: Batch::new(1),
            asides: Asides::new(),
            code: CodeText::default(),
            counted: None,
            last_version: 0,
            recent: Recent::new(),
            versions_per_model: usize::MAX,
            not_admitted: None,
            forgotten: 0,
        }
    }

    /// Bounds the memory of panes and totals, in bytes, for subjects that come from now on.
    pub fn set_budget(&mut self, bytes: usize) {
        self.subjects.budget.most = bytes;
    }

    /// Bounds the versions of a model that are watched at a time.
    pub fn set_versions_per_model(&mut self, most: usize) {
        self.versions_per_model = most;
    }

    /// Bytes that may be spoken for, and that are.
    #[must_use]
    pub fn budget(&self) -> (usize, usize) {
        (self.subjects.budget.most, self.subjects.budget.charged)
    }

    /// What the last event that was observed was not admitted to.
    pub fn take_not_admitted(&mut self) -> Option<NotAdmitted> {
        self.not_admitted.take()
    }

    /// Versions with events that were not admitted, by reason.
    pub fn not_admitted(&self) -> impl Iterator<Item = (&str, &str, NotAdmitted, u64)> {
        self.versions.iter().flat_map(|state| {
            let counts =
                NotAdmitted::ALL.into_iter().zip(state.not_admitted).filter(|(_, events)| *events > 0);
            counts.map(|(reason, events)| (&*state.model, &*state.version, reason, events))
        })
    }

    /// The settings in pane units.
    #[must_use]
    pub fn settings(&self) -> &WindowSettings {
        &self.settings
    }

    /// First pane that is not closed.
    #[must_use]
    pub fn closed(&self) -> Option<i64> {
        self.closed
    }

    /// Pane at which closing begins.
    #[must_use]
    pub fn start(&self) -> Option<i64> {
        self.start
    }

    /// Sets the closing edge and where closing began, at restore.
    pub fn restore_closed(&mut self, closed: Option<i64>, start: Option<i64>) {
        (self.closed, self.start) = (closed, start);
    }

    /// Replaces the versions that are watched. A reference that differs from the version's current one takes effect
    /// from the pane after the newest one that was counted, so no pane mixes two binnings. Returns whether any plan
    /// changed.
    pub fn watch(&mut self, versions: &[WatchedVersion]) -> bool {
        self.settle();
        let mut changed = false;
        self.feedback.clear();
        self.versions.iter_mut().for_each(|state| (state.watched, state.surplus) = (false, false));
        let (versions, surplus) = admitted(versions, self.versions_per_model);
        for version in surplus {
            let index = self.version_index(&version.model, &version.version);
            self.versions[index].surplus = true;
        }
        for version in versions {
            let index = self.version_index(&version.model, &version.version);
            let newest_pane = self.subjects.newest_pane(&self.versions[index]);
            let state = &mut self.versions[index];
            state.watched = true;
            if state.plans.newest().is_none_or(|plan| plan.reference_id != version.reference_id) {
                let plan = Plan::new(version.reference_id.clone(), Arc::clone(&version.reference));
                let begins = if state.plans.newest().is_none() {
                    i64::MIN
                } else {
                    newest_pane.map_or(i64::MIN, |p| p + 1)
                };
                state.plans.begin(begins, Arc::new(plan));
                changed = true;
            }
            if version.takes_feedback {
                self.feedback.insert(version.model.clone(), index);
            }
        }
        for state in self.versions.iter().filter(|state| !state.watched) {
            self.subjects.forget_totals(state);
        }
        changed
    }

    /// Restores the plans of a version as a checkpoint lists them.
    pub fn restore_plans(&mut self, model: &str, version: &str, plans: Vec<(i64, Arc<Plan>)>) {
        let index = self.version_index(model, version);
        for (from, plan) in plans {
            self.versions[index].plans.begin(from, plan);
        }
    }

    /// Plans of every version.
    pub fn plans(&self) -> impl Iterator<Item = (&str, &str, &Plans)> {
        self.versions.iter().map(|state| (&*state.model, &*state.version, &state.plans))
    }

    /// Every version as it stands, for the checkpoint.
    pub fn known_versions(&self) -> impl Iterator<Item = KnownVersion> {
        self.versions.iter().map(|state| KnownVersion {
            model: Arc::clone(&state.model),
            version: Arc::clone(&state.version),
            plans: state.plans.clone(),
            arrivals: state.arrivals,
        })
    }

    fn version_index(&mut self, model: &str, version: &str) -> usize {
        let versions = self.by_name.entry(model.to_owned()).or_default();
        if let Some(index) = versions.get(version) {
            return *index;
        }
        let index = self.versions.len();
        versions.insert(version.to_owned(), index);
        self.versions.push(VersionState::new(model, version));
        index
    }

    /// Panes below this one are no longer needed by any window.
    #[must_use]
    pub fn needed_from(&self) -> Option<i64> {
        self.closed.map(|closed| closed - self.settings.kept_panes())
    }

    /// The subjects of every watched version, the whole before its segments.
    #[must_use]
    pub fn watched_subjects(&self) -> Vec<SubjectId> {
        self.versions.iter().filter(|state| state.watched).flat_map(VersionState::subjects).collect()
    }

    /// Name of a subject.
    #[must_use]
    pub fn subject(&self, id: SubjectId) -> Option<&Subject> {
        self.subjects.name(id)
    }

    /// Whether a subject's version was watched, with the reference that holds at its end, over all of the window.
    #[must_use]
    pub fn covered(&self, id: SubjectId, horizon: usize, edge: i64) -> bool {
        let version = self
            .subjects
            .name(id)
            .and_then(|subject| self.by_name.get(&*subject.model)?.get(&*subject.version));
        let (Some(index), Some(horizon)) = (version, self.settings.horizons.get(horizon)) else {
            return false;
        };
        let state = &self.versions[*index];
        let from = edge - horizon.panes;
        let begins = state.plans.at(edge - 1).map_or(i64::MAX, |(begins, _)| begins);
        begins <= from && state.whole().is_some_and(|whole| self.subjects.seen_before(whole, from + 1))
    }

    /// First pane in which each subject was seen, for the checkpoint.
    pub fn first_panes(&self) -> impl Iterator<Item = (SubjectNumber, i64)> {
        self.subjects.first_panes()
    }

    /// Sum of a subject's panes in `[from, to)`, with the plan they follow; `None` before the subject was first seen,
    /// and where the plan began later than `from`. The range must be a window that [`WindowSettings::blocks`] knows of, or
    /// younger than the first block: older panes are kept in blocks.
    #[must_use]
    pub fn sum(&self, id: SubjectId, from: i64, to: i64) -> Option<(Arc<Plan>, Vec<u64>)> {
        let plan = self.plan_over(id, from, to)?;
        Some((Arc::clone(plan), self.subjects.sum(id, (from, to), plan)))
    }

    /// The plan that a subject's panes in `[from, to)` follow; `None` as for [`Windows::sum`].
    #[must_use]
    pub fn plan_over(&self, id: SubjectId, from: i64, to: i64) -> Option<&Arc<Plan>> {
        let subject = self.subjects.name(id)?;
        let state = &self.versions[*self.by_name.get(&*subject.model)?.get(&*subject.version)?];
        let (begins, plan) = state.plans.at(to - 1)?;
        (begins <= from).then_some(plan)
    }

    /// Whether a subject was seen before this pane.
    #[must_use]
    pub fn seen_before(&self, id: SubjectId, pane: i64) -> bool {
        self.subjects.seen_before(id, pane)
    }

    /// The newest pane before this one in which a subject had events; `None` before its first.
    #[must_use]
    pub fn newest_before(&self, id: SubjectId, pane: i64) -> Option<i64> {
        self.subjects.newest_before(id, pane)
    }

    /// How long each of these subjects has been silent at `end`: time since the end of its newest pane, what waits to be
    /// counted at the edge under way included; `None` before its first.
    #[must_use]
    pub fn silences(&self, ids: &[SubjectId], end: Millis) -> Vec<Option<Millis>> {
        let waiting = self.asides.newest_panes();
        let silence = |id: &SubjectId| {
            let newest = self.subjects.newest_pane_of(*id).max(waiting.get(id).copied())?;
            Some((end - (newest + 1) * self.settings.pane_ms).max(0))
        };
        ids.iter().map(silence).collect()
    }

    /// How the events of each version came since the state began.
    pub fn arrivals(&self) -> impl Iterator<Item = (&str, &str, Arrivals)> {
        self.versions.iter().map(|state| (&*state.model, &*state.version, state.arrivals))
    }

    /// Restores how the events of a version came.
    pub fn restore_arrivals(&mut self, model: &str, version: &str, arrivals: Arrivals) {
        let index = self.version_index(model, version);
        self.versions[index].arrivals = arrivals;
    }

    /// Estimate of what the next checkpoint writes of the panes, in bytes.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        self.subjects.dirty_bytes() + self.batch.bytes() + self.asides.bytes()
    }

    /// Subjects seen for the first time since the last call.
    pub fn take_new_subjects(&mut self) -> Vec<(SubjectNumber, Subject)> {
        self.subjects.take_new()
    }

    /// Panes whose counts moved into newer ones since the last call; their rows are to go.
    pub fn take_gone_panes(&mut self) -> Vec<(SubjectNumber, i64)> {
        self.subjects.take_gone()
    }

    /// Panes changed since the last call, each with all of its counts.
    pub fn take_dirty_panes(&mut self) -> Vec<PaneRow> {
        self.settle();
        self.subjects.take_dirty(&self.versions)
    }
}
