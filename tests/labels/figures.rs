//! The figures of a window of labels are those of its raw predictions and labels, of classes as of numbers, also after a
//! restart in the middle of it.

use anchorwatch::view::{Interval, PerformanceView};
use anchorwatch_detectors::performance::{ClassificationMetrics, RegressionMetrics};

use super::*;

pub(super) const COMPLETE: &str = "{ wait: 40h, complete: 1 }";

/// Labels and scores of the predictions of a window.
pub(super) fn raw(sent: &Sent, window: &PerformanceView) -> (Vec<f64>, Vec<f64>) {
    let parsed = |json: &String| serde_json::from_str::<serde_json::Value>(json).expect("JSON");
    let id = |event: &serde_json::Value| event["id"].as_str().map(str::to_owned);
    let labels = sent.partitions[1].iter().map(|(_, json)| parsed(json));
    let labels: HashMap<_, _> = labels.map(|event| (id(&event), event["label"].as_f64())).collect();
    let of_window = sent.partitions[0].iter().filter(|(at, _)| (window.start..window.end).contains(at));
    let outcomes = of_window.map(|(_, json)| parsed(json)).filter_map(|event| {
        let label = *labels.get(&Some(id(&event)?))?;
        label.zip(event["score"].as_f64())
    });
    outcomes.unzip()
}

fn near(seen: Option<f64>, expected: Option<f64>) -> bool {
    seen.zip(expected).is_some_and(|(seen, expected)| (seen - expected).abs() < 1e-11)
}

fn ends(interval: Option<Interval>) -> [Option<f64>; 2] {
    [interval.map(|ends| ends.lower), interval.map(|ends| ends.upper)]
}

#[test]
fn figures_of_classes_are_those_of_the_raw_predictions() {
    let sent = send(12, Plan { hours: 60, changes_at: 60, lost: 0 });
    let settings = settings(COMPLETE);
    let (mut stored, mut turn) = (Restored::default(), 0);
    let (seen, _) = run(&sent, &settings, &IN_STEP, |engine| {
        turn += 1;
        if turn % 5 == 0 { restart(engine, &settings, &mut stored) } else { engine }
    });
    let window = seen.labels[0].latest.as_ref().expect("a final window");
    let (labels, scores) = raw(&sent, window);
    assert_eq!(labels.len() as i64, PER_HOUR);
    let truth: Vec<bool> = labels.iter().map(|label| *label == 1.0).collect();
    let raw = ClassificationMetrics::of_samples(&truth, &scores, 0.5);
    let (area, precision) = (raw.roc_auc.expect("both classes"), raw.average_precision.expect("positives"));
    let away = 1.959_963_984_540_054 * raw.roc_auc_standard_error.expect("both classes");
    let [lower, upper] = ends(window.roc_auc_interval);
    let [accuracy_lower, accuracy_upper] = ends(window.accuracy_interval);
    let accuracy = raw.confusion.accuracy_interval(0.95);
    for (name, seen, expected) in [
        ("accuracy", window.accuracy, raw.confusion.accuracy()),
        ("its lower end", accuracy_lower, accuracy.map(|ends| ends.low)),
        ("its upper end", accuracy_upper, accuracy.map(|ends| ends.high)),
        ("specificity", window.specificity, raw.confusion.specificity()),
        ("mcc", window.mcc, raw.confusion.matthews()),
        ("roc_auc", window.roc_auc, Some(area.value)),
        ("its lower end", lower, Some(area.value - away)),
        ("its upper end", upper, Some(area.value + away)),
        ("average precision", window.average_precision, Some(precision.value)),
        ("log loss", window.log_loss, raw.log_loss),
        ("calibration error", window.calibration_error, raw.expected_calibration_error),
    ] {
        assert!(near(seen, expected), "{name}: {seen:?} {expected:?}");
    }
    let brier = window.mean_squared_residual.zip(raw.brier);
    assert!(
        brier.is_some_and(|(seen, raw)| (seen - raw).abs() < 1e-4),
        "{brier:?} of residuals in fixed point"
    );
    // Every score is a cut point of the baseline, so nothing is unsure.
    for (certified, area) in
        [(window.roc_auc_certified, area), (window.average_precision_certified, precision)]
    {
        assert!(ends(certified).iter().all(|end| near(*end, Some(area.value))), "{certified:?} {area:?}");
    }
    assert_eq!((window.mae, window.r2), (None, None), "no number was foretold");
}

