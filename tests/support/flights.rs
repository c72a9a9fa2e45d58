//! The flights stream: as a producer sends it, and as plain rows for what is computed apart from the daemon.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anchorwatch::source::{TableEvents, TimedEvent};
use anchorwatch::subject::Millis;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _};

use crate::support::Kafka;

/// One hour of event time.
pub(crate) const HOUR: Millis = 3_600_000;
/// Name of the model.
pub(crate) const MODEL: &str = "flights";
/// The version that serves.
pub(crate) const VERSION: &str = "1.0.0";
/// The version before it, to which a rollback returns.
pub(crate) const EARLIER: &str = "0.9.0";

static EVENTS: &[u8] = include_bytes!("../../testdata/flights/events.parquet");

/// A file of `testdata/flights`.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/flights").join(name)
}

/// Midnight of a day of 2013 plus hours, UTC.
pub(crate) fn at(month: u32, day: u32, hours: i64) -> Millis {
    let date = chrono::NaiveDate::from_ymd_opt(2013, month, day).expect("a day");
    date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis() + hours * HOUR
}

/// Predictions and labels of `[from, to)` in the order of their times, as native JSON.
pub(crate) fn events(from: Millis, to: Millis) -> Vec<TimedEvent> {
    let table = TableEvents { model: MODEL, version: VERSION, segment: Some("origin"), feedback: true };
    let mut events = table.read(EVENTS).expect("the table of events");
    events.retain(|event| (from..to).contains(&event.ts));
    events
}

/// The same events, each within `span` of event time of its neighbours, in random order.
pub(crate) fn shuffled(mut events: Vec<TimedEvent>, span: Millis, seed: u64) -> Vec<TimedEvent> {
    let mut rng = StdRng::seed_from_u64(seed);
    for block in events.chunk_by_mut(|a, b| a.ts.div_euclid(span) == b.ts.div_euclid(span)) {
        block.shuffle(&mut rng);
    }
    events
}

/// `anchorwatch ARGS…` to its end.
pub(crate) fn anchorwatch(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anchorwatch"))
        .args(args)
        .env_remove("ANCHORWATCH_CONFIG")
        .env_remove("ANCHORWATCH_DATA_DIR")
        .output()
        .expect("the binary that cargo built runs")
}

/// The same; fails the test, showing what was said, when it does not succeed.
#[track_caller]
pub(crate) fn succeeds(args: &[&str]) -> String {
    let Output { status, stdout, stderr } = anchorwatch(args);
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "anchorwatch {args:?}: {status}\n{out}{err}");
    out.into_owned()
}

/// Registers both versions on the same baseline, as a user would: the earlier one served before.
pub(crate) fn register(data_dir: &Path) {
    let (data_dir, baseline) =
        (data_dir.display().to_string(), file("reference.parquet").display().to_string());
    for version in [EARLIER, VERSION] {
        let model = ["--data-dir", &data_dir, "reference", "create", "--model", MODEL, "--version", version];
        let told = succeeds(&[&model[..], &["--from", &baseline, "--segment-by", "origin"]].concat());
        assert!(told.contains("It is active"), "{told}");
        let told = succeeds(&["--data-dir", &data_dir, "model", "promote", MODEL, version]);
        assert!(told.contains("production"), "{told}");
    }
}

/// A value of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Null.
    Null,
    /// Any number.
    Number(f64),
    /// A text.
    Text(String),
    /// An instant.
    Time(Millis),
}

impl Cell {
    /// The number, if it is one.
    pub(crate) fn number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The instant, if it is one.
    pub(crate) fn time(&self) -> Option<Millis> {
        if let Self::Time(time) = self { Some(*time) } else { None }
    }
}

/// A table read row by row, without anything of the daemon's.
#[derive(Debug)]
pub(crate) struct Table {
    names: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Reads `testdata/flights/NAME`.
    pub(crate) fn read(name: &str) -> Self {
        let file = File::open(file(name)).expect("a table of testdata");
        let reader = SerializedFileReader::new(file).expect("Parquet");
        let schema = reader.metadata().file_metadata().schema_descr();
        let names = schema.columns().iter().map(|column| column.name().to_owned()).collect();
        let rows = reader.get_row_iter(None).expect("rows").map(|row| {
            let row = row.expect("a row");
            row.get_column_iter().map(|(_, field)| cell(field)).collect()
        });
        Self { names, rows: rows.collect() }
    }

    /// Position of a column.
    pub(crate) fn column(&self, name: &str) -> usize {
        self.names.iter().position(|known| known == name).unwrap_or_else(|| panic!("no column {name}"))
    }

    /// All rows.
    pub(crate) fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// Keeps the rows for which `keep` holds.
    pub(crate) fn retain(&mut self, keep: impl Fn(&[Cell]) -> bool) {
        self.rows.retain(|row| keep(row));
    }
}

fn cell(field: &Field) -> Cell {
    match field {
        Field::Null => Cell::Null,
        Field::Short(number) => Cell::Number(f64::from(*number)),
        Field::Int(number) => Cell::Number(f64::from(*number)),
        Field::Float(number) => Cell::Number(f64::from(*number)),
        Field::Double(number) => Cell::Number(*number),
        Field::Str(text) => Cell::Text(text.clone()),
        Field::TimestampMillis(time) => Cell::Time(*time),
        other => panic!("a type that the table does not have: {other:?}"),
    }
}

/// A record to be produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Produced {
    /// Partition.
    pub(crate) partition: i32,
    /// Value; `None` is a tombstone.
    pub(crate) value: Option<Vec<u8>>,
}

/// Spreads events over partitions at random.
pub(crate) fn spread(events: Vec<TimedEvent>, partitions: i32, seed: u64) -> Vec<Produced> {
    let mut rng = StdRng::seed_from_u64(seed);
    let partition = |_: &TimedEvent| rand::RngExt::random_range(&mut rng, 0..partitions);
    let partitions: Vec<i32> = events.iter().map(partition).collect();
    let pairs = partitions.into_iter().zip(events);
    pairs.map(|(partition, event)| Produced { partition, value: Some(event.json) }).collect()
}

/// Produces the records in this order and waits until the broker has them all.
pub(crate) fn produce(kafka: &Kafka, topic: &str, records: &[Produced]) {
    let producer = kafka.producer();
    for Produced { partition, value } in records {
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(*partition);
        record.payload = value.as_deref();
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            producer.flush(Duration::from_secs(10)).expect("Kafka takes the records");
            record = back;
        }
    }
    producer.flush(Duration::from_secs(60)).expect("Kafka takes the records");
}
