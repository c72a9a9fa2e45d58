//! Performance panes: what the labels say of the predictions of one window of prediction time.
//!
//! A label belongs to the window of its prediction, and is added once the watermark has passed its own window: what is
//! judged at an edge so does not depend on how far a partition happens to be ahead.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use anchorwatch_detectors::performance::DelayCurve;
use serde::{Deserialize, Serialize};

use super::coded::Classes;
use super::tally::Tally;
use super::target::Target;
use crate::reference::{Layout, Outcome, Slice};
use crate::subject::Millis;
use crate::view::{PerformanceView, ProvisionalView};
use crate::window::Plan;

/// One window of prediction time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pane {
    /// Predictions that wait for a label or have one.
    pub(super) seen: u64,
    /// Labels whose own window is closed.
    pub(super) settled: Tally,
    /// Predictions whose label came with them. They are judged with all else of their window, not here.
    #[serde(default)]
    pub(super) inline: Tally,
    /// Labels of windows that are not, by the start of their window.
    pub(super) coming: BTreeMap<Millis, Tally>,
}

impl Pane {
    /// Adds the labels of windows that end by `edge` to the settled ones; answers whether there were any.
    fn settle(&mut self, edge: Millis, window_ms: Millis) -> bool {
        let open = self.coming.split_off(&(edge - window_ms + 1));
        let closed = std::mem::replace(&mut self.coming, open);
        closed.values().for_each(|tally| self.settled.merge(tally));
        !closed.is_empty()
    }
}

/// A version with the reference that its predictions were counted with, and the windows that are not judged yet.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) plan: Arc<Plan>,
    pub(super) target: Target,
    pub(super) classes: Classes,
    /// Windows that start before this one are judged.
    pub(super) next: Millis,
    pub(super) panes: BTreeMap<Millis, Pane>,
    pub(super) dirty: BTreeSet<Millis>,
    pub(super) latest: Option<PerformanceView>,
    /// How late labels were in windows that are final.
    pub(super) delays: DelayCurve,
    pub(super) delays_changed: bool,
    /// What the labels of windows that are not final say, and the edge at which they said it.
    pub(super) provisional: Option<ProvisionalView>,
    pub(super) weighed_at: Option<Millis>,
}

impl Lane {
    pub(super) fn new(model: &str, version: &str, plan: Arc<Plan>) -> Self {
        Self {
            model: model.to_owned(),
            version: version.to_owned(),
            target: Target::of(&plan.reference),
            classes: Classes::of(&plan.reference),
            plan,
            next: Millis::MIN,
            panes: BTreeMap::new(),
            dirty: BTreeSet::new(),
            latest: None,
            delays: DelayCurve::default(),
            delays_changed: false,
            provisional: None,
            weighed_at: None,
        }
    }

    pub(super) fn is(&self, model: &str, version: &str, reference_id: &str) -> bool {
        self.version == version && self.model == model && self.plan.reference_id == reference_id
    }

    /// The pane of a window, unless that is judged.
    pub(super) fn pane(&mut self, start: Millis) -> Option<&mut Pane> {
        if start < self.next {
            return None;
        }
        self.dirty.insert(start);
        Some(self.panes.entry(start).or_default())
    }

    /// Score and label as they are counted: of several classes their numbers.
    pub(super) fn outcome(&self, outcome: Outcome) -> Outcome {
        if self.classes.is_empty() {
            return outcome;
        }
        let (said, came) = self.classes.numbered(outcome);
        Outcome { score: f64::from(said), label: f64::from(came) }
    }

    pub(super) fn settle(&mut self, edge: Millis, window_ms: Millis) {
        for (start, pane) in &mut self.panes {
            if pane.settle(edge, window_ms) {
                self.dirty.insert(*start);
            }
        }
    }

    /// Counters of a judged window as those of any other, with nothing but the labelled rows and the residual's terms.
    pub(super) fn counts(&self, tally: &Tally) -> Vec<u64> {
        let layout = &self.plan.layout;
        let mut counts = vec![0; layout.len()];
        counts[Layout::ROWS] = tally.labelled;
        for (place, term) in tally.terms.iter().enumerate() {
            if let Some(counter) = counts.get_mut(layout.joint(place)) {
                *counter = *term;
            }
        }
        counts
    }

    /// The same of each segment that is compared with the rest, with nothing but the residual's mean.
    pub(super) fn slices(&self, tally: &Tally) -> HashMap<Slice, Vec<u64>> {
        let known = self.plan.reference.calibration.as_ref().map_or(&[][..], |one| &one.slices);
        let layout = &self.plan.layout;
        let counts = |(place, terms): (&u16, &[u64; 2])| {
            let slice = known.get(usize::from(*place))?.clone();
            let mut counts = vec![0; layout.len()];
            // The mean is the first term: its first counter is that of the events.
            counts[Layout::ROWS] = terms[0];
            for (place, term) in terms.iter().enumerate() {
                if let Some(counter) = counts.get_mut(layout.joint(place)) {
                    *counter = *term;
                }
            }
            Some((slice, counts))
        };
        tally.slices.iter().filter_map(counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::decisions::Decisions;
    use super::*;

    const HOUR: Millis = 3_600_000;

    #[test]
    fn a_label_counts_once_its_own_window_is_closed() {
        let tally = |labelled| Tally {
            labelled,
            terms: vec![labelled, 7],
            delays: [(3, labelled)].into(),
            slices: [(1, [labelled, 5])].into(),
            decisions: Decisions { all: labelled, wrong: 1, said: 1, came: labelled },
            ranks: [(7, [labelled, 1])].into(),
            ..Tally::default()
        };
        let mut pane = Pane { coming: [(0, tally(2)), (HOUR, tally(3))].into(), ..Pane::default() };
        assert!(!pane.settle(HOUR - 1, HOUR));
        assert!(pane.settle(HOUR, HOUR));
        assert_eq!(pane.settled, tally(2));
        assert!(pane.settle(2 * HOUR, HOUR) && pane.coming.is_empty());
        assert_eq!((pane.settled.labelled, pane.settled.terms[1]), (5, 14));
        assert_eq!(pane.settled.delays, [(3, 5)].into());
        assert_eq!(pane.settled.slices, [(1, [5, 10])].into());
        assert_eq!(pane.settled.ranks, [(7, [5, 2])].into());
        assert_eq!(pane.settled.decisions, Decisions { all: 5, wrong: 2, said: 2, came: 5 });
    }
}
