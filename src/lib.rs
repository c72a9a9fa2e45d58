//! Anchorwatch: an anchor watch for machine-learning models in production.

pub mod alert;
pub mod cli;
pub mod config;
pub mod engine;
pub mod event;
pub mod reference;
pub mod registry;
pub mod store;
pub mod subject;
pub mod view;
pub mod window;
