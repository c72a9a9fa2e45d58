//! Platt's (1999) calibration: a logistic curve of the score, for references too small for isotonic steps.
//!
//! Fitted by Newton's method on Platt's smoothed targets, with the safeguards of Lin, Lin and Weng (2007). Not here: the
//! isotonic fit ([`super::isotonic`]), which is the default.

use serde::{Deserialize, Serialize};

/// Newton steps after which the fit is taken as it is.
const STEPS: usize = 100;
/// Added to the diagonal of the Hessian, so that separable data do not blow it up.
const RIDGE: f64 = 1e-12;

/// The curve `1 / (1 + exp(a·score + b))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Platt {
    /// Slope; negative if higher scores mean more positives.
    pub a: f64,
    /// Offset.
    pub b: f64,
}

impl Platt {
    /// Fits labels on scores; pairs whose score is not finite are left out. `None` unless both classes occur.
    #[must_use]
    pub fn fit(scores: &[f64], labels: &[bool]) -> Option<Self> {
        let finite = |(score, _): &(f64, bool)| score.is_finite();
        let pairs: Vec<(f64, bool)> =
            scores.iter().copied().zip(labels.iter().copied()).filter(finite).collect();
        let positives = pairs.iter().filter(|(_, label)| *label).count() as f64;
        let negatives = pairs.len() as f64 - positives;
        if positives == 0.0 || negatives == 0.0 {
            return None;
        }
        // The targets of a Bayesian prior with one more observation of either class.
        let target = |label: bool| {
            if label { (positives + 1.0) / (positives + 2.0) } else { 1.0 / (negatives + 2.0) }
        };
        let loss = |curve: &Self| -> f64 {
            pairs.iter().map(|&(score, label)| curve.loss(score, target(label))).sum()
        };
        let mut curve = Self { a: 0.0, b: ((negatives + 1.0) / (positives + 1.0)).ln() };
        let mut best = loss(&curve);
        for _ in 0..STEPS {
            let (step_a, step_b) = curve.newton_step(&pairs, target);
            let halved = (0..40).map(|halving| 0.5f64.powi(halving));
            let next = halved
                .map(|share| Self { a: curve.a + share * step_a, b: curve.b + share * step_b })
                .map(|next| (loss(&next), next))
                .find(|(next_loss, _)| *next_loss < best);
            let Some((next_loss, next)) = next else {
                break;
            };
            let settled = best - next_loss < 1e-14 * best.abs();
            (best, curve) = (next_loss, next);
            if settled {
                break;
            }
        }
        (curve.a.is_finite() && curve.b.is_finite()).then_some(curve)
    }

    /// The calibrated probability of a score, within 0 to 1; NaN for NaN.
    #[must_use]
    pub fn apply(&self, score: f64) -> f64 {
        1.0 / (1.0 + (self.a * score + self.b).exp())
    }

    /// Cross entropy of one target, in a form that does not overflow.
    fn loss(&self, score: f64, target: f64) -> f64 {
        let z = self.a * score + self.b;
        if z >= 0.0 { target * z + (-z).exp().ln_1p() } else { (target - 1.0) * z + z.exp().ln_1p() }
    }

    fn newton_step(&self, pairs: &[(f64, bool)], target: impl Fn(bool) -> f64) -> (f64, f64) {
        let (mut aa, mut ab, mut bb, mut ga, mut gb) = (RIDGE, 0.0, RIDGE, 0.0, 0.0);
        for &(score, label) in pairs {
            let p = self.apply(score);
            let (weight, slope) = (p * (1.0 - p), target(label) - p);
            aa += score * score * weight;
            ab += score * weight;
            bb += weight;
            ga += score * slope;
            gb += slope;
        }
        let determinant = aa * bb - ab * ab;
        (-(bb * ga - ab * gb) / determinant, -(aa * gb - ab * ga) / determinant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logistic_relation_is_found_again() {
        let scores: Vec<f64> = (0..4_000).map(|i| f64::from(i % 400) / 100.0 - 2.0).collect();
        // Each score occurs ten times, with labels in the proportion that the curve asks for.
        let labels: Vec<bool> = scores
            .iter()
            .enumerate()
            .map(|(i, score)| (i / 400) as f64 + 0.5 < 10.0 / (1.0 + (-1.5 * score + 0.3).exp()))
            .collect();
        let fit = Platt::fit(&scores, &labels).unwrap();
        assert!((fit.a + 1.5).abs() < 0.1 && (fit.b - 0.3).abs() < 0.1, "{fit:?}");
    }

    #[test]
    fn one_class_or_no_number_is_refused_and_separable_data_are_not() {
        assert_eq!(Platt::fit(&[0.1, 0.2], &[true, true]), None);
        assert_eq!(Platt::fit(&[f64::NAN, 0.2], &[true, false]), None);
        let fit = Platt::fit(&[0.1, 0.9], &[false, true]).unwrap();
        assert!(fit.apply(0.9) > 0.5 && fit.apply(0.1) < 0.5);
    }
}
