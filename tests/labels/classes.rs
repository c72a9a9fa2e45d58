//! Labels that name one of several classes: joined by name, whatever the baseline knows of them.

use anchorwatch::view::ClassView;
use anchorwatch_detectors::performance::ClassConfusion;

use super::*;

const NAMES: [&str; 3] = ["cat", "dog", "owl"];
/// The last one is not in the baseline.
const SEEN: [&str; 4] = ["cat", "dog", "owl", "yak"];

/// A model that says which of three classes it is, without a score.
fn of_classes() -> Arc<Reference> {
    let classes = || {
        let names = NAMES.map(str::to_owned).to_vec();
        Binning::Categorical(CategoricalBinning::new(names).expect("distinct"))
    };
    let columns = vec![
        column("prediction", Role::Prediction, ColumnKind::Categorical, classes()),
        column("label", Role::Label, ColumnKind::Categorical, classes()),
    ];
    let mut reference = Reference { columns, calibration: None, ..(*reference()).clone() };
    let layout = reference.layout();
    let mut profile = vec![0; layout.len()];
    for class in 0..3 {
        profile[0] += 50;
        (0..2).for_each(|place| profile[layout.index(place, class)] += 50);
    }
    reference.joint = joint_terms(&reference.columns, &profile, None);
    reference.profile = profile;
    assert!(reference.joint.residual.is_none());
    Arc::new(reference)
}

