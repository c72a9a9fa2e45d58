//! The same trouble is said at most once a minute, with how often it was held back: a full disk fails every write, and a
//! log that grows with each failure makes the disk no emptier.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two lines about the same trouble.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// What was said last, by the kind of trouble; one for all targets.
#[derive(Debug)]
pub(in crate::deliver) struct Seldom {
    begun: Instant,
    said: Mutex<BTreeMap<&'static str, Said>>,
}

#[derive(Debug, Clone, Copy)]
struct Said {
    at: Duration,
    held_back: u64,
}

impl Default for Seldom {
    fn default() -> Self {
        Self { begun: Instant::now(), said: Mutex::default() }
    }
}

impl Seldom {
    /// How many lines of this kind were held back, if one may be said now.
    pub(in crate::deliver) fn may_say(&self, kind: &'static str) -> Option<u64> {
        self.may_say_at(kind, self.begun.elapsed())
    }

    fn may_say_at(&self, kind: &'static str, now: Duration) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match said.get_mut(kind) {
            Some(last) if now.saturating_sub(last.at) < REPEAT_AFTER => {
                last.held_back += 1;
                None
            }
            last => {
                let held_back = last.map_or(0, |last| last.held_back);
                said.insert(kind, Said { at: now, held_back: 0 });
                Some(held_back)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_said_once_a_minute_and_the_rest_is_counted() {
        let (seldom, second) = (Seldom::default(), Duration::from_secs(1));
        let said: Vec<_> = (0..180).filter_map(|now| seldom.may_say_at("full", now * second)).collect();
        assert_eq!(said, [0, 59, 59]);
        assert_eq!(seldom.may_say_at("other", 179 * second), Some(0));
    }
}
