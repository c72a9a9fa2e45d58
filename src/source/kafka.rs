//! Kafka topics, read by one thread.
//!
//! One process reads every partition of its topics and keeps its own offsets, so partitions are assigned by hand: no
//! group protocol, no rebalance, no zombie (`docs/decisions/0002-manual-assignment.md`). The group's committed offsets
//! are written after each checkpoint and only show the lag. Broker errors never end the process: they are counted.
//!
//! Every partition is taken up at the record *before* its position, whose hash must be the one that was counted last:
//! if it is not, the topic was created anew, and what the policy says is done instead of counting other records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, TokenFile};
use super::notes::{Context, Notes, PartitionEnd, SourceStatistics};
use super::watchdog::{Remedy, Watched};
use crate::config::{Config, Kafka, SecretError, StartPolicy};
use crate::engine::{Position, Resume, record_hash};
use crate::event::Record;
use crate::subject::Millis;
use crate::window::GapReason;

const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(2);

/// The rules that keep our offsets ours, and news in time.
const SETTINGS: [(&str, &str); 7] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
    ("allow.auto.create.topics", "false"),
    ("fetch.queue.backoff.ms", "5"),
    ("topic.metadata.refresh.interval.ms", "30000"),
];

/// Settings that the configuration may not change, since correctness rests on them.
const OURS: [&str; 4] =
    ["enable.auto.commit", "enable.auto.offset.store", "enable.partition.eof", "auto.offset.reset"];

/// Most of one answer: librdkafka takes twice as much at most.
const MAX_FETCH: u64 = 1_000_000_000;

/// Errors after which a topic may be another one, or a broker may have lost records.
const DOUBTS: [&str; 5] =
    ["UnknownTopicOrPartition", "UnknownTopic", "UnknownPartition", "UnknownTopicId", "InconsistentTopicId"];

/// Why a source cannot be opened or go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// librdkafka refuses a property.
    #[error("kafka.properties: {0}")]
    Properties(KafkaError),
    /// A secret property cannot be read.
    #[error("kafka: a secret cannot be read: {0}")]
    Secrets(SecretError),
    /// A file of the configuration cannot be read.
    #[error("{field}: cannot read {path}: {source}")]
    File {
        /// Field that names it.
        field: String,
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// This build cannot do what the configuration asks.
    #[error("{asked} needs librdkafka with `{feature}`, and this program was built with: {features}")]
    NotBuiltIn {
        /// What asks for it.
        asked: String,
        /// Name of the feature.
        feature: String,
        /// Features that there are.
        features: String,
    },
    /// A partition has no usable offset and the policy is to halt.
    #[error(
        "partition {partition} of topic `{topic}` has no usable checkpoint and kafka.start is `halt`: \
         set kafka.start to earliest or latest to go on"
    )]
    Halted {
        /// Topic name.
        topic: String,
        /// Partition number.
        partition: i32,
    },
    /// The position is no longer that of the log, and the policy is to halt.
    #[error(
        "topic `{topic}`, partition {partition}, offset {offset}: {}; kafka.start is `halt`: set it to earliest or \
         latest to go on, with the gap recorded", reason.as_str()
    )]
    HaltedAtGap {
        /// Topic name.
        topic: String,
        /// Partition number.
        partition: i32,
        /// Offset of the next record to count.
        offset: i64,
        /// What is wrong.
        reason: GapReason,
    },
    /// The assignment was refused.
    #[error("cannot assign partitions: {0}")]
    Assign(KafkaError),
}

/// Where a partition that is not assigned yet begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Behind the last record counted.
    At(Resume),
    /// At the first record not older than this.
    Time(Millis),
    /// At its first record: it was added to a topic that is being read.
    First,
    /// As the configuration says.
    Policy,
}

/// A partition that was just assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset at which it begins, where that is neither its position nor the beginning of the log.
    pub at: Option<i64>,
}

/// What a look at the cluster's topics found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// Partitions assigned now.
    pub new: Vec<Assignment>,
    /// How many partitions each topic that was found has.
    pub counts: BTreeMap<String, i32>,
}

/// A position that no longer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset at which reading goes on.
    pub to: i64,
    /// What was wrong.
    pub reason: GapReason,
}

