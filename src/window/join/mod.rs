//! Labels that come later: predictions wait for the feedback with their `id`, and both together add to the performance
//! pane of the prediction's time.
//!
//! Either half may come first, since partitions are read at their own pace. A label belongs to its prediction if it is at
//! most `wait` later, by event time. Laws:
//! - J-1: what checkpoints hold is what waits (`waiting.rs`).
//! - J-2: performance windows do not depend on how partitions are interleaved, as long as nothing is dropped.
//! - J-3: a prediction is labelled at most once.
//!
//! Predictions whose label comes with them wait for nothing: they add to the figures of the same windows, and are judged
//! elsewhere.
//!
//! Bounds: at most `max` predictions of all models wait, and a quarter as many labels; when they are more, the oldest
//! chunk of the model with the most of them leaves and is counted. A waiting prediction takes about 130 bytes and two per
//! column that the residual is multiplied with. There is one pane per version and window within `wait`, of a few kB and 50
//! bytes a segment.

mod coded;
mod decisions;
mod document;
mod figures;
mod leaving;
mod pane;
mod provisional;
mod tally;
mod target;
mod views;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::reference::{Joint, Outcome, Reference, ResidualTerms, Slice};
use crate::subject::Millis;

pub(super) use coded::tells_classes;
pub use decisions::Decisions;
pub use document::PREFIX as JOIN_DOCUMENTS;
pub(crate) use target::foretells_numbers;

use pane::{Lane, Pane};
use waiting::Chunks;

/// Labels may wait for their prediction in this part of the room for predictions.
const PART_OF_LABELS: usize = 4;

/// What a pane takes in a checkpoint, nearly.
const PANE_BYTES: usize = 4_096;

/// No cell: the event had no value of the column.
const NO_CELL: u16 = u16::MAX;

/// How long and how many are waited for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JoinSettings {
    /// How much later than its prediction a label may be.
    pub wait: Millis,
    /// Most predictions that wait.
    pub max: usize,
    /// Labelled share at which a window is judged before `wait` is over.
    pub complete: f64,
    /// Length of the windows of prediction time.
    pub window_ms: Millis,
    /// How long after the watermark an event may still come.
    pub grace: Millis,
    /// Whether names of classes may be shown.
    pub show_categories: bool,
}

/// A prediction that was counted.
#[derive(Debug, Clone, Copy)]
pub struct Predicted<'a> {
    /// Model name.
    pub model: &'a str,
    /// Model version.
    pub version: &'a str,
    /// What it was counted with.
    pub plan: &'a Arc<Plan>,
    /// Cell of each column; `usize::MAX` where the event had no value for one.
    pub cells: &'a [usize],
    /// Value of the segment field, if the traffic is split by one.
    pub segment: Option<&'a str>,
    /// The model's output, as [`Plan::said`] has it.
    pub score: f64,
    /// Identity.
    pub id: &'a str,
    /// Event time.
    pub at: Millis,
}

/// A window whose labels are complete, or as complete as they get.
#[derive(Debug)]
pub struct FinalWindow {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// What its predictions were counted with.
    pub plan: Arc<Plan>,
    /// First instant, inclusive.
    pub start: Millis,
    /// Last instant, exclusive.
    pub end: Millis,
    /// Predictions whose label was waited for.
    pub waited_for: u64,
    /// Those with a label.
    pub labelled: u64,
    /// Counters in the plan's layout: labelled rows and the residual's terms.
    pub counts: Vec<u64>,
    /// The same of each segment that is compared with the rest, with the residual's mean only.
    pub slices: HashMap<Slice, Vec<u64>>,
    /// Labelled predictions that say yes or no, and those of them that were wrong.
    pub decisions: Decisions,
}

/// A prediction that waits.
#[derive(Debug, Clone, PartialEq)]
struct Prediction {
    at: Millis,
    score: f64,
    lane: u32,
    /// Cells of the residual's columns, then of the score; then the place of the segment among the slices.
    cells: Box<[u16]>,
}

/// A label that came before its prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Early {
    at: Millis,
    label: f64,
}

/// What became of labels and predictions of one model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Fates {
    joined: u64,
    unmatched: u64,
    repeated: u64,
    expired: u64,
    dropped: u64,
    late: u64,
}

