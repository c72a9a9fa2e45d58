//! From the registry to what the engine watches.

use std::collections::HashMap;
use std::sync::Arc;

use crate::action::VersionFacts;
use crate::engine::CatalogEntry;
use crate::reference::{Reference, ReferenceId};
use crate::registry::{History, Registry, RegistryError};
use crate::view::Stage;
use crate::window::WatchedVersion;

/// References that were read, by content address: a change of one version reads no other's again. Holds what the registry
/// holds at most.
#[derive(Debug, Default)]
pub(super) struct References(HashMap<String, Arc<Reference>>);

impl References {
    /// A reference by its content address; `None` with a log line if it cannot be had.
    pub(super) fn load(&mut self, registry: &Registry, id: &str) -> Option<Arc<Reference>> {
        if let Some(known) = self.0.get(id) {
            return Some(Arc::clone(known));
        }
        match registry.load_head(&ReferenceId::from_stored(id.to_owned())) {
            Ok(reference) => {
                let reference = Arc::new(reference);
                self.0.insert(id.to_owned(), Arc::clone(&reference));
                Some(reference)
            }
            Err(error) => {
                tracing::error!(reference = id, %error, "panes counted against this reference cannot be used");
                None
            }
        }
    }

    /// Reads those that will be asked for at a start, thousands of them on all threads. One that cannot be read is told of when
    /// it is asked for.
    pub(super) fn read_ahead(&mut self, registry: &Registry) -> Result<(), RegistryError> {
        let active = registry.active()?.into_iter().filter(|entry| entry.stage != Stage::Archived);
        let ids = active.map(|entry| entry.reference_id).filter(|id| !self.0.contains_key(id.as_str()));
        for (id, read) in registry.load_heads(ids.collect()) {
            if let Ok(reference) = read {
                self.0.insert(id.as_str().to_owned(), Arc::new(reference));
            }
        }
        Ok(())
    }

    /// Forgets those that nothing else uses.
    pub(super) fn forget_unused(&mut self) {
        self.0.retain(|_, reference| Arc::strong_count(reference) > 1);
    }
}

/// Every version with an active reference that is not archived. One whose reference cannot be read is left out, loudly.
pub(super) fn entries(
    registry: &Registry,
    references: &mut References,
) -> Result<Vec<CatalogEntry>, RegistryError> {
    let active = registry.active()?;
    // All at once: thousands of versions would each ask for their own.
    let (histories, none) = (registry.histories()?, History::default());
    let mut newest: HashMap<String, (bool, semver::Version, String)> = HashMap::new();
    for entry in active.iter().filter(|entry| entry.stage != Stage::Archived) {
        let Ok(version) = semver::Version::parse(&entry.version) else { continue };
        let rank = (entry.stage == Stage::Production, version, entry.version.clone());
        let known = newest.entry(entry.model.clone()).or_insert_with(|| rank.clone());
        if rank > *known {
            *known = rank;
        }
    }
    let mut entries = Vec::new();
    for entry in active.into_iter().filter(|entry| entry.stage != Stage::Archived) {
        let Some(reference) = references.load(registry, entry.reference_id.as_str()) else { continue };
        let history = histories.get(&entry.model).unwrap_or(&none);
        let rollback_to = history.last_good(&entry.version).map_err(RegistryError::from)?;
        let facts = VersionFacts {
            current: true,
            since: history.in_stage_since(&entry.version),
            target_rolled_back_at: rollback_to.as_deref().and_then(|target| history.rolled_back_at(target)),
            rollback_to,
        };
        let takes_feedback =
            newest.get(&entry.model).is_some_and(|(_, _, version)| *version == entry.version);
        entries.push(CatalogEntry {
            watched: WatchedVersion {
                model: entry.model,
                version: entry.version,
                reference_id: entry.reference_id.as_str().to_owned(),
                reference,
                takes_feedback,
            },
            facts,
        });
    }
    Ok(entries)
}
