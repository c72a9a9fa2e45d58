//! The budget of series: who owns which, so that they are bounded, replaced as a whole, and deleted when a version leaves.

use std::collections::HashMap;

use prometheus::{Gauge, GaugeVec};

/// Whose series they are: a subject at one horizon.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) part: String,
}

/// One series to be shown.
pub(super) struct Sample<'a> {
    pub(super) name: &'static str,
    pub(super) family: &'a GaugeVec,
    pub(super) labels: Vec<String>,
    pub(super) value: f64,
}

type Key = (&'static str, Vec<String>);

/// A series that is shown, and where it is to be deleted from.
#[derive(Debug)]
struct Shown {
    family: GaugeVec,
    gauge: Gauge,
}

/// All series shown now.
#[derive(Debug)]
pub(super) struct Series {
    budget: usize,
    shown: usize,
    owners: HashMap<Owner, HashMap<Key, Shown>>,
}

impl Series {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, shown: 0, owners: HashMap::new() }
    }

    /// Whether any series of this owner could be shown: it has some, or there is room.
    pub(super) fn has_room(&self, owner: &Owner) -> bool {
        self.shown < self.budget || self.owners.get(owner).is_some_and(|known| !known.is_empty())
    }

    /// Replaces the series of an owner; returns how many did not fit the budget.
    pub(super) fn replace(&mut self, owner: Owner, samples: Vec<Sample<'_>>) -> u64 {
        let mut known = self.owners.remove(&owner).unwrap_or_default();
        let others = self.shown - known.len();
        let mut now = HashMap::with_capacity(samples.len());
        let mut new = Vec::new();
        for Sample { name, family, labels, value } in samples {
            let key = (name, labels);
            match known.remove(&key) {
                Some(shown) => {
                    shown.gauge.set(value);
                    now.insert(key, shown);
                }
                // Nothing new has room before all that stays has.
                None => new.push((key, family, value)),
            }
        }
        known.iter().for_each(|(key, shown)| delete(key, &shown.family));
        let mut dropped = 0;
        for (key, family, value) in new {
            if !now.contains_key(&key) && others + now.len() >= self.budget {
                dropped += 1;
                continue;
            }
            if let Ok(gauge) = family.get_metric_with_label_values(&key.1) {
                gauge.set(value);
                now.insert(key, Shown { family: family.clone(), gauge });
            }
        }
        self.shown = others + now.len();
        self.owners.insert(owner, now);
        dropped
    }

    /// Deletes all series of a version.
    pub(super) fn remove_version(&mut self, model: &str, version: &str) {
        self.owners.retain(|owner, series| {
            let stays = owner.model != model || owner.version != version;
            if !stays {
                series.iter().for_each(|(key, shown)| delete(key, &shown.family));
            }
            stays
        });
        self.shown = self.owners.values().map(HashMap::len).sum();
    }

    /// Number of series shown.
    pub(super) const fn shown(&self) -> usize {
        self.shown
    }
}

/// Deletes a series; one that is not there any more is as good as deleted.
fn delete(key: &Key, family: &GaugeVec) {
    let labels: Vec<&str> = key.1.iter().map(String::as_str).collect();
    _ = family.remove_label_values(&labels);
}
