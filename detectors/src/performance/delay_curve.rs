//! How soon labels come, and what the labels of a window that still waits for some of them say by it.
//!
//! A label that takes a day is missing from every window of today. If one class is reported sooner than another, the
//! labels so far are no fair sample: each stands for as many predictions of its class as there are for one that is labelled
//! by now (inverse-probability weights, Horvitz and Thompson 1952). Not here: which windows wait, and for how long.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::latency::{bucket, bucket_bounds};

/// Fewest labels of a class by which its delays are believed; with fewer it is as late as all labels are.
pub const FEWEST_OF_CLASS: u64 = 30;

/// Labels of a class after which the older ones count half: the curve follows a process that becomes slower.
pub const MOST_LABELS: u64 = 1 << 20;

/// Delays of labels that came, by class 0 or 1; labels that have no such class are 0. At most 1,024 counters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DelayCurve {
    /// Labels by bucket of their delay.
    delays: [BTreeMap<usize, u64>; 2],
}

impl DelayCurve {
    /// Counts `count` labels of a class whose delay, in seconds, falls into a bucket of [`crate::latency::bucket`].
    pub fn add(&mut self, class: bool, bucket: usize, count: u64) {
        if count == 0 {
            return;
        }
        let counter = self.delays[usize::from(class)].entry(bucket).or_default();
        *counter = counter.saturating_add(count);
    }

    /// Halves the counts of a class that has many.
    pub fn forget(&mut self) {
        for delays in &mut self.delays {
            if delays.values().fold(0_u64, |all, count| all.saturating_add(*count)) > MOST_LABELS {
                delays.values_mut().for_each(|count| *count /= 2);
                delays.retain(|_, count| *count > 0);
            }
        }
    }

    /// Labels behind the curve.
    #[must_use]
    pub fn labels(&self) -> u64 {
        self.delays.iter().flat_map(BTreeMap::values).fold(0, |all, count| all.saturating_add(*count))
    }

    /// Share of the labels of a class which have come by now, of those that come at all, for predictions made evenly
    /// between `oldest` and `newest` seconds ago; within 0 to 1. `None` without [`FEWEST_OF_CLASS`] labels.
    ///
    /// ```
    /// use anchorwatch_detectors::latency::bucket;
    /// use anchorwatch_detectors::performance::DelayCurve;
    /// let mut curve = DelayCurve::default();
    /// for hours in [1.0, 5.0] {
    ///     curve.add(true, bucket(hours * 3600.0).unwrap_or(0), 50);
    /// }
    /// // Of predictions made two to three hours ago the fast half of the labels has come.
    /// assert_eq!(curve.arrived(true, 3.0 * 3600.0, 2.0 * 3600.0), Some(0.5));
    /// ```
    #[must_use]
    pub fn arrived(&self, class: bool, oldest: f64, newest: f64) -> Option<f64> {
        let of_class = &self.delays[usize::from(class)];
        let enough =
            of_class.values().fold(0_u64, |all, count| all.saturating_add(*count)) >= FEWEST_OF_CLASS;
        let (mut all, mut come) = (0.0, 0.0);
        let others = &self.delays[usize::from(!class)];
        for (bucket, count) in of_class.iter().chain(others.iter().filter(|_| !enough)) {
            let Some((low, high)) = bucket_bounds(*bucket) else { continue };
            let delay = f64::midpoint(low, high);
            let share = match oldest - newest {
                length if length > 0.0 => ((oldest - delay) / length).clamp(0.0, 1.0),
                _ => f64::from(u8::from(delay < oldest)),
            };
            all += *count as f64;
            come += *count as f64 * share;
        }
        (all >= FEWEST_OF_CLASS as f64).then(|| come / all)
    }

    /// The bucket of a delay in seconds; below zero as zero. `None` if it is not a number.
    #[must_use]
    pub fn bucket_of(delay_s: f64) -> Option<usize> {
        bucket(delay_s.max(0.0))
    }
}

