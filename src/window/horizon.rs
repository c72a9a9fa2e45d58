//! One rolling window of one subject: the sum of its panes, kept by adding what enters and subtracting what leaves, so
//! that moving it costs what changed. Not here: what a pane is (`pane.rs`), and who is moved when.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pane::PaneCounts;
use super::plan::{Plan, Plans};

/// Counters of 32 bits, with what exceeds them beside: there are many windows, and large counts in few of them.
#[derive(Debug, Default)]
struct Total {
    /// Empty while nothing was counted.
    low: Vec<u32>,
    /// Upper halves of the counters that need one.
    high: BTreeMap<usize, u32>,
}

impl Total {
    fn clear(&mut self) {
        *self = Self::default();
    }

    fn get(&self, slot: usize) -> u64 {
        let high = if self.high.is_empty() { 0 } else { self.high.get(&slot).copied().unwrap_or(0) };
        (u64::from(high) << 32) | self.low.get(slot).copied().map_or(0, u64::from)
    }

    fn set(&mut self, slot: usize, count: u64) {
        let Some(low) = self.low.get_mut(slot) else { return };
        // The lower half; the upper one follows.
        *low = count as u32;
        let high = (count >> 32) as u32;
        if high > 0 {
            self.high.insert(slot, high);
        } else if !self.high.is_empty() {
            self.high.remove(&slot);
        }
    }

    fn add(&mut self, len: usize, slot: usize, amount: u64) {
        if self.low.is_empty() {
            self.low.resize(len, 0);
        }
        self.set(slot, self.get(slot).saturating_add(amount));
    }

    /// False if there is less to begin with.
    fn subtract(&mut self, slot: usize, amount: u64) -> bool {
        let left = self.get(slot).checked_sub(amount);
        left.is_some_and(|left| {
            self.set(slot, left);
            true
        })
    }

    fn write_to(&self, len: usize, counts: &mut Vec<u64>) {
        counts.clear();
        counts.extend(self.low.iter().copied().map(u64::from));
        counts.resize(len, 0);
        for (slot, high) in &self.high {
            if let Some(count) = counts.get_mut(*slot) {
                *count |= u64::from(*high) << 32;
            }
        }
    }
}

/// Running total of the panes in `[from, to)` that were counted against `plan`.
#[derive(Debug, Default)]
pub(super) struct RollingTotal {
    plan: Option<Arc<Plan>>,
    from: i64,
    to: i64,
    total: Total,
}

impl RollingTotal {
    /// Moves the window to `[to - length, to)` and writes its counts, or gives `None` if no reference applies there.
    ///
    /// A window that was not moved for longer than `every` is summed anew: panes that it holds may be gone by then.
    pub(super) fn advance(
        &mut self,
        to: i64,
        (length, every): (i64, i64),
        plans: &Plans,
        panes: &BTreeMap<i64, PaneCounts>,
        counts: &mut Vec<u64>,
    ) -> Option<&Arc<Plan>> {
        let (begins, plan) = plans.at(to - 1)?;
        let len = plan.layout.len();
        let from = (to - length).max(begins);
        let continues = self.plan.as_ref().is_some_and(|known| known.reference_id == plan.reference_id)
            && (0..=every).contains(&(to - self.to))
            && self.from <= from
            && self.to > from;
        if !continues {
            self.plan = Some(Arc::clone(plan));
            self.total.clear();
            (self.from, self.to) = (from, from);
        }
        if panes.range(from..to).next().is_none() {
            // What is left is nothing: there is no need to subtract it, nor to keep room for it.
            self.total.clear();
        } else {
            self.slide(len, (from, to), panes);
        }
        (self.from, self.to) = (from, to);
        self.total.write_to(len, counts);
        self.plan.as_ref()
    }

    fn slide(&mut self, len: usize, (from, to): (i64, i64), panes: &BTreeMap<i64, PaneCounts>) {
        let total = &mut self.total;
        for pane in panes.range(self.to..to).map(|(_, pane)| pane) {
            pane.each(len, |slot, amount| total.add(len, slot, amount));
        }
        let mut exact = true;
        for pane in panes.range(self.from..from).map(|(_, pane)| pane) {
            pane.each(len, |slot, amount| exact &= total.subtract(slot, amount));
        }
        // W-2: what leaves was added before, so the subtraction cannot fail; were it to, the sum is made anew.
        if !exact {
            total.clear();
            let inside = panes.range(from..to).map(|(_, pane)| pane);
            inside.for_each(|pane| pane.each(len, |slot, amount| total.add(len, slot, amount)));
        }
    }

    /// Takes an increment that a late event makes to a pane already inside the window.
    pub(super) fn amend(&mut self, pane: i64, len: usize, slot: usize, amount: u64) {
        if slot < len && (self.from..self.to).contains(&pane) {
            self.total.add(len, slot, amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counters_of_any_size_add_and_subtract_exactly(steps in proptest::collection::vec((0_usize..4, any::<u64>().prop_map(|x| x >> 6), any::<bool>()), 0..40)) {
            let (mut total, mut right) = (Total::default(), [0_u64; 4]);
            for (slot, amount, adds) in steps {
                let amount = if amount % 3 == 0 { amount >> 30 } else { amount };
                if adds {
                    total.add(4, slot, amount);
                    right[slot] = right[slot].saturating_add(amount);
                } else {
                    let fits = total.subtract(slot, amount);
                    prop_assert_eq!(fits, right[slot] >= amount);
                    right[slot] -= if fits { amount } else { 0 };
                }
                let mut counts = Vec::new();
                total.write_to(4, &mut counts);
                prop_assert_eq!(&counts, &right);
            }
        }
    }
}
