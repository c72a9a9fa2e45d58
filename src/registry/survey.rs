//! First reading of a baseline: what kinds of values each field holds, how many are missing, and what they are.

use std::collections::HashMap;

use super::error::BuildError;
use super::options::BaselineOptions;
use super::sample::{NumberSample, TextTally, numbers_each, texts_each};
use super::schema::Schema;
use super::source::{Cell, Field, Place, Source, Table};
use super::time::{TimeSurvey, date};
use crate::reference::{ColumnKind, code_text};

/// The kind of one value, as far as the value itself tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Class {
    /// A finite number.
    Number,
    /// NaN or an infinity.
    NonFinite,
    /// Text.
    Text,
    /// A truth value.
    Bool,
    /// A date or time.
    Time,
    /// A list, object or binary.
    Nested,
    /// Text of CSV that stands for nothing in a column of numbers: `NA`, `null`, …
    Blank,
}

/// How often a class was met, and where first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Met {
    /// Values of the class.
    pub(super) count: u64,
    /// First row, counted from 1.
    pub(super) row: u64,
    /// The value there.
    pub(super) sample: String,
}

/// What is known of a field after the first reading.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// By class of value.
    pub(super) met: HashMap<Class, Met>,
    /// For cut points.
    pub(super) numbers: NumberSample,
    /// For categories.
    pub(super) texts: TextTally,
    /// Dates are texts too, until most are dates.
    pub(super) values: u64,
}

impl Tally {
    /// Values of a class.
    pub(super) fn count(&self, class: Class) -> u64 {
        self.met.get(&class).map_or(0, |met| met.count)
    }
}

/// Everything that the first reading learned.
#[derive(Debug)]
pub(super) struct Survey {
    /// Rows of the file.
    pub(super) rows: u64,
    /// Fields in the order first met.
    pub(super) fields: Vec<Field>,
    /// One per field.
    pub(super) tallies: Vec<Tally>,
    /// Index of the time column.
    pub(super) time: Option<usize>,
    /// What it holds.
    pub(super) times: TimeSurvey,
    /// Whether the file has the shape of native events.
    pub(super) native: bool,
}

/// Finite or not, and other classes of a cell.
fn classify(cell: Cell<'_>) -> Option<Class> {
    Some(match cell {
        Cell::Missing => return None,
        Cell::Number(x) if x.is_finite() => Class::Number,
        Cell::Number(_) => Class::NonFinite,
        Cell::Bool(_) => Class::Bool,
        Cell::Time(_) => Class::Time,
        Cell::Nested => Class::Nested,
        Cell::Text(text) if date(text).is_some() => Class::Time,
        Cell::Text(_) => Class::Text,
        Cell::Raw(text) if is_blank(text) => Class::Blank,
        Cell::Raw(text) if truth(text).is_some() => Class::Bool,
        Cell::Raw(text) => match text.trim().parse::<f64>() {
            Ok(x) if x.is_finite() => Class::Number,
            Ok(_) => Class::NonFinite,
            Err(_) if date(text).is_some() => Class::Time,
            Err(_) => Class::Text,
        },
    })
}

/// CSV's ways to say that a number or truth value is missing.
pub(super) fn is_blank(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || ["na", "n/a", "null", "none"].iter().any(|blank| text.eq_ignore_ascii_case(blank))
}

