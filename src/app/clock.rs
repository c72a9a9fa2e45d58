//! The two clocks of the daemon: the wall clock, which may jump, and one that only goes forward.
//!
//! Whatever is due after a while, or waits for a while, asks the steady one. The wall clock only says which events are
//! in the future, when an order was given, and what is shown to people.

use std::time::{Duration, Instant, SystemTime};

use crate::subject::Millis;

/// The wall clock in milliseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "the one place where the daemon reads the clock for the core")]
#[must_use]
pub fn wall_clock() -> Millis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// A clock that begins at the wall clock and then only goes forward, whatever becomes of that.
#[derive(Debug, Clone, Copy)]
pub(super) struct SteadyClock {
    begun_at: Millis,
    begun: Instant,
}

impl SteadyClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the daemon reads the steady clock")]
    pub(super) fn start() -> Self {
        Self { begun_at: wall_clock(), begun: Instant::now() }
    }

    pub(super) fn now(&self) -> Millis {
        self.begun_at + millis(self.begun.elapsed())
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
