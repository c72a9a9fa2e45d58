//! Step 3 of 10: which version and pane an event belongs to, and whether it counts there. What it adds is left to
//! `batch.rs`, or to `count.rs` for events that the scanner did not take.

use std::sync::Arc;

use super::count::segment_value;
use super::plan::Plan;
use super::rows::Scan;
use super::subjects::VersionState;
use super::{NotAdmitted, Outcome, Partition, Windows};
use crate::event::scan::{Scanned, Shape};
use crate::event::{Event, Named, Refusal};
use crate::reference::CodeText;
use crate::subject::Millis;

/// An event to be counted.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'e> {
    /// The event. Where `usual` has its values, this one needs none.
    pub event: &'e Event<'e>,
    /// The same as the scanner left it.
    pub usual: Option<Usual<'e>>,
}

/// An event that the scanner took.
#[derive(Debug, Clone, Copy)]
pub struct Usual<'e> {
    /// Its values.
    pub scanned: &'e Scanned,
    /// Whose they are.
    pub shape: &'e Shape,
    /// The bytes in which they stand.
    pub payload: &'e [u8],
}

impl<'e> Usual<'e> {
    /// The event with all of its values.
    pub(crate) fn event(self) -> Event<'e> {
        self.scanned.event(self.payload, self.shape)
    }
}

/// What of an event is counted.
#[derive(Debug, Clone, Copy)]
enum Values<'e> {
    /// The values that the scanner found.
    Usual(Usual<'e>),
    /// Those of the event itself.
    Event(&'e Event<'e>),
}

impl Values<'_> {
    fn is_feedback(self) -> bool {
        matches!(self, Self::Event(event) if event.is_feedback())
    }
}

/// The last event that was counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    version: usize,
    pane: i64,
    /// Whether its values are the newest row of the batch, and not in the slots.
    waits: bool,
}

impl Windows {
    /// Counts one event of a partition, or says why not.
    pub fn observe(
        &mut self,
        partition: &mut Partition,
        named: &Named<'_>,
        seen: Seen<'_>,
        ts: Millis,
        now: Millis,
    ) -> Outcome {
        let index = match self.find(named) {
            Ok(index) => index,
            Err(refusal) => return self.not_watched(named, refusal),
        };
        let usual = seen.usual.filter(|usual| !usual.scanned.is_feedback());
        let values = usual.map_or(Values::Event(seen.event), Values::Usual);
        self.observe_version(index, partition, values, ts, now)
    }

    /// The same for an event that the scanner took, of a version that [`Windows::known_version`] found, which is no
    /// feedback.
    pub(crate) fn observe_usual(
        &mut self,
        version: usize,
        partition: &mut Partition,
        usual: Usual<'_>,
        ts: Millis,
        now: Millis,
    ) -> Outcome {
        self.observe_version(version, partition, Values::Usual(usual), ts, now)
    }

    fn observe_version(
        &mut self,
        index: usize,
        partition: &mut Partition,
        values: Values<'_>,
        ts: Millis,
        now: Millis,
    ) -> Outcome {
        if ts > now.saturating_add(self.settings.max_ahead) {
            return Outcome::Future;
        }
        let pane = self.settings.pane_of(ts);
        if self.is_late(partition, pane) {
            return Outcome::Late;
        }
        if partition.max_event_time.is_none() {
            self.start = Some(self.start.map_or(pane, |start| start.min(pane)));
        }
        let out_of_order = partition.max_event_time > Some(ts);
        partition.saw(ts);
        if self.versions[index].plans.at(pane).is_none() {
            return Outcome::Late;
        }
        let (outcome, waits) = match values {
            Values::Usual(usual) => (self.take_in(index, pane, usual), true),
            Values::Event(event) => (self.count(index, pane, event), false),
        };
        if outcome == Outcome::Counted {
            if !values.is_feedback() {
                self.versions[index].arrivals.one_came(ts, out_of_order);
            }
            self.counted = Some(Counted { version: index, pane, waits });
        }
        outcome
    }

