//! A monitored quantity: the mean of a bounded score of one event, so that a window is a sum and a count.

use super::fit::Fit;
use super::spread::normal_score;

/// Tolerated change of a mean, in standard deviations of an event.
const TOLERATED_DEVIATIONS: f64 = 0.05;

/// The same of the difference between a slice and the rest.
const TOLERATED_OF_SLICE: f64 = 0.1;

/// Events under which a window of a slice holds few.
const FEW: f64 = 5.0;

/// Tolerated change of a share, as a part of it.
const TOLERATED_PART: f64 = 0.25;

/// How a quantity varies between windows if nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Law {
    /// Mean of a score with this variance per event.
    Mean {
        /// Variance of one event's score.
        variance: f64,
    },
    /// Share of events: its variance follows from the share itself.
    Share,
}

/// What a quantity is about; the false-alarm budget is split over the families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Distribution of one column.
    Marginal,
    /// Missing, out of range, tails, new categories.
    Rate,
    /// Scores against labels.
    Performance,
    /// Two columns together.
    Pair,
    /// One version against the rest.
    Version,
    /// One segment against the rest.
    Segment,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 6] =
        [Self::Marginal, Self::Rate, Self::Performance, Self::Pair, Self::Version, Self::Segment];

    /// Share of the budget; all together are 1.
    #[must_use]
    pub const fn share(self) -> f64 {
        match self {
            Self::Marginal => 0.45,
            Self::Rate => 0.15,
            Self::Performance => 0.15,
            Self::Pair => 0.08,
            Self::Version => 0.07,
            Self::Segment => 0.10,
        }
    }
}

/// How the score of one event is distributed under the baseline, about its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreShape {
    /// Largest distance from the mean.
    pub bound: f64,
    /// Variance, in units of the one that the law of the quantity says.
    pub variance: f64,
    /// Third standardised moment.
    pub skewness: f64,
    /// Fourth standardised moment less 3, that of a normal law.
    pub excess: f64,
}

impl ScoreShape {
    /// The shape of scores with these weights; one without weight is not there.
    #[must_use]
    pub fn of(weighted: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
        let used = weighted.filter(|(_, weight)| *weight > 0.0);
        let (sum, all) =
            used.clone().fold((0.0, 0.0), |(sum, all), (x, weight)| (sum + weight * x, all + weight));
        let mean = if all > 0.0 { sum / all } else { 0.0 };
        let (mut bound, mut powers) = (0.0_f64, [0.0; 3]);
        for (x, weight) in used {
            let (off, part) = (x - mean, weight / all);
            bound = bound.max(off.abs());
            let square = off * off;
            powers[0] += part * square;
            powers[1] += part * square * off;
            powers[2] += part * square * square;
        }
        let variance = powers[0].max(1e-9);
        Self {
            bound,
            variance,
            skewness: powers[1] / variance.powf(1.5),
            excess: powers[2] / (variance * variance) - 3.0,
        }
    }

    /// The shape of a share: of a score that is 1 with this probability and else 0.
    #[must_use]
    pub fn of_share(share: f64) -> Self {
        let variance = (share * (1.0 - share)).max(1e-9);
        Self {
            bound: 1.0,
            variance: 1.0,
            skewness: (1.0 - 2.0 * share) / variance.sqrt(),
            excess: 1.0 / variance - 6.0,
        }
    }
}

/// One monitored quantity, as calibration and judging need it; what it is called is the caller's business.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantity {
    /// Its law.
    pub law: Law,
    /// Its family.
    pub family: Family,
    /// Whether only a rise matters.
    pub rises_only: bool,
    /// Change that is tolerated, in units of the mean; `None` takes the default: 0.05 standard deviations of an event, 0.1
    /// for a slice against the rest, or a quarter of the share.
    pub tolerance: Option<f64>,
    /// Share expected beyond what the baseline showed, such as categories it happened not to see.
    pub prior: f64,
    /// Quantities with the same number are of one column: where one of them varies between windows, all do.
    pub column: Option<usize>,
    /// The same of the other column of a pair.
    pub other_column: Option<usize>,
    /// Quantities with the same number are tails of one column; a range alarm borrows their clumping.
    pub tail_of: Option<usize>,
    /// Whether it has no history worth speaking of and borrows from `tail_of`.
    pub borrows: bool,
    /// How one event's score is distributed, for a quantity whose windows may hold so few events that their mean is far
    /// from normal.
    pub score: Option<ScoreShape>,
    /// Place, in the same list, of the share of the whole that this is a slice's: what clumps there clumps here.
    pub part_of: Option<usize>,
}

