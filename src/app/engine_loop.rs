//! The engine's thread: polls, counts, judges, and hands checkpoints to the store, for ever.
//!
//! While a checkpoint cannot be written, or waits for a slow disk, all partitions are paused and polling goes on for
//! news and errors only: what is counted but not durable stays bounded, and the records wait in Kafka.

mod answers;
mod checkpoints;
mod upkeep;

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::alert::AlertList;
use crate::api::{Asked, Health};
use crate::config::{Config, Span};
use crate::engine::{Engine, Standing, Trouble, TroubleKind};
use crate::registry::Registry;
use crate::source::{Incoming, KafkaSource};
use crate::store::{StoreHandle, WRITER_QUEUE};
use crate::subject::Millis;
use crate::view::{OutboxView, QueueView};

use super::catalog::References;
use super::clock::SteadyClock;
use super::outcomes::Outcomes;
use super::publish::Publisher;
use super::schemas::{Moment, Schemas};
use super::troubles::Troubles;
use super::{Stop, wall_clock};
use answers::Answers;
use checkpoints::{Failed, UnderWay};

/// How long a batch of records may take to fill.
pub const POLL_WAIT: Duration = Duration::from_millis(20);
/// Most records between two looks at everything else.
pub const POLL_BATCH: usize = 1_024;
/// How long windows are judged between two polls, so that neither many subjects at one edge nor a long catch-up keeps
/// records waiting.
pub const JUDGE_FOR: Millis = 10;
/// Edges that may be due before records wait for them, so that what is counted but not judged stays bounded.
pub const MOST_EDGES_DUE: u64 = 16;
/// Steps of judging between two looks at the clock.
pub const STEPS_AT_ONCE: usize = 16;
const STATUS_EVERY: Millis = 500;
const REGISTRY_EVERY: Millis = 1_000;
const REPEAT_ERROR_AFTER: Millis = 60_000;
/// How long the last commit to the group may take; it only shows the lag.
const LEAVE_PATIENCE: Duration = Duration::from_secs(5);

/// Everything the thread owns.
pub(super) struct EngineLoop {
    engine: Engine,
    source: KafkaSource,
    registry: Registry,
    store: StoreHandle,
    publisher: Publisher,
    stop: Stop,
    commands: mpsc::Receiver<Asked>,
    outcomes: Outcomes,
    answers: Answers,
    /// A list of alerts that is being made for readers.
    list: Option<AlertList>,
    clock: SteadyClock,
    checkpoint_every: Millis,
    dirty_bytes: usize,
    stalled_after: Millis,
    /// Silence that is told; 0 for never.
    no_data_after: Millis,
    last_record_at: Option<Millis>,
    /// Whether the last checkpoint could not be written.
    broken: bool,
    /// Partitions whose last records belong to open transactions: the end that can be read, since when, and told.
    open_transactions: HashMap<(String, i32), (i64, Millis)>,
    kafka_name: String,
    encrypted: bool,
    known_topics: Vec<String>,
    targets: Vec<String>,
    under_way: Option<UnderWay>,
    /// A checkpoint that is offered again at this time.
    failed: Option<Failed>,
    last_checkpoint_at: Option<Millis>,
    begun_at: Millis,
    dirty_since: Option<Millis>,
    urgent: bool,
    due: Due,
    registry_token: Option<i64>,
    references: References,
    told: HashMap<String, Millis>,
    troubles: Option<Troubles>,
    schemas: Option<Schemas>,
}

/// What takes long of a turn of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing did.
    Nothing,
    /// Rows were counted ahead of a checkpoint.
    Counting,
    /// A checkpoint was taken.
    Checkpoint,
    /// Alerts were listed for a while.
    Listing,
    /// What was due of edges was judged for a while.
    Judging,
}

/// Next times of what is done now and then.
#[derive(Debug, Default)]
struct Due {
    status: Millis,
    registry: Millis,
    discover: Millis,
    resets: Millis,
}

