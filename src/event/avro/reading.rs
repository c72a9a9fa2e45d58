//! A place in a record's bytes that moves over values as the schema says they stand there.

use super::schema::{Node, NodeId, Schema, Stretch};
use crate::event::scan::{Found, LANES, Span, not_ascii};
use crate::event::{Limits, Refusal};

/// Deepest walk, however much `events.max_depth` allows: each level is a call.
const MAX_NESTING: usize = 128;
/// Most bytes of a decimal that is read as a number: those of 128 bits.
const MAX_DECIMAL: usize = 16;

/// Reading has ended; [`Reading::refusal`] says why.
#[derive(Debug)]
pub(super) struct Stop;

/// One record that is being read.
#[derive(Debug)]
pub(super) struct Reading<'p> {
    payload: &'p [u8],
    at: usize,
    pub(super) schema: &'p Schema,
    /// Place of each symbol in the bytes.
    symbols: &'p [Span],
    max_depth: usize,
    pub(super) max_features: usize,
    refusal: Option<Refusal>,
}

impl<'p> Reading<'p> {
    pub(super) fn new(
        (payload, at): (&'p [u8], usize),
        (schema, symbols): (&'p Schema, &'p [Span]),
        limits: &Limits,
    ) -> Self {
        let max_depth = limits.max_depth.min(MAX_NESTING);
        Self { payload, at, schema, symbols, max_depth, max_features: limits.max_features, refusal: None }
    }

    pub(super) const fn payload(&self) -> &'p [u8] {
        self.payload
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) const fn move_on(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Why reading ended; `None` where it should be tried in another way.
    pub(super) fn refusal(self) -> Option<Refusal> {
        self.refusal
    }

    #[cold]
    pub(super) fn refuse(&mut self, refusal: Refusal) -> Stop {
        self.refusal = Some(refusal);
        Stop
    }

    #[cold]
    pub(super) fn broken(&mut self, problem: &'static str) -> Stop {
        let at = self.at.min(self.payload.len());
        self.refuse(Refusal::NotAvro { at, problem })
    }

    /// Whether all was read.
    pub(super) fn end(&mut self) -> Result<(), Stop> {
        if self.at == self.payload.len() {
            return Ok(());
        }
        Err(self.broken("bytes are left behind the event"))
    }

    /// An `int` or `long`.
    #[inline(always)]
    pub(super) fn long(&mut self) -> Result<i64, Stop> {
        match self.payload.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(zigzag(u64::from(*byte)))
            }
            _ => self.longer(),
        }
    }

    #[inline(never)]
    fn longer(&mut self) -> Result<i64, Stop> {
        let rest = self.payload.get(self.at..).unwrap_or_default();
        let mut bits = 0_u64;
        for (place, byte) in rest.iter().enumerate().take(10) {
            if place == 9 && *byte > 1 {
                break;
            }
            bits |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                self.at += place + 1;
                return Ok(zigzag(bits));
            }
        }
        Err(self.broken(if rest.len() < 10 {
            "it ends within a number"
        } else {
            "a number of more than 64 bits"
        }))
    }

    fn int(&mut self) -> Result<i64, Stop> {
        let number = self.long()?;
        if i32::try_from(number).is_err() {
            return Err(self.broken("an int of more than 32 bits"));
        }
        Ok(number)
    }

    #[inline(always)]
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        match self.payload.get(self.at..).and_then(|rest| rest.first_chunk()) {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(self.broken("it ends within a number")),
        }
    }

    fn pass(&mut self, length: usize) -> Result<usize, Stop> {
        if length > self.payload.len() - self.at.min(self.payload.len()) {
            return Err(self.broken("a length goes beyond the end"));
        }
        let start = self.at;
        self.at += length;
        Ok(start)
    }

    /// Passes a text or bytes by the length before them, and returns where they begin.
    #[inline(always)]
    fn sized(&mut self) -> Result<usize, Stop> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) => self.pass(length),
            Err(_) => Err(self.broken("a negative length")),
        }
    }

    #[inline(always)]
    pub(super) fn text(&mut self) -> Result<Span, Stop> {
        let start = self.sized()?;
        if !is_text(self.payload, start, self.at) {
            return Err(self.broken("a text is not UTF-8"));
        }
        Ok(Span::new(start, self.at))
    }

    /// Which of so many branches a union has here.
    #[inline(always)]
    fn branch(&mut self, of: u32) -> Result<u32, Stop> {
        let branch = self.long()?;
        match u32::try_from(branch) {
            Ok(branch) if branch < of => Ok(branch),
            _ => Err(self.broken("a branch that the union does not have")),
        }
    }

    /// The type that stands here, where the schema leaves a choice.
    #[inline]
    pub(super) fn chosen(&mut self, id: NodeId) -> Result<(NodeId, Node), Stop> {
        let chosen = match self.schema.node(id) {
            Node::Nullable { null, other } => {
                if self.branch(2)? == u32::from(null) {
                    return Ok((id, Node::Null));
                }
                other
            }
            Node::Union(branches) => {
                let branch = self.branch(branches.len)?;
                self.schema.children(branches).get(branch as usize).map_or(id, |child| child.node)
            }
            node => return Ok((id, node)),
        };
        Ok((chosen, self.schema.node(chosen)))
    }

    /// Reads a value that stands so deep, the event itself being 0. What is nested is walked only to know that it is
    /// well formed.
    ///
    /// It is written where it belongs: handed back, it would be copied right behind being written in parts, for which
    /// processors wait.
    #[inline(always)]
    pub(super) fn value(&mut self, id: NodeId, depth: usize, found: &mut Found) -> Result<(), Stop> {
        match self.schema.node(id) {
            Node::Nullable { null, other } => {
                if self.branch(2)? == u32::from(null) {
                    *found = Found::Missing;
                    return Ok(());
                }
                self.plain(other, depth, found)
            }
            Node::Union(_) => {
                let (chosen, _) = self.chosen(id)?;
                self.plain(chosen, depth, found)
            }
            _ => self.plain(id, depth, found),
        }
    }

    /// A value of a type without a choice.
    #[inline(always)]
    pub(super) fn plain(&mut self, id: NodeId, depth: usize, found: &mut Found) -> Result<(), Stop> {
        match self.schema.node(id) {
            Node::Double => *found = Found::Number(f64::from_le_bytes(self.bytes()?)),
            Node::Text => *found = Found::Text(self.text()?),
            Node::Long | Node::Time(_) => *found = Found::Number(self.long()? as f64),
            Node::Enum(symbols) => *found = Found::Text(self.symbol(symbols)?),
            node => self.other(id, node, depth, found)?,
        }
        Ok(())
    }

    #[inline(never)]
    fn other(&mut self, id: NodeId, node: Node, depth: usize, found: &mut Found) -> Result<(), Stop> {
        *found = match node {
            Node::Float => Found::Number(f64::from(f32::from_le_bytes(self.bytes()?))),
            Node::Int => Found::Number(self.int()? as f64),
            Node::Null => Found::Missing,
            Node::Boolean => match self.bytes()? {
                [0] => Found::Bool(false),
                [1] => Found::Bool(true),
                [_] => return Err(self.broken("a boolean that is neither 0 nor 1")),
            },
            Node::Decimal { size, scale } => self.decimal(size, scale)?,
            _ => {
                self.skip(id, depth)?;
                Found::Nested
            }
        };
        Ok(())
    }

    fn symbol(&mut self, symbols: Stretch) -> Result<Span, Stop> {
        let place = self.int()?;
        let known = u32::try_from(place).ok().filter(|place| *place < symbols.len);
        match known.and_then(|place| self.symbols.get((symbols.start + place) as usize)) {
            Some(span) => Ok(*span),
            None => Err(self.broken("a symbol that the enum does not have")),
        }
    }

    #[inline(never)]
    fn decimal(&mut self, size: Option<u32>, scale: u32) -> Result<Found, Stop> {
        let start = match size {
            Some(size) => self.pass(size as usize)?,
            None => self.sized()?,
        };
        let digits = self.payload.get(start..self.at).unwrap_or_default();
        if digits.len() > MAX_DECIMAL {
            return Ok(Found::Nested);
        }
        let negative = digits.first().is_some_and(|first| first & 0x80 != 0);
        let begin = if negative { -1_i128 } else { 0 };
        let unscaled = digits.iter().fold(begin, |number, byte| (number << 8) | i128::from(*byte));
        Ok(Found::Number(scaled(unscaled, scale)))
    }

    /// Items of the next stretch of an array or map; 0 at its end.
    pub(super) fn block(&mut self) -> Result<u64, Stop> {
        let count = self.long()?;
        if count < 0 && self.long()? < 0 {
            return Err(self.broken("a block of negative length"));
        }
        Ok(count.unsigned_abs())
    }

    /// One level deeper than this.
    fn deeper(&mut self, depth: usize, levels: u32) -> Result<usize, Stop> {
        let deeper = depth + levels as usize;
        if deeper > self.max_depth {
            return Err(self.refuse(Refusal::TooDeep { limit: self.max_depth }));
        }
        Ok(deeper)
    }

    /// Passes a value of any type.
    pub(super) fn skip(&mut self, id: NodeId, depth: usize) -> Result<(), Stop> {
        if let Some(levels) = self.schema.empty.get(id as usize).copied().flatten() {
            return self.deeper(depth, levels).map(|_| ());
        }
        match self.schema.node(id) {
            Node::Nullable { null, other } => {
                if self.branch(2)? == u32::from(null) {
                    return Ok(());
                }
                self.skip(other, depth)
            }
            Node::Union(_) => {
                let (chosen, _) = self.chosen(id)?;
                self.skip(chosen, depth)
            }
            Node::Bytes | Node::Decimal { size: None, .. } => self.sized().map(|_| ()),
            Node::Fixed(size) | Node::Decimal { size: Some(size), .. } => {
                self.pass(size as usize).map(|_| ())
            }
            Node::Record(_) => {
                let (solid, hollow) = self.schema.solid.get(id as usize).copied().unwrap_or_default();
                let inner = self.deeper(depth, 1)?;
                self.deeper(inner, hollow)?;
                let schema = self.schema;
                let fields = schema.solid_children.get(solid.range()).unwrap_or_default();
                fields.iter().try_for_each(|field| self.skip(*field, inner))
            }
            Node::Array(items) => {
                let inner = self.deeper(depth, 1)?;
                self.skip_blocks(items, inner, false)
            }
            Node::Map(values) => self.skip_blocks(values, depth + 1, true),
            _ => self.plain(id, depth, &mut Found::Absent),
        }
    }

    fn skip_blocks(&mut self, item: NodeId, depth: usize, has_keys: bool) -> Result<(), Stop> {
        let takes_bytes = has_keys || self.schema.empty.get(item as usize).copied().flatten().is_none();
        loop {
            let count = self.block()?;
            if count == 0 {
                return Ok(());
            }
            self.deeper(depth, 0)?;
            // So many of what takes no bytes are as well formed as one.
            for _ in 0..if takes_bytes { count } else { 1 } {
                if has_keys {
                    self.text()?;
                }
                self.skip(item, depth)?;
            }
        }
    }
}

