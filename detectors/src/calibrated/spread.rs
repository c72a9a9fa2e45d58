//! How windows of a baseline vary beyond counting, and how sure of it a baseline of its length lets one be.
//!
//! The mean of a window is a level, which wanders with a memory (autoregressive, of order one), plus the noise of
//! counting, which has none. `part` is the level's part of the variance.

use crate::distributions::{normal_isf, student_two_sided};

/// Largest memory that is taken at its word.
const MOST_MEMORY: f64 = 0.97;

/// Windows of the sums that show a memory, and the fewest sums of that length that must fit into a baseline.
const BLOCK: usize = 8;
const FEWEST_BLOCKS: usize = 5;

/// Fewest degrees of freedom that a variance is granted: with less, nothing could ever alarm.
const FEWEST_FREEDOM: f64 = 8.0;

/// Tail in which thresholds lie: that of one quantity among many, in one window of thousands.
const RARE: f64 = 1e-6;

/// Variance of a sum of `length` windows with this memory, over that of independent ones.
#[must_use]
pub fn inflation(memory: f64, length: usize) -> f64 {
    let (mut power, mut sum) = (1.0, 0.0);
    for lag in 1..length {
        power *= memory;
        sum += (1.0 - lag as f64 / length as f64) * power;
    }
    1.0 + 2.0 * sum
}

/// Memory of standardised windows that vary no more than counting does: lag one plus its standard error, and none
/// unless it shows plainly.
pub(super) fn memory_of_noise(standard: &[f64]) -> f64 {
    let error = 1.0 / (standard.len() as f64).sqrt();
    let found = lag_one(standard);
    if found < 2.0 * error { 0.0 } else { (found + error).min(MOST_MEMORY) }
}

/// Memory of the level of standardised windows that vary more than counting does. It is the one under which sums of
/// [`BLOCK`] windows vary as much as they do in the baseline, and one standard error more.
pub(super) fn memory_of_level(standard: &[f64], part: f64) -> f64 {
    let windows = standard.len();
    let length = if windows >= BLOCK * FEWEST_BLOCKS { BLOCK } else { BLOCK / 2 };
    if windows < length * FEWEST_BLOCKS || part <= 0.0 {
        return 0.0;
    }
    let (length_, windows_) = (length as f64, windows as f64);
    let mean = standard.iter().sum::<f64>() / windows_;
    let variance = standard.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (windows_ - 1.0);
    let sums = standard.windows(length).map(|block| block.iter().map(|z| z - mean).sum::<f64>().powi(2));
    let of_sums = sums.sum::<f64>() / (windows_ - length_ + 1.0) / (1.0 - length_ / windows_);
    let upper = of_sums / (length_ * variance).max(1e-12) * (1.0 + (4.0 / 3.0 * length_ / windows_).sqrt());
    let (mut low, mut high) = (0.0, MOST_MEMORY);
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if 1.0 + part * (inflation(middle, length) - 1.0) < upper { low = middle } else { high = middle }
    }
    high
}

/// Part of its variance that a series loses when its own mean is taken off.
pub(super) fn lost(memory: f64, part: f64, windows: usize) -> f64 {
    let whole = 1.0 + part * (inflation(memory, windows) - 1.0);
    (whole / windows.max(1) as f64).min(0.5)
}

/// Factor on a variance that was estimated with `freedom` degrees of freedom, less what memory takes of them, so that
/// a normal threshold is passed no more often than Student's t would let it.
pub(super) fn unsure(freedom: f64, memory: f64, part: f64) -> f64 {
    let square = memory * memory;
    let effective = (freedom / (1.0 + 2.0 * part * part * square / (1.0 - square))).max(FEWEST_FREEDOM);
    let normal = normal_isf(RARE).unwrap_or(4.75);
    let (mut low, mut high) = (normal, 100.0);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        let p = student_two_sided(middle, effective).unwrap_or(0.0);
        if p > 2.0 * RARE { low = middle } else { high = middle }
    }
    (high / normal).powi(2).max(1.0 + (2.0 / effective).sqrt())
}

/// Gain and standard deviation of the one-step prediction of standardised windows: a steady Kalman filter.
pub(super) fn prediction(memory: f64, part: f64) -> (f64, f64) {
    let square = memory * memory;
    let (noise, fresh) = (1.0 - part, part * (1.0 - square));
    let half = (noise * (1.0 - square) - fresh) / 2.0;
    let level = (half * half + fresh * noise).sqrt() - half;
    let whole = (level + noise).max(1e-6);
    (level / whole, whole.sqrt())
}

