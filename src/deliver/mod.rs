//! Step 10 of 10: the outbox is emptied; notifications reach people, action requests reach automations.
//!
//! ```text
//! store (outbox) → worker per target → sink renders → POST, guarded and bounded → sink judges → store
//! ```
//! | file | holds |
//! |---|---|
//! | `worker.rs` | the loop of one target; a slow target delays nobody else |
//! | `attempt.rs` | one request and its end |
//! | `sinks/` | one file per kind of target: payload and reading of the answer |
//! | `policy.rs`, `breaker.rs`, `rate.rs` | when to try again, when to leave a target alone, how fast to go |
//! | `clocks.rs` | what goes by the wall clock, and what must not |
//! | `upkeep.rs`, `pulse.rs` | how targets are doing; an outbox that stays bounded |
//! | `seldom.rs` | the same trouble is said once a minute |
//! | `http.rs`, `guard.rs`, `allow.rs` | the request, and where it may never go |
//! | `signature.rs`, `target.rs` | signing, and targets from the configuration |
//!
//! D-1: a notification is sent at least once, always under the same key. D-2: an action is sent at most once; when its
//! outcome is not known it is held, never repeated. D-3: rows of one alert group arrive in order.

mod allow;
mod attempt;
mod breaker;
mod clocks;
mod guard;
mod http;
mod policy;
mod pulse;
mod rate;
mod seldom;
mod signature;
mod sinks;
mod target;
mod upkeep;
mod worker;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use reqwest::Url;
use tokio::sync::watch;
use tokio::task::{self, JoinSet};

pub use allow::Allowed;
pub use breaker::{Breaker, BreakerPolicy};
pub use guard::{Endpoint, EndpointError, Forbidden, check_address};
pub use http::Timeouts;
pub use policy::RetryPolicy;
pub use rate::{Bucket, Rate};
pub use signature::{SigningKeyError, SigningKeys, delivery_id};
pub use sinks::{
    ActionWebhook, Answer, Attempt, Dialect, MAX_BODY, Outcome, Pagerduty, Sink, SinkRequest, Slack,
    Template, TemplateError, Unsendable, Webhook,
};
pub use target::{Target, TargetError, TargetProblem, Targets, targets};
pub use upkeep::{Ailments, TargetHealth, UpkeepPolicy};

use crate::alert::ActionRequest;
use crate::config;
use crate::fault::{Place, reach};
use crate::store::{Recovered, Retry, StoreError, StoreHandle};
use crate::subject::Millis;
use crate::view::TargetView;
use attempt::Gear;
use clocks::Clocks;
use pulse::Pulse;
use seldom::Seldom;
use upkeep::Upkeep;
use worker::STORE_PAUSE;

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

/// Somebody who counts deliveries and hears how targets are doing.
pub trait DeliveryObserver: Send + Sync {
    /// An attempt ended.
    fn outcome(&self, target: &str, outcome: DeliveryOutcome);
    /// A request took so long, answered or not.
    fn duration(&self, target: &str, seconds: f64);
    /// A template failed and the built-in body was sent.
    fn template_failed(&self, _target: &str) {}
    /// How all targets are doing now.
    fn targets(&self, _targets: &[TargetView]) {}
    /// What people should know has changed.
    fn ailments(&self, _ailments: &Ailments) {}
    /// Rows that made room for newer ones and rows that were kept long enough, since the state file was created.
    fn outbox_left(&self, _replaced: u64, _pruned: u64) {}
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
    /// When to leave a target alone.
    pub breaker: BreakerPolicy,
    /// When to look after the outbox, and what is too old.
    pub upkeep: UpkeepPolicy,
    /// Bounds of a request.
    pub timeouts: Timeouts,
    /// Where requests may go.
    pub allowed: Allowed,
    /// Proxy for all of them.
    pub proxy: Option<Url>,
    /// The wall clock.
    pub clock: Arc<dyn Fn() -> Millis + Send + Sync>,
    /// Last word on actions.
    pub guard: Arc<dyn SendGuard>,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            breaker: BreakerPolicy::default(),
            upkeep: UpkeepPolicy::default(),
            timeouts: Timeouts::default(),
            allowed: Allowed::default(),
            proxy: None,
            clock: Arc::new(wall_clock),
            guard: Arc::new(NoGuard),
        }
    }
}

impl From<&config::Deliver> for DeliverySettings {
    fn from(deliver: &config::Deliver) -> Self {
        let retry = RetryPolicy { give_up_after: deliver.give_up_after.to_std(), ..RetryPolicy::default() };
        let upkeep = UpkeepPolicy {
            tell_after: deliver.tell_after.to_std(),
            keep_settled: deliver.keep_settled.to_std(),
            ..UpkeepPolicy::default()
        };
        let timeouts =
            Timeouts { connect: deliver.connect_timeout.to_std(), total: deliver.timeout.to_std() };
        // What is no URL was refused when the configuration was read.
        let proxy = deliver.proxy.as_deref().and_then(|proxy| Url::parse(proxy).ok());
        Self { retry, upkeep, timeouts, allowed: Allowed::from(deliver), proxy, ..Self::default() }
    }
}

