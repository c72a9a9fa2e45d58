//! Label shift: class shares and accuracy from what a model predicts (black-box shift estimation).
//!
//! Assumes that rows of a class look as before, so that they are predicted as before, and only the number of rows per
//! class changed. Sums only. Not here: the opposite assumption, that a row's class follows from the row as before
//! ([`super::cbpe`], [`super::thresholded_confidence`]).

use crate::multivariate::linear::solve_above;

/// Classes that predictions tell apart less than this, as a share, are one class to them.
const LEAST_DIFFERENCE: f64 = 0.01;

/// What a window's predictions let expect under label shift.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelShift {
    /// For each class, its share in the window over its share in the reference, not negative.
    pub weights: Vec<f64>,
    /// For each class, its share in the window, within 0 to 1; they add up to 1.
    pub shares: Vec<f64>,
    /// Expected share of right predictions, within 0 to 1.
    pub accuracy: f64,
}

/// Black-box shift estimation (Lipton, Wang and Smola 2018).
///
/// `confusion[i][j]` counts reference rows predicted `i` whose label is `j`; `predicted` counts the window's rows by
/// prediction. Solves `C w = q` for the weights, sets negative ones to 0 and scales the rest, so that the shares add up
/// to 1. Classes that the reference has neither as a prediction nor as a label have share 0. `None` if the table is not
/// square, a side is empty, a class of the window is none of the reference, or predictions do not tell the classes apart:
/// by less than a hundredth, or because one is never predicted or never true.
///
/// ```
/// use anchorwatch_detectors::estimate::label_shift;
/// let seen = label_shift(&[[40, 10], [10, 40]], &[68, 32]).expect("a regular table");
/// assert!((seen.shares[0] - 0.8).abs() < 1e-12 && (seen.accuracy - 0.8).abs() < 1e-12);
/// ```
#[must_use]
pub fn label_shift(confusion: &[impl AsRef<[u64]>], predicted: &[u64]) -> Option<LabelShift> {
    let classes = predicted.len();
    if confusion.len() != classes || confusion.iter().any(|row| row.as_ref().len() != classes) {
        return None;
    }
    let labels = |class: usize| confusion.iter().map(|row| row.as_ref()[class] as f64).sum::<f64>();
    let labels: Vec<f64> = (0..classes).map(labels).collect();
    let is_known = |class: &usize| labels[*class] > 0.0 || confusion[*class].as_ref().iter().any(|n| *n > 0);
    let known: Vec<usize> = (0..classes).filter(is_known).collect();
    let all: f64 = predicted.iter().map(|count| *count as f64).sum();
    let of_known: f64 = known.iter().map(|class| predicted[*class] as f64).sum();
    if all == 0.0 || of_known < all {
        return None;
    }
    // By columns of shares the unknowns are the classes' shares themselves, all of one size.
    let row = |i: &usize| known.iter().map(|j| confusion[*i].as_ref()[*j] as f64 / labels[*j]).collect();
    let matrix: Vec<Vec<f64>> = known.iter().map(row).collect();
    let observed: Vec<f64> = known.iter().map(|class| predicted[*class] as f64 / all).collect();
    let solved = solve_above(&matrix, &observed, LEAST_DIFFERENCE)?;
    let total: f64 = solved.iter().map(|share| share.max(0.0)).sum();
    let rows: f64 = labels.iter().sum();
    let mut seen = LabelShift { weights: vec![0.0; classes], shares: vec![0.0; classes], accuracy: 0.0 };
    for (class, solved) in known.iter().zip(solved) {
        let share = solved.max(0.0) / total;
        seen.shares[*class] = share;
        seen.weights[*class] = share * rows / labels[*class];
        seen.accuracy += share * confusion[*class].as_ref()[*class] as f64 / labels[*class];
    }
    seen.accuracy = seen.accuracy.clamp(0.0, 1.0);
    (total > 0.0).then_some(seen)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(seen: &[f64], expected: &[f64]) -> bool {
        seen.len() == expected.len() && seen.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    #[test]
    fn a_case_by_hand() {
        // Recall 0.8 and specificity 0.9; 31 % positives predicted: π = (0.31 - 0.1) / (0.8 - 0.1) = 0.3.
        let seen = label_shift(&[[72, 4], [8, 16]], &[69, 31]).unwrap();
        assert!(near(&seen.shares, &[0.7, 0.3]), "{seen:?}");
        assert!(near(&seen.weights, &[0.7 / 0.8, 0.3 / 0.2]), "{seen:?}");
        assert!((seen.accuracy - (0.7 * 0.9 + 0.3 * 0.8)).abs() < 1e-12);
    }

    #[test]
    fn shares_below_nothing_are_nothing() {
        // Fewer positives are predicted than false alarms alone would give.
        let seen = label_shift(&[[72, 4], [8, 16]], &[95, 5]).unwrap();
        assert!(near(&seen.shares, &[1.0, 0.0]) && near(&seen.weights, &[1.25, 0.0]), "{seen:?}");
        assert!((seen.accuracy - 0.9).abs() < 1e-12);
    }

    #[test]
    fn tables_that_say_nothing_are_refused() {
        assert_eq!(label_shift(&[[1, 1], [1, 1]], &[5, 5]), None);
        assert_eq!(label_shift(&[[1_000, 995], [1_000, 1_005]], &[5, 5]), None, "nearly so");
        assert_eq!(label_shift(&[[999, 990], [1, 10]], &[999, 1]), None, "hardly ever predicted");
        assert_eq!(label_shift(&[[3, 1], [0, 0]], &[4, 0]), None, "one class is never predicted");
        assert_eq!(label_shift(&[[3, 0], [1, 0]], &[4, 0]), None, "one class is never true");
        assert_eq!(label_shift(&[[1, 1]], &[5]), None);
        assert_eq!(label_shift(&[[1, 0], [0, 1]], &[0, 0]), None);
        assert_eq!(label_shift(&[[0, 0], [0, 0]], &[1, 0]), None);
        assert_eq!(label_shift(&[[0u64; 0]; 0], &[]), None);
    }

    #[test]
    fn a_class_that_never_occurred_changes_nothing_unless_the_window_has_it() {
        let table = [[72, 0, 4], [0, 0, 0], [8, 0, 16]];
        let seen = label_shift(&table, &[69, 0, 31]).unwrap();
        assert!(near(&seen.shares, &[0.7, 0.0, 0.3]), "{seen:?}");
        assert_eq!(label_shift(&table, &[69, 1, 30]), None);
    }

    proptest! {
        #[test]
        fn a_known_shift_is_found_again(
            noise in proptest::collection::vec(0u64..30, 25), scale in proptest::collection::vec(1u64..9, 5),
            classes in 2usize..=5,
        ) {
            // Right more often than not in every class, so that the table is regular.
            let count = |i: usize, j: usize| noise[i * 5 + j] + if i == j { 200 } else { 0 };
            let table: Vec<Vec<u64>> =
                (0..classes).map(|i| (0..classes).map(|j| count(i, j)).collect()).collect();
            // Each class comes `scale` times as often, and is predicted as it was.
            let predicted: Vec<u64> =
                table.iter().map(|row| row.iter().zip(&scale).map(|(n, scale)| n * scale).sum()).collect();
            let seen = label_shift(&table, &predicted).unwrap();
            let labels = |j: usize| table.iter().map(|row| row[j]).sum::<u64>() as f64;
            let (before, after): (f64, f64) = (
                (0..classes).map(labels).sum(),
                (0..classes).map(|j| labels(j) * scale[j] as f64).sum(),
            );
            let shares: Vec<f64> = (0..classes).map(|j| labels(j) * scale[j] as f64 / after).collect();
            let weights: Vec<f64> = (0..classes).map(|j| scale[j] as f64 * before / after).collect();
            let right: f64 = (0..classes).map(|j| table[j][j] as f64 * scale[j] as f64).sum();
            prop_assert!(near(&seen.shares, &shares) && near(&seen.weights, &weights), "{:?}", seen);
            prop_assert!((seen.accuracy - right / after).abs() < 1e-9);
            let mass: f64 = (0..classes).map(|j| seen.weights[j] * labels(j) / before).sum();
            prop_assert!((mass - 1.0).abs() < 1e-9);
        }

        #[test]
        fn whatever_is_expected_is_a_share(
            table in proptest::collection::vec(0u64..50, 9), predicted in proptest::collection::vec(0u64..50, 3),
        ) {
            let table: Vec<&[u64]> = table.chunks(3).collect();
            if let Some(seen) = label_shift(&table, &predicted) {
                prop_assert!((0.0..=1.0).contains(&seen.accuracy));
                prop_assert!(seen.shares.iter().all(|share| (0.0..=1.0).contains(share)));
                prop_assert!((seen.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }
    }
}
