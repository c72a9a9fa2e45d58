//! How long the level of a quantity remembers: the longest memory that its baseline does not contradict.
//!
//! A baseline shorter than the swings of its traffic shows a level that hardly moves from window to window, but not how
//! far it goes. Both follow from one model, a level with a memory of order one under the noise of counting, by the
//! likelihood that is left when the unknown mean is taken out (Patterson & Thompson 1971, "restricted"). The estimate
//! itself is too short where a few swings are all that there is; so the upper limit of its likelihood interval is taken,
//! with the variance that belongs to it. Here is no threshold and no verdict.

/// Memories that are tried, in ascending order.
const MEMORIES: [f64; 14] = [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99];

/// Twice the log likelihood by which a memory may fall short of the best: a one-sided interval of 95 %.
const CONTRADICTED: f64 = 2.706;

/// Halvings of the interval in which the variance of the level is sought.
const STEPS: usize = 10;

/// Factors on the variance seen in the baseline between which that of its level lies.
const LEAST: f64 = 1e-3;
const MOST: f64 = 1e2;

/// A level that wanders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wander {
    /// Correlation of neighbouring windows.
    pub(super) memory: f64,
    /// Variance of the level.
    pub(super) variance: f64,
}

/// The longest memory that windows with these residuals do not contradict, with the most likely variance of such a
/// level. `noise` is the variance of counting of each window.
pub(super) fn longest(residuals: &[f64], noise: &[f64]) -> Wander {
    let windows = residuals.len().max(1) as f64;
    let seen = residuals.iter().map(|e| e * e).sum::<f64>() / windows;
    let tried = MEMORIES.map(|memory| most_likely(residuals, noise, memory, seen.max(1e-12)));
    let best = tried.iter().map(|(_, fit)| *fit).fold(f64::NEG_INFINITY, f64::max);
    let longest = tried.iter().rev().find(|(_, fit)| 2.0 * (best - fit) <= CONTRADICTED);
    longest.map_or(Wander { memory: 0.0, variance: seen }, |(wander, _)| *wander)
}

/// The most likely variance of a level with this memory, and its log likelihood: a golden section on the logarithm.
fn most_likely(residuals: &[f64], noise: &[f64], memory: f64, seen: f64) -> (Wander, f64) {
    let at = |logarithm: f64| likelihood(residuals, noise, Wander { memory, variance: logarithm.exp() });
    let section = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = ((LEAST * seen).ln(), (MOST * seen).ln());
    let (mut left, mut right) = (high - section * (high - low), low + section * (high - low));
    let (mut of_left, mut of_right) = (at(left), at(right));
    for _ in 0..STEPS {
        if of_left > of_right {
            (high, right, of_right) = (right, left, of_left);
            left = high - section * (high - low);
            of_left = at(left);
        } else {
            (low, left, of_left) = (left, right, of_right);
            right = low + section * (high - low);
            of_right = at(right);
        }
    }
    let (logarithm, fit) = if of_left > of_right { (left, of_left) } else { (right, of_right) };
    (Wander { memory, variance: logarithm.exp() }, fit)
}

/// Restricted log likelihood: a Kalman filter over the residuals, and over the constant that is taken out of them.
fn likelihood(residuals: &[f64], noise: &[f64], wander: Wander) -> f64 {
    let Wander { memory, variance } = wander;
    let (mut level, mut constant, mut unsure) = (0.0, 0.0, variance);
    let (mut logarithms, mut squares, mut crossed, mut constants) = (0.0, 0.0, 0.0, 0.0);
    for (residual, noise) in residuals.iter().zip(noise) {
        let whole = unsure + noise;
        let (surprise, fresh) = (residual - level, 1.0 - constant);
        logarithms += whole.ln();
        squares += surprise * surprise / whole;
        crossed += surprise * fresh / whole;
        constants += fresh * fresh / whole;
        let gain = unsure / whole;
        level = memory * (level + gain * surprise);
        constant = memory * (constant + gain * fresh);
        unsure = memory * memory * unsure * (1.0 - gain) + variance * (1.0 - memory * memory);
    }
    -0.5 * (logarithms + constants.ln() + squares - crossed * crossed / constants)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A level with this memory under noise, both of variance 1 and drawn from a fixed sequence.
    fn wandering(memory: f64, windows: usize) -> Vec<f64> {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        let mut level = normal();
        (0..windows)
            .map(|_| {
                level = memory * level + (1.0 - memory * memory).sqrt() * normal();
                level + normal()
            })
            .collect()
    }

    #[test]
    fn the_memory_of_a_long_baseline_is_found_and_hardly_exceeded() {
        let found = longest(&wandering(0.8, 2_000), &[1.0; 2_000]);
        assert!((0.75..=0.9).contains(&found.memory), "{found:?}");
        assert!((0.7..1.5).contains(&found.variance), "{found:?}");
    }

    #[test]
    fn a_short_baseline_leaves_room_for_a_longer_memory() {
        let short = longest(&wandering(0.8, 48), &[1.0; 48]);
        let long = longest(&wandering(0.8, 2_000), &[1.0; 2_000]);
        assert!(short.memory > long.memory, "{short:?} {long:?}");
    }

    #[test]
    fn windows_that_vary_alone_have_little_memory() {
        let found = longest(&wandering(0.0, 1_000), &[1.0; 1_000]);
        assert!(found.memory <= 0.2, "{found:?}");
    }
}
