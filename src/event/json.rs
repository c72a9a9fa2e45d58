//! The native JSON event: a single pass over the bytes, without a tree, every bound checked on the way.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Event, Refusal, Scalar, timestamp};

/// Bounds on one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest value in bytes.
    pub max_bytes: usize,
    /// Most features.
    pub max_features: usize,
    /// Deepest nesting, the event itself being 1.
    pub max_depth: usize,
}

/// Longest feature or segment name in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// Most fields of `segment`.
pub(super) const MAX_SEGMENT_FIELDS: usize = 32;
/// Up to here names are compared where their marks agree, above by sorting.
const PAIRWISE_NAMES: usize = 48;

type Fields<'a> = Vec<(Cow<'a, str>, Scalar<'a>)>;

/// Decodes one native event.
///
/// # Errors
/// The [`Refusal`] that says why the bytes are not an event.
pub fn decode<'a>(payload: &'a [u8], limits: &Limits) -> Result<Event<'a>, Refusal> {
    if payload.is_empty() {
        return Err(Refusal::Empty);
    }
    if payload.len() > limits.max_bytes {
        return Err(Refusal::TooLarge { bytes: payload.len(), limit: limits.max_bytes });
    }
    // Checked once for all of it, instead of text by text.
    let text = std::str::from_utf8(payload).map_err(|error| not_utf8(payload, error.valid_up_to()))?;
    let context = Context { limits, refusal: RefCell::new(None) };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let decoded = EventSeed(&context)
        .deserialize(&mut deserializer)
        .and_then(|event| deserializer.end().map(|()| event));
    decoded.map_err(|error| {
        context.refusal.take().unwrap_or(Refusal::NotJson { line: error.line(), column: error.column() })
    })
}

/// The refusal of bytes that cease to be UTF-8 at this place.
fn not_utf8(payload: &[u8], at: usize) -> Refusal {
    let before = &payload[..at];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    Refusal::NotJson { line, column: at - line_start + 1 }
}

/// What every seed needs: the bounds, and a place for the reason when serde can only carry text.
struct Context<'l> {
    limits: &'l Limits,
    refusal: RefCell<Option<Refusal>>,
}

impl Context<'_> {
    fn refuse<E: Error>(&self, refusal: Refusal) -> E {
        let error = E::custom(&refusal);
        *self.refusal.borrow_mut() = Some(refusal);
        error
    }

    fn wrong<E: Error>(&self, field: &'static str, expected: &'static str) -> E {
        self.refuse(Refusal::WrongShape { field, expected })
    }
}

/// A text that borrows where it can.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Any value; arrays and objects are walked only to check their depth.
struct ScalarSeed<'c, 'l> {
    context: &'c Context<'l>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for ScalarSeed<'_, '_> {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl ScalarSeed<'_, '_> {
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        let limit = self.context.limits.max_depth;
        if self.depth >= limit {
            return Err(self.context.refuse(Refusal::TooDeep { limit }));
        }
        Ok(Self { context: self.context, depth: self.depth + 1 })
    }
}

impl<'de> Visitor<'de> for ScalarSeed<'_, '_> {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Missing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element_seed(self.deeper()?)?.is_some() {}
        Ok(Scalar::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_key::<IgnoredAny>()?.is_some() {
            entries.next_value_seed(self.deeper()?)?;
        }
        Ok(Scalar::Nested)
    }
}

/// The object of `features` or `segment`; `None` for null.
struct FieldsSeed<'c, 'l> {
    context: &'c Context<'l>,
    object: &'static str,
    most: usize,
}

impl<'de> DeserializeSeed<'de> for FieldsSeed<'_, '_> {
    type Value = Option<Fields<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let (context, object) = (self.context, self.object);
        deserializer.deserialize_any(self).map_err(|error| {
            let known = context.refusal.borrow().is_some();
            if known || !error_is_type(&error) {
                error
            } else {
                context.wrong(object, "an object of name and value")
            }
        })
    }
}

