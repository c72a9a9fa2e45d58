//! HTTP: metrics, health, the read API with its OpenAPI document, and a small page for people.
//!
//! Everything here reads the [`Board`]; nothing changes the daemon. Every route stands in one list, [`ROUTES`].

mod caller;
mod commands;
mod error;
mod handlers;
mod health;
mod openapi;
mod outbox;
mod page;
mod query;
mod routes;

use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::view::{Board, Scrape};

pub use caller::{Caller, Scope};
pub use commands::{Asked, COMMAND_QUEUE, Commands};
pub use error::{ApiError, ErrorBody};
pub use handlers::VersionDetail;
pub use health::{Health, Readiness, STUCK_AFTER};
pub use openapi::document as openapi_document;
pub use outbox::{Asking, OutboxDesk, OutboxError, RetryBody, SettleBody};
pub use query::{MAX_LIMIT, Page};
pub use routes::{Method, ROUTES, Route};

/// What the handlers read; cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    board: Arc<Board>,
    scrape: Arc<dyn Scrape>,
    health: Health,
    commands: Option<Commands>,
    outbox: Option<Arc<dyn OutboxDesk>>,
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
        Self { board, scrape, health: Health::default(), commands: None, outbox: None }
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

    /// Where the engine says how it is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
    }
}

/// All routes.
pub fn router(state: ApiState) -> Router {
    routes::router().fallback(error::no_such_route).with_state(state)
}

/// Serves until `shutdown` becomes true or its sender is gone; answers under way are finished.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let asked = async move { _ = shutdown.wait_for(|asked| *asked).await };
    axum::serve(listener, router).with_graceful_shutdown(asked).await
}

#[cfg(test)]
mod tests;
