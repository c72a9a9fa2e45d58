//! What one event's values look like while they wait in a batch: one word per column, then latency, then what joint
//! terms need of score and label.
//!
//! A word is either a number that is still to be looked up, by its bits, or the index of the counter that it increments,
//! in the low half of a NaN: no event holds one, since JSON has none. Everything but finite numbers of numeric columns
//! is an index from the beginning. Above the index of a value in no category stands its place among the new values.

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::latency;

use super::count::{outcome, truth};
use super::fit::Fit;
use super::plan::Plan;
use crate::event::scan::{Found, Scanned};
use crate::reference::{ColumnKind, Layout, Reference, Role, Value, new_value};

/// A quiet NaN: the mark of an index.
const INDEX: u64 = 0x7ff8 << 48;
/// Where the place of a new value stands in a word, one added to it: nothing stands there of any other value.
const NEW_VALUE: u32 = 32;
/// The index of no counter: a layout is never that long.
const NOWHERE: u32 = u32::MAX;

/// An event as the scanner left it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'e> {
    pub(super) scanned: &'e Scanned,
    pub(super) payload: &'e [u8],
}

/// How the values of a column become words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Finite numbers wait for their look-up.
    Double,
    /// The same, rounded to 32 bits before.
    Single,
    /// Texts are looked up at once, by their bytes.
    Text,
    /// Everything is looked up at once.
    Other,
}

/// One column of a row.
#[derive(Debug, Clone, Copy)]
struct Field {
    reading: Reading,
    /// Index of the column's first counter.
    begins: u32,
    cells: u32,
}

/// The rows of one plan.
#[derive(Debug)]
pub(super) struct RowShape {
    fields: Vec<Field>,
    numeric: Vec<u32>,
    /// Columns of which new values are told apart.
    told_apart: Vec<u32>,
    blank: Vec<u64>,
    /// Whether score and label stand at the end, as numbers.
    has_outcome: bool,
}

impl RowShape {
    pub(super) fn new(reference: &Reference, layout: &Layout) -> Self {
        let columns = || reference.columns.iter().enumerate();
        let reading = |column: &crate::reference::Column| match &column.binning {
            Binning::Numeric(_) if column.single_precision => Reading::Single,
            Binning::Numeric(_) => Reading::Double,
            Binning::Categorical(_) if column.kind == ColumnKind::Categorical => Reading::Text,
            Binning::Categorical(_) => Reading::Other,
        };
        let fields: Vec<Field> = columns()
            .map(|(index, column)| Field {
                reading: reading(column),
                begins: layout.index(index, 0) as u32,
                cells: column.binning.cells() as u32,
            })
            .collect();
        let numeric = (0..)
            .zip(&fields)
            .filter(|(_, field)| matches!(field.reading, Reading::Double | Reading::Single));
        // An event without a label says nothing of it; one without anything else lacks it.
        let absent = |(index, column): (usize, &crate::reference::Column)| match column.role {
            Role::Label => INDEX | u64::from(NOWHERE),
            Role::Feature | Role::Score | Role::Prediction => {
                INDEX | layout.index(index, column.slot(Value::Missing)) as u64
            }
        };
        let tells = |(index, _): &(usize, _)| layout.new_value(*index, 0).is_some();
        let told_apart = columns().filter(tells).map(|(index, _)| index as u32).collect();
        let has_outcome = reference.joint.residual.is_some();
        let outcome = [f64::NAN.to_bits(); 2];
        let blank = columns().map(absent).chain([INDEX | layout.latency_missing() as u64]);
        Self {
            blank: blank.chain(outcome.into_iter().filter(|_| has_outcome)).collect(),
            numeric: numeric.map(|(index, _)| index).collect(),
            fields,
            told_apart,
            has_outcome,
        }
    }

