//! Anchorwatch: an anchor watch for machine-learning models in production.
//!
//! The journey of a record, and where to read about each step:
//!
//! | # | file | what happens |
//! |---|---|---|
//! | 1 | `src/source/kafka.rs` | a partition's records, in batches |
//! | 2 | `src/event/mod.rs` | bytes become an event, or are refused with a reason |
//! | 3 | `src/window/mod.rs` | subject and pane by event time; late and future events |
//! | 4 | `src/window/count.rs` | values become the counters they increment |
//! | 5 | `src/engine/checkpoint.rs` | what one transaction of the state file holds |
//! | 6 | `src/window/horizon.rs` | panes become rolling windows |
//! | 7 | `src/monitor/mod.rs` | windows become verdicts |
//! | 8 | `src/alert/mod.rs` | verdicts become transitions, told once per group |
//! | 9 | `src/action/mod.rs` | guarded actions |
//! | 10 | `src/deliver/mod.rs` | deliveries, signed and retried |
//!
//! Core modules (`action`, `alert`, `config`, `engine`, `event`, `fault`, `monitor`, `reference`, `subject`, `view`,
//! `window`) are plain structs that take time as an argument; edges (`api`, `backup`, `deliver`, `registry`, `source`,
//! `store`, `telemetry`) wait;
//! only `app` and `cli` see everything. `tests/architecture.rs` keeps it so.

pub mod action;
pub mod alert;
pub mod api;
pub mod app;
pub mod backup;
pub mod cli;
pub mod config;
pub mod deliver;
pub mod engine;
pub mod event;
pub mod fault;
pub mod monitor;
pub mod reference;
pub mod registry;
pub mod source;
pub mod store;
pub mod subject;
pub mod telemetry;
pub mod view;
pub mod window;
mod workers;

#[cfg(test)]
pub(crate) mod docs;
