//! CUSUM: the sum of standardised deviations from the reference's mean, less a slack, never below zero.
//!
//! Page 1954, two-sided. With `z = (x - mean) / sd` of the reference, the upper sum is `S ← max(0, S + z - k)` and the
//! lower one mirrored; the alarm is a sum above `h`. It finds a lasting shift of `2k` deviations soonest. `h` follows
//! from the average run length asked for (see [`run_length`](crate::sequential::run_length)) unless given.

use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Spec};
use super::run_length::cusum_limit;
use super::{Sequential, Signal};

const MEAN: Parameter = Parameter::real("mean", 0.0, -1e100, 1e100, "mean of the reference");
const SD: Parameter = Parameter::real("sd", 1.0, 1e-100, 1e100, "standard deviation of the reference");
const SLACK: Parameter =
    Parameter::real("k", 0.5, 0.01, 100.0, "slack per value, half the shift to find, in deviations");
const RUN_LENGTH: Parameter =
    Parameter::real("arl", 1e5, 10.0, 1e12, "mean number of values to a false alarm, which sets the limit");
const LIMIT: Parameter =
    Parameter::real("h", 0.0, 0.0, 1e12, "limit, in deviations; from arl if not given").optional();
const DIRECTION: Parameter =
    Parameter::whole("direction", 0.0, -1.0, 1.0, "0 for both sides, 1 for rises only, -1 for falls only");

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "cusum",
    about: "standardised cumulative sum (Page 1954), limit by Siegmund's run length",
    parameters: &[MEAN, SD, SLACK, RUN_LENGTH, LIMIT, DIRECTION],
    build: |values| {
        let direction = values.get(&DIRECTION);
        let k = values.get(&SLACK);
        let limit = values.given(&LIMIT);
        Ok(Cusum {
            mean: values.get(&MEAN),
            sd: values.get(&SD),
            k,
            limit: limit.unwrap_or_else(|| cusum_limit(k, values.get(&RUN_LENGTH), direction == 0.0)),
            up: direction >= 0.0,
            down: direction <= 0.0,
            upper: 0.0,
            lower: 0.0,
            signal: Signal::Stable,
        }
        .into())
    },
};

/// The detector with its state, two sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cusum {
    mean: f64,
    sd: f64,
    k: f64,
    limit: f64,
    up: bool,
    down: bool,
    upper: f64,
    lower: f64,
    signal: Signal,
}

impl Sequential for Cusum {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            (self.upper, self.lower) = (0.0, 0.0);
        }
        let z = (value - self.mean) / self.sd;
        if self.up {
            self.upper = (self.upper + z - self.k).max(0.0);
        }
        if self.down {
            self.lower = (self.lower - z - self.k).max(0.0);
        }
        self.signal = if self.statistic() > self.limit { Signal::Drift } else { Signal::Stable };
        self.signal
    }

    /// The larger of the two sums, in deviations.
    fn statistic(&self) -> f64 {
        self.upper.max(self.lower)
    }

    fn threshold(&self) -> f64 {
        self.limit
    }
}
