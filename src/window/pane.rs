//! The counts of one subject in one pane, or in a block of panes in which no window begins or ends any more.
//!
//! Three forms of the same counts: what was counted one after the other, while that is little, with the joint terms, which
//! every event adds to, beside it; flat counters, once it is much; packed, when the pane is closed. All are shared, not copied, with the checkpoint that writes them: whoever counts
//! on makes a copy then. Not here: which panes form a block (`blocks.rs`).

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use anchorwatch_detectors::counts::{encode_cells, visit_sparse};

/// Share of the counters above which flat ones take less room and time than a list.
const FLAT_FROM: usize = 4;

/// Counts of a pane in its reference's layout; cheap to clone. Equal if they are packed the same.
#[derive(Debug, Clone)]
pub struct PaneCounts(Form);

/// How many counters a pane has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// All of them.
    pub(super) len: usize,
    /// Those of joint terms, which are the last.
    pub(super) joint: usize,
}

impl Size {
    /// The counters before the joint terms.
    pub(super) const fn single(self) -> usize {
        self.len.saturating_sub(self.joint)
    }
}

/// What was counted one after the other.
#[derive(Debug, Clone, Default)]
struct Recent {
    /// `(counter, amount)` in the order of counting; counters may repeat.
    list: Vec<(u32, u32)>,
    /// Joint terms: none, or all.
    joint: Vec<u64>,
    /// The first counter of `joint`.
    single: usize,
}

impl Recent {
    fn each(&self, mut visit: impl FnMut(usize, u64)) {
        self.list.iter().for_each(|(slot, amount)| visit(*slot as usize, u64::from(*amount)));
        let used = (self.single..).zip(&self.joint).filter(|(_, count)| **count > 0);
        used.for_each(|(slot, count)| visit(slot, *count));
    }

    fn counting(&mut self, size: Size) -> Counting<'_> {
        if self.joint.is_empty() && size.joint > 0 {
            self.joint = vec![0; size.joint];
            self.single = size.single();
        }
        Counting::List { list: &mut self.list, joint: &mut self.joint, size }
    }
}

/// All counters, ready to be incremented. Those of single values are half as wide as a count may be, since thousands of panes are
/// open at once and their memory is what counting waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct Flat {
    single: Vec<u32>,
    /// What did not fit there, once a counter was full: `(counter, amount)`; counters may repeat.
    beyond: Vec<(u32, u64)>,
    joint: Vec<u64>,
}

impl Flat {
    fn new(size: Size) -> Self {
        Self { single: vec![0; size.single()], beyond: Vec::new(), joint: vec![0; size.len - size.single()] }
    }

    fn each(&self, mut visit: impl FnMut(usize, u64)) {
        let used = self.single.iter().enumerate().filter(|(_, count)| **count > 0);
        used.for_each(|(slot, count)| visit(slot, u64::from(*count)));
        self.beyond.iter().for_each(|(slot, amount)| visit(*slot as usize, *amount));
        let used = (self.single.len()..).zip(&self.joint).filter(|(_, count)| **count > 0);
        used.for_each(|(slot, count)| visit(slot, *count));
    }

    fn each_of(&self, counters: Range<usize>, mut visit: impl FnMut(usize, u64)) {
        let single = self.single.get(counters.clone()).unwrap_or_default();
        let used = counters.clone().zip(single).filter(|(_, count)| **count > 0);
        used.for_each(|(slot, count)| visit(slot, u64::from(*count)));
        let beyond = self.beyond.iter().map(|(slot, amount)| (*slot as usize, *amount));
        beyond.filter(|(slot, _)| counters.contains(slot)).for_each(|(slot, amount)| visit(slot, amount));
    }

    fn add(&mut self, slot: usize, amount: u64) {
        if let Some(counter) = self.single.get_mut(slot) {
            let count = u64::from(*counter).saturating_add(amount);
            *counter = u32::try_from(count).unwrap_or_else(|_| {
                self.beyond.push((slot as u32, count));
                0
            });
        } else if let Some(counter) = self.joint.get_mut(slot - self.single.len()) {
            *counter = counter.saturating_add(amount);
        }
    }
}

