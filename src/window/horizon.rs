//! One rolling window of one subject: the sum of its panes, kept by adding what enters and subtracting what leaves, so
//! that moving it costs what changed. Not here: what a pane is (`pane.rs`), and who is moved when.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pane::{PaneCounts, Size};
use super::plan::{Plan, Plans};

/// Lower parts of the counters, all of one width.
#[derive(Debug)]
enum Low {
    Bytes(Vec<u8>),
    Halves(Vec<u16>),
    Words(Vec<u32>),
}

impl Default for Low {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

impl Low {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(low) => low.len(),
            Self::Halves(low) => low.len(),
            Self::Words(low) => low.len(),
        }
    }

    const fn bits(&self) -> u32 {
        match self {
            Self::Bytes(_) => 8,
            Self::Halves(_) => 16,
            Self::Words(_) => 32,
        }
    }

    fn get(&self, slot: usize) -> Option<u64> {
        match self {
            Self::Bytes(low) => low.get(slot).copied().map(u64::from),
            Self::Halves(low) => low.get(slot).copied().map(u64::from),
            Self::Words(low) => low.get(slot).copied().map(u64::from),
        }
    }

    /// Adds without carrying; false if there is no such counter or no room for the sum.
    fn add(&mut self, slot: usize, amount: u64) -> bool {
        match self {
            Self::Bytes(low) => {
                u8::try_from(amount).is_ok_and(|amount| change(low, slot, |x| x.checked_add(amount)))
            }
            Self::Halves(low) => {
                u16::try_from(amount).is_ok_and(|amount| change(low, slot, |x| x.checked_add(amount)))
            }
            Self::Words(low) => {
                u32::try_from(amount).is_ok_and(|amount| change(low, slot, |x| x.checked_add(amount)))
            }
        }
    }

    /// Subtracts without borrowing; false if there is no such counter or it is less.
    fn subtract(&mut self, slot: usize, amount: u64) -> bool {
        match self {
            Self::Bytes(low) => {
                u8::try_from(amount).is_ok_and(|amount| change(low, slot, |x| x.checked_sub(amount)))
            }
            Self::Halves(low) => {
                u16::try_from(amount).is_ok_and(|amount| change(low, slot, |x| x.checked_sub(amount)))
            }
            Self::Words(low) => {
                u32::try_from(amount).is_ok_and(|amount| change(low, slot, |x| x.checked_sub(amount)))
            }
        }
    }

    /// Keeps as many of the lowest bits as there is room for.
    fn set(&mut self, slot: usize, count: u64) {
        match self {
            Self::Bytes(low) => low.get_mut(slot).into_iter().for_each(|place| *place = count as u8),
            Self::Halves(low) => low.get_mut(slot).into_iter().for_each(|place| *place = count as u16),
            Self::Words(low) => low.get_mut(slot).into_iter().for_each(|place| *place = count as u32),
        }
    }

    fn write_to(&self, counts: &mut Vec<u64>) {
        match self {
            Self::Bytes(low) => counts.extend(low.iter().copied().map(u64::from)),
            Self::Halves(low) => counts.extend(low.iter().copied().map(u64::from)),
            Self::Words(low) => counts.extend(low.iter().copied().map(u64::from)),
        }
    }
}

/// Changes a counter; false if there is none, or no such value of it.
fn change<T: Copy>(counters: &mut [T], slot: usize, of: impl Fn(T) -> Option<T>) -> bool {
    let Some(counter) = counters.get_mut(slot) else { return false };
    of(*counter).is_some_and(|changed| {
        *counter = changed;
        true
    })
}

/// Counters as narrow as their counts allow, with what exceeds that beside: there are many windows, and large counts in
/// few of them. Of a subject that sends an event a minute, a day takes a byte a counter. Joint terms are sums of products,
/// large from the first event on: they are plain numbers.
#[derive(Debug, Default)]
struct Total {
    /// Empty while nothing was counted.
    low: Low,
    /// What is above, of the counters that have it, in their order.
    high: Vec<(u32, u64)>,
    /// Where the last one was found: panes hand their counters out in order, so that the next is at hand.
    last: usize,
    /// Joint terms: none, or all.
    joint: Vec<u64>,
}

/// Part of the counters that may have something beside them before all become wider.
const MOST_HIGH: usize = 32;

impl Total {
    fn clear(&mut self) {
        *self = Self::default();
    }

    /// Place of what a counter has above, or where it would be.
    fn find(&mut self, slot: u32) -> Result<usize, usize> {
        let known = |place: usize| self.high.get(place).map(|(known, _)| *known);
        let fits = |place: &usize| {
            known(*place).is_none_or(|known| known >= slot)
                && place.checked_sub(1).is_none_or(|before| known(before).is_some_and(|known| known < slot))
        };
        let found = match [self.last, self.last + 1].into_iter().find(fits) {
            Some(place) if known(place) == Some(slot) => Ok(place),
            Some(place) => Err(place),
            None => self.high.binary_search_by_key(&slot, |(known, _)| *known),
        };
        self.last = found.unwrap_or_else(|place| place);
        found
    }

    /// Changes a counter of whatever size; false if there is none, or no such count.
    fn change(&mut self, slot: usize, of: impl Fn(u64) -> Option<u64>) -> bool {
        let Some((low, key)) = self.low.get(slot).zip(u32::try_from(slot).ok()) else { return false };
        let (place, bits) = (self.find(key), self.low.bits());
        let high = place.ok().and_then(|place| self.high.get(place)).map_or(0, |(_, high)| *high);
        let Some(count) = of((high << bits) | low) else { return false };
        self.low.set(slot, count);
        match (place, count >> bits) {
            (Ok(place), 0) => _ = self.high.remove(place),
            (Ok(place), high) => self.high[place].1 = high,
            (Err(_), 0) => {}
            (Err(place), high) => {
                self.high.insert(place, (key, high));
                if self.high.len() > self.low.len() / MOST_HIGH {
                    self.widen();
                }
            }
        }
        true
    }

