//! From the counters of a window to one sample per monitored quantity.

use std::collections::HashMap;

use anchorwatch_detectors::calibrated::{Sample, orthonormal_scores};

use super::quantities::{Measure, Monitored};
use crate::reference::{Joint, Layout, Reference, Slice};

/// Degrees of the scores of a column.
const DEGREES: usize = 4;

/// Reads samples off counters in the live layout of a reference.
#[derive(Debug)]
pub struct Sampler {
    layout: Layout,
    joint: Joint,
    /// Scores by column, degree and cell; the latency's stand last.
    scores: Vec<Vec<Vec<f64>>>,
}

/// Counters of one window: of everything, and of the slices that are compared with the rest.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    /// All events.
    pub whole: &'a [u64],
    /// Counters by slice; a slice without events may be left out.
    pub slices: &'a HashMap<Slice, Vec<u64>>,
}

/// The counters of a window, with what several quantities of a column ask of its cells.
struct Looked<'a> {
    counts: &'a [u64],
    /// By column; the latency's stand last.
    columns: Vec<Used>,
}

/// The cells of a column that hold anything, with what they hold.
struct Used {
    cells: Vec<(usize, f64)>,
    /// What all of them hold together.
    all: u64,
}

/// Count, sum and sum of squares of the scores of events.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    sum: f64,
    square: f64,
}

impl Moments {
    fn less(self, part: Self) -> Self {
        Self { count: self.count - part.count, sum: self.sum - part.sum, square: self.square - part.square }
    }

    /// Squared distances from the mean; none of no events.
    fn squares(self) -> f64 {
        if self.count > 0.0 { (self.square - self.sum * self.sum / self.count).max(0.0) } else { 0.0 }
    }
}

/// How widely scores lie inside a slice and inside the rest.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inside {
    /// Squared distances of each from the mean of its part.
    squares: f64,
    /// Their degrees of freedom.
    freedom: f64,
}

impl Inside {
    fn of(part: Moments, whole: Moments) -> Self {
        Self { squares: part.squares() + whole.less(part).squares(), freedom: whole.count - 2.0 }
    }

    /// Of two windows together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { squares: self.squares + other.squares, freedom: self.freedom + other.freedom }
    }

    /// Variance of a score; not finite if there are not more than two events.
    #[must_use]
    pub fn variance(self) -> f64 {
        self.squares / self.freedom
    }
}

impl Used {
    fn of(cells: &[u64]) -> Self {
        let used = cells.iter().enumerate().filter(|(_, count)| **count > 0);
        Self { cells: used.map(|(cell, count)| (cell, *count as f64)).collect(), all: cells.iter().sum() }
    }
}

impl Looked<'_> {
    /// What all cells of a column hold.
    fn all(&self, column: usize) -> u64 {
        self.columns.get(column).map_or(0, |used| used.all)
    }
}

impl Sampler {
    /// A sampler for the windows that are counted against this reference.
    #[must_use]
    pub fn new(reference: &Reference) -> Self {
        let layout = reference.live_layout();
        let own = reference.layout();
        let columns = (0..own.columns()).map(|column| own.column(&reference.profile, column).cells);
        let scores = columns
            .chain([own.latency(&reference.profile)])
            .map(|cells| orthonormal_scores(cells, DEGREES))
            .collect();
        Self { layout, joint: reference.joint.clone(), scores }
    }

    /// Scores of degree one of a column's cells; empty if it has none.
    #[must_use]
    pub fn location_scores(&self, column: usize) -> &[f64] {
        self.scores.get(column).and_then(|degrees| degrees.first()).map_or(&[], Vec::as_slice)
    }

    /// One sample per quantity. `usual` gives the variance that a slice's difference of so many effective events is held
    /// against, times those; `None` if it is not known yet.
    #[must_use]
    pub fn samples(
        &self,
        monitored: &[Monitored],
        counted: Counted<'_>,
        usual: impl Fn(usize, f64) -> Option<f64>,
    ) -> Vec<Sample> {
        let whole = self.look(counted.whole);
        let slices: HashMap<&Slice, Looked<'_>> =
            counted.slices.iter().map(|(slice, counts)| (slice, self.look(counts))).collect();
        let one = |(index, one): (usize, &Monitored)| match &one.slice {
            None => self.measure(&one.measure, &whole),
            Some(slice) => slices.get(slice).map_or_else(Sample::default, |part| match one.measure {
                Measure::Missing { .. } => self.measure(&one.measure, part),
                _ => {
                    let apart =
                        contrast(self.measure(&one.measure, part), self.measure(&one.measure, &whole));
                    let wide = self.width(&one.measure, [&whole, part], usual(index, apart.count));
                    Sample { sum: apart.sum / wide, count: apart.count / wide }
                }
            }),
        };
        monitored.iter().enumerate().map(one).collect()
    }

