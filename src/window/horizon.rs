//! One rolling window of one subject: the sum of its panes, kept by adding what enters and subtracting what leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use anchorwatch_detectors::counts::subtract;

use super::pane::Pane;
use super::plan::{Plan, Plans};

/// Running total of the panes in `[from, to)` that were counted against `plan`.
#[derive(Debug, Default)]
pub(super) struct RollingTotal {
    plan: Option<Arc<Plan>>,
    from: i64,
    to: i64,
    total: Vec<u64>,
}

impl RollingTotal {
    /// Moves the window to `[to - length, to)` and gives its counts, or `None` if no reference applies there.
    ///
    /// A window that was not moved for longer than `every` is summed anew: panes that it holds may be gone by then.
    pub(super) fn advance(
        &mut self,
        to: i64,
        (length, every): (i64, i64),
        plans: &Plans,
        panes: &BTreeMap<i64, Pane>,
    ) -> Option<(&Arc<Plan>, &[u64])> {
        let (begins, plan) = plans.at(to - 1)?;
        let from = (to - length).max(begins);
        let continues = self.plan.as_ref().is_some_and(|known| known.reference_id == plan.reference_id)
            && (0..=every).contains(&(to - self.to))
            && self.from <= from
            && self.to > from;
        if !continues {
            self.plan = Some(Arc::clone(plan));
            self.total.clear();
            self.total.resize(plan.layout.len(), 0);
            (self.from, self.to) = (from, from);
        }
        for pane in panes.range(self.to..to).map(|(_, pane)| pane) {
            pane.add_to(&mut self.total);
        }
        for pane in panes.range(self.from..from).map(|(_, pane)| pane) {
            // W-2: what leaves was added before, so the subtraction cannot fail; were it to, the sum is made anew.
            let leaving = pane.counts(self.total.len());
            if subtract(&mut self.total, &leaving).is_err() {
                self.total.fill(0);
                panes.range(from..to).for_each(|(_, pane)| pane.add_to(&mut self.total));
                break;
            }
        }
        (self.from, self.to) = (from, to);
        self.plan.as_ref().map(|plan| (plan, self.total.as_slice()))
    }

    /// Takes an increment that a late event makes to a pane already inside the window.
    pub(super) fn amend(&mut self, pane: i64, index: usize, amount: u64) {
        if (self.from..self.to).contains(&pane)
            && let Some(counter) = self.total.get_mut(index)
        {
            *counter += amount;
        }
    }
}
