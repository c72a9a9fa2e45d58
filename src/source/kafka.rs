//! Kafka topics, read by one thread.
//!
//! One process reads every partition of its topics and keeps its own offsets, so partitions are assigned by hand: no
//! group protocol, no rebalance, no zombie (`docs/decisions/0002-manual-assignment.md`). The group's committed offsets
//! are written after each checkpoint and only show the lag. Broker errors never end the process: they are counted.
//!
//! Every partition is taken up at the record *before* its position, whose hash must be the one that was counted last:
//! if it is not, the topic was created anew, and what the policy says is done instead of counting other records.

mod connection;
mod error;
mod partition;
mod recovery;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message as _, Timestamp};
use rdkafka::{Offset, TopicPartitionList};

use self::connection::{connect, consumer_settings};
pub use self::error::SourceError;
use self::partition::{Assigned, First, Resuming, Turn};
pub use self::partition::{Assignment, Begin, Discovered, Incoming, Reset};
use super::batch::{BatchConsumer, RawMessage, Taken};
use super::client::TokenFile;
use super::notes::{Context, Notes, SourceStatistics};
use crate::config::{Config, NameSource, StartPolicy};
use crate::engine::{Position, Resume};
use crate::event::Record;
use crate::subject::Millis;

const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(2);

/// After so long nobody else is asked in one go, since records wait meanwhile; the rest is asked first the next time.
const DISCOVERY_BUDGET: Duration = Duration::from_secs(4);

/// News of the client that are served between two batches.
const NEWS: usize = 8;

/// Errors after which a topic may be another one, or a broker may have lost records.
const DOUBTS: [&str; 5] =
    ["UnknownTopicOrPartition", "UnknownTopic", "UnknownPartition", "UnknownTopicId", "InconsistentTopicId"];