impl EngineLoop {
    pub(super) fn new(
        engine: Engine,
        source: KafkaSource,
        (registry, references): (Registry, References),
        store: StoreHandle,
        publisher: Publisher,
        config: &Config,
        (stop, commands, outcomes): (Stop, mpsc::Receiver<Asked>, Outcomes),
    ) -> Self {
        Self {
            engine,
            source,
            registry,
            references,
            store,
            publisher,
            stop,
            commands,
            outcomes,
            answers: Answers::default(),
            list: None,
            clock: SteadyClock::start(),
            checkpoint_every: Span::millis(config.checkpoint.every),
            dirty_bytes: config.checkpoint.dirty_bytes,
            stalled_after: Span::millis(config.windows.stalled_after),
            no_data_after: Span::millis(config.kafka.no_data_after),
            last_record_at: None,
            broken: false,
            open_transactions: HashMap::new(),
            kafka_name: config.kafka.bootstrap.clone(),
            encrypted: config.kafka.tls.is_some(),
            known_topics: config.kafka.topics.clone(),
            targets: config
                .sinks
                .iter()
                .map(|sink| sink.name.clone())
                .chain(config.actions.iter().map(|action| action.name.clone()))
                .collect(),
            under_way: None,
            failed: None,
            last_checkpoint_at: None,
            begun_at: SteadyClock::start().now(),
            dirty_since: None,
            urgent: false,
            due: Due::default(),
            registry_token: None,
            told: HashMap::new(),
            troubles: None,
            schemas: None,
        }
    }

    /// From where it hears what ails deliveries.
    pub(super) fn hear(&mut self, troubles: Troubles) {
        self.troubles = Some(troubles);
    }

    /// Where it has schemas of events looked up.
    pub(super) fn look_schemas_up(&mut self, schemas: Schemas) {
        self.schemas = Some(schemas);
    }

    /// Runs until asked to stop, then writes the last checkpoint.
    pub(super) fn run(mut self, health: &Health) -> anyhow::Result<()> {
        if self.engine.law().read > 0 {
            self.last_record_at = Some(self.clock.now());
        }
        let mut last = Turn::Nothing;
        while !self.stop.is_requested() {
            let now = self.clock.now();
            self.housekeeping(now, last, health)?;
            self.settle_checkpoint(now)?;
            self.look_up_schemas(now);
            let is_full = self.hold_back(now);
            if !self.engine.is_judging() {
                self.urgent |= self.outcomes.kill_switch(&mut self.engine, wall_clock());
                if !is_full {
                    self.take_orders();
                    self.take_troubles(wall_clock());
                }
            }
            self.poll(now);
            last = self.take_turn(now, last)?;
            health.tick(wall_clock());
        }
        self.finish()
    }

    /// One of what takes long, so that records wait for no two of them: listing alerts, a checkpoint, judging, or nothing where
    /// the status is due, which comes next. Where an edge is due, a checkpoint does not come twice in a row, nor while alerts are
    /// listed, which takes turns with judging.
    fn take_turn(&mut self, now: Millis, last: Turn) -> anyhow::Result<Turn> {
        if now >= self.due.status {
            return Ok(Turn::Nothing);
        }
        if self.list.is_some() && last != Turn::Listing {
            self.list_alerts();
            return Ok(Turn::Listing);
        }
        let may_judge = !self.source.is_paused();
        let comes_first = !matches!(last, Turn::Checkpoint | Turn::Listing);
        if comes_first || !may_judge || self.engine.edges_due() == 0 {
            let turn = self.begin_checkpoint(now)?;
            if turn != Turn::Nothing {
                return Ok(turn);
            }
        }
        if may_judge {
            self.close_panes(now);
        }
        Ok(Turn::Judging)
    }

    /// Pauses reading while what was counted cannot become durable, so that it stays bounded, and while records wait for
    /// their schema. Gives whether it is for the first reason.
    fn hold_back(&mut self, now: Millis) -> bool {
        let waits = self.under_way.is_some() || self.failed.is_some();
        let is_full = self.broken || (waits && self.engine.dirty_bytes() >= self.dirty_bytes);
        if is_full || self.schemas.as_ref().is_some_and(Schemas::wait) {
            self.source.pause();
        } else if self.source.is_paused() {
            self.source.resume();
            self.engine.look_anew(now);
            self.last_record_at = self.last_record_at.map(|_| now);
        }
        is_full
    }

