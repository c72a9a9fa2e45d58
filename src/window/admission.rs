//! Who may be counted: a budget of memory, and of versions per model.
//!
//! What a subject will hold is estimated from its layout when it is first counted, so that a replay on the same settings
//! admits the same: the panes that stay unpacked, those that are packed (as if an eighth of the counters were in use,
//! two bytes each), blocks of them (as if half were), and a total per horizon. A subject whose last pane has left the longest window gives its panes' share
//! back and must be admitted again when it returns. Those that were admitted are never sent away for others.

use std::collections::{HashMap, HashSet};

use super::WatchedVersion;

/// Panes of one subject that stay unpacked; a partition that lags far behind the others would else hold many open.
pub(super) const DENSE_PANES: usize = 4;
/// What a pane costs besides its counters: its place in the tree and its allocation.
const PANE_OVERHEAD: usize = 96;

/// Why something known is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotAdmitted {
    /// The version does not fit `memory.max`.
    Memory,
    /// The model has more versions than `memory.versions_per_model`.
    Versions,
    /// The segment does not fit `memory.max`; the event counts in the whole.
    SegmentMemory,
    /// The version has more segments than `segments.max`; the event counts in the whole.
    Segments,
}

impl NotAdmitted {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Versions, Self::SegmentMemory, Self::Segments];

    /// Label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Versions => "versions",
            Self::SegmentMemory => "segment_memory",
            Self::Segments => "segments",
        }
    }
}

/// The budget of all subjects, and what of it is spoken for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) most: usize,
    pub(super) charged: usize,
    horizons: usize,
    panes: usize,
    blocks: usize,
}

/// What one subject is charged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Charge {
    panes: usize,
    totals: usize,
}

impl Budget {
    /// `held` is how many panes and blocks of panes a subject holds.
    pub(super) fn new(horizons: usize, held: (i64, i64)) -> Self {
        let [panes, blocks] = [held.0, held.1].map(|number| usize::try_from(number).unwrap_or(0));
        Self { most: usize::MAX, charged: 0, horizons, panes, blocks }
    }

    fn cost(&self, counters: usize) -> Charge {
        let packed = self.panes.saturating_mul(PANE_OVERHEAD + counters / 4);
        let blocks = self.blocks.saturating_mul(PANE_OVERHEAD + counters);
        Charge {
            panes: (DENSE_PANES * size_of::<u64>() * counters).saturating_add(packed).saturating_add(blocks),
            totals: self.horizons * size_of::<u32>() * counters,
        }
    }

    /// Charges a subject with this many counters; false, and nothing is charged, if it is new and does not fit.
    pub(super) fn admit(&mut self, charge: &mut Charge, counters: usize) -> bool {
        let fits = charge.panes > 0 || {
            let cost = self.cost(counters);
            let more = (cost.panes + cost.totals).saturating_sub(charge.totals);
            self.charged.saturating_add(more) <= self.most
        };
        if fits {
            self.charge(charge, counters);
        }
        fits
    }

    /// Charges a subject that is there, whether it fits or not.
    pub(super) fn charge(&mut self, charge: &mut Charge, counters: usize) {
        let cost = self.cost(counters);
        let next = Charge { panes: charge.panes.max(cost.panes), totals: charge.totals.max(cost.totals) };
        self.charged = self.charged.saturating_add(next.panes - charge.panes + next.totals - charge.totals);
        *charge = next;
    }

    /// Charges the totals of a subject that was counted before, but has no panes now.
    pub(super) fn charge_totals(&mut self, charge: &mut Charge, counters: usize) {
        let more = self.cost(counters).totals.saturating_sub(charge.totals);
        self.charged = self.charged.saturating_add(more);
        charge.totals += more;
    }

    /// The subject's last pane is gone.
    pub(super) fn panes_left(&mut self, charge: &mut Charge) {
        self.charged -= std::mem::take(&mut charge.panes);
    }

    /// The subject's totals are gone: its version is no longer watched.
    pub(super) fn totals_left(&mut self, charge: &mut Charge) {
        self.charged -= std::mem::take(&mut charge.totals);
    }
}

/// The versions that are watched, and those that are too many for their model: the serving one and the newest stay.
pub(super) fn admitted(
    versions: &[WatchedVersion],
    most: usize,
) -> (Vec<&WatchedVersion>, Vec<&WatchedVersion>) {
    let rank = |version: &WatchedVersion| {
        let number = semver::Version::parse(&version.version).ok();
        (std::cmp::Reverse(version.takes_feedback), std::cmp::Reverse(number))
    };
    let mut by_model: HashMap<&str, Vec<&WatchedVersion>> = HashMap::new();
    for version in versions {
        by_model.entry(&version.model).or_default().push(version);
    }
    let mut surplus = HashSet::new();
    for versions in by_model.values_mut().filter(|versions| versions.len() > most) {
        versions.sort_by_key(|version| rank(version));
        surplus.extend(versions[most..].iter().map(|version| (&*version.model, &*version.version)));
    }
    versions.iter().partition(|version| !surplus.contains(&(&*version.model, &*version.version)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// M-1: what is charged is the sum of the subjects' charges, and admission alone never exceeds the budget.
        #[test]
        fn charges_add_up_and_admission_keeps_the_budget(steps in proptest::collection::vec((0..6_usize, 0..3_usize, 1..4_000_usize), 1..60)) {
            let mut budget = Budget { most: 3_000_000, ..Budget::new(3, (100, 0)) };
            let mut charges = [Charge::default(); 6];
            for (subject, step, counters) in steps {
                let charge = &mut charges[subject];
                match step {
                    0 => {
                        let was_in = charge.panes > 0;
                        let admitted = budget.admit(charge, counters);
                        prop_assert!(admitted || !was_in, "who is in stays in");
                        prop_assert!(!admitted || was_in || budget.charged <= budget.most);
                    }
                    1 => budget.panes_left(charge),
                    _ => { budget.panes_left(charge); budget.totals_left(charge); }
                }
                prop_assert_eq!(budget.charged, charges.iter().map(|one| one.panes + one.totals).sum::<usize>());
            }
        }
    }
}
