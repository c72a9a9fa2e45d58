//! Faults of every kind, and what must hold after each of them.
//!
//! A case drives one daemon against real servers, breaks something, mends it, and then asks `invariants.rs`. The
//! records come from a seed, which is printed; `ANCHORWATCH_SEED` sets it. `ANCHORWATCH_FAULTS=long` (`make faults`)
//! runs each case as often as a release wants it; without it each case is short enough for `make test`.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by saying what is wrong")]

#[path = "../support/mod.rs"]
mod support;

mod actions;
mod broker;
mod clock;
mod corrupt;
mod disk;
mod fail_points;
mod guarantees;
mod invariants;
mod kills;
mod outcome;
mod proxy;
mod stream;
mod topics;
mod webhooks;
mod workload;
mod world;

/// How often something is done: the short form's number, or the long form's.
fn times(short: usize, long: usize) -> usize {
    if std::env::var("ANCHORWATCH_FAULTS").is_ok_and(|form| form == "long") { long } else { short }
}
