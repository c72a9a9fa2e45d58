//! What is told of an alarm: quantiles off cells, the change point, shares, and what moved where.

use super::*;
use anchorwatch_detectors::calibrated::Loudness;

fn knots(points: &[f64]) -> NumericBinning {
    NumericBinning::new(points.to_vec()).expect("ascending")
}

#[test]
fn quantiles_are_exact_on_a_cut_point_and_linear_between_two() {
    let knots = knots(&[0.0, 10.0]);
    // Below 0, at 0, between, at 10, above 10.
    assert_eq!(quantile(&knots, &[0, 0, 100, 0, 0], 0.25), Some(2.5));
    assert_eq!(quantile(&knots, &[0, 60, 0, 40, 0], 0.5), Some(0.0));
    assert_eq!(quantile(&knots, &[0, 60, 0, 40, 0], 0.75), Some(10.0));
    assert_eq!(
        quantile(&knots, &[0, 0, 0, 0, 9], 0.5),
        Some(10.0),
        "beyond the last cut point nothing is known"
    );
    assert_eq!(quantile(&knots, &[0; 5], 0.5), None);
}

#[test]
fn a_change_is_dated_at_its_first_window() {
    let mut residuals: Vec<f64> = (0..40).map(|i| if i % 2 == 0 { 0.6 } else { -0.6 }).collect();
    residuals.extend([3.0; 8]);
    let found = since(&residuals, 1.0).expect("a change");
    assert_eq!(found.windows, 8);
    assert!((found.strength - 24.0 / 8.0_f64.sqrt()).abs() < 1e-9, "{found:?}");
    let fallen: Vec<f64> = residuals.iter().map(|x| -x).collect();
    assert_eq!(since(&fallen, -1.0), Some(found), "a fall is dated as a rise is");
    assert_eq!(since(&[-1.0, -1.0], 1.0), None, "nothing went that way");
    assert_eq!(since(&[], 1.0), None);
}

fn finding(feature: &str, slice: Option<Slice>, heat: f64) -> Finding {
    Finding {
        feature: feature.to_owned(),
        kind: "location",
        about: None,
        slice,
        loudness: Loudness::Page,
        heat,
        statistic: heat * 5.0,
        threshold: 5.0,
        span: 1,
        means: None,
        rows: 0.0,
    }
}

#[test]
fn the_shares_of_the_columns_are_those_of_their_squared_heats() {
    let slice = Some(Slice::Segment("s".to_owned()));
    let shares = shares(&[finding("a", None, 1.0), finding("b", None, 3.0), finding("a", slice, 2.0)]);
    let told: Vec<(&str, bool, f64)> =
        shares.iter().map(|one| (one.feature.as_str(), one.slice.is_some(), one.share)).collect();
    assert_eq!(told, [("b", false, 9.0 / 14.0), ("a", true, 4.0 / 14.0), ("a", false, 1.0 / 14.0)]);
    assert!(super::shares(&[]).is_empty());
    let twice = super::shares(&[finding("a", None, 1.0), finding("a", None, 3.0), finding("b", None, 3.0)]);
    assert_eq!(twice.iter().map(|one| one.share).collect::<Vec<_>>(), [0.5, 0.5], "broken and drifted");
}

#[test]
fn faults_are_told_as_shares_of_rows() {
    let counts = |missing, wrong_type| ColumnCounts { cells: &[80, 10], missing, non_finite: 0, wrong_type };
    let moved = moved_faults(counts(10, 0), counts(10, 100));
    let told: Vec<(&str, f64, f64)> = moved.iter().map(|one| (one.bin.as_str(), one.from, one.to)).collect();
    assert_eq!(told, [("missing", 0.1, 0.05), ("wrong type", 0.0, 0.5)]);
}

#[test]
fn latencies_are_told_in_tenths_of_the_baseline() {
    let mut baseline = vec![0; anchorwatch_detectors::latency::BUCKETS];
    let mut window = baseline.clone();
    baseline[200] = 500;
    baseline[201] = 500;
    window[201] = 100;
    let moved = moved_latencies(&baseline, &window);
    assert_eq!(moved.len(), 2, "{moved:?}");
    assert!(moved.iter().all(|one| one.bin.ends_with(" ms") && (one.to - one.from).abs() == 0.5));
    assert!(moved_latencies(&baseline, &[]).is_empty());
}
