//! A pane that events are being counted into, with the totals that may hold it already.

use crate::window::horizon::RollingTotal;
use crate::window::pane::{Counting, Size};

/// A pane that is being counted into.
#[derive(Debug)]
pub(in crate::window) struct Opened<'s> {
    pub(super) counts: Counting<'s>,
    /// Totals that may hold the pane already.
    pub(super) totals: &'s mut [RollingTotal],
    pub(super) pane: i64,
    pub(super) size: Size,
}

impl Opened<'_> {
    /// Adds to a counter; one out of range is none.
    pub(in crate::window) fn add(&mut self, slot: usize, amount: u64) {
        self.counts.add(slot, amount);
        self.totals.iter_mut().for_each(|total| total.amend(self.pane, self.size, slot, amount));
    }

    /// The counters of joint terms, where nothing else holds the pane already.
    pub(in crate::window) fn joint(&mut self) -> Option<&mut [u64]> {
        if self.totals.is_empty() { self.counts.joint() } else { None }
    }

    /// Adds one to each of these counters.
    pub(in crate::window) fn add_one_each(&mut self, slots: impl Iterator<Item = usize>) {
        if self.totals.is_empty() {
            self.counts.add_one_each(slots);
        } else {
            slots.for_each(|slot| self.add(slot, 1));
        }
    }
}
