//! DDM: the error rate since the last restart against the best it has been.
//!
//! Gama, Medas, Castillo and Rodrigues 2004. With `p` the running error rate and `s = sqrt(p (1 - p) / n)`, the lowest
//! `p + s` is kept; `p + s` above `p_min + 2 s_min` is a warning, above `p_min + 3 s_min` an alarm. Values are errors,
//! within 0 (right) to 1 (wrong); others are cut off there. River begins after `warm_start` values and replaces the best
//! by an equal one; frouros begins with the last of the warm-up and keeps the earlier of two equals.

use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Spec, Values};
use super::running_mean::RunningMean;
use super::{BuildError, Detector, Sequential, Signal};

const WARM_UP: &str = "values before the first judgement";
const WARNS: &str = "warning level, in standard deviations";
const ALARMS: &str = "alarm level, in standard deviations";

const WARM_START: Parameter = Parameter::whole("warm_start", 30.0, 0.0, 1e15, WARM_UP);
const WARNING: Parameter = Parameter::real("warning_threshold", 2.0, 0.0, 1e6, WARNS);
const DRIFT: Parameter = Parameter::real("drift_threshold", 3.0, 0.0, 1e6, ALARMS);
const FROUROS_MIN: Parameter = Parameter::whole("min_num_instances", 30.0, 1.0, 1e15, WARM_UP);
const FROUROS_WARNING: Parameter = Parameter::real("warning_level", 2.0, 0.0, 1e6, WARNS);
const FROUROS_DRIFT: Parameter = Parameter::real("drift_level", 3.0, 0.0, 1e6, ALARMS);

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "ddm",
    about: "error rate against its best (Gama et al. 2004), as river",
    parameters: &[WARM_START, WARNING, DRIFT],
    build: |values| build(values, values.count(&WARM_START).saturating_add(1), [&WARNING, &DRIFT], true),
};

/// How to build frouros' convention by name.
pub(super) const FROUROS: Spec = Spec {
    name: "ddm_frouros",
    about: "DDM as frouros, which begins one value earlier",
    parameters: &[FROUROS_MIN, FROUROS_WARNING, FROUROS_DRIFT],
    build: |values| build(values, values.count(&FROUROS_MIN), [&FROUROS_WARNING, &FROUROS_DRIFT], false),
};

fn build(
    values: &Values,
    first: u64,
    [warning, drift]: [&Parameter; 2],
    as_river: bool,
) -> Result<Detector, BuildError> {
    let (warning, drift) = (values.get(warning), values.get(drift));
    values.demand(warning <= drift, "the warning level must not exceed the alarm level")?;
    Ok(Ddm {
        first,
        warning,
        drift,
        as_river,
        rate: RunningMean::default(),
        best: None,
        signal: Signal::Stable,
    }
    .into())
}

/// The lowest `p + s` so far, in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Best {
    p: f64,
    s: f64,
}

/// The detector with its state, four numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ddm {
    first: u64,
    warning: f64,
    drift: f64,
    as_river: bool,
    rate: RunningMean,
    best: Option<Best>,
    signal: Signal,
}

impl Ddm {
    fn deviation(&self) -> f64 {
        let p = self.rate.mean;
        // Rounding may carry the mean of ones past 1.
        (p * (1.0 - p) / self.rate.n.max(1) as f64).max(0.0).sqrt()
    }
}

impl Sequential for Ddm {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            (self.rate, self.best) = (RunningMean::default(), None);
        }
        let error = value.clamp(0.0, 1.0);
        if self.as_river {
            self.rate.add(error);
        } else {
            self.rate.add_divided(error);
        }
        self.signal = Signal::Stable;
        if self.rate.n < self.first {
            return self.signal;
        }
        let now = Best { p: self.rate.mean, s: self.deviation() };
        let level = now.p + now.s;
        let best = match self.best {
            Some(best) if level > best.p + best.s || (level == best.p + best.s && !self.as_river) => best,
            _ => now,
        };
        self.best = Some(best);
        if level > best.p + self.drift * best.s {
            self.signal = Signal::Drift;
        } else if level > best.p + self.warning * best.s {
            self.signal = Signal::Warning;
        }
        self.signal
    }

    fn statistic(&self) -> f64 {
        self.rate.mean + self.deviation()
    }

    /// The alarm level for the best rate so far; 2, above any rate, before there is one.
    fn threshold(&self) -> f64 {
        self.best.map_or(2.0, |best| best.p + self.drift * best.s)
    }
}
