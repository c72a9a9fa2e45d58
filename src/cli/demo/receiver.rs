//! The local receiver of the demo: stands for Slack, PagerDuty, a webhook, a training job and a rollback job.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;

use crate::alert::Notification;

/// What was received.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// Requests by path.
    pub(super) requests: BTreeMap<String, u64>,
    /// Notifications of the webhook, in order of arrival.
    pub(super) notifications: Vec<Notification>,
}

/// A receiver on a loopback port.
#[derive(Debug, Clone)]
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

#[derive(Deserialize)]
struct CloudEvent {
    data: Notification,
}

impl Receiver {
    /// Starts it on a thread of its own, which ends with the process.
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        listener.set_nonblocking(true)?;
        let receiver = Self { address: listener.local_addr()?, received: Arc::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let router = Router::new().route("/{name}", post(take)).with_state(receiver.clone());
        std::thread::Builder::new().name("receiver".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, router).await
            })
        })?;
        Ok(receiver)
    }

    /// Looks at what was received so far.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Received) -> T) -> T {
        look(&self.received.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn take(
    State(receiver): State<Receiver>,
    Path(name): Path<String>,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let mut received = receiver.received.lock().unwrap_or_else(PoisonError::into_inner);
    *received.requests.entry(name.clone()).or_default() += 1;
    match name.as_str() {
        "slack" => (StatusCode::OK, "ok"),
        "pagerduty" => (StatusCode::ACCEPTED, r#"{"status":"success"}"#),
        "webhook" => {
            let event = serde_json::from_slice::<CloudEvent>(&body);
            received.notifications.extend(event.map(|event| event.data));
            (StatusCode::OK, "")
        }
        _ => (StatusCode::OK, ""),
    }
}
