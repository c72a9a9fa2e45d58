//! Expected loss by two columns: that of the prediction's group times a factor of the one feature that errors depend on most
//! besides it.
//!
//! The built-in relative of `NannyML`'s DLE. A window needs a count of both columns together, which its owner keeps as the sum
//! of the expected losses of its rows. Here live the pooling of cells, the choice of the feature and the factors; not
//! here: losses by the prediction alone ([`super::loss_by_cells`]).

use statrs::distribution::{ContinuousCDF, Normal};

use super::loss_by_cells::{FEWEST_LABELS, LossSums, LossUnits};
use crate::fixed_point::FixedPoint;

/// How far the factors of absolute errors have to lie from 1, as the root of the mean square over rows.
const LEAST_SPREAD: f64 = 0.1;

/// Rows of a group of the feature that have others beside them, as a binomial's, from which on sums of logarithms count as
/// normal.
const ENOUGH_ROWS: f64 = 100.0;

/// Chance shows a feature that explains nothing as one that does in so many references.
const CHANCE: f64 = 0.001;

/// Logarithms of errors over the label's usual spread are held within these: right predictions have the lowest, and one wrong
/// label decides nothing.
const LOGARITHMS: std::ops::RangeInclusive<f64> = -10.0..=5.0;

/// Sums of logarithms are exact to `2^-30`, those of their squares to `2^-60`.
const LOGARITHM: FixedPoint = FixedPoint::new(-30);

/// Pools neighbouring cells, lowest first, into at most `most` groups of about equal counts, 255 of them at most: the group
/// of each cell. Fewer than [`FEWEST_LABELS`] that are left behind the last full group belong to it.
///
/// ```
/// use anchorwatch_detectors::estimate::loss_by_two::neighbours;
/// assert_eq!(neighbours(&[0, 60, 10, 0, 400, 0, 1], 8), [0, 0, 1, 1, 1, 1, 1]);
/// ```
#[must_use]
pub fn neighbours(counts: &[u64], most: u8) -> Vec<u8> {
    let enough = counts.iter().sum::<u64>().div_ceil(u64::from(most.max(1))).max(FEWEST_LABELS);
    let (mut group, mut held) = (0_u8, 0);
    let mut group_of = |count: &u64| {
        let own = group;
        held += count;
        if held >= enough {
            (group, held) = (group.saturating_add(1), 0);
        }
        own
    };
    let mut groups: Vec<u8> = counts.iter().map(&mut group_of).collect();
    if held < FEWEST_LABELS {
        let last = group.saturating_sub(1);
        groups.iter_mut().for_each(|group| *group = last.min(*group));
    }
    groups
}

/// Gives each of the most frequent cells a group of its own, `most` less one of them, and all others one together.
///
/// ```
/// use anchorwatch_detectors::estimate::loss_by_two::most_frequent;
/// assert_eq!(most_frequent(&[5, 90, 0, 40], 8), [2, 0, 2, 1]);
/// ```
#[must_use]
pub fn most_frequent(counts: &[u64], most: u8) -> Vec<u8> {
    let mut order: Vec<usize> = (0..counts.len()).filter(|cell| counts[*cell] >= FEWEST_LABELS).collect();
    order.sort_by_key(|cell| std::cmp::Reverse(counts[*cell]));
    order.truncate(usize::from(most.saturating_sub(1)));
    let place = |cell: usize| order.iter().position(|other| *other == cell).unwrap_or(order.len());
    (0..counts.len()).map(|cell| place(cell) as u8).collect()
}

/// The error of one labelled row, ready to be summed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowLoss {
    losses: LossSums,
    logarithm: i128,
    squared_logarithm: i128,
}

impl RowLoss {
    /// `None` if the error is no finite number. The units are those of the table.
    #[must_use]
    pub fn new(error: f64, units: &LossUnits) -> Option<Self> {
        let logarithm = (error.abs() / units.scale()).ln().clamp(*LOGARITHMS.start(), *LOGARITHMS.end());
        let logarithm = LOGARITHM.units(logarithm);
        let mut losses = LossSums::default();
        losses.add(error, units);
        (losses.rows() > 0).then_some(Self { losses, logarithm, squared_logarithm: logarithm * logarithm })
    }
}

