//! Pointers to refused records, one JSON object each, for whoever wants to look at them in the source topic.

use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Serialize;

use super::SourceError;
use super::client::{self, Quiet, TokenFile};
use crate::config::Kafka;
use crate::engine::RefusedRecord;

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes pointers into the dead-letter topic.
pub struct DeadLetters {
    producer: FutureProducer<Quiet>,
    topic: String,
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetters").field("topic", &self.topic).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Pointer<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    reason: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
}

impl DeadLetters {
    /// A producer for the configured topic; `None` if none is configured.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration or a secret cannot be read.
    pub fn new(kafka: &Kafka) -> Result<Option<Self>, SourceError> {
        let Some(topic) = kafka.dead_letter_topic.clone() else { return Ok(None) };
        let mut settings = client::settings(kafka, ClientConfig::new())?;
        // The consumer of the same cluster already tells of its troubles, and a failed send is told by the caller.
        settings.set_log_level(RDKafkaLogLevel::Emerg).set("enable.idempotence", "true");
        let context = Quiet(TokenFile::of(kafka));
        let producer = settings.create_with_context(context).map_err(SourceError::Properties)?;
        Ok(Some(Self { producer, topic }))
    }

    /// Writes one pointer and waits until the broker has it.
    ///
    /// # Errors
    /// When the broker refuses it or does not answer; the pointer is then to be sent again.
    pub async fn send(&self, record: &RefusedRecord) -> Result<(), KafkaError> {
        let RefusedRecord { topic, partition, offset, reason, detail, size, sha256 } = record;
        let (partition, offset, size, sha256) = (*partition, *offset, *size, sha256.as_deref());
        let pointer = Pointer { topic, partition, offset, reason, detail, size, sha256 };
        let value = serde_json::to_vec(&pointer).unwrap_or_default();
        let key = format!("{topic}/{partition}/{offset}");
        let record = FutureRecord::to(&self.topic).key(&key).payload(&value);
        self.producer.send(record, DELIVERY_TIMEOUT).await.map(drop).map_err(|(error, _)| error)
    }
}
