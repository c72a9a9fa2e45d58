//! Verdicts under the false-alarm budget in the daemon's core: versions against one another, segments of late labels, how
//! often alarms come, what alerts explain, and sequential detectors; all the same from any number of partitions.
#![expect(clippy::expect_used, reason = "a helper fails its test by saying what is wrong")]

#[path = "../support/stored.rs"]
mod stored;
mod stream;

use std::collections::BTreeMap;

use anchorwatch::alert::{AlertKind, Notification};
use anchorwatch::engine::{Engine, Restored, TroubleKind};
use anchorwatch::monitor::calibrated::{BudgetDays, Counted, ModelWatch, VERSION_WINDOWS};
use anchorwatch::monitor::sequential::{SEQUENTIAL, SEQUENTIAL_LABELS};
use anchorwatch::reference::Slice;
use anchorwatch::registry::{BaselineOptions, read_series};
use anchorwatch::view::{AlarmRateView, AlertState, Level, WindowView};

use stream::*;

#[test]
fn one_two_and_five_partitions_give_the_same_verdicts_and_notifications_bit_for_bit() {
    let settings = settings(SEQUENCES);
    for (wrong, labels) in [(Wrong::AmountOfVersion, Labels::Inline), (Wrong::LabelsOfWest, Labels::Late)] {
        let events = events(&rows(LIVE, LIVE_HOURS, 5, wrong), labels);
        let one = run(&settings, &events, 1, 400, unbroken);
        assert!(one.of(SEQUENTIAL).count() > 200 && !one.told.is_empty());
        for (partitions, length) in [(2, 90), (5, 31), (5, 900)] {
            let other = run(&settings, &events, partitions, length, unbroken);
            assert_eq!(other.told, one.told, "{partitions} partitions, {wrong:?}");
            assert_eq!(other.windows, one.windows, "{partitions} partitions, {wrong:?}");
            assert_eq!(other.rates, one.rates, "{partitions} partitions, {wrong:?}");
        }
    }
}

#[test]
fn a_restart_at_any_moment_changes_nothing() {
    let settings = settings(SEQUENCES);
    let events = events(&rows(LIVE, LIVE_HOURS, 6, Wrong::Amount), Labels::Late);
    let whole = run(&settings, &events, 2, 300, unbroken);
    let (mut stored, mut turn) = (Restored::default(), 0);
    let broken = run(&settings, &events, 2, 300, |engine| {
        turn += 1;
        if turn % 3 == 0 { restart(engine, &settings, &mut stored) } else { engine }
    });
    assert_eq!(broken, whole);
}

#[test]
fn a_version_that_differs_from_the_others_is_named_and_the_contrast_is_that_of_backtests() {
    let rows = rows(LIVE, LIVE_HOURS, 7, Wrong::AmountOfVersion);
    let seen = run(&settings(""), &events(&rows, Labels::Inline), 2, 200, unbroken);
    // The same rows as a backtest reads them.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("events.csv");
    csv(&path, &rows);
    let reference = reference();
    let slices = &reference.calibration.as_ref().expect("times").slices;
    assert!(slices.contains(&Slice::Version("2.0.0".to_owned())), "{slices:?}");
    let options = BaselineOptions::new("backtest", "0.0.0", &path);
    let series = read_series(&reference, slices, &options, HOUR, "judging").expect("readable");
    let watch = ModelWatch::new(&reference, BudgetDays::default()).expect("calibrated");
    let mut state = watch.state();
    let mut expected = BTreeMap::new();
    for window in series.windows(None) {
        let counted = Counted { whole: &window.whole, slices: &window.slices };
        let judged = watch.step(&mut state, window.start, counted);
        let of_version = |slice: &Option<Slice>| *slice == Some(Slice::Version("2.0.0".to_owned()));
        let found = judged.findings.into_iter().filter(|finding| of_version(&finding.slice));
        let found: Vec<_> = found.map(|one| (one.feature, one.statistic, one.threshold)).collect();
        expected.insert(window.start, found);
    }
    let contrasts = seen.of(VERSION_WINDOWS).filter(|window| window.version == "2.0.0");
    let told: BTreeMap<i64, Vec<_>> = contrasts
        .filter(|window| window.start < LIVE + LIVE_HOURS * HOUR)
        .map(|window| {
            let verdicts = window.verdicts.iter();
            let told = verdicts.map(|one| {
                (one.column.to_string(), one.statistic.expect("judged"), one.threshold.expect("judged"))
            });
            (window.start, told.collect())
        })
        .collect();
    assert_eq!(told, expected);
    assert!(expected.values().flatten().any(|(feature, ..)| feature == "amount"), "{expected:?}");
    let drifts: Vec<_> =
        seen.drifts(VERSION_WINDOWS, "amount").map(|window| window.version.as_str()).collect();
    assert!(!drifts.is_empty() && drifts.iter().all(|version| *version == "2.0.0"), "{drifts:?}");
    let alert = seen.told.iter().find(|one| one.version == "2.0.0").expect("it is told");
    assert!(alert.findings.iter().any(|finding| finding.column == "amount"), "{alert:?}");
    let live = seen.windows.values().filter(|window| window.start < LIVE + LIVE_HOURS * HOUR);
    let volume = live.flat_map(|window| &window.verdicts).filter(|one| one.column == "volume");
    assert_eq!(volume.filter(|one| one.level == Level::Drift).count(), 0, "the traffic of all is as ever");
}

