//! The daemon as a whole: what is started, in what order, and how it stops.
//!
//! Only this module spawns threads and tasks and makes queues:
//! ```text
//! engine thread: Kafka → engine ──checkpoint (1 under way)──▶ store thread: SQLite
//!                       │                                        ▲  (queue of 64)
//!                       └─ board, metrics ◀─ HTTP tasks           └── delivery task per target, dead-letter task
//! ```
//! It stops by closing: the source ends, the last checkpoint is written, deliveries under way finish, the store's
//! queue runs dry.

mod approval_key;
mod backups;
mod catalog;
mod causes;
mod clock;
mod dead_letters;
mod engine_loop;
mod listeners;
mod memory;
mod outbox_desk;
mod outcomes;
mod publish;
mod recovery;
mod reload;
mod schemas;
mod troubles;
mod vital;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;

use crate::api;
use crate::config::{Avro, Config};
use crate::deliver::{self, Allowed, DeliverySettings};
use crate::engine::{Engine, Restored};
use crate::fault::{Place, reach};
use crate::registry::Registry;
use crate::source::{DeadLetters, KafkaSource};
use crate::store::{StateLock, StoreHandle, spawn_writer};
use crate::telemetry::Metrics;
use crate::view::Board;

use catalog::References;
use engine_loop::EngineLoop;
use listeners::{Listeners, Reload};
use outbox_desk::{Desk, Witness};
use outcomes::{Gate, Outcomes};
use publish::Publisher;
use recovery::Opened;
use reload::ReloadTargets;
use troubles::{Damage, Damaged};
use vital::Vital;

pub use backups::back_up;
pub use causes::in_one_line;
pub use clock::wall_clock;
pub use engine_loop::{JUDGE_FOR, MOST_EDGES_DUE, POLL_BATCH, POLL_WAIT, STEPS_AT_ONCE};
pub use recovery::{FetchedCopy, fetch_newest_good_copy, holds_state, note_recovery};

/// How long deliveries under way may take at the stop.
const GRACE: Duration = Duration::from_secs(10);

