//! Two versions in four segments: their baseline, their events with what goes wrong, and the daemon's core that reads them
//! from partitions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anchorwatch::action::VersionFacts;
use anchorwatch::alert::Notification;
use anchorwatch::config::{self, Config};
use anchorwatch::engine::{CatalogEntry, Engine, Restored};
use anchorwatch::event::Record;
use anchorwatch::reference::Reference;
use anchorwatch::registry::{BaselineOptions, build};
use anchorwatch::view::{AlarmRateView, Level, WindowView};
use anchorwatch::window::WatchedVersion;

use super::stored::apply;

pub(crate) const HOUR: i64 = 3_600_000;
/// A Monday.
pub(crate) const START: i64 = 1_704_067_200_000;
pub(crate) const BASELINE_HOURS: i64 = 10 * 24;
pub(crate) const LIVE: i64 = START + BASELINE_HOURS * HOUR;
pub(crate) const LIVE_HOURS: i64 = 48;
pub(crate) const PER_HOUR: i64 = 120;
pub(crate) const NOW: i64 = LIVE + 10_000 * HOUR;

/// What is wrong from [`ONSET`] on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    /// `amount` shifts by a standard deviation in version 2.0.0 only.
    AmountOfVersion,
    /// Every label of segment `west` is 1.
    LabelsOfWest,
    /// `amount` shifts by a standard deviation everywhere.
    Amount,
    /// All labels turn round.
    Labels,
    /// `amount` shifts by five standard deviations everywhere.
    AmountFar,
    /// `amount` is told in cents everywhere.
    AmountInCents,
    /// Version 2.0.0 sends nothing.
    SilentVersion,
    /// Two features and the score are null everywhere.
    Nulls,
}

/// Hour of the live events from which on something is wrong.
pub(crate) const ONSET: i64 = 24;

pub(crate) struct Row {
    pub(crate) ts: i64,
    pub(crate) segment: &'static str,
    pub(crate) version: &'static str,
    pub(crate) amount: f64,
    pub(crate) colour: &'static str,
    pub(crate) score: f64,
    pub(crate) label: bool,
    pub(crate) latency: f64,
}

/// Numbers without a clock: the same at every run.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / 16_777_216.0
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

pub(crate) fn rows(from: i64, hours: i64, seed: u64, wrong: Wrong) -> Vec<Row> {
    let mut chance = Chance(seed);
    let mut row = |index: i64| {
        let late = index >= ONSET * PER_HOUR;
        let segment = ["east", "north", "south", "west"][(chance.uniform() * 4.0) as usize % 4];
        let silent = late && wrong == Wrong::SilentVersion;
        let version = if chance.uniform() < 0.3 && !silent { "2.0.0" } else { "1.0.0" };
        let mut amount = 50.0 + 10.0 * chance.normal();
        let mut colour = ["red", "green", "blue"][(chance.uniform() * 3.0) as usize % 3];
        let mut score = chance.uniform();
        let mut label = chance.uniform() < score;
        match wrong {
            Wrong::AmountOfVersion if late && version == "2.0.0" => amount += 10.0,
            Wrong::Amount if late => amount += 10.0,
            Wrong::AmountFar if late => amount += 50.0,
            Wrong::AmountInCents if late => amount *= 100.0,
            Wrong::LabelsOfWest if late && segment == "west" => label = true,
            Wrong::Labels if late => label = !label,
            Wrong::Nulls if late => (amount, colour, score) = (f64::NAN, "", f64::NAN),
            _ => {}
        }
        let latency = 5.0 + 20.0 * chance.uniform();
        Row { ts: from + index * HOUR / PER_HOUR, segment, version, amount, colour, score, label, latency }
    };
    (0..hours * PER_HOUR).map(&mut row).collect()
}

pub(crate) fn csv(path: &Path, rows: &[Row]) {
    let mut text = "ts,segment,version,amount,colour,score,label,latency_ms\n".to_owned();
    for Row { ts, segment, version, amount, colour, score, label, latency } in rows {
        let label = u8::from(*label);
        let line =
            writeln!(text, "{ts},{segment},{version},{amount:.2},{colour},{score:.4},{label},{latency:.2}");
        line.expect("a string");
    }
    std::fs::write(path, text).expect("writable");
}

/// Ten days of two versions in four segments.
pub(crate) fn reference() -> Arc<Reference> {
    static REFERENCE: OnceLock<Arc<Reference>> = OnceLock::new();
    Arc::clone(REFERENCE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("baseline.csv");
        csv(&path, &rows(START, BASELINE_HOURS, 1, Wrong::Nothing));
        Arc::new(build(&BaselineOptions::new("m", "1.0.0", &path)).expect("a reference"))
    }))
}

pub(crate) fn settings(more: &str) -> Config {
    settings_of("", more)
}

/// The same with further horizons.
pub(crate) fn settings_of(horizons: &str, more: &str) -> Config {
    let text = format!(
        r#"
kafka: {{ bootstrap: "127.0.0.1:9", topics: [predictions] }}
windows: {{ pane: 10m, horizons: [{{ length: 1h, every: 1h }}{horizons}], lateness: 20m }}
segments: {{ field: segment }}
events: {{ labels: {{ wait: 10h, complete: 1 }} }}
sinks: [{{ name: w, type: webhook, url: "http://localhost/" }}]
{more}
"#
    );
    config::parse(&text, "test").expect("valid settings")
}

pub(crate) const SEQUENCES: &str = "
monitor:
  sequential:
    - { detector: adwin, on: amount, severity: critical }
    - { detector: kswin, on: latency, parameters: { alpha: 0.000001 } }
    - { detector: cusum, on: score }
    - { detector: page_hinkley, on: colour }
    - { detector: e_detector, on: amount, values: rank, draws: 50 }
    - { detector: ddm, on: error }
    - { detector: fhddm, on: error, parameters: { sliding_window_size: 200 } }