/// The rows of one group of the prediction and one of the feature.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cell {
    losses: LossSums,
    logarithms: i128,
    squared_logarithms: i128,
}

impl Cell {
    fn add(&mut self, row: &RowLoss) {
        self.losses.merge(&row.losses);
        self.logarithms = self.logarithms.wrapping_add(row.logarithm);
        self.squared_logarithms = self.squared_logarithms.wrapping_add(row.squared_logarithm);
    }

    fn rows(&self) -> f64 {
        self.losses.rows() as f64
    }

    fn logarithms(&self) -> f64 {
        LOGARITHM.value(self.logarithms)
    }
}

/// Errors of a labelled reference by group of the prediction and group of one feature.
#[derive(Debug, Clone, PartialEq)]
pub struct LossTable {
    /// Groups of the feature, the last for rows without a value.
    width: usize,
    cells: Vec<Cell>,
}

impl LossTable {
    /// The empty table of so many groups of the prediction and, rows without a value included, of the feature.
    #[must_use]
    pub fn new(predictions: usize, width: usize) -> Self {
        Self { width: width.max(1), cells: vec![Cell::default(); predictions * width.max(1)] }
    }

    /// Counts one labelled row; nothing where the table has no such groups.
    pub fn add(&mut self, prediction: usize, feature: usize, row: &RowLoss) {
        if feature < self.width
            && let Some(cell) = self.cells.get_mut(prediction * self.width + feature)
        {
            cell.add(row);
        }
    }

    /// The share of the variance of the logarithm of absolute errors, within groups of the prediction, that the feature
    /// explains beyond chance; `None` if one of `features` that are tried explains as much by chance, or its factors are too
    /// near 1 to matter.
    ///
    /// By blocks of `block` groups of the prediction, the rows of a group of the feature are held against what they would have
    /// if the feature's values were dealt out anew within each group of the prediction: mean and variance of their sum then
    /// follow from those of each group (the stratified permutation test of Mantel 1963 for scores), so that errors may be
    /// larger for larger predictions. Logarithms are bounded, hence their sums nearly normal where there are enough.
    #[must_use]
    pub fn explained(&self, features: usize, block: usize) -> Option<f64> {
        let normal = Normal::standard();
        let (mut tried, mut by_chance, mut beyond_chance, mut variance_of_all) = (0.0, 1.0_f64, 0.0, 0.0);
        for groups in self.blocks(block) {
            let mut tests = vec![Test::default(); self.width];
            variance_of_all +=
                self.cells[groups].chunks(self.width).map(|cells| Test::add(&mut tests, cells)).sum::<f64>();
            for Test { off, chance, effective, rows } in tests {
                if effective >= ENOUGH_ROWS && chance > 0.0 {
                    tried += 1.0;
                    by_chance = by_chance.min(2.0 * normal.sf(off.abs() / chance.sqrt()));
                    beyond_chance += (off * off - chance) / rows;
                }
            }
        }
        let seldom = by_chance * tried * features.max(1) as f64 <= CHANCE;
        (tried > 0.0 && seldom && self.spread(block) >= LEAST_SPREAD).then(|| beyond_chance / variance_of_all)
    }

    /// How far the factors of absolute errors lie from 1.
    fn spread(&self, block: usize) -> f64 {
        let (mut rows, mut squares) = (0.0, 0.0);
        for (groups, factors) in self.blocks(block).zip(self.factors(block).chunks(self.width)) {
            for cells in self.cells[groups].chunks(self.width) {
                for (cell, factor) in cells.iter().zip(factors) {
                    rows += cell.rows();
                    squares += cell.rows() * (factor[0] - 1.0).powi(2);
                }
            }
        }
        if rows > 0.0 { (squares / rows).sqrt() } else { 0.0 }
    }

