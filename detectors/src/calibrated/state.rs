//! The memory of a watch: the last 48 windows and the e-processes of every quantity, and their bytes in a checkpoint.
//!
//! A window changes the e-processes and one of the 48. So a checkpoint has a head, with all but the windows, and the windows in
//! blocks of [`BLOCK`], of which only that of the newest has changed.

use super::evidence::Evidence;
use super::history::{REMEMBERED, Ring, Window};
use super::planes;
use super::watch::Loudness;

/// First byte of the head of an encoded state.
const FORMAT: u8 = 3;

/// First byte of a state that was written whole, by an earlier version.
const WHOLE: u8 = 2;

/// Windows of a block.
const BLOCK: usize = 4;

/// Blocks of windows.
pub const BLOCKS: usize = REMEMBERED / BLOCK;

/// Most watches that may share a budget: so many fit beside the bits of the scan.
pub const MOST_SHARING: u32 = 63;

/// Bits of the scan, below the number that shared the budget.
const SCAN_BITS: u8 = 2;

/// Bytes of one quantity in the head.
const HEAD_EACH: usize = Evidence::NUMBERS * 4 + 1;

/// Bytes of one quantity in a block.
const BLOCK_EACH: usize = BLOCK * 12;

/// Bytes of one quantity in a state that was written whole.
const WHOLE_EACH: usize = REMEMBERED * 12 + Evidence::BYTES_OF_LOGARITHMS + 1;

/// What a watch remembers between windows: about 610 bytes a quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchState {
    /// Ring of windows, quantity by quantity.
    windows: Vec<Window>,
    evidence: Vec<Evidence>,
    /// Whether the scan was hot in the last window, a bit per loudness; above them, while the quantity alarms, how many
    /// watches its threshold is shared by.
    hot: Vec<u8>,
    newest: usize,
    known: usize,
}

impl WatchState {
    /// A memory of nothing.
    pub(super) fn new(quantities: usize) -> Self {
        Self {
            windows: vec![Window::default(); quantities * REMEMBERED],
            evidence: vec![Evidence::default(); quantities],
            hot: vec![0; quantities],
            newest: REMEMBERED - 1,
            known: 0,
        }
    }

