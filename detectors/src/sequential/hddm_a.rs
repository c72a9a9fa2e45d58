//! HDDM-A: the mean since the last restart against its lowest and highest, by Hoeffding's bound.
//!
//! Frías-Blanco et al. 2015, test of averages. The cut is where mean plus bound was lowest (for falls: mean minus bound
//! highest); the mean has risen if it lies above the mean at the cut by more than Hoeffding's inequality allows for the
//! two overlapping samples. No law of the values is assumed but that they are independent and within 0 to 1; others are
//! cut off there. River puts `ln(2/δ)` into the test, frouros `ln(1/δ)`, and frouros waits for a number of values.

use serde::{Deserialize, Serialize};

use super::excess::excess;
use super::parameters::{Parameter, Spec, Values};
use super::running_mean::RunningMean;
use super::{BuildError, Detector, Sequential, Signal};

const ALARMS: &str = "chance of a false alarm at one value, at most";
const WARNS: &str = "chance of a false warning at one value, at most";

const DRIFT: Parameter = Parameter::real("drift_confidence", 0.001, 1e-300, 1.0, ALARMS);
const WARNING: Parameter = Parameter::real("warning_confidence", 0.005, 1e-300, 1.0, WARNS);
const TWO_SIDED: Parameter = Parameter::switch("two_sided_test", "1 to see falls as well as rises");
const FROUROS_DRIFT: Parameter = Parameter::real("alpha_d", 0.001, 1e-300, 1.0, ALARMS);
const FROUROS_WARNING: Parameter = Parameter::real("alpha_w", 0.005, 1e-300, 1.0, WARNS);
const FROUROS_MIN: Parameter =
    Parameter::whole("min_num_instances", 30.0, 1.0, 1e15, "values before the first judgement");

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "hddm_a",
    about: "mean against its lowest by Hoeffding's bound (Frías-Blanco et al. 2015), as river",
    parameters: &[DRIFT, WARNING, TWO_SIDED],
    build: |values| build(values, [&DRIFT, &WARNING], 0, 2.0),
};

/// How to build frouros' convention by name; its two-sided test is not offered, as it alarms wherever the mean is highest.
pub(super) const FROUROS: Spec = Spec {
    name: "hddm_a_frouros",
    about: "HDDM-A as frouros: a tighter bound after a warm-up, rises only",
    parameters: &[FROUROS_DRIFT, FROUROS_WARNING, FROUROS_MIN],
    build: |values| build(values, [&FROUROS_DRIFT, &FROUROS_WARNING], values.count(&FROUROS_MIN), 1.0),
};

fn build(
    values: &Values,
    [drift, warning]: [&Parameter; 2],
    first: u64,
    numerator: f64,
) -> Result<Detector, BuildError> {
    let (drift, warning) = (values.get(drift), values.get(warning));
    values.demand(drift <= warning, "the chance of an alarm must not exceed that of a warning")?;
    let two_sided = values.on(&TWO_SIDED);
    Ok(HddmA { drift, warning, two_sided, first, numerator, means: Means::default(), signal: Signal::Stable }
        .into())
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Means {
    all: RunningMean,
    lowest: RunningMean,
    highest: RunningMean,
}

/// The detector with its state, three means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HddmA {
    drift: f64,
    warning: f64,
    two_sided: bool,
    /// The first number of values that is judged.
    first: u64,
    /// What is divided by the confidence in the test.
    numerator: f64,
    means: Means,
    signal: Signal,
}

impl HddmA {
    fn bound(&self, n: u64) -> f64 {
        (1.0 / (2.0 * n.max(1) as f64) * (1.0 / self.drift).ln()).sqrt()
    }

    /// How far the mean may be from that at the cut by chance; `None` if the cut is now.
    fn allowed(&self, cut: &RunningMean, confidence: f64) -> Option<f64> {
        let (k, n) = (cut.n, self.means.all.n);
        if k >= n || k == 0 {
            return None;
        }
        let scale = (n - k) as f64 / k as f64 * (1.0 / n as f64);
        Some((scale / 2.0 * (self.numerator / confidence).ln()).sqrt())
    }

    fn exceeds(&self, cut: &RunningMean, difference: f64, confidence: f64) -> bool {
        self.allowed(cut, confidence).is_some_and(|allowed| difference >= allowed)
    }

    fn rise(&self) -> f64 {
        self.means.all.mean - self.means.lowest.mean
    }

    fn fall(&self) -> f64 {
        self.means.highest.mean - self.means.all.mean
    }

    /// Whether a rise, and whether a fall, is beyond chance at a confidence.
    fn sides(&self, confidence: f64) -> [bool; 2] {
        let rises = self.exceeds(&self.means.lowest, self.rise(), confidence);
        [rises, self.two_sided && self.exceeds(&self.means.highest, self.fall(), confidence)]
    }

    /// Whether a side warns that does not alarm; as in river, the other side may alarm at the same time.
    #[must_use]
    pub fn warns(&self) -> bool {
        let alarms = self.sides(self.drift);
        self.means.all.n >= self.first && self.sides(self.warning).iter().zip(alarms).any(|(w, a)| *w && !a)
    }

    fn move_cuts(&mut self) {
        let all = self.means.all;
        let now = self.bound(all.n);
        let lowest = &self.means.lowest;
        if lowest.n == 0 || lowest.mean + self.bound(lowest.n) >= all.mean + now {
            self.means.lowest = all;
        }
        let highest = &self.means.highest;
        if highest.n == 0 || highest.mean - self.bound(highest.n) <= all.mean - now {
            self.means.highest = all;
        }
    }
}

impl Sequential for HddmA {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            self.means = Means::default();
        }
        self.means.all.add(value.clamp(0.0, 1.0));
        self.move_cuts();
        self.signal = match () {
            () if self.means.all.n < self.first => Signal::Stable,
            () if self.sides(self.drift).contains(&true) => Signal::Drift,
            () if self.warns() => Signal::Warning,
            () => Signal::Stable,
        };
        self.signal
    }

    /// The difference of means over what chance allows, of the worse side.
    fn statistic(&self) -> f64 {
        let over = |cut: &RunningMean, difference: f64| {
            self.allowed(cut, self.drift).map_or(0.0, |allowed| excess(difference, allowed))
        };
        let fall = if self.two_sided { over(&self.means.highest, self.fall()) } else { 0.0 };
        over(&self.means.lowest, self.rise()).max(fall)
    }

    fn threshold(&self) -> f64 {
        1.0
    }
}
