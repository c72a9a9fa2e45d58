//! Label shift and accuracy from what the model predicts: black-box shift estimation and average thresholded confidence.
//!
//! Both need sums only, both assume that one thing changed and another did not; see each. Not here: per-row calibration
//! ([`super::cbpe`]).

use crate::multivariate::linear::solve;

/// The class shares of a window by black-box shift estimation (Lipton, Wang and Smola 2018).
///
/// `confusion[i][j]` counts reference rows predicted `i` whose label is `j`; `predicted` counts the window's rows by
/// prediction. Solves `C w = q` and weights the reference's class shares with `w`, negative ones held at 0. Assumes that
/// rows of a class look as before and only their number changed. `None` if the table is not square, is singular, or a
/// side is empty.
///
/// ```
/// use anchorwatch_detectors::estimate::label_shift::class_shares;
/// let shares = class_shares(&[vec![40, 10], vec![10, 40]], &[50, 50]).expect("a regular table");
/// assert!((shares[0] - 0.5).abs() < 1e-12);
/// let shifted = class_shares(&[vec![40, 10], vec![10, 40]], &[68, 32]).expect("a regular table");
/// assert!((shifted[0] - 0.8).abs() < 1e-12);
/// ```
#[must_use]
pub fn class_shares(confusion: &[Vec<u64>], predicted: &[u64]) -> Option<Vec<f64>> {
    let classes = confusion.len();
    let all: f64 = confusion.iter().flatten().map(|&count| count as f64).sum();
    let rows: f64 = predicted.iter().map(|&count| count as f64).sum();
    let square = predicted.len() == classes && confusion.iter().all(|row| row.len() == classes);
    if !square || all == 0.0 || rows == 0.0 {
        return None;
    }
    let joint: Vec<Vec<f64>> =
        confusion.iter().map(|row| row.iter().map(|&count| count as f64 / all).collect()).collect();
    let observed: Vec<f64> = predicted.iter().map(|&count| count as f64 / rows).collect();
    let weights = solve(&joint, &observed)?;
    let prior = |class: usize| joint.iter().filter_map(|row| row.get(class)).sum::<f64>();
    let shares: Vec<f64> = weights.iter().enumerate().map(|(class, w)| (w * prior(class)).max(0.0)).collect();
    let sum: f64 = shares.iter().sum();
    (sum > 0.0).then(|| shares.iter().map(|share| share / sum).collect())
}

/// The confidence above which the reference holds as large a share of rows as its accuracy (Garg et al. 2022).
///
/// `None` if there is no confidence or `accuracy` is not within 0 to 1. NaN are left out.
#[must_use]
pub fn atc_threshold(confidences: &[f64], accuracy: f64) -> Option<f64> {
    let sorted = crate::samples::sorted(confidences);
    if !(0.0..=1.0).contains(&accuracy) {
        return None;
    }
    let wrong = ((1.0 - accuracy) * sorted.len() as f64).round() as usize;
    sorted.get(wrong.min(sorted.len().checked_sub(1)?)).copied()
}

/// The estimated accuracy: the share of a window's confidences at or above [`atc_threshold`]; `None` without any.
#[must_use]
pub fn atc_accuracy(confidences: &[f64], threshold: f64) -> Option<f64> {
    let known = confidences.iter().filter(|confidence| !confidence.is_nan());
    let (above, all) = known.fold((0u64, 0u64), |(above, all), &confidence| {
        (above + u64::from(confidence >= threshold), all + 1)
    });
    (all > 0).then(|| above as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_say_nothing_are_refused() {
        assert_eq!(class_shares(&[vec![1, 1], vec![1, 1]], &[5, 5]), None);
        assert_eq!(class_shares(&[vec![1, 1]], &[5]), None);
        assert_eq!(class_shares(&[vec![1, 0], vec![0, 1]], &[0, 0]), None);
        assert_eq!(class_shares(&[], &[]), None);
    }

    #[test]
    fn the_reference_itself_has_its_own_accuracy() {
        let confidences: Vec<f64> = (0..100).map(|i| 0.5 + f64::from(i) / 200.0).collect();
        let threshold = atc_threshold(&confidences, 0.8).unwrap();
        assert_eq!(atc_accuracy(&confidences, threshold), Some(0.8));
        assert_eq!(atc_threshold(&[], 0.8), None);
        assert_eq!(atc_accuracy(&[f64::NAN], 0.5), None);
    }
}
