//! The life of one alert at one horizon: inactive → pending → firing → resolved, counted in judged windows.
//!
//! Pure transitions; who is told of them is `group.rs`.

use serde::{Deserialize, Serialize};

use super::Finding;
use crate::subject::Millis;

/// What one judged window says about a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Over the threshold, and significant.
    Over,
    /// Between the clearing level and the threshold: keeps a firing alert firing.
    Between,
    /// Below the clearing level.
    Quiet,
    /// Too few rows: says nothing.
    Insufficient,
}

/// How many windows each step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) fire_after: u32,
    pub(super) of_last: u32,
    pub(super) clear_after: u32,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    #[default]
    Inactive,
    Pending,
    Firing,
}

/// A step worth counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Pending,
    Firing,
    Resolved,
    Withdrawn,
}

/// One alert at one horizon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Life {
    pub(super) state: State,
    /// One bit per judged window, the newest lowest; set when over.
    history: u32,
    quiet: u32,
    /// End of the first window of this episode.
    pub(super) since: Millis,
    pub(super) changed_at: Millis,
    /// Evidence of the newest window that was over.
    pub(super) finding: Option<Finding>,
}

impl Life {
    /// Takes in one judged window that ended at `at`.
    pub(super) fn step(&mut self, sign: Sign, at: Millis, pace: Pace) -> Option<Step> {
        if sign == Sign::Insufficient {
            return None;
        }
        let mask = u32::MAX >> (32 - pace.of_last.clamp(1, 32));
        self.history = (self.history << 1 | u32::from(sign == Sign::Over)) & mask;
        let step = match (self.state, sign) {
            (State::Inactive, Sign::Over) => {
                self.since = at;
                self.state = State::Pending;
                Some(self.fire(pace).unwrap_or(Step::Pending))
            }
            (State::Inactive, _) => None,
            (State::Pending, Sign::Over) => self.fire(pace),
            (State::Pending, _) if self.history == 0 => {
                self.state = State::Inactive;
                Some(Step::Withdrawn)
            }
            (State::Pending, _) => None,
            (State::Firing, Sign::Quiet) => self.calm(pace),
            (State::Firing, _) => {
                self.quiet = 0;
                None
            }
        };
        if step.is_some() {
            self.changed_at = at;
        }
        step
    }

    fn fire(&mut self, pace: Pace) -> Option<Step> {
        (self.history.count_ones() >= pace.fire_after).then(|| {
            self.state = State::Firing;
            self.quiet = 0;
            Step::Firing
        })
    }

    fn calm(&mut self, pace: Pace) -> Option<Step> {
        self.quiet += 1;
        (self.quiet >= pace.clear_after).then(|| {
            self.state = State::Inactive;
            self.history = 0;
            Step::Resolved
        })
    }

    /// Whether nothing is left to remember.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Inactive && self.history == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace { fire_after: 2, of_last: 3, clear_after: 2 };

    fn steps(signs: &[Sign]) -> Vec<Option<Step>> {
        let mut life = Life::default();
        (0..).zip(signs).map(|(at, sign)| life.step(*sign, at, PACE)).collect()
    }

    #[test]
    fn two_of_three_windows_fire_and_two_quiet_ones_resolve() {
        use Sign::{Between, Over, Quiet};
        let told = steps(&[Over, Quiet, Over, Between, Quiet, Between, Quiet, Quiet]);
        let expected =
            [Some(Step::Pending), None, Some(Step::Firing), None, None, None, None, Some(Step::Resolved)];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_single_window_over_is_withdrawn_and_never_fires() {
        use Sign::{Over, Quiet};
        assert_eq!(
            steps(&[Over, Quiet, Quiet, Quiet]),
            [Some(Step::Pending), None, None, Some(Step::Withdrawn)]
        );
    }

    #[test]
    fn windows_without_evidence_change_nothing() {
        use Sign::{Insufficient, Over};
        assert_eq!(steps(&[Over, Insufficient, Insufficient, Insufficient, Over])[4], Some(Step::Firing));
    }

    proptest! {
        /// firing and resolved alternate, and nothing resolves that did not fire.
        #[test]
        fn firing_and_resolved_alternate(choices in proptest::collection::vec(0..4_u8, 0..200)) {
            let signs: Vec<Sign> = choices
                .iter()
                .map(|choice| [Sign::Over, Sign::Between, Sign::Quiet, Sign::Insufficient][*choice as usize])
                .collect();
            let mut firing = false;
            for step in steps(&signs).into_iter().flatten() {
                match step {
                    Step::Firing => { prop_assert!(!firing); firing = true; }
                    Step::Resolved => { prop_assert!(firing); firing = false; }
                    Step::Pending | Step::Withdrawn => prop_assert!(!firing),
                }
            }
        }
    }
}
