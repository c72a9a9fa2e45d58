//! Many tests at one look: adjusted p-values and rejections that keep a stated error rate.
//!
//! Here live Benjamini–Hochberg, Benjamini–Yekutieli, Holm, Bonferroni and the e-value form of Benjamini–Hochberg. Not
//! here: error control over time, which needs a sequence of looks.
//!
//! Adjusted p-values stand in the order of the input; reject those at or below the level. A NaN, or a p-value outside
//! 0 to 1, counts as 1: what is unknown is never a discovery, yet still counts among the tests.

/// How p-values of one look are adjusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// Benjamini and Hochberg (1995): false discovery rate, for independent or positively dependent tests.
    BenjaminiHochberg,
    /// Benjamini and Yekutieli (2001): false discovery rate under any dependence.
    BenjaminiYekutieli,
    /// Holm (1979): chance of any false rejection, under any dependence; never weaker than Bonferroni.
    Holm,
    /// Bonferroni: chance of any false rejection, under any dependence.
    Bonferroni,
}

/// The adjusted p-values, in the order given.
///
/// ```
/// use anchorwatch_detectors::multiple::{adjust, Correction};
/// assert_eq!(adjust(&[0.01, 0.5, 0.02], Correction::BenjaminiHochberg), [0.03, 0.5, 0.03]);
/// assert_eq!(adjust(&[0.01, 0.5, 0.02], Correction::Bonferroni), [0.03, 1.0, 0.06]);
/// ```
#[must_use]
pub fn adjust(p_values: &[f64], correction: Correction) -> Vec<f64> {
    let p_values: Vec<f64> =
        p_values.iter().map(|&p| if (0.0..=1.0).contains(&p) { p } else { 1.0 }).collect();
    let n = p_values.len() as f64;
    match correction {
        Correction::BenjaminiHochberg => step_up(&p_values, n),
        Correction::BenjaminiYekutieli => {
            let harmonic: f64 = (1..=p_values.len()).map(|i| 1.0 / i as f64).sum();
            step_up(&p_values, n * harmonic)
        }
        Correction::Holm => step_down(&p_values),
        Correction::Bonferroni => p_values.iter().map(|p| (p * n).min(1.0)).collect(),
    }
}

/// From the largest p-value down: the least of `p · factor / rank` so far.
fn step_up(p_values: &[f64], factor: f64) -> Vec<f64> {
    let mut adjusted = vec![1.0; p_values.len()];
    let mut least = 1.0f64;
    for (rank, &(index, p)) in by_size(p_values).iter().enumerate().rev() {
        least = least.min(p * factor / (rank + 1) as f64);
        if let Some(slot) = adjusted.get_mut(index) {
            *slot = least;
        }
    }
    adjusted
}

/// From the smallest p-value up: the largest of `p · (n - rank)` so far.
fn step_down(p_values: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest = 0.0f64;
    for (rank, &(index, p)) in by_size(p_values).iter().enumerate() {
        largest = largest.max(p * (p_values.len() - rank) as f64).min(1.0);
        if let Some(slot) = adjusted.get_mut(index) {
            *slot = largest;
        }
    }
    adjusted
}

fn by_size(values: &[f64]) -> Vec<(usize, f64)> {
    let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    order
}

/// The e-BH procedure (Wang and Ramdas 2022): which hypotheses to reject at false discovery rate `alpha`.
///
/// Rejects the `k` largest e-values for the largest `k` whose `k`-th largest is at least `n / (alpha k)`; valid under
/// any dependence. NaN and negative values count as 0. Indices increase; none if `alpha` is not positive.
#[must_use]
pub fn e_bh(e_values: &[f64], alpha: f64) -> Vec<usize> {
    let cleaned: Vec<f64> = e_values.iter().map(|&e| if e > 0.0 { e } else { 0.0 }).collect();
    let n = cleaned.len() as f64;
    if alpha.is_nan() || alpha <= 0.0 {
        return Vec::new();
    }
    let mut order = by_size(&cleaned);
    order.reverse();
    let enough = |&(rank, &(_, e)): &(usize, &(usize, f64))| e >= n / (alpha * (rank + 1) as f64);
    let last = order.iter().enumerate().filter(enough).map(|(rank, _)| rank + 1).max().unwrap_or(0);
    let mut rejected: Vec<usize> = order.into_iter().take(last).map(|(index, _)| index).collect();
    rejected.sort_unstable();
    rejected
}

/// The mean of e-values, itself an e-value under any dependence; `None` without any. NaN and negative count as 0.
#[must_use]
pub fn mean_e_value(e_values: &[f64]) -> Option<f64> {
    let sum: f64 = e_values.iter().filter(|e| **e > 0.0).sum();
    (!e_values.is_empty()).then(|| sum / e_values.len() as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_unknown_is_never_a_discovery() {
        assert_eq!(adjust(&[f64::NAN, 0.01, 7.0], Correction::Holm), [1.0, 0.03, 1.0]);
        assert!(adjust(&[], Correction::BenjaminiYekutieli).is_empty());
        assert!(e_bh(&[f64::NAN, -1.0], 0.1).is_empty() && e_bh(&[1e9], f64::NAN).is_empty());
        assert_eq!(mean_e_value(&[]), None);
    }

    proptest! {
        #[test]
        fn corrections_are_ordered_by_strictness(p in proptest::collection::vec(0.0f64..1.0, 1..40)) {
            let [bh, by, holm, bonferroni] = [
                Correction::BenjaminiHochberg,
                Correction::BenjaminiYekutieli,
                Correction::Holm,
                Correction::Bonferroni,
            ].map(|correction| adjust(&p, correction));
            for i in 0..p.len() {
                prop_assert!(p[i] <= bh[i] + 1e-12 && bh[i] <= by[i] + 1e-12 && by[i] <= 1.0);
                prop_assert!(bh[i] <= holm[i] + 1e-12 && holm[i] <= bonferroni[i] + 1e-12 && bonferroni[i] <= 1.0);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || (bh[i] <= bh[j] && by[i] <= by[j] && holm[i] <= holm[j]));
                }
            }
        }
    }
}
