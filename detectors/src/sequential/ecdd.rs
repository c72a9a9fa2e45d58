//! ECDD: a moving average of errors against the error rate since the last restart, at a chosen run length.
//!
//! Ross, Adams, Tasoulis and Hand 2012, as frouros computes it: the control limit is a polynomial in the error rate that
//! the paper fitted for average run lengths of 100, 400 and 1,000 values without change at `lambda` 0.2. Values are
//! errors, within 0 (right) to 1 (wrong); others are cut off there. Rises only.

use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Spec};
use super::running_mean::RunningMean;
use super::{Sequential, Signal};

const LAMBDA: Parameter = Parameter::real("lambda", 0.2, 0.0, 1.0, "weight of the latest value");
const RUN_LENGTH: Parameter = Parameter::whole(
    "average_run_length",
    400.0,
    100.0,
    1000.0,
    "values from one false alarm to the next; 100, 400 or 1000",
);
const WARNING: Parameter =
    Parameter::real("warning_level", 0.5, 1e-300, 1.0, "share of the limit that is a warning");
const MIN_INSTANCES: Parameter =
    Parameter::whole("min_num_instances", 30.0, 1.0, 1e15, "values before the first judgement");

/// Coefficients of 1, p, p³, p⁵ and p⁷.
const LIMITS: [(u64, [f64; 5]); 3] = [
    (100, [2.76, -6.23, 18.12, -312.45, 1002.18]),
    (400, [3.97, -6.56, 48.73, -330.13, 848.18]),
    (1000, [1.17, 7.56, -21.24, 112.12, -987.23]),
];

/// How to build it by name.
pub(super) const FROUROS: Spec = Spec {
    name: "ecdd_wt_frouros",
    about: "moving average of errors against their rate (Ross et al. 2012), as frouros",
    parameters: &[LAMBDA, RUN_LENGTH, WARNING, MIN_INSTANCES],
    build: |values| {
        let asked = values.count(&RUN_LENGTH);
        let found = LIMITS.iter().find(|(run_length, _)| *run_length == asked);
        values.demand(found.is_some(), "average_run_length must be 100, 400 or 1000")?;
        Ok(Ecdd {
            lambda: values.get(&LAMBDA),
            limit: found.map_or([0.0; 5], |(_, coefficients)| *coefficients),
            warning: values.get(&WARNING),
            first: values.count(&MIN_INSTANCES),
            rate: RunningMean::default(),
            average: 0.0,
            signal: Signal::Stable,
        }
        .into())
    },
};

/// The detector with its state, three numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ecdd {
    lambda: f64,
    limit: [f64; 5],
    warning: f64,
    first: u64,
    rate: RunningMean,
    average: f64,
    signal: Signal,
}

impl Ecdd {
    /// The limit for the average, at a share of the full distance from the rate.
    fn level(&self, share: f64) -> f64 {
        let p = self.rate.mean;
        let [constant, first, third, fifth, seventh] = self.limit;
        let limit = constant + first * p + third * p.powi(3) + fifth * p.powi(5) + seventh * p.powi(7);
        let steps = i32::try_from(self.rate.n.saturating_mul(2)).unwrap_or(i32::MAX);
        let settled = 1.0 - (1.0 - self.lambda).powi(steps);
        let variance = self.lambda / (2.0 - self.lambda) * settled * (p * (1.0 - p)).max(0.0);
        p + share * limit * variance.sqrt()
    }
}

impl Sequential for Ecdd {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            (self.rate, self.average) = (RunningMean::default(), 0.0);
        }
        let error = value.clamp(0.0, 1.0);
        self.rate.add_divided(error);
        self.average = self.lambda * error + (1.0 - self.lambda) * self.average;
        self.signal = match () {
            () if self.rate.n < self.first => Signal::Stable,
            () if self.average > self.level(1.0) => Signal::Drift,
            () if self.average > self.level(self.warning) => Signal::Warning,
            () => Signal::Stable,
        };
        self.signal
    }

    fn statistic(&self) -> f64 {
        self.average
    }

    fn threshold(&self) -> f64 {
        self.level(1.0)
    }
}