#[test]
fn a_segment_in_which_the_model_became_worse_is_found_though_its_labels_come_late() {
    let events = events(&rows(LIVE, LIVE_HOURS, 8, Wrong::LabelsOfWest), Labels::Late);
    let seen = run(&settings(""), &events, 2, 300, unbroken);
    let drifts: Vec<_> =
        seen.drifts("performance", "performance").filter(|window| window.segment.is_some()).collect();
    assert!(!drifts.is_empty());
    for window in drifts {
        assert_eq!(window.segment.as_deref(), Some("west"));
        assert!(window.start >= LIVE + ONSET * HOUR && window.rows > 0, "{window:?}");
    }
    let told = |one: &Notification| one.findings.iter().any(|one| one.segment.as_deref() == Some("west"));
    assert!(seen.told.iter().any(told));
}

#[test]
fn alarms_are_counted_beside_what_the_budget_allows() {
    let settings = settings("");
    let calm =
        run(&settings, &events(&rows(LIVE, LIVE_HOURS, 9, Wrong::Nothing), Labels::Inline), 2, 200, unbroken);
    let moved =
        run(&settings, &events(&rows(LIVE, LIVE_HOURS, 9, Wrong::Amount), Labels::Inline), 2, 200, unbroken);
    let of = |seen: &Seen, severity: &str| {
        let is = |one: &&AlarmRateView| {
            (one.version.as_str(), one.horizon, one.severity) == ("1.0.0", "calibrated", severity)
        };
        seen.rates.iter().find(is).expect("a rate").clone()
    };
    let (warning, critical) = (of(&calm, "warning"), of(&calm, "critical"));
    // 30 days of hours are 720 windows; 180 days are more than the least budget of 2,000. Two versions share it.
    let half = |rate: &AlarmRateView, of: f64| (rate.allowed_per_30d - of / 2.0).abs() < 1e-9;
    assert!(half(&warning, 1.0) && half(&critical, 1.0 / 6.0), "{warning:?} {critical:?}");
    assert!(critical.windows >= LIVE_HOURS.unsigned_abs() && critical.episodes == 0, "{critical:?}");
    assert_eq!(critical.observed_per_30d, Some(0.0));
    let critical = of(&moved, "critical");
    assert!(critical.episodes >= 1 && critical.windows_with_alarm >= 20, "{critical:?}");
    let per_30d = critical.episodes as f64 * 720.0 / critical.windows as f64;
    assert!(critical.observed_per_30d.is_some_and(|rate| (rate - per_30d).abs() < 1e-9));
}

