//! The state file, the outbox and the deliveries: durable together, sent once, refused nowhere in silence.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper fails its test by saying what is wrong")]

#[path = "../support/mod.rs"]
mod support;

mod checkpoint;
mod crash;
mod daemon;
mod fixtures;
mod kill;
mod mishaps;
mod orders;
mod outbox_model;
mod payloads;
mod scripted;
mod seals;
mod sinks;
mod verify;
mod workers;
