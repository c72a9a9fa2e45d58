//! Verdicts at default settings, on small streams whose truth is known: silent while nothing changes, and the right
//! name soon after something does. The whole benchmark is `benches/quality`; this is what every run of the tests sees.
#![expect(clippy::expect_used, reason = "a helper fails its test by saying what is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const HOUR: i64 = 3_600_000;
/// 1 January 2024, a Monday.
const BEGIN: i64 = 1_704_067_200_000;
const EVENTS: usize = 150;
const BASELINE: usize = 96;
const LIVE: usize = 36;
/// The live window from which a change is on.
const ONSET: usize = 12;

/// What the traffic does by itself.
#[derive(Clone, Copy, PartialEq)]
enum Traffic {
    Iid,
    /// `x` follows the hour of the day.
    Seasonal,
    /// The level of `x` has a memory of 0.6 between windows.
    Autocorrelated,
}

/// What changes from [`ONSET`] on.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    None,
    /// The mean of `x` by this many standard deviations.
    Mean(f64),
    /// Three in ten values of `y` are missing for four windows.
    MissingBurst,
    /// One in twenty events has a colour never seen.
    NewCategory,
    /// `y` no longer follows `x`; each alone stays as it was.
    Decoupled,
    /// The mean of `x` in one of ten segments.
    OneSegment,
}

/// SplitMix64.
struct Source(u64);

impl Source {
    fn open(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed ^ (mixed >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.open().ln()).sqrt() * (std::f64::consts::TAU * self.open()).cos()
    }
}

/// Writes the baseline and the live events of a stream.
fn write(folder: &Path, traffic: Traffic, change: Change, seed: u64) {
    let mut source = Source(seed);
    let mut level = 0.0;
    for (name, windows, first) in [("reference", BASELINE, 0), ("live", LIVE, BASELINE)] {
        let mut csv = "ts,version,segment,x,y,heavy,color,score,latency_ms\n".to_owned();
        for window in 0..windows {
            let hour = (first + window) as f64;
            level = match traffic {
                Traffic::Iid => 0.0,
                Traffic::Seasonal => 0.6 * (std::f64::consts::TAU * hour / 24.0).sin(),
                Traffic::Autocorrelated => 0.6 * level + 0.2 * source.normal(),
            };
            let on = if name == "live" && window >= ONSET { change } else { Change::None };
            for event in 0..EVENTS {
                let ts = BEGIN + (first + window) as i64 * HOUR + event as i64 * (HOUR / EVENTS as i64);
                event_of(&mut csv, &mut source, ts, level, on, window);
            }
        }
        std::fs::write(folder.join(name).with_extension("csv"), csv).expect("a good stream");
    }
}

fn event_of(csv: &mut String, source: &mut Source, ts: i64, level: f64, on: Change, window: usize) {
    let segment = (10.0 * source.open()) as u8;
    let base = source.normal();
    let follows = if on == Change::Decoupled { source.normal() } else { base };
    let y = 0.7 * follows + 0.714 * source.normal();
    let shift = match on {
        Change::Mean(shift) => shift,
        Change::OneSegment if segment == 3 => 1.5,
        _ => 0.0,
    };
    let x = base + level + shift;
    let burst = on == Change::MissingBurst && window < ONSET + 4;
    let y = if burst && source.open() < 0.3 { String::new() } else { format!("{y:.6}") };
    let heavy = source.open().powf(-1.0 / 1.5);
    let color = match (on, source.open(), source.open()) {
        (Change::NewCategory, u, _) if u < 0.05 => "violet",
        (_, _, u) if u < 0.5 => "red",
        (_, _, u) if u < 0.8 => "green",
        _ => "blue",
    };
    let score = 1.0 / (1.0 + (-source.normal()).exp());
    let latency = (3.0 + 0.4 * source.normal()).exp();
    writeln!(csv, "{ts},v1,s{segment},{x:.6},{y},{heavy:.6},{color},{score:.6},{latency:.3}")
        .expect("a good stream");
}

/// Features that alarm, by live window, each with the segment if it names one.
fn alarms(traffic: Traffic, change: Change, seed: u64) -> BTreeMap<usize, BTreeSet<String>> {
    let folder = tempfile::tempdir().expect("a good stream");
    write(folder.path(), traffic, change, seed);
    let output = Command::new(env!("CARGO_BIN_EXE_anchorwatch"))
        .args(["backtest", "--window", "1h", "--output", "jsonl", "--reference"])
        .arg(folder.path().join("reference.csv"))
        .arg("--events")
        .arg(folder.path().join("live.csv"))
        .output()
        .expect("a good stream");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut alarms: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).expect("a good stream").lines() {
        let alarm: Value = serde_json::from_str(line).expect("a good stream");
        let window =
            (alarm["window_start"].as_i64().expect("a good stream") - BEGIN) / HOUR - BASELINE as i64;
        let segment = alarm["segment"].as_str().map_or_else(String::new, |name| format!(" in {name}"));
        let name = format!("{}{segment}", alarm["feature"].as_str().expect("a good stream"));
        alarms.entry(usize::try_from(window).expect("a good stream")).or_default().insert(name);
    }
    alarms
}

/// Whatever alarms is one of `names`, the first of which does within `windows` of the change, and nothing before it.
fn assert_named(change: Change, names: &[&str], windows: usize) {
    let alarms = alarms(Traffic::Iid, change, 7);
    let first = alarms.iter().find(|(_, told)| told.contains(names[0])).map(|(window, _)| *window);
    let soon = first.is_some_and(|window| (ONSET..ONSET + windows).contains(&window));
    assert!(soon, "{} should alarm from window {ONSET} on: {alarms:?}", names[0]);
    let others: Vec<_> = alarms.values().flatten().filter(|name| !names.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "{alarms:?}");
    assert!(alarms.keys().all(|window| *window >= ONSET), "{alarms:?}");
}

#[test]
fn streams_in_which_nothing_changes_stay_silent() {
    for traffic in [Traffic::Iid, Traffic::Seasonal, Traffic::Autocorrelated] {
        assert_eq!(alarms(traffic, Change::None, 11), BTreeMap::new());
    }
}

#[test]
fn a_shifted_mean_names_its_feature() {
    assert_named(Change::Mean(0.4), &["x"], 3);
}

#[test]
fn a_burst_of_missing_values_names_its_feature() {
    assert_named(Change::MissingBurst, &["y"], 2);
}

#[test]
fn a_category_never_seen_names_its_feature() {
    assert_named(Change::NewCategory, &["color"], 3);
}

#[test]
fn a_lost_correlation_names_the_pair() {
    assert_named(Change::Decoupled, &["x:y"], 3);
}

#[test]
fn a_change_in_one_segment_names_the_segment() {
    assert_named(Change::OneSegment, &["x in s3", "x"], 4);
}
