//! Performance without labels of several classes, each with a score of its own: one calibration per class against the rest,
//! renormalised, as `NannyML`'s CBPE has it.
//!
//! A prediction with probabilities `p` of the classes is `p[j]` of a row of class `j`. Three sums per class say accuracy,
//! precision, recall and F1; the order of scores within a class, from counts per cell, its area. Not here: two classes
//! ([`super::cbpe`]), and a prediction of which only the confidence is known, for which a calibration of right against wrong
//! will do.

use super::cbpe::areas;

/// Brings calibrated probabilities of the classes, each within 0 to 1, to a sum of 1; equal where all are 0. Whether that can
/// be done: not of none, or of NaN.
///
/// ```
/// use anchorwatch_detectors::estimate::multiclass::renormalise;
/// let mut each = [0.5, 0.5, 0.25];
/// assert!(renormalise(&mut each));
/// assert_eq!(each, [0.4, 0.4, 0.2]);
/// ```
pub fn renormalise(each: &mut [f64]) -> bool {
    let sum: f64 = each.iter().sum();
    if each.is_empty() || !sum.is_finite() {
        return false;
    }
    let even = 1.0 / each.len() as f64;
    each.iter_mut().for_each(|p| *p = if sum > 0.0 { *p / sum } else { even });
    true
}

/// Rows that a class has to be expected in, so that what is expected of it counts as that of a class that comes.
const LEAST_EXPECTED: f64 = 0.5;

/// What is expected of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClassSums {
    /// Rows that were predicted to be of it.
    pub predicted: f64,
    /// Rows that are expected to be of it.
    pub expected: f64,
    /// Rows that are both.
    pub right: f64,
}

impl ClassSums {
    /// Expected share of right ones among those predicted; `None` if none was.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        share(self.right, self.predicted)
    }

    /// Expected share of its rows that were predicted so; `None` if none is expected.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        share(self.right, self.expected)
    }

    /// F1 of the expected counts; `None` if it is neither predicted nor expected.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        share(2.0 * self.right, self.predicted + self.expected)
    }
}

fn share(part: f64, all: f64) -> Option<f64> {
    (all > 0.0).then(|| (part / all).clamp(0.0, 1.0))
}

/// Expected performance of several classes without labels; what is undefined is `None`.
///
/// ```
/// use anchorwatch_detectors::estimate::{ClassSums, MulticlassEstimate};
/// let yes = ClassSums { predicted: 1.0, expected: 1.5, right: 0.75 };
/// let no = ClassSums { predicted: 1.0, expected: 0.5, right: 0.25 };
/// assert_eq!(MulticlassEstimate::new(vec![yes, no]).accuracy(), Some(0.5));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MulticlassEstimate {
    classes: Vec<ClassSums>,
}

impl MulticlassEstimate {
    /// From the sums of each class.
    #[must_use]
    pub fn new(classes: Vec<ClassSums>) -> Self {
        Self { classes }
    }

    /// Expected share of right predictions.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        let sum = |of: fn(&ClassSums) -> f64| self.classes.iter().map(of).sum::<f64>();
        share(sum(|class| class.right), sum(|class| class.predicted))
    }

    /// Mean of the classes' precision, of those that are predicted.
    #[must_use]
    pub fn macro_precision(&self) -> Option<f64> {
        self.mean(ClassSums::precision)
    }

    /// Mean of the classes' recall, of those that are expected in half a row at least: others will hardly come.
    #[must_use]
    pub fn macro_recall(&self) -> Option<f64> {
        self.mean(|class| class.recall().filter(|_| class.expected >= LEAST_EXPECTED))
    }

    /// Mean of the classes' F1, of those that are predicted, or expected in half a row at least.
    #[must_use]
    pub fn macro_f1(&self) -> Option<f64> {
        self.mean(|class| class.f1().filter(|_| class.predicted > 0.0 || class.expected >= LEAST_EXPECTED))
    }

    fn mean(&self, of: fn(&ClassSums) -> Option<f64>) -> Option<f64> {
        mean(self.classes.iter().filter_map(of))
    }
}

