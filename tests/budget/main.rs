//! Verdicts under the false-alarm budget in the daemon's core: versions against one another, segments of late labels, how
//! often alarms come, what alerts explain, and sequential detectors; all the same from any number of partitions.
#![expect(clippy::expect_used, reason = "a helper fails its test by saying what is wrong")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anchorwatch::action::VersionFacts;
use anchorwatch::alert::{AlertKind, Notification};
use anchorwatch::config::{self, Config};
use anchorwatch::engine::{CatalogEntry, Checkpoint, Engine, Restored, TroubleKind};
use anchorwatch::event::Record;
use anchorwatch::monitor::calibrated::{BudgetDays, Counted, ModelWatch, VERSION_WINDOWS};
use anchorwatch::monitor::sequential::{SEQUENTIAL, SEQUENTIAL_LABELS};
use anchorwatch::reference::{Reference, Slice};
use anchorwatch::registry::{BaselineOptions, build, read_series};
use anchorwatch::view::{AlarmRateView, AlertState, Level, WindowView};
use anchorwatch::window::WatchedVersion;

const HOUR: i64 = 3_600_000;
/// A Monday.
const START: i64 = 1_704_067_200_000;
const BASELINE_HOURS: i64 = 10 * 24;
const LIVE: i64 = START + BASELINE_HOURS * HOUR;
const LIVE_HOURS: i64 = 48;
const PER_HOUR: i64 = 120;
const NOW: i64 = LIVE + 10_000 * HOUR;

/// What is wrong from [`ONSET`] on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
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
}

/// Hour of the live events from which on something is wrong.
const ONSET: i64 = 24;

struct Row {
    ts: i64,
    segment: &'static str,
    version: &'static str,
    amount: f64,
    colour: &'static str,
    score: f64,
    label: bool,
    latency: f64,
}

/// Numbers without a clock: the same at every run.
struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / 16_777_216.0
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

fn rows(from: i64, hours: i64, seed: u64, wrong: Wrong) -> Vec<Row> {
    let mut chance = Chance(seed);
    let mut row = |index: i64| {
        let late = index >= ONSET * PER_HOUR;
        let segment = ["east", "north", "south", "west"][(chance.uniform() * 4.0) as usize % 4];
        let silent = late && wrong == Wrong::SilentVersion;
        let version = if chance.uniform() < 0.3 && !silent { "2.0.0" } else { "1.0.0" };
        let mut amount = 50.0 + 10.0 * chance.normal();
        let colour = ["red", "green", "blue"][(chance.uniform() * 3.0) as usize % 3];
        let score = chance.uniform();
        let mut label = chance.uniform() < score;
        match wrong {
            Wrong::AmountOfVersion if late && version == "2.0.0" => amount += 10.0,
            Wrong::Amount if late => amount += 10.0,
            Wrong::AmountFar if late => amount += 50.0,
            Wrong::AmountInCents if late => amount *= 100.0,
            Wrong::LabelsOfWest if late && segment == "west" => label = true,
            Wrong::Labels if late => label = !label,
            _ => {}
        }
        let latency = 5.0 + 20.0 * chance.uniform();
        Row { ts: from + index * HOUR / PER_HOUR, segment, version, amount, colour, score, label, latency }
    };
    (0..hours * PER_HOUR).map(&mut row).collect()
}

fn csv(path: &Path, rows: &[Row]) {
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
fn reference() -> Arc<Reference> {
    static REFERENCE: OnceLock<Arc<Reference>> = OnceLock::new();
    Arc::clone(REFERENCE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("baseline.csv");
        csv(&path, &rows(START, BASELINE_HOURS, 1, Wrong::Nothing));
        Arc::new(build(&BaselineOptions::new("m", "1.0.0", &path)).expect("a reference"))
    }))
}

fn settings(more: &str) -> Config {
    settings_of("", more)
}

