//! What librdkafka's callbacks leave behind for the polling thread: errors and statistics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;

use super::client::{TokenFile, bearer_token};

/// Errors kept until the next look; further ones are the same outage.
const MAX_NOTED_ERRORS: usize = 1_000;

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
    /// Offset behind the last record that can be read: no transaction before it is open.
    pub end: i64,
    /// Offset behind the last record of the log.
    pub high: i64,
    /// Whether the broker that has it answers.
    pub is_heard: bool,
}

/// What the client tells of itself now and then.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceStatistics {
    /// Ends of the logs of assigned partitions.
    pub ends: Vec<PartitionEnd>,
    /// Bytes that were fetched and wait to be counted.
    pub queue_bytes: u64,
    /// Brokers by `host:port` with the average time of a request in seconds.
    pub round_trips: Vec<(String, f64)>,
}

/// Left by the callbacks, taken by the polling thread.
#[derive(Debug, Default)]
pub(super) struct Notes {
    errors: Vec<BrokerError>,
    statistics: Option<SourceStatistics>,
}

impl Notes {
    pub(super) fn error(&mut self, error: &KafkaError, reason: &str) {
        if self.errors.len() < MAX_NOTED_ERRORS {
            self.errors.push(BrokerError { kind: kind_of(error), reason: reason.to_owned() });
        }
    }

    pub(super) fn take_errors(&mut self) -> BTreeMap<String, (u64, String)> {
        let mut counted: BTreeMap<String, (u64, String)> = BTreeMap::new();
        for BrokerError { kind, reason } in std::mem::take(&mut self.errors) {
            let entry = counted.entry(kind).or_default();
            *entry = (entry.0 + 1, reason);
        }
        counted
    }

    pub(super) fn take_statistics(&mut self) -> Option<SourceStatistics> {
        self.statistics.take()
    }
}

/// The consumer's callbacks.
#[derive(Debug, Default)]
pub(super) struct Context {
    notes: Arc<Mutex<Notes>>,
    token: Option<TokenFile>,
    /// For how long a broker that is there may say nothing.
    silence: Duration,
}

impl Context {
    pub(super) fn new(token: Option<TokenFile>, silence: Duration) -> Self {
        Self { notes: Arc::default(), token, silence }
    }

    pub(super) fn notes(&self) -> Arc<Mutex<Notes>> {
        Arc::clone(&self.notes)
    }

    fn note(&self, take: impl FnOnce(&mut Notes)) {
        take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn kind_of(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| "Other".to_owned(), |code| format!("{code:?}"))
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        bearer_token(self.token.as_ref())
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn stats(&self, statistics: Statistics) {
        let taken = summary(statistics, self.silence);
        self.note(|notes| notes.statistics = Some(taken));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition reaches here as well as the poll; it is news, not trouble.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.note(|notes| notes.error(&error, reason));
        }
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, outcome: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = outcome {
            self.error(error, "a commit of the group's offsets was refused");
        }
    }
}

fn summary(statistics: Statistics, silence: Duration) -> SourceStatistics {
    let mut taken = SourceStatistics::default();
    // Negative before the first answer of all.
    let answers = |idle: i64| u64::try_from(idle).is_ok_and(|idle| Duration::from_micros(idle) <= silence);
    let heard: Vec<i32> = statistics
        .brokers
        .values()
        .filter(|broker| answers(broker.rxidle))
        .map(|broker| broker.nodeid)
        .collect();
    for topic in statistics.topics.into_values() {
        for (partition, state) in topic.partitions.into_iter().filter(|(partition, _)| *partition >= 0) {
            taken.queue_bytes += state.fetchq_size;
            let end = if state.ls_offset >= 0 { state.ls_offset } else { state.hi_offset };
            if end >= 0 {
                let high = state.hi_offset.max(end);
                let is_heard = state.broker >= 0 && heard.contains(&state.broker);
                taken.ends.push(PartitionEnd { topic: topic.topic.clone(), partition, end, high, is_heard });
            }
        }
    }
    // Seed brokers that turned out to be others are known by a negative number.
    for broker in statistics.brokers.into_values().filter(|broker| broker.nodeid >= 0) {
        if let Some(rtt) = broker.rtt.filter(|rtt| rtt.cnt > 0) {
            taken.round_trips.push((broker.nodename, rtt.avg as f64 / 1_000_000.0));
        }
    }
    taken
}
