//! How each target is doing: written by its worker, read by upkeep.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::subject::Millis;

/// One target's state between two looks.
#[derive(Debug, Clone, Default)]
pub(in crate::deliver) struct Beat {
    /// Name of the breaker's state.
    pub(in crate::deliver) breaker: &'static str,
    /// Failures in a row.
    pub(in crate::deliver) failures: u32,
    /// Since when, by the wall clock, nothing was taken.
    pub(in crate::deliver) failing_since: Option<Millis>,
    /// Since when, by the steady clock, the breaker has been open.
    pub(in crate::deliver) open_since: Option<Duration>,
    /// Requests that the rate allows now.
    pub(in crate::deliver) tokens: f64,
    /// Requests under way.
    pub(in crate::deliver) inflight: usize,
    /// What went wrong last, until something was delivered.
    pub(in crate::deliver) last_error: Option<String>,
    /// Why a delivery was given up, until something was delivered.
    pub(in crate::deliver) gave_up: Option<String>,
    /// Whether anything was delivered since the start.
    pub(in crate::deliver) delivered: bool,
    /// Whether an action ended unknown since the last look.
    pub(in crate::deliver) unknown: bool,
}

/// A [`Beat`] shared between a worker, its requests and upkeep.
#[derive(Debug, Default)]
pub(in crate::deliver) struct Pulse(Mutex<Beat>);

impl Pulse {
    /// Changes it.
    pub(in crate::deliver) fn with<T>(&self, change: impl FnOnce(&mut Beat) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As it is now.
    pub(in crate::deliver) fn read(&self) -> Beat {
        self.with(|beat| beat.clone())
    }
}