/// Mean area under the ROC curves of each class against the rest. Each has counts per cell of its own score, lowest first, and
/// the probability that a cell stands for; scores of one cell count as ties. Classes that are expected in less than half a
/// row, or of all rows, have no area and are left out.
#[must_use]
pub fn mean_roc_auc<'a>(classes: impl IntoIterator<Item = (&'a [u64], &'a [f64])>) -> Option<f64> {
    let area = |(counts, probabilities): (&[u64], &[f64])| {
        let cells = counts.iter().zip(probabilities);
        let (positives, negatives): (Vec<f64>, Vec<f64>) =
            cells.map(|(count, p)| (*count as f64 * p, *count as f64 * (1.0 - p))).unzip();
        areas(&positives, &negatives).0.filter(|_| positives.iter().sum::<f64>() >= LEAST_EXPECTED)
    };
    mean(classes.into_iter().filter_map(area))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The sums of rows of three scores that are probabilities; the highest is predicted.
    fn sums(rows: &[[f64; 3]]) -> MulticlassEstimate {
        let mut classes = vec![ClassSums::default(); 3];
        for row in rows {
            let mut p = *row;
            assert!(renormalise(&mut p));
            let predicted =
                (0..3).reduce(|best, class| if row[class] > row[best] { class } else { best }).unwrap();
            classes.iter_mut().zip(p).for_each(|(class, p)| class.expected += p);
            classes[predicted].predicted += 1.0;
            classes[predicted].right += p[predicted];
        }
        MulticlassEstimate::new(classes)
    }

    #[test]
    fn a_case_by_hand() {
        // The second row adds up to 0.8, and is brought to 0.25, 0.5, 0.25.
        let seen = sums(&[[0.5, 0.25, 0.25], [0.2, 0.4, 0.2], [0.0, 0.25, 0.75], [0.0, 0.0, 1.0]]);
        let near = |seen: Option<f64>, by_hand: f64| assert!((seen.unwrap() - by_hand).abs() < 1e-12);
        near(seen.accuracy(), 2.75 / 4.0);
        near(seen.macro_precision(), (0.5 + 0.5 + 1.75 / 2.0) / 3.0);
        near(seen.macro_recall(), (0.5 / 0.75 + 0.5 / 1.0 + 1.75 / 2.25) / 3.0);
        near(seen.macro_f1(), (2.0 * 0.5 / 1.75 + 2.0 * 0.5 / 2.0 + 2.0 * 1.75 / 4.25) / 3.0);
        // By falling score: 2 rows of the class and none of the rest, then 1 and 3.
        near(mean_roc_auc([(&[4, 2][..], &[0.25, 1.0][..])]), (2.0 + 0.5) / 3.0);
        near(mean_roc_auc([(&[1, 1][..], &[0.0, 1.0][..]), (&[2][..], &[0.5][..])]), 0.75);
        near(mean_roc_auc([(&[1, 1][..], &[0.0, 1.0][..]), (&[2][..], &[0.0][..])]), 1.0);
        let rare = ClassSums { predicted: 0.0, expected: 0.4, right: 0.0 };
        let usual = ClassSums { predicted: 4.0, expected: 4.0, right: 3.0 };
        let seen = MulticlassEstimate::new(vec![usual, rare]);
        assert_eq!(
            (seen.macro_recall(), seen.macro_f1()),
            (Some(0.75), Some(0.75)),
            "a class that hardly comes"
        );
    }

    #[test]
    fn nothing_is_expected_of_nothing() {
        let seen = MulticlassEstimate::new(vec![ClassSums::default(); 3]);
        assert_eq!(
            (seen.accuracy(), seen.macro_precision(), seen.macro_recall(), seen.macro_f1()),
            (None, None, None, None)
        );
        assert_eq!(mean_roc_auc([]), None);
        let mut none = [0.0, 0.0];
        assert!(renormalise(&mut none) && none == [0.5, 0.5]);
        assert!(!renormalise(&mut [0.5, f64::NAN]) && !renormalise(&mut []));
    }

    proptest! {
        #[test]
        fn figures_are_shares_and_the_accuracy_is_the_mean_of_the_likeliest(
            rows in proptest::collection::vec(proptest::array::uniform3(0.01..=1.0f64), 1..20),
        ) {
            let seen = sums(&rows);
            let best = |row: &[f64; 3]| row.iter().copied().fold(0.0, f64::max) / row.iter().sum::<f64>();
            let right = rows.iter().map(best).sum::<f64>() / rows.len() as f64;
            prop_assert!((seen.accuracy().unwrap() - right).abs() < 1e-9);
            for figure in [seen.macro_precision(), seen.macro_f1()] {
                prop_assert!(figure.is_some());
            }
            for figure in [seen.macro_precision(), seen.macro_recall(), seen.macro_f1()] {
                prop_assert!(figure.is_none_or(|figure| (0.0..=1.0).contains(&figure)));
            }
        }
    }
}
