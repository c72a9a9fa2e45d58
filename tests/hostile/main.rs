//! Hostile input straight through the engine: memory and metric series stay within stated bounds, and the windows of known
//! models are bit by bit those of a run without it. `tests/security/hostile.rs` does the same in short through a daemon.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

mod admission;
mod engine;
mod known;