/// Decision and truth of each prediction, every prediction of 30 hours being labelled two hours later, or by itself.
fn named(inline: bool) -> (Sent, Vec<(i64, usize, usize)>) {
    let (mut random, mut sent, mut outcomes) = (random(31), Sent::default(), Vec::new());
    for i in 0..30 * PER_HOUR {
        let (at, told_at) = (START + i * HOUR / PER_HOUR, START + i * HOUR / PER_HOUR + 2 * HOUR);
        let truth = usize::try_from(random(4)).expect("small");
        let said = if random(10) < 7 { truth } else { usize::try_from(random(4)).expect("small") };
        let label = if inline { format!(r#","label":"{}""#, SEEN[truth]) } else { String::new() };
        sent.partitions[0].push((
            at,
            format!(
                r#"{{"model":"m","version":"1.0.0","id":"p{i}","ts":{at},"prediction":"{}"{label}}}"#,
                SEEN[said]
            ),
        ));
        let feedback = format!(r#"{{"model":"m","id":"p{i}","label":"{}","ts":{told_at}}}"#, SEEN[truth]);
        if !inline {
            sent.partitions[1].push((told_at, feedback));
        }
        outcomes.push((at, said, truth));
    }
    let last = START + 90 * HOUR;
    for partition in 0..2 {
        let record = format!(r#"{{"model":"m","version":"1.0.0","ts":{last},"prediction":"cat"}}"#);
        sent.partitions[partition].push((last, record));
    }
    (sent, outcomes)
}

fn shown() -> Config {
    let mut settings = settings("{ wait: 40h, complete: 1 }");
    settings.monitor.show_categories = true;
    settings
}

fn with_rule() -> Config {
    let text = r#"
kafka: { bootstrap: "127.0.0.1:9", topics: [t] }
windows: { pane: 15m, horizons: [{ length: 1h, every: 1h }], lateness: 15m, correction: 30m, min_rows: 20 }
events: { labels: { wait: 40h, complete: 1 } }
monitor: { sequential: [{ detector: ddm, on: error }] }
"#;
    config::parse(text, "test").expect("valid settings")
}

#[test]
fn figures_of_several_classes_are_those_of_the_raw_predictions() {
    let (sent, outcomes) = named(false);
    let (settings, reference) = (shown(), of_classes());
    let (mut stored, mut turn) = (Restored::default(), 0);
    let start = engine(&settings, &catalog_of(Arc::clone(&reference)));
    let (seen, _) = run_in(start, &sent, &IN_STEP, |engine| {
        turn += 1;
        let again = turn % 5 == 0;
        if again { restart_with(engine, &settings, &mut stored, Arc::clone(&reference)) } else { engine }
    });
    let joined = &seen.joins[0];
    assert_eq!((joined.joined, joined.unmatched), (30 * PER_HOUR.unsigned_abs(), 0), "{joined:?}");
    let window = seen.labels[0].latest.as_ref().expect("a final window");
    assert_eq!((window.end, window.labelled), (START + 30 * HOUR, PER_HOUR.unsigned_abs()));
    let of_window = || outcomes.iter().filter(|(at, ..)| (window.start..window.end).contains(at));
    let mut raw = ClassConfusion::default();
    of_window().for_each(|(_, said, truth)| {
        raw.add(u16::try_from(*said).expect("small"), u16::try_from(*truth).expect("small"));
    });
    let right = of_window().filter(|(_, said, truth)| said == truth).count();
    assert_eq!(window.accuracy, Some(right as f64 / PER_HOUR as f64));
    assert!(window.accuracy.is_some_and(|accuracy| accuracy > 0.65 && accuracy < 0.9), "{window:?}");
    assert_eq!((window.recall, window.precision), (raw.recall(), raw.precision()));
    assert_eq!((window.f1, window.mcc), (raw.f1(), raw.matthews()));
    assert!(window.accuracy_interval.is_some() && window.specificity.is_none() && window.roc_auc.is_none());
    assert!(window.delay_p50.is_some_and(|delay| (delay / 7_200.0 - 1.0).abs() < 0.05), "{window:?}");
    // Only classes of the baseline are named.
    let names: Vec<&str> = window.classes.iter().map(|one| one.class.as_str()).collect();
    assert_eq!(names, NAMES);
    let dogs = of_window().filter(|(_, _, truth)| *truth == 1);
    let ClassView { came, recall, .. } = window.classes[1];
    assert_eq!(came, dogs.clone().count() as u64);
    assert_eq!(recall, Some(dogs.clone().filter(|(_, said, _)| *said == 1).count() as f64 / came as f64));
    assert!(performance(&seen).is_empty(), "nothing of them is judged under the budget");
}

#[test]
fn classes_that_come_with_the_prediction_have_the_same_figures() {
    let settings = shown();
    let figures = |inline: bool| {
        let start = engine(&settings, &catalog_of(of_classes()));
        let (seen, _) = run_in(start, &named(inline).0, &IN_STEP, |engine| engine);
        let latest = seen.labels[0].latest.clone().expect("a final window");
        (latest.end, latest.accuracy, latest.f1, latest.classes)
    };
    assert_eq!(figures(true), figures(false));
}

#[test]
fn a_rule_on_errors_is_fed_with_late_labels_of_several_classes() {
    let settings = with_rule();
    let (mut sent, _) = named(false);
    // From the fifteenth hour on every label is of another class than what was said.
    for (at, json) in &mut sent.partitions[1] {
        if *at >= START + 17 * HOUR && *at < START + 80 * HOUR {
            for name in SEEN {
                *json = json.replace(&format!("\"label\":\"{name}\""), "\"label\":\"gnu\"");
            }
        }
    }
    let start = engine(&settings, &catalog_of(of_classes()));
    let (seen, _) = run_in(start, &sent, &IN_STEP, |engine| engine);
    let latest = seen.labels[0].latest.as_ref().expect("a final window");
    assert_eq!((latest.accuracy, latest.classes.is_empty()), (Some(0.0), true));
    assert!(seen.told.iter().any(|told| told.contains("ddm")), "{:?}", seen.told);
}

#[test]
fn a_label_that_another_kind_of_reference_reads_joins_nothing() {
    let (sent, outcomes) = named(false);
    let settings = settings("{ wait: 40h, complete: 1 }");
    // From the fifteenth hour on the version has a reference that compares a score with one of the names.
    let mut other = catalog_of(Arc::new(build([Value::Text("dog"), Value::Text("cat")])));
    "ref-2".clone_into(&mut other[0].watched.reference_id);
    let (mut turn, start) = (0, engine(&settings, &catalog_of(of_classes())));
    let (seen, _) = run_in(start, &sent, &IN_STEP, |mut engine| {
        turn += 1;
        if turn == 20 {
            engine.set_catalog(&other);
        }
        engine
    });
    let joined = &seen.joins[0];
    assert!(joined.joined > 500 && joined.unmatched > 500, "{joined:?}");
    assert_eq!(joined.joined + joined.unmatched, outcomes.len() as u64, "{joined:?}");
    assert!(performance(&seen).is_empty(), "nothing is made of them");
    let accuracies = seen.labels.iter().filter_map(|view| view.latest.as_ref()?.accuracy);
    assert!(accuracies.into_iter().all(|accuracy| accuracy > 0.6), "{:?}", seen.labels);
}
