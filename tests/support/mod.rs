//! What the tests share: real servers on loopback, the daemon as a process, and waiting on conditions.
#![allow(dead_code, unused_imports, reason = "each test binary compiles this module and uses its part of it")]
#![expect(clippy::expect_used, clippy::panic, reason = "a helper fails its test by saying what is wrong")]

pub(crate) mod daemon;
pub(crate) mod flights;
pub(crate) mod http;
pub(crate) mod receiver;
pub(crate) mod servers;
pub(crate) mod wait;

pub(crate) use daemon::Daemon;
pub(crate) use receiver::{Receiver, Reply, Request};
pub(crate) use servers::{Alertmanager, Kafka, Prometheus, free_port};
pub(crate) use wait::{wait_for, wait_until};
