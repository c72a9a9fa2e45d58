//! Which schema a record has: one for all, or the one whose number stands before it, as schema registries have it.

use std::collections::HashMap;

use super::program::Program;
use super::schema::Schema;
use crate::event::Refusal;

/// Bytes before a framed record: a zero, and the number of its schema.
pub const FRAME: usize = 5;
/// Most schemas that are remembered, those that cannot be used included; the one that was not used for longest makes
/// room.
pub const MAX_SCHEMAS: usize = 256;
/// Records that pay for looking one schema up, once so many were.
const RECORDS_A_SCHEMA: u64 = 64;
const MAX_CREDIT: u64 = RECORDS_A_SCHEMA * MAX_SCHEMAS as u64;

/// What is known of a number.
#[derive(Debug)]
struct Entry {
    id: u32,
    /// `None` where there is no schema that can be used.
    program: Option<Box<Program>>,
    /// The record that used it last, by number.
    used: u64,
}

/// The schemas that are known.
#[derive(Debug)]
pub(super) struct Known {
    only: Option<Box<Program>>,
    entries: Vec<Entry>,
    places: HashMap<u32, usize>,
    /// The entry that was used last.
    last: usize,
    records: u64,
    credit: u64,
    made: u64,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            only: None,
            entries: Vec::new(),
            places: HashMap::new(),
            last: 0,
            records: 0,
            credit: MAX_CREDIT,
            made: 0,
        }
    }
}

impl Known {
    pub(super) fn set_only(&mut self, schema: Schema) {
        self.made += 1;
        self.only = Some(Box::new(Program::new(schema, self.made)));
    }

    pub(super) fn learn(&mut self, id: u32, schema: Option<Schema>) {
        self.made += 1;
        let made = self.made;
        let program = schema.map(|schema| Box::new(Program::new(schema, made)));
        let entry = Entry { id, program, used: self.records };
        if let Some(place) = self.places.get(&id) {
            self.entries[*place] = entry;
        } else if self.entries.len() < MAX_SCHEMAS {
            self.places.insert(id, self.entries.len());
            self.entries.push(entry);
        } else if let Some((place, oldest)) =
            self.entries.iter_mut().enumerate().min_by_key(|(_, entry)| entry.used)
        {
            self.places.remove(&oldest.id);
            self.places.insert(id, place);
            *oldest = entry;
        }
    }

    /// Forgets the numbers without a schema, so that they are looked up again.
    pub(super) fn forget_missing(&mut self) {
        self.entries.retain(|entry| entry.program.is_some());
        self.places = self.entries.iter().enumerate().map(|(place, entry)| (entry.id, place)).collect();
        self.last = 0;
    }

    pub(super) fn lacks(&mut self, payload: &[u8]) -> Option<u32> {
        if self.only.is_some() {
            return None;
        }
        let id = number(payload)?;
        let is_last = self.entries.get(self.last).is_some_and(|entry| entry.id == id);
        if is_last || self.places.contains_key(&id) || self.credit < RECORDS_A_SCHEMA {
            return None;
        }
        self.credit -= RECORDS_A_SCHEMA;
        Some(id)
    }

    /// The program for a record, and where its body begins.
    #[inline]
    pub(super) fn program(&mut self, payload: &[u8]) -> Result<(&mut Program, usize), Refusal> {
        let Self { only, entries, places, last, records, credit, .. } = self;
        if let Some(only) = only {
            return Ok((only, 0));
        }
        *records += 1;
        *credit = (*credit + 1).min(MAX_CREDIT);
        let problem = "it does not begin with a zero and the number of a schema";
        let id = number(payload).ok_or(Refusal::NotAvro { at: 0, problem })?;
        let is_last = entries.get(*last).is_some_and(|entry| entry.id == id);
        if !is_last {
            *last = places.get(&id).copied().ok_or(Refusal::UnknownSchema { id })?;
        }
        let entry = entries.get_mut(*last).ok_or(Refusal::UnknownSchema { id })?;
        entry.used = *records;
        let program = entry.program.as_mut().ok_or(Refusal::UnknownSchema { id })?;
        Ok((program, FRAME))
    }
}

#[cfg(test)]
impl Known {
    pub(super) fn size(&self) -> usize {
        self.entries.len().max(self.places.len())
    }
}

/// Number of the schema of a framed record.
#[inline]
fn number(payload: &[u8]) -> Option<u32> {
    match payload.first_chunk::<FRAME>()? {
        [0, id @ ..] => Some(u32::from_be_bytes(*id)),
        _ => None,
    }
}
