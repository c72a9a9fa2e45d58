//! Warnings that wait for the end of their interval, to be told together.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Digest, DigestEntry, MAX_DIGEST, Notification};
use crate::subject::Millis;

/// What one route has collected for one sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Collected {
    route: String,
    sink: String,
    /// Begin of the interval in which the first entry fell.
    from: Millis,
    length: Millis,
    entries: Vec<DigestEntry>,
    more: u64,
}

/// All digests under way; one document of the checkpoint.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Digests {
    list: Vec<Collected>,
    #[serde(skip)]
    pub(super) dirty: bool,
}

impl Digests {
    /// Adds what happened to a sink's digest.
    pub(super) fn add(&mut self, route: &str, sink: &str, length: Millis, told: &Notification) {
        self.dirty = true;
        let known = self.list.iter().position(|one| one.route == route && one.sink == sink);
        let index = known.unwrap_or_else(|| {
            self.list.push(Collected {
                route: route.to_owned(),
                sink: sink.to_owned(),
                from: told.at.div_euclid(length) * length,
                length,
                entries: Vec::new(),
                more: 0,
            });
            self.list.len() - 1
        });
        let collected = &mut self.list[index];
        if collected.entries.len() >= MAX_DIGEST {
            collected.more += 1;
            return;
        }
        collected.entries.push(DigestEntry {
            group: told.group.clone(),
            transition: told.transition,
            model: told.model.clone(),
            version: told.version.clone(),
            kind: told.kind,
            summary: told.summary.clone(),
            at: told.at,
        });
    }

    /// Digests whose interval is over at this edge, each with its sink.
    pub(super) fn take_due(&mut self, at: Millis) -> Vec<(String, Digest)> {
        let is_due = |one: &Collected| at >= one.from.saturating_add(one.length);
        if !self.list.iter().any(is_due) {
            return Vec::new();
        }
        self.dirty = true;
        let (due, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.list).into_iter().partition(is_due);
        self.list = waiting;
        due.into_iter().map(|one| (one.sink.clone(), digest(one))).collect()
    }
}

fn digest(one: Collected) -> Digest {
    let Collected { route, sink, from, length, entries, more } = one;
    let hash = Sha256::digest(format!("digest\n{route}\n{sink}\n{from}\n{length}"));
    Digest {
        key: hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
        route: if route.is_empty() { "root".to_owned() } else { route },
        from,
        to: from.saturating_add(length),
        entries,
        more,
    }
}
