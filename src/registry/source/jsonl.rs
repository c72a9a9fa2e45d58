//! JSONL: one object a line, flat or shaped like the native event (`features`, `prediction`, `segment`).
//!
//! Parsed line by line instead of by Arrow's inference, which turns a column of mixed types into text and so loses
//! what has to be counted as a wrong type.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use serde_json::{Map, Value};

use super::{BATCH_ROWS, Buffered, Counted, Field, Place, RoleColumns, Series, Table};

/// Longest line in bytes.
const MAX_LINE: u64 = 16 << 20;

/// Text after which a batch ends, in bytes.
const BATCH_BYTES: usize = 8 << 20;

/// The lines of one file.
pub(super) struct Lines {
    reader: Buffered,
    prediction: String,
    score: String,
    line: u64,
    places: HashMap<Field, usize>,
}

impl Lines {
    pub(super) fn new(counted: Counted, roles: &RoleColumns) -> Self {
        Self {
            reader: BufReader::with_capacity(1 << 16, counted),
            prediction: roles.prediction.clone(),
            score: roles.score.clone(),
            line: 0,
            places: HashMap::new(),
        }
    }

    pub(super) fn next(&mut self, fields: &mut Vec<Field>) -> Result<Option<Table>, String> {
        let mut columns: Vec<Vec<Value>> = Vec::new();
        let (mut rows, mut bytes, mut text) = (0, 0, Vec::new());
        while rows < BATCH_ROWS && bytes < BATCH_BYTES && fields.len() <= super::MAX_COLUMNS {
            if !self.read_line(&mut text)? {
                break;
            }
            bytes += text.len();
            if text.trim_ascii().is_empty() {
                continue;
            }
            let object = self.parse(&text)?;
            self.spread(object, |field, value, places| {
                let index = *places.entry(field).or_insert_with_key(|field| {
                    fields.push(field.clone());
                    fields.len() - 1
                });
                if columns.len() <= index {
                    columns.resize_with(index + 1, Vec::new);
                }
                if let Some(column) = columns.get_mut(index) {
                    column.resize(rows, Value::Null);
                    column.push(value);
                }
            });
            rows += 1;
        }
        let series = columns.into_iter().map(Series::Json).collect();
        Ok((rows > 0).then_some(Table { rows, series }))
    }

    fn read_line(&mut self, text: &mut Vec<u8>) -> Result<bool, String> {
        text.clear();
        self.line += 1;
        let failed = |error: std::io::Error| format!("line {}: {error}", self.line);
        let read = self.reader.by_ref().take(MAX_LINE + 1).read_until(b'\n', text).map_err(failed)?;
        if text.len() as u64 > MAX_LINE {
            return Err(format!("line {} is longer than {MAX_LINE} bytes", self.line));
        }
        Ok(read > 0)
    }

    fn parse(&self, text: &[u8]) -> Result<Map<String, Value>, String> {
        let text = text.strip_prefix("\u{feff}".as_bytes()).filter(|_| self.line == 1).unwrap_or(text);
        serde_json::from_slice(text).map_err(|error| {
            let at = error.column();
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            let hint = if text.windows(3).any(|word| word == b"NaN" || word == b"Inf") {
                "; JSON has no NaN or Infinity: write null"
            } else {
                "; each line must be one JSON object"
            };
            format!("line {}, byte {at}: {what}{hint}", self.line)
        })
    }

    /// Hands out the fields of one row; `features`, `segment` and a `prediction` with label and score are opened.
    fn spread(
        &mut self,
        object: Map<String, Value>,
        mut put: impl FnMut(Field, Value, &mut HashMap<Field, usize>),
    ) {
        let native = object.get("features").is_some_and(Value::is_object);
        for (name, value) in object {
            match value {
                Value::Object(inner) if native && name == "features" => {
                    for (name, value) in inner {
                        put(Field { place: Place::Features, name }, value, &mut self.places);
                    }
                }
                Value::Object(inner) if native && name == "segment" => {
                    for (name, value) in inner {
                        put(Field { place: Place::Segment, name }, value, &mut self.places);
                    }
                }
                Value::Object(inner) if name == self.prediction => {
                    for (part, value) in inner {
                        let name = match part.as_str() {
                            "label" => self.prediction.clone(),
                            "score" => self.score.clone(),
                            _ => continue,
                        };
                        put(Field { place: Place::Top, name }, value, &mut self.places);
                    }
                }
                value => put(Field { place: Place::Top, name }, value, &mut self.places),
            }
        }
    }
}
