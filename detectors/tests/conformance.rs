//! What every batch detector promises, whichever it is: the suite walks the list, so that none is forgotten.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be built is a failed test")]

use anchorwatch_detectors::counts::{merge, subtract};
use anchorwatch_detectors::{BatchDetector, Binning, CategoricalBinning, NumericBinning, Score};
use proptest::prelude::*;

const TEN_VALUES: [f64; 10] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];

fn numeric() -> Binning {
    Binning::Numeric(NumericBinning::new(TEN_VALUES.to_vec()).unwrap())
}

fn categorical() -> Binning {
    let names = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    Binning::Categorical(CategoricalBinning::new(names).unwrap())
}

/// Each detector with each kind of column it can judge.
fn all() -> impl Iterator<Item = (BatchDetector, Binning)> {
    let both = |detector| [(detector, numeric()), (detector, categorical())];
    BatchDetector::ALL.into_iter().flat_map(both).filter(|(detector, binning)| detector.applies_to(binning))
}

/// A profile with something in every cell.
fn spread_out(binning: &Binning, step: u64) -> Vec<u64> {
    (0..binning.cells() as u64).map(|cell| 20 + cell * step % 7).collect()
}

fn counts(cells: usize) -> impl Strategy<Value = Vec<u64>> {
    let count = prop_oneof![3 => Just(0u64), 3 => 1u64..40, 1 => 1_000u64..2_000];
    proptest::collection::vec(count, cells)
}

fn score(detector: BatchDetector, binning: &Binning, reference: &[u64], window: &[u64]) -> Option<Score> {
    detector.score(binning, reference, window)
}

#[test]
fn names_are_unique_and_those_of_the_configuration() {
    let names: Vec<&str> = BatchDetector::ALL.iter().map(|detector| detector.name()).collect();
    for detector in BatchDetector::ALL {
        assert_eq!(names.iter().filter(|name| **name == detector.name()).count(), 1);
        assert_eq!(serde_json::to_string(&detector).unwrap(), format!("\"{}\"", detector.name()));
    }
}

#[test]
fn an_empty_or_foreign_profile_has_no_score() {
    for (detector, binning) in all() {
        let (full, empty) = (spread_out(&binning, 3), vec![0; binning.cells()]);
        assert_eq!(score(detector, &binning, &full, &empty), None, "{detector:?}");
        assert_eq!(score(detector, &binning, &empty, &full), None, "{detector:?}");
        assert_eq!(score(detector, &binning, &full, &full[1..]), None, "{detector:?}");
        assert_eq!(score(detector, &binning, &[], &[]), None, "{detector:?}");
    }
}

#[test]
fn detectors_of_order_refuse_categories() {
    let binning = categorical();
    let profile = spread_out(&binning, 3);
    for detector in BatchDetector::ALL {
        assert_eq!(score(detector, &binning, &profile, &profile).is_some(), detector.applies_to(&binning));
    }
}

#[test]
fn the_same_profile_is_no_drift() {
    for (detector, binning) in all() {
        let profile = spread_out(&binning, 5);
        let got = score(detector, &binning, &profile, &profile).unwrap();
        let within_estimate = if detector == BatchDetector::Wasserstein { 0.05 } else { 1e-9 };
        assert!(got.statistic.abs() <= within_estimate, "{detector:?} {got:?}");
        assert!(got.p_value.is_none_or(|p| p > 0.999), "{detector:?} {got:?}");
    }
}

#[test]
fn a_plain_shift_is_seen_by_all() {
    for (detector, binning) in all() {
        let cells = binning.cells();
        let reference: Vec<u64> = (0..cells).map(|cell| if cell < cells / 2 { 90 } else { 10 }).collect();
        let window: Vec<u64> = reference.iter().rev().copied().collect();
        let got = score(detector, &binning, &reference, &window).unwrap();
        assert!(got.statistic > 0.3, "{detector:?} {got:?}");
        assert!(got.p_value.is_none_or(|p| p < 1e-6), "{detector:?} {got:?}");
        assert_eq!((got.n, got.m), (reference.iter().sum(), window.iter().sum()));
    }
}

#[test]
fn constant_columns_neither_panic_nor_drift() {
    let binning = Binning::Numeric(NumericBinning::new(vec![4.0]).unwrap());
    for detector in BatchDetector::ALL {
        let got = score(detector, &binning, &[0, 50, 0], &[0, 20, 0]);
        assert!(got.is_none_or(|got| got.statistic == 0.0), "{detector:?} {got:?}");
        score(detector, &binning, &[0, 50, 0], &[7, 0, 7]);
        score(detector, &Binning::Numeric(NumericBinning::new(vec![]).unwrap()), &[3], &[4]);
    }
}

#[test]
fn huge_counts_neither_panic_nor_hang() {
    for (detector, binning) in all() {
        let huge = vec![u64::MAX; binning.cells()];
        score(detector, &binning, &huge, &huge);
        let large = vec![1 << 50; binning.cells()];
        let small = spread_out(&binning, 2);
        score(detector, &binning, &large, &small);
        score(detector, &binning, &small, &large);
    }
}

proptest! {
    #[test]
    fn scores_are_bounded_and_p_values_are_probabilities(reference in counts(21), window in counts(21)) {
        for (detector, binning) in all() {
            let cells = binning.cells();
            if let Some(got) = score(detector, &binning, &reference[..cells], &window[..cells]) {
                prop_assert!(got.statistic >= 0.0 && got.statistic <= detector.upper_bound(), "{detector:?} {got:?}");
                prop_assert!(got.p_value.is_none_or(|p| (0.0..=1.0).contains(&p)), "{detector:?} {got:?}");
            }
        }
    }

    #[test]
    fn detectors_of_categories_and_of_order_are_symmetric(left in counts(21), right in counts(21)) {
        for (detector, binning) in all() {
            // Quantile groups and units come from the reference; these detectors are symmetric given the same groups.
            let same_groups = matches!(binning, Binning::Categorical(_)) || detector == BatchDetector::Ks;
            let same_groups = same_groups && detector != BatchDetector::KullbackLeibler; // from one to the other
            let cells = binning.cells();
            let there = score(detector, &binning, &left[..cells], &right[..cells]);
            let back = score(detector, &binning, &right[..cells], &left[..cells]);
            prop_assert_eq!(there.is_some(), back.is_some());
            if let (true, Some(there), Some(back)) = (same_groups, there, back) {
                prop_assert!((there.statistic - back.statistic).abs() < 1e-9, "{detector:?}");
            }
        }
    }

    #[test]
    fn scores_depend_on_merged_counts_only(
        reference in counts(21), parts in proptest::collection::vec(counts(21), 1..5), foreign in counts(21),
    ) {
        for (detector, binning) in all() {
            let cells = binning.cells();
            let (mut forwards, mut backwards) = (vec![0; cells], vec![0; cells]);
            parts.iter().for_each(|part| merge(&mut forwards, &part[..cells]));
            parts.iter().rev().for_each(|part| merge(&mut backwards, &part[..cells]));
            merge(&mut backwards, &foreign[..cells]);
            subtract(&mut backwards, &foreign[..cells]).unwrap();
            let one = score(detector, &binning, &reference[..cells], &forwards);
            let other = score(detector, &binning, &reference[..cells], &backwards);
            prop_assert_eq!(one, other, "{:?}", detector);
        }
    }
}
