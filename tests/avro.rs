//! Events in Avro on a real Kafka give the same counts as the same events in JSON, whether their schema is a file or is
//! asked of a registry that is away at first.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anchorwatch::store::Store;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Value, json};
use tempfile::TempDir;

use support::flights::{Produced, produce, succeeds};
use support::receiver::{Receiver, Reply};
use support::{Daemon, Kafka, free_port, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
/// Noon of a day in the past.
const NOON: i64 = 1_700_049_600_000;
const EVENTS: i64 = 900;
const COUNTRIES: [&str; 3] = ["DE", "FR", "IT"];

/// Counts by pane and by model, version and segment.
type Panes = BTreeMap<(String, i64), Vec<u8>>;

/// A folder with a configuration, and what belongs to it.
struct Place {
    folder: TempDir,
    http: String,
    config: Value,
}

impl Place {
    fn new(bootstrap: &str, topic: &str, events: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let http = format!("127.0.0.1:{}", free_port());
        let config = json!({
            "data_dir": folder.path().join("data"),
            "kafka": {"bootstrap": bootstrap, "topics": [topic], "group": topic},
            "windows": {"pane": "1m", "horizons": [{"length": "5m"}], "lateness": "1m", "idle_after": "1h"},
            "segments": {"field": "country"},
            "events": events,
            "http": {"listen": http},
            "checkpoint": {"every": "200ms"},
        });
        let place = Self { folder, http, config };
        let rows: String = (0..600).map(|i| format!("{},{}\n", i % 50, COUNTRIES[i % 3])).collect();
        let baseline = place.file("baseline.csv", &format!("x,country\n{rows}"));
        let (data, baseline) = (place.data().display().to_string(), baseline.display().to_string());
        let model = ["reference", "create", "--model", "m", "--version", "1.0.0"];
        succeeds(&[&["--data-dir", &data], &model[..], &["--from", &baseline]].concat());
        place
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a writable folder");
        path
    }

    fn daemon(&self) -> Daemon {
        let config = self.file("anchorwatch.yaml", &self.config.to_string()); // JSON is YAML
        let mut daemon = Daemon::spawn(&config, &self.http, &[]);
        daemon.wait_ready();
        daemon
    }

    fn panes(&self) -> Panes {
        let state = Store::open(&self.data()).and_then(|store| store.restore()).expect("the state file");
        let subjects: BTreeMap<_, _> = state.subjects.iter().map(|(id, subject)| (*id, subject)).collect();
        let pane = |row: &anchorwatch::engine::PaneRow| {
            ((format!("{:?}", subjects[&row.subject]), row.pane), row.counts.packed().to_vec())
        };
        state.panes.iter().map(pane).collect()
    }
}

fn law(daemon: &Daemon, read: i64) -> Value {
    wait_until(PATIENCE, &format!("{read} records to be read"), || {
        daemon.try_get("/api/v1/status").is_some_and(|answer| answer.json()["law"]["read"] == read)
    });
    daemon.http_get("/api/v1/status").json()["law"].take()
}

fn features(i: i64) -> (Option<f64>, &'static str) {
    ((i % 7 != 0).then_some((i % 61) as f64 / 2.0), COUNTRIES[usize::try_from(i % 3).expect("positive")])
}

fn ts(i: i64) -> i64 {
    NOON + i * 1_000
}

fn json_event(i: i64) -> Vec<u8> {
    let (x, country) = features(i);
    let features = json!({"x": x, "country": country, "unknown": 1});
    let event =
        json!({"id": format!("e{i}"), "model": "m", "version": "1.0.0", "ts": ts(i), "features": features});
    event.to_string().into_bytes()
}

/// Country as an enum that has a schema of its own, time in microseconds.
fn with_record() -> Value {
    let fields = json!([{"name": "x", "type": ["null", "double"]}, {"name": "country", "type": "Country"},
                        {"name": "unknown", "type": "int"}]);
    json!({"type": "record", "name": "Event", "fields": [
        {"name": "id", "type": "string"}, {"name": "model", "type": "string"}, {"name": "version", "type": "string"},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "features", "type": {"type": "record", "name": "Features", "fields": fields}}]})
}

fn country() -> Value {
    json!({"type": "enum", "name": "Country", "symbols": ["IT", "FR", "DE"]})
}

/// Features as a map, and a time without a meaning of its own.
fn with_map() -> Value {
    json!({"type": "record", "name": "Event", "fields": [
        {"name": "ts", "type": "long"}, {"name": "version", "type": "string"}, {"name": "model", "type": ["null", "string"]},
        {"name": "features", "type": {"type": "map", "values": ["null", "double", "string"]}}]})
}

fn schemata(schema: &Value) -> apache_avro::Schema {
    let texts = [country().to_string(), schema.to_string()];
    let mut all = apache_avro::Schema::parse_list([texts[0].as_str(), texts[1].as_str()]).expect("schemas");
    all.remove(1)
}

fn text(text: &str) -> Avro {
    Avro::String(text.to_owned())
}

