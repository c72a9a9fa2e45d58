//! Watermarks: how far each partition has come in event time, and with it the whole.
//!
//! A partition's watermark moves only with its own records in offset order, so it is the same on every replay. Only
//! the decisions that a partition is idle or stalled look at a clock, which only ever goes forward.

use super::LastRecord;
use crate::engine::Position;
use crate::event::Record;
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
    /// The record before that one.
    pub last_record: LastRecord,
    /// Since when the position is at the end of the log; `None` while there is more to read.
    pub at_end: Option<Millis>,
    /// End of the log when it was last told.
    pub end_offset: Option<i64>,
    /// Whether the position changed since the last checkpoint.
    pub dirty: bool,
    /// Position at the last look, and since when it is that.
    seen: (Option<i64>, Option<Millis>),
    /// Whether it is behind and has not moved for so long that the others no longer wait for it.
    stalled: bool,
}

/// How long the others wait for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How much later than the newest event of its partition an event may be.
    pub lateness: Millis,
    /// For one that is at the end of its log.
    pub idle_after: Millis,
    /// For one that is behind and does not move.
    pub stalled_after: Millis,
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
    pub fn restore(positions: Vec<Position>) -> Self {
        let known = positions.into_iter().map(|position| {
            let partition = Partition {
                next_offset: Some(position.next_offset),
                max_event_time: position.max_event_time,
                last_record: position.last_record_hash.into(),
                ..Partition::default()
            };
            ((position.topic, position.partition), partition)
        });
        Self { known: known.collect(), last: 0 }
    }

    /// The partition, taken up if it is new.
    pub fn entry(&mut self, topic: &str, partition: i32) -> &mut Partition {
        let place = self.place(topic, partition);
        &mut self.known[place].1
    }

    /// The place of a partition, taken up if it is new, until any is forgotten. Runs of records of one partition find it
    /// at once.
    pub(crate) fn place(&mut self, topic: &str, partition: i32) -> usize {
        let matches = |((name, number), _): &(PartitionId, Partition)| *number == partition && name == topic;
        if !self.known.get(self.last).is_some_and(matches) {
            self.last = self.known.iter().position(matches).unwrap_or(self.known.len());
        }
        if self.last == self.known.len() {
            self.known.push(((topic.to_owned(), partition), Partition::default()));
        }
        self.last
    }

    /// The partition at a place.
    pub(crate) fn at(&mut self, place: usize) -> Option<&mut Partition> {
        self.known.get_mut(place).map(|(_, partition)| partition)
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
                last_record_hash: state.last_record.hash(),
            })
        });
        taken.collect()
    }

    /// Event time that every active partition has passed, less the allowed lateness.
    ///
    /// A partition is idle when its position is at the end of the log and nothing came for `idle_after`; it then holds
    /// nothing back. One that is behind and does not move holds all back until `stalled_after`. If nobody is left to
    /// wait for, the newest decides.
    pub fn watermark(&mut self, now: Millis, patience: Patience) -> Option<Millis> {
        self.known.iter_mut().for_each(|(_, state)| state.look(now, patience.stalled_after));
        let idle = |state: &Partition| state.at_end.is_some_and(|since| now - since >= patience.idle_after);
        let awaited =
            self.known.iter().map(|(_, state)| state).filter(|state| !idle(state) && !state.stalled);
        let awaited: Vec<&Partition> = awaited.collect();
        let newest = if awaited.is_empty() {
            self.known.iter().filter_map(|(_, state)| state.max_event_time).max()
        } else {
            let times: Option<Vec<Millis>> = awaited.iter().map(|state| state.max_event_time).collect();
            times.and_then(|times| times.into_iter().min())
        };
        newest.map(|time| time - patience.lateness)
    }

    /// Partitions that the others no longer wait for although they are behind.
    pub fn stalled(&self) -> impl Iterator<Item = (&PartitionId, &Partition)> {
        self.iter().filter(|(_, state)| state.stalled)
    }

    /// Time before `now`, in which nothing could be read, does not count against anybody.
    pub fn look_anew(&mut self, now: Millis) {
        for (_, state) in &mut self.known {
            state.seen = (None, None);
            state.at_end = state.at_end.map(|_| now);
        }
    }

    /// Forgets the partitions of a topic from this number on, and gives them.
    pub fn forget_from(&mut self, topic: &str, first: i32) -> Vec<i32> {
        let is_gone = |(name, number): &PartitionId| *number >= first && name == topic;
        let gone = self.known.iter().filter(|(id, _)| is_gone(id)).map(|((_, number), _)| *number).collect();
        self.known.retain(|(id, _)| !is_gone(id));
        gone
    }
}

