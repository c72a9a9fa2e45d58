//! Metrics of a regression model, from raw arrays or from a mergeable state of fixed-point sums.
//!
//! An error is prediction minus truth. The largest error needs raw arrays: a maximum merges but cannot be subtracted.
//! Not here: the loss without labels.

use serde::{Deserialize, Serialize};

use crate::fixed_point::{FixedPoint, merge_sums, subtract_sums};

/// The smallest magnitude of a truth that a percentage is taken of: `2^-52`.
const SMALLEST: f64 = f64::EPSILON;
/// Bits of a sum below the scale of the targets.
const FRACTION_BITS: i32 = 56;
/// Percentages and logarithms are summed exactly to `2^-40`, so that a truth of zero does not overflow.
const RATIO: FixedPoint = FixedPoint::new(-40);

/// The metrics of a regression model; `None` where a metric is undefined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegressionMetrics {
    /// Labelled predictions.
    pub count: u64,
    /// Mean absolute error, in units of the target.
    pub mae: f64,
    /// Mean squared error, in squared units.
    pub mse: f64,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Mean of `|error| / max(|truth|, 2^-52)`: huge as soon as one truth is zero.
    pub mape: f64,
    /// Mean squared difference of `ln(1 + x)`; `None` if a truth or a prediction is at or below -1.
    pub msle: Option<f64>,
    /// Share of the variance explained, at most 1; `None` if the truth is constant.
    pub r2: Option<f64>,
    /// Mean error.
    pub bias: f64,
    /// Mean pinball loss at the quantile asked for.
    pub quantile_loss: f64,
    /// Share of truths that the prediction is not below: near the quantile, if that is what is predicted; `None` from a state
    /// in which some were counted before this was.
    pub quantile_coverage: Option<f64>,
    /// Standard error of [`RegressionMetrics::mae`]: population deviation of `|error|` over `sqrt(n)`.
    pub mae_standard_error: f64,
    /// Largest absolute error; `None` from a mergeable state.
    pub max_error: Option<f64>,
}

/// The unit and origin in which a state sums; taken from the reference, the same for all panes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RegressionScale {
    /// A typical target, e.g. the reference's mean: keeps the variance exact far from zero.
    pub centre: f64,
    /// A typical spread of targets, above 0: sums are exact to `2^-56` of it.
    pub spread: f64,
    /// The quantile of the pinball loss, within 0 to 1.
    pub quantile: f64,
}

impl Default for RegressionScale {
    fn default() -> Self {
        Self { centre: 0.0, spread: 1.0, quantile: 0.5 }
    }
}

impl RegressionScale {
    fn unit(&self) -> FixedPoint {
        let spread = if self.spread.is_finite() && self.spread > 0.0 { self.spread } else { 1.0 };
        FixedPoint::new(spread.log2().floor() as i32 - FRACTION_BITS)
    }

    fn square_unit(&self) -> FixedPoint {
        let spread = if self.spread.is_finite() && self.spread > 0.0 { self.spread } else { 1.0 };
        FixedPoint::new(2 * spread.log2().floor() as i32 - FRACTION_BITS)
    }
}

/// Sums in the order of [`RegressionState::terms`].
const SUMS: usize = 8;

/// What a pane remembers of labelled predictions of a number; merges and subtracts exactly.
///
/// ```
/// use anchorwatch_detectors::performance::{RegressionScale, RegressionState};
/// let mut state = RegressionState::new(RegressionScale::default());
/// state.add(2.0, 2.5);
/// state.add(4.0, 3.0);
/// let metrics = state.metrics().expect("two labels");
/// assert_eq!((metrics.mae, metrics.bias, metrics.r2), (0.75, -0.25, Some(0.375)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RegressionState {
    scale: RegressionScale,
    count: u64,
    outside_logarithm: u64,
    sums: [i128; SUMS],
    /// Truths that the prediction is not below, and truths above it: fewer than `count`, if earlier versions counted some.
    #[serde(default)]
    sides: [u64; 2],
}

impl RegressionState {
    /// The empty state.
    #[must_use]
    pub fn new(scale: RegressionScale) -> Self {
        Self { scale, count: 0, outside_logarithm: 0, sums: [0; SUMS], sides: [0; 2] }
    }

    /// Counts one labelled prediction; ignored unless both numbers are finite.
    pub fn add(&mut self, truth: f64, prediction: f64) {
        if !(truth.is_finite() && prediction.is_finite()) {
            return;
        }
        self.count = self.count.saturating_add(1);
        if truth <= -1.0 || prediction <= -1.0 {
            self.outside_logarithm = self.outside_logarithm.saturating_add(1);
        }
        let side = &mut self.sides[usize::from(truth > prediction)];
        *side = side.saturating_add(1);
        let terms = self.terms(truth, prediction);
        merge_sums(&mut self.sums, &terms);
    }

