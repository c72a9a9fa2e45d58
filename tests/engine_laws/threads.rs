//! Whole edges that are judged by one thread and by several bring the same, bit for bit: what is shown, what is told, and
//! what is written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anchorwatch::action::VersionFacts;
use anchorwatch::config;
use anchorwatch::engine::{CatalogEntry, Checkpoint, Engine, Progress, Restored, Standing};
use anchorwatch::event::Record;
use anchorwatch::reference::Reference;
use anchorwatch::registry::{BaselineOptions, build};
use anchorwatch::window::WatchedVersion;

use super::{apply, random};

const HOUR: i64 = 3_600_000;
/// A Monday.
const BEGIN: i64 = 1_704_067_200_000;
const MODELS: i64 = 40;
/// Hours of the baseline, of the events, and before the change.
const BASELINE: i64 = 7 * 24;
const HOURS: i64 = 9;
const ONSET: i64 = 4;
/// Events of a model in an hour.
const EACH: i64 = 24;
const PLACES: [&str; 2] = ["north", "south"];

fn settings() -> config::Config {
    let text = r#"
kafka: { bootstrap: "127.0.0.1:9", topics: [t] }
windows: { pane: 10m, horizons: [{ length: 1h, every: 30m }, { length: 3h, every: 1h }], lateness: 10m, min_rows: 20 }
segments: { field: place }
monitor: { verdicts: both, sequential: [{ detector: adwin, on: amount }], latency: { objective_ms: 30, target: 0.99 } }
alerts: { fire_after: 1, of_last: 1, route: { group_wait: 0s, repeat_interval: 2h } }
sinks: [{ name: w, type: webhook, url: "http://localhost/" }]
"#;
    config::parse(text, "test").expect("valid settings")
}

/// Amount, age, colour, score and place of an event.
fn values(draw: &mut impl FnMut(u64) -> i64, shift: i64) -> (i64, i64, &'static str, f64, &'static str) {
    let bell = |draw: &mut dyn FnMut(u64) -> i64| (0..4).map(|_| draw(1_000)).sum::<i64>();
    let (amount, age) = (bell(&mut *draw) + shift, bell(&mut *draw));
    let colour = ["red", "green", "blue"][usize::try_from(draw(3)).expect("small")];
    let score = draw(1_000) as f64 / 1_000.0;
    (amount, age, colour, score, PLACES[usize::try_from(draw(2)).expect("small")])
}

