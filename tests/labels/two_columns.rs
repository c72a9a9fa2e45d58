//! What events let expect by two of their columns at once, read off the windows of the engine: across restarts, whatever
//! the order of partitions.

use anchorwatch::monitor::estimate::learn::class_scores;
use anchorwatch::reference::Expected;
use anchorwatch::view::EstimateView;

use super::*;

/// A model of numbers whose error is 1 on roads and 10 off them, whatever it says.
fn of_numbers() -> Arc<Reference> {
    let knots =
        |step: f64| NumericBinning::new((0..=10).map(|i| f64::from(i) * step).collect()).expect("ascending");
    let names = ["off", "road"].map(str::to_owned).to_vec();
    let columns = vec![
        column(
            "surface",
            Role::Feature,
            ColumnKind::Categorical,
            Binning::Categorical(CategoricalBinning::new(names).expect("distinct")),
        ),
        column("score", Role::Score, ColumnKind::Numeric, Binning::Numeric(knots(10.0))),
        column("label", Role::Label, ColumnKind::Numeric, Binning::Numeric(knots(12.0))),
    ];
    let rows = (0..2_000_u32).map(|i| {
        let (surface, score) = (i / 100 % 2, f64::from(i % 100));
        let off = if surface == 0 { 10.0 } else { 1.0 };
        [Value::Text(["off", "road"][surface as usize]), Value::Number(score), Value::Number(score + off)]
    });
    let rows: Vec<[Value<'static>; 3]> = rows.collect();
    taught(columns, &rows, |_| None)
}

/// A model of two classes with a score each; a cat is as likely as its score says, and an owl as the rest.
fn of_scores() -> Arc<Reference> {
    let classes = || {
        let names = ["cat", "owl"].map(str::to_owned).to_vec();
        Binning::Categorical(CategoricalBinning::new(names).expect("distinct"))
    };
    let knots = || NumericBinning::new((0..=10).map(|i| f64::from(i) / 10.0).collect()).expect("ascending");
    let columns = vec![
        column("p_cat", Role::Feature, ColumnKind::Numeric, Binning::Numeric(knots())),
        column("p_owl", Role::Feature, ColumnKind::Numeric, Binning::Numeric(knots())),
        column("prediction", Role::Prediction, ColumnKind::Categorical, classes()),
        column("label", Role::Label, ColumnKind::Categorical, classes()),
    ];
    let rows = (0..2_000_u32).map(|i| {
        let tenths = i % 9 + 1;
        let (cat, said) = (f64::from(tenths) / 10.0, if tenths >= 5 { "cat" } else { "owl" });
        let label = if i / 9 % 10 < tenths { "cat" } else { "owl" };
        [Value::Number(cat), Value::Number(1.0 - cat), Value::Text(said), Value::Text(label)]
    });
    let rows: Vec<[Value<'static>; 4]> = rows.collect();
    let named = ["cat", "owl"].map(|class| (class.to_owned(), format!("p_{class}")));
    taught(columns, &rows, |columns| {
        Some(Expected::Classes(class_scores(columns, &named).expect("columns of these names")))
    })
}

/// A reference of these columns that has learned from these rows.
fn taught<const N: usize>(
    columns: Vec<Column>,
    rows: &[[Value<'static>; N]],
    expected: impl FnOnce(&[Column]) -> Option<Expected>,
) -> Arc<Reference> {
    let mut reference = Reference { columns, calibration: None, ..(*reference()).clone() };
    let layout = reference.layout();
    let mut profile = vec![0; layout.len()];
    for row in rows {
        profile[0] += 1;
        for (place, value) in row.iter().enumerate() {
            profile[layout.index(place, reference.columns[place].slot(*value))] += 1;
        }
    }
    reference.joint = joint_terms(&reference.columns, &profile, None);
    reference.joint.expected = expected(&reference.columns);
    reference.profile = profile;
    let mut outcomes = Outcomes::new(&reference);
    let place = |role: Role| reference.columns.iter().position(|column| column.role == role);
    let number = |value: Value<'_>| if let Value::Number(x) = value { Some(x) } else { None };
    for row in rows {
        let cells: Vec<usize> =
            row.iter().zip(&reference.columns).map(|(value, column)| column.slot(*value)).collect();
        let of = |role: Role| place(role).map_or(usize::MAX, |place| cells[place]);
        outcomes.add(&LabelledRow {
            cells: &cells,
            score: place(Role::Score).and_then(|place| number(row[place])),
            score_cell: of(Role::Score),
            prediction_cell: of(Role::Prediction),
            label: place(Role::Label).and_then(|place| number(row[place])),
            label_cell: of(Role::Label),
        });
    }
    let series = Series {
        window_ms: HOUR,
        time_zone: chrono_tz::UTC,
        slices: Vec::new(),
        term_variances: vec![1.0; reference.joint.terms()],
        windows: std::iter::empty(),
    };
    let calibration = anchorwatch::monitor::calibrated::assume(&reference, series, "a test has no windows");
    reference.calibration = Some(outcomes.teach(&reference, calibration));
    reference.joint.expected = outcomes.expected();
    assert!(reference.joint.expected.is_some(), "something is learned");
    Arc::new(reference)
}

/// Two hours of such events in two partitions, and one that ends them.
fn events(of: impl Fn(i64) -> String) -> Sent {
    let mut sent = Sent::default();
    for i in 0..2 * PER_HOUR {
        let at = START + i * HOUR / PER_HOUR;
        let partition = usize::from(i % 3 == 0);
        sent.partitions[partition]
            .push((at, format!(r#"{{"model":"m","version":"1.0.0","ts":{at},{}}}"#, of(i))));
    }
    let last = START + 5 * HOUR;
    for partition in 0..2 {
        sent.partitions[partition]
            .push((last, format!(r#"{{"model":"m","version":"1.0.0","ts":{last},{}}}"#, of(0))));
    }
    sent
}

/// What the latest window lets expect, the same however it is run.
fn expected(reference: &Arc<Reference>, sent: &Sent) -> EstimateView {
    let mut settings = settings(USUAL);
    settings.monitor.show_categories = true;
    let started = || engine(&settings, &catalog_of(Arc::clone(reference)));
    let (_, engine) = run_in(started(), sent, &IN_STEP, |engine| engine);
    let seen = engine.estimates().remove(0);
    let (mut stored, mut turn) = (Restored::default(), 0);
    let (_, engine) = run_in(started(), sent, &[(1, 7), (0, 23)], |engine| {
        turn += 1;
        if turn % 3 == 0 {
            restart_with(engine, &settings, &mut stored, Arc::clone(reference))
        } else {
            engine
        }
    });
    assert_eq!(engine.estimates(), std::slice::from_ref(&seen));
    seen
}

#[track_caller]
fn near(seen: Option<f64>, by_hand: f64) {
    assert!(seen.is_some_and(|seen| (seen - by_hand).abs() < 1e-5), "{seen:?}, {by_hand} by hand");
}

#[test]
fn errors_of_numbers_are_expected_by_the_feature_that_decides_them() {
    let sent = events(|i| {
        let surface = if i % 10 == 0 { "road" } else { "off" };
        format!(r#""features":{{"surface":"{surface}"}},"score":{}"#, i % 90)
    });
    let seen = expected(&of_numbers(), &sent);
    assert_eq!((seen.predictions, seen.loss_feature.as_deref()), (90, Some("surface")), "{seen:?}");
    near(seen.mae, 0.9 * 10.0 + 0.1 * 1.0);
    near(seen.rmse, (0.9f64 * 100.0 + 0.1 * 1.0).sqrt());
}

#[test]
fn two_classes_with_a_score_each_are_expected_by_both() {
    let sent = events(|i| {
        let (cat, said) = if i % 3 == 0 { (0.2, "owl") } else { (0.8, "cat") };
        format!(r#""features":{{"p_cat":{cat},"p_owl":{}}},"prediction":"{said}""#, 1.0 - cat)
    });
    let seen = expected(&of_scores(), &sent);
    assert_eq!(seen.predictions, 90, "{seen:?}");
    let around = |seen: Option<f64>, by_hand: f64| {
        assert!(seen.is_some_and(|seen| (seen - by_hand).abs() < 0.02), "{seen:?}, {by_hand}");
    };
    around(seen.accuracy, 0.8);
    // Two in three say cat, of which four in five are; of the others one in five is.
    around(seen.precision, 0.8);
    around(seen.recall, (0.8 * 2.0 / (0.8 * 2.0 + 0.2) + 0.8 / (0.8 + 2.0 * 0.2)) / 2.0);
    around(seen.class_shares.first().map(|one| one.share), (0.8 * 2.0 + 0.2) / 3.0);
    assert!(seen.roc_auc.is_some_and(|area| area > 0.7));
    let settings = settings(USUAL);
    let (_, engine) = run_in(engine(&settings, &catalog_of(of_scores())), &sent, &IN_STEP, |engine| engine);
    assert!(engine.estimates()[0].class_shares.is_empty(), "their names are not to be shown");
}
