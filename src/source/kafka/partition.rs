//! A partition from its first record on: where it begins, what polling brings of it, and what is only read again.

use std::collections::BTreeMap;

use rdkafka::Offset;

use crate::engine::{Resume, record_hash};
use crate::event::Record;
use crate::source::watchdog::Watched;
use crate::subject::Millis;
use crate::window::GapReason;

/// Where a partition that is not assigned yet begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Behind the last record counted.
    At(Resume),
    /// At the first record not older than this.
    Time(Millis),
    /// At its first record: it was added to a topic that is being read.
    First,
    /// As the configuration says.
    Policy,
}

/// A partition that was just assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset at which it begins, where that is neither its position nor the beginning of the log.
    pub at: Option<i64>,
}

/// What a look at the cluster's topics found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// Partitions assigned now.
    pub new: Vec<Assignment>,
    /// How many partitions each topic that was found has.
    pub counts: BTreeMap<String, i32>,
}

/// A position that no longer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset at which reading goes on.
    pub to: i64,
    /// What was wrong.
    pub reason: GapReason,
}

/// What polling brings.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// A record to be counted.
    Record(Record<'a>),
    /// A record that was counted in an earlier run.
    Earlier(Record<'a>),
    /// The position of a partition has reached the end of its log.
    AtEnd {
        /// Topic name.
        topic: &'a str,
        /// Partition number.
        partition: i32,
    },
}

/// Records that are read again before counting goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resuming {
    /// Offset of the next record to count.
    pub(super) until: i64,
    /// Hash of the record before it.
    pub(super) hash: Option<u64>,
    /// Whether the log ended before that offset.
    pub(super) ended: bool,
}

/// A partition that is read.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) resuming: Option<Resuming>,
    /// Its records are not those that were counted: none is handed over until the position was reset.
    pub(super) is_other: bool,
    pub(super) watched: Watched,
    /// Whether anything came since it was assigned.
    pub(super) reached: bool,
    /// Something of it came where nobody counts: nothing is handed over until it was assigned anew.
    pub(super) strayed: bool,
    /// End of its log in the last statistics.
    pub(super) high: i64,
}

/// Where reading begins, the offset to remember as position, and what is read again.
pub(super) type First = (Offset, Option<i64>, Option<Resuming>);

/// What to do with a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Count,
    Remember,
    Drop,
}

impl Assigned {
    pub(super) fn new(topic: &str, partition: i32, resuming: Option<Resuming>) -> Self {
        Self {
            topic: topic.to_owned(),
            partition,
            resuming,
            is_other: false,
            watched: Watched::default(),
            reached: false,
            strayed: false,
            high: 0,
        }
    }

    pub(super) fn is(&self, topic: &str, partition: i32) -> bool {
        self.partition == partition && self.topic == topic
    }

    /// What becomes of a record: those before the position only prove that the log is the same.
    pub(super) fn turn(&mut self, record: &Record<'_>) -> Turn {
        if self.is_other || self.strayed {
            return Turn::Drop;
        }
        let Some(Resuming { until, hash, .. }) = self.resuming else { return Turn::Count };
        if record.offset >= until {
            // The record before the position was compacted away, or it agreed.
            self.resuming = None;
            return Turn::Count;
        }
        if record.offset == until - 1 {
            self.is_other = hash.is_some_and(|hash| hash != record_hash(record));
            self.resuming = None;
        }
        if self.is_other { Turn::Drop } else { Turn::Remember }
    }
}
