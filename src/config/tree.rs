//! The typed configuration tree with its defaults. Reading and checking a file is `config/mod.rs`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Action, ActionGuards, Alerts, Avro, Deliver, EventFormat, Http, Kafka, Memory, Monitor, Sink, Span,
};

/// Everything a configuration file can say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of the state file and the references. Must be writable.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// Where events come from.
    pub kafka: Kafka,
    /// How a record becomes an event.
    #[serde(default)]
    pub events: Events,
    /// Panes, horizons, lateness.
    #[serde(default)]
    pub windows: Windows,
    /// Splitting of a model's traffic.
    #[serde(default)]
    pub segments: Option<Segments>,
    /// Detectors and their thresholds.
    #[serde(default)]
    pub monitor: Monitor,
    /// Life cycle of alerts.
    #[serde(default)]
    pub alerts: Alerts,
    /// Who is told.
    #[serde(default)]
    pub sinks: Vec<Sink>,
    /// What is started.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// Guards over all actions together.
    #[serde(default)]
    pub action_guards: ActionGuards,
    /// How both are delivered.
    #[serde(default)]
    pub deliver: Deliver,
    /// Listener of metrics, health and API.
    #[serde(default)]
    pub http: Http,
    /// What the process may hold.
    #[serde(default)]
    pub memory: Memory,
    /// Checkpoints of counts, offsets, alerts and outbox.
    #[serde(default)]
    pub checkpoint: CheckpointSettings,
    /// Logs and metrics.
    #[serde(default)]
    pub telemetry: Telemetry,
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("./data")
}

/// How a record becomes an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// Encoding of the records' values.
    pub format: EventFormat,
    /// Where the schemas of Avro events are; needed by `format: avro`.
    pub avro: Option<Avro>,
    /// Where the model's name is read.
    pub model_from: NameSource,
    /// Where the model's version is read.
    pub version_from: NameSource,
    /// Largest record value in bytes.
    #[schemars(range(min = 1))]
    pub max_bytes: usize,
    /// Most features of one event.
    #[schemars(range(min = 1))]
    pub max_features: usize,
    /// Deepest nesting, the event itself being 1.
    #[schemars(range(min = 2))]
    pub max_depth: usize,
    /// Drops events whose `id` was seen shortly before. Absent: every event counts.
    pub dedup: Option<Dedup>,
    /// Labels that come later than their prediction.
    pub labels: LateLabels,
}

/// Finding events that were produced twice. Feedback and predictions of one `id` are not each other's duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dedup {
    /// How many offsets of the same partition back an `id` is remembered; about 52 bytes of memory each.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub last: u32,
}

impl Default for Dedup {
    fn default() -> Self {
        Self { last: 1_000_000 }
    }
}

/// Labels that come in feedback events with the `id` of their prediction. They are joined for models whose baseline has
/// score and label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LateLabels {
    /// How much later than its prediction a label may be, by event time. Performance is judged at the latest so long after
    /// the window of the predictions.
    pub wait: Span,
    /// Most predictions of all models that wait for their label, at about 130 bytes of memory each and two per numeric
    /// feature; the oldest leave first. 0 joins none.
    #[schemars(range(max = 100_000_000))]
    pub max: usize,
    /// Labelled share of a window's predictions at which its performance is judged before `wait` is over.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub complete: f64,
}

impl Default for LateLabels {
    fn default() -> Self {
        Self { wait: Span::from_hours(7 * 24), max: 200_000, complete: 0.95 }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self {
            format: EventFormat::Json,
            avro: None,
            model_from: NameSource::Event,
            version_from: NameSource::Event,
            max_bytes: 1 << 20,
            max_features: 1_024,
            max_depth: 16,
            dedup: None,
            labels: LateLabels::default(),
        }
    }
}

/// A place where a name can stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NameSource {
    /// The event's own field.
    #[default]
    Event,
    /// The record's topic.
    Topic,
    /// The record's key.
    Key,
    /// A record header of this name.
    Header(String),
    /// The same for every record.
    Fixed(String),
}

