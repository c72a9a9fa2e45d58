//! HDDM-W: a moving average of the latest values against one of those before the cut, by McDiarmid's bound.
//!
//! Frías-Blanco et al. 2015, test of weighted averages. One exponentially weighted average runs from the start; where it
//! plus its bound is lowest (for falls: minus its bound highest) is the cut, and a second average starts there. The mean
//! has risen if the second exceeds the first by more than McDiarmid's inequality allows. Values lie within 0 to 1;
//! others are cut off there. River starts averages at their first value; frouros at 0, places the cut at confidence
//! `lambda`, and waits for a number of values.

use serde::{Deserialize, Serialize};

use super::excess::excess;
use super::parameters::{Parameter, Spec, Values};
use super::{BuildError, Detector, Sequential, Signal};

const ALARMS: &str = "chance of a false alarm at one value, at most";
const WARNS: &str = "chance of a false warning at one value, at most";
const WEIGHT: &str = "weight of the latest value";

const DRIFT: Parameter = Parameter::real("drift_confidence", 0.001, 1e-300, 1.0, ALARMS);
const WARNING: Parameter = Parameter::real("warning_confidence", 0.005, 1e-300, 1.0, WARNS);
const LAMBDA: Parameter = Parameter::real("lambda_val", 0.05, 0.0, 1.0, WEIGHT);
const TWO_SIDED: Parameter = Parameter::switch("two_sided_test", "1 to see falls as well as rises");
const FROUROS_DRIFT: Parameter = Parameter::real("alpha_d", 0.001, 1e-300, 1.0, ALARMS);
const FROUROS_WARNING: Parameter = Parameter::real("alpha_w", 0.005, 1e-300, 1.0, WARNS);
const FROUROS_LAMBDA: Parameter = Parameter::real("lambda", 0.05, 1e-300, 1.0, WEIGHT);
const FROUROS_MIN: Parameter =
    Parameter::whole("min_num_instances", 30.0, 1.0, 1e15, "values before the first judgement");

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "hddm_w",
    about: "moving average against its lowest by McDiarmid's bound (Frías-Blanco et al. 2015), as river",
    parameters: &[DRIFT, WARNING, LAMBDA, TWO_SIDED],
    build: |values| build(values, [&DRIFT, &WARNING, &LAMBDA, &DRIFT], 0, true),
};

/// How to build frouros' convention by name; its two-sided test is not offered, as it alarms on every value.
pub(super) const FROUROS: Spec = Spec {
    name: "hddm_w_frouros",
    about: "HDDM-W as frouros: averages start at 0, another cut, rises only",
    parameters: &[FROUROS_DRIFT, FROUROS_WARNING, FROUROS_LAMBDA, FROUROS_MIN],
    build: |values| {
        let parameters = [&FROUROS_DRIFT, &FROUROS_WARNING, &FROUROS_LAMBDA, &FROUROS_LAMBDA];
        build(values, parameters, values.count(&FROUROS_MIN), false)
    },
};

fn build(
    values: &Values,
    [drift, warning, lambda, cut]: [&Parameter; 4],
    first: u64,
    as_river: bool,
) -> Result<Detector, BuildError> {
    let (drift, warning) = (values.get(drift), values.get(warning));
    values.demand(drift <= warning, "the chance of an alarm must not exceed that of a warning")?;
    let settings = Settings {
        drift,
        warning,
        lambda: values.get(lambda),
        cut: values.get(cut),
        two_sided: values.on(&TWO_SIDED),
        first,
        as_river,
    };
    Ok(HddmW { settings, averages: Averages::default(), signal: Signal::Stable }.into())
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Settings {
    drift: f64,
    warning: f64,
    lambda: f64,
    /// Confidence of the bound that places the cut.
    cut: f64,
    two_sided: bool,
    /// The first number of values that is judged.
    first: u64,
    as_river: bool,
}

/// A weighted mean and the sum of its squared weights, which is what McDiarmid's inequality needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Average {
    n: u64,
    mean: f64,
    weight: f64,
}

impl Default for Average {
    fn default() -> Self {
        Self { n: 0, mean: 0.0, weight: 1.0 }
    }
}

impl Average {
    fn add(&mut self, value: f64, settings: &Settings) {
        let lambda = settings.lambda;
        self.mean = if self.n == 0 && settings.as_river {
            value
        } else {
            lambda * value + (1.0 - lambda) * self.mean
        };
        self.weight = lambda * lambda + (1.0 - lambda) * (1.0 - lambda) * self.weight;
        self.n = self.n.saturating_add(1);
    }
}

/// One side: the average at its cut and the one since.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Cut {
    at: Option<f64>,
    before: Average,
    since: Average,
}

impl Cut {
    /// Moves the cut here if `level` is the lowest so far.
    fn take(&mut self, level: f64, all: &Average, value: f64, settings: &Settings) {
        if self.at.is_none_or(|lowest| level < lowest) {
            *self = Self { at: Some(level), before: *all, since: Average::default() };
        } else {
            self.since.add(value, settings);
        }
    }

    /// The difference of both averages over what chance allows at a confidence; 0 if there is nothing to compare.
    fn excess(&self, sign: f64, confidence: f64, settings: &Settings) -> f64 {
        if settings.as_river && (self.before.n == 0 || self.since.n == 0) {
            return 0.0;
        }
        let difference = sign * (self.since.mean - self.before.mean);
        excess(difference, bound(self.before.weight + self.since.weight, confidence))
    }
}

fn bound(weight: f64, confidence: f64) -> f64 {
    (weight * (1.0 / confidence).ln() / 2.0).sqrt()
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Averages {
    all: Average,
    rise: Cut,
    fall: Cut,
}

/// The detector with its state, five averages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HddmW {
    settings: Settings,
    averages: Averages,
    signal: Signal,
}

impl HddmW {
    /// How far a rise, and a fall, is beyond chance at a confidence.
    fn sides(&self, confidence: f64) -> [f64; 2] {
        let fall = if self.settings.two_sided {
            self.averages.fall.excess(-1.0, confidence, &self.settings)
        } else {
            0.0
        };
        [self.averages.rise.excess(1.0, confidence, &self.settings), fall]
    }

    /// Whether a side warns that does not alarm; as in river, the other side may alarm at the same time.
    #[must_use]
    pub fn warns(&self) -> bool {
        let alarms = self.sides(self.settings.drift);
        let warnings = self.sides(self.settings.warning);
        self.averages.all.n >= self.settings.first
            && warnings.iter().zip(alarms).any(|(warning, alarm)| *warning > 1.0 && alarm <= 1.0)
    }
}

impl Sequential for HddmW {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            self.averages = Averages::default();
        }
        let (settings, value) = (self.settings, value.clamp(0.0, 1.0));
        let Averages { all, rise, fall } = &mut self.averages;
        all.add(value, &settings);
        let bound = bound(all.weight, settings.cut);
        rise.take(all.mean + bound, all, value, &settings);
        fall.take(bound - all.mean, all, value, &settings);
        self.signal = match () {
            () if self.averages.all.n < settings.first => Signal::Stable,
            () if self.statistic() > 1.0 => Signal::Drift,
            () if self.warns() => Signal::Warning,
            () => Signal::Stable,
        };
        self.signal
    }

    /// The difference of the averages over what chance allows, of the worse side.
    fn statistic(&self) -> f64 {
        let [rise, fall] = self.sides(self.settings.drift);
        rise.max(fall)
    }

    fn threshold(&self) -> f64 {
        1.0
    }
}
