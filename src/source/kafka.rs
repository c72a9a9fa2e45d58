//! Kafka topics, read by one thread.
//!
//! One process reads every partition of its topics and keeps its own offsets, so partitions are assigned by hand: no
//! group protocol, no rebalance, no zombie (`docs/decisions/0002-manual-assignment.md`). The group's committed offsets
//! are written after each checkpoint and only show the lag. Broker errors never end the process: they are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::statistics::Statistics;
use rdkafka::{Offset, TopicPartitionList};

use crate::config::{Kafka, SecretError, StartPolicy};
use crate::engine::Position;
use crate::event::Record;

const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds on what librdkafka prefetches, and the rules that keep our offsets ours.
const SETTINGS: [(&str, &str); 12] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
    ("allow.auto.create.topics", "false"),
    ("statistics.interval.ms", "5000"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.message.max.bytes", "1048576"),
    ("fetch.max.bytes", "16777216"),
    ("receive.message.max.bytes", "33554432"),
    ("fetch.queue.backoff.ms", "5"),
    ("topic.metadata.refresh.interval.ms", "30000"),
];

/// Settings that the configuration may not change, since correctness rests on them.
const OURS: [&str; 5] = [
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "auto.offset.reset",
    "statistics.interval.ms",
];

/// Why a source cannot be opened or go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// librdkafka refuses a property.
    #[error("kafka.properties: {0}")]
    Properties(KafkaError),
    /// A secret property cannot be read.
    #[error("kafka.secret_properties: {0}")]
    Secrets(SecretError),
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
    /// The assignment was refused.
    #[error("cannot assign partitions: {0}")]
    Assign(KafkaError),
}

/// An error of a broker or of the connection to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerError {
    /// librdkafka's code, `BrokerTransportFailure`; a label of `broker_errors_total`.
    pub kind: String,
    /// What it said.
    pub reason: String,
}

/// The end of a partition's log as the broker last told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionEnd {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset behind the last record.
    pub end: i64,
}

/// What polling brings.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// A record.
    Record(Record<'a>),
    /// The position of a partition has reached the end of its log.
    AtEnd {
        /// Topic name.
        topic: &'a str,
        /// Partition number.
        partition: i32,
    },
}

/// What librdkafka's callbacks leave behind for the polling thread.
#[derive(Debug, Default)]
struct Notes {
    errors: Vec<BrokerError>,
    ends: Vec<PartitionEnd>,
}

/// Errors kept until the next look; further ones are the same outage.
const MAX_NOTED_ERRORS: usize = 1_000;

#[derive(Debug, Default)]
struct Context {
    notes: Arc<Mutex<Notes>>,
}

impl Context {
    fn note(&self, take: impl FnOnce(&mut Notes)) {
        take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn kind_of(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| "Other".to_owned(), |code| format!("{code:?}"))
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = Vec::new();
        for topic in statistics.topics.into_values() {
            for (partition, state) in topic.partitions {
                let end = state.ls_offset.max(state.hi_offset);
                if partition >= 0 && end >= 0 {
                    ends.push(PartitionEnd { topic: topic.topic.clone(), partition, end });
                }
            }
        }
        self.note(|notes| notes.ends = ends);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition reaches here as well as the poll; it is news, not trouble.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        self.note(|notes| {
            if notes.errors.len() < MAX_NOTED_ERRORS {
                notes.errors.push(BrokerError { kind: kind_of(&error), reason: reason.to_owned() });
            }
        });
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, outcome: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = outcome {
            self.error(error, "a commit of the group's offsets was refused");
        }
    }
}

/// A consumer of all partitions of the configured topics.
pub struct KafkaSource {
    consumer: BaseConsumer<Context>,
    notes: Arc<Mutex<Notes>>,
    topics: Vec<String>,
    start: StartPolicy,
    assigned: BTreeSet<(String, i32)>,
    missing: BTreeSet<String>,
    needs_reset: bool,
}

impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource").field("assigned", &self.assigned).finish_non_exhaustive()
    }
}

