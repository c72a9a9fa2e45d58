//! Known models, their events, and an engine that counts them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anchorwatch::action::VersionFacts;
use anchorwatch::config::{self, Config};
use anchorwatch::engine::{CatalogEntry, Checkpoint, Engine};
use anchorwatch::event::Record;
use anchorwatch::reference::{Column, ColumnKind, Layout, Provenance, Reference, Role, Value};
use anchorwatch::telemetry::Metrics;
use anchorwatch::view::{StatusView, WindowView};
use anchorwatch::window::WatchedVersion;
use anchorwatch_detectors::binning::{Binning, CategoricalBinning, NumericBinning};

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const START: i64 = 1_700_000_040_000;
pub(crate) const NOW: i64 = START + 10_000 * MINUTE;
/// Categorical columns of the reference, so that one event carries as many new categories.
pub(crate) const CATEGORICAL: usize = 20;

pub(crate) fn settings(further: &str) -> Config {
    let text = format!(
        r#"
kafka: {{ bootstrap: "127.0.0.1:9", topics: [t] }}
windows: {{ pane: 1m, horizons: [{{ length: 5m, every: 1m }}, {{ length: 20m, every: 5m }}], lateness: 2m, min_rows: 20 }}
segments: {{ field: segment }}
monitor: {{ verdicts: classical }}
{further}
"#
    );
    config::parse(&text, "test").expect("valid settings")
}

fn column(name: String, binning: Binning) -> Column {
    let kind = match binning {
        Binning::Numeric(_) => ColumnKind::Numeric,
        Binning::Categorical(_) => ColumnKind::Categorical,
    };
    Column {
        name,
        role: Role::Feature,
        kind,
        required: true,
        single_precision: false,
        binning,
        usual: None,
        unseen_beyond: 0.0,
        notes: Vec::new(),
    }
}

pub(crate) fn reference(model: &str) -> Arc<Reference> {
    let knots = NumericBinning::new((0..=20).map(f64::from).collect()).expect("ascending");
    let letters = || CategoricalBinning::new(vec!["a".to_owned(), "b".to_owned()]).expect("distinct");
    let mut columns = vec![column("x".to_owned(), Binning::Numeric(knots))];
    columns.extend((0..CATEGORICAL).map(|i| column(format!("c{i}"), Binning::Categorical(letters()))));
    let layout = Layout::new(&columns);
    let mut profile = vec![0; layout.len()];
    for i in 0..400_u32 {
        profile[Layout::ROWS] += 1;
        profile[layout.index(0, columns[0].slot(Value::Number(f64::from(i % 10))))] += 1;
        for (index, column) in columns.iter().enumerate().skip(1) {
            profile[layout.index(index, column.slot(Value::Text(if i % 2 == 0 { "a" } else { "b" })))] += 1;
        }
    }
    Arc::new(Reference {
        model: model.to_owned(),
        version: "1.0.0".to_owned(),
        columns,
        has_latency: false,
        profile,
        window_ms: None,
        windows: Default::default(),
        segment_field: None,
        segments: BTreeMap::new(),
        joint: Default::default(),
        calibration: None,
        provenance: Provenance::default(),
    })
}

pub(crate) fn entry(model: &str, version: &str) -> CatalogEntry {
    let watched = WatchedVersion {
        model: model.to_owned(),
        version: version.to_owned(),
        reference_id: format!("ref-{model}"),
        reference: reference(model),
        takes_feedback: false,
    };
    CatalogEntry { watched, facts: VersionFacts { current: true, ..VersionFacts::default() } }
}

/// An engine with what it told; records are given their offsets here.
pub(crate) struct Run {
    pub(crate) engine: Engine,
    pub(crate) metrics: Metrics,
    pub(crate) windows: Vec<WindowView>,
    pub(crate) panes: BTreeMap<(u32, i64), Vec<u8>>,
    offset: i64,
}

impl Run {
    pub(crate) fn new(config: &Config, models: &[&str]) -> Self {
        let mut engine = Engine::new(config);
        let entries: Vec<_> = models.iter().map(|model| entry(model, "1.0.0")).collect();
        engine.set_catalog(&entries);
        let metrics = Metrics::with_budget(2_000).expect("metrics");
        Self { engine, metrics, windows: Vec::new(), panes: BTreeMap::new(), offset: 0 }
    }

    pub(crate) fn send(&mut self, key: Option<&[u8]>, payload: &[u8]) {
        let record = Record {
            topic: "t",
            partition: 0,
            offset: self.offset,
            timestamp: Some(START),
            appended_at: None,
            key,
            headers: &[],
            payload: Some(payload),
        };
        self.offset += 1;
        self.engine.ingest(&record, NOW);
    }

    /// What the daemon does between two batches. Panes and windows of `known` are kept, everything else is let go.
    pub(crate) fn settle(&mut self, known: &str) {
        let (progress, more) = self.engine.advance(NOW, usize::MAX);
        assert!(!more);
        for window in progress.windows {
            self.metrics.window(&window);
            if window.model == known {
                self.windows.push(window);
            }
        }
        let status = StatusView {
            law: self.engine.law().clone(),
            events: self.engine.event_counts(),
            unknown: self.engine.unknown_models(),
            not_admitted: self.engine.not_admitted(),
            ..StatusView::default()
        };
        assert!(status.law.holds() && status.unknown.len() <= 100);
        self.metrics.status(Arc::new(status));
        let Checkpoint { panes, refused, subjects, .. } = self.engine.checkpoint();
        assert!(refused.len() <= 10_000, "pointers between two checkpoints are bounded");
        assert!(subjects.len() <= 200, "so are new subjects");
        self.panes.extend(
            panes
                .into_iter()
                .filter(|row| row.subject == 0)
                .map(|row| ((row.subject, row.pane), row.counts.packed().into_owned())),
        );
    }

    pub(crate) fn series(&self) -> usize {
        self.metrics.encode().expect("metrics").lines().filter(|line| !line.starts_with('#')).count()
    }
}

/// The `i`-th event of the known model; a day of them drifts.
pub(crate) fn event(i: i64) -> String {
    let letter = |column: i64| if (i + column) % 3 == 0 { "a" } else { "b" };
    let letters: Vec<String> =
        (0..).take(CATEGORICAL).map(|c| format!(r#""c{c}":"{}""#, letter(c))).collect();
    let (x, ts) = ((i * 7) % 13, ts(i));
    format!(r#"{{"model":"known","version":"1.0.0","ts":{ts},"features":{{"x":{x},{}}}}}"#, letters.join(","))
}

/// Event time of the `i`-th event.
pub(crate) const fn ts(i: i64) -> i64 {
    START + i * 1_200
}

/// Resident memory of this process in bytes.
pub(crate) fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize =
        text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4_096
}

/// One test at a time: memory is the process's.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
