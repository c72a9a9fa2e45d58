//! The real baseline, and the same rows in every format.

use std::fs::File;
use std::sync::{Arc, LazyLock};

use anchorwatch_detectors::counts::merge;
use arrow::array::RecordBatch;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{column, flights_path, remark};
use crate::reference::{Reference, ReferenceId, decode, encode};
use crate::registry::{BaselineOptions, build};

fn flights() -> BaselineOptions {
    BaselineOptions {
        segment_field: Some("origin".to_owned()),
        ..BaselineOptions::new("flights", "1.0.0", flights_path())
    }
}

/// Built once for all tests.
fn built() -> &'static Reference {
    static BUILT: LazyLock<Reference> = LazyLock::new(|| build(&flights()).unwrap());
    &BUILT
}

fn rows() -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(flights_path()).unwrap()).unwrap();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn summed<'a>(reference: &Reference, parts: impl Iterator<Item = &'a Vec<u64>>) -> Vec<u64> {
    let mut sum = vec![0; reference.layout().len()];
    parts.for_each(|part| merge(&mut sum, part));
    sum
}

#[test]
fn every_row_is_counted_once_in_the_whole_in_its_window_and_in_its_segment() {
    let built = built();
    let layout = built.layout();
    assert_eq!(built.profile[0], rows().num_rows() as u64);
    for position in 0..built.columns.len() {
        assert_eq!(layout.column(&built.profile, position).total(), built.profile[0]);
    }
    assert_eq!(layout.latency(&built.profile).iter().sum::<u64>(), built.profile[0]);
    let windows: Vec<Vec<u64>> =
        built.windows.read().unwrap().iter().map(|window| window.counts(layout.len())).collect();
    assert_eq!(summed(built, windows.iter()), built.profile);
    assert_eq!(summed(built, built.segments.values()), built.profile);
    assert_eq!(built.segments.keys().collect::<Vec<_>>(), ["EWR", "JFK", "LGA"]);
    assert_eq!(built.window_ms, Some(3_600_000));
    assert!(built.windows.len() > 1_000 && built.windows.len() <= 2_048, "{}", built.windows.len());
}

#[test]
fn the_counts_are_those_of_the_columns() {
    use arrow::array::cast::AsArray;
    let built = built();
    let rows = rows();
    let (carrier, counts) = column(built, "carrier");
    let united = carrier.slot(crate::reference::Value::Text("UA"));
    let text = cast(rows.column_by_name("carrier").unwrap(), &DataType::Utf8).unwrap();
    let expected = text.as_string::<i32>().iter().filter(|value| *value == Some("UA")).count();
    assert_eq!(counts.cells[united], expected as u64);
    let label = rows.column_by_name("label").unwrap();
    assert_eq!(column(built, "label").1.missing, label.null_count() as u64);
    assert!(!column(built, "label").0.required && column(built, "distance").0.required);
}

#[test]
fn an_artifact_survives_its_bytes_and_its_identity_is_stable() {
    let built = built();
    let bytes = encode(built).unwrap();
    assert_eq!(&decode(&bytes).unwrap(), built);
    let again = encode(&build(&flights()).unwrap()).unwrap();
    assert_eq!(ReferenceId::of(&bytes), ReferenceId::of(&again));
    assert!(bytes.len() < 4 << 20, "{} bytes", bytes.len());
}

/// Floats as 64 bits and times as text, so that text formats carry the same values.
fn portable(batch: &RecordBatch) -> RecordBatch {
    let to = |kind: &DataType| match kind {
        DataType::Float32 => DataType::Float64,
        DataType::Timestamp(..) => DataType::Int64,
        kind => kind.clone(),
    };
    let schema = batch.schema();
    let fields =
        schema.fields().iter().map(|f| Field::new(f.name(), to(f.data_type()), true)).collect::<Vec<_>>();
    let columns = batch.columns().iter().map(|array| cast(array, &to(array.data_type())).unwrap()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[test]
fn the_same_rows_give_the_same_counts_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let batch = portable(&rows());
    let path = |name: &str| folder.path().join(name);
    let mut csv = arrow::csv::Writer::new(File::create(path("rows.csv")).unwrap());
    csv.write(&batch).unwrap();
    let mut jsonl = arrow::json::LineDelimitedWriter::new(File::create(path("rows.jsonl")).unwrap());
    jsonl.write(&batch).unwrap();
    jsonl.finish().unwrap();
    let file = File::create(path("rows.arrow")).unwrap();
    let mut ipc = arrow::ipc::writer::FileWriter::try_new(file, &batch.schema()).unwrap();
    ipc.write(&batch).unwrap();
    ipc.finish().unwrap();
    let file = File::create(path("stream.arrows")).unwrap();
    let mut stream = arrow::ipc::writer::StreamWriter::try_new(file, &batch.schema()).unwrap();
    stream.write(&batch).unwrap();
    stream.finish().unwrap();
    let parquet = built();
    for name in ["rows.csv", "rows.jsonl", "rows.arrow", "stream.arrows"] {
        let other = build(&BaselineOptions { source: path(name), ..flights() }).unwrap();
        assert_eq!(other.profile[0], parquet.profile[0], "{name}");
        for expected in &parquet.columns {
            let (found, counts) = column(&other, &expected.name);
            assert_eq!((found, counts), column(parquet, &expected.name), "{name}");
        }
        assert_eq!(other.windows.len(), parquet.windows.len(), "{name}");
        assert_eq!(other.segments.keys().collect::<Vec<_>>(), parquet.segments.keys().collect::<Vec<_>>());
    }
}

#[test]
fn nothing_of_the_flights_is_left_out_in_silence() {
    let built = built();
    assert_eq!(built.columns.len(), 17);
    assert!(!remark(built, "left out"), "{:?}", built.provenance.remarks);
    assert_eq!(built.provenance.dataset_sha256.as_ref().map(String::len), Some(64));
}

#[test]
fn labels_that_are_names_are_compared_with_the_score_once_one_is_the_positive_class() {
    let named = |label: &str| build(&BaselineOptions { positive_label: Some(label.to_owned()), ..flights() });
    assert_eq!(built().joint.residual, None, "nobody knows which of two names is 1");
    let reference = named("late").unwrap();
    let terms = reference.joint.residual.as_ref().unwrap();
    assert_eq!((terms.scale, terms.positive.as_deref()), (1.0, Some("late")));
    let fits = &reference.calibration.as_ref().unwrap().fits;
    assert!(fits.keys().any(|key| key.starts_with("performance/")), "{:?}", fits.keys().collect::<Vec<_>>());
    let refused = named("delayed").unwrap_err().to_string();
    assert!(refused.contains("no label `delayed`") && refused.contains("on_time"), "{refused}");
}
