//! The synchronous core in one piece: records in, windows, verdicts, alerts and deliveries out, all as plain data.
//!
//! No threads, no files, no clock: time is an argument. What it returns is published and written by the edges; what it
//! must remember leaves through [`Engine::checkpoint`] and comes back through [`Engine::restore`]. Replaying the same
//! records gives the same checkpoints, transitions and keys.
//!
//! Law L-1: `read = refused + late + future + unmatched + duplicate + counted`, at every moment.

mod actions;
mod budgeted;
mod burn;
mod changed;
mod checkpoint;
mod command;
mod completeness;
mod decoder;
mod documents;
mod ingest;
mod judging;
mod labels;
mod misfits;
mod sequences;
mod sharing;
mod tell;
mod trouble;
mod unknown;
mod views;
mod watches;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

pub use checkpoint::*;
pub use command::*;
pub use completeness::StateLoss;
pub use documents::CoreDocument;
pub use judging::Standing;
pub use trouble::{SELF, Trouble, TroubleKind};

pub use crate::window::record_hash;

use crate::action::{Actions, Decided, ModelFacts, VersionFacts};
use crate::alert::{AlertStep, Alerts, Notification, SinkFilter, Suppression};
use crate::config::Config;
use crate::event::NameRules;
use crate::monitor::Judge;
use crate::monitor::calibrated::Topic;
use crate::reference::Reference;
use crate::subject::Millis;
use crate::view::{LawCounters, WindowView};
use crate::window::{Dedup, Partitions, WatchedVersion, WindowSettings, Windows};

/// Rows that are counted in one go ahead of a checkpoint: a few milliseconds.
const SETTLE_AHEAD: usize = 8_192;

/// A version that is to be watched, with what the registry says of it.
#[derive(Debug, Clone)]
pub struct CatalogEntry {
    /// The version and its active reference.
    pub watched: WatchedVersion,
    /// Facts that guard actions.
    pub facts: VersionFacts,
}

/// What one call of [`Engine::advance`] brought about.
#[derive(Debug, Default)]
pub struct Progress {
    /// Windows that were judged, in order of their ends.
    pub windows: Vec<WindowView>,
    /// Steps in the lives of alerts.
    pub steps: Vec<AlertStep>,
    /// Transitions that were put into the outbox.
    pub notifications: Vec<Notification>,
    /// Decisions on actions.
    pub decisions: Vec<Decided>,
    /// Why alerts were kept back, once each.
    pub suppressed: Vec<Suppression>,
    /// Digests that were put into the outbox.
    pub digests: usize,
}

impl Progress {
    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let told = self.notifications.is_empty() && self.decisions.is_empty() && self.digests == 0;
        told && self.windows.is_empty() && self.steps.is_empty() && self.suppressed.is_empty()
    }
}

/// The core.
#[derive(Debug)]
pub struct Engine {
    decoder: decoder::Decoder,
    names: NameRules,
    silence_after: Option<Millis>,
    partitions: Partitions,
    windows: Windows,
    /// The edge under way, and what was judged of it but not given out.
    judging: Option<Box<judging::Boundary>>,
    judged: Progress,
    judge: Judge,
    watches: watches::Watches,
    /// Watches over the versions of a model against one another.
    versions: watches::Watches,
    /// Where the events can be read again.
    topic: Topic,
    labels: labels::Labels,
    sequences: sequences::Sequences,
    /// How many versions share each model's budget.
    sharing: sharing::Sharing,
    burns: burn::Burns,
    alerts: Alerts,
    actions: Actions,
    facts: HashMap<(String, String), VersionFacts>,
    models: BTreeMap<String, ModelFacts>,
    law: LawCounters,
    watermark: Option<Millis>,
    outbox: Vec<OutboxRow>,
    refused: Vec<RefusedRecord>,
    audit: Vec<AuditRow>,
    troubles: trouble::Troubles,
    completeness: completeness::Completeness,
    /// Partitions whose stored position no longer holds, since the last checkpoint.
    resets: Vec<(String, i32)>,
    dedup: Option<Dedup>,
    /// Topics with partitions that stand still, and how many.
    /// The clock at the last look; never an event time.
    now: Millis,
    unknown: unknown::Unknown,
    /// Whether the references in use may be others than when they were last looked at.
    new_references: bool,
    core_dirty: bool,
    /// Whether alerts may look otherwise than when the last list of them was begun.
    alerts_changed: bool,
    /// Threads that judge an edge, this one among them.
    threads: usize,
}

