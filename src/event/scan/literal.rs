//! A key as it stands in the bytes, quotes and colon included, compared by words instead of byte by byte.

/// Bytes of a key that are compared as words; what is longer is compared as a slice.
const WORDS: usize = 4;
const BYTES: usize = WORDS * 8;

/// `"name":`
#[derive(Debug, Clone)]
pub(super) struct Literal {
    words: [u64; WORDS],
    masks: [u64; WORDS],
    text: Box<[u8]>,
}

impl Literal {
    /// The key of a name that [stands as it is](stands_as_it_is) in JSON.
    pub(super) fn new(name: &str) -> Self {
        debug_assert!(stands_as_it_is(name));
        let text = format!("\"{name}\":").into_bytes().into_boxed_slice();
        let (mut bytes, mut mask) = ([0; BYTES], [0; BYTES]);
        for (i, byte) in text.iter().take(BYTES).enumerate() {
            (bytes[i], mask[i]) = (*byte, u8::MAX);
        }
        Self { words: words(&bytes), masks: words(&mask), text }
    }

    /// Bytes of the key.
    #[inline(always)]
    pub(super) const fn len(&self) -> usize {
        self.text.len()
    }

    /// The name without quotes and colon.
    pub(super) fn name(&self) -> &[u8] {
        self.text.get(1..self.text.len() - 2).unwrap_or_default()
    }

    /// Whether a key whose first bytes are these may be this one.
    #[inline(always)]
    pub(super) const fn may_begin(&self, begin: u64) -> bool {
        (begin ^ self.words[0]) & self.masks[0] == 0
    }

    /// Whether the payload has this key here.
    #[inline(always)]
    pub(super) fn stands_at(&self, payload: &[u8], at: usize) -> bool {
        let Some(rest) = payload.get(at..) else { return false };
        let Some(window) = rest.first_chunk::<BYTES>() else { return rest.starts_with(&self.text) };
        let found = words(window);
        let differs = (0..WORDS).fold(0, |differs, i| differs | ((found[i] ^ self.words[i]) & self.masks[i]));
        differs == 0 && (self.text.len() <= BYTES || rest.starts_with(&self.text))
    }
}

/// Whether a name is written in JSON without an escape. Others must never become a [`Literal`]: compared with broken
/// JSON it could agree.
pub(super) fn stands_as_it_is(name: &str) -> bool {
    !name.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
}

#[inline(always)]
fn words(bytes: &[u8; BYTES]) -> [u64; WORDS] {
    let (chunks, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|word| u64::from_le_bytes(chunks[word]))
}
