//! What is kept of labelled predictions: integers, two of which add up to that of all.

use std::collections::BTreeMap;

use anchorwatch_detectors::counts::merge;
use anchorwatch_detectors::latency;
use anchorwatch_detectors::performance::{ClassConfusion, ProbabilityState, RegressionState};
use serde::{Deserialize, Serialize};

use super::decisions::{Decisions, class};
use super::target::Target;
use crate::reference::{Joint, Outcome};
use crate::subject::Millis;

/// Sums over labelled predictions. Two of them add up to that of all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Labelled predictions.
    pub(super) labelled: u64,
    /// Counters of the residual's terms, as in the joint counters of a window.
    pub(super) terms: Vec<u64>,
    /// Delays of the labels, by bucket: those of latencies, with a second for a millisecond.
    pub(super) delays: BTreeMap<usize, u64>,
    /// Those of labels of 1 among them; of none that earlier versions of this program counted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) delays_of_1: BTreeMap<usize, u64>,
    /// By the place of a slice: the two counters of the residual's mean.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) slices: BTreeMap<u16, [u64; 2]>,
    /// What a threshold at one half makes of the scores.
    #[serde(default)]
    pub(super) decisions: Decisions,
    /// By the cell of the score: labels of 0, and of 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) ranks: BTreeMap<u16, [u64; 2]>,
    /// Losses of scores from 0 to 1 against labels of 0 and 1; of none that earlier versions of this program counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) probabilities: Option<ProbabilityState>,
    /// Errors of numbers; of none that earlier versions counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) errors: Option<RegressionState>,
    /// Decisions among several classes.
    #[serde(default, skip_serializing_if = "ClassConfusion::is_empty")]
    pub(super) classes: ClassConfusion,
}

impl Tally {
    /// Adds one labelled prediction; `cells` is as [`Joint::add`] wants it.
    pub(super) fn add(
        &mut self,
        (joint, target): (&Joint, Target),
        cells: &[usize],
        slice: Option<u16>,
        outcome: Outcome,
        delay: Millis,
    ) {
        self.rank(target, joint.residual.as_ref().and_then(|terms| cells.get(terms.score).copied()), outcome);
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
            if target == Target::Classes && class(outcome) == Some(true) {
                *self.delays_of_1.entry(bucket).or_default() += 1;
            }
        }
    }

    /// Adds a prediction whose label came with it: what the figures need, and nothing that is judged.
    pub(super) fn add_figures(
        &mut self,
        (joint, target): (&Joint, Target),
        score_cell: Option<usize>,
        outcome: Outcome,
    ) {
        self.rank(target, score_cell, outcome);
        for (place, amount) in joint.moments(outcome).into_iter().flatten() {
            self.terms.resize(self.terms.len().max(place + 1), 0);
            if let Some(term) = self.terms.get_mut(place) {
                *term = term.saturating_add(amount);
            }
        }
    }

    /// Counts a prediction, its decision, its loss, and its score by its label.
    pub(super) fn rank(&mut self, target: Target, score_cell: Option<usize>, outcome: Outcome) {
        self.labelled += 1;
        if let Target::Number(scale) = target {
            let errors = self.errors.get_or_insert_with(|| RegressionState::new(scale));
            return errors.add(outcome.label, outcome.score);
        }
        if target == Target::Several {
            // Numbers of classes.
            let (said, came) = (outcome.score as u16, outcome.label as u16);
            self.classes.add(said, came);
            let wrong = u64::from(said != came);
            return self.decisions.merge(Decisions { all: 1, wrong, ..Decisions::default() });
        }
        let Some(truth) = class(outcome) else { return };
        self.decisions.add(outcome);
        if (0.0..=1.0).contains(&outcome.score) {
            self.probabilities.get_or_insert_default().add(truth, outcome.score);
        }
        let cell = score_cell.and_then(|cell| u16::try_from(cell).ok()).filter(|cell| *cell != u16::MAX);
        if let Some(cell) = cell {
            self.ranks.entry(cell).or_default()[usize::from(truth)] += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.labelled += other.labelled;
        self.terms.resize(self.terms.len().max(other.terms.len()), 0);
        merge(&mut self.terms, &other.terms);
        for (bucket, count) in &other.delays {
            *self.delays.entry(*bucket).or_default() += count;
        }
        for (bucket, count) in &other.delays_of_1 {
            *self.delays_of_1.entry(*bucket).or_default() += count;
        }
        self.classes.merge(&other.classes);
        for (place, terms) in &other.slices {
            merge(self.slices.entry(*place).or_default(), terms);
        }
        self.decisions.merge(other.decisions);
        for (cell, counts) in &other.ranks {
            merge(self.ranks.entry(*cell).or_default(), counts);
        }
        if let Some(others) = &other.probabilities {
            // Counts that overflow together are left out, which the figures notice.
            _ = self.probabilities.get_or_insert_default().merge(others);
        }
        if let Some(others) = &other.errors {
            match &mut self.errors {
                Some(errors) => errors.merge(others),
                None => self.errors = Some(*others),
            }
        }
    }

    pub(super) fn delay(&self, q: f64) -> Option<f64> {
        let mut counts = vec![0; latency::BUCKETS];
        for (bucket, count) in &self.delays {
            if let Some(counter) = counts.get_mut(*bucket) {
                *counter = *count;
            }
        }
        latency::quantile(&counts, q)
    }
}
