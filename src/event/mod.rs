//! Step 2 of 10: a record's bytes become an event that borrows from them, or are refused with a reason.
//!
//! The native JSON format lives in `json.rs`; the same format read in place, without allocation, in `scan/`; the same
//! fields in Avro, in `avro/`; where model and version may stand besides the event, in `names.rs`.

pub mod avro;
mod json;
mod names;
mod refusal;
pub mod scan;
mod timestamp;

use std::borrow::Cow;

use crate::reference::Value;
use crate::subject::Millis;

use json::MAX_SEGMENT_FIELDS;
pub use json::{Limits, MAX_NAME_BYTES, decode};
pub use names::{NameRules, Named};
pub use refusal::Refusal;
pub use timestamp::plausible;

/// A record as a source hands it over: bytes with their place in the log.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Partition number.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Timestamp of the record, used where the event has none.
    pub timestamp: Option<Millis>,
    /// When the broker wrote it, by the broker's clock; `None` where the timestamp is the producer's.
    pub appended_at: Option<Millis>,
    /// Record key.
    pub key: Option<&'a [u8]>,
    /// Record headers in their order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Record value; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
}

/// One value of an event. Text borrows from the record unless it held escapes.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// JSON number.
    Number(f64),
    /// JSON string.
    Text(Cow<'a, str>),
    /// JSON boolean.
    Bool(bool),
    /// JSON null.
    Missing,
    /// Array or object; in Avro also bytes.
    Nested,
}

impl Scalar<'_> {
    /// The same value as the reference counts it.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Number(x) => Value::Number(*x),
            Self::Text(text) => Value::Text(text),
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Missing => Value::Missing,
            Self::Nested => Value::Nested,
        }
    }
}

/// The decoded fields of a native event, before model and version are resolved.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event<'a> {
    /// Identity of the prediction.
    pub id: Option<Cow<'a, str>>,
    /// Model named by the event itself.
    pub model: Option<Cow<'a, str>>,
    /// Version named by the event itself.
    pub version: Option<Cow<'a, str>>,
    /// Event time; `None` where the event has none.
    pub ts: Option<Millis>,
    /// Features in the order of the event; `None` where the event has no such object.
    pub features: Option<Vec<(Cow<'a, str>, Scalar<'a>)>>,
    /// The model's decision.
    pub prediction: Option<Scalar<'a>>,
    /// The model's numeric output.
    pub score: Option<Scalar<'a>>,
    /// Serving latency in milliseconds.
    pub latency_ms: Option<f64>,
    /// Segment fields.
    pub segment: Vec<(Cow<'a, str>, Scalar<'a>)>,
    /// Ground truth: makes the event a feedback event.
    pub label: Option<Scalar<'a>>,
}

impl Event<'_> {
    /// Whether this is a feedback event: a label without anything predicted.
    #[must_use]
    pub fn is_feedback(&self) -> bool {
        self.label.is_some() && self.features.is_none() && self.prediction.is_none() && self.score.is_none()
    }
}