/// Panes, horizons, lateness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Windows {
    /// Smallest slice of event time that is counted apart; at most 1h.
    pub pane: Span,
    /// Lengths of the rolling windows that are judged; each a multiple of the pane.
    #[schemars(length(min = 1))]
    pub horizons: Vec<Horizon>,
    /// How much later than the newest event of its partition an event may be.
    pub lateness: Span,
    /// How long after its pane was sealed a late event still amends the pane and the next windows.
    pub correction: Span,
    /// How far ahead of the clock an event may be.
    pub max_ahead: Span,
    /// Time without a record that moves its event time, of a broker that answers, after which a partition at its end no
    /// longer holds the watermark back.
    pub idle_after: Span,
    /// How long a partition that is behind and tells no event time, or whose broker is silent, holds the windows back
    /// while others go on. After it they are judged without the partition, with a coverage below 1.
    pub stalled_after: Span,
    /// Coverage below which a window is `insufficient`: the share of its time in which no record is known to be missing.
    #[schemars(range(min = 0, max = 1))]
    pub min_coverage: f64,
    /// Rows below which a window is `insufficient`.
    #[schemars(range(min = 1))]
    pub min_rows: u64,
}

impl Default for Windows {
    fn default() -> Self {
        let horizon = |length| Horizon { length, every: None };
        Self {
            pane: Span::from_mins(1),
            horizons: vec![
                horizon(Span::from_mins(15)),
                horizon(Span::from_hours(1)),
                horizon(Span::from_hours(24)),
            ],
            lateness: Span::from_mins(2),
            correction: Span::from_millis(0),
            max_ahead: Span::from_mins(5),
            idle_after: Span::from_secs(60),
            stalled_after: Span::from_mins(10),
            min_coverage: 0.95,
            min_rows: 200,
        }
    }
}

/// A rolling window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Horizon {
    /// Length of the window; also its name.
    pub length: Span,
    /// How often it is judged; by default a twelfth of its length, at least one pane.
    #[serde(default)]
    pub every: Option<Span>,
}

impl Horizon {
    /// Name of the horizon in labels, alerts and queries: its length, `24h`.
    #[must_use]
    pub fn name(&self) -> String {
        self.length.to_string()
    }

    /// Time between two judgements: as configured, else a twelfth of the length in whole panes, at least one.
    #[must_use]
    pub fn step(&self, pane: Span) -> Span {
        let default = || {
            let panes = (self.length.millis() / 12 / pane.millis().max(1)).max(1);
            Span::from_millis(panes * pane.millis())
        };
        self.every.unwrap_or_else(default)
    }
}

/// Splitting of a model's traffic by one field of the event's `segment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Segments {
    /// Name in the event's `segment`, or else in its `features`.
    #[schemars(length(min = 1))]
    pub field: String,
    /// Most segments per model version; further values are counted only in the whole.
    #[serde(default = "default_max_segments")]
    #[schemars(range(min = 1, max = 1000))]
    pub max: usize,
}

fn default_max_segments() -> usize {
    crate::reference::MAX_SEGMENTS
}

/// When state is written, what becomes of a damaged state file, and where its copies go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointSettings {
    /// Longest time between two checkpoints while events arrive.
    pub every: Span,
    /// Size of what is not durable yet that brings the next checkpoint forward, in bytes.
    #[schemars(range(min = 65_536))]
    pub dirty_bytes: usize,
    /// What to do at a start whose state file is damaged.
    pub on_corruption: OnCorruption,
    /// Copies of the state file; absent: none.
    pub backup: Option<Backup>,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self {
            every: Span::from_secs(10),
            dirty_bytes: 64 << 20,
            on_corruption: OnCorruption::default(),
            backup: None,
        }
    }
}

/// What to do with a damaged state file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnCorruption {
    /// Set it aside and go on from the newest good copy, or else count anew from Kafka. No action is started for the
    /// length of the longest horizon.
    #[default]
    Rebuild,
    /// Stop with an error and let a person decide.
    Halt,
}

/// Where copies of the state file go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// A folder, or `file://`, `s3://`, `gs://` or `az://`; credentials come from the environment.
    #[schemars(length(min = 1))]
    pub to: String,
    /// Time between two copies.
    #[serde(default = "default_backup_every")]
    pub every: Span,
    /// Copies that are kept.
    #[serde(default = "default_backup_keep")]
    #[schemars(range(min = 1, max = 1000))]
    pub keep: usize,
}

fn default_backup_every() -> Span {
    Span::from_mins(15)
}

fn default_backup_keep() -> usize {
    3
}

/// Logs and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written, in the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// Most metric series about features; further ones are dropped and counted.
    #[schemars(range(min = 1))]
    pub max_series: usize,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log_format: LogFormat::Auto, log_filter: "info".to_owned(), max_series: 100_000 }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Readable on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// One JSON object per line.
    Json,
    /// Readable text.
    Text,
}
