//! FHDDM: the share of right answers in a sliding window against the best it has been, by Hoeffding's bound.
//!
//! Pesaranghader and Viktor 2016, as river. Values above 1/2 are right answers: unlike its relatives this detector
//! watches accuracy, not errors, and sees falls only. With a second, shorter window at the end of the first (stacking,
//! FHDDMS, Pesaranghader et al. 2018) either may alarm.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::excess::excess;
use super::parameters::{Parameter, Spec};
use super::{Sequential, Signal};

const WINDOW: Parameter = Parameter::whole("sliding_window_size", 100.0, 1.0, 1e5, "values in the window");
const CONFIDENCE: Parameter =
    Parameter::real("confidence_level", 1e-6, 1e-300, 1.0, "chance of a false alarm at one value, roughly");
const SHORT: Parameter =
    Parameter::whole("short_window_size", 0.0, 1.0, 1e5, "values in the second window; none if not given")
        .optional();

/// How to build it by name.
pub(super) const SPEC: Spec = Spec {
    name: "fhddm",
    about: "accuracy of a window against its best (Pesaranghader and Viktor 2016), as river",
    parameters: &[WINDOW, CONFIDENCE, SHORT],
    build: |values| {
        let size = values.count(&WINDOW) as usize;
        let short = values.given(&SHORT).map(|size| size as usize);
        values.demand(
            short.is_none_or(|short| short <= size),
            "the short window must fit in the sliding one",
        )?;
        let confidence = values.get(&CONFIDENCE);
        Ok(Fhddm { size, short, confidence, window: Window::default(), signal: Signal::Stable }.into())
    },
};

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Window {
    right: VecDeque<bool>,
    /// Right answers in the window and in its short end.
    hits: usize,
    short_hits: usize,
    /// The most right answers of a full window so far.
    best: usize,
    short_best: usize,
}

/// The detector with its state: the window, one byte per value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fhddm {
    size: usize,
    short: Option<usize>,
    confidence: f64,
    window: Window,
    signal: Signal,
}

impl Fhddm {
    /// How far accuracy has fallen over what chance allows.
    fn fall(&self, best: usize, hits: usize, size: usize) -> f64 {
        let n = size.max(1) as f64;
        let difference = best as f64 / n - hits as f64 / n;
        let allowed = ((1.0 / self.confidence).ln() / (2.0 * n)).sqrt();
        excess(difference, allowed)
    }
}

impl Sequential for Fhddm {
    fn step(&mut self, value: f64) -> Signal {
        if self.signal == Signal::Drift {
            self.window = Window::default();
        }
        let window = &mut self.window;
        let right = value > 0.5;
        if window.right.len() >= self.size
            && let Some(oldest) = window.right.pop_front()
        {
            window.hits = window.hits.saturating_sub(usize::from(oldest));
        }
        if let Some(short) = self.short {
            let leaving = window.right.len().checked_sub(short).and_then(|index| window.right.get(index));
            let left = leaving.copied().unwrap_or(false);
            window.short_hits = (window.short_hits + usize::from(right)).saturating_sub(usize::from(left));
        }
        window.right.push_back(right);
        window.hits = window.hits.saturating_add(usize::from(right));
        if window.right.len() >= self.size {
            window.best = window.best.max(window.hits);
            window.short_best = window.short_best.max(window.short_hits);
        }
        self.signal = if self.statistic() > 1.0 { Signal::Drift } else { Signal::Stable };
        self.signal
    }

    fn statistic(&self) -> f64 {
        if self.window.right.len() < self.size {
            return 0.0;
        }
        let long = self.fall(self.window.best, self.window.hits, self.size);
        let short =
            self.short.map_or(0.0, |size| self.fall(self.window.short_best, self.window.short_hits, size));
        long.max(short)
    }

    fn threshold(&self) -> f64 {
        1.0
    }
}
