//! Step 5 of 10: what one checkpoint holds, and what a start restores. Plain data; `store/` writes and reads it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::documents::CoreDocument;
use crate::alert::Delivery;
use crate::subject::{Millis, Subject};
use crate::window::PaneCounts;

/// Number of a subject in the state file: stable once given, and never given again.
pub type SubjectNumber = u32;

/// Place of a subject in memory, where it stays until the next checkpoint.
pub type SubjectId = u32;

/// Where a partition's counting stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset of the next record to count.
    pub next_offset: i64,
    /// Largest event time seen that was not in the future; `None` before the first event.
    pub max_event_time: Option<Millis>,
    /// Hash of the last counted record, to notice a topic that was created anew.
    pub last_record_hash: Option<u64>,
}

/// Counts of one subject in one pane, cumulative: writing a pane replaces what was stored for it. An old pane may hold the
/// counts of others before it, which have no rows then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaneRow {
    /// Subject of the counts.
    pub subject: SubjectNumber,
    /// Pane number: start of the pane divided by the pane length.
    pub pane: i64,
    /// Reference whose layout the counts follow.
    pub reference: String,
    /// The counts. They are packed when they are written, by whoever writes them.
    pub counts: PaneCounts,
}

/// A delivery decided by the core, one row per target.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Name of the configured sink or action.
    pub target: String,
    /// What to deliver; `(delivery.key(), target)` is unique for ever.
    pub delivery: Delivery,
    /// Wall-clock time after which it is no longer worth sending; `None` never expires.
    pub expires_at: Option<Millis>,
}

/// Pointer to a refused record; its payload is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
    /// Reason as in `records_refused_total{reason}`.
    pub reason: String,
    /// What exactly was wrong, without any value of the record.
    pub detail: String,
    /// Bytes of the payload; `None` in a pointer of an earlier version.
    pub size: Option<u64>,
    /// SHA-256 of the payload in hexadecimal digits, to find the record again once its log has moved on.
    pub sha256: Option<String>,
}

/// One decision worth keeping for ever, such as an action held or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Event time of the decision; wall-clock time of an order.
    pub at: Millis,
    /// Who decided: [`AuditRow::SELF`], or the name of whoever gave the order.
    pub actor: String,
    /// What was decided, `action_held`.
    pub what: String,
    /// Key of the action or alert concerned.
    pub key: String,
    /// One line of explanation.
    pub detail: String,
}

impl AuditRow {
    /// Actor of what the daemon decided by itself.
    pub const SELF: &str = "anchorwatch";
}

/// All that changed since the last checkpoint, to be written in one transaction together with the positions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    /// Subjects seen for the first time.
    pub subjects: Vec<(SubjectNumber, Subject)>,
    /// Subjects that left for good: nothing of them stays.
    pub left_subjects: Vec<SubjectNumber>,
    /// Panes whose counts moved into newer ones: their rows are dropped before the changed ones are written.
    pub gone_panes: Vec<(SubjectNumber, i64)>,
    /// Panes that changed.
    pub panes: Vec<PaneRow>,
    /// Panes that left the longest horizon: all rows of pane numbers below this one are dropped.
    pub drop_panes_below: Option<i64>,
    /// Partitions whose stored position no longer holds: it is forgotten before the new ones are written.
    pub resets: Vec<(String, i32)>,
    /// Positions of every partition that moved.
    pub positions: Vec<Position>,
    /// Named documents of core state that changed (alerts, trackers, counters): JSON, `None` deletes.
    pub documents: BTreeMap<String, Option<String>>,
    /// One more document, where it changed: its text, which names every version, is made by whoever writes it.
    pub core: Option<CoreDocument>,
    /// Deliveries decided.
    pub outbox: Vec<OutboxRow>,
    /// Records refused.
    pub refused: Vec<RefusedRecord>,
    /// Decisions for the audit trail.
    pub audit: Vec<AuditRow>,
}

impl Checkpoint {
    /// Name and text of every document, the core's own included; one without text is to be deleted.
    pub fn every_document(&self) -> impl Iterator<Item = (&str, Option<Cow<'_, str>>)> {
        let core = self.core.iter().map(|core| (CoreDocument::NAME, Some(core.text().into())));
        let written = self.documents.iter();
        written.map(|(name, text)| (name.as_str(), text.as_deref().map(Cow::Borrowed))).chain(core)
    }
}

/// What a start finds in the state file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Restored {
    /// All subjects.
    pub subjects: Vec<(SubjectNumber, Subject)>,
    /// All live panes.
    pub panes: Vec<PaneRow>,
    /// All positions.
    pub positions: Vec<Position>,
    /// All documents of core state.
    pub documents: BTreeMap<String, String>,
}
