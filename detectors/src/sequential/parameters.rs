//! What a detector can be told, and the check of what a configuration tells it.
//!
//! A detector declares its parameters once, in its [`Spec`]; names, defaults and ranges of the parser, of error messages
//! and of the documentation all come from there. Not here: what a parameter does.

use std::collections::BTreeMap;

use super::Detector;

/// One number that a detector can be given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// Its name in a configuration.
    pub name: &'static str,
    /// What it does, with its unit.
    pub about: &'static str,
    /// The value if none is given; `None` if the detector then works it out from its other parameters.
    pub default: Option<f64>,
    /// Smallest value allowed.
    pub low: f64,
    /// Largest value allowed.
    pub high: f64,
    /// Whether only whole numbers are allowed.
    pub whole: bool,
}

impl Parameter {
    /// A number within `low` to `high`, both allowed.
    pub(super) const fn real(
        name: &'static str,
        default: f64,
        low: f64,
        high: f64,
        about: &'static str,
    ) -> Self {
        Self { name, about, default: Some(default), low, high, whole: false }
    }

    /// A whole number within `low` to `high`, both allowed.
    pub(super) const fn whole(
        name: &'static str,
        default: f64,
        low: f64,
        high: f64,
        about: &'static str,
    ) -> Self {
        Self { name, about, default: Some(default), low, high, whole: true }
    }

    /// A switch: 1 for yes, 0 for no, which is the default.
    pub(super) const fn switch(name: &'static str, about: &'static str) -> Self {
        Self::whole(name, 0.0, 0.0, 1.0, about)
    }

    /// The same parameter without a default.
    pub(super) const fn optional(mut self) -> Self {
        self.default = None;
        self
    }

    fn admits(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value) && !(self.whole && value.fract() != 0.0)
    }

    fn range(&self) -> String {
        let kind = if self.whole { "a whole number" } else { "a number" };
        format!("{kind} within {} to {}", readable(self.low), readable(self.high))
    }
}

/// Limits are powers of ten far apart, which read best as such.
fn readable(value: f64) -> String {
    if value != 0.0 && !(1e-4..1e7).contains(&value.abs()) { format!("{value:e}") } else { value.to_string() }
}

/// A detector that can be built by name.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Its name in a configuration.
    pub name: &'static str,
    /// What it is and whose convention it follows, in one line.
    pub about: &'static str,
    /// All it can be told.
    pub parameters: &'static [Parameter],
    /// Builds it from checked values.
    pub(super) build: fn(&Values) -> Result<Detector, BuildError>,
}

/// Why a detector was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// No detector has this name.
    #[error("there is no sequential detector {name:?}; known are: {}", known.join(", "))]
    UnknownDetector {
        /// The name asked for.
        name: String,
        /// All names.
        known: Vec<&'static str>,
    },
    /// The detector has no parameter of this name.
    #[error("{detector} has no parameter {parameter:?}; known are: {}", known.join(", "))]
    UnknownParameter {
        /// The detector.
        detector: &'static str,
        /// The name asked for.
        parameter: String,
        /// All names of the detector's parameters.
        known: Vec<&'static str>,
    },
    /// The value is not one the parameter can have.
    #[error("{parameter} of {detector} is {value}, but must be {expected}")]
    OutOfRange {
        /// The detector.
        detector: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// What was given.
        value: f64,
        /// The range in words.
        expected: String,
    },
    /// The values are allowed one by one but not together.
    #[error("parameters of {detector}: {reason}")]
    Conflict {
        /// The detector.
        detector: &'static str,
        /// Which relation they must keep.
        reason: &'static str,
    },
}

/// The values given to a detector, each within its range.
#[derive(Debug)]
pub(super) struct Values {
    detector: &'static str,
    given: BTreeMap<&'static str, f64>,
}

impl Values {
    /// The value given, or the default; a parameter without a default is at its lowest then.
    pub(super) fn get(&self, parameter: &Parameter) -> f64 {
        self.given(parameter).or(parameter.default).unwrap_or(parameter.low)
    }

    /// The value given, if any.
    pub(super) fn given(&self, parameter: &Parameter) -> Option<f64> {
        self.given.get(parameter.name).copied()
    }

    /// A whole number; the range of the parameter says that it is not negative.
    pub(super) fn count(&self, parameter: &Parameter) -> u64 {
        self.get(parameter) as u64
    }

    /// A switch.
    pub(super) fn on(&self, parameter: &Parameter) -> bool {
        self.get(parameter) != 0.0
    }

    /// Demands a relation between values.
    pub(super) fn demand(&self, holds: bool, reason: &'static str) -> Result<(), BuildError> {
        if holds { Ok(()) } else { Err(BuildError::Conflict { detector: self.detector, reason }) }
    }
}

impl Spec {
    /// Builds the detector from the values given by name, with defaults for all others.
    ///
    /// # Errors
    /// When a name is not one of the detector's, a value out of its range, or two values do not go together.
    pub fn build(&self, given: &BTreeMap<String, f64>) -> Result<Detector, BuildError> {
        let mut values = Values { detector: self.name, given: BTreeMap::new() };
        for (name, &value) in given {
            let Some(parameter) = self.parameters.iter().find(|parameter| parameter.name == name) else {
                let known = self.parameters.iter().map(|parameter| parameter.name).collect();
                return Err(BuildError::UnknownParameter {
                    detector: self.name,
                    parameter: name.clone(),
                    known,
                });
            };
            if !parameter.admits(value) {
                return Err(BuildError::OutOfRange {
                    detector: self.name,
                    parameter: parameter.name,
                    value,
                    expected: parameter.range(),
                });
            }
            values.given.insert(parameter.name, value);
        }
        (self.build)(&values)
    }
}
