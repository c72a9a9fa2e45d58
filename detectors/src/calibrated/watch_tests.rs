//! What a watch alarms of and what it does not: clumps, memories, thresholds, and budgets that are shared.

use super::super::quantity::{Family, tests::plain};
use super::*;

const HOUR: i64 = 3_600_000;

fn watch(quantities: &[Quantity], windows: &[Vec<Sample>]) -> Watch {
    let starts: Vec<i64> = (0..windows.len() as i64).map(|window| window * HOUR).collect();
    let (design, fits) = calibrate(quantities, windows, &starts, HOUR);
    let budget = Budget { windows: 4_000.0 };
    Watch::new(quantities, fits, design, Budgets { warn: budget, page: budget })
}

/// Alarms of one window behind some in which all is as the baseline's last window.
fn alarms(watch: &Watch, calm: &[Sample], window: &[Sample]) -> Vec<bool> {
    let mut state = watch.state();
    for start in 0..3 {
        let _ = watch.step(&mut state, calm, start * HOUR);
    }
    watch.step(&mut state, window, 3 * HOUR).iter().map(|reading| reading.alarm.is_some()).collect()
}

/// Half of the events of every fortieth of these windows: a share that comes in clumps.
fn clumps(window: usize, events: f64) -> f64 {
    if window % 40 == 7 { (events / 2.0).round() } else { 0.0 }
}

/// A quantity that is noise of a standard deviation of 1 in windows of ten events.
fn noise() -> (Watch, impl FnMut(f64) -> [Sample; 1]) {
    let one = plain(Law::Mean { variance: 10.0 }, Family::Marginal);
    let mut seed = 7_u64;
    let mut noise = move |shift: f64| {
        let mut uniform = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40) as f64 / 16_777_216.0
        };
        let normal = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        [Sample { sum: 10.0 * (normal + shift), count: 10.0 }]
    };
    let windows: Vec<Vec<Sample>> = (0..200).map(|_| noise(0.0).to_vec()).collect();
    (watch(&[one], &windows), noise)
}

#[test]
fn one_that_comes_to_share_the_budget_raises_thresholds_but_ends_no_alarm() {
    let (watch, mut noise) = noise();
    let (mut alone, mut shared) = (watch.state(), watch.state());
    let (mut alarms, mut onset) = (0, true);
    for window in 0..60 {
        let sample = noise(if (20..40).contains(&window) { 2.0 } else { 0.0 });
        let start = window * HOUR;
        let was_on = alarms > 0 && !onset;
        // Before the alarm nobody shares; once it is on, others come.
        let among = if was_on || window >= 40 { 9 } else { 1 };
        let a = watch.step(&mut alone, &sample, start)[0];
        let b = watch.step_among(&mut shared, &sample, start, among)[0];
        if window < 40 {
            assert_eq!((a.alarm, a.threshold), (b.alarm, b.threshold), "{window}");
        } else if b.alarm.is_none() {
            let next = watch.step_among(&mut shared.clone(), &sample, start, 9)[0];
            assert!(next.threshold > a.threshold + 0.2, "{} {}", next.threshold, a.threshold);
        }
        if let Some(alarm) = b.alarm {
            (alarms, onset) = (alarms + 1, false);
            assert!(alarm >= Loudness::Warn);
        }
    }
    assert!(alarms > 10, "{alarms}");
}

#[test]
fn watches_that_share_a_budget_alarm_together_no_more_often_than_one_that_has_it_alone() {
    let (watch, mut noise) = noise();
    // A budget of 4,000 windows: how many of them come by chance, however many share it and whenever that changes.
    let mut alarms_of = |most: usize| {
        let mut states: Vec<WatchState> = (0..most).map(|_| watch.state()).collect();
        let (mut on, mut episodes) = (vec![false; most], 0);
        for window in 0..60_000 / most as i64 {
            let serving = if window % 2_000 < 1_000 { most } else { 1 };
            for (state, on) in states.iter_mut().zip(&mut on).take(serving) {
                let among = u32::try_from(serving).unwrap();
                let alarms = watch.step_among(state, &noise(0.0), window * HOUR, among)[0].alarm.is_some();
                episodes += u32::from(alarms && !*on);
                *on = alarms;
            }
        }
        f64::from(episodes) / (60_000.0 / most as f64)
    };
    // A family is given 45 % of the budget.
    let allowed = 0.45 / 4_000.0;
    for most in [1, 4] {
        let rate = alarms_of(most);
        assert!(rate <= 1.6 * allowed, "{most}: {rate} where {allowed} is allowed");
    }
}

