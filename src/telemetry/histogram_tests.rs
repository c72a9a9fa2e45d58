//! The histogram of latencies, from events through the engine to the text of a scrape.

use std::sync::Arc;

use anchorwatch_detectors::binning::{Binning, NumericBinning};
use anchorwatch_detectors::latency;

use super::Metrics;
use crate::action::VersionFacts;
use crate::config::{self, Config};
use crate::engine::{CatalogEntry, Engine};
use crate::event::Record;
use crate::reference::{Column, ColumnKind, Layout, Provenance, Reference, Role, Value};
use crate::view::LatencyHistogram;
use crate::window::WatchedVersion;

const MINUTE: i64 = 60_000;
const START: i64 = 1_700_000_040_000;
const NOW: i64 = START + 10_000 * MINUTE;

fn settings(buckets: &str) -> Config {
    let text = format!(
        "
kafka: {{bootstrap: '127.0.0.1:9', topics: [t]}}
windows: {{pane: 1m, horizons: [{{length: 5m, every: 1m}}], lateness: 1m, correction: 10m, min_rows: 20}}
segments: {{field: country}}
memory: {{versions_per_model: 100}}
monitor: {{verdicts: classical, latency: {{{buckets}}}}}
"
    );
    config::parse(&text, "test").expect("valid settings")
}

fn reference(version: &str, has_latency: bool) -> Reference {
    let knots = NumericBinning::new((0..=20).map(f64::from).collect()).expect("ascending");
    let columns = vec![Column {
        name: "x".to_owned(),
        role: Role::Feature,
        kind: ColumnKind::Numeric,
        required: true,
        single_precision: false,
        binning: Binning::Numeric(knots),
        usual: None,
        unseen_beyond: 0.0,
        notes: Vec::new(),
    }];
    let layout = Layout::new(&columns);
    let mut profile = vec![0; layout.len()];
    profile[Layout::ROWS] = 400;
    profile[layout.index(0, columns[0].slot(Value::Number(3.0)))] = 400;
    profile[layout.latency_bucket(latency::bucket(10.0).expect("a latency"))] = 400;
    Reference {
        model: "fraud".to_owned(),
        version: version.to_owned(),
        columns,
        has_latency,
        profile,
        window_ms: None,
        windows: Default::default(),
        segment_field: None,
        segments: Default::default(),
        joint: Default::default(),
        calibration: None,
        provenance: Provenance::default(),
    }
}

fn entry(version: &str, has_latency: bool) -> CatalogEntry {
    let watched = WatchedVersion {
        model: "fraud".to_owned(),
        version: version.to_owned(),
        reference_id: format!("of {version}"),
        reference: Arc::new(reference(version, has_latency)),
        takes_feedback: false,
    };
    CatalogEntry { watched, facts: VersionFacts { current: true, ..VersionFacts::default() } }
}

struct Run {
    engine: Engine,
    metrics: Metrics,
    offset: i64,
}

impl Run {
    fn new(buckets: &str, versions: &[(&str, bool)]) -> Self {
        let mut engine = Engine::new(&settings(buckets));
        let entries: Vec<CatalogEntry> =
            versions.iter().map(|(version, has_latency)| entry(version, *has_latency)).collect();
        engine.set_catalog(&entries);
        Self { engine, metrics: Metrics::new().expect("metrics"), offset: 0 }
    }

    /// An event of a version in this minute, with `"latency_ms":…` or nothing.
    fn send(&mut self, version: &str, minute: i64, latency: &str) {
        let ts = START + minute * MINUTE;
        let payload = format!(
            r#"{{"model":"fraud","version":"{version}","ts":{ts},"features":{{"x":3}},"segment":{{"country":"DE"}}{latency}}}"#
        );
        let record = Record {
            topic: "t",
            partition: 0,
            offset: self.offset,
            timestamp: Some(START),
            appended_at: None,
            key: None,
            headers: &[],
            payload: Some(payload.as_bytes()),
        };
        self.offset += 1;
        self.engine.ingest(&record, NOW);
    }

