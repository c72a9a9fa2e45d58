//! When something is wrong with a position, a log or the client: taken up again where the counting stands, or reset as the
//! policy says.

use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use super::connection::{close, connect};
use super::partition::Resuming;
use super::{KafkaSource, Reset, SourceError};
use crate::config::StartPolicy;
use crate::engine::Resume;
use crate::source::notes::PartitionEnd;
use crate::source::watchdog::Remedy;
use crate::subject::Millis;
use crate::window::GapReason;

impl KafkaSource {
    /// Whether something seemed wrong that [`KafkaSource::resets`] looks at.
    #[must_use]
    pub fn needs_reset(&self) -> bool {
        self.needs_reset
    }

    /// Partitions whose position lies outside their log or whose log is another one, with the offset at which the policy
    /// goes on; the consumer has been moved there. Empty unless something seemed wrong.
    ///
    /// # Errors
    /// When the policy is to halt.
    pub fn resets(&mut self, position: impl Fn(&str, i32) -> Option<i64>) -> Result<Vec<Reset>, SourceError> {
        if !std::mem::take(&mut self.needs_reset) {
            return Ok(Vec::new());
        }
        let (mut resets, mut strayed) = (Vec::new(), Vec::new());
        for index in 0..self.assigned.len() {
            let (topic, partition) = (self.assigned[index].topic.clone(), self.assigned[index].partition);
            let Some(next) = position(&topic, partition) else {
                if self.assigned[index].strayed {
                    strayed.push((topic, partition));
                }
                continue;
            };
            let Some((low, high)) = self.watermarks(&topic, partition) else {
                self.needs_reset = true;
                continue;
            };
            let reason = match next {
                _ if self.assigned[index].is_other => GapReason::OtherRecord,
                next if next < low => GapReason::Truncated,
                next if next > high => GapReason::BehindEnd,
                _ => {
                    self.take_up_again(index, next, low)?;
                    continue;
                }
            };
            let to = match self.start {
                StartPolicy::Earliest => low,
                StartPolicy::Latest => high,
                StartPolicy::Halt => {
                    return Err(SourceError::HaltedAtGap { topic, partition, offset: next, reason });
                }
            };
            self.reassign(index, to, None)?;
            resets.push(Reset { topic, partition, to, reason });
        }
        // Nothing of them was counted: they are discovered anew, where they began.
        self.unassign(|one| strayed.iter().any(|(topic, partition)| one.is(topic, *partition)))?;
        Ok(resets)
    }

    /// The position is inside the log: reading goes on there, after what is still to be read again.
    fn take_up_again(&mut self, index: usize, next: i64, low: i64) -> Result<(), SourceError> {
        let resuming = self.assigned[index].resuming.filter(|resuming| !resuming.ended);
        let first = resuming.map_or(next, |_| (next - self.reach.max(1)).max(low));
        let hash = resuming.and_then(|resuming| resuming.hash).filter(|_| low < next);
        let resuming = (first < next).then_some(Resuming { until: next, hash, ended: false });
        self.reassign(index, first, resuming)
    }

    /// Drops what was prefetched of a partition and reads on at `offset`.
    fn reassign(&mut self, index: usize, offset: i64, resuming: Option<Resuming>) -> Result<(), SourceError> {
        let one = &mut self.assigned[index];
        let mut list = TopicPartitionList::new();
        list.add_partition(&one.topic, one.partition);
        self.consumer.incremental_unassign(&list).map_err(SourceError::Assign)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&one.topic, one.partition, Offset::Offset(offset))
            .map_err(SourceError::Assign)?;
        self.consumer.divert(&one.topic, one.partition);
        self.consumer.incremental_assign(&list).map_err(SourceError::Assign)?;
        (one.resuming, one.is_other) = (resuming, false);
        (one.reached, one.strayed) = (false, false);
        Ok(())
    }

    /// After errors that a topic created anew or a broker that lost records would cause: takes every partition up at the
    /// record before its position once more.
    ///
    /// # Errors
    /// When librdkafka refuses the assignment.
    pub fn settle_doubts(&mut self, resume: impl Fn(&str, i32) -> Option<Resume>) -> Result<(), SourceError> {
        if !std::mem::take(&mut self.doubt) {
            return Ok(());
        }
        for index in 0..self.assigned.len() {
            let one = &self.assigned[index];
            if one.resuming.is_none()
                && !one.is_other
                && let Some(resume) = resume(&one.topic, one.partition)
            {
                self.prove(index, resume)?;
            }
        }
        Ok(())
    }

    /// Takes a partition up at the record before its position, which must be the one that was counted.
    fn prove(&mut self, index: usize, resume: Resume) -> Result<(), SourceError> {
        let Resume { next_offset: until, last_record_hash: hash } = resume;
        if hash.is_none() || until == 0 {
            return self.reassign(index, until, None);
        }
        self.reassign(index, until - 1, Some(Resuming { until, hash, ended: false }))
    }
    /// Looks for partitions that have silently stopped, and helps: `resume` is where the counting stands. Gives how many
    /// were taken up anew, and whether the whole client was; its partitions are to be discovered again then.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn watch(
        &mut self,
        ends: &[PartitionEnd],
        now: Millis,
        resume: impl Fn(&str, i32) -> Option<Resume>,
    ) -> Result<(usize, bool), SourceError> {
        if let Some((code, reason)) = self.consumer.client().fatal_error() {
            tracing::error!(?code, reason, "the Kafka client cannot go on: it is made anew");
            self.rebuild()?;
            return Ok((0, true));
        }
        let mut reassigned = 0;
        if self.paused {
            return Ok((0, false));
        }
        for end in ends {
            let (topic, partition) = (end.topic.as_str(), end.partition);
            let Some(index) = self.assigned.iter().position(|one| one.is(topic, partition)) else { continue };
            // A log only ever grows, unless it is another one or its end was lost.
            let before = std::mem::replace(&mut self.assigned[index].high, end.high);
            self.doubt |= end.high < before;
            match self.assigned[index].watched.look(end.end, now) {
                None => {}
                Some(Remedy::Rebuild) => {
                    tracing::error!(topic, partition, "nothing comes: the Kafka client is made anew");
                    self.rebuild()?;
                    return Ok((reassigned, true));
                }
                Some(Remedy::Reassign) => {
                    tracing::warn!(topic, partition, "nothing comes: the partition is taken up anew");
                    if let Some(resume) = resume(topic, partition) {
                        self.prove(index, resume)?;
                        reassigned += 1;
                    }
                }
            }
        }
        Ok((reassigned, false))
    }

    fn rebuild(&mut self) -> Result<(), SourceError> {
        let (consumer, notes) = connect(&self.settings, self.token.as_ref())?;
        let old = std::mem::replace(&mut self.consumer, consumer);
        self.notes = notes;
        self.assigned.clear();
        close(old);
        Ok(())
    }
}
