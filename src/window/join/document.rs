//! The join in the checkpoint: a document per chunk of what waits, one per performance pane, and one for the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use anchorwatch_detectors::performance::DelayCurve;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use super::pane::{Lane, Pane};
use super::waiting::{Chunks, Coded, take};
use super::{Early, Fates, Join, OfModel, Prediction};
use crate::subject::Millis;
use crate::view::PerformanceView;
use crate::window::Plan;

/// Names of the join's documents.
pub const PREFIX: &str = "labels/";

const STATE: &str = "labels/state";
const PANES: &str = "labels/pane/";
const DELAYS: &str = "labels/delays/";
const PREDICTIONS: &str = "labels/prediction/";
const EARLY: &str = "labels/early/";

pub(super) fn pane_name(lane: u32, start: Millis) -> String {
    format!("{PANES}{lane}/{start}")
}

pub(super) fn delays_name(lane: u32) -> String {
    format!("{DELAYS}{lane}")
}

/// Names of the documents of a model from which everything was removed.
pub(super) fn chunk_names(name: &str, model: &mut OfModel) -> Vec<String> {
    let predictions = chunks(PREDICTIONS, name, &mut model.predictions);
    predictions.chain(chunks(EARLY, name, &mut model.early)).map(|(name, _)| name).collect()
}

/// Everything but panes and what waits.
#[derive(Serialize, Deserialize)]
struct State {
    edge: Option<Millis>,
    lanes: Vec<StoredLane>,
    fates: BTreeMap<String, Fates>,
}

#[derive(Serialize, Deserialize)]
struct StoredLane {
    number: u32,
    model: String,
    version: String,
    reference: String,
    next: Millis,
    latest: Option<PerformanceView>,
}

/// Model, number of the chunk, entries.
type StoredChunk = (String, u64, String);

impl Join {
    /// Documents that changed since the last call; one without text is to be deleted.
    pub fn take_documents(&mut self) -> Vec<(String, Option<String>)> {
        let mut documents: Vec<(String, Option<String>)> =
            std::mem::take(&mut self.gone).into_iter().map(|name| (name, None)).collect();
        for (name, model) in &mut self.models {
            documents.extend(chunks(PREDICTIONS, name, &mut model.predictions));
            documents.extend(chunks(EARLY, name, &mut model.early));
        }
        for (number, lane) in &mut self.lanes {
            if std::mem::take(&mut lane.delays_changed) {
                documents.push((delays_name(*number), json(&(number, &lane.delays))));
            }
            for start in std::mem::take(&mut lane.dirty) {
                let text = lane.panes.get(&start).and_then(|pane| json(&(number, start, pane)));
                documents.push((pane_name(*number, start), text));
            }
        }
        if std::mem::take(&mut self.dirty) {
            documents.push((STATE.to_owned(), json(&self.state())));
        }
        documents
    }

    fn state(&self) -> State {
        let lane = |(number, lane): (&u32, &Lane)| StoredLane {
            number: *number,
            model: lane.model.clone(),
            version: lane.version.clone(),
            reference: lane.plan.reference_id.clone(),
            next: lane.next,
            latest: lane.latest.clone(),
        };
        State {
            edge: self.edge,
            lanes: self.lanes.iter().map(lane).collect(),
            fates: self.models.iter().map(|(name, model)| (name.clone(), model.fates)).collect(),
        }
    }