    /// Puts a usual event into the batch.
    fn take_in(&mut self, index: usize, pane: i64, usual: Usual<'_>) -> Outcome {
        let state = &mut self.versions[index];
        let whole = self.subjects.whole(state);
        let Some((_, plan)) = state.plans.at(pane) else { return Outcome::Late };
        if !self.batch.has_room(plan) {
            self.asides.take_full(&mut self.batch, self.closed, &mut self.subjects);
        }
        self.asides.one_came_in(&mut self.subjects);
        let counters = plan.layout.len();
        if !self.subjects.admit(whole, counters) {
            self.leave_out(index, NotAdmitted::Memory);
            return Outcome::Unmatched;
        }
        let segments = self.settings.segments.as_ref();
        let scan = Scan { scanned: usual.scanned, payload: usual.payload };
        let fit = state.fits.of(plan, usual.shape, segments.map(|segments| segments.field.as_str()));
        self.batch.push(plan, &mut state.place, fit, scan);
        let value = fit.segment(scan, &mut self.code).zip(segments);
        let segment = value.map(|(value, segments)| self.subjects.segment(state, value, segments.max));
        let admitted = segment.flatten().filter(|segment| self.subjects.admit(*segment, counters));
        self.batch.count_in(whole, admitted, pane);
        match segment {
            Some(None) => self.leave_out(index, NotAdmitted::Segments),
            Some(Some(_)) if admitted.is_none() => self.leave_out(index, NotAdmitted::SegmentMemory),
            _ => {}
        }
        Outcome::Counted
    }

    /// Counts any event at once.
    fn count(&mut self, index: usize, pane: i64, event: &Event<'_>) -> Outcome {
        let state = &mut self.versions[index];
        let Some((_, plan)) = state.plans.at(pane) else { return Outcome::Late };
        if !self.slots.fill(plan, event) {
            return Outcome::Unmatched;
        }
        let (size, counters) = (plan.size(), plan.layout.len());
        let amended = self.closed.is_some_and(|closed| pane < closed);
        let whole = self.subjects.whole(state);
        if !self.subjects.admit(whole, counters) {
            self.leave_out(index, NotAdmitted::Memory);
            return Outcome::Unmatched;
        }
        self.subjects.count(whole, pane, size, self.slots.as_slice(), amended);
        let Some(segments) = &self.settings.segments else { return Outcome::Counted };
        let Some(value) = segment_value(event, &segments.field, &mut self.code) else {
            return Outcome::Counted;
        };
        match self.subjects.segment(state, value, segments.max) {
            None => self.leave_out(index, NotAdmitted::Segments),
            Some(segment) if self.subjects.admit(segment, counters) => {
                self.subjects.count(segment, pane, size, self.slots.as_slice(), amended);
            }
            Some(_) => self.leave_out(index, NotAdmitted::SegmentMemory),
        }
        Outcome::Counted
    }

    /// The plan of the last event that was counted.
    #[must_use]
    pub fn plan_of_last(&self) -> Option<&Arc<Plan>> {
        self.plan_in(self.counted?.version, self.counted?.pane)
    }

    /// The plan that holds for a pane of a version.
    fn plan_in(&self, version: usize, pane: i64) -> Option<&Arc<Plan>> {
        self.versions.get(version)?.plans.at(pane).map(|(_, plan)| plan)
    }

    /// The plan by which an event of this time counts.
    pub(crate) fn plan_at(&self, version: usize, ts: Millis) -> Option<&Arc<Plan>> {
        self.plan_in(version, self.settings.pane_of(ts))
    }

    /// Model and version of the last event that was counted.
    #[must_use]
    pub fn version_of_last(&self) -> Option<(&str, &str)> {
        let state = self.versions.get(self.counted?.version)?;
        Some((&state.model, &state.version))
    }

