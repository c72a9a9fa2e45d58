//! A monitored quantity: the mean of a bounded score of one event, so that a window is a sum and a count.

use super::fit::Fit;

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
    /// Largest distance of an event's score from its mean, for a quantity whose windows may hold so few events that
    /// their mean is far from normal.
    pub bound: Option<f64>,
    /// Place, in the same list, of the share of the whole that this is a slice's: what clumps there clumps here.
    pub part_of: Option<usize>,
}

impl Quantity {
    /// Change of a window's mean, made smaller so that its standard score is passed no more often than a normal one
    /// would be: by Bennett's inequality for the mean of a few bounded scores, each with variance `variance`. Of more than a
    /// few the windows of the baseline have shown how they vary.
    pub(super) fn of_few(&self, change: f64, variance: f64, count: f64) -> f64 {
        let Some(bound) = self.bound.filter(|_| count < FEW) else { return change };
        let variance = variance.max(1e-12);
        let relative = bound * change.abs() / variance;
        let rate = (1.0 + relative) * relative.ln_1p() - relative;
        change.signum() * (2.0 * rate.max(0.0)).sqrt() * variance / bound
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
            bound: None,
            part_of: None,
        }
    }

    #[test]
    fn one_odd_event_of_a_slice_is_no_sign_and_many_are() {
        let steady = Quantity { bound: Some(1.0), ..plain(Law::Mean { variance: 0.02 }, Family::Segment) };
        let standard =
            |change: f64, events: f64| steady.of_few(change, 0.02, events) * (events / 0.02).sqrt();
        let untempered = |change: f64, events: f64| change * (events / 0.02_f64).sqrt();
        assert!(untempered(0.6, 2.0) > 5.9 && standard(0.6, 2.0) < 3.0, "{}", standard(0.6, 2.0));
        assert_eq!(standard(0.6, 50.0), untempered(0.6, 50.0));
        assert!(standard(0.02, 3.0) > 0.85 * untempered(0.02, 3.0), "a small change is hardly tempered");
    }
}
