//! The client: the settings on which correctness rests, its beginning and its end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::config::ClientConfig;

use super::SourceError;
use crate::config::{Kafka, Windows};
use crate::source::batch::BatchConsumer;
use crate::source::client::{self, TokenFile};
use crate::source::notes::{Context, Notes};
use crate::subject::Millis;

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

/// Settings that the configuration may not change: correctness rests on them, or that nothing is ever made in a cluster.
const OURS: [&str; 5] = [
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "auto.offset.reset",
    "allow.auto.create.topics",
];

/// For how long a broker may take to answer beyond the longest that it was asked to wait for records.
const SILENCE: Duration = Duration::from_secs(5);

/// The least and the most time between two tellings of the client's statistics.
const STATISTICS_EVERY: (Millis, Millis) = (1_000, 86_400_000);

/// Most of one answer: librdkafka takes twice as much at most.
const MAX_FETCH: u64 = 1_000_000_000;

pub(super) fn consumer_settings(kafka: &Kafka, windows: &Windows) -> Result<ClientConfig, SourceError> {
    let mut settings = ClientConfig::new();
    SETTINGS.iter().for_each(|(name, value)| {
        settings.set(*name, *value);
    });
    let mut settings = client::settings(kafka, settings)?;
    SETTINGS.iter().filter(|(name, _)| OURS.contains(name)).for_each(|(name, value)| {
        settings.set(*name, *value);
    });
    // Whether a partition is idle or left behind rests on what they say of its broker.
    let (least, most) = STATISTICS_EVERY;
    let patience = (windows.idle_after.millis() / 2).min(windows.stalled_after.millis() / 4).max(least);
    let statistics_every = kafka.statistics_every.millis().min(patience).min(most);
    let fetch = &kafka.fetch;
    let bytes = |kib: u32| (u64::from(kib) << 10).min(MAX_FETCH);
    let response = bytes(fetch.response_kib);
    settings
        .set("group.id", &kafka.group)
        .set("queued.max.messages.kbytes", fetch.queue_kib.to_string())
        .set("fetch.message.max.bytes", bytes(fetch.partition_kib).to_string())
        .set("fetch.max.bytes", response.to_string())
        .set("receive.message.max.bytes", (response * 2).to_string())
        .set("statistics.interval.ms", statistics_every.to_string());
    if let Some(rack) = &kafka.rack {
        settings.set("client.rack", rack);
    }
    Ok(settings)
}

pub(super) fn connect(
    settings: &ClientConfig,
    token: Option<&TokenFile>,
) -> Result<(BatchConsumer<Context>, Arc<Mutex<Notes>>), SourceError> {
    // librdkafka's own default.
    let waits = settings.get("fetch.wait.max.ms").and_then(|wait| wait.parse().ok()).unwrap_or(500);
    let context = Context::new(token.cloned(), Duration::from_millis(waits) + SILENCE);
    let notes = context.notes();
    let consumer = settings.create_with_context(context).and_then(BatchConsumer::new);
    let consumer = consumer.map_err(SourceError::Properties)?;
    Ok((consumer, notes))
}

/// Ends a client beside the thread that polls, since its end may wait for a broker.
pub(super) fn close(consumer: BatchConsumer<Context>) {
    let spawned = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(consumer));
    if let Err(error) = spawned {
        tracing::debug!(%error, "the old Kafka client was ended in place");
    }
}
