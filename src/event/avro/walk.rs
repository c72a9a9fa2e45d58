//! One event, field by field, with the meaning that `json.rs` gives the same fields in JSON.

use super::names::Names;
use super::program::{Field, Step};
use super::reading::{Reading, Stop};
use super::schema::{Node, NodeId, Stretch, Tick};
use crate::event::scan::{Found, Scanned, Span};
use crate::event::{MAX_NAME_BYTES, MAX_SEGMENT_FIELDS, Refusal, timestamp};
use crate::subject::Millis;

impl Reading<'_> {
    /// Reads the fields of an event.
    pub(super) fn event(
        &mut self,
        steps: &[Step],
        names: &mut impl Names,
        scanned: &mut Scanned,
    ) -> Result<(), Stop> {
        let mut outer_score = Found::Absent;
        for step in steps {
            self.field(*step, names, scanned, &mut outer_score)?;
        }
        self.end()?;
        if matches!(scanned.score, Found::Absent) {
            scanned.score = outer_score;
        }
        Ok(())
    }

    #[inline(always)]
    fn field(
        &mut self,
        step: Step,
        names: &mut impl Names,
        scanned: &mut Scanned,
        outer_score: &mut Found,
    ) -> Result<(), Stop> {
        let node = step.node;
        match step.field {
            Field::Other => self.skip(node, 1)?,
            Field::Id => self.name("id", node, &mut scanned.id)?,
            Field::Version => self.name("version", node, &mut scanned.version)?,
            Field::Model => {
                let mut found = Found::Absent;
                self.name("model", node, &mut found)?;
                scanned.model = match found {
                    Found::Text(span) => Some(span),
                    Found::Number(_) => return Err(self.wrong("model", "a text")),
                    _ => None,
                }
            }
            Field::Ts => scanned.ts = self.time(node)?,
            Field::LatencyMs => {
                let mut found = Found::Absent;
                self.value(node, 1, &mut found)?;
                scanned.latency_ms = match found {
                    Found::Number(latency) => Some(latency),
                    Found::Missing => None,
                    _ => return Err(self.wrong("latency_ms", "a number of milliseconds")),
                }
            }
            Field::Label => {
                self.given(node, &mut scanned.label)?;
                if scanned.label == Found::Nested {
                    return Err(self.wrong("label", "a text, number or boolean"));
                }
            }
            Field::Score => self.given(node, outer_score)?,
            Field::Prediction => self.prediction(node, scanned)?,
            Field::Features => self.object(node, true, names, scanned)?,
            Field::Segment => self.object(node, false, names, scanned)?,
        }
        Ok(())
    }

    #[cold]
    fn wrong(&mut self, field: &'static str, expected: &'static str) -> Stop {
        self.refuse(Refusal::WrongShape { field, expected })
    }

    /// A value for which null is as good as none.
    fn given(&mut self, node: NodeId, found: &mut Found) -> Result<(), Stop> {
        self.value(node, 1, found)?;
        if matches!(found, Found::Missing) {
            *found = Found::Absent;
        }
        Ok(())
    }

    /// A name or identity: a text within its bound, or a number.
    #[inline]
    fn name(&mut self, field: &'static str, node: NodeId, found: &mut Found) -> Result<(), Stop> {
        self.given(node, found)?;
        match found {
            Found::Text(span) if span.len() > MAX_NAME_BYTES => Err(self.too_long()),
            Found::Bool(_) | Found::Nested => Err(self.wrong(field, "a text")),
            _ => Ok(()),
        }
    }

    #[cold]
    pub(super) fn too_long(&mut self) -> Stop {
        self.refuse(Refusal::NameTooLong { limit: MAX_NAME_BYTES })
    }

    fn time(&mut self, id: NodeId) -> Result<Option<Millis>, Stop> {
        let (id, node) = self.chosen(id)?;
        let time = match node {
            Node::Null => return Ok(None),
            Node::Time(tick) => {
                let ticks = self.long()?;
                match tick {
                    Tick::Milli => timestamp::plausible(ticks),
                    Tick::Micro => timestamp::plausible(ticks.div_euclid(1_000)),
                    Tick::Nano => timestamp::plausible(ticks.div_euclid(1_000_000)),
                    Tick::Local => Err(Refusal::BadTimestamp { problem: "a local time, without its zone" }),
                }
            }
            Node::Long => timestamp::plausible(self.long()?),
            _ => {
                let mut found = Found::Absent;
                self.plain(id, 1, &mut found)?;
                match found {
                    Found::Number(millis) => timestamp::from_float(millis),
                    Found::Text(span) => timestamp::from_text(span.text(self.payload())),
                    _ => Err(Refusal::BadTimestamp { problem: "neither a number nor a text" }),
                }
            }
        };
        time.map(Some).map_err(|refusal| self.refuse(refusal))
    }

    /// `prediction`: a label, a number, or `{label, score}` as a record or a map.
    fn prediction(&mut self, id: NodeId, scanned: &mut Scanned) -> Result<(), Stop> {
        const EXPECTED: &str = "a label, a number or an object of label and score";
        let (id, node) = self.chosen(id)?;
        match node {
            Node::Null => {}
            Node::Array(_) | Node::Bytes | Node::Fixed(_) => return Err(self.wrong("prediction", EXPECTED)),
            Node::Record(fields) => {
                let schema = self.schema;
                for field in schema.children(fields) {
                    self.predicted(field.name.as_bytes(), field.node, scanned)?;
                }
            }
            Node::Map(values) => loop {
                let count = self.block()?;
                if count == 0 {
                    break;
                }
                for _ in 0..count {
                    let name = self.text()?.bytes(self.payload());
                    self.predicted(name, values, scanned)?;
                }
            },
            _ => {
                let mut found = Found::Absent;
                self.plain(id, 1, &mut found)?;
                match found {
                    Found::Number(_) => scanned.score = found,
                    Found::Bool(_) | Found::Text(_) => scanned.prediction = found,
                    _ => return Err(self.wrong("prediction", EXPECTED)),
                }
            }
        }
        Ok(())
    }

    /// Reads a member of `prediction`.
    fn predicted(&mut self, name: &[u8], node: NodeId, scanned: &mut Scanned) -> Result<(), Stop> {
        let slot = match name {
            b"label" => &mut scanned.prediction,
            b"score" => &mut scanned.score,
            _ => return self.skip(node, 2),
        };
        if !matches!(slot, Found::Absent) {
            return Err(self.refuse(Refusal::DuplicateKey { object: "prediction" }));
        }
        self.value(node, 2, slot)
    }

    /// `features` or `segment`: a record or map of name and value, or null.
    fn object(
        &mut self,
        id: NodeId,
        of_features: bool,
        names: &mut impl Names,
        scanned: &mut Scanned,
    ) -> Result<(), Stop> {
        let (id, node) = self.chosen(id)?;
        match node {
            Node::Null => return Ok(()),
            Node::Record(fields) => names.record(self, (id, fields), of_features, scanned)?,
            Node::Map(values) => names.map(self, values, of_features, scanned)?,
            _ => {
                let field = if of_features { "features" } else { "segment" };
                return Err(self.wrong(field, "an object of name and value"));
            }
        }
        scanned.has_features |= of_features;
        Ok(())
    }

    /// The name of a member of a map.
    pub(super) fn member_name(&mut self) -> Result<Span, Stop> {
        let name = self.text()?;
        if name.len() > MAX_NAME_BYTES {
            return Err(self.too_long());
        }
        Ok(name)
    }

    /// How many members an object may have.
    pub(super) const fn most(&self, of_features: bool) -> usize {
        if of_features { self.max_features } else { MAX_SEGMENT_FIELDS }
    }
}

/// The fields of a record, by the place of their stretch.
pub(super) type Fields = (NodeId, Stretch);