    /// Lets records go whose schema is there.
    fn look_up_schemas(&mut self, now: Millis) {
        let Some(schemas) = &mut self.schemas else {
            // There may have been a registry before the configuration changed.
            self.urgent |= self.engine.clear(TroubleKind::SchemasAway, "", wall_clock());
            return;
        };
        let waited = schemas.wait();
        let looked_up = schemas.work(&mut self.engine, Moment { now, wall: wall_clock() });
        if waited {
            self.dirty_since.get_or_insert(now);
        }
        let Some(looked_up) = looked_up else { return };
        self.publisher.metrics().schema_looked_up(looked_up.outcome);
        if looked_up.is_trouble {
            let summary =
                "the schema registry does not answer: records wait for a schema, or are refused".to_owned();
            let trouble = Trouble { kind: TroubleKind::SchemasAway, of: String::new(), summary };
            self.urgent |= self.engine.raise(&trouble, wall_clock());
        } else if looked_up.outcome != "unanswered" {
            self.urgent |= self.engine.clear(TroubleKind::SchemasAway, "", wall_clock());
        }
        if let Some(problem) = looked_up.problem {
            let outcome = looked_up.outcome;
            self.tell(now, outcome, || tracing::error!(outcome, problem, "looking up the schema of events"));
        }
    }

    /// Orders of people, between two batches of records. A refusal changes nothing and is answered at once.
    fn take_orders(&mut self) {
        while let Ok(Asked { order, reply }) = self.commands.try_recv() {
            // Whoever gave it up was told that it may not be carried out, and may have decided otherwise since.
            if reply.is_closed() {
                continue;
            }
            match self.engine.command(&order) {
                Ok(answer) => {
                    self.urgent = true;
                    self.answers.add(reply, answer);
                }
                Err(error) => {
                    // A declined approval stands in the audit trail, and is durable with the next checkpoint.
                    self.dirty_since.get_or_insert(self.clock.now());
                    // The asker may have gone: then nobody is left to tell.
                    _ = reply.send(Err(error));
                }
            }
            self.outcomes.open_gate(&self.engine);
        }
    }

    fn take_troubles(&mut self, now: Millis) {
        if let Some(troubles) = &mut self.troubles {
            self.urgent |= troubles.apply(&mut self.engine, now);
        }
    }

    fn poll(&mut self, now: Millis) {
        let checkpoint = self.would_take_checkpoint(now);
        let engine = &mut self.engine;
        let wall = wall_clock();
        // While records are held back nothing is judged either, so there is nothing to hurry back to.
        let due = if self.source.is_paused() { 0 } else { engine.edges_due() };
        let wait = if due > 0 || checkpoint || self.list.is_some() { Duration::ZERO } else { POLL_WAIT };
        let most = if due > MOST_EDGES_DUE { 0 } else { POLL_BATCH };
        let schemas = &mut self.schemas;
        let taken = self.source.poll(wait, most, |incoming| match (schemas.as_mut(), incoming) {
            (Some(schemas), incoming) => schemas.take(engine, &incoming, Moment { now, wall }),
            (None, Incoming::Record(record)) => engine.ingest(&record, wall),
            (None, Incoming::Earlier(record)) => engine.remember(&record),
            (None, Incoming::AtEnd { topic, partition }) => engine.at_end(topic, partition, now),
        });
        if taken > 0 {
            self.dirty_since.get_or_insert(now);
            self.last_record_at = Some(now);
            // At once: the silence is over for whatever is judged now, and mutes none of it.
            self.urgent |= self.engine.clear(TroubleKind::NoData, "", wall);
        }
    }

    /// Silence of everything, after there was traffic, is worth telling.
    fn watch_silence(&mut self, now: Millis) {
        if self.no_data_after <= 0 {
            // It was watched for before the configuration changed.
            self.urgent |= self.engine.clear(TroubleKind::NoData, "", wall_clock());
            return;
        }
        let Some(last) = self.last_record_at else { return };
        let changed = if now - last < self.no_data_after {
            self.engine.clear(TroubleKind::NoData, "", wall_clock())
        } else {
            let minutes = self.no_data_after / 60_000;
            let summary = format!(
                "no record came from {} for {minutes} minutes (kafka.no_data_after)",
                self.kafka_name
            );
            self.engine
                .raise(&Trouble { kind: TroubleKind::NoData, of: String::new(), summary }, wall_clock())
        };
        self.urgent |= changed;
    }

