//! What the process may hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, Problem};

/// Share of all memory for windows; the rest is for reading, queues, deliveries and the program itself.
pub const OF_WINDOWS: u64 = 2;
/// Bytes of a remembered `id`, and of a prediction that waits for its label.
const OF_AN_ID: u64 = 52;
const OF_A_PREDICTION: u64 = 130;

/// What the process may hold. Models and segments beyond it are not admitted, and it is shown which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// Bytes the process may use, half of them for windows; by default three quarters of what its container or machine has.
    #[schemars(range(min = 67_108_864))]
    pub max: Option<u64>,
    /// Most versions of one model that are watched at a time: the serving one, then the newest.
    #[schemars(range(min = 1, max = 100))]
    pub versions_per_model: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { max: None, versions_per_model: 5 }
    }
}

/// Bytes that the configuration lets grow beside windows: ids of one partition, predictions that wait, and what is fetched
/// ahead.
#[must_use]
pub fn beside_windows(config: &Config) -> u64 {
    let ids = config.events.dedup.as_ref().map_or(0, |dedup| u64::from(dedup.last) * OF_AN_ID);
    let predictions = (config.events.labels.max as u64).saturating_mul(OF_A_PREDICTION);
    let fetched = u64::from(config.kafka.fetch.queue_kib) << 10;
    ids.saturating_add(predictions).saturating_add(fetched)
}

/// What is wrong if all of that does not fit into the half of `max` that is not for windows.
#[must_use]
pub fn does_not_fit(config: &Config, max: u64) -> Option<String> {
    let (needed, room) = (beside_windows(config), max - max / OF_WINDOWS);
    (needed > room).then(|| {
        format!(
            "{} MB may be needed beside windows (events.dedup.last, events.labels.max, kafka.fetch.queue_kib), and half \
             of {} MB is for that",
            needed.div_ceil(1_000_000),
            max / 1_000_000
        )
    })
}

pub(super) fn problems(config: &Config, found: &mut Vec<Problem>) {
    if let Some(what) = config.memory.max.and_then(|max| does_not_fit(config, max)) {
        found.push(Problem::at("memory.max", what).expected("more memory, or less in one of them"));
    }
}
