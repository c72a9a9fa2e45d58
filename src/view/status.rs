//! Where the process stands: the conservation law, positions, lag and queues.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EstimateView, JoinView, LabelsView, LatencyHistogram};
use crate::subject::Millis;

/// Counters of the conservation law; they are part of the checkpoint and survive a restart.
///
/// ```
/// use anchorwatch::view::LawCounters;
/// let mut law = LawCounters { read: 3, counted: 2, ..LawCounters::default() };
/// assert!(!law.holds());
/// law.refused.insert("not_json".into(), 1);
/// assert!(law.holds());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LawCounters {
    /// Records read from the source.
    pub read: u64,
    /// Records counted in a pane.
    pub counted: u64,
    /// Records after the pane was closed.
    pub late: u64,
    /// Records too far ahead of the clock.
    pub future: u64,
    /// Records of a model or version without an active reference, and feedback without its prediction.
    pub unmatched: u64,
    /// Records that were counted before.
    pub duplicate: u64,
    /// Of the unmatched ones, those of a version that was not admitted; and counted ones that were not in their segment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not_admitted: BTreeMap<Cow<'static, str>, u64>,
    /// Refused records without a pointer, because too many came between two checkpoints.
    #[serde(skip_serializing_if = "is_zero")]
    pub pointers_dropped: u64,
    /// Records that are no event, by reason.
    pub refused: BTreeMap<Cow<'static, str>, u64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl LawCounters {
    /// Records refused for any reason.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Law L-1: `read = refused + late + future + unmatched + duplicate + counted`.
    #[must_use]
    pub fn holds(&self) -> bool {
        let left =
            [self.refused_total(), self.late, self.future, self.unmatched, self.duplicate, self.counted];
        self.read == left.iter().sum::<u64>()
    }
}

/// Events counted for one model version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventCount {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// Events counted since the state file was created.
    pub events: u64,
    /// Of these, the ones that came after a later one of their partition.
    #[serde(default)]
    pub out_of_order: u64,
    /// The latest event time of all.
    #[serde(default)]
    pub newest: Option<Millis>,
}

/// A model or version that nobody registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UnknownView {
    /// Model as the events name it.
    pub model: String,
    /// Version as the events name it.
    pub version: Option<String>,
    /// Events since the start, at most.
    pub events: u64,
    /// By how many events that may be too high: others were forgotten for it.
    pub over: u64,
}

/// A version that is known, but not counted, or not in its segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotAdmittedView {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// `memory`, `versions`, `segment_memory` or `segments`.
    pub reason: String,
    /// Events since the start.
    pub events: u64,
}

/// What the scanner learned of the events' names and their order, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EventShapesView {
    /// Forms, those that took the place of others included.
    pub learned: u64,
    /// Forms that got more names.
    pub widened: u64,
    /// Forms that were forgotten for a new one: more are in use than are remembered.
    pub forgotten: u64,
    /// Events with a new form that was not learned, because too much was learned just before.
    pub declined: u64,
}

/// Memory of windows in bytes, as estimated when subjects are admitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MemoryView {
    /// What may be spoken for.
    pub budget: usize,
    /// What is.
    pub charged: usize,
    /// Versions that are known: those in the registry, and those that windows still look at.
    pub versions: usize,
    /// Versions that left the registry and were forgotten since the start.
    pub forgotten: u64,
}

/// Where one partition stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PositionView {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset of the next record to count.
    pub next_offset: i64,
    /// End of the partition's log when it was last asked.
    pub end_offset: Option<i64>,
    /// Largest event time seen.
    pub max_event_time: Option<Millis>,
}

impl PositionView {
    /// Records between the position and the end of the log; never negative.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        self.end_offset.map(|end| end.saturating_sub(self.next_offset).max(0))
    }
}

/// Depth of one queue of `app.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QueueView {
    /// Name of the queue.
    pub queue: String,
    /// Items in it.
    pub depth: usize,
    /// Most items it holds.
    pub capacity: usize,
}

/// Deliveries of one target that are not yet confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OutboxView {
    /// Name of the sink or action.
    pub target: String,
    /// Deliveries waiting or being tried.
    pub pending: u64,
}

/// How often a version alarmed under the false-alarm budget, beside what the budget allows; since the state file was
/// created, or the version watched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct AlarmRateView {
    /// Model name.
    pub model: String,
    /// Model version; where versions are compared with one another, the one whose reference is used.
    pub version: String,
    /// Which windows: `calibrated`, `performance` or `versions`. They share the budget.
    pub horizon: &'static str,
    /// Severity: alarms of it or worse.
    pub severity: &'static str,
    /// Windows judged.
    pub windows: u64,
    /// Runs of windows in which an alarm was on; each 48 windows of a longer run count anew.
    pub episodes: u64,
    /// Windows in which one was on.
    pub windows_with_alarm: u64,
    /// False alarms that the version's part of the model's budget allows in 30 days, of all horizons together: now, when so
    /// many versions share it.
    pub allowed_per_30d: f64,
    /// Episodes in 30 days of the windows judged, drift or not; absent before the first.
    pub observed_per_30d: Option<f64>,
}

/// Where the process stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct StatusView {
    /// The conservation law.
    pub law: LawCounters,
    /// Events per model version.
    pub events: Vec<EventCount>,
    /// Positions of the assigned partitions.
    pub positions: Vec<PositionView>,
    /// Event time up to which every window is complete.
    pub watermark: Option<Millis>,
    /// Edges of panes that the watermark has passed and that are not judged yet.
    pub edges_due: u64,
    /// Queues.
    pub queues: Vec<QueueView>,
    /// Deliveries not yet confirmed.
    pub outbox: Vec<OutboxView>,
    /// Memory of windows.
    pub memory: MemoryView,
    /// What the scanner learned of the events' forms.
    pub event_shapes: EventShapesView,
    /// Models and versions that nobody registered, at most a hundred, the most frequent first.
    pub unknown: Vec<UnknownView>,
    /// Versions that are not counted, or not in their segments, and why.
    pub not_admitted: Vec<NotAdmittedView>,
    /// Predictions and labels that wait for each other, by model.
    pub joins: Vec<JoinView>,
    /// How far the labels of each version have come.
    pub labels: Vec<LabelsView>,
    /// Performance expected of the latest window of each version, without labels; begins anew after a restart.
    pub estimates: Vec<EstimateView>,
    /// How often each version alarmed under the false-alarm budget.
    pub alarm_rates: Vec<AlarmRateView>,
    /// Latencies of each version that has any, for the metrics; shared with the engine until the next pane closes.
    #[serde(skip)]
    pub latencies: Vec<Arc<LatencyHistogram>>,
    /// Wall-clock time of the last durable checkpoint.
    pub last_checkpoint_at: Option<Millis>,
    /// Why no action is started or sent; absent if actions are not suspended.
    pub actions_suspended: Option<String>,
}