#[test]
fn versions_of_a_model_share_its_budget_and_one_that_starts_ends_no_alert_of_another() {
    let settings = settings("");
    let starts = LIVE + (ONSET + 12) * HOUR;
    let all = rows(LIVE, LIVE_HOURS, 21, Wrong::Amount);
    let (alone, together): (Vec<Row>, Vec<Row>) = {
        let first = |row: &Row| row.version == "1.0.0";
        let rows = || rows(LIVE, LIVE_HOURS, 21, Wrong::Amount).into_iter();
        (
            rows().filter(first).collect(),
            all.into_iter().filter(|row| first(row) || row.ts >= starts).collect(),
        )
    };
    let mut rates = BTreeMap::new();
    let alone = run(&settings, &events(&alone, Labels::Inline), 2, 200, unbroken);
    let together = run(&settings, &events(&together, Labels::Inline), 2, 50, |engine| {
        for rate in engine.alarm_rates().into_iter().filter(|rate| rate.severity == "warning") {
            let of_time: &mut BTreeMap<String, f64> = rates.entry(engine.watermark()).or_default();
            of_time.insert(rate.version, rate.allowed_per_30d);
        }
        engine
    });
    // What is allowed of the versions adds up to what is stated of the model.
    let both: Vec<_> = rates.values().filter(|of_time| of_time.len() == 2).collect();
    assert!(both.iter().any(|of_time| of_time.values().all(|rate| (rate - 0.5).abs() < 1e-9)), "{rates:?}");
    for of_time in rates.values() {
        assert!((of_time.values().sum::<f64>() - 1.0).abs() < 1e-9, "{rates:?}");
    }
    // The alert of the first version is the same to the window; what is quiet is held to the part of the budget.
    let of = |seen: &Seen, column: &str| -> Vec<(i64, Level, Option<f64>)> {
        let first =
            seen.of("calibrated").filter(|window| window.version == "1.0.0" && window.segment.is_none());
        let verdicts = first.flat_map(|window| window.verdicts.iter().map(move |one| (window.start, one)));
        let of_column = verdicts.filter(|(_, one)| one.column == column);
        of_column.map(|(start, one)| (start, one.level, one.threshold)).collect()
    };
    let drifts = of(&alone, "amount").iter().filter(|(_, level, _)| *level == Level::Drift).count();
    assert!(drifts > 20, "{drifts}");
    assert_eq!(of(&alone, "amount"), of(&together, "amount"));
    for ((start, _, before), (_, _, after)) in of(&alone, "latency").into_iter().zip(of(&together, "latency"))
    {
        let rise = after.zip(before).map_or(0.0, |(after, before)| after - before);
        let live = (LIVE..LIVE + LIVE_HOURS * HOUR).contains(&start);
        assert!(!live || (rise > 0.05) == (start >= starts), "{start}: {before:?} {after:?}");
    }
    let told = |seen: &Seen| -> Vec<(i64, String)> {
        let of_first = seen.told.iter().filter(|one| one.version == "1.0.0" && one.kind == AlertKind::Drift);
        of_first.map(|one| (one.at, format!("{:?}", one.transition))).collect()
    };
    assert_eq!(told(&alone), told(&together));
    // The command that shows the verdict again has the number of versions.
    let findings = together.told.iter().filter(|one| one.version == "2.0.0").flat_map(|one| &one.findings);
    let mut commands = findings.filter_map(|one| one.explained.as_ref()?.command.as_deref());
    assert!(commands.any(|command| command.contains(" --versions 2 ")), "{:?}", together.told);
}

