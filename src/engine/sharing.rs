//! How many versions of a model share its false-alarm budget: those that had events in the panes of the longest horizon.
//!
//! That is a fact of the event log alone, so a replay and any number of partitions come to the same number. It is
//! taken at the edges at which windows under the budget end, and remembered for as long as labels may come, whose windows are judged
//! later than they end. Bounds: 63 versions a model and 4,096 changes of their number.

use std::collections::{BTreeMap, VecDeque};

use anchorwatch_detectors::calibrated::MOST_SHARING;
use serde::{Deserialize, Serialize};

use super::changed::Changed;
use super::{Engine, SubjectId};
use crate::subject::Millis;

/// Names of this module's documents.
pub(super) const DOCUMENT_PREFIX: &str = "sharing/";

/// Most changes that are remembered of a model.
const MOST_CHANGES: usize = 4_096;

/// The versions of one model.
#[derive(Debug, Default, Serialize, Deserialize)]
struct OfModel {
    /// End of the newest closed pane with events, by version.
    versions: BTreeMap<String, Millis>,
    /// From which edge on how many shared the budget, oldest first.
    changes: VecDeque<(Millis, u32)>,
}

/// The versions that share budgets, by model.
#[derive(Debug)]
pub(super) struct Sharing {
    /// Length of the windows that are judged under the budget.
    window_ms: Millis,
    longest: Millis,
    /// How long after its end a window may be judged.
    kept: Millis,
    /// The last edge that was noted.
    end: Millis,
    models: BTreeMap<String, OfModel>,
    changed: Changed<String>,
}

impl Sharing {
    /// Nobody shares anything yet. A version counts for `longest` after its last event; windows of `window_ms` may be judged
    /// until `kept` after their end.
    pub(super) fn new(window_ms: Millis, longest: Millis, kept: Millis) -> Self {
        let window_ms = window_ms.max(1);
        let longest = longest.max(window_ms);
        let (models, changed) = (BTreeMap::new(), Changed::default());
        Self { window_ms, longest, kept, end: Millis::MIN, models, changed }
    }

    /// Takes in who had events before the edge at `end`: model, version, and the end of the newest pane with events.
    fn note<'a>(&mut self, end: Millis, seen: impl Iterator<Item = (&'a str, &'a str, Millis)>) {
        for (model, version, last) in seen.filter(|(_, _, last)| *last > end - self.longest) {
            if !self.models.contains_key(model) {
                self.models.insert(model.to_owned(), OfModel::default());
            }
            let Some(of_model) = self.models.get_mut(model) else { continue };
            match of_model.versions.get_mut(version) {
                Some(known) if *known >= last => continue,
                Some(known) => *known = last,
                None => _ = of_model.versions.insert(version.to_owned(), last),
            }
            self.changed.note(model.to_owned());
        }
        self.end = end;
        for (model, one) in &mut self.models {
            if one.take(end, end - self.longest, end - self.kept) {
                self.changed.note(model.clone());
            }
        }
    }

    /// Forgets models that are not known, once no window of theirs can be judged any more.
    pub(super) fn retain(&mut self, known: impl Fn(&str) -> bool) {
        let needed = self.end.saturating_sub(self.longest.max(self.kept));
        let Self { models, changed, .. } = self;
        models.retain(|model, one| {
            let stays = known(model) || one.versions.values().any(|last| *last > needed);
            if !stays {
                changed.note(model.clone());
            }
            stays
        });
    }

    /// How many versions of a model share its budget in the window that ends at `end`; at least 1.
    pub(super) fn among(&self, model: &str, end: Millis) -> u32 {
        let changes = self.models.get(model).map(|one| &one.changes);
        let changes = changes.into_iter().flatten();
        let before = changes.clone().take_while(|(at, _)| *at <= end).last();
        before.or_else(|| changes.clone().next()).map_or(1, |(_, sharing)| (*sharing).max(1))
    }

    /// The part of a model's budget that a version has now: all versions have all of it together, and one that
    /// has not served for long has none unless it was the last.
    pub(super) fn share(&self, model: &str, version: &str) -> f64 {
        let Some(of_model) = self.models.get(model) else { return 0.0 };
        let serves = of_model.versions.contains_key(version);
        if serves { 1.0 / of_model.versions.len().max(1) as f64 } else { 0.0 }
    }

    /// Fixes which documents [`Self::write_some`] writes.
    pub(super) fn begin_writing(&mut self) {
        self.changed.begin();
    }

    /// Writes the documents of at most so many models ahead of the next checkpoint; gives how many.
    pub(super) fn write_some(&mut self, most: usize) -> usize {
        let Self { models, changed, .. } = self;
        changed.write_some(most, |model| {
            let text = models.get(&model).map(|of_model| serde_json::to_string(&(&model, of_model)));
            Some((format!("{DOCUMENT_PREFIX}{model}"), text.transpose().ok()?))
        })
    }

    /// Documents of the models that changed since the last call; one without text is to be deleted.
    pub(super) fn take_documents(&mut self) -> BTreeMap<String, Option<String>> {
        self.changed.begin();
        self.write_some(usize::MAX);
        self.changed.take_written()
    }

    /// Takes a document back.
    pub(super) fn restore(&mut self, text: &str) -> Result<(), serde_json::Error> {
        let (model, of_model): (String, OfModel) = serde_json::from_str(text)?;
        self.models.insert(model, of_model);
        Ok(())
    }
}

