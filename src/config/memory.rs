//! What the process may hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the process may hold. Models and segments beyond it are not admitted, and it is shown which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// Bytes the process may use, half of them for windows; by default three quarters of what its container or machine has.
    #[schemars(range(min = 67_108_864))]
    pub max: Option<u64>,
    /// Most versions of one model that are watched at a time: the serving one, then the newest.
    #[schemars(range(min = 1, max = 100))]
    pub versions_per_model: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { max: None, versions_per_model: 5 }
    }
}
