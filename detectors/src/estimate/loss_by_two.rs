//! Expected loss by a table of two columns: groups of the prediction crossed with groups of the one feature that errors
//! depend on most besides it.
//!
//! The built-in relative of `NannyML`'s DLE. A window needs a count of both columns together, which its owner keeps as the sum
//! of the table's entries over its rows. Here live the pooling of cells, the choice of the feature and the entries; not
//! here: the table by the prediction alone ([`super::loss_by_cells`]).

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::loss_by_cells::{FEWEST_LABELS, LossSums, mean_losses};

/// Most groups of a column, besides that of rows without a value.
pub const MOST_GROUPS: usize = 8;

/// Part of the variance of absolute errors, within groups of the prediction, that a feature has to explain.
const LEAST_EXPLAINED: f64 = 0.01;

/// Chance shows a feature that explains nothing as one that does in so many references.
const CHANCE: f64 = 0.001;

/// Pools neighbouring cells, lowest first, into at most [`MOST_GROUPS`] groups of about equal counts: the group of each cell.
/// What is left behind the last full group belongs to it.
///
/// ```
/// use anchorwatch_detectors::estimate::loss_by_two::neighbours;
/// assert_eq!(neighbours(&[0, 60, 10, 0, 400, 0, 1]), [0, 0, 1, 1, 1, 1, 1]);
/// ```
#[must_use]
pub fn neighbours(counts: &[u64]) -> Vec<u8> {
    let enough = counts.iter().sum::<u64>().div_ceil(MOST_GROUPS as u64).max(FEWEST_LABELS);
    let (mut group, mut held) = (0_u8, 0);
    let mut group_of = |count: &u64| {
        let own = group;
        held += count;
        if held >= enough {
            (group, held) = (group + 1, 0);
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

/// Gives each of the most frequent cells a group of its own, [`MOST_GROUPS`] less one at most, and all others one together.
///
/// ```
/// use anchorwatch_detectors::estimate::loss_by_two::most_frequent;
/// assert_eq!(most_frequent(&[5, 90, 0, 40]), [2, 0, 2, 1]);
/// ```
#[must_use]
pub fn most_frequent(counts: &[u64]) -> Vec<u8> {
    let mut order: Vec<usize> = (0..counts.len()).filter(|cell| counts[*cell] >= FEWEST_LABELS).collect();
    order.sort_by_key(|cell| std::cmp::Reverse(counts[*cell]));
    order.truncate(MOST_GROUPS - 1);
    let place = |cell: usize| order.iter().position(|other| *other == cell).unwrap_or(order.len());
    (0..counts.len()).map(|cell| place(cell) as u8).collect()
}

/// Errors of a labelled reference by group of the prediction and group of one feature.
#[derive(Debug, Clone, PartialEq)]
pub struct LossTable {
    /// Groups of the feature, the last for rows without a value.
    width: usize,
    cells: Vec<LossSums>,
}

impl LossTable {
    /// The empty table of so many groups of the prediction and, rows without a value included, of the feature.
    #[must_use]
    pub fn new(predictions: usize, width: usize) -> Self {
        Self { width: width.max(1), cells: vec![LossSums::default(); predictions * width.max(1)] }
    }

    /// Counts one labelled row; nothing where the table has no such groups. `scale` as in [`LossSums::add`].
    pub fn add(&mut self, prediction: usize, feature: usize, error: f64, scale: f64) {
        if feature < self.width
            && let Some(sums) = self.cells.get_mut(prediction * self.width + feature)
        {
            sums.add(error, scale);
        }
    }

    /// The share of the variance of absolute errors within groups of the prediction that the feature explains; `None` if one
    /// of `features` that are tried shows as much by chance, or it is too little to matter. Groups with fewer than
    /// [`FEWEST_LABELS`] rows are left out. An analysis of variance with nested groups (Fisher 1925): with many rows it
    /// does not need errors to be normal.
    #[must_use]
    pub fn explained(&self, scale: f64, features: usize) -> Option<f64> {
        let (mut between, mut within, mut rows, mut cells, mut used) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for of_prediction in self.cells.chunks(self.width) {
            let rich = || of_prediction.iter().filter(|sums| sums.rows() >= FEWEST_LABELS);
            let mut all = LossSums::default();
            rich().for_each(|sums| all.merge(sums));
            let Some([mean, _]) = mean_losses(&all, scale) else { continue };
            used += 1.0;
            for sums in rich() {
                let [absolute, squared] = mean_losses(sums, scale)?;
                let n = sums.rows() as f64;
                between += n * (absolute - mean).powi(2);
                within += n * (squared - absolute * absolute).max(0.0);
                rows += n;
                cells += 1.0;
            }
        }
        let (freedom, rest) = (cells - used, rows - cells);
        let explained = between / (between + within);
        if freedom < 1.0 || rest < 1.0 || !(explained >= LEAST_EXPLAINED) {
            return None;
        }
        let statistic = (between / freedom) / (within / rest);
        let by_chance = match within > 0.0 {
            true => FisherSnedecor::new(freedom, rest).ok()?.sf(statistic),
            false => 0.0,
        };
        (by_chance * features.max(1) as f64 <= CHANCE).then_some(explained)
    }

    /// Mean absolute and mean squared error of each pair of groups, those of one group of the prediction side by side. A pair
    /// with fewer than [`FEWEST_LABELS`] rows has the means of its group of the prediction, or, if that is as poor, of all.
    /// Empty without labels.
    #[must_use]
    pub fn means(&self, scale: f64) -> Vec<[f64; 2]> {
        let sum = |cells: &[LossSums]| {
            let mut all = LossSums::default();
            cells.iter().for_each(|sums| all.merge(sums));
            all
        };
        let enough =
            |sums: &LossSums| if sums.rows() >= FEWEST_LABELS { mean_losses(sums, scale) } else { None };
        let Some(of_all) = mean_losses(&sum(&self.cells), scale) else { return Vec::new() };
        let rows = self.cells.chunks(self.width).flat_map(|cells| {
            let of_prediction = enough(&sum(cells)).unwrap_or(of_all);
            cells.iter().map(move |sums| enough(sums).unwrap_or(of_prediction))
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Errors of 1 and 3 in turns, times 10 in the feature's second group.
    fn table(second: f64) -> LossTable {
        let mut table = LossTable::new(2, 3);
        for row in 0..400_usize {
            let error = if row.is_multiple_of(2) { 1.0 } else { -3.0 };
            let (prediction, feature) = (row / 2 % 2, row / 4 % 2);
            table.add(prediction, feature, if feature == 1 { second * error } else { error }, 1.0);
        }
        table
    }

    #[test]
    fn a_case_by_hand() {
        let table = table(10.0);
        let means = table.means(1.0);
        let low = [2.0, 5.0];
        let high = [20.0, 500.0];
        let poor = [11.0, 252.5];
        assert_eq!(means, [low, high, poor, low, high, poor]);
        // Within groups the absolute error varies by 1 and by 100, between them by 81.
        let explained = table.explained(1.0, 20).unwrap();
        assert!((explained - 81.0 / (81.0 + 50.5)).abs() < 1e-9, "{explained}");
    }

    #[test]
    fn a_feature_that_explains_nothing_is_none() {
        assert_eq!(table(1.0).explained(1.0, 1), None);
        assert_eq!(table(1.01).explained(1.0, 1), None, "chance would do as much");
        assert_eq!(LossTable::new(0, 0).explained(1.0, 1), None);
        assert_eq!(LossTable::new(2, 2).means(1.0), Vec::<[f64; 2]>::new());
        let mut few = LossTable::new(1, 2);
        few.add(0, 0, 1.0, 1.0);
        few.add(0, 1, 3.0, 1.0);
        few.add(0, 2, 9.0, 1.0);
        few.add(1, 0, 9.0, 1.0);
        assert_eq!((few.explained(1.0, 1), few.means(1.0)), (None, vec![[2.0, 5.0]; 2]));
    }

    #[test]
    fn errors_without_any_spread_in_their_groups_are_explained_altogether() {
        let mut table = LossTable::new(1, 2);
        (0..60).for_each(|row| table.add(0, row % 2, if row % 2 == 0 { 1.0 } else { 2.0 }, 1.0));
        assert_eq!(table.explained(1.0, 1), Some(1.0));
    }

    proptest! {
        #[test]
        fn groups_are_few_and_in_order(counts in proptest::collection::vec(0u64..200, 0..60)) {
            let groups = neighbours(&counts);
            prop_assert!(groups.is_sorted() && groups.len() == counts.len());
            prop_assert!(groups.iter().all(|group| usize::from(*group) < MOST_GROUPS));
            let groups = most_frequent(&counts);
            prop_assert!(groups.iter().all(|group| usize::from(*group) < MOST_GROUPS));
            let highest = groups.iter().max().map_or(0, |most| usize::from(*most) + 1);
            prop_assert!((0..highest).all(|group| groups.contains(&(group as u8))));
        }
    }
}
