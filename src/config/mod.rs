//! Configuration: the typed tree and its defaults.

mod span;
mod tree;

pub use span::{Span, SpanError};
pub use tree::*;
