//! The memory of a watch: the last 48 windows and the e-processes of every quantity, and their bytes in a checkpoint.

use super::evidence::Evidence;
use super::history::{REMEMBERED, Window};
use super::watch::Loudness;

/// First byte of an encoded state.
const FORMAT: u8 = 2;

/// Most watches that may share a budget: so many fit beside the bits of the scan.
pub const MOST_SHARING: u32 = 63;

/// Bits of the scan, below the number that shared the budget.
const SCAN_BITS: u8 = 2;

/// Bytes of one quantity.
const BYTES_EACH: usize = REMEMBERED * 12 + Evidence::BYTES + 1;

/// What a watch remembers between windows: about 650 bytes a quantity.
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

    pub(super) fn put(&mut self, quantity: usize, window: Window) {
        if let Some(place) = self.windows.get_mut(quantity * REMEMBERED + self.newest) {
            *place = window;
        }
    }

    pub(super) fn newest_first(&self, quantity: usize) -> impl Iterator<Item = Window> + '_ {
        let ring = self.windows.get(quantity * REMEMBERED..(quantity + 1) * REMEMBERED).unwrap_or_default();
        (0..self.known).filter_map(|back| ring.get((self.newest + REMEMBERED - back) % REMEMBERED).copied())
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

    /// The state as bytes; [`Self::decode`] gives back the same, bit for bit.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(3 + self.len() * BYTES_EACH);
        bytes.extend([FORMAT, self.newest as u8, self.known as u8]);
        for (quantity, hot) in self.hot.iter().enumerate() {
            for window in &self.windows[quantity * REMEMBERED..(quantity + 1) * REMEMBERED] {
                [window.sum, window.count, window.expected]
                    .iter()
                    .for_each(|x| bytes.extend(x.to_le_bytes()));
            }
            self.evidence[quantity].encode(&mut bytes);
            bytes.push(*hot);
        }
        bytes
    }

    /// Reads a state back; `None` if these are not the bytes of one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [FORMAT, newest, known, rest @ ..] = bytes else { return None };
        let (newest, known) = (usize::from(*newest), usize::from(*known));
        if newest >= REMEMBERED || known > REMEMBERED || rest.len() % BYTES_EACH != 0 {
            return None;
        }
        let mut state = Self { newest, known, ..Self::new(0) };
        for one in rest.chunks_exact(BYTES_EACH) {
            let (windows, one) = one.split_at(REMEMBERED * 12);
            for window in windows.chunks_exact(12) {
                let at = |i: usize| Some(f32::from_le_bytes(window.get(i..i + 4)?.try_into().ok()?));
                state.windows.push(Window { sum: at(0)?, count: at(4)?, expected: at(8)? });
            }
            let (evidence, hot) = one.split_at(Evidence::BYTES);
            state.evidence.push(Evidence::decode(evidence)?);
            state.hot.push(*hot.first()?);
        }
        Some(state)
    }
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

    #[test]
    fn a_state_comes_back_bit_for_bit_and_rubbish_does_not() {
        let mut state = WatchState::new(3);
        for step in 0..60_u8 {
            state.advance();
            state.put(1, Window { sum: f32::from(step) / 3.0, count: 7.0, expected: 0.1 });
            state.set_hot(2, Loudness::Page, step % 2 == 0);
            state.set_alarms_among(1, Some(u32::from(step)));
        }
        let bytes = state.encode();
        assert_eq!(WatchState::decode(&bytes), Some(state));
        assert_eq!(WatchState::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(WatchState::decode(&[]), None);
        assert_eq!(WatchState::decode(&[FORMAT, 200, 1]), None);
    }
}
