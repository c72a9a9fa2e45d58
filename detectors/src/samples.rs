//! Statistics of raw samples, for small data, offline comparison, and as the yardstick of the streamed ones.
//!
//! Here live the pooling of two samples into ordered cells (so that [`crate::two_sample`] serves both), moments,
//! Student's and Welch's t, the exact Wasserstein distance and the energy distance; [`epps_singleton`] has the test of that
//! name. Not here: anything kept per window.
//! NaN are dropped everywhere; infinities rank as values, but have no mean.

use crate::distributions::student_two_sided;

pub mod epps_singleton;

/// Two samples as counts over their distinct values, lowest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooled {
    /// The distinct values of both samples, increasing.
    pub values: Vec<f64>,
    /// How often each occurs in the reference.
    pub reference: Vec<u64>,
    /// How often each occurs in the window.
    pub window: Vec<u64>,
}

impl Pooled {
    /// Pools two samples in any order; `-0.0` equals `0.0`, NaN are dropped.
    #[must_use]
    pub fn new(reference: &[f64], window: &[f64]) -> Self {
        let (reference, window) = (sorted(reference), sorted(window));
        let mut pooled = Self { values: Vec::new(), reference: Vec::new(), window: Vec::new() };
        let (mut left, mut right) = (reference.as_slice(), window.as_slice());
        while let Some(value) = smaller(left.first(), right.first()) {
            let take = |side: &mut &[f64]| {
                let (run, rest) = side.split_at(side.partition_point(|&x| x <= value));
                *side = rest;
                run.len() as u64
            };
            pooled.values.push(value);
            pooled.reference.push(take(&mut left));
            pooled.window.push(take(&mut right));
        }
        pooled
    }
}

fn smaller(a: Option<&f64>, b: Option<&f64>) -> Option<f64> {
    match (a, b) {
        (Some(&a), Some(&b)) => Some(a.min(b)),
        (a, b) => a.or(b).copied(),
    }
}

/// The sample in increasing order, without NaN and with `-0.0` as `0.0`.
#[must_use]
pub fn sorted(sample: &[f64]) -> Vec<f64> {
    let mut values: Vec<f64> = sample.iter().filter(|x| !x.is_nan()).map(|x| x + 0.0).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Location, spread and range of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// How many values there are.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Sum of squared deviations from the mean.
    pub squares: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

impl Moments {
    /// Two passes over the sample; `None` if it has no value or not only finite ones.
    ///
    /// Sums are pairwise in `NumPy`'s order, so that results agree with it to the last bit even far from zero.
    #[must_use]
    pub fn new(sample: &[f64]) -> Option<Self> {
        let values: Vec<f64> = sample.iter().copied().filter(|x| !x.is_nan()).collect();
        let first = *values.first()?;
        let n = values.len() as f64;
        let mean = pairwise_sum(&values) / n;
        let squares: Vec<f64> = values.iter().map(|x| (x - mean) * (x - mean)).collect();
        let (min, max) = values.iter().fold((first, first), |(min, max), x| (min.min(*x), max.max(*x)));
        mean.is_finite().then(|| Self {
            count: values.len() as u64,
            mean,
            squares: pairwise_sum(&squares),
            min,
            max,
        })
    }

    /// Population variance: squares over `n`.
    #[must_use]
    pub fn variance_population(&self) -> f64 {
        self.squares / self.count as f64
    }

    /// Sample variance: squares over `n - 1`; `None` for a single value.
    #[must_use]
    pub fn variance_sample(&self) -> Option<f64> {
        (self.count > 1).then(|| self.squares / (self.count - 1) as f64)
    }
}

/// Sums with eight running sums up to 128 values and by halves beyond; the rounding error grows with `log n` only.
fn pairwise_sum(values: &[f64]) -> f64 {
    if values.len() > 128 {
        let half = values.len() / 2;
        let (left, right) = values.split_at(half - half % 8);
        return pairwise_sum(left) + pairwise_sum(right);
    }
    let blocks = values.chunks_exact(8);
    let rest = blocks.remainder();
    let lanes = blocks.fold([0.0; 8], |mut lanes: [f64; 8], block| {
        lanes.iter_mut().zip(block).for_each(|(lane, value)| *lane += value);
        lanes
    });
    let [a, b, c, d, e, f, g, h] = lanes;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| sum + value)
}

/// The quantile `q` of a sample by linear interpolation between order statistics, `NumPy`'s default.
///
/// `None` if the sample is empty or `q` is not within 0 to 1. The sample must be sorted upwards.
#[must_use]
pub fn quantile_linear(sorted: &[f64], q: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    let place = q * (sorted.len().checked_sub(1)?) as f64;
    let low = *sorted.get(place.floor() as usize)?;
    let high = *sorted.get(place.ceil() as usize)?;
    if low == high {
        return Some(low);
    }
    Some(low + (high - low) * place.fract())
}

/// A t statistic, its degrees of freedom and its two-sided p-value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TTest {
    /// The t statistic of reference minus window; infinite if neither sample varies.
    pub statistic: f64,
    /// Degrees of freedom.
    pub df: f64,
    /// Two-sided p-value.
    pub p_value: f64,
}

