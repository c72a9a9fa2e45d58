//! Latencies: 512 log-linear buckets that add up across panes, and what is read out of them.
//!
//! Here live the bucket of a latency, the quantiles (read through an [`hdrhistogram::Histogram`], so that ranks and
//! rounding are those of that crate), the share above an objective, the burn rate of an error budget, and the bounds and the
//! quantile of a Prometheus histogram. Not here: time windows and thresholds on burn rates. Buckets are ordered cells, so two
//! latency profiles compare by [`crate::two_sample::ks`] and its fellows, exactly as far as buckets tell latencies apart.
//!
//! A bucket is a sixteenth of an octave: bucket `16·e + s` holds latencies of `2^e·(1 + s/16)` up to
//! `2^e·(1 + (s+1)/16)` microseconds. Thirty-two octaves reach from 1 µs to 4,295 s. A quantile is at most 1/32 + 0.1 %
//! away from the true order statistic from 16 µs upwards; below that the histogram's unit of 1 µs is the limit.

use std::sync::LazyLock;

use hdrhistogram::Histogram;

use crate::counts::total;

/// How many latency buckets there are.
pub const BUCKETS: usize = 512;

/// Buckets per octave.
const SUB_BUCKETS: u64 = 16;
/// `f64` bits to drop so that the exponent and the four leading bits of the mantissa remain.
const DROPPED_BITS: u32 = 48;
/// Exponent bias of `f64` in units of sub-buckets: the bucket index of 1 µs before shifting to zero.
const BIAS: u64 = 1023 * SUB_BUCKETS;
/// Largest value of the read-out histogram, in microseconds: the end of the last bucket.
const HIGHEST_US: u64 = 1 << 32;
/// Counts beyond this enter the read-out cut off, so that their sum stays within a `u64`.
const MOST_PER_BUCKET: u64 = u64::MAX / (2 * BUCKETS as u64);
/// Significant decimal figures of the read-out histogram.
const FIGURES: u8 = 3;

/// The bucket of a latency in milliseconds; `None` if it is NaN, infinite or negative.
///
/// Latencies below 1 µs fall into the first bucket and those beyond 4,295 s into the last.
///
/// ```
/// use anchorwatch_detectors::latency::{bucket, bucket_bounds};
/// let (low, high) = bucket(12.5).and_then(bucket_bounds).unwrap_or_default();
/// assert!(low <= 12.5 && 12.5 < high && high / low < 1.07);
/// assert_eq!(bucket(-1.0), None);
/// ```
#[must_use]
pub fn bucket(latency_ms: f64) -> Option<usize> {
    if !latency_ms.is_finite() || latency_ms < 0.0 {
        return None;
    }
    let us = (latency_ms * 1000.0).clamp(1.0, f64::from(u32::MAX));
    let index = (us.to_bits() >> DROPPED_BITS).saturating_sub(BIAS);
    Some(usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1)))
}

/// The latencies of bucket `index`, in milliseconds, from the first value (included) to the end (excluded).
///
/// The first bucket reaches down to 0 and the last has no end but is given its nominal one. `None` past the last.
#[must_use]
pub fn bucket_bounds(index: usize) -> Option<(f64, f64)> {
    if index >= BUCKETS {
        return None;
    }
    let low = if index == 0 { 0.0 } else { edge_us(index) };
    Some((low / 1000.0, edge_us(index + 1) / 1000.0))
}

/// The next edge between two buckets at or above a latency: how many buckets lie below it, and where it is, in seconds.
///
/// It is at most a sixteenth above the latency, from 1 µs upwards; below that it is the end of the first bucket. So many
/// buckets count what a Prometheus histogram counts up to this bound, but for a latency of exactly the edge, which is in the
/// bucket above. `None` if the latency is NaN, infinite, negative, or above the last edge (4,160 s): the last bucket has no end.
///
/// ```
/// use anchorwatch_detectors::latency::next_edge;
/// assert_eq!(next_edge(250.0), Some((287, 0.253_952)));
/// assert_eq!(next_edge(253.952), Some((287, 0.253_952)));
/// assert_eq!(next_edge(-1.0), None);
/// ```
#[must_use]
pub fn next_edge(latency_ms: f64) -> Option<(usize, f64)> {
    let index = bucket(latency_ms)?;
    let (low, _) = bucket_bounds(index)?;
    let below = if index > 0 && low == latency_ms { index } else { index + 1 };
    (below < BUCKETS).then(|| (below, edge_us(below) / 1_000_000.0))
}

fn edge_us(index: usize) -> f64 {
    f64::from_bits((BIAS + index as u64) << DROPPED_BITS)
}