#[derive(Debug, Clone)]
enum Form {
    /// As it was counted.
    Recent(Arc<Recent>),
    /// All counters.
    Flat(Arc<Flat>),
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

impl From<&[u8]> for PaneCounts {
    /// Takes packed counts as they are; whether they are well-formed is seen when they are read.
    fn from(packed: &[u8]) -> Self {
        Self(Form::Packed(packed.into()))
    }
}

impl PaneCounts {
    /// Opens a pane of so many counters to add about so many times to those of single values.
    pub(super) fn open(&mut self, size: Size, additions: usize) -> Counting<'_> {
        if let Form::Packed(bytes) = &self.0 {
            self.0 = unpacked(bytes, size);
        }
        if let Form::Recent(recent) = &self.0
            && recent.list.len() + additions > size.len / FLAT_FROM
        {
            self.0 = Form::Flat(Arc::new(self.flat(size)));
        }
        match &mut self.0 {
            Form::Recent(recent) => Arc::make_mut(recent).counting(size),
            Form::Flat(counts) => Counting::Flat(Arc::make_mut(counts)),
            Form::Packed(_) => Counting::Nothing,
        }
    }

    fn flat(&self, size: Size) -> Flat {
        let mut flat = Flat::new(size);
        self.each(size.len, |slot, amount| flat.add(slot, amount));
        flat
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
            Form::Flat(counts) if counts.beyond.is_empty() => {
                let single = counts.single.iter().map(|count| u64::from(*count));
                Cow::Owned(encode_cells(single.chain(counts.joint.iter().copied()).enumerate()))
            }
            Form::Flat(counts) => {
                let mut cells: Vec<(usize, u64)> = Vec::new();
                counts.each(|slot, amount| cells.push((slot, amount)));
                Cow::Owned(encode_repeated(&mut cells, std::iter::empty()))
            }
            Form::Recent(recent) => {
                let joint = (recent.single..).zip(recent.joint.iter().copied());
                Cow::Owned(encode_repeated(&mut recent.list.clone(), joint))
            }
        }
    }

    /// Hands out what was counted on a pane of `len` counters; a counter may come several times. Packed counts that do not
    /// fit end where they do not: their form was checked when they were restored, or this program packed them.
    pub(super) fn each(&self, len: usize, visit: impl FnMut(usize, u64)) {
        match &self.0 {
            Form::Recent(recent) => recent.each(visit),
            Form::Flat(counts) => counts.each(visit),
            Form::Packed(bytes) => {
                _ = visit_sparse(bytes, len, visit);
            }
        }
    }
}

impl PaneCounts {
    /// Hands out what was counted on a few counters of single values that stand side by side; a counter may come several
    /// times. The others are not looked at where they stand apart.
    pub(super) fn each_of(&self, counters: Range<usize>, mut visit: impl FnMut(usize, u64)) {
        match &self.0 {
            Form::Recent(recent) => {
                let list = recent.list.iter().map(|(slot, amount)| (*slot as usize, u64::from(*amount)));
                list.filter(|(slot, _)| counters.contains(slot))
                    .for_each(|(slot, amount)| visit(slot, amount));
            }
            Form::Flat(counts) => counts.each_of(counters, visit),
            // Reading ends at the first counter behind them.
            Form::Packed(bytes) => {
                _ = visit_sparse(bytes, counters.end, |slot, amount| {
                    if slot >= counters.start {
                        visit(slot, amount);
                    }
                });
            }
        }
    }
}

/// Counters that are being added to. One out of range is none.
#[derive(Debug)]
pub(super) enum Counting<'p> {
    /// All counters.
    Flat(&'p mut Flat),
    /// No counter at all.
    Nothing,
    /// A list of what was added to the counters of single values, and the others.
    List {
        /// `(counter, amount)`.
        list: &'p mut Vec<(u32, u32)>,
        /// Joint terms; none where they go into the list too.
        joint: &'p mut [u64],
        /// Of the whole pane.
        size: Size,
    },
}

impl<'p> Counting<'p> {
    /// A list of all that is added.
    pub(super) fn list(list: &'p mut Vec<(u32, u32)>, size: Size) -> Self {
        Self::List { list, joint: &mut [], size: Size { joint: 0, ..size } }
    }

    /// The counters of joint terms; `None` where they go into the list.
    pub(super) fn joint(&mut self) -> Option<&mut [u64]> {
        match self {
            Self::Flat(counts) => Some(&mut counts.joint),
            Self::Nothing | Self::List { joint: [], .. } => None,
            Self::List { joint, .. } => Some(joint),
        }
    }

