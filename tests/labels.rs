//! Labels that come hours after their prediction, out of order and in a partition of their own: performance is judged by
//! the time of the prediction, the same in any order and across any restart.
#![expect(clippy::expect_used, reason = "a helper fails its test by saying what is wrong")]

#[path = "labels/classes.rs"]
mod classes;
#[path = "labels/figures.rs"]
mod figures;
#[path = "labels/leaving.rs"]
mod leaving;
#[path = "labels/provisional.rs"]
mod provisional;
#[path = "labels/quantiles.rs"]
mod quantiles;
#[path = "labels/two_columns.rs"]
mod two_columns;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use anchorwatch::action::VersionFacts;
use anchorwatch::config::{self, Config};
use anchorwatch::engine::{CatalogEntry, Checkpoint, Engine, Restored};
use anchorwatch::event::Record;
use anchorwatch::monitor::calibrated::{
    CALIBRATED, PERFORMANCE, PERFORMANCE_WINDOWS, Series, SeriesWindow, calibrate, joint_terms,
};
use anchorwatch::monitor::estimate::learn::{LabelledRow, Outcomes};
use anchorwatch::reference::{Column, ColumnKind, Outcome, Provenance, Reference, Role, Value};
use anchorwatch::view::{AlertState, JoinView, LabelsView, Level, WindowView};
use anchorwatch::window::WatchedVersion;
use anchorwatch_detectors::binning::{Binning, CategoricalBinning, NumericBinning};
use proptest::prelude::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// A full hour.
const START: i64 = 1_700_002_800_000;
const NOW: i64 = START + 10_000 * HOUR;
const PER_HOUR: i64 = 90;

fn settings(labels: &str) -> Config {
    let text = format!(
        r#"
kafka: {{ bootstrap: "127.0.0.1:9", topics: [t] }}
windows: {{ pane: 15m, horizons: [{{ length: 1h, every: 1h }}], lateness: 15m, correction: 30m, min_rows: 20 }}
events: {{ labels: {labels} }}
"#
    );
    config::parse(&text, "test").expect("valid settings")
}

const USUAL: &str = "{ wait: 40h }";

/// Small random numbers that depend on nothing but the seed.
fn random(seed: u64) -> impl FnMut(u64) -> i64 {
    let mut state = seed.wrapping_mul(2) | 1;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % below).expect("small")
    }
}

fn column(name: &str, role: Role, kind: ColumnKind, binning: Binning) -> Column {
    Column {
        name: name.to_owned(),
        role,
        kind,
        required: true,
        single_precision: false,
        binning,
        usual: None,
        unseen_beyond: 0.0,
        notes: Vec::new(),
    }
}

/// One row: the feature, the score that follows from it, and a label that is 1 as often as the score says.
fn row(random: &mut impl FnMut(u64) -> i64) -> (i64, f64, bool) {
    let x = random(10);
    (x, x as f64 / 10.0 + 0.05, random(20) < 2 * x + 1)
}

/// Two weeks of a well calibrated model.
fn reference() -> Arc<Reference> {
    static REFERENCE: OnceLock<Arc<Reference>> = OnceLock::new();
    Arc::clone(REFERENCE.get_or_init(|| Arc::new(build([Value::Number(0.0), Value::Number(1.0)]))))
}

