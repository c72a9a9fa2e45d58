//! The life of one alert at one horizon: inactive → pending → firing → resolved, counted in judged windows. A window
//! without evidence moves nothing, but a firing alert says that it can no longer be judged.
//!
//! Pure transitions; who is told of them is `group.rs`.

use serde::{Deserialize, Serialize};

use super::{Evidence, Finding, Severity};
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
    /// No rows at all: says nothing either.
    NoData,
}

/// How many windows each step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) fire_after: u32,
    pub(super) of_last: u32,
    pub(super) clear_after: u32,
    /// Windows in a row without evidence before that is told.
    pub(super) no_evidence_after: u32,
    /// Windows of firing before it is critical; 0 is never.
    pub(super) escalate_after: u32,
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
    /// A firing alert can no longer be judged.
    Blind(Evidence),
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
    /// What the latest windows of a firing alert lack, and how many in a row; not counted further than is needed.
    #[serde(default)]
    pub(super) evidence: Evidence,
    #[serde(default)]
    blind: u32,
    /// Windows of firing, not counted further than is needed.
    #[serde(default)]
    fired: u32,
    /// Critical until it resolves.
    #[serde(default)]
    pub(super) escalated: bool,
    /// The highest that a verdict gave it until it resolves; `None` if verdicts have none.
    #[serde(default)]
    pub(super) severity: Option<Severity>,
    /// Whether the quantity lies below what is expected, and for how many windows in a row it did not.
    #[serde(default)]
    falls: bool,
    #[serde(default)]
    against: u32,
    /// When the change last turned into another; the epoch if never.
    #[serde(default)]
    pub(super) turned: Millis,
}

/// Windows on the other side after which a change has turned into another.
const TURNED_AFTER: u32 = 6;

impl Life {
    /// Whether a firing alert's quantity lies on the other side of what is expected, and has for some windows: that is
    /// another change.
    pub(super) fn has_turned(&mut self, latest: Option<&Finding>) -> bool {
        let falls = latest.is_some_and(|finding| finding.statistic < 0.0);
        if self.state != State::Firing {
            (self.falls, self.against) = (falls, 0);
        }
        self.against = if falls == self.falls { 0 } else { self.against + 1 };
        let turned = self.against >= TURNED_AFTER;
        if turned {
            (self.falls, self.against) = (falls, 0);
        }
        turned
    }

    /// Takes in one judged window that ended at `at`.
    pub(super) fn step(&mut self, sign: Sign, at: Millis, pace: Pace) -> Option<Step> {
        match sign {
            Sign::Insufficient => return self.go_blind(Evidence::Insufficient, at, pace),
            Sign::NoData => return self.go_blind(Evidence::NoData, at, pace),
            Sign::Over | Sign::Between | Sign::Quiet => {
                (self.evidence, self.blind) = (Evidence::Sufficient, 0);
            }
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
        match self.state {
            State::Firing => self.last(pace),
            State::Inactive => (self.fired, self.escalated, self.severity) = (0, false, None),
            State::Pending => {}
        }
        if step.is_some() {
            self.changed_at = at;
        }
        step
    }

    fn last(&mut self, pace: Pace) {
        self.fired = self.fired.saturating_add(1).min(pace.escalate_after);
        self.escalated |= pace.escalate_after > 0 && self.fired >= pace.escalate_after;
    }

    fn go_blind(&mut self, evidence: Evidence, at: Millis, pace: Pace) -> Option<Step> {
        if self.state != State::Firing {
            return None;
        }
        self.blind = self.blind.saturating_add(1).min(pace.no_evidence_after);
        if self.evidence == evidence {
            return None;
        }
        (self.evidence, self.changed_at) = (evidence, at);
        Some(Step::Blind(evidence))
    }

    /// What it has lacked for long enough to be told.
    pub(super) fn lacks(&self, pace: Pace) -> Evidence {
        if self.blind >= pace.no_evidence_after { self.evidence } else { Evidence::Sufficient }
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

    const PACE: Pace =
        Pace { fire_after: 2, of_last: 3, clear_after: 2, no_evidence_after: 2, escalate_after: 3 };

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

    #[test]
    fn a_firing_alert_without_evidence_keeps_its_episode_and_says_so() {
        use Sign::{Insufficient, NoData, Over};
        let mut life = Life::default();
        let mut step = |sign, at| (life.step(sign, at, PACE), life.evidence, life.lacks(PACE), life.since);
        step(Over, 1);
        step(Over, 2);
        let (none, sufficient) = (Evidence::NoData, Evidence::Sufficient);
        assert_eq!(step(NoData, 3), (Some(Step::Blind(none)), none, sufficient, 1));
        assert_eq!(step(NoData, 4), (None, none, none, 1));
        let insufficient = Evidence::Insufficient;
        assert_eq!(step(Insufficient, 5), (Some(Step::Blind(insufficient)), insufficient, insufficient, 1));
        assert_eq!(step(Over, 6), (None, sufficient, sufficient, 1));
    }

    #[test]
    fn an_alert_that_lasts_is_critical_until_it_resolves() {
        use Sign::{Between, Over, Quiet};
        let mut life = Life::default();
        let signs = [Over, Over, Between, Quiet, Over, Quiet, Quiet, Over];
        let critical = signs.map(|sign| {
            life.step(sign, 0, PACE);
            life.escalated
        });
        assert_eq!(critical, [false, false, false, true, true, true, false, false]);
    }

    proptest! {
        /// firing and resolved alternate, and nothing resolves that did not fire.
        #[test]
        fn firing_and_resolved_alternate(choices in proptest::collection::vec(0..5_u8, 0..200)) {
            let signs: Vec<Sign> = choices
                .iter()
                .map(|choice| [Sign::Over, Sign::Between, Sign::Quiet, Sign::Insufficient, Sign::NoData][*choice as usize])
                .collect();
            let mut firing = false;
            for step in steps(&signs).into_iter().flatten() {
                match step {
                    Step::Firing => { prop_assert!(!firing); firing = true; }
                    Step::Resolved => { prop_assert!(firing); firing = false; }
                    Step::Pending | Step::Withdrawn => prop_assert!(!firing),
                    Step::Blind(_) => prop_assert!(firing),
                }
            }
        }
    }
}
