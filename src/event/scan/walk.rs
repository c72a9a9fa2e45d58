//! One event, object by object. What `decode` would refuse, or read in another way than is read here, is [`Stop`].

use super::cursor::{Behind, Cursor};
use super::keys::{Key, Keys};
use super::shape::Shapes;
use super::{Form, Found, Scanned, Span, usual};
use crate::event::{Limits, MAX_NAME_BYTES, timestamp};
use crate::subject::Millis;

/// Most keys, known and unknown, that are remembered of the event itself or of `prediction`.
const MAX_KEYS: usize = 32;

/// Why the walk ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Broken, or beyond what is read here.
    Unusual,
    /// The shape has no feature or segment field of this name.
    UnknownName,
}

/// Fields of the event, in the order of their keys in [`Walk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    Model,
    Version,
    Ts,
    Features,
    Prediction,
    LatencyMs,
    Segment,
    Label,
    Score,
}

const FIELDS: [(Field, &str); 10] = [
    (Field::Id, "id"),
    (Field::Model, "model"),
    (Field::Version, "version"),
    (Field::Ts, "ts"),
    (Field::Features, "features"),
    (Field::Prediction, "prediction"),
    (Field::LatencyMs, "latency_ms"),
    (Field::Segment, "segment"),
    (Field::Label, "label"),
    (Field::Score, "score"),
];

impl Field {
    /// The field of this name.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        FIELDS.iter().find(|(_, known)| known.as_bytes() == name).map(|(field, _)| *field)
    }
}

/// Fields of `prediction`, in the order of their keys in [`Walk`].
const PREDICTION: [&str; 2] = ["label", "score"];

/// What is known from earlier events.
#[derive(Debug)]
pub(super) struct Walk {
    event: Keys,
    prediction: Keys,
    pub(super) shapes: Shapes,
    gap: usize,
    max_depth: usize,
}

/// What is known of this event so far.
struct Reading {
    shape: Option<u32>,
    /// A bit for each of [`FIELDS`] that was met.
    met: u32,
    /// `score` beside `prediction`.
    outer_score: Found,
}

impl Walk {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            event: Keys::new(FIELDS.map(|(_, name)| name), Form::Json),
            prediction: Keys::new(PREDICTION, Form::Json),
            shapes: Shapes::new(limits.max_features, Form::Json),
            gap: 0,
            max_depth: limits.max_depth,
        }
    }

    /// Reads an event, with this shape or with the one that is expected.
    pub(super) fn event(
        &mut self,
        payload: &[u8],
        shape: Option<u32>,
        scanned: &mut Scanned,
    ) -> Result<(), Stop> {
        scanned.clear();
        let mut reading = Reading { shape: None, met: 0, outer_score: Found::Absent };
        if let Some(shape) = shape {
            reading.shape = Some(self.shapes.take(shape, scanned));
        }
        let mut cursor = Cursor::new(payload, self.gap, self.max_depth);
        let read = self.fields(&mut cursor, &mut reading, scanned);
        self.gap = cursor.gap();
        read?;
        if matches!(scanned.score, Found::Absent) {
            scanned.score = reading.outer_score;
        }
        Ok(())
    }

    fn fields(
        &mut self,
        cursor: &mut Cursor<'_>,
        reading: &mut Reading,
        scanned: &mut Scanned,
    ) -> Result<(), Stop> {
        let mut goes_on = !cursor.open()?;
        let mut before = self.event.len();
        while goes_on {
            before = read_key(&mut self.event, cursor, before)?;
            match FIELDS.get(before) {
                Some((field, _)) => {
                    if reading.met & (1 << before) != 0 {
                        return Err(Stop::Unusual);
                    }
                    reading.met |= 1 << before;
                    self.field(*field, cursor, reading, scanned)?;
                }
                None => _ = read_value(cursor, 1)?,
            }
            goes_on = cursor.behind()? == Behind::Comma;
        }
        if cursor.peek_behind_blanks().is_some() { Err(Stop::Unusual) } else { Ok(()) }
    }

    fn field(
        &mut self,
        field: Field,
        cursor: &mut Cursor<'_>,
        reading: &mut Reading,
        scanned: &mut Scanned,
    ) -> Result<(), Stop> {
        match field {
            Field::Features | Field::Segment => return self.named_values(field, cursor, reading, scanned),
            Field::Prediction => return self.prediction(cursor, scanned),
            _ => {}
        }
        let value = read_value(cursor, 1)?;
        set_field(field, value, cursor.payload(), scanned, &mut reading.outer_score)
    }

    /// `features` or `segment`: an object whose names are those of the shape, or null.
    fn named_values(
        &mut self,
        field: Field,
        cursor: &mut Cursor<'_>,
        reading: &mut Reading,
        scanned: &mut Scanned,
    ) -> Result<(), Stop> {
        if cursor.peek_behind_blanks() == Some(b'n') {
            return cursor.value(1).map(|_| ());
        }
        let shape = match reading.shape {
            Some(shape) => shape,
            None => self.shapes.expect_at(cursor.payload(), cursor.at(), scanned),
        };
        reading.shape = Some(shape);
        let (features, segment) = self.shapes.keys(shape).ok_or(Stop::Unusual)?;
        if matches!(field, Field::Features) {
            scanned.has_features = true;
            values(features, cursor, &mut scanned.features)
        } else {
            values(segment, cursor, &mut scanned.segment)
        }
    }

    /// `prediction`: a label, a number, or `{label, score}`.
    fn prediction(&mut self, cursor: &mut Cursor<'_>, scanned: &mut Scanned) -> Result<(), Stop> {
        if cursor.peek_behind_blanks() != Some(b'{') {
            return set_plain_prediction(cursor.value(1)?, scanned);
        }
        let mut goes_on = !cursor.open()?;
        let mut before = self.prediction.len();
        while goes_on {
            before = read_key(&mut self.prediction, cursor, before)?;
            let value = read_value(cursor, 2)?;
            match before {
                0 => put(&mut scanned.prediction, value)?,
                1 => put(&mut scanned.score, value)?,
                _ => {}
            }
            goes_on = cursor.behind()? == Behind::Comma;
        }
        Ok(())
    }
}