/// The middle of a bucket, in microseconds.
fn middle_us(index: usize) -> f64 {
    f64::midpoint(edge_us(index), edge_us(index + 1))
}

/// What a person wants to know of a latency distribution; all values in milliseconds.
///
/// ```
/// use anchorwatch_detectors::latency::{bucket, LatencySummary, BUCKETS};
/// let mut counts = vec![0; BUCKETS];
/// for latency in [10.0, 12.0, 11.0, 250.0] {
///     if let Some(index) = bucket(latency) {
///         counts[index] += 1;
///     }
/// }
/// let summary = LatencySummary::from_counts(&counts).expect("four were counted");
/// assert!((summary.p50 / 11.0 - 1.0).abs() < 0.04 && summary.max > 250.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LatencySummary {
    /// How many latencies were counted.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Upper end of the highest bucket in use: no latency was above it, unless beyond the last bucket.
    pub max: f64,
    /// Mean of the bucket middles, within 1/32 of the true mean from 1 µs upwards.
    pub mean: f64,
}

/// The read-out histogram of bucket counts: each count at the middle of its bucket, in whole microseconds.
///
/// `None` if nothing was counted. Cells past the last bucket are ignored.
#[must_use]
pub fn histogram(counts: &[u64]) -> Option<Histogram<u64>> {
    let mut histogram = Histogram::new_with_bounds(1, HIGHEST_US, FIGURES).ok()?;
    for (index, &count) in counts.iter().take(BUCKETS).enumerate().filter(|(_, count)| **count > 0) {
        histogram.saturating_record_n(middle_us(index).round() as u64, count.min(MOST_PER_BUCKET));
    }
    (!histogram.is_empty()).then_some(histogram)
}

/// The latency in milliseconds that a share `q` of the counted latencies does not exceed: rank `ceil(q·n)`.
///
/// `None` if nothing was counted or `q` is not within 0 to 1.
#[must_use]
pub fn quantile(counts: &[u64], q: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    // What the histogram would answer, without filling its 24,000 counters for one number.
    let capped = |count: &u64| (*count).min(MOST_PER_BUCKET);
    let counts = counts.get(..BUCKETS).unwrap_or(counts);
    let n: u64 = counts.iter().map(capped).sum();
    let rank = ((q * n as f64).ceil() as u64).clamp(1, n.max(1));
    let mut passed = 0;
    let index = counts.iter().position(|count| {
        passed += capped(count);
        passed >= rank
    })?;
    let (lowest, highest) = READ_OUT.get(index)?;
    Some(if q == 0.0 { *lowest } else { *highest } as f64 / 1000.0)
}

/// The values that the read-out histogram cannot tell from a bucket's middle: the least and the largest, in microseconds.
static READ_OUT: LazyLock<Vec<(u64, u64)>> = LazyLock::new(|| {
    let Ok(histogram) = Histogram::<u8>::new_with_bounds(1, HIGHEST_US, FIGURES) else { return Vec::new() };
    let middles = (0..BUCKETS).map(|index| middle_us(index).round() as u64);
    middles.map(|us| (histogram.lowest_equivalent(us), histogram.highest_equivalent(us))).collect()
});

fn value_ms(histogram: &Histogram<u64>, q: f64) -> f64 {
    histogram.value_at_quantile(q) as f64 / 1000.0
}

impl LatencySummary {
    /// Reads the summary out of bucket counts; `None` if nothing was counted.
    #[must_use]
    pub fn from_counts(counts: &[u64]) -> Option<Self> {
        let histogram = histogram(counts)?;
        let highest = counts.iter().take(BUCKETS).rposition(|&count| count > 0)?;
        let (_, max) = bucket_bounds(highest)?;
        Some(Self {
            count: histogram.len(),
            p50: value_ms(&histogram, 0.5),
            p90: value_ms(&histogram, 0.9),
            p95: value_ms(&histogram, 0.95),
            p99: value_ms(&histogram, 0.99),
            p999: value_ms(&histogram, 0.999),
            max,
            mean: mean_ms(counts)?,
        })
    }
}

fn mean_ms(counts: &[u64]) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0.0);
    for (index, &count) in counts.iter().take(BUCKETS).enumerate() {
        sum += middle_us(index) * count as f64;
        n += count as f64;
    }
    (n > 0.0).then(|| sum / n / 1000.0)
}