/// Whether a visitor refused a value because of its type, as opposed to broken JSON.
fn error_is_type<E: Error>(error: &E) -> bool {
    error.to_string().starts_with("invalid type")
}

impl<'de> Visitor<'de> for FieldsSeed<'_, '_> {
    type Value = Option<Fields<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields: Fields<'de> = Vec::with_capacity(32.min(self.most));
        while let Some(name) = entries.next_key_seed(Text)? {
            if name.len() > MAX_NAME_BYTES {
                return Err(self.context.refuse(Refusal::NameTooLong { limit: MAX_NAME_BYTES }));
            }
            if fields.len() >= self.most {
                return Err(self.context.refuse(Refusal::TooManyFeatures { limit: self.most }));
            }
            let value = entries.next_value_seed(ScalarSeed { context: self.context, depth: 2 })?;
            fields.push((name, value));
        }
        if has_duplicate(&fields) {
            return Err(self.context.refuse(Refusal::DuplicateKey { object: self.object }));
        }
        Ok(Some(fields))
    }
}

/// Names that share no mark of 256 differ, so that few pairs are compared in full.
fn has_duplicate(fields: &[(Cow<'_, str>, Scalar<'_>)]) -> bool {
    if fields.len() > PAIRWISE_NAMES {
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        return names.windows(2).any(|pair| pair[0] == pair[1]);
    }
    let mut marks = [0_u64; 4];
    fields.iter().enumerate().any(|(i, (name, _))| {
        let mark = mark_of(name.as_bytes());
        let word = &mut marks[usize::from(mark >> 6)];
        let bit = 1 << (mark & 63);
        let marked = *word & bit != 0;
        *word |= bit;
        marked && fields[..i].iter().any(|(other, _)| other == name)
    })
}

/// A mark that equal names share: mixed of the length and three bytes.
fn mark_of(name: &[u8]) -> u8 {
    let at = |index: usize| name.get(index).copied().unwrap_or(0);
    let (first, middle, last) = (at(0), at(name.len() / 2), at(name.len().saturating_sub(1)));
    let mixed = u32::from_le_bytes([first, middle, last, name.len() as u8]).wrapping_mul(0x9e37_79b1);
    (mixed >> 24) as u8
}

/// `prediction`: a label, a number, or `{label, score}`.
struct PredictionSeed<'c, 'l>(&'c Context<'l>);

