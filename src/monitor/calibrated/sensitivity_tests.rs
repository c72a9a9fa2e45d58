//! Delays fall with the size of a drift and rise with the budget; floors are those that the watch applies.

use std::io::Write as _;

use anchorwatch_detectors::calibrated::Loudness;

use super::super::BudgetDays;
use super::*;
use crate::config::Tolerated;
use crate::reference::Reference;
use crate::registry::{BaselineOptions, build};

const HOUR: Millis = 3_600_000;
const START: Millis = 1_704_067_200_000;
/// Tolerated change of a mean, in standard deviations of an event.
const TOLERATED: f64 = 0.05;

/// Ten days of 200 rows an hour: a uniform number and a colour of three.
fn reference() -> Reference {
    let mut file = tempfile::Builder::new().suffix(".csv").tempfile().expect("a file");
    writeln!(file, "ts,x,colour").expect("writable");
    let mut state = 7_u64;
    for row in 0..240 * 200_i64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (x, colour) =
            ((state >> 40) as f64 / 16_777_216.0, ["red", "green", "blue"][(state >> 33) as usize % 3]);
        writeln!(file, "{},{x:.3},{colour}", START + row * HOUR / 200).expect("writable");
    }
    build(&BaselineOptions::new("m", "1.0.0", file.path())).expect("a reference")
}

#[test]
fn delays_fall_with_the_drift_and_rise_with_the_budget_and_tiny_drifts_stay_quiet() {
    let reference = reference();
    let after = START + 240 * HOUR;
    let median = |days: f64, kind: &str, injected: Injected| {
        let watch =
            ModelWatch::new(&reference, BudgetDays { warning: days, critical: days }).expect("calibrated");
        let mut all: Vec<usize> = delays(&watch, Loudness::Page, kind, injected, after)
            .iter()
            .map(|one| one.windows.unwrap_or(usize::MAX))
            .collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let location = |days, size| median(days, "location", Injected::Deviations(size));
    assert!(location(180.0, 1.0) <= location(180.0, 0.3));
    assert!(location(180.0, 0.3) < location(180.0, 0.1));
    assert!(location(7.0, 0.2) <= location(3_650.0, 0.2));
    assert_eq!(location(180.0, 0.0), usize::MAX, "nothing changed");
    assert_eq!(location(180.0, 0.03), usize::MAX, "below the floor");
    assert!(median(180.0, "missing", Injected::Share(0.05)) <= 2);
    assert!(median(180.0, "level", Injected::Share(0.10)) < median(180.0, "level", Injected::Share(0.02)));
}

#[test]
fn the_floors_told_are_those_that_the_watch_applies() {
    let reference = reference();
    let watch = ModelWatch::new(&reference, BudgetDays::default()).expect("calibrated");
    let told = floors(&watch);
    let of = |kind: &str| *told.iter().find(|floor| floor.kind == kind).expect("a floor");
    assert_eq!((of("location").in_deviations, of("location").least), (true, TOLERATED));
    assert_eq!(of("missing").least, 0.002);
    // So many events that only the floor keeps a change quiet.
    let alarms = |kind: &str, effect: f64| {
        let mut state = watch.watch.state();
        let at = START + 240 * HOUR;
        let row = watch.watch.design().row(at);
        let samples: Vec<Sample> = (0..watch.monitored.len())
            .map(|index| match watch.watch.fit(index) {
                Some(fit) if watch.monitored[index].kind == kind => {
                    Sample { sum: (fit.predict(&row) + effect) * 1e9, count: 1e9 }
                }
                _ => Sample::default(),
            })
            .collect();
        watch.watch.step(&mut state, &samples, at).iter().any(|reading| reading.z != 0.0)
    };
    assert!(!alarms("location", 0.98 * TOLERATED));
    assert!(alarms("location", 3.0 * TOLERATED));
    let tail = of("tail_high").least;
    assert!(!alarms("tail_high", 0.98 * tail) && alarms("tail_high", 3.0 * tail), "a quarter of the share");
}

#[test]
fn thresholds_are_told_of_every_family_that_is_watched() {
    let reference = reference();
    let watch = ModelWatch::new(&reference, BudgetDays::default()).expect("calibrated");
    let limits = thresholds(watch.monitored(), Budget { windows: 2_000.0 }, 1);
    let families: Vec<Family> = limits.iter().map(|one| one.family).collect();
    assert_eq!(families, [Family::Marginal, Family::Rate]);
    assert!(limits.iter().all(|one| one.both_ways.is_some_and(|z| (3.0..7.0).contains(&z))));
}

#[test]
fn floors_are_those_that_the_configuration_asks_for_and_nothing_is_said_below_them() {
    let reference = reference();
    let after = START + 240 * HOUR;
    let tolerated = Tolerated { deviations: 0.4, rate: 0.02, level: 0.1, tail: 0.5 };
    let usual = ModelWatch::new(&reference, BudgetDays::default()).expect("calibrated");
    let of = |watch: &ModelWatch, kind: &str| {
        floors(watch).iter().find(|floor| floor.kind == kind).expect("a floor").least
    };
    let tails = of(&usual, "tail_high");
    let watch = usual.tolerating(&tolerated);
    let told = ["location", "missing", "level"].map(|kind| of(&watch, kind));
    for (told, asked) in told.into_iter().zip([0.4, 0.02, 0.1]) {
        assert!((told - asked).abs() < 1e-12, "{told} {asked}");
    }
    assert!((of(&watch, "tail_high") - 2.0 * tails).abs() < 1e-12);
    let noticed = |size: f64| {
        let all = delays(&watch, Loudness::Page, "location", Injected::Deviations(size), after);
        all.iter().filter(|one| one.windows.is_some()).count()
    };
    assert_eq!((noticed(0.3), noticed(1.0)), (0, 1));
}
