//! Models and references as a reader sees them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reference::{ColumnKind, Provenance, Reference, Role};

/// Stage of a model version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Not promoted.
    #[default]
    None,
    /// Being tried.
    Staging,
    /// Serving.
    Production,
    /// Retired.
    Archived,
}

/// One version of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VersionView {
    /// Semantic version.
    pub version: String,
    /// Stage.
    pub stage: Stage,
    /// Content address of the active reference.
    pub reference: Option<String>,
    /// All references of this version, newest first.
    pub references: Vec<String>,
}

/// A registered model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelView {
    /// Registered name.
    pub model: String,
    /// Versions, newest first.
    pub versions: Vec<VersionView>,
}

/// One column of a reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ColumnView {
    /// Column name.
    pub name: String,
    /// Meaning of the column.
    pub role: Role,
    /// Reading of its values.
    pub kind: ColumnKind,
    /// Whether an event without it is a data fault.
    pub required: bool,
    /// Cells of its binning.
    pub cells: usize,
    /// What the builder noticed.
    pub notes: Vec<String>,
}

/// The quantile of the label that a score foretells, and how well it does in the baseline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct QuantileView {
    /// The quantile, between 0 and 1.
    pub quantile: f64,
    /// Mean pinball loss in the baseline, in units of the label.
    pub loss: Option<f64>,
    /// Share of the baseline's labels that the score is not below.
    pub coverage: Option<f64>,
}

/// A reference without its counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct ReferenceView {
    /// Content address.
    pub id: String,
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// Whether windows of its version are judged against it.
    pub active: bool,
    /// Where the baseline came from.
    pub provenance: Provenance,
    /// Columns in their order.
    pub columns: Vec<ColumnView>,
    /// Whether the baseline carried latencies.
    pub has_latency: bool,
    /// Baseline windows kept for calibration.
    pub windows: usize,
    /// Segments kept apart.
    pub segments: Vec<String>,
    /// Length of the windows that the reference is calibrated for, in milliseconds; `null` where it fits any, since how they
    /// vary is assumed.
    pub calibrated_for_ms: Option<i64>,
    /// Whether the baseline does not show how windows vary, so that it is assumed: `assumptions` say what.
    pub assumed: bool,
    /// What the baseline was too short or too poor for, one sentence each.
    pub assumptions: Vec<String>,
    /// The quantile of the label that the score foretells; absent unless the reference was made with `--quantile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantile: Option<QuantileView>,
}

impl ReferenceView {
    /// The view of a reference under its content address.
    #[must_use]
    pub fn of(id: &str, reference: &Reference, active: bool) -> Self {
        let columns = reference.columns.iter().map(|column| ColumnView {
            name: column.name.clone(),
            role: column.role,
            kind: column.kind,
            required: column.required,
            cells: column.binning.cells(),
            notes: column.notes.clone(),
        });
        let in_baseline = reference.calibration.as_ref().and_then(|calibration| calibration.quantile);
        let calibrated = reference.calibration.as_ref().filter(|calibration| !calibration.assumed);
        Self {
            id: id.to_owned(),
            model: reference.model.clone(),
            version: reference.version.clone(),
            active,
            provenance: reference.provenance.clone(),
            columns: columns.collect(),
            has_latency: reference.has_latency,
            windows: reference.windows.len(),
            segments: reference.segments.keys().cloned().collect(),
            calibrated_for_ms: calibrated.map(|calibration| calibration.window_ms),
            assumed: reference.is_assumed(),
            assumptions: reference.assumptions().to_vec(),
            quantile: reference.quantile().map(|quantile| QuantileView {
                quantile,
                loss: in_baseline.map(|outcome| outcome.loss),
                coverage: in_baseline.map(|outcome| outcome.coverage),
            }),
        }
    }
}
