//! EDDM: the distance between errors against the longest it has been.
//!
//! Baena-García et al. 2006. With `m` and `s` the mean and deviation of the number of values from one error to the next,
//! the largest `m + 2 s` is kept; a share of it below `alpha` is a warning, below `beta` an alarm. Values above 1/2 are
//! errors. River takes the sample deviation and leaves a warning up until an error lifts it; frouros takes the population
//! deviation and lifts it with the next value that is no error.

use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Spec};
use super::running_mean::RunningMean;
use super::{Sequential, Signal};

const WARM_UP: &str = "values and errors before the first judgement";
const ALPHA: Parameter =
    Parameter::real("alpha", 0.95, 0.0, 1.0, "share of the longest distance that is a warning");
const BETA: Parameter =
    Parameter::real("beta", 0.9, 0.0, 1.0, "share of the longest distance that is an alarm");
const WARM_START: Parameter = Parameter::whole("warm_start", 30.0, 0.0, 1e15, WARM_UP);
const MIN_ERRORS: Parameter = Parameter::whole("min_num_misclassified_instances", 30.0, 0.0, 1e15, WARM_UP);
const LEVEL: Parameter =
    Parameter::real("level", 2.0, 0.0, 1e6, "standard deviations added to the mean distance");
const ORDER: &str = "beta must not exceed alpha";

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "eddm",
    about: "distance between errors against its longest (Baena-García et al. 2006), as river",
    parameters: &[ALPHA, BETA, WARM_START],
    build: |values| {
        let (alpha, beta) = (values.get(&ALPHA), values.get(&BETA));
        values.demand(beta <= alpha, ORDER)?;
        let first = values.count(&WARM_START).saturating_add(1);
        Ok(Eddm::new(Settings { alpha, beta, level: 2.0, first, as_river: true }).into())
    },
};

/// How to build frouros' convention by name.
pub(super) const FROUROS: Spec = Spec {
    name: "eddm_frouros",
    about: "EDDM as frouros: population deviation, warnings lifted by any value",
    parameters: &[ALPHA, BETA, LEVEL, MIN_ERRORS],
    build: |values| {
        let (alpha, beta) = (values.get(&ALPHA), values.get(&BETA));
        values.demand(beta <= alpha, ORDER)?;
        let (level, first) = (values.get(&LEVEL), values.count(&MIN_ERRORS));
        Ok(Eddm::new(Settings { alpha, beta, level, first, as_river: false }).into())
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Settings {
    alpha: f64,
    beta: f64,
    level: f64,
    /// The first number of values and of errors that is judged.
    first: u64,
    as_river: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Distances {
    values: u64,
    last_error: u64,
    /// Mean distance, over as many distances as there were errors.
    mean: RunningMean,
    squares: f64,
    longest: f64,
    /// The present distance over the longest; 1 while it is the longest or unknown.
    share: f64,
    warning: bool,
}

/// The detector with its state, seven numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Eddm {
    settings: Settings,
    distances: Distances,
    signal: Signal,
}

impl Eddm {
    fn new(settings: Settings) -> Self {
        Self { settings, distances: Distances::fresh(), signal: Signal::Stable }
    }

    /// Whether a warning is up; as in river an alarm does not lift the warning before it, the restart does.
    #[must_use]
    pub fn warns(&self) -> bool {
        self.distances.warning && (self.settings.as_river || self.signal != Signal::Drift)
    }
}

impl Distances {
    fn fresh() -> Self {
        Self { share: 1.0, ..Self::default() }
    }

    /// Takes the distance that ends with an error just counted; gives mean plus deviations.
    fn add(&mut self, settings: &Settings) -> f64 {
        let distance = (self.values - self.last_error.min(self.values)) as f64;
        let before = self.mean.mean;
        if settings.as_river {
            self.mean.add(distance);
        } else {
            self.mean.add_divided(distance);
        }
        self.squares += (distance - before) * (distance - self.mean.mean);
        self.last_error = self.values;
        let n = if settings.as_river { self.mean.n.saturating_sub(1) } else { self.mean.n };
        let variance = if n > 0 { self.squares / n as f64 } else { 0.0 };
        self.mean.mean + settings.level * variance.max(0.0).sqrt()
    }
}

impl Sequential for Eddm {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            self.distances = Distances::fresh();
        }
        let (settings, distances) = (&self.settings, &mut self.distances);
        distances.values = distances.values.saturating_add(1);
        let mut drift = false;
        if value > 0.5 {
            let length = distances.add(settings);
            if distances.values >= settings.first {
                if length > distances.longest {
                    (distances.longest, distances.share) = (length, 1.0);
                    distances.warning &= settings.as_river;
                } else if distances.mean.n >= settings.first && distances.longest > 0.0 {
                    distances.share = length / distances.longest;
                    drift = distances.share < settings.beta;
                    if !drift {
                        distances.warning = distances.share < settings.alpha;
                    }
                }
            }
        } else {
            distances.warning &= settings.as_river;
        }
        self.signal = match (drift, distances.warning) {
            (true, _) => Signal::Drift,
            (false, true) => Signal::Warning,
            (false, false) => Signal::Stable,
        };
        self.signal
    }

    /// How far the distance between errors has fallen below its longest, as a share of it.
    fn statistic(&self) -> f64 {
        1.0 - self.distances.share
    }

    fn threshold(&self) -> f64 {
        1.0 - self.settings.beta
    }
}
