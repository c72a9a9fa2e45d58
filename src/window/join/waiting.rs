//! What waits for its other half, in order of arrival, in chunks: a checkpoint writes only chunks that changed.
//!
//! A chunk is filled until it holds [`CHUNK`] entries and then only shrinks. When the bound is reached a whole chunk
//! leaves, the oldest first. In memory an entry takes what it holds and about 40 bytes for being found by its id.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Entries of a full chunk.
pub(super) const CHUNK: usize = 128;

/// Something that can be written to and read from bytes.
pub(super) trait Coded: Sized {
    /// Appends the value.
    fn encode(&self, bytes: &mut Vec<u8>);
    /// Takes a value from the front; `None` if it is cut short.
    fn decode(bytes: &mut &[u8]) -> Option<Self>;
}

/// Takes `N` bytes from the front.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// Entries of one model by the hash of their id.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    chunks: BTreeMap<u64, Vec<(u64, T)>>,
    /// Chunk of each id.
    places: HashMap<u64, u64>,
    next: u64,
    dirty: BTreeSet<u64>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: BTreeMap::new(), places: HashMap::new(), next: 0, dirty: BTreeSet::new() }
    }
}

impl<T: Coded> Chunks<T> {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// Whether any entry is like this.
    pub(super) fn any(&self, is: impl Fn(&T) -> bool) -> bool {
        self.chunks.values().flatten().any(|(_, value)| is(value))
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.places.contains_key(&id)
    }

    /// Adds an entry; one whose id waits already is left as it is.
    pub(super) fn insert(&mut self, id: u64, value: T) {
        if self.places.contains_key(&id) {
            return;
        }
        let open = self.chunks.last_key_value().filter(|(_, chunk)| chunk.len() < CHUNK);
        let number = open.map_or(self.next, |(number, _)| *number);
        self.next = self.next.max(number + 1);
        self.chunks.entry(number).or_default().push((id, value));
        self.places.insert(id, number);
        self.dirty.insert(number);
    }

    /// Takes an entry out.
    pub(super) fn take(&mut self, id: u64) -> Option<T> {
        let number = self.places.remove(&id)?;
        self.dirty.insert(number);
        let chunk = self.chunks.get_mut(&number)?;
        let place = chunk.iter().position(|(known, _)| *known == id)?;
        let (_, value) = chunk.remove(place);
        if chunk.is_empty() {
            self.chunks.remove(&number);
        }
        Some(value)
    }

    /// Drops the oldest chunk; answers how many entries that were.
    pub(super) fn drop_oldest(&mut self) -> usize {
        let Some((number, chunk)) = self.chunks.pop_first() else { return 0 };
        self.dirty.insert(number);
        chunk.iter().for_each(|(id, _)| _ = self.places.remove(id));
        chunk.len()
    }

    /// Drops every entry that is not kept; answers how many those were.
    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) -> usize {
        let before = self.places.len();
        let Self { chunks, places, dirty, .. } = self;
        chunks.retain(|number, chunk| {
            let all = chunk.len();
            chunk.retain(|(id, value)| {
                let keeps = keep(value);
                if !keeps {
                    places.remove(id);
                }
                keeps
            });
            if chunk.len() < all {
                dirty.insert(*number);
            }
            !chunk.is_empty()
        });
        before - self.places.len()
    }

    /// Chunks that changed since the last call; `None` for one that is gone.
    pub(super) fn take_dirty(&mut self) -> Vec<(u64, Option<Vec<u8>>)> {
        let encoded = |chunk: &Vec<(u64, T)>| {
            let mut bytes = Vec::new();
            for (id, value) in chunk {
                bytes.extend(id.to_le_bytes());
                value.encode(&mut bytes);
            }
            bytes
        };
        let dirty = std::mem::take(&mut self.dirty).into_iter();
        dirty.map(|number| (number, self.chunks.get(&number).map(encoded))).collect()
    }

    /// Marks every chunk as gone, for the next checkpoint.
    pub(super) fn clear(&mut self) {
        self.dirty.extend(self.chunks.keys());
        self.chunks.clear();
        self.places.clear();
    }

    /// Takes a chunk up from a checkpoint; `None` if it is damaged.
    pub(super) fn restore(&mut self, number: u64, mut bytes: &[u8]) -> Option<()> {
        let mut chunk = Vec::new();
        while !bytes.is_empty() {
            let id = u64::from_le_bytes(take(&mut bytes)?);
            chunk.push((id, T::decode(&mut bytes)?));
        }
        self.places.extend(chunk.iter().map(|(id, _)| (*id, number)));
        self.next = self.next.max(number + 1);
        self.chunks.insert(number, chunk);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Coded for u64 {
        fn encode(&self, bytes: &mut Vec<u8>) {
            bytes.extend(self.to_le_bytes());
        }

        fn decode(bytes: &mut &[u8]) -> Option<Self> {
            take(bytes).map(Self::from_le_bytes)
        }
    }

    /// What the state file holds after these checkpoints.
    fn write(stored: &mut BTreeMap<u64, Vec<u8>>, chunks: &mut Chunks<u64>) {
        for (number, bytes) in chunks.take_dirty() {
            match bytes {
                Some(bytes) => stored.insert(number, bytes),
                None => stored.remove(&number),
            };
        }
    }

    fn read(stored: &BTreeMap<u64, Vec<u8>>) -> Chunks<u64> {
        let mut chunks = Chunks::default();
        for (number, bytes) in stored {
            chunks.restore(*number, bytes).expect("its own bytes");
        }
        chunks
    }

    proptest! {
        /// J-1: what the checkpoints hold is what waits, after any inserts, takes and drops.
        #[test]
        fn checkpoints_hold_what_waits(steps in proptest::collection::vec((0..10_u8, 0..900_u64), 1..600)) {
            let (mut chunks, mut stored) = (Chunks::default(), BTreeMap::new());
            for (step, id) in steps {
                match step {
                    0..=5 => chunks.insert(id, id * 3),
                    6..=7 => prop_assert_eq!(chunks.take(id).is_none_or(|value| value == id * 3), true),
                    8 => _ = chunks.retain(|value| value % 7 != 0),
                    _ => {
                        write(&mut stored, &mut chunks);
                        prop_assert_eq!(&read(&stored).chunks, &chunks.chunks);
                        prop_assert_eq!(&read(&stored).places, &chunks.places);
                    }
                }
                prop_assert_eq!(chunks.len(), chunks.chunks.values().map(Vec::len).sum::<usize>());
            }
        }
    }

    #[test]
    fn the_oldest_leave_first_and_a_cut_chunk_is_refused() {
        let mut chunks = Chunks::default();
        (0..300_u64).for_each(|id| chunks.insert(id, id));
        assert_eq!(chunks.drop_oldest(), CHUNK);
        assert!(!chunks.contains(0) && chunks.contains(CHUNK as u64));
        assert_eq!(chunks.take_dirty().len(), 3);
        assert!(Chunks::<u64>::default().restore(0, &[1; 17]).is_none());
    }
}