    /// The new values of a row: which column, and the place of its value.
    pub(super) fn new_values<'r>(
        &'r self,
        row: &'r [u64],
    ) -> impl Iterator<Item = (usize, usize)> + Clone + 'r {
        self.told_apart.iter().filter_map(|column| {
            let column = *column as usize;
            let place = usize::from((row.get(column)? >> NEW_VALUE) as u16);
            Some((column, place.checked_sub(1)?))
        })
    }

    /// The row of an event that holds nothing.
    pub(super) fn blank(&self) -> &[u64] {
        &self.blank
    }

    /// Words of a row, from the first on, that increment a counter each.
    pub(super) fn counted(&self) -> usize {
        self.fields.len() + 1
    }

    /// Columns that wait for their look-up.
    pub(super) fn numeric(&self) -> impl Iterator<Item = usize> {
        self.numeric.iter().map(|column| *column as usize)
    }

    /// The same, by position.
    pub(super) fn numeric_columns(&self) -> &[u32] {
        &self.numeric
    }

    /// The counter that a word increments once it is looked up; out of range for none.
    pub(super) fn index(word: u64) -> usize {
        word as u32 as usize
    }

    /// The word of a value that was looked up; one that already is an index stays it.
    pub(super) fn looked_up(&self, column: usize, word: u64, cell: usize) -> u64 {
        let index = INDEX | (u64::from(self.fields[column].begins) + cell as u64);
        std::hint::select_unpredictable(f64::from_bits(word).is_nan(), word, index)
    }

    /// Cell of a column's word, after the look-up; `usize::MAX` where the value is none.
    pub(super) fn cell(&self, column: usize, word: u64) -> usize {
        let Field { begins, cells, .. } = self.fields[column];
        let cell = (word as u32).wrapping_sub(begins);
        if cell < cells { cell as usize } else { usize::MAX }
    }

    /// Score and label of a row, if it has both.
    pub(super) fn outcome(&self, row: &[u64]) -> Option<(f64, f64)> {
        let at = self.counted();
        let number = |place: usize| Some(f64::from_bits(*row.get(place)?)).filter(|x| !x.is_nan());
        if self.has_outcome { number(at).zip(number(at + 1)) } else { None }
    }

    /// Writes the values of an event over a blank row; gives whether any of them is a new value.
    pub(super) fn fill(&self, row: &mut [u64], plan: &Plan, fit: &Fit, scan: Scan<'_>) -> bool {
        let Scan { scanned, payload } = scan;
        let mut any_new = false;
        for (found, column) in scanned.features.iter().zip(fit.columns()) {
            // Features that the reference does not know have no place.
            if let Some(word) = row.get_mut(*column as usize) {
                *word = self.word(plan, (*column as usize, found), payload, &mut any_new);
            }
        }
        let roles = [
            (plan.score(), &scanned.score),
            (plan.prediction(), &scanned.prediction),
            (plan.label(), &scanned.label),
        ];
        for (column, found) in roles {
            if let Some(column) = column
                && !matches!(found, Found::Absent | Found::Missing)
            {
                row[column] = self.word(plan, (column, found), payload, &mut any_new);
            }
        }
        if let Some(latency_ms) = scanned.latency_ms {
            let layout = &plan.layout;
            let bucket = latency::bucket(latency_ms);
            let index = bucket.map_or(layout.latency_invalid(), |bucket| layout.latency_bucket(bucket));
            row[self.fields.len()] = INDEX | index as u64;
        }
        if self.has_outcome {
            let bits = |number: Option<f64>| number.unwrap_or(f64::NAN).to_bits();
            let score = truth(value_of(&scanned.score, payload));
            let label = outcome(&plan.reference.joint, value_of(&scanned.label, payload));
            let at = self.counted();
            row[at..at + 2].copy_from_slice(&[bits(score), bits(label)]);
        }
        any_new
    }

    #[inline(always)]
    fn word(&self, plan: &Plan, (column, found): (usize, &Found), payload: &[u8], any_new: &mut bool) -> u64 {
        match (self.fields[column].reading, found) {
            (Reading::Double, Found::Number(x)) if x.is_finite() => x.to_bits(),
            (_, found) => self.other_word(plan, (column, found), payload, any_new),
        }
    }

    fn other_word(
        &self,
        plan: &Plan,
        (column, found): (usize, &Found),
        payload: &[u8],
        any_new: &mut bool,
    ) -> u64 {
        let of_reference = &plan.reference.columns[column];
        let slot = match (self.fields[column].reading, found, &of_reference.binning) {
            (Reading::Text, Found::Text(span), Binning::Categorical(categories)) => {
                categories.cell_of_bytes(span.bytes(payload))
            }
            (Reading::Single, Found::Number(x), _) if x.is_finite() => return f64::from(*x as f32).to_bits(),
            _ => of_reference.slot(value_of(found, payload)),
        };
        let word = self.word_of_slot(column, slot);
        // The cell of what is in no category is the last one.
        if slot + 1 != self.fields[column].cells as usize || plan.layout.new_value(column, 0).is_none() {
            return word;
        }
        let place = match found {
            Found::Text(span) => Some(new_value(span.bytes(payload))),
            _ => of_reference.new_value(value_of(found, payload)),
        };
        *any_new |= place.is_some();
        place.map_or(word, |place| word | (place as u64 + 1) << NEW_VALUE)
    }

    fn word_of_slot(&self, column: usize, slot: usize) -> u64 {
        INDEX | (u64::from(self.fields[column].begins) + slot as u64)
    }
}

/// The value as the reference counts it.
pub(super) fn value_of<'e>(found: &Found, payload: &'e [u8]) -> Value<'e> {
    match found {
        Found::Absent | Found::Missing => Value::Missing,
        Found::Number(x) => Value::Number(*x),
        Found::Bool(truth) => Value::Bool(*truth),
        Found::Text(span) => Value::Text(span.text(payload)),
        Found::Nested => Value::Nested,
    }
}