#[test]
fn a_unit_that_changes_is_one_alert_which_names_the_fault_first_and_lists_the_drift() {
    let settings = settings("");
    let events = events(&rows(LIVE, LIVE_HOURS, 22, Wrong::AmountInCents), Labels::Inline);
    let (mut stored, mut turn) = (Restored::default(), 0);
    let seen = run(&settings, &events, 2, 200, |engine| {
        turn += 1;
        if turn % 5 == 0 { restart(engine, &settings, &mut stored) } else { engine }
    });
    for version in ["1.0.0", "2.0.0"] {
        let of_amount = |one: &&Notification| {
            let repeats = one.transition == anchorwatch::alert::Transition::Repeated;
            let concerns = one.findings.iter().any(|finding| finding.column == "amount");
            one.version == version && concerns && !repeats
        };
        let told: Vec<&Notification> = seen.told.iter().filter(of_amount).collect();
        let [only] = told[..] else { panic!("one notification of {version}: {told:?}") };
        assert_eq!((only.kind, only.findings.len()), (AlertKind::DataFault, 1), "{only:?}");
        let explained = only.findings[0].explained.as_ref().expect("explained");
        assert_eq!(explained.kind, "range");
        assert!(explained.follows.iter().any(|one| one.column == "amount"), "{explained:?}");
        assert!(
            only.summary.contains("; with it ") && only.summary.contains(" of amount"),
            "{}",
            only.summary
        );
        // The drift is shown with what it follows from.
        let windows = seen.drifts("calibrated", "amount").filter(|window| window.version == version);
        let drifts = windows.flat_map(|window| &window.verdicts).filter(|one| {
            one.column == "amount" && one.level == Level::Drift && one.kind == AlertKind::Drift
        });
        let behind: Vec<Option<&str>> = drifts.map(|one| one.inhibited_by.as_deref()).collect();
        assert!(behind.len() > 12 && behind.iter().all(|one| *one == Some("range of amount")), "{behind:?}");
    }
}

/// One upstream fault that moves many columns: one notification names it in all of them, and nothing else is told.
#[test]
fn nulls_in_many_columns_are_one_alert_and_no_drift_besides() {
    let events = events(&rows(LIVE, LIVE_HOURS, 23, Wrong::Nulls), Labels::Inline);
    let seen = run(&settings(""), &events, 2, 200, unbroken);
    for version in ["1.0.0", "2.0.0"] {
        // The stream ends, which is a change of volume.
        let fresh = |one: &&Notification| {
            one.version == version
                && one.kind != AlertKind::Volume
                && one.transition == anchorwatch::alert::Transition::Firing
        };
        let told: Vec<&Notification> = seen.told.iter().filter(fresh).collect();
        let [only] = told[..] else { panic!("one notification of {version}: {told:?}") };
        assert_eq!(only.kind, AlertKind::DataFault);
        let mut named: Vec<(&str, &str)> = Vec::new();
        for finding in &only.findings {
            let explained = finding.explained.as_ref().expect("explained");
            named.push((&finding.column, &explained.kind));
        }
        named.sort_unstable();
        assert_eq!(named, [("amount", "missing"), ("colour", "missing"), ("score", "missing")]);
        assert!(only.summary.contains("data fault: missing of 3 columns"), "{}", only.summary);
    }
}

#[test]
fn an_alert_explains_itself() {
    let events = events(&rows(LIVE, LIVE_HOURS, 10, Wrong::Amount), Labels::Inline);
    let seen = run(&settings(""), &events, 2, 200, unbroken);
    let told = seen.told.iter().flat_map(|one| &one.findings);
    let finding = told.clone().find(|one| one.column == "amount").expect("amount is told");
    let explained = finding.explained.as_ref().expect("explained");
    assert_eq!(explained.kind, "location");
    let onset = LIVE + ONSET * HOUR;
    assert!((onset - HOUR..=onset + HOUR).contains(&explained.change_since.expect("dated")), "{explained:?}");
    let median = explained.quantiles.iter().find(|one| one.quantile == 0.5);
    assert!(median.is_none_or(|one| one.to - one.from > 5.0), "{explained:?}");
    assert!(finding.moved.len() > 1, "bins that moved: {:?}", finding.moved);
    let share: f64 = explained.shares.iter().map(|one| one.share).sum();
    assert!(explained.shares[0].column == "amount" && share <= 1.0 + 1e-9, "{explained:?}");
    let command = explained.command.as_deref().expect("a command");
    let start = "anchorwatch explain amount@";
    let rest = "--config anchorwatch.yaml --reference 0123456789ab --versions 2 --events 'kafka:///predictions?from=";
    assert!(
        command.starts_with(start) && command.contains(rest) && command.contains("&model=m&version="),
        "{command}"
    );
    let json = serde_json::to_string(finding).expect("a finding is JSON");
    assert_eq!(serde_json::from_str::<anchorwatch::alert::Finding>(&json).ok().as_ref(), Some(finding));
}

