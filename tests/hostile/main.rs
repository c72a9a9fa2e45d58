//! Hostile input: memory and metric series stay within stated bounds, and the windows of known models are bit by bit
//! those of a run without it.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod daemon;
mod engine;
mod known;
