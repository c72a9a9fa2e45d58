//! From the registry to what the engine watches.

use std::collections::HashMap;
use std::sync::Arc;

use crate::action::VersionFacts;
use crate::engine::CatalogEntry;
use crate::reference::Reference;
use crate::registry::{Registry, RegistryError};
use crate::view::Stage;
use crate::window::WatchedVersion;

/// A reference by its content address; `None` with a log line if it cannot be had.
pub(super) fn load(registry: &Registry, id: &str) -> Option<Arc<Reference>> {
    match registry.load_reference(id) {
        Ok(reference) => Some(Arc::new(reference)),
        Err(error) => {
            tracing::error!(reference = id, %error, "panes counted against this reference cannot be used");
            None
        }
    }
}

/// Every version with an active reference that is not archived. One whose reference cannot be read is left out, loudly.
pub(super) fn entries(registry: &Registry) -> Result<Vec<CatalogEntry>, RegistryError> {
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
        let Some(reference) = load(registry, entry.reference_id.as_str()) else { continue };
        let rollback_to = registry.last_good(&entry.model, &entry.version)?;
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
            facts: VersionFacts { current: true, rollback_to },
        });
    }
    Ok(entries)
}
