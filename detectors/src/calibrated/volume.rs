//! Traffic against its own season: only a fall alarms, and only over several windows.

use serde::{Deserialize, Serialize};

use super::season::{SeasonDesign, weighted_regression};

/// Spans over which a fall is looked for, in windows.
const SPANS: [usize; 5] = [2, 3, 4, 6, 8];

/// The number of events of a window as the baseline predicts it, on the scale of square roots, where the variance of
/// counts does not depend on their mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeFit {
    coefficients: Vec<f64>,
    scale: f64,
    /// Standard score over which a fall alarms.
    pub threshold: f64,
}

impl VolumeFit {
    /// Fits the counts of the baseline's windows; `None` of fewer than five windows.
    #[must_use]
    pub fn new(counts: &[f64], rows: &[Vec<f64>], design: SeasonDesign) -> Option<Self> {
        if counts.len() < 5 {
            return None;
        }
        let roots: Vec<f64> = counts.iter().map(|n| root(*n)).collect();
        let none = vec![Vec::new(); roots.len()];
        let seasonal = !design.is_empty() && counts.len() > 4 * design.len();
        let rows = if seasonal { rows } else { &none };
        let coefficients = weighted_regression(rows, &roots, &vec![1.0; roots.len()]);
        let mut fit = Self { coefficients, scale: 1.0, threshold: 5.0 };
        let mut sizes: Vec<f64> =
            roots.iter().zip(rows).map(|(y, row)| (y - fit.predict(row)).abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let at = |q: f64| sizes[((sizes.len() - 1) as f64 * q).round() as usize];
        fit.scale = (1.4826 * at(0.5)).max(at(0.98) / 2.326).max(0.5);
        fit.threshold = (1.5 * at(1.0) / fit.scale).max(5.0);
        Some(fit)
    }

    /// How far a window of `count` events falls short, in standard deviations; negative above the prediction.
    #[must_use]
    pub fn shortfall(&self, count: f64, row: &[f64]) -> f64 {
        (self.predict(row) - root(count)) / self.scale
    }

    fn predict(&self, row: &[f64]) -> f64 {
        let season: f64 = self.coefficients[1..].iter().zip(row).map(|(a, b)| a * b).sum();
        self.coefficients[0] + season
    }
}

/// The largest fall over any span of windows that all fall short; `shortfalls` come newest first.
#[must_use]
pub fn worst_fall(shortfalls: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut worst) = (0.0, 0.0_f64);
    for (index, shortfall) in shortfalls.take(8).enumerate() {
        if shortfall <= 0.0 {
            break;
        }
        sum += shortfall;
        if SPANS.contains(&(index + 1)) {
            worst = worst.max(sum / ((index + 1) as f64).sqrt());
        }
    }
    worst
}

fn root(count: f64) -> f64 {
    (count + 0.375).sqrt()
}
