//! Estimated performance: how good predictions probably are, before any label is known.
//!
//! All but one rest on one assumption, that the relation of score and label has not changed (no concept drift), and say
//! so: [`cbpe::Trust`] marks an estimate whose scores or features have drifted. [`label_shift()`] assumes the opposite, that
//! rows of a class look as before and only the classes' shares changed: where both agree, either may hold. Not here:
//! performance with labels ([`crate::performance`]).

pub mod cbpe;
pub mod isotonic;
pub mod label_shift;
pub mod loss_by_cells;
pub mod loss_by_two;
pub mod multiclass;
pub mod platt;
pub mod sampling_error;
pub mod thresholded_confidence;

pub use cbpe::{Calibration, CbpeState, Estimate, Trust};
pub use isotonic::Isotonic;
pub use label_shift::{LabelShift, label_shift};
pub use loss_by_cells::{LossGroup, LossSums, LossUnits};
pub use loss_by_two::{LossTable, RowLoss};
pub use multiclass::{ClassSums, MulticlassEstimate};
pub use platt::Platt;
pub use thresholded_confidence::ConfidenceThreshold;
