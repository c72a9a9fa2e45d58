//! HTTP: metrics, health, the API with its OpenAPI document, and a small page for people.
//!
//! Reading is done on the [`Board`]; what changes the daemon is an order to the engine. Every route stands in one list,
//! [`ROUTES`], with the scope that a caller needs for it; `auth.rs` enforces it.

mod actions;
mod alerts;
mod auth;
mod body;
mod caller;
mod commands;
mod doors;
mod error;
mod handlers;
mod health;
mod openapi;
mod outbox;
mod page;
mod panics;
mod query;
mod routes;
mod tls;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::view::{Board, Scrape};

pub use alerts::{AcknowledgeRequest, SilenceRequest};
pub use auth::{ApiObserver, Gate, MOST_FAILURES, REFUSALS};
pub use body::Nothing;
pub use caller::{Caller, Scope};
pub use commands::{Asked, COMMAND_QUEUE, Commands};
pub use doors::{Connection, Doors, HEAD_WITHIN, Patience, Peer, SILENT_FOR};
pub use error::{ApiError, ErrorBody};
pub use handlers::VersionDetail;
pub use health::{Health, Readiness, STUCK_AFTER};
pub use openapi::document as openapi_document;
pub use outbox::{Asking, OutboxDesk, OutboxError, RetryBody, SettleBody};
pub use query::{MAX_LIMIT, Page};
pub use routes::{Method, ROUTES, Route};
pub use tls::{Tls, TlsError};

/// What the handlers read; cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    board: Arc<Board>,
    scrape: Arc<dyn Scrape>,
    health: Health,
    commands: Option<Commands>,
    outbox: Option<Arc<dyn OutboxDesk>>,
    gate: Gate,
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").field("health", &self.health).finish_non_exhaustive()
    }
}

impl ApiState {
    /// The API over this board, with these metrics.
    #[must_use]
    pub fn new<S: Scrape + 'static>(board: Arc<Board>, scrape: Arc<S>) -> Self {
        let (health, gate) = (Health::default(), Gate::default());
        Self { board, scrape, health, commands: None, outbox: None, gate }
    }

    /// The same, with the way to the engine.
    #[must_use]
    pub fn with_commands(self, commands: Commands) -> Self {
        Self { commands: Some(commands), ..self }
    }

    /// The same, with who knows the outbox.
    #[must_use]
    pub fn with_outbox(self, outbox: Arc<dyn OutboxDesk>) -> Self {
        Self { outbox: Some(outbox), ..self }
    }

    /// The same, guarded by this gate instead of one that lets everybody in.
    #[must_use]
    pub fn with_gate(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    /// Where the engine says how it is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
    }
}

/// Largest body of a request.
pub const MAX_BODY_BYTES: usize = 64 << 10;

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// Everything.
    All,
    /// Metrics and health.
    Metrics,
    /// Everything, beside a listener of metrics: here they ask for a token as the rest does.
    Api,
}

/// All routes, as a loopback listener of everything serves them.
pub fn router(state: ApiState) -> Router {
    router_of(state, Surface::All, true)
}

/// The routes of a listener; `loopback` says whether only this machine can reach it.
pub fn router_of(state: ApiState, surface: Surface, loopback: bool) -> Router {
    routes::router(&state.gate, surface, loopback)
        .fallback(error::no_such_route)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(state.gate.clone(), panics::catch))
        .layer(from_fn(auth::harden))
        .with_state(state)
}

/// Serves without encryption until `shutdown` becomes true or its sender is gone; answers under way are finished.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    serve_at(Doors::new(listener, None, crate::config::Http::default().max_connections), router, shutdown)
        .await
}

/// The same through doors with bounds and encryption of their own.
///
/// # Errors
/// When the listener fails.
pub async fn serve_at(
    doors: Doors,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let asked = async move { _ = shutdown.wait_for(|asked| *asked).await };
    let service = router.into_make_service_with_connect_info::<Peer>();
    axum::serve(doors, service).with_graceful_shutdown(asked).await
}

#[cfg(test)]
mod tests;
