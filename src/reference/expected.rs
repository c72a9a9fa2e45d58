//! What one event lets expect before its label is known, where that needs two columns at once: the error of a number by its
//! prediction and one feature, or each class by the scores of all of them.
//!
//! Tables are learned from a baseline's labels; what an event adds is an entry of them in fixed point, so that the sums are
//! joint terms like those of pairs: whole numbers, which merge and subtract. Not here: learning, and what sums let expect.

use anchorwatch_detectors::estimate::multiclass::renormalise;
use serde::{Deserialize, Serialize};

/// Most classes with a score each.
pub const MOST_CLASS_SCORES: usize = 32;

/// One in the fixed point of a probability.
const PROBABILITY_ONE: f64 = 1_048_576.0;

/// A loss is a whole number of units, in two terms: what is below this, and how often it is in the rest.
const LOSS_PART: u64 = 1 << 26;

/// The largest loss in units: of two losses of which one is a million times the other, both have nine digits.
const LARGEST_LOSS: u64 = 1 << 51;

/// The terms of one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// Labels are numbers.
    Losses(Losses),
    /// Labels are one of several classes, each with a score of its own.
    Classes(ClassScores),
}

/// Expected absolute and squared errors by group of the score and group of one feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// Position of the score's column.
    score: usize,
    /// Position of the feature's column.
    feature: usize,
    /// Group of each cell of the score.
    score_groups: Vec<u8>,
    /// Group of each cell of the feature.
    feature_groups: Vec<u8>,
    /// Groups of the feature, the last for rows without a value.
    width: usize,
    /// By group of the score and of the feature, in units.
    entries: Vec<[u64; 2]>,
    /// What a unit of either error is.
    units: [f64; 2],
}

impl Losses {
    /// A table of expected errors by group of the score, for each of which `width` groups of the feature follow, the last for
    /// rows without a value. `None` unless there is an error above 0.
    #[must_use]
    pub fn new(
        (score, score_groups): (usize, Vec<u8>),
        (feature, feature_groups): (usize, Vec<u8>),
        width: usize,
        errors: &[[f64; 2]],
    ) -> Option<Self> {
        let largest = |of: usize| errors.iter().map(|error| error[of]).fold(0.0, f64::max);
        let units = [largest(0) / LARGEST_LOSS as f64, largest(1) / LARGEST_LOSS as f64];
        if !units.iter().all(|unit| unit.is_normal()) {
            return None;
        }
        let entry = |error: &[f64; 2]| [0, 1].map(|of: usize| (error[of] / units[of]).round() as u64);
        let entries = errors.iter().map(entry).collect();
        Some(Self { score, feature, score_groups, feature_groups, width, entries, units })
    }

    /// Position of the feature's column.
    #[must_use]
    pub fn feature(&self) -> usize {
        self.feature
    }

    /// Rows with a score, and their mean absolute and mean squared error, from events and sum of each term.
    #[must_use]
    pub fn means(&self, sums: &[(f64, f64)]) -> Option<(u64, [f64; 2])> {
        let rows = sums.first().map(|(rows, _)| *rows).filter(|rows| *rows > 0.0)?;
        let mean = |of: usize| {
            let (low, high) = (sums.get(2 * of)?.1, sums.get(2 * of + 1)?.1);
            Some((high * LOSS_PART as f64 + low) * self.units[of] / rows)
        };
        Some((rows as u64, [mean(0)?, mean(1)?]))
    }

    fn entry(&self, cell: impl Fn(usize) -> usize) -> Option<&[u64; 2]> {
        let group = usize::from(*self.score_groups.get(cell(self.score))?);
        let of_feature = self.feature_groups.get(cell(self.feature)).map(|group| usize::from(*group));
        self.entries.get(group * self.width + of_feature.unwrap_or(self.width - 1))
    }

    fn fits(&self, cells: &[usize]) -> bool {
        let has = |column: usize, groups: &[u8]| cells.get(column) == Some(&groups.len());
        let highest = |groups: &[u8]| groups.iter().max().map_or(0, |group| usize::from(*group) + 1);
        has(self.score, &self.score_groups)
            && has(self.feature, &self.feature_groups)
            && self.width > highest(&self.feature_groups)
            && highest(&self.score_groups).checked_mul(self.width) == Some(self.entries.len())
            && self.entries.iter().flatten().all(|entry| *entry <= LARGEST_LOSS)
            && self.units.iter().all(|unit| unit.is_normal() && *unit > 0.0)
    }
}