/// A request to stop, shared with signal handlers and tests.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks the daemon to drain and stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A daemon that was started; waits to be told to stop.
pub struct Daemon {
    runtime: tokio::runtime::Runtime,
    engine: std::thread::JoinHandle<anyhow::Result<()>>,
    store: std::thread::JoinHandle<()>,
    handle: StoreHandle,
    shutdown: watch::Sender<bool>,
    deliveries: tokio::task::JoinHandle<Result<(), deliver::DeliverError>>,
    stop: Stop,
    vital: Vital,
    backups: Option<std::thread::JoinHandle<()>>,
    /// Held until everything has ended: nobody else may count into the folder.
    _lock: StateLock,
    reload: Reload,
    reload_targets: Option<ReloadTargets>,
    /// Latest state of everything, as the API shows it.
    pub board: Arc<Board>,
    /// Address of metrics and health.
    pub address: SocketAddr,
    /// Address of the API and the page; the same unless the configuration names another.
    pub api_address: SocketAddr,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Starts everything. Each problem of the surroundings is found here, before the first record is read.
///
/// # Errors
/// When the data folder is not writable or in use, the state cannot be used, a port is taken, or a secret cannot be read.
pub fn start(config: &Config, stop: &Stop) -> anyhow::Result<Daemon> {
    let metrics = Arc::new(Metrics::with_budget(config.telemetry.max_series)?);
    let listeners = Listeners::bind(&config.http, Arc::clone(&metrics))?;
    let (address, api_address) = (listeners.address, listeners.api);
    let targets = deliver::targets(&config.sinks, &config.actions, &Allowed::from(&config.deliver));
    let targets = targets.map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })?;
    targets.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    crate::source::warnings(&config.kafka).iter().for_each(|warning| tracing::warn!("{warning}"));
    let lock = StateLock::take(&config.data_dir)?;
    backups::sweep(&config.data_dir);
    let Opened { mut store, restored, loss, orders_lost } = recovery::open(config)?;
    store.limit_outbox(config.deliver.max_open);
    reach(Place::StateOpened);
    let registry = Registry::beside(&store, &config.data_dir)?;
    let mut references = References::default();
    references.read_ahead(&registry)?;
    let mut engine = restored_engine(config, restored, &registry, &mut references)?;
    if let Some((loss, detail)) = loss {
        engine.state_was_lost(loss, &detail, wall_clock());
        if orders_lost {
            engine.orders_were_lost(wall_clock());
        }
        store.apply(&engine.checkpoint())?;
        recovery::forget_recovery(&config.data_dir)?;
    }
    engine.set_approval_key(approval_key::load(config)?);
    let gate = Gate::new(config.action_guards.kill_switch_file.clone());
    let source = KafkaSource::new(config)?;
    let dead_letters = DeadLetters::new(&config.kafka).context("kafka.dead_letter_topic")?;
    let board = Arc::new(Board::default());
    let (handle, store) = spawn_writer(store)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("edge")
        .enable_all()
        .build()
        .context("the threads of the edges")?;
    let (shutdown, shut) = watch::channel(false);
    let vital = Vital::new(stop.clone());
    let publisher = Publisher::new(Arc::clone(&board), Arc::clone(&metrics));
    let (commands, asked) = tokio::sync::mpsc::channel(api::COMMAND_QUEUE);
    let outcomes = Outcomes::new(handle.clone(), gate.clone());
    outcomes.open_gate(&engine);
    let damage = Damage::default();
    let (ailments, troubles) = troubles::channel(damage.clone());
    let mut engine_loop = EngineLoop::new(
        engine,
        source,
        (registry, references),
        handle.clone(),
        publisher,
        config,
        (stop.clone(), asked, outcomes),
    );
    engine_loop.hear(troubles);
    if let Some(registry) = config.events.avro.as_ref().and_then(|avro| avro.registry.as_ref()) {
        let (schemas, asking) = schemas::channel(registry, shut.clone())?;
        engine_loop.look_schemas_up(schemas);
        runtime.spawn(vital.keep("the client of the schema registry", asking));
    }
    let desk = Arc::new(Desk { store: handle.clone(), board: Arc::clone(&board) });
    let state = api::ApiState::new(Arc::clone(&board), Arc::clone(&metrics))
        .with_commands(commands)
        .with_outbox(desk)
        .with_gate(listeners.gate());
    let health = state.health();
    let engine = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || engine_loop.run(&health))
        .context("the engine's thread")?;
    let (live, targets) = watch::channel(Arc::new(targets.list));
    let witness = Witness { metrics: Arc::clone(&metrics), board: Arc::clone(&board), ailments };
    let emptied = deliver::run(
        handle.clone(),
        targets,
        DeliverySettings { guard: Arc::new(gate), ..DeliverySettings::from(&config.deliver) },
        Arc::new(witness),
        shut.clone(),
    );
    let deliveries = runtime.spawn(vital.keep("deliveries", emptied));
    let reload_targets = Some(ReloadTargets::new(config, live, Arc::clone(&metrics)));
    if let Some(dead_letters) = dead_letters {
        let carried = dead_letters::run(handle.clone(), dead_letters, damage.clone(), shut.clone());
        runtime.spawn(vital.keep("the carrier of pointers to refused records", carried));
    }
    let backups = match config.checkpoint.backup.clone() {
        Some(backup) => {
            let tell = (Arc::clone(&metrics), damage);
            Some(backups::spawn(config.data_dir.clone(), backup, tell, (stop.clone(), vital.clone()))?)
        }
        None => {
            damage.set(Damaged::Copies, None);
            None
        }
    };
    let reload = listeners.open(&state, &shut, (&runtime, &vital))?;
    let stop = stop.clone();
    Ok(Daemon {
        runtime,
        engine,
        store,
        handle,
        shutdown,
        deliveries,
        stop,
        vital,
        backups,
        _lock: lock,
        reload,
        reload_targets,
        board,
        address,
        api_address,
    })
}

