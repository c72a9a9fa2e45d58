//! Listeners of metrics, health and API.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Listener of metrics, health and API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Allow an address that others can reach. There is no authentication: put a proxy in front.
    pub insecure_allow_remote: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)), insecure_allow_remote: false }
    }
}