/// What polling brings.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// A record to be counted.
    Record(Record<'a>),
    /// A record that was counted in an earlier run.
    Earlier(Record<'a>),
    /// The position of a partition has reached the end of its log.
    AtEnd {
        /// Topic name.
        topic: &'a str,
        /// Partition number.
        partition: i32,
    },
}

/// Records that are read again before counting goes on.
#[derive(Debug, Clone, Copy)]
struct Resuming {
    /// Offset of the next record to count.
    until: i64,
    /// Hash of the record before it.
    hash: Option<u64>,
    /// Whether the log ended before that offset.
    ended: bool,
}

/// A partition that is read.
#[derive(Debug)]
struct Assigned {
    topic: String,
    partition: i32,
    resuming: Option<Resuming>,
    /// Its records are not those that were counted: none is handed over until the position was reset.
    is_other: bool,
    watched: Watched,
    /// End of its log in the last statistics.
    high: i64,
}

/// Where reading begins, the offset to remember as position, and what is read again.
type First = (Offset, Option<i64>, Option<Resuming>);

/// What to do with a record.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Count,
    Remember,
    Drop,
}

impl Assigned {
    fn new(topic: &str, partition: i32, resuming: Option<Resuming>) -> Self {
        Self {
            topic: topic.to_owned(),
            partition,
            resuming,
            is_other: false,
            watched: Watched::default(),
            high: 0,
        }
    }

    fn is(&self, topic: &str, partition: i32) -> bool {
        self.partition == partition && self.topic == topic
    }

    /// What becomes of a record: those before the position only prove that the log is the same.
    fn turn(&mut self, record: &Record<'_>) -> Turn {
        if self.is_other {
            return Turn::Drop;
        }
        let Some(Resuming { until, hash, .. }) = self.resuming else { return Turn::Count };
        if record.offset >= until {
            // The record before the position was compacted away, or it agreed.
            self.resuming = None;
            return Turn::Count;
        }
        if record.offset == until - 1 {
            self.is_other = hash.is_some_and(|hash| hash != record_hash(record));
            self.resuming = None;
        }
        if self.is_other { Turn::Drop } else { Turn::Remember }
    }
}

/// A consumer of all partitions of the configured topics.
pub struct KafkaSource {
    consumer: BaseConsumer<Context>,
    settings: ClientConfig,
    token: Option<TokenFile>,
    notes: Arc<Mutex<Notes>>,
    topics: Vec<String>,
    start: StartPolicy,
    /// Offsets before the position that are read again for the ids in them.
    reach: i64,
    assigned: Vec<Assigned>,
    missing: BTreeSet<String>,
    needs_reset: bool,
    doubt: bool,
    paused: bool,
}

impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource").field("assigned", &self.assigned).finish_non_exhaustive()
    }
}

fn consumer_settings(kafka: &Kafka) -> Result<ClientConfig, SourceError> {
    let mut settings = ClientConfig::new();
    SETTINGS.iter().for_each(|(name, value)| {
        settings.set(*name, *value);
    });
    let mut settings = client::settings(kafka, settings)?;
    SETTINGS.iter().filter(|(name, _)| OURS.contains(name)).for_each(|(name, value)| {
        settings.set(*name, *value);
    });
    let fetch = &kafka.fetch;
    let bytes = |kib: u32| (u64::from(kib) << 10).min(MAX_FETCH);
    let response = bytes(fetch.response_kib);
    settings
        .set("group.id", &kafka.group)
        .set("queued.max.messages.kbytes", fetch.queue_kib.to_string())
        .set("fetch.message.max.bytes", bytes(fetch.partition_kib).to_string())
        .set("fetch.max.bytes", response.to_string())
        .set("receive.message.max.bytes", (response * 2).to_string())
        .set("statistics.interval.ms", kafka.statistics_every.millis().min(86_400_000).to_string());
    if let Some(rack) = &kafka.rack {
        settings.set("client.rack", rack);
    }
    Ok(settings)
}

impl KafkaSource {
    /// A client of this cluster; the connection is made in the background and made again whenever it is lost.
    ///
    /// # Errors
    /// When librdkafka refuses a property, a secret cannot be read, or the build cannot do what is asked.
    pub fn new(config: &Config) -> Result<Self, SourceError> {
        let kafka = &config.kafka;
        let settings = consumer_settings(kafka)?;
        let token = TokenFile::of(kafka);
        let (consumer, notes) = connect(&settings, token.as_ref())?;
        Ok(Self {
            consumer,
            settings,
            token,
            notes,
            topics: kafka.topics.clone(),
            start: kafka.start,
            reach: config.events.dedup.as_ref().map_or(0, |dedup| i64::from(dedup.last)),
            assigned: Vec::new(),
            missing: kafka.topics.iter().cloned().collect(),
            needs_reset: false,
            doubt: false,
            paused: false,
        })
    }

