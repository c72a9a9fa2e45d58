//! What a threshold at one half makes of scores, against labels of two classes.

use anchorwatch_detectors::performance::Confusion;
use serde::{Deserialize, Serialize};

use crate::reference::Outcome;

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

    /// The four outcomes: whatever is wrong either said so in vain or did not say it.
    #[must_use]
    pub fn confusion(&self) -> Confusion {
        let hits = (self.said + self.came).saturating_sub(self.wrong) / 2;
        let false_positive = self.said.saturating_sub(hits);
        let false_negative = self.came.saturating_sub(hits);
        let true_negative = self.all.saturating_sub(hits + false_positive + false_negative);
        Confusion { true_positive: hits, false_positive, false_negative, true_negative }
    }

    /// Adds others.
    pub fn merge(&mut self, other: Self) {
        self.all += other.all;
        self.wrong += other.wrong;
        self.said += other.said;
        self.came += other.came;
    }
}

/// Whether the label is 1 rather than 0; `None` if it is neither.
pub(super) fn class(outcome: Outcome) -> Option<bool> {
    match outcome.label {
        1.0 => Some(true),
        0.0 => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_outcomes_follow_from_the_counts_that_are_kept() {
        let mut decisions = Decisions::default();
        let outcomes = [(0.9, 1.0, 6), (0.5, 0.0, 2), (0.4, 1.0, 3), (0.1, 0.0, 9), (0.9, 7.0, 5)];
        for (score, label, times) in outcomes {
            (0..times).for_each(|_| decisions.add(Outcome { score, label }));
        }
        assert_eq!(decisions, Decisions { all: 20, wrong: 5, said: 8, came: 9 }, "7 is no class");
        let confusion =
            Confusion { true_positive: 6, false_positive: 2, false_negative: 3, true_negative: 9 };
        assert_eq!(decisions.confusion(), confusion);
        assert_eq!(Decisions::default().confusion(), Confusion::default());
    }
}
