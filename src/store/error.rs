//! Why the state file could not be used, and whether trying again can help.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Whether trying the same again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Yes, after a pause: the cause lies outside and can pass, such as a full disk.
    Backoff,
    /// No: a person must act first.
    Never,
}

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
    /// The file is not a database, or its pages contradict each other.
    #[error(
        "the state file {path} is damaged ({what}): stop the daemon, move the file and its -wal and -shm \
             neighbours away, put a backup in its place or start without one to count anew from Kafka"
    )]
    Damaged {
        /// State file.
        path: PathBuf,
        /// What the check found.
        what: String,
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
    /// A checkpoint would move a partition back, so that records would count twice.
    #[error(
        "the checkpoint of {topic}[{partition}] would go back from offset {stored} to {offered}; if the topic \
             was created anew, forget its position first"
    )]
    Backwards {
        /// Topic of the position.
        topic: String,
        /// Partition of the position.
        partition: i32,
        /// Next offset in the file.
        stored: i64,
        /// Next offset in the checkpoint.
        offered: i64,
    },
    /// A delivery cannot be written as JSON.
    #[error("the delivery `{key}` cannot be stored: {source}")]
    Delivery {
        /// Key of the delivery.
        key: String,
        /// What the serializer said.
        source: serde_json::Error,
    },
    /// Another daemon counts into this folder.
    #[error(
        "another daemon (process {owner}) already uses {path}: stop it, or give this one a data_dir of its own; two \
         daemons with two folders each read and count everything"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its process id, as far as it is known.
        owner: String,
    },
    /// There is nothing to copy.
    #[error("there is no state file {path}: has the daemon run with this data_dir?")]
    NoState {
        /// Where it should be.
        path: PathBuf,
    },
    /// The writer thread could not be started.
    #[error("cannot start the thread of the state file: {0}")]
    Spawn(std::io::Error),
    /// The writer thread has ended: the daemon is stopping, or an error in this program ended it.
    #[error("the thread of the state file has ended: nothing can be written any more")]
    Stopped,
}

impl StoreError {
    /// An error of SQLite, with damage told apart.
    pub(in crate::store) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path: path.to_owned(), what: source.to_string() }
            }
            // A value that cannot be what this program wrote.
            None if is_conversion(&source) => {
                Self::Damaged { path: path.to_owned(), what: source.to_string() }
            }
            _ => Self::Sqlite { path: path.to_owned(), source },
        }
    }

    /// Whether trying the same again can help.
    ///
    /// ```
    /// use anchorwatch::store::{Retry, StoreError};
    /// assert_eq!(StoreError::Stopped.retry(), Retry::Never);
    /// ```
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Sqlite { source, .. } => retry_sqlite(source),
            Self::Folder { .. }
            | Self::Damaged { .. }
            | Self::Newer { .. }
            | Self::Backwards { .. }
            | Self::Delivery { .. }
            | Self::InUse { .. }
            | Self::NoState { .. }
            | Self::Spawn(_)
            | Self::Stopped => Retry::Never,
        }
    }
}

const fn is_conversion(source: &rusqlite::Error) -> bool {
    matches!(
        source,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

fn retry_sqlite(source: &rusqlite::Error) -> Retry {
    match source.sqlite_error_code() {
        Some(
            ErrorCode::DiskFull
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory,
        ) => Retry::Backoff,
        _ => Retry::Never,
    }
}