    /// How widely scores lie inside a window's slices and inside the rest of it, one per quantity; none of what is no
    /// difference of a slice's scores.
    #[must_use]
    pub fn insides(&self, monitored: &[Monitored], counted: Counted<'_>) -> Vec<Inside> {
        let whole = self.look(counted.whole);
        let slices: HashMap<&Slice, Looked<'_>> =
            counted.slices.iter().map(|(slice, counts)| (slice, self.look(counts))).collect();
        let one = |one: &Monitored| {
            let part = slices.get(one.slice.as_ref()?)?;
            let (column, degree) = self.score_of(&one.measure)?;
            let [whole, part] = [&whole, part].map(|looked| self.moments(looked, column, degree));
            Some(Inside::of(part, whole)).filter(|_| part.count > 0.0 && part.count < whole.count)
        };
        monitored.iter().map(|quantity| one(quantity).unwrap_or_default()).collect()
    }

    fn look<'a>(&self, counts: &'a [u64]) -> Looked<'a> {
        let columns = (0..self.layout.columns()).map(|column| self.layout.column(counts, column).cells);
        let columns = columns.chain([self.layout.latency(counts)]).map(Used::of).collect();
        Looked { counts, columns }
    }

    fn measure(&self, measure: &Measure, window: &Looked<'_>) -> Sample {
        let counts = window.counts;
        let rows = |column: usize| {
            let counts = self.layout.column(counts, column);
            window.all(column) + counts.missing + counts.non_finite + counts.wrong_type
        };
        match measure {
            Measure::Score { column, .. } | Measure::Cells { column, .. }
                if self.labels_came_apart(*column, window) =>
            {
                Sample::default()
            }
            Measure::Score { column, degree } => self.scored(*column, *degree, window),
            Measure::LatencyScore { degree } => self.scored(self.layout.columns(), *degree, window),
            Measure::Cells { column, cells, of_rows } => {
                let all = if *of_rows { rows(*column) } else { window.all(*column) };
                let of_column = self.layout.column(counts, *column).cells;
                let hits = |range: &std::ops::Range<usize>| -> u64 {
                    of_column.get(range.clone()).unwrap_or_default().iter().sum()
                };
                Sample { sum: cells.iter().map(hits).sum::<u64>() as f64, count: all as f64 }
            }
            Measure::Missing { column } => {
                let of_column = self.layout.column(counts, *column);
                let missing = of_column.missing + of_column.non_finite;
                Sample { sum: missing as f64, count: rows(*column) as f64 }
            }
            Measure::WrongType { column } => {
                let wrong = self.layout.column(counts, *column).wrong_type;
                Sample { sum: wrong as f64, count: rows(*column) as f64 }
            }
            Measure::LatencyFrom { bucket } => {
                let buckets = self.layout.latency(counts);
                let hits: u64 = buckets.get(*bucket..).unwrap_or_default().iter().sum();
                Sample { sum: hits as f64, count: window.all(self.layout.columns()) as f64 }
            }
            Measure::Term(term) => {
                let (count, sum) = self.joint.sum(&self.layout, counts, *term);
                Sample { sum, count }
            }
        }
    }

    /// Whether this is the label and most labels of the window are of predictions before it: they stand where they came
    /// in, and how late a label comes may depend on what it says. Performance is judged by the time of prediction instead.
    fn labels_came_apart(&self, column: usize, window: &Looked<'_>) -> bool {
        let Some(residual) = self.joint.residual.as_ref().filter(|residual| residual.label == column) else {
            return false;
        };
        let labels = window.all(residual.label) as f64;
        let (with_score, _) = self.joint.sum(&self.layout, window.counts, 0);
        with_score < labels / 2.0
    }

    /// Factor on the variance of a slice's difference from the rest, at least 1. Events of an hour share their weather; which
    /// of them a slice got is chance, and the wider they lie, the more that tells two slices apart. So it is the variance of
    /// the score among all events of the window over that among those of the baseline, or, if larger, that inside the slice and
    /// inside the rest over `usual`: what moves a whole slice is no part of it.
    fn width(&self, measure: &Measure, [whole, part]: [&Looked<'_>; 2], usual: Option<f64>) -> f64 {
        let Some((column, degree)) = self.score_of(measure) else { return 1.0 };
        let [whole, part] = [whole, part].map(|looked| self.moments(looked, column, degree));
        // The scores of a baseline have variance 1.
        let of_all = whole.squares() / whole.count;
        let inside = usual.map_or(0.0, |usual| Inside::of(part, whole).variance() / usual);
        [of_all, inside].into_iter().filter(|wide| wide.is_finite()).fold(1.0, f64::max)
    }

    fn score_of(&self, measure: &Measure) -> Option<(usize, usize)> {
        match measure {
            Measure::Score { column, degree } => Some((*column, *degree)),
            Measure::LatencyScore { degree } => Some((self.layout.columns(), *degree)),
            _ => None,
        }
    }

    fn moments(&self, window: &Looked<'_>, column: usize, degree: usize) -> Moments {
        let scores = self.scores_of(column, degree);
        let used = window.columns.get(column).into_iter().flat_map(|used| &used.cells);
        used.filter_map(|(cell, n)| Some((*n, *scores.get(*cell)?))).fold(
            Moments::default(),
            |Moments { count, sum, square }, (n, score)| Moments {
                count: count + n,
                sum: sum + n * score,
                square: square + n * score * score,
            },
        )
    }

    fn scores_of(&self, column: usize, degree: usize) -> &[f64] {
        self.scores.get(column).and_then(|degrees| degrees.get(degree)).map_or(&[], Vec::as_slice)
    }

    fn scored(&self, column: usize, degree: usize, window: &Looked<'_>) -> Sample {
        let scores = self.scores_of(column, degree);
        let Some(used) = window.columns.get(column).filter(|_| !scores.is_empty()) else {
            return Sample::default();
        };
        let sum = used.cells.iter().filter_map(|(cell, n)| Some(n * scores.get(*cell)?)).sum();
        Sample { sum, count: used.all as f64 }
    }
}

