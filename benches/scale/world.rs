//! Subjects by the thousand with a full day behind them: one version is run through the day, and its state is copied
//! under other names.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anchorwatch::action::VersionFacts;
use anchorwatch::config::{self, Config};
use anchorwatch::engine::{CatalogEntry, Checkpoint, Engine, PaneRow, Restored, SubjectNumber};
use anchorwatch::event::Record;
use anchorwatch::reference::{Column, ColumnKind, Layout, Provenance, Reference, Role, Value};
use anchorwatch::registry::BaselineOptions;
use anchorwatch::subject::{Millis, Subject};
use anchorwatch::window::WatchedVersion;
use anchorwatch_detectors::binning::{Binning, CategoricalBinning, NumericBinning};
use anyhow::Context as _;
use serde_json::Value as Json;

pub(crate) const MINUTE: Millis = 60_000;
/// The pane whose end is an edge of every horizon.
pub(crate) const LAST: i64 = 236_112 * 120 - 1;
const HISTORY: i64 = 1_600;
const BASELINE_ROWS: u64 = 10_000;
/// Of a reference that is calibrated: 30 days.
const BASELINE_MINUTES: i64 = 43_200;
const POINTS: usize = 256;
const CATEGORIES: u64 = 8;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Subjects in all: versions, and their segments.
    pub(crate) subjects: usize,
    /// Features of each; three in ten are categorical.
    pub(crate) features: usize,
    /// Segments of each version; 0 for none.
    pub(crate) segments: usize,
    /// Horizons, of 15m, 1h, 24h and 7d the first so many.
    pub(crate) horizons: usize,
    /// Minutes from one event of a version to the next.
    pub(crate) every: i64,
    /// Whether the reference is calibrated, so that hours are judged under the budget as they are by default.
    pub(crate) calibrated: bool,
}

impl Shape {
    pub(crate) fn versions(&self) -> usize {
        (self.subjects / (self.segments + 1)).max(1)
    }

    /// Minutes between the end of the history and the edge that is measured. Where hours are judged, an edge of all horizons
    /// lies between: the first one after a start sums days anew and reads what is remembered of hours.
    pub(crate) fn before(&self) -> i64 {
        if self.calibrated { 124 } else { 4 }
    }

    pub(crate) fn config(&self, data_dir: &str) -> anyhow::Result<Config> {
        let horizons = ["15m", "1h", "24h", "7d"].iter().take(self.horizons);
        let horizons: Vec<String> = horizons.map(|length| format!("{{ length: {length} }}")).collect();
        let text = format!(
            "kafka: {{ bootstrap: \"127.0.0.1:9\", topics: [bench] }}\n\
             data_dir: \"{data_dir}\"\n\
             http: {{ listen: \"127.0.0.1:0\" }}\n\
             windows: {{ pane: 1m, horizons: [{}] }}\n\
             segments: {{ field: place, max: 1000 }}\n",
            horizons.join(", ")
        );
        Ok(config::parse(&text, "bench.yaml")?)
    }
}

/// Small numbers that depend on nothing but the seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// Bell-shaped, with many distinct values.
    fn number(&mut self) -> f64 {
        (0..4).map(|_| self.below(1_000_000) as f64).sum::<f64>() / 1e4
    }
}

fn columns(shape: Shape, random: &mut Random) -> anyhow::Result<Vec<Column>> {
    let numeric = |random: &mut Random| -> anyhow::Result<Binning> {
        let mut values: Vec<f64> = (0..BASELINE_ROWS).map(|_| random.number()).collect();
        values.sort_by(f64::total_cmp);
        Ok(Binning::Numeric(NumericBinning::from_sorted_values(&values, POINTS)?))
    };
    let names: Vec<String> = (0..CATEGORIES).map(|i| format!("v{i}")).collect();
    let mut all = Vec::new();
    for place in 0..=shape.features {
        let is_score = place == shape.features;
        let (role, name) =
            if is_score { (Role::Score, "score".to_owned()) } else { (Role::Feature, format!("f{place}")) };
        let (kind, binning) = if is_score || place % 10 < 7 {
            (ColumnKind::Numeric, numeric(random)?)
        } else {
            (ColumnKind::Categorical, Binning::Categorical(CategoricalBinning::new(names.clone())?))
        };
        all.push(Column {
            name,
            role,
            kind,
            required: true,
            single_precision: false,
            binning,
            usual: None,
            unseen_beyond: 0.0,
            notes: Vec::new(),
        });
    }
    Ok(all)
}

/// The reference of all versions.
pub(crate) fn reference(shape: Shape) -> anyhow::Result<Reference> {
    if shape.calibrated { calibrated(shape) } else { untimed(shape) }
}

