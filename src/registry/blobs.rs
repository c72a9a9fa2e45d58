//! Artifacts as files `references/<address>.awref`, written whole or not at all, read back only if they are what they were:
//! the head alone, which a start needs, or everything.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::own::RegistryError;
use crate::reference::{
    ArtifactError, BaselineWindow, HEAD_PREFIX, ReadWindows, Reference, ReferenceId, WindowsUnread, decode,
    decode_head, encode, head_len,
};

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
            .map_err(|source| failed(io::Error::other(source)))?
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

    /// Keeps a reference under its address, which is given back; a damaged earlier copy is replaced.
    pub(super) fn put(&self, reference: &Reference) -> Result<ReferenceId, RegistryError> {
        let what = || format!("of {} {}", reference.model, reference.version);
        let bytes = encode(reference).map_err(|source| RegistryError::Artifact { id: what(), source })?;
        let id = ReferenceId::of(&bytes);
        if self.get(&id).is_ok() {
            return Ok(id);
        }
        let failed = |source| RegistryError::Blob { path: self.file(&id), source };
        let store: &dyn ObjectStore = &self.store;
        self.wait(async { store.put(&key(&id), bytes.into()).await }).map_err(failed)?;
        Ok(id)
    }

    /// The reference under an address with its windows, if every byte is still what it was.
    pub(super) fn get(&self, id: &ReferenceId) -> Result<Reference, RegistryError> {
        let bytes = self.read(id, |mut file| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map(|_| bytes)
        })?;
        decode(&bytes).map_err(|source| match source {
            // What the address covers by way of the head.
            ArtifactError::Section { .. } => {
                RegistryError::Damaged { id: id.clone(), path: self.file(id), reason: source.to_string() }
            }
            source => RegistryError::Artifact { id: id.short().to_owned(), source },
        })
    }

    /// The same without its windows, which are read and looked at when somebody asks for them.
    pub(super) fn get_head(self: &Arc<Self>, id: &ReferenceId) -> Result<Reference, RegistryError> {
        let bytes = self.read(id, read_head)?;
        let (blobs, id_of) = (Arc::clone(self), id.clone());
        let windows = Arc::new(StoredWindows { blobs, id: id_of, told: AtomicBool::new(false) });
        decode_head(&bytes, windows)
            .map_err(|source| RegistryError::Artifact { id: id.short().to_owned(), source })
    }

    /// What `read` takes of the file of an address: bytes that have it.
    fn read(
        &self,
        id: &ReferenceId,
        read: impl FnOnce(File) -> io::Result<Vec<u8>>,
    ) -> Result<Vec<u8>, RegistryError> {
        let path = self.file(id);
        // Read in place: at a start there may be ten thousand, and `wait` takes threads for each.
        let bytes = File::open(&path).and_then(read).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => RegistryError::Missing { id: id.clone(), path: path.clone() },
            _ => {
                let source = object_store::Error::Generic { store: STORE, source: source.into() };
                RegistryError::Blob { path: path.clone(), source }
            }
        })?;
        let found = ReferenceId::of(&bytes);
        if found != *id {
            let reason = format!("its hash is {}", found.short());
            return Err(RegistryError::Damaged { id: id.clone(), path, reason });
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

/// The head of an artifact; all of a file that has none apart.
fn read_head(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEAD_PREFIX);
    (&mut file).take(HEAD_PREFIX as u64).read_to_end(&mut bytes)?;
    // A length that is damaged is believed no further than the file goes.
    let rest = match head_len(&bytes) {
        Some(len) => {
            let left = file.metadata()?.len().min(len as u64).saturating_sub(bytes.len() as u64);
            bytes.reserve_exact(usize::try_from(left).unwrap_or(0));
            left
        }
        None => u64::MAX,
    };
    file.take(rest).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The windows of a reference whose head was read.
#[derive(Debug)]
struct StoredWindows {
    blobs: Arc<Blobs>,
    id: ReferenceId,
    /// Whether it was logged that they cannot be read.
    told: AtomicBool,
}

impl ReadWindows for StoredWindows {
    fn read(&self) -> Result<Arc<[BaselineWindow]>, WindowsUnread> {
        let read = self.blobs.get(&self.id).map_err(WindowsUnread::because);
        let read = read.and_then(|reference| reference.windows.read());
        match &read {
            Ok(_) => self.told.store(false, Ordering::Relaxed),
            Err(error) if !self.told.swap(true, Ordering::Relaxed) => {
                tracing::error!(reference = self.id.short(), %error, "nothing can be calibrated on this reference");
            }
            Err(_) => {}
        }
        read
    }
}