    /// Looks for partitions that are not assigned yet and assigns them where `begin` says. Topics that do not exist (any
    /// more) are in [`KafkaSource::missing_topics`].
    ///
    /// # Errors
    /// When the policy is to halt. A broker that cannot be reached is no error: it is noted and asked again later.
    pub fn discover(&mut self, begin: impl Fn(&str, i32) -> Begin) -> Result<Discovered, SourceError> {
        let mut found = TopicPartitionList::new();
        let mut discovered = Discovered::default();
        let mut assigned = Vec::new();
        for topic in self.topics.clone() {
            let Some(partitions) = self.partitions_of(&topic) else { continue };
            if partitions.is_empty() {
                self.unassign(&topic)?;
                continue;
            }
            self.missing.remove(&topic);
            discovered.counts.insert(topic.clone(), partitions.iter().max().map_or(0, |last| last + 1));
            for partition in partitions {
                if self.assigned.iter().any(|one| one.is(&topic, partition)) {
                    continue;
                }
                let Some((offset, at, resuming)) =
                    self.first_offset(&topic, partition, begin(&topic, partition))?
                else {
                    continue;
                };
                found.add_partition_offset(&topic, partition, offset).map_err(SourceError::Assign)?;
                assigned.push(Assigned::new(&topic, partition, resuming));
                discovered.new.push(Assignment { topic: topic.clone(), partition, at });
            }
        }
        if !assigned.is_empty() {
            self.consumer.incremental_assign(&found).map_err(SourceError::Assign)?;
            if self.paused {
                self.note(self.consumer.pause(&found));
            }
            self.assigned.extend(assigned);
        }
        Ok(discovered)
    }