    fn took(&mut self, version: &str, minute: i64, latencies: &[f64]) {
        latencies
            .iter()
            .for_each(|latency| self.send(version, minute, &format!(r#","latency_ms":{latency}"#)));
    }

    /// Closes all panes before the one two minutes ago.
    fn close(&mut self, version: &str, minute: i64) {
        self.send(version, minute, "");
        let (_, more) = self.engine.advance(NOW, usize::MAX);
        assert!(!more);
    }

    /// The lines of a scrape about latencies of a version.
    fn scrape(&self, version: &str) -> Vec<String> {
        self.metrics.status(Arc::new(self.engine.status()));
        let text = self.metrics.encode().expect("encodes");
        let of = format!("version=\"{version}\"");
        let ours = |line: &&str| line.starts_with("anchorwatch_latency_seconds_") && line.contains(&of);
        text.lines().filter(ours).map(str::to_owned).collect()
    }

    /// Cumulative counts by bound, then the number of all.
    fn counts(&self, version: &str) -> Vec<String> {
        let lines = self.scrape(version);
        let value = |line: &String| line.rsplit_once(' ').map(|(_, value)| value.to_owned());
        lines.iter().filter(|line| !line.contains("_sum{")).filter_map(value).collect()
    }

    fn sum(&self, version: &str) -> f64 {
        let lines = self.scrape(version);
        let line = lines.iter().find(|line| line.contains("_sum{")).expect("a sum");
        line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok()).expect("a number")
    }
}

#[test]
fn latencies_of_closed_panes_are_a_histogram_that_grows_and_adds_up_over_versions() {
    let mut run = Run::new("buckets_ms: [10, 100]", &[("1.0.0", true), ("2.0.0", true)]);
    run.took("1.0.0", 0, &[5.0, 9.9, 50.0, 5_000.0]);
    run.took("2.0.0", 0, &[70.0]);
    run.engine.advance(NOW, usize::MAX);
    assert_eq!(run.counts("1.0.0"), ["0", "0", "0", "0"], "the pane is open");
    run.close("1.0.0", 5);
    let labels = "model=\"fraud\",version=\"1.0.0\"";
    let lines = run.scrape("1.0.0");
    assert_eq!(
        lines[..3],
        [
            format!("anchorwatch_latency_seconds_bucket{{{labels},le=\"0.01024\"}} 2"),
            format!("anchorwatch_latency_seconds_bucket{{{labels},le=\"0.1024\"}} 3"),
            format!("anchorwatch_latency_seconds_bucket{{{labels},le=\"+Inf\"}} 4"),
        ]
    );
    assert_eq!(lines[4], format!("anchorwatch_latency_seconds_count{{{labels}}} 4"));
    let text = run.metrics.encode().expect("encodes");
    assert!(text.contains("# TYPE anchorwatch_latency_seconds histogram\n"), "{text}");
    assert_eq!(run.counts("2.0.0"), ["0", "1", "1", "1"], "the bounds are those of every version");
    let before = run.sum("1.0.0");
    assert!((before / 5.0649 - 1.0).abs() < 1.0 / 32.0, "{before}");

    run.took("1.0.0", 6, &[20.0]);
    run.close("1.0.0", 12);
    assert_eq!(run.counts("1.0.0"), ["2", "4", "5", "5"]);
    let after = run.sum("1.0.0");
    assert!((after - before - 0.02).abs() < 0.02 / 32.0, "{before} {after}");

    // One that comes late amends its window and no more.
    let counted = run.engine.law().counted;
    run.took("1.0.0", 8, &[20.0]);
    run.close("1.0.0", 14);
    assert_eq!(run.engine.law().counted, counted + 2);
    assert_eq!(run.counts("1.0.0"), ["2", "4", "5", "5"]);
    assert_eq!(run.counts("2.0.0"), ["0", "1", "1", "1"]);
}

#[test]
fn without_bounds_there_is_no_histogram() {
    let mut run = Run::new("buckets_ms: []", &[("1.0.0", true)]);
    run.took("1.0.0", 0, &[5.0, 50.0]);
    run.close("1.0.0", 5);
    assert_eq!(run.scrape("1.0.0"), Vec::<String>::new());
    let text = run.metrics.encode().expect("encodes");
    assert!(!text.contains("anchorwatch_latency_seconds") && text.contains("anchorwatch_events_total"));
    let mut usual = Run::new("", &[("1.0.0", true)]);
    usual.took("1.0.0", 0, &[5.0, 50.0]);
    usual.close("1.0.0", 5);
    assert_eq!(usual.scrape("1.0.0").len(), 11 + 3, "by default there is one");
}

#[test]
fn a_version_without_latencies_has_no_histogram_before_its_first() {
    let mut run = Run::new("buckets_ms: [100]", &[("1.0.0", false)]);
    run.close("1.0.0", 0);
    run.close("1.0.0", 5);
    assert_eq!(run.scrape("1.0.0"), Vec::<String>::new());
    run.took("1.0.0", 6, &[5.0]);
    run.close("1.0.0", 10);
    assert_eq!(run.counts("1.0.0"), ["1", "1", "1"]);
}

#[test]
fn a_version_that_is_forgotten_loses_its_histogram() {
    let mut run = Run::new("buckets_ms: [100]", &[("1.0.0", true), ("2.0.0", true)]);
    run.took("1.0.0", 0, &[5.0]);
    run.took("2.0.0", 0, &[5.0]);
    run.close("2.0.0", 5);
    assert_eq!(run.counts("1.0.0"), ["1", "1", "1"]);
    run.engine.set_catalog(&[entry("2.0.0", true)]);
    run.close("2.0.0", 100);
    run.engine.checkpoint();
    assert_eq!(run.scrape("1.0.0"), Vec::<String>::new());
    run.took("2.0.0", 101, &[5.0]);
    run.close("2.0.0", 110);
    assert_eq!(run.counts("2.0.0"), ["2", "2", "2"], "places changed, counts did not");
}

#[test]
fn the_histograms_are_the_same_however_many_threads_close_panes() {
    let versions: Vec<String> = (0..40).map(|patch| format!("1.0.{patch}")).collect();
    let latencies = |threads: usize| -> Vec<Arc<LatencyHistogram>> {
        let known: Vec<(&str, bool)> = versions.iter().map(|version| (version.as_str(), true)).collect();
        let mut run = Run::new("", &known);
        run.engine.set_threads(threads);
        for minute in 0..4 {
            for (index, version) in (1..).zip(&versions) {
                run.took(version, minute, &[0.37 * f64::from(index), 913.1 / f64::from(index)]);
            }
        }
        run.close("1.0.0", 9);
        run.engine.status().latencies
    };
    let alone = latencies(1);
    assert_eq!(alone.len(), 40);
    assert!(alone.iter().all(|one| one.count() == 8), "{alone:?}");
    assert_eq!(latencies(3), alone);
}
