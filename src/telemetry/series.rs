//! The budget of series: who owns which, so that they are bounded, replaced as a whole, and deleted when a version leaves.

use std::collections::{HashMap, HashSet};

use prometheus::GaugeVec;

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

/// All series shown now.
#[derive(Debug)]
pub(super) struct Series {
    budget: usize,
    shown: usize,
    owners: HashMap<Owner, HashMap<Key, GaugeVec>>,
}

impl Series {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, shown: 0, owners: HashMap::new() }
    }

    /// Replaces the series of an owner; returns how many did not fit the budget.
    pub(super) fn replace(&mut self, owner: Owner, samples: Vec<Sample<'_>>) -> u64 {
        let mut known = self.owners.remove(&owner).unwrap_or_default();
        let others = self.shown - known.len();
        let kept: HashSet<_> = samples.iter().map(|sample| (sample.name, sample.labels.clone())).collect();
        known.retain(|key, family| kept.contains(key) || delete(key, family));
        let mut dropped = 0;
        for sample in samples {
            let key = (sample.name, sample.labels);
            if !known.contains_key(&key) && others + known.len() >= self.budget {
                dropped += 1;
                continue;
            }
            if let Ok(gauge) = sample.family.get_metric_with_label_values(&key.1) {
                gauge.set(sample.value);
                known.insert(key, sample.family.clone());
            }
        }
        self.shown = others + known.len();
        self.owners.insert(owner, known);
        dropped
    }

    /// Deletes all series of a version.
    pub(super) fn remove_version(&mut self, model: &str, version: &str) {
        self.owners.retain(|owner, series| {
            let stays = owner.model != model || owner.version != version;
            if !stays {
                series.iter().for_each(|(key, family)| _ = delete(key, family));
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

/// Deletes a series; always false, so that `retain` forgets it.
fn delete(key: &Key, family: &GaugeVec) -> bool {
    let labels: Vec<&str> = key.1.iter().map(String::as_str).collect();
    _ = family.remove_label_values(&labels);
    false
}