    fn terms(&self, truth: f64, prediction: f64) -> [i128; SUMS] {
        let (unit, square) = (self.scale.unit(), self.scale.square_unit());
        let error = prediction - truth;
        let logarithm = (prediction.max(-1.0).ln_1p() - truth.max(-1.0).ln_1p()).powi(2);
        let from_centre = truth - self.scale.centre;
        [
            unit.units(error.abs()),
            unit.units(error),
            square.units(error * error),
            RATIO.units(error.abs() / truth.abs().max(SMALLEST)),
            RATIO.units(if logarithm.is_finite() { logarithm } else { 0.0 }),
            unit.units(from_centre),
            square.units(from_centre * from_centre),
            unit.units(pinball(truth, prediction, self.scale.quantile)),
        ]
    }

    /// Adds another state of the same scale.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.outside_logarithm = self.outside_logarithm.saturating_add(other.outside_logarithm);
        for (side, others) in self.sides.iter_mut().zip(other.sides) {
            *side = side.saturating_add(others);
        }
        merge_sums(&mut self.sums, &other.sums);
    }

    /// Takes away a state that was merged before.
    pub fn subtract(&mut self, other: &Self) {
        self.count = self.count.saturating_sub(other.count);
        self.outside_logarithm = self.outside_logarithm.saturating_sub(other.outside_logarithm);
        for (side, others) in self.sides.iter_mut().zip(other.sides) {
            *side = side.saturating_sub(others);
        }
        subtract_sums(&mut self.sums, &other.sums);
    }

    /// The metrics so far, without the largest error; `None` without labels.
    #[must_use]
    pub fn metrics(&self) -> Option<RegressionMetrics> {
        if self.count == 0 {
            return None;
        }
        let n = self.count as f64;
        let (unit, square) = (self.scale.unit(), self.scale.square_unit());
        let [absolute, error, squared, ratio, logarithm, centred, centred_squared, quantile] = self.sums;
        let mae = unit.value(absolute) / n;
        let mse = square.value(squared) / n;
        let second_moment = square.value(centred_squared) / n;
        let variance = second_moment - (unit.value(centred) / n).powi(2);
        let spread = (mse - mae * mae).max(0.0);
        let [not_above, above] = self.sides;
        Some(RegressionMetrics {
            count: self.count,
            mae,
            mse,
            rmse: mse.max(0.0).sqrt(),
            mape: RATIO.value(ratio) / n,
            msle: (self.outside_logarithm == 0).then(|| RATIO.value(logarithm) / n),
            // What is left of the variance of a constant by rounding is no variance.
            r2: (variance > 1e-13 * second_moment).then(|| 1.0 - mse / variance),
            bias: unit.value(error) / n,
            quantile_loss: unit.value(quantile) / n,
            quantile_coverage: (not_above.saturating_add(above) == self.count).then(|| not_above as f64 / n),
            mae_standard_error: (spread / n).sqrt(),
            max_error: None,
        })
    }
}

/// The pinball loss of one prediction of a quantile: `quantile` per unit too low, `1 - quantile` per unit too high.
fn pinball(truth: f64, prediction: f64, quantile: f64) -> f64 {
    let short = truth - prediction;
    (quantile * short).max((quantile - 1.0) * short)
}