    /// Segment of an event; `None` if it has none, or the traffic is not split.
    #[must_use]
    pub fn segment_of(&self, event: &Event<'_>) -> Option<String> {
        let field = &self.settings.segments.as_ref()?.field;
        segment_value(event, field, &mut CodeText::default()).map(str::to_owned)
    }

    /// Model, version and plan of the last event that was counted, and the cells of its values. Must be asked before the
    /// next event is observed and before anything settles.
    pub fn last_counted(&mut self) -> Option<(&str, &str, &Arc<Plan>, &[usize])> {
        let Counted { version, pane, waits } = self.counted?;
        if waits {
            self.batch.cells_of_newest(self.slots.cells_mut());
        }
        let state = self.versions.get(version)?;
        let (_, plan) = state.plans.at(pane)?;
        Some((&state.model, &state.version, plan, self.slots.cells()))
    }

    fn leave_out(&mut self, version: usize, reason: NotAdmitted) {
        self.versions[version].not_admitted[reason as usize] += 1;
        self.not_admitted = Some(reason);
    }

    fn find(&mut self, named: &Named<'_>) -> Result<usize, Refusal> {
        let Some(version) = named.version.as_deref() else {
            return self.feedback.get(&*named.model).copied().ok_or(Refusal::UnknownModel);
        };
        let last = self.versions.get(self.last_version);
        if last
            .is_some_and(|state| state.watched && *state.version == *version && *state.model == *named.model)
        {
            return Ok(self.last_version);
        }
        let versions = self.by_name.get(&*named.model).ok_or(Refusal::UnknownModel)?;
        let index = *versions.get(version).ok_or(Refusal::UnknownVersion)?;
        if !self.versions[index].watched {
            return Err(Refusal::UnknownVersion);
        }
        self.last_version = index;
        Ok(index)
    }

    /// The watched version of these names, if it can be found by their bytes: those of the event before, or of one not
    /// long ago. Any other is looked up.
    pub(crate) fn known_version(&mut self, model: &[u8], version: &[u8]) -> Option<usize> {
        let is = |state: &VersionState| {
            state.watched && state.version.as_bytes() == version && state.model.as_bytes() == model
        };
        if self.versions.get(self.last_version).is_some_and(is) {
            return Some(self.last_version);
        }
        let found = self.recent.get([model, version]);
        let index = match found.filter(|index| self.versions.get(*index).is_some_and(is)) {
            Some(index) => index,
            None => {
                let (model_name, version_name) =
                    (std::str::from_utf8(model).ok()?, std::str::from_utf8(version).ok()?);
                let index = *self.by_name.get(model_name)?.get(version_name)?;
                self.versions.get(index).filter(|state| state.watched)?;
                self.recent.met([model, version], index);
                index
            }
        };
        self.last_version = index;
        Some(index)
    }

    /// What becomes of an event whose version is not watched.
    fn not_watched(&mut self, named: &Named<'_>, refusal: Refusal) -> Outcome {
        let version = named.version.as_deref();
        let known = version.and_then(|version| self.by_name.get(&*named.model)?.get(version).copied());
        match known.filter(|index| self.versions[*index].surplus) {
            Some(index) => {
                self.leave_out(index, NotAdmitted::Versions);
                Outcome::Unmatched
            }
            None => Outcome::Refused(refusal),
        }
    }

    /// A pane is sealed for a partition once the partition's own watermark has passed its end; what comes within
    /// `correction` after that still amends it.
    fn is_late(&self, partition: &Partition, pane: i64) -> bool {
        let settings = &self.settings;
        let end = (pane + 1) * settings.pane_ms;
        let sealed = partition
            .max_event_time
            .is_some_and(|newest| newest - settings.lateness >= end.saturating_add(settings.correction));
        let forgotten = self.closed.is_some_and(|closed| pane < closed - settings.kept_panes());
        sealed || forgotten
    }
}