#[derive(Debug, Default)]
struct OfModel {
    predictions: Chunks<Prediction>,
    early: Chunks<Early>,
    fates: Fates,
}

/// The join of predictions with their labels.
#[derive(Debug)]
pub struct Join {
    settings: JoinSettings,
    models: BTreeMap<String, OfModel>,
    lanes: BTreeMap<u32, Lane>,
    last_lane: u32,
    /// The lane whose provisional labels are weighed next.
    weighed_next: u32,
    /// Numbers of lanes by a hash of whose they are, each to be looked at again: at most twice as many as there are lanes.
    found: HashMap<u64, u32>,
    predictions: usize,
    early: usize,
    /// End of the last window that was closed.
    edge: Option<Millis>,
    /// Documents to be deleted.
    gone: BTreeSet<String>,
    dirty: bool,
    /// Cells of one prediction, kept so that nothing is allocated.
    cells: Vec<usize>,
}

impl Join {
    /// A join to which nothing has come.
    #[must_use]
    pub fn new(settings: JoinSettings) -> Self {
        Self {
            settings,
            models: BTreeMap::new(),
            lanes: BTreeMap::new(),
            last_lane: 0,
            weighed_next: 0,
            found: HashMap::new(),
            predictions: 0,
            early: 0,
            edge: None,
            gone: BTreeSet::new(),
            dirty: false,
            cells: Vec::new(),
        }
    }

    /// Its bounds.
    #[must_use]
    pub fn settings(&self) -> JoinSettings {
        self.settings
    }

    /// Whether labels of events counted with this plan are joined.
    #[must_use]
    pub fn concerns(&self, plan: &Plan) -> bool {
        self.settings.max > 0 && plan.has_outcomes()
    }

    /// Takes in a prediction whose label is not known yet.
    pub fn predicted(&mut self, seen: Predicted<'_>) {
        if !self.concerns(seen.plan) {
            return;
        }
        let terms = seen.plan.reference.joint.residual.as_ref();
        self.dirty = true;
        let lane = self.lane(seen.model, seen.version, seen.plan);
        let window = window_of(seen.at, self.settings.window_ms);
        let slice = seen.segment.and_then(|value| place_of(&seen.plan.reference, value));
        let cells = terms.map(|terms| compact(terms, seen.cells, slice)).unwrap_or_default();
        let prediction = Prediction { at: seen.at, score: seen.score, lane, cells };
        let id = hash(seen.id);
        let model = self.models.entry(seen.model.to_owned()).or_default();
        if model.predictions.contains(id) {
            model.fates.repeated += 1;
            return;
        }
        let Some(pane) = self.lanes.get_mut(&lane).and_then(|lane| lane.pane(window)) else {
            model.fates.late += 1;
            return;
        };
        pane.seen += 1;
        match model.early.take(id) {
            Some(early) => {
                self.early -= 1;
                self.label(seen.model, &prediction, early);
            }
            None => {
                model.predictions.insert(id, prediction);
                self.predictions += 1;
                self.make_room();
            }
        }
    }

    /// Takes in a prediction that came with its label. One of a window that is closed comes too late.
    pub fn labelled(
        &mut self,
        (model, version): (&str, &str),
        plan: &Arc<Plan>,
        score_cell: Option<usize>,
        outcome: Outcome,
        at: Millis,
    ) {
        let window = window_of(at, self.settings.window_ms);
        if self.edge.is_some_and(|edge| window + self.settings.window_ms <= edge) {
            return;
        }
        let lane = self.lane(model, version, plan);
        let Some(lane) = self.lanes.get_mut(&lane) else { return };
        let (target, outcome) = (lane.target, lane.outcome(outcome));
        if let Some(pane) = lane.pane(window) {
            pane.inline.add_figures((&plan.reference.joint, target), score_cell, outcome);
            self.dirty = true;
        }
    }

    /// Takes in the label of an earlier prediction, or of one that is still to come.
    pub fn fed_back(&mut self, model: &str, id: &str, label: f64, at: Millis) {
        self.dirty = true;
        let id = hash(id);
        let early = Early { at, label };
        if !self.models.contains_key(model) {
            self.models.insert(model.to_owned(), OfModel::default());
        }
        let Some(of_model) = self.models.get_mut(model) else { return };
        if let Some(prediction) = of_model.predictions.take(id) {
            self.predictions -= 1;
            self.label(model, &prediction, early);
        } else if of_model.early.contains(id) {
            of_model.fates.repeated += 1;
        } else {
            of_model.early.insert(id, early);
            self.early += 1;
            self.make_room();
        }
    }

