//! Waiting on a condition with a deadline: the only place of the tests that sleeps.

use std::thread;
use std::time::{Duration, Instant};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `condition` holds; fails the test, naming `what`, when it does not within `deadline`.
#[track_caller]
pub(crate) fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(deadline, what, || condition().then_some(()));
}

/// Waits until `look` finds something and returns it; fails the test, naming `what`, after `deadline`.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "real servers live in real time")]
pub(crate) fn wait_for<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {deadline:?} in vain for: {what}");
        thread::sleep(LOOK_EVERY);
    }
}