/// Mean of a part less that of the rest, with the effective number of events of the difference: what moves everybody
/// cancels.
fn contrast(part: Sample, whole: Sample) -> Sample {
    let rest = Sample { sum: whole.sum - part.sum, count: whole.count - part.count };
    if part.count <= 0.0 || rest.count <= 0.0 {
        return Sample::default();
    }
    let count = 1.0 / (1.0 / part.count + 1.0 / rest.count);
    Sample { sum: (part.sum / part.count - rest.sum / rest.count) * count, count }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::reference::{Column, ColumnKind, Provenance, Role};
    use anchorwatch_detectors::binning::{Binning, NumericBinning};

    #[test]
    fn slices_of_a_wider_window_are_told_apart_less_surely() {
        let numbers: Vec<f64> = (0..8).map(f64::from).collect();
        let column = Column {
            name: "x".to_owned(),
            role: Role::Feature,
            kind: ColumnKind::Numeric,
            required: true,
            single_precision: false,
            binning: Binning::Numeric(NumericBinning::new(numbers).expect("knots")),
            usual: None,
            unseen_beyond: 0.0,
            notes: Vec::new(),
        };
        let layout = Layout::new(std::slice::from_ref(&column));
        let counts = |of_value: [u64; 8]| {
            let mut counts = vec![0; layout.len()];
            for (value, n) in of_value.iter().enumerate() {
                counts[layout.index(0, 2 * value + 1)] = *n;
            }
            counts
        };
        let reference = Reference {
            model: "m".to_owned(),
            version: "1.0.0".to_owned(),
            profile: counts([10; 8]),
            columns: vec![column],
            has_latency: false,
            window_ms: None,
            windows: Default::default(),
            segment_field: None,
            segments: BTreeMap::new(),
            joint: Joint::default(),
            calibration: None,
            provenance: Provenance::default(),
        };
        let sampler = Sampler::new(&reference);
        let measure = Measure::Score { column: 0, degree: 0 };
        let width = |part: [u64; 8], rest: [u64; 8], usual| {
            let whole: Vec<u64> = counts(part).iter().zip(counts(rest)).map(|(a, b)| a + b).collect();
            sampler.width(&measure, [&sampler.look(&whole), &sampler.look(&counts(part))], usual)
        };
        let (close, apart) = ([0, 0, 0, 4, 4, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0, 4]);
        assert_eq!(width(close, close.map(|n| 9 * n), None), 1.0, "narrower is as usual");
        assert!(width(apart, apart.map(|n| 9 * n), None) > 2.0);
        assert_eq!(width([0; 8], [0; 8], Some(1.0)), 1.0, "a window without events");
        let (low, high) = ([0, 0, 8, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 16, 0, 0]);
        assert_eq!(width(low, high, Some(0.02)), 1.0, "what moves the whole slice is no part of it");
        assert!(width(close, [0, 0, 9, 9, 9, 9, 0, 0], Some(0.02)) > 5.0, "usually all of them are alike");
        assert_eq!(width(close, [0, 0, 9, 9, 9, 9, 0, 0], Some(0.5)), 1.0);
    }

    #[test]
    fn what_moves_everybody_cancels_in_a_contrast() {
        let (part, rest) = (Sample { sum: 3.0, count: 10.0 }, Sample { sum: 30.0, count: 100.0 });
        let whole = |shift: f64| Sample { sum: part.sum + rest.sum + 110.0 * shift, count: 110.0 };
        let moved = |shift: f64| Sample { sum: part.sum + 10.0 * shift, ..part };
        let apart = contrast(moved(0.5), whole(0.5));
        assert!(apart.sum.abs() < 1e-9 && (apart.count - 100.0 / 11.0).abs() < 1e-9, "{apart:?}");
        assert_eq!(contrast(part, part), Sample::default(), "there is no rest");
    }
}
