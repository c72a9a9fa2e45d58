//! What the core knows to be missing, and what it does about it: windows that miss too much are not judged, and after a
//! loss of state no action is started until every window has been counted anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AuditRow, Engine, Trouble, TroubleKind};
use crate::subject::Millis;
use crate::window::{Gap, GapReason, Gaps};

/// Gaps and the aftermath of a lost state; one document of the checkpoint.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Completeness {
    pub(super) gaps: Gaps,
    /// Set when the counts were lost: partitions without a position begin at this time instead of by policy.
    rebuild_from: Option<Millis>,
    /// Until then no action is started.
    no_actions_until: Option<Millis>,
    #[serde(skip)]
    dirty: bool,
}

impl Completeness {
    pub(super) fn restore(&mut self, text: &str) -> Result<(), serde_json::Error> {
        *self = serde_json::from_str(text)?;
        Ok(())
    }

    pub(super) fn take_document(&mut self) -> Option<String> {
        let gaps = self.gaps.take_dirty();
        (std::mem::take(&mut self.dirty) || gaps).then(|| serde_json::to_string(self).unwrap_or_default())
    }
}

/// What became of a damaged state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateLoss {
    /// Everything: it is counted anew from Kafka.
    Everything,
    /// What came after a copy, which was put in its place.
    SinceCopy,
}

impl Engine {
    /// Takes up work after the state was lost. No action is started for the length of the longest window, since nobody
    /// remembers which were; `now` is the wall clock.
    pub fn state_was_lost(&mut self, loss: StateLoss, detail: &str, now: Millis) {
        let settings = self.windows.settings();
        let (longest, lateness) = (settings.longest(), settings.lateness);
        if loss == StateLoss::Everything {
            self.completeness.rebuild_from = Some(now - longest - lateness);
        }
        self.completeness.no_actions_until = Some(now + longest);
        self.completeness.dirty = true;
        self.audit.push(AuditRow {
            at: now,
            actor: AuditRow::SELF.to_owned(),
            what: "state_damaged".to_owned(),
            key: "state".to_owned(),
            detail: detail.to_owned(),
        });
        let summary = format!("{detail}; no action is started until {}", iso(now + longest));
        self.raise(&Trouble { kind: TroubleKind::StateDamaged, of: "state".to_owned(), summary }, now);
    }

    /// Time at which partitions without a position begin, after the counts were lost.
    #[must_use]
    pub fn rebuild_from(&self) -> Option<Millis> {
        self.completeness.rebuild_from
    }