/// A model of a number, without a calibration.
fn of_numbers() -> Arc<Reference> {
    let numeric = |knots: Vec<f64>| Binning::Numeric(NumericBinning::new(knots).expect("ascending"));
    let columns = vec![
        column("x", Role::Feature, ColumnKind::Numeric, numeric((0..10).map(f64::from).collect())),
        column(
            "score",
            Role::Score,
            ColumnKind::Numeric,
            numeric((0..10).map(|x| f64::from(2 * x)).collect()),
        ),
        column("label", Role::Label, ColumnKind::Numeric, numeric((0..21).map(f64::from).collect())),
    ];
    let mut reference = Reference { columns, calibration: None, ..(*reference()).clone() };
    let layout = reference.layout();
    let mut profile = vec![0; layout.len()];
    for x in 0..10_u32 {
        for noise in 0..3_u32 {
            let values = [x, 2 * x, 2 * x + noise].map(|value| Value::Number(f64::from(value)));
            profile[0] += 1;
            for (place, value) in values.into_iter().enumerate() {
                profile[layout.index(place, reference.columns[place].slot(value))] += 1;
            }
        }
    }
    reference.joint = joint_terms(&reference.columns, &profile, None);
    reference.profile = profile;
    Arc::new(reference)
}

/// Predictions of a number with their labels, one of which is far beyond the baseline.
pub(super) fn numbers() -> Sent {
    let (mut random, mut sent) = (random(13), Sent::default());
    for i in 0..30 * PER_HOUR {
        let at = START + i * HOUR / PER_HOUR;
        let x = random(10);
        let event = format!(
            r#"{{"model":"m","version":"1.0.0","id":"p{i}","ts":{at},"features":{{"x":{x}}},"score":{}}}"#,
            2 * x
        );
        sent.partitions[0].push((at, event));
        let wild = if i % PER_HOUR == 7 { 1_000 } else { 0 };
        let label = (2 * x + wild) as f64 + random(200) as f64 / 100.0 - 0.3;
        let told_at = at + HOUR;
        sent.partitions[1]
            .push((told_at, format!(r#"{{"model":"m","id":"p{i}","label":{label},"ts":{told_at}}}"#)));
    }
    let last = START + 90 * HOUR;
    sent.partitions[0]
        .push((last, format!(r#"{{"model":"m","version":"1.0.0","ts":{last},"features":{{"x":1}}}}"#)));
    sent.partitions[1].push((last, format!(r#"{{"model":"m","label":1,"ts":{last}}}"#)));
    sent
}

#[test]
fn figures_of_numbers_are_those_of_the_raw_predictions() {
    let (sent, settings, reference) = (numbers(), settings(COMPLETE), of_numbers());
    let (mut stored, mut turn) = (Restored::default(), 0);
    let start = engine(&settings, &catalog_of(Arc::clone(&reference)));
    let (seen, _) = run_in(start, &sent, &[(0, 40), (1, 40)], |mut engine| {
        turn += 1;
        if turn % 3 > 0 {
            return engine;
        }
        apply(&mut stored, engine.checkpoint());
        let mut restarted = Engine::new(&settings);
        restarted.restore(stored.clone(), |_| Some(Arc::clone(&reference))).expect("its own documents");
        restarted.set_catalog(&catalog_of(Arc::clone(&reference)));
        (0..2).for_each(|partition| restarted.assign("t", partition, None));
        restarted
    });
    let window = seen.labels[0].latest.as_ref().expect("a final window");
    assert_eq!((window.end, window.labelled), (START + 30 * HOUR, PER_HOUR.unsigned_abs()));
    let (labels, scores) = raw(&sent, window);
    let raw = RegressionMetrics::of_samples(&labels, &scores, 0.5).expect("labels");
    for (name, seen, expected) in [
        ("mae", window.mae, raw.mae),
        ("rmse", window.rmse, raw.rmse),
        ("mape", window.mape, raw.mape),
        ("bias", window.bias, raw.bias),
        ("r2", window.r2, raw.r2.expect("labels differ")),
        (
            "lower",
            ends(window.mae_interval)[0],
            (raw.mae - 1.959_963_984_540_054 * raw.mae_standard_error).max(0.0),
        ),
        ("upper", ends(window.mae_interval)[1], raw.mae + 1.959_963_984_540_054 * raw.mae_standard_error),
    ] {
        assert!(
            seen.is_some_and(|seen| (seen / expected - 1.0).abs() < 1e-9 || seen == expected),
            "{name}: {seen:?} {expected}"
        );
    }
    assert!(
        raw.rmse > 100.0 && window.mean_squared_residual.is_some_and(|squared| squared < 100.0),
        "{window:?}"
    );
    assert_eq!((window.accuracy, window.roc_auc, window.log_loss), (None, None, None));
    assert_eq!((window.quantile_loss, window.quantile_coverage), (None, None), "no quantile is foretold");
}
