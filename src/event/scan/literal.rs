//! A key as it stands in the bytes, compared by words instead of byte by byte.

/// Bytes of a key that are compared as words; what is longer is compared as a slice.
const WORDS: usize = 4;
const BYTES: usize = WORDS * 8;

/// How keys stand in the bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::event) enum Form {
    /// `"name":`
    #[default]
    Json,
    /// The length of the name, then the name.
    Avro,
}

impl Form {
    /// What stands before a name and behind it.
    fn around(self, name: &str) -> (Vec<u8>, &'static [u8]) {
        match self {
            Self::Json => (vec![b'"'], b"\":"),
            Self::Avro => {
                let mut rest = name.len() << 1;
                let mut length = Vec::new();
                while rest > 0x7f {
                    length.push(rest as u8 | 0x80);
                    rest >>= 7;
                }
                length.push(rest as u8);
                (length, b"")
            }
        }
    }

    /// Whether a name can be compared as bytes. In JSON others must never become a [`Literal`]: compared with broken JSON
    /// it could agree.
    pub(super) fn can_hold(self, name: &str) -> bool {
        self == Self::Avro || stands_as_it_is(name)
    }
}

/// A key in one of the forms.
#[derive(Debug, Clone)]
pub(super) struct Literal {
    words: [u64; WORDS],
    masks: [u64; WORDS],
    text: Box<[u8]>,
    /// Bytes before the name and behind it.
    around: (u8, u8),
}

impl Literal {
    /// The key of a name that the form [can hold](Form::can_hold).
    pub(super) fn new(name: &str, form: Form) -> Self {
        debug_assert!(form.can_hold(name));
        let (before, behind) = form.around(name);
        let around = (before.len() as u8, behind.len() as u8);
        let text = [&before, name.as_bytes(), behind].concat().into_boxed_slice();
        let (mut bytes, mut mask) = ([0; BYTES], [0; BYTES]);
        for (i, byte) in text.iter().take(BYTES).enumerate() {
            (bytes[i], mask[i]) = (*byte, u8::MAX);
        }
        Self { words: words(&bytes), masks: words(&mask), text, around }
    }

    /// Bytes of the key.
    #[inline(always)]
    pub(super) const fn len(&self) -> usize {
        self.text.len()
    }

    /// The name alone.
    pub(super) fn name(&self) -> &[u8] {
        let (before, behind) = (usize::from(self.around.0), usize::from(self.around.1));
        self.text.get(before..self.text.len() - behind).unwrap_or_default()
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

/// Whether a name is written in JSON without an escape.
fn stands_as_it_is(name: &str) -> bool {
    !name.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
}

#[inline(always)]
fn words(bytes: &[u8; BYTES]) -> [u64; WORDS] {
    let (chunks, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|word| u64::from_le_bytes(chunks[word]))
}
