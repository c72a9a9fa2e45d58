//! Two sums of deviations from the running mean, as frouros computes them.
//!
//! The one-sided cumulative sum of Page 1954 and the geometric moving average of Roberts 1959, both about the running
//! mean of the stream and neither scaled by its spread. They are offered for parity; for control of false alarms see
//! [`crate::sequential::cusum`] and [`crate::sequential::ewma`], which know the reference's mean and deviation.

use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Spec};
use super::running_mean::RunningMean;
use super::{Sequential, Signal};

const DELTA: Parameter =
    Parameter::real("delta", 0.005, 0.0, 1.0, "change that does not matter, in the unit of the values");
const LIMIT: &str = "sum that is an alarm, in the unit of the values";
const CUSUM_LAMBDA: Parameter = Parameter::real("lambda", 50.0, 0.0, 1e100, LIMIT);
const AVERAGE_LAMBDA: Parameter = Parameter::real("lambda", 1.0, 0.0, 1e100, LIMIT);
const ALPHA: Parameter =
    Parameter::real("alpha", 0.99, 0.0, 1.0, "share of the average kept from value to value");
const MIN_INSTANCES: Parameter =
    Parameter::whole("min_num_instances", 30.0, 0.0, 1e15, "values before an alarm is possible");

/// How to build the cumulative sum by name.
pub(super) const CUSUM_FROUROS: Spec = Spec {
    name: "cusum_frouros",
    about: "one-sided cumulative sum about the running mean (Page 1954), as frouros",
    parameters: &[DELTA, CUSUM_LAMBDA, MIN_INSTANCES],
    build: |values| {
        let kind = Kind::Sum { delta: values.get(&DELTA) };
        Ok(MeanDeviation::new(kind, values.get(&CUSUM_LAMBDA), values.count(&MIN_INSTANCES)).into())
    },
};

/// How to build the moving average by name.
pub(super) const AVERAGE_FROUROS: Spec = Spec {
    name: "geometric_moving_average_frouros",
    about: "geometric moving average of deviations from the running mean (Roberts 1959), as frouros",
    parameters: &[ALPHA, AVERAGE_LAMBDA, MIN_INSTANCES],
    build: |values| {
        let kind = Kind::Average { alpha: values.get(&ALPHA) };
        Ok(MeanDeviation::new(kind, values.get(&AVERAGE_LAMBDA), values.count(&MIN_INSTANCES)).into())
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Sum { delta: f64 },
    Average { alpha: f64 },
}

/// Either detector with its state, three numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeanDeviation {
    kind: Kind,
    lambda: f64,
    min_instances: u64,
    mean: RunningMean,
    sum: f64,
    signal: Signal,
}

impl MeanDeviation {
    fn new(kind: Kind, lambda: f64, min_instances: u64) -> Self {
        let mean = RunningMean::default();
        Self { kind, lambda, min_instances, mean, sum: 0.0, signal: Signal::Stable }
    }
}

impl Sequential for MeanDeviation {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            (self.mean, self.sum) = (RunningMean::default(), 0.0);
        }
        self.mean.add_divided(value);
        self.sum = match self.kind {
            Kind::Sum { delta } => (self.sum + value - self.mean.mean - delta).max(0.0),
            Kind::Average { alpha } => alpha * self.sum + (1.0 - alpha) * (value - self.mean.mean),
        };
        let due = self.mean.n >= self.min_instances;
        self.signal = if due && self.sum > self.lambda { Signal::Drift } else { Signal::Stable };
        self.signal
    }

    fn statistic(&self) -> f64 {
        self.sum
    }

    fn threshold(&self) -> f64 {
        self.lambda
    }
}
