//! Step 3 of 10: which version and pane an event belongs to, and whether it counts there. What it adds is left to
//! `batch.rs`, or to `count.rs` for events that the scanner did not take.

use std::sync::Arc;

use super::count::segment_value;
use super::plan::Plan;
use super::rows::Scan;
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

/// The last event that was counted.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) version: usize,
    pub(super) plan: Arc<Plan>,
    /// Whether its values are the newest row of the batch, and not in the slots.
    pub(super) waits: bool,
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
        partition.saw(ts);
        let Some((_, plan)) = self.versions[index].plans.at(pane) else { return Outcome::Late };
        let plan = Arc::clone(plan);
        let usual = seen.usual.filter(|usual| !usual.scanned.is_feedback());
        let outcome = match usual {
            Some(usual) => self.take_in(index, &plan, pane, usual),
            None => self.count(index, &plan, pane, seen.event),
        };
        if outcome == Outcome::Counted {
            self.counted = Some(Counted { version: index, plan, waits: usual.is_some() });
        }
        outcome
    }

    /// Puts a usual event into the batch.
    fn take_in(&mut self, index: usize, plan: &Arc<Plan>, pane: i64, usual: Usual<'_>) -> Outcome {
        if !self.batch.has_room(plan) {
            self.settle();
        }
        let counters = plan.layout.len();
        let state = &mut self.versions[index];
        let whole = self.subjects.whole(state);
        if !self.subjects.admit(whole, counters) {
            self.leave_out(index, NotAdmitted::Memory);
            return Outcome::Unmatched;
        }
        state.events += 1;
        let segments = self.settings.segments.as_ref();
        let scan = Scan { scanned: usual.scanned, payload: usual.payload };
        let fit = state.fits.of(plan, usual.shape, segments.map(|segments| segments.field.as_str()));
        self.batch.push(plan, fit, scan);
        self.batch.count_in(whole, pane);
        let Some(segments) = segments else { return Outcome::Counted };
        let Some(value) = fit.segment(scan, &mut self.code) else { return Outcome::Counted };
        match self.subjects.segment(state, value, segments.max) {
            None => self.leave_out(index, NotAdmitted::Segments),
            Some(segment) if self.subjects.admit(segment, counters) => self.batch.count_in(segment, pane),
            Some(_) => self.leave_out(index, NotAdmitted::SegmentMemory),
        }
        Outcome::Counted
    }

    /// Counts any event at once.
    fn count(&mut self, index: usize, plan: &Plan, pane: i64, event: &Event<'_>) -> Outcome {
        if !self.slots.fill(plan, event) {
            return Outcome::Unmatched;
        }
        let counters = plan.layout.len();
        let amended = self.closed.is_some_and(|closed| pane < closed);
        let state = &mut self.versions[index];
        let whole = self.subjects.whole(state);
        if !self.subjects.admit(whole, counters) {
            self.leave_out(index, NotAdmitted::Memory);
            return Outcome::Unmatched;
        }
        state.events += u64::from(!event.is_feedback());
        self.subjects.count(whole, pane, counters, self.slots.as_slice(), amended);
        let Some(segments) = &self.settings.segments else { return Outcome::Counted };
        let Some(value) = segment_value(event, &segments.field, &mut self.code) else {
            return Outcome::Counted;
        };
        match self.subjects.segment(state, value, segments.max) {
            None => self.leave_out(index, NotAdmitted::Segments),
            Some(segment) if self.subjects.admit(segment, counters) => {
                self.subjects.count(segment, pane, counters, self.slots.as_slice(), amended);
            }
            Some(_) => self.leave_out(index, NotAdmitted::SegmentMemory),
        }
        Outcome::Counted
    }

    /// Adds what waits to the counts, which must come before anybody reads them.
    pub fn settle(&mut self) {
        self.batch.settle(&mut self.subjects, self.closed);
    }

    /// The plan of the last event that was counted.
    #[must_use]
    pub fn plan_of_last(&self) -> Option<&Arc<Plan>> {
        self.counted.as_ref().map(|counted| &counted.plan)
    }

    /// Model and version of the last event that was counted.
    #[must_use]
    pub fn version_of_last(&self) -> Option<(&str, &str)> {
        let state = self.versions.get(self.counted.as_ref()?.version)?;
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
        let Counted { version, plan, waits } = self.counted.as_ref()?;
        if *waits {
            self.batch.cells_of_newest(self.slots.cells_mut());
        }
        let state = self.versions.get(*version)?;
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
