//! What is taken for granted of a quantity whose baseline does not show how windows differ: rows without times, or of a
//! handful of windows.
//!
//! Two things are assumed, both wide. The level of a window may lie anywhere within a swing around the baseline's mean, as
//! time of day and weekday would move it: a window is compared with the nearest level inside the swing, so that whatever
//! season stays inside never alarms, however certain. And rows of a window are dependent: so many of them count as one, and
//! beside the swing levels wander a little, slowly, by a variance that no number of rows averages away. Of a share the
//! swing is the one of a normal quantity of which it is a tail; shares of categories, which are no tails, swing less.

use serde::{Deserialize, Serialize};

use super::fit::{CLIP_WAVERING, Fit};
use super::quantity::{Law, Quantity, Sample};
use crate::distributions::{normal_isf, normal_sf};

/// Swing of a level to either side, in standard deviations of a row.
pub const ASSUMED_SWING: f64 = 0.35;

/// The same of a share that is no tail of a number: one of 20 % may lie between 15 and 26 %.
const SWING_OF_SHARE: f64 = 0.2;

/// Rows of a window that say as much as one independent row (the design effect).
pub const ASSUMED_DESIGN: f64 = 2.0;

/// Rows of a window, where something has to be said of one: nothing that is judged depends much on it.
pub const ASSUMED_ROWS: f64 = 500.0;

/// Standard deviation between windows beyond the swing, in standard deviations of a row, and its memory from window to
/// window.
const WANDER: f64 = 0.04;
const MEMORY: f64 = 0.9;

/// What is assumed of a quantity, in the unit of its mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Assumed {
    /// How far its level may rise over the baseline's mean without being a change.
    pub rise: f64,
    /// How far it may fall.
    pub fall: f64,
    /// Rows that say as much as one independent row.
    pub design: f64,
}

/// How far a share rises if the normal quantity of which it is the upper tail rises by so many standard deviations.
fn rise_of_share(share: f64, deviations: f64) -> f64 {
    let limit = normal_isf(share.clamp(1e-12, 1.0 - 1e-12)).unwrap_or(0.0);
    (normal_sf(limit - deviations) - share).max(0.0)
}

impl Fit {
    /// What is assumed of a quantity, given its sample over all rows of the baseline. `None` if no row shows it.
    #[must_use]
    pub fn assumed(quantity: &Quantity, whole: Sample) -> Option<Self> {
        if whole.count <= 0.0 {
            return None;
        }
        let (mean, variance) = match quantity.law {
            Law::Share => {
                let share = (whole.sum + 0.5) / (whole.count + 1.0) + quantity.prior;
                (share, share * (1.0 - share))
            }
            Law::Mean { variance } => (whole.sum / whole.count, variance),
        };
        let variance = variance.max(1e-12);
        let (rise, fall, wander) = match quantity.law {
            Law::Share => {
                let swing = if quantity.tail_of.is_some() { ASSUMED_SWING } else { SWING_OF_SHARE };
                let rise = rise_of_share(mean, swing);
                (rise, rise_of_share(1.0 - mean, swing), rise_of_share(mean, WANDER))
            }
            Law::Mean { .. } => {
                let deviation = variance.sqrt();
                (ASSUMED_SWING * deviation, ASSUMED_SWING * deviation, WANDER * deviation)
            }
        };
        let between = wander * wander;
        Some(Self {
            mean,
            season: None,
            floor: None,
            variance,
            between,
            unseen: 1.0,
            stretch: 1.0,
            memory: MEMORY,
            clip: Some(CLIP_WAVERING),
            worst: 0.0,
            // The baseline is one window: its level is one draw of those that windows have.
            error: between + ASSUMED_DESIGN * variance / whole.count,
            inside: None,
            events: whole.count,
            typical_count: ASSUMED_ROWS.min(whole.count),
            usual: None,
            assumed: Some(Assumed { rise, fall, design: ASSUMED_DESIGN }),
        })
    }

    /// What a window is compared with: the prediction or, where a swing is assumed, the level inside it that is nearest to
    /// what the window shows.
    pub(super) fn expected(&self, sample: Sample, row: &[f64]) -> f64 {
        let predicted = self.predict(row);
        match self.assumed {
            Some(assumed) if sample.count > 0.0 => {
                (sample.sum / sample.count).min(predicted + assumed.rise).max(predicted - assumed.fall)
            }
            _ => predicted,
        }
    }

    /// Variance of the mean of `count` events is this over `count`, beside what windows differ by.
    #[inline]
    pub(super) fn of_event(&self) -> f64 {
        self.variance * self.design()
    }

    /// Rows that say as much as one independent row.
    #[inline]
    pub(super) fn design(&self) -> f64 {
        self.assumed.map_or(1.0, |assumed| assumed.design)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrated::Family;
    use crate::calibrated::quantity::tests::plain;

    fn fit(law: Law, sum: f64, count: f64) -> Fit {
        Fit::assumed(&plain(law, Family::Marginal), Sample { sum, count }).expect("rows")
    }

    #[test]
    fn a_window_inside_the_swing_is_as_expected_and_one_beyond_differs_from_its_end() {
        let fit = fit(Law::Mean { variance: 4.0 }, 1_000.0, 1_000.0);
        let expected = |mean: f64| fit.expected(Sample { sum: 100.0 * mean, count: 100.0 }, &[]);
        assert_eq!((expected(1.0), expected(1.6), expected(0.4)), (1.0, 1.6, 0.4));
        assert!((expected(3.0) - 1.7).abs() < 1e-12 && (expected(-2.0) - 0.3).abs() < 1e-12);
        assert_eq!(fit.expected(Sample::default(), &[]), 1.0, "a window without events");
    }

    #[test]
    fn a_share_swings_as_the_tail_of_a_number_that_swings() {
        let fifth = fit(Law::Share, 2_000.0, 10_000.0).assumed.expect("assumed");
        assert!((fifth.rise - 0.0606).abs() < 1e-3 && (fifth.fall - 0.0513).abs() < 1e-3, "{fifth:?}");
        let tail = Quantity { tail_of: Some(0), ..plain(Law::Share, Family::Rate) };
        let tail = Fit::assumed(&tail, Sample { sum: 100.0, count: 10_000.0 }).expect("rows");
        let tail = tail.assumed.expect("assumed");
        assert!((0.012..0.016).contains(&tail.rise) && (0.005..0.007).contains(&tail.fall), "{tail:?}");
        let none = fit(Law::Share, 0.0, 10_000.0).assumed.expect("assumed");
        assert!(none.rise < 5e-4 && none.fall < 5e-5, "{none:?}");
    }

    #[test]
    fn rows_count_half_and_no_number_of_them_averages_the_wandering_away() {
        let fit = fit(Law::Mean { variance: 1.0 }, 0.0, 1e6);
        assert!((1.0 / fit.precision(100.0) - (0.02 + 0.0016)).abs() < 1e-12);
        assert!(1.0 / fit.precision(1e9) > 0.0015);
        assert_eq!(Fit::assumed(&plain(Law::Share, Family::Rate), Sample::default()), None);
    }
}
