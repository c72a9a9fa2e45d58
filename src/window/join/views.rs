//! The join for display: what waits, what became of it, and how far labels have come.

use std::collections::BTreeMap;

use super::{Join, OfModel};
use crate::subject::Millis;
use crate::view::{JoinView, LabelsView};

impl Join {
    /// What waits and what became of it, by model.
    #[must_use]
    pub fn models(&self) -> Vec<JoinView> {
        let view = |(name, model): (&String, &OfModel)| JoinView {
            model: name.clone(),
            waiting: model.predictions.len() as u64,
            early: model.early.len() as u64,
            joined: model.fates.joined,
            unmatched: model.fates.unmatched,
            repeated: model.fates.repeated,
            expired: model.fates.expired,
            dropped: model.fates.dropped,
            late: model.fates.late,
        };
        self.models.iter().map(view).collect()
    }

    /// How far the labels of each version have come.
    #[must_use]
    pub fn versions(&self) -> Vec<LabelsView> {
        let mut views: BTreeMap<(&str, &str), LabelsView> = BTreeMap::new();
        for lane in self.lanes.values() {
            let view = views.entry((&lane.model, &lane.version)).or_insert_with(|| LabelsView {
                model: lane.model.clone(),
                version: lane.version.clone(),
                provisional_predictions: 0,
                provisional_labelled: 0,
                provisional: None,
                latest: None,
            });
            let ended =
                |start: &Millis| self.edge.is_some_and(|edge| *start + self.settings.window_ms <= edge);
            for (_, pane) in lane.panes.iter().filter(|(start, _)| ended(start)) {
                view.provisional_predictions += pane.seen;
                view.provisional_labelled += pane.settled.labelled;
            }
            view.provisional = lane.provisional.clone().or(view.provisional.take());
            view.latest = lane.latest.clone().or(view.latest.take());
        }
        views.into_values().collect()
    }
}