    /// Adds a label to the pane of its prediction.
    fn label(&mut self, model: &str, prediction: &Prediction, early: Early) {
        let Self { settings, models, lanes, edge, cells, .. } = self;
        let Some(of_model) = models.get_mut(model) else { return };
        // The label was read by a reference of another kind: its version is not the prediction's, or had another reference then.
        let others = lanes
            .get(&prediction.lane)
            .is_some_and(|lane| coded::is_code(early.label) == lane.classes.is_empty());
        if others || early.at > prediction.at.saturating_add(settings.wait) {
            of_model.fates.unmatched += 1;
            of_model.fates.expired += 1;
            return;
        }
        of_model.fates.joined += 1;
        let Some(lane) = lanes.get_mut(&prediction.lane) else { return };
        let (plan, target) = (Arc::clone(&lane.plan), lane.target);
        let outcome = lane.outcome(Outcome { score: prediction.score, label: early.label });
        let Some(pane) = lane.pane(window_of(prediction.at, settings.window_ms)) else { return };
        let window = window_of(early.at.max(prediction.at), settings.window_ms);
        let tally = if edge.is_some_and(|edge| window + settings.window_ms <= edge) {
            &mut pane.settled
        } else {
            pane.coming.entry(window).or_default()
        };
        let joint = &plan.reference.joint;
        expand(joint, &prediction.cells, plan.layout.columns(), cells);
        let slice = slice_of(joint, &prediction.cells);
        tally.add((joint, target), cells, slice, outcome, early.at - prediction.at);
    }

    /// Keeps the bounds: drops the oldest of the model with the most.
    fn make_room(&mut self) {
        while self.predictions > self.settings.max {
            let most = self.models.values_mut().max_by_key(|model| model.predictions.len());
            let Some(model) = most else { return };
            let dropped = model.predictions.drop_oldest();
            model.fates.dropped += dropped as u64;
            self.predictions -= dropped;
        }
        while self.early > (self.settings.max / PART_OF_LABELS).max(1) {
            let most = self.models.values_mut().max_by_key(|model| model.early.len());
            let Some(model) = most else { return };
            let dropped = model.early.drop_oldest();
            model.fates.unmatched += dropped as u64;
            self.early -= dropped;
        }
    }

    fn lane(&mut self, model: &str, version: &str, plan: &Arc<Plan>) -> u32 {
        let is = |lane: &Lane| lane.is(model, version, &plan.reference_id);
        if self.lanes.get(&self.last_lane).is_some_and(is) {
            return self.last_lane;
        }
        let mut hasher = DefaultHasher::new();
        (model, version, &plan.reference_id).hash(&mut hasher);
        let key = hasher.finish();
        let found = self.found.get(&key).copied().filter(|number| self.lanes.get(number).is_some_and(is));
        if let Some(number) = found {
            self.last_lane = number;
            return number;
        }
        let known = self.lanes.iter().find(|(_, lane)| is(lane)).map(|(number, _)| *number);
        let number = known.unwrap_or_else(|| {
            let next = self.lanes.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
            self.lanes.insert(next, Lane::new(model, version, Arc::clone(plan)));
            next
        });
        if self.found.len() > 2 * self.lanes.len() {
            // Of lanes that are no more.
            self.found.clear();
        }
        self.found.insert(key, number);
        self.last_lane = number;
        number
    }

    /// The watermark has passed the end of a window: labels up to there count, and nobody waits for what can no longer
    /// come.
    pub fn close(&mut self, edge: Millis) {
        let JoinSettings { wait, window_ms, grace, .. } = self.settings;
        self.edge = Some(edge);
        if self.lanes.is_empty() && self.models.is_empty() {
            return;
        }
        self.dirty = true;
        self.lanes.values_mut().for_each(|lane| lane.settle(edge, window_ms));
        for model in self.models.values_mut() {
            let expired = model.predictions.retain(|one| one.at.saturating_add(wait + grace) > edge);
            let unmatched = model.early.retain(|one| one.at.saturating_add(grace) > edge);
            model.fates.expired += expired as u64;
            model.fates.unmatched += unmatched as u64;
            self.predictions -= expired;
            self.early -= unmatched;
        }
    }

