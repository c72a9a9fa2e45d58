//! What is remembered of a model's versions, and what follows for the guards of actions: since when one is in its stage, and
//! where a rollback would return to.

use super::error::{NameError, parse_version};
use super::own::reason::ROLLED_BACK;
use crate::store::{StageChange, StoredVersion};
use crate::subject::Millis;
use crate::view::Stage;

/// The versions of a model, and all changes of their stages, oldest first.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub(super) versions: Vec<StoredVersion>,
    pub(super) changes: Vec<StageChange>,
}

impl History {
    /// Since when a version is in its stage: since its last change, or its registration; `None` if it is not registered.
    #[must_use]
    pub fn in_stage_since(&self, version: &str) -> Option<Millis> {
        let entered = self.changes.iter().rfind(|change| change.version == version).map(|change| change.at);
        let registered = || self.versions.iter().find(|row| row.version == version).map(|row| row.created_at);
        entered.or_else(registered)
    }

    /// When a version was last rolled back, if it was.
    #[must_use]
    pub fn rolled_back_at(&self, version: &str) -> Option<Millis> {
        let failed = |change: &&StageChange| {
            change.version == version && change.from == Stage::Production && change.reason == ROLLED_BACK
        };
        self.changes.iter().rfind(failed).map(|change| change.at)
    }

    /// Whether a version was rolled back when it left production last.
    fn failed(&self, version: &str) -> bool {
        let left = |change: &&StageChange| change.version == version && change.from == Stage::Production;
        self.changes.iter().rfind(left).is_some_and(|change| change.reason == ROLLED_BACK)
    }

    /// The version to return to when this one fails: the latest that was in production before it and was not itself
    /// rolled back; else the highest lower version that is or was in use.
    ///
    /// # Errors
    /// When it is no semantic version.
    pub fn last_good(&self, version: &str) -> Result<Option<String>, NameError> {
        let entered = |change: &StageChange| change.to == Stage::Production;
        let own_entry = self.changes.iter().rposition(|change| entered(change) && change.version == version);
        let before = self.changes.get(..own_entry.unwrap_or(self.changes.len())).unwrap_or_default();
        let served = |c: &&StageChange| entered(c) && c.version != version && !self.failed(&c.version);
        if let Some(change) = before.iter().rfind(served) {
            return Ok(Some(change.version.clone()));
        }
        let own = parse_version(version)?;
        let used = self.versions.iter().filter(|row| row.stage != Stage::None && !self.failed(&row.version));
        let lower = used.filter_map(|row| parse_version(&row.version).ok()).filter(|other| *other < own);
        Ok(lower.max().map(|version| version.to_string()))
    }
}
