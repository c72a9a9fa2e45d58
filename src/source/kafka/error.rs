//! Why a source cannot be opened or go on.

use rdkafka::error::KafkaError;

use crate::config::SecretError;
use crate::window::GapReason;

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