/// CSV's truth values.
pub(super) fn truth(text: &str) -> Option<bool> {
    let text = text.trim();
    match (text.eq_ignore_ascii_case("true"), text.eq_ignore_ascii_case("false")) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// A cell for a message.
fn show(cell: Cell<'_>) -> String {
    match cell {
        Cell::Missing => "null".to_owned(),
        Cell::Number(x) => code_text(x),
        Cell::Text(text) | Cell::Raw(text) => format!("\"{}\"", text.chars().take(40).collect::<String>()),
        Cell::Bool(truth) => truth.to_string(),
        Cell::Time(_) => "a date or time".to_owned(),
        Cell::Nested => "a list, object or binary".to_owned(),
    }
}

/// What a reading of one cell needs to know besides the cell.
#[derive(Debug, Clone, Copy)]
struct Room {
    numbers: usize,
    texts: usize,
    points: usize,
    coded: bool,
}

impl Tally {
    fn push(&mut self, row: u64, cell: Cell<'_>, room: Room) {
        let Some(class) = classify(cell) else { return };
        self.values += 1;
        let first = || Met { count: 0, row: row + 1, sample: show(cell) };
        self.met.entry(class).or_insert_with(first).count += 1;
        match cell {
            Cell::Number(x) if x.is_finite() => {
                self.numbers.push(row, x, room.numbers, room.points);
                if room.coded {
                    self.texts.push(&code_text(x), room.texts);
                }
            }
            Cell::Text(text) => self.texts.push(text, room.texts),
            Cell::Raw(text) => self.push_raw(row, text, room),
            Cell::Missing | Cell::Number(_) | Cell::Bool(_) | Cell::Nested => {}
            Cell::Time(ms) => self.numbers.push(row, epoch_days(ms), room.numbers, room.points),
        }
    }

    fn push_raw(&mut self, row: u64, text: &str, room: Room) {
        let number = text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
        if let Some(x) = number {
            self.numbers.push(row, x, room.numbers, room.points);
        }
        match number {
            Some(x) if room.coded => self.texts.push(&code_text(x), room.texts),
            _ => self.texts.push(text, room.texts),
        }
    }
}

/// A date as a number: days since the epoch.
pub(super) fn epoch_days(ms: i64) -> f64 {
    ms as f64 / 86_400_000.0
}

/// Reads a baseline for the first time; `advance` is told how far the reading is.
pub(super) fn survey(
    source: &mut Source,
    options: &BaselineOptions,
    schema: &Schema,
    advance: &dyn Fn(u64),
) -> Result<Survey, BuildError> {
    let mut survey = Survey {
        rows: 0,
        fields: Vec::new(),
        tallies: Vec::new(),
        time: None,
        times: TimeSurvey::new(options.max_windows),
        native: false,
    };
    while let Some(table) = source.next()? {
        survey.learn_fields(source.fields(), options);
        survey.take(&table, options, schema);
        advance(source.position());
    }
    survey.learn_fields(source.fields(), options);
    if survey.rows == 0 {
        return Err(BuildError::Empty { path: options.source.clone() });
    }
    Ok(survey)
}

impl Survey {
    fn learn_fields(&mut self, fields: &[Field], options: &BaselineOptions) {
        for field in fields.get(self.fields.len()..).unwrap_or_default() {
            if field.place == Place::Top && field.name == options.roles.time {
                self.time = Some(self.fields.len());
            }
            self.native |= field.place == Place::Features;
            self.fields.push(field.clone());
            self.tallies.push(Tally::default());
        }
    }

    fn take(&mut self, table: &Table, options: &BaselineOptions, schema: &Schema) {
        let columns = self.fields.len();
        for (index, (field, tally)) in self.fields.iter().zip(&mut self.tallies).enumerate() {
            if Some(index) == self.time || is_ignored(field, options, schema) {
                continue;
            }
            let coded = schema.kind(&field.name) == Some(ColumnKind::CodedCategory);
            let room = Room {
                numbers: numbers_each(columns),
                texts: texts_each(columns),
                points: options.points,
                coded,
            };
            for row in 0..table.rows {
                tally.push(self.rows + row as u64, table.cell(index, row), room);
            }
        }
        if let Some(time) = self.time {
            for row in 0..table.rows {
                self.times.push(self.rows + row as u64, table.cell(time, row));
            }
        }
        self.rows += table.rows as u64;
    }

    /// Index of a field by name: where the event itself has it, else among its features or segment.
    pub(super) fn find(&self, places: &[Place], name: &str) -> Option<usize> {
        let at = |place: &Place| self.fields.iter().position(|f| f.place == *place && f.name == name);
        places.iter().find_map(at)
    }
}

/// Whether nothing of a field is read; the segment field is read even if it is ignored as a feature.
fn is_ignored(field: &Field, options: &BaselineOptions, schema: &Schema) -> bool {
    let segment = options.segment_field.as_deref() == Some(field.name.as_str());
    !segment && (options.ignore.contains(&field.name) || schema.ignores(&field.name))
}
