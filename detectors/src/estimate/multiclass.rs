//! Performance without labels of several classes: one calibration per class against the rest, renormalised, and the
//! expected confusion matrix.
//!
//! A prediction with calibrated probabilities `p` of the classes is `p[j]` of a row of class `j`. Sums are fixed-point
//! integers: they merge and subtract exactly. Not here: two classes ([`super::cbpe`]), and a prediction of which only the
//! confidence is known, for which a calibration of right against wrong will do.

use crate::counts::CountsError;
use crate::fixed_point::{merge_sums, subtract_sums};

use super::cbpe::{Calibration, SCORE_CELLS, Trust, UNIT, areas};
use super::isotonic::Isotonic;
use super::platt::Platt;

/// Calibrations of each class against all others, at least two.
#[derive(Debug, Clone, PartialEq)]
pub struct OneVersusRest {
    calibrations: Vec<Calibration>,
}

impl OneVersusRest {
    /// From one calibration per class; `None` of fewer than two.
    #[must_use]
    pub fn new(calibrations: Vec<Calibration>) -> Option<Self> {
        (calibrations.len() >= 2).then_some(Self { calibrations })
    }

    /// Fits isotonic steps on rows of one score per class and the place of the right class.
    ///
    /// `None` if there are no rows, they differ in length, or a label is none of the classes.
    #[must_use]
    pub fn isotonic(scores: &[Vec<f64>], labels: &[usize]) -> Option<Self> {
        Self::fit(scores, labels, |scores, labels| Isotonic::fit(scores, labels).map(Calibration::Isotonic))
    }

    /// Fits Platt's curves, for references too small for steps; `None` also if a class never or always occurs.
    #[must_use]
    pub fn platt(scores: &[Vec<f64>], labels: &[usize]) -> Option<Self> {
        Self::fit(scores, labels, |scores, labels| Platt::fit(scores, labels).map(Calibration::Platt))
    }

    fn fit(
        scores: &[Vec<f64>],
        labels: &[usize],
        fit: impl Fn(&[f64], &[bool]) -> Option<Calibration>,
    ) -> Option<Self> {
        let classes = scores.first()?.len();
        let sound = scores.len() == labels.len()
            && scores.iter().all(|row| row.len() == classes)
            && labels.iter().all(|label| *label < classes);
        if !sound {
            return None;
        }
        let of_class = |class: usize| {
            let scores: Vec<f64> = scores.iter().map(|row| row[class]).collect();
            let labels: Vec<bool> = labels.iter().map(|label| *label == class).collect();
            fit(&scores, &labels)
        };
        Self::new((0..classes).map(of_class).collect::<Option<_>>()?)
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.calibrations.len()
    }

    /// The probabilities of the classes, each within 0 to 1, adding up to 1; equal where every calibration says 0. `None`
    /// if there is another number of scores, or one is NaN.
    #[must_use]
    pub fn probabilities(&self, scores: &[f64]) -> Option<Vec<f64>> {
        let each = self.calibrations.iter().zip(scores).map(|(one, score)| one.apply(*score));
        let mut each: Vec<f64> = each.collect();
        if scores.len() != self.classes() || each.iter().any(|p| p.is_nan()) {
            return None;
        }
        let sum: f64 = each.iter().sum();
        let even = 1.0 / self.classes() as f64;
        each.iter_mut().for_each(|p| *p = if sum > 0.0 { *p / sum } else { even });
        Some(each)
    }
}

/// Expected performance of several classes without labels; what is undefined is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct MulticlassEstimate {
    /// Predictions behind the estimate.
    pub count: u64,
    /// Expected rows by predicted class (outer) and right class.
    pub confusion: Vec<Vec<f64>>,
    /// Mean area under the ROC curves of each class against the rest; `None` unless all classes are expected.
    pub roc_auc: Option<f64>,
    /// Whether to believe it.
    pub trust: Trust,
}