/// Sums of figures over labels of which each stands for others that have not come.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Weighted {
    weights: f64,
    squares: f64,
    /// Labels behind it.
    pub labels: u64,
    sums: [f64; 4],
}

impl Weighted {
    /// Adds `count` labels of this weight that show `figures` on average. Of another number than the first, the rest is 0.
    pub fn add(&mut self, count: u64, weight: f64, figures: [f64; 4]) {
        let n = count as f64;
        self.labels = self.labels.saturating_add(count);
        self.weights += n * weight;
        self.squares += n * weight * weight;
        for (sum, figure) in self.sums.iter_mut().zip(figures) {
            *sum += n * weight * figure;
        }
    }

    /// Means of the figures; `None` without labels.
    #[must_use]
    pub fn means(&self) -> Option<[f64; 4]> {
        (self.weights > 0.0).then(|| self.sums.map(|sum| sum / self.weights))
    }

    /// As many labels of one weight would say as much (Kish 1965): never more than there are.
    #[must_use]
    pub fn effective(&self) -> f64 {
        if self.squares > 0.0 { self.weights * self.weights / self.squares } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: f64 = 3_600.0;

    fn curve(delays: &[(bool, f64, u64)]) -> DelayCurve {
        let mut curve = DelayCurve::default();
        for (class, hours, count) in delays {
            curve.add(*class, DelayCurve::bucket_of(hours * HOUR).expect("a delay"), *count);
        }
        curve
    }

    #[test]
    fn a_delay_within_the_window_has_come_for_the_part_of_it_that_is_older() {
        let curve = curve(&[(false, 2.5, 100), (false, 10.0, 300)]);
        // Between two and three hours ago: of the first delay about half of the predictions, of the second none.
        let seen = curve.arrived(false, 3.0 * HOUR, 2.0 * HOUR).expect("labels");
        assert!((seen - 0.25 * 0.5).abs() < 0.02, "{seen}");
        assert_eq!(curve.arrived(false, HOUR, 0.0), Some(0.0));
        assert_eq!(curve.arrived(false, 100.0 * HOUR, 99.0 * HOUR), Some(1.0));
        assert_eq!(curve.arrived(false, 4.0 * HOUR, 4.0 * HOUR), Some(0.25));
    }

    #[test]
    fn a_class_of_few_labels_is_as_late_as_all_are() {
        let few = curve(&[(false, 1.0, 60), (true, 9.0, 29)]);
        assert_eq!(few.arrived(true, 3.0 * HOUR, 2.0 * HOUR), Some(60.0 / 89.0));
        let enough = curve(&[(false, 1.0, 60), (true, 9.0, 30)]);
        assert_eq!(enough.arrived(true, 3.0 * HOUR, 2.0 * HOUR), Some(0.0));
        assert_eq!(curve(&[(true, 1.0, 29)]).arrived(true, HOUR, 0.0), None);
    }

    #[test]
    fn old_labels_count_half_once_there_are_many() {
        let mut curve = curve(&[(false, 1.0, MOST_LABELS), (false, 2.0, 1), (true, 9.0, 31)]);
        curve.forget();
        assert_eq!(curve.labels(), MOST_LABELS / 2 + 31, "the rare class keeps its own");
        curve.forget();
        assert_eq!(curve.labels(), MOST_LABELS / 2 + 31);
    }

    #[test]
    fn labels_stand_for_those_that_have_not_come() {
        // 100 predictions of each class: all of one are labelled, a quarter of the other; right are 90 % and 60 %.
        let mut all = Weighted::default();
        all.add(100, 1.0, [0.9, 0.0, 0.0, 0.0]);
        all.add(25, 4.0, [0.6, 1.0, 0.0, 0.0]);
        let means = all.means().expect("labels");
        assert!((means[0] - 0.75).abs() < 1e-12 && (means[1] - 0.5).abs() < 1e-12, "{means:?}");
        assert!((all.effective() - 200.0 * 200.0 / (100.0 + 400.0)).abs() < 1e-9);
        assert_eq!((all.labels, Weighted::default().means()), (125, None));
    }
}
