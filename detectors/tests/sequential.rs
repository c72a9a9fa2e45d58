//! What every sequential detector promises, whichever it is: the suite walks the list, so that none is forgotten.

#![expect(clippy::unwrap_used, reason = "a detector that cannot be built is a failed test")]

use std::collections::BTreeMap;

use anchorwatch_detectors::sequential::{
    ALL, BuildError, Detector, Sequential, Signal, Spec, build, uniform,
};
use proptest::prelude::*;

fn with_defaults(spec: &Spec) -> Detector {
    spec.build(&BTreeMap::new()).unwrap()
}

fn all() -> impl Iterator<Item = (&'static str, Detector)> {
    ALL.iter().map(|spec| (spec.name, with_defaults(spec)))
}

fn given(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// Settings in which each detector judges soon and alarms easily.
fn eager(spec: &Spec) -> Detector {
    let small = [
        ("clock", 1.0),
        ("grace_period", 5.0),
        ("window_size", 12.0),
        ("stat_size", 5.0),
        ("alpha", if spec.name == "kswin" { 0.2 } else { spec_default(spec, "alpha") }),
        ("min_instances", 3.0),
        ("min_num_instances", if spec.name == "kswin_frouros" { 12.0 } else { 3.0 }),
        ("num_test_instances", 5.0),
        ("warm_start", 3.0),
        ("sliding_window_size", 8.0),
        ("confidence_level", 0.3),
        ("threshold", 3.0),
        ("warm_up", 10.0),
        ("arl", 20.0),
        ("two_sided_test", 1.0),
    ];
    let known = |name: &str| spec.parameters.iter().any(|parameter| parameter.name == name);
    let chosen: Vec<(&str, f64)> = small.into_iter().filter(|(name, _)| known(name)).collect();
    spec.build(&given(&chosen)).unwrap()
}

fn spec_default(spec: &Spec, name: &str) -> f64 {
    let found = spec.parameters.iter().find(|parameter| parameter.name == name);
    found.and_then(|parameter| parameter.default).unwrap_or(0.0)
}

fn stored(detector: &Detector) -> String {
    serde_json::to_string(detector).unwrap()
}

/// Roughly normal, by the sum of twelve uniforms.
fn normal(stream: u64, index: u64) -> f64 {
    (0..12).map(|turn| uniform(stream, index * 12 + turn)).sum::<f64>() - 6.0
}

#[test]
fn names_and_parameters_are_unique_and_defaults_are_allowed() {
    for spec in &ALL {
        assert_eq!(ALL.iter().filter(|other| other.name == spec.name).count(), 1, "{}", spec.name);
        for parameter in spec.parameters {
            let same = spec.parameters.iter().filter(|other| other.name == parameter.name);
            assert_eq!(same.count(), 1, "{} {}", spec.name, parameter.name);
            let at = parameter.default.unwrap_or(parameter.low);
            assert!((parameter.low..=parameter.high).contains(&at), "{} {}", spec.name, parameter.name);
        }
        with_defaults(spec);
        assert!(spec.about.len() > 20 && !spec.about.ends_with('.'));
    }
}

#[test]
fn the_guide_has_a_page_with_every_detector_and_all_its_parameters() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/detectors");
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let pages: Vec<String> = entries.map(|entry| std::fs::read_to_string(entry.path()).unwrap()).collect();
    for spec in &ALL {
        let named = |text: &str, name: &str| text.contains(&format!("`{name}`"));
        assert!(pages.iter().any(|page| named(page, spec.name)), "{} is on no page", spec.name);
        let complete = |page: &String| spec.parameters.iter().all(|parameter| named(page, parameter.name));
        assert!(pages.iter().any(complete), "no page has all parameters of {}", spec.name);
    }
}

#[test]
fn defaults_written_out_are_the_defaults() {
    for spec in &ALL {
        let written: Vec<(&str, f64)> =
            spec.parameters.iter().filter_map(|p| p.default.map(|value| (p.name, value))).collect();
        assert_eq!(spec.build(&given(&written)).unwrap(), with_defaults(spec), "{}", spec.name);
    }
}

#[test]
fn a_wrong_name_or_value_is_refused_with_what_is_known() {
    let message = |name: &str, pairs: &[(&str, f64)]| build(name, &given(pairs)).unwrap_err().to_string();
    assert!(message("adwinn", &[]).contains("adwin, kswin"));
    let typo = message("adwin", &[("dleta", 0.1)]);
    assert!(typo.contains("\"dleta\"") && typo.contains("delta, clock, max_buckets"), "{typo}");
    let range = message("cusum", &[("sd", 0.0)]);
    assert!(range.contains("sd of cusum is 0") && range.contains("1e-100 to 1e100"), "{range}");
    assert!(message("kswin", &[("window_size", 60.5)]).contains("a whole number within 2 to 100000"));
    assert!(message("kswin", &[("window_size", 50.0)]).contains("two samples"));
    assert!(message("adwin", &[("delta", f64::NAN)]).contains("NaN"));
    for (name, pairs) in [
        ("ddm", [("warning_threshold", 4.0), ("drift_threshold", 3.0)]),
        ("eddm", [("alpha", 0.8), ("beta", 0.9)]),
        ("hddm_a", [("drift_confidence", 0.1), ("warning_confidence", 0.01)]),
        ("hddm_w", [("drift_confidence", 0.1), ("warning_confidence", 0.01)]),
        ("fhddm", [("sliding_window_size", 10.0), ("short_window_size", 20.0)]),
        ("stepd", [("alpha_d", 0.1), ("alpha_w", 0.01)]),
        ("e_bounded_mean", [("at_most", 0.2), ("at_least", 0.3)]),
        ("confidence_sequence", [("at_most", 0.2), ("at_least", 0.3)]),
        ("ecdd_wt_frouros", [("average_run_length", 300.0), ("lambda", 0.2)]),
    ] {
        assert!(matches!(build(name, &given(&pairs)), Err(BuildError::Conflict { .. })), "{name}");
    }
}