impl MulticlassEstimate {
    /// Expected share of right predictions.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        let right: f64 = self.confusion.iter().enumerate().filter_map(|(class, row)| row.get(class)).sum();
        let all: f64 = self.confusion.iter().flatten().sum();
        (all > 0.0).then(|| (right / all).clamp(0.0, 1.0))
    }

    /// Mean of the classes' F1 of expected counts; classes that are neither predicted nor expected are left out.
    #[must_use]
    pub fn macro_f1(&self) -> Option<f64> {
        let of_class = |class: usize| {
            let predicted: f64 = self.confusion.get(class)?.iter().sum();
            let expected: f64 = self.confusion.iter().filter_map(|row| row.get(class)).sum();
            let right = self.confusion.get(class)?.get(class)?;
            (predicted + expected > 0.0).then(|| (2.0 * right / (predicted + expected)).clamp(0.0, 1.0))
        };
        let each: Vec<f64> = (0..self.confusion.len()).filter_map(of_class).collect();
        mean(&each)
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// What a pane remembers of predictions of several classes: about 32 kB per class; merges and subtracts exactly.
///
/// ```
/// use anchorwatch_detectors::estimate::{Calibration, MulticlassState, OneVersusRest, Trust};
/// let raw = OneVersusRest::new(vec![Calibration::Raw; 3]).expect("three classes");
/// let mut state = MulticlassState::new(3);
/// state.add(&raw, &[0.5, 0.25, 0.25]);
/// state.add(&raw, &[0.0, 0.25, 0.75]);
/// assert_eq!(state.estimate(Trust::Trusted).accuracy(), Some(0.625));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MulticlassState {
    classes: usize,
    count: u64,
    /// By predicted and right class.
    confusion: Vec<i128>,
    /// By class and cell of its score: expected rows of the class, and of the others.
    positives: Vec<i128>,
    negatives: Vec<i128>,
}

