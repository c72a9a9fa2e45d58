//! How the events of a version came: how many, in which order, until when. Not here: what they said.

use crate::subject::Millis;

/// The events of a version that were counted, since the state began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// All of them.
    pub events: u64,
    /// Those that came after a later one of their partition, whatever its version.
    pub out_of_order: u64,
    /// The latest event time.
    pub newest: Option<Millis>,
}

impl Arrivals {
    /// Notes an event of this time; `out_of_order` if a later one of its partition came before.
    pub(super) fn one_came(&mut self, ts: Millis, out_of_order: bool) {
        self.events += 1;
        self.out_of_order += u64::from(out_of_order);
        self.newest = self.newest.max(Some(ts));
    }
}
