//! Configuration: one YAML file, read into a typed tree, with *all* its problems reported at once.
//!
//! | step | file |
//! |---|---|
//! | text → YAML → JSON value | `load.rs` |
//! | value → deviations from the JSON Schema | `structure.rs`, `rule.rs` |
//! | value → typed tree with defaults | `tree.rs` and the file of each section, `sink.rs`, `secret.rs`, `span.rs` |
//! | tree → problems of meaning | `meaning.rs`, `alert_meaning.rs` |
//! | tree → effective configuration without secrets | `print.rs` |

mod action;
mod alert_meaning;
mod alerts;
mod avro;
mod deliver;
mod http;
mod judging;
mod kafka;
mod load;
mod meaning;
mod memory;
mod page;
mod print;
mod problem;
mod rule;
mod secret;
mod sequential;
mod sink;
mod span;
mod structure;
mod tree;

pub use action::*;
pub use alerts::*;
pub use avro::*;
pub use deliver::*;
pub use http::*;
pub use judging::{
    Detector, FalseAlarms, FaultFloors, Floors, LatencySettings, Monitor, MultipleTests, Multivariate, Rule,
    Tolerated, Untimed, Verdicts,
};
pub use kafka::*;
pub use load::{json_schema, load, parse};
pub use memory::*;
pub use page::reference_page;
pub use problem::{ConfigErrors, Problem};
pub use secret::{REDACTED, Secret, SecretError, SecretSource};
pub use sequential::{ON_ERROR, SequentialRule, SequentialValues, WatchedBy};
pub use sink::{Sink, SinkTarget, default_burst, default_concurrency, default_rate};
pub use span::{Span, SpanError};
pub use tree::*;

#[cfg(test)]
mod tests;
