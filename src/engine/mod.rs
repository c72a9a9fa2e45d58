//! The synchronous core.

mod checkpoint;

pub use checkpoint::*;