/// Takes the value of a field that is no object of names; `outer_score` is `score` beside `prediction`.
#[inline(always)]
pub(super) fn set_field(
    field: Field,
    value: Found,
    payload: &[u8],
    scanned: &mut Scanned,
    outer_score: &mut Found,
) -> Result<(), Stop> {
    match field {
        Field::Id => scanned.id = name(value)?,
        Field::Version => scanned.version = name(value)?,
        Field::Model => {
            scanned.model = match name(value)? {
                Found::Text(span) => Some(span),
                Found::Absent => None,
                _ => return Err(Stop::Unusual),
            }
        }
        Field::Ts => scanned.ts = time(value, payload)?,
        Field::LatencyMs => {
            scanned.latency_ms = match value {
                Found::Number(latency) => Some(latency),
                Found::Missing => None,
                _ => return Err(Stop::Unusual),
            }
        }
        Field::Label => {
            scanned.label = match given(value) {
                Found::Nested => return Err(Stop::Unusual),
                label => label,
            }
        }
        Field::Score => *outer_score = given(value),
        Field::Features | Field::Segment | Field::Prediction => {}
    }
    Ok(())
}

/// Takes a `prediction` that is no object: a score or a label.
pub(super) fn set_plain_prediction(value: Found, scanned: &mut Scanned) -> Result<(), Stop> {
    match value {
        score @ Found::Number(_) => scanned.score = score,
        label @ (Found::Bool(_) | Found::Text(_)) => scanned.prediction = label,
        Found::Missing => {}
        Found::Nested | Found::Absent => return Err(Stop::Unusual),
    }
    Ok(())
}

/// Values by the place of their names.
fn values(keys: &mut Keys, cursor: &mut Cursor<'_>, values: &mut [Found]) -> Result<(), Stop> {
    if cursor.open()? {
        return Ok(());
    }
    match cursor.gap() {
        0 => spaced_values::<0>(keys, cursor, values),
        _ => spaced_values::<1>(keys, cursor, values),
    }
}

