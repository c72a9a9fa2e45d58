//! Versions that were met lately, found by the bytes of their names: what nearly every event asks for. Whoever finds one
//! here compares its names; what is not found is looked up by its texts.

/// Places; a power of two. As many versions as one process is meant for share them without getting in one another's way
/// too often.
const PLACES: usize = 1 << 14;
/// No version.
const NONE: u32 = u32::MAX;
/// An odd number without pattern: the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Index of the version that was met last at each place. Two versions of one place take turns in it.
#[derive(Debug)]
pub(super) struct Recent(Box<[u32]>);

impl Recent {
    /// Nothing was met yet.
    pub(super) fn new() -> Self {
        Self(vec![NONE; PLACES].into_boxed_slice())
    }

    /// The version that was met last with names like these.
    #[inline]
    pub(super) fn get(&self, names: [&[u8]; 2]) -> Option<usize> {
        self.0.get(place(names)).filter(|index| **index != NONE).map(|index| *index as usize)
    }

    /// Notes that a version was met.
    #[inline]
    pub(super) fn met(&mut self, names: [&[u8]; 2], version: usize) {
        if let (Some(place), Ok(version)) = (self.0.get_mut(place(names)), u32::try_from(version)) {
            *place = version;
        }
    }
}

/// Where names belong: by both ends of each, and its length.
#[inline]
fn place(names: [&[u8]; 2]) -> usize {
    let mixed = names.into_iter().fold(0, |mixed: u64, name| {
        let (first, last) = match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => (name.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)), 0),
        };
        [first, last, name.len() as u64]
            .into_iter()
            .fold(mixed, |mixed, word| (mixed ^ word).wrapping_mul(MIX).rotate_left(29))
    });
    (mixed.wrapping_mul(MIX) >> 50) as usize & (PLACES - 1)
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
        // 16,384 places, taken at random by 10,000, hold the last of each: 7,484 are to be expected.
        assert!(kept > 7_000, "{kept}");
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
