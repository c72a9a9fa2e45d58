//! A stretch of a topic, read once from one time to another: for what judges the past. It commits nothing and joins no
//! group.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::SourceError;
use super::client::{self, Quiet, TokenFile};
use crate::config::Kafka;
use crate::subject::Millis;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for a further record before the reading is given up.
const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(200);

/// Rules of a reader that leaves no trace.
const SETTINGS: [(&str, &str); 5] = [
    ("group.id", "anchorwatch-range"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("allow.auto.create.topics", "false"),
];

/// Why a stretch of a topic could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] SourceError),
    /// The cluster refuses or does not answer.
    #[error("cannot read topic `{topic}` from {bootstrap}: {source}")]
    Broker {
        /// Addresses asked.
        bootstrap: String,
        /// Topic name.
        topic: String,
        /// What librdkafka said.
        source: Box<KafkaError>,
    },
    /// The cluster does not have the topic.
    #[error("there is no topic `{topic}` on {bootstrap}")]
    NoTopic {
        /// Addresses asked.
        bootstrap: String,
        /// Topic name.
        topic: String,
    },
    /// No record came for a while, and the end was not reached.
    #[error("topic `{topic}`: no record for 30s, {left} of its partitions not read to the end")]
    Stalled {
        /// Topic name.
        topic: String,
        /// Partitions not read to the end.
        left: usize,
    },
    /// What is done with the records failed.
    #[error("cannot keep the records of the topic: {0}")]
    Kept(#[from] std::io::Error),
}

/// Reads the records of `topic` that were written at or after `from` and before `to`, by the records' own timestamps,
/// and hands out value and timestamp of each. Order holds inside a partition only.
///
/// # Errors
/// When the cluster cannot be asked, or `each` fails.
pub fn read_range(
    kafka: &Kafka,
    topic: &str,
    (from, to): (Option<Millis>, Option<Millis>),
    mut each: impl FnMut(&[u8], Option<Millis>) -> std::io::Result<()>,
) -> Result<(), RangeError> {
    let failed = |source| RangeError::Broker {
        bootstrap: kafka.bootstrap.clone(),
        topic: topic.to_owned(),
        source: Box::new(source),
    };
    let mut settings = client::settings(kafka, ClientConfig::new())?;
    SETTINGS.iter().for_each(|(name, value)| {
        settings.set(*name, *value);
    });
    let consumer: BaseConsumer<Range> =
        settings.create_with_context(Range(Quiet(TokenFile::of(kafka)))).map_err(failed)?;
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT).map_err(failed)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let partitions: Vec<i32> =
        found.map(|found| found.partitions().iter().map(|one| one.id()).collect()).unwrap_or_default();
    if partitions.is_empty() {
        return Err(RangeError::NoTopic { bootstrap: kafka.bootstrap.clone(), topic: topic.to_owned() });
    }
    let mut assigned = TopicPartitionList::new();
    let mut ends: HashMap<i32, i64> = HashMap::new();
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, ANSWER_TIMEOUT).map_err(failed)?;
        let offset = |at: Option<Millis>, without: i64| {
            at.map_or(Ok(without), |at| offset_of(&consumer, topic, partition, at, high))
        };
        let (begin, end) = (offset(from, low).map_err(failed)?, offset(to, high).map_err(failed)?);
        if begin < end {
            assigned.add_partition_offset(topic, partition, Offset::Offset(begin)).map_err(failed)?;
            ends.insert(partition, end);
        }
    }
    if ends.is_empty() {
        return Ok(());
    }
    consumer.assign(&assigned).map_err(failed)?;
    read(&consumer, topic, &mut ends, &mut each, &failed)
}

fn read(
    consumer: &BaseConsumer<Range>,
    topic: &str,
    ends: &mut HashMap<i32, i64>,
    each: &mut impl FnMut(&[u8], Option<Millis>) -> std::io::Result<()>,
    failed: &impl Fn(KafkaError) -> RangeError,
) -> Result<(), RangeError> {
    let mut waited = since_now();
    while !ends.is_empty() {
        let Some(polled) = consumer.poll(POLL) else {
            // Behind the last record there may be markers of transactions, which are no records.
            let position = consumer.position().map_err(failed)?;
            let at = |partition: i32| match position.find_partition(topic, partition)?.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            ends.retain(|partition, end| at(*partition).is_none_or(|at| at < *end));
            if waited.elapsed() > PATIENCE {
                return Err(RangeError::Stalled { topic: topic.to_owned(), left: ends.len() });
            }
            continue;
        };
        let message = polled.map_err(failed)?;
        waited = since_now();
        let Some(end) = ends.get(&message.partition()).copied() else { continue };
        if let Some(payload) = message.payload().filter(|_| message.offset() < end) {
            each(payload, message.timestamp().to_millis())?;
        }
        if message.offset() + 1 >= end {
            ends.remove(&message.partition());
        }
    }
    Ok(())
}

/// Offset of the first record not older than this; behind the last one if all are.
fn offset_of(
    consumer: &BaseConsumer<Range>,
    topic: &str,
    partition: i32,
    at: Millis,
    high: i64,
) -> Result<i64, KafkaError> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(topic, partition, Offset::Offset(at.max(0)))?;
    let found = consumer.offsets_for_times(asked, ANSWER_TIMEOUT)?;
    match found.find_partition(topic, partition).map(|one| one.offset()) {
        Some(Offset::Offset(offset)) => Ok(offset),
        _ => Ok(high),
    }
}

#[expect(clippy::disallowed_methods, reason = "a wait for the network has no event time")]
fn since_now() -> Instant {
    Instant::now()
}

/// Context of the reader.
struct Range(Quiet);

impl rdkafka::ClientContext for Range {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        configuration: Option<&str>,
    ) -> Result<rdkafka::client::OAuthToken, Box<dyn std::error::Error>> {
        self.0.generate_oauth_token(configuration)
    }

    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, _: &str) {}
}

impl rdkafka::consumer::ConsumerContext for Range {}
