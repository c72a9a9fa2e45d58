//! From a value to its packed bytes.

use std::collections::HashMap;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{
    BELOW, BYTES, FALSE, FLOAT, KNOWN, LIST, MAP, NAME, NULL, PackedError, SMALL, TEXT, TRUE, WHOLE,
};

/// The packed bytes of a value.
///
/// # Errors
/// When a number is not finite, or the value cannot be described.
pub(crate) fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, PackedError> {
    let mut writer = Writer::default();
    value.serialize(&mut writer)?;
    Ok(writer.bytes)
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    /// Names that were written, and their numbers.
    names: HashMap<&'static str, u64>,
}

impl Writer {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7F) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn tagged(&mut self, tag: u8, value: u64) {
        self.bytes.push(tag);
        self.number(value);
    }

    fn text(&mut self, tag: u8, text: &[u8]) {
        self.tagged(tag, text.len() as u64);
        self.bytes.extend_from_slice(text);
    }

    fn name(&mut self, name: &'static str) {
        let next = self.names.len() as u64;
        match self.names.get(name).copied() {
            Some(known) => self.tagged(KNOWN, known),
            None => {
                self.names.insert(name, next);
                self.text(NAME, name.as_bytes());
            }
        }
    }

    /// The beginning of a variant that holds something: a map of one entry.
    fn variant(&mut self, name: &'static str) {
        self.tagged(MAP, 1);
        self.name(name);
    }
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = PackedError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn serialize_bool(self, value: bool) -> Result<(), PackedError> {
        self.bytes.push(if value { TRUE } else { FALSE });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), PackedError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), PackedError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), PackedError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), PackedError> {
        match u64::try_from(value) {
            Ok(value) => self.serialize_u64(value),
            Err(_) => {
                self.tagged(BELOW, !value.cast_unsigned());
                Ok(())
            }
        }
    }

    fn serialize_u8(self, value: u8) -> Result<(), PackedError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), PackedError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), PackedError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), PackedError> {
        match u8::try_from(value).ok().and_then(|value| value.checked_add(SMALL)) {
            Some(tag) => self.bytes.push(tag),
            None => self.tagged(WHOLE, value),
        }
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), PackedError> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), PackedError> {
        if !value.is_finite() {
            return Err(PackedError::NotFinite);
        }
        self.bytes.push(FLOAT);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), PackedError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), PackedError> {
        self.text(TEXT, value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), PackedError> {
        self.text(BYTES, value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), PackedError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), PackedError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), PackedError> {
        self.bytes.push(NULL);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), PackedError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), PackedError> {
        self.name(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), PackedError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), PackedError> {
        self.variant(variant);
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self, PackedError> {
        self.tagged(LIST, len.ok_or(PackedError::NoLength)? as u64);
        Ok(self)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self, PackedError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Self, PackedError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self, PackedError> {
        self.variant(variant);
        self.serialize_seq(Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self, PackedError> {
        self.tagged(MAP, len.ok_or(PackedError::NoLength)? as u64);
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Self, PackedError> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self, PackedError> {
        self.variant(variant);
        self.serialize_map(Some(len))
    }
}

macro_rules! lists {
    ($($of:ident :: $element:ident),*) => {$(
        impl $of for &mut Writer {
            type Ok = ();
            type Error = PackedError;

            fn $element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), PackedError> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), PackedError> {
                Ok(())
            }
        }
    )*};
}

lists!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! structs {
    ($($of:ident),*) => {$(
        impl $of for &mut Writer {
            type Ok = ();
            type Error = PackedError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), PackedError> {
                self.name(name);
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), PackedError> {
                Ok(())
            }
        }
    )*};
}

structs!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for &mut Writer {
    type Ok = ();
    type Error = PackedError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), PackedError> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), PackedError> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), PackedError> {
        Ok(())
    }
}
