//! Detectors that take a stream one value at a time and say after each whether something has changed.
//!
//! | Family | Where | For |
//! |---|---|---|
//! | windows | [`adwin`], [`kswin`], [`fhddm`], [`stepd`] | a value, or a rate of errors |
//! | cumulative sums | [`page_hinkley`], [`cusum`], [`mean_deviation`] | a value |
//! | control charts | [`ewma`], [`ddm`], [`eddm`], [`ecdd`], [`hddm_a`], [`hddm_w`] | a value, or a rate of errors |
//! | bets | [`conformal`], [`bounded_mean`], [`confidence_sequence`] | false alarms bounded over any length of time |
//!
//! Not here: where values come from, in which order, and what an alarm does. Laws, tested over the whole list:
//!
//! * S-1: an update never panics; a value that is not finite changes nothing and is answered with [`Signal::Stable`].
//! * S-2: after [`Signal::Drift`] the next finite value starts the detector afresh (for the bets: their wealth).
//! * S-3: the same values in the same order give the same signals, also across a stored and restored state.
//! * S-4: the state is bounded, however long the stream, and holds finite numbers only.
//! * S-5: drift is signalled only if the statistic has reached the threshold.
//!
//! ```
//! use std::collections::BTreeMap;
//! use anchorwatch_detectors::sequential::{self, Sequential, Signal};
//!
//! let given = BTreeMap::from([("mean".to_owned(), 10.0), ("sd".to_owned(), 2.0)]);
//! let mut detector = sequential::build("cusum", &given)?;
//! assert_eq!(detector.update(10.3), Signal::Stable);
//! let delay = (1..100).find(|_| detector.update(16.0) == Signal::Drift);
//! assert_eq!(delay, Some(5));
//! # Ok::<(), sequential::BuildError>(())
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub mod adwin;
pub mod bounded_mean;
pub mod confidence_sequence;
pub mod conformal;
pub mod cusum;
pub mod ddm;
pub mod ecdd;
pub mod eddm;
pub mod ewma;
pub mod fhddm;
pub mod hddm_a;
pub mod hddm_w;
pub mod kswin;
pub mod mean_deviation;
pub mod page_hinkley;
pub mod pane;
pub mod run_length;
pub mod stepd;
pub mod wealth;

mod excess;
mod parameters;
mod running_mean;
mod seeded;

pub use parameters::{BuildError, Parameter, Spec};
pub use seeded::uniform;

/// Values beyond this, on either side of zero, enter a detector cut off, so that squares and sums stay finite.
pub const LARGEST: f64 = 1e100;

/// What a detector says after a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Nothing to report.
    #[default]
    Stable,
    /// Something may be under way; only detectors with two levels say so.
    Warning,
    /// The stream has changed. The detector starts afresh with the next value.
    Drift,
}

/// A detector of changes in a stream of numbers.
pub trait Sequential {
    /// Takes the next value, finite and within [`LARGEST`] of zero; [`Sequential::update`] sees to that.
    fn step(&mut self, value: f64) -> Signal;

    /// The number that the alarm is judged by; finite.
    fn statistic(&self) -> f64;

    /// What the statistic must reach (or exceed, as the detector's page says) for an alarm; finite.
    fn threshold(&self) -> f64;

    /// Takes the next value of the stream, whatever it is.
    ///
    /// NaN and infinities are ignored and answered with [`Signal::Stable`]; they are to be counted elsewhere.
    fn update(&mut self, value: f64) -> Signal {
        if value.is_finite() { self.step(value.clamp(-LARGEST, LARGEST)) } else { Signal::Stable }
    }
}

/// Makes the closed set of detectors, so that a state can be stored and restored without knowing which one it is.
macro_rules! detectors {
    ($($(#[$doc:meta])* $kind:ident($detector:ty),)+) => {
        /// A detector of any kind with its state, ready to be stored.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Detector {
            $($(#[$doc])* $kind($detector),)+
        }

        $(impl From<$detector> for Detector {
            fn from(detector: $detector) -> Self {
                Self::$kind(detector)
            }
        })+

        impl Sequential for Detector {
            fn step(&mut self, value: f64) -> Signal {
                match self { $(Self::$kind(detector) => detector.step(value),)+ }
            }

            fn statistic(&self) -> f64 {
                match self { $(Self::$kind(detector) => detector.statistic(),)+ }
            }

            fn threshold(&self) -> f64 {
                match self { $(Self::$kind(detector) => detector.threshold(),)+ }
            }
        }
    };
}

detectors! {
    /// See [`adwin`].
    Adwin(adwin::Adwin),
    /// See [`kswin`].
    Kswin(kswin::Kswin),
    /// See [`page_hinkley`].
    PageHinkley(page_hinkley::PageHinkley),
    /// See [`cusum`].
    Cusum(cusum::Cusum),
    /// See [`ewma`].
    Ewma(ewma::Ewma),
    /// See [`ddm`].
    Ddm(ddm::Ddm),
    /// See [`eddm`].
    Eddm(eddm::Eddm),
    /// See [`hddm_a`].
    HddmA(hddm_a::HddmA),
    /// See [`hddm_w`].
    HddmW(hddm_w::HddmW),
    /// See [`fhddm`].
    Fhddm(fhddm::Fhddm),
    /// See [`conformal`].
    Conformal(conformal::Numeric),
    /// See [`bounded_mean`].
    BoundedMean(bounded_mean::BoundedMean),
    /// See [`confidence_sequence`].
    ConfidenceSequence(confidence_sequence::RateGuard),
    /// See [`ecdd`].
    Ecdd(ecdd::Ecdd),
    /// See [`stepd`].
    Stepd(stepd::Stepd),
    /// See [`mean_deviation`].
    MeanDeviation(mean_deviation::MeanDeviation),
}

/// Every detector that can be built by name; conventions of a peer carry its name.
pub const ALL: [Spec; 23] = [
    adwin::SPEC,
    kswin::SPEC,
    kswin::FROUROS,
    page_hinkley::SPEC,
    cusum::SPEC,
    ewma::SPEC,
    ddm::SPEC,
    ddm::FROUROS,
    eddm::SPEC,
    eddm::FROUROS,
    hddm_a::SPEC,
    hddm_a::FROUROS,
    hddm_w::SPEC,
    hddm_w::FROUROS,
    fhddm::SPEC,
    conformal::SPEC,
    bounded_mean::SPEC,
    confidence_sequence::SPEC,
    ecdd::FROUROS,
    stepd::SPEC,
    stepd::FROUROS,
    mean_deviation::CUSUM_FROUROS,
    mean_deviation::AVERAGE_FROUROS,
];

/// Builds the detector of this name from the values given, with defaults for all others.
///
/// # Errors
/// As [`Spec::build`], and when there is no detector of this name.
pub fn build(name: &str, given: &BTreeMap<String, f64>) -> Result<Detector, BuildError> {
    let spec = ALL.iter().find(|spec| spec.name == name).ok_or_else(|| BuildError::UnknownDetector {
        name: name.to_owned(),
        known: ALL.iter().map(|spec| spec.name).collect(),
    })?;
    spec.build(given)
}