    /// Partitions of a topic; none if there is no such topic, `None` if nobody can say.
    fn partitions_of(&self, topic: &str) -> Option<Vec<i32>> {
        match self.consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT) {
            Ok(metadata) => {
                let found = metadata.topics().iter().find(|found| found.name() == topic)?;
                let ids = || found.partitions().iter().map(|partition| partition.id()).collect();
                Some(if found.error().is_none() { ids() } else { Vec::new() })
            }
            Err(error) => {
                self.note_error(&error);
                None
            }
        }
    }

    /// A topic is gone: should it come back, it is another one until its records say otherwise.
    fn unassign(&mut self, topic: &str) -> Result<(), SourceError> {
        self.missing.insert(topic.to_owned());
        let mut gone = TopicPartitionList::new();
        for one in self.assigned.iter().filter(|one| one.topic == topic) {
            gone.add_partition(&one.topic, one.partition);
        }
        if gone.count() > 0 {
            self.consumer.incremental_unassign(&gone).map_err(SourceError::Assign)?;
            self.assigned.retain(|one| one.topic != topic);
        }
        Ok(())
    }

    /// Where reading begins, the offset to remember as position, and what is read again; `None`: ask again later.
    fn first_offset(&self, topic: &str, partition: i32, begin: Begin) -> Result<Option<First>, SourceError> {
        let plain = |offset| Ok(Some((offset, None, None)));
        match (begin, self.start) {
            (Begin::At(resume), _) => Ok(self.resume_at(topic, partition, resume)),
            (Begin::Time(at), _) => Ok(self
                .offset_of_time(topic, partition, at)
                .map(|offset| (Offset::Offset(offset), Some(offset), None))),
            (Begin::First, _) | (Begin::Policy, StartPolicy::Earliest) => plain(Offset::Beginning),
            (Begin::Policy, StartPolicy::Latest) => {
                let end = self.watermarks(topic, partition).map(|(_, end)| end);
                Ok(end.map(|end| (Offset::Offset(end), Some(end), None)))
            }
            (Begin::Policy, StartPolicy::Halt) => {
                Err(SourceError::Halted { topic: topic.to_owned(), partition })
            }
        }
    }

    fn resume_at(&self, topic: &str, partition: i32, resume: Resume) -> Option<First> {
        let Resume { next_offset: until, last_record_hash: hash } = resume;
        let mut first = until - self.reach.max(i64::from(hash.is_some()));
        if self.reach > 0 {
            let (low, _) = self.watermarks(topic, partition)?;
            first = first.max(low.min(until - i64::from(hash.is_some())));
        }
        let first = first.max(0);
        let resuming = (first < until).then_some(Resuming { until, hash, ended: false });
        Some((Offset::Offset(first), None, resuming))
    }

    fn offset_of_time(&self, topic: &str, partition: i32, at: Millis) -> Option<i64> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(topic, partition, Offset::Offset(at.max(0))).ok()?;
        let found = self.consumer.offsets_for_times(asked, WATERMARK_TIMEOUT);
        match found.map(|found| found.find_partition(topic, partition).map(|one| one.offset())) {
            Ok(Some(Offset::Offset(offset))) => Some(offset),
            Ok(_) => self.watermarks(topic, partition).map(|(_, end)| end),
            Err(error) => {
                self.note_error(&error);
                None
            }
        }
    }

    fn watermarks(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        let found = self.consumer.fetch_watermarks(topic, partition, WATERMARK_TIMEOUT);
        found.map_err(|error| self.note_error(&error)).ok()
    }

    /// Topics that were not found on the cluster so far, or no longer are.
    #[must_use]
    pub fn missing_topics(&self) -> &BTreeSet<String> {
        &self.missing
    }

    /// Whether any partition is assigned.
    #[must_use]
    pub fn is_assigned(&self) -> bool {
        !self.assigned.is_empty()
    }

    /// Whether any partition of this topic is assigned.
    #[must_use]
    pub fn reads(&self, topic: &str) -> bool {
        self.assigned.iter().any(|one| one.topic == topic)
    }

    /// Waits up to `wait` for the first record, then takes what is there, up to `most` records.
    pub fn poll(&mut self, wait: Duration, most: usize, mut take: impl FnMut(Incoming<'_>)) -> usize {
        let (mut taken, mut last) = (0, 0);
        let mut patience = wait;
        while taken < most {
            match self.consumer.poll(patience) {
                None => break,
                Some(Ok(message)) => {
                    let (topic, partition) = (message.topic(), message.partition());
                    if !self.assigned.get(last).is_some_and(|one| one.is(topic, partition)) {
                        let found = self.assigned.iter().position(|one| one.is(topic, partition));
                        last = found.unwrap_or(usize::MAX);
                    }
                    if let Some(one) = self.assigned.get_mut(last) {
                        hand_over(&message, one, &mut take);
                        self.needs_reset |= one.is_other;
                        taken += 1;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => self.hand_over_end(partition, &mut take),
                // Every error comes by the callback as well, with its reason.
                Some(Err(error)) => {
                    self.needs_reset |= error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset);
                }
            }
            patience = Duration::ZERO;
        }
        taken
    }

    /// librdkafka names only the partition number; with several topics each one's position decides.
    fn hand_over_end(&mut self, partition: i32, take: &mut impl FnMut(Incoming<'_>)) {
        let candidates: Vec<usize> =
            (0..self.assigned.len()).filter(|index| self.assigned[*index].partition == partition).collect();
        for index in &candidates {
            if candidates.len() > 1 && !self.is_at_end(&self.assigned[*index]) {
                continue;
            }
            let one = &mut self.assigned[*index];
            one.watched.at_end();
            if let Some(resuming) = &mut one.resuming {
                resuming.ended = true;
                self.needs_reset = true;
            } else if !one.is_other {
                take(Incoming::AtEnd { topic: &one.topic, partition });
            }
        }
    }

    fn is_at_end(&self, one: &Assigned) -> bool {
        let (topic, partition) = (&one.topic, one.partition);
        let position = self
            .consumer
            .position()
            .ok()
            .and_then(|positions| positions.find_partition(topic, partition).map(|found| found.offset()));
        let end = self.watermarks(topic, partition).map(|(_, end)| end);
        match (position, end) {
            (Some(Offset::Offset(next)), Some(end)) => next >= end,
            (Some(Offset::Invalid) | None, Some(end)) => end == 0,
            _ => false,
        }
    }

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
        let mut resets = Vec::new();
        for index in 0..self.assigned.len() {
            let (topic, partition) = (self.assigned[index].topic.clone(), self.assigned[index].partition);
            let Some(next) = position(&topic, partition) else { continue };
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
        self.consumer.incremental_assign(&list).map_err(SourceError::Assign)?;
        (one.resuming, one.is_other) = (resuming, false);
        if self.paused {
            self.note(self.consumer.pause(&list));
        }
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

    /// Stops handing over records; news and errors still come. What was prefetched is fetched again later.
    pub fn pause(&mut self) {
        if !std::mem::replace(&mut self.paused, true) {
            self.note(self.consumer.pause(&self.all()));
        }
    }

    /// Hands over records again.
    pub fn resume(&mut self) {
        if std::mem::take(&mut self.paused) {
            self.note(self.consumer.resume(&self.all()));
            self.assigned.iter_mut().for_each(|one| one.watched.reset());
        }
    }

    /// Whether records are held back.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    fn all(&self) -> TopicPartitionList {
        let mut all = TopicPartitionList::new();
        for one in &self.assigned {
            all.add_partition(&one.topic, one.partition);
        }
        all
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

    /// Commits positions to the group, for whoever looks at its lag. Best effort: ours are in the checkpoint.
    pub fn commit(&self, positions: &[Position]) {
        let offsets = offsets(positions);
        if !positions.is_empty() {
            self.note(self.consumer.commit(&offsets, CommitMode::Async));
        }
    }

    /// Commits for the last time and leaves. Neither may keep the process from ending: both happen beside it, for at
    /// most `patience`.
    pub fn leave(self, positions: &[Position], patience: Duration) {
        let offsets = offsets(positions);
        let (left, done) = std::sync::mpsc::channel();
        let consumer = self.consumer;
        let work = move || {
            if offsets.count() > 0
                && let Err(error) = consumer.commit(&offsets, CommitMode::Sync)
            {
                tracing::debug!(%error, "the last commit of the group's offsets was refused");
            }
            drop(consumer);
            // Nobody waits any more if it took too long.
            _ = left.send(());
        };
        let spawned = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(work);
        if spawned.is_ok() && done.recv_timeout(patience).is_err() {
            tracing::warn!("the broker did not take the last commit in time; it only shows the lag");
        }
    }

    fn note<T>(&self, outcome: Result<T, KafkaError>) {
        if let Err(error) = outcome {
            self.note_error(&error);
        }
    }

    fn note_error(&self, error: &KafkaError) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).error(error, &error.to_string());
    }

    /// Errors since the last call, counted by kind, with the last reason of each.
    #[must_use]
    pub fn take_errors(&mut self) -> BTreeMap<String, (u64, String)> {
        let counted = self.notes.lock().unwrap_or_else(PoisonError::into_inner).take_errors();
        self.doubt |= counted.keys().any(|kind| DOUBTS.contains(&kind.as_str()));
        counted
    }

    /// Whether a topic may be another one than before.
    #[must_use]
    pub fn in_doubt(&self) -> bool {
        self.doubt
    }

    /// What the client told of itself since the last call.
    #[must_use]
    pub fn take_statistics(&self) -> Option<SourceStatistics> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).take_statistics()
    }
}