    /// Judges for a while. Between two edges whatever else waits comes first.
    fn close_panes(&mut self, now: Millis) {
        let until = self.clock.now() + JUDGE_FOR;
        loop {
            let (progress, standing) = self.engine.advance_some(now, STEPS_AT_ONCE);
            if !progress.is_empty() {
                self.urgent |= !progress.notifications.is_empty() || progress.digests > 0;
                self.urgent |= !progress.decisions.is_empty();
                self.publisher.progress(progress);
            }
            if standing == Standing::EdgeDone {
                self.outcomes.open_gate(&self.engine);
            }
            if standing != Standing::Idle {
                // Windows are often judged after the last record came; their closing edge is to be durable as well.
                self.dirty_since.get_or_insert(now);
            }
            let waits =
                || !self.commands.is_empty() || self.checkpoint_is_due(now) || now >= self.due.registry;
            match standing {
                Standing::Idle => return,
                Standing::EdgeDone if waits() => return,
                Standing::EdgeDone | Standing::Judging if self.clock.now() >= until => return,
                Standing::EdgeDone | Standing::Judging => {}
            }
        }
    }

    fn housekeeping(&mut self, now: Millis, last: Turn, health: &Health) -> anyhow::Result<()> {
        // Positions stay while records wait that were read from there.
        let waits = self.schemas.as_ref().is_some_and(Schemas::wait);
        if now >= self.due.discover && !waits {
            self.discover(now)?;
            health.source(
                self.source.is_assigned(),
                &self.source.missing_topics().iter().cloned().collect::<Vec<_>>(),
            );
        }
        if now >= self.due.resets && !waits {
            self.reset_positions(now)?;
        }
        if now >= self.due.registry && !self.engine.is_judging() {
            self.due.registry = now + REGISTRY_EVERY;
            self.refresh_catalog(now);
        }
        self.urgent |= self.outcomes.take_in(&mut self.engine, self.publisher.metrics(), now)?;
        if now >= self.due.status && last == Turn::Nothing {
            self.due.status = now + STATUS_EVERY;
            self.urgent |= self.engine.expire_actions(now);
            self.outcomes.ask(&self.engine, now)?;
            self.broker_errors(now);
            self.statistics(now)?;
            if !self.source.is_paused() {
                self.watch_silence(now);
            }
            let writing_for = self.under_way.as_ref().map_or(0, |under_way| now - under_way.since);
            health.engine(
                writing_for.max(self.outcomes.waiting_for(now)),
                self.broken,
                self.engine.unknown_partitions(),
            );
            self.show_status();
        }
        Ok(())
    }

    fn show_status(&mut self) {
        let queues = vec![
            QueueView { queue: "store".to_owned(), depth: self.store.queued(), capacity: WRITER_QUEUE },
            QueueView {
                queue: "checkpoint".to_owned(),
                depth: usize::from(self.under_way.is_some()),
                capacity: 1,
            },
        ];
        let outbox = self.outbox();
        self.publisher.status(&mut self.engine, queues, outbox, self.last_checkpoint_at);
        if self.list.is_none() && (self.engine.alerts_changed() || self.answers.wait_for_list()) {
            self.begin_list();
        }
    }

    fn begin_list(&mut self) {
        self.answers.list_begun();
        self.list = Some(self.engine.begin_alert_list());
    }

    /// Goes on with the list of alerts for a while; what it says is shown once it is complete.
    fn list_alerts(&mut self) {
        let until = self.clock.now() + JUDGE_FOR;
        let Some(mut list) = self.list.take() else { return };
        while !self.engine.extend_alert_list(&mut list) {
            if self.clock.now() >= until {
                self.list = Some(list);
                return;
            }
        }
        self.publisher.alerts(list.into_views());
        self.answers.list_shown();
        if self.answers.wait_for_list() {
            self.begin_list();
        }
    }

    /// Waiting deliveries of every configured target as last heard, those with none too, so that a gauge returns to zero.
    fn outbox(&self) -> Vec<OutboxView> {
        let stats = self.outcomes.outbox();
        let idle = self.targets.iter().filter(|name| !stats.iter().any(|stats| stats.target == **name));
        let idle: Vec<OutboxView> =
            idle.map(|name| OutboxView { target: name.clone(), pending: 0 }).collect();
        let waiting = stats.iter().map(|stats| (stats.target.clone(), stats.pending + stats.inflight));
        waiting.map(|(target, pending)| OutboxView { target, pending }).chain(idle).collect()
    }

    /// Says something at most once a minute.
    fn tell(&mut self, now: Millis, what: &str, say: impl FnOnce()) {
        let last = self.told.get(what).copied();
        if last.is_none_or(|last| now - last >= REPEAT_ERROR_AFTER) {
            self.told.insert(what.to_owned(), now);
            say();
        }
    }
}
