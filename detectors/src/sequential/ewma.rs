//! EWMA: the exponentially weighted average of standardised deviations from the reference's mean.
//!
//! Roberts 1959, two-sided. With `z = (x - mean) / sd` of the reference, `Z ← λz + (1 - λ)Z`; the alarm is `|Z|` above
//! `L sqrt(λ / (2 - λ))`, its deviation in the long run times `L`. `L` follows from the average run length asked for (see
//! [`run_length`](crate::sequential::run_length)) unless given.

use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Spec};
use super::run_length::ewma_width;
use super::{Sequential, Signal};

const MEAN: Parameter = Parameter::real("mean", 0.0, -1e100, 1e100, "mean of the reference");
const SD: Parameter = Parameter::real("sd", 1.0, 1e-100, 1e100, "standard deviation of the reference");
const LAMBDA: Parameter = Parameter::real("lambda", 0.1, 0.01, 1.0, "weight of the latest value");
const RUN_LENGTH: Parameter =
    Parameter::real("arl", 1e5, 10.0, 1e9, "mean number of values to a false alarm, which sets the limit");
const WIDTH: Parameter = Parameter::real(
    "width",
    0.0,
    0.0,
    100.0,
    "limit, in long-run deviations of the average; from arl if not given",
)
.optional();

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "ewma",
    about: "exponentially weighted moving average (Roberts 1959), limit by the chain of Brook and Evans",
    parameters: &[MEAN, SD, LAMBDA, RUN_LENGTH, WIDTH],
    build: |values| {
        let lambda = values.get(&LAMBDA);
        let width = values.given(&WIDTH).unwrap_or_else(|| ewma_width(lambda, values.get(&RUN_LENGTH)));
        Ok(Ewma {
            mean: values.get(&MEAN),
            sd: values.get(&SD),
            lambda,
            limit: width * (lambda / (2.0 - lambda)).sqrt(),
            average: 0.0,
            signal: Signal::Stable,
        }
        .into())
    },
};

/// The detector with its state, one number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ewma {
    mean: f64,
    sd: f64,
    lambda: f64,
    limit: f64,
    average: f64,
    signal: Signal,
}

impl Sequential for Ewma {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            self.average = 0.0;
        }
        let z = (value - self.mean) / self.sd;
        self.average = self.lambda * z + (1.0 - self.lambda) * self.average;
        self.signal = if self.statistic() > self.limit { Signal::Drift } else { Signal::Stable };
        self.signal
    }

    /// The absolute value of the average, in deviations.
    fn statistic(&self) -> f64 {
        self.average.abs()
    }

    fn threshold(&self) -> f64 {
        self.limit
    }
}
