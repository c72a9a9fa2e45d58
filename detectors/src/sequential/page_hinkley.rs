//! Page–Hinkley: the sum of deviations from the running mean, against its lowest and highest value so far.
//!
//! Page 1954, Hinkley 1971, with river's choices: sums fade by `alpha`, the highest value of the falling side starts at
//! -1, and after an alarm the detector starts from nothing. `delta` and `threshold` are in the unit of the values: the
//! detector is not scaled by their spread, so its defaults suit a rate within 0 to 1 and little else.

use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Spec};
use super::running_mean::RunningMean;
use super::{Sequential, Signal};

const MIN_INSTANCES: Parameter =
    Parameter::whole("min_instances", 30.0, 0.0, 1e15, "values before an alarm is possible");
const DELTA: Parameter =
    Parameter::real("delta", 0.005, 0.0, 1e100, "change that does not matter, in the unit of the values");
const THRESHOLD: Parameter =
    Parameter::real("threshold", 50.0, 0.0, 1e100, "sum that is an alarm, in the unit of the values");
const ALPHA: Parameter =
    Parameter::real("alpha", 0.9999, 0.0, 1.0, "share of the sum kept from value to value");
const DIRECTION: Parameter =
    Parameter::whole("direction", 0.0, -1.0, 1.0, "0 for both sides, 1 for rises only, -1 for falls only");

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "page_hinkley",
    about: "cumulative sum about the running mean (Page 1954, Hinkley 1971), as river",
    parameters: &[MIN_INSTANCES, DELTA, THRESHOLD, ALPHA, DIRECTION],
    build: |values| {
        let direction = values.get(&DIRECTION);
        Ok(PageHinkley {
            min_instances: values.count(&MIN_INSTANCES),
            delta: values.get(&DELTA),
            threshold: values.get(&THRESHOLD),
            alpha: values.get(&ALPHA),
            up: direction >= 0.0,
            down: direction <= 0.0,
            sums: Sums::default(),
            signal: Signal::Stable,
        }
        .into())
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sums {
    mean: RunningMean,
    sum_increase: f64,
    sum_decrease: f64,
    min_increase: f64,
    max_decrease: f64,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            mean: RunningMean::default(),
            sum_increase: 0.0,
            sum_decrease: 0.0,
            // The first sum is below this one; an infinity could not be stored as JSON.
            min_increase: f64::MAX,
            max_decrease: -1.0,
        }
    }
}

/// The detector with its state, six numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PageHinkley {
    min_instances: u64,
    delta: f64,
    threshold: f64,
    alpha: f64,
    up: bool,
    down: bool,
    sums: Sums,
    signal: Signal,
}

impl Sequential for PageHinkley {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            self.sums = Sums::default();
        }
        let sums = &mut self.sums;
        sums.mean.add(value);
        let deviation = value - sums.mean.mean;
        sums.sum_increase = self.alpha * sums.sum_increase + deviation - self.delta;
        sums.sum_decrease = self.alpha * sums.sum_decrease + deviation + self.delta;
        sums.min_increase = sums.min_increase.min(sums.sum_increase);
        sums.max_decrease = sums.max_decrease.max(sums.sum_decrease);
        let due = sums.mean.n >= self.min_instances;
        self.signal = if due && self.statistic() > self.threshold { Signal::Drift } else { Signal::Stable };
        self.signal
    }

    fn statistic(&self) -> f64 {
        let sums = &self.sums;
        if sums.mean.n == 0 {
            return 0.0;
        }
        let rise = if self.up { sums.sum_increase - sums.min_increase } else { 0.0 };
        let fall = if self.down { sums.max_decrease - sums.sum_decrease } else { 0.0 };
        rise.max(fall)
    }

    fn threshold(&self) -> f64 {
        self.threshold
    }
}
