//! What a model is to foretell: one of two classes, one of several, or a number, in units of its baseline.

use anchorwatch_detectors::binning::{Binning, NumericBinning};
use anchorwatch_detectors::performance::RegressionScale;

use super::coded::tells_classes;
use crate::reference::{Layout, Reference};

/// What the labels of a version are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target {
    /// 0 and 1.
    Classes,
    /// Numbers of several classes, by name.
    Several,
    /// Numbers, whose errors are summed in this unit.
    Number(RegressionScale),
}

impl Target {
    /// As the baseline has it: the same for every window that was counted with this reference.
    pub(super) fn of(reference: &Reference) -> Self {
        if tells_classes(reference) {
            return Self::Several;
        }
        let Some(terms) = &reference.joint.residual else { return Self::Classes };
        let column = reference.columns.get(terms.label);
        let Some(Binning::Numeric(knots)) = column.map(|column| &column.binning) else {
            return Self::Classes;
        };
        let layout = Layout::new(&reference.columns);
        if reference.profile.len() < layout.len() {
            return Self::Classes;
        }
        let counts = layout.column(&reference.profile, terms.label).cells;
        if counts.iter().enumerate().all(|(cell, count)| *count == 0 || is_class(knots, cell)) {
            return Self::Classes;
        }
        let scale = scale(knots, counts);
        Self::Number(RegressionScale { quantile: terms.quantile.unwrap_or(scale.quantile), ..scale })
    }
}

/// Whether the labels of a baseline are numbers, other than 0 and 1, that its score is compared with.
pub(crate) fn foretells_numbers(reference: &Reference) -> bool {
    matches!(Target::of(reference), Target::Number(_))
}

fn is_class(knots: &NumericBinning, cell: usize) -> bool {
    cell % 2 == 1 && knots.knots().get(cell / 2).is_some_and(|knot| [0.0, 1.0].contains(knot))
}

/// Median and interquartile range of the baseline's labels, by cut points; their whole range if half of them are one value.
fn scale(knots: &NumericBinning, counts: &[u64]) -> RegressionScale {
    let of_cell = |cell: usize| knots.knots().get(cell.saturating_sub(1) / 2).copied();
    let total: u64 = counts.iter().sum();
    let at = |share: f64| {
        let rank = (share * total as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        let found = counts.iter().position(|count| {
            below += count;
            below >= rank
        });
        found.and_then(of_cell).unwrap_or(0.0)
    };
    let usual = at(0.75) - at(0.25);
    let spread = if usual > 0.0 { usual } else { at(1.0) - at(0.0) };
    RegressionScale { centre: at(0.5), spread, ..RegressionScale::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_summed_in_the_unit_of_the_middle_half_of_the_baseline() {
        let knots = NumericBinning::new(vec![1.0, 2.0, 4.0, 900.0]).expect("ascending");
        let scale_of = |counts: [u64; 9]| scale(&knots, &counts);
        let usual = scale_of([0, 10, 0, 30, 0, 20, 3, 1, 0]);
        assert_eq!((usual.centre, usual.spread), (2.0, 2.0));
        let heavy = scale_of([0, 1, 0, 90, 0, 0, 0, 1, 0]);
        assert_eq!((heavy.centre, heavy.spread), (2.0, 899.0), "more than half are 2");
    }

    #[test]
    fn only_0_and_1_are_classes() {
        let knots = NumericBinning::new(vec![-0.5, 0.0, 1.0, 1.5]).expect("ascending");
        let classes: Vec<usize> = (0..9).filter(|cell| is_class(&knots, *cell)).collect();
        assert_eq!(classes, [3, 5]);
    }
}
