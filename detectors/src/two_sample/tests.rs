//! Laws of the order statistics: cells against raw samples, certified intervals, p-values that behave.

use proptest::prelude::*;

use super::rank::{AndersonDarling, anderson_darling};
use super::transport::{wasserstein_estimate, wasserstein_with_means};
use super::*;
use crate::binning::NumericBinning;
use crate::samples::{Pooled, sorted, wasserstein as raw_wasserstein};

fn sample() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        proptest::collection::vec(-5.0f64..5.0, 1..80),
        proptest::collection::vec((-6i32..6).prop_map(f64::from), 1..80),
        proptest::collection::vec((-30i32..60).prop_map(|x| f64::from(x) / 10.0), 1..80),
    ]
}

fn raw_ks(reference: &[f64], window: &[f64]) -> Ks {
    let pooled = Pooled::new(reference, window);
    ks(&pooled.reference, &pooled.window).unwrap()
}

#[test]
fn nothing_is_said_of_empty_profiles() {
    assert_eq!(ks(&[0, 0], &[1, 0]), None);
    assert_eq!(ks(&[], &[]), None);
    assert_eq!(ks(&[1], &[1, 0]), None);
    assert_eq!(ks(&[u64::MAX, u64::MAX], &[1, 1]), None);
    assert_eq!(ks_uncertainty(&[0], &[1]), None);
    assert_eq!(mann_whitney(&[0], &[1]), None);
    assert_eq!(cramer_von_mises(&[0], &[1]), None);
}

#[test]
fn huge_profiles_neither_panic_nor_hang() {
    let (huge, large) = ([u64::MAX, u64::MAX, 3], [1 << 55, 0, 1 << 60]);
    for (reference, window) in [(huge, large), (large, huge), (large, large), (huge, huge)] {
        if let Some(distance) = ks(&reference, &window) {
            assert!((0.0..=1.0).contains(&distance.p_value()));
        }
        for variant in [AndersonDarling::Midrank, AndersonDarling::Right] {
            assert!(anderson_darling(&reference, &window, variant).is_some());
        }
        assert!(
            mann_whitney(&reference, &window).is_some() && cramer_von_mises(&reference, &window).is_some()
        );
    }
}

#[test]
fn constant_profiles_are_no_drift() {
    let distance = ks(&[0, 9, 0], &[0, 4, 0]).unwrap();
    assert_eq!((distance.statistic, distance.p_value(), distance.kuiper()), (0.0, 1.0, 0.0));
    assert_eq!(mann_whitney(&[9], &[4]).unwrap().p_value(Alternative::TwoSided), 1.0);
}

#[test]
fn the_prompt_p_value_is_near_the_exact_law() {
    // Around both sizes at which the method changes; the largest has exactly as many paths as can be walked.
    for (n, m) in [
        (400u64, 250u64),
        (401, 250),
        (1_501, 640),
        (1_999, 1_000),
        (2_000, 2_000),
        (20_000, 200),
        (10_000, 60),
        (10_000, 110),
    ] {
        let root = ((n * m) as f64 / (n + m) as f64).sqrt();
        for z in [0.3, 0.6, 1.0, 1.4, 1.7, 2.2, 3.0] {
            let d = (z / root * (n * m) as f64).round() / (n * m) as f64;
            let ks = Ks { statistic: d, d_plus: d, d_minus: 0.0, n, m };
            let (prompt, exact) = (ks.p_value(), ks.p_exact().unwrap());
            assert!((prompt / exact - 1.0).abs() < 0.12, "{n} {m} {z}: {prompt} {exact}");
        }
    }
}

#[test]
fn the_corrected_limit_joins_the_finite_law() {
    let d = |z: f64| z / 1_000f64.sqrt();
    for (z, within) in [(0.5, 1e-4), (1.0, 1e-4), (1.5, 1e-3), (2.0, 5e-3), (3.0, 0.03)] {
        // An effective size of 1,000.
        let ks = Ks { statistic: d(z), d_plus: d(z), d_minus: 0.0, n: 2_000, m: 2_000 };
        let (corrected, finite) = (ks.p_corrected(), ks.p_finite().unwrap());
        assert!((corrected / finite - 1.0).abs() < within, "{z}: {corrected} {finite}");
    }
}

#[test]
fn the_window_to_the_right_shows_in_d_plus() {
    let distance = ks(&[5, 5, 0], &[0, 5, 5]).unwrap();
    assert_eq!((distance.d_plus, distance.d_minus), (0.5, 0.0));
}

