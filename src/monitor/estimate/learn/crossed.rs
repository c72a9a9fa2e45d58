//! Which feature the errors of a number depend on besides the prediction, and how large they are by both.
//!
//! Every feature is crossed with the prediction while a baseline is counted; the one that explains most stays.

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::estimate::loss_by_two::{most_frequent, neighbours};
use anchorwatch_detectors::estimate::{LossGroup, LossTable, LossUnits, RowLoss};

use crate::reference::{Losses, Reference, Role};

/// Most groups of the score, within each of which a feature is looked at.
const SCORE_GROUPS: u8 = 32;

/// Parts of the groups of the score, each of which has factors of the feature of its own.
const BLOCKS: usize = 4;

/// Most groups of a feature, besides that of rows without a value.
const FEATURE_GROUPS: u8 = 8;

/// One feature crossed with the prediction.
#[derive(Debug, Clone, PartialEq)]
struct Feature {
    column: usize,
    /// Group of each cell.
    groups: Vec<u8>,
    /// Number of groups, that of rows without a value included.
    width: usize,
    table: LossTable,
}

/// Errors of a baseline's rows by group of the score and of each feature.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Crossed {
    score: usize,
    score_groups: Vec<u8>,
    /// Groups of the score that share factors.
    block: usize,
    features: Vec<Feature>,
}

impl Crossed {
    /// Of a reference whose labels are numbers, and whose score is in this column.
    pub(super) fn new(reference: &Reference, score: usize) -> Self {
        let layout = reference.layout();
        let counts = |column: usize| layout.column(&reference.profile, column).cells;
        let score_groups = neighbours(counts(score), SCORE_GROUPS);
        let predictions = highest(&score_groups);
        let features =
            reference.columns.iter().enumerate().filter(|(_, column)| column.role == Role::Feature);
        let crossed = features.map(|(column, of)| {
            let groups = match of.binning {
                Binning::Numeric(_) => neighbours(counts(column), FEATURE_GROUPS),
                Binning::Categorical(_) => most_frequent(counts(column), FEATURE_GROUPS),
            };
            let width = highest(&groups) + 1;
            Feature { column, groups, width, table: LossTable::new(predictions, width) }
        });
        let features = crossed.collect();
        Self { score, score_groups, block: predictions.div_ceil(BLOCKS).max(1), features }
    }

    /// Counts one labelled row; `cells` gives the cell of each column, `usize::MAX` where the value is none.
    pub(super) fn add(&mut self, cells: &[usize], error: f64, units: &LossUnits) {
        let score = cells.get(self.score).and_then(|cell| self.score_groups.get(*cell));
        let Some((prediction, row)) = score.zip(RowLoss::new(error, units)) else { return };
        for Feature { column, groups, width, table } in &mut self.features {
            let group = cells.get(*column).and_then(|cell| groups.get(*cell));
            table.add(usize::from(*prediction), group.map_or(*width - 1, |group| usize::from(*group)), &row);
        }
    }

    /// The losses by cells of the score times the factors of the feature that explains most; `None` if none does.
    pub(super) fn learned(&self, losses: &[LossGroup]) -> Option<Losses> {
        let tried = self.features.len();
        let explained = |feature: &Feature| feature.table.explained(tried, self.block);
        let each = self.features.iter().filter_map(|feature| Some((explained(feature)?, feature)));
        // Of equal ones the first.
        let (_, best) = each.reduce(|best, other| if other.0 > best.0 { other } else { best })?;
        let factors = best.table.factors(self.block);
        let of_cells = losses.iter().flat_map(|group| std::iter::repeat_n(group, group.cells as usize));
        let of_cells = of_cells.zip(self.score_groups.iter().map(|group| usize::from(*group) / self.block));
        let mut errors: Vec<[f64; 2]> = Vec::new();
        let mut groups: Vec<u8> = Vec::new();
        let mut last = None;
        for (group, block) in of_cells {
            let of_score = [group.absolute, group.squared];
            if last != Some((of_score, block)) {
                last = Some((of_score, block));
                let factors = factors.get(block * best.width..)?.iter().take(best.width);
                errors.extend(factors.map(|factor| [of_score[0] * factor[0], of_score[1] * factor[1]]));
            }
            groups.push(u8::try_from(errors.len() / best.width - 1).ok()?);
        }
        let feature = (best.column, best.groups.clone());
        Losses::new((self.score, groups), feature, best.width, &errors)
    }
}

fn highest(groups: &[u8]) -> usize {
    groups.iter().max().map_or(0, |group| usize::from(*group) + 1)
}