    /// Adds to one counter.
    pub(super) fn add(&mut self, slot: usize, amount: u64) {
        match self {
            Self::Flat(counts) => counts.add(slot, amount),
            Self::Nothing => {}
            Self::List { list, size, .. } if slot < size.single() => {
                // No layout comes near 2^32 counters. What 32 bits do not hold goes in several parts.
                let (slot, mut left) = (slot as u32, amount);
                while left > 0 {
                    let part = u32::try_from(left).unwrap_or(u32::MAX);
                    list.push((slot, part));
                    left -= u64::from(part);
                }
            }
            Self::List { joint, size, .. } => {
                if let Some(counter) = joint.get_mut(slot - size.single()) {
                    *counter = counter.saturating_add(amount);
                }
            }
        }
    }

    /// Adds one to each of these counters.
    pub(super) fn add_one_each(&mut self, slots: impl Iterator<Item = usize>) {
        match self {
            Self::Flat(counts) => {
                for slot in slots {
                    match counts.single.get_mut(slot) {
                        Some(counter) if *counter < u32::MAX => *counter += 1,
                        _ => counts.add(slot, 1),
                    }
                }
            }
            Self::Nothing => {}
            Self::List { list, joint, size } => {
                let single = size.single();
                for slot in slots {
                    if slot < single {
                        list.push((slot as u32, 1));
                    } else if let Some(counter) = joint.get_mut(slot - single) {
                        *counter = counter.saturating_add(1);
                    }
                }
            }
        }
    }
}

/// Packs amounts of which several may be of one counter, and those of later counters behind them.
fn encode_repeated<N: Copy + Ord + TryInto<usize>, A: Copy + Into<u64>>(
    list: &mut [(N, A)],
    rest: impl Iterator<Item = (usize, u64)>,
) -> Vec<u8> {
    list.sort_unstable_by_key(|(slot, _)| *slot);
    let cells = list.chunk_by(|a, b| a.0 == b.0).filter_map(|same| {
        let slot = same.first()?.0.try_into().ok()?;
        Some((slot, same.iter().fold(0, |sum: u64, (_, amount)| sum.saturating_add((*amount).into()))))
    });
    encode_cells(cells.chain(rest))
}

/// Packed counts as they were counted if they are few and small, else flat.
fn unpacked(bytes: &Arc<[u8]>, size: Size) -> Form {
    let packed = PaneCounts(Form::Packed(Arc::clone(bytes)));
    let (mut recent, mut small) = (Recent::default(), bytes.len() / 2 <= size.len / FLAT_FROM);
    if small {
        let mut counting = recent.counting(size);
        packed.each(size.len, |slot, amount| {
            small &= slot >= size.single() || u32::try_from(amount).is_ok();
            let kept = if slot < size.single() { amount & u64::from(u32::MAX) } else { amount };
            counting.add(slot, kept);
        });
    }
    if small { Form::Recent(Arc::new(recent)) } else { Form::Flat(Arc::new(packed.flat(size))) }
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
            joint in 0_usize..10,
            steps in proptest::collection::vec((0_u8..8, proptest::collection::vec((0_usize..45, prop_oneof![Just(1_u64), any::<u64>().prop_map(|x| (x >> 28) + 2)]), 0..12)), 1..30),
        ) {
            let (len, mut pane, mut flat) = (40, PaneCounts::default(), vec![0_u64; 40]);
            let mut written = Vec::new();
            for (step, slots) in steps {
                match step {
                    0 => pane.pack(),
                    1 => written.push((pane.clone(), flat.clone())),
                    _ => {
                        let mut open = pane.open(Size { len, joint }, slots.len());
                        slots.iter().for_each(|(slot, amount)| open.add(*slot, *amount - 1));
                        open.add_one_each(slots.iter().map(|(slot, _)| *slot));
                        slots.iter().for_each(|(slot, amount)| if let Some(counter) = flat.get_mut(*slot) { *counter += amount });
                    }
                }
                prop_assert_eq!(decode_sparse(&pane.packed(), len).expect("packed"), flat.clone());
                let mut some = vec![0_u64; len];
                pane.each_of(5..20, |slot, amount| some[slot] += amount);
                flat.iter().enumerate().for_each(|(slot, count)| some[slot] += if (5..20).contains(&slot) { 0 } else { *count });
                prop_assert_eq!(some, flat.clone(), "of a few counters as of all");
            }
            for (pane, flat) in written {
                prop_assert_eq!(decode_sparse(&pane.packed(), len).expect("packed"), flat, "a checkpoint keeps what it took");
            }
        }
    }
}
