//! Step 1 of 10: records in, acknowledgement back.
//!
//! `kafka.rs` reads topics; `dead_letter.rs` writes pointers to refused records; `embedded.rs` is the broker of the demo.

mod dead_letter;
mod embedded;
mod files;
mod kafka;

pub use dead_letter::DeadLetters;
pub use embedded::EmbeddedBroker;
pub use files::{TableError, TableEvents, TimedEvent};
pub use kafka::{BrokerError, Incoming, KafkaSource, PartitionEnd, SourceError};
