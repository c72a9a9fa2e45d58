//! Watermarks: how far each partition has come in event time, and with it the whole.
//!
//! A partition's watermark moves only with its own records in offset order, so it is the same on every replay. Only
//! the decisions that a partition is idle or stalled look at a clock, which only ever goes forward; they ask for event
//! time, not for records: a partition full of records that say nothing about time holds nobody back (decision 62).

use super::LastRecord;
use crate::engine::Position;
use crate::event::Record;
use crate::subject::Millis;

/// Part of `stalled_after` that passes at most from one sign of life of anybody to the next.
const MOST_AT_ONCE: Millis = 4;

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
    /// Since when everything was read that there was and nothing of it moved the event time: records that say nothing
    /// about time, however many, keep nobody waiting.
    quiet: Option<Millis>,
    /// When its broker was last known to answer. Silence of a line that is down is no silence of the partition.
    heard: Option<Millis>,
    /// Whether the records of a transaction that does not go on stand behind the end that can be read.
    transaction: bool,
    /// Records whose event time was taken, so that a long way through old ones is not mistaken for standing still.
    timed: u64,
    /// What the last look found.
    seen: Seen,
    /// Whether it is behind and told no time for so long that the others no longer wait for it.
    stalled: bool,
    /// Whether nothing is to be waited for.
    idle: bool,
}

/// What a look at a partition finds.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    position: Option<i64>,
    max_event_time: Option<Millis>,
    timed: u64,
    heard: Option<Millis>,
    /// When the position was last found to have moved.
    moved: Option<Millis>,
    /// Since when there is more to read and no event time was told, by the clock of those that go on.
    behind: Option<Millis>,
    /// Whether it was found to go on, or to have nothing to go on with, since the first look.
    went_on: bool,
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
    /// A clock that runs while any of them goes on: while none does, nobody is left behind.
    elapsed: Millis,
    /// When any was last found to go on.
    went_on: Option<Millis>,
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
        Self { known: known.collect(), ..Self::default() }
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
    /// A partition is idle when its position is at the end of the log, no record moved its event time for `idle_after`
    /// and its broker was heard to say so; it then holds nothing back. One that is behind and tells no time, or whose
    /// broker is silent, holds all back until others have gone on for `stalled_after`: an outage of all leaves nobody
    /// behind. If nobody is left to wait for, the newest decides.
    pub fn watermark(&mut self, now: Millis, patience: Patience) -> Option<Millis> {
        if self.known.iter_mut().fold(false, |any, (_, state)| state.look(now, patience) || any) {
            let since = self.went_on.replace(now).map_or(0, |before| now - before);
            self.elapsed += since.min(patience.stalled_after / MOST_AT_ONCE);
        }
        let elapsed = self.elapsed;
        self.known.iter_mut().for_each(|(_, state)| state.wait(elapsed, patience));
        let awaited = self.known.iter().map(|(_, state)| state);
        let awaited: Vec<&Partition> = awaited.filter(|state| !state.idle && !state.stalled).collect();
        let newest = if awaited.is_empty() {
            self.newest()
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

    /// Partitions at the end of their log of which nothing is awaited, as of the last look.
    pub fn idle(&self) -> impl Iterator<Item = &PartitionId> {
        self.known.iter().filter(|(_, state)| state.idle).map(|(id, _)| id)
    }

    /// The newest event time of all.
    #[must_use]
    pub fn newest(&self) -> Option<Millis> {
        self.known.iter().filter_map(|(_, state)| state.max_event_time).max()
    }

    /// Time before `now`, in which nothing could be read, does not count against anybody.
    pub fn look_anew(&mut self, now: Millis) {
        for (_, state) in &mut self.known {
            state.seen = Seen::default();
            state.at_end = state.at_end.map(|_| now);
            state.quiet = state.quiet.map(|_| now);
        }
        self.went_on = None;
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
        if self.max_event_time < Some(event_time) {
            self.max_event_time = Some(event_time);
            self.quiet = None;
        }
    }

    /// Notes that a record told its event time, whether or not that is the largest.
    pub fn told_time(&mut self) {
        self.timed += 1;
    }

    /// Notes that the position is at the end of the log.
    pub fn is_at_end(&mut self, now: Millis) {
        self.at_end.get_or_insert(now);
        self.quiet.get_or_insert(now);
        self.heard = self.heard.max(Some(now));
    }

    /// Notes whether the partition's broker answers. A line that is silent says nothing about the partition: how long that
    /// has been quiet is asked anew once the line is back.
    pub fn broker_answers(&mut self, answers: bool, now: Millis) {
        if answers {
            self.heard = self.heard.max(Some(now));
        } else {
            self.quiet = self.quiet.map(|_| now);
        }
    }

    /// Notes the end of the log: that of what can be read, and that of everything written.
    pub fn ends(&mut self, end: i64, written: i64) {
        self.transaction = written > end && self.end_offset.is_none_or(|known| known == end);
        self.end_offset = Some(end);
    }

    /// Whether it was found to go on since this process began: until then nobody knows whether it still stands still.
    #[must_use]
    pub const fn went_on(&self) -> bool {
        self.seen.went_on
    }

    /// Whether records wait behind a transaction that does not go on.
    #[must_use]
    pub const fn has_open_transaction(&self) -> bool {
        self.transaction
    }

    /// Notes that a client begins to read it: what another one said of the end is past.
    pub fn begins(&mut self) {
        (self.at_end, self.quiet, self.idle) = (None, None, false);
    }

    /// Goes on elsewhere: nothing that was known of the end holds there.
    pub fn jump(&mut self, to: i64) -> Option<i64> {
        self.begins();
        self.last_record = LastRecord::Unknown;
        self.dirty = true;
        self.next_offset.replace(to)
    }

    /// Finds what happened since the last look. Gives whether it goes on: it told a time, or its broker says that there is
    /// nothing more.
    fn look(&mut self, now: Millis, patience: Patience) -> bool {
        let before = self.seen;
        let moved = before.position != self.next_offset;
        let moved_at = if moved { Some(now) } else { before.moved };
        if moved {
            self.heard = self.heard.max(Some(now));
        }
        // Under steady traffic the client never tells the end, but a position that passes it was there.
        let reached = self.end_offset.is_some_and(|end| self.next_offset.is_some_and(|next| next >= end));
        if moved && reached && before.max_event_time == self.max_event_time {
            self.quiet.get_or_insert(now);
        }
        // Where records came lately the line to the broker is there; where none come, the client has told the end.
        let lately = moved_at.is_some_and(|at| now - at < patience.idle_after);
        let is_quiet = self
            .quiet
            .zip(self.heard)
            .is_some_and(|(since, until)| until.saturating_sub(since) >= patience.idle_after);
        let waits = self.at_end.is_some() && !self.transaction;
        self.idle = is_quiet && !self.transaction && (waits || lately);
        let goes_on = before.timed != self.timed || ((waits || self.idle) && before.heard < self.heard);
        self.seen = Seen {
            position: self.next_offset,
            max_event_time: self.max_event_time,
            timed: self.timed,
            heard: self.heard,
            moved: moved_at,
            behind: before.behind.filter(|_| !goes_on),
            went_on: before.went_on || goes_on,
        };
        goes_on
    }

    /// Whether it is still waited for; `elapsed` is the clock of those that go on.
    fn wait(&mut self, elapsed: Millis, patience: Patience) {
        let behind = *self.seen.behind.get_or_insert(elapsed);
        self.stalled = elapsed - behind >= patience.stalled_after;
    }
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
