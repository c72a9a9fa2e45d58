//! Gathering old panes into blocks: once no window begins or ends inside a stretch of panes, their counts move into the
//! newest of them, so that a day is kept in a few dozen packed panes and not in 1,440.
//!
//! Nothing else knows of blocks: a block is a pane that counts more than its own time. Sums over ranges whose ends are
//! multiples of the block are what they were, and a late event counts in its own pane, whatever became of that.
//! What moves when is a function of the closing edge and of the subject's name alone, so that a restart gives the same
//! panes. Not here: the lengths of blocks (`settings.rs`).

use std::collections::BTreeMap;

use anchorwatch_detectors::counts::encode_sparse;

use super::pane::PaneCounts;
use super::plan::Plans;
use super::settings::Blocks;
use crate::subject::Subject;

/// The stretch of panes that a subject gathers at this edge, if it is its turn: subjects take turns, so that not all of
/// them gather at one edge.
pub(super) fn due(level: Blocks, edge: i64, turn: i64) -> Option<(i64, i64)> {
    if (edge + turn).rem_euclid(level.step) != 0 {
        return None;
    }
    let end = (edge - level.after).div_euclid(level.step) * level.step;
    Some((end - level.step, end))
}

/// A subject's place among the turns, by its name.
pub(super) fn turn(subject: &Subject) -> i64 {
    let names = [Some(&subject.model), Some(&subject.version), subject.segment.as_ref()];
    let bytes = names.into_iter().flatten().flat_map(|name| name.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 33).cast_signed()
}

/// Panes that were gathered: the one that holds the counts now, and those that are gone.
#[derive(Debug, PartialEq)]
pub(super) struct Gathered {
    pub(super) into: i64,
    pub(super) gone: Vec<i64>,
}

/// Gathers the panes in `[start, end)` that were counted against one plan, for each plan.
pub(super) fn gather(
    panes: &mut BTreeMap<i64, PaneCounts>,
    (start, end): (i64, i64),
    plans: &Plans,
) -> Vec<Gathered> {
    let begins = |pane: i64| plans.at(pane).map(|(begins, _)| begins);
    let numbers: Vec<i64> = panes.range(start..end).map(|(number, _)| *number).collect();
    let mut all = Vec::new();
    for group in numbers.chunk_by(|a, b| begins(*a) == begins(*b)) {
        let [gone @ .., into] = group else { continue };
        let Some((_, plan)) = plans.at(*into) else { continue };
        if gone.is_empty() {
            continue;
        }
        let mut counts = vec![0_u64; plan.layout.len()];
        for number in group {
            if let Some(pane) = panes.remove(number) {
                pane.each(plan.layout.len(), |slot, amount| {
                    if let Some(counter) = counts.get_mut(slot) {
                        *counter = counter.saturating_add(amount);
                    }
                });
            }
        }
        panes.insert(*into, PaneCounts::from(encode_sparse(&counts).as_slice()));
        all.push(Gathered { into: *into, gone: gone.to_vec() });
    }
    all
}
