//! Life cycle of alerts and who hears of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::{AlertKind, Severity};

/// Life cycle of alerts, in judged windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// An alert fires when this many …
    #[schemars(range(min = 1))]
    pub fire_after: u32,
    /// … of the last this many windows were over the threshold.
    #[schemars(range(min = 1))]
    pub of_last: u32,
    /// Windows in a row below the clearing level before it resolves.
    #[schemars(range(min = 1))]
    pub clear_after: u32,
    /// Clearing level as a share of the threshold (hysteresis).
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub clear_below: f64,
    /// Severity by kind; kinds not named are `warning`.
    #[schemars(extend("propertyNames" = {"enum": ["data_fault", "drift", "latency", "volume", "operation"]}))]
    pub severity: BTreeMap<AlertKind, Severity>,
    /// Base URL of links in notifications.
    pub link_base: Option<String>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            fire_after: 2,
            of_last: 3,
            clear_after: 3,
            clear_below: 0.8,
            severity: BTreeMap::from([(AlertKind::DataFault, Severity::Critical)]),
            link_base: None,
        }
    }
}