    /// Number of quantities.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hot.len()
    }

    /// Whether nothing is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hot.is_empty()
    }

    /// Windows remembered so far, at most 48.
    #[must_use]
    pub fn known(&self) -> usize {
        self.known
    }

    /// Bytes of memory that it takes, but for those of its own fields.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.windows.capacity() * size_of::<Window>()
            + self.evidence.capacity() * size_of::<Evidence>()
            + self.hot.capacity()
    }

    pub(super) fn advance(&mut self) {
        self.newest = (self.newest + 1) % REMEMBERED;
        self.known = (self.known + 1).min(REMEMBERED);
    }

    /// Reads a word of every cache line of the windows, one after the other. Those of thousands of models lie in memory; taken
    /// one quantity at a time, a step would wait for each of them.
    pub(super) fn fetch(&self) {
        const WINDOWS_OF_A_LINE: usize = 64 / size_of::<Window>();
        let sums = self.windows.iter().step_by(WINDOWS_OF_A_LINE).map(|window| window.sum.to_bits());
        std::hint::black_box(sums.fold(0_u32, u32::wrapping_add));
    }

    pub(super) fn put(&mut self, quantity: usize, window: Window) {
        if let Some(place) = self.windows.get_mut(quantity * REMEMBERED + self.newest) {
            *place = window;
        }
    }

    /// The remembered windows of a quantity (below [`Self::len`]).
    #[inline]
    pub(super) fn ring(&self, quantity: usize) -> Option<Ring<'_>> {
        let windows = self.windows.as_chunks::<REMEMBERED>().0.get(quantity)?;
        Some(Ring { windows, newest: self.newest, known: self.known })
    }

    pub(super) fn evidence(&mut self, quantity: usize) -> &mut Evidence {
        &mut self.evidence[quantity]
    }

    pub(super) fn was_hot(&self, quantity: usize, loudness: Loudness) -> bool {
        self.hot.get(quantity).is_some_and(|bits| bits & bit(loudness) != 0)
    }

    pub(super) fn set_hot(&mut self, quantity: usize, loudness: Loudness, hot: bool) {
        if let Some(bits) = self.hot.get_mut(quantity) {
            *bits = if hot { *bits | bit(loudness) } else { *bits & !bit(loudness) };
        }
    }

    /// How many shared the budget by whose threshold a quantity still alarms; `None` if it does not alarm.
    pub(super) fn alarms_among(&self, quantity: usize) -> Option<u32> {
        self.hot.get(quantity).map(|bits| u32::from(bits >> SCAN_BITS)).filter(|sharing| *sharing > 0)
    }

    pub(super) fn set_alarms_among(&mut self, quantity: usize, sharing: Option<u32>) {
        if let Some(bits) = self.hot.get_mut(quantity) {
            let sharing = sharing.map_or(0, |sharing| sharing.clamp(1, MOST_SHARING) as u8);
            *bits = *bits & (bit(Loudness::Warn) | bit(Loudness::Page)) | sharing << SCAN_BITS;
        }
    }

    /// Everything but the windows, as bytes.
    #[must_use]
    pub fn encode_head(&self) -> Vec<u8> {
        let numbers: Vec<_> = self.evidence.iter().map(Evidence::numbers).collect();
        // Quantity after quantity of each number, so that like stands beside like.
        let of_number = |number: usize| numbers.iter().map(move |all| all[number]);
        let columns: Vec<f32> = (0..Evidence::NUMBERS).flat_map(of_number).collect();
        let mut bytes = Vec::with_capacity(3 + self.len() * HEAD_EACH);
        bytes.extend([FORMAT, self.newest as u8, self.known as u8]);
        planes::encode(&columns, &mut bytes);
        bytes.extend(&self.hot);
        bytes
    }

    /// The block (below [`BLOCKS`]) that holds the newest window.
    #[must_use]
    pub fn newest_block(&self) -> usize {
        self.newest / BLOCK
    }

    /// The windows of a block (below [`BLOCKS`]) as bytes; one that is not remembered is written as zeros.
    #[must_use]
    pub fn encode_block(&self, block: usize) -> Vec<u8> {
        // Window after window of each number of all quantities, so that like stands beside like.
        let mut columns = vec![0.0; self.len() * BLOCK * 3];
        for (quantity, ring) in self.windows.chunks_exact(REMEMBERED).enumerate() {
            for (place, slot) in slots(block).enumerate().filter(|(_, slot)| self.is_known(*slot)) {
                let Some(window) = ring.get(slot) else { continue };
                for (part, number) in [window.sum, window.count, window.expected].into_iter().enumerate() {
                    columns[(place * 3 + part) * self.len() + quantity] = number;
                }
            }
        }
        let mut bytes = Vec::with_capacity(columns.len() * 4);
        planes::encode(&columns, &mut bytes);
        bytes
    }

    /// Reads a state back from its head, and the blocks that hold windows of it; `None` if these are not the bytes of one, or
    /// if a block is missing. A head that was written by an earlier version holds the windows too.
    #[must_use]
    pub fn decode(head: &[u8], block: impl Fn(usize) -> Option<Vec<u8>>) -> Option<Self> {
        let [format, newest, known, rest @ ..] = head else { return None };
        let (newest, known) = (usize::from(*newest), usize::from(*known));
        let each = if *format == FORMAT { HEAD_EACH } else { WHOLE_EACH };
        if newest >= REMEMBERED || known > REMEMBERED || rest.len() % each != 0 {
            return None;
        }
        let state = Self { newest, known, ..Self::new(rest.len() / each) };
        match *format {
            FORMAT => state.with_head(rest)?.with_blocks(block),
            WHOLE => state.with_whole(rest),
            _ => None,
        }
    }

    fn with_head(mut self, bytes: &[u8]) -> Option<Self> {
        let (evidence, hot) = bytes.split_at_checked(bytes.len() - self.len())?;
        let columns: Vec<f32> = planes::decode(evidence).collect();
        let quantities = self.len();
        for (quantity, evidence) in self.evidence.iter_mut().enumerate() {
            let mut numbers = [0.0; Evidence::NUMBERS];
            for (number, place) in numbers.iter_mut().zip((quantity..).step_by(quantities.max(1))) {
                *number = *columns.get(place)?;
            }
            *evidence = Evidence::of_numbers(numbers);
        }
        self.hot.copy_from_slice(hot);
        Some(self)
    }

    fn with_blocks(mut self, read: impl Fn(usize) -> Option<Vec<u8>>) -> Option<Self> {
        let quantities = self.len();
        for block in 0..BLOCKS {
            if !slots(block).any(|slot| self.is_known(slot)) {
                continue;
            }
            let bytes = read(block)?;
            if bytes.len() != quantities * BLOCK_EACH {
                return None;
            }
            let columns: Vec<f32> = planes::decode(&bytes).collect();
            for (slot, columns) in slots(block).zip(columns.chunks_exact((3 * quantities).max(1))) {
                let part = |part: usize, quantity: usize| columns.get(part * quantities + quantity).copied();
                if !self.is_known(slot) {
                    continue;
                }
                for quantity in 0..quantities {
                    let (sum, count) = (part(0, quantity)?, part(1, quantity)?);
                    let window = Window { sum, count, expected: part(2, quantity)? };
                    self.windows[quantity * REMEMBERED + slot] = window;
                }
            }
        }
        Some(self)
    }

    fn with_whole(mut self, bytes: &[u8]) -> Option<Self> {
        for (quantity, one) in bytes.chunks_exact(WHOLE_EACH).enumerate() {
            let (windows, one) = one.split_at(REMEMBERED * 12);
            for (slot, window) in windows.chunks_exact(12).enumerate() {
                let at = |i: usize| Some(f32::from_le_bytes(window.get(i..i + 4)?.try_into().ok()?));
                self.windows[quantity * REMEMBERED + slot] =
                    Window { sum: at(0)?, count: at(4)?, expected: at(8)? };
            }
            let (evidence, hot) = one.split_at(Evidence::BYTES_OF_LOGARITHMS);
            self.evidence[quantity] = Evidence::decode_logarithms(evidence)?;
            self.hot[quantity] = *hot.first()?;
        }
        Some(self)
    }

    /// Whether the ring holds a window there.
    fn is_known(&self, slot: usize) -> bool {
        (self.newest + REMEMBERED - slot) % REMEMBERED < self.known
    }
}

