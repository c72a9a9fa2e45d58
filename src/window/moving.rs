//! Step 6 of 10: moving the windows that end at an edge. Each running total is its own, so those of several subjects are
//! lent out, moved on several threads, and taken back before anything else is counted.

use std::sync::Arc;

use super::Windows;
use super::horizon::RollingTotal;
use super::plan::Plan;
use crate::engine::SubjectId;

/// The running total of a subject at one horizon, lent out to be moved to an edge.
#[derive(Debug)]
pub struct Lent {
    id: SubjectId,
    horizon: usize,
    edge: i64,
    /// Panes of the window, and from one to the next.
    length: (i64, i64),
    /// Place of the subject's version.
    version: usize,
    plan: Arc<Plan>,
    total: RollingTotal,
}

impl Lent {
    /// The plan that the counts of the window follow.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }
}

impl Windows {
    /// Lends the total of one horizon out, for the window that ends at `edge`: [`Windows::move_there`] moves it, and
    /// [`Windows::take_back`] must follow. `None` before the subject was first seen, and where no reference applies.
    pub fn lend(&mut self, id: SubjectId, horizon: usize, edge: i64) -> Option<Lent> {
        if !self.subjects.seen_before(id, edge) {
            return None;
        }
        let settings = self.settings.horizons.get(horizon)?;
        let length = (settings.panes, settings.every);
        let subject = self.subjects.name(id)?;
        let version = *self.by_name.get(&*subject.model)?.get(&*subject.version)?;
        let plan = Arc::clone(self.versions.get(version)?.plans.at(edge - 1)?.1);
        let total = std::mem::take(self.subjects.total(id, horizon)?);
        Some(Lent { id, horizon, edge, length, version, plan, total })
    }

    /// Moves a total that was lent out, and writes the counts of its window.
    pub fn move_there(&self, lent: &mut Lent, counts: &mut Vec<u64>) {
        let panes = self.subjects.panes(lent.id);
        let plans = self.versions.get(lent.version).map(|version| &version.plans);
        match panes.zip(plans) {
            Some((panes, plans)) => lent.total.advance(lent.edge, lent.length, plans, panes, counts),
            None => counts.clear(),
        }
        counts.resize(lent.plan.layout.len(), 0);
    }

    /// Takes a total back.
    pub fn take_back(&mut self, lent: Lent) {
        if let Some(total) = self.subjects.total(lent.id, lent.horizon) {
            *total = lent.total;
        }
    }
}
