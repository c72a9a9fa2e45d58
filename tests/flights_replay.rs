//! The flights stream through the core alone, without Kafka: every incident is noticed on its own field, twice the same.
#![expect(clippy::expect_used, reason = "a helper fails its test by saying what is wrong")]

use std::path::Path;
use std::sync::Arc;

use anchorwatch::action::VersionFacts;
use anchorwatch::alert::{AlertKind, Notification, Transition};
use anchorwatch::config;
use anchorwatch::engine::{CatalogEntry, Engine};
use anchorwatch::event::Record;
use anchorwatch::reference::{ReferenceId, encode};
use anchorwatch::registry::{BaselineOptions, build};
use anchorwatch::source::TableEvents;
use anchorwatch::window::WatchedVersion;

static EVENTS: &[u8] = include_bytes!("../testdata/flights/events.parquet");
static SETTINGS: &str = include_str!("../src/cli/demo/demo.yaml");
const DAY: i64 = 86_400_000;
/// After every event of the stream.
const NOW: i64 = 1_700_000_000_000;

fn catalog() -> [CatalogEntry; 1] {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/flights/reference.parquet");
    let mut options = BaselineOptions::new("flights", "1.0.0", &source);
    options.segment_field = Some("origin".to_owned());
    options.time_zone = chrono_tz::America::New_York;
    options.positive_label = Some("late".to_owned());
    let reference = build(&options).expect("a good baseline");
    let reference_id = ReferenceId::of(&encode(&reference).expect("a valid reference")).to_string();
    let watched = WatchedVersion {
        model: "flights".to_owned(),
        version: "1.0.0".to_owned(),
        reference_id,
        reference: Arc::new(reference),
        takes_feedback: true,
    };
    [CatalogEntry { watched, facts: VersionFacts { current: true, ..VersionFacts::default() } }]
}

/// Every notification of the stream, whose records are spread over three partitions.
fn replay(verdicts: &str) -> Vec<Notification> {
    let settings = SETTINGS.replace("monitor: {", &format!("monitor: {{ verdicts: {verdicts},"));
    assert!(settings.contains(verdicts), "the demo has settings of the monitor");
    let text = format!("{settings}kafka: {{ bootstrap: \"127.0.0.1:9\", topics: [t] }}\n");
    let mut engine = Engine::new(&config::parse(&text, "demo.yaml").expect("valid settings"));
    engine.set_catalog(&catalog());
    let table = TableEvents { model: "flights", version: "1.0.0", segment: Some("origin"), feedback: true };
    let events = table.read(EVENTS).expect("a table of events");
    let (mut offsets, mut told) = ([0_i64; 3], Vec::new());
    for (index, event) in events.iter().enumerate() {
        let partition = index % 3;
        let record = Record {
            topic: "t",
            partition: i32::try_from(partition).expect("small"),
            offset: offsets[partition],
            timestamp: None,
            appended_at: None,
            key: None,
            headers: &[],
            payload: Some(&event.json),
        };
        offsets[partition] += 1;
        engine.ingest(&record, NOW);
        if index % 1_000 == 0 {
            told.extend(engine.advance(NOW, usize::MAX).0.notifications);
        }
    }
    assert!(engine.law().holds(), "L-1");
    assert_eq!(engine.law().counted, events.len() as u64, "nothing is late, refused or in the future");
    told
}

fn day(text: &str) -> i64 {
    let date: chrono::NaiveDate = text.parse().expect("a date");
    date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis()
}

/// Whether an alert of this column began between the two days, or within the day whose windows still hold them.
fn noticed(told: &[Notification], column: &str, kind: AlertKind, from: &str, to: &str) -> bool {
    let span = day(from)..day(to) + DAY;
    told.iter().filter(|one| one.kind == kind && one.transition != Transition::Resolved).any(|one| {
        one.findings.iter().any(|finding| finding.column == column && span.contains(&finding.since))
    })
}

#[test]
fn every_incident_of_the_flights_stream_is_noticed_on_its_own_field() {
    let told = replay("calibrated");
    let incidents = [
        ("dewp", AlertKind::DataFault, "2013-04-09", "2013-04-12"),
        ("visib", AlertKind::DataFault, "2013-05-14", "2013-05-15"),
        ("wind_speed", AlertKind::DataFault, "2013-06-04", "2013-06-05"),
        ("carrier", AlertKind::DataFault, "2013-07-16", "2013-07-18"),
        ("pressure", AlertKind::Drift, "2013-08-13", "2013-08-15"),
        ("latency", AlertKind::Latency, "2013-09-10", "2013-09-12"),
        ("dewp", AlertKind::DataFault, "2013-05-01", "2013-10-01"),
        ("performance", AlertKind::Drift, "2013-05-01", "2013-10-01"),
    ];
    for (column, kind, from, to) in incidents {
        assert!(noticed(&told, column, kind, from, to), "{column} from {from} was missed");
    }
    assert!(!noticed(&told, "latency", AlertKind::Latency, "2013-03-01", "2013-09-08"), "latency was steady");
    let pressure = |one: &Notification| {
        one.findings
            .iter()
            .any(|finding| finding.column == "pressure" && finding.segment.as_deref() == Some("JFK"))
    };
    assert!(told.iter().any(pressure), "the stuck pressure is told of the segment it is in");
    assert_eq!(replay("calibrated"), told, "a replay tells the same under the same keys");
}

#[test]
fn the_classical_detectors_notice_every_incident_too() {
    let told = replay("classical");
    let incidents = [
        ("temp", AlertKind::DataFault, "2013-04-09", "2013-04-12"),
        ("dewp", AlertKind::DataFault, "2013-04-09", "2013-04-12"),
        ("visib", AlertKind::DataFault, "2013-05-14", "2013-05-15"),
        ("wind_speed", AlertKind::DataFault, "2013-06-04", "2013-06-05"),
        ("carrier", AlertKind::DataFault, "2013-07-16", "2013-07-18"),
        ("pressure", AlertKind::DataFault, "2013-08-13", "2013-08-15"),
        ("latency", AlertKind::Latency, "2013-09-10", "2013-09-12"),
        ("temp", AlertKind::Drift, "2013-05-01", "2013-10-01"),
        ("dewp", AlertKind::Drift, "2013-05-01", "2013-10-01"),
    ];
    for (column, kind, from, to) in incidents {
        assert!(noticed(&told, column, kind, from, to), "{column} from {from} was missed");
    }
    assert!(!noticed(&told, "latency", AlertKind::Latency, "2013-03-01", "2013-09-08"), "latency was steady");
}