impl Quantity {
    /// Change of a window's mean, made smaller so that its standard score is passed no more often than a normal one
    /// would be: by Bennett's inequality for the mean of a few bounded scores, each with variance `variance`. Of more than a
    /// few, [`Self::unskewed`] says it more closely.
    pub(super) fn of_few(&self, change: f64, variance: f64, count: f64) -> f64 {
        let Some(ScoreShape { bound, .. }) = self.score.filter(|_| count < FEW) else { return change };
        let variance = variance.max(1e-12);
        let relative = bound * change.abs() / variance;
        let rate = (1.0 + relative) * relative.ln_1p() - relative;
        change.signum() * (2.0 * rate.max(0.0)).sqrt() * variance / bound
    }

    /// The standard score `z` of a mean of `count` events, made smaller where that mean is skewed to its side. `variance` is
    /// that of the mean, in units of the one that the law says; events that share their value say less than as many others.
    #[inline]
    pub(super) fn unskewed(&self, z: f64, variance: f64, count: f64) -> f64 {
        let Some(ScoreShape { skewness, variance: of_event, .. }) = self.score else { return z };
        normal_score(z, skewness * (variance / of_event).max(1.0 / count).sqrt())
    }

    /// The change of the mean that is tolerated: its own, or its law's default given what the baseline says.
    #[must_use]
    pub fn tolerated(&self, fit: &Fit) -> f64 {
        self.tolerance.unwrap_or(match self.law {
            Law::Share => TOLERATED_PART * fit.mean,
            Law::Mean { .. } if matches!(self.family, Family::Segment | Family::Version) => {
                TOLERATED_OF_SLICE * fit.deviation()
            }
            Law::Mean { .. } => TOLERATED_DEVIATIONS * fit.deviation(),
        })
    }
}

/// A quantity in one window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Sum of the scores.
    pub sum: f64,
    /// Number of events (or their effective number, for contrasts).
    pub count: f64,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A quantity of this law and family, without anything that it borrows.
    pub(in crate::calibrated) fn plain(law: Law, family: Family) -> Quantity {
        Quantity {
            law,
            family,
            rises_only: false,
            tolerance: None,
            prior: 0.0,
            column: None,
            other_column: None,
            tail_of: None,
            borrows: false,
            score: None,
            part_of: None,
        }
    }

    #[test]
    fn one_odd_event_of_a_slice_is_no_sign_and_many_are() {
        let shape = ScoreShape { bound: 1.0, variance: 1.0, skewness: 0.0, excess: 0.0 };
        let steady = Quantity { score: Some(shape), ..plain(Law::Mean { variance: 0.02 }, Family::Segment) };
        let standard =
            |change: f64, events: f64| steady.of_few(change, 0.02, events) * (events / 0.02).sqrt();
        let untempered = |change: f64, events: f64| change * (events / 0.02_f64).sqrt();
        assert!(untempered(0.6, 2.0) > 5.9 && standard(0.6, 2.0) < 3.0, "{}", standard(0.6, 2.0));
        assert_eq!(standard(0.6, 50.0), untempered(0.6, 50.0));
        assert!(standard(0.02, 3.0) > 0.85 * untempered(0.02, 3.0), "a small change is hardly tempered");
    }

    #[test]
    fn the_shape_of_scores_is_that_of_their_shares() {
        // Nine of ten are alike, as the hours without rain.
        let (low, high) = (-1.0 / 3.0, 3.0);
        let shape = ScoreShape::of([(low, 9.0), (high, 1.0), (50.0, 0.0)].into_iter());
        let share = ScoreShape::of_share(0.1);
        assert!((shape.skewness - 8.0 / 3.0).abs() < 1e-12 && (share.skewness - 8.0 / 3.0).abs() < 1e-12);
        assert!((shape.excess - share.excess).abs() < 1e-12 && (shape.bound - high).abs() < 1e-12);
        assert!((shape.variance - 1.0).abs() < 1e-12);
    }
}