/// The share of latencies above an objective in milliseconds, between 0 and 1.
///
/// Exact if the objective is the edge of a bucket (a latency equal to it counts as above). Otherwise the bucket that
/// holds it is split in proportion, and [`exceeding_bounds`] gives what is certain. `None` if nothing was counted or
/// the objective is negative or not finite.
#[must_use]
pub fn exceeding(counts: &[u64], objective_ms: f64) -> Option<f64> {
    let index = bucket(objective_ms)?;
    let (low, high) = bucket_bounds(index)?;
    let (certain, possible) = exceeding_bounds(counts, objective_ms)?;
    let above = ((high - objective_ms) / (high - low)).clamp(0.0, 1.0);
    Some(certain + (possible - certain) * above)
}

/// The least and the largest share that can lie above an objective, given the buckets; equal on a bucket's edge.
///
/// `None` as for [`exceeding`].
#[must_use]
pub fn exceeding_bounds(counts: &[u64], objective_ms: f64) -> Option<(f64, f64)> {
    let index = bucket(objective_ms)?;
    let (low, _) = bucket_bounds(index)?;
    let counts = counts.get(..BUCKETS).unwrap_or(counts);
    let (below, from) = counts.split_at(index.min(counts.len()));
    let from_index = total(from);
    let beyond = from_index - from.first().copied().unwrap_or(0).min(from_index);
    let n = total(below).saturating_add(from_index) as f64;
    let certain = if low == objective_ms { from_index } else { beyond };
    (n > 0.0).then(|| (certain as f64 / n, from_index as f64 / n))
}

/// How fast an error budget burns: the bad share over the share `1 - slo` that is allowed; 1 uses it up exactly.
///
/// `None` if nothing was counted, `bad` exceeds `total`, or `slo` is not within 0 (included) to 1 (excluded).
#[must_use]
pub fn burn_rate(bad: u64, total: u64, slo: f64) -> Option<f64> {
    let defined = total > 0 && bad <= total && (0.0..1.0).contains(&slo);
    defined.then(|| bad as f64 / total as f64 / (1.0 - slo))
}