/// Factor on the standard score of a share that varies between windows: such shares are skewed, the more the rarer they
/// are. Its windows are taken for a gamma law whose relative spread is the one that the score was made with; the factor
/// turns the score into the signed root of that law's deviance.
pub(super) fn skew(change: f64, expected: f64) -> f64 {
    let room = if change > 0.0 { expected } else { 1.0 - expected };
    let relative = change.abs() / room.max(1e-9);
    if relative < 1e-3 { 1.0 } else { (2.0 * (relative - relative.ln_1p())).sqrt() / relative }
}

/// The normal score of what a standardised sum with this skewness is beyond `z`: its law is taken for a gamma law (Pearson's
/// type III), and the score is the signed root of that law's deviance, moved by what its mean lies off. To the side of the
/// short tail the score stays as it is: it says less than it might.
pub(super) fn normal_score(z: f64, skewness: f64) -> f64 {
    let skewness = if z < 0.0 { -skewness } else { skewness };
    // The root is taken of a difference that is lost in rounding where the law is as good as normal.
    if skewness * z.abs() < 1e-3 {
        return z;
    }
    let relative = z.abs() * skewness / 2.0;
    let root = (2.0 * (relative - relative.ln_1p())).sqrt() * 2.0 / skewness;
    z.signum() * (root + skewness / 6.0).min(z.abs())
}

fn lag_one(standard: &[f64]) -> f64 {
    let windows = standard.len() as f64;
    let mean = standard.iter().sum::<f64>() / windows;
    let variance = standard.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / windows;
    let covariance =
        standard.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / (windows - 1.0);
    covariance / variance.max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_counting_noise_the_prediction_is_the_last_window_times_its_memory() {
        let (gain, deviation) = prediction(0.8, 1.0);
        assert!((gain - 1.0).abs() < 1e-9 && (deviation - 0.6).abs() < 1e-9, "{gain} {deviation}");
        let (gain, deviation) = prediction(0.8, 0.0);
        assert!(gain.abs() < 1e-9 && (deviation - 1.0).abs() < 1e-9, "{gain} {deviation}");
    }

    #[test]
    fn a_short_baseline_is_trusted_less() {
        assert!(unsure(1e6, 0.0, 1.0) < 1.01);
        assert!(unsure(335.0, 0.0, 1.0) < 1.1);
        assert!((1.3..1.6).contains(&unsure(47.0, 0.0, 1.0)), "{}", unsure(47.0, 0.0, 1.0));
        assert!(unsure(47.0, 0.9, 1.0) > unsure(47.0, 0.5, 1.0));
    }

    #[test]
    fn a_slow_level_under_counting_noise_is_found_by_its_sums() {
        let slow: Vec<f64> =
            (0..400).map(|i| f64::from(i / 10 % 2) + f64::from(i * 7919 % 101) / 50.0).collect();
        let quick: Vec<f64> = (0..400).map(|i| f64::from(i % 2) + f64::from(i * 7919 % 101) / 50.0).collect();
        assert!(memory_of_level(&slow, 0.4) > 0.6, "{}", memory_of_level(&slow, 0.4));
        assert!(memory_of_level(&quick, 0.4) < 0.3, "{}", memory_of_level(&quick, 0.4));
    }

    #[test]
    fn the_skew_of_a_rare_share_tempers_a_rise() {
        assert!(skew(0.02, 0.01) < 0.7 && skew(0.02, 0.5) > 0.95 && skew(0.0, 0.1) == 1.0);
    }

    #[test]
    fn a_skewed_sum_is_told_by_its_tail() {
        // Of nine events each of which is one of seven in a hundred, four: 0.0021 by the binomial law, 2.86 deviations.
        let (n, p) = (9.0_f64, 0.07_f64);
        let z = (3.5 - n * p) / (n * p * (1.0 - p)).sqrt();
        let found = normal_score(z, (1.0 - 2.0 * p) / (n * p * (1.0 - p)).sqrt());
        assert!(z > 3.7 && (2.6..2.95).contains(&found), "{z} {found}");
        assert_eq!(normal_score(-3.0, 1.0), -3.0, "to the side of the short tail");
        assert_eq!(normal_score(3.0, -1.0), 3.0);
        assert_eq!(normal_score(4.0, 0.0), 4.0);
        assert!((normal_score(-4.0, -0.5) + normal_score(4.0, 0.5)).abs() < 1e-12, "either way alike");
        assert!((normal_score(4.0, 0.01) - 4.0).abs() < 0.03, "of many events it is nearly normal");
        assert_eq!(normal_score(0.1, 1.0), 0.1, "what is usual stays");
    }
}