/// `names` are what labels that did not and did come true are called; of texts the second one is the positive class.
fn build(names: [Value<'static>; 2]) -> Reference {
    let positive = match names[1] {
        Value::Text(name) => Some(name),
        _ => None,
    };
    let numeric = |knots: Vec<f64>| Binning::Numeric(NumericBinning::new(knots).expect("ascending"));
    let named = |place: usize| match names[place] {
        Value::Text(name) => name.to_owned(),
        _ => place.to_string(),
    };
    let labels = CategoricalBinning::new(vec![named(0), named(1)]).expect("distinct");
    let kind = if positive.is_some() { ColumnKind::Categorical } else { ColumnKind::CodedCategory };
    let columns = vec![
        column("x", Role::Feature, ColumnKind::Numeric, numeric((0..10).map(f64::from).collect())),
        column(
            "score",
            Role::Score,
            ColumnKind::Numeric,
            numeric((0..10).map(|x| f64::from(x) / 10.0 + 0.05).collect()),
        ),
        column("label", Role::Label, kind, Binning::Categorical(labels)),
    ];
    let mut random = random(1);
    let rows: Vec<(i64, [usize; 3], Outcome)> = (0..14 * 24 * PER_HOUR)
        .map(|i| {
            let (x, score, label) = row(&mut random);
            let values = [Value::Number(x as f64), Value::Number(score), names[usize::from(label)]];
            let label = f64::from(u8::from(label));
            let cells = [0, 1, 2].map(|place: usize| columns[place].slot(values[place]));
            (START - 15 * 24 * HOUR + i * HOUR / PER_HOUR, cells, Outcome { score, label })
        })
        .collect();
    let mut reference = Reference {
        model: "m".to_owned(),
        version: "1.0.0".to_owned(),
        columns,
        has_latency: false,
        profile: Vec::new(),
        window_ms: None,
        windows: Default::default(),
        segment_field: None,
        segments: BTreeMap::new(),
        joint: Default::default(),
        calibration: None,
        provenance: Provenance::default(),
    };
    let count = |counts: &mut Vec<u64>, reference: &Reference, cells: &[usize; 3]| {
        let layout = reference.layout();
        counts[0] += 1;
        cells.iter().enumerate().for_each(|(column, cell)| counts[layout.index(column, *cell)] += 1);
    };
    let mut profile = vec![0; reference.layout().len()];
    rows.iter().for_each(|(_, cells, _)| count(&mut profile, &reference, cells));
    reference.joint = joint_terms(&reference.columns, &profile, positive);
    reference.profile = profile;
    assert!(reference.joint.residual.is_some());
    let layout = reference.live_layout();
    let (mut windows, mut squares) = (BTreeMap::new(), vec![0.0; reference.joint.terms()]);
    for (at, cells, outcome) in &rows {
        let counts = windows.entry(at.div_euclid(HOUR) * HOUR).or_insert_with(|| vec![0; layout.len()]);
        count(counts, &reference, cells);
        reference.joint.add(cells, Some(*outcome), |place, amount| counts[layout.joint(place)] += amount);
        reference.joint.each(cells, Some(*outcome), |term, value| {
            squares[term] += (value as f64 / reference.joint.one(term)).powi(2) / rows.len() as f64;
        });
    }
    let windows = windows.into_iter();
    let windows = windows.map(|(start, whole)| SeriesWindow { start, whole, slices: HashMap::new() });
    let series = Series {
        window_ms: HOUR,
        time_zone: chrono_tz::UTC,
        slices: Vec::new(),
        term_variances: squares,
        windows,
    };
    let calibration = calibrate(&reference, series);
    let mut outcomes = Outcomes::new(&reference);
    for (_, cells, outcome) in &rows {
        let (score, label) = (Some(outcome.score), Some(outcome.label));
        outcomes.add(&LabelledRow { score, score_cell: cells[1], label, ..LabelledRow::default() });
    }
    reference.calibration = Some(outcomes.teach(&reference, calibration));
    reference
}

fn engine(settings: &Config, catalog: &[CatalogEntry]) -> Engine {
    let mut engine = Engine::new(settings);
    engine.set_catalog(catalog);
    (0..2).for_each(|partition| engine.assign("t", partition, None));
    engine
}

fn catalog() -> [CatalogEntry; 1] {
    catalog_of(reference())
}

fn catalog_of(reference: Arc<Reference>) -> [CatalogEntry; 1] {
    let watched = WatchedVersion {
        model: "m".to_owned(),
        version: "1.0.0".to_owned(),
        reference_id: "ref".to_owned(),
        reference,
        takes_feedback: true,
    };
    [CatalogEntry { watched, facts: VersionFacts { current: true, ..VersionFacts::default() } }]
}

/// What becomes of the labels of a stream.
#[derive(Debug, Clone, Copy)]
struct Plan {
    hours: i64,
    /// From this hour on labels are as often 1 as before, but where the score says 0.
    changes_at: i64,
    /// Of a hundred predictions, those whose label never comes.
    lost: i64,
}

/// What was sent: predictions in one partition, their labels in another, 1 to 30 hours later.
#[derive(Debug, Default)]
struct Sent {
    partitions: [Vec<(i64, String)>; 2],
    labels: u64,
    twice: u64,
    unknown: u64,
}

fn send(seed: u64, plan: Plan) -> Sent {
    let mut random = random(seed);
    let mut sent = Sent::default();
    for i in 0..plan.hours * PER_HOUR {
        let at = START + i * HOUR / PER_HOUR;
        let (x, score, mut label) = row(&mut random);
        if i >= plan.changes_at * PER_HOUR {
            label = random(20) < 2 * (9 - x) + 1;
        }
        sent.partitions[0].push((
            at,
            format!(
                r#"{{"model":"m","version":"1.0.0","id":"p{i}","ts":{at},"features":{{"x":{x}}},"score":{score}}}"#
            ),
        ));
        if random(100) < plan.lost {
            continue;
        }
        let told_at = at + HOUR + random((29 * HOUR).unsigned_abs());
        let feedback = |id: String, at: i64| {
            (at, format!(r#"{{"model":"m","id":"{id}","label":{},"ts":{at}}}"#, u8::from(label)))
        };
        sent.partitions[1].push(feedback(format!("p{i}"), told_at));
        sent.labels += 1;
        match random(40) {
            0 => {
                sent.partitions[1].push(feedback(format!("p{i}"), told_at + random(600_000)));
                sent.twice += 1;
            }
            1 => {
                sent.partitions[1].push(feedback(format!("nobody-{i}"), told_at));
                sent.unknown += 1;
            }
            _ => {}
        }
    }
    // Within the lateness labels come in any order.
    let mut keyed: Vec<_> =
        sent.partitions[1].drain(..).map(|one| (one.0 + random((14 * MINUTE).unsigned_abs()), one)).collect();
    keyed.sort();
    let last = keyed.last().map_or(START, |(_, (at, _))| *at) + 80 * HOUR;
    sent.partitions[1] = keyed.into_iter().map(|(_, one)| one).collect();
    // Both partitions go on, so that the watermark passes everything.
    sent.partitions[0]
        .push((last, format!(r#"{{"model":"m","version":"1.0.0","ts":{last},"features":{{"x":1}}}}"#)));
    sent.partitions[1].push((last, format!(r#"{{"model":"m","label":1,"ts":{last}}}"#)));
    sent
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    windows: BTreeMap<(i64, String), WindowView>,
    told: Vec<String>,
    joins: Vec<JoinView>,
    labels: Vec<LabelsView>,
}

/// Hands over runs of the partitions as `choices` say.
fn run(
    sent: &Sent,
    settings: &Config,
    choices: &[(usize, usize)],
    between: impl FnMut(Engine) -> Engine,
) -> (Seen, Engine) {
    run_in(engine(settings, &catalog()), sent, choices, between)
}

fn run_in(
    mut engine: Engine,
    sent: &Sent,
    choices: &[(usize, usize)],
    mut between: impl FnMut(Engine) -> Engine,
) -> (Seen, Engine) {
    let (mut seen, mut next) = (Seen::default(), [0; 2]);
    let mut choices = choices.iter().cycle();
    while next.iter().zip(&sent.partitions).any(|(next, records)| *next < records.len()) {
        let (partition, length) = *choices.next().expect("a cycle never ends");
        for (_, json) in sent.partitions[partition].iter().skip(next[partition]).take(length) {
            let record = Record {
                topic: "t",
                partition: i32::try_from(partition).expect("small"),
                offset: i64::try_from(next[partition]).expect("small"),
                timestamp: None,
                appended_at: None,
                key: None,
                headers: &[],
                payload: Some(json.as_bytes()),
            };
            engine.ingest(&record, NOW);
            next[partition] += 1;
        }
        assert!(engine.law().holds(), "L-1");
        let (progress, more) = engine.advance(NOW, usize::MAX);
        assert!(!more);
        for window in progress.windows {
            seen.windows.insert((window.start, window.horizon.clone()), window);
        }
        seen.told.extend(progress.notifications.into_iter().map(|one| one.key + &one.summary));
        engine = between(engine);
    }
    engine.weigh_labels();
    (seen.joins, seen.labels) = (engine.joins(), engine.labels());
    (seen, engine)
}

fn restart(engine: Engine, settings: &Config, stored: &mut Restored) -> Engine {
    restart_with(engine, settings, stored, reference())
}

fn restart_with(
    mut engine: Engine,
    settings: &Config,
    stored: &mut Restored,
    reference: Arc<Reference>,
) -> Engine {
    apply(stored, engine.checkpoint());
    let mut restarted = Engine::new(settings);
    restarted.restore(stored.clone(), |_| Some(Arc::clone(&reference))).expect("its own documents");
    restarted.set_catalog(&catalog_of(reference));
    (0..2).for_each(|partition| restarted.assign("t", partition, None));
    [&mut engine, &mut restarted].into_iter().for_each(Engine::weigh_labels);
    assert_eq!((restarted.joins(), restarted.labels()), (engine.joins(), engine.labels()));
    restarted
}

/// What the state file does with a checkpoint.
fn apply(stored: &mut Restored, checkpoint: Checkpoint) {
    for (name, document) in checkpoint.every_document() {
        match document {
            Some(text) => stored.documents.insert(name.to_owned(), text.into_owned()),
            None => stored.documents.remove(name),
        };
    }
    stored.subjects.retain(|(number, _)| !checkpoint.left_subjects.contains(number));
    stored.panes.retain(|row| !checkpoint.left_subjects.contains(&row.subject));
    stored.subjects.extend(checkpoint.subjects);
    stored.panes.retain(|row| !checkpoint.gone_panes.contains(&(row.subject, row.pane)));
    for row in checkpoint.panes {
        stored.panes.retain(|known| (known.subject, known.pane) != (row.subject, row.pane));
        stored.panes.push(row);
    }
    if let Some(below) = checkpoint.drop_panes_below {
        stored.panes.retain(|row| row.pane >= below);
    }
    for position in checkpoint.positions {
        stored.positions.retain(|known| known.partition != position.partition);
        stored.positions.push(position);
    }
}

/// In step, an hour and a half at a time.
const IN_STEP: [(usize, usize); 2] = [(0, 135), (1, 135)];

fn performance(seen: &Seen) -> Vec<&WindowView> {
    seen.windows.values().filter(|window| window.horizon == PERFORMANCE_WINDOWS).collect()
}

#[test]
fn labels_that_are_names_say_the_same_as_numbers() {
    let plan = Plan { hours: 60, changes_at: 40, lost: 2 };
    let numbers = send(5, plan);
    let mut names = send(5, plan);
    for (_, json) in &mut names.partitions[1] {
        *json = json.replace(r#""label":1"#, r#""label":"fraud""#).replace(r#""label":0"#, r#""label":"ok""#);
    }
    let settings = settings(USUAL);
    let of_names = catalog_of(Arc::new(build([Value::Text("ok"), Value::Text("fraud")])));
    let (expected, _) = run(&numbers, &settings, &IN_STEP, |engine| engine);
    let (seen, _) = run_in(engine(&settings, &of_names), &names, &IN_STEP, |engine| engine);
    assert_eq!((&seen.labels, &seen.joins), (&expected.labels, &expected.joins));
    let latest = seen.labels[0].latest.as_ref().expect("a judged window");
    assert!(latest.mean_squared_residual.is_some_and(|brier| brier > 0.2), "{latest:?}");
    assert!(latest.accuracy.is_some_and(|share| share < 0.5) && latest.recall.is_some(), "{latest:?}");
}

/// The same predictions with their labels in them, with or without an `id` of their own.
fn inline(sent: &Sent, with_id: bool) -> Sent {
    let mut labels = BTreeMap::new();
    for (_, json) in &sent.partitions[1] {
        let feedback: serde_json::Value = serde_json::from_str(json).expect("JSON");
        let id = feedback["id"].as_str().map(str::to_owned);
        labels.entry(id).or_insert(feedback["label"].clone());
    }
    let mut own = |(at, json): &(i64, String)| {
        let mut event: serde_json::Value = serde_json::from_str(json).expect("JSON");
        let fields = event.as_object_mut().expect("an object");
        if let Some(id) = fields.get("id").and_then(|id| id.as_str()).map(str::to_owned) {
            fields.insert("label".to_owned(), labels.remove(&Some(id)).expect("labelled"));
        }
        if !with_id {
            fields.remove("id");
        }
        (*at, event.to_string())
    };
    let predictions = sent.partitions[0].iter().map(&mut own).collect();
    Sent {
        partitions: [predictions, sent.partitions[1].last().cloned().into_iter().collect()],
        ..Sent::default()
    }
}

#[test]
fn labels_that_come_with_the_prediction_have_the_figures_of_those_that_come_later() {
    let sent = send(7, Plan { hours: 60, changes_at: 60, lost: 0 });
    let settings = settings("{ wait: 40h, complete: 1 }");
    let (late, _) = run(&sent, &settings, &IN_STEP, |engine| engine);
    let latest = |seen: &Seen| seen.labels[0].latest.clone().expect("a final window");
    let expected = latest(&late);
    assert_eq!((expected.start, expected.labelled), (START + 59 * HOUR, PER_HOUR.unsigned_abs()));
    // The chance that of two predictions of the window the one that came true has the higher score.
    let of_window = inline(&sent, true);
    let of_window =
        of_window.partitions[0].iter().filter(|(at, _)| (expected.start..expected.end).contains(at));
    let outcomes: Vec<(f64, i64)> = of_window
        .map(|(_, json)| serde_json::from_str::<serde_json::Value>(json).expect("JSON"))
        .map(|event| (event["score"].as_f64().expect("a number"), event["label"].as_i64().expect("0 or 1")))
        .collect();
    let side = |label: i64| outcomes.iter().filter(move |one| one.1 == label).map(|one| one.0);
    let won: f64 = side(1)
        .flat_map(|yes| {
            side(0).map(move |no| if yes > no { 1.0 } else { f64::from(u8::from(yes == no)) / 2.0 })
        })
        .sum();
    let area = won / (side(1).count() * side(0).count()) as f64;
    assert!(expected.roc_auc.is_some_and(|auc| (auc - area).abs() < 1e-12), "{area} {expected:?}");
    assert!(area > 0.6 && expected.f1.is_some());
    for with_id in [true, false] {
        let own = inline(&sent, with_id);
        let (seen, engine) = run(&own, &settings, &IN_STEP, |engine| engine);
        let figures = latest(&seen);
        let without_delays = anchorwatch::view::PerformanceView {
            delay_p50: None,
            delay_p90: None,
            delay_p99: None,
            ..expected.clone()
        };
        assert_eq!(figures, without_delays, "with an id: {with_id}");
        assert!(performance(&seen).is_empty(), "they are judged with the rest of their window");
        assert_eq!(engine.joins().iter().map(|join| join.waiting).sum::<u64>(), 0);
        let (mut stored, mut turn) = (Restored::default(), 0);
        let (broken, _) = run(&own, &settings, &[(0, 37), (1, 37)], |engine| {
            turn += 1;
            if turn % 3 == 0 { restart(engine, &settings, &mut stored) } else { engine }
        });
        assert_eq!(latest(&broken), figures);
    }
}

#[test]
fn a_change_of_concept_is_found_in_the_windows_of_its_predictions() {
    let plan = Plan { hours: 120, changes_at: 72, lost: 2 };
    let (settings, sent) = (settings(USUAL), send(5, plan));
    let (seen, engine) = run(&sent, &settings, &IN_STEP, |engine| engine);
    let windows = performance(&seen);
    assert_eq!(windows.len(), 120, "one for each hour of predictions");
    let drifts = |window: &&&WindowView| {
        window.verdicts.iter().any(|one| one.column == PERFORMANCE && one.level == Level::Drift)
    };
    let first = windows.iter().find(drifts).expect("it is found").start;
    let change = START + plan.changes_at * HOUR;
    assert!((change..change + 6 * HOUR).contains(&first), "after {} hours", (first - change) / HOUR);
    let told = |seen: &Seen| seen.told.iter().filter(|told| told.contains(PERFORMANCE)).count();
    assert!(told(&seen) > 0, "{:?}", seen.told);
    let firing =
        |engine: &Engine| engine.alert_views().into_iter().find(|alert| alert.state == AlertState::Firing);
    let alert = firing(&engine).expect("it fires");
    assert_eq!((alert.column.as_str(), alert.horizon.as_str()), (PERFORMANCE, PERFORMANCE_WINDOWS));
    let hourly = seen.windows.values().filter(|window| window.horizon == CALIBRATED);
    let hourly: Vec<_> = hourly.flat_map(|window| &window.verdicts).collect();
    for column in [PERFORMANCE, "label"] {
        // Labels stand where they came in, not where they belong: nothing is made of them there.
        let levels: Vec<Level> =
            hourly.iter().filter(|one| one.column == column).map(|one| one.level).collect();
        assert!(!levels.is_empty() && levels.iter().all(|level| *level == Level::Insufficient), "{column}");
    }
}

#[test]
fn every_label_is_accounted_for() {
    let (settings, sent) = (settings(USUAL), send(6, Plan { hours: 60, changes_at: 60, lost: 3 }));
    let (seen, engine) = run(&sent, &settings, &IN_STEP, |engine| engine);
    let join = &seen.joins[0];
    assert_eq!(join.joined, sent.labels, "{join:?}");
    assert_eq!(join.unmatched + join.repeated, sent.unknown + sent.twice, "{join:?}");
    assert_eq!(join.expired, 60 * PER_HOUR.unsigned_abs() - sent.labels);
    assert_eq!((join.waiting, join.early, join.dropped, join.late), (0, 0, 0, 0));
    assert!(performance(&seen).iter().all(|window| window.level == Level::Stable));
    let latest = seen.labels[0].latest.as_ref().expect("a judged window");
    assert!(latest.coverage().expect("predictions") > 0.85 && latest.end == START + 60 * HOUR, "{latest:?}");
    let brier = latest.mean_squared_residual.expect("labels");
    assert!((0.1..0.25).contains(&brier) && latest.mean_residual.expect("labels").abs() < 0.2);
    let [p50, p99] = [latest.delay_p50, latest.delay_p99].map(|delay| delay.expect("labels") / 3_600.0);
    assert!((8.0..22.0).contains(&p50) && (25.0..31.0).contains(&p99), "{p50} {p99}");
    // Feedback counts in the label's profile as ever.
    assert_eq!(engine.law().counted, engine.law().read);
}

#[test]
fn what_is_not_labelled_in_time_is_judged_without_it() {
    let sent = send(7, Plan { hours: 30, changes_at: 30, lost: 40 });
    let (seen, _) = run(&sent, &settings("{ wait: 12h }"), &IN_STEP, |engine| engine);
    assert_eq!(performance(&seen).len(), 30);
    let (latest, join) = (seen.labels[0].latest.as_ref().expect("a judged window"), &seen.joins[0]);
    assert!((0.05..0.5).contains(&latest.coverage().expect("predictions")), "{latest:?}");
    assert!(latest.delay_p99.expect("labels") <= 12.5 * 3_600.0);
    assert_eq!(join.joined + join.expired, 30 * PER_HOUR.unsigned_abs(), "{join:?}");
}

#[test]
fn performance_is_estimated_before_any_label_and_marked_when_inputs_drift() {
    let settings = settings(USUAL);
    let mut sent = send(10, Plan { hours: 20, changes_at: 20, lost: 100 });
    let (seen, engine) = run(&sent, &settings, &IN_STEP, |engine| engine);
    assert!(seen.joins[0].joined == 0 && seen.labels[0].latest.as_ref().is_some_and(|one| one.labelled == 0));
    let estimates = engine.estimates();
    let estimate = &estimates[0];
    let near = |value: Option<f64>, expected: f64| value.is_some_and(|value| (value - expected).abs() < 0.05);
    assert!(near(estimate.accuracy, 0.75) && near(estimate.brier, 0.1675), "{estimate:?}");
    assert!(near(estimate.roc_auc, 0.83) && !estimate.calibration_at_risk, "{estimate:?}");
    // Both classes are alike, and so are the decisions on them.
    for share in [estimate.precision, estimate.recall, estimate.specificity, estimate.f1] {
        assert!(near(share, 0.75), "{estimate:?}");
    }
    let (band, scores) = (estimate.accuracy_band.expect("a band"), estimate.predictions as f64);
    let width = 6.0 * (0.75 * 0.25 / scores).sqrt();
    assert!((band.upper - band.lower - width).abs() < 0.02 && band.upper < 1.0, "{band:?} {width}");
    assert!(estimate.roc_auc_band.is_some_and(|band| band.lower > 0.6 && band.upper > 0.9), "{estimate:?}");
    // Nothing has changed, so that whatever is taken to be fixed gives the same.
    assert!(
        near(estimate.accuracy_thresholded, 0.75) && near(estimate.accuracy_label_shift, 0.75),
        "{estimate:?}"
    );
    let scores_0_05_to_0_95 = (0..10).map(|x| f64::from(x) / 10.0 + 0.05);
    let entropy = scores_0_05_to_0_95.map(|p| -p * p.ln() - (1.0 - p) * (1.0 - p).ln()).sum::<f64>() / 10.0;
    assert!(near(estimate.entropy, entropy) && near(estimate.confidence, 0.75), "{estimate:?} {entropy}");
    assert!(near(estimate.positive_share, 0.5), "{estimate:?}");
    assert!(
        estimate.positive_share_label_shift.is_some_and(|share| (0.3..0.7).contains(&share)),
        "{estimate:?}"
    );
    // From the tenth hour on nothing but the largest value comes.
    for (_, json) in sent.partitions[0].iter_mut().filter(|(at, _)| *at >= START + 10 * HOUR) {
        for x in 0..9 {
            let score = x as f64 / 10.0 + 0.05;
            *json = json
                .replace(&format!("\"x\":{x}"), "\"x\":9")
                .replace(&format!("\"score\":{score}"), "\"score\":0.95");
        }
    }
    let (_, engine) = run(&sent, &settings, &IN_STEP, |engine| engine);
    let estimate = &engine.estimates()[0];
    assert!(estimate.calibration_at_risk && near(estimate.accuracy, 0.95), "{estimate:?}");
}

#[test]
fn labels_are_joined_where_the_classical_verdicts_alert() {
    let (mut settings, sent) = (settings(USUAL), send(11, Plan { hours: 30, changes_at: 0, lost: 0 }));
    settings.monitor.verdicts = config::Verdicts::Classical;
    let (seen, _) = run(&sent, &settings, &IN_STEP, |engine| engine);
    let latest = seen.labels[0].latest.as_ref().expect("a final window");
    assert!(latest.mean_squared_residual.is_some_and(|brier| brier > 0.3), "{latest:?}");
    assert!(performance(&seen).is_empty(), "nothing is judged under the budget");
}

#[test]
fn memory_is_bounded_and_what_leaves_is_counted() {
    let sent = send(8, Plan { hours: 40, changes_at: 40, lost: 0 });
    let few = settings("{ wait: 40h, max: 600 }");
    let (seen, _) = run(&sent, &few, &IN_STEP, |engine| {
        assert!(engine.joins().iter().all(|join| join.waiting <= 600 && join.early <= 150));
        engine
    });
    assert!(seen.joins[0].dropped > 1_000, "{:?}", seen.joins);
    let (seen, _) = run(&sent, &settings("{ max: 0 }"), &IN_STEP, |engine| engine);
    assert!(seen.joins.is_empty() && performance(&seen).is_empty());
}

#[test]
fn a_version_that_leaves_takes_its_waiting_predictions_along() {
    let sent = send(9, Plan { hours: 20, changes_at: 20, lost: 0 });
    let settings = settings(USUAL);
    let mut half = sent;
    half.partitions.iter_mut().for_each(|records| records.truncate(500));
    let (_, mut engine) = run(&half, &settings, &IN_STEP, |engine| engine);
    let mut stored = Restored::default();
    apply(&mut stored, engine.checkpoint());
    let kept = |stored: &Restored| stored.documents.keys().filter(|name| name.starts_with("labels/")).count();
    assert!(engine.joins()[0].waiting > 100 && kept(&stored) > 5);
    engine.set_catalog(&[]);
    assert_eq!(
        (engine.joins(), engine.labels()),
        (Vec::new(), Vec::new()),
        "nor is the model known any more"
    );
    apply(&mut stored, engine.checkpoint());
    assert_eq!(kept(&stored), 1, "{:?}", stored.documents.keys());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// J-2: windows and notifications do not depend on how far labels and predictions are ahead of one another.
    #[test]
    fn any_interleaving_gives_the_same_performance_windows(
        seed in any::<u64>(),
        choices in proptest::collection::vec((0..2_usize, 1..1_500_usize), 6..16),
    ) {
        let (settings, sent) = (settings(USUAL), send(seed, Plan { hours: 50, changes_at: 25, lost: 4 }));
        let mut choices = choices;
        choices.extend([(0, 50), (1, 50)]);
        let (in_step, _) = run(&sent, &settings, &IN_STEP, |engine| engine);
        for choices in [choices, vec![(1, 100_000), (0, 70)], vec![(0, 100_000), (1, 70)]] {
            let (other, _) = run(&sent, &settings, &choices, |engine| engine);
            prop_assert_eq!(&other.windows, &in_step.windows);
            prop_assert_eq!(&other.told, &in_step.told);
            prop_assert_eq!(&other.labels, &in_step.labels);
            prop_assert_eq!(other.joins[0].joined, in_step.joins[0].joined);
            prop_assert_eq!(other.joins[0].expired, in_step.joins[0].expired);
        }
    }

    /// C-1: a restart from a checkpoint at any moment changes nothing, even where predictions had to leave.
    #[test]
    fn a_restart_at_any_moment_changes_nothing(
        seed in any::<u64>(),
        choices in proptest::collection::vec((0..2_usize, 1..400_usize), 4..12),
        restarts in proptest::collection::vec(any::<bool>(), 8),
        max in prop_oneof![Just(200_000), Just(900)],
    ) {
        let settings = settings(&format!("{{ wait: 40h, max: {max} }}"));
        let sent = send(seed, Plan { hours: 50, changes_at: 25, lost: 4 });
        let mut choices = choices;
        choices.extend([(0, 150), (1, 150)]);
        let (unbroken, _) = run(&sent, &settings, &choices, |engine| engine);
        let (mut stored, mut turn) = (Restored::default(), 0);
        let (broken, _) = run(&sent, &settings, &choices, |engine| {
            turn += 1;
            if restarts[turn % restarts.len()] { restart(engine, &settings, &mut stored) } else { engine }
        });
        prop_assert_eq!(broken, unbroken);
    }
}
