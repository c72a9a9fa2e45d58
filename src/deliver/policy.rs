//! When to try again: full jitter under an exponential bound, `Retry-After` honoured within reason, and an end.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::subject::Millis;

/// How often and how long a delivery is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Bound of the first pause.
    pub base: Duration,
    /// Bound of every pause.
    pub max: Duration,
    /// Longest `Retry-After` that is honoured.
    pub max_retry_after: Duration,
    /// Time after the first attempt at which the next failure is the last.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            max: Duration::from_secs(60),
            max_retry_after: Duration::from_secs(15 * 60),
            give_up_after: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl RetryPolicy {
    /// Pause after the failure of an attempt that had `attempts` before it: random under the bound, so that many
    /// deliveries do not return at once, and never shorter than the target asked for.
    ///
    /// ```
    /// use std::time::Duration;
    /// use anchorwatch::deliver::RetryPolicy;
    /// let pause = RetryPolicy::default().pause(0, Some(Duration::from_secs(3_600)), &mut rand::rng());
    /// assert_eq!(pause, Duration::from_secs(900));
    /// ```
    pub fn pause(&self, attempts: u32, retry_after: Option<Duration>, rng: &mut impl Rng) -> Duration {
        let asked = retry_after.unwrap_or_default().min(self.max_retry_after);
        let bound = self.bound(attempts).as_millis().try_into().unwrap_or(u64::MAX);
        Duration::from_millis(rng.random_range(0..=bound)).max(asked)
    }

    /// Longest pause after the failure of an attempt that had `attempts` before it.
    #[must_use]
    pub fn bound(&self, attempts: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempts).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }

    /// Longest pause of all: what waits for longer was put there by another clock.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.max.max(self.max_retry_after)
    }
}

/// A duration as [`Millis`].
pub(in crate::deliver) fn millis(duration: Duration) -> Millis {
    duration.as_millis().try_into().unwrap_or(Millis::MAX)
}

/// The header `Retry-After`: seconds, or a date as HTTP writes it.
pub(in crate::deliver) fn retry_after(text: &str, now: Millis) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    let ahead = date.timestamp_millis().saturating_sub(now).max(0);
    Some(Duration::from_millis(ahead.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn pauses_fill_the_range_under_a_bound_that_doubles_up_to_the_largest() {
        let policy = RetryPolicy::default();
        let bounds: Vec<_> = [0, 1, 2, 5, 6, 31, 32, u32::MAX].map(|n| policy.bound(n).as_secs()).into();
        assert_eq!(bounds, [1, 2, 4, 32, 60, 60, 60, 60]);
        let mut rng = StdRng::seed_from_u64(7);
        let pauses: Vec<_> = (0..1_000).map(|_| policy.pause(3, None, &mut rng).as_millis()).collect();
        assert!(pauses.iter().all(|pause| *pause <= 8_000));
        assert!(pauses.iter().any(|pause| *pause < 500) && pauses.iter().any(|pause| *pause > 7_500));
    }

    #[test]
    fn a_target_may_ask_for_a_longer_pause_but_not_for_a_day() {
        let (policy, mut rng) = (RetryPolicy::default(), StdRng::seed_from_u64(7));
        let mut pause = |seconds| policy.pause(0, Some(Duration::from_secs(seconds)), &mut rng).as_secs();
        assert_eq!(pause(30), 30);
        assert_eq!(pause(86_400), 900);
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now = 1_445_412_480_000; // Wed, 21 Oct 2015 07:28:00 GMT
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:27:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn no_pause_is_longer_than_the_longest() {
        let (policy, mut rng) = (RetryPolicy::default(), StdRng::seed_from_u64(7));
        for attempts in 0..40 {
            assert!(policy.pause(attempts, Some(Duration::MAX), &mut rng) <= policy.longest());
        }
    }
}
