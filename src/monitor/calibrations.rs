//! What is normal for windows of each reference and length, computed once from the windows of its baseline. A checkpoint keeps
//! it, a document for each reference, so that a start reads no such windows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::calibration::{Calibration, judged_length};
use crate::config::{Detector, Monitor};
use crate::subject::Millis;
use crate::window::Plan;

/// Names of these documents, followed by the reference.
pub(crate) const CALIBRATION_DOCUMENTS: &str = "calibration/";

/// Raised whenever the same windows and settings give other figures than before.
const FORM: u32 = 1;

/// Event time after which windows that could not be read are tried again.
const AGAIN: Millis = 900_000;

/// Most lengths of a reference that are taken back from a document: more than anybody judges at once.
const MOST_LENGTHS: usize = 64;

/// What figures depend on besides the reference and the length.
#[derive(Serialize)]
struct Settings<'a> {
    form: u32,
    numeric: &'a [Detector],
    categorical: &'a [Detector],
    quantiles: &'a [f64],
    objective_ms: Option<f64>,
    min_rows: u64,
}

/// Calibrations by reference and length.
#[derive(Debug)]
pub(super) struct Calibrations {
    /// Names the settings that these hold for.
    settings: String,
    known: HashMap<String, OfReference>,
    /// Documents that changed since the last checkpoint; one without text is to be deleted.
    written: BTreeMap<String, Option<String>>,
    /// Of references without windows, and as long as those of one cannot be read.
    none: Arc<Calibration>,
}

#[derive(Debug, Default)]
struct OfReference {
    by_length: BTreeMap<Millis, Arc<Calibration>>,
    /// As a checkpoint had them. They are read when the first is asked for: at a start there may be thousands.
    stored: Option<String>,
    unread: Option<Unread>,
}

/// Windows that could not be read.
#[derive(Debug)]
struct Unread {
    why: String,
    try_again: Millis,
}

impl Calibrations {
    /// None yet.
    pub(super) fn new(monitor: &Monitor, min_rows: u64) -> Self {
        let settings = Settings {
            form: FORM,
            numeric: &monitor.detectors.numeric,
            categorical: &monitor.detectors.categorical,
            quantiles: &monitor.latency.quantiles,
            objective_ms: monitor.latency.objective_ms,
            min_rows,
        };
        Self {
            settings: serde_json::to_string(&settings).unwrap_or_default(),
            known: HashMap::new(),
            written: BTreeMap::new(),
            none: Arc::default(),
        }
    }

    /// Length of the stretches of a baseline that are like windows of `length`: below that of one of its windows all share
    /// one. `None` if it has no windows.
    fn length(plan: &Plan, length: Millis) -> Option<Millis> {
        let window_ms = plan.reference.window_ms.filter(|_| !plan.reference.windows.is_empty())?;
        Some(judged_length(length, window_ms))
    }

    /// What is known of a plan's reference.
    fn of_reference(&mut self, plan: &Plan) -> &mut OfReference {
        if !self.known.contains_key(&plan.reference_id) {
            self.known.insert(plan.reference_id.clone(), OfReference::default());
        }
        let of_reference = self.known.entry(plan.reference_id.clone()).or_default();
        of_reference.take_stored(&self.settings);
        of_reference
    }

    /// Whether [`Calibrations::of`] would read the windows of a baseline.
    pub(super) fn owes(&mut self, plan: &Plan, length: Millis, now: Millis) -> bool {
        let Some(length) = Self::length(plan, length) else { return false };
        let known = self.of_reference(plan);
        !known.by_length.contains_key(&length)
            && known.unread.as_ref().is_none_or(|unread| unread.try_again <= now)
    }

    /// The calibration for windows of `length`. Where the windows of the baseline cannot be read it is as if there were none,
    /// and tried again some event time after `now`.
    pub(super) fn of(
        &mut self,
        plan: &Plan,
        length: Millis,
        now: Millis,
        (monitor, min_rows): (&Monitor, u64),
    ) -> Arc<Calibration> {
        let owes = self.owes(plan, length, now);
        let (Some(length), none) = (Self::length(plan, length), Arc::clone(&self.none)) else {
            return Arc::clone(&self.none);
        };
        let known = self.of_reference(plan);
        if !owes {
            return known.by_length.get(&length).map_or(none, Arc::clone);
        }
        match Calibration::of(&plan.reference, length, min_rows, monitor) {
            Ok(made) => {
                let made = Arc::new(made);
                known.unread = None;
                known.by_length.insert(length, Arc::clone(&made));
                self.write(&plan.reference_id);
                made
            }
            Err(error) => {
                known.unread = Some(Unread { why: error.to_string(), try_again: now.saturating_add(AGAIN) });
                none
            }
        }
    }

    /// Writes the document of a reference.
    fn write(&mut self, id: &str) {
        let Some(of_reference) = self.known.get(id) else { return };
        // One that cannot be written is computed anew after the next start.
        if let Ok(packed) = rmp_serde::to_vec_named(&of_reference.by_length)
            && let Ok(text) = serde_json::to_string(&(&self.settings, STANDARD.encode(packed)))
        {
            self.written.insert(format!("{CALIBRATION_DOCUMENTS}{id}"), Some(text));
        }
    }

    /// Documents that changed since the last call; one without text is to be deleted.
    pub(super) fn take_documents(&mut self) -> BTreeMap<String, Option<String>> {
        std::mem::take(&mut self.written)
    }

    /// Takes a document back.
    pub(super) fn restore(&mut self, name: &str, text: &str) {
        if let Some(id) = name.strip_prefix(CALIBRATION_DOCUMENTS) {
            self.known.entry(id.to_owned()).or_default().stored = Some(text.to_owned());
        }
    }

    /// Forgets those of references that are no longer in use, with their documents.
    pub(super) fn retain(&mut self, in_use: impl Fn(&str) -> bool) {
        let Self { known, written, .. } = self;
        known.retain(|id, _| {
            let stays = in_use(id);
            if !stays {
                written.insert(format!("{CALIBRATION_DOCUMENTS}{id}"), None);
            }
            stays
        });
    }

    /// Why the windows of a reference could not be read when that was last tried.
    pub(super) fn unread(&self, reference: &str) -> Option<&str> {
        Some(&self.known.get(reference)?.unread.as_ref()?.why)
    }

    /// Whether those of any could not.
    pub(super) fn any_unread(&self) -> bool {
        self.known.values().any(|known| known.unread.is_some())
    }

    /// Whether windows are judged by what the baseline of a reference shows.
    pub(super) fn is_known(&self, reference: &str) -> bool {
        self.known.get(reference).is_some_and(|known| known.unread.is_none() && !known.by_length.is_empty())
    }
}

impl OfReference {
    /// Reads what a checkpoint had, unless it holds for other settings or is none: then it is computed anew.
    fn take_stored(&mut self, settings: &str) {
        let Some(stored) = self.stored.take() else { return };
        let Ok((of_settings, packed)) = serde_json::from_str::<(String, String)>(&stored) else { return };
        if of_settings != settings {
            return;
        }
        let Ok(packed) = STANDARD.decode(packed) else { return };
        match rmp_serde::from_slice::<BTreeMap<Millis, Arc<Calibration>>>(&packed) {
            Ok(by_length) if by_length.len() <= MOST_LENGTHS => self.by_length = by_length,
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
#[path = "calibrations_tests.rs"]
mod tests;
