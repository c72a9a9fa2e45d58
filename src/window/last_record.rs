//! What is kept of the last record of a partition, so that its log is known again: a hash, or what goes into it.
//!
//! Only checkpoints need the hash, so of most records nothing but the ends are copied, and no hash is ever made.

use crate::event::Record;

/// Bytes of each end that tell records apart.
const END: usize = 64;

/// The last record that was passed.
#[derive(Debug, Clone, Default)]
pub enum LastRecord {
    /// There is none, or nothing is known of it.
    #[default]
    Unknown,
    /// Its hash, as [`record_hash`] makes it.
    Hash(u64),
    /// What goes into its hash.
    Ends(Ends),
}

/// What goes into the hash of a record: length, timestamp, both ends of its value.
#[derive(Debug, Clone)]
pub struct Ends {
    first: [u8; END],
    last: [u8; END],
    bytes: usize,
    timestamp: i64,
}

impl LastRecord {
    /// Keeps what goes into the hash of this record.
    #[inline]
    pub(super) fn keep(&mut self, record: &Record<'_>) {
        let payload = record.payload.unwrap_or_default();
        // Written over the ends of the record before, where they stand.
        if let (Self::Ends(ends), Some(first), Some(last)) =
            (&mut *self, payload.first_chunk(), payload.last_chunk())
        {
            (ends.first, ends.last) = (*first, *last);
            (ends.bytes, ends.timestamp) = (payload.len(), record.timestamp.unwrap_or(-1));
        } else {
            *self = Self::Ends(Ends::of(record));
        }
    }

    /// The hash, if anything is known.
    #[must_use]
    pub fn hash(&self) -> Option<u64> {
        match self {
            Self::Unknown => None,
            Self::Hash(hash) => Some(*hash),
            Self::Ends(ends) => Some(ends.hash()),
        }
    }
}

impl From<Option<u64>> for LastRecord {
    fn from(hash: Option<u64>) -> Self {
        hash.map_or(Self::Unknown, Self::Hash)
    }
}

impl Ends {
    /// The ends of a record.
    #[must_use]
    pub fn of(record: &Record<'_>) -> Self {
        let payload = record.payload.unwrap_or_default();
        let (first, last) = match (payload.first_chunk(), payload.last_chunk()) {
            (Some(first), Some(last)) => (*first, *last),
            // A value that is shorter than an end is both.
            _ => {
                let mut all = [0; END];
                all[..payload.len()].copy_from_slice(payload);
                (all, all)
            }
        };
        Self { first, last, bytes: payload.len(), timestamp: record.timestamp.unwrap_or(-1) }
    }

    /// FNV-1a by words.
    fn hash(&self) -> u64 {
        let len = self.bytes.min(END);
        let words = |end: &[u8; END]| {
            let (words, _) = end.as_chunks::<8>();
            let words: [u64; END / 8] = std::array::from_fn(|at| u64::from_le_bytes(words[at]));
            words.into_iter().take(len.div_ceil(8))
        };
        let ends = words(&self.first).chain(words(&self.last));
        ends.chain([self.timestamp.cast_unsigned(), self.bytes as u64])
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
                (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
            })
    }
}

/// A hash that tells records apart without reading all of a large one: length, timestamp, both ends (FNV-1a by words).
#[must_use]
pub fn record_hash(record: &Record<'_>) -> u64 {
    Ends::of(record).hash()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash as state files of earlier versions hold it.
    fn as_before(record: &Record<'_>) -> u64 {
        let payload = record.payload.unwrap_or_default();
        let (head, tail) = (&payload[..payload.len().min(64)], &payload[payload.len().saturating_sub(64)..]);
        let word = |bytes: &[u8]| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(word)
        };
        let ends = head.chunks(8).chain(tail.chunks(8)).map(word);
        let words = ends.chain([record.timestamp.unwrap_or(-1).cast_unsigned(), payload.len() as u64]);
        words.fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
            (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
        })
    }

    #[test]
    fn a_state_file_of_an_earlier_version_knows_its_records_again() {
        let bytes: Vec<u8> = (0..200_u8).map(|i| i.wrapping_mul(37)).collect();
        for len in 0..200 {
            let record = Record {
                topic: "t",
                partition: 0,
                offset: 0,
                timestamp: Some(1_700_000_000_000 + len as i64).filter(|_| len % 3 > 0),
                appended_at: None,
                key: None,
                headers: &[],
                payload: Some(&bytes[..len]).filter(|_| len > 0),
            };
            assert_eq!(record_hash(&record), as_before(&record), "{len} bytes");
        }
    }
}
