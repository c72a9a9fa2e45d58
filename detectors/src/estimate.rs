//! Estimated performance: how good predictions probably are, before any label is known.
//!
//! All estimates here rest on one assumption, that the relation of score and label has not changed (no concept drift),
//! and say so: [`cbpe::Trust`] marks an estimate whose scores or features have drifted. Not here: performance with labels
//! ([`crate::performance`]).

pub mod cbpe;
pub mod isotonic;
pub mod platt;
pub mod sampling_error;

pub use cbpe::{Calibration, CbpeState, Estimate, Trust};
pub use isotonic::Isotonic;
pub use platt::Platt;