/// Scores of several classes, and what they mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Position of the prediction's column.
    prediction: usize,
    /// Class of each cell of the prediction; absent where it is none of them.
    of_prediction: Vec<Option<u8>>,
    /// Each class.
    classes: Vec<ClassScore>,
}

/// The score of one class.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Its name.
    pub class: String,
    /// Position of the score's column.
    pub column: usize,
    /// Share of rows of the class by cell of its score, never falling; empty until it is learned.
    pub calibrated: Vec<f64>,
}

impl ClassScores {
    /// Scores of these classes, 32 at most, of which the cells of the column `prediction` say which one is predicted.
    #[must_use]
    pub fn new(prediction: usize, of_prediction: Vec<Option<u8>>, classes: Vec<ClassScore>) -> Self {
        Self { prediction, of_prediction, classes }
    }

    /// Each class.
    #[must_use]
    pub fn classes(&self) -> &[ClassScore] {
        &self.classes
    }

    /// The same, with what the scores of each class mean.
    #[must_use]
    pub fn calibrated(self, calibrated: Vec<Vec<f64>>) -> Self {
        let classes = self.classes.into_iter().zip(calibrated);
        let classes = classes.map(|(class, calibrated)| ClassScore { calibrated, ..class }).collect();
        Self { classes, ..self }
    }

    /// Probabilities of the classes in the first places, if the event has a score of each, and the predicted one.
    fn probabilities(&self, cell: impl Fn(usize) -> usize) -> Option<([f64; MOST_CLASS_SCORES], usize)> {
        let predicted = usize::from((*self.of_prediction.get(cell(self.prediction))?)?);
        let mut each = [0.0; MOST_CLASS_SCORES];
        for (place, class) in each.iter_mut().zip(&self.classes) {
            *place = *class.calibrated.get(cell(class.column))?;
        }
        renormalise(each.get_mut(..self.classes.len())?).then_some((each, predicted))
    }

    fn fits(&self, cells: &[usize]) -> bool {
        let fits = |class: &ClassScore| cells.get(class.column) == Some(&class.calibrated.len());
        let share = |p: &f64| (0.0..=1.0).contains(p);
        (2..=MOST_CLASS_SCORES).contains(&self.classes.len())
            && cells.get(self.prediction) == Some(&self.of_prediction.len())
            && self.of_prediction.iter().flatten().all(|class| usize::from(*class) < self.classes.len())
            && self.classes.iter().all(|class| fits(class) && class.calibrated.iter().all(share))
    }
}

impl Expected {
    /// Number of terms: both parts of the absolute and of the squared error, or of each class the expected rows and then the
    /// right ones.
    #[must_use]
    pub fn terms(&self) -> usize {
        match self {
            Self::Losses(_) => 4,
            Self::Classes(scores) => 2 * scores.classes.len(),
        }
    }

    /// Whether the tables fit columns of so many cells.
    pub(super) fn fits(&self, cells: &[usize]) -> bool {
        match self {
            Self::Losses(losses) => losses.fits(cells),
            Self::Classes(scores) => scores.fits(cells),
        }
    }

    /// What one stands for in the integers of a term.
    pub(super) fn one(&self) -> f64 {
        match self {
            Self::Losses(_) => 1.0,
            Self::Classes(_) => PROBABILITY_ONE,
        }
    }

