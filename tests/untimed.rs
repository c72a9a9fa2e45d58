//! A baseline without times, or too short for its own windows: how windows differ is assumed, and said to be.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use anchorwatch::action::VersionFacts;
use anchorwatch::alert::Notification;
use anchorwatch::config;
use anchorwatch::engine::{CatalogEntry, Engine};
use anchorwatch::event::Record;
use anchorwatch::reference::{Reference, decode, encode};
use anchorwatch::registry::{BaselineOptions, build};
use anchorwatch::window::WatchedVersion;
use serde_json::Value;

const HOUR: i64 = 3_600_000;
const START: i64 = 1_704_067_200_000;
/// Window of the events from which on something is wrong.
const ONSET: i64 = 30;

/// What is wrong from [`ONSET`] on.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// `amount` shifts by a standard deviation.
    Location,
    /// `blue` doubles its share.
    Level,
    /// A fifth of `amount` is missing.
    Nulls,
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

/// The traffic: rows of a window, and how much the hour of the day moves them, in standard deviations.
#[derive(Clone, Copy)]
struct Traffic {
    rows: i64,
    season: f64,
}

impl Traffic {
    /// The values of a row of this hour.
    fn values(self, hour: i64, wrong: Wrong, chance: &mut Chance) -> String {
        let day = (std::f64::consts::TAU * (hour % 24) as f64 / 24.0).sin();
        let swing = self.season * day;
        let amount = 50.0 + 10.0 * (swing + chance.normal() + f64::from(wrong == Wrong::Location));
        let age = 40.0 + 15.0 * (swing + chance.normal());
        let score = 1.0 / (1.0 + (-(0.7 * swing + chance.normal())).exp());
        let blue = if wrong == Wrong::Level { 0.4 } else { 0.2 * (1.0 + 0.8 * swing) };
        let colour = match chance.uniform() {
            draw if draw < blue => "blue",
            draw if draw < blue + (1.0 - blue) * 0.6 => "red",
            _ => "green",
        };
        let amount = match wrong {
            Wrong::Nulls if chance.uniform() < 0.2 => String::new(),
            _ => format!("{amount:.2}"),
        };
        format!("{amount},{age:.0},{colour},{score:.4}")
    }

    /// Rows of any hour, without times.
    fn baseline(self, rows: i64) -> String {
        let mut chance = Chance(7);
        let mut text = "amount,age,colour,score\n".to_owned();
        for row in 0..rows {
            let values = self.values(row % 24, Wrong::Nothing, &mut chance);
            writeln!(text, "{values}").expect("a string");
        }
        text
    }

    fn events(self, windows: i64, wrong: Wrong) -> String {
        let mut chance = Chance(11);
        let mut text = "ts,amount,age,colour,score\n".to_owned();
        for row in 0..windows * self.rows {
            let hour = row / self.rows;
            let ts = START + row * HOUR / self.rows;
            let wrong = if hour < ONSET { Wrong::Nothing } else { wrong };
            let values = self.values(hour, wrong, &mut chance);
            writeln!(text, "{ts},{values}").expect("a string");
        }
        text
    }
}

fn anchorwatch(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anchorwatch"))
        .args(args)
        .current_dir(folder)
        .env_remove("ANCHORWATCH_CONFIG")
        .env_remove("ANCHORWATCH_DATA_DIR")
        .output()
        .expect("the binary that cargo built runs")
}

/// Standard output of a command that succeeds, and what it says on standard error.
fn said(folder: &Path, args: &[&str]) -> (String, String) {
    let output = anchorwatch(folder, args);
    let err = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{args:?}: {err}");
    (String::from_utf8(output.stdout).expect("text"), err)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// What `backtest` says of these events against a baseline of 20,000 rows without times.
fn backtest(traffic: Traffic, windows: i64, wrong: Wrong, severity: &str) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("writable");
    file("baseline.csv", &traffic.baseline(20_000));
    file("events.csv", &traffic.events(windows, wrong));
    let args = ["backtest", "--reference", "baseline.csv", "--events", "events.csv", "--output", "json"];
    let (out, err) = said(folder.path(), &[&args[..], &["--severity", severity]].concat());
    assert!(err.contains("note: assumed, since the baseline has no times"), "{err}");
    let answer = json(&out);
    assert_eq!((&answer["assumed"], &answer["reference_windows"]), (&Value::Bool(true), &Value::from(0)));
    answer
}

/// Runs of windows with an alarm.
fn episodes(answer: &Value) -> usize {
    let starts = answer["alarms"].as_array().expect("alarms").iter();
    let mut starts: Vec<i64> = starts.map(|one| one["window_start"].as_i64().expect("a time")).collect();
    starts.sort_unstable();
    starts.dedup();
    starts.len() - starts.windows(2).filter(|pair| pair[1] - pair[0] == HOUR).count()
}

