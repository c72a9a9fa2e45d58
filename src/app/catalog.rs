//! From the registry to what the engine watches.

use std::collections::HashMap;
use std::sync::Arc;

use crate::action::VersionFacts;
use crate::engine::CatalogEntry;
use crate::reference::Reference;
use crate::registry::{ROLLED_BACK, Registry, RegistryError};
use crate::store::StageChange;
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
        match registry.load_reference(id) {
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
        for (id, read) in registry.load_references(ids.collect()) {
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
        let rollback_to = registry.last_good(&entry.model, &entry.version)?;
        let facts = facts(registry, &entry.model, &entry.version, rollback_to)?;
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

/// What guards actions of a version: since when it is in its stage, and whether the version to return to failed lately.
fn facts(
    registry: &Registry,
    model: &str,
    version: &str,
    rollback_to: Option<String>,
) -> Result<VersionFacts, RegistryError> {
    let changes = registry.stage_changes(model)?;
    let entered = changes.iter().rev().find(|change| change.version == version);
    let since =
        entered.map_or_else(|| registry.registered_at(model, version), |change| Ok(Some(change.at)))?;
    let failed = |change: &&StageChange| {
        Some(&change.version) == rollback_to.as_ref()
            && change.from == Stage::Production
            && change.reason == ROLLED_BACK
    };
    let target_rolled_back_at = changes.iter().rev().find(failed).map(|change| change.at);
    Ok(VersionFacts { current: true, rollback_to, since, target_rolled_back_at })
}
