//! The members of `features` and `segment`: by the places of a shape that is known, or with their names.

use super::program::{Fit, Program};
use super::reading::{Reading, Stop};
use super::schema::{NodeId, Schema};
use super::walk::Fields;
use crate::event::Refusal;
use crate::event::scan::{Found, Keys, Scanned, Shapes, Span};

/// What becomes of the members of an object.
pub(super) trait Names {
    /// The fields of a record.
    fn record(
        &mut self,
        reading: &mut Reading<'_>,
        fields: Fields,
        of_features: bool,
        scanned: &mut Scanned,
    ) -> Result<(), Stop>;

    /// The members of a map with values of this type.
    fn map(
        &mut self,
        reading: &mut Reading<'_>,
        values: NodeId,
        of_features: bool,
        scanned: &mut Scanned,
    ) -> Result<(), Stop>;
}

/// Members by their place in a shape that is known. A [`Stop`] without a refusal: it has other names.
pub(super) struct Placed<'s> {
    pub(super) shapes: &'s mut Shapes,
    pub(super) fits: &'s mut [Fit],
    pub(super) mark: u64,
    pub(super) shape: Option<u32>,
}

impl Placed<'_> {
    /// The shape of this event, guessed by where its names begin.
    #[inline]
    fn shape(&mut self, reading: &Reading<'_>, first: u64, scanned: &mut Scanned) -> u32 {
        let guess = || self.shapes.expect(reading.payload(), first ^ self.mark, scanned);
        let shape = self.shape.unwrap_or_else(guess);
        self.shape = Some(shape);
        shape
    }
}

impl Names for Placed<'_> {
    #[inline]
    fn record(
        &mut self,
        reading: &mut Reading<'_>,
        (id, fields): Fields,
        of_features: bool,
        scanned: &mut Scanned,
    ) -> Result<(), Stop> {
        let schema: &Schema = reading.schema;
        let shape = self.shape(reading, u64::from(id), scanned);
        let fit = Program::fit(self.fits, id, of_features).ok_or(Stop)?;
        let places = fit.places(schema, fields, self.shapes.get(shape)).ok_or(Stop)?;
        let slots = if of_features { &mut scanned.features } else { &mut scanned.segment };
        for (field, place) in schema.children(fields).iter().zip(places) {
            reading.value(field.node, 2, slots.get_mut(*place as usize).ok_or(Stop)?)?;
        }
        Ok(())
    }

    #[inline]
    fn map(
        &mut self,
        reading: &mut Reading<'_>,
        values: NodeId,
        of_features: bool,
        scanned: &mut Scanned,
    ) -> Result<(), Stop> {
        let mut count = reading.block()?;
        if count == 0 {
            return Ok(());
        }
        let first = reading.payload().get(reading.at()..).and_then(|rest| rest.first_chunk());
        let shape = self.shape(reading, first.map_or(0, |bytes| u64::from_le_bytes(*bytes)), scanned);
        let (features, segment) = self.shapes.keys(shape).ok_or(Stop)?;
        let (keys, slots) =
            if of_features { (features, &mut scanned.features) } else { (segment, &mut scanned.segment) };
        let mut before = keys.len();
        while count > 0 {
            for _ in 0..count {
                let place = place(keys, reading, before)?;
                before = place;
                match slots.get_mut(place) {
                    Some(slot @ Found::Absent) => reading.value(values, 2, slot)?,
                    // Twice the same name: the other way of reading says so.
                    _ => return Err(Stop),
                }
            }
            count = reading.block()?;
        }
        Ok(())
    }
}

/// Passes a name and returns its place.
#[inline(always)]
fn place(keys: &mut Keys, reading: &mut Reading<'_>, before: usize) -> Result<usize, Stop> {
    if let Some((place, length)) = keys.expected(reading.payload(), reading.at(), before) {
        reading.move_on(length);
        return Ok(place);
    }
    other_place(keys, reading, before)
}

#[inline(never)]
fn other_place(keys: &mut Keys, reading: &mut Reading<'_>, before: usize) -> Result<usize, Stop> {
    let name = reading.member_name()?;
    let place = keys.named(name.bytes(reading.payload())).ok_or(Stop)?;
    keys.follows(before, place);
    Ok(place)
}

/// A name, by where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name {
    /// In the bytes.
    Read(Span),
    /// In the schema, as that of a record's field.
    Field(u32),
}

impl Name {
    pub(super) fn text<'t>(self, payload: &'t [u8], schema: &'t Schema) -> &'t str {
        match self {
            Self::Read(span) => span.text(payload),
            Self::Field(place) => schema.children.get(place as usize).map_or("", |child| &child.name),
        }
    }
}

/// Members with their names, in the order in which they were met.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) features: Vec<(Name, Found)>,
    pub(super) segment: Vec<(Name, Found)>,
}

impl Gathered {
    fn push(
        &mut self,
        reading: &mut Reading<'_>,
        name: Name,
        values: NodeId,
        of_features: bool,
    ) -> Result<(), Stop> {
        let most = reading.most(of_features);
        let members = if of_features { &mut self.features } else { &mut self.segment };
        if members.len() >= most {
            return Err(reading.refuse(Refusal::TooManyFeatures { limit: most }));
        }
        let mut found = Found::Absent;
        reading.value(values, 2, &mut found)?;
        members.push((name, found));
        Ok(())
    }
}

impl Names for Gathered {
    fn record(
        &mut self,
        reading: &mut Reading<'_>,
        (_, fields): Fields,
        of_features: bool,
        _: &mut Scanned,
    ) -> Result<(), Stop> {
        let schema: &Schema = reading.schema;
        for (field, place) in schema.children(fields).iter().zip(fields.start..) {
            if field.name.len() > crate::event::MAX_NAME_BYTES {
                return Err(reading.too_long());
            }
            self.push(reading, Name::Field(place), field.node, of_features)?;
        }
        Ok(())
    }

    fn map(
        &mut self,
        reading: &mut Reading<'_>,
        values: NodeId,
        of_features: bool,
        _: &mut Scanned,
    ) -> Result<(), Stop> {
        loop {
            let count = reading.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                let name = reading.member_name()?;
                self.push(reading, Name::Read(name), values, of_features)?;
            }
        }
        let members = if of_features { &self.features } else { &self.segment };
        let payload = reading.payload();
        let mut names: Vec<&[u8]> = members
            .iter()
            .filter_map(
                |(name, _)| if let Name::Read(span) = name { Some(span.bytes(payload)) } else { None },
            )
            .collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            let object = if of_features { "features" } else { "segment" };
            return Err(reading.refuse(Refusal::DuplicateKey { object }));
        }
        Ok(())
    }
}
