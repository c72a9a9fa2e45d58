//! Expected loss by two columns: that of the prediction's group times a factor of the one feature that errors depend on most
//! besides it.
//!
//! The built-in relative of `NannyML`'s DLE. A window needs a count of both columns together, which its owner keeps as the sum
//! of the expected losses of its rows. Here live the pooling of cells, the choice of the feature and the factors; not
//! here: losses by the prediction alone ([`super::loss_by_cells`]).

use statrs::distribution::{ContinuousCDF, Normal};

use super::loss_by_cells::{FEWEST_LABELS, LossSums, LossUnits};
use crate::fixed_point::FixedPoint;

/// Part of the variance of the logarithm of absolute errors, within groups of the prediction, that a feature has to explain.
const LEAST_EXPLAINED: f64 = 0.01;

/// Chance shows a feature that explains nothing as one that does in so many references.
const CHANCE: f64 = 0.001;

/// Logarithms of errors over the label's scale are held within these, so that neither a right prediction nor one wrong label
/// decides.
const LOGARITHMS: std::ops::RangeInclusive<f64> = -14.0..=5.0;

/// Sums of logarithms are exact to `2^-30`, those of their squares to `2^-60`.
const LOGARITHM: FixedPoint = FixedPoint::new(-30);

/// Pools neighbouring cells, lowest first, into at most `most` groups of about equal counts, 255 of them at most: the group
/// of each cell. What is left behind the last full group belongs to it.
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
    /// explains beyond chance; `None` if one of `features` that are tried explains as much by chance, or it is too little to
    /// matter.
    ///
    /// The rows of a group of the feature are held against what they would have if the feature's values were dealt out anew
    /// within each group of the prediction: mean and variance of their sum then follow from those of each group (the
    /// stratified permutation test of Mantel 1963 for scores), so that errors may be larger for larger predictions.
    /// Logarithms are bounded, hence their sums nearly normal. Groups with fewer than [`FEWEST_LABELS`] rows, or all but as
    /// many, are not tested.
    #[must_use]
    pub fn explained(&self, features: usize) -> Option<f64> {
        let mut groups = vec![[0.0; 3]; self.width];
        let (mut variance_of_all, mut rows_of_all) = (0.0, 0.0);
        for of_prediction in self.cells.chunks(self.width) {
            let rows: f64 = of_prediction.iter().map(Cell::rows).sum();
            if rows < 2.0 {
                continue;
            }
            let mean = of_prediction.iter().map(Cell::logarithms).sum::<f64>() / rows;
            let squares: i128 = of_prediction.iter().map(|cell| cell.squared_logarithms).sum();
            let squares = LOGARITHM.value(squares) * LOGARITHM.value(1);
            let variance = (squares / rows - mean * mean).max(0.0);
            variance_of_all += rows * variance;
            rows_of_all += rows;
            for (cell, [off, chance, own]) in of_prediction.iter().zip(&mut groups) {
                *off += cell.logarithms() - cell.rows() * mean;
                *chance += cell.rows() * (rows - cell.rows()) / (rows - 1.0) * variance;
                *own += cell.rows();
            }
        }
        let few = FEWEST_LABELS as f64;
        groups.retain(|[_, chance, own]| *chance > 0.0 && *own >= few && rows_of_all - own >= few);
        let normal = Normal::standard();
        let by_chance = groups.iter().map(|[off, chance, _]| 2.0 * normal.sf(off.abs() / chance.sqrt()));
        let tried = (groups.len() * features.max(1)) as f64;
        let seldom = by_chance.reduce(f64::min)? * tried <= CHANCE;
        let beyond_chance: f64 = groups.iter().map(|[off, chance, own]| (off * off - chance) / own).sum();
        let explained = beyond_chance / variance_of_all;
        (seldom && explained >= LEAST_EXPLAINED).then_some(explained)
    }

    /// How much larger or smaller absolute and squared errors are than those of their group of the prediction: by blocks of
    /// `block` groups of the prediction, and of each the groups of the feature side by side. A pair with fewer than
    /// [`FEWEST_LABELS`] rows has the factors of its group of the feature, or 1 if that is as poor.
    #[must_use]
    pub fn factors(&self, block: usize) -> Vec<[f64; 2]> {
        let predictions: Vec<&[Cell]> = self.cells.chunks(self.width).collect();
        let means = predictions.iter().map(|cells| {
            let mut all = LossSums::default();
            cells.iter().for_each(|cell| all.merge(&cell.losses));
            all.mean_units().unwrap_or_default()
        });
        let means: Vec<[f64; 2]> = means.collect();
        // Seen and expected of some groups of the prediction and one of the feature.
        let factor = |groups: std::ops::Range<usize>, feature: usize| {
            let (mut seen, mut rows) = (LossSums::default(), 0.0);
            let mut expected = [0.0; 2];
            for (cells, mean) in predictions[groups.clone()].iter().zip(&means[groups]) {
                let cell = cells.get(feature)?;
                seen.merge(&cell.losses);
                rows += cell.rows();
                expected.iter_mut().zip(mean).for_each(|(sum, mean)| *sum += cell.rows() * mean);
            }
            let mean = seen.mean_units().filter(|_| seen.rows() >= FEWEST_LABELS)?;
            let of = |which: usize| {
                if expected[which] > 0.0 { mean[which] * rows / expected[which] } else { 1.0 }
            };
            Some([of(0), of(1)])
        };
        let all = predictions.len();
        let blocks = (0..all).step_by(block.max(1)).map(|from| from..all.min(from + block.max(1)));
        let of_block = |groups: std::ops::Range<usize>| {
            let of = move |feature: usize| {
                factor(groups.clone(), feature).or_else(|| factor(0..all, feature)).unwrap_or([1.0; 2])
            };
            (0..self.width).map(of).collect::<Vec<_>>()
        };
        blocks.flat_map(of_block).collect()
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
        assert_eq!(table.factors(2).len(), 3);
        assert_eq!(table.factors(1).len(), 6);
        // Logarithms lie ln 3 / 2 off their mean within groups of the feature, and these ln 10 / 2.
        let (between, within) = (10.0_f64.ln().powi(2) / 4.0, 3.0_f64.ln().powi(2) / 4.0);
        let explained = table.explained(20).unwrap();
        assert!((explained - between / (between + within)).abs() < 0.01, "{explained}");
    }

    #[test]
    fn a_feature_that_explains_too_little_is_none() {
        assert_eq!(with_second(1.0).explained(1), None);
        assert_eq!(with_second(1.05).explained(1), None, "a thousandth of the variance");
        assert_eq!(with_second(1.2).explained(1), None, "more than a hundredth, but by chance");
        assert!(with_second(1.3).explained(1).is_some());
        assert_eq!(with_second(1.3).explained(1_000), None, "by chance, of so many");
        assert_eq!(LossTable::new(0, 0).explained(1), None);
        assert_eq!(LossTable::new(2, 2).factors(1), [[1.0; 2]; 4]);
        let few = [(0, 0, 1.0), (0, 1, 3.0), (0, 2, 9.0), (1, 0, 9.0)];
        let few = table([1, 2], few.into_iter());
        assert_eq!((few.explained(1), few.factors(1)), (None, vec![[1.0; 2]; 2]));
    }

    /// How many of 200 references of 3,000 rows and ten features of pure noise choose one.
    fn chosen(error: impl Fn(f64, f64) -> f64) -> usize {
        let of_reference = |seed: u64| {
            let mut random = random(seed);
            let rows: Vec<(f64, f64)> = (0..3_000).map(|_| (random(), random())).collect();
            (0..10).any(|_| {
                let rows = rows.iter().map(|(at, error_at)| {
                    ((at * 32.0) as usize, (random() * 8.0) as usize, error(*at, *error_at))
                });
                table([32, 9], rows.collect::<Vec<_>>().into_iter()).explained(10).is_some()
            })
        };
        (0..200).filter(|seed| of_reference(*seed)).count()
    }

    #[test]
    fn noise_is_no_feature_however_errors_lie() {
        assert_eq!(chosen(|_, u| u - 0.5), 0);
        assert_eq!(chosen(|at, u| (8.0 * at).exp() * (u - 0.5)), 0, "larger for larger predictions");
        assert_eq!(chosen(|_, u| (u - 0.5).signum() * (1.0 - u).powi(-2)), 0, "heavy tails");
        assert_eq!(chosen(|at, u| if at < 0.01 && u < 0.01 { 1e9 } else { u - 0.5 }), 0, "a wrong label");
        assert_eq!(chosen(|_, u| if u < 0.3 { 0.0 } else { u }), 0, "often right");
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
        assert_eq!(table.explained(1), None);
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