/// A consumer of all partitions of the configured topics.
pub struct KafkaSource {
    consumer: BatchConsumer<Context>,
    settings: ClientConfig,
    token: Option<TokenFile>,
    notes: Arc<Mutex<Notes>>,
    topics: Vec<String>,
    start: StartPolicy,
    /// Offsets before the position that are read again for the ids in them.
    reach: i64,
    /// Whether a name may stand in the headers of a record.
    reads_headers: bool,
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

impl KafkaSource {
    /// A client of this cluster; the connection is made in the background and made again whenever it is lost.
    ///
    /// # Errors
    /// When librdkafka refuses a property, a secret cannot be read, or the build cannot do what is asked.
    pub fn new(config: &Config) -> Result<Self, SourceError> {
        let kafka = &config.kafka;
        let settings = consumer_settings(kafka, &config.windows)?;
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
            reads_headers: [&config.events.model_from, &config.events.version_from]
                .iter()
                .any(|source| matches!(source, NameSource::Header(_))),
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
    #[expect(clippy::disallowed_methods, reason = "a wait for the network has no event time")]
    pub fn discover(&mut self, begin: impl Fn(&str, i32) -> Begin) -> Result<Discovered, SourceError> {
        let mut found = TopicPartitionList::new();
        let mut discovered = Discovered::default();
        let mut assigned = Vec::new();
        let begun = Instant::now();
        for (asked, topic) in self.topics.clone().into_iter().enumerate() {
            if begun.elapsed() >= DISCOVERY_BUDGET {
                self.topics.rotate_left(asked);
                break;
            }
            let Some(partitions) = self.partitions_of(&topic) else { continue };
            if partitions.is_empty() {
                self.missing.insert(topic.clone());
                self.unassign(|one| one.topic == topic)?;
                continue;
            }
            self.missing.remove(&topic);
            discovered.counts.insert(topic.clone(), partitions.iter().max().map_or(0, |last| last + 1));
            for partition in partitions {
                // A partition without a leader takes its time; those found so far are not to wait for it.
                if self.assigned.iter().any(|one| one.is(&topic, partition))
                    || begun.elapsed() >= DISCOVERY_BUDGET
                {
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
            assigned.iter().for_each(|one| self.consumer.divert(&one.topic, one.partition));
            self.consumer.incremental_assign(&found).map_err(SourceError::Assign)?;
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

    /// Lets partitions go. Should a topic that is gone come back, it is another one until its records say otherwise.
    fn unassign(&mut self, goes: impl Fn(&Assigned) -> bool) -> Result<(), SourceError> {
        let mut gone = TopicPartitionList::new();
        for one in self.assigned.iter().filter(|one| goes(one)) {
            gone.add_partition(&one.topic, one.partition);
        }
        if gone.count() > 0 {
            self.consumer.incremental_unassign(&gone).map_err(SourceError::Assign)?;
            self.assigned.retain(|one| !goes(one));
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

    /// Hands over what comes within `wait`, or less if it is `most` records before. Answers how many there were. News and
    /// errors are taken in any case, and are all that comes while records are held back.
    pub fn poll(&mut self, wait: Duration, most: usize, mut take: impl FnMut(Incoming<'_>)) -> usize {
        if self.paused || most == 0 || self.assigned.is_empty() {
            self.serve_news(wait);
            return 0;
        }
        self.serve_news(Duration::ZERO);
        let Self { consumer, notes, assigned, needs_reset, reads_headers, .. } = self;
        assigned.iter().filter(|one| !one.reached).for_each(|one| consumer.divert(&one.topic, one.partition));
        let (mut records, mut last) = (0, 0);
        consumer.take(wait, most, |taken| match taken {
            Taken::Message(message) => {
                if let Some(one) = find(assigned, &mut last, message.topic(), message.partition()) {
                    hand_over(message, *reads_headers, one, &mut take);
                    *needs_reset |= one.is_other;
                    records += 1;
                }
            }
            Taken::End { topic, partition } => {
                if let Some(one) = find(assigned, &mut last, topic, partition) {
                    *needs_reset |= hand_over_end(one, &mut take);
                }
            }
            Taken::Failed { code, reason } => {
                *needs_reset |= code == RDKafkaErrorCode::AutoOffsetReset;
                let error = KafkaError::MessageConsumption(code);
                notes.lock().unwrap_or_else(PoisonError::into_inner).error(&error, reason);
            }
        });
        records
    }

    /// What the client has to tell besides records: its callbacks run in here. Waits up to `wait` for the first of it.
    fn serve_news(&mut self, wait: Duration) {
        let mut patience = wait;
        for _ in 0..NEWS {
            match self.consumer.poll(patience) {
                // Nothing more, or something that a callback took: with no time to wait, one log line looks like an end.
                None => {}
                // Each partition is diverted before it is assigned, so neither a record nor an end should come here. One
                // that did is past: nothing of its partition counts until that is read anew from its position.
                Some(Ok(message)) => {
                    let (topic, partition) = (message.topic(), message.partition());
                    let strayed = self.assigned.iter_mut().filter(|one| one.is(topic, partition));
                    strayed.for_each(|one| one.strayed = true);
                    self.needs_reset = true;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let strayed = self.assigned.iter_mut().filter(|one| one.partition == partition);
                    strayed.for_each(|one| one.strayed = true);
                    self.needs_reset = true;
                }
                // Every error comes by the callback as well, with its reason.
                Some(Err(error)) => {
                    self.needs_reset |= error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset);
                }
            }
            patience = Duration::ZERO;
        }
    }

    /// Stops handing over records; news and errors still come. What was fetched waits in the client, whose queue is
    /// bounded. librdkafka's own pause is not for us: it goes on behind the last message of a batch, and takes the end of
    /// a partition for one, so that the next record there is never read.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Hands over records again.
    pub fn resume(&mut self) {
        if std::mem::take(&mut self.paused) {
            self.assigned.iter_mut().for_each(|one| one.watched.reset());
        }
    }

    /// Whether records are held back.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
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

/// The partition of a record, that of the last one first.
fn find<'a>(
    assigned: &'a mut [Assigned],
    last: &mut usize,
    topic: &str,
    partition: i32,
) -> Option<&'a mut Assigned> {
    if !assigned.get(*last).is_some_and(|one| one.is(topic, partition)) {
        *last = assigned.iter().position(|one| one.is(topic, partition))?;
    }
    assigned.get_mut(*last)
}

fn hand_over(
    message: RawMessage<'_>,
    reads_headers: bool,
    one: &mut Assigned,
    take: &mut impl FnMut(Incoming<'_>),
) {
    let headers = if reads_headers { message.headers() } else { Vec::new() };
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
    one.reached = true;
    one.watched.record();
    match one.turn(&record) {
        Turn::Count => take(Incoming::Record(record)),
        Turn::Remember => take(Incoming::Earlier(record)),
        Turn::Drop => {}
    }
}

/// Answers whether the log ended before the position.
fn hand_over_end(one: &mut Assigned, take: &mut impl FnMut(Incoming<'_>)) -> bool {
    one.reached = true;
    if one.strayed {
        return false;
    }
    one.watched.at_end();
    if let Some(resuming) = &mut one.resuming {
        resuming.ended = true;
        return true;
    }
    if !one.is_other {
        take(Incoming::AtEnd { topic: &one.topic, partition: one.partition });
    }
    false
}
