//! What the first reading keeps of a column in bounded memory: numbers for cut points, texts for categories.
//!
//! Bounds: at most [`NUMBERS_IN_ALL`] numbers and [`TEXTS_IN_ALL`] texts of up to [`LONGEST_TEXT`] bytes over all
//! columns, so about 256 MiB and, at worst, 400 MiB. Only the choice of cut points and categories depends on them;
//! the second reading counts every row exactly.

use std::collections::{BTreeMap, HashMap};

/// Most numbers kept over all columns.
const NUMBERS_IN_ALL: usize = 1 << 24;
/// Most numbers kept of one column.
pub(super) const NUMBERS_OF_ONE: usize = 1 << 20;
/// Most different texts kept over all columns.
const TEXTS_IN_ALL: usize = 1 << 20;
/// Most different texts kept of one column.
pub(super) const TEXTS_OF_ONE: usize = 1 << 17;
/// Longest text kept, in bytes; longer ones are never categories.
pub(super) const LONGEST_TEXT: usize = 256;

/// Share of different values above which a text column is taken for an identifier.
const IDENTIFIER_SHARE: f64 = 0.9;
/// Fewest texts of one weight for their number to say anything.
const FEWEST_TO_SMOOTH: f64 = 5.0;
/// Values below which nothing is taken for an identifier.
const IDENTIFIER_LEAST: u64 = 100;

/// Numbers that one of `columns` columns may keep.
pub(super) fn numbers_each(columns: usize) -> usize {
    (NUMBERS_IN_ALL / columns.max(1)).min(NUMBERS_OF_ONE)
}

/// Different texts that one of `columns` columns may keep.
pub(super) fn texts_each(columns: usize) -> usize {
    (TEXTS_IN_ALL / columns.max(1)).min(TEXTS_OF_ONE)
}

/// A sample of a column's numbers that depends on the rows' positions only, never on chance or batches.
#[derive(Debug, Default)]
pub(super) struct NumberSample {
    kept: Vec<(f64, u8)>,
    level: u8,
    distinct: BTreeMap<u64, f64>,
    too_many: bool,
    range: Option<(f64, f64)>,
}

impl NumberSample {
    /// Takes a finite number; `room` may shrink as more columns are met.
    pub(super) fn push(&mut self, row: u64, x: f64, room: usize, points: usize) {
        let x = x + 0.0;
        let (low, high) = self.range.unwrap_or((x, x));
        self.range = Some((low.min(x), high.max(x)));
        if !self.too_many {
            self.distinct.insert(x.to_bits(), x);
            self.too_many = self.distinct.len() > points;
        }
        let level = level(row);
        if level >= self.level {
            self.kept.push((x, level));
            while self.kept.len() > room {
                self.level += 1;
                self.kept.retain(|(_, level)| *level >= self.level);
            }
        }
    }

    /// Whether cut points come from a part of the values.
    pub(super) fn is_sampled(&self) -> bool {
        self.level > 0 && self.too_many
    }

    /// How many values were kept.
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// The number of different values, if they are few enough to be cut points each.
    pub(super) fn distinct(&self) -> Option<usize> {
        (!self.too_many).then_some(self.distinct.len())
    }

    /// The values that were kept, each as often as it was, sorted.
    pub(super) fn kept_sorted(&self) -> Vec<f64> {
        let mut values: Vec<f64> = self.kept.iter().map(|(x, _)| *x).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// Values to choose cut points from, sorted; smallest and largest are always among them.
    pub(super) fn sorted(&self) -> Vec<f64> {
        let mut values: Vec<f64> = match self.too_many {
            false => self.distinct.values().copied().collect(),
            true => {
                // Two values more would move every decile by a rank; only a sample may lack the ends.
                let ends = self.range.filter(|_| self.is_sampled());
                self.kept.iter().map(|(x, _)| *x).chain(ends.into_iter().flat_map(|(a, b)| [a, b])).collect()
            }
        };
        values.sort_by(f64::total_cmp);
        values
    }
}

/// Half of the rows have a level of 1 or more, a quarter 2 or more, …, spread evenly over any order of rows.
fn level(row: u64) -> u8 {
    let mut mixed = row.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u8::try_from((mixed ^ (mixed >> 31)).trailing_zeros()).unwrap_or(64)
}

/// The heaviest texts of a column.
#[derive(Debug, Default)]
pub(super) struct TextTally {
    weights: HashMap<String, u64>,
    values: u64,
    too_long: u64,
    pruned: bool,
    identifier: bool,
}

impl TextTally {
    /// Counts a text; when there is no room the lighter half is dropped, so only light texts can be lost.
    pub(super) fn push(&mut self, text: &str, room: usize) {
        self.values += 1;
        if self.identifier {
            return;
        }
        if text.len() > LONGEST_TEXT {
            self.too_long += 1;
            return;
        }
        if let Some(weight) = self.weights.get_mut(text) {
            *weight += 1;
            return;
        }
        self.weights.insert(text.to_owned(), 1);
        if self.weights.len() > room {
            self.prune(room);
        }
    }

