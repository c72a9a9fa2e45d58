//! Performance panes: what the labels say of the predictions of one window of prediction time.
//!
//! A label belongs to the window of its prediction, and is added once the watermark has passed its own window: what is
//! judged at an edge so does not depend on how far a partition happens to be ahead.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use anchorwatch_detectors::counts::merge;
use anchorwatch_detectors::latency;
use anchorwatch_detectors::performance::ranking::{Within, roc_auc};
use serde::{Deserialize, Serialize};

use crate::reference::{Joint, Layout, Moment, Outcome, Slice};
use crate::subject::Millis;
use crate::view::PerformanceView;
use crate::window::Plan;

/// Score from which a prediction says yes.
const DECISION: f64 = 0.5;

/// Labelled predictions of two classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    /// All of them.
    pub all: u64,
    /// Those whose label is the other one: it is 1 and the score below 0.5, or 0 and the score is not.
    pub wrong: u64,
    /// Those whose score says yes.
    #[serde(default)]
    pub said: u64,
    /// Those whose label is 1.
    #[serde(default)]
    pub came: u64,
}

impl Decisions {
    /// Adds a prediction, unless its label is neither 0 nor 1.
    pub fn add(&mut self, outcome: Outcome) {
        let Some(truth) = class(outcome) else { return };
        self.all += 1;
        let said = outcome.score >= DECISION;
        self.wrong += u64::from(said != truth);
        self.said += u64::from(said);
        self.came += u64::from(truth);
    }

    /// Share of right ones.
    fn accuracy(&self) -> Option<f64> {
        ratio(self.all - self.wrong.min(self.all), self.all)
    }

    /// Those that said yes and were right: whatever is wrong either said so in vain or did not say it.
    fn hits(&self) -> u64 {
        (self.said + self.came).saturating_sub(self.wrong) / 2
    }

    /// Share of right ones among those that said yes.
    fn precision(&self) -> Option<f64> {
        ratio(self.hits(), self.said)
    }

    /// Share of those that came true of which the score said so.
    fn recall(&self) -> Option<f64> {
        ratio(self.hits(), self.came)
    }

    /// Harmonic mean of precision and recall.
    fn f1(&self) -> Option<f64> {
        ratio(2 * self.hits(), self.said + self.came)
    }

    /// Adds others.
    pub fn merge(&mut self, other: Self) {
        self.all += other.all;
        self.wrong += other.wrong;
        self.said += other.said;
        self.came += other.came;
    }
}

fn ratio(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

/// Whether the label is 1 rather than 0; `None` if it is neither.
fn class(outcome: Outcome) -> Option<bool> {
    match outcome.label {
        1.0 => Some(true),
        0.0 => Some(false),
        _ => None,
    }
}

/// Sums over labelled predictions. Two of them add up to that of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Labelled predictions.
    pub(super) labelled: u64,
    /// Counters of the residual's terms, as in the joint counters of a window.
    pub(super) terms: Vec<u64>,
    /// Delays of the labels, by bucket: those of latencies, with a second for a millisecond.
    pub(super) delays: BTreeMap<usize, u64>,
    /// By the place of a slice: the two counters of the residual's mean.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) slices: BTreeMap<u16, [u64; 2]>,
    /// What a threshold at one half makes of the scores.
    #[serde(default)]
    pub(super) decisions: Decisions,
    /// By the cell of the score: labels of 0, and of 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) ranks: BTreeMap<u16, [u64; 2]>,
}

impl Tally {
    /// Adds one labelled prediction; `cells` is as [`Joint::add`] wants it.
    pub(super) fn add(
        &mut self,
        joint: &Joint,
        cells: &[usize],
        slice: Option<u16>,
        outcome: Outcome,
        delay: Millis,
    ) {
        self.rank(joint.residual.as_ref().and_then(|terms| cells.get(terms.score).copied()), outcome);
        // The terms behind those of the residual were counted with the prediction.
        self.terms.resize(2 * joint.residual_terms(), 0);
        let mut of_slice = slice.map(|place| self.slices.entry(place).or_default());
        joint.add_residual(cells, outcome, |place, amount| {
            if let Some(term) = self.terms.get_mut(place) {
                *term = term.saturating_add(amount);
            }
            if let Some(term) = of_slice.as_mut().and_then(|terms| terms.get_mut(place)) {
                *term = term.saturating_add(amount);
            }
        });
        if let Some(bucket) = latency::bucket(delay.max(0) as f64 / 1_000.0) {
            *self.delays.entry(bucket).or_default() += 1;
        }
    }

    /// Adds a prediction whose label came with it: what the figures need, and nothing that is judged.
    pub(super) fn add_figures(&mut self, joint: &Joint, score_cell: Option<usize>, outcome: Outcome) {
        self.rank(score_cell, outcome);
        for (place, amount) in joint.moments(outcome).into_iter().flatten() {
            self.terms.resize(self.terms.len().max(place + 1), 0);
            if let Some(term) = self.terms.get_mut(place) {
                *term = term.saturating_add(amount);
            }
        }
    }