/// Student's t of two samples with equal variance; `None` if undefined (no spread and no difference, or too few values).
#[must_use]
pub fn student_t(reference: &Moments, window: &Moments) -> Option<TTest> {
    let (n, m) = (reference.count as f64, window.count as f64);
    let df = n + m - 2.0;
    let variance = (reference.squares + window.squares) / df * (1.0 / n + 1.0 / m);
    t_test(reference.mean - window.mean, variance, df)
}

/// Welch's t of two samples with unequal variance; `None` as for [`student_t`].
#[must_use]
pub fn welch_t(reference: &Moments, window: &Moments) -> Option<TTest> {
    let a = reference.variance_sample()? / reference.count as f64;
    let b = window.variance_sample()? / window.count as f64;
    let parts = a * a / (reference.count - 1) as f64 + b * b / (window.count - 1) as f64;
    let df = if parts == 0.0 { 1.0 } else { (a + b).powi(2) / parts };
    t_test(reference.mean - window.mean, a + b, df)
}

fn t_test(difference: f64, variance: f64, df: f64) -> Option<TTest> {
    let statistic = difference / variance.sqrt();
    Some(TTest { statistic, df, p_value: student_two_sided(statistic, df)? })
}

/// The exact Wasserstein-1 distance of two samples of finite values, in their units; `None` if one is empty.
///
/// ```
/// use anchorwatch_detectors::samples::wasserstein;
/// assert_eq!(wasserstein(&[1.0, 2.0, 3.0], &[2.0, 4.0]), Some(1.0));
/// ```
#[must_use]
pub fn wasserstein(reference: &[f64], window: &[f64]) -> Option<f64> {
    integrate(reference, window, f64::abs)
}

/// The energy distance `sqrt(2 ∫ (F - G)²)` of two samples of finite values (Székely 2003); `None` if one is empty.
#[must_use]
pub fn energy_distance(reference: &[f64], window: &[f64]) -> Option<f64> {
    integrate(reference, window, |difference| difference * difference).map(|integral| (2.0 * integral).sqrt())
}

/// `∫ weight(F - G)` over the line.
fn integrate(reference: &[f64], window: &[f64], weight: impl Fn(f64) -> f64) -> Option<f64> {
    let pooled = Pooled::new(reference, window);
    let (n, m) = (crate::counts::total(&pooled.reference), crate::counts::total(&pooled.window));
    if n == 0 || m == 0 || !pooled.values.iter().all(|value| value.is_finite()) {
        return None;
    }
    let mut difference = 0i128;
    let mut integral = 0.0;
    let widths =
        pooled.values.windows(2).map(|pair| pair.iter().rev().copied().reduce(|high, low| high - low));
    for ((&r, &w), width) in pooled.reference.iter().zip(&pooled.window).zip(widths) {
        difference += i128::from(r) * i128::from(m) - i128::from(w) * i128::from(n);
        integral += width.unwrap_or(0.0) * weight(difference as f64 / (n as f64 * m as f64));
    }
    Some(integral)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use proptest::prelude::*;

    use super::*;

    fn sample() -> impl Strategy<Value = Vec<f64>> {
        let value = prop_oneof![
            5 => -9.0f64..9.0,
            2 => (-3i32..3).prop_map(f64::from),
            1 => Just(f64::NAN),
            1 => Just(-0.0),
            1 => any::<f64>(),
        ];
        proptest::collection::vec(value, 0..300)
    }

    #[test]
    fn samples_without_a_finite_mean_have_no_moments() {
        assert_eq!(Moments::new(&[]), None);
        assert_eq!(Moments::new(&[f64::NAN]), None);
        assert_eq!(Moments::new(&[1.0, f64::INFINITY]), None);
        assert_eq!(wasserstein(&[1.0], &[f64::INFINITY]), None);
        assert_eq!(quantile_linear(&[], 0.5), None);
    }

    #[test]
    fn a_single_value_has_no_sample_variance() {
        let one = Moments::new(&[3.0]).unwrap();
        assert_eq!((one.variance_population(), one.variance_sample()), (0.0, None));
        assert_eq!(welch_t(&one, &one), None);
    }

    proptest! {
        #[test]
        fn no_sample_makes_a_statistic_panic(a in sample(), b in sample()) {
            let pooled = Pooled::new(&a, &b);
            prop_assert!(pooled.values.is_sorted_by(|x, y| x < y));
            let finite = a.iter().filter(|x| !x.is_nan()).count() as u64;
            prop_assert_eq!(crate::counts::total(&pooled.reference), finite);
            black_box((
                wasserstein(&a, &b),
                energy_distance(&a, &b),
                epps_singleton::epps_singleton(&a, &b, [0.4, 0.8]),
            ));
            if let (Some(a), Some(b)) = (Moments::new(&a), Moments::new(&b)) {
                prop_assert!(a.squares >= 0.0 || a.squares.is_nan());
                black_box((student_t(&a, &b), welch_t(&a, &b)));
            }
        }

        #[test]
        fn moving_a_sample_moves_it_that_far(a in proptest::collection::vec(-9.0f64..9.0, 1..200), by in -5.0f64..5.0) {
            let moved: Vec<f64> = a.iter().map(|x| x + by).collect();
            prop_assert!((wasserstein(&a, &moved).unwrap() - by.abs()).abs() < 1e-9);
        }
    }
}