#[test]
fn what_clumps_in_the_whole_clumps_in_its_slices() {
    let share = Quantity { tolerance: Some(0.01), ..plain(Law::Share, Family::Rate) };
    let slice = Quantity { family: Family::Segment, ..share };
    let baseline: Vec<Vec<Sample>> = (0..200)
        .map(|window| {
            let whole = Sample { sum: clumps(window, 200.0), count: 200.0 };
            // The baseline happens not to show it in the slice.
            vec![whole, Sample { sum: 0.0, count: 15.0 }]
        })
        .collect();
    let calm = &baseline[0];
    let fault = [calm[0], Sample { sum: 9.0, count: 15.0 }];
    let alone = watch(&[share, slice], &baseline);
    assert!(alarms(&alone, calm, &fault)[1], "on its own nine of fifteen are far beyond the baseline");
    let part = watch(&[share, Quantity { part_of: Some(0), ..slice }], &baseline);
    assert!(!alarms(&part, calm, &fault)[1], "half of a window is missing at times, in the whole");
    let steady: Vec<Vec<Sample>> =
        baseline.iter().map(|window| vec![Sample { sum: 10.0, ..window[0] }, window[1]]).collect();
    let part = watch(&[share, Quantity { part_of: Some(0), ..slice }], &steady);
    assert!(alarms(&part, &steady[0], &fault)[1], "where nothing clumps there is nothing to borrow");
}

#[test]
fn what_clumps_in_a_tail_clumps_beyond_it() {
    let tail = Quantity {
        tail_of: Some(0),
        rises_only: true,
        tolerance: Some(0.002),
        ..plain(Law::Share, Family::Rate)
    };
    let range = Quantity { borrows: true, ..tail };
    let of_tail = |events: f64| move |window| Sample { sum: clumps(window, events), count: events };
    let beyond = |hits: f64| Sample { sum: hits, count: 200.0 };
    let baseline: Vec<Vec<Sample>> =
        (0..200).map(of_tail(200.0)).map(|tail| vec![tail, beyond(0.0)]).collect();
    let (calm, fault) = (&baseline[0], [baseline[0][0], beyond(20.0)]);
    let alone = watch(&[tail, Quantity { tail_of: None, ..range }], &baseline);
    assert!(alarms(&alone, calm, &fault)[1], "twenty events beyond everything in the baseline");
    let of_column = watch(&[tail, range], &baseline);
    assert!(!alarms(&of_column, calm, &fault)[1], "may be one clump, as those of the tail are");
    let steady: Vec<Vec<Sample>> =
        (0..200).map(|_| vec![Sample { sum: 3.0, count: 200.0 }, beyond(0.0)]).collect();
    let of_column = watch(&[tail, range], &steady);
    assert!(alarms(&of_column, &steady[0], &fault)[1], "where the tail does not clump nothing is borrowed");
}

#[test]
fn two_columns_together_go_with_the_level_of_either() {
    let location = Quantity { column: Some(0), ..plain(Law::Mean { variance: 1.0 }, Family::Marginal) };
    let pair = Quantity { family: Family::Pair, column: Some(1), ..location };
    let windows: Vec<Vec<Sample>> = (0..96)
        .map(|window| {
            let level = 0.3 * (f64::from(window) / 15.0).sin();
            let mean = |mean: f64| Sample { sum: 500.0 * mean, count: 500.0 };
            vec![mean(level), mean(0.04 * (f64::from(window % 5) - 2.0))]
        })
        .collect();
    let between = |other| {
        let watch = watch(&[location, Quantity { other_column: other, ..pair }], &windows);
        watch.fit(1).expect("a fit").between
    };
    assert!(between(Some(0)) > between(Some(2)), "the product holds the square of the level");
}

#[test]
fn a_part_of_a_steady_window_is_a_sample_of_it() {
    let steady = plain(Law::Mean { variance: 1.0 }, Family::Marginal);
    let baseline: Vec<Vec<Sample>> = (0..100)
        .map(|window| {
            let count = 240.0 + f64::from(window % 7) - 3.0;
            vec![Sample { sum: f64::from(window % 3) - 1.0, count }]
        })
        .collect();
    let watch = watch(&[steady], &baseline);
    let fit = watch.fit(0).expect("a fit");
    let precision = |count: f64| fit.precision(fit.trusted(Sample { sum: 0.0, count }, &[]).count);
    assert!(precision(240.0) > 5.0 * 240.0, "a timetable hardly varies: {}", precision(240.0));
    assert!(precision(234.0) > 240.0, "with a few events less it is still steadier: {}", precision(234.0));
    // Where values go with the time, the mean of what an outage leaves of it varies by half a deviation.
    assert!((3.5..5.0).contains(&precision(120.0)), "half of one says little: {}", precision(120.0));
    assert_eq!(precision(0.0), 0.0, "none of one says nothing");
}

#[test]
fn evidence_that_leads_gives_the_direction_and_a_score_beyond_its_threshold() {
    let scan = Reading { z: 2.0, threshold: 5.0, rises: false, evidence: (9.0, 15.0), ..Reading::default() };
    let led = Reading { evidence: (16.0, 15.0), ..scan };
    let (statistic, threshold) = led.strongest();
    assert!(statistic < -threshold && threshold > 5.0, "{statistic} {threshold}");
    assert_eq!(Reading { z: 6.0, ..scan }.strongest(), (6.0, 5.0));
}

#[test]
fn a_warning_is_told_with_the_threshold_that_it_passed() {
    let page = Reading { z: 4.5, threshold: 5.0, evidence: (1.0, 15.0), ..Reading::default() };
    let warning = Reading { warning: (4.0, 10.0), alarm: Some(Loudness::Warn), ..page };
    assert_eq!((page.strongest(), warning.strongest()), ((4.5, 5.0), (4.5, 4.0)));
}
