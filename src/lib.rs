//! Anchorwatch: an anchor watch for machine-learning models in production.

pub mod action;
pub mod alert;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod deliver;
pub mod engine;
pub mod event;
pub mod monitor;
pub mod reference;
pub mod registry;
pub mod source;
pub mod store;
pub mod subject;
pub mod telemetry;
pub mod view;
pub mod window;

#[cfg(test)]
pub(crate) mod docs;
