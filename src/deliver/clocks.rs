//! The two clocks of deliveries: what is shown, signed and expires goes by the wall clock, what waits by a steady one.
//!
//! The steady clock begins at the wall clock and then only goes forward, so that no jump makes a delivery wait for a day
//! or ends it. Its readings are stored; after a restart they are compared with a wall clock that may have jumped in
//! between, which is why nothing is given up in the first hour of a process, and why a time to wait until that is further
//! away than any pause counts as over.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::policy::millis;
use crate::subject::Millis;

/// How long a process has tried by itself before anything is too old for it.
const LEAST_TRIED: Duration = Duration::from_secs(60 * 60);

/// Both clocks of one process; cheap to clone.
#[derive(Clone)]
pub(in crate::deliver) struct Clocks {
    wall: Arc<dyn Fn() -> Millis + Send + Sync>,
    begun_at: Millis,
    begun: Instant,
}

impl fmt::Debug for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clocks").field("begun_at", &self.begun_at).finish_non_exhaustive()
    }
}

impl Clocks {
    /// Starts the steady one at the wall clock.
    pub(in crate::deliver) fn start(wall: Arc<dyn Fn() -> Millis + Send + Sync>) -> Self {
        let begun_at = wall();
        Self { wall, begun_at, begun: Instant::now() }
    }

    /// The wall clock.
    pub(in crate::deliver) fn wall(&self) -> Millis {
        (self.wall)()
    }

    /// The steady clock.
    pub(in crate::deliver) fn steady(&self) -> Millis {
        self.begun_at.saturating_add(millis(self.up()))
    }

    /// Since the start.
    pub(in crate::deliver) fn up(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The instant before which what is noted is too old; see [`Reading::too_old`].
    pub(in crate::deliver) fn too_old(&self, age: Duration) -> Option<Millis> {
        self.read().too_old(age)
    }

    /// Whether something that the steady clock noted is too old; see [`Reading::is_older`].
    pub(in crate::deliver) fn is_older(&self, noted: Millis, age: Duration) -> bool {
        self.read().is_older(noted, age)
    }

    fn read(&self) -> Reading {
        Reading { wall: self.wall(), steady: self.steady(), up: self.up() }
    }
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: Millis,
    steady: Millis,
    up: Duration,
}

impl Reading {
    /// The instant before which what is noted is older than `age`, whichever of the clocks noted it; `None` as long as this
    /// process has not tried for a while itself.
    fn too_old(self, age: Duration) -> Option<Millis> {
        let now = self.wall.min(self.steady);
        self.has_tried(age).then(|| now.saturating_sub(millis(age)))
    }

    /// Whether something that the steady clock noted is older than `age`, under the same condition.
    fn is_older(self, noted: Millis, age: Duration) -> bool {
        self.has_tried(age) && self.steady.saturating_sub(noted) >= millis(age)
    }

    fn has_tried(self, age: Duration) -> bool {
        self.up >= age.min(LEAST_TRIED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);
    const NOON: Millis = 1_800_000_000_000;

    /// Started at noon, so long ago, and the wall clock has jumped since by so many days.
    fn after(up: Duration, jump: i64) -> Reading {
        let steady = NOON + millis(up);
        Reading { wall: steady + jump * millis(DAY), steady, up }
    }

    #[test]
    fn no_jump_makes_anything_old_that_was_noted_since_the_start() {
        for jump in [0, 1, -1, 400, -400] {
            let reading = after(23 * HOUR, jump);
            assert!(!reading.is_older(NOON, DAY), "{jump}");
            assert!(reading.too_old(DAY).is_some_and(|before| before < NOON), "{jump}");
            let noted_by_the_wall_clock = reading.wall;
            assert!(reading.too_old(DAY).is_some_and(|before| before < noted_by_the_wall_clock), "{jump}");
        }
        assert!(after(24 * HOUR, -1).is_older(NOON, DAY), "the time that passed counts all the same");
        assert_eq!(after(24 * HOUR, 0).too_old(DAY), Some(NOON));
    }

    #[test]
    fn a_process_gives_nothing_up_before_it_has_tried_for_an_hour() {
        let noted = NOON - millis(2 * DAY); // before the start, or before a jump
        let soon = after(HOUR - Duration::from_millis(1), 0);
        assert!(!soon.is_older(noted, DAY) && soon.too_old(DAY).is_none());
        let later = after(HOUR, 0);
        assert!(later.is_older(noted, DAY) && later.too_old(DAY).is_some());
    }

    #[test]
    fn the_steady_clock_begins_at_the_wall_clock() {
        let clocks = Clocks::start(Arc::new(|| NOON));
        assert!((NOON..NOON + millis(HOUR)).contains(&clocks.steady()));
        assert_eq!(clocks.wall(), NOON);
    }
}
