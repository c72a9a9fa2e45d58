//! Avro events, read by their schema straight into what the JSON scanner yields: no tree between, and no allocation once
//! schema and names are known. A field means what the field of the same name means in JSON.
//!
//! | what | file |
//! |---|---|
//! | a schema as nodes | `schema.rs`, `parse.rs` |
//! | what is done with each field of an event | `program.rs` |
//! | numbers, texts and whatever else stands in the bytes | `reading.rs` |
//! | the event, field by field | `walk.rs` |
//! | members of features and segment | `names.rs` |
//! | which schema a record has | `known.rs` |

mod known;
mod names;
mod parse;
mod program;
mod reading;
mod schema;
mod walk;

use std::borrow::Cow;

use super::scan::{Form, Found, Learned, Scanned, Shape, Shapes};
use super::{Event, Limits, Refusal, Scalar};
use known::Known;
use names::{Gathered, Name, Placed};
use program::Program;
use reading::Reading;

pub use known::{FRAME, MAX_SCHEMAS};
pub use schema::{MAX_SCHEMA_BYTES, Schema, SchemaError};

/// A buffer that grew larger than this for one record is given back.
const KEPT_BUFFER: usize = 64 << 10;

/// An event that was read.
#[derive(Debug)]
pub enum Read<'r> {
    /// Its values by the places of a shape, and the bytes in which its texts stand.
    Placed(&'r Scanned, &'r Shape, &'r [u8]),
    /// One whose names were not learned.
    Whole(Box<Event<'r>>),
}

impl<'r> Read<'r> {
    /// The event with all of its values.
    #[must_use]
    pub fn event(self) -> Event<'r> {
        match self {
            Self::Placed(scanned, shape, bytes) => scanned.event(bytes, shape),
            Self::Whole(event) => *event,
        }
    }
}

/// Reads Avro events and remembers their schemas and names.
///
/// ```
/// use anchorwatch::event::{Limits, avro::{AvroReader, Schema}};
///
/// let schema = r#"{"type": "record", "name": "Event", "fields": [
///     {"name": "model", "type": "string"},
///     {"name": "features", "type": {"type": "map", "values": "double"}}]}"#;
/// let mut reader = AvroReader::new(Limits { max_bytes: 1 << 20, max_features: 1_024, max_depth: 16 });
/// reader.set_schema(Schema::parse(schema, &[]).expect("a schema"));
/// let record = [&b"\x0afraud\x02\x0camount"[..], &12.5_f64.to_le_bytes(), b"\x00"].concat();
/// let event = reader.read(&record).expect("an event").event();
/// assert_eq!(event.model.as_deref(), Some("fraud"));
/// ```
#[derive(Debug)]
pub struct AvroReader {
    limits: Limits,
    known: Known,
    shapes: Shapes,
    scanned: Scanned,
    gathered: Gathered,
    /// Symbols of enums, and the record behind them.
    buffer: Vec<u8>,
    /// The program whose symbols stand in the buffer.
    prefixed: Option<u64>,
}

impl AvroReader {
    /// A reader that has no schema yet, and takes records to be framed until it gets one for all.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            known: Known::default(),
            shapes: Shapes::new(limits.max_features, Form::Avro),
            scanned: Scanned::default(),
            gathered: Gathered::default(),
            buffer: Vec::new(),
            prefixed: None,
        }
    }

    /// Records are no longer framed: all have this schema.
    pub fn set_schema(&mut self, schema: Schema) {
        self.known.set_only(schema);
    }

    /// The schema with this number was looked up: it is this one, or there is none that can be used.
    pub fn learn_schema(&mut self, id: u32, schema: Option<Schema>) {
        self.known.learn(id, schema);
    }

    /// Number of the schema that must be looked up before this record is read. Whoever is told so and reads it all the
    /// same gets [`Refusal::UnknownSchema`].
    #[inline]
    pub fn lacks(&mut self, payload: &[u8]) -> Option<u32> {
        self.known.lacks(payload)
    }

    /// Forgets the numbers that have no schema, so that they are looked up again.
    pub fn forget_missing(&mut self) {
        self.known.forget_missing();
    }

    /// How much was learned of names so far.
    #[must_use]
    pub fn learned(&self) -> Learned {
        self.shapes.learned()
    }

    /// Reads one event.
    ///
    /// # Errors
    /// The [`Refusal`] that says why the bytes are not an event.
    pub fn read<'r>(&'r mut self, payload: &'r [u8]) -> Result<Read<'r>, Refusal> {
        if payload.is_empty() {
            return Err(Refusal::Empty);
        }
        let (bytes, limit) = (payload.len(), self.limits.max_bytes);
        if bytes > limit {
            return Err(Refusal::TooLarge { bytes, limit });
        }
        let Self { limits, known, shapes, scanned, gathered, buffer, prefixed } = self;
        let (program, frame) = known.program(payload)?;
        let place = if program.prefix.is_empty() {
            (payload, frame)
        } else {
            let symbols = program.prefix.len();
            if *prefixed != Some(program.mark) {
                buffer.clear();
                buffer.extend_from_slice(&program.prefix);
                *prefixed = Some(program.mark);
            }
            buffer.truncate(symbols);
            if buffer.capacity() > symbols + KEPT_BUFFER.max(bytes) {
                buffer.shrink_to(symbols + bytes);
            }
            buffer.extend_from_slice(payload);
            (buffer.as_slice(), symbols + frame)
        };
        if u32::try_from(place.0.len()).is_err() {
            return Err(Refusal::TooLarge { bytes, limit: u32::MAX as usize });
        }
        shapes.saw_event();
        let mut turn = Turn { program, limits, place, scanned, shapes };
        match turn.placed(None) {
            Ok(()) => {}
            Err(Some(refusal)) => return Err(refusal),
            // A name that the shape lacks.
            Err(None) => {
                turn.gather(gathered)?;
                if !turn.learn(gathered) {
                    return Ok(Read::Whole(Box::new(turn.whole(gathered))));
                }
            }
        }
        Ok(Read::Placed(&*scanned, shapes.get(scanned.shape), place.0))
    }
}