fn reference() -> Arc<Reference> {
    let (mut draw, mut csv) = (random(5), "ts,amount,age,colour,score,latency_ms,place\n".to_owned());
    for row in 0..BASELINE * EACH {
        let (amount, age, colour, score, place) = values(&mut draw, 0);
        let ts = BEGIN - 2 * BASELINE * HOUR + row * HOUR / EACH;
        let latency = (amount + age) / 150;
        writeln!(csv, "{ts},{amount},{age},{colour},{score},{latency},{place}").expect("a string");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("baseline.csv");
    std::fs::write(&path, csv).expect("writable");
    let options = BaselineOptions::new("model-0", "1.0.0", &path);
    let reference = build(&BaselineOptions { segment_field: Some("place".to_owned()), ..options });
    Arc::new(reference.expect("a reference"))
}

/// Everything that a run brings.
#[derive(Debug, Default, PartialEq)]
struct Brought {
    /// Windows, steps of alerts, transitions and reasons, edge by edge: numbers are written to the last bit.
    edges: Vec<String>,
    checkpoints: Vec<Checkpoint>,
}

impl Brought {
    fn take(&mut self, progress: &Progress) {
        let Progress { windows, steps, notifications, decisions, suppressed, digests } = progress;
        let all = (windows, steps, notifications, (decisions, suppressed, digests));
        self.edges.push(format!("{all:?}"));
    }
}

fn started(reference: &Arc<Reference>, threads: usize, stored: Restored) -> Engine {
    let mut engine = Engine::new(&settings());
    engine.set_threads(threads);
    engine.restore(stored, |_| Some(Arc::clone(reference))).expect("its own documents");
    let entry = |model| CatalogEntry {
        watched: WatchedVersion {
            model: format!("model-{model}"),
            version: "1.0.0".to_owned(),
            reference_id: "reference".to_owned(),
            reference: Arc::clone(reference),
            takes_feedback: false,
        },
        facts: VersionFacts { current: true, ..VersionFacts::default() },
    };
    engine.set_catalog(&(0..MODELS).map(entry).collect::<Vec<_>>());
    engine.assign("t", 0, None);
    engine
}

/// Judges nine hours of all models, whole edges at a time or in small steps, with a restart in the middle.
fn judged(reference: &Arc<Reference>, threads: usize, steps: usize) -> Brought {
    let (mut brought, mut stored) = (Brought::default(), Restored::default());
    let mut engine = started(reference, threads, stored.clone());
    let (mut draw, mut offset) = (random(9), 0);
    let mut shown = engine.alert_views();
    for minute in 0..HOURS * 60 {
        let shift = if minute >= ONSET * 60 { 900 } else { 0 };
        for model in (0..MODELS).filter(|model| (minute + model) % (60 / EACH) == 0) {
            let ts = BEGIN + minute * 60_000 + model;
            // A third of the models stays as it was.
            let (amount, age, colour, score, place) =
                values(&mut draw, if model % 3 == 0 { 0 } else { shift });
            let json = format!(
                r#"{{"model":"model-{model}","version":"1.0.0","ts":{ts},"features":{{"amount":{amount},"age":{age},"colour":"{colour}","place":"{place}"}},"prediction":{{"score":{score}}},"latency_ms":{},"segment":{{"place":"{place}"}}}}"#,
                (amount + age) / 150
            );
            let record = Record {
                topic: "t",
                partition: 0,
                offset,
                timestamp: None,
                appended_at: None,
                key: None,
                headers: &[],
                payload: Some(json.as_bytes()),
            };
            engine.ingest(&record, ts);
            offset += 1;
        }
        let now = BEGIN + (minute + 1) * 60_000;
        let mut edge = Progress::default();
        loop {
            let (progress, standing) = engine.advance_some(now, steps);
            edge.windows.extend(progress.windows);
            edge.steps.extend(progress.steps);
            edge.notifications.extend(progress.notifications);
            edge.suppressed.extend(progress.suppressed);
            edge.digests += progress.digests;
            match standing {
                Standing::Judging => {}
                Standing::EdgeDone => brought.take(&std::mem::take(&mut edge)),
                Standing::Idle => break,
            }
        }
        // Between edges alerts are shown as they were unless it is said that they changed.
        let views = engine.alert_views();
        assert!(engine.alerts_changed() || views == shown, "minute {minute}");
        let mut list = engine.begin_alert_list();
        while !engine.extend_alert_list(&mut list) {}
        assert_eq!(list.into_views(), views, "a list made in steps, minute {minute}");
        shown = views;
        if minute % 30 == 29 {
            let checkpoint = engine.checkpoint();
            brought.checkpoints.push(checkpoint.clone());
            apply(&mut stored, checkpoint);
        }
        if minute == 5 * 60 + 29 {
            engine = started(reference, threads, stored.clone());
        }
    }
    assert!(engine.law().holds() && engine.law().counted == engine.law().read, "{:?}", engine.law());
    brought
}

/// J-1: how many threads judge an edge does not show, nor does it in how many steps.
#[test]
fn edges_that_are_judged_by_any_number_of_threads_bring_the_same_bit_for_bit() {
    let reference = reference();
    assert!(reference.calibration.is_some(), "the baseline has times");
    let alone = judged(&reference, 1, usize::MAX);
    let text = alone.edges.concat();
    let horizons =
        ["1h", "3h", "calibrated"].map(|name| text.matches(&format!("horizon: \"{name}\"")).count());
    assert!(horizons.iter().all(|windows| *windows > 100), "{horizons:?}");
    let mut documents: BTreeMap<String, usize> = BTreeMap::new();
    for name in alone.checkpoints.iter().flat_map(|checkpoint| checkpoint.documents.keys()) {
        let kind = name.split('/').next().unwrap_or_default();
        *documents.entry(kind.to_owned()).or_default() += 1;
    }
    for kind in ["watch", "watch-windows", "alerts", "alert-groups", "sequential", "burn", "sharing"] {
        assert!(documents.get(kind).is_some_and(|count| *count > 50), "{kind}: {documents:?}");
    }
    assert!(alone.checkpoints.iter().map(|checkpoint| checkpoint.outbox.len()).sum::<usize>() > 50);
    for (threads, steps) in [(2, usize::MAX), (5, usize::MAX), (1, 3), (8, 16)] {
        let several = judged(&reference, threads, steps);
        for (edge, (one, other)) in alone.edges.iter().zip(&several.edges).enumerate() {
            assert!(one == other, "edge {edge}, {threads} threads, {steps} steps");
        }
        for (place, (one, other)) in alone.checkpoints.iter().zip(&several.checkpoints).enumerate() {
            let known: BTreeMap<_, _> = other.every_document().collect();
            let differ: Vec<_> =
                one.every_document().filter(|(name, text)| known.get(name) != Some(text)).collect();
            assert!(one == other, "checkpoint {place}, {threads} threads, {steps} steps: {differ:?}");
        }
        assert_eq!(
            (alone.edges.len(), alone.checkpoints.len()),
            (several.edges.len(), several.checkpoints.len())
        );
    }
}
