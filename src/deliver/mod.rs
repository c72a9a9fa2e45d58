//! Step 10 of 10: the outbox is emptied; notifications reach people, action requests reach automations.
//!
//! ```text
//! store (outbox) → worker per target → sink renders → POST, guarded and bounded → sink judges → store
//! ```
//! | file | holds |
//! |---|---|
//! | `worker.rs` | the loop of one target; a slow target delays nobody else |
//! | `sinks/` | one file per kind of target: payload and reading of the answer |
//! | `policy.rs` | when to try again, when to give up |
//! | `http.rs`, `guard.rs` | the request, and where it may never go |
//! | `signature.rs`, `target.rs` | signing, and targets from the configuration |
//!
//! D-1: a notification is sent at least once, always under the same key. D-2: an action is sent at most once; when its
//! outcome is not known it is held, never repeated. D-3: rows of one alert group arrive in order.

mod guard;
mod http;
mod policy;
mod signature;
mod sinks;
mod target;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use guard::{Endpoint, EndpointError, Forbidden, check_address};
pub use http::Timeouts;
pub use policy::RetryPolicy;
pub use signature::{SigningKeyError, SigningKeys, delivery_id};
pub use sinks::{
    ActionWebhook, Answer, Attempt, Dialect, MAX_BODY, Outcome, Pagerduty, Sink, SinkRequest, Slack,
    Unsendable, Webhook,
};
pub use target::{Target, TargetError, TargetProblem, Targets, targets};

use crate::alert::ActionRequest;
use crate::fault::{Place, reach};
use crate::store::{Recovered, StoreError, StoreHandle};
use crate::subject::Millis;

/// How an attempt ended, as a metric counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryOutcome {
    /// Confirmed by the target.
    Delivered,
    /// Failed, will be tried again.
    Retry,
    /// Given up.
    Dead,
    /// No longer worth sending.
    Expired,
    /// An action with an unknown outcome, held.
    Unknown,
}

impl DeliveryOutcome {
    /// Name in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry => "retry",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

/// Somebody who counts deliveries.
pub trait DeliveryObserver: Send + Sync {
    /// An attempt ended.
    fn outcome(&self, target: &str, outcome: DeliveryOutcome);
    /// A request took so long, answered or not.
    fn duration(&self, target: &str, seconds: f64);
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl DeliveryObserver for NoObserver {
    fn outcome(&self, _target: &str, _outcome: DeliveryOutcome) {}
    fn duration(&self, _target: &str, _seconds: f64) {}
}

/// Asked just before an action is sent, after everything else said yes.
pub trait SendGuard: Send + Sync {
    /// Whether the request may still go out now.
    ///
    /// # Errors
    /// With the reason, when it may not: the request is given up and the audit trail says why.
    fn check(&self, request: &ActionRequest, now: Millis) -> Result<(), String>;
}

/// Holds nothing back.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoGuard;

impl SendGuard for NoGuard {
    fn check(&self, _request: &ActionRequest, _now: Millis) -> Result<(), String> {
        Ok(())
    }
}

/// How deliveries are made. The defaults are the documented behaviour; tests bend them.
#[derive(Clone)]
pub struct DeliverySettings {
    /// When to try again.
    pub retry: RetryPolicy,
    /// Bounds of a request.
    pub timeouts: Timeouts,
    /// The wall clock.
    pub clock: Arc<dyn Fn() -> Millis + Send + Sync>,
    /// Last word on actions.
    pub guard: Arc<dyn SendGuard>,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            timeouts: Timeouts::default(),
            clock: Arc::new(wall_clock),
            guard: Arc::new(NoGuard),
        }
    }
}

impl fmt::Debug for DeliverySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { retry, timeouts, clock: _, guard: _ } = self;
        f.debug_struct("DeliverySettings")
            .field("retry", retry)
            .field("timeouts", timeouts)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::disallowed_methods, reason = "retries and signatures run on the wall clock")]
fn wall_clock() -> Millis {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    policy::millis(since_epoch)
}

/// Why deliveries cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The state file refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HTTP client cannot be built; the system's TLS is broken.
    #[error("cannot set up https: {0}")]
    Client(reqwest::Error),
}

/// Empties the outbox until `shutdown` says `true` (or its sender is dropped); requests under way are finished first.
///
/// What a crash left half sent is settled before the first attempt.
///
/// # Errors
/// When the state file refuses at the start, or https cannot be set up.
pub async fn run(
    store: StoreHandle,
    targets: Vec<Target>,
    settings: DeliverySettings,
    observer: Arc<dyn DeliveryObserver>,
    shutdown: watch::Receiver<bool>,
) -> Result<(), DeliverError> {
    let post = http::Post::new(settings.timeouts).map_err(DeliverError::Client)?;
    recover(&store, &settings).await?;
    warn_of_orphans(&store, &targets).await?;
    let mut workers = JoinSet::new();
    for target in targets {
        let (store, post, settings) = (store.clone(), post.clone(), settings.clone());
        let (observer, shutdown) = (Arc::clone(&observer), shutdown.clone());
        workers.spawn(worker::Worker::new(target, store, post, settings, observer, shutdown).run());
    }
    drop(store);
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "the worker of a target ended early");
        }
    }
    Ok(())
}

async fn recover(store: &StoreHandle, settings: &DeliverySettings) -> Result<(), StoreError> {
    let now = (settings.clock)();
    let Recovered { notifications, actions } = store.call(move |store| store.recover_outbox(now)).await?;
    reach(Place::OutboxRecovered);
    if notifications > 0 {
        tracing::info!(
            notifications,
            "notifications under way at the last end are sent again under the same key"
        );
    }
    if actions > 0 {
        tracing::error!(
            actions,
            "actions under way at the last end are held: nobody knows whether they were taken"
        );
    }
    Ok(())
}

/// Rows for a target that is no longer configured stay, but nobody will send them.
async fn warn_of_orphans(store: &StoreHandle, targets: &[Target]) -> Result<(), StoreError> {
    for stats in store.call(|store| store.outbox_stats()).await? {
        if stats.pending > 0 && !targets.iter().any(|target| target.name == stats.target) {
            let (target, waiting) = (stats.target, stats.pending);
            tracing::warn!(target_name = %target, waiting, "deliveries wait for a target that is not configured");
        }
    }
    Ok(())
}
