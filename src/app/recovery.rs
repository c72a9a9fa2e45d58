//! Opening the state at a start, and what happens when it is damaged or was put back from a copy.
//!
//! Until the loss is part of a checkpoint, a note in the folder remembers it: a daemon that is killed in between must
//! not take the empty file for a first start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{in_one_line, wall_clock};
use crate::backup::{BackupError, Manifests, Place};
use crate::config::{Config, OnCorruption};
use crate::engine::{Restored, StateLoss};
use crate::reference::{Reference, ReferenceId};
use crate::registry::Registry;
use crate::store::{Salvaged, Store, StoreError, has_state, inspect, put_in_place, set_aside};

/// A state file, and what was lost of it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Store,
    /// What it holds.
    pub(super) restored: Restored,
    pub(super) loss: Option<(StateLoss, String)>,
    /// Whether people may have ordered something that nobody remembers now.
    pub(super) orders_lost: bool,
}

/// Second line of the note when orders of people were lost as well.
const ORDERS_LOST: &str = "orders of people were lost";

fn note(data_dir: &Path) -> PathBuf {
    data_dir.join("anchorwatch.recovered")
}

/// Remembers that the state was put back from a copy; the next start takes note of it.
///
/// # Errors
/// When the folder cannot be written.
pub fn note_recovery(data_dir: &Path, what: &str) -> anyhow::Result<()> {
    let path = note(data_dir);
    std::fs::write(&path, what).with_context(|| format!("cannot write {}", path.display()))
}

fn note_loss(data_dir: &Path, what: &str, orders_lost: bool) -> anyhow::Result<()> {
    if orders_lost {
        note_recovery(data_dir, &format!("{what}\n{ORDERS_LOST}"))
    } else {
        note_recovery(data_dir, what)
    }
}

