//! What a gambler against "nothing has changed" has won: the evidence of the detectors that bet.
//!
//! A bet is a factor, at least 0, whose mean is at most 1 as long as nothing has changed. The Shiryaev–Roberts wealth
//! `R ← (R + 1)·bet` enters one more unit before each bet, so `R - t` has no tendency upwards and by optional stopping
//! the mean time until `R` first reaches `A` is at least `A` (Shin, Ramdas and Rinaldo, *E-detectors*). The CUSUM wealth
//! `C ← max(C, 1)·bet` is never larger and has the same bound. The mean of several such wealths, dependent or not, has
//! it too: of bets, of features, of replicas.

use serde::{Deserialize, Serialize};

/// Beyond this, wealth is kept as its logarithm.
const PLAIN_UP_TO: f64 = 1e300;

/// An amount of at least 0 that may exceed the range of `f64`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wealth {
    /// The amount, up to `1e300`.
    Plain(f64),
    /// The natural logarithm of a larger amount.
    Logarithm(f64),
}

impl Default for Wealth {
    fn default() -> Self {
        Self::Plain(0.0)
    }
}

/// How wealth is renewed before a bet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Renewal {
    /// One unit is added: Shiryaev–Roberts.
    #[default]
    Add,
    /// It is raised to one unit: CUSUM.
    Raise,
}

impl Wealth {
    /// The wealth after one more bet; a bet below 0 or NaN leaves it as it is.
    ///
    /// ```
    /// use anchorwatch_detectors::sequential::wealth::{Renewal, Wealth};
    /// let wealth = Wealth::default().bet(1.5, Renewal::Add).bet(0.5, Renewal::Add);
    /// assert_eq!(wealth.value(), (1.5 + 1.0) * 0.5);
    /// ```
    #[must_use]
    pub fn bet(self, factor: f64, renewal: Renewal) -> Self {
        if factor.is_nan() || factor < 0.0 {
            return self;
        }
        match (self, renewal) {
            (Self::Plain(amount), Renewal::Add) => Self::from_amount((amount + 1.0) * factor),
            (Self::Plain(amount), Renewal::Raise) => Self::from_amount(amount.max(1.0) * factor),
            // One unit is nothing beside so much.
            (Self::Logarithm(ln), _) => Self::from_ln(ln + factor.ln()),
        }
    }

    /// The amount; the largest `f64` if it is beyond.
    #[must_use]
    pub fn value(self) -> f64 {
        match self {
            Self::Plain(amount) => amount,
            Self::Logarithm(ln) => ln.exp().min(f64::MAX),
        }
    }

    /// The natural logarithm of the amount; minus infinity for nothing.
    #[must_use]
    pub fn ln(self) -> f64 {
        match self {
            Self::Plain(amount) => amount.ln(),
            Self::Logarithm(ln) => ln,
        }
    }

    /// The mean of several wealths, which is evidence with the same guarantee however they depend on each other.
    ///
    /// Nothing for an empty slice.
    #[must_use]
    pub fn mean(wealths: &[Self]) -> Self {
        let n = wealths.len().max(1) as f64;
        let largest = wealths.iter().map(|wealth| wealth.ln()).fold(f64::NEG_INFINITY, f64::max);
        if largest < PLAIN_UP_TO.ln() {
            return Self::from_amount(wealths.iter().map(|wealth| wealth.value() / n).sum());
        }
        let shares: f64 = wealths.iter().map(|wealth| (wealth.ln() - largest).exp()).sum();
        Self::from_ln(largest + (shares / n).ln())
    }

    fn from_amount(amount: f64) -> Self {
        if amount > PLAIN_UP_TO { Self::Logarithm(amount.min(f64::MAX).ln()) } else { Self::Plain(amount) }
    }

    fn from_ln(ln: f64) -> Self {
        if ln > PLAIN_UP_TO.ln() { Self::Logarithm(ln.min(f64::MAX)) } else { Self::Plain(ln.exp()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wealth_passes_the_end_of_the_range_and_comes_back() {
        let mut wealth = Wealth::default();
        (0..2_000).for_each(|_| wealth = wealth.bet(2.0, Renewal::Raise));
        assert!((wealth.ln() - 2_000.0 * 2f64.ln()).abs() < 1e-9 && wealth.value() == f64::MAX);
        (0..1_990).for_each(|_| wealth = wealth.bet(0.5, Renewal::Raise));
        assert!((wealth.value() / 1_024.0 - 1.0).abs() < 1e-9);
        assert_eq!(wealth.bet(0.0, Renewal::Add), Wealth::default());
        assert_eq!(wealth.bet(f64::NAN, Renewal::Add), wealth);
    }

    #[test]
    fn the_mean_is_the_mean_on_either_side_of_the_range() {
        let small = [1.0, 2.0, 6.0].map(Wealth::Plain);
        assert!((Wealth::mean(&small).value() - 3.0).abs() < 1e-12);
        let large = [Wealth::Plain(5.0), Wealth::Logarithm(1_000.0), Wealth::Logarithm(1_000.0)];
        assert!((Wealth::mean(&large).ln() - (1_000.0 + (2.0f64 / 3.0).ln())).abs() < 1e-12);
        assert_eq!(Wealth::mean(&[]), Wealth::default());
    }
}