/// The same with further horizons.
fn settings_of(horizons: &str, more: &str) -> Config {
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

const SEQUENCES: &str = "
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

fn catalog() -> [CatalogEntry; 2] {
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
enum Labels {
    /// In the events.
    Inline,
    /// In feedback, one to eight hours later.
    Late,
}

/// Events by event time, with a number that spreads them.
fn events(rows: &[Row], labels: Labels) -> Vec<(i64, String)> {
    let mut chance = Chance(99);
    let mut events = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let Row { ts, segment, version, amount, colour, score, label, latency } = row;
        let label = u8::from(*label);
        let own = if labels == Labels::Inline { format!(r#","label":{label}"#) } else { String::new() };
        events.push((
            *ts,
            format!(
                r#"{{"id":"p{index}","model":"m","version":"{version}","ts":{ts},"features":{{"amount":{amount:.2},"colour":"{colour}"}},"segment":{{"segment":"{segment}"}},"score":{score:.4},"latency_ms":{latency:.2}{own}}}"#
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
struct Seen {
    windows: BTreeMap<(i64, String, String, Option<String>), WindowView>,
    told: Vec<Notification>,
    rates: Vec<AlarmRateView>,
}

impl Seen {
    fn of(&self, horizon: &str) -> impl Iterator<Item = &WindowView> {
        self.windows.values().filter(move |window| window.horizon == horizon)
    }

    fn drifts<'a>(&'a self, horizon: &'a str, column: &'a str) -> impl Iterator<Item = &'a WindowView> {
        let over = move |window: &&WindowView| {
            window.verdicts.iter().any(|one| one.column == column && one.level == Level::Drift)
        };
        self.of(horizon).filter(over)
    }
}

/// Spreads the events over partitions and hands them over in runs of this length.
fn run(
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

fn engine(settings: &Config, partitions: usize) -> Engine {
    let mut engine = Engine::new(settings);
    engine.set_catalog(&catalog());
    for partition in 0..partitions {
        engine.assign("predictions", i32::try_from(partition).expect("small"), None);
    }
    engine
}

fn unbroken(engine: Engine) -> Engine {
    engine
}

/// What the state file does with a checkpoint.
fn apply(stored: &mut Restored, checkpoint: Checkpoint) {
    stored.subjects.extend(checkpoint.subjects);
    stored.panes.retain(|row| !checkpoint.gone_panes.contains(&(row.subject, row.pane)));
    for row in checkpoint.panes {
        stored.panes.retain(|known| (known.subject, known.pane) != (row.subject, row.pane));
        stored.panes.push(row);
    }
    if let Some(below) = checkpoint.drop_panes_below {
        stored.panes.retain(|row| row.pane >= below);
    }
    for position in checkpoint.positions {
        stored.positions.retain(|known| known.partition != position.partition);
        stored.positions.push(position);
    }
    for (name, document) in checkpoint.documents {
        match document {
            Some(text) => stored.documents.insert(name, text),
            None => stored.documents.remove(&name),
        };
    }
}

fn restart(mut engine: Engine, settings: &Config, stored: &mut Restored) -> Engine {
    apply(stored, engine.checkpoint());
    let mut restarted = Engine::new(settings);
    restarted.restore(stored.clone(), |_| Some(reference())).expect("its own documents");
    restarted.set_catalog(&catalog());
    (0..2).for_each(|partition| restarted.assign("predictions", partition, None));
    assert_eq!(restarted.alarm_rates(), engine.alarm_rates());
    restarted
}

#[test]
fn one_two_and_five_partitions_give_the_same_verdicts_and_notifications_bit_for_bit() {
    let settings = settings(SEQUENCES);
    for (wrong, labels) in [(Wrong::AmountOfVersion, Labels::Inline), (Wrong::LabelsOfWest, Labels::Late)] {
        let events = events(&rows(LIVE, LIVE_HOURS, 5, wrong), labels);
        let one = run(&settings, &events, 1, 400, unbroken);
        assert!(one.of(SEQUENTIAL).count() > 200 && !one.told.is_empty());
        for (partitions, length) in [(2, 90), (5, 31), (5, 900)] {
            let other = run(&settings, &events, partitions, length, unbroken);
            assert_eq!(other.told, one.told, "{partitions} partitions, {wrong:?}");
            assert_eq!(other.windows, one.windows, "{partitions} partitions, {wrong:?}");
            assert_eq!(other.rates, one.rates, "{partitions} partitions, {wrong:?}");
        }
    }
}

#[test]
fn a_restart_at_any_moment_changes_nothing() {
    let settings = settings(SEQUENCES);
    let events = events(&rows(LIVE, LIVE_HOURS, 6, Wrong::Amount), Labels::Late);
    let whole = run(&settings, &events, 2, 300, unbroken);
    let (mut stored, mut turn) = (Restored::default(), 0);
    let broken = run(&settings, &events, 2, 300, |engine| {
        turn += 1;
        if turn % 3 == 0 { restart(engine, &settings, &mut stored) } else { engine }
    });
    assert_eq!(broken, whole);
}

#[test]
fn a_version_that_differs_from_the_others_is_named_and_the_contrast_is_that_of_backtests() {
    let rows = rows(LIVE, LIVE_HOURS, 7, Wrong::AmountOfVersion);
    let seen = run(&settings(""), &events(&rows, Labels::Inline), 2, 200, unbroken);
    // The same rows as a backtest reads them.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("events.csv");
    csv(&path, &rows);
    let reference = reference();
    let slices = &reference.calibration.as_ref().expect("times").slices;
    assert!(slices.contains(&Slice::Version("2.0.0".to_owned())), "{slices:?}");
    let options = BaselineOptions::new("backtest", "0.0.0", &path);
    let series = read_series(&reference, slices, &options, HOUR, "judging").expect("readable");
    let watch = ModelWatch::new(&reference, BudgetDays::default()).expect("calibrated");
    let mut state = watch.state();
    let mut expected = BTreeMap::new();
    for window in series.windows(None) {
        let counted = Counted { whole: &window.whole, slices: &window.slices };
        let judged = watch.step(&mut state, window.start, counted);
        let of_version = |slice: &Option<Slice>| *slice == Some(Slice::Version("2.0.0".to_owned()));
        let found = judged.findings.into_iter().filter(|finding| of_version(&finding.slice));
        let found: Vec<_> = found.map(|one| (one.feature, one.statistic, one.threshold)).collect();
        expected.insert(window.start, found);
    }
    let contrasts = seen.of(VERSION_WINDOWS).filter(|window| window.version == "2.0.0");
    let told: BTreeMap<i64, Vec<_>> = contrasts
        .filter(|window| window.start < LIVE + LIVE_HOURS * HOUR)
        .map(|window| {
            let verdicts = window.verdicts.iter();
            let told = verdicts.map(|one| {
                (one.column.clone(), one.statistic.expect("judged"), one.threshold.expect("judged"))
            });
            (window.start, told.collect())
        })
        .collect();
    assert_eq!(told, expected);
    assert!(expected.values().flatten().any(|(feature, ..)| feature == "amount"), "{expected:?}");
    let drifts: Vec<_> =
        seen.drifts(VERSION_WINDOWS, "amount").map(|window| window.version.as_str()).collect();
    assert!(!drifts.is_empty() && drifts.iter().all(|version| *version == "2.0.0"), "{drifts:?}");
    let alert = seen.told.iter().find(|one| one.version == "2.0.0").expect("it is told");
    assert!(alert.findings.iter().any(|finding| finding.column == "amount"), "{alert:?}");
    let live = seen.windows.values().filter(|window| window.start < LIVE + LIVE_HOURS * HOUR);
    let volume = live.flat_map(|window| &window.verdicts).filter(|one| one.column == "volume");
    assert_eq!(volume.filter(|one| one.level == Level::Drift).count(), 0, "the traffic of all is as ever");
}

#[test]
fn a_segment_in_which_the_model_became_worse_is_found_though_its_labels_come_late() {
    let events = events(&rows(LIVE, LIVE_HOURS, 8, Wrong::LabelsOfWest), Labels::Late);
    let seen = run(&settings(""), &events, 2, 300, unbroken);
    let drifts: Vec<_> =
        seen.drifts("performance", "performance").filter(|window| window.segment.is_some()).collect();
    assert!(!drifts.is_empty());
    for window in drifts {
        assert_eq!(window.segment.as_deref(), Some("west"));
        assert!(window.start >= LIVE + ONSET * HOUR && window.rows > 0, "{window:?}");
    }
    let told = |one: &Notification| one.findings.iter().any(|one| one.segment.as_deref() == Some("west"));
    assert!(seen.told.iter().any(told));
}

#[test]
fn alarms_are_counted_beside_what_the_budget_allows() {
    let settings = settings("");
    let calm =
        run(&settings, &events(&rows(LIVE, LIVE_HOURS, 9, Wrong::Nothing), Labels::Inline), 2, 200, unbroken);
    let moved =
        run(&settings, &events(&rows(LIVE, LIVE_HOURS, 9, Wrong::Amount), Labels::Inline), 2, 200, unbroken);
    let of = |seen: &Seen, severity: &str| {
        let is = |one: &&AlarmRateView| {
            (one.version.as_str(), one.horizon.as_str(), one.severity.as_str())
                == ("1.0.0", "calibrated", severity)
        };
        seen.rates.iter().find(is).expect("a rate").clone()
    };
    let (warning, critical) = (of(&calm, "warning"), of(&calm, "critical"));
    // 30 days of hours are 720 windows; 180 days are more than the least budget of 2,000. Two versions share it.
    let half = |rate: &AlarmRateView, of: f64| (rate.allowed_per_30d - of / 2.0).abs() < 1e-9;
    assert!(half(&warning, 1.0) && half(&critical, 1.0 / 6.0), "{warning:?} {critical:?}");
    assert!(critical.windows >= LIVE_HOURS.unsigned_abs() && critical.episodes == 0, "{critical:?}");
    assert_eq!(critical.observed_per_30d, Some(0.0));
    let critical = of(&moved, "critical");
    assert!(critical.episodes >= 1 && critical.windows_with_alarm >= 20, "{critical:?}");
    let per_30d = critical.episodes as f64 * 720.0 / critical.windows as f64;
    assert!(critical.observed_per_30d.is_some_and(|rate| (rate - per_30d).abs() < 1e-9));
}

#[test]
fn versions_of_a_model_share_its_budget_and_one_that_starts_ends_no_alert_of_another() {
    let settings = settings("");
    let starts = LIVE + (ONSET + 12) * HOUR;
    let all = rows(LIVE, LIVE_HOURS, 21, Wrong::Amount);
    let (alone, together): (Vec<Row>, Vec<Row>) = {
        let first = |row: &Row| row.version == "1.0.0";
        let rows = || rows(LIVE, LIVE_HOURS, 21, Wrong::Amount).into_iter();
        (
            rows().filter(first).collect(),
            all.into_iter().filter(|row| first(row) || row.ts >= starts).collect(),
        )
    };
    let mut rates = BTreeMap::new();
    let alone = run(&settings, &events(&alone, Labels::Inline), 2, 200, unbroken);
    let together = run(&settings, &events(&together, Labels::Inline), 2, 50, |engine| {
        for rate in engine.alarm_rates().into_iter().filter(|rate| rate.severity == "warning") {
            let of_time: &mut BTreeMap<String, f64> = rates.entry(engine.watermark()).or_default();
            of_time.insert(rate.version, rate.allowed_per_30d);
        }
        engine
    });
    // What is allowed of the versions adds up to what is stated of the model.
    let both: Vec<_> = rates.values().filter(|of_time| of_time.len() == 2).collect();
    assert!(both.iter().any(|of_time| of_time.values().all(|rate| (rate - 0.5).abs() < 1e-9)), "{rates:?}");
    for of_time in rates.values() {
        assert!((of_time.values().sum::<f64>() - 1.0).abs() < 1e-9, "{rates:?}");
    }
    // The alert of the first version is the same to the window; what is quiet is held to the part of the budget.
    let of = |seen: &Seen, column: &str| -> Vec<(i64, Level, Option<f64>)> {
        let first =
            seen.of("calibrated").filter(|window| window.version == "1.0.0" && window.segment.is_none());
        let verdicts = first.flat_map(|window| window.verdicts.iter().map(move |one| (window.start, one)));
        let of_column = verdicts.filter(|(_, one)| one.column == column);
        of_column.map(|(start, one)| (start, one.level, one.threshold)).collect()
    };
    let drifts = of(&alone, "amount").iter().filter(|(_, level, _)| *level == Level::Drift).count();
    assert!(drifts > 20, "{drifts}");
    assert_eq!(of(&alone, "amount"), of(&together, "amount"));
    for ((start, _, before), (_, _, after)) in of(&alone, "latency").into_iter().zip(of(&together, "latency"))
    {
        let rise = after.zip(before).map_or(0.0, |(after, before)| after - before);
        let live = (LIVE..LIVE + LIVE_HOURS * HOUR).contains(&start);
        assert!(!live || (rise > 0.05) == (start >= starts), "{start}: {before:?} {after:?}");
    }
    let told = |seen: &Seen| -> Vec<(i64, String)> {
        let of_first = seen.told.iter().filter(|one| one.version == "1.0.0" && one.kind == AlertKind::Drift);
        of_first.map(|one| (one.at, format!("{:?}", one.transition))).collect()
    };
    assert_eq!(told(&alone), told(&together));
    // The command that shows the verdict again has the number of versions.
    let findings = together.told.iter().filter(|one| one.version == "2.0.0").flat_map(|one| &one.findings);
    let mut commands = findings.filter_map(|one| one.explained.as_ref()?.command.as_deref());
    assert!(commands.any(|command| command.contains(" --versions 2 ")), "{:?}", together.told);
}

#[test]
fn a_unit_that_changes_is_one_alert_which_names_the_fault_first_and_lists_the_drift() {
    let settings = settings("");
    let events = events(&rows(LIVE, LIVE_HOURS, 22, Wrong::AmountInCents), Labels::Inline);
    let (mut stored, mut turn) = (Restored::default(), 0);
    let seen = run(&settings, &events, 2, 200, |engine| {
        turn += 1;
        if turn % 5 == 0 { restart(engine, &settings, &mut stored) } else { engine }
    });
    for version in ["1.0.0", "2.0.0"] {
        let of_amount = |one: &&Notification| {
            let repeats = one.transition == anchorwatch::alert::Transition::Repeated;
            let concerns = one.findings.iter().any(|finding| finding.column == "amount");
            one.version == version && concerns && !repeats
        };
        let told: Vec<&Notification> = seen.told.iter().filter(of_amount).collect();
        let [only] = told[..] else { panic!("one notification of {version}: {told:?}") };
        assert_eq!((only.kind, only.findings.len()), (AlertKind::DataFault, 1), "{only:?}");
        let explained = only.findings[0].explained.as_ref().expect("explained");
        assert_eq!(explained.kind, "range");
        assert!(explained.follows.iter().any(|one| one.column == "amount"), "{explained:?}");
        assert!(
            only.summary.contains("; with it ") && only.summary.contains(" of amount"),
            "{}",
            only.summary
        );
        // The drift is shown with what it follows from.
        let windows = seen.drifts("calibrated", "amount").filter(|window| window.version == version);
        let drifts = windows.flat_map(|window| &window.verdicts).filter(|one| {
            one.column == "amount" && one.level == Level::Drift && one.kind == AlertKind::Drift
        });
        let behind: Vec<Option<&str>> = drifts.map(|one| one.inhibited_by.as_deref()).collect();
        assert!(behind.len() > 12 && behind.iter().all(|one| *one == Some("range of amount")), "{behind:?}");
    }
}

#[test]
fn an_alert_explains_itself() {
    let events = events(&rows(LIVE, LIVE_HOURS, 10, Wrong::Amount), Labels::Inline);
    let seen = run(&settings(""), &events, 2, 200, unbroken);
    let told = seen.told.iter().flat_map(|one| &one.findings);
    let finding = told.clone().find(|one| one.column == "amount").expect("amount is told");
    let explained = finding.explained.as_ref().expect("explained");
    assert_eq!(explained.kind, "location");
    let onset = LIVE + ONSET * HOUR;
    assert!((onset - HOUR..=onset + HOUR).contains(&explained.change_since.expect("dated")), "{explained:?}");
    let median = explained.quantiles.iter().find(|one| one.quantile == 0.5);
    assert!(median.is_none_or(|one| one.to - one.from > 5.0), "{explained:?}");
    assert!(finding.moved.len() > 1, "bins that moved: {:?}", finding.moved);
    let share: f64 = explained.shares.iter().map(|one| one.share).sum();
    assert!(explained.shares[0].column == "amount" && share <= 1.0 + 1e-9, "{explained:?}");
    let command = explained.command.as_deref().expect("a command");
    let start = "anchorwatch explain amount@";
    let rest = "--config anchorwatch.yaml --reference 0123456789ab --versions 2 --events 'kafka:///predictions?from=";
    assert!(
        command.starts_with(start) && command.contains(rest) && command.contains("&model=m&version="),
        "{command}"
    );
    let json = serde_json::to_string(finding).expect("a finding is JSON");
    assert_eq!(serde_json::from_str::<anchorwatch::alert::Finding>(&json).ok().as_ref(), Some(finding));
}

#[test]
fn sequential_detectors_alarm_by_name_and_their_alerts_live_as_all_others() {
    let settings = settings(SEQUENCES);
    let events = events(&rows(LIVE, LIVE_HOURS, 11, Wrong::Amount), Labels::Inline);
    let seen = run(&settings, &events, 2, 200, unbroken);
    let onset = LIVE + ONSET * HOUR;
    let drifts = |detector: &'static str| {
        let of = move |window: &&WindowView| {
            let is =
                |one: &anchorwatch::view::VerdictView| one.detector == detector && one.level == Level::Drift;
            window.verdicts.iter().any(is)
        };
        seen.of(SEQUENTIAL).filter(of).map(|window| window.end).collect::<Vec<_>>()
    };
    for detector in ["adwin", "e_detector"] {
        let found = drifts(detector);
        assert!(found.iter().all(|end| *end > onset), "{detector}: {found:?}");
        assert!(found.first().is_some_and(|end| *end <= onset + 6 * HOUR), "{detector}: {found:?}");
    }
    for detector in ["cusum", "page_hinkley", "ddm", "kswin(alpha=0.000001)"] {
        assert_eq!(drifts(detector), [0_i64; 0], "{detector} watches what does not change");
    }
    let adwin = |one: &&Notification| one.findings.iter().any(|one| one.detector == "adwin");
    assert!(seen.told.iter().any(|one| adwin(&one) || one.findings.iter().any(|f| f.column == "amount")));
}

#[test]
fn errors_are_watched_whether_labels_come_with_the_prediction_or_later() {
    // DDM takes a lucky beginning for normal, so it is given a long one.
    let settings =
        settings("monitor: { sequential: [{ detector: ddm, on: error, parameters: { warm_start: 500 } }] }");
    let onset = LIVE + ONSET * HOUR;
    for (labels, horizon) in [(Labels::Inline, SEQUENTIAL), (Labels::Late, SEQUENTIAL_LABELS)] {
        let events = events(&rows(LIVE, LIVE_HOURS, 12, Wrong::Labels), labels);
        let seen = run(&settings, &events, 2, 200, unbroken);
        let found: Vec<i64> = seen.drifts(horizon, "error").map(|window| window.end).collect();
        assert!(
            found.first().is_some_and(|end| (onset..onset + 8 * HOUR).contains(end)),
            "{horizon}: {found:?}"
        );
    }
}

#[test]
fn an_alert_of_a_sequential_detector_ends_an_hour_after_its_last_alarm() {
    let settings = settings(
        "monitor: { verdicts: classical, window: 1h, floors: { ks: 1, wasserstein: 9, psi: 9, jensen_shannon: 1 }, sequential: [{ detector: adwin, on: amount }] }",
    );
    let events = events(&rows(LIVE, LIVE_HOURS, 13, Wrong::Amount), Labels::Inline);
    let mut states = Vec::new();
    let seen = run(&settings, &events, 1, 60, |engine| {
        let of = |engine: &Engine| engine.alert_views().into_iter().find(|one| one.horizon == SEQUENTIAL);
        states.extend(of(&engine).map(|one| (one.state, one.column)));
        engine
    });
    assert!(seen.drifts(SEQUENTIAL, "amount").count() >= 1);
    assert!(states.contains(&(AlertState::Firing, "amount".to_owned())), "{states:?}");
    assert_eq!(states.last().map(|(state, _)| *state), Some(AlertState::Resolved));
    let alarms = seen.drifts(SEQUENTIAL, "amount").flat_map(|window| &window.verdicts);
    let moved: Vec<_> = alarms.filter(|one| one.level == Level::Drift).map(|one| &one.moved).collect();
    assert!(moved.iter().all(|moved| !moved.is_empty()), "an alarm says what moved: {moved:?}");
}

#[test]
fn an_error_budget_that_burns_in_both_windows_alerts_and_ends_when_it_stops() {
    let settings = settings(
        "monitor: { verdicts: classical, floors: { ks: 1, wasserstein: 9 }, latency: { factor: 9, objective_ms: 30, target: 0.99 } }",
    );
    let mut rows = rows(LIVE, LIVE_HOURS, 14, Wrong::Nothing);
    // For two hours a third of the predictions is too slow: 33 times what a month allows.
    let slow = (LIVE + 20 * HOUR)..(LIVE + 22 * HOUR);
    let late = rows.iter_mut().enumerate().filter(|(index, row)| index % 3 == 0 && slow.contains(&row.ts));
    late.for_each(|(_, row)| row.latency = 45.0);
    let mut stored = Restored::default();
    let mut turn = 0;
    let seen = run(&settings, &events(&rows, Labels::Inline), 2, 100, |engine| {
        turn += 1;
        if turn % 7 == 0 { restart(engine, &settings, &mut stored) } else { engine }
    });
    let burning: Vec<(&str, i64)> = seen
        .drifts("burn_rate", "latency")
        .filter(|window| window.version == "1.0.0")
        .flat_map(|window| {
            window
                .verdicts
                .iter()
                .filter(|one| one.level == Level::Drift)
                .map(|one| (&*one.detector, window.end))
        })
        .collect();
    assert!(burning.iter().all(|(_, end)| *end > slow.start && *end <= slow.end + 6 * HOUR), "{burning:?}");
    assert!(burning.iter().any(|(detector, _)| *detector == "burn_rate_6h"), "{burning:?}");
    let of = |transition| {
        seen.told.iter().filter(move |one| one.transition == transition && one.version == "1.0.0")
    };
    assert_eq!(of(anchorwatch::alert::Transition::Firing).count(), 1, "{:?}", seen.told);
    assert_eq!(of(anchorwatch::alert::Transition::Resolved).count(), 1);
}

#[test]
fn a_reference_for_windows_of_another_length_leaves_the_alerts_to_the_fixed_thresholds_and_says_so() {
    let mut settings = settings("monitor: { window: 2h }");
    settings.windows.min_rows = 20;
    let events = events(&rows(LIVE, LIVE_HOURS, 10, Wrong::AmountFar), Labels::Inline);
    let mut troubles = Vec::new();
    let seen = run(&settings, &events, 2, 300, |engine| {
        troubles.extend(engine.troubles().into_keys());
        engine
    });
    assert_eq!(seen.of("calibrated").count(), 0);
    let told = |one: &Notification| one.findings.iter().any(|finding| finding.column == "amount");
    assert!(seen.told.iter().any(told), "{:?}", seen.told);
    for version in ["1.0.0", "2.0.0"] {
        assert!(troubles.contains(&(TroubleKind::OtherWindow, format!("m {version}"))), "{troubles:?}");
    }
    // One that fits is no trouble.
    let fits = run(&self::settings(""), &events, 2, 300, |engine| {
        assert_eq!(engine.troubles().len(), 0);
        engine
    });
    assert!(fits.of("calibrated").count() > 0);
}

#[test]
fn a_version_that_falls_silent_alerts_whatever_its_reference_is_calibrated_for() {
    let settings = settings_of(", { length: 24h, every: 6h }", "monitor: { silence_after: 2h }");
    let events = events(&rows(LIVE, LIVE_HOURS, 11, Wrong::SilentVersion), Labels::Inline);
    let seen = run(&settings, &events, 2, 300, unbroken);
    let silent = |one: &&Notification| {
        one.kind == AlertKind::Volume && one.findings.iter().any(|one| one.detector == "silence_seconds")
    };
    let told: Vec<_> = seen.told.iter().filter(silent).map(|one| (one.version.as_str(), one.at)).collect();
    assert!(told.iter().any(|(version, _)| *version == "2.0.0"), "{:?}", seen.told);
    let onset = LIVE + ONSET * HOUR;
    assert!(told.iter().all(|(version, at)| *version == "2.0.0" && *at >= onset + 2 * HOUR), "{told:?}");
    let classical = |one: &Notification| one.kind == AlertKind::Drift && one.version == "1.0.0";
    assert!(!seen.told.iter().any(classical), "the other verdicts of these windows stay out");
}
