//! Whether the daemon lives and is ready.

use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;

use crate::subject::Millis;

/// Silence of the engine after which it counts as stuck.
pub const STUCK_AFTER: Millis = 30_000;
/// Time after which a state file that neither writes a checkpoint nor refuses it, or does not answer, counts as stuck.
const WRITER_STUCK_AFTER: Millis = 60_000;

#[derive(Debug, Default)]
struct State {
    last_tick: Option<Millis>,
    assigned: bool,
    missing_topics: Vec<String>,
    writing_for: Millis,
    broken: bool,
    unknown_partitions: usize,
}

/// Where the engine says how it is; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

/// Answer of `/livez` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Readiness {
    /// Whether it is.
    pub ok: bool,
    /// Why not; empty if it is.
    pub reasons: Vec<String>,
}

impl From<Vec<String>> for Readiness {
    fn from(reasons: Vec<String>) -> Self {
        Self { ok: reasons.is_empty(), reasons }
    }
}

impl Health {
    /// The engine's loop came round.
    pub fn tick(&self, now: Millis) {
        self.with(|state| state.last_tick = Some(now));
    }

    /// Whether partitions are assigned, and which configured topics the broker does not know.
    pub fn source(&self, assigned: bool, missing_topics: &[String]) {
        self.with(|state| {
            state.assigned = assigned;
            missing_topics.clone_into(&mut state.missing_topics);
        });
    }

    /// How long the checkpoint under way, or the answer to a question, takes so far, whether the last checkpoint was
    /// refused, and of how many partitions neither a position nor an end is known.
    pub fn engine(&self, writing_for: Millis, broken: bool, unknown_partitions: usize) {
        self.with(|state| {
            state.writing_for = writing_for;
            state.broken = broken;
            state.unknown_partitions = unknown_partitions;
        });
    }

    /// Whether the process still works: false only if the engine began and then fell silent, or its disk hangs.
    #[must_use]
    pub fn liveness(&self, now: Millis) -> Readiness {
        self.with(|state| stuck(state, now)).into_iter().collect::<Vec<_>>().into()
    }

    /// Whether events are read and judged.
    #[must_use]
    pub fn readiness(&self, now: Millis) -> Readiness {
        self.with(|state| {
            let mut reasons = Vec::new();
            match state.last_tick {
                None => reasons.push("the engine has not begun yet".to_owned()),
                Some(_) => reasons.extend(stuck(state, now)),
            }
            if !state.assigned {
                reasons.push(
                    "no partitions are read: the broker was not reached yet, see kafka.bootstrap".to_owned(),
                );
            }
            if state.broken {
                reasons.push(
                    "the state cannot be written: reading is paused until it can, see the log".to_owned(),
                );
            }
            if state.unknown_partitions > 0 {
                reasons.push(format!("{} partitions have not answered yet", state.unknown_partitions));
            }
            if !state.missing_topics.is_empty() {
                let topics = state.missing_topics.join(", ");
                reasons.push(format!("the broker does not know these topics of kafka.topics: {topics}"));
            }
            reasons.into()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn stuck(state: &State, now: Millis) -> Option<String> {
    let silent = now.saturating_sub(state.last_tick?);
    if silent > STUCK_AFTER {
        return Some(format!("the engine has been silent for {} s", silent / 1_000));
    }
    let writing = state.writing_for;
    (writing > WRITER_STUCK_AFTER)
        .then(|| format!("the state file has not answered for {} s: does the disk hang?", writing / 1_000))
}
