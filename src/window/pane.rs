//! The counts of one subject in one pane, or in a block of panes in which no window begins or ends any more.
//!
//! Three forms of the same counts: what was counted one after the other, while that is little; flat counters, once it is
//! much; packed, when the pane is closed. All are shared, not copied, with the checkpoint that writes them: whoever counts
//! on makes a copy then. Not here: which panes form a block (`blocks.rs`).

use std::borrow::Cow;
use std::sync::Arc;

use anchorwatch_detectors::counts::{encode_cells, encode_sparse, visit_sparse};

/// Share of the counters above which flat ones take less room and time than a list.
const FLAT_FROM: usize = 4;

/// Counts of a pane in its reference's layout; cheap to clone. Equal if they are packed the same.
#[derive(Debug, Clone)]
pub struct PaneCounts(Form);

#[derive(Debug, Clone)]
enum Form {
    /// `(counter, amount)` in the order of counting; counters may repeat.
    Recent(Arc<Vec<(u32, u32)>>),
    /// All counters, ready to be incremented.
    Flat(Arc<Vec<u64>>),
    /// As `anchorwatch_detectors::counts` packs them.
    Packed(Arc<[u8]>),
}

impl Default for PaneCounts {
    /// Nothing counted.
    fn default() -> Self {
        Self(Form::Recent(Arc::default()))
    }
}

impl PartialEq for PaneCounts {
    fn eq(&self, other: &Self) -> bool {
        self.packed() == other.packed()
    }
}

impl Eq for PaneCounts {}

impl From<Vec<u8>> for PaneCounts {
    /// Takes packed counts as they are; whether they are well-formed is seen when they are read.
    fn from(packed: Vec<u8>) -> Self {
        Self(Form::Packed(packed.into()))
    }
}

impl PaneCounts {
    /// Opens a pane of `len` counters to add about so many times to them.
    pub(super) fn open(&mut self, len: usize, additions: usize) -> Counting<'_> {
        if let Form::Packed(bytes) = &self.0 {
            self.0 = unpacked(bytes, len);
        }
        if let Form::Recent(list) = &self.0
            && list.len() + additions > len / FLAT_FROM
        {
            self.0 = Form::Flat(Arc::new(self.flat(len)));
        }
        match &mut self.0 {
            Form::Recent(list) => Counting::List(Arc::make_mut(list), len),
            Form::Flat(counts) => Counting::Flat(Arc::make_mut(counts).as_mut_slice()),
            Form::Packed(_) => Counting::Flat(&mut []),
        }
    }

    fn flat(&self, len: usize) -> Vec<u64> {
        let mut counts = vec![0_u64; len];
        self.each(len, |slot, amount| {
            if let Some(counter) = counts.get_mut(slot) {
                *counter = counter.saturating_add(amount);
            }
        });
        counts
    }

    /// Packs the counters.
    pub(super) fn pack(&mut self) {
        if let Cow::Owned(bytes) = self.packed() {
            self.0 = Form::Packed(bytes.into());
        }
    }

    pub(super) fn is_packed(&self) -> bool {
        matches!(self.0, Form::Packed(_))
    }

    /// The packed form, made now unless it is there.
    #[must_use]
    pub fn packed(&self) -> Cow<'_, [u8]> {
        match &self.0 {
            Form::Packed(bytes) => Cow::Borrowed(bytes),
            Form::Flat(counts) => Cow::Owned(encode_sparse(counts)),
            Form::Recent(list) => {
                let mut cells: Vec<(usize, u64)> =
                    list.iter().map(|(slot, amount)| (*slot as usize, u64::from(*amount))).collect();
                cells.sort_unstable_by_key(|(slot, _)| *slot);
                cells.dedup_by(|next, first| {
                    let same = next.0 == first.0;
                    first.1 += if same { next.1 } else { 0 };
                    same
                });
                Cow::Owned(encode_cells(cells))
            }
        }
    }

    /// Hands out what was counted on a pane of `len` counters; a counter may come several times. Packed counts that do not
    /// fit end where they do not: their form was checked when they were restored, or this program packed them.
    pub(super) fn each(&self, len: usize, mut visit: impl FnMut(usize, u64)) {
        match &self.0 {
            Form::Recent(list) => {
                list.iter().for_each(|(slot, amount)| visit(*slot as usize, u64::from(*amount)));
            }
            Form::Flat(counts) => {
                let used = counts.iter().enumerate().filter(|(_, count)| **count > 0);
                used.for_each(|(slot, count)| visit(slot, *count));
            }
            Form::Packed(bytes) => {
                _ = visit_sparse(bytes, len, visit);
            }
        }
    }
}