/// Waits for deliveries under way.
async fn drained(
    deliveries: tokio::task::JoinHandle<Result<(), deliver::DeliverError>>,
) -> anyhow::Result<()> {
    match tokio::time::timeout(GRACE, deliveries).await {
        Ok(Ok(ended)) => ended.context("deliveries cannot go on"),
        Ok(Err(_)) => Err(anyhow::anyhow!("deliveries ended early, by an error in this program")),
        Err(_) => {
            tracing::warn!(
                "deliveries under way were cut short; they are in the outbox and go on at the next start"
            );
            Ok(())
        }
    }
}

fn restored_engine(
    config: &Config,
    mut restored: Restored,
    registry: &Registry,
    references: &mut References,
) -> anyhow::Result<Engine> {
    let mut engine = Engine::new(config);
    if let Some(path) = config.events.avro.as_ref().and_then(|avro| avro.schema.as_deref()) {
        engine.set_event_schema(Avro::read_schema(path).map_err(anyhow::Error::msg)?);
    }
    // Nobody reads a topic any more that left the configuration; its partitions hold nothing back.
    restored.positions.retain(|position| config.kafka.topics.contains(&position.topic));
    let fresh = restored.positions.is_empty();
    let report = engine.restore(restored, |id| references.load(registry, id))?;
    if !fresh {
        let (panes, left_out) = (report.panes, report.panes_left_out);
        tracing::info!(panes, left_out, "took up the state of the last run");
    }
    engine.set_memory_budget(memory::of_windows(config)?);
    engine.set_catalog(&catalog::entries(registry, references)?);
    engine.set_models(&registry.models()?, wall_clock());
    reach(Place::StateRestored);
    Ok(engine)
}

impl Daemon {
    /// Waits until the engine ends, which it does when it is asked to stop or cannot go on, or when a task that the daemon
    /// cannot do without has ended, then stops the rest.
    ///
    /// # Errors
    /// What ended the engine, the deliveries or a task, if they were not asked to.
    pub fn wait(self) -> anyhow::Result<()> {
        let Self {
            runtime, engine, store, handle, shutdown, deliveries, stop, vital, backups, _lock, ..
        } = self;
        let outcome =
            engine.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the engine's thread ended early")));
        stop.request();
        shutdown.send_replace(true);
        let told = runtime.block_on(drained(deliveries));
        drop(handle);
        runtime.shutdown_timeout(Duration::from_secs(2));
        if store.join().is_err() {
            tracing::error!("the store's thread ended early");
        }
        // A copy under way is given up with the process: without its manifest it is none.
        drop(backups);
        outcome.and(told).and(vital.outcome())
    }

    /// Work on the state file beside the daemon, for its own commands.
    #[must_use]
    pub fn store(&self) -> &StoreHandle {
        &self.handle
    }

    /// Asks the daemon to stop when the process is told to, and to read secrets, templates, tokens and certificates
    /// again on SIGHUP.
    ///
    /// # Errors
    /// When the system refuses signal handlers.
    pub fn stop_on_signals(&mut self) -> anyhow::Result<()> {
        if let Some(reload) = self.reload_targets.take() {
            reload.on_hangup(self.runtime.handle(), &self.vital)?;
        }
        let stop = self.stop.clone();
        let _guard = self.runtime.enter();
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        self.runtime.spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("asked to stop: draining");
            stop.request();
        });
        let mut hang_up = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        let reload = self.reload.clone();
        let reloading = async move {
            while hang_up.recv().await.is_some() {
                reload.reload();
            }
        };
        self.runtime.spawn(self.vital.keep("the reload of tokens and certificates", reloading));
        Ok(())
    }
}

/// Folder of the state, for commands that work on it without a daemon.
#[must_use]
pub fn data_dir(config: &Config) -> PathBuf {
    config.data_dir.clone()
}
