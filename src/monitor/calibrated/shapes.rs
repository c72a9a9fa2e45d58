//! How the scores of one event are distributed under the baseline: windows of a slice may hold so few events that the mean
//! of their scores is as skewed as rain is. Not here: what is made of it (`anchorwatch_detectors::calibrated`).

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::calibrated::{ScoreShape, orthonormal_scores};

use crate::reference::{Reference, Slice};

/// Degrees of the scores of which slices are compared: location and spread.
const DEGREES: usize = 2;

/// Of a residual of which only the bound is known.
const UNKNOWN: ScoreShape = ScoreShape { bound: 1.0, variance: 1.0, skewness: 0.0, excess: 0.0 };

/// Events as the whole has them that are taken to be among those of a slice: what a slice did not show in its own events may
/// still be 3 in `n` of them (the rule of three).
const AS_THE_WHOLE: f64 = 3.0;

/// How the scores of an event are distributed, as the profiles of a reference show it.
#[derive(Debug)]
pub(super) struct Shapes<'a> {
    reference: &'a Reference,
    /// Scores by column, degree and cell; the latency's stand last.
    scores: Vec<Vec<Vec<f64>>>,
    /// The shape of label less score.
    pub(super) residual: ScoreShape,
}

impl<'a> Shapes<'a> {
    /// The shapes that quantities of these slices need; none if there are no slices.
    pub(super) fn of(reference: &'a Reference, slices: &[Slice]) -> Self {
        if slices.is_empty() {
            return Self { reference, scores: Vec::new(), residual: UNKNOWN };
        }
        let columns = 0..=reference.layout().columns();
        let scores = columns.map(|column| orthonormal_scores(cells(reference, None, column), DEGREES));
        Self { reference, scores: scores.collect(), residual: shape_of_residual(reference) }
    }

    /// The shape of a column's score of this degree in a slice; `None` if it has none.
    pub(super) fn of_slice(&self, slice: &Slice, column: usize, degree: usize) -> Option<ScoreShape> {
        let scores = self.scores.get(column)?.get(degree)?;
        let whole = cells(self.reference, None, column);
        let segment = match slice {
            Slice::Segment(value) => self.reference.segments.contains_key(value).then_some(value),
            // A version has no profile of its own; it is taken for a sample of the whole.
            Slice::Version(_) => None,
        };
        let own = segment.map_or(&[][..], |value| cells(self.reference, Some(value), column));
        let of_whole = AS_THE_WHOLE / whole.iter().sum::<u64>().max(1) as f64;
        let weight = |cell: usize| {
            own.get(cell).copied().unwrap_or(0) as f64 + whole.get(cell).map_or(0.0, |n| *n as f64 * of_whole)
        };
        Some(ScoreShape::of(scores.iter().enumerate().map(|(cell, score)| (*score, weight(cell)))))
    }
}

/// The cells of a column, or of the latency behind the last one, in the profile of the whole or of a segment.
fn cells<'a>(reference: &'a Reference, segment: Option<&str>, column: usize) -> &'a [u64] {
    let (layout, profile) = (reference.layout(), reference.profile_of(segment));
    if column < layout.columns() { layout.column(profile, column).cells } else { layout.latency(profile) }
}

/// A residual is a label of 0 or 1 less what is expected of it: it is no more skewed than the label itself.
fn shape_of_residual(reference: &Reference) -> ScoreShape {
    let Some(residual) = &reference.joint.residual else { return UNKNOWN };
    let layout = reference.layout();
    let counts = layout.column(&reference.profile, residual.label);
    let total: u64 = counts.cells.iter().sum();
    let used: Vec<usize> = (0..counts.cells.len()).filter(|cell| counts.cells[*cell] > 0).collect();
    let column = reference.columns.get(residual.label);
    let one = match column.map(|column| &column.binning) {
        Some(Binning::Numeric(_)) if used.len() == 2 => used.last().copied(),
        Some(Binning::Categorical(categories)) => {
            let positive = residual.positive.as_deref().unwrap_or("true");
            categories.categories().iter().position(|category| &**category == positive)
        }
        _ => None,
    };
    let share = one.and_then(|cell| counts.cells.get(cell)).map(|count| *count as f64 / total.max(1) as f64);
    share.filter(|share| (0.0..1.0).contains(share) && *share > 0.0).map_or(UNKNOWN, ScoreShape::of_share)
}