proptest! {
    #[test]
    fn the_estimate_alone_is_that_of_the_bounds_to_the_last_bit(
        knots in proptest::collection::btree_set(-400_i32..400, 1..40),
        counts in proptest::collection::vec((0_u64..9, 0_u64..9, 0_u8..3), 81),
        factor in prop_oneof![Just(1_u64), Just(1_000), Just(1 << 30), Just(1 << 48)],
        wide in any::<bool>(),
    ) {
        let scale = if wide { f64::MAX / 400.0 } else { 0.37 };
        let knots: Vec<f64> = knots.into_iter().map(|knot| f64::from(knot) * scale).collect();
        let binning = NumericBinning::new(knots).unwrap();
        let cells = counts.iter().take(binning.cells());
        let (reference, window): (Vec<u64>, Vec<u64>) = cells
            .map(|(reference, window, kept)| match kept {
                0 => (0, window * factor),
                1 => (reference * factor, 0),
                _ => (reference * factor, window * factor + 1),
            })
            .unzip();
        let alone = wasserstein_estimate(&binning, &reference, &window).map(f64::to_bits);
        let bounds = wasserstein(&binning, &reference, &window);
        prop_assert_eq!(alone, bounds.map(|bounds| bounds.estimate.to_bits()));
        prop_assert_eq!(wasserstein_estimate(&binning, &reference, &window[1..]), None);
    }

    #[test]
    fn the_distance_from_cells_is_that_of_the_raw_samples(reference in sample(), window in sample()) {
        let sorted = sorted(&reference);
        let binning = NumericBinning::from_sorted_values(&sorted, 1000).unwrap();
        let (r, w) = (binning.count(&reference), binning.count(&window));
        prop_assert_eq!(ks(&r, &w).unwrap(), raw_ks(&reference, &window));
        let interval = ks_uncertainty(&r, &w).unwrap();
        prop_assert_eq!(interval.low, interval.high);
        let pooled = Pooled::new(&reference, &window);
        prop_assert_eq!(mann_whitney(&r, &w).unwrap().u, mann_whitney(&pooled.reference, &pooled.window).unwrap().u);
    }

    #[test]
    fn with_fewer_knots_the_interval_holds_the_distance(
        reference in sample(), window in sample(), points in 1usize..20,
    ) {
        let binning = NumericBinning::from_sorted_values(&sorted(&reference), points).unwrap();
        let (r, w) = (binning.count(&reference), binning.count(&window));
        let interval = ks_uncertainty(&r, &w).unwrap();
        let truth = raw_ks(&reference, &window).statistic;
        prop_assert!(interval.low <= truth + 1e-12 && truth <= interval.high + 1e-12);
        prop_assert_eq!(interval.low, ks(&r, &w).unwrap().statistic);
        let widest = r.iter().zip(&w).step_by(2)
            .map(|(&r, &w)| (r as f64 / reference.len() as f64).min(w as f64 / window.len() as f64))
            .fold(0.0, f64::max);
        prop_assert!(interval.high - interval.low <= widest + 1e-12);
    }

    #[test]
    fn wasserstein_lies_within_its_bounds(reference in sample(), window in sample(), points in 1usize..90) {
        let binning = NumericBinning::from_sorted_values(&sorted(&reference), points).unwrap();
        let (r, w) = (binning.count(&reference), binning.count(&window));
        let truth = raw_wasserstein(&reference, &window).unwrap();
        let bounds = wasserstein(&binning, &r, &w).unwrap();
        prop_assert!(bounds.low <= truth + 1e-9 && truth <= bounds.high + 1e-9, "{truth} {bounds:?}");
        prop_assert!(bounds.low <= bounds.estimate + 1e-9 && bounds.estimate <= bounds.high + 1e-9);
        let means: Vec<f64> = (0..=binning.knots().len())
            .map(|gap| {
                let inside: Vec<f64> = window.iter().copied().filter(|&x| binning.cell(x) == 2 * gap).collect();
                inside.iter().sum::<f64>() / inside.len().max(1) as f64
            })
            .collect();
        let closer = wasserstein_with_means(&binning, &r, &w, &means).unwrap();
        prop_assert!(closer.low <= truth + 1e-9 && truth <= closer.high + 1e-9, "{truth} {closer:?}");
        prop_assert!(bounds.low <= closer.low + 1e-9 && closer.high <= bounds.high + 1e-9);
    }

    #[test]
    fn p_values_fall_as_the_distance_grows(n in 1u64..60, m in 1u64..60, low in 0.0f64..1.0, high in 0.0f64..1.0) {
        let (low, high) = (low.min(high), low.max(high));
        let at = |d: f64| Ks { statistic: d, d_plus: d, d_minus: 0.0, n, m };
        let pairs = [
            (at(low).p_exact().unwrap(), at(high).p_exact().unwrap()),
            (at(low).p_limit(), at(high).p_limit()),
            (at(low).p_kuiper(), at(high).p_kuiper()),
            (at(low).p_finite().unwrap_or(1.0), at(high).p_finite().unwrap_or(0.0)),
            (at(low).p_hodges(Alternative::Greater), at(high).p_hodges(Alternative::Greater)),
        ];
        for (p_low, p_high) in pairs {
            prop_assert!((0.0..=1.0).contains(&p_low) && (0.0..=1.0).contains(&p_high));
            prop_assert!(p_high <= p_low + 1e-9, "{p_low} {p_high}");
        }
    }

    #[test]
    fn the_exact_law_is_symmetric_in_the_samples(n in 1u64..30, m in 1u64..30, h in 0u64..900) {
        let both = |alternative| ks_two_sample_sf(n, m, h, alternative).unwrap();
        let swapped = ks_two_sample_sf(m, n, h, Alternative::TwoSided).unwrap();
        prop_assert!((both(Alternative::TwoSided) - swapped).abs() < 1e-12);
        let greater = ks_two_sample_sf(m, n, h, Alternative::Greater).unwrap();
        prop_assert!((both(Alternative::Less) - greater).abs() < 1e-12);
    }
}