    /// The cells of so many groups of the prediction each.
    fn blocks(&self, block: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        let (all, step) = (self.cells.len(), block.max(1) * self.width);
        (0..all).step_by(step).map(move |from| from..all.min(from + step))
    }

    /// How much larger or smaller absolute and squared errors are than those of their group of the prediction, on average over
    /// rows: by blocks of `block` groups of the prediction, and of each the groups of the feature side by side. A pair with
    /// fewer than [`FEWEST_LABELS`] rows has the factors of its group of the feature, or 1 if that is as poor.
    #[must_use]
    pub fn factors(&self, block: usize) -> Vec<[f64; 2]> {
        let all = self.ratios(0..self.cells.len());
        let of_block = |groups: std::ops::Range<usize>| {
            let pairs = self.ratios(groups).into_iter().zip(&all);
            pairs.map(|(own, all)| own.mean().or_else(|| all.mean()).unwrap_or([1.0; 2])).collect::<Vec<_>>()
        };
        self.blocks(block).flat_map(of_block).collect()
    }

    /// By group of the feature, the sums of what these cells have of the means of their group of the prediction. Ratios are
    /// summed, not errors, so that one group of the prediction with a wrong label does not decide for all.
    fn ratios(&self, cells: std::ops::Range<usize>) -> Vec<Ratios> {
        let mut ratios = vec![Ratios::default(); self.width];
        for cells in self.cells[cells].chunks(self.width) {
            let mut all = LossSums::default();
            cells.iter().for_each(|cell| all.merge(&cell.losses));
            let Some(of_prediction) = all.mean_units() else { continue };
            for (cell, ratios) in cells.iter().zip(&mut ratios) {
                let Some(own) = cell.losses.mean_units() else { continue };
                ratios.rows += cell.rows();
                for ((sum, own), all) in ratios.sums.iter_mut().zip(own).zip(of_prediction) {
                    *sum += cell.rows() * if all > 0.0 { own / all } else { 1.0 };
                }
            }
        }
        ratios
    }
}

/// Rows of a group of the feature, and the sums over them of the absolute and squared error in those of their predictions.
#[derive(Debug, Clone, Copy, Default)]
struct Ratios {
    rows: f64,
    sums: [f64; 2],
}

impl Ratios {
    fn mean(&self) -> Option<[f64; 2]> {
        (self.rows >= FEWEST_LABELS as f64).then(|| self.sums.map(|sum| sum / self.rows))
    }
}

/// What a group of the feature has of the logarithms in some groups of the prediction.
#[derive(Debug, Clone, Copy, Default)]
struct Test {
    /// Their sum, less what it would be on average if values were dealt out anew.
    off: f64,
    /// Its variance.
    chance: f64,
    /// The variance of its rows, in those of rows that are one of many.
    effective: f64,
    /// Its rows in groups of the prediction in which there are others.
    rows: f64,
}