#[test]
fn ten_thousand_clean_windows_alarm_no_more_often_than_the_budget_says_with_and_without_a_season() {
    for season in [0.0, 0.3] {
        let answer = backtest(Traffic { rows: 200, season }, 10_000, Wrong::Nothing, "warning");
        let alarms = answer["alarms"].as_array().expect("alarms");
        let critical = alarms.iter().filter(|one| one["severity"] == "critical").count();
        eprintln!("season {season}: {} episodes, {critical} critical windows", episodes(&answer));
        // The budget allows 10,000 / 720 = 13.9 warnings, and 10,000 / 4,320 = 2.3 critical alarms.
        assert!(episodes(&answer) <= 13 && critical <= 2, "season {season}: {alarms:?}");
    }
}

#[test]
fn a_season_is_no_change_either_where_windows_hold_thousands_of_rows() {
    let answer = backtest(Traffic { rows: 5_000, season: 0.3 }, 200, Wrong::Nothing, "warning");
    assert_eq!(answer["alarms"].as_array().map(Vec::len), Some(0), "{}", answer["alarms"]);
}

#[test]
fn a_clear_break_is_found_in_its_second_window_at_the_latest() {
    let breaks = [
        (Wrong::Location, 300, "amount", "location"),
        (Wrong::Level, 1_500, "colour", "level:blue"),
        (Wrong::Nulls, 300, "amount", "missing"),
    ];
    for (wrong, rows, feature, kind) in breaks {
        for season in [0.0, 0.3] {
            let answer = backtest(Traffic { rows, season }, ONSET + 4, wrong, "critical");
            let alarms = answer["alarms"].as_array().expect("alarms");
            let onset = START + ONSET * HOUR;
            let early = alarms.iter().filter(|one| one["window_start"].as_i64() < Some(onset));
            assert_eq!(early.count(), 0, "{feature} {season}: {alarms:?}");
            let found = alarms.iter().find(|one| one["feature"] == feature && one["kind"] == kind);
            let found = found.and_then(|one| one["window_start"].as_i64());
            let windows = found.map(|start| (start - onset) / HOUR + 1);
            eprintln!("{kind} of {feature}, season {season}: found in window {windows:?}");
            assert!(
                windows.is_some_and(|windows| windows <= 2),
                "{feature} {season}: {windows:?}, {alarms:?}"
            );
        }
    }
}

#[test]
fn every_command_that_judges_works_on_it_and_says_what_is_assumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let traffic = Traffic { rows: 300, season: 0.3 };
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("writable");
    file("baseline.csv", &traffic.baseline(10_000));
    file("events.csv", &traffic.events(ONSET + 4, Wrong::Location));
    let assumed = "assumed, since the baseline has no times";
    let create = ["reference", "create", "--model", "m", "--version", "1.0.0", "--from", "baseline.csv"];
    let (created, _) = said(folder.path(), &[&create[..], &["--data-dir", "data"]].concat());
    assert!(created.contains(assumed) && created.contains("a fall of it does not alert"), "{created}");
    let id = created.split_whitespace().nth(3).expect("an address");
    let (shown, _) =
        said(folder.path(), &["reference", "show", id, "--data-dir", "data", "--output", "json"]);
    let shown = json(&shown);
    assert!(shown["assumed"] == true && shown["calibrated_for_ms"].is_null(), "{shown}");

    let both = |command: &str, more: &[&str]| {
        let registered = ["--reference", &id[..12], "--data-dir", "data"];
        let (_, err) = said(folder.path(), &[&[command], &registered[..], more].concat());
        assert!(err.contains(assumed), "{command}: {err}");
        let (out, err) = said(folder.path(), &[&[command, "--reference", "baseline.csv"], more].concat());
        assert!(err.contains(assumed), "{command}: {err}");
        out
    };
    let table = both("backtest", &["--events", "events.csv"]);
    assert!(table.contains("(how windows differ is assumed)") && table.contains("amount"), "{table}");
    // What is assumed holds for windows of any length.
    let half = both("backtest", &["--events", "events.csv", "--window", "30m"]);
    assert!(half.contains("windows of 30m"), "{half}");
    both("tune", &[]);
    let explained = both("explain", &["--feature", "amount", "--events", "events.csv"]);
    assert!(explained.contains("critical, location") && explained.contains("assumed"), "{explained}");
    let args = ["replay", "--null", "--reference", "baseline.csv", "--output", "json", "--windows", "2000"];
    let (replayed, err) = said(folder.path(), &args);
    let replayed = json(&replayed);
    assert!(err.contains(assumed) && replayed["assumed"] == true, "{err}");
    let rows = replayed["rows"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["stream"] == "drawn" && row["within_budget"] == true), "{rows:?}");
}

