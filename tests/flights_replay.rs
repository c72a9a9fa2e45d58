//! The flights stream through the core alone, without Kafka: which incidents are noticed, and what else alarms.

use std::path::Path;
use std::sync::Arc;

use anchorwatch::action::VersionFacts;
use anchorwatch::config::Config;
use anchorwatch::engine::{CatalogEntry, Engine};
use anchorwatch::event::Record;
use anchorwatch::reference::{ReferenceId, encode};
use anchorwatch::registry::{BaselineOptions, build};
use anchorwatch::source::TableEvents;
use anchorwatch::window::WatchedVersion;

static EVENTS: &[u8] = include_bytes!("../testdata/flights/events.parquet");

#[test]
fn print_alerts() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/flights/reference.parquet");
    let mut options = BaselineOptions::new("flights", "1.0.0", &source);
    options.segment_field = Some("origin".to_owned());
    let reference = build(&options).expect("reference");
    for column in &reference.columns {
        eprintln!(
            "{} {:?} cells {} notes {:?}",
            column.name,
            column.kind,
            column.binning.cells(),
            column.notes
        );
    }
    eprintln!("windows {} of {:?}", reference.windows.len(), reference.window_ms);
    let id = ReferenceId::of(&encode(&reference).expect("encodes"));
    let yaml = std::env::var("DEMO_YAML").unwrap_or_else(|_| "/tmp/demo.yaml".to_owned());
    let config: Config = anchorwatch::config::load(Path::new(&yaml)).unwrap_or_else(|e| panic!("{e}"));
    let mut engine = Engine::new(&config);
    engine.set_catalog(&[CatalogEntry {
        watched: WatchedVersion {
            model: "flights".into(),
            version: "1.0.0".into(),
            reference_id: id.to_string(),
            reference: Arc::new(reference),
            takes_feedback: true,
        },
        facts: VersionFacts { current: true, rollback_to: None },
    }]);
    let events = TableEvents { model: "flights", version: "1.0.0", segment: Some("origin"), feedback: true }
        .read(EVENTS)
        .expect("events");
    let now = 1_700_000_000_000;
    let begun = std::time::Instant::now();
    let mut offsets = [0_i64; 3];
    for (i, event) in events.iter().enumerate() {
        let p = i % 3;
        let record = Record {
            topic: "t",
            partition: p as i32,
            offset: offsets[p],
            timestamp: None,
            key: None,
            headers: &[],
            payload: Some(&event.json),
        };
        offsets[p] += 1;
        engine.ingest(&record, now);
        if i % 500 == 0 {
            loop {
                let (progress, more) = engine.advance(now, 16);
                for n in progress.notifications {
                    let at = chrono::DateTime::from_timestamp_millis(n.at).unwrap().format("%m-%d %H:%M");
                    eprintln!(
                        "{at} {:?} {} [{}]",
                        n.transition,
                        n.summary,
                        n.findings
                            .iter()
                            .map(|f| format!(
                                "{}{}:{}={:.3}/{:.3}@{}",
                                f.segment.as_deref().map(|s| format!("{s}/")).unwrap_or_default(),
                                f.column,
                                f.detector,
                                f.statistic,
                                f.threshold,
                                f.window.horizon
                            ))
                            .collect::<Vec<_>>()
                            .join(" ")
                    );
                }
                if !more {
                    break;
                }
            }
        }
    }
    eprintln!("{:?} {:?}", begun.elapsed(), engine.law());
    assert!(engine.law().holds());
}