fn record_event(i: i64) -> Vec<u8> {
    let (x, country) = features(i);
    let x = x.map_or(Avro::Union(0, Box::new(Avro::Null)), |x| Avro::Union(1, Box::new(Avro::Double(x))));
    let place = ["IT", "FR", "DE"].iter().position(|known| *known == country).expect("a country");
    // The library does not find names of other schemas while it writes, so the bytes are put together here.
    let number = |number: i64| avro(&apache_avro::Schema::Long, Avro::Long(number));
    let string = |text_: &str| avro(&apache_avro::Schema::String, text(text_));
    let union = apache_avro::Schema::parse_str(r#"["null", "double"]"#).expect("a schema");
    [
        string(&format!("e{i}")),
        string("m"),
        string("1.0.0"),
        number(ts(i) * 1_000),
        avro(&union, x),
        number(i64::try_from(place).expect("small")),
        number(1),
    ]
    .concat()
}

fn map_event(i: i64) -> Vec<u8> {
    let (x, country) = features(i);
    let union = |branch: u32, value: Avro| Avro::Union(branch, Box::new(value));
    let x = x.map_or(union(0, Avro::Null), |x| union(1, Avro::Double(x)));
    let features = [("x", x), ("country", union(2, text(country))), ("unknown", union(1, Avro::Double(1.0)))];
    let fields = vec![
        ("ts".to_owned(), Avro::Long(ts(i))),
        ("version".to_owned(), text("1.0.0")),
        ("model".to_owned(), union(1, text("m"))),
        ("features".to_owned(), Avro::Map(features.map(|(name, value)| (name.to_owned(), value)).into())),
    ];
    avro(&schemata(&with_map()), Avro::Record(fields))
}

fn avro(schema: &apache_avro::Schema, value: Avro) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema).build().expect("a writer");
    writer.write_value_to_vec(value).expect("a value of the schema")
}

fn framed(id: u32, event: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), event].concat()
}

fn send(kafka: &Kafka, topic: &str, values: impl Iterator<Item = Vec<u8>>) {
    let record = |value| Produced { partition: 0, value: Some(value) };
    produce(kafka, topic, &values.map(record).collect::<Vec<_>>());
}

/// Counts of a topic of such events, and the law after them.
fn counted(place: &Place, read: i64) -> (Panes, Value) {
    let mut daemon = place.daemon();
    let law = law(&daemon, read);
    assert_eq!(daemon.terminate().code(), Some(0), "{}", daemon.stderr());
    (place.panes(), law)
}

#[test]
fn avro_gives_the_same_counts_as_json() {
    let kafka = Kafka::shared();
    let topics = ["in-json", "in-avro", "in-framed-avro"];
    topics.iter().for_each(|topic| kafka.create_topic(topic, 1));
    send(kafka, topics[0], (0..EVENTS).map(json_event));
    send(kafka, topics[1], (0..EVENTS).map(map_event));
    let of_two = |i: i64| match i % 3 {
        0 => framed(9, &map_event(i)),
        _ => framed(7, &record_event(i)),
    };
    send(kafka, topics[2], (0..EVENTS).map(of_two));
    // A number that nobody has registered, a record without one, and one that breaks off.
    let broken = [framed(404, &map_event(0)), json_event(0), framed(7, &record_event(0)[..20])];
    send(kafka, topics[2], broken.into_iter());

    let (panes, law) = counted(&Place::new(kafka.bootstrap(), topics[0], &json!({})), EVENTS);
    assert_eq!(law["counted"], EVENTS);
    assert!(panes.len() > 20, "whole and segments of fifteen minutes: {}", panes.len());

    let mut place = Place::new(kafka.bootstrap(), topics[1], &json!({}));
    let schema = place.file("event.avsc", &with_map().to_string());
    place.config["events"] = json!({"format": "avro", "avro": {"schema": schema}});
    assert_eq!(counted(&place, EVENTS), (panes.clone(), law));

    let registry = Receiver::start();
    let answer = |body: Value| Reply::Answer(200, Vec::new(), body.to_string());
    let references = json!([{"name": "Country", "subject": "country", "version": 3}]);
    registry.next("/schemas/ids/7", [Reply::status(503), Reply::Drop]);
    registry.always(
        "/schemas/ids/7",
        answer(json!({"schema": with_record().to_string(), "references": references})),
    );
    registry.always("/subjects/country/versions/3", answer(json!({"schema": country().to_string()})));
    registry
        .always("/schemas/ids/9", answer(json!({"schema": with_map().to_string(), "schemaType": "AVRO"})));
    registry.always("/schemas/ids/404", Reply::Answer(404, Vec::new(), r#"{"error_code":40403}"#.to_owned()));
    let password = json!({"env": "PATH"});
    let registered = json!({"url": registry.url(""), "username": "me", "password": password});
    let events = json!({"format": "avro", "avro": {"registry": registered}});
    let (framed, law) = counted(&Place::new(kafka.bootstrap(), topics[2], &events), EVENTS + 3);
    assert_eq!(law["refused"], json!({"unknown_schema": 1, "not_avro": 2}));
    assert!(framed == panes, "the counts differ");
    let asked: Vec<String> =
        registry.requests_to("/schemas/ids/7").into_iter().map(|request| request.method).collect();
    assert!(asked.len() >= 3 && asked.len() < 6, "asked until it answered, and not again: {asked:?}");
    assert!(
        registry
            .requests_to("/schemas/ids/9")
            .iter()
            .all(|request| request.header("authorization").starts_with("Basic "))
    );
}
