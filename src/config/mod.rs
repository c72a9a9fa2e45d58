//! Configuration: one YAML file, read into a typed tree, with *all* its problems reported at once.

mod problem;
mod secret;
mod sink;
mod span;
mod tree;

pub use problem::{ConfigErrors, Problem};
pub use secret::{REDACTED, Secret, SecretError, SecretSource};
pub use sink::{Sink, SinkTarget};
pub use span::{Span, SpanError};
pub use tree::*;
