//! Events that were produced twice: an exact set of the ids of the last `N` offsets of each partition.
//!
//! Whether an event is a duplicate depends on nothing but the log: it is one if an event with the same id, model and
//! kind stands within the `N` offsets before it. So the set is not part of the checkpoint; after a restart it is
//! rebuilt by reading those records again. Bound: 52 bytes per offset remembered (a queue of 16 and a table of 36).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::PartitionId;
use crate::event::{Event, Named};

/// What a partition has seen lately.
#[derive(Debug, Default)]
struct Seen {
    /// Hash of an id to the offset of its last event.
    last: HashMap<u64, i64>,
    order: VecDeque<(i64, u64)>,
}

/// The ids of the last `N` offsets of every partition.
#[derive(Debug)]
pub struct Dedup {
    reach: i64,
    partitions: HashMap<PartitionId, Seen>,
    /// The partition of the last event, since events of one come in runs.
    current: Option<(PartitionId, Seen)>,
}

impl Dedup {
    /// An empty memory that reaches so many offsets back.
    #[must_use]
    pub fn new(reach: u32) -> Self {
        Self { reach: i64::from(reach), partitions: HashMap::new(), current: None }
    }

    /// Notes the event at `offset`; true if it was seen within reach. Events without id are never duplicates.
    pub fn is_duplicate(
        &mut self,
        (topic, partition, offset): (&str, i32, i64),
        named: &Named<'_>,
        event: &Event<'_>,
    ) -> bool {
        let Some(id) = event.id.as_deref() else { return false };
        let mut hasher = DefaultHasher::new();
        (id, &*named.model, event.is_feedback()).hash(&mut hasher);
        let hash = hasher.finish();
        let reach = self.reach;
        self.seen(topic, partition).note(offset, hash, reach)
    }

    /// Forgets a partition, whose topic was created anew.
    pub fn forget(&mut self, topic: &str, partition: i32) {
        *self.seen(topic, partition) = Seen::default();
    }

    fn seen(&mut self, topic: &str, partition: i32) -> &mut Seen {
        let is_it = |((name, number), _): &(PartitionId, Seen)| *number == partition && name == topic;
        if !self.current.as_ref().is_some_and(is_it) {
            let id = (topic.to_owned(), partition);
            let seen = self.partitions.remove(&id).unwrap_or_default();
            if let Some((id, seen)) = self.current.replace((id, seen)) {
                self.partitions.insert(id, seen);
            }
        }
        &mut self.current.get_or_insert_with(Default::default).1
    }
}

impl Seen {
    fn note(&mut self, offset: i64, hash: u64, reach: i64) -> bool {
        while let Some((oldest, hash)) = self.order.front().copied()
            && oldest < offset - reach
        {
            self.order.pop_front();
            // A later event with the same id keeps it.
            if self.last.get(&hash) == Some(&oldest) {
                self.last.remove(&hash);
            }
        }
        self.order.push_back((offset, hash));
        match self.last.entry(hash) {
            Entry::Occupied(mut known) => known.insert(offset) != offset,
            Entry::Vacant(free) => {
                free.insert(offset);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_exactly_the_reach() {
        let mut seen = Seen::default();
        assert!(!seen.note(0, 7, 10));
        assert!(seen.note(10, 7, 10), "ten offsets later");
        assert!(seen.note(20, 7, 10), "ten after the last one");
        assert!(!seen.note(31, 7, 10), "eleven later");
        assert!(!seen.note(31, 7, 10), "the same record read again is not its own duplicate");
    }

    #[test]
    fn memory_is_bounded_by_the_reach() {
        let mut seen = Seen::default();
        for offset in 0..10_000 {
            seen.note(offset, offset.unsigned_abs() % 300, 100);
        }
        assert!(seen.order.len() <= 101 && seen.last.len() <= 101);
    }
}
