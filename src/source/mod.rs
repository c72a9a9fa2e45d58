//! Step 1 of 10: records in, acknowledgement back.
//!
//! `kafka.rs` reads topics, with `batch.rs` (librdkafka's batch call), `kafka/` (settings, partitions, recovery),
//! `client.rs` (connection and credentials), `notes.rs` (errors and statistics) and `watchdog.rs` (a client that has
//! silently stopped); `dead_letter.rs` writes pointers to refused records; `embedded.rs` is the broker of the demo;
//! `range.rs` reads a stretch of a topic once; `schemas.rs` asks a schema registry.

mod batch;
mod client;
mod dead_letter;
mod embedded;
mod files;
mod kafka;
mod notes;
mod range;
mod schemas;
mod watchdog;

pub use batch::{BatchConsumer, MOST, RawMessage, Taken};
pub use client::{builtin_features, warnings};
pub use dead_letter::DeadLetters;
pub use embedded::EmbeddedBroker;
pub use files::{TableError, TableEvents, TimedEvent};
pub use kafka::{Assignment, Begin, Discovered, Incoming, KafkaSource, Reset, SourceError};
pub use notes::{BrokerError, PartitionEnd, SourceStatistics};
pub use range::{RangeError, read_range};
pub use schemas::{SchemaClient, SchemaClientError, SchemaLookupError};