impl KafkaSource {
    /// A client of this cluster; the connection is made in the background and made again whenever it is lost.
    ///
    /// # Errors
    /// When librdkafka refuses a property.
    pub fn new(kafka: &Kafka) -> Result<Self, SourceError> {
        let mut settings = ClientConfig::new();
        settings.set("client.id", "anchorwatch");
        SETTINGS.iter().for_each(|(name, value)| {
            settings.set(*name, *value);
        });
        for (name, value) in kafka.properties.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
            settings.set(name, value);
        }
        for (name, secret) in kafka.secrets().map_err(SourceError::Secrets)? {
            settings.set(name, secret.expose());
        }
        settings.set("bootstrap.servers", &kafka.bootstrap).set("group.id", &kafka.group);
        let context = Context::default();
        let notes = Arc::clone(&context.notes);
        let consumer = settings.create_with_context(context).map_err(SourceError::Properties)?;
        Ok(Self {
            consumer,
            notes,
            topics: kafka.topics.clone(),
            start: kafka.start,
            assigned: BTreeSet::new(),
            missing: kafka.topics.iter().cloned().collect(),
            needs_reset: false,
        })
    }

    /// Looks for partitions that are not assigned yet and assigns them at the offset `resume` names, or else by the
    /// start policy. Returns the new ones. Topics that do not exist yet stay in [`KafkaSource::missing_topics`].
    ///
    /// # Errors
    /// When the policy is to halt. A broker that cannot be reached is no error: it is noted and asked again later.
    pub fn discover(
        &mut self,
        resume: impl Fn(&str, i32) -> Option<i64>,
    ) -> Result<Vec<(String, i32)>, SourceError> {
        let mut found = TopicPartitionList::new();
        let mut new = Vec::new();
        for topic in self.topics.clone() {
            let partitions = self.partitions_of(&topic);
            if partitions.is_empty() {
                continue;
            }
            self.missing.remove(&topic);
            for partition in partitions {
                if self.assigned.contains(&(topic.clone(), partition)) {
                    continue;
                }
                let offset = self.offset(&topic, partition, resume(&topic, partition))?;
                found.add_partition_offset(&topic, partition, offset).map_err(SourceError::Assign)?;
                new.push((topic.clone(), partition));
            }
        }
        if !new.is_empty() {
            self.consumer.incremental_assign(&found).map_err(SourceError::Assign)?;
            self.assigned.extend(new.iter().cloned());
        }
        Ok(new)
    }

    fn partitions_of(&self, topic: &str) -> Vec<i32> {
        match self.consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT) {
            Ok(metadata) => {
                let topics = metadata.topics().iter().filter(|found| found.error().is_none());
                topics.flat_map(|found| found.partitions().iter().map(|partition| partition.id())).collect()
            }
            Err(error) => {
                self.note_error(&error);
                Vec::new()
            }
        }
    }

    fn offset(&self, topic: &str, partition: i32, resume: Option<i64>) -> Result<Offset, SourceError> {
        match (resume, self.start) {
            (Some(next), _) => Ok(Offset::Offset(next)),
            (None, StartPolicy::Earliest) => Ok(Offset::Beginning),
            (None, StartPolicy::Latest) => Ok(Offset::End),
            (None, StartPolicy::Halt) => Err(SourceError::Halted { topic: topic.to_owned(), partition }),
        }
    }

    /// Topics that were not found on the cluster so far.
    #[must_use]
    pub fn missing_topics(&self) -> &BTreeSet<String> {
        &self.missing
    }

    /// Whether any partition is assigned.
    #[must_use]
    pub fn is_assigned(&self) -> bool {
        !self.assigned.is_empty()
    }

    /// Waits up to `wait` for the first record, then takes what is there, up to `most` records.
    pub fn poll(&mut self, wait: Duration, most: usize, mut take: impl FnMut(Incoming<'_>)) -> usize {
        let mut taken = 0;
        let mut patience = wait;
        while taken < most {
            match self.consumer.poll(patience) {
                None => break,
                Some(Ok(message)) => {
                    hand_over(&message, &mut take);
                    taken += 1;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => self.hand_over_end(partition, &mut take),
                Some(Err(error)) => {
                    self.needs_reset |= error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset);
                    self.note_error(&error);
                }
            }
            patience = Duration::ZERO;
        }
        taken
    }

    /// librdkafka names only the partition number; with several topics each one's position decides.
    fn hand_over_end(&self, partition: i32, take: &mut impl FnMut(Incoming<'_>)) {
        let candidates: Vec<&(String, i32)> =
            self.assigned.iter().filter(|(_, number)| *number == partition).collect();
        for (topic, partition) in &candidates {
            if candidates.len() == 1 || self.is_at_end(topic, *partition) {
                take(Incoming::AtEnd { topic, partition: *partition });
            }
        }
    }

    fn is_at_end(&self, topic: &str, partition: i32) -> bool {
        let position = self
            .consumer
            .position()
            .ok()
            .and_then(|positions| positions.find_partition(topic, partition).map(|found| found.offset()));
        let end =
            self.consumer.fetch_watermarks(topic, partition, WATERMARK_TIMEOUT).ok().map(|(_, end)| end);
        match (position, end) {
            (Some(Offset::Offset(next)), Some(end)) => next >= end,
            (Some(Offset::Invalid) | None, Some(end)) => end == 0,
            _ => false,
        }
    }

    /// Partitions whose position lies outside their log, with the offset at which the policy goes on; the consumer has
    /// been moved there. Empty unless the broker complained.
    ///
    /// # Errors
    /// When the policy is to halt.
    pub fn resets(
        &mut self,
        position: impl Fn(&str, i32) -> Option<i64>,
    ) -> Result<Vec<PartitionEnd>, SourceError> {
        if !std::mem::take(&mut self.needs_reset) {
            return Ok(Vec::new());
        }
        let mut moved = Vec::new();
        for (topic, partition) in self.assigned.clone() {
            let Some(next) = position(&topic, partition) else { continue };
            let Ok((low, high)) = self.consumer.fetch_watermarks(&topic, partition, WATERMARK_TIMEOUT) else {
                self.needs_reset = true;
                continue;
            };
            if (low..=high).contains(&next) {
                continue;
            }
            let to = match self.start {
                StartPolicy::Earliest => low,
                StartPolicy::Latest => high,
                StartPolicy::Halt => return Err(SourceError::Halted { topic, partition }),
            };
            if let Err(error) = self.consumer.seek(&topic, partition, Offset::Offset(to), WATERMARK_TIMEOUT) {
                self.note_error(&error);
                self.needs_reset = true;
                continue;
            }
            moved.push(PartitionEnd { topic, partition, end: to });
        }
        Ok(moved)
    }

    /// Commits positions to the group, for whoever looks at its lag. Best effort: ours are in the checkpoint.
    pub fn commit(&self, positions: &[Position]) {
        let mut offsets = TopicPartitionList::new();
        for position in positions {
            // A bad offset here can only come from a bad record offset, which Kafka does not have.
            let _ = offsets.add_partition_offset(
                &position.topic,
                position.partition,
                Offset::Offset(position.next_offset),
            );
        }
        if !positions.is_empty()
            && let Err(error) = self.consumer.commit(&offsets, CommitMode::Async)
        {
            self.note_error(&error);
        }
    }

    fn note_error(&self, error: &KafkaError) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.errors.len() < MAX_NOTED_ERRORS {
            notes.errors.push(BrokerError { kind: kind_of(error), reason: error.to_string() });
        }
    }

    /// Errors since the last call, counted by kind, with the last reason of each.
    #[must_use]
    pub fn take_errors(&self) -> BTreeMap<String, (u64, String)> {
        let errors = std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner).errors);
        let mut counted: BTreeMap<String, (u64, String)> = BTreeMap::new();
        for BrokerError { kind, reason } in errors {
            let entry = counted.entry(kind).or_default();
            *entry = (entry.0 + 1, reason);
        }
        counted
    }

    /// Ends of the partitions' logs, as far as news of them came since the last call.
    #[must_use]
    pub fn take_ends(&self) -> Vec<PartitionEnd> {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner).ends)
    }
}

fn hand_over(message: &BorrowedMessage<'_>, take: &mut impl FnMut(Incoming<'_>)) {
    let headers: Vec<(&str, &[u8])> = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().filter_map(|header| Some((header.key, header.value?))).collect()
    });
    take(Incoming::Record(Record {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key(),
        headers: &headers,
        payload: message.payload(),
    }));
}
