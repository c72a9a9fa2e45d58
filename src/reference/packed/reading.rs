//! From packed bytes back to the value.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{
    BELOW, BYTES, FALSE, FLOAT, KNOWN, LIST, MAP, NAME, NULL, PackedError, SMALL, TEXT, TRUE, WHOLE,
};

/// Lists and maps that may lie within one another.
const DEEPEST: u32 = 100;

/// Reads a value back.
///
/// # Errors
/// When the bytes are not those of such a value, or there are more of them.
pub(crate) fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, PackedError> {
    let mut reader = Reader { bytes, names: Vec::new(), depth: 0 };
    let value = T::deserialize(&mut reader)?;
    if reader.bytes.is_empty() { Ok(value) } else { Err(reader.malformed()) }
}

struct Reader<'de> {
    /// What was not read yet.
    bytes: &'de [u8],
    names: Vec<&'de str>,
    depth: u32,
}

impl<'de> Reader<'de> {
    fn malformed(&self) -> PackedError {
        PackedError::Malformed { left: self.bytes.len() }
    }

    fn byte(&mut self) -> Result<u8, PackedError> {
        let (first, rest) = self.bytes.split_first().ok_or(PackedError::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, PackedError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            let too_large = shift == 63 && byte > 1;
            if too_large {
                break;
            }
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed())
    }

    fn take(&mut self) -> Result<&'de [u8], PackedError> {
        let len = usize::try_from(self.number()?).map_err(|_| PackedError::Truncated)?;
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(PackedError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn text(&mut self) -> Result<&'de str, PackedError> {
        std::str::from_utf8(self.take()?).map_err(|_| self.malformed())
    }

    /// A name, given its tag.
    fn name(&mut self, tag: u8) -> Result<&'de str, PackedError> {
        if tag == NAME {
            let name = self.text()?;
            self.names.push(name);
            return Ok(name);
        }
        let place = usize::try_from(self.number()?).ok();
        place.and_then(|place| self.names.get(place).copied()).ok_or_else(|| self.malformed())
    }

    /// Elements of a list, or entries of a map: each takes so many bytes at least.
    fn len(&mut self, least: usize) -> Result<usize, PackedError> {
        let len = usize::try_from(self.number()?).ok();
        len.filter(|len| *len <= self.bytes.len() / least).ok_or(PackedError::Truncated)
    }

    /// What `visit` makes of these many elements or entries, all of which it has to take.
    fn inside<T>(
        &mut self,
        len: usize,
        visit: impl FnOnce(&mut Inside<'_, 'de>) -> Result<T, PackedError>,
    ) -> Result<T, PackedError> {
        if self.depth >= DEEPEST {
            return Err(PackedError::TooDeep);
        }
        self.depth += 1;
        let mut inside = Inside { reader: self, left: len };
        let value = visit(&mut inside)?;
        let left = inside.left;
        self.depth -= 1;
        if left == 0 { Ok(value) } else { Err(self.malformed()) }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = PackedError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackedError> {
        match self.byte()? {
            NULL => visitor.visit_unit(),
            FALSE => visitor.visit_bool(false),
            TRUE => visitor.visit_bool(true),
            WHOLE => visitor.visit_u64(self.number()?),
            BELOW => match i64::try_from(self.number()?) {
                Ok(complement) => visitor.visit_i64(!complement),
                Err(_) => Err(self.malformed()),
            },
            FLOAT => {
                let (bytes, rest) = self.bytes.split_first_chunk().ok_or(PackedError::Truncated)?;
                self.bytes = rest;
                let value = f64::from_le_bytes(*bytes);
                if value.is_finite() { visitor.visit_f64(value) } else { Err(PackedError::NotFinite) }
            }
            TEXT => visitor.visit_borrowed_str(self.text()?),
            tag @ (NAME | KNOWN) => visitor.visit_borrowed_str(self.name(tag)?),
            BYTES => visitor.visit_borrowed_bytes(self.take()?),
            LIST => {
                let len = self.len(1)?;
                self.inside(len, |inside| visitor.visit_seq(inside))
            }
            MAP => {
                let len = self.len(2)?;
                self.inside(len, |inside| visitor.visit_map(inside))
            }
            small @ SMALL.. => visitor.visit_u64(u64::from(small - SMALL)),
            _ => Err(self.malformed()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PackedError> {
        match self.bytes.split_first() {
            Some((&NULL, rest)) => {
                self.bytes = rest;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PackedError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PackedError> {
        match self.byte()? {
            MAP => match self.len(2)? {
                1 => self.inside(1, |inside| visitor.visit_enum(inside)),
                _ => Err(self.malformed()),
            },
            tag @ (NAME | KNOWN) => {
                let name = self.name(tag)?;
                visitor.visit_enum(BorrowedStrDeserializer::new(name))
            }
            TEXT => visitor.visit_enum(BorrowedStrDeserializer::new(self.text()?)),
            _ => Err(self.malformed()),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The elements of a list, or the entries of a map, that are still to come.
struct Inside<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for &mut Inside<'_, 'de> {
    type Error = PackedError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, PackedError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for &mut Inside<'_, 'de> {
    type Error = PackedError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, PackedError> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, PackedError> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> EnumAccess<'de> for &mut Inside<'_, 'de> {
    type Error = PackedError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), PackedError> {
        self.left = 0;
        let name = seed.deserialize(&mut *self.reader)?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Inside<'_, 'de> {
    type Error = PackedError;

    fn unit_variant(self) -> Result<(), PackedError> {
        Deserialize::deserialize(&mut *self.reader)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, PackedError> {
        seed.deserialize(&mut *self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, PackedError> {
        self.reader.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PackedError> {
        self.reader.deserialize_any(visitor)
    }
}
