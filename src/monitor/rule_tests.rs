//! What the rules and corrections of the classical detectors make of the same window, and detectors of all columns.

use std::fmt::Write as _;

use super::*;
use crate::reference::Reference;
use crate::registry::{BaselineOptions, build, read_series};

const HOUR: Millis = 3_600_000;
const START: Millis = 1_704_067_200_000;

/// Numbers without a clock.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40) as f64 / 16_777_216.0
}

/// Four days of 100 rows an hour: `a` and `b` go together with this sign, `c` stands alone.
fn csv(folder: &std::path::Path, name: &str, hours: i64, (shift, sign): (f64, f64)) -> std::path::PathBuf {
    let (mut state, mut text) = (name.len() as u64, "ts,a,b,c,colour\n".to_owned());
    for row in 0..hours * 100 {
        let (a, noise, c) = (uniform(&mut state), uniform(&mut state), uniform(&mut state));
        let b = sign * a + 0.3 * noise;
        let colour = if uniform(&mut state) < 0.5 + shift { "red" } else { "blue" };
        writeln!(text, "{},{:.4},{b:.4},{c:.4},{colour}", START + row * HOUR / 100, a + shift)
            .expect("a string");
    }
    let path = folder.join(name);
    std::fs::write(&path, text).expect("writable");
    path
}

/// Verdicts on one window of this many hours under these settings.
fn judged(monitor: &str, hours: i64, wrong: (f64, f64)) -> Vec<VerdictView> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = csv(folder.path(), "baseline.csv", 96, (0.0, 1.0));
    let reference: Reference = build(&BaselineOptions::new("m", "1.0.0", &path)).expect("a reference");
    let path = csv(folder.path(), "live.csv", hours, wrong);
    let options = BaselineOptions::new("m", "1.0.0", &path);
    let series = read_series(&reference, &[], &options, hours * HOUR, "judging").expect("readable");
    let window = series.windows(None).next().expect("a window");
    let plan = Plan::new("0123".to_owned(), Arc::new(reference));
    let text = format!("kafka: {{bootstrap: 'h:1', topics: [t]}}\nmonitor: {monitor}");
    let monitor = crate::config::parse(&text, "test").expect("settings").monitor;
    let subject = Subject { model: "m".into(), version: "1.0.0".into(), segment: None };
    let place = WindowPlace { subject: &subject, horizon: "1h", start: 0, end: hours * HOUR, covered: true };
    Judge::new(monitor, 50, 0.8, None).judge(&plan, place, &window.whole).verdicts
}

fn of<'v>(verdicts: &'v [VerdictView], detector: &str, column: &str) -> &'v VerdictView {
    let is = |one: &&VerdictView| one.detector == detector && one.column == column;
    verdicts.iter().find(is).expect("a verdict")
}

#[test]
fn a_fixed_threshold_ignores_chance_and_a_p_value_ignores_the_size() {
    let level = |monitor: &str, wrong: f64| {
        let verdicts = judged(monitor, 1, (wrong, 1.0));
        of(&verdicts, "ks", "a").level
    };
    // Two windows of an hour: one as ever, and one moved by a part of its spread.
    let usual = "{detectors: {numeric: [ks]}}";
    assert_eq!(level(usual, 0.0), Level::Stable);
    assert_eq!(level(usual, 0.6), Level::Drift);
    let fixed =
        |floor: f64| format!("{{rule: fixed, detectors: {{numeric: [ks]}}, floors: {{ks: {floor}}}}}");
    assert_eq!(level(&fixed(0.01), 0.0), Level::Drift, "chance alone is over it");
    assert_eq!(level(&fixed(0.9), 0.6), Level::Stable);
    let by_p = "{rule: p_value, false_discovery_rate: 0.05, detectors: {numeric: [ks]}, floors: {ks: 0.9}}";
    assert_eq!(level(by_p, 0.0), Level::Stable);
    let verdicts = judged(by_p, 1, (0.2, 1.0));
    let drift = of(&verdicts, "ks", "a");
    let (p, statistic) = (drift.p_value.expect("a law"), drift.statistic.expect("judged"));
    assert_eq!(drift.level, Level::Drift, "{drift:?}");
    assert!((statistic + p.log10()).abs() < 1e-9 && p < 0.05, "{drift:?}");
    assert!((drift.threshold.expect("judged") - 1.301).abs() < 1e-3 && drift.adjusted_p_value == Some(p));
}

#[test]
fn the_correction_is_the_one_asked_for() {
    let adjusted = |correction: &str| {
        let monitor = format!("{{correction: {correction}, detectors: {{numeric: [ks]}}}}");
        let verdicts = judged(&monitor, 1, (0.05, 1.0));
        ["a", "b", "c"].map(|column| {
            let verdict = of(&verdicts, "ks", column);
            (verdict.p_value.expect("a law"), verdict.adjusted_p_value.expect("adjusted"))
        })
    };
    let p_values = adjusted("none").map(|(p, adjusted)| {
        assert_eq!(p, adjusted);
        p
    });
    for (p, adjusted) in adjusted("bonferroni") {
        assert!((adjusted - (3.0 * p).min(1.0)).abs() < 1e-12);
    }
    let least = p_values.into_iter().fold(1.0, f64::min);
    let of_least = |correction: &str| {
        let all = adjusted(correction);
        all.into_iter().find(|(p, _)| *p == least).map(|(_, adjusted)| adjusted).expect("the same p-values")
    };
    let (hochberg, yekutieli, holm) =
        (of_least("benjamini_hochberg"), of_least("benjamini_yekutieli"), of_least("holm"));
    assert!(hochberg <= yekutieli && hochberg <= holm && holm <= (3.0 * least).min(1.0) + 1e-12);
}

#[test]
fn welch_and_proportions_judge_where_they_are_named() {
    let monitor = "{detectors: {numeric: [welch], categorical: [proportions]}}";
    let verdicts = judged(monitor, 4, (0.4, 1.0));
    let (welch, proportions) = (of(&verdicts, "welch", "a"), of(&verdicts, "proportions", "colour"));
    assert_eq!((welch.level, proportions.level), (Level::Drift, Level::Drift));
    // 0.4 over the deviation of a uniform number, 0.289; and a share that rose by 0.4.
    assert!((welch.statistic.expect("judged") - 1.385).abs() < 0.1, "{welch:?}");
    assert!((proportions.statistic.expect("judged") - 0.4).abs() < 0.1, "{proportions:?}");
    assert_eq!(of(&verdicts, "welch", "c").level, Level::Stable);
}

#[test]
fn a_relation_that_turned_round_shows_in_all_columns_together_and_in_none_alone() {
    let all =
        "{detectors: {numeric: [ks], multivariate: [hotelling_t2, pca_reconstruction, correlation_shift]}}";
    let detectors = ["hotelling_t2", "pca_reconstruction", "correlation_shift"];
    let levels = |wrong: (f64, f64)| {
        let verdicts = judged(all, 4, wrong);
        detectors.map(|detector| of(&verdicts, detector, "multivariate").level)
    };
    assert_eq!(levels((0.0, 1.0)), [Level::Stable; 3]);
    // `b` falls with `a` now: ranks say so whatever the means do.
    let turned = judged(all, 4, (0.0, -1.0));
    let shift = of(&turned, "correlation_shift", "multivariate");
    assert_eq!(shift.level, Level::Drift, "{shift:?}");
    assert_eq!(shift.moved[0].bin, "a:b");
    assert!(shift.moved[0].from > 0.8 && shift.moved[0].to < 0.0, "{shift:?}");
    assert_eq!(levels((0.3, 1.0))[0], Level::Drift, "the means moved");
}