/// The members of an object, with so many blanks behind a comma and a colon where they are as expected.
fn spaced_values<const GAP: usize>(
    keys: &mut Keys,
    cursor: &mut Cursor<'_>,
    values: &mut [Found],
) -> Result<(), Stop> {
    let payload = cursor.payload();
    let mut before = keys.len();
    // The place is kept here and not in the cursor, so that it stays in a register.
    let (mut at, mut lead) = (cursor.at(), 0);
    loop {
        let key = usual::key(keys, before, payload, at, (lead, GAP))
            .or_else(|| usual::other_key(keys, before, payload, at, (lead, GAP)));
        let value = key.and_then(|(place, at)| Some((place, usual::value(payload, at)?)));
        let behind = |end: usize| payload.get(end).copied().unwrap_or_default();
        let (place, value, goes_on) = match value {
            Some((place, (value, end))) if matches!(behind(end), b',' | b'}') => {
                at = end + 1;
                (place, value, behind(end) == b',')
            }
            _ => {
                cursor.move_to(at);
                let (place, value, goes_on) = any_member(keys, cursor, before)?;
                at = cursor.at();
                (place, value, goes_on == Behind::Comma)
            }
        };
        put(values.get_mut(place).ok_or(Stop::Unusual)?, value)?;
        if !goes_on {
            cursor.move_to(at);
            return Ok(());
        }
        (before, lead) = (place, GAP);
    }
}

/// Reads a member of an object of names, whatever its key and value.
#[inline(never)]
fn any_member(
    keys: &mut Keys,
    cursor: &mut Cursor<'_>,
    before: usize,
) -> Result<(usize, Found, Behind), Stop> {
    let Key::Known(place) = keys.look_up(cursor, before)? else { return Err(Stop::UnknownName) };
    let value = read_value(cursor, 2)?;
    Ok((place, value, cursor.behind()?))
}

/// Fills a field that was not met before.
#[inline]
fn put(slot: &mut Found, value: Found) -> Result<(), Stop> {
    if !matches!(slot, Found::Absent) {
        return Err(Stop::Unusual);
    }
    *slot = value;
    Ok(())
}

/// Reads a key; one that nobody counts is remembered while there is room. The place is beyond all keys where there is none.
#[inline(always)]
fn read_key(keys: &mut Keys, cursor: &mut Cursor<'_>, before: usize) -> Result<usize, Stop> {
    let lead = if before == keys.len() { 0 } else { cursor.gap() };
    if let Some((place, at)) = usual::key(keys, before, cursor.payload(), cursor.at(), (lead, cursor.gap())) {
        cursor.move_to(at);
        return Ok(place);
    }
    match keys.look_up(cursor, before)? {
        Key::Known(place) => Ok(place),
        Key::Unknown(span) => Ok(remember(keys, span, cursor.payload())),
    }
}

/// Reads a value at this depth. A number that goes on behind its usual part is read again.
#[inline(always)]
fn read_value(cursor: &mut Cursor<'_>, depth: usize) -> Result<Found, Stop> {
    match usual::value(cursor.payload(), cursor.at()) {
        Some((value, end)) if matches!(cursor.payload().get(end), Some(b',' | b'}')) => {
            cursor.move_to(end);
            Ok(value)
        }
        _ => cursor.value(depth),
    }
}

#[cold]
fn remember(keys: &mut Keys, span: Span, payload: &[u8]) -> usize {
    if keys.len() < MAX_KEYS && span.len() <= MAX_NAME_BYTES {
        keys.push(span.text(payload))
    } else {
        usize::MAX
    }
}

/// A value for which null is as good as none.
const fn given(value: Found) -> Found {
    if matches!(value, Found::Missing) { Found::Absent } else { value }
}

/// A name or identity: a text within its bound, or a number.
fn name(value: Found) -> Result<Found, Stop> {
    match given(value) {
        Found::Text(span) if span.len() > MAX_NAME_BYTES => Err(Stop::Unusual),
        Found::Bool(_) | Found::Nested => Err(Stop::Unusual),
        name => Ok(name),
    }
}

fn time(value: Found, payload: &[u8]) -> Result<Option<Millis>, Stop> {
    let time = match value {
        Found::Missing => return Ok(None),
        Found::Number(millis) => timestamp::from_float(millis),
        Found::Text(span) => timestamp::from_text(span.text(payload)),
        Found::Absent | Found::Bool(_) | Found::Nested => return Err(Stop::Unusual),
    };
    time.map(Some).map_err(|_| Stop::Unusual)
}