    /// Makes all counters wider; the widest stay.
    fn widen(&mut self) {
        let low = match &self.low {
            Low::Bytes(low) => Low::Halves(low.iter().copied().map(u16::from).collect()),
            Low::Halves(low) => Low::Words(low.iter().copied().map(u32::from).collect()),
            Low::Words(_) => return,
        };
        let narrow = std::mem::replace(&mut self.low, low);
        self.last = 0;
        for (key, high) in std::mem::take(&mut self.high) {
            let slot = key as usize;
            let count = (high << narrow.bits()) | narrow.get(slot).unwrap_or(0);
            self.low.set(slot, count);
            let high = count >> self.low.bits();
            if high > 0 {
                self.high.push((key, high));
            }
        }
    }

    fn add(&mut self, size: Size, slot: usize, amount: u64) {
        if self.low.len() == 0 {
            self.low = Low::Bytes(vec![0; size.single()]);
            self.joint = vec![0; size.len - size.single()];
        }
        if let Some(joint) = slot.checked_sub(self.low.len()) {
            if let Some(counter) = self.joint.get_mut(joint) {
                *counter = counter.saturating_add(amount);
            }
        } else if !self.low.add(slot, amount) {
            self.change(slot, |count| Some(count.saturating_add(amount)));
        }
    }

    /// False if there is less to begin with.
    fn subtract(&mut self, slot: usize, amount: u64) -> bool {
        if let Some(joint) = slot.checked_sub(self.low.len()) {
            // Of no counters there is always nothing to take.
            return change(&mut self.joint, joint, |count| count.checked_sub(amount)) || amount == 0;
        }
        self.low.subtract(slot, amount) || self.change(slot, |count| count.checked_sub(amount))
    }

    fn write_to(&self, len: usize, counts: &mut Vec<u64>) {
        counts.clear();
        counts.reserve(len);
        self.low.write_to(counts);
        for (slot, high) in &self.high {
            if let Some(count) = counts.get_mut(*slot as usize) {
                *count |= high << self.low.bits();
            }
        }
        counts.extend_from_slice(&self.joint);
        counts.resize(len, 0);
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
    /// Moves the window to `[to - length, to)` and writes its counts: none if no reference applies there.
    ///
    /// A window that was not moved for longer than `every` is summed anew: panes that it holds may be gone by then.
    pub(super) fn advance(
        &mut self,
        to: i64,
        (length, every): (i64, i64),
        plans: &Plans,
        panes: &BTreeMap<i64, PaneCounts>,
        counts: &mut Vec<u64>,
    ) {
        let Some((begins, plan)) = plans.at(to - 1) else { return counts.clear() };
        let size = plan.size();
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
            self.slide(size, (from, to), panes);
        }
        (self.from, self.to) = (from, to);
        self.total.write_to(size.len, counts);
    }

    fn slide(&mut self, size: Size, (from, to): (i64, i64), panes: &BTreeMap<i64, PaneCounts>) {
        let total = &mut self.total;
        for pane in panes.range(self.to..to).map(|(_, pane)| pane) {
            pane.each(size.len, |slot, amount| total.add(size, slot, amount));
        }
        let mut exact = true;
        for pane in panes.range(self.from..from).map(|(_, pane)| pane) {
            pane.each(size.len, |slot, amount| exact &= total.subtract(slot, amount));
        }
        // W-2: what leaves was added before, so the subtraction cannot fail; were it to, the sum is made anew.
        if !exact {
            total.clear();
            let inside = panes.range(from..to).map(|(_, pane)| pane);
            inside.for_each(|pane| pane.each(size.len, |slot, amount| total.add(size, slot, amount)));
        }
    }

    /// Writes the sum of the panes in `[from, to)` that were counted against this plan, if it is just that; false if not.
    pub(super) fn sum(&self, (from, to): (i64, i64), plan: &Plan, counts: &mut Vec<u64>) -> bool {
        let counted = self.plan.as_ref().is_some_and(|known| known.reference_id == plan.reference_id);
        let is_it = counted && (self.from, self.to) == (from, to);
        if is_it {
            self.total.write_to(plan.layout.len(), counts);
        }
        is_it
    }

    /// Takes an increment that a late event makes to a pane already inside the window.
    pub(super) fn amend(&mut self, pane: i64, size: Size, slot: usize, amount: u64) {
        if slot < size.len && (self.from..self.to).contains(&pane) {
            self.total.add(size, slot, amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counters_of_any_size_add_and_subtract_exactly(steps in proptest::collection::vec((0_usize..16, any::<u64>().prop_map(|x| x >> 7), any::<bool>()), 0..80), len in prop_oneof![Just(16_usize), Just(100), Just(600)], joint in 0_usize..6) {
            let size = Size { len, joint };
            let (mut total, mut right) = (Total::default(), [0_u64; 16]);
            for (slot, amount, adds) in steps {
                let amount = amount >> [0, 30, 44, 50][(amount % 4) as usize];
                if adds {
                    total.add(size, slot, amount);
                    right[slot] = right[slot].saturating_add(amount);
                } else {
                    let fits = total.subtract(slot, amount);
                    prop_assert_eq!(fits, right[slot] >= amount);
                    right[slot] -= if fits { amount } else { 0 };
                }
                let mut counts = Vec::new();
                total.write_to(len, &mut counts);
                prop_assert_eq!(&counts[..16], &right);
                prop_assert!(counts.len() == len && counts[16..].iter().all(|count| *count == 0));
            }
        }
    }
}
