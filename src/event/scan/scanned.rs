//! What was found in an event, as places in its bytes: a struct without lifetimes, so that it is filled again and again.

use std::borrow::Cow;

use super::Shape;
use crate::event::{Event, Scalar};
use crate::subject::Millis;

/// A place in a record's payload: bytes `start..end`, valid UTF-8 without escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

impl Span {
    /// Places in a payload whose length fits `u32`, as the scanner has checked.
    #[inline(always)]
    pub(in crate::event) const fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The text at this place; empty for a payload that it was not found in.
    #[must_use]
    pub fn text(self, payload: &[u8]) -> &str {
        std::str::from_utf8(self.bytes(payload)).unwrap_or_default()
    }

    /// The bytes at this place; none for a payload that it was not found in.
    #[must_use]
    pub fn bytes(self, payload: &[u8]) -> &[u8] {
        payload.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the text is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.end == self.start
    }
}

/// One value of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// The event has no such field.
    Absent,
    /// JSON null.
    Missing,
    /// JSON number.
    Number(f64),
    /// JSON boolean.
    Bool(bool),
    /// JSON string.
    Text(Span),
    /// Array or object; in Avro also bytes.
    Nested,
}

impl Found {
    /// The same value as the strict decoder gives it; `None` where absent.
    #[must_use]
    pub fn scalar(self, payload: &[u8]) -> Option<Scalar<'_>> {
        Some(match self {
            Self::Absent => return None,
            Self::Missing => Scalar::Missing,
            Self::Number(number) => Scalar::Number(number),
            Self::Bool(truth) => Scalar::Bool(truth),
            Self::Text(span) => Scalar::Text(Cow::Borrowed(span.text(payload))),
            Self::Nested => Scalar::Nested,
        })
    }

    /// A name or identity: a text, or a number by its decimal text.
    fn name(self, payload: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(span) => Some(Cow::Borrowed(span.text(payload))),
            Self::Number(number) => Some(Cow::Owned(crate::reference::code_text(number))),
            Self::Absent | Self::Missing | Self::Bool(_) | Self::Nested => None,
        }
    }
}

/// The fields of one event; features and segment fields by their place in its shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Scanned {
    /// Index for [`Scanner::shape`](super::Scanner::shape).
    pub shape: u32,
    /// Identity of the prediction: `Text`, `Number` or `Absent`.
    pub id: Found,
    /// Model named by the event.
    pub model: Option<Span>,
    /// Version named by the event: `Text`, `Number` or `Absent`.
    pub version: Found,
    /// Event time.
    pub ts: Option<Millis>,
    /// Whether the event has an object of features, be it an empty one.
    pub has_features: bool,
    /// Features: as many as the shape has, `Absent` where the event lacks one.
    pub features: Vec<Found>,
    /// Segment fields: as many as the shape has.
    pub segment: Vec<Found>,
    /// The model's decision; `Absent` where none is given.
    pub prediction: Found,
    /// The model's numeric output, the one in `prediction` before the one beside it.
    pub score: Found,
    /// Serving latency in milliseconds.
    pub latency_ms: Option<f64>,
    /// Ground truth, never `Missing` or `Nested`.
    pub label: Found,
}

impl Default for Scanned {
    fn default() -> Self {
        Self {
            shape: 0,
            id: Found::Absent,
            model: None,
            version: Found::Absent,
            ts: None,
            has_features: false,
            features: Vec::new(),
            segment: Vec::new(),
            prediction: Found::Absent,
            score: Found::Absent,
            latency_ms: None,
            label: Found::Absent,
        }
    }
}

impl Scanned {
    /// Whether this is a feedback event: a label without anything predicted.
    #[must_use]
    pub fn is_feedback(&self) -> bool {
        self.label != Found::Absent
            && !self.has_features
            && self.prediction == Found::Absent
            && self.score == Found::Absent
    }

    /// The event as the strict decoder gives it, with features and segment fields in the order of the shape.
    #[must_use]
    pub fn event<'p>(&self, payload: &'p [u8], shape: &'p Shape) -> Event<'p> {
        let fields = |names: &'p [Box<str>], values: &[Found]| -> Vec<(Cow<'p, str>, Scalar<'p>)> {
            let named = names.iter().zip(values);
            named
                .filter_map(|(name, value)| Some((Cow::Borrowed(name.as_ref()), value.scalar(payload)?)))
                .collect()
        };
        Event {
            id: self.id.name(payload),
            model: self.model.map(|span| Cow::Borrowed(span.text(payload))),
            version: self.version.name(payload),
            ts: self.ts,
            features: self.has_features.then(|| fields(shape.features(), &self.features)),
            prediction: self.prediction.scalar(payload),
            score: self.score.scalar(payload),
            latency_ms: self.latency_ms,
            segment: fields(shape.segment(), &self.segment),
            label: self.label.scalar(payload),
        }
    }

    /// The event without the values of features and segment fields: whose it is, when, and of what kind.
    #[must_use]
    pub fn outline<'p>(&self, payload: &'p [u8]) -> Event<'p> {
        Event {
            id: self.id.name(payload),
            model: self.model.map(|span| Cow::Borrowed(span.text(payload))),
            version: self.version.name(payload),
            ts: self.ts,
            features: self.has_features.then(Vec::new),
            prediction: self.prediction.scalar(payload),
            score: self.score.scalar(payload),
            latency_ms: self.latency_ms,
            segment: Vec::new(),
            label: self.label.scalar(payload),
        }
    }

    /// Forgets the last event; the lists keep their room.
    pub(in crate::event) fn clear(&mut self) {
        let (mut features, mut segment) =
            (std::mem::take(&mut self.features), std::mem::take(&mut self.segment));
        features.clear();
        segment.clear();
        *self = Self { features, segment, ..Self::default() };
    }
}
