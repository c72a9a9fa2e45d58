//! Which feature the errors of a number depend on besides the prediction, and how large they are by both.
//!
//! Every feature is crossed with the prediction while a baseline is counted; the one that explains most stays.

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::estimate::LossTable;
use anchorwatch_detectors::estimate::loss_by_two::{most_frequent, neighbours};

use crate::reference::{Losses, Reference, Role};

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
    scale: f64,
    score: usize,
    score_groups: Vec<u8>,
    features: Vec<Feature>,
}

impl Crossed {
    /// Of a reference whose labels are numbers of this scale, and whose score is in this column.
    pub(super) fn new(reference: &Reference, score: usize, scale: f64) -> Self {
        let layout = reference.layout();
        let counts = |column: usize| layout.column(&reference.profile, column).cells;
        let score_groups = neighbours(counts(score));
        let predictions = highest(&score_groups);
        let features =
            reference.columns.iter().enumerate().filter(|(_, column)| column.role == Role::Feature);
        let crossed = features.map(|(column, of)| {
            let groups = match of.binning {
                Binning::Numeric(_) => neighbours(counts(column)),
                Binning::Categorical(_) => most_frequent(counts(column)),
            };
            let width = highest(&groups) + 1;
            Feature { column, groups, width, table: LossTable::new(predictions, width) }
        });
        let features = crossed.collect();
        Self { scale, score, score_groups, features }
    }

    /// Counts one labelled row; `cells` gives the cell of each column, `usize::MAX` where the value is none.
    pub(super) fn add(&mut self, cells: &[usize], error: f64) {
        let score = cells.get(self.score).and_then(|cell| self.score_groups.get(*cell));
        let Some(prediction) = score.map(|group| usize::from(*group)) else { return };
        for Feature { column, groups, width, table } in &mut self.features {
            let group = cells.get(*column).and_then(|cell| groups.get(*cell));
            table.add(prediction, group.map_or(*width - 1, |group| usize::from(*group)), error, self.scale);
        }
    }

    /// The table by the feature that explains most; `None` if none does.
    pub(super) fn learned(&self) -> Option<Losses> {
        let tried = self.features.len();
        let explained =
            |feature: &Feature| Some((feature.table.explained(self.scale, tried)?, feature.clone()));
        let best = self.features.iter().filter_map(explained);
        // Of equal ones the first.
        let (_, best) = best.reduce(|best, other| if other.0 > best.0 { other } else { best })?;
        let score = (self.score, self.score_groups.clone());
        Losses::new(score, (best.column, best.groups), best.width, &best.table.means(self.scale))
    }
}

fn highest(groups: &[u8]) -> usize {
    groups.iter().max().map_or(0, |group| usize::from(*group) + 1)
}
