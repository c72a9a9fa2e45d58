//! Expected loss by table: the reference's mean loss per group of score cells, weighted with how often a window falls
//! there.
//!
//! A small, explainable relative of `NannyML`'s DLE: groups of the prediction instead of a second model. Assumes that
//! errors of a given prediction are as large as they were. Not here: errors once labels are known
//! ([`crate::performance::regression`]).

use serde::{Deserialize, Serialize};

use crate::fixed_point::FixedPoint;

/// Most groups of a table.
pub const GROUPS: usize = 32;

/// Labels that a group should have at least, so that its mean is steady.
pub const FEWEST_LABELS: u64 = 30;

/// Sums of absolute and squared errors of one cell, exact in any order of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossSums {
    rows: u64,
    absolute: i128,
    squared: i128,
}

impl LossSums {
    /// Counts one labelled row, in the same units as all others; an error that is no finite number is left out.
    pub fn add(&mut self, error: f64, units: &LossUnits) {
        if error.is_finite() {
            let [absolute, squared] = units.units;
            self.rows = self.rows.saturating_add(1);
            self.absolute = self.absolute.wrapping_add(absolute.units(error.abs()));
            self.squared = self.squared.wrapping_add(squared.units(error * error));
        }
    }

    /// Labelled rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds the rows of another cell.
    pub fn merge(&mut self, other: &Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.absolute = self.absolute.wrapping_add(other.absolute);
        self.squared = self.squared.wrapping_add(other.squared);
    }

    /// Mean absolute and mean squared error, each in units of its own; `None` without rows.
    pub(super) fn mean_units(&self) -> Option<[f64; 2]> {
        let rows = self.rows as f64;
        (self.rows > 0).then(|| [self.absolute as f64 / rows, self.squared as f64 / rows])
    }
}

/// In what errors are summed: about 12 digits of a usual size of the label, its scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossUnits {
    scale: f64,
    units: [FixedPoint; 2],
}

impl LossUnits {
    /// The units at this scale: 2^-40 and 2^-60 of it and its square, nearly.
    #[must_use]
    pub fn new(scale: f64) -> Self {
        let exponent = scale.abs().log2().floor();
        let exponent = if exponent.is_finite() { exponent.clamp(-400.0, 400.0) as i32 } else { 0 };
        Self {
            scale: scale.abs(),
            units: [FixedPoint::new(exponent - 40), FixedPoint::new(2 * exponent - 60)],
        }
    }

    pub(super) fn scale(&self) -> f64 {
        self.scale
    }

    /// Mean absolute and mean squared error; `None` without rows.
    fn means(&self, sums: &LossSums) -> Option<[f64; 2]> {
        let ([absolute, squared], rows) = (self.units, sums.rows as f64);
        (sums.rows > 0).then(|| [absolute.value(sums.absolute) / rows, squared.value(sums.squared) / rows])
    }
}

/// Neighbouring cells of the score and the mean losses of the reference's rows there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossGroup {
    /// Number of cells, from where the group before ends.
    pub cells: u32,
    /// Labelled rows of the reference.
    pub rows: u64,
    /// Their mean absolute error.
    pub absolute: f64,
    /// Their mean squared error.
    pub squared: f64,
}

/// Pools cells, lowest scores first, into at most [`GROUPS`] groups of about equal numbers of labels, none with fewer than
/// [`FEWEST_LABELS`] if there are as many; empty without labels. The units are those of [`LossSums::add`].
#[must_use]
pub fn groups(cells: &[LossSums], units: &LossUnits) -> Vec<LossGroup> {
    let labels: u64 = cells.iter().map(|cell| cell.rows).sum();
    let enough = labels.div_ceil(GROUPS as u64).max(FEWEST_LABELS);
    let mut pooled: Vec<(u32, LossSums)> = Vec::new();
    let (mut width, mut sums) = (0, LossSums::default());
    for cell in cells {
        width += 1;
        sums.merge(cell);
        if sums.rows >= enough {
            pooled.push((width, std::mem::take(&mut sums)));
            width = 0;
        }
    }
    match pooled.last_mut() {
        // Too few are left for a group of their own.
        Some((last, of_last)) if sums.rows < FEWEST_LABELS => {
            *last += width;
            of_last.merge(&sums);
        }
        Some(_) | None => pooled.push((width, sums)),
    }
    let group = |(cells, sums): (u32, LossSums)| {
        let [absolute, squared] = units.means(&sums)?;
        Some(LossGroup { cells, rows: sums.rows, absolute, squared })
    };
    pooled.into_iter().filter_map(group).collect()
}

/// The losses that a window is expected to have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedLoss {
    /// Predictions behind it.
    pub count: u64,
    /// Mean absolute error, in the unit of the label.
    pub mae: f64,
    /// Root of the mean squared error, in the unit of the label.
    pub rmse: f64,
}

