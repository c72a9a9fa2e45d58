//! The mean of all values so far.

use serde::{Deserialize, Serialize};

/// A count and a mean.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct RunningMean {
    pub(super) n: u64,
    pub(super) mean: f64,
}

impl RunningMean {
    /// Takes a value; the order of operations is that of river, so that alarms at the very limit agree.
    pub(super) fn add(&mut self, value: f64) {
        self.n = self.n.saturating_add(1);
        self.mean += 1.0 / self.n as f64 * (value - self.mean);
    }

    /// Takes a value in frouros' order of operations.
    pub(super) fn add_divided(&mut self, value: f64) {
        self.n = self.n.saturating_add(1);
        self.mean += (value - self.mean) / self.n as f64;
    }
}