    /// The next window that is final after [`Join::close`]: of each version in the order of time.
    pub fn next_final(&mut self) -> Option<FinalWindow> {
        let JoinSettings { wait, window_ms, complete, .. } = self.settings;
        let edge = self.edge?;
        let is_final = |start: Millis, pane: &Pane| {
            let inline = pane.inline.labelled;
            let labelled = (pane.settled.labelled + inline) as f64;
            let (end, share) = (start + window_ms, labelled / (pane.seen + inline).max(1) as f64);
            end <= edge && (pane.seen == 0 || share >= complete || end.saturating_add(wait) <= edge)
        };
        let first = |lane: &Lane| {
            let (start, pane) = lane.panes.first_key_value()?;
            is_final(*start, pane).then_some(*start)
        };
        let (number, start) = self.lanes.iter().find_map(|(number, lane)| Some((*number, first(lane)?)))?;
        let lane = self.lanes.get_mut(&number)?;
        let pane = lane.panes.remove(&start)?;
        lane.dirty.remove(&start);
        self.gone.insert(document::pane_name(number, start));
        self.dirty = true;
        let end = start + window_ms;
        lane.next = end;
        let counts = lane.counts(&pane.settled);
        lane.learn_delays(&pane.settled);
        lane.latest = Some(lane.figures((start, end), &pane, self.settings.show_categories));
        Some(FinalWindow {
            model: lane.model.clone(),
            version: lane.version.clone(),
            plan: Arc::clone(&lane.plan),
            start,
            end,
            waited_for: pane.seen,
            labelled: pane.settled.labelled,
            slices: lane.slices(&pane.settled),
            decisions: pane.settled.decisions,
            counts,
        })
    }

    /// Estimate of what the next checkpoint writes, in bytes.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        let chunks: usize =
            self.models.values().map(|model| model.predictions.dirty() + model.early.dirty()).sum();
        let panes: usize = self.lanes.values().map(|lane| lane.dirty.len()).sum();
        chunks * waiting::CHUNK * 64 + panes * PANE_BYTES
    }
}

fn window_of(at: Millis, window_ms: Millis) -> Millis {
    at.div_euclid(window_ms) * window_ms
}

/// Place of a segment among the slices that are compared with the rest.
fn place_of(reference: &Reference, value: &str) -> Option<u16> {
    let is = |slice: &Slice| matches!(slice, Slice::Segment(known) if known == value);
    let place = reference.calibration.as_ref()?.slices.iter().position(is)?;
    u16::try_from(place).ok()
}

/// The cells that the residual's terms need, and the slice.
fn compact(terms: &ResidualTerms, cells: &[usize], slice: Option<u16>) -> Box<[u16]> {
    let cell =
        |column: &usize| cells.get(*column).and_then(|cell| u16::try_from(*cell).ok()).unwrap_or(NO_CELL);
    let columns = terms.columns.iter().chain([&terms.score]).map(cell);
    columns.chain([slice.unwrap_or(NO_CELL)]).collect()
}

/// The slice among the cells; predictions of earlier versions of this program have none.
fn slice_of(joint: &Joint, compact: &[u16]) -> Option<u16> {
    let terms = joint.residual.as_ref()?;
    compact.get(terms.columns.len() + 1).copied().filter(|place| *place != NO_CELL)
}

/// The other way round.
fn expand(joint: &Joint, compact: &[u16], columns: usize, cells: &mut Vec<usize>) {
    cells.clear();
    cells.resize(columns, usize::MAX);
    let Some(terms) = &joint.residual else { return };
    for (column, cell) in terms.columns.iter().chain([&terms.score]).zip(compact) {
        if let Some(place) = cells.get_mut(*column).filter(|_| *cell != NO_CELL) {
            *place = usize::from(*cell);
        }
    }
}

/// Hash of an id, the same in every build (FNV-1a, with its bits mixed once more). Two of a million ids share one with a
/// probability of 3·10⁻⁸.
fn hash(id: &str) -> u64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}