/// A month of events as they are later sent.
fn calibrated(shape: Shape) -> anyhow::Result<Reference> {
    let mut random = Random(7);
    let mut csv = "ts,score,latency_ms".to_owned();
    (0..shape.features).try_for_each(|place| write!(csv, ",f{place}"))?;
    for minute in 0..BASELINE_MINUTES / shape.every {
        let ts = (LAST - 2 * BASELINE_MINUTES + minute * shape.every) * MINUTE;
        write!(csv, "\n{ts},{:.3},{:.2}", random.number(), 2.0 + random.number())?;
        for place in 0..shape.features {
            if place % 10 < 7 {
                write!(csv, ",{:.3}", random.number())?;
            } else {
                write!(csv, ",v{}", random.below(CATEGORIES))?;
            }
        }
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("baseline.csv");
    std::fs::write(&path, csv)?;
    let options = BaselineOptions { points: POINTS, ..BaselineOptions::new(&name(0), "1.0.0", path) };
    let reference = anchorwatch::registry::build(&options)?;
    anyhow::ensure!(reference.calibration.is_some(), "the baseline has times");
    Ok(reference)
}

/// A reference without times, so that nothing is judged under the budget.
fn untimed(shape: Shape) -> anyhow::Result<Reference> {
    let mut random = Random(7);
    let columns = columns(shape, &mut random)?;
    let layout = Layout::new(&columns);
    let mut profile = vec![0; layout.len()];
    for _ in 0..BASELINE_ROWS {
        profile[Layout::ROWS] += 1;
        for (place, column) in columns.iter().enumerate() {
            let category = format!("v{}", random.below(CATEGORIES));
            let value = match column.kind {
                ColumnKind::Numeric => Value::Number(random.number()),
                _ => Value::Text(&category),
            };
            profile[layout.index(place, column.slot(value))] += 1;
        }
        profile[layout.latency_bucket(200 + usize::try_from(random.below(60))?)] += 1;
    }
    Ok(Reference {
        model: name(0),
        version: "1.0.0".to_owned(),
        columns,
        has_latency: true,
        profile,
        window_ms: None,
        windows: Default::default(),
        segment_field: None,
        segments: BTreeMap::new(),
        joint: Default::default(),
        calibration: None,
        provenance: Provenance::default(),
    })
}

pub(crate) fn name(version: usize) -> String {
    format!("model-{version:05}")
}

/// The versions, with a reference each: `id` gives its address.
pub(crate) fn catalog(
    shape: Shape,
    reference: &Arc<Reference>,
    id: impl Fn(usize) -> String,
) -> Vec<CatalogEntry> {
    let entry = |version| CatalogEntry {
        watched: WatchedVersion {
            model: name(version),
            version: "1.0.0".to_owned(),
            reference_id: id(version),
            reference: Arc::clone(reference),
            takes_feedback: true,
        },
        facts: VersionFacts { current: true, ..VersionFacts::default() },
    };
    (0..shape.versions()).map(entry).collect()
}

/// Sends events in the order of their offsets.
#[derive(Debug)]
pub(crate) struct Producer {
    shape: Shape,
    random: u64,
    offset: i64,
    json: String,
}

impl Producer {
    pub(crate) fn new(shape: Shape, offset: i64) -> Self {
        Self { shape, random: 11, offset, json: String::new() }
    }

    /// One event of a version at `ts`, written before `ingest` is called with it.
    pub(crate) fn event(&mut self, version: usize, ts: Millis) -> Record<'_> {
        let mut random = Random(self.random);
        self.json.clear();
        // Writing into a string cannot fail.
        let _ = self.write(&mut random, version, ts);
        self.random = random.0;
        self.offset += 1;
        Record {
            topic: "bench",
            partition: 0,
            offset: self.offset - 1,
            timestamp: Some(ts),
            appended_at: None,
            key: None,
            headers: &[],
            payload: Some(self.json.as_bytes()),
        }
    }

    fn write(&mut self, random: &mut Random, version: usize, ts: Millis) -> std::fmt::Result {
        let json = &mut self.json;
        write!(json, r#"{{"model":"{}","version":"1.0.0","ts":{ts},"features":{{"#, name(version))?;
        for place in 0..self.shape.features {
            let comma = if place == 0 { "" } else { "," };
            if place % 10 < 7 {
                write!(json, r#"{comma}"f{place}":{:.3}"#, random.number())?;
            } else {
                write!(json, r#"{comma}"f{place}":"v{}""#, random.below(CATEGORIES))?;
            }
        }
        write!(
            json,
            r#"}},"prediction":{{"score":{:.3}}},"latency_ms":{:.2}"#,
            random.number(),
            2.0 + random.number()
        )?;
        if self.shape.segments > 0 {
            write!(json, r#","segment":{{"place":"p{}"}}"#, random.below(self.shape.segments as u64))?;
        }
        json.push('}');
        Ok(())
    }
}

/// Whether a version sends an event in this minute.
pub(crate) fn sends(shape: Shape, version: usize, pane: i64) -> bool {
    (pane + version as i64).rem_euclid(shape.every) == 0
}

/// What the state file holds after a day of one version.
fn day_of_one(shape: Shape, reference: &Arc<Reference>) -> anyhow::Result<Restored> {
    let one = Shape { subjects: shape.segments + 1, ..shape };
    let mut engine = Engine::new(&one.config("data")?);
    engine.set_catalog(&catalog(one, reference, |_| "reference".to_owned()));
    engine.assign("bench", 0, None);
    let mut producer = Producer::new(one, 0);
    let (mut stored, mut panes) = (Restored::default(), BTreeMap::new());
    let end = LAST - shape.before();
    for pane in end - HISTORY.max(if shape.horizons > 3 { 11_000 } else { 0 })..=end {
        if sends(one, 0, pane) {
            let ts = pane * MINUTE + 1_000;
            engine.ingest(&producer.event(0, ts), ts);
        }
        let now = (pane + 1) * MINUTE;
        engine.at_end("bench", 0, 0);
        engine.advance(now, usize::MAX);
        if pane % 60 == 0 || pane == end {
            apply(&mut stored, &mut panes, engine.checkpoint());
        }
    }
    stored.panes = panes.into_values().collect();
    Ok(stored)
}

fn apply(stored: &mut Restored, panes: &mut BTreeMap<(SubjectNumber, i64), PaneRow>, checkpoint: Checkpoint) {
    debug_assert!(checkpoint.left_subjects.is_empty(), "nobody leaves");
    let text = |(name, text): (&str, Option<Cow<'_, str>>)| Some((name.to_owned(), text?.into_owned()));
    stored.documents.extend(checkpoint.every_document().filter_map(text));
    stored.subjects.extend(checkpoint.subjects);
    checkpoint.gone_panes.iter().for_each(|gone| drop(panes.remove(gone)));
    panes.extend(checkpoint.panes.into_iter().map(|row| ((row.subject, row.pane), row)));
    panes.retain(|(_, pane), _| checkpoint.drop_panes_below.is_none_or(|below| *pane >= below));
    if !checkpoint.positions.is_empty() {
        stored.positions = checkpoint.positions;
    }
}

/// The state after a day of all versions.
pub(crate) fn day(
    shape: Shape,
    reference: &Arc<Reference>,
    id: impl Fn(usize) -> String,
) -> anyhow::Result<Restored> {
    let one = day_of_one(shape, reference)?;
    let each = u32::try_from(one.subjects.len())?;
    let mut all = Restored { positions: one.positions.clone(), ..Restored::default() };
    let core = one.documents.get("core").context("the core's document")?;
    let mut core: Json = serde_json::from_str(core)?;
    let (events, plans, first) =
        (core["events"][0].take(), core["plans"][0].take(), core["first_panes"].take());
    let [mut all_events, mut all_plans, mut all_first] = [Vec::new(), Vec::new(), Vec::new()];
    for version in 0..shape.versions() {
        let offset = u32::try_from(version)? * each;
        for (number, subject) in &one.subjects {
            let subject = Subject { model: name(version).into(), ..subject.clone() };
            all.subjects.push((number + offset, subject));
        }
        for row in &one.panes {
            // A copy of the bytes, as every subject has its own.
            let counts = row.counts.packed().as_ref().into();
            let (subject, reference) = (row.subject + offset, id(version));
            all.panes.push(PaneRow { subject, pane: row.pane, reference, counts });
        }
        let renamed = |value: &Json| {
            let mut value = value.clone();
            value["model"] = name(version).into();
            value
        };
        all_events.push(renamed(&events));
        let mut plan = renamed(&plans);
        plan["plans"][0][1] = id(version).into();
        all_plans.push(plan);
        for pair in first.as_array().into_iter().flatten() {
            let number = pair[0].as_u64().unwrap_or_default() + u64::from(offset);
            all_first.push(serde_json::json!([number, pair[1]]));
        }
    }
    (core["events"], core["plans"], core["first_panes"]) =
        (all_events.into(), all_plans.into(), all_first.into());
    all.documents.insert("core".to_owned(), core.to_string());
    for (document, text) in one.documents.iter().filter(|(document, _)| document.starts_with("watch")) {
        for version in 0..shape.versions() {
            let renamed = |text: &str| text.replace(&name(0), &name(version));
            all.documents.insert(renamed(document), renamed(text));
        }
    }
    let calibrations = one.documents.iter().filter(|(document, _)| document.starts_with("calibration/"));
    for (_, text) in calibrations {
        let of = |version| (format!("calibration/{}", id(version)), text.clone());
        all.documents.extend((0..shape.versions()).map(of));
    }
    Ok(all)
}