/// What counts per score cell let expect; `None` without counts, or if the groups are of another number of cells.
///
/// ```
/// use anchorwatch_detectors::estimate::{LossGroup, loss_by_cells::expected_loss};
/// let low = LossGroup { cells: 2, rows: 100, absolute: 1.0, squared: 4.0 };
/// let high = LossGroup { cells: 1, rows: 100, absolute: 3.0, squared: 16.0 };
/// let seen = expected_loss(&[low, high], &[1, 1, 2]).expect("counts");
/// assert_eq!((seen.count, seen.mae, seen.rmse), (4, 2.0, 10f64.sqrt()));
/// ```
#[must_use]
pub fn expected_loss(groups: &[LossGroup], counts: &[u64]) -> Option<ExpectedLoss> {
    let (mut rest, mut count, mut absolute, mut squared) = (counts, 0u64, 0.0, 0.0);
    for group in groups {
        let (here, after) = rest.split_at_checked(group.cells as usize)?;
        let rows: u64 = here.iter().sum();
        count = count.saturating_add(rows);
        absolute += rows as f64 * group.absolute;
        squared += rows as f64 * group.squared;
        rest = after;
    }
    let all = count as f64;
    (count > 0 && rest.is_empty()).then(|| ExpectedLoss {
        count,
        mae: absolute / all,
        rmse: (squared / all).sqrt(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums(errors: &[f64]) -> LossSums {
        let mut sums = LossSums::default();
        errors.iter().for_each(|error| sums.add(*error, &LossUnits::new(1.0)));
        sums
    }

    #[test]
    fn a_case_by_hand() {
        let cells =
            [sums(&[1.0; 20]), sums(&[-4.0; 10]), LossSums::default(), sums(&[2.0; 40]), sums(&[3.0])];
        let table = groups(&cells, &LossUnits::new(1.0));
        let low = LossGroup { cells: 2, rows: 30, absolute: 2.0, squared: 6.0 };
        assert_eq!((table.len(), table[0]), (2, low));
        assert_eq!((table[1].cells, table[1].rows), (3, 41), "the last row has no group of its own");
        assert!(
            (table[1].absolute - 83.0 / 41.0).abs() < 1e-9 && (table[1].squared - 169.0 / 41.0).abs() < 1e-9
        );
        let seen = expected_loss(&table, &[1, 2, 0, 1, 0]).unwrap();
        assert!((seen.mae - (3.0 * 2.0 + 83.0 / 41.0) / 4.0).abs() < 1e-9);
        assert!((seen.rmse - ((3.0f64 * 6.0 + 169.0 / 41.0) / 4.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn without_labels_or_predictions_nothing_is_expected() {
        assert_eq!(groups(&[], &LossUnits::new(1.0)), []);
        assert_eq!(groups(&[LossSums::default(); 3], &LossUnits::new(1.0)), []);
        assert_eq!(expected_loss(&[], &[]), None);
        let table = groups(&[sums(&[1.0]), sums(&[f64::NAN, 3.0])], &LossUnits::new(1.0));
        assert_eq!(
            (table.len(), table[0].rows, table[0].absolute),
            (1, 2, 2.0),
            "fewer than enough are one group"
        );
        assert_eq!(expected_loss(&table, &[0, 0]), None);
        assert_eq!(expected_loss(&table, &[1]), None);
        assert_eq!(expected_loss(&table, &[1, 1, 1]), None);
    }

    #[test]
    fn errors_of_any_size_are_summed_to_twelve_digits() {
        for scale in [1e-100, 1e-9, 1.0, 1e9, 1e100] {
            let mut one = LossSums::default();
            let units = LossUnits::new(scale);
            (0..30).for_each(|i| one.add(scale * f64::from(i), &units));
            let table = groups(&[one], &units);
            assert!((table[0].absolute / scale - 14.5).abs() < 1e-9, "{scale} {table:?}");
            let root = (table[0].squared / (scale * scale)).sqrt();
            assert!((root - (29.0f64 * 59.0 / 6.0).sqrt()).abs() < 1e-9, "{scale} {table:?}");
        }
    }

    proptest! {
        #[test]
        fn groups_cover_all_cells_and_none_is_poor(rows in proptest::collection::vec(0u64..40, 1..200)) {
            let cells: Vec<LossSums> =
                rows.iter().map(|rows| LossSums { rows: *rows, ..LossSums::default() }).collect();
            let table = groups(&cells, &LossUnits::new(1.0));
            let labels: u64 = rows.iter().sum();
            prop_assert!(table.len() <= GROUPS);
            prop_assert_eq!(table.iter().map(|group| group.rows).sum::<u64>(), labels);
            if labels > 0 {
                prop_assert_eq!(table.iter().map(|group| group.cells as usize).sum::<usize>(), rows.len());
            }
            if labels >= FEWEST_LABELS {
                prop_assert!(table.iter().all(|group| group.rows >= FEWEST_LABELS));
            }
        }

        #[test]
        fn a_window_like_the_reference_has_its_loss_in_any_order_of_rows(
            errors in proptest::collection::vec((0usize..8, -1e3..1e3f64), 1..300),
        ) {
            let fill = |errors: &mut dyn Iterator<Item = &(usize, f64)>| {
                let mut cells = [LossSums::default(); 8];
                let units = LossUnits::new(10.0);
                errors.for_each(|(cell, error)| cells[*cell].add(*error, &units));
                groups(&cells, &units)
            };
            let table = fill(&mut errors.iter());
            prop_assert_eq!(&fill(&mut errors.iter().rev()), &table);
            let mut counts = [0; 8];
            errors.iter().for_each(|(cell, _)| counts[*cell] += 1);
            let seen = expected_loss(&table, &counts).unwrap();
            let n = errors.len() as f64;
            let mae = errors.iter().map(|(_, error)| error.abs()).sum::<f64>() / n;
            let rmse = (errors.iter().map(|(_, error)| error * error).sum::<f64>() / n).sqrt();
            prop_assert!((seen.mae - mae).abs() < 1e-8 && (seen.rmse - rmse).abs() < 1e-8);
        }
    }
}
