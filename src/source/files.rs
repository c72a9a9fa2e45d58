//! Flat tables of past events as native JSON events: what the demo replays.
//!
//! In a flat table the columns `id`, `ts`, `score`, `prediction` and `latency_ms` have their meaning; `label` and
//! `label_ts` become a feedback event of their own; every other column is a feature.

use std::io::Write as _;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMillisecondType};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use crate::subject::Millis;

/// Why a table cannot be read as events.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Not Parquet, or damaged.
    #[error("cannot read the events: {0}")]
    Parquet(#[from] ParquetError),
    /// A column has a type that no event field can hold.
    #[error("cannot convert the events: {0}")]
    Arrow(#[from] ArrowError),
    /// No column of event times.
    #[error("the events have no column `ts`")]
    NoTime,
}

/// How a table is told as events.
#[derive(Debug, Clone)]
pub struct TableEvents<'a> {
    /// Model name of every event.
    pub model: &'a str,
    /// Version of every event.
    pub version: &'a str,
    /// Feature that is also sent as a segment field.
    pub segment: Option<&'a str>,
    /// Whether labels are sent as feedback events.
    pub feedback: bool,
}

/// One event as a serving app would have sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedEvent {
    /// When it was sent.
    pub ts: Millis,
    /// Native JSON.
    pub json: Vec<u8>,
}

struct Columns {
    ts: ArrayRef,
    id: Option<ArrayRef>,
    score: Option<ArrayRef>,
    prediction: Option<ArrayRef>,
    latency: Option<ArrayRef>,
    label: Option<ArrayRef>,
    label_ts: Option<ArrayRef>,
    features: Vec<(String, ArrayRef)>,
}

impl TableEvents<'_> {
    /// Reads a Parquet table held in memory, in the order of event times.
    ///
    /// # Errors
    /// When it is not a table of events.
    pub fn read(&self, parquet: &'static [u8]) -> Result<Vec<TimedEvent>, TableError> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from_static(parquet))?.build()?;
        let mut events = Vec::new();
        for batch in reader {
            self.batch(&batch?, &mut events)?;
        }
        events.sort_by_key(|event| event.ts);
        Ok(events)
    }

    fn batch(&self, batch: &RecordBatch, events: &mut Vec<TimedEvent>) -> Result<(), TableError> {
        let columns = columns(batch)?;
        for row in 0..batch.num_rows() {
            if let Some(event) = self.prediction(&columns, row) {
                events.push(event);
            }
            if self.feedback
                && let Some(event) = self.label(&columns, row)
            {
                events.push(event);
            }
        }
        Ok(())
    }

    fn prediction(&self, columns: &Columns, row: usize) -> Option<TimedEvent> {
        let ts = time(&columns.ts, row)?;
        let mut json = Vec::with_capacity(512);
        json.push(b'{');
        if let Some(id) = columns.id.as_ref().and_then(|column| text(column, row)) {
            field(&mut json, "id", id);
        }
        field(&mut json, "model", self.model);
        field(&mut json, "version", self.version);
        field(&mut json, "ts", ts);
        key(&mut json, "features");
        json.push(b'{');
        for (name, column) in &columns.features {
            value_field(&mut json, name, column, row);
        }
        close(&mut json);
        json.push(b',');
        key(&mut json, "prediction");
        json.push(b'{');
        for (name, column) in [("label", &columns.prediction), ("score", &columns.score)] {
            if let Some(column) = column {
                value_field(&mut json, name, column, row);
            }
        }
        close(&mut json);
        json.push(b',');
        if let Some(column) = &columns.latency {
            value_field(&mut json, "latency_ms", column, row);
        }
        let segment =
            self.segment.and_then(|name| columns.features.iter().find(|(column, _)| column == name));
        if let Some((name, column)) = segment {
            key(&mut json, "segment");
            json.push(b'{');
            value_field(&mut json, name, column, row);
            close(&mut json);
            json.push(b',');
        }
        close(&mut json);
        Some(TimedEvent { ts, json })
    }

    fn label(&self, columns: &Columns, row: usize) -> Option<TimedEvent> {
        let ts = time(columns.label_ts.as_ref()?, row)?;
        let label = text(columns.label.as_ref()?, row)?;
        let mut json = vec![b'{'];
        if let Some(id) = columns.id.as_ref().and_then(|column| text(column, row)) {
            field(&mut json, "id", id);
        }
        field(&mut json, "model", self.model);
        field(&mut json, "label", label);
        field(&mut json, "ts", ts);
        close(&mut json);
        Some(TimedEvent { ts, json })
    }
}

fn columns(batch: &RecordBatch) -> Result<Columns, TableError> {
    const KNOWN: [&str; 7] = ["id", "ts", "score", "prediction", "latency_ms", "label", "label_ts"];
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let find =
        |name: &str, kind: &DataType| batch.column_by_name(name).map(|column| cast(column, kind)).transpose();
    let schema = batch.schema();
    let mut features = Vec::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if KNOWN.contains(&field.name().as_str()) {
            continue;
        }
        let kind = if field.data_type().is_numeric() { DataType::Float64 } else { DataType::Utf8 };
        features.push((field.name().clone(), cast(column, &kind)?));
    }
    Ok(Columns {
        ts: find("ts", &time)?.ok_or(TableError::NoTime)?,
        id: find("id", &DataType::Utf8)?,
        score: find("score", &DataType::Float64)?,
        prediction: find("prediction", &DataType::Utf8)?,
        latency: find("latency_ms", &DataType::Float64)?,
        label: find("label", &DataType::Utf8)?,
        label_ts: find("label_ts", &time)?,
        features,
    })
}

fn time(column: &ArrayRef, row: usize) -> Option<Millis> {
    let times = column.as_primitive_opt::<TimestampMillisecondType>()?;
    (!times.is_null(row)).then(|| times.value(row))
}

fn text(column: &ArrayRef, row: usize) -> Option<&str> {
    let texts = column.as_string_opt::<i32>()?;
    (!texts.is_null(row)).then(|| texts.value(row))
}

fn key(json: &mut Vec<u8>, name: &str) {
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(&mut *json, name);
    json.push(b':');
}

fn field(json: &mut Vec<u8>, name: &str, value: impl serde::Serialize) {
    key(json, name);
    let _ = serde_json::to_writer(&mut *json, &value);
    json.push(b',');
}

fn value_field(json: &mut Vec<u8>, name: &str, column: &ArrayRef, row: usize) {
    match column.as_primitive_opt::<Float64Type>() {
        Some(numbers) if !numbers.is_null(row) && numbers.value(row).is_finite() => {
            field(json, name, numbers.value(row));
        }
        Some(_) => field(json, name, ()),
        None => field(json, name, text(column, row)),
    }
}

/// Ends an object, in place of the comma after its last field.
fn close(json: &mut Vec<u8>) {
    if json.last() == Some(&b',') {
        json.pop();
    }
    let _ = json.write_all(b"}");
}
