//! Parquet, CSV and Arrow IPC by way of Arrow record batches.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::types::{
    Date32Type, Date64Type, Float64Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::csv::reader::Format as CsvFormat;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{BATCH_ROWS, Buffered, Cell, Counted, Table};

/// One column of a batch, brought to one of the few forms that cells have.
#[derive(Debug)]
pub(in crate::registry) enum Series {
    /// Numbers.
    Number(Float64Array),
    /// Text.
    Text(StringViewArray),
    /// Text of CSV.
    Raw(StringViewArray),
    /// Truth values.
    Bool(BooleanArray),
    /// Instants in milliseconds.
    Time(Int64Array),
    /// Values that are not one value.
    Nested(Option<NullBuffer>),
    /// Values of JSON, each with its own type.
    Json(Vec<serde_json::Value>),
    /// Nothing in any row.
    Missing,
}

impl Series {
    /// The cell at a row.
    pub(in crate::registry) fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Number(array) if row < array.len() && array.is_valid(row) => Cell::Number(array.value(row)),
            Self::Text(array) if row < array.len() && array.is_valid(row) => Cell::Text(array.value(row)),
            Self::Raw(array) if row < array.len() && array.is_valid(row) && !array.value(row).is_empty() => {
                Cell::Raw(array.value(row))
            }
            Self::Bool(array) if row < array.len() && array.is_valid(row) => Cell::Bool(array.value(row)),
            Self::Time(array) if row < array.len() && array.is_valid(row) => Cell::Time(array.value(row)),
            Self::Nested(nulls) if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) => Cell::Nested,
            Self::Json(values) => values.get(row).map_or(Cell::Missing, json_cell),
            _ => Cell::Missing,
        }
    }
}

fn json_cell(value: &serde_json::Value) -> Cell<'_> {
    match value {
        serde_json::Value::Null => Cell::Missing,
        serde_json::Value::Bool(truth) => Cell::Bool(*truth),
        serde_json::Value::Number(number) => number.as_f64().map_or(Cell::Nested, Cell::Number),
        serde_json::Value::String(text) => Cell::Text(text),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => Cell::Nested,
    }
}

type Stream = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// The batches of one file.
pub(super) struct Batches {
    stream: Stream,
    rows: u64,
    raw: bool,
}

impl Batches {
    pub(super) fn next(&mut self) -> Result<Option<Table>, String> {
        guarded(|| self.read())
    }

    fn read(&mut self) -> Result<Option<Table>, String> {
        let Some(batch) = self.stream.next() else { return Ok(None) };
        let batch = batch.map_err(|error| self.explain(&error))?;
        let rows = batch.num_rows();
        let schema = batch.schema();
        let series = batch
            .columns()
            .iter()
            .zip(schema.fields())
            .map(|(array, field)| {
                let about = |error: ArrowError| format!("column `{}`: {error}", field.name());
                series(array, self.raw).map_err(about)
            })
            .collect::<Result<_, _>>()?;
        self.rows += rows as u64;
        Ok(Some(Table { rows, series }))
    }

    fn explain(&self, error: &ArrowError) -> String {
        let what = error.to_string();
        let hint = if what.contains("ompression") { "; write it uncompressed, or as Parquet" } else { "" };
        format!("{what} (after row {}){hint}", self.rows)
    }
}

/// Runs a decoder, some of which panic on damaged bytes instead of refusing them.
pub(super) fn guarded<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    std::panic::catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| {
        Err("its bytes contradict each other: the file is damaged or cut short".to_owned())
    })
}

/// Opens a Parquet file: batches, column names, rows.
pub(super) fn parquet(file: File) -> Result<(Batches, Vec<String>, u64), String> {
    let say = |error: parquet::errors::ParquetError| error.to_string();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(say)?;
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let names = names(builder.schema());
    let stream = Box::new(builder.with_batch_size(BATCH_ROWS).build().map_err(say)?);
    Ok((Batches { stream, rows: 0, raw: false }, names, rows))
}

