//! A sum over the content of a row, so that a damaged one is noticed when it is read.
//!
//! Words of eight bytes are mixed so that any change inside one word changes the sum; it guards against rot, not
//! against people.

use rusqlite::types::Type;

use crate::engine::{Position, SubjectNumber};
use crate::subject::Subject;

/// A sum in the making.
pub(super) struct Sum(u64);

impl Sum {
    /// Begins with the name of a table.
    pub(super) fn of(table: &str) -> Self {
        Self(0xcbf2_9ce4_8422_2325).bytes(table.as_bytes())
    }

    pub(super) fn word(self, word: u64) -> Self {
        Self((self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29))
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        words.fold(self.word(bytes.len() as u64), Self::word)
    }

    pub(super) fn number(self, number: i64) -> Self {
        self.word(number.cast_unsigned())
    }

    fn optional(self, number: Option<i64>) -> Self {
        match number {
            None => self.word(0),
            Some(number) => self.word(1).number(number),
        }
    }

    pub(super) fn end(self) -> i64 {
        self.0.cast_signed()
    }
}

/// Sum of a subject.
pub(super) fn of_subject(id: SubjectNumber, subject: &Subject) -> i64 {
    let named = Sum::of("subject").number(id.into()).bytes(subject.model.as_bytes());
    let versioned = named.bytes(subject.version.as_bytes());
    match &subject.segment {
        None => versioned.word(0),
        Some(segment) => versioned.word(1).bytes(segment.as_bytes()),
    }
    .end()
}

/// Sum of a pane.
pub(super) fn of_pane(subject: SubjectNumber, pane: i64, reference: &str, counts: &[u8]) -> i64 {
    let placed = Sum::of("pane").number(pane).number(subject.into());
    placed.bytes(reference.as_bytes()).bytes(counts).end()
}

/// Sum of a position.
pub(super) fn of_position(position: &Position) -> i64 {
    let placed = Sum::of("position").bytes(position.topic.as_bytes()).number(position.partition.into());
    let next = placed.number(position.next_offset).optional(position.max_event_time);
    next.optional(position.last_record_hash.map(u64::cast_signed)).end()
}

/// Sum of a document.
pub(super) fn of_document(name: &str, json: &str) -> i64 {
    Sum::of("document").bytes(name.as_bytes()).bytes(json.as_bytes()).end()
}

/// An error if a row is not what was written.
pub(super) fn check(stored: Option<i64>, computed: i64, what: &str) -> rusqlite::Result<()> {
    if stored.is_none_or(|stored| stored == computed) {
        return Ok(());
    }
    Err(damaged(what))
}

/// The error of a row that is not what was written.
pub(super) fn damaged(table: &str) -> rusqlite::Error {
    let told = format!("`{table}` is not what was written");
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, told.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn one_flipped_bit_anywhere_in_a_pane_changes_its_sum(
            counts in proptest::collection::vec(any::<u8>(), 1..80), bit in 0_usize..640, pane in any::<i64>(),
        ) {
            let reference = "a1".repeat(32);
            let mut damaged = counts.clone();
            let bit = bit % (counts.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            let sum = of_pane(7, pane, &reference, &counts);
            prop_assert_ne!(sum, of_pane(7, pane, &reference, &damaged));
            prop_assert_ne!(sum, of_pane(7, pane ^ (1 << (bit % 64)), &reference, &counts));
        }
    }

    #[test]
    fn what_stands_in_which_field_matters() {
        let named = |model: &str, segment: Option<&str>| Subject {
            model: model.into(),
            version: "1.0.0".into(),
            segment: segment.map(Into::into),
        };
        let sums =
            [named("m", None), named("m", Some("")), named("", Some("m"))].map(|one| of_subject(1, &one));
        assert!(sums[0] != sums[1] && sums[1] != sums[2] && sums[0] != sums[2]);
    }
}
