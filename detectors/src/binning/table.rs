//! From the text of a category to its cell: an open hash table over bytes, without a copy of the texts.
//!
//! Here live the table and its hash. Whose cell it is and what is unseen is the binning's to say. The hash is fast and
//! known to everybody: the table holds nothing but the categories of a baseline, at most every second place is taken, and
//! a text that is not among them changes nothing, so nobody who only sends events can make it slow.

/// A place without a category.
const EMPTY: u32 = u32::MAX;
/// An odd number without pattern: the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// One place: part of the hash, which spares most comparisons, and the cell.
#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u32,
    cell: u32,
}

/// The cells of a list of categories, which is handed in with every call.
#[derive(Debug, Clone, Default)]
pub(super) struct Table(Box<[Place]>);

impl Table {
    /// The table of these categories, or the index of the first that stands there twice. There are at most
    /// [`super::MAX_POINTS`].
    pub(super) fn new(categories: &[String]) -> Result<Self, usize> {
        let places = (2 * categories.len()).next_power_of_two().max(2);
        let mut table = Self(vec![Place { hash: 0, cell: EMPTY }; places].into_boxed_slice());
        for (cell, category) in (0..).zip(categories) {
            let hash = hash(category.as_bytes());
            let (free, found) = table.seek(categories, category.as_bytes(), hash);
            if found.is_some() {
                return Err(cell as usize);
            }
            table.0[free] = Place { hash: (hash >> 32) as u32, cell };
        }
        Ok(table)
    }

    /// Cell of a category; `None` for any other text.
    #[inline]
    pub(super) fn find(&self, categories: &[String], text: &[u8]) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        self.seek(categories, text, hash(text)).1
    }

    /// The place where a text belongs, and its cell if it is there. Some place is always free, so this ends.
    #[inline]
    fn seek(&self, categories: &[String], text: &[u8], hash: u64) -> (usize, Option<usize>) {
        let last = self.0.len() - 1;
        let mut at = hash as usize & last;
        loop {
            let Place { hash: known, cell } = self.0[at];
            if cell == EMPTY {
                return (at, None);
            }
            let cell = cell as usize;
            if known == (hash >> 32) as u32
                && categories.get(cell).is_some_and(|category| same(category.as_bytes(), text))
            {
                return (at, Some(cell));
            }
            at = (at + 1) & last;
        }
    }
}

/// Whether two texts are the same; those of at most sixteen bytes, as most are, without a call.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        0..4 => a.iter().zip(b).all(|(a, b)| a == b),
        4..8 => a.first_chunk::<4>() == b.first_chunk::<4>() && a.last_chunk::<4>() == b.last_chunk::<4>(),
        8..=16 => a.first_chunk::<8>() == b.first_chunk::<8>() && a.last_chunk::<8>() == b.last_chunk::<8>(),
        _ => a == b,
    }
}

/// A hash of bytes by words, both ends of short ones overlapping.
#[inline]
fn hash(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(MIX);
        product as u64 ^ (product >> 64) as u64
    };
    let seed = MIX ^ bytes.len() as u64;
    let (first, last) = match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => {
                (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
            }
            _ => bytes.iter().fold((0, 0), |(word, _), byte| (word << 8 | u64::from(*byte), 0)),
        },
    };
    let middle = bytes.get(8..bytes.len().saturating_sub(8)).unwrap_or_default();
    let seed = middle.chunks(8).fold(seed, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(hash, u64::from_le_bytes(word))
    });
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
            texts.iter().map(|text| hash(text.as_bytes())).collect();
        assert_eq!(hashes.len(), texts.len());
    }
}
