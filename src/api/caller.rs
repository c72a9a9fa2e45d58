//! Who asks, and what they may do.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// What a caller may do; each scope stands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Open to everybody who reaches the listener: health.
    Open,
    /// See models, windows, alerts, metrics.
    Read,
    /// Acknowledge and silence alerts, retry deliveries.
    Silence,
    /// Approve and suspend actions.
    Approve,
    /// Everything else that changes the daemon.
    Admin,
}

impl Scope {
    /// Name in the configuration and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Silence => "silence",
            Self::Approve => "approve",
            Self::Admin => "admin",
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name in the audit trail.
    pub name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<Self>().cloned();
        Ok(known.unwrap_or_else(|| Self { name: "local".to_owned() }))
    }
}