/// Counters that are being added to. One out of range is none.
#[derive(Debug)]
pub(super) enum Counting<'p> {
    /// Flat counters.
    Flat(&'p mut [u64]),
    /// A list of what was added to counters below a number.
    List(&'p mut Vec<(u32, u32)>, usize),
}

impl Counting<'_> {
    /// Adds to one counter.
    pub(super) fn add(&mut self, slot: usize, amount: u64) {
        match self {
            Self::Flat(counts) => {
                if let Some(counter) = counts.get_mut(slot) {
                    *counter = counter.saturating_add(amount);
                }
            }
            Self::List(list, len) if slot < *len => {
                // No layout comes near 2^32 counters. What 32 bits do not hold goes in several parts.
                let (slot, mut left) = (slot as u32, amount);
                while left > 0 {
                    let part = u32::try_from(left).unwrap_or(u32::MAX);
                    list.push((slot, part));
                    left -= u64::from(part);
                }
            }
            Self::List(..) => {}
        }
    }

    /// Adds one to each of these counters.
    pub(super) fn add_one_each(&mut self, slots: impl Iterator<Item = usize>) {
        match self {
            Self::Flat(counts) => {
                for slot in slots {
                    if let Some(counter) = counts.get_mut(slot) {
                        *counter = counter.saturating_add(1);
                    }
                }
            }
            Self::List(list, len) => {
                list.extend(slots.filter(|slot| slot < len).map(|slot| (slot as u32, 1)));
            }
        }
    }
}

/// Packed counts as a list if they are few and small, else flat.
fn unpacked(bytes: &Arc<[u8]>, len: usize) -> Form {
    let packed = PaneCounts(Form::Packed(Arc::clone(bytes)));
    let (mut list, mut small) = (Vec::new(), bytes.len() / 2 <= len / FLAT_FROM);
    if small {
        packed.each(len, |slot, amount| {
            small &= u32::try_from(amount).is_ok();
            Counting::List(&mut list, len).add(slot, amount & u64::from(u32::MAX));
        });
    }
    if small { Form::Recent(Arc::new(list)) } else { Form::Flat(Arc::new(packed.flat(len))) }
}

#[cfg(test)]
mod tests {
    use anchorwatch_detectors::counts::decode_sparse;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// W-3: whatever the form, and whenever it changes, the counts are those of flat counters.
        #[test]
        fn a_pane_counts_alike_in_every_form(
            steps in proptest::collection::vec((0_u8..8, proptest::collection::vec((0_usize..45, prop_oneof![Just(1_u64), any::<u64>().prop_map(|x| (x >> 28) + 2)]), 0..12)), 1..30),
        ) {
            let (len, mut pane, mut flat) = (40, PaneCounts::default(), vec![0_u64; 40]);
            let mut written = Vec::new();
            for (step, slots) in steps {
                match step {
                    0 => pane.pack(),
                    1 => written.push((pane.clone(), flat.clone())),
                    _ => {
                        let mut open = pane.open(len, slots.len());
                        slots.iter().for_each(|(slot, amount)| open.add(*slot, *amount - 1));
                        open.add_one_each(slots.iter().map(|(slot, _)| *slot));
                        slots.iter().for_each(|(slot, amount)| if let Some(counter) = flat.get_mut(*slot) { *counter += amount });
                    }
                }
                prop_assert_eq!(decode_sparse(&pane.packed(), len).expect("packed"), flat.clone());
            }
            for (pane, flat) in written {
                prop_assert_eq!(decode_sparse(&pane.packed(), len).expect("packed"), flat, "a checkpoint keeps what it took");
            }
        }
    }
}
