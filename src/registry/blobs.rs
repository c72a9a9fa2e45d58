//! Artifacts as files `references/<sha256>.awref`, written whole or not at all, read back only if the hash agrees.

use std::path::{Path as FsPath, PathBuf};

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::own::RegistryError;
use crate::reference::ReferenceId;

/// What errors call it.
const STORE: &str = "LocalFileSystem";

/// The folder of artifacts.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: PathBuf,
    store: LocalFileSystem,
}

impl Blobs {
    pub(super) fn open(data_dir: &FsPath) -> Result<Self, RegistryError> {
        let folder = data_dir.join("references");
        let failed = |source| RegistryError::Folder { path: folder.clone(), source };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|source| failed(std::io::Error::other(source)))?
            .with_fsync(true);
        Ok(Self { folder, store })
    }

    /// Waits for a future on a thread of its own, so that callers may themselves stand on a runtime.
    fn wait<T: Send>(
        &self,
        future: impl Future<Output = object_store::Result<T>> + Send,
    ) -> object_store::Result<T> {
        let lost = |why: String| object_store::Error::Generic { store: STORE, source: why.into() };
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.map_err(|error| lost(error.to_string()))?.block_on(future)
        };
        let ended = std::thread::scope(|scope| scope.spawn(work).join());
        ended.unwrap_or_else(|_| Err(lost("its thread ended".to_owned())))
    }

    /// Keeps the bytes under their address; a damaged earlier copy is replaced.
    pub(super) fn put(&self, id: &ReferenceId, bytes: Vec<u8>) -> Result<(), RegistryError> {
        if self.get(id).is_ok() {
            return Ok(());
        }
        let failed = |source| RegistryError::Blob { path: self.file(id), source };
        let store: &dyn ObjectStore = &self.store;
        self.wait(async { store.put(&key(id), bytes.into()).await }).map(|_| ()).map_err(failed)
    }

    /// The bytes under an address, if they are still what they were.
    pub(super) fn get(&self, id: &ReferenceId) -> Result<Vec<u8>, RegistryError> {
        let path = self.file(id);
        // Read in place: at a start there may be ten thousand, and `wait` takes threads for each.
        let bytes = std::fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => RegistryError::Missing { id: id.clone(), path: path.clone() },
            _ => {
                let source = object_store::Error::Generic { store: STORE, source: source.into() };
                RegistryError::Blob { path: path.clone(), source }
            }
        })?;
        let found = ReferenceId::of(&bytes);
        if found != *id {
            return Err(RegistryError::Damaged { id: id.clone(), path, found });
        }
        Ok(bytes)
    }

    fn file(&self, id: &ReferenceId) -> PathBuf {
        self.folder.join(format!("{id}.awref"))
    }
}

fn key(id: &ReferenceId) -> Path {
    Path::from(format!("{id}.awref"))
}