    /// Takes all documents up again. `plan` finds what a version's predictions were counted with; what belongs to one
    /// that is gone is left out.
    ///
    /// # Errors
    /// With the name of the document that is none of this program's.
    pub fn restore(
        &mut self,
        documents: &BTreeMap<String, String>,
        plan: impl Fn(&str, &str, &str) -> Option<Arc<Plan>>,
    ) -> Result<(), (String, serde_json::Error)> {
        if let Some(text) = documents.get(STATE) {
            let state: State = serde_json::from_str(text).map_err(|error| (STATE.to_owned(), error))?;
            self.edge = state.edge;
            for stored in state.lanes {
                if let Some(plan) = plan(&stored.model, &stored.version, &stored.reference) {
                    let lane = Lane::new(&stored.model, &stored.version, plan);
                    let mut latest = stored.latest;
                    if let Some(latest) = latest.as_mut().filter(|_| !self.settings.show_categories) {
                        // Their names were allowed when it was written.
                        latest.classes.clear();
                    }
                    let lane = Lane { next: stored.next, latest, ..lane };
                    self.lanes.insert(stored.number, lane);
                }
            }
            for (name, fates) in state.fates {
                self.models.entry(name).or_default().fates = fates;
            }
        }
        for (name, text) in
            documents.range(PREFIX.to_owned()..).take_while(|(name, _)| name.starts_with(PREFIX))
        {
            self.restore_one(name, text).map_err(|error| (name.clone(), error))?;
        }
        let lanes = &self.lanes;
        for model in self.models.values_mut() {
            model.predictions.retain(|one| lanes.contains_key(&one.lane));
        }
        self.predictions = self.models.values().map(|model| model.predictions.len()).sum();
        self.early = self.models.values().map(|model| model.early.len()).sum();
        Ok(())
    }

    fn restore_one(&mut self, name: &str, text: &str) -> Result<(), serde_json::Error> {
        if name.starts_with(PANES) {
            let (number, start, pane): (u32, Millis, Pane) = serde_json::from_str(text)?;
            match self.lanes.get_mut(&number) {
                Some(lane) => _ = lane.panes.insert(start, pane),
                None => _ = self.gone.insert(name.to_owned()),
            }
            return Ok(());
        }
        if name.starts_with(DELAYS) {
            let (number, delays): (u32, DelayCurve) = serde_json::from_str(text)?;
            match self.lanes.get_mut(&number) {
                Some(lane) => lane.delays = delays,
                None => _ = self.gone.insert(name.to_owned()),
            }
            return Ok(());
        }
        if name.starts_with(PREDICTIONS) || name.starts_with(EARLY) {
            let (model, number, entries): StoredChunk = serde_json::from_str(text)?;
            let damaged = || serde_json::Error::custom("the entries are damaged");
            let bytes = STANDARD.decode(entries).map_err(|_| damaged())?;
            let model = self.models.entry(model).or_default();
            let taken = match name.starts_with(EARLY) {
                true => model.early.restore(number, &bytes),
                false => model.predictions.restore(number, &bytes),
            };
            return taken.ok_or_else(damaged);
        }
        Ok(())
    }
}

fn chunks<T: Coded>(
    prefix: &str,
    model: &str,
    chunks: &mut Chunks<T>,
) -> impl Iterator<Item = (String, Option<String>)> + use<T> {
    let document = |(number, bytes): (u64, Option<Vec<u8>>)| {
        let text = bytes.and_then(|bytes| json(&(model, number, STANDARD.encode(bytes))));
        (format!("{prefix}{model}/{number}"), text)
    };
    chunks.take_dirty().into_iter().map(document).collect::<Vec<_>>().into_iter()
}

fn json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

impl Coded for Prediction {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.at.to_le_bytes());
        bytes.extend(self.score.to_bits().to_le_bytes());
        bytes.extend(self.lane.to_le_bytes());
        bytes.extend(u16::try_from(self.cells.len()).unwrap_or(0).to_le_bytes());
        self.cells.iter().for_each(|cell| bytes.extend(cell.to_le_bytes()));
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let at = Millis::from_le_bytes(take(bytes)?);
        let score = f64::from_bits(u64::from_le_bytes(take(bytes)?));
        let lane = u32::from_le_bytes(take(bytes)?);
        let cells = u16::from_le_bytes(take(bytes)?);
        let cells = (0..cells).map(|_| take(bytes).map(u16::from_le_bytes)).collect::<Option<_>>()?;
        Some(Self { at, score, lane, cells })
    }
}

impl Coded for Early {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.at.to_le_bytes());
        bytes.extend(self.label.to_bits().to_le_bytes());
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let at = Millis::from_le_bytes(take(bytes)?);
        Some(Self { at, label: f64::from_bits(u64::from_le_bytes(take(bytes)?)) })
    }
}