#[test]
fn sequential_detectors_alarm_by_name_and_their_alerts_live_as_all_others() {
    let settings = settings(SEQUENCES);
    let events = events(&rows(LIVE, LIVE_HOURS, 11, Wrong::Amount), Labels::Inline);
    let seen = run(&settings, &events, 2, 200, unbroken);
    let onset = LIVE + ONSET * HOUR;
    let drifts = |detector: &'static str| {
        let of = move |window: &&WindowView| {
            let is =
                |one: &anchorwatch::view::VerdictView| one.detector == detector && one.level == Level::Drift;
            window.verdicts.iter().any(is)
        };
        seen.of(SEQUENTIAL).filter(of).map(|window| window.end).collect::<Vec<_>>()
    };
    for detector in ["adwin", "e_detector"] {
        let found = drifts(detector);
        assert!(found.iter().all(|end| *end > onset), "{detector}: {found:?}");
        assert!(found.first().is_some_and(|end| *end <= onset + 6 * HOUR), "{detector}: {found:?}");
    }
    for detector in ["cusum", "page_hinkley", "ddm", "kswin(alpha=0.000001)"] {
        assert_eq!(drifts(detector), [0_i64; 0], "{detector} watches what does not change");
    }
    let adwin = |one: &&Notification| one.findings.iter().any(|one| one.detector == "adwin");
    assert!(seen.told.iter().any(|one| adwin(&one) || one.findings.iter().any(|f| f.column == "amount")));
}

#[test]
fn errors_are_watched_whether_labels_come_with_the_prediction_or_later() {
    // DDM takes a lucky beginning for normal, so it is given a long one.
    let settings =
        settings("monitor: { sequential: [{ detector: ddm, on: error, parameters: { warm_start: 500 } }] }");
    let onset = LIVE + ONSET * HOUR;
    for (labels, horizon) in [(Labels::Inline, SEQUENTIAL), (Labels::Late, SEQUENTIAL_LABELS)] {
        let events = events(&rows(LIVE, LIVE_HOURS, 12, Wrong::Labels), labels);
        let seen = run(&settings, &events, 2, 200, unbroken);
        let found: Vec<i64> = seen.drifts(horizon, "error").map(|window| window.end).collect();
        assert!(
            found.first().is_some_and(|end| (onset..onset + 8 * HOUR).contains(end)),
            "{horizon}: {found:?}"
        );
    }
}

#[test]
fn an_alert_of_a_sequential_detector_ends_an_hour_after_its_last_alarm() {
    let settings = settings(
        "monitor: { verdicts: classical, window: 1h, floors: { ks: 1, wasserstein: 9, psi: 9, jensen_shannon: 1 }, sequential: [{ detector: adwin, on: amount }] }",
    );
    let events = events(&rows(LIVE, LIVE_HOURS, 13, Wrong::Amount), Labels::Inline);
    let mut states = Vec::new();
    let seen = run(&settings, &events, 1, 60, |engine| {
        let of = |engine: &Engine| engine.alert_views().into_iter().find(|one| one.horizon == SEQUENTIAL);
        states.extend(of(&engine).map(|one| (one.state, one.column)));
        engine
    });
    assert!(seen.drifts(SEQUENTIAL, "amount").count() >= 1);
    assert!(states.contains(&(AlertState::Firing, "amount".to_owned())), "{states:?}");
    assert_eq!(states.last().map(|(state, _)| *state), Some(AlertState::Resolved));
    let alarms = seen.drifts(SEQUENTIAL, "amount").flat_map(|window| &window.verdicts);
    let moved: Vec<_> = alarms.filter(|one| one.level == Level::Drift).map(|one| &one.moved).collect();
    assert!(moved.iter().all(|moved| !moved.is_empty()), "an alarm says what moved: {moved:?}");
}

