//! Our own registry: artifacts in a folder, everything else in the state file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blobs::Blobs;
use super::error::{NameError, check_model, nearest, parse_version};
use super::history::History;
use crate::reference::{ArtifactError, Reference, ReferenceId};
use crate::store::{StageChange, Store, StoreError, StoredReference, StoredVersion, stage_text};
use crate::subject::Millis;
use crate::view::{ModelView, Stage, VersionView};
use crate::workers;

/// Why the registry refused.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The state file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder of artifacts cannot be used.
    #[error(
        "cannot use {path} for references: {source}; give the user of this process write access or set data_dir"
    )]
    Folder {
        /// Folder concerned.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An artifact cannot be read or written.
    #[error("the reference file {path}: {source}")]
    Blob {
        /// File concerned.
        path: PathBuf,
        /// What the object store said.
        source: object_store::Error,
    },
    /// An artifact's file is gone.
    #[error("the file of reference {} is gone: put {path} back from a backup or create the reference again", id.short())]
    Missing {
        /// Reference concerned.
        id: ReferenceId,
        /// Where the file should be.
        path: PathBuf,
    },
    /// An artifact's bytes are not those that were registered.
    #[error(
        "the file of reference {} is damaged ({reason}): put {path} back from a backup or create the reference again",
        id.short()
    )]
    Damaged {
        /// Reference concerned.
        id: ReferenceId,
        /// Damaged file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An artifact has the right hash but cannot be decoded or encoded.
    #[error("reference {id}: {source}")]
    Artifact {
        /// Reference concerned.
        id: String,
        /// Why.
        source: ArtifactError,
    },
    /// No reference begins with these digits.
    #[error("there is no reference {prefix}; `anchorwatch reference list` shows all")]
    UnknownReference {
        /// What was asked for.
        prefix: String,
    },
    /// Several references begin with these digits.
    #[error("several references begin with {prefix}: {matches}; give more digits")]
    AmbiguousReference {
        /// What was asked for.
        prefix: String,
        /// What it could mean.
        matches: String,
    },
    /// The model or version is not registered.
    #[error(
        "{what} is not registered{hint}; `anchorwatch model list` shows all, and creating a reference registers one"
    )]
    Unknown {
        /// Model, or model and version.
        what: String,
        /// Nearest known name, as half a sentence.
        hint: String,
    },
    /// A name is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An archived version is not promoted by accident.
    #[error("{model} {version} is archived; pass --force to promote it all the same")]
    Archived {
        /// Model name.
        model: String,
        /// Version asked for.
        version: String,
    },
    /// Somebody else changed a stage meanwhile.
    #[error(
        "the stages of {model} changed meanwhile: look at `anchorwatch model show {model}` and try again"
    )]
    Conflict {
        /// Model name.
        model: String,
    },
}

/// The reference that windows of a version are judged against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveReference {
    /// Model name.
    pub model: String,
    /// Semantic version.
    pub version: String,
    /// Stage of the version.
    pub stage: Stage,
    /// Content address of its active reference.
    pub reference_id: ReferenceId,
}

/// Models, versions, stages and references.
///
/// ```
/// use anchorwatch::registry::{BaselineOptions, Registry, build};
/// let folder = tempfile::tempdir()?;
/// let mut registry = Registry::open(folder.path())?;
/// let options = BaselineOptions::new("flights", "1.0.0", "testdata/flights/reference.parquet");
/// let id = registry.add_reference(&build(&options)?)?;
/// assert_eq!(registry.load_reference(id.short())?.provenance.rows, 51_861);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Registry {
    store: Store,
    blobs: Arc<Blobs>,
}

fn check_names(reference: &Reference) -> Result<(), NameError> {
    check_model(&reference.model)?;
    parse_version(&reference.version).map(|_| ())
}

/// The wall clock, in milliseconds.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the registry is an edge: it stamps what it stores")]
pub fn wall_clock() -> Millis {
    chrono::Utc::now().timestamp_millis()
}