    /// Gaps that still touch a window, oldest first.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        self.completeness.gaps.list()
    }

    /// Forgets the position of a partition whose log no longer holds it, or holds other records, and records the gap
    /// `[from, to)`.
    pub fn reset_position(&mut self, topic: &str, partition: i32, to: i64, reason: GapReason, now: Millis) {
        let lateness = self.windows.settings().lateness;
        let state = self.partitions.entry(topic, partition);
        let from = state.jump(to).unwrap_or_default();
        let since = state.max_event_time.map_or(Millis::MIN, |newest| newest - lateness);
        let at = state.max_event_time.unwrap_or(now);
        self.resets.push((topic.to_owned(), partition));
        if let Some(dedup) = &mut self.dedup {
            dedup.forget(topic, partition);
        }
        self.completeness.gaps.add(Gap {
            topic: topic.to_owned(),
            partition,
            from,
            to,
            reason,
            since,
            until: None,
        });
        let of = format!("{topic}/{partition}");
        let detail = format!("from offset {from} on counting goes on at {to}: {}", reason.as_str());
        self.audit.push(AuditRow {
            at,
            actor: AuditRow::SELF.to_owned(),
            what: "offset_gap".to_owned(),
            key: of.clone(),
            detail: detail.clone(),
        });
        let summary = format!("records of {of} are missing: {detail}");
        self.raise(&Trouble { kind: TroubleKind::Gap, of, summary }, now);
    }

    /// Notes that a partition is assigned, so that it takes part in the watermark even before its first record.
    /// `at` is the offset it begins at, where that is not the first of the log.
    pub fn assign(&mut self, topic: &str, partition: i32, at: Option<i64>) {
        let state = self.partitions.entry(topic, partition);
        state.begins();
        if state.next_offset.is_some() {
            return;
        }
        if let Some(at) = at {
            state.next_offset = Some(at);
            state.dirty = true;
        }
        if self.completeness.rebuild_from.is_some() {
            self.completeness.gaps.add(Gap {
                topic: topic.to_owned(),
                partition,
                from: 0,
                to: at.unwrap_or_default(),
                reason: GapReason::StateLost,
                since: Millis::MIN,
                until: None,
            });
        }
    }

    /// Ends the gaps of partitions of which everything was read that there is: what is missing was written before.
    pub(super) fn end_gaps(&mut self, now: Millis) {
        if !self.completeness.gaps.any_open() {
            return;
        }
        let by_now = self.partitions.newest().map_or(now, |newest| newest.max(now));
        let lateness = self.windows.settings().lateness;
        let Completeness { gaps, rebuild_from, .. } = &mut self.completeness;
        // After a loss of state everything written since that time is read once more.
        let until = |reason| match (reason, *rebuild_from) {
            (GapReason::StateLost, Some(from)) => from + lateness,
            _ => by_now,
        };
        self.partitions.idle().for_each(|(topic, partition)| gaps.end(topic, *partition, until));
    }

    /// Share of a window's time in which nothing is known to be missing.
    pub(super) fn coverage(&self, start: Millis, end: Millis) -> f64 {
        let lateness = self.windows.settings().lateness;
        let behind = self.partitions.stalled().map(|(_, state)| {
            state.max_event_time.map_or(Millis::MIN, |newest| newest.saturating_sub(lateness))
        });
        self.completeness.gaps.coverage(start, end, behind.min())
    }

    /// Whether the state was lost lately, so that no action may be started.
    pub(super) fn lost_lately(&self) -> bool {
        self.completeness.no_actions_until.is_some_and(|until| self.now < until)
    }

    /// Tells of partitions that stand still and of those that move again, and forgets what no longer matters.
    pub(super) fn look_after_completeness(&mut self, now: Millis) {
        self.now = now;
        if self.completeness.no_actions_until.is_some_and(|until| until <= now) {
            self.completeness.no_actions_until = None;
            // Every window has been counted anew: a partition that is added from now on has lost nothing.
            if self.partitions.iter().any(|(_, state)| state.next_offset.is_some()) {
                self.completeness.rebuild_from = None;
            }
            self.completeness.dirty = true;
            self.clear(TroubleKind::StateDamaged, "state", now);
        }
        let settings = self.windows.settings();
        let first_needed = self.windows.closed().map(|edge| edge * settings.pane_ms - settings.longest());
        for (topic, partition) in
            first_needed.map(|start| self.completeness.gaps.forget_before(start)).unwrap_or_default()
        {
            self.clear(TroubleKind::Gap, &format!("{topic}/{partition}"), now);
        }
        self.look_after_standstills(now);
    }

    /// Which topics stand still is compared with what is told, not with the last look: after a restart too it is over once
    /// everything goes on, and until that is known it stays.
    fn look_after_standstills(&mut self, now: Millis) {
        let mut stalled: BTreeMap<String, usize> = BTreeMap::new();
        // A transaction that stays open is told by itself: it is why nothing moves.
        for ((topic, _), _) in self.partitions.stalled().filter(|(_, state)| !state.has_open_transaction()) {
            *stalled.entry(topic.clone()).or_default() += 1;
        }
        let over = self.troubles_of(TroubleKind::Stalled).filter(|of| match of.rsplit_once('/') {
            // No topic has a stroke in its name: this is a partition's, which is gone.
            Some((topic, number)) => !self
                .partitions
                .iter()
                .any(|((name, partition), _)| name == topic && partition.to_string() == number),
            None => {
                let mut of_topic = self.partitions.iter().filter(|((name, _), _)| name == *of);
                !stalled.contains_key(*of) && of_topic.all(|(_, state)| state.went_on())
            }
        });
        for of in over.cloned().collect::<Vec<_>>() {
            self.clear(TroubleKind::Stalled, &of, now);
        }
        for (topic, partitions) in stalled {
            let summary = format!(
                "{partitions} partitions of {topic} are behind, or their broker is silent, while others went on for \
                 windows.stalled_after: windows are judged without them, with a coverage below 1"
            );
            self.raise(&Trouble { kind: TroubleKind::Stalled, of: topic, summary }, now);
        }
    }

    /// Partitions of which neither a position nor the end of the log is known yet.
    #[must_use]
    pub fn unknown_partitions(&self) -> usize {
        let unknown = |state: &&crate::window::Partition| {
            state.next_offset.is_none() && state.at_end.is_none() && state.end_offset.is_none()
        };
        self.partitions.iter().map(|(_, state)| state).filter(unknown).count()
    }

    /// Forgets partitions that a topic no longer has, because it was created anew with fewer.
    pub fn forget_partitions_from(&mut self, topic: &str, count: i32, now: Millis) {
        let by_now = self.partitions.newest().map_or(now, |newest| newest.max(now));
        for partition in self.partitions.forget_from(topic, count) {
            self.completeness.gaps.end(topic, partition, |_| by_now);
            self.resets.push((topic.to_owned(), partition));
            self.audit.push(AuditRow {
                at: now,
                actor: AuditRow::SELF.to_owned(),
                what: "partition_gone".to_owned(),
                key: format!("{topic}/{partition}"),
                detail: format!("the topic has only {count} partitions now"),
            });
        }
    }

    /// Reading was paused until `now`: that time does not count against any partition.
    pub fn look_anew(&mut self, now: Millis) {
        self.partitions.look_anew(now);
    }
}

/// An instant for people.
fn iso(at: Millis) -> String {
    chrono::DateTime::from_timestamp_millis(at).map_or_else(|| at.to_string(), |at| at.to_rfc3339())
}
