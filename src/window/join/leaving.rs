//! What the join forgets: versions and models that left the registry, and references that nobody counts by any more.

use super::{Join, document};

impl Join {
    /// Forgets versions that are no longer watched, with what waits for them, and all that is remembered of models that
    /// are not `known`.
    pub fn retain(&mut self, watched: impl Fn(&str, &str) -> bool, known: impl Fn(&str) -> bool) {
        let gone: Vec<u32> = self
            .lanes
            .iter()
            .filter(|(_, lane)| !watched(&lane.model, &lane.version))
            .map(|(number, _)| *number)
            .collect();
        for number in &gone {
            if let Some(lane) = self.lanes.remove(number) {
                self.gone.extend(lane.panes.keys().map(|start| document::pane_name(*number, *start)));
                self.gone.insert(document::delays_name(*number));
            }
        }
        self.dirty |= !gone.is_empty();
        let Self { models, lanes, predictions, early, gone: documents, dirty, .. } = self;
        models.retain(|name, model| {
            if known(name) {
                if !gone.is_empty() {
                    *predictions -= model.predictions.retain(|one| lanes.contains_key(&one.lane));
                    if lanes.values().all(|lane| lane.model != *name) {
                        *early -= model.early.len();
                        model.early.clear();
                    }
                }
                return true;
            }
            *predictions -= model.predictions.len();
            *early -= model.early.len();
            model.predictions.clear();
            model.early.clear();
            documents.extend(document::chunk_names(name, model));
            *dirty = true;
            false
        });
    }

    /// Whether anything waits that was counted by this reference.
    #[must_use]
    pub fn needs(&self, model: &str, version: &str, reference: &str) -> bool {
        let lane = self.lanes.iter().find(|(_, lane)| lane.is(model, version, reference));
        lane.is_some_and(|(number, _)| self.is_waited_in(*number))
    }

    fn is_waited_in(&self, number: u32) -> bool {
        let Some(lane) = self.lanes.get(&number) else { return false };
        let of_model = self.models.get(&lane.model);
        !lane.panes.is_empty()
            || of_model.is_some_and(|model| model.predictions.any(|one| one.lane == number))
    }

    /// Forgets references by which nothing waits and that are not `in_use` any more, given model, version and reference.
    pub fn forget_lanes(&mut self, in_use: impl Fn(&str, &str, &str) -> bool) {
        let unused = self.lanes.iter().filter(|(number, lane)| {
            !in_use(&lane.model, &lane.version, &lane.plan.reference_id) && !self.is_waited_in(**number)
        });
        let unused: Vec<u32> = unused.map(|(number, _)| *number).collect();
        for number in unused {
            self.lanes.remove(&number);
            self.gone.insert(document::delays_name(number));
            self.dirty = true;
        }
    }
}