fn connect(
    settings: &ClientConfig,
    token: Option<&TokenFile>,
) -> Result<(BaseConsumer<Context>, Arc<Mutex<Notes>>), SourceError> {
    let context = Context::new(token.cloned());
    let notes = context.notes();
    let consumer = settings.create_with_context(context).map_err(SourceError::Properties)?;
    Ok((consumer, notes))
}

/// Ends a client beside the thread that polls, since its end may wait for a broker.
fn close(consumer: BaseConsumer<Context>) {
    let spawned = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(consumer));
    if let Err(error) = spawned {
        tracing::debug!(%error, "the old Kafka client was ended in place");
    }
}

fn offsets(positions: &[Position]) -> TopicPartitionList {
    let mut offsets = TopicPartitionList::new();
    for position in positions {
        // A bad offset here can only come from a bad record offset, which Kafka does not have.
        let _ = offsets.add_partition_offset(
            &position.topic,
            position.partition,
            Offset::Offset(position.next_offset),
        );
    }
    offsets
}

fn hand_over(message: &BorrowedMessage<'_>, one: &mut Assigned, take: &mut impl FnMut(Incoming<'_>)) {
    let headers: Vec<(&str, &[u8])> = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().filter_map(|header| Some((header.key, header.value?))).collect()
    });
    let timestamp = message.timestamp();
    let record = Record {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: timestamp.to_millis(),
        appended_at: match timestamp {
            Timestamp::LogAppendTime(at) => Some(at),
            Timestamp::CreateTime(_) | Timestamp::NotAvailable => None,
        },
        key: message.key(),
        headers: &headers,
        payload: message.payload(),
    };
    one.watched.record();
    match one.turn(&record) {
        Turn::Count => take(Incoming::Record(record)),
        Turn::Remember => take(Incoming::Earlier(record)),
        Turn::Drop => {}
    }
}
