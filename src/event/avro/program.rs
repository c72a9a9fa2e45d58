//! What is done with each field of an event, found out once per schema.

use std::collections::HashSet;

use super::reading::{Reading, Stop};
use super::schema::{Node, NodeId, Schema, Stretch};
use crate::event::Refusal;
use crate::event::scan::{Shape, Span};

/// A field of the event, as `json.rs` names them.
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
    /// Nobody counts it.
    Other,
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

/// One field in the order of the bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) field: Field,
    pub(super) node: NodeId,
}

/// Where the fields of a record of features, or of segment fields, go in a shape.
#[derive(Debug)]
pub(super) struct Fit {
    pub(super) record: NodeId,
    of_features: bool,
    /// The shape that `places` is of.
    shape: Option<u32>,
    places: Vec<u32>,
}

impl Fit {
    /// Place of each field; `None` if the shape lacks one.
    #[inline]
    pub(super) fn places(&mut self, schema: &Schema, fields: Stretch, shape: &Shape) -> Option<&[u32]> {
        if self.shape != Some(shape.id()) {
            self.find(schema, fields, shape)?;
        }
        Some(&self.places)
    }

    #[cold]
    fn find(&mut self, schema: &Schema, fields: Stretch, shape: &Shape) -> Option<()> {
        self.shape = None;
        self.places.clear();
        let names = if self.of_features { shape.features() } else { shape.segment() };
        for field in schema.children(fields) {
            let place = names.iter().position(|name| *name == field.name)?;
            self.places.push(u32::try_from(place).ok()?);
        }
        self.shape = Some(shape.id());
        Some(())
    }
}

/// A schema that is ready to be read by.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) schema: Schema,
    /// For the root, and each branch of one that is a union: the steps of its record.
    pub(super) events: Vec<(NodeId, Vec<Step>)>,
    pub(super) fits: Vec<Fit>,
    /// Texts of the symbols, which stand before the record where it is read.
    pub(super) prefix: Vec<u8>,
    /// Place of each symbol in it.
    pub(super) symbols: Vec<Span>,
    /// Tells this program from others where shapes are guessed.
    pub(super) mark: u64,
}

impl Program {
    pub(super) fn new(schema: Schema, mark: u64) -> Self {
        let mut program = Self {
            events: Vec::new(),
            fits: Vec::new(),
            prefix: Vec::new(),
            symbols: vec![Span::new(0, 0); schema.symbols.len()],
            mark: (mark + 1).wrapping_mul(0xd6e8_feb8_6659_fd93),
            schema,
        };
        let mut wanted = HashSet::new();
        for id in program.schema.branches(program.schema.root) {
            let Node::Record(fields) = program.schema.node(id) else { continue };
            let steps = program.schema.children(fields).iter().map(|child| {
                let known = FIELDS.iter().find(|(_, name)| **name == *child.name);
                Step { field: known.map_or(Field::Other, |(field, _)| *field), node: child.node }
            });
            let steps: Vec<Step> = steps.collect();
            for step in steps.iter().filter(|step| step.field != Field::Other) {
                program.want(*step, &mut wanted);
            }
            program.events.push((id, steps));
        }
        program
    }

    /// Steps of the event that begins here.
    #[inline]
    pub(super) fn steps<'e>(
        events: &'e [(NodeId, Vec<Step>)],
        reading: &mut Reading<'_>,
    ) -> Result<&'e [Step], Stop> {
        let (id, _) = reading.chosen(reading.schema.root)?;
        match events.iter().find(|(node, _)| *node == id) {
            Some((_, steps)) => Ok(steps),
            None => Err(reading.refuse(Refusal::WrongShape { field: "event", expected: "an object" })),
        }
    }

    /// Prepares what is read of a field.
    fn want(&mut self, step: Step, wanted: &mut HashSet<NodeId>) {
        for id in self.schema.branches(step.node) {
            match self.schema.node(id) {
                Node::Record(fields) => {
                    if matches!(step.field, Field::Features | Field::Segment) {
                        let of_features = step.field == Field::Features;
                        self.fits.push(Fit { record: id, of_features, shape: None, places: Vec::new() });
                    }
                    for place in fields.range() {
                        self.want_text(self.schema.children[place].node, wanted);
                    }
                }
                Node::Map(values) => self.want_text(values, wanted),
                _ => self.want_text(id, wanted),
            }
        }
    }

    /// Lays the symbols of a value into the prefix, if it can be an enum.
    fn want_text(&mut self, id: NodeId, wanted: &mut HashSet<NodeId>) {
        for id in self.schema.branches(id) {
            let Node::Enum(symbols) = self.schema.node(id) else { continue };
            if !wanted.insert(id) {
                continue;
            }
            for place in symbols.range() {
                let start = self.prefix.len();
                self.prefix.extend_from_slice(self.schema.symbols[place].as_bytes());
                self.symbols[place] = Span::new(start, self.prefix.len());
            }
        }
    }

    /// What was prepared for a record of features, or of segment fields.
    pub(super) fn fit(fits: &mut [Fit], record: NodeId, of_features: bool) -> Option<&mut Fit> {
        fits.iter_mut().find(|fit| fit.record == record && fit.of_features == of_features)
    }
}
