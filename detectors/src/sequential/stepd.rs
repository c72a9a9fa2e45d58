//! STEPD: the error rate of the latest values against that of all before them, by the test of two proportions.
//!
//! Nishida and Yamauchi 2007, as frouros computes it: continuity corrected, one-sided tail of the absolute value, so
//! that a difference smaller than the correction counts as its opposite. Values above 1/2 are ones; which of right and
//! wrong they mean does not matter. On a stream of equal values, whose spread is nil, frouros alarms as soon as it
//! judges; its convention does so too, the plain detector is silent.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Spec, Values};
use super::{BuildError, Detector, Sequential, Signal};
use crate::distributions::normal_sf;

const DRIFT: Parameter =
    Parameter::real("alpha_d", 0.003, 1e-300, 1.0, "p-value below which an alarm is raised");
const WARNING: Parameter =
    Parameter::real("alpha_w", 0.05, 1e-300, 1.0, "p-value below which a warning is raised");
const WINDOW: Parameter = Parameter::whole(
    "min_num_instances",
    30.0,
    1.0,
    1e5,
    "latest values compared; judgement begins at twice as many",
);

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "stepd",
    about: "error rate of the latest values against the rest (Nishida and Yamauchi 2007)",
    parameters: &[DRIFT, WARNING, WINDOW],
    build: |values| build(values, false),
};

/// How to build frouros' convention by name.
pub(super) const FROUROS: Spec = Spec {
    name: "stepd_frouros",
    about: "STEPD as frouros, which alarms on streams of equal values",
    parameters: &[DRIFT, WARNING, WINDOW],
    build: |values| build(values, true),
};

fn build(values: &Values, as_frouros: bool) -> Result<Detector, BuildError> {
    let (drift, warning) = (values.get(&DRIFT), values.get(&WARNING));
    values.demand(drift <= warning, "alpha_d must not exceed alpha_w")?;
    let size = values.count(&WINDOW) as usize;
    let window = VecDeque::new();
    Ok(Stepd { drift, warning, size, as_frouros, window, n: 0, ones: 0, signal: Signal::Stable }.into())
}

/// The detector with its state: the window, one byte per value, and two counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stepd {
    drift: f64,
    warning: f64,
    size: usize,
    as_frouros: bool,
    window: VecDeque<bool>,
    n: u64,
    ones: u64,
    signal: Signal,
}

impl Stepd {
    /// The absolute value of the test statistic; `None` before there is enough to judge or without spread.
    fn z(&self) -> Option<f64> {
        let latest = self.window.len() as u64;
        let before = self.n.checked_sub(latest).filter(|&before| before > 0)?;
        if latest < self.size as u64 || self.n < 2 * self.size as u64 {
            return None;
        }
        let latest_ones = self.window.iter().filter(|&&one| one).count() as u64;
        let rate = self.ones as f64 / self.n as f64;
        let inverse = 1.0 / before as f64 + 1.0 / latest as f64;
        let old = self.ones.saturating_sub(latest_ones) as f64 / before as f64;
        let difference = (old - latest_ones as f64 / latest as f64).abs() - 0.5 * inverse;
        let spread = (rate * (1.0 - rate) * inverse).sqrt();
        let without_spread = self.as_frouros.then_some(f64::INFINITY);
        if spread > 0.0 { Some((difference / spread).abs()) } else { without_spread }
    }

    fn p_value(&self) -> f64 {
        self.z().map_or(1.0, normal_sf)
    }
}

impl Sequential for Stepd {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            self.window.clear();
            (self.n, self.ones) = (0, 0);
        }
        let one = value > 0.5;
        self.n = self.n.saturating_add(1);
        self.ones = self.ones.saturating_add(u64::from(one));
        self.window.push_back(one);
        let surplus = self.window.len().saturating_sub(self.size);
        self.window.drain(..surplus);
        let p = self.p_value();
        self.signal = match () {
            () if p < self.drift => Signal::Drift,
            () if p < self.warning => Signal::Warning,
            () => Signal::Stable,
        };
        self.signal
    }

    /// How unlikely the difference is, `-ln p`.
    fn statistic(&self) -> f64 {
        -self.p_value().max(f64::MIN_POSITIVE).ln()
    }

    fn threshold(&self) -> f64 {
        -self.drift.ln()
    }
}
