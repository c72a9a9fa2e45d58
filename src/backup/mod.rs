//! Copies of the state kept elsewhere: a folder or an object store, each with a manifest that says what it holds.
//!
//! A copy is `anchorwatch-<created>.db` with `anchorwatch-<created>.json`, which is written last: a copy without it is
//! none. References lie beside them under `references/`, by their content address, and are copied once.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::Position;
use crate::subject::Millis;

/// Bytes moved at a time.
const CHUNK: usize = 8 << 20;
/// Folder of references, here and there.
const REFERENCES: &str = "references";

/// Why a copy cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The place is not one.
    #[error("`{place}` is no place for copies ({why}): name a folder, or file://, s3://, gs:// or az://")]
    Place {
        /// What was named.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The object store refused.
    #[error("{place}: {source}")]
    Store {
        /// The place.
        place: String,
        /// What it said.
        source: object_store::Error,
    },
    /// A file here cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The manifest is not one of ours.
    #[error("{place}: the manifest {name} cannot be read: {source}")]
    Manifest {
        /// The place.
        place: String,
        /// Name of the manifest.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The bytes are not those that were copied.
    #[error("{place}: the copy {name} is damaged: its SHA-256 is {found}, its manifest says {expected}")]
    Damaged {
        /// The place.
        place: String,
        /// Name of the copy.
        name: String,
        /// As the manifest says.
        expected: String,
        /// As it is.
        found: String,
    },
    /// There is none.
    #[error("{place} holds no copy")]
    Empty {
        /// The place.
        place: String,
    },
}

/// Offset of a partition in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestOffset {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Offset of the next record to count.
    pub next_offset: i64,
}

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the program that made it.
    pub version: String,
    /// Schema of the state file.
    pub schema: usize,
    /// Wall-clock time at which it was made.
    pub created: Millis,
    /// File name of the copy.
    pub file: String,
    /// Length of the copy in bytes.
    pub size: u64,
    /// SHA-256 of the copy.
    pub sha256: String,
    /// Where the counting stood.
    pub offsets: Vec<ManifestOffset>,
    /// Names of the references that belong to it.
    pub references: Vec<String>,
}

/// What a place holds.
#[derive(Debug, Default)]
pub struct Manifests {
    /// Those that can be read, newest first.
    pub list: Vec<Manifest>,
    /// Why others cannot; their copies cannot be used and are never dropped.
    pub unreadable: Vec<BackupError>,
}