/// Why a stage changed, as it is stored.
pub(super) mod reason {
    pub(super) const PROMOTED: &str = "promoted";
    pub(super) const SUPERSEDED: &str = "superseded";
    pub(super) const ARCHIVED: &str = "archived";
    /// The version failed in production, and another one took its place again.
    pub(in crate::registry) const ROLLED_BACK: &str = "rolled_back";
}

impl Registry {
    /// Opens or creates the registry in this folder.
    ///
    /// # Errors
    /// When the folder or the state file cannot be used.
    pub fn open(data_dir: &Path) -> Result<Self, RegistryError> {
        Ok(Self { store: Store::open(data_dir)?, blobs: Arc::new(Blobs::open(data_dir)?) })
    }

    /// Opens the registry of a state file that is open already, in its folder.
    ///
    /// # Errors
    /// When the folder or the state file cannot be used.
    pub(crate) fn beside(store: &Store, data_dir: &Path) -> Result<Self, RegistryError> {
        Ok(Self { store: store.again()?, blobs: Arc::new(Blobs::open(data_dir)?) })
    }

    /// Keeps a reference and registers its model and version; the first of a version becomes active.
    ///
    /// The same bytes twice are one reference.
    ///
    /// # Errors
    /// When a name is invalid or the reference cannot be stored.
    pub fn add_reference(&mut self, reference: &Reference) -> Result<ReferenceId, RegistryError> {
        check_names(reference)?;
        let id = self.blobs.put(reference)?;
        self.register(&id, reference)?;
        Ok(id)
    }

    /// Registers a reference whose file lies under this address already, whatever wrote it there; nothing happens if it is
    /// registered.
    ///
    /// # Errors
    /// When its file is gone or damaged, or it cannot be registered.
    pub fn adopt(&mut self, id: &ReferenceId) -> Result<(), RegistryError> {
        let reference = self.blobs.get(id)?;
        check_names(&reference)?;
        self.register(id, &reference)
    }

    fn register(&mut self, id: &ReferenceId, reference: &Reference) -> Result<(), RegistryError> {
        self.store.add_reference(&StoredReference {
            id: id.as_str().to_owned(),
            model: reference.model.clone(),
            version: reference.version.clone(),
            added_at: wall_clock(),
            rows: reference.provenance.rows,
            columns: reference.columns.len() as u64,
            dataset: reference.provenance.dataset.clone(),
            active: false,
        })?;
        Ok(())
    }

    /// References, of one model or all, by model and newest first.
    ///
    /// # Errors
    /// When the state file cannot be read.
    pub fn list_references(&self, model: Option<&str>) -> Result<Vec<StoredReference>, RegistryError> {
        Ok(self.store.references(model)?)
    }

