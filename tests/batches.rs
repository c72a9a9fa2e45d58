//! Usual events are counted in batches, unusual ones at once: the counts are the same to the last bit, whatever comes
//! between, and a usual event costs no allocation.
#![expect(clippy::expect_used, reason = "a helper fails its test by saying what is wrong")]
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use anchorwatch::action::VersionFacts;
use anchorwatch::config;
use anchorwatch::engine::{CatalogEntry, Engine, PaneRow};
use anchorwatch::event::scan::Scanner;
use anchorwatch::event::{Limits, Record};
use anchorwatch::monitor::calibrated::joint_terms;
use anchorwatch::reference::{
    ClassScore, ClassScores, Column, ColumnKind, Expected, Layout, Losses, Provenance, Reference, Role, Value,
};
use anchorwatch::window::WatchedVersion;
use anchorwatch_detectors::binning::{Binning, CategoricalBinning, NumericBinning};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

const MINUTE: i64 = 60_000;
const START: i64 = 1_700_000_040_000;
const NOW: i64 = START + 10_000 * MINUTE;

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, place: *mut u8, memory: Memory) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, memory) }
    }

    unsafe fn realloc(&self, place: *mut u8, memory: Memory, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(place, memory, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What differs between references of the same columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Terms {
    None,
    /// Pairs of columns, and losses by two columns.
    Pairs,
    /// Pairs, score against label, and scores of classes: then labels that come later are joined, too.
    All,
    /// Pairs whose scores are too large for a block of rows.
    LargePairs,
}

fn columns(shift: f64) -> Vec<Column> {
    let knots = |step: f64| NumericBinning::new((0..=40).map(|i| f64::from(i) * step + shift).collect());
    let numeric = |step: f64| Binning::Numeric(knots(step).expect("ascending"));
    let texts = |all: &[&str]| {
        let all = all.iter().map(|text| (*text).to_owned()).collect();
        Binning::Categorical(CategoricalBinning::new(all).expect("distinct"))
    };
    let column = |name: &str, role, kind, single_precision, binning| Column {
        name: name.to_owned(),
        role,
        kind,
        required: true,
        single_precision,
        binning,
        usual: None,
        unseen_beyond: 0.0,
        notes: Vec::new(),
    };
    vec![
        column("x", Role::Feature, ColumnKind::Numeric, false, numeric(1.0)),
        column("y", Role::Feature, ColumnKind::Numeric, true, numeric(0.1)),
        column("country", Role::Feature, ColumnKind::Categorical, false, texts(&["DE", "FR", "überall"])),
        column("code", Role::Feature, ColumnKind::CodedCategory, false, texts(&["1", "2", "30"])),
        column("new", Role::Feature, ColumnKind::Boolean, false, texts(&["false", "true"])),
        column("score", Role::Score, ColumnKind::Numeric, false, numeric(0.025)),
        column("prediction", Role::Prediction, ColumnKind::Categorical, false, texts(&["deny", "ok"])),
        column("label", Role::Label, ColumnKind::CodedCategory, false, texts(&["0", "1"])),
    ]
}

/// Errors by the score and the country.
fn losses(columns: &[Column]) -> Losses {
    let cells = |column: usize| columns[column].binning.cells() as u8;
    let score = (5, (0..cells(5)).map(|cell| cell / 20).collect());
    let country = (2, (0..cells(2)).collect());
    let width = usize::from(cells(2)) + 1;
    let groups = (cells(5) - 1) / 20 + 1;
    let means: Vec<[f64; 2]> =
        (1..=usize::from(groups) * width).map(|entry| [entry as f64, (entry * entry) as f64]).collect();
    Losses::new(score, country, width, &means).expect("errors")
}

/// `deny` by `x` and `ok` by `y`; a decision that is neither says nothing.
fn class_scores(columns: &[Column]) -> ClassScores {
    let score = |class: &str, column: usize| {
        let cells = columns[column].binning.cells();
        let calibrated = (0..cells).map(|cell| cell as f64 / cells as f64).collect();
        ClassScore { class: class.to_owned(), column, calibrated }
    };
    ClassScores::new(6, vec![Some(0), Some(1), None], vec![score("deny", 0), score("ok", 1)])
}

fn reference(terms: Terms, shift: f64) -> Arc<Reference> {
    let columns = columns(shift);
    let layout = Layout::new(&columns);
    let mut profile = vec![0; layout.len()];
    for i in 0..400_u32 {
        let x = f64::from(i % 40);
        let text = if i % 3 == 0 { "DE" } else { "FR" };
        let values = [
            Value::Number(x),
            Value::Number(x / 10.0),
            Value::Text(text),
            Value::Number(f64::from(i % 2 + 1)),
            Value::Bool(i % 2 == 0),
            Value::Number(x / 40.0),
            Value::Text("ok"),
            Value::Number(f64::from(i % 2)),
        ];
        profile[Layout::ROWS] += 1;
        for (index, value) in values.into_iter().enumerate() {
            profile[layout.index(index, columns[index].slot(value))] += 1;
        }
    }
    let mut joint = joint_terms(&columns, &profile, None);
    match terms {
        Terms::All => {}
        Terms::None => joint = Default::default(),
        Terms::Pairs => joint.residual = None,
        Terms::LargePairs => {
            joint.residual = None;
            joint.scores.iter_mut().flatten().for_each(|score| *score *= 7);
        }
    }
    let has_pairs = terms != Terms::None;
    assert_eq!((joint.residual.is_some(), joint.pairs.is_empty()), (terms == Terms::All, !has_pairs));
    joint.expected = match terms {
        Terms::None => None,
        Terms::Pairs | Terms::LargePairs => Some(Expected::Losses(losses(&columns))),
        Terms::All => Some(Expected::Classes(class_scores(&columns))),
    };
    let cells: Vec<usize> = columns.iter().map(|column| column.binning.cells()).collect();
    assert!(joint.fits(&cells));
    Arc::new(Reference {
        model: "m".to_owned(),
        version: "1".to_owned(),
        columns,
        has_latency: true,
        profile,
        window_ms: None,
        windows: Default::default(),
        segment_field: None,
        segments: BTreeMap::new(),
        joint,
        calibration: None,
        provenance: Provenance::default(),
    })
}

fn entry(model: &str, version: &str, id: &str, reference: Arc<Reference>) -> CatalogEntry {
    let watched = WatchedVersion {
        model: model.to_owned(),
        version: version.to_owned(),
        reference_id: id.to_owned(),
        reference,
        takes_feedback: version == "1",
    };
    CatalogEntry { watched, facts: VersionFacts { current: true, ..VersionFacts::default() } }
}

/// Versions of all kinds; the reference of one of them is replaced in between.
fn catalog(anew: bool) -> Vec<CatalogEntry> {
    static REFERENCES: OnceLock<[Arc<Reference>; 5]> = OnceLock::new();
    let all = REFERENCES.get_or_init(|| {
        let [none, pairs, all, large] =
            [Terms::None, Terms::Pairs, Terms::All, Terms::LargePairs].map(|terms| reference(terms, 0.0));
        [none, pairs, all, large, reference(Terms::Pairs, 0.5)]
    });
    let (id, pairs) = if anew { ("anew", &all[4]) } else { ("pairs", &all[1]) };
    vec![
        entry("m", "1", "all", Arc::clone(&all[2])),
        entry("m", "2", id, Arc::clone(pairs)),
        entry("n", "1", "none", Arc::clone(&all[0])),
        entry("n", "2", "large", Arc::clone(&all[3])),
    ]
}

fn engine() -> Engine {
    let text = r#"
kafka: { bootstrap: "127.0.0.1:9", topics: [t] }
windows: { pane: 1m, horizons: [{ length: 3m, every: 1m }, { length: 10m, every: 2m }], lateness: 1m, correction: 3m, min_rows: 5 }
segments: { field: tenant, max: 3 }
"#;
    let mut engine = Engine::new(&config::parse(text, "test").expect("valid settings"));
    engine.set_catalog(&catalog(false));
    (0..2).for_each(|partition| engine.assign("t", partition, None));
    engine
}

/// One event, without the brackets of its object.
#[derive(Debug, Clone)]
struct Sent {
    partition: i32,
    json: String,
}

#[derive(Debug, Clone)]
enum Step {
    Event(Sent),
    /// Windows are closed and judged.
    Advance,
    Checkpoint,
    /// One version gets another reference.
    NewReference,
}

fn value() -> impl Strategy<Value = String> {
    let odd = [
        "null",
        "true",
        "\"DE\"",
        "\"FR\"",
        "\"überall\"",
        "\"nowhere\"",
        "[1]",
        "{\"a\":1}",
        "1e400",
        "-0.0",
    ];
    prop_oneof![
        4 => (-5.0..45.0_f64).prop_map(|x| format!("{x:.2}")),
        3 => (-2..43_i32).prop_map(|x| x.to_string()),
        2 => proptest::sample::select(odd.to_vec()).prop_map(str::to_owned),
    ]
}

fn event() -> impl Strategy<Value = Sent> {
    let names = ["x", "y", "country", "code", "new", "tenant", "unknown"];
    let features = proptest::sample::subsequence(names.to_vec(), 0..=names.len());
    let values = proptest::collection::vec(value(), names.len());
    let who = (proptest::sample::select(vec!["m", "n"]), 1..3_u8, 0..2_i32, 0..40_u8);
    let tenant = proptest::option::of(prop_oneof![
        Just("\"a\""),
        Just("\"b\""),
        Just("7.5"),
        Just("null"),
        Just("true"),
        Just("\"d\"")
    ]);
    let outputs = (
        proptest::option::of(0.0..1.0_f64),
        proptest::option::of(proptest::sample::select(vec!["\"ok\"", "\"deny\"", "1", "null"])),
        proptest::option::of(proptest::sample::select(vec!["0", "1", "true", "\"1\"", "0.5"])),
        proptest::option::of(-1.0..900.0_f64),
    );
    (who, features, values, tenant, outputs, -4 * MINUTE..9 * MINUTE).prop_map(
        |(who, features, values, tenant, outputs, at)| {
            let (model, version, partition, id) = who;
            let mut json =
                format!(r#""id":"e{id}","model":"{model}","version":"{version}","ts":{}"#, START + at);
            let features: Vec<String> =
                features.iter().zip(values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
            json += &format!(",\"features\":{{{}}}", features.join(","));
            let (score, prediction, label, latency) = outputs;
            let score = score.map(|score| format!("\"score\":{score:.3}"));
            let prediction = prediction.map(|prediction| format!("\"label\":{prediction}"));
            let parts: Vec<String> = score.into_iter().chain(prediction).collect();
            json += &format!(",\"prediction\":{{{}}}", parts.join(","));
            if let Some(latency) = latency {
                json += &format!(",\"latency_ms\":{latency:.1}");
            }
            if let Some(tenant) = tenant {
                json += &format!(",\"segment\":{{\"tenant\":{tenant}}}");
            }
            if let Some(label) = label {
                json += &format!(",\"label\":{label}");
            }
            Sent { partition, json }
        },
    )
}

/// A label that comes later.
fn feedback() -> impl Strategy<Value = Sent> {
    (0..40_u8, 0..2_i32, 0..2_u8, 0..9 * MINUTE).prop_map(|(id, partition, label, at)| Sent {
        partition,
        json: format!(r#""id":"e{id}","model":"m","ts":{},"label":{label}"#, START + at),
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => event().prop_map(Step::Event),
        8 => feedback().prop_map(Step::Event),
        2 => Just(Step::Advance),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::NewReference),
    ]
}

fn record<'a>(offset: usize, partition: i32, payload: &'a str) -> Record<'a> {
    Record {
        topic: "t",
        partition,
        offset: i64::try_from(offset).expect("small"),
        timestamp: Some(START),
        appended_at: None,
        key: None,
        headers: &[],
        payload: Some(payload.as_bytes()),
    }
}

/// The whole of an event. Both ways are as long as the other and begin and end alike, so that they leave the same hash.
fn written(json: &str, unusual: bool) -> String {
    let key = if unusual { r"\u0061" } else { "aaaaaa" };
    let (begin, end) = ("<".repeat(70), ">".repeat(70));
    format!(r#"{{"{begin}":0,"{key}":1,{json},"{end}":0}}"#)
}

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Usual,
    /// With a key that the scanner leaves to the strict decoder.
    Unusual,
    /// Now one, now the other.
    Mixed,
}

/// Everything that can be seen of an engine that went these steps.
#[derive(Debug, PartialEq)]
struct Outcome {
    panes: Vec<PaneRow>,
    subjects: String,
    windows: Vec<String>,
    law: String,
    rest: String,
}

fn outcome(steps: &[Step], way: Way) -> Outcome {
    let mut engine = engine();
    let (mut panes, mut subjects, mut windows) = (Vec::new(), String::new(), Vec::new());
    let mut save = |engine: &mut Engine| {
        let checkpoint = engine.checkpoint();
        let documents: Vec<_> = checkpoint.every_document().collect();
        subjects += &format!("{:?} {documents:?}", checkpoint.subjects);
        panes.extend(checkpoint.panes);
    };
    for (offset, step) in steps.iter().enumerate() {
        match step {
            Step::Event(Sent { partition, json }) => {
                let unusual = way == Way::Unusual || (way == Way::Mixed && offset % 3 == 0);
                let payload = written(json, unusual);
                engine.ingest(&record(offset, *partition, &payload), NOW);
            }
            Step::Advance => {
                let progress = engine.advance(NOW, 20).0;
                windows.extend(progress.windows.iter().map(|window| format!("{window:?}")));
            }
            Step::Checkpoint => save(&mut engine),
            Step::NewReference => engine.set_catalog(&catalog(true)),
        }
    }
    save(&mut engine);
    let rest = format!("{:?} {:?} {:?}", engine.event_counts(), engine.not_admitted(), engine.joins());
    Outcome { panes, subjects, windows, law: format!("{:?}", engine.law()), rest }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn counting_in_batches_is_counting_one_by_one(steps in proptest::collection::vec(step(), 1..400)) {
        let one_by_one = outcome(&steps, Way::Unusual);
        prop_assert_eq!(&outcome(&steps, Way::Usual), &one_by_one);
        prop_assert_eq!(&outcome(&steps, Way::Mixed), &one_by_one);
    }
}

#[test]
fn more_rows_than_a_batch_holds_are_counted_as_one_by_one() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let step = event().prop_map(Step::Event);
    let steps = proptest::collection::vec(step, 9_000).new_tree(&mut runner).expect("steps").current();
    assert_eq!(outcome(&steps, Way::Usual), outcome(&steps, Way::Unusual));
}

fn usual(i: u32) -> String {
    let x = f64::from(i % 97) / 3.0;
    let tenant = ["a", "b", "c"][i as usize % 3];
    format!(
        r#"{{"id":"e{i}","model":"m","version":"2","ts":{},"features":{{"x":{x},"y":{:.1},"country":"DE","code":{},"new":true}},"prediction":{{"label":"ok","score":0.25}},"latency_ms":{x},"segment":{{"tenant":"{tenant}"}}}}"#,
        START + i64::from(i % 50_000),
        x / 10.0,
        i % 3,
    )
}

#[test]
fn the_streams_of_these_tests_are_usual_and_unusual() {
    let mut scanner = Scanner::new(Limits { max_bytes: 1 << 20, max_features: 100, max_depth: 10 });
    assert!((0..10).all(|i| scanner.scan(usual(i).as_bytes()).is_some()));
    let json = usual(1);
    let json = json.trim_start_matches('{').trim_end_matches('}');
    let json = format!("{json}}}");
    assert!(scanner.scan(written(&json, false).as_bytes()).is_some());
    assert!(scanner.scan(written(&json, true).as_bytes()).is_none());
}

#[test]
fn a_usual_event_costs_no_allocation_once_its_pane_is_there() {
    let mut engine = engine();
    let events: Vec<String> = (0..6_000).map(usual).collect();
    let (warm, measured) = events.split_at(3_000);
    for (offset, payload) in warm.iter().enumerate() {
        engine.ingest(&record(offset, 0, payload), NOW);
    }
    let before = ALLOCATIONS.get();
    for (offset, payload) in measured.iter().enumerate() {
        engine.ingest(&record(3_000 + offset, 0, payload), NOW);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert_eq!(engine.law().counted, 6_000);
}