impl Test {
    /// Adds one group of the prediction to the tests of each group of the feature; its rows times their variance.
    fn add(tests: &mut [Self], cells: &[Cell]) -> f64 {
        let rows: f64 = cells.iter().map(Cell::rows).sum();
        if rows < 2.0 {
            return 0.0;
        }
        let mean = cells.iter().map(Cell::logarithms).sum::<f64>() / rows;
        let squares: i128 = cells.iter().map(|cell| cell.squared_logarithms).sum();
        let squares = LOGARITHM.value(squares) * LOGARITHM.value(1);
        let variance = (squares / rows - mean * mean).max(0.0);
        for (cell, test) in cells.iter().zip(tests).filter(|(cell, _)| cell.rows() < rows) {
            let effective = cell.rows() * (rows - cell.rows()) / (rows - 1.0);
            test.off += cell.logarithms() - cell.rows() * mean;
            test.chance += effective * variance;
            test.effective += effective;
            test.rows += cell.rows();
        }
        rows * variance
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Small random numbers that depend on nothing but the seed.
    fn random(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed.wrapping_mul(2) | 1;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    /// A table of these rows: group of the prediction, of the feature, and error.
    fn table([predictions, width]: [usize; 2], rows: impl Iterator<Item = (usize, usize, f64)>) -> LossTable {
        let (mut table, units) = (LossTable::new(predictions, width), LossUnits::new(1.0));
        rows.for_each(|(prediction, feature, error)| {
            table.add(prediction, feature, &RowLoss::new(error, &units).unwrap());
        });
        table
    }

    /// Errors of 1 and 3 in turns, as much more in the feature's second group.
    fn with_second(times: f64) -> LossTable {
        let row = |row: usize| {
            let error = if row.is_multiple_of(2) { 1.0 } else { -3.0 };
            let (prediction, feature) = (row / 2 % 2, row / 4 % 2);
            (prediction, feature, if feature == 1 { times * error } else { error })
        };
        table([2, 3], (0..400).map(row))
    }

    #[test]
    fn a_case_by_hand() {
        let table = with_second(10.0);
        // Means are 2 and 20, of squares 5 and 500, of both together 11 and 252.5.
        let [low, high] = [[2.0 / 11.0, 5.0 / 252.5], [20.0 / 11.0, 500.0 / 252.5]];
        for (seen, by_hand) in table.factors(1).into_iter().zip([low, high, [1.0; 2]].repeat(2)) {
            let near = |which: usize| (seen[which] - by_hand[which]).abs() < 1e-9;
            assert!(near(0) && near(1), "{seen:?} {by_hand:?}");
        }
        assert_eq!((table.factors(1).len(), table.factors(2).len()), (6, 3));
        // Logarithms lie ln 3 / 2 off their mean within groups of the feature, and these ln 10 / 2.
        let (between, within) = (10.0_f64.ln().powi(2) / 4.0, 3.0_f64.ln().powi(2) / 4.0);
        let explained = table.explained(20, 2).unwrap();
        assert!((explained - between / (between + within)).abs() < 0.01, "{explained}");
    }

    #[test]
    fn a_feature_that_explains_too_little_is_none() {
        assert_eq!(with_second(1.0).explained(1, 2), None);
        assert_eq!(with_second(1.2).explained(1, 2), None, "factors within a tenth");
        assert!(with_second(1.3).explained(1, 2).is_some());
        assert_eq!(with_second(1.3).explained(1_000, 2), None, "by chance, of so many");
        assert_eq!(LossTable::new(0, 0).explained(1, 1), None);
        assert_eq!(LossTable::new(2, 2).factors(1), [[1.0; 2]; 4]);
        let few = [(0, 0, 1.0), (0, 1, 3.0), (0, 2, 9.0), (1, 0, 9.0)];
        let few = table([1, 2], few.into_iter());
        assert_eq!((few.explained(1, 1), few.factors(1)), (None, vec![[1.0; 2]; 2]));
    }

    #[test]
    fn an_effect_that_turns_round_with_the_prediction_is_one() {
        let row = |row: usize| {
            let (prediction, feature) = (row / 2 % 2, row / 4 % 2);
            let side = if row.is_multiple_of(2) { 1.0 } else { -3.0 };
            (prediction, feature, if prediction == feature { 2.0 * side } else { side })
        };
        let table = table([2, 3], (0..1_000).map(row));
        assert_eq!(table.explained(1, 2), None, "in one block it is as good as none");
        assert!(table.explained(1, 1).is_some());
        assert!(
            (table.factors(1)[0][0] - 4.0 / 3.0).abs() < 1e-9
                && (table.factors(1)[3][0] - 2.0 / 3.0).abs() < 1e-9
        );
    }

    #[test]
    fn a_feature_shows_among_predictions_of_which_many_are_right() {
        let row = |row: usize| {
            let (prediction, feature, half) = (row % 4, row / 4 % 2, row / 8 % 4);
            let error = if half < 2 { 0.0 } else { (half - 1) as f64 };
            (prediction, feature, if feature == 1 { 3.0 * error } else { error })
        };
        assert!(table([4, 3], (0..40_000).map(row)).explained(20, 1).is_some());
    }

    #[test]
    fn one_wrong_label_spoils_the_factors_of_few() {
        let row = |row: usize| {
            let (prediction, feature) = (row % 8, row / 8 % 8);
            (prediction, feature, if feature == 0 { 3.0 } else { 1.0 })
        };
        let wrong = std::iter::once((3, 5, 1e5));
        let seen = table([8, 9], (0..6_400).map(row).chain(wrong)).factors(8);
        let sound = table([8, 9], (0..6_400).map(row)).factors(8);
        for feature in (0..8).filter(|feature| *feature != 5) {
            let part = seen[feature][0] / sound[feature][0];
            assert!((0.8..=1.0).contains(&part), "{feature}: {part}");
        }
    }

    /// How many of 200 references of so many rows and ten features of pure noise choose one. The last group of the feature has
    /// 3 % of the rows.
    fn chosen(rows: usize, error: impl Fn(f64, f64) -> f64) -> usize {
        let of_reference = |seed: u64| {
            let mut random = random(seed);
            let rows: Vec<(f64, f64)> = (0..rows).map(|_| (random(), random())).collect();
            (0..10).any(|_| {
                let mut feature = || if random() < 0.03 { 8 } else { (random() * 8.0) as usize };
                let rows = rows.iter().map(|(at, u)| ((at * 32.0) as usize, feature(), error(*at, *u)));
                table([32, 10], rows).explained(10, 8).is_some()
            })
        };
        (0..200).filter(|seed| of_reference(*seed)).count()
    }

    #[test]
    fn noise_is_no_feature_however_errors_lie() {
        for rows in [1_000, 5_000] {
            assert_eq!(chosen(rows, |_, u| u - 0.5), 0);
            assert_eq!(
                chosen(rows, |at, u| (8.0 * at).exp() * (u - 0.5)),
                0,
                "larger for larger predictions"
            );
            assert_eq!(chosen(rows, |_, u| (u - 0.5).signum() * (1.0 - u).powi(-2)), 0, "heavy tails");
            let wrong = |at: f64, u: f64| if at < 0.01 && u < 0.01 { 1e9 } else { u - 0.5 };
            assert_eq!(chosen(rows, wrong), 0, "a wrong label");
            assert_eq!(chosen(rows, |_, u| if u < 0.3 { 0.0 } else { u }), 0, "often right");
            assert_eq!(chosen(rows, |_, u| if u < 0.01 { 0.0 } else { u }), 0, "seldom right");
        }
    }

    #[test]
    fn a_feature_that_says_what_the_prediction_says_has_factors_near_one() {
        // The feature is the prediction's eighth; errors grow with the prediction.
        let rows = (0..32_000_usize).map(|row| {
            let prediction = row % 32;
            let side = if row / 32 % 2 == 0 { 0.5 } else { 1.5 };
            (prediction, prediction / 4, side * (prediction + 1) as f64)
        });
        let table = table([32, 9], rows);
        assert_eq!(table.explained(1, 8), None);
        assert!(table.factors(8).iter().flatten().all(|factor| (factor - 1.0).abs() < 1e-9));
    }

    proptest! {
        #[test]
        fn groups_are_few_and_in_order(counts in proptest::collection::vec(0u64..200, 0..60), most in 1u8..40) {
            let groups = neighbours(&counts, most);
            prop_assert!(groups.is_sorted() && groups.len() == counts.len());
            prop_assert!(groups.iter().all(|group| *group < most));
            let groups = most_frequent(&counts, most);
            prop_assert!(groups.iter().all(|group| *group < most));
        }

        #[test]
        fn the_order_of_rows_is_nothing(
            rows in proptest::collection::vec((0usize..4, 0usize..3, -1e3..1e3f64), 1..300),
        ) {
            let seen = table([4, 3], rows.iter().copied());
            prop_assert_eq!(&table([4, 3], rows.iter().rev().copied()), &seen);
            prop_assert!(seen.factors(2).iter().flatten().all(|factor| factor.is_finite() && *factor >= 0.0));
        }
    }
}
