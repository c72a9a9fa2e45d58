//! Floors follow from how far the judged windows lie from the baseline, and are no larger than it takes.

use std::io::Write as _;

use anchorwatch_detectors::calibrated::Loudness;

use super::*;
use crate::registry::{BaselineOptions, build, read_series};

const HOUR: Millis = 3_600_000;
const START: Millis = 1_704_067_200_000;
const BASELINE: i64 = 240;
const EVENTS: i64 = 96;

/// Rows of these hours, 200 an hour: the mean of four uniform numbers, moved by this much, and a colour of three.
fn file(from: i64, hours: i64, moved: f64) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".csv").tempfile().expect("a file");
    writeln!(file, "ts,x,colour").expect("writable");
    let mut state = 7 + from as u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / 16_777_216.0
    };
    for row in 0..hours * 200 {
        let x = (0..4).map(|_| uniform()).sum::<f64>() / 4.0 + moved;
        let colour = ["red", "green", "blue"][(uniform() * 3.0) as usize % 3];
        writeln!(file, "{},{x:.3},{colour}", START + from * HOUR + row * HOUR / 200).expect("writable");
    }
    file
}

fn reference() -> Reference {
    build(&BaselineOptions::new("m", "1.0.0", file(0, BASELINE, 0.0).path())).expect("a reference")
}

fn windows(reference: &Reference, moved: f64) -> Vec<SeriesWindow> {
    let file = file(BASELINE, EVENTS, moved);
    let options = BaselineOptions::new("m", "1.0.0", file.path());
    let series = read_series(reference, &[], &options, HOUR, "judging").expect("a series");
    series.windows(None).collect()
}

fn least(reference: &Reference, moved: f64) -> Vec<Least> {
    let windows = windows(reference, moved).into_iter();
    least_floors(reference, (BudgetDays::default(), 1), Loudness::Page, windows).expect("watched")
}

#[test]
fn sizes_are_round_and_end_where_they_are_told_to() {
    let sizes = sizes(0.01, 0.3);
    assert_eq!((sizes.first(), sizes.last()), (Some(&0.01), Some(&0.25)));
    assert!(sizes.contains(&0.06) && sizes.windows(2).all(|pair| pair[0] < pair[1]), "{sizes:?}");
}

#[test]
fn windows_like_the_baseline_ask_for_no_floor() {
    for one in least(&reference(), 0.0) {
        assert_eq!((one.floor, &one.because_of), (Some(0.0), &None), "{one:?}");
    }
}

#[test]
fn a_small_lasting_difference_asks_for_the_least_floor_that_keeps_it_quiet() {
    let reference = reference();
    // A seventh of a standard deviation.
    let moved = 0.02;
    let asked = least(&reference, moved);
    let deviations = &asked[0];
    let floor = deviations.floor.expect("a floor");
    assert!((0.05..0.2).contains(&floor), "{deviations:?}");
    let named = deviations.because_of.as_ref().map(|one| (&*one.feature, one.kind));
    assert_eq!(named, Some(("x", "location")));
    let others = asked.iter().filter(|one| matches!(one.setting, Setting::Rate | Setting::Level));
    assert!(others.clone().count() == 2 && others.clone().all(|one| one.floor == Some(0.0)), "{asked:?}");
    let alarms = |deviations: f64| {
        let tolerated = Tolerated { deviations, ..Tolerated::default() };
        let watch = ModelWatch::new(&reference, BudgetDays::default()).expect("watched");
        let watch = watch.tolerating(&tolerated);
        let mut state = watch.state();
        let of_window = |window: &SeriesWindow| {
            let counted = Counted { whole: &window.whole, slices: &window.slices };
            let judged = watch.step(&mut state, window.start, counted);
            let loud = judged.findings.iter().filter(|finding| finding.loudness == Loudness::Page);
            loud.filter(|finding| finding.kind == "location").count()
        };
        windows(&reference, moved).iter().map(of_window).sum::<usize>()
    };
    assert_eq!(alarms(floor), 0);
    assert!(alarms(0.8 * floor) > 0, "a smaller one would do: {floor}");
}

#[test]
fn a_difference_that_anybody_would_want_to_know_of_has_no_floor() {
    let asked = least(&reference(), 0.3);
    assert_eq!(asked[0].floor, None);
    assert!(asked[0].because_of.as_ref().is_some_and(|one| one.feature == "x"), "{asked:?}");
}

#[test]
fn what_is_noticed_in_time_is_the_smallest_that_is() {
    let reference = reference();
    let after = START + BASELINE * HOUR;
    let watch = |deviations: f64| {
        let tolerated = Tolerated { deviations, ..Tolerated::default() };
        ModelWatch::new(&reference, BudgetDays::default()).expect("watched").tolerating(&tolerated)
    };
    let smallest = |watch: &ModelWatch, setting: Setting, within: usize| {
        smallest_noticed(watch, Loudness::Page, setting, within, after).unwrap_or(f64::INFINITY)
    };
    for setting in Setting::ALL {
        let (usual, slow) = (smallest(&watch(0.05), setting, 4), smallest(&watch(0.05), setting, 48));
        assert!(slow < usual, "{setting:?}: {slow} in two days, {usual} in four hours");
    }
    let lenient = smallest(&watch(0.3), Setting::Deviations, 24);
    assert!(lenient > 0.3 && smallest(&watch(0.05), Setting::Deviations, 24) < lenient);
    let within = |size: f64| {
        let all = delays(&watch(0.3), Loudness::Page, "location", Injected::Deviations(size), after);
        all.iter().all(|one| one.windows.is_some_and(|windows| windows <= 24))
    };
    assert!(within(lenient) && !within(0.8 * lenient));
}