/// A place for copies.
pub struct Place {
    name: String,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Where it is a folder of this machine.
    folder: Option<PathBuf>,
    runtime: tokio::runtime::Runtime,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Place {
    /// A folder or a URL; credentials of object stores come from the environment. Not from async code.
    ///
    /// # Errors
    /// When it is neither, or the folder cannot be made.
    pub fn open(to: &str) -> Result<Self, BackupError> {
        let no_place = |why: String| BackupError::Place { place: to.to_owned(), why };
        let url = match to.split_once("://") {
            Some(_) => url::Url::parse(to).map_err(|error| no_place(error.to_string()))?,
            None => {
                let folder = std::path::absolute(to).map_err(|error| no_place(error.to_string()))?;
                url::Url::from_directory_path(&folder).map_err(|()| no_place("no folder".to_owned()))?
            }
        };
        let mut is_in = None;
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| no_place("no folder".to_owned()))?;
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|source| BackupError::File { path: folder.clone(), source })?;
            is_in = Some(folder);
        }
        let (store, prefix) = object_store::parse_url_opts(&url, std::env::vars())
            .map_err(|error| no_place(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| no_place(error.to_string()))?;
        // A password in the address is not for logs.
        let mut shown = url;
        _ = shown.set_password(None);
        Ok(Self { name: shown.to_string(), store: store.into(), prefix, folder: is_in, runtime })
    }

    /// Its address, without credentials.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Copies a snapshot of the state file, and the references in `data_dir`, here; then drops all copies but the newest
    /// `keep`.
    ///
    /// # Errors
    /// When anything cannot be read or written; there is no new copy then.
    pub fn put(
        &self,
        data_dir: &FsPath,
        (snapshot, schema): (&FsPath, usize),
        positions: &[Position],
        (created, keep): (Millis, usize),
    ) -> Result<Manifest, BackupError> {
        let references = self.put_references(data_dir)?;
        let file = format!("anchorwatch-{created}.db");
        let (size, sha256) = self.upload(snapshot, &file)?;
        let offsets = positions.iter().map(|position| ManifestOffset {
            topic: position.topic.clone(),
            partition: position.partition,
            next_offset: position.next_offset,
        });
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let offsets = offsets.collect();
        let manifest = Manifest { version, schema, created, file, size, sha256, offsets, references };
        let text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
        let name = format!("anchorwatch-{created}.json");
        self.wait(self.store.put(&self.key(&name), text.into()))?;
        self.drop_old(keep)?;
        Ok(manifest)
    }

    fn put_references(&self, data_dir: &FsPath) -> Result<Vec<String>, BackupError> {
        let folder = data_dir.join(REFERENCES);
        let there = self.names(&format!("{REFERENCES}/"))?;
        let mut references = Vec::new();
        let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(references) };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".awref") {
                continue;
            }
            if !there.contains(&name) {
                self.upload(&entry.path(), &format!("{REFERENCES}/{name}"))?;
            }
            references.push(name);
        }
        references.sort();
        Ok(references)
    }

    /// Sends a file and gives its length and SHA-256. Parts of one that does not arrive are given back: an object store
    /// would keep them, and charge for them, for ever.
    fn upload(&self, from: &FsPath, name: &str) -> Result<(u64, String), BackupError> {
        let mut writer = BufWriter::new(Arc::clone(&self.store), self.key(name));
        let sent = self.send(from, &mut writer);
        if sent.is_err() {
            _ = self.wait(writer.abort());
        }
        if let (Ok(_), Some(folder)) = (&sent, &self.folder) {
            let path = folder.join(name);
            let only_owner = std::fs::set_permissions(&path, Permissions::from_mode(0o600));
            only_owner.map_err(|source| BackupError::File { path, source })?;
        }
        sent
    }

    fn send(&self, from: &FsPath, writer: &mut BufWriter) -> Result<(u64, String), BackupError> {
        let failed = |source| BackupError::File { path: from.to_owned(), source };
        let mut file = File::open(from).map_err(failed)?;
        let (mut size, mut hash) = (0, Sha256::new());
        loop {
            let mut chunk = Vec::new();
            (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).map_err(failed)?;
            if chunk.is_empty() {
                break;
            }
            size += chunk.len() as u64;
            hash.update(&chunk);
            self.wait(writer.put(chunk.into()))?;
        }
        let finished = self.runtime.block_on(tokio::io::AsyncWriteExt::shutdown(writer));
        finished.map_err(|error| BackupError::Store {
            place: self.name.clone(),
            source: object_store::Error::Generic { store: "backup", source: Box::new(error) },
        })?;
        Ok((size, hex(&hash.finalize())))
    }

    /// The manifests of all copies, newest first. One that cannot be read stands in the way of no other.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub fn manifests(&self) -> Result<Manifests, BackupError> {
        let mut found = Manifests::default();
        for name in self.names("")? {
            if !(name.starts_with("anchorwatch-") && name.ends_with(".json")) {
                continue;
            }
            let bytes = self.bytes(&name)?;
            match serde_json::from_slice::<Manifest>(&bytes) {
                Ok(manifest) => found.list.push(manifest),
                Err(source) => {
                    let place = self.name.clone();
                    found.unreadable.push(BackupError::Manifest { place, name, source });
                }
            }
        }
        found.list.sort_by_key(|manifest| std::cmp::Reverse(manifest.created));
        Ok(found)
    }

    /// Fetches a copy to `to` and its references into `data_dir`, and checks its bytes.
    ///
    /// # Errors
    /// When it cannot be read or written, or is damaged; nothing is left at `to` then.
    pub fn fetch(&self, manifest: &Manifest, data_dir: &FsPath, to: &FsPath) -> Result<(), BackupError> {
        let outcome = self.download(&manifest.file, to, Some((manifest.size, &manifest.sha256)));
        if outcome.is_err() {
            _ = std::fs::remove_file(to);
        }
        outcome?;
        let folder = data_dir.join(REFERENCES);
        let failed = |source| BackupError::File { path: folder.clone(), source };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        for name in &manifest.references {
            let path = folder.join(FsPath::new(name).file_name().unwrap_or_default());
            if !path.exists() {
                let partial = path.with_extension("part");
                self.download(&format!("{REFERENCES}/{name}"), &partial, None)?;
                std::fs::rename(&partial, &path).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn download(&self, name: &str, to: &FsPath, expected: Option<(u64, &str)>) -> Result<(), BackupError> {
        let failed = |source| BackupError::File { path: to.to_owned(), source };
        let key = self.key(name);
        let size = self.wait(self.store.head(&key))?.size;
        let mut open = OpenOptions::new();
        let mut file = open.write(true).create(true).truncate(true).mode(0o600).open(to).map_err(failed)?;
        let (mut at, mut hash) = (0, Sha256::new());
        while at < size {
            let end = size.min(at + CHUNK as u64);
            let bytes = self.wait(self.store.get_range(&key, at..end))?;
            hash.update(&bytes);
            file.write_all(&bytes).map_err(failed)?;
            at = end;
        }
        file.sync_all().map_err(failed)?;
        let found = hex(&hash.finalize());
        match expected {
            Some((length, sha256)) if length != size || sha256 != found => Err(BackupError::Damaged {
                place: self.name.clone(),
                name: name.to_owned(),
                expected: sha256.to_owned(),
                found,
            }),
            _ => Ok(()),
        }
    }

    /// Drops all copies but the newest; the manifest first, so that no manifest names a copy that is gone. What is older
    /// than the newest copy and has no manifest, readable or not, is what was left of one that failed.
    fn drop_old(&self, keep: usize) -> Result<(), BackupError> {
        let manifests = self.manifests()?.list;
        let newest = manifests.first().map_or(Millis::MIN, |manifest| manifest.created);
        let names = self.names("")?;
        for name in &names {
            let stem = name.strip_suffix(".db").filter(|stem| !names.contains(&format!("{stem}.json")));
            let created = stem.and_then(|stem| stem.strip_prefix("anchorwatch-")?.parse::<Millis>().ok());
            if created.is_some_and(|created| created < newest) {
                self.wait(self.store.delete(&self.key(name)))?;
            }
        }
        for manifest in manifests.into_iter().skip(keep.max(1)) {
            self.wait(self.store.delete(&self.key(&format!("anchorwatch-{}.json", manifest.created))))?;
            self.wait(self.store.delete(&self.key(&manifest.file)))?;
        }
        Ok(())
    }

    fn names(&self, below: &str) -> Result<Vec<String>, BackupError> {
        let prefix = self.key(below.trim_end_matches('/'));
        let listed = self.wait(self.store.list_with_delimiter(Some(&prefix)))?;
        let name = |one: &object_store::ObjectMeta| one.location.filename().map(str::to_owned);
        Ok(listed.objects.iter().filter_map(name).collect())
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, BackupError> {
        let key = self.key(name);
        let bytes = self.wait(async { self.store.get(&key).await?.bytes().await })?;
        Ok(bytes.into())
    }

    fn key(&self, name: &str) -> Path {
        let name = Path::from(name);
        self.prefix.parts().chain(name.parts()).collect()
    }

    fn wait<T>(&self, future: impl Future<Output = object_store::Result<T>>) -> Result<T, BackupError> {
        let failed = |source| BackupError::Store { place: self.name.clone(), source };
        self.runtime.block_on(future).map_err(failed)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> (tempfile::TempDir, Place, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join(REFERENCES)).expect("a folder");
        std::fs::write(data.join("references/abc.awref"), b"reference").expect("written");
        std::fs::write(folder.path().join("snapshot"), vec![7; 3 * 1024]).expect("written");
        let place = Place::open(&folder.path().join("a place").display().to_string()).expect("a place");
        (folder, place, data)
    }

    #[test]
    fn the_newest_copies_are_kept_and_come_back_whole() {
        let (folder, place, data) = fixture();
        let snapshot = folder.path().join("snapshot");
        for created in 1..=5 {
            place.put(&data, (&snapshot, 3), &[], (created, 2)).expect("a copy");
        }
        let manifests = place.manifests().expect("manifests").list;
        assert_eq!(manifests.iter().map(|manifest| manifest.created).collect::<Vec<_>>(), [5, 4]);
        assert_eq!(std::fs::read_dir(folder.path().join("a place")).expect("a folder").count(), 5);
        let (elsewhere, copy) = (folder.path().join("elsewhere"), folder.path().join("copy"));
        place.fetch(&manifests[0], &elsewhere, &copy).expect("fetched");
        assert_eq!(std::fs::read(&copy).expect("read"), vec![7; 3 * 1024]);
        assert_eq!(std::fs::read(elsewhere.join("references/abc.awref")).expect("read"), b"reference");
    }

    #[test]
    fn a_damaged_copy_is_refused_and_nothing_is_left_of_it() {
        let (folder, place, data) = fixture();
        let manifest = place.put(&data, (&folder.path().join("snapshot"), 3), &[], (1, 2)).expect("a copy");
        std::fs::write(folder.path().join("a place").join(&manifest.file), vec![8; 3 * 1024])
            .expect("written");
        let copy = folder.path().join("copy");
        let refused = place.fetch(&manifest, &data, &copy).expect_err("damaged");
        assert!(matches!(refused, BackupError::Damaged { .. }), "{refused}");
        assert!(!copy.exists());
    }

    #[test]
    fn a_manifest_that_cannot_be_read_stands_in_the_way_of_no_copy() {
        let (folder, place, data) = fixture();
        let snapshot = folder.path().join("snapshot");
        let put = |created| place.put(&data, (&snapshot, 3), &[], (created, 2)).expect("a copy");
        let rotten = put(1);
        std::fs::write(folder.path().join("a place/anchorwatch-1.json"), b"{\"version\": ").expect("written");
        (2..=4).for_each(|created| _ = put(created));
        let found = place.manifests().expect("manifests");
        assert_eq!(found.list.iter().map(|manifest| manifest.created).collect::<Vec<_>>(), [4, 3]);
        assert_eq!(found.unreadable.len(), 1);
        assert!(found.unreadable[0].to_string().contains("anchorwatch-1.json"), "{}", found.unreadable[0]);
        assert!(folder.path().join("a place").join(rotten.file).exists(), "nobody knows what it is worth");
    }

    #[test]
    fn what_is_left_of_a_copy_that_failed_goes_with_the_next_and_nothing_else_does() {
        let (folder, place, data) = fixture();
        let snapshot = folder.path().join("snapshot");
        let at = |name: &str| folder.path().join("a place").join(name);
        for name in ["anchorwatch-3.db", "anchorwatch-9.db", "anchorwatch-old.db", "mine.db"] {
            std::fs::write(at(name), b"left").expect("written");
        }
        place.put(&data, (&snapshot, 3), &[], (5, 2)).expect("a copy");
        assert!(!at("anchorwatch-3.db").exists());
        for name in ["anchorwatch-5.db", "anchorwatch-9.db", "anchorwatch-old.db", "mine.db"] {
            assert!(at(name).exists(), "{name}");
        }
    }

    #[test]
    fn only_the_owner_may_read_a_copy() {
        let (folder, place, data) = fixture();
        let manifest = place.put(&data, (&folder.path().join("snapshot"), 3), &[], (1, 2)).expect("a copy");
        let copy = folder.path().join("copy");
        place.fetch(&manifest, &data, &copy).expect("fetched");
        let place = folder.path().join("a place");
        let mode = |path: &FsPath| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!([mode(&place.join(&manifest.file)), mode(&copy), mode(&place)], [0o600, 0o600, 0o700]);
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for place in ["ftp://host/x", "s3://"] {
            assert!(Place::open(place).is_err(), "{place}");
        }
    }
}