impl RegressionMetrics {
    /// The metrics of raw arrays; pairs that are not both finite are left out. `None` if no pair is left.
    #[must_use]
    pub fn of_samples(truth: &[f64], prediction: &[f64], quantile: f64) -> Option<Self> {
        let finite = |(y, p): &(f64, f64)| y.is_finite() && p.is_finite();
        let pairs: Vec<(f64, f64)> =
            truth.iter().copied().zip(prediction.iter().copied()).filter(finite).collect();
        let n = pairs.len() as f64;
        let mean = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|&(y, p)| f(y, p)).sum::<f64>() / n;
        if pairs.is_empty() {
            return None;
        }
        let error = |y: f64, p: f64| (p - y).abs();
        let mae = mean(&error);
        let mse = mean(&|y, p| (p - y).powi(2));
        let centre = mean(&|y, _| y);
        let variance = mean(&|y, _| (y - centre).powi(2));
        let constant = pairs.iter().all(|(y, _)| Some(y) == pairs.first().map(|(first, _)| first));
        let logarithm = pairs.iter().all(|&(y, p)| y > -1.0 && p > -1.0);
        Some(Self {
            count: pairs.len() as u64,
            mae,
            mse,
            rmse: mse.sqrt(),
            mape: mean(&|y, p| error(y, p) / y.abs().max(SMALLEST)),
            msle: logarithm.then(|| mean(&|y, p| (p.ln_1p() - y.ln_1p()).powi(2))),
            r2: (!constant && variance > 0.0).then(|| 1.0 - mse / variance),
            bias: mean(&|y, p| p - y),
            quantile_loss: mean(&|y, p| pinball(y, p, quantile)),
            quantile_coverage: Some(mean(&|y, p| f64::from(u8::from(y <= p)))),
            mae_standard_error: (mean(&|y, p| (error(y, p) - mae).powi(2)) / n).sqrt(),
            max_error: pairs.iter().map(|&(y, p)| error(y, p)).reduce(f64::max),
        })
    }

    /// Root of [`RegressionMetrics::msle`].
    #[must_use]
    pub fn rmsle(&self) -> Option<f64> {
        self.msle.map(f64::sqrt)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_known_without_labels() {
        assert_eq!(RegressionState::new(RegressionScale::default()).metrics(), None);
        assert_eq!(RegressionMetrics::of_samples(&[1.0, f64::NAN], &[f64::INFINITY, 2.0], 0.5), None);
    }

    #[test]
    fn a_prediction_of_a_quantile_is_charged_by_the_side_on_which_the_truth_lies() {
        let scale = RegressionScale { centre: 0.0, spread: 1.0, quantile: 0.75 };
        let mut state = RegressionState::new(scale);
        // Three quarters of a unit per unit too low, one quarter per unit too high.
        for (truth, prediction) in [(4.0, 2.0), (1.0, 3.0), (5.0, 5.0), (2.0, 2.5)] {
            state.add(truth, prediction);
        }
        let metrics = state.metrics().expect("four labels");
        assert_eq!(metrics.quantile_loss, (0.75 * 2.0 + 0.25 * 2.0 + 0.0 + 0.25 * 0.5) / 4.0);
        assert_eq!(metrics.quantile_coverage, Some(0.75), "a truth that is the prediction is not above it");
    }

    #[test]
    fn what_was_counted_without_sides_has_no_coverage_until_it_is_taken_away() {
        let scale = RegressionScale { centre: 0.0, spread: 1.0, quantile: 0.75 };
        let filled = |pairs: &[(f64, f64)]| {
            let mut state = RegressionState::new(scale);
            pairs.iter().for_each(|&(truth, prediction)| state.add(truth, prediction));
            state
        };
        let earlier = RegressionState { sides: [0; 2], ..filled(&[(1.0, 2.0), (3.0, 2.0)]) };
        let now = filled(&[(1.0, 2.0)]);
        let mut both = now;
        both.merge(&earlier);
        let metrics = both.metrics().expect("three labels");
        assert_eq!((metrics.count, metrics.mae, metrics.quantile_coverage), (3, 1.0, None));
        both.subtract(&earlier);
        assert_eq!(both, now);
        assert_eq!(both.metrics().and_then(|metrics| metrics.quantile_coverage), Some(1.0));
    }

    proptest! {
        #[test]
        fn the_state_says_what_the_raw_arrays_say(
            pairs in proptest::collection::vec((900.0f64..1100.0, 900.0f64..1100.0), 2..60), cut in 0usize..60,
        ) {
            let scale = RegressionScale { centre: 1000.0, spread: 50.0, quantile: 0.9 };
            let fill = |pairs: &[(f64, f64)]| {
                let mut state = RegressionState::new(scale);
                pairs.iter().for_each(|&(y, p)| state.add(y, p));
                state
            };
            let (left, right) = pairs.split_at(cut.min(pairs.len()));
            let mut merged = fill(right);
            merged.merge(&fill(left));
            prop_assert_eq!(merged, fill(&pairs));
            let (y, p): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
            let (streamed, raw) = (merged.metrics().unwrap(), RegressionMetrics::of_samples(&y, &p, 0.9).unwrap());
            for (a, b) in [
                (streamed.mae, raw.mae), (streamed.rmse, raw.rmse), (streamed.bias, raw.bias),
                (streamed.mape, raw.mape), (streamed.quantile_loss, raw.quantile_loss),
                (streamed.r2.unwrap(), raw.r2.unwrap()),
                (streamed.quantile_coverage.unwrap(), raw.quantile_coverage.unwrap()),
                (streamed.mae_standard_error, raw.mae_standard_error),
            ] {
                prop_assert!((a - b).abs() < 1e-6 * (1.0 + b.abs()), "{a} {b}");
            }
            merged.subtract(&fill(left));
            prop_assert_eq!(merged, fill(right));
        }

        #[test]
        fn no_number_makes_a_metric_panic(pairs in proptest::collection::vec(any::<(f64, f64)>(), 0..20), spread: f64) {
            let mut state = RegressionState::new(RegressionScale { centre: 0.0, spread, quantile: 0.5 });
            pairs.iter().for_each(|&(y, p)| state.add(y, p));
            let (y, p): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            std::hint::black_box((state.metrics(), RegressionMetrics::of_samples(&y, &p, 0.5)));
        }
    }
}
