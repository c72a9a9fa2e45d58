//! One event, object by object. What `decode` would refuse, or read in another way than is read here, is [`Stop`].

use super::cursor::{Behind, Cursor};
use super::keys::{Key, Keys};
use super::shape::Shapes;
use super::{Found, Scanned, Span};
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
#[derive(Debug, Clone, Copy)]
enum Field {
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
            event: Keys::new(FIELDS.map(|(_, name)| name)),
            prediction: Keys::new(PREDICTION),
            shapes: Shapes::new(limits.max_features),
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
            before = known_or_remembered(&mut self.event, cursor, before)?;
            match FIELDS.get(before) {
                Some((field, _)) => {
                    if reading.met & (1 << before) != 0 {
                        return Err(Stop::Unusual);
                    }
                    reading.met |= 1 << before;
                    self.field(*field, cursor, reading, scanned)?;
                }
                None => _ = cursor.value(1)?,
            }
            goes_on = cursor.behind()? == Behind::Comma;
        }
        if cursor.peek_behind_blanks().is_some() { Err(Stop::Unusual) } else { Ok(()) }
    }

    #[inline]
    fn field(
        &mut self,
        field: Field,
        cursor: &mut Cursor<'_>,
        reading: &mut Reading,
        scanned: &mut Scanned,
    ) -> Result<(), Stop> {
        match field {
            Field::Id => scanned.id = name(cursor.value(1)?)?,
            Field::Version => scanned.version = name(cursor.value(1)?)?,
            Field::Model => {
                scanned.model = match name(cursor.value(1)?)? {
                    Found::Text(span) => Some(span),
                    Found::Absent => None,
                    _ => return Err(Stop::Unusual),
                }
            }
            Field::Ts => scanned.ts = time(cursor.value(1)?, cursor.payload())?,
            Field::Features | Field::Segment => self.named_values(field, cursor, reading, scanned)?,
            Field::Prediction => self.prediction(cursor, scanned)?,
            Field::LatencyMs => {
                scanned.latency_ms = match cursor.value(1)? {
                    Found::Number(latency) => Some(latency),
                    Found::Missing => None,
                    _ => return Err(Stop::Unusual),
                }
            }
            Field::Label => {
                scanned.label = match given(cursor.value(1)?) {
                    Found::Nested => return Err(Stop::Unusual),
                    label => label,
                }
            }
            Field::Score => reading.outer_score = given(cursor.value(1)?),
        }
        Ok(())
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
            None => self.shapes.expect(cursor, scanned),
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
            match cursor.value(1)? {
                score @ Found::Number(_) => scanned.score = score,
                label @ (Found::Bool(_) | Found::Text(_)) => scanned.prediction = label,
                Found::Missing => {}
                Found::Nested | Found::Absent => return Err(Stop::Unusual),
            }
            return Ok(());
        }
        let mut goes_on = !cursor.open()?;
        let mut before = self.prediction.len();
        while goes_on {
            before = known_or_remembered(&mut self.prediction, cursor, before)?;
            let value = cursor.value(2)?;
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

/// Values by the place of their names.
#[inline]
fn values(keys: &mut Keys, cursor: &mut Cursor<'_>, values: &mut [Found]) -> Result<(), Stop> {
    let mut goes_on = !cursor.open()?;
    let mut before = keys.len();
    while goes_on {
        let Key::Known(place) = keys.read(cursor, before)? else { return Err(Stop::UnknownName) };
        let slot = values.get_mut(place).ok_or(Stop::Unusual)?;
        put(slot, cursor.value(2)?)?;
        before = place;
        goes_on = cursor.behind()? == Behind::Comma;
    }
    Ok(())
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
#[inline]
fn known_or_remembered(keys: &mut Keys, cursor: &mut Cursor<'_>, before: usize) -> Result<usize, Stop> {
    match keys.read(cursor, before)? {
        Key::Known(place) => Ok(place),
        Key::Unknown(span) => Ok(remember(keys, span, cursor.payload())),
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
