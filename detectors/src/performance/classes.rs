//! The confusion matrix of a decision among several classes, and the metrics that follow from its counts.
//!
//! Not here: two classes with a score ([`super::confusion`], [`super::ranking`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::distributions::{ProportionInterval, wilson};

/// How often each pair of decision and truth occurred, classes being numbered from 0; merges exactly. At most `K²` pairs
/// for `K` classes, of which only those that occurred are kept.
///
/// ```
/// use anchorwatch_detectors::performance::ClassConfusion;
/// let mut confusion = ClassConfusion::default();
/// for (said, truth) in [(0, 0), (0, 0), (1, 1), (2, 1)] {
///     confusion.add(said, truth);
/// }
/// assert_eq!(confusion.accuracy(), Some(0.75));
/// assert_eq!(confusion.recall(), Some((1.0 + 0.5) / 2.0));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u16, u16, u64)>", into = "Vec<(u16, u16, u64)>")]
pub struct ClassConfusion(BTreeMap<(u16, u16), u64>);

/// How well one class is told from the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OfClass {
    /// Its number.
    pub class: u16,
    /// Predictions whose truth it is.
    pub came: u64,
    /// Predictions that said it.
    pub said: u64,
    /// Predictions that rightly said it.
    pub right: u64,
}

impl OfClass {
    /// Share of right ones among the predictions that said it, within 0 to 1; `None` if none did.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        (self.said > 0).then(|| self.right as f64 / self.said as f64)
    }

    /// Share of its own that were found, within 0 to 1; `None` if it never came.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        (self.came > 0).then(|| self.right as f64 / self.came as f64)
    }

    /// Harmonic mean of both, within 0 to 1: 0 if it only came, or was only said.
    #[must_use]
    pub fn f1(&self) -> f64 {
        2.0 * self.right as f64 / (self.came.saturating_add(self.said)).max(1) as f64
    }
}

impl ClassConfusion {
    /// Counts one labelled prediction.
    pub fn add(&mut self, said: u16, truth: u16) {
        let count = self.0.entry((said, truth)).or_default();
        *count = count.saturating_add(1);
    }

    /// Adds another matrix.
    pub fn merge(&mut self, other: &Self) {
        for (pair, more) in &other.0 {
            let count = self.0.entry(*pair).or_default();
            *count = count.saturating_add(*more);
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All labelled predictions.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |all, count| all.saturating_add(*count))
    }

    /// Those that were right.
    #[must_use]
    pub fn right(&self) -> u64 {
        let right = self.0.iter().filter(|((said, truth), _)| said == truth);
        right.fold(0, |all, (_, count)| all.saturating_add(*count))
    }

    /// Each class that came or was said, in the order of their numbers.
    #[must_use]
    pub fn classes(&self) -> Vec<OfClass> {
        let mut classes: BTreeMap<u16, OfClass> = BTreeMap::new();
        for ((said, truth), count) in &self.0 {
            let mut of = |class: u16, change: fn(&mut OfClass) -> &mut u64| {
                let one = classes.entry(class).or_insert(OfClass { class, came: 0, said: 0, right: 0 });
                let counter = change(one);
                *counter = counter.saturating_add(*count);
            };
            of(*said, |one| &mut one.said);
            of(*truth, |one| &mut one.came);
            if said == truth {
                of(*said, |one| &mut one.right);
            }
        }
        classes.into_values().collect()
    }

    /// Share of right predictions, within 0 to 1; `None` without any.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        let total = self.total();
        (total > 0).then(|| self.right() as f64 / total as f64)
    }

    /// Wilson's (1927) interval of the accuracy at two-sided `confidence`; `None` as for [`wilson`].
    #[must_use]
    pub fn accuracy_interval(&self, confidence: f64) -> Option<ProportionInterval> {
        wilson(self.right(), self.total(), confidence)
    }

    /// Mean precision of the classes that were said, within 0 to 1; `None` without predictions.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        mean(self.classes().iter().filter_map(OfClass::precision))
    }

    /// Mean recall of the classes that came, within 0 to 1 (also called balanced accuracy); `None` without labels.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        mean(self.classes().iter().filter_map(OfClass::recall))
    }

    /// Mean F1 of the classes that came or were said, within 0 to 1; `None` if there are none.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        mean(self.classes().iter().map(OfClass::f1))
    }

    /// Correlation of decision and truth, within -1 to 1 (Gorodkin 2004); 0 if either never varies, `None` if empty.
    #[must_use]
    pub fn matthews(&self) -> Option<f64> {
        let all = self.total() as f64;
        if all == 0.0 {
            return None;
        }
        let (mut both, mut said, mut came) = (0.0, 0.0, 0.0);
        for one in self.classes() {
            let (of_said, of_came) = (one.said as f64 / all, one.came as f64 / all);
            both += of_said * of_came;
            said += of_said * of_said;
            came += of_came * of_came;
        }
        let (varied, agreed) = ((1.0 - said) * (1.0 - came), self.right() as f64 / all - both);
        Some(if varied > 0.0 { (agreed / varied.sqrt()).clamp(-1.0, 1.0) } else { 0.0 })
    }
}