const fn zigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

/// Whether these bytes are UTF-8. Short and plain ones are seen at once.
#[inline(always)]
fn is_text(payload: &[u8], start: usize, end: usize) -> bool {
    let length = end - start;
    if length <= LANES
        && let Some(window) = payload.get(start..).and_then(|rest| rest.first_chunk::<LANES>())
        && not_ascii(window) & ((1 << length) - 1) == 0
    {
        return true;
    }
    let Some(bytes) = payload.get(start..end) else { return false };
    // Identities are longer, and plain all the same; the last window reaches back over what the others left.
    let plain = |window: &[u8; LANES]| not_ascii(window) == 0;
    let (windows, _) = bytes.as_chunks::<LANES>();
    if bytes.last_chunk().is_some_and(plain) && windows.iter().all(plain) {
        return true;
    }
    std::str::from_utf8(bytes).is_ok()
}

/// A decimal as the nearest number.
fn scaled(unscaled: i128, scale: u32) -> f64 {
    const EXACT: i128 = 1 << 53;
    // Both are exact here, so their quotient is the nearest number.
    if unscaled.abs() <= EXACT && scale <= 22 {
        return unscaled as f64 / 10_f64.powi(scale as i32);
    }
    let mut text = [0_u8; 64];
    let mut rest = text.as_mut_slice();
    let written = std::io::Write::write_fmt(&mut rest, format_args!("{unscaled}e-{scale}"));
    let unwritten = rest.len();
    let text = std::str::from_utf8(text.get(..64 - unwritten).unwrap_or_default());
    let number = text.ok().filter(|_| written.is_ok()).and_then(|text| text.parse().ok());
    number.unwrap_or(unscaled as f64 / 10_f64.powi(scale as i32))
}

#[cfg(test)]
mod tests {
    use super::is_text;

    #[test]
    fn texts_of_any_length_are_told_from_bytes_that_are_none() {
        for length in 0..70 {
            let plain = vec![b'a'; length + 20];
            assert!(is_text(&plain, 3, 3 + length));
            for place in 0..length {
                let mut bytes = plain.clone();
                bytes[3 + place] = 0xff;
                assert!(!is_text(&bytes, 3, 3 + length), "{length} {place}");
                let ends_it = is_text(&bytes, 3, 3 + place) && is_text(&bytes, 4 + place, 3 + length);
                assert!(ends_it, "{length} {place}: what stands around the text does not count");
                if place + 1 < length {
                    bytes[3 + place..5 + place].copy_from_slice("ß".as_bytes());
                    assert!(is_text(&bytes, 3, 3 + length), "{length} {place}");
                    assert!(!is_text(&bytes, 3, 4 + place), "{length} {place}: half a letter");
                }
            }
        }
        assert!(!is_text(b"abc", 2, 9), "beyond the end");
    }
}