impl fmt::Debug for DeliverySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { retry, breaker, upkeep, timeouts, allowed, proxy: _, clock: _, guard: _ } = self;
        f.debug_struct("DeliverySettings")
            .field("retry", retry)
            .field("breaker", breaker)
            .field("upkeep", upkeep)
            .field("allowed", allowed)
            .field("timeouts", timeouts)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::disallowed_methods, reason = "signatures and the end of evidence run on the wall clock")]
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
    /// A task ended early, by an error in this program; the others finished what was under way.
    #[error("{0} ended early, by an error in this program")]
    Broken(String),
}

/// Targets that stay as they are; with a sender of one's own their secrets can be replaced under way.
#[must_use]
pub fn fixed(targets: Vec<Target>) -> watch::Receiver<Arc<Vec<Target>>> {
    watch::channel(Arc::new(targets)).1
}

/// Empties the outbox until `shutdown` says `true` (or its sender is dropped); requests under way are finished first.
/// If the worker of any target breaks, all end in the same way: a target that nobody tells would go unnoticed.
///
/// What a crash left half sent is settled before the first attempt; a full disk only delays that. The names, rates and
/// numbers of `targets` are those at the start; addresses, secrets and templates are read anew for each request.
///
/// # Errors
/// When the state file refuses at the start and trying again cannot help, https cannot be set up, or a worker broke.
pub async fn run(
    store: StoreHandle,
    targets: watch::Receiver<Arc<Vec<Target>>>,
    settings: DeliverySettings,
    observer: Arc<dyn DeliveryObserver>,
    shutdown: watch::Receiver<bool>,
) -> Result<(), DeliverError> {
    let post = http::Post::new(settings.timeouts, &settings.allowed, settings.proxy.as_ref())
        .map_err(DeliverError::Client)?;
    let at_start = Arc::clone(&targets.borrow());
    let seldom = Arc::new(Seldom::default());
    if !prepare(&store, &settings, &at_start, (&seldom, shutdown.clone())).await? {
        return Ok(());
    }
    let (halt, halted) = watch::channel(false);
    let mut crew = Crew { tasks: JoinSet::new(), names: HashMap::new(), halt };
    let mut pulses = BTreeMap::new();
    let clocks = Clocks::start(Arc::clone(&settings.clock));
    for target in at_start.iter() {
        let pulse = Arc::new(Pulse::default());
        pulses.insert(target.name.clone(), Arc::clone(&pulse));
        let gear = Gear {
            name: target.name.clone(),
            store: store.clone(),
            post: post.clone(),
            settings: settings.clone(),
            observer: Arc::clone(&observer),
            targets: targets.clone(),
            pulse,
            clocks: clocks.clone(),
            seldom: Arc::clone(&seldom),
            shutdown: halted.clone(),
        };
        let worker = worker::Worker::new(gear, target.rate, target.concurrency);
        crew.spawn(format!("the worker of {}", target.name), worker.run());
    }
    let upkeep = Upkeep { store, settings, observer, pulses, shutdown: halted, clocks, seldom };
    crew.spawn("the upkeep of the outbox".to_owned(), upkeep.run());
    crew.work(shutdown).await
}

/// The tasks of deliveries: they end together.
struct Crew {
    tasks: JoinSet<()>,
    names: HashMap<task::Id, String>,
    halt: watch::Sender<bool>,
}

impl Crew {
    fn spawn(&mut self, name: String, work: impl Future<Output = ()> + Send + 'static) {
        self.names.insert(self.tasks.spawn(work).id(), name);
    }

    /// Until all have ended, which they do when `shutdown` says so or one of them breaks.
    async fn work(mut self, mut shutdown: watch::Receiver<bool>) -> Result<(), DeliverError> {
        let mut outcome = Ok(());
        loop {
            let ended = tokio::select! {
                ended = self.tasks.join_next_with_id() => ended,
                _ = shutdown.wait_for(|asked| *asked), if !*self.halt.borrow() => {
                    self.halt.send_replace(true);
                    continue;
                }
            };
            match ended {
                None => return outcome,
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let name = self.names.remove(&error.id()).unwrap_or_default();
                    tracing::error!(%error, "{name} ended early: deliveries end");
                    outcome = outcome.and(Err(DeliverError::Broken(name)));
                    self.halt.send_replace(true);
                }
            }
        }
    }
}

/// What comes before the first attempt, however long the state file refuses. `false` if the end came first.
async fn prepare(
    store: &StoreHandle,
    settings: &DeliverySettings,
    targets: &[Target],
    (seldom, mut shutdown): (&Seldom, watch::Receiver<bool>),
) -> Result<bool, StoreError> {
    loop {
        let begun = async {
            recover(store, settings).await?;
            warn_of_orphans(store, targets).await
        };
        let error = match begun.await {
            Ok(()) => return Ok(true),
            Err(error) if error.retry() == Retry::Never => return Err(error),
            Err(error) => error,
        };
        if let Some(held_back) = seldom.may_say("begin") {
            tracing::error!(%error, held_back, "deliveries have not begun: they wait for the state file");
        }
        tokio::select! {
            () = tokio::time::sleep(STORE_PAUSE) => {}
            changed = shutdown.changed() => if changed.is_err() || *shutdown.borrow() { return Ok(false) },
        }
    }
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