/// One record with all that its reading takes.
struct Turn<'r, 't> {
    program: &'r mut Program,
    limits: &'t Limits,
    place: (&'r [u8], usize),
    scanned: &'t mut Scanned,
    shapes: &'t mut Shapes,
}

impl<'r> Turn<'r, '_> {
    /// Reads the event into places of a shape. `Err(None)` where it has other names.
    fn placed(&mut self, shape: Option<u32>) -> Result<(), Option<Refusal>> {
        self.scanned.clear();
        let shape = shape.map(|shape| self.shapes.take(shape, self.scanned));
        let Program { schema, symbols, mark, fits, events, .. } = &mut *self.program;
        let mut reading = Reading::new(self.place, (schema, symbols), self.limits);
        let mut names = Placed { shapes: self.shapes, fits, mark: *mark, shape };
        let read = Program::steps(events, &mut reading)
            .and_then(|steps| reading.event(steps, &mut names, self.scanned));
        let taken = names.shape;
        read.map_err(|_| reading.refusal())?;
        if taken.is_none() {
            self.shapes.take(0, self.scanned);
        }
        Ok(())
    }

    /// Reads the event with the names of its members.
    fn gather(&mut self, gathered: &mut Gathered) -> Result<(), Refusal> {
        self.scanned.clear();
        gathered.features.clear();
        gathered.segment.clear();
        let Program { schema, symbols, events, .. } = &*self.program;
        let mut reading = Reading::new(self.place, (schema, symbols), self.limits);
        let read = Program::steps(events, &mut reading)
            .and_then(|steps| reading.event(steps, gathered, self.scanned));
        // It stops for no other reason than a refusal.
        read.map_err(|_| {
            reading.refusal().unwrap_or(Refusal::NotAvro { at: 0, problem: "it cannot be read" })
        })
    }

    /// Learns the names that were gathered and reads the event again.
    fn learn(&mut self, gathered: &Gathered) -> bool {
        if !self.shapes.may_learn() {
            return false;
        }
        let text = |(name, _): &(Name, Found)| name.text(self.place.0, &self.program.schema);
        let features: Vec<&str> = gathered.features.iter().map(text).collect();
        let segment: Vec<&str> = gathered.segment.iter().map(text).collect();
        let Some(shape) = self.shapes.learn(&features, &segment) else { return false };
        self.placed(Some(shape)).is_ok()
    }

    /// The event as it was gathered.
    fn whole(self, gathered: &Gathered) -> Event<'r> {
        let Self { program, place: (bytes, _), scanned, .. } = self;
        let schema: &'r Schema = &program.schema;
        let fields = |members: &[(Name, Found)]| -> Vec<(Cow<'r, str>, Scalar<'r>)> {
            let named = members.iter();
            named
                .filter_map(|(name, value)| {
                    Some((Cow::Borrowed(name.text(bytes, schema)), value.scalar(bytes)?))
                })
                .collect()
        };
        let mut event = scanned.outline(bytes);
        event.features = event.features.map(|_| fields(&gathered.features));
        event.segment = fields(&gathered.segment);
        event
    }
}

#[cfg(test)]
mod tests;
