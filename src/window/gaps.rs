//! What is known to be missing: records that were gone before they were read. A window that touches such a gap has a
//! coverage below 1.
//!
//! A gap is known by offsets; the event times it may have held follow from its neighbours: what was lost came no
//! earlier than the lateness before the newest event ahead of the gap, and no later than the lateness after the first
//! event behind it. Until that event is read, the gap is open and reaches into the future; where everything was read that
//! there is and no event came, it ends by then.

use serde::{Deserialize, Serialize};

use crate::subject::Millis;

/// Most gaps that are remembered; further ones are joined to the oldest, which then covers more than was lost.
const MAX_GAPS: usize = 1_000;

/// Why records are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The position is before the first record of the log: retention or a deletion was faster.
    Truncated,
    /// The position is behind the end of the log.
    BehindEnd,
    /// The record at the position is another one: the topic was created anew.
    OtherRecord,
    /// The counts were lost with the state file.
    StateLost,
}

impl GapReason {
    /// Label of `source_gaps_total`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::BehindEnd => "behind_end",
            Self::OtherRecord => "other_record",
            Self::StateLost => "state_lost",
        }
    }

    /// Name in logs and the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "the records before it are gone",
            Self::BehindEnd => "the log ends before the position",
            Self::OtherRecord => {
                "another record stands where the last one was counted: the topic was created anew"
            }
            Self::StateLost => "the counts were lost with the state file",
        }
    }
}

/// Records of one partition that were not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// First offset that was not counted.
    pub from: i64,
    /// Offset at which counting went on.
    pub to: i64,
    /// Why.
    pub reason: GapReason,
    /// Earliest event time that may be missing.
    pub since: Millis,
    /// Latest event time that may be missing; `None` until the first event behind the gap.
    pub until: Option<Millis>,
}

/// All gaps that still touch a window.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gaps {
    gaps: Vec<Gap>,
    #[serde(skip)]
    dirty: bool,
}

impl Gaps {
    /// Remembers a gap.
    pub fn add(&mut self, gap: Gap) {
        self.dirty = true;
        if self.gaps.len() < MAX_GAPS {
            return self.gaps.push(gap);
        }
        let oldest = &mut self.gaps[0];
        oldest.since = oldest.since.min(gap.since);
        oldest.until = oldest.until.zip(gap.until).map(|(a, b)| a.max(b));
    }

    /// The first event behind a gap ends it.
    pub fn saw(&mut self, topic: &str, partition: i32, event_time: Millis, lateness: Millis) {
        for gap in self.gaps.iter_mut().filter(|gap| gap.partition == partition && gap.topic == topic) {
            if gap.until.is_none() {
                gap.until = Some(event_time.saturating_add(lateness).max(gap.since));
                self.dirty = true;
            }
        }
    }

    /// Ends the open gaps of a partition behind which no event came, at the time that fits the reason.
    pub fn end(&mut self, topic: &str, partition: i32, until: impl Fn(GapReason) -> Millis) {
        for gap in self.gaps.iter_mut().filter(|gap| gap.partition == partition && gap.topic == topic) {
            if gap.until.is_none() {
                gap.until = Some(until(gap.reason).max(gap.since));
                self.dirty = true;
            }
        }
    }

    /// Whether any gap waits for its end.
    #[must_use]
    pub fn any_open(&self) -> bool {
        self.gaps.iter().any(|gap| gap.until.is_none())
    }

    /// Forgets gaps that ended before every window began. Gives the partitions that have none any more.
    pub fn forget_before(&mut self, start: Millis) -> Vec<(String, i32)> {
        let touches = |gap: &Gap| gap.until.is_none_or(|until| until >= start);
        if self.gaps.iter().all(touches) {
            return Vec::new();
        }
        let (kept, gone): (Vec<Gap>, Vec<Gap>) =
            std::mem::take(&mut self.gaps).into_iter().partition(touches);
        self.dirty = true;
        self.gaps = kept;
        let has_one =
            |of: &Gap| self.gaps.iter().any(|gap| gap.partition == of.partition && gap.topic == of.topic);
        gone.into_iter().filter(|gap| !has_one(gap)).map(|gap| (gap.topic, gap.partition)).collect()
    }

    /// All gaps, oldest first.
    #[must_use]
    pub fn list(&self) -> &[Gap] {
        &self.gaps
    }

    /// Share of `[start, end)` in which nothing is known to be missing; from `known_until` on everything may be.
    #[must_use]
    pub fn coverage(&self, start: Millis, end: Millis, known_until: Option<Millis>) -> f64 {
        let unknown = known_until.map(|from| (from, end));
        let missing = self.gaps.iter().map(|gap| (gap.since, gap.until.map_or(end, |until| until + 1)));
        let mut missing: Vec<(Millis, Millis)> = missing
            .chain(unknown)
            .map(|(from, to)| (from.max(start), to.min(end)))
            .filter(|(from, to)| from < to)
            .collect();
        missing.sort_unstable();
        let (mut lost, mut edge) = (0, start);
        for (from, to) in missing {
            lost += (to - from.max(edge)).max(0);
            edge = edge.max(to);
        }
        if lost == 0 { 1.0 } else { 1.0 - lost as f64 / (end - start).max(1) as f64 }
    }

    /// Whether anything changed since the last call.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(since: Millis, until: Option<Millis>) -> Gap {
        let reason = GapReason::Truncated;
        Gap { topic: "t".into(), partition: 0, from: 5, to: 9, reason, since, until }
    }

    fn gaps(list: &[(Millis, Option<Millis>)]) -> Gaps {
        let mut gaps = Gaps::default();
        list.iter().for_each(|(since, until)| gaps.add(gap(*since, *until)));
        gaps
    }

    #[test]
    fn coverage_is_the_share_of_time_outside_all_gaps() {
        assert_eq!(gaps(&[]).coverage(0, 100, None), 1.0);
        assert_eq!(gaps(&[(10, Some(29))]).coverage(0, 100, None), 0.8);
        assert_eq!(gaps(&[(10, Some(29)), (20, Some(39))]).coverage(0, 100, None), 0.7, "joined");
        assert_eq!(
            gaps(&[(-50, Some(9)), (90, None)]).coverage(0, 100, None),
            0.8,
            "clipped; open to the end"
        );
        assert_eq!(gaps(&[(10, Some(29))]).coverage(0, 100, Some(60)), 0.4, "stalled from 60 on");
        assert_eq!(gaps(&[(200, None)]).coverage(0, 100, None), 1.0);
    }

    #[test]
    fn the_first_event_behind_a_gap_ends_it_with_the_lateness_added() {
        let mut gaps = gaps(&[(10, None)]);
        gaps.saw("t", 1, 50, 5);
        assert!(gaps.any_open(), "another partition");
        gaps.saw("t", 0, 50, 5);
        gaps.saw("t", 0, 90, 5);
        assert_eq!(gaps.list()[0].until, Some(55));
        assert!(gaps.forget_before(55).is_empty());
        assert_eq!(gaps.forget_before(56), [("t".to_owned(), 0)]);
    }

    #[test]
    fn more_gaps_than_can_be_remembered_are_joined_not_forgotten() {
        let mut gaps = Gaps::default();
        (0..MAX_GAPS as i64 + 10).for_each(|i| gaps.add(gap(i * 10, Some(i * 10))));
        assert_eq!(gaps.list().len(), MAX_GAPS);
        assert!(gaps.coverage(10_050, 10_090, None) < 1.0);
    }
}