impl OfModel {
    /// Forgets what is too old at an edge and notes how many are left; whether anything changed.
    fn take(&mut self, end: Millis, since: Millis, needed: Millis) -> bool {
        let known = (self.versions.len(), self.changes.len());
        // Whoever served last has the budget until another one comes.
        let newest = self.versions.values().copied().max();
        self.versions.retain(|_, last| *last > since || Some(*last) == newest);
        while self.versions.len() > MOST_SHARING as usize {
            let oldest = self.versions.iter().min_by_key(|(_, last)| **last).map(|(name, _)| name.clone());
            self.versions.remove(&oldest.unwrap_or_default());
        }
        let sharing = u32::try_from(self.versions.len()).unwrap_or(MOST_SHARING);
        let changed = self.changes.back().is_none_or(|(_, before)| *before != sharing);
        if changed {
            self.changes.push_back((end, sharing));
        }
        while self.changes.get(1).is_some_and(|(at, _)| *at <= needed) || self.changes.len() > MOST_CHANGES {
            self.changes.pop_front();
        }
        changed || known != (self.versions.len(), self.changes.len())
    }
}

impl Engine {
    /// Notes at an edge which versions share the budgets from now on.
    pub(super) fn note_sharing(&mut self, edge: i64, subjects: impl Iterator<Item = SubjectId>) {
        let pane_ms = self.windows.settings().pane_ms;
        let end = edge * pane_ms;
        if end.rem_euclid(self.sharing.window_ms) != 0 {
            return;
        }
        let windows = &self.windows;
        let seen = subjects.filter_map(|id| {
            let subject = windows.subject(id).filter(|subject| subject.segment.is_none())?;
            Some((&*subject.model, &*subject.version, (windows.newest_before(id, edge)? + 1) * pane_ms))
        });
        self.sharing.note(end, seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    #[test]
    fn versions_share_while_they_serve_and_late_windows_know_how_many_did() {
        let mut sharing = Sharing::new(HOUR, 24 * HOUR, 48 * HOUR);
        assert_eq!((sharing.among("m", 0), sharing.share("m", "1")), (1, 0.0));
        for hour in 1..=100 {
            let end = hour * HOUR;
            let mut seen = vec![("m", "1", end), ("other", "1", end)];
            if (10..=20).contains(&hour) {
                seen.push(("m", "2", end));
            }
            sharing.note(end, seen.into_iter());
            let both = (10..44).contains(&hour);
            assert_eq!(sharing.among("m", end), if both { 2 } else { 1 }, "{hour}");
            assert_eq!(sharing.among("other", end), 1);
            let shares = ["1", "2", "3"].map(|version| sharing.share("m", version));
            assert_eq!(shares, if both { [0.5, 0.5, 0.0] } else { [1.0, 0.0, 0.0] }, "{hour}");
            if hour == 50 {
                assert_eq!([9, 10, 43, 44].map(|hour| sharing.among("m", hour * HOUR)), [1, 2, 2, 1]);
            }
        }
        let stored = sharing.take_documents();
        let mut restored = Sharing::new(HOUR, 24 * HOUR, 48 * HOUR);
        stored.values().filter_map(Option::as_deref).for_each(|text| restored.restore(text).unwrap());
        assert_eq!(format!("{:?}", restored.models), format!("{:?}", sharing.models));
        // Whoever is known keeps its budget, and whoever is not leaves with its document.
        sharing.retain(|model| model == "m");
        assert_eq!(sharing.models.len(), 2, "its windows may still be judged");
        sharing.note(600 * HOUR, std::iter::empty());
        sharing.retain(|model| model == "m");
        assert_eq!((sharing.share("m", "1"), sharing.share("other", "1")), (1.0, 0.0));
        assert_eq!(sharing.take_documents(), [("sharing/other".to_owned(), None)].into());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut sharing = Sharing::new(1, 1, Millis::MAX / 4);
        let names: Vec<String> = (0..100).map(|name| name.to_string()).collect();
        for end in 1..10_000 {
            let serve = if end % 2 == 0 { 100 } else { 1 };
            sharing.note(end, names.iter().take(serve).map(|name| ("m", name.as_str(), end)));
            assert!(sharing.models["m"].versions.len() <= MOST_SHARING as usize);
        }
        assert_eq!(sharing.models["m"].changes.len(), MOST_CHANGES);
    }
}
