//! A compact byte form of whatever serde describes: what JSON says, without text for numbers and with each name of a field
//! written once.
//!
//! It describes itself, so that a field may come and go as in JSON, and thousands of floats are read at the speed of
//! copying them. What is read comes from a file: lengths are believed no further than there are bytes, nesting is bounded,
//! and a number that is not finite is refused as JSON would refuse it.

mod reading;
mod writing;

use std::fmt::Display;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use reading::from_slice;
pub(crate) use writing::to_vec;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
/// A whole number from 0 on.
const WHOLE: u8 = 3;
/// A whole number below 0, as its complement.
const BELOW: u8 = 4;
/// Eight bytes of a float, the lowest first.
const FLOAT: u8 = 5;
const TEXT: u8 = 6;
/// A name that was not written before, and takes the next number.
const NAME: u8 = 7;
/// A name by its number.
const KNOWN: u8 = 8;
const BYTES: u8 = 9;
const LIST: u8 = 10;
const MAP: u8 = 11;
/// From here on a tag is itself a whole number.
const SMALL: u8 = 16;

/// Why bytes cannot be read, or a value not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackedError {
    /// The bytes end too early.
    #[error("it is cut short")]
    Truncated,
    /// There are bytes that cannot stand where they do.
    #[error("it is malformed {left} bytes before its end")]
    Malformed {
        /// Bytes from there to the end.
        left: usize,
    },
    /// Lists lie in lists beyond the limit.
    #[error("it is nested too deeply")]
    TooDeep,
    /// A number is not finite.
    #[error("a number in it is not finite")]
    NotFinite,
    /// A sequence does not know its length when it is written.
    #[error("a sequence does not know its length")]
    NoLength,
    /// The value is not of the type that is wanted.
    #[error("{0}")]
    Type(String),
}

impl serde::de::Error for PackedError {
    fn custom<T: Display>(what: T) -> Self {
        Self::Type(what.to_string())
    }
}

impl serde::ser::Error for PackedError {
    fn custom<T: Display>(what: T) -> Self {
        Self::Type(what.to_string())
    }
}

/// Bytes that are written as such, and lent when they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lent<'a>(pub(super) &'a [u8]);

impl Serialize for Lent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Lent<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
        New(Option<f64>),
        Pair(i64, u64),
        Named { text: String },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        One { at: Vec<f64> },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Whole {
        kinds: Vec<Kind>,
        tagged: Tagged,
        by_name: BTreeMap<String, (bool, char)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        absent: Option<u8>,
        nothing: (),
    }

    fn whole() -> Whole {
        let named = Kind::Named { text: "héllo".to_owned() };
        Whole {
            kinds: vec![
                Kind::Plain,
                Kind::New(None),
                Kind::New(Some(-0.1)),
                Kind::Pair(i64::MIN, u64::MAX),
                named,
            ],
            tagged: Tagged::One { at: vec![f64::MIN_POSITIVE, 5e-324, f64::MAX, 0.1 + 0.2] },
            by_name: BTreeMap::from([("a".to_owned(), (true, 'ß')), (String::new(), (false, 'x'))]),
            absent: None,
            nothing: (),
        }
    }

    #[test]
    fn every_shape_that_serde_knows_comes_back() {
        let bytes = to_vec(&whole()).expect("bytes");
        assert_eq!(from_slice::<Whole>(&bytes).expect("a value"), whole());
        assert_eq!(to_vec(&Lent(b"ab")).expect("bytes"), [BYTES, 2, b'a', b'b']);
    }

    #[test]
    fn what_is_cut_short_changed_or_too_deep_is_an_error() {
        let bytes = to_vec(&whole()).expect("bytes");
        for end in 0..bytes.len() {
            assert!(from_slice::<Whole>(&bytes[..end]).is_err(), "{end}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                // Whatever it says, it says it.
                _ = from_slice::<Whole>(&bytes);
                _ = from_slice::<Value>(&bytes);
            }
        }
        let longer = [&bytes[..], &[NULL]].concat();
        assert_eq!(from_slice::<Whole>(&longer), Err(PackedError::Malformed { left: 1 }));
        let deep: Vec<u8> = std::iter::repeat_n([LIST, SMALL + 1], 100_000).flatten().collect();
        assert_eq!(from_slice::<Value>(&deep), Err(PackedError::TooDeep));
        let long = [LIST, SMALL + 200];
        assert_eq!(from_slice::<Value>(&long), Err(PackedError::Truncated));
        assert_eq!(to_vec(&[f64::NAN]), Err(PackedError::NotFinite));
        let infinite = [&[FLOAT][..], &f64::INFINITY.to_le_bytes()].concat();
        assert_eq!(from_slice::<f64>(&infinite), Err(PackedError::NotFinite));
    }

    #[test]
    fn a_name_is_written_once() {
        let many = to_vec(&vec![json!({"kind": 1}); 2]).expect("bytes");
        let named = to_vec(&vec![Tagged::One { at: Vec::new() }; 100]).expect("bytes");
        assert!(named.len() < 1_000 && many.len() > 10, "{} {}", named.len(), many.len());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_json_can_say_comes_back(value in any_json()) {
            let bytes = to_vec(&value).expect("bytes");
            prop_assert_eq!(from_slice::<Value>(&bytes).expect("a value"), value);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            _ = from_slice::<Value>(&bytes);
            _ = from_slice::<Whole>(&bytes);
        }
    }
}
