//! A client that has silently stopped fetching: the log grows and the position does not move. First the partition is
//! assigned anew; if that does not help, the whole client is.

use crate::subject::Millis;

/// Standstill after which a partition is assigned anew.
const SEEK_AFTER: Millis = 60_000;
/// Standstill after which the client is made anew.
const REBUILD_AFTER: Millis = 180_000;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Assign the partition anew at its position.
    Reassign,
    /// Make the client anew.
    Rebuild,
}

/// What is known of one assigned partition.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// What came since the last look: `Some(true)` the news that there is no more, `Some(false)` a record.
    came: Option<bool>,
    /// End of the log when it was last read to its end.
    read_until: Option<i64>,
    /// Since when nothing comes although there is more.
    waiting_since: Option<Millis>,
    reassigned: bool,
}

impl Watched {
    /// A record came of this partition.
    pub(super) fn record(&mut self) {
        self.came = Some(false);
    }

    /// It was read to the end of its log.
    pub(super) fn at_end(&mut self) {
        self.came = Some(true);
    }

    /// The end of the partition's log as the client last heard; `now` only goes forward.
    pub(super) fn look(&mut self, end: i64, now: Millis) -> Option<Remedy> {
        if let Some(at_end) = self.came.take() {
            *self = Self { read_until: at_end.then_some(end), ..Self::default() };
            return None;
        }
        if self.read_until.is_some_and(|read| end <= read) {
            self.waiting_since = None;
            return None;
        }
        let since = *self.waiting_since.get_or_insert(now);
        if now - since >= REBUILD_AFTER {
            return Some(Remedy::Rebuild);
        }
        let due = now - since >= SEEK_AFTER && !self.reassigned;
        self.reassigned |= due;
        due.then_some(Remedy::Reassign)
    }

    /// Begins anew, after a pause.
    pub(super) fn reset(&mut self) {
        self.waiting_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(watched: &mut Watched, end: i64, times: &[Millis]) -> Vec<Option<Remedy>> {
        times.iter().map(|now| watched.look(end, *now)).collect()
    }

    #[test]
    fn a_growing_log_that_is_not_read_is_seeked_once_and_then_the_client_rebuilt() {
        let mut watched = Watched::default();
        watched.at_end();
        assert_eq!(looks(&mut watched, 10, &[0, 1_000_000]), [None, None], "read to the end");
        let found = looks(&mut watched, 11, &[1_000_000, 1_059_999, 1_060_000, 1_075_000, 1_180_000]);
        assert_eq!(found, [None, None, Some(Remedy::Reassign), None, Some(Remedy::Rebuild)]);
    }

    #[test]
    fn standing_still_in_the_middle_of_a_log_that_does_not_grow_is_noticed_too() {
        let mut watched = Watched::default();
        watched.record();
        let found = looks(&mut watched, 11, &[0, 1_000, 60_999, 61_000]);
        assert_eq!(found, [None, None, None, Some(Remedy::Reassign)]);
    }

    #[test]
    fn whatever_comes_starts_the_patience_anew() {
        let mut watched = Watched::default();
        looks(&mut watched, 11, &[0, 59_000]);
        watched.record();
        assert_eq!(looks(&mut watched, 11, &[59_500, 60_000, 119_999]), [None, None, None]);
    }
}