    fn prune(&mut self, room: usize) {
        if self.share() > IDENTIFIER_SHARE {
            self.identifier = true;
            self.weights = HashMap::new();
            return;
        }
        self.pruned = true;
        let mut weights: Vec<u64> = self.weights.values().copied().collect();
        let middle = weights.len() / 2;
        let (_, median, _) = weights.select_nth_unstable(middle);
        let median = *median;
        self.weights.retain(|_, weight| {
            *weight = weight.saturating_sub(median);
            *weight > 0
        });
        self.weights.shrink_to(room + 1);
    }

    fn share(&self) -> f64 {
        (self.weights.len() as f64 + self.too_long as f64) / (self.values as f64).max(1.0)
    }

    /// Whether almost every value is different.
    pub(super) fn is_identifier(&self) -> bool {
        self.identifier
            || (self.values >= IDENTIFIER_LEAST && !self.pruned && self.share() > IDENTIFIER_SHARE)
    }

    /// Different texts met; `None` if there were too many to know.
    pub(super) fn distinct(&self) -> Option<usize> {
        (!self.pruned && !self.identifier && self.too_long == 0).then_some(self.weights.len())
    }

    /// How many values more than the baseline has are to be expected outside the heaviest `most` texts: those that it
    /// happened not to see, and those that it saw so rarely because it happened to (Good 1953).
    pub(super) fn unseen_beyond(&self, most: usize) -> f64 {
        let mut weights: Vec<u64> = self.weights.values().copied().collect();
        weights.sort_unstable_by(|a, b| b.cmp(a));
        let mut texts_of: HashMap<u64, f64> = HashMap::new();
        weights.iter().for_each(|weight| *texts_of.entry(*weight).or_default() += 1.0);
        let of = |weight: u64| texts_of.get(&weight).copied().unwrap_or(0.0);
        let dropped = weights.get(most..).unwrap_or_default().iter();
        let more = dropped.map(|weight| match (of(*weight), of(weight + 1)) {
            (many, next) if many >= FEWEST_TO_SMOOTH && next > 0.0 => {
                ((weight + 1) as f64 * next / many - *weight as f64).max(0.0)
            }
            _ => 0.0,
        });
        of(1) + more.sum::<f64>()
    }

    /// The heaviest `most` texts, in alphabetical order so that equal sets make equal binnings.
    pub(super) fn heaviest(&self, most: usize) -> Vec<String> {
        let mut texts: Vec<(&String, u64)> =
            self.weights.iter().map(|(text, weight)| (text, *weight)).collect();
        texts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let mut kept: Vec<String> = texts.into_iter().take(most).map(|(text, _)| text.clone()).collect();
        kept.sort();
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sample_stays_within_its_room_and_keeps_the_extremes() {
        let mut sample = NumberSample::default();
        for row in 0..100_000_u64 {
            sample.push(row, row as f64, 1_000, 256);
        }
        assert!(sample.is_sampled() && sample.kept() <= 1_000 && sample.kept() > 300);
        let sorted = sample.sorted();
        assert_eq!((sorted.first(), sorted.last()), (Some(&0.0), Some(&99_999.0)));
        let median = sorted[sorted.len() / 2];
        assert!((40_000.0..60_000.0).contains(&median), "{median}");
    }

    #[test]
    fn few_different_numbers_are_all_kept_however_many_rows() {
        let mut sample = NumberSample::default();
        for row in 0..10_000_u64 {
            sample.push(row, (row % 7) as f64, 100, 256);
        }
        sample.push(10_000, -0.0, 100, 256);
        assert_eq!(sample.sorted(), (0..7).map(f64::from).collect::<Vec<_>>());
        assert!(!sample.is_sampled());
    }

    #[test]
    fn almost_all_different_texts_are_an_identifier() {
        let mut tally = TextTally::default();
        (0..5_000).for_each(|i| tally.push(&format!("user-{i}"), 1_000));
        assert!(tally.is_identifier());
        let mut few = TextTally::default();
        (0..10).for_each(|i| few.push(&format!("user-{i}"), 1_000));
        assert!(!few.is_identifier());
    }

    proptest! {
        #[test]
        fn a_heavy_text_survives_pruning(noise in proptest::collection::vec(0_u32..500, 100..2_000)) {
            let mut tally = TextTally::default();
            for n in &noise {
                tally.push("heavy", 64);
                tally.push(&n.to_string(), 64);
            }
            prop_assert!(tally.heaviest(1) == ["heavy"]);
        }

        #[test]
        fn the_sample_depends_on_rows_and_not_on_the_calls_before(values in proptest::collection::vec(-1e6..1e6, 1..500)) {
            let fill = |room| {
                let mut sample = NumberSample::default();
                values.iter().enumerate().for_each(|(row, x)| sample.push(row as u64, *x, room, 10));
                sample.sorted()
            };
            prop_assert_eq!(fill(64), fill(64));
        }
    }
}
