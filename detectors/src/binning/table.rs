//! From the text of a category to its cell: an open hash table over bytes, without a copy of the texts.
//!
//! Here live the table and its hash. Whose cell it is and what is unseen is the binning's to say. The hash is fast and
//! known to everybody: the table holds nothing but the categories of a baseline, at most every second place is taken, and
//! a text that is not among them changes nothing, so nobody who only sends events can make it slow.

/// A place without a category.
const EMPTY: u32 = u32::MAX;
/// An odd number without pattern: the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// One place: both ends of a category with its length, and its cell. Up to sixteen bytes they are the whole text, so that
/// most categories are told without looking at their text.
#[derive(Debug, Clone, Copy)]
struct Place {
    ends: Ends,
    cell: u32,
}

/// Both ends of a text, overlapping where it is short, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    first: u64,
    last: u64,
    len: u32,
}

/// Bytes of a text that its ends tell whole.
const WHOLE: u32 = 16;

/// The cells of a list of categories, which is handed in with every call.
#[derive(Debug, Clone, Default)]
pub(super) struct Table(Box<[Place]>);

impl Table {
    /// The table of these categories, or the index of the first that stands there twice. There are at most
    /// [`super::MAX_POINTS`].
    pub(super) fn new(categories: &[String]) -> Result<Self, usize> {
        let places = (2 * categories.len()).next_power_of_two().max(2);
        let empty = Place { ends: Ends::of(b""), cell: EMPTY };
        let mut table = Self(vec![empty; places].into_boxed_slice());
        for (cell, category) in (0..).zip(categories) {
            let ends = Ends::of(category.as_bytes());
            let (free, found) = table.seek(categories, category.as_bytes(), ends);
            if found.is_some() {
                return Err(cell as usize);
            }
            table.0[free] = Place { ends, cell };
        }
        Ok(table)
    }

    /// Cell of a category; `None` for any other text.
    #[inline]
    pub(super) fn find(&self, categories: &[String], text: &[u8]) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        self.seek(categories, text, Ends::of(text)).1
    }

    /// The place where a text belongs, and its cell if it is there. Some place is always free, so this ends.
    #[inline]
    fn seek(&self, categories: &[String], text: &[u8], ends: Ends) -> (usize, Option<usize>) {
        let last = self.0.len() - 1;
        let mut at = hash(text, ends) as usize & last;
        loop {
            let Place { ends: known, cell } = self.0[at];
            if cell == EMPTY {
                return (at, None);
            }
            let is_same = || categories.get(cell as usize).is_some_and(|known| known.as_bytes() == text);
            if known == ends && (ends.len <= WHOLE || is_same()) {
                return (at, Some(cell as usize));
            }
            at = (at + 1) & last;
        }
    }
}

impl Ends {
    #[inline]
    fn of(bytes: &[u8]) -> Self {
        // No text of an event is that long; those that are share the length and are compared.
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let (first, last) = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (bytes.first_chunk(), bytes.last_chunk()) {
                (Some(first), Some(last)) => {
                    (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
                }
                _ => bytes.iter().fold((0, 0), |(word, _), byte| (word << 8 | u64::from(*byte), 0)),
            },
        };
        Self { first, last, len }
    }
}

/// A hash of bytes by words.
#[inline]
fn hash(bytes: &[u8], Ends { first, last, len }: Ends) -> u64 {
    let mix = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(MIX);
        product as u64 ^ (product >> 64) as u64
    };
    let seed = MIX ^ u64::from(len);
    let seed = if len > WHOLE {
        let middle = bytes.get(8..bytes.len().saturating_sub(8)).unwrap_or_default();
        middle.chunks(8).fold(seed, |hash, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(hash, u64::from_le_bytes(word))
        })
    } else {
        seed
    };
    mix(mix(seed, first), last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_category_is_found_at_its_place_and_nothing_else_is(
            categories in proptest::collection::btree_set(".{0,24}", 0..60),
            others in proptest::collection::vec(".{0,24}", 0..20),
        ) {
            let categories: Vec<String> = categories.into_iter().collect();
            let table = Table::new(&categories).expect("distinct");
            for text in categories.iter().chain(&others) {
                let place = categories.iter().position(|category| category == text);
                prop_assert_eq!(table.find(&categories, text.as_bytes()), place, "{:?}", text);
            }
        }
    }

    #[test]
    fn a_category_listed_twice_is_named() {
        let categories = ["a", "b", "a"].map(str::to_owned);
        assert_eq!(Table::new(&categories).expect_err("twice"), 2);
    }

    #[test]
    fn texts_of_any_length_differ_in_their_hash() {
        let texts: Vec<String> = (0..40).map(|len| "x".repeat(len)).collect();
        let hashes: std::collections::BTreeSet<u64> =
            texts.iter().map(|text| hash(text.as_bytes(), Ends::of(text.as_bytes()))).collect();
        assert_eq!(hashes.len(), texts.len());
    }
}