#[test]
fn an_error_budget_that_burns_in_both_windows_alerts_and_ends_when_it_stops() {
    let settings = settings(
        "monitor: { verdicts: classical, floors: { ks: 1, wasserstein: 9 }, latency: { factor: 9, objective_ms: 30, target: 0.99 } }",
    );
    let mut rows = rows(LIVE, LIVE_HOURS, 14, Wrong::Nothing);
    // For two hours a third of the predictions is too slow: 33 times what a month allows.
    let slow = (LIVE + 20 * HOUR)..(LIVE + 22 * HOUR);
    let late = rows.iter_mut().enumerate().filter(|(index, row)| index % 3 == 0 && slow.contains(&row.ts));
    late.for_each(|(_, row)| row.latency = 45.0);
    let mut stored = Restored::default();
    let mut turn = 0;
    let seen = run(&settings, &events(&rows, Labels::Inline), 2, 100, |engine| {
        turn += 1;
        if turn % 7 == 0 { restart(engine, &settings, &mut stored) } else { engine }
    });
    let burning: Vec<(&str, i64)> = seen
        .drifts("burn_rate", "latency")
        .filter(|window| window.version == "1.0.0")
        .flat_map(|window| {
            window
                .verdicts
                .iter()
                .filter(|one| one.level == Level::Drift)
                .map(|one| (&*one.detector, window.end))
        })
        .collect();
    assert!(burning.iter().all(|(_, end)| *end > slow.start && *end <= slow.end + 6 * HOUR), "{burning:?}");
    assert!(burning.iter().any(|(detector, _)| *detector == "burn_rate_6h"), "{burning:?}");
    let of = |transition| {
        seen.told.iter().filter(move |one| one.transition == transition && one.version == "1.0.0")
    };
    assert_eq!(of(anchorwatch::alert::Transition::Firing).count(), 1, "{:?}", seen.told);
    assert_eq!(of(anchorwatch::alert::Transition::Resolved).count(), 1);
}

#[test]
fn a_reference_for_windows_of_another_length_leaves_the_alerts_to_the_fixed_thresholds_and_says_so() {
    let mut settings = settings("monitor: { window: 2h }");
    settings.windows.min_rows = 20;
    let events = events(&rows(LIVE, LIVE_HOURS, 10, Wrong::AmountFar), Labels::Inline);
    let mut troubles = Vec::new();
    let seen = run(&settings, &events, 2, 300, |engine| {
        troubles.extend(engine.troubles().into_keys());
        engine
    });
    assert_eq!(seen.of("calibrated").count(), 0);
    let told = |one: &Notification| one.findings.iter().any(|finding| finding.column == "amount");
    assert!(seen.told.iter().any(told), "{:?}", seen.told);
    for version in ["1.0.0", "2.0.0"] {
        assert!(troubles.contains(&(TroubleKind::OtherWindow, format!("m {version}"))), "{troubles:?}");
    }
    // One that fits is no trouble.
    let fits = run(&self::settings(""), &events, 2, 300, |engine| {
        assert_eq!(engine.troubles().len(), 0);
        engine
    });
    assert!(fits.of("calibrated").count() > 0);
}

#[test]
fn a_version_that_falls_silent_alerts_whatever_its_reference_is_calibrated_for() {
    let settings = settings_of(", { length: 24h, every: 6h }", "monitor: { silence_after: 2h }");
    let events = events(&rows(LIVE, LIVE_HOURS, 11, Wrong::SilentVersion), Labels::Inline);
    let seen = run(&settings, &events, 2, 300, unbroken);
    let silent = |one: &&Notification| {
        one.kind == AlertKind::Volume && one.findings.iter().any(|one| one.detector == "silence_seconds")
    };
    let told: Vec<_> = seen.told.iter().filter(silent).map(|one| (one.version.as_str(), one.at)).collect();
    assert!(told.iter().any(|(version, _)| *version == "2.0.0"), "{:?}", seen.told);
    let onset = LIVE + ONSET * HOUR;
    assert!(told.iter().all(|(version, at)| *version == "2.0.0" && *at >= onset + 2 * HOUR), "{told:?}");
    let classical = |one: &Notification| one.kind == AlertKind::Drift && one.version == "1.0.0";
    assert!(!seen.told.iter().any(classical), "the other verdicts of these windows stay out");
}
