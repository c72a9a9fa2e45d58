//! From a record's bytes to an event, in the format that the configuration names.

use crate::config::{Config, EventFormat};
use crate::event::avro::{AvroReader, Read, Schema};
use crate::event::scan::{Learned, Scanner};
use crate::event::{self, Event, Limits, Record, Refusal};
use crate::window::Usual;

/// Reads records of one format.
#[derive(Debug)]
pub(super) struct Decoder {
    limits: Limits,
    format: Format,
}

#[derive(Debug)]
enum Format {
    Json(Box<Scanner>),
    Avro(Box<AvroReader>),
}

/// An event that was read.
pub(super) enum Decoded<'r> {
    /// Where it was found.
    Usual(Usual<'r>),
    /// As it was decoded.
    Whole(Box<Event<'r>>),
}

impl Decoder {
    pub(super) fn new(config: &Config) -> Self {
        let limits = Limits {
            max_bytes: config.events.max_bytes,
            max_features: config.events.max_features,
            max_depth: config.events.max_depth,
        };
        let format = match config.events.format {
            EventFormat::Json => Format::Json(Box::new(Scanner::new(limits))),
            EventFormat::Avro => Format::Avro(Box::new(AvroReader::new(limits))),
        };
        Self { limits, format }
    }

    /// Reads a record.
    #[inline]
    pub(super) fn read<'r>(&'r mut self, payload: Option<&'r [u8]>) -> Result<Decoded<'r>, Refusal> {
        let payload = payload.ok_or(Refusal::Empty)?;
        match &mut self.format {
            Format::Json(scanner) => {
                if scanner.scan(payload).is_none() {
                    return event::decode(payload, &self.limits).map(|event| Decoded::Whole(Box::new(event)));
                }
                let (scanned, shape) = scanner.last();
                Ok(Decoded::Usual(Usual { scanned, shape, payload }))
            }
            Format::Avro(reader) => Ok(match reader.read(payload)? {
                Read::Placed(scanned, shape, payload) => Decoded::Usual(Usual { scanned, shape, payload }),
                Read::Whole(event) => Decoded::Whole(event),
            }),
        }
    }

    /// Number of the schema that must be looked up before a record is read.
    #[inline]
    pub(super) fn lacks(&mut self, record: &Record<'_>) -> Option<u32> {
        match &mut self.format {
            Format::Json(_) => None,
            Format::Avro(reader) => reader.lacks(record.payload?),
        }
    }

    /// The reader of Avro, if that is the format.
    pub(super) fn avro(&mut self) -> Option<&mut AvroReader> {
        match &mut self.format {
            Format::Json(_) => None,
            Format::Avro(reader) => Some(reader),
        }
    }

    pub(super) fn learned(&self) -> Learned {
        match &self.format {
            Format::Json(scanner) => scanner.learned(),
            Format::Avro(reader) => reader.learned(),
        }
    }
}

impl super::Engine {
    /// All events have this schema; without effect where they are JSON.
    pub fn set_event_schema(&mut self, schema: Schema) {
        if let Some(reader) = self.decoder.avro() {
            reader.set_schema(schema);
        }
    }

    /// Number of the schema that must be looked up before this record is ingested. One that is ingested without is refused.
    #[inline]
    pub fn lacks_schema(&mut self, record: &Record<'_>) -> Option<u32> {
        self.decoder.lacks(record)
    }

    /// The schema with this number was looked up: it is this one, or there is none that can be used.
    pub fn learn_schema(&mut self, id: u32, schema: Option<Schema>) {
        if let Some(reader) = self.decoder.avro() {
            reader.learn_schema(id, schema);
        }
    }

    /// Forgets the numbers that have no schema, so that they are looked up again.
    pub fn forget_missing_schemas(&mut self) {
        if let Some(reader) = self.decoder.avro() {
            reader.forget_missing();
        }
    }
}