impl Partition {
    /// Notes that a record was read; the position moves behind it.
    pub fn passed(&mut self, record: &Record<'_>) {
        self.last_record.keep(record);
        self.moved_behind(record.offset);
    }

    fn moved_behind(&mut self, offset: i64) {
        debug_assert!(self.next_offset.is_none_or(|next| next <= offset), "I5: positions only move forward");
        self.next_offset = Some(offset + 1);
        self.at_end = None;
        self.dirty = true;
    }

    /// Moves the largest event time.
    pub fn saw(&mut self, event_time: Millis) {
        self.max_event_time = self.max_event_time.max(Some(event_time));
    }

    fn look(&mut self, now: Millis, stalled_after: Millis) {
        let (position, since) = self.seen;
        let since = since.filter(|_| position == self.next_offset && self.at_end.is_none()).unwrap_or(now);
        self.seen = (self.next_offset, Some(since));
        self.stalled = now - since >= stalled_after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { lateness: 10, idle_after: 60, stalled_after: 600 };

    fn partitions(times: &[Option<Millis>]) -> Partitions {
        let mut all = Partitions::default();
        for (number, time) in (0..).zip(times) {
            let partition = all.entry("t", number);
            if let Some(time) = time {
                partition.saw(*time);
            }
        }
        all
    }

    #[test]
    fn the_slowest_partition_decides() {
        assert_eq!(partitions(&[Some(100), Some(50)]).watermark(0, PATIENCE), Some(40));
    }

    #[test]
    fn a_partition_without_records_holds_all_back_until_it_is_idle() {
        let mut all = partitions(&[Some(100), None]);
        assert_eq!(all.watermark(500, PATIENCE), None, "its end is not reached yet");
        all.entry("t", 1).at_end = Some(500);
        assert_eq!(all.watermark(559, PATIENCE), None, "silent, but not for long");
        assert_eq!(all.watermark(560, PATIENCE), Some(90));
    }

    #[test]
    fn when_all_are_idle_the_newest_decides() {
        let mut all = partitions(&[Some(100), Some(50)]);
        (0..2).for_each(|number| all.entry("t", number).at_end = Some(0));
        assert_eq!(all.watermark(60, PATIENCE), Some(90));
    }

    #[test]
    fn a_lagging_partition_is_waited_for_while_it_moves() {
        let mut all = partitions(&[Some(100), Some(50)]);
        for offset in 0..20 {
            let now = offset * 599;
            all.entry("t", 0).moved_behind(offset);
            all.entry("t", 1).moved_behind(offset);
            assert_eq!(all.watermark(now, PATIENCE), Some(40), "at {now}");
        }
        let began = 19 * 599;
        all.entry("t", 0).moved_behind(20);
        assert_eq!(all.watermark(began + 599, PATIENCE), Some(40));
        all.entry("t", 0).moved_behind(21);
        assert_eq!(all.watermark(began + 600, PATIENCE), Some(90), "it stands still");
        assert_eq!(all.stalled().map(|(id, _)| id.1).collect::<Vec<_>>(), [1]);
        all.entry("t", 1).moved_behind(20);
        assert_eq!(all.watermark(began + 601, PATIENCE), Some(40), "it moves again");
    }

    #[test]
    fn time_in_which_nothing_was_read_counts_against_nobody() {
        let mut all = partitions(&[Some(100), Some(50)]);
        all.watermark(0, PATIENCE);
        all.look_anew(10_000);
        assert_eq!(all.watermark(10_000, PATIENCE), Some(40));
    }
}
