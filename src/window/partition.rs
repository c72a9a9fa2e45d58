//! Watermarks: how far each partition has come in event time, and with it the whole.
//!
//! A partition's watermark moves only with its own records in offset order, so it is the same on every replay. Only
//! the decision that a partition is idle looks at the clock.

use crate::engine::Position;
use crate::subject::Millis;

/// A partition by topic and number.
pub type PartitionId = (String, i32);

/// Counting state of one partition.
#[derive(Debug, Clone, Default)]
pub struct Partition {
    /// Offset of the next record to count; `None` until known.
    pub next_offset: Option<i64>,
    /// Largest event time seen that was not in the future.
    pub max_event_time: Option<Millis>,
    /// Hash of the last record counted.
    pub last_record_hash: Option<u64>,
    /// Clock time of the last record, or of the assignment.
    last_seen: Millis,
    /// Whether the position has reached the end of the log.
    pub at_end: bool,
    /// End of the log when it was last told.
    pub end_offset: Option<i64>,
    /// Whether the position changed since the last checkpoint.
    pub dirty: bool,
}

/// All assigned partitions.
#[derive(Debug, Default)]
pub struct Partitions {
    known: Vec<(PartitionId, Partition)>,
    last: usize,
}

impl Partitions {
    /// Takes up positions from a checkpoint.
    #[must_use]
    pub fn restore(positions: Vec<Position>, now: Millis) -> Self {
        let known = positions.into_iter().map(|position| {
            let partition = Partition {
                next_offset: Some(position.next_offset),
                max_event_time: position.max_event_time,
                last_record_hash: position.last_record_hash,
                last_seen: now,
                ..Partition::default()
            };
            ((position.topic, position.partition), partition)
        });
        Self { known: known.collect(), last: 0 }
    }

    /// The partition, taken up at `now` if it is new. Runs of records of one partition find it at once.
    pub fn entry(&mut self, topic: &str, partition: i32, now: Millis) -> &mut Partition {
        let matches = |((name, number), _): &(PartitionId, Partition)| *number == partition && name == topic;
        if !self.known.get(self.last).is_some_and(matches) {
            self.last = self.known.iter().position(matches).unwrap_or(self.known.len());
        }
        if self.last == self.known.len() {
            let state = Partition { last_seen: now, ..Partition::default() };
            self.known.push(((topic.to_owned(), partition), state));
        }
        &mut self.known[self.last].1
    }

    /// All partitions, in the order in which they were taken up.
    pub fn iter(&self) -> impl Iterator<Item = (&PartitionId, &Partition)> {
        self.known.iter().map(|(id, state)| (id, state))
    }

    /// The positions that changed since the last call.
    pub fn take_dirty(&mut self) -> Vec<Position> {
        let taken = self.known.iter_mut().filter_map(|((topic, partition), state)| {
            let dirty = std::mem::take(&mut state.dirty);
            let next_offset = state.next_offset.filter(|_| dirty)?;
            Some(Position {
                topic: topic.clone(),
                partition: *partition,
                next_offset,
                max_event_time: state.max_event_time,
                last_record_hash: state.last_record_hash,
            })
        });
        taken.collect()
    }

    /// Event time that every active partition has passed, less the allowed lateness.
    ///
    /// A partition is idle when its position is at the end of the log and nothing came for `idle_after`; it then holds
    /// nothing back. If all are idle, the newest decides. A partition that never had a record holds all back until it
    /// is known to be idle.
    #[must_use]
    pub fn watermark(&self, now: Millis, lateness: Millis, idle_after: Millis) -> Option<Millis> {
        let idle = |state: &Partition| state.at_end && now - state.last_seen >= idle_after;
        let active: Vec<&Partition> =
            self.known.iter().map(|(_, state)| state).filter(|state| !idle(state)).collect();
        let newest = if active.is_empty() {
            self.known.iter().filter_map(|(_, state)| state.max_event_time).max()
        } else {
            let times: Option<Vec<Millis>> = active.iter().map(|state| state.max_event_time).collect();
            times.and_then(|times| times.into_iter().min())
        };
        newest.map(|time| time - lateness)
    }
}

impl Partition {
    /// Notes that the record at `offset` was read at `now`; the position moves behind it.
    pub fn passed(&mut self, offset: i64, hash: u64, now: Millis) {
        debug_assert!(self.next_offset.is_none_or(|next| next <= offset), "I5: positions only move forward");
        self.next_offset = Some(offset + 1);
        self.last_record_hash = Some(hash);
        self.last_seen = now;
        self.at_end = false;
        self.dirty = true;
    }

    /// Moves the largest event time.
    pub fn saw(&mut self, event_time: Millis) {
        self.max_event_time = self.max_event_time.max(Some(event_time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(times: &[Option<Millis>]) -> Partitions {
        let mut all = Partitions::default();
        for (number, time) in (0..).zip(times) {
            let partition = all.entry("t", number, 0);
            if let Some(time) = time {
                partition.saw(*time);
            }
        }
        all
    }

    #[test]
    fn the_slowest_partition_decides() {
        assert_eq!(partitions(&[Some(100), Some(50)]).watermark(0, 10, 60), Some(40));
    }

    #[test]
    fn a_partition_without_records_holds_all_back_until_it_is_idle() {
        let mut all = partitions(&[Some(100), None]);
        assert_eq!(all.watermark(1_000, 10, 60), None, "its end is not reached yet");
        all.entry("t", 1, 0).at_end = true;
        assert_eq!(all.watermark(30, 10, 60), None, "silent, but not for long");
        assert_eq!(all.watermark(60, 10, 60), Some(90));
    }

    #[test]
    fn when_all_are_idle_the_newest_decides() {
        let mut all = partitions(&[Some(100), Some(50)]);
        (0..2).for_each(|number| all.entry("t", number, 0).at_end = true);
        assert_eq!(all.watermark(60, 10, 60), Some(90));
    }

    #[test]
    fn a_lagging_partition_is_never_idle() {
        assert_eq!(partitions(&[Some(100), Some(50)]).watermark(1_000_000, 10, 60), Some(40));
    }
}
