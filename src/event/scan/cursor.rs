//! A place in the bytes that moves over blanks, keys, texts and values. Arrays and objects are walked in `nested.rs`.

use super::number;
use super::walk::Stop;
use super::{Found, Span};

/// Where the walk stands.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'p> {
    payload: &'p [u8],
    at: usize,
    /// Blanks behind a comma and behind a colon, as last seen: none, or one.
    gap: usize,
    /// Deepest nesting that may be walked.
    max_depth: usize,
}

/// Whether an object goes on behind a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// A comma was passed.
    Comma,
    /// The closing bracket was passed.
    End,
}

impl<'p> Cursor<'p> {
    /// At the first byte.
    pub(super) const fn new(payload: &'p [u8], gap: usize, max_depth: usize) -> Self {
        Self { payload, at: 0, gap, max_depth }
    }

    pub(super) const fn payload(&self) -> &'p [u8] {
        self.payload
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Moves on to a place that was read otherwise.
    pub(super) const fn move_to(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) const fn gap(&self) -> usize {
        self.gap
    }

    pub(super) const fn max_depth(&self) -> usize {
        self.max_depth
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.payload.get(self.at).copied()
    }

    /// Passes one byte.
    #[inline]
    pub(super) const fn step(&mut self) {
        self.at += 1;
    }

    /// Passes white space and returns how much there was.
    pub(super) fn skip_blanks(&mut self) -> usize {
        let begin = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.at - begin
    }

    /// The next byte that is no white space.
    #[inline]
    pub(super) fn peek_behind_blanks(&mut self) -> Option<u8> {
        match self.peek() {
            Some(byte) if byte > b' ' => Some(byte),
            _ => {
                self.skip_blanks();
                self.peek()
            }
        }
    }

    /// Passes this byte and white space before it.
    #[inline]
    pub(super) fn expect(&mut self, wanted: u8) -> Result<(), Stop> {
        if self.peek_behind_blanks() != Some(wanted) {
            return Err(Stop::Unusual);
        }
        self.at += 1;
        Ok(())
    }

    /// Passes a literal of this text.
    fn pass(&mut self, text: &[u8]) -> Result<(), Stop> {
        let rest = self.payload.get(self.at..).unwrap_or_default();
        if !rest.starts_with(text) {
            return Err(Stop::Unusual);
        }
        self.at += text.len();
        Ok(())
    }

    /// Passes the opening bracket of an object; `true` where it is closed at once.
    #[inline]
    pub(super) fn open(&mut self) -> Result<bool, Stop> {
        self.expect(b'{')?;
        if self.peek() == Some(b'"') {
            return Ok(false);
        }
        let empty = self.peek_behind_blanks() == Some(b'}');
        self.at += usize::from(empty);
        Ok(empty)
    }

    /// Passes what stands behind a value in an object.
    #[inline]
    pub(super) fn behind(&mut self) -> Result<Behind, Stop> {
        let behind = match self.peek_behind_blanks() {
            Some(b',') => Behind::Comma,
            Some(b'}') => Behind::End,
            _ => return Err(Stop::Unusual),
        };
        self.at += 1;
        Ok(behind)
    }

    /// Passes the blanks before a key; a single one behind a comma is expected again.
    pub(super) fn blanks_before_key(&mut self, is_first: bool) {
        let blanks = self.skip_blanks();
        if !is_first {
            self.gap = usize::from(blanks == 1);
        }
    }

    /// Passes any key with its colon and returns where its name stands.
    pub(super) fn any_key(&mut self) -> Result<Span, Stop> {
        if self.peek_behind_blanks() != Some(b'"') {
            return Err(Stop::Unusual);
        }
        let span = self.text()?;
        self.expect(b':')?;
        self.skip_blanks();
        Ok(span)
    }

    /// Passes a value at this depth, the event itself being 0.
    #[inline]
    pub(super) fn value(&mut self, depth: usize) -> Result<Found, Stop> {
        match self.peek_behind_blanks() {
            Some(b'"') => Ok(Found::Text(self.text()?)),
            Some(b'-' | b'0'..=b'9') => Ok(Found::Number(self.number()?)),
            other => self.other_value(other, depth),
        }
    }

    fn other_value(&mut self, first: Option<u8>, depth: usize) -> Result<Found, Stop> {
        match first {
            Some(b'n') => self.pass(b"null").map(|()| Found::Missing),
            Some(b't') => self.pass(b"true").map(|()| Found::Bool(true)),
            Some(b'f') => self.pass(b"false").map(|()| Found::Bool(false)),
            Some(b'{' | b'[') => self.skip_nested(depth).map(|()| Found::Nested),
            _ => Err(Stop::Unusual),
        }
    }

    /// Passes a number.
    fn number(&mut self) -> Result<f64, Stop> {
        let rest = self.payload.get(self.at..).unwrap_or_default();
        let (number, length) = number::any(rest).ok_or(Stop::Unusual)?;
        self.at += length;
        Ok(number)
    }

    /// Passes a text, from its opening quote on. Escapes are left to the strict decoder.
    fn text(&mut self) -> Result<Span, Stop> {
        let start = self.at + 1;
        let rest = self.payload.get(start..).unwrap_or_default();
        let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        let length = rest.iter().position(ends).ok_or(Stop::Unusual)?;
        let (text, behind) = rest.split_at(length);
        if behind.first() != Some(&b'"') || std::str::from_utf8(text).is_err() {
            return Err(Stop::Unusual);
        }
        self.at = start + length + 1;
        Ok(Span::new(start, start + length))
    }
}
