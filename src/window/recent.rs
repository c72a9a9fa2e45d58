//! Versions that were met lately, found by the bytes of their names: what nearly every event asks for. Whoever finds one
//! here compares its names; what is not found is looked up by its texts.

/// Sets of places; a power of two.
const SETS: usize = 1 << 12;
/// Places of a set, which lie in one line of the caches: as many versions as one process is meant for share the sets without
/// getting in one another's way.
const PLACES: usize = 8;
/// No version.
const NONE: u32 = u32::MAX;
/// An odd number without pattern: the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// The mark of a version's names and its index. Of more versions of one set than it has places the one that stands first
/// goes.
#[derive(Debug)]
pub(super) struct Recent(Box<[[(u32, u32); PLACES]]>);

impl Recent {
    /// Nothing was met yet.
    pub(super) fn new() -> Self {
        Self(vec![[(0, NONE); PLACES]; SETS].into_boxed_slice())
    }

    /// The version that was met last with names like these.
    #[inline]
    pub(super) fn get(&self, names: [&[u8]; 2]) -> Option<usize> {
        let (set, mark) = place(names);
        let mut found = NONE;
        for (known, version) in self.0.get(set)? {
            found = if *known == mark { *version } else { found };
        }
        (found != NONE).then_some(found as usize)
    }

    /// Notes that a version was met.
    pub(super) fn met(&mut self, names: [&[u8]; 2], version: usize) {
        let (set, mark) = place(names);
        let (Some(set), Ok(version)) = (self.0.get_mut(set), u32::try_from(version)) else { return };
        match set.iter_mut().find(|(known, version)| *known == mark && *version != NONE) {
            Some(known) => *known = (mark, version),
            None => {
                set.rotate_left(1);
                set[PLACES - 1] = (mark, version);
            }
        }
    }
}

/// The set to which names belong, and their mark in it: by both ends of each, and its length.
#[inline]
fn place(names: [&[u8]; 2]) -> (usize, u32) {
    let mixed = names.into_iter().fold(0, |mixed: u64, name| {
        let (first, last) = match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => (name.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)), 0),
        };
        [first, last, name.len() as u64]
            .into_iter()
            .fold(mixed, |mixed, word| (mixed ^ word).wrapping_mul(MIX).rotate_left(29))
    });
    let mixed = mixed.wrapping_mul(MIX);
    ((mixed >> 50) as usize % SETS, (mixed >> 16) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_numbered_models_hardly_ever_share_a_place() {
        let names: Vec<String> = (0..10_000).map(|number| format!("payments-{number:05}")).collect();
        let mut recent = Recent::new();
        for (index, name) in names.iter().enumerate() {
            recent.met([name.as_bytes(), b"1.0.0"], index);
        }
        let found = names.iter().enumerate();
        let kept =
            found.filter(|(index, name)| recent.get([name.as_bytes(), b"1.0.0"]) == Some(*index)).count();
        // 4,096 sets of 8 hold all but what 10,000 at random put beyond the eighth of a set.
        assert!(kept > 9_990, "{kept}");
    }

    #[test]
    fn versions_of_one_model_differ() {
        let mut recent = Recent::new();
        recent.met([b"fraud", b"1"], 0);
        recent.met([b"fraud", b"2"], 1);
        assert_eq!(recent.get([b"fraud", b"1"]), Some(0));
        assert_eq!(recent.get([b"fraud", b"2"]), Some(1));
        assert_eq!(recent.get([b"fraud", b"3"]), None);
    }
}