    /// Hands out each term of one event as an integer; nothing of an event that lacks a column. `cell` gives the cell of a
    /// column, `usize::MAX` where the value is none.
    pub(super) fn each(&self, cell: impl Fn(usize) -> usize, mut put: impl FnMut(usize, i64)) {
        match self {
            Self::Losses(losses) => {
                let Some(entry) = losses.entry(cell) else { return };
                for (of, units) in entry.iter().enumerate() {
                    // Both parts are below 2^27, as `fits` sees to.
                    put(2 * of, (units % LOSS_PART) as i64);
                    put(2 * of + 1, (units / LOSS_PART) as i64);
                }
            }
            Self::Classes(scores) => {
                let Some((each, predicted)) = scores.probabilities(cell) else { return };
                let units = |p: f64| (p * PROBABILITY_ONE).round() as i64;
                let classes = scores.classes.len();
                each.iter().take(classes).enumerate().for_each(|(class, p)| put(class, units(*p)));
                if let Some(right) = each.get(predicted) {
                    put(classes + predicted, units(*right));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expected: &Expected, cells: &[usize]) -> Vec<(usize, f64)> {
        let mut seen = Vec::new();
        expected.each(
            |column| cells.get(column).copied().unwrap_or(usize::MAX),
            |term, units| seen.push((term, units as f64 / expected.one())),
        );
        seen
    }

    /// Mean errors of such events.
    fn means(losses: &Losses, events: &[[usize; 2]]) -> Option<(u64, [f64; 2])> {
        let mut sums = vec![(0.0, 0.0); 4];
        for cells in events {
            for (term, value) in of(&Expected::Losses(losses.clone()), cells) {
                sums[term] = (sums[term].0 + 1.0, sums[term].1 + value);
            }
        }
        losses.means(&sums)
    }

    #[test]
    fn an_event_adds_the_losses_of_its_groups() {
        let errors = [[1.0, 2.0], [4.0, 32.0], [0.5, 0.5], [2.0, 8.0], [2.0, 8.0], [2.0, 8.0]];
        let losses = Losses::new((0, vec![0, 0, 1]), (1, vec![0, 1]), 3, &errors).unwrap();
        let expected = Expected::Losses(losses.clone());
        assert!(expected.fits(&[3, 2]) && !expected.fits(&[3, 3]) && !expected.fits(&[2, 2]));
        assert_eq!(means(&losses, &[[1, 1]]), Some((1, [4.0, 32.0])));
        assert_eq!(means(&losses, &[[2, 0], [1, 1]]), Some((2, [3.0, 20.0])));
        assert_eq!(means(&losses, &[[0, usize::MAX]]), Some((1, [0.5, 0.5])), "a feature without a value");
        assert_eq!(means(&losses, &[[usize::MAX, 0]]), None, "no score");
        assert_eq!(Losses::new((0, vec![0]), (1, vec![0]), 1, &[[0.0, 0.0]]), None, "no errors");
        let huge = Losses { width: usize::MAX / 2 + 1, entries: Vec::new(), ..losses };
        assert!(!Expected::Losses(huge).fits(&[3, 2]));
    }

    #[test]
    fn small_losses_beside_huge_ones_keep_their_digits() {
        let errors = [[1e-3, 1e-6], [1e2, 1e4]];
        let losses = Losses::new((0, vec![0, 1]), (1, vec![0]), 1, &errors).unwrap();
        let (_, [absolute, squared]) = means(&losses, &[[0, 0]]).unwrap();
        assert!((absolute / 1e-3 - 1.0).abs() < 1e-9 && (squared / 1e-6 - 1.0).abs() < 1e-4, "{squared}");
        let (_, [absolute, squared]) = means(&losses, &[[1, 0], [0, 0]]).unwrap();
        assert!((absolute / 50.0005 - 1.0).abs() < 1e-9 && (squared / 5e3 - 1.0).abs() < 1e-9, "{squared}");
    }

    #[test]
    fn an_event_adds_its_probabilities_brought_to_one() {
        let score =
            |column: usize| ClassScore { class: format!("c{column}"), column, calibrated: vec![0.25, 0.75] };
        let scores = ClassScores::new(0, vec![Some(0), Some(1), None], vec![score(1), score(2)]);
        let expected = Expected::Classes(scores);
        assert!(expected.fits(&[3, 2, 2]) && !expected.fits(&[3, 2, 3]) && !expected.fits(&[2, 2, 2]));
        assert_eq!(of(&expected, &[1, 0, 1]), [(0, 0.25), (1, 0.75), (3, 0.75)]);
        assert_eq!(of(&expected, &[0, 1, 1]), [(0, 0.5), (1, 0.5), (2, 0.5)]);
        assert_eq!(of(&expected, &[2, 1, 1]), [], "predicts none of the classes");
        assert_eq!(of(&expected, &[0, usize::MAX, 1]), [], "a score is missing");
    }
}
