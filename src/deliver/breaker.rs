//! The circuit breaker of a target: after some failures in a row it is left alone, then asked with one request at a time.
//!
//! ```text
//! closed ── 5 failures in a row ──▶ open ── pause ──▶ half open: one probe ──▶ closed
//!                                    ▲                    │ failed: the pause doubles
//!                                    └────────────────────┘
//! ```
//! Time is an argument: that since some fixed instant.

use std::time::Duration;

/// When a target is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row after which it opens.
    pub failures: u32,
    /// First pause.
    pub pause: Duration,
    /// Longest pause.
    pub max_pause: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(30), max_pause: Duration::from_secs(60) }
    }
}

/// How requests are let through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    /// Nothing until this instant.
    Open { until: Duration, pause: Duration },
    /// One request is under way that decides.
    Probing { pause: Duration },
}

/// One target's breaker.
///
/// ```
/// use std::time::Duration;
/// use anchorwatch::deliver::{Breaker, BreakerPolicy};
/// let (mut breaker, second) = (Breaker::new(BreakerPolicy::default()), Duration::from_secs(1));
/// for _ in 0..5 {
///     breaker.failed(second);
/// }
/// assert_eq!((breaker.permits(second), breaker.name(second)), (0, "open"));
/// assert_eq!((breaker.permits(31 * second), breaker.name(31 * second)), (1, "half_open"));
/// ```
#[derive(Debug, Clone)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: State,
    failures: u32,
}

impl Breaker {
    /// Names of its states in the order of their numbers in metrics.
    pub const STATES: [&str; 3] = ["closed", "half_open", "open"];

    /// A closed one.
    #[must_use]
    pub const fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: State::Closed, failures: 0 }
    }

    /// Requests that may begin now, as far as the breaker is concerned.
    #[must_use]
    pub fn permits(&self, now: Duration) -> usize {
        match self.state {
            State::Closed => usize::MAX,
            State::Open { until, .. } if now >= until => 1,
            State::Open { .. } | State::Probing { .. } => 0,
        }
    }

    /// The instant at which a probe may begin, if it is open.
    #[must_use]
    pub const fn opens_at(&self) -> Option<Duration> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed | State::Probing { .. } => None,
        }
    }

    /// Notes that a request begins, for which there was a permit.
    pub fn began(&mut self) {
        if let State::Open { pause, .. } = self.state {
            self.state = State::Probing { pause };
        }
    }

    /// Notes that a request was not sent after all and says nothing about the target.
    pub fn withdrawn(&mut self, now: Duration) {
        if let State::Probing { pause } = self.state {
            self.state = State::Open { until: now, pause };
        }
    }

    /// Notes that the target answered, whatever it thinks of the request.
    pub fn answered(&mut self) {
        (self.state, self.failures) = (State::Closed, 0);
    }

    /// Notes that the target could not take a request.
    pub fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.state = match self.state {
            State::Closed if self.failures >= self.policy.failures => self.open(now, self.policy.pause),
            State::Probing { pause } => self.open(now, pause.saturating_mul(2)),
            // Requests that were under way when it opened, and failures before it opens, change nothing more.
            state @ (State::Closed | State::Open { .. }) => state,
        };
    }

    fn open(&self, now: Duration, pause: Duration) -> State {
        let pause = pause.min(self.policy.max_pause);
        State::Open { until: now.saturating_add(pause), pause }
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the target is being left alone, probes apart.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed)
    }

    /// Name of its state.
    #[must_use]
    pub fn name(&self, now: Duration) -> &'static str {
        match self.state {
            State::Closed => Self::STATES[0],
            State::Open { until, .. } if now < until => Self::STATES[2],
            State::Open { .. } | State::Probing { .. } => Self::STATES[1],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        (0..5).for_each(|_| breaker.failed(Duration::ZERO));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for _ in 0..20 {
            (0..4).for_each(|_| breaker.failed(SECOND));
            breaker.answered();
        }
        assert!(!breaker.is_open());
        assert_eq!(opened().permits(29 * SECOND), 0);
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_the_longest() {
        let (mut breaker, mut now) = (opened(), Duration::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let until = breaker.opens_at().expect("open");
            pauses.push((until - now).as_secs());
            now = until;
            assert_eq!(breaker.permits(now), 1);
            breaker.began();
            assert_eq!(breaker.permits(now + 3_600 * SECOND), 0, "one probe at a time");
            breaker.failed(now);
        }
        assert_eq!(pauses, [30, 60, 60, 60, 60, 60]);
        breaker.began();
        breaker.answered();
        assert_eq!((breaker.permits(now), breaker.failures()), (usize::MAX, 0));
    }

    #[test]
    fn a_probe_that_was_not_sent_can_be_made_again() {
        let mut breaker = opened();
        breaker.began();
        breaker.withdrawn(40 * SECOND);
        assert_eq!(breaker.permits(40 * SECOND), 1);
    }

    proptest! {
        /// B-1: between two answers, an open breaker lets at most one request begin per pause.
        #[test]
        fn an_open_breaker_lets_at_most_one_request_begin_per_pause(
            steps in prop::collection::vec((0..40_u64, any::<bool>()), 1..200),
        ) {
            let (mut breaker, mut now, mut last) = (opened(), Duration::ZERO, None::<Duration>);
            for (seconds, fails) in steps {
                now += SECOND * u32::try_from(seconds).unwrap_or(0);
                if breaker.permits(now) == 0 {
                    continue;
                }
                prop_assert!(last.is_none_or(|last| now - last >= 30 * SECOND));
                breaker.began();
                match fails {
                    true => {
                        breaker.failed(now);
                        last = Some(now);
                    }
                    false => (breaker, last) = (opened(), None),
                }
                if last.is_none() {
                    now = Duration::ZERO;
                }
            }
        }
    }
}
