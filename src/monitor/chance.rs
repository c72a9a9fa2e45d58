//! What a statistic shows without any change, by chance alone: the part of a threshold that depends on the sizes.
//!
//! Binned distances are biased: with `b` bins the PSI of two samples of one distribution is about
//! `(b - 1)(1/n + 1/m)` (Yurdakul 2018), so a small window over many categories looks far away. The expectation is added
//! to thresholds, so small windows and segments are not judged by what only large ones can keep to.

use crate::config::Detector;

/// Mean of the Kolmogorov distribution, `sqrt(pi/2) ln 2`.
const KOLMOGOROV_MEAN: f64 = 0.868_731;

/// Mean of Kuiper's distribution, `sqrt(pi/2)`.
const KUIPER_MEAN: f64 = 1.253_314;

/// Expectation of a detector's statistic between a reference of `n` values and a window of `m` of the same distribution,
/// compared on this many bins.
pub(super) fn expected_by_chance(detector: Detector, bins: usize, (n, m): (u64, u64)) -> f64 {
    if n == 0 || m == 0 {
        return 0.0;
    }
    let (n, m) = (n as f64, m as f64);
    let scale = 1.0 / n + 1.0 / m;
    let psi = bins.saturating_sub(1) as f64 * scale;
    match detector {
        Detector::Psi => psi,
        Detector::Ks => KOLMOGOROV_MEAN * scale.sqrt(),
        // Cramer's V squared is chi-square over n + m; the expectation of chi-square is its degrees of freedom.
        // G over n + m likewise.
        Detector::ChiSquare | Detector::GTest => (bins.saturating_sub(1) as f64 / (n + m)).sqrt(),
        // Both divergences are an eighth of the PSI for small changes; their distances are roots.
        Detector::JensenShannon => (psi / 8.0 / std::f64::consts::LN_2).sqrt(),
        Detector::Hellinger => (psi / 8.0).sqrt(),
        Detector::TotalVariation => (bins as f64 * scale / (2.0 * std::f64::consts::PI)).sqrt(),
        // Measured against the interquartile range, chance moves the mean by about a standard error.
        Detector::Wasserstein => scale.sqrt(),
        Detector::Kuiper => KUIPER_MEAN * scale.sqrt(),
        Detector::KullbackLeibler => psi / 2.0,
        // Expectations of both statistics under one distribution: 1/6 (Anderson 1962) and 1 (Anderson and Darling 1952).
        Detector::CramerVonMises => (scale / 6.0).sqrt(),
        Detector::AndersonDarling => scale.sqrt(),
        // The mean size of a standard normal, of the standard error in pooled deviations.
        Detector::Welch => (2.0 * scale / std::f64::consts::PI).sqrt(),
        // The same of a share of one half, which varies most.
        Detector::Proportions => (scale / (2.0 * std::f64::consts::PI)).sqrt(),
        // The variance of the chance is about a twelfth of the scale (Mann and Whitney 1947); doubled, and its mean size.
        Detector::MannWhitney => (2.0 * scale / (3.0 * std::f64::consts::PI)).sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use anchorwatch_detectors::binning::{Binning, CategoricalBinning};
    use proptest::test_runner::{Config, RngAlgorithm, TestRng};
    use rand::RngExt as _;

    use super::*;

    #[test]
    fn chance_is_near_the_mean_of_simulated_windows() {
        let names = (0..20).map(|i| format!("c{i}")).collect();
        let binning = Binning::Categorical(CategoricalBinning::new(names).expect("distinct"));
        let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let mut sample = |rows: usize| {
            let mut counts = vec![0_u64; 21];
            (0..rows).for_each(|_| counts[random.random_range(0..20)] += 1);
            counts
        };
        let _ = Config::default();
        let detectors = [
            Detector::Psi,
            Detector::ChiSquare,
            Detector::JensenShannon,
            Detector::Hellinger,
            Detector::TotalVariation,
            Detector::GTest,
            Detector::KullbackLeibler,
        ];
        let reference = sample(20_000);
        for detector in detectors {
            let windows: Vec<Vec<u64>> = (0..200).map(|_| sample(400)).collect();
            let statistic = |window: &Vec<u64>| {
                detector.batch().statistic(&binning, &reference, window).expect("not empty")
            };
            let mean = windows.iter().map(statistic).sum::<f64>() / 200.0;
            let expected = expected_by_chance(detector, 20, (20_000, 400));
            assert!((mean / expected - 1.0).abs() < 0.15, "{detector:?}: {mean} is not near {expected}");
        }
    }
}
