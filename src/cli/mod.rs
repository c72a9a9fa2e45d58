//! The command line: one file per command.

pub mod context;
pub mod model;
pub mod reference;
mod table;

pub use context::CliContext;