impl Engine {
    /// A core that has seen nothing.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let settings =
            WindowSettings::new(&config.windows, config.segments.as_ref(), config.monitor.watch_window());
        let min_rows = config.windows.min_rows;
        let labels = labels::Labels::new(config, &settings);
        let sharing = labels.sharing(settings.longest());
        let mut windows = Windows::new(settings);
        windows.set_versions_per_model(config.memory.versions_per_model);
        windows.set_latency_bounds(&config.monitor.latency.buckets_ms);
        Self {
            decoder: decoder::Decoder::new(config),
            names: NameRules {
                model: config.events.model_from.clone(),
                version: config.events.version_from.clone(),
            },
            silence_after: config.monitor.silence_after.map(crate::config::Span::millis),
            partitions: Partitions::default(),
            windows,
            judging: None,
            judged: Progress::default(),
            judge: Judge::new(
                config.monitor.clone(),
                min_rows,
                config.alerts.clear_below,
                config.segments.as_ref().map(|segments| segments.field.clone()),
            ),
            watches: watches::Watches::new(&config.monitor, budgeted::CALIBRATED_WATCH),
            versions: watches::Watches::new(&config.monitor, budgeted::VERSION_WATCH),
            topic: watches::topic(config),
            labels,
            sequences: sequences::Sequences::new(&config.monitor),
            sharing,
            burns: burn::Burns::new(config),
            alerts: Alerts::new(
                config.alerts.clone(),
                config.sinks.iter().map(SinkFilter::of).collect(),
                !config.actions.is_empty(),
            ),
            actions: Actions::new(config),
            facts: HashMap::new(),
            models: BTreeMap::new(),
            law: LawCounters::default(),
            watermark: None,
            outbox: Vec::new(),
            refused: Vec::new(),
            audit: Vec::new(),
            troubles: trouble::Troubles::default(),
            completeness: completeness::Completeness::default(),
            resets: Vec::new(),
            dedup: config.events.dedup.as_ref().map(|dedup| Dedup::new(dedup.last)),
            now: Millis::MIN,
            unknown: unknown::Unknown::default(),
            new_references: true,
            core_dirty: false,
            alerts_changed: true,
            threads: crate::workers::available(),
        }
    }

    /// Bounds the memory of windows, in bytes, for models and segments that come from now on.
    pub fn set_memory_budget(&mut self, bytes: usize) {
        self.windows.set_budget(bytes);
    }

    /// Has edges judged by so many threads, this one among them, instead of as many as the machine has. What they bring does
    /// not depend on it.
    pub fn set_threads(&mut self, threads: usize) {
        self.threads = threads.max(1);
    }

    /// Replaces what the registry offers. Events of versions left out are refused from now on.
    pub fn set_catalog(&mut self, entries: &[CatalogEntry]) {
        self.finish_edge();
        let watched: Vec<WatchedVersion> = entries.iter().map(|entry| entry.watched.clone()).collect();
        self.core_dirty |= self.windows.watch(&watched);
        self.alerts_changed = true;
        self.new_references = true;
        self.forget_unneeded();
        let name = |entry: &CatalogEntry| (entry.watched.model.clone(), entry.watched.version.clone());
        self.facts = entries.iter().map(|entry| (name(entry), entry.facts.clone())).collect();
        let facts = &self.facts;
        self.alerts.retain(|model, version| facts.contains_key(&(model.to_owned(), version.to_owned())));
        let plans = self.windows.plans().flat_map(|(_, _, plans)| plans.entries());
        let ids: HashSet<&str> = plans.map(|(_, id)| id).collect();
        let in_use = |id: &str| ids.contains(id);
        self.judge.retain(in_use);
        let watched =
            |model: &str, version: &str| facts.contains_key(&(model.to_owned(), version.to_owned()));
        self.watches.retain(in_use, watched);
        self.versions.retain(in_use, watched);
        let models: HashSet<&str> = facts.keys().map(|(model, _)| model.as_str()).collect();
        self.labels.retain(in_use, watched, |model| models.contains(model));
        self.sharing.retain(|model| models.contains(model));
        self.sequences.retain(watched);
        self.burns.retain(watched);
    }

    /// Forgets versions that left, once nothing looks at their events any more. Between two edges only.
    fn forget_unneeded(&mut self) {
        let Self { windows, labels, .. } = self;
        let needed =
            |model: &str, version: &str, reference: &str| labels.join.needs(model, version, reference);
        self.core_dirty |= windows.forget_unneeded(needed);
        labels.join.forget_lanes(|model, version, id| windows.plan_of(model, version, id).is_some());
    }

    /// Notes that a partition's position has reached the end of its log; `now` is a clock that only goes forward.
    pub fn at_end(&mut self, topic: &str, partition: i32, now: Millis) {
        self.partitions.entry(topic, partition).is_at_end(now);
    }

    /// Notes the end of a partition's log: that of what can be read, and that of everything written.
    pub fn set_end_offset(&mut self, topic: &str, partition: i32, end: i64, written: i64) {
        self.partitions.entry(topic, partition).ends(end, written);
    }

    /// Notes whether the broker that has a partition answers; `now` is a clock that only goes forward.
    pub fn broker_answers(&mut self, topic: &str, partition: i32, answers: bool, now: Millis) {
        self.partitions.entry(topic, partition).broker_answers(answers, now);
    }

    /// Estimate of what the next checkpoint writes, in bytes.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        /// A row of the outbox with a full notification, and one about a refused record.
        const ROWS: [usize; 2] = [4_096, 256];
        let counts = self.windows.dirty_bytes() + self.labels.join.dirty_bytes();
        counts + self.outbox.len() * ROWS[0] + self.refused.len() * ROWS[1]
    }

    /// Where a partition goes on; `None` if it was never read.
    #[must_use]
    pub fn resume(&self, topic: &str, partition: i32) -> Option<Resume> {
        let found = self.partitions.iter().find(|((name, number), _)| name == topic && *number == partition);
        let (_, state) = found?;
        Some(Resume { next_offset: state.next_offset?, last_record_hash: state.last_record.hash() })
    }

    /// Whether any partition of a topic was read before.
    #[must_use]
    pub fn knows_topic(&self, topic: &str) -> bool {
        self.partitions.iter().any(|((name, _), state)| name == topic && state.next_offset.is_some())
    }

    /// The conservation law's counters.
    #[must_use]
    pub fn law(&self) -> &LawCounters {
        &self.law
    }

    /// Event time up to which every window is complete.
    #[must_use]
    pub fn watermark(&self) -> Option<Millis> {
        self.watermark
    }

    /// Counts some of the rows that wait, ahead of a checkpoint; gives whether so many are left that it would keep records
    /// waiting.
    pub fn settle_ahead(&mut self) -> bool {
        !self.is_judging() && self.windows.settle_ahead(SETTLE_AHEAD)
    }

    /// Step 5: everything that changed since the last checkpoint; an edge under way is finished first. The caller must
    /// write it, or keep it and write it later: it is not given out twice.
    pub fn checkpoint(&mut self) -> Checkpoint {
        self.windows.settle();
        self.finish_edge();
        self.forget_unneeded();
        let mut documents = self.alerts.take_documents();
        if let Some(text) = self.actions.take_document() {
            documents.insert(documents::ACTIONS.to_owned(), Some(text));
        }
        if let Some(text) = self.troubles.take_document() {
            documents.insert(documents::TROUBLES.to_owned(), Some(text));
        }
        documents.append(&mut self.judge.take_documents());
        documents.append(&mut self.watches.take_documents());
        documents.append(&mut self.versions.take_documents());
        documents.append(&mut self.labels.watches.take_documents());
        documents.extend(self.labels.join.take_documents());
        documents.append(&mut self.sequences.take_documents());
        documents.append(&mut self.sharing.take_documents());
        documents.append(&mut self.burns.take_documents());
        if let Some(text) = self.completeness.take_document() {
            documents.insert(documents::GAPS.to_owned(), Some(text));
        }
        let positions = self.partitions.take_dirty();
        let core_changed = std::mem::take(&mut self.core_dirty) || !positions.is_empty();
        Checkpoint {
            subjects: self.windows.take_new_subjects(),
            left_subjects: self.windows.take_left_subjects(),
            gone_panes: self.windows.take_gone_panes(),
            panes: self.windows.take_dirty_panes(),
            drop_panes_below: self.windows.needed_from(),
            resets: std::mem::take(&mut self.resets),
            positions,
            documents,
            core: core_changed.then(|| CoreDocument::of(self)),
            outbox: std::mem::take(&mut self.outbox),
            refused: std::mem::take(&mut self.refused),
            audit: std::mem::take(&mut self.audit),
        }
    }

    /// Takes up the state of an earlier run. `load` fetches a reference by its content address.
    ///
    /// # Errors
    /// When a document of the state file is not one of this program's.
    pub fn restore(
        &mut self,
        restored: Restored,
        load: impl FnMut(&str) -> Option<Arc<Reference>>,
    ) -> Result<RestoreReport, RestoreError> {
        documents::restore(self, restored, load)
    }
}

/// Where a partition goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// Offset of the next record to count.
    pub next_offset: i64,
    /// Hash of the record before it, as [`record_hash`] makes it.
    pub last_record_hash: Option<u64>,
}

/// What a restore could not use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Panes taken up.
    pub panes: usize,
    /// Panes left out because their reference is gone or they are damaged.
    pub panes_left_out: usize,
}

/// Why state cannot be taken up.
#[derive(Debug, thiserror::Error)]
#[error("the document `{name}` of the state file cannot be read: {source}")]
pub struct RestoreError {
    /// Name of the document.
    pub name: String,
    /// What is wrong with it.
    pub source: serde_json::Error,
}