impl From<Vec<(u16, u16, u64)>> for ClassConfusion {
    fn from(pairs: Vec<(u16, u16, u64)>) -> Self {
        Self(pairs.into_iter().map(|(said, truth, count)| ((said, truth), count)).collect())
    }
}

impl From<ClassConfusion> for Vec<(u16, u16, u64)> {
    fn from(confusion: ClassConfusion) -> Self {
        confusion.0.into_iter().map(|((said, truth), count)| (said, truth, count)).collect()
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::performance::Confusion;

    fn counted(pairs: &[(u16, u16, u64)]) -> ClassConfusion {
        pairs.to_vec().into()
    }

    fn near(seen: Option<f64>, expected: f64) -> bool {
        seen.is_some_and(|seen| (seen - expected).abs() < 1e-12)
    }

    #[test]
    fn figures_are_those_of_scikit_learn() {
        // sklearn.metrics of y_true = [0]*8 + [1]*6 + [2]*6, y_pred = [0]*6+[1]*2 + [1]*3+[2]*3 + [2]*5+[0]*1:
        // accuracy 0.7, balanced_accuracy 0.694444, precision macro 0.694048 …
        let confusion = counted(&[(0, 0, 6), (1, 0, 2), (1, 1, 3), (2, 1, 3), (2, 2, 5), (0, 2, 1)]);
        assert!(near(confusion.accuracy(), 0.7));
        assert!(near(confusion.recall(), (6.0 / 8.0 + 3.0 / 6.0 + 5.0 / 6.0) / 3.0));
        assert!(near(confusion.precision(), (6.0 / 7.0 + 3.0 / 5.0 + 5.0 / 8.0) / 3.0));
        assert!(near(confusion.f1(), (12.0 / 15.0 + 6.0 / 11.0 + 10.0 / 14.0) / 3.0));
        // cov(said, came) over the root of the variances, in counts: (14·20 − Σ said·came) / …
        let (both, said, came) = (7.0 * 8.0 + 5.0 * 6.0 + 8.0 * 6.0, 49.0 + 25.0 + 64.0, 64.0 + 36.0 + 36.0);
        let expected = (14.0 * 20.0 - both) / f64::sqrt((400.0 - said) * (400.0 - came));
        assert!(near(confusion.matthews(), expected));
    }

    #[test]
    fn a_class_that_never_came_or_was_never_said_has_no_recall_or_precision() {
        let confusion = counted(&[(3, 0, 4), (0, 0, 4)]);
        let classes = confusion.classes();
        assert_eq!((classes.len(), classes[1].class), (2, 3));
        assert_eq!((classes[1].recall(), classes[1].precision()), (None, Some(0.0)));
        assert_eq!(confusion.recall(), Some(0.5));
        assert_eq!(confusion.f1(), Some((8.0 / 12.0 + 0.0) / 2.0));
        assert_eq!(confusion.matthews(), Some(0.0), "the truth never varies");
        let none = ClassConfusion::default();
        assert_eq!((none.accuracy(), none.recall(), none.f1(), none.matthews()), (None, None, None, None));
        assert!(none.accuracy_interval(0.95).is_none());
    }

    proptest! {
        /// Of two classes it says what the matrix of two says, in any order and however it is split.
        #[test]
        fn two_classes_are_as_ever(outcomes in proptest::collection::vec((0..2_u16, 0..2_u16), 1..80), at in 0..80_usize) {
            let mut two = Confusion::default();
            outcomes.iter().for_each(|(said, truth)| two.add(*truth == 1, *said == 1));
            let (first, second) = outcomes.split_at(at.min(outcomes.len()));
            let [mut all, others] = [second, first].map(|part| {
                let mut one = ClassConfusion::default();
                part.iter().for_each(|(said, truth)| one.add(*said, *truth));
                one
            });
            all.merge(&others);
            prop_assert_eq!(all.accuracy(), two.accuracy());
            prop_assert_eq!(all.accuracy_interval(0.95), two.accuracy_interval(0.95));
            let (seen, expected) = (all.matthews().expect("labels"), two.matthews().expect("labels"));
            prop_assert!((seen - expected).abs() < 1e-12, "{} {}", seen, expected);
            let of_1 = all.classes().into_iter().find(|one| one.class == 1);
            prop_assert_eq!(of_1.and_then(|one| one.precision()), two.precision());
            prop_assert_eq!(of_1.and_then(|one| one.recall()), two.recall());
            let text = serde_json::to_string(&all).expect("text");
            prop_assert_eq!(serde_json::from_str::<ClassConfusion>(&text).expect("a matrix"), all);
        }
    }
}