    /// The row of the one reference whose address begins with these digits.
    ///
    /// # Errors
    /// When none or several do.
    pub fn find_reference(&self, prefix: &str) -> Result<StoredReference, RegistryError> {
        let unknown = || RegistryError::UnknownReference { prefix: prefix.to_owned() };
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unknown());
        }
        let mut found = self.store.references_like(&prefix.to_ascii_lowercase())?;
        if found.len() > 1 {
            let short = |row: &StoredReference| row.id.chars().take(12).collect::<String>();
            let matches = found.iter().map(short).collect::<Vec<_>>().join(", ");
            return Err(RegistryError::AmbiguousReference { prefix: prefix.to_owned(), matches });
        }
        found.pop().ok_or_else(unknown)
    }

    /// The reference whose address begins with these digits, with its windows.
    ///
    /// # Errors
    /// When none or several do, or when its file is gone or damaged.
    pub fn load_reference(&self, prefix: &str) -> Result<Reference, RegistryError> {
        self.blobs.get(&ReferenceId::from_stored(self.find_reference(prefix)?.id))
    }

    /// The reference with this content address, which reads its windows when they are asked for.
    ///
    /// # Errors
    /// When its file is gone or the part of it that is read is damaged.
    pub(crate) fn load_head(&self, id: &ReferenceId) -> Result<Reference, RegistryError> {
        self.blobs.get_head(id)
    }

    /// The same of many, on all threads; an address whose file is gone or damaged gives the error of that.
    pub(crate) fn load_heads(
        &self,
        ids: Vec<ReferenceId>,
    ) -> Vec<(ReferenceId, Result<Reference, RegistryError>)> {
        let blobs = &self.blobs;
        workers::each(workers::available(), ids, |id| {
            let read = blobs.get_head(&id);
            (id, read)
        })
    }

    /// Makes a reference the active one of its version.
    ///
    /// # Errors
    /// When none or several begin with these digits, or when its file is gone or damaged.
    pub fn activate(&mut self, prefix: &str) -> Result<StoredReference, RegistryError> {
        let row = self.find_reference(prefix)?;
        self.blobs.get(&ReferenceId::from_stored(row.id.clone()))?;
        self.store.activate_reference(&row.id)?;
        Ok(StoredReference { active: true, ..row })
    }

    /// The active reference of every version that has one.
    ///
    /// # Errors
    /// When the state file cannot be read.
    pub fn active(&self) -> Result<Vec<ActiveReference>, RegistryError> {
        let versions = self.store.versions(None)?;
        let stages: HashMap<(&str, &str), Stage> =
            versions.iter().map(|row| ((row.model.as_str(), row.version.as_str()), row.stage)).collect();
        let stage = |row: &StoredReference| {
            stages.get(&(row.model.as_str(), row.version.as_str())).copied().unwrap_or(Stage::None)
        };
        let active = self.store.references(None)?.into_iter().filter(|row| row.active);
        Ok(active
            .map(|row| ActiveReference {
                stage: stage(&row),
                model: row.model,
                version: row.version,
                reference_id: ReferenceId::from_stored(row.id),
            })
            .collect())
    }

    /// All models with their versions, highest first, and references, newest first.
    ///
    /// # Errors
    /// When the state file cannot be read.
    pub fn models(&self) -> Result<Vec<ModelView>, RegistryError> {
        let references = self.store.references(None)?;
        let mut of_versions: HashMap<(&str, &str), Vec<&StoredReference>> = HashMap::new();
        for row in &references {
            of_versions.entry((&row.model, &row.version)).or_default().push(row);
        }
        let mut models: Vec<ModelView> = Vec::new();
        let versions = self.store.versions(None)?;
        for row in &versions {
            let own = of_versions.remove(&(row.model.as_str(), row.version.as_str())).unwrap_or_default();
            let view = VersionView {
                reference: own.iter().find(|r| r.active).map(|r| r.id.clone()),
                references: own.iter().map(|r| r.id.clone()).collect(),
                version: row.version.clone(),
                stage: row.stage,
            };
            match models.last_mut().filter(|model| model.model == row.model) {
                Some(model) => model.versions.push(view),
                None => models.push(ModelView { model: row.model.clone(), versions: vec![view] }),
            }
        }
        for model in &mut models {
            model.versions.sort_by_cached_key(|v| std::cmp::Reverse(parse_version(&v.version).ok()));
        }
        Ok(models)
    }

    /// All changes of stage of a model, oldest first.
    ///
    /// # Errors
    /// When the model is not registered.
    pub fn stage_changes(&self, model: &str) -> Result<Vec<StageChange>, RegistryError> {
        self.versions_of(model)?;
        Ok(self.store.stage_changes(Some(model))?)
    }

    fn versions_of(&self, model: &str) -> Result<Vec<StoredVersion>, RegistryError> {
        let versions = self.store.versions(Some(model))?;
        if versions.is_empty() {
            let all = self.store.versions(None)?;
            let hint = nearest(model, all.iter().map(|row| row.model.as_str()));
            return Err(RegistryError::Unknown { what: format!("the model `{model}`"), hint });
        }
        Ok(versions)
    }

    fn version_in<'a>(
        versions: &'a [StoredVersion],
        model: &str,
        version: &str,
    ) -> Result<&'a StoredVersion, RegistryError> {
        let parsed = parse_version(version)?;
        versions.iter().find(|row| row.version == parsed.to_string()).ok_or_else(|| {
            let known = versions.iter().map(|row| row.version.as_str()).collect::<Vec<_>>().join(", ");
            RegistryError::Unknown {
                what: format!("{model} {version}"),
                hint: format!(" (versions: {known})"),
            }
        })
    }

    /// Moves a version to a stage. A version that enters production sends the former one to the archive.
    ///
    /// # Errors
    /// When the version is not registered, or is archived and would be promoted without `force`.
    pub fn set_stage(
        &mut self,
        model: &str,
        version: &str,
        stage: Stage,
        force: bool,
    ) -> Result<(), RegistryError> {
        self.move_to(model, version, stage, force, reason::SUPERSEDED)
    }

    /// Returns to a version: it enters production, and the former one is archived as rolled back, which keeps it from
    /// being a target of later rollbacks.
    ///
    /// # Errors
    /// When the version is not registered.
    pub fn roll_back(&mut self, model: &str, to_version: &str) -> Result<(), RegistryError> {
        self.move_to(model, to_version, Stage::Production, true, reason::ROLLED_BACK)
    }

    fn move_to(
        &mut self,
        model: &str,
        version: &str,
        to: Stage,
        force: bool,
        former: &str,
    ) -> Result<(), RegistryError> {
        let versions = self.versions_of(model)?;
        let row = Self::version_in(&versions, model, version)?;
        if row.stage == to {
            return Ok(());
        }
        let promotes = matches!(to, Stage::Staging | Stage::Production);
        if promotes && row.stage == Stage::Archived && !force {
            return Err(RegistryError::Archived { model: model.to_owned(), version: version.to_owned() });
        }
        let at = wall_clock();
        let change = |row: &StoredVersion, to: Stage, reason: &str| StageChange {
            model: row.model.clone(),
            version: row.version.clone(),
            from: row.stage,
            to,
            reason: reason.to_owned(),
            at,
        };
        let mut changes = Vec::new();
        if to == Stage::Production {
            let serving = versions.iter().filter(|other| other.stage == Stage::Production);
            changes.extend(serving.map(|other| change(other, Stage::Archived, former)));
        }
        changes.push(change(row, to, if promotes { reason::PROMOTED } else { reason::ARCHIVED }));
        if !self.store.change_stages(&changes)? {
            return Err(RegistryError::Conflict { model: model.to_owned() });
        }
        Ok(())
    }

    /// [`History::last_good`] of a version.
    ///
    /// # Errors
    /// When the model or version is not registered.
    pub fn last_good(&self, model: &str, version: &str) -> Result<Option<String>, RegistryError> {
        let history = History { versions: self.versions_of(model)?, changes: self.stage_changes(model)? };
        let own = Self::version_in(&history.versions, model, version)?;
        Ok(history.last_good(&own.version)?)
    }

    /// What is remembered of every model.
    ///
    /// # Errors
    /// When the state file cannot be read.
    pub fn histories(&self) -> Result<HashMap<String, History>, RegistryError> {
        let mut histories: HashMap<String, History> = HashMap::new();
        for row in self.store.versions(None)? {
            histories.entry(row.model.clone()).or_default().versions.push(row);
        }
        for change in self.store.stage_changes(None)? {
            histories.entry(change.model.clone()).or_default().changes.push(change);
        }
        Ok(histories)
    }

    /// A number that changes whenever anything in the registry does, also from another process; cheap to poll.
    ///
    /// # Errors
    /// When the state file cannot be read.
    pub fn change_token(&self) -> Result<i64, RegistryError> {
        Ok(self.store.registry_revision()?)
    }
}

/// A stage as people and the state file write it.
#[must_use]
pub fn stage_name(stage: Stage) -> &'static str {
    stage_text(stage)
}