/// Places of a block's windows in the ring.
fn slots(block: usize) -> std::ops::Range<usize> {
    block * BLOCK..(block + 1) * BLOCK
}

fn bit(loudness: Loudness) -> u8 {
    match loudness {
        Loudness::Warn => 1,
        Loudness::Page => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stepped(windows: u8) -> WatchState {
        let mut state = WatchState::new(3);
        for step in 0..windows {
            state.advance();
            state.put(1, Window { sum: f32::from(step) / 3.0, count: 7.0, expected: 0.1 });
            state.put(2, Window { sum: f32::from(step), count: 9.0, expected: 0.2 });
            state.set_hot(2, Loudness::Page, step % 2 == 0);
            state.set_alarms_among(1, Some(u32::from(step)));
            *state.evidence(0) = Evidence::of_numbers([f32::from(step); Evidence::NUMBERS]);
        }
        state
    }

    #[test]
    fn a_state_comes_back_bit_for_bit_and_rubbish_does_not() {
        for windows in [0, 1, 4, 5, 47, 48, 60] {
            let state = stepped(windows);
            let head = state.encode_head();
            let block = |block| Some(state.encode_block(block));
            assert_eq!(WatchState::decode(&head, block).as_ref(), Some(&state), "{windows}");
            assert_eq!(WatchState::decode(&head[..head.len() - 1], block), None);
            let short = |block| state.encode_block(block).get(1..).map(<[u8]>::to_vec);
            assert_eq!(WatchState::decode(&head, short).is_none(), windows > 0, "{windows}");
            assert_eq!(WatchState::decode(&head, |_| None).is_none(), windows > 0, "{windows}");
        }
        let nothing = |_| Some(Vec::new());
        assert_eq!(WatchState::decode(&[], nothing), None);
        assert_eq!(WatchState::decode(&[FORMAT, 200, 1], nothing), None);
    }

    #[test]
    fn a_window_changes_one_block() {
        let (before, mut after) = (stepped(59), stepped(59));
        after.advance();
        after.put(0, Window { sum: 1.0, count: 2.0, expected: 0.5 });
        let changed = |block: &usize| before.encode_block(*block) != after.encode_block(*block);
        assert_eq!((0..BLOCKS).filter(changed).collect::<Vec<_>>(), [after.newest_block()]);
    }

    #[test]
    fn what_an_earlier_version_wrote_whole_is_read() {
        let state = stepped(60);
        let mut bytes = vec![WHOLE, state.newest as u8, state.known as u8];
        for (quantity, hot) in state.hot.iter().enumerate() {
            for window in &state.windows[quantity * REMEMBERED..(quantity + 1) * REMEMBERED] {
                [window.sum, window.count, window.expected]
                    .iter()
                    .for_each(|x| bytes.extend(x.to_le_bytes()));
            }
            let numbers = state.evidence[quantity].numbers().map(f64::from);
            let (predicted, processes) = numbers.split_last().expect("numbers");
            processes.iter().for_each(|x| bytes.extend(x.ln().to_le_bytes()));
            bytes.extend(predicted.to_le_bytes());
            bytes.push(*hot);
        }
        let read = WatchState::decode(&bytes, |_| None).expect("a state");
        assert_eq!(read.windows, state.windows);
        assert_eq!(read.hot, state.hot);
        for (read, written) in read.evidence.iter().zip(&state.evidence) {
            let pairs = read.numbers().into_iter().zip(written.numbers());
            pairs.for_each(|(read, written)| assert!((read - written).abs() <= 1e-5 * written, "{read}"));
        }
    }
}
