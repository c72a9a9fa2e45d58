//! Latencies of a version as a histogram with few bounds, as Prometheus takes them. Not here: the quantiles of a window.

use std::sync::Arc;

/// Latencies of the whole traffic of one version, in the panes that closed since the process began. They only grow.
///
/// ```
/// use anchorwatch::view::LatencyHistogram;
/// let bounds = [0.0256, 0.1024].into();
/// let latencies = LatencyHistogram { bounds, counts: vec![7, 2, 1], ..LatencyHistogram::default() };
/// assert_eq!(latencies.cumulative().collect::<Vec<_>>(), [(0.0256, 7), (0.1024, 9)]);
/// assert_eq!(latencies.count(), 10);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LatencyHistogram {
    /// Model name.
    pub model: Arc<str>,
    /// Model version.
    pub version: Arc<str>,
    /// Bounds in seconds, ascending.
    pub bounds: Arc<[f64]>,
    /// Latencies below each bound and not below the one before; behind them those that are below none.
    pub counts: Vec<u64>,
    /// Sum in seconds; each latency counts as the middle of its bucket in the pane.
    pub sum: f64,
}

impl LatencyHistogram {
    /// Latencies counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Each bound with the latencies below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let running = self.counts.iter().scan(0_u64, |sum, count| {
            *sum = sum.saturating_add(*count);
            Some(*sum)
        });
        self.bounds.iter().copied().zip(running)
    }
}