impl<'de> DeserializeSeed<'de> for PredictionSeed<'_, '_> {
    type Value = (Option<Scalar<'de>>, Option<Scalar<'de>>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PredictionSeed<'_, '_> {
    type Value = (Option<Scalar<'de>>, Option<Scalar<'de>>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a label, a number or an object of label and score")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Self::Value, E> {
        Ok((Some(Scalar::Bool(truth)), None))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok((None, Some(Scalar::Number(number))))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok((Some(Scalar::Text(Cow::Borrowed(text))), None))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok((Some(Scalar::Text(Cow::Owned(text.to_owned()))), None))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok((None, None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.0.wrong("prediction", "a label, a number or an object of label and score"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let (mut label, mut score) = (None, None);
        while let Some(name) = entries.next_key_seed(Text)? {
            let value = entries.next_value_seed(ScalarSeed { context: self.0, depth: 2 })?;
            let slot = match name.as_ref() {
                "label" => &mut label,
                "score" => &mut score,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(self.0.refuse(Refusal::DuplicateKey { object: "prediction" }));
            }
        }
        Ok((label, score))
    }
}

/// The event object itself.
struct EventSeed<'c, 'l>(&'c Context<'l>);

impl<'de> DeserializeSeed<'de> for EventSeed<'_, '_> {
    type Value = Event<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let context = self.0;
        deserializer.deserialize_any(self).map_err(|error| {
            let known = context.refusal.borrow().is_some();
            if known || !error_is_type(&error) { error } else { context.wrong("event", "an object") }
        })
    }
}

/// Top-level fields, in the order of their bit in the set of those seen.
const FIELDS: [&str; 10] =
    ["id", "model", "version", "ts", "features", "prediction", "latency_ms", "segment", "label", "score"];

impl<'de> Visitor<'de> for EventSeed<'_, '_> {
    type Value = Event<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut event = Event::default();
        let mut seen = 0_u16;
        while let Some(name) = entries.next_key_seed(Text)? {
            let Some(field) = FIELDS.iter().position(|known| *known == name) else {
                entries.next_value_seed(ScalarSeed { context: self.0, depth: 1 })?;
                continue;
            };
            if seen & (1 << field) != 0 {
                return Err(self.0.refuse(Refusal::DuplicateKey { object: "event" }));
            }
            seen |= 1 << field;
            self.field(&mut event, FIELDS[field], &mut entries)?;
        }
        Ok(event)
    }
}

impl EventSeed<'_, '_> {
    fn field<'de, A: MapAccess<'de>>(
        &self,
        event: &mut Event<'de>,
        field: &'static str,
        entries: &mut A,
    ) -> Result<(), A::Error> {
        let context = self.0;
        match field {
            "features" => {
                let most = context.limits.max_features;
                event.features = entries.next_value_seed(FieldsSeed { context, object: "features", most })?;
            }
            "segment" => {
                let seed = FieldsSeed { context, object: "segment", most: MAX_SEGMENT_FIELDS };
                event.segment = entries.next_value_seed(seed)?.unwrap_or_default();
            }
            "prediction" => {
                let (label, score) = entries.next_value_seed(PredictionSeed(context))?;
                event.prediction = label;
                if score.is_some() {
                    event.score = score;
                }
            }
            _ => {
                let value = entries.next_value_seed(ScalarSeed { context, depth: 1 })?;
                self.scalar_field(event, field, value)?;
            }
        }
        Ok(())
    }

    fn scalar_field<'de, E: Error>(
        &self,
        event: &mut Event<'de>,
        field: &'static str,
        value: Scalar<'de>,
    ) -> Result<(), E> {
        let context = self.0;
        match (field, value) {
            (_, Scalar::Missing) => {}
            ("id", value) => event.id = Some(self.name("id", value)?),
            ("model", value) => event.model = Some(self.name("model", value)?),
            ("version", value) => event.version = Some(self.name("version", value)?),
            ("ts", value) => event.ts = Some(event_time(&value).map_err(|refusal| context.refuse(refusal))?),
            ("latency_ms", Scalar::Number(latency)) => event.latency_ms = Some(latency),
            ("latency_ms", _) => return Err(context.wrong("latency_ms", "a number of milliseconds")),
            ("score", value) => event.score = event.score.take().or(Some(value)),
            ("label", Scalar::Nested) => return Err(context.wrong("label", "a text, number or boolean")),
            (_, value) => event.label = Some(value),
        }
        Ok(())
    }

    /// A name or identity: a text, or a number by its decimal text.
    fn name<'de, E: Error>(&self, field: &'static str, value: Scalar<'de>) -> Result<Cow<'de, str>, E> {
        match value {
            Scalar::Text(text) if text.len() <= MAX_NAME_BYTES => Ok(text),
            Scalar::Text(_) => Err(self.0.refuse(Refusal::NameTooLong { limit: MAX_NAME_BYTES })),
            Scalar::Number(number) if field != "model" => Ok(Cow::Owned(crate::reference::code_text(number))),
            _ => Err(self.0.wrong(field, "a text")),
        }
    }
}

fn event_time(value: &Scalar<'_>) -> Result<crate::subject::Millis, Refusal> {
    match value {
        Scalar::Number(millis) => timestamp::from_float(*millis),
        Scalar::Text(text) => timestamp::from_text(text),
        _ => Err(Refusal::BadTimestamp { problem: "neither a number nor a text" }),
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