";

pub(crate) fn catalog() -> [CatalogEntry; 2] {
    ["1.0.0", "2.0.0"].map(|version| {
        let watched = WatchedVersion {
            model: "m".to_owned(),
            version: version.to_owned(),
            // Each version has its own artifact, built from the same rows.
            reference_id: format!("0123456789abcdef-{version}"),
            reference: reference(),
            takes_feedback: version == "1.0.0",
        };
        CatalogEntry { watched, facts: VersionFacts { current: true, ..VersionFacts::default() } }
    })
}

/// Where the labels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Labels {
    /// In the events.
    Inline,
    /// In feedback, one to eight hours later.
    Late,
}

/// Events by event time, with a number that spreads them.
pub(crate) fn events(rows: &[Row], labels: Labels) -> Vec<(i64, String)> {
    let mut chance = Chance(99);
    let mut events = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let Row { ts, segment, version, latency, label, .. } = row;
        let number =
            |x: f64, digits: usize| if x.is_nan() { "null".to_owned() } else { format!("{x:.digits$}") };
        let (amount, score) = (number(row.amount, 2), number(row.score, 4));
        let colour = if row.colour.is_empty() { "null".to_owned() } else { format!("\"{}\"", row.colour) };
        let label = u8::from(*label);
        let own = if labels == Labels::Inline { format!(r#","label":{label}"#) } else { String::new() };
        events.push((
            *ts,
            format!(
                r#"{{"id":"p{index}","model":"m","version":"{version}","ts":{ts},"features":{{"amount":{amount},"colour":{colour}}},"segment":{{"segment":"{segment}"}},"score":{score},"latency_ms":{latency:.2}{own}}}"#
            ),
        ));
        if labels == Labels::Late {
            let at = ts + HOUR + (chance.uniform() * 7.0 * HOUR as f64) as i64;
            events.push((at, format!(r#"{{"model":"m","id":"p{index}","label":{label},"ts":{at}}}"#)));
        }
    }
    events.sort_by_key(|(at, _)| *at);
    events
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) windows: BTreeMap<(i64, String, String, Option<String>), WindowView>,
    pub(crate) told: Vec<Notification>,
    pub(crate) rates: Vec<AlarmRateView>,
}

impl Seen {
    pub(crate) fn of(&self, horizon: &str) -> impl Iterator<Item = &WindowView> {
        self.windows.values().filter(move |window| window.horizon == horizon)
    }

    pub(crate) fn drifts<'a>(
        &'a self,
        horizon: &'a str,
        column: &'a str,
    ) -> impl Iterator<Item = &'a WindowView> {
        let over = move |window: &&WindowView| {
            window.verdicts.iter().any(|one| one.column == column && one.level == Level::Drift)
        };
        self.of(horizon).filter(over)
    }
}

/// Spreads the events over partitions and hands them over in runs of this length.
pub(crate) fn run(
    settings: &Config,
    events: &[(i64, String)],
    partitions: usize,
    length: usize,
    mut between: impl FnMut(Engine) -> Engine,
) -> Seen {
    let mut logs: Vec<Vec<&str>> = vec![Vec::new(); partitions];
    let mut chance = Chance(partitions as u64);
    for (_, json) in events {
        logs[(chance.uniform() * partitions as f64) as usize % partitions].push(json);
    }
    // Every partition goes on far enough for all windows to close.
    let last = format!(
        r#"{{"model":"m","version":"1.0.0","ts":{},"features":{{"amount":50}}}}"#,
        LIVE + (LIVE_HOURS + 30) * HOUR
    );
    logs.iter_mut().for_each(|log| log.push(&last));
    let (mut engine, mut seen) = (engine(settings, partitions), Seen::default());
    let mut next = vec![0; partitions];
    while next.iter().zip(&logs).any(|(next, log)| next < &log.len()) {
        for partition in 0..partitions {
            for json in logs[partition].iter().skip(next[partition]).take(length + 7 * partition) {
                let record = Record {
                    topic: "predictions",
                    partition: i32::try_from(partition).expect("small"),
                    offset: i64::try_from(next[partition]).expect("small"),
                    timestamp: None,
                    appended_at: None,
                    key: None,
                    headers: &[],
                    payload: Some(json.as_bytes()),
                };
                engine.ingest(&record, NOW);
                next[partition] += 1;
            }
        }
        let (progress, more) = engine.advance(NOW, usize::MAX);
        assert!(!more);
        for window in progress.windows {
            let key = (window.start, window.horizon.clone(), window.version.clone(), window.segment.clone());
            seen.windows.insert(key, window);
        }
        seen.told.extend(progress.notifications);
        engine = between(engine);
    }
    assert_eq!(engine.law().counted, engine.law().read);
    seen.rates = engine.alarm_rates();
    seen
}

pub(crate) fn engine(settings: &Config, partitions: usize) -> Engine {
    let mut engine = Engine::new(settings);
    engine.set_catalog(&catalog());
    for partition in 0..partitions {
        engine.assign("predictions", i32::try_from(partition).expect("small"), None);
    }
    engine
}

pub(crate) fn unbroken(engine: Engine) -> Engine {
    engine
}

pub(crate) fn restart(mut engine: Engine, settings: &Config, stored: &mut Restored) -> Engine {
    apply(stored, engine.checkpoint());
    let mut restarted = Engine::new(settings);
    restarted.restore(stored.clone(), |_| Some(reference())).expect("its own documents");
    restarted.set_catalog(&catalog());
    (0..2).for_each(|partition| restarted.assign("predictions", partition, None));
    assert_eq!(restarted.alarm_rates(), engine.alarm_rates());
    restarted
}