    /// Counts a prediction, its decision, and its score by its label.
    fn rank(&mut self, score_cell: Option<usize>, outcome: Outcome) {
        self.labelled += 1;
        self.decisions.add(outcome);
        let cell = score_cell.and_then(|cell| u16::try_from(cell).ok()).filter(|cell| *cell != u16::MAX);
        if let (Some(cell), Some(truth)) = (cell, class(outcome)) {
            self.ranks.entry(cell).or_default()[usize::from(truth)] += 1;
        }
    }

    /// Area under the ROC curve, scores of one cell counting as ties; `None` unless both labels came.
    fn roc_auc(&self) -> Option<f64> {
        let side = |side: usize| self.ranks.values().map(|counts| counts[side]).collect::<Vec<u64>>();
        roc_auc(&side(1), &side(0), Within::Equal).map(|area| area.value)
    }

    fn merge(&mut self, other: &Self) {
        self.labelled += other.labelled;
        self.terms.resize(self.terms.len().max(other.terms.len()), 0);
        merge(&mut self.terms, &other.terms);
        for (bucket, count) in &other.delays {
            *self.delays.entry(*bucket).or_default() += count;
        }
        for (place, terms) in &other.slices {
            merge(self.slices.entry(*place).or_default(), terms);
        }
        self.decisions.merge(other.decisions);
        for (cell, counts) in &other.ranks {
            merge(self.ranks.entry(*cell).or_default(), counts);
        }
    }

    fn delay(&self, q: f64) -> Option<f64> {
        let mut counts = vec![0; latency::BUCKETS];
        for (bucket, count) in &self.delays {
            if let Some(counter) = counts.get_mut(*bucket) {
                *counter = *count;
            }
        }
        latency::quantile(&counts, q)
    }
}

/// One window of prediction time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Windows that start before this one are judged.
    pub(super) next: Millis,
    pub(super) panes: BTreeMap<Millis, Pane>,
    pub(super) dirty: BTreeSet<Millis>,
    pub(super) latest: Option<PerformanceView>,
}

impl Lane {
    pub(super) fn new(model: &str, version: &str, plan: Arc<Plan>) -> Self {
        Self {
            model: model.to_owned(),
            version: version.to_owned(),
            plan,
            next: Millis::MIN,
            panes: BTreeMap::new(),
            dirty: BTreeSet::new(),
            latest: None,
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

    /// Figures of a judged window.
    pub(super) fn figures(&self, (start, end): (Millis, Millis), pane: &Pane) -> PerformanceView {
        let mut all = pane.settled.clone();
        all.merge(&pane.inline);
        let counts = self.counts(&all);
        let joint = &self.plan.reference.joint;
        let scale = joint.residual.as_ref().map_or(1.0, |terms| terms.scale);
        let mean = |moment: Moment| {
            let (n, sum) = joint.sum(&self.plan.layout, &counts, moment as usize);
            (n > 0.0).then(|| sum / n)
        };
        PerformanceView {
            start,
            end,
            predictions: pane.seen + pane.inline.labelled,
            labelled: all.labelled,
            mean_residual: mean(Moment::Calibration).map(|mean| mean * scale),
            mean_squared_residual: mean(Moment::Brier).map(|mean| mean * scale * scale),
            accuracy: all.decisions.accuracy(),
            precision: all.decisions.precision(),
            recall: all.decisions.recall(),
            f1: all.decisions.f1(),
            roc_auc: all.roc_auc(),
            delay_p50: pane.settled.delay(0.5),
            delay_p90: pane.settled.delay(0.9),
            delay_p99: pane.settled.delay(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn the_area_counts_pairs_and_half_of_those_in_one_cell() {
        let mut tally = Tally::default();
        let outcomes =
            [(3, 0.0, 4), (3, 1.0, 2), (9, 0.0, 1), (9, 1.0, 5), (usize::MAX, 1.0, 7), (9, 0.4, 3)];
        for (cell, label, times) in outcomes {
            (0..times).for_each(|_| tally.rank(Some(cell), Outcome { score: 0.5, label }));
        }
        // Of 7 · 5 pairs: 2 · 4 and 5 · 1 are ties, 5 · 4 are in order.
        assert_eq!((tally.labelled, tally.roc_auc()), (22, Some((0.5 * (8.0 + 5.0) + 20.0) / 35.0)));
        let none = Tally { ranks: [(1, [4, 0])].into(), ..Tally::default() };
        assert_eq!(none.roc_auc(), None, "there is no positive one");
    }

    #[test]
    fn ratios_of_decisions_follow_from_the_four_outcomes() {
        let mut decisions = Decisions::default();
        let outcomes = [(0.9, 1.0, 6), (0.5, 0.0, 2), (0.4, 1.0, 3), (0.1, 0.0, 9), (0.9, 7.0, 5)];
        for (score, label, times) in outcomes {
            (0..times).for_each(|_| decisions.add(Outcome { score, label }));
        }
        assert_eq!(decisions, Decisions { all: 20, wrong: 5, said: 8, came: 9 }, "7 is no class");
        assert_eq!((decisions.accuracy(), decisions.precision()), (Some(0.75), Some(0.75)));
        assert_eq!((decisions.recall(), decisions.f1()), (Some(6.0 / 9.0), Some(12.0 / 17.0)));
        assert_eq!(Decisions::default().precision(), None, "nobody said yes");
    }
}
