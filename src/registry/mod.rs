//! The registry: builds references from baseline files and keeps models, versions, stages and references.
//!
//! Building ([`build()`]) turns rows into an immutable [`Reference`](crate::reference::Reference);
//! [`Registry`] keeps it under its content address and remembers which one each version is judged against.

mod blobs;
mod build;
mod count;
mod diff;
mod embedding;
mod error;
mod history;
mod options;
mod own;
mod plan;
mod sample;
mod schema;
mod series;
mod source;
mod survey;
mod time;

pub use build::{build, read_as_one, read_series};
pub use diff::{KindChange, OneSided, ReferenceDiff, SharedColumn, diff};
pub use error::{BuildError, NameError, check_model, parse_version};
pub use history::History;
pub use options::{BaselineOptions, Format, RoleColumns};
pub use own::{ActiveReference, Registry, RegistryError, stage_name, wall_clock};
pub use plan::kind_name;
pub use schema::{Schema, SchemaColumn};
pub use series::{CountedSeries, MOST_WINDOWS};

#[cfg(test)]
mod tests;
