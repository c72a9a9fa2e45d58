//! The token bucket of a target: so many requests per minute, and some at once after a quiet time.
//!
//! Time is an argument: that since some fixed instant.

use std::time::Duration;

/// How fast requests may follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests per minute in the long run.
    pub per_minute: u32,
    /// Requests at once after a quiet time.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { per_minute: crate::config::default_rate(), burst: crate::config::default_burst() }
    }
}

/// One target's bucket.
///
/// ```
/// use std::time::Duration;
/// use anchorwatch::deliver::{Bucket, Rate};
/// let mut bucket = Bucket::new(Rate { per_minute: 30, burst: 10 });
/// assert_eq!((0..20).filter(|_| bucket.take(Duration::ZERO)).count(), 10);
/// assert_eq!(bucket.next_at(Duration::ZERO), Duration::from_secs(2));
/// ```
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Time that earns one token.
    each: Duration,
    /// Time that fills it.
    full: Duration,
    /// Time saved up at the instant `at`.
    saved: Duration,
    at: Duration,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let each = Duration::from_secs(60) / rate.per_minute.max(1);
        let full = each.saturating_mul(rate.burst.max(1));
        Self { each, full, saved: full, at: Duration::ZERO }
    }

    fn saved(&self, now: Duration) -> Duration {
        self.saved.saturating_add(now.saturating_sub(self.at)).min(self.full)
    }

    /// Requests that may begin now; a whole token is needed for one.
    #[must_use]
    pub fn available(&self, now: Duration) -> f64 {
        self.saved(now).as_secs_f64() / self.each.as_secs_f64()
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Duration) -> bool {
        let saved = self.saved(now);
        if saved < self.each {
            return false;
        }
        (self.saved, self.at) = (saved - self.each, now.max(self.at));
        true
    }

    /// The instant at which the next token is there; `now` if there is one.
    #[must_use]
    pub fn next_at(&self, now: Duration) -> Duration {
        now + self.each.saturating_sub(self.saved(now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// R-1: in no stretch of time begin more requests than the burst and what the rate earns in it.
        #[test]
        fn no_stretch_of_time_sees_more_than_burst_and_rate(
            per_minute in 1..600_u32, burst in 1..50_u32, steps in prop::collection::vec(0..5_000_u64, 1..200),
        ) {
            let (mut bucket, mut now) = (Bucket::new(Rate { per_minute, burst }), Duration::ZERO);
            let mut taken: Vec<Duration> = Vec::new();
            for step in steps {
                now += Duration::from_millis(step);
                while bucket.take(now) {
                    taken.push(now);
                }
                prop_assert!(bucket.next_at(now) > now);
            }
            for (index, from) in taken.iter().enumerate() {
                for (count, to) in taken[index..].iter().enumerate() {
                    let earned = (*to - *from).as_secs_f64() * f64::from(per_minute) / 60.0;
                    prop_assert!((count + 1) as f64 <= f64::from(burst) + earned + 1e-6);
                }
            }
        }
    }

    #[test]
    fn a_quiet_time_fills_it_up_to_the_burst_and_no_further() {
        let mut bucket = Bucket::new(Rate { per_minute: 60, burst: 3 });
        let take = |bucket: &mut Bucket, at| (0..9).filter(|_| bucket.take(Duration::from_secs(at))).count();
        assert_eq!([take(&mut bucket, 0), take(&mut bucket, 1), take(&mut bucket, 3_600)], [3, 1, 3]);
    }
}