/// The loss is in the state file now.
pub(super) fn forget_recovery(data_dir: &Path) -> anyhow::Result<()> {
    let path = note(data_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Opens the state file; a damaged one is set aside and replaced, unless the configuration says to halt.
pub(super) fn open(config: &Config) -> anyhow::Result<Opened> {
    let data_dir = &config.data_dir;
    let noted = std::fs::read_to_string(note(data_dir)).ok();
    let orders_lost = noted.as_deref().is_some_and(|noted| noted.ends_with(ORDERS_LOST));
    let noted = noted.and_then(|noted| noted.lines().next().map(str::to_owned));
    let opened = Store::open(data_dir).and_then(|store| {
        let restored = store.restore()?;
        Ok((store, restored))
    });
    match opened {
        Err(StoreError::Damaged { what, .. }) if config.checkpoint.on_corruption == OnCorruption::Rebuild => {
            replace(config, &what)
        }
        opened => {
            let (store, restored) = opened?;
            let loss = match noted {
                None => None,
                Some(what) if restored.positions.is_empty() => Some((StateLoss::Everything, what)),
                Some(what) => Some((StateLoss::SinceCopy, what)),
            };
            Ok(Opened { store, restored, loss, orders_lost })
        }
    }
}

fn replace(config: &Config, damage: &str) -> anyhow::Result<Opened> {
    let data_dir = &config.data_dir;
    let damage = damage.replace(['\r', '\n'], " ");
    // Until something was carried over, everything is lost.
    note_loss(
        data_dir,
        &format!("the state file was damaged ({damage}) and is counted anew from Kafka"),
        true,
    )?;
    let aside = set_aside(data_dir, "corrupt", wall_clock())?;
    tracing::error!(aside = %aside.display(), damage, "the state file is damaged: it was set aside");
    if let Some(backup) = &config.checkpoint.backup {
        let copy = fetch_newest_good_copy(data_dir, &backup.to);
        match copy.and_then(|copy| copy.put_in_place(data_dir).map(|()| copy.created)) {
            Ok(created) => {
                let mut store = Store::open(data_dir)?;
                // What the copy did not have yet of models, references and decisions.
                let Salvaged { carried, left, orders_lost } = store.salvage(&aside)?;
                let what =
                    format!("the state file was damaged ({damage}); a copy made at {created} took its place");
                note_loss(data_dir, &what, orders_lost)?;
                tracing::warn!(
                    created,
                    carried,
                    left,
                    "the newest good copy took the place of the state file"
                );
                let restored = store.restore()?;
                return Ok(Opened { store, restored, loss: Some((StateLoss::SinceCopy, what)), orders_lost });
            }
            Err(error) => tracing::error!("no copy can be used: {}", in_one_line(&error)),
        }
    }
    let mut store = Store::open(data_dir)?;
    let Salvaged { carried, left, orders_lost } = store.salvage(&aside)?;
    let what = format!("the state file was damaged ({damage}) and is counted anew from Kafka");
    tracing::warn!(carried, left, "counting anew from Kafka, as far back as the longest horizon needs");
    register_references(data_dir)?;
    note_loss(data_dir, &what, orders_lost)?;
    let restored = store.restore()?;
    Ok(Opened { store, restored, loss: Some((StateLoss::Everything, what)), orders_lost })
}

/// A copy that was fetched and found good.
#[derive(Debug)]
pub struct FetchedCopy {
    path: PathBuf,
    /// When it was made.
    pub created: String,
}

impl FetchedCopy {
    /// Makes it the state of this folder.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn put_in_place(&self, data_dir: &Path) -> anyhow::Result<()> {
        Ok(put_in_place(data_dir, &self.path)?)
    }
}

/// Fetches the newest copy whose bytes are right into this folder.
///
/// # Errors
/// When there is none.
pub fn fetch_newest_good_copy(data_dir: &Path, from: &str) -> anyhow::Result<FetchedCopy> {
    let place = Place::open(from)?;
    let path = data_dir.join("anchorwatch.db.copy");
    let mut last: anyhow::Error = BackupError::Empty { place: place.name().to_owned() }.into();
    let Manifests { list, unreadable } = place.manifests()?;
    for error in unreadable {
        tracing::error!("a copy cannot be used: {error}");
        last = error.into();
    }
    for manifest in list {
        let fetched = place.fetch(&manifest, data_dir, &path).map_err(anyhow::Error::from);
        match fetched.and_then(|()| Ok(inspect(&path)?)) {
            Ok(_) => {
                let created = chrono::DateTime::from_timestamp_millis(manifest.created);
                let created = created.map_or_else(|| manifest.created.to_string(), |at| at.to_rfc3339());
                return Ok(FetchedCopy { path, created });
            }
            Err(error) => {
                tracing::error!(copy = manifest.file, "this copy cannot be used: {}", in_one_line(&error));
                last = error;
            }
        }
    }
    _ = std::fs::remove_file(&path);
    Err(last)
}

/// What could not be saved of the registry: every reference whose file is there is registered and watched again, the
/// newest of each version that has none. Stages are lost with their versions.
fn register_references(data_dir: &Path) -> anyhow::Result<()> {
    let mut registry = Registry::open(data_dir)?;
    let watched: BTreeSet<(String, String)> =
        registry.active()?.into_iter().map(|entry| (entry.model, entry.version)).collect();
    let mut references = Vec::new();
    for entry in std::fs::read_dir(data_dir.join("references")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name.strip_suffix(".awref").map(|id| ReferenceId::from_stored(id.to_owned()));
        let read = id.and_then(|id| Some((registry.load_head(&id).ok()?, id)));
        references.extend(read.map(|(Reference { model, version, provenance, .. }, id)| {
            ((model, version), provenance.created_at, id)
        }));
    }
    references.retain(|(of, _, _)| !watched.contains(of));
    references.sort_by_key(|(_, created_at, _)| *created_at);
    for (_, _, id) in &references {
        match registry.adopt(id) {
            Ok(()) => _ = registry.activate(id.as_str())?,
            Err(error) => tracing::error!(%error, "a reference was left out"),
        }
    }
    if !references.is_empty() {
        tracing::warn!(
            references = references.len(),
            "versions were registered anew from their references; stages are lost: see `anchorwatch model list`"
        );
    }
    Ok(())
}

/// Whether a folder holds a state file.
pub fn holds_state(data_dir: &Path) -> bool {
    has_state(data_dir)
}
