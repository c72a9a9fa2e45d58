//! The e-detector of a bounded mean: bets that a rate or a loss has left the band it may lie in.
//!
//! For values within 0 to 1 whose mean, given all that came before, is at most `p0`, the factor `1 + λ (x - p0)` with
//! `λ` within 0 to `1/p0` is a fair bet or worse; below, mirrored, for a mean of at least `p1`. The mean wealth over
//! several `λ` (see [`wealth`](crate::sequential::wealth)) reaches the threshold after that many values or more on
//! average, for any dependence between values (Shin, Ramdas and Rinaldo; Waudby-Smith and Ramdas 2024). Values outside
//! are cut off at 0 and 1.

use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Spec};
use super::wealth::{Renewal, Wealth};
use super::{Sequential, Signal};

const AT_MOST: Parameter =
    Parameter::real("at_most", 0.5, 1e-9, 1.0, "largest mean that is no drift; 1 for no such limit");
const AT_LEAST: Parameter =
    Parameter::real("at_least", 0.0, 0.0, 1.0 - 1e-9, "smallest mean that is no drift; 0 for no such limit");
const THRESHOLD: Parameter =
    Parameter::real("threshold", 1e5, 1.0, 1e300, "mean number of values to a false alarm, at least");
const CUSUM: Parameter = Parameter::switch("cusum", "1 to accumulate bets by CUSUM, not Shiryaev–Roberts");

/// Bets as shares of the largest allowed.
const SHARES: [f64; 4] = [1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0, 1.0 / 2.0];

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "e_bounded_mean",
    about: "e-detector of a mean within 0 to 1 leaving its band (Shin et al.)",
    parameters: &[AT_MOST, AT_LEAST, THRESHOLD, CUSUM],
    build: |values| {
        let (at_most, at_least) = (values.get(&AT_MOST), values.get(&AT_LEAST));
        values.demand(at_least <= at_most, "at_least must not exceed at_most")?;
        let renewal = if values.on(&CUSUM) { Renewal::Raise } else { Renewal::Add };
        let mut bets = Vec::new();
        if at_most < 1.0 {
            bets.extend(SHARES.map(|share| Bet::above(at_most, share / at_most)));
        }
        if at_least > 0.0 {
            bets.extend(SHARES.map(|share| Bet::below(at_least, share / (1.0 - at_least))));
        }
        Ok(BoundedMean::new(bets, values.get(&THRESHOLD), renewal).into())
    },
};

/// The bet `1 + slope (x - centre)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bet {
    centre: f64,
    slope: f64,
}

impl Bet {
    /// A bet that the mean is above `p0`, within 0 (excluded) to 1; `lambda` is brought within 0 to `1/p0`.
    #[must_use]
    pub fn above(p0: f64, lambda: f64) -> Self {
        let centre = p0.clamp(f64::MIN_POSITIVE, 1.0);
        Self { centre, slope: lambda.clamp(0.0, (1.0 / centre).min(f64::MAX)) }
    }

    /// A bet that the mean is below `p0`, within 0 to 1 (excluded); `lambda` is brought within 0 to `1/(1 - p0)`.
    #[must_use]
    pub fn below(p0: f64, lambda: f64) -> Self {
        let centre = p0.clamp(0.0, 1.0 - f64::EPSILON);
        Self { centre, slope: -lambda.clamp(0.0, 1.0 / (1.0 - centre)) }
    }

    fn factor(&self, x: f64) -> f64 {
        // Rounding must not make a total loss negative.
        (1.0 + self.slope * (x - self.centre)).max(0.0)
    }
}

/// The detector with its state, one number per bet.
///
/// ```
/// use anchorwatch_detectors::sequential::bounded_mean::{Bet, BoundedMean};
/// use anchorwatch_detectors::sequential::{wealth::Renewal, Sequential, Signal};
///
/// let bets = [0.25, 0.5, 1.0, 2.0].map(|lambda| Bet::above(0.25, lambda)).to_vec();
/// let mut detector = BoundedMean::new(bets, 1e4, Renewal::Add);
/// assert_eq!((1..100).find(|_| detector.update(1.0) == Signal::Drift), Some(11));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoundedMean {
    bets: Vec<Bet>,
    wealth: Vec<Wealth>,
    renewal: Renewal,
    alarm_at: f64,
    signal: Signal,
}

impl BoundedMean {
    /// Makes the detector; without bets it never alarms. `alarm_at` is at least 1.
    #[must_use]
    pub fn new(bets: Vec<Bet>, alarm_at: f64, renewal: Renewal) -> Self {
        let alarm_at = if alarm_at.is_nan() { 1.0 } else { alarm_at.clamp(1.0, f64::MAX) };
        let wealth = vec![Wealth::default(); bets.len()];
        Self { bets, wealth, renewal, alarm_at, signal: Signal::Stable }
    }

    /// The mean wealth over all bets.
    #[must_use]
    pub fn wealth(&self) -> Wealth {
        Wealth::mean(&self.wealth)
    }
}

impl Sequential for BoundedMean {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            self.wealth.fill(Wealth::default());
        }
        let x = value.clamp(0.0, 1.0);
        for (wealth, bet) in self.wealth.iter_mut().zip(&self.bets) {
            *wealth = wealth.bet(bet.factor(x), self.renewal);
        }
        self.signal = if self.statistic() >= self.alarm_at { Signal::Drift } else { Signal::Stable };
        self.signal
    }

    fn statistic(&self) -> f64 {
        self.wealth().value()
    }

    fn threshold(&self) -> f64 {
        self.alarm_at
    }
}