impl MulticlassState {
    /// The empty state of so many classes.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            count: 0,
            confusion: vec![0; classes * classes],
            positives: vec![0; classes * SCORE_CELLS],
            negatives: vec![0; classes * SCORE_CELLS],
        }
    }

    /// Counts one prediction, the class of the highest score, of equal ones the first; ignored if it has another number
    /// of scores than there are classes, or one is NaN.
    pub fn add(&mut self, calibration: &OneVersusRest, scores: &[f64]) {
        let Some(probabilities) = calibration.probabilities(scores).filter(|p| p.len() == self.classes)
        else {
            return;
        };
        self.count = self.count.saturating_add(1);
        let best = |best: usize, class: usize| if scores[class] > scores[best] { class } else { best };
        let predicted = (0..self.classes).reduce(best).unwrap_or(0);
        for (class, (p, score)) in probabilities.iter().zip(scores).enumerate() {
            let (share, rest) = (UNIT.units(*p), UNIT.units(1.0 - p));
            let cell = ((score * (SCORE_CELLS - 1) as f64) as usize).min(SCORE_CELLS - 1);
            let cell = class * SCORE_CELLS + cell;
            merge_sums(&mut self.confusion[predicted * self.classes + class..][..1], &[share]);
            merge_sums(&mut self.positives[cell..][..1], &[share]);
            merge_sums(&mut self.negatives[cell..][..1], &[rest]);
        }
    }

    /// Adds another state of the same calibrations.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        merge_sums(&mut self.confusion, &other.confusion);
        merge_sums(&mut self.positives, &other.positives);
        merge_sums(&mut self.negatives, &other.negatives);
    }

    /// Takes away a state that was merged before; on an error this one is unchanged.
    ///
    /// # Errors
    /// When the other state holds more predictions.
    pub fn subtract(&mut self, other: &Self) -> Result<(), CountsError> {
        self.count = self.count.checked_sub(other.count).ok_or(CountsError::Underflow { cell: 0 })?;
        subtract_sums(&mut self.confusion, &other.confusion);
        subtract_sums(&mut self.positives, &other.positives);
        subtract_sums(&mut self.negatives, &other.negatives);
        Ok(())
    }

    /// The estimate so far; scores of one cell count as ties.
    #[must_use]
    pub fn estimate(&self, trust: Trust) -> MulticlassEstimate {
        let real = |sums: &[i128]| -> Vec<f64> { sums.iter().map(|&units| UNIT.value(units)).collect() };
        let cells = self.positives.chunks(SCORE_CELLS).zip(self.negatives.chunks(SCORE_CELLS));
        let each = cells.map(|(positives, negatives)| areas(&real(positives), &real(negatives)).0);
        let each: Option<Vec<f64>> = each.collect();
        MulticlassEstimate {
            count: self.count,
            confusion: self.confusion.chunks(self.classes.max(1)).map(real).collect(),
            roc_auc: each.and_then(|each| mean(&each)),
            trust,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(classes: usize) -> OneVersusRest {
        OneVersusRest::new(vec![Calibration::Raw; classes]).unwrap()
    }

    #[test]
    fn a_case_by_hand() {
        let mut state = MulticlassState::new(3);
        // The second row adds up to 0.8, and is brought to 0.25, 0.5, 0.25.
        for scores in [[0.5, 0.25, 0.25], [0.2, 0.4, 0.2], [0.0, 0.25, 0.75], [0.0, 0.0, 1.0]] {
            state.add(&raw(3), &scores);
        }
        let seen = state.estimate(Trust::Trusted);
        assert_eq!(seen.confusion, [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.0, 0.25, 1.75]]);
        assert_eq!((seen.count, seen.accuracy()), (4, Some(2.75 / 4.0)));
        let f1 = (2.0 * 0.5 / 1.75 + 2.0 * 0.5 / 2.0 + 2.0 * 1.75 / 4.25) / 3.0;
        assert!((seen.macro_f1().unwrap() - f1).abs() < 1e-12);
        // Scores by falling order, with the expected rows of the class and the rest; ties count half.
        let area = |cells: &[[f64; 2]]| {
            let of = |which: usize| cells.iter().map(|cell| cell[which]).sum::<f64>();
            let lower = |place: usize| cells[place + 1..].iter().map(|cell| cell[1]).sum::<f64>();
            let won = cells.iter().enumerate().map(|(at, cell)| cell[0] * (cell[1] / 2.0 + lower(at)));
            won.sum::<f64>() / (of(0) * of(1))
        };
        let first = area(&[[0.5, 0.5], [0.25, 0.75], [0.0, 2.0]]);
        let second = area(&[[0.5, 0.5], [0.5, 1.5], [0.0, 1.0]]);
        let third = area(&[[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.25, 0.75]]);
        let expected = (first + second + third) / 3.0;
        assert!((seen.roc_auc.unwrap() - expected).abs() < 1e-12, "{seen:?} {expected}");
    }

    #[test]
    fn what_is_no_prediction_of_these_classes_is_left_out() {
        assert_eq!(OneVersusRest::new(vec![Calibration::Raw]), None);
        assert_eq!(raw(2).probabilities(&[0.0, 0.0]), Some(vec![0.5, 0.5]));
        assert_eq!(raw(2).probabilities(&[0.5, f64::NAN]), None);
        let mut state = MulticlassState::new(3);
        state.add(&raw(3), &[0.5, 0.5]);
        state.add(&raw(2), &[0.5, 0.5]);
        let seen = state.estimate(Trust::CalibrationAtRisk);
        assert_eq!((seen.accuracy(), seen.macro_f1(), seen.roc_auc), (None, None, None));
        assert_eq!(MulticlassState::new(0).estimate(Trust::Trusted).accuracy(), None);
    }

    #[test]
    fn calibrations_of_each_class_against_the_rest_are_brought_to_one() {
        let rows = |scores: [f64; 3], n: usize| std::iter::repeat_n(scores.to_vec(), n);
        let sure = [0.9, 0.05, 0.05];
        let torn = [0.1, 0.5, 0.4];
        let scores: Vec<Vec<f64>> = rows(sure, 4).chain(rows(torn, 4)).collect();
        let labels = [0, 0, 0, 1, 1, 1, 2, 0];
        let fit = OneVersusRest::isotonic(&scores, &labels).unwrap();
        let seen = fit.probabilities(&sure).unwrap();
        assert!(seen.iter().zip([0.75, 0.25, 0.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{seen:?}");
        let seen = fit.probabilities(&torn).unwrap();
        assert!(seen.iter().zip([0.25, 0.5, 0.25]).all(|(a, b)| (a - b).abs() < 1e-12), "{seen:?}");
        let curves = OneVersusRest::platt(&scores, &labels).unwrap();
        let seen = curves.probabilities(&sure).unwrap();
        assert!(seen[0] > 0.5 && (seen.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{seen:?}");
        assert_eq!(OneVersusRest::isotonic(&scores, &labels[1..]), None);
        assert_eq!(OneVersusRest::isotonic(&scores[..1], &[3]), None);
        assert_eq!(OneVersusRest::platt(&scores[..2], &[0, 0]), None);
    }

    proptest! {
        #[test]
        fn states_merge_and_go_back_exactly(
            scores in proptest::collection::vec(proptest::array::uniform3(0.0..=1.0f64), 1..20), cut in 0usize..20,
        ) {
            let fill = |rows: &[[f64; 3]]| {
                let mut state = MulticlassState::new(3);
                rows.iter().for_each(|row| state.add(&raw(3), row));
                state
            };
            let (left, right) = scores.split_at(cut.min(scores.len()));
            let mut merged = fill(right);
            merged.merge(&fill(left));
            prop_assert_eq!(&merged, &fill(&scores));
            let seen = merged.estimate(Trust::Trusted);
            let best = |row: &[f64; 3]| row.iter().copied().fold(0.0, f64::max) / row.iter().sum::<f64>();
            let right_ones = scores.iter().map(best).sum::<f64>() / scores.len() as f64;
            if right_ones.is_finite() {
                prop_assert!((seen.accuracy().unwrap() - right_ones).abs() < 1e-9);
            }
            prop_assert!(seen.macro_f1().is_some_and(|f1| (0.0..=1.0).contains(&f1)));
            merged.subtract(&fill(left)).unwrap();
            prop_assert_eq!(merged, fill(right));
        }
    }
}
