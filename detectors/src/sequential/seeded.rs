//! Numbers that look random but are a function of what is asked, so that a replay asks and gets the same.
//!
//! The mixing function is that of `SplitMix64` (Steele, Lea and Flood 2014).

use std::collections::BTreeSet;

/// Odd constant of the golden ratio, which spreads consecutive indices.
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 64 bits for the `index`-th question of a `stream`.
pub(super) fn bits(stream: u64, index: u64) -> u64 {
    // The stream is mixed first, so that streams with neighbouring names share no stretch.
    mix(mix(stream.wrapping_add(STRIDE)).wrapping_add(index.wrapping_add(1).wrapping_mul(STRIDE)))
}

/// A number within 0 to 1 (excluded) for the `index`-th value of a `stream`, always the same for both.
///
/// ```
/// use anchorwatch_detectors::sequential::uniform;
/// assert_eq!(uniform(7, 1), uniform(7, 1));
/// assert!(uniform(7, 1) != uniform(7, 2) && (0.0..1.0).contains(&uniform(8, 1)));
/// ```
#[must_use]
pub fn uniform(stream: u64, index: u64) -> f64 {
    (bits(stream, index) >> 11) as f64 * 2f64.powi(-53)
}

/// `k` different numbers below `n`, increasing, every choice equally likely (Floyd's method, Bentley 1987); all of them if `k` is not below `n`.
pub(super) fn draw(stream: u64, index: u64, n: usize, k: usize) -> Vec<usize> {
    if k >= n {
        return (0..n).collect();
    }
    let mut drawn = BTreeSet::new();
    for (turn, last) in (n - k..n).enumerate() {
        let candidate = (uniform(mix(stream) ^ index, turn as u64) * (last + 1) as f64) as usize;
        if !drawn.insert(candidate) {
            drawn.insert(last);
        }
    }
    drawn.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_even_and_without_repetition() {
        let mut hits = [0u32; 10];
        for index in 0..20_000 {
            let drawn = draw(3, index, 10, 4);
            drawn.iter().for_each(|&item| hits[item] += 1);
            assert!(drawn.len() == 4 && drawn.is_sorted());
        }
        // 8,000 expected, sd 69.
        assert!(hits.iter().all(|&count| (7_700..8_300).contains(&count)), "{hits:?}");
    }

    #[test]
    fn uniforms_fill_the_unit_interval_evenly() {
        let mean = (0..100_000).map(|index| uniform(1, index)).sum::<f64>() / 1e5;
        let lag = (0..100_000).map(|i| uniform(1, i) * uniform(1, i + 1)).sum::<f64>() / 1e5;
        let streams = (0..100_000).map(|i| uniform(i, 0) * uniform(i + 1, 0)).sum::<f64>() / 1e5;
        assert!((mean - 0.5).abs() < 0.004 && (lag - 0.25).abs() < 0.004 && (streams - 0.25).abs() < 0.004);
    }
}
