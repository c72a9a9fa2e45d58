//! Who may ask what, over what, and what never comes out.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by saying what is wrong")]

#[path = "../support/mod.rs"]
mod support;

mod browsers;
mod canaries;
mod doors;
mod fixtures;
mod hostile;
mod listeners;
mod schemas;
mod scopes;
mod tls;