/// The quantile of a classic Prometheus histogram, as `histogram_quantile` of its query language gives it.
///
/// `upper_bounds` increase and end with `+Inf`; `cumulative` counts observations at or below each. Linear inside a
/// bucket, whose lower end is 0 for the first one; the last finite bound if the quantile falls into `+Inf`. `None` if the
/// lists differ in length, do not increase, have fewer than two buckets or no observation, or `q` is not within 0 to 1.
#[must_use]
pub fn prometheus_quantile(upper_bounds: &[f64], cumulative: &[u64], q: f64) -> Option<f64> {
    let (&last, &total) = (upper_bounds.last()?, cumulative.last()?);
    let ordered = upper_bounds.is_sorted() && cumulative.is_sorted() && last == f64::INFINITY;
    if upper_bounds.len() != cumulative.len() || !ordered || total == 0 || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let rank = q * total as f64;
    let bucket = cumulative.iter().position(|&count| count as f64 >= rank)?;
    let at = |index: usize| Some((*upper_bounds.get(index)?, *cumulative.get(index)? as f64));
    let (end, count) = at(bucket)?;
    let before = bucket.checked_sub(1).and_then(at);
    if end == f64::INFINITY {
        return before.map(|(bound, _)| bound);
    }
    if before.is_none() && end <= 0.0 {
        return Some(end);
    }
    let (start, below) = before.unwrap_or((0.0, 0.0));
    let inside = count - below;
    Some(if inside > 0.0 { start + (end - start) * ((rank - below) / inside) } else { start })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_latency_has_no_bucket() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.001] {
            assert_eq!(bucket(value), None);
        }
        assert_eq!((bucket(0.0), bucket(-0.0), bucket(1e-9)), (Some(0), Some(0), Some(0)));
        assert_eq!((bucket(1e300), bucket(3_600_000.0)), (Some(BUCKETS - 1), Some(506)));
        assert_eq!(bucket_bounds(BUCKETS), None);
    }

    #[test]
    fn buckets_join_without_a_gap() {
        for index in 1..BUCKETS {
            assert_eq!(bucket_bounds(index - 1).unwrap().1, bucket_bounds(index).unwrap().0);
        }
    }

    #[test]
    fn an_edge_is_its_own_next_edge_and_the_last_bucket_has_none() {
        for index in 0..BUCKETS - 1 {
            let (low, high) = bucket_bounds(index).unwrap();
            let inside = next_edge(f64::midpoint(low, high)).unwrap();
            assert_eq!((next_edge(high), inside.0), (Some(inside), index + 1));
            assert!((inside.1 * 1_000.0 / high - 1.0).abs() < 1e-12);
        }
        let last = bucket_bounds(BUCKETS - 1).unwrap().0;
        assert_eq!(next_edge(last).map(|(below, _)| below), Some(BUCKETS - 1));
        for beyond in [last * 1.001, 1e300, f64::INFINITY, f64::NAN, -1.0] {
            assert_eq!(next_edge(beyond), None, "{beyond}");
        }
        assert_eq!(next_edge(0.0), Some((1, 1.0625e-6)), "latencies below 1 µs are in the first bucket");
    }

    #[test]
    fn nothing_is_read_out_of_nothing() {
        assert_eq!(LatencySummary::from_counts(&[0; BUCKETS]), None);
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[1], f64::NAN), None);
        assert_eq!(exceeding(&[0; BUCKETS], 10.0), None);
        assert_eq!(exceeding(&[1; BUCKETS], f64::NAN), None);
        assert_eq!(burn_rate(0, 0, 0.99), None);
        assert_eq!(burn_rate(1, 10, 1.0), None);
        assert!(LatencySummary::from_counts(&[u64::MAX; BUCKETS + 9]).is_some());
    }

    #[test]
    fn the_share_above_an_edge_is_exact() {
        let mut counts = vec![0; BUCKETS];
        for latency in [1.0, 1.02, 1.024, 1.1, 5.0] {
            counts[bucket(latency).unwrap()] += 1;
        }
        assert_eq!(exceeding(&counts, 1.024), Some(0.6));
        assert_eq!(exceeding_bounds(&counts, 1.024), Some((0.6, 0.6)));
        assert_eq!(exceeding_bounds(&counts, 1.05), Some((0.4, 0.6)));
        assert_eq!(exceeding(&counts, 100.0), Some(0.0));
    }

    #[test]
    fn two_latency_profiles_compare_as_ordered_cells() {
        let (mut reference, mut window) = (vec![0; BUCKETS], vec![0; BUCKETS]);
        for latency in 1..=100 {
            reference[bucket(f64::from(latency)).unwrap()] += 1;
            window[bucket(f64::from(latency) * 4.0).unwrap()] += 1;
        }
        let distance = crate::two_sample::ks(&reference, &window).unwrap();
        assert!((distance.d_plus - 0.75).abs() < 0.03 && distance.d_minus == 0.0);
    }

    proptest! {
        #[test]
        fn a_quantile_is_what_the_histogram_says(
            counts in prop::collection::vec(prop_oneof![3 => Just(0), 2 => 0_u64..50, 1 => 0..=1_u64 << 36], 0..BUCKETS + 3),
            q in prop_oneof![Just(0.0), Just(1.0), Just(0.5), Just(0.99), 0.0..=1.0_f64],
        ) {
            prop_assert_eq!(quantile(&counts, q), histogram(&counts).map(|histogram| value_ms(&histogram, q)));
        }

        #[test]
        fn a_latency_lies_within_its_bucket(exponent in -3.0f64..6.6) {
            let latency = 10f64.powf(exponent);
            let (low, high) = bucket_bounds(bucket(latency).unwrap()).unwrap();
            let slack = 1e-12 * latency;
            prop_assert!(low <= latency + slack && latency < high + slack);
            prop_assert!(low == 0.0 || high / low <= 1.0 + 1.0 / 16.0 + 1e-12);
        }

        #[test]
        fn a_latency_moves_up_by_a_sixteenth_at_most(exponent in -3.0f64..6.6) {
            let latency = 10f64.powf(exponent);
            let (below, seconds) = next_edge(latency).unwrap();
            let ratio = seconds * 1_000.0 / latency;
            prop_assert!((1.0 - 1e-12..=1.0 + 1.0 / 16.0 + 1e-12).contains(&ratio), "{ratio}");
            prop_assert!(bucket(latency * (1.0 - 1e-9)).unwrap() < below);
        }

        #[test]
        fn quantiles_stay_near_the_order_statistics(
            latencies in proptest::collection::vec(0.02f64..20_000.0, 1..200), q in 0.0f64..1.0,
        ) {
            let mut counts = vec![0; BUCKETS];
            for &latency in &latencies {
                counts[bucket(latency).unwrap()] += 1;
            }
            let mut sorted = latencies.clone();
            sorted.sort_by(f64::total_cmp);
            let truth = sorted[((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1];
            let read = quantile(&counts, q).unwrap();
            prop_assert!((read / truth - 1.0).abs() <= 0.04 + 0.0015 / truth, "{read} {truth}");
            let summary = LatencySummary::from_counts(&counts).unwrap();
            let ladder = [summary.p50, summary.p90, summary.p95, summary.p99, summary.p999, summary.max];
            prop_assert!(ladder.is_sorted());
            let mean = latencies.iter().sum::<f64>() / latencies.len() as f64;
            prop_assert!((summary.mean / mean - 1.0).abs() <= 1.0 / 32.0 + 1e-9);
        }
    }
}
