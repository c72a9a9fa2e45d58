//! The state file: one SQLite database with everything that must survive a `kill -9`.
//!
//! Opening, migrations and errors live here; `journal` tables (checkpoint, outbox) and registry tables have a file each.
//! SQL stands nowhere else.

mod registry;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

pub use registry::{StageChange, StoredReference, StoredVersion, stage_text};

const MIGRATIONS: &[&str] = &[include_str!("001_checkpoint.sql"), include_str!("002_registry.sql")];

/// Why the state file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be created or written.
    #[error(
        "cannot use {path} for the state file: {source}; give the user of this process write access or set data_dir"
    )]
    Folder {
        /// Folder concerned.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("the state file {path}: {source}")]
    Sqlite {
        /// State file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file was written by a newer version.
    #[error(
        "the state file {path} has schema {found}, newer than this program's {known}: start the newer program"
    )]
    Newer {
        /// State file.
        path: PathBuf,
        /// Schema in the file.
        found: usize,
        /// Newest schema known.
        known: usize,
    },
}

/// An open state file.
#[derive(Debug)]
pub struct Store {
    pub(in crate::store) path: PathBuf,
    pub(in crate::store) connection: Connection,
}

impl Store {
    /// Opens or creates `anchorwatch.db` in this folder and brings its schema up to date.
    ///
    /// # Errors
    /// When the folder is not writable, SQLite refuses, or the file is of a newer version.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(data_dir)
            .map_err(|source| StoreError::Folder { path: data_dir.to_owned(), source })?;
        let path = data_dir.join("anchorwatch.db");
        let failed = |source| StoreError::Sqlite { path: path.clone(), source };
        let connection = Connection::open(&path).map_err(failed)?;
        connection.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        connection.pragma_update(None, "foreign_keys", "ON").map_err(failed)?;
        let mut store = Self { path, connection };
        store.migrate()?;
        Ok(store)
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let failed = |source| StoreError::Sqlite { path: path.clone(), source };
        let found: u32 =
            self.connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        if found as usize > MIGRATIONS.len() {
            return Err(StoreError::Newer {
                path: path.clone(),
                found: found as usize,
                known: MIGRATIONS.len(),
            });
        }
        for (index, migration) in MIGRATIONS.iter().enumerate().skip(found as usize) {
            let transaction = self.connection.transaction().map_err(failed)?;
            transaction.execute_batch(migration).map_err(failed)?;
            transaction.pragma_update(None, "user_version", (index + 1) as u32).map_err(failed)?;
            transaction.commit().map_err(failed)?;
        }
        Ok(())
    }
}