#[test]
fn a_baseline_of_four_windows_is_too_short_for_its_own_and_one_of_five_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let traffic = Traffic { rows: 500, season: 0.0 };
    let assumed = |windows: i64| {
        let name = format!("{windows}.csv");
        fs::write(folder.path().join(&name), traffic.events(windows, Wrong::Nothing)).expect("writable");
        let (out, err) = said(folder.path(), &["tune", "--reference", &name, "--output", "json"]);
        let said = err.contains("assumed, since the baseline has fewer than 5 windows");
        assert!(json(&out)["quantities"].as_u64() > Some(10), "{err}");
        said
    };
    assert!(assumed(4) && !assumed(5));
}

/// A reference of rows without times.
fn reference(traffic: Traffic) -> Reference {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("baseline.csv");
    fs::write(&path, traffic.baseline(20_000)).expect("writable");
    build(&BaselineOptions::new("m", "1.0.0", &path)).expect("a reference")
}

/// What the daemon's core tells of these events against a reference.
fn told(reference: Reference, traffic: Traffic, wrong: Wrong, monitor: &str) -> Vec<Notification> {
    let text = format!(
        r#"
kafka: {{ bootstrap: "127.0.0.1:9", topics: [predictions] }}
windows: {{ pane: 10m, horizons: [{{ length: 1h, every: 1h }}], lateness: 20m }}
sinks: [{{ name: w, type: webhook, url: "http://localhost/" }}]
monitor: {monitor}
"#
    );
    let mut engine = Engine::new(&config::parse(&text, "test").expect("valid settings"));
    let watched = WatchedVersion {
        model: "m".to_owned(),
        version: "1.0.0".to_owned(),
        reference_id: "0123456789abcdef".to_owned(),
        reference: Arc::new(reference),
        takes_feedback: false,
    };
    engine.set_catalog(&[CatalogEntry {
        watched,
        facts: VersionFacts { current: true, ..VersionFacts::default() },
    }]);
    engine.assign("predictions", 0, None);
    let windows = ONSET + 4;
    let csv = traffic.events(windows, wrong);
    let mut lines: Vec<String> = csv.lines().skip(1).map(event).collect();
    // An event that closes all windows.
    lines.push(event(&format!("{},50,40,red,0.5", START + (windows + 3) * HOUR)));
    for (offset, line) in (0..).zip(&lines) {
        let record = Record {
            topic: "predictions",
            partition: 0,
            offset,
            timestamp: None,
            appended_at: None,
            key: None,
            headers: &[],
            payload: Some(line.as_bytes()),
        };
        engine.ingest(&record, START + 10_000 * HOUR);
    }
    let (progress, more) = engine.advance(START + 10_000 * HOUR, usize::MAX);
    assert!(!more && engine.law().counted == engine.law().read);
    progress.notifications
}

/// A line of the events as the topic has it.
fn event(line: &str) -> String {
    let fields: Vec<&str> = line.split(',').collect();
    let [ts, amount, age, colour, score] = fields.try_into().expect("five fields");
    format!(
        r#"{{"model":"m","version":"1.0.0","ts":{ts},"features":{{"amount":{amount},"age":{age},"colour":"{colour}"}},"score":{score}}}"#
    )
}

/// Detectors of what is told of drift.
fn detectors(told: &[Notification]) -> Vec<&str> {
    let findings = told.iter().flat_map(|one| &one.findings);
    let mut detectors: Vec<&str> = findings.map(|one| one.detector.as_str()).collect();
    detectors.sort_unstable();
    detectors.dedup();
    detectors
}

#[test]
fn an_alert_says_that_its_limit_is_assumed_and_the_classical_detectors_alert_if_they_are_asked_to() {
    let traffic = Traffic { rows: 300, season: 0.3 };
    let reference = reference(traffic);
    let of = |wrong, monitor| told(reference.clone(), traffic, wrong, monitor);
    assert_eq!(of(Wrong::Nothing, "{}"), []);

    let assumed = of(Wrong::Location, "{}");
    assert_eq!(detectors(&assumed), ["calibrated"]);
    let first = assumed.first().expect("told");
    assert!(first.summary.contains("amount") && first.summary.contains("(how windows differ is assumed)"));
    let explained = first.findings[0].explained.as_deref().expect("explained");
    assert!(explained.assumed && first.findings[0].column == "amount", "{first:?}");

    let classical = of(Wrong::Location, "{untimed: classical}");
    assert!(!classical.is_empty() && !detectors(&classical).contains(&"calibrated"), "{classical:?}");
    assert!(classical.iter().all(|one| !one.summary.contains("assumed")));
}

#[test]
fn a_reference_keeps_what_is_assumed_and_one_of_an_older_version_is_judged_as_before() {
    let traffic = Traffic { rows: 300, season: 0.0 };
    let reference = reference(traffic);
    assert!(reference.is_assumed());
    assert_eq!(decode(&encode(&reference).expect("bytes")).expect("a reference"), reference);
    let old = Reference { calibration: None, ..reference };
    let old = decode(&encode(&old).expect("bytes")).expect("a reference");
    let told = told(old, traffic, Wrong::Location, "{}");
    assert!(!told.is_empty() && !detectors(&told).contains(&"calibrated"), "{told:?}");
}
