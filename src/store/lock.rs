//! One daemon per folder: whoever holds the lock may count. It is the operating system's, so a killed daemon leaves
//! none behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::Path;

use super::{StoreError, make_folder};

/// The right to count into a folder; given back when dropped or when the process ends.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the lock of this folder.
    ///
    /// # Errors
    /// When another process holds it, or the folder cannot be written.
    pub fn take(data_dir: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Folder { path: data_dir.to_owned(), source };
        make_folder(data_dir).map_err(failed)?;
        let path = data_dir.join("anchorwatch.lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = std::fs::read_to_string(&path).unwrap_or_default();
                return Err(StoreError::InUse { path: data_dir.to_owned(), owner: owner.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // Only for the message above: the lock holds without it.
        if file.set_len(0).is_ok() {
            _ = writeln!(file, "{}", std::process::id());
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_and_free_again_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = StateLock::take(folder.path()).expect("free");
        let refused = StateLock::take(folder.path()).expect_err("taken").to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(lock);
        StateLock::take(folder.path()).expect("free again");
    }
}