#[test]
fn what_is_no_number_changes_nothing() {
    for (name, mut detector) in all() {
        (0..150).for_each(|index| {
            detector.update(uniform(1, index));
        });
        let before = detector.clone();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(detector.update(value), Signal::Stable, "{name}");
        }
        assert_eq!(detector, before, "{name}");
    }
}

#[test]
fn a_plain_change_of_the_rate_is_seen_by_all() {
    for (name, mut detector) in all() {
        // Accuracy is what FHDDM watches; all others watch errors.
        let flip = name == "fhddm";
        let bit = |index: u64, rate: f64| f64::from(u8::from((uniform(9, index) < rate) != flip));
        for index in 0..3_000 {
            detector.update(bit(index, 0.15));
        }
        // The confidence sequence judges the mean of all since its start, which takes longest to move.
        let seen = (3_000..9_000).any(|index| detector.update(bit(index, 0.85)) == Signal::Drift);
        // Fixed limits in the unit of the values are out of reach for a rate by default.
        let out_of_reach = matches!(name, "geometric_moving_average_frouros");
        assert!(seen || out_of_reach, "{name}");
    }
}

#[test]
fn the_state_does_not_grow_with_the_stream() {
    for spec in &ALL {
        for mut detector in [with_defaults(spec), eager(spec)] {
            let mut sizes = [0, 0];
            for (half, size) in sizes.iter_mut().enumerate() {
                for index in 0..20_000 {
                    detector.update(normal(2, half as u64 * 20_000 + index));
                    if index % 500 == 0 {
                        *size = stored(&detector).len().max(*size);
                    }
                }
            }
            // ADWIN may add a row of buckets as its window doubles.
            assert!(sizes[1] <= sizes[0] + 600 && sizes[1] < 16_384, "{}: {sizes:?}", spec.name);
        }
    }
}

#[test]
fn long_streams_of_extremes_leave_only_finite_numbers() {
    for spec in &ALL {
        let mut detector = eager(spec);
        for value in [f64::MAX, f64::MIN, 5e-324, -0.0, 1e100, -1e100, 1e-300].iter().cycle().take(3_000) {
            detector.update(*value);
            assert!(detector.statistic().is_finite() && detector.threshold().is_finite(), "{}", spec.name);
        }
        // An infinity or a NaN would be written as null and not come back.
        assert_eq!(serde_json::from_str::<Detector>(&stored(&detector)).unwrap(), detector, "{}", spec.name);
    }
}

/// Values that occur, values at the edge of `f64`, and values that are no numbers.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => prop_oneof![Just(0.0), Just(1.0)],
        4 => -3.0..3.0f64,
        1 => any::<f64>(),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::MAX), Just(f64::MIN), Just(5e-324)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_stream_makes_a_detector_panic_and_a_replay_or_a_restored_state_says_the_same(
        values in proptest::collection::vec(value(), 1..160), stop in 0usize..160,
    ) {
        for spec in &ALL {
            let (mut one, mut other) = (eager(spec), eager(spec));
            for (index, &value) in values.iter().enumerate() {
                if index == stop {
                    let restored: Detector = serde_json::from_str(&stored(&other)).unwrap();
                    prop_assert_eq!(&restored, &other, "{}", spec.name);
                    other = restored;
                }
                let signal = one.update(value);
                prop_assert_eq!(signal, other.update(value), "{}", spec.name);
                prop_assert!(one.statistic().is_finite() && one.threshold().is_finite(), "{}", spec.name);
                if signal == Signal::Drift {
                    prop_assert!(one.statistic() >= one.threshold(), "{} {:?}", spec.name, one);
                }
            }
            prop_assert_eq!(one, other, "{}", spec.name);
        }
    }

    #[test]
    fn whatever_is_asked_for_is_built_or_refused(
        asked in proptest::collection::vec((any::<prop::sample::Index>(), 0.0..=1.0f64, any::<bool>()), 0..5),
    ) {
        for spec in &ALL {
            let mut chosen = BTreeMap::new();
            for (index, share, end) in &asked {
                let parameter = index.get(spec.parameters);
                // The middle of wide ranges would take gigabytes or minutes; their ends are what breaks.
                let high = parameter.high.min(200.0).max(parameter.low);
                let between = parameter.low + share * (high - parameter.low);
                let value = if *end { parameter.low } else { between };
                chosen.insert(parameter.name.to_owned(), if parameter.whole { value.floor() } else { value });
            }
            if let Ok(mut detector) = spec.build(&chosen) {
                for index in 0..300 {
                    detector.update(normal(4, index));
                    prop_assert!(detector.statistic().is_finite() && detector.threshold().is_finite(),
                        "{} {:?} {}", spec.name, chosen, detector.statistic());
                }
            }
        }
    }
}