/// Opens an Arrow IPC file or stream.
pub(super) fn ipc(mut counted: Counted) -> Result<(Batches, Vec<String>), String> {
    let mut start = [0; 6];
    let say_io = |error: std::io::Error| error.to_string();
    let is_file = counted.read_exact(&mut start).is_ok() && &start == b"ARROW1";
    counted.seek(SeekFrom::Start(0)).map_err(say_io)?;
    let buffered: Buffered = BufReader::new(counted);
    let say = |error: ArrowError| error.to_string();
    let (stream, names): (Stream, _) = if is_file {
        let reader = arrow::ipc::reader::FileReader::try_new(buffered, None).map_err(say)?;
        let names = names(&reader.schema());
        (Box::new(reader), names)
    } else {
        let reader = arrow::ipc::reader::StreamReader::try_new(buffered, None).map_err(say)?;
        let names = names(&reader.schema());
        (Box::new(reader), names)
    };
    Ok((Batches { stream, rows: 0, raw: false }, names))
}

/// Opens a CSV file with a header line; every cell stays text, so that mixed columns lose nothing.
pub(super) fn csv(counted: Counted) -> Result<(Batches, Vec<String>), String> {
    let mut buffered: Buffered = BufReader::with_capacity(1 << 16, counted);
    let delimiter = delimiter(&mut buffered)?;
    let format = CsvFormat::default().with_header(true).with_delimiter(delimiter);
    let say = |error: ArrowError| error.to_string();
    let (header, _) = format.infer_schema(&mut buffered, Some(1)).map_err(say)?;
    buffered.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    let trimmed = |name: &str| name.trim_start_matches('\u{feff}').trim().to_owned();
    let names: Vec<String> = header.fields().iter().map(|field| trimmed(field.name())).collect();
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let reader = arrow::csv::ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_format(format)
        .with_batch_size(BATCH_ROWS)
        .build_buffered(buffered)
        .map_err(say)?;
    Ok((Batches { stream: Box::new(reader), rows: 0, raw: true }, names))
}

/// The delimiter that the header line uses most; the reader is not moved.
fn delimiter(buffered: &mut Buffered) -> Result<u8, String> {
    let start = buffered.fill_buf().map_err(|error| error.to_string())?;
    let header = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let uses = |delimiter: u8| header.iter().filter(|byte| **byte == delimiter).count();
    Ok([b'|', b'\t', b';', b','].into_iter().max_by_key(|delimiter| uses(*delimiter)).unwrap_or(b','))
}

fn names(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}

fn series(array: &ArrayRef, raw: bool) -> Result<Series, ArrowError> {
    let kind = array.data_type();
    Ok(match kind {
        DataType::Null => Series::Missing,
        DataType::Boolean => Series::Bool(array.as_boolean().clone()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let text = cast(array, &DataType::Utf8View)?.as_string_view().clone();
            if raw { Series::Raw(text) } else { Series::Text(text) }
        }
        DataType::Dictionary(_, values) => series(&cast(array, values)?, raw)?,
        kind if kind.is_numeric() => {
            Series::Number(cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
        }
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Series::Time(instants(array)),
        _ => Series::Nested(array.logical_nulls()),
    })
}

fn instants(array: &ArrayRef) -> Int64Array {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            array.as_primitive::<TimestampSecondType>().unary::<_, Int64Type>(|s| s.saturating_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            array.as_primitive::<TimestampMillisecondType>().unary::<_, Int64Type>(|ms| ms)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().unary::<_, Int64Type>(|us| us.div_euclid(1_000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => array
            .as_primitive::<TimestampNanosecondType>()
            .unary::<_, Int64Type>(|ns| ns.div_euclid(1_000_000)),
        DataType::Date32 => {
            array.as_primitive::<Date32Type>().unary::<_, Int64Type>(|day| i64::from(day) * 86_400_000)
        }
        DataType::Date64 => array.as_primitive::<Date64Type>().unary::<_, Int64Type>(|ms| ms),
        _ => Int64Array::new_null(array.len()),
    }
}
