//! The state file: one SQLite database with everything that must survive a `kill -9`.
//!
//! Opening, checking and migrations live here; `checkpoint`, `outbox` and the registry have a file each, `writer` is
//! the one thread that uses the file while the daemon runs. SQL stands nowhere else.

mod actions;
mod audit;
mod checkpoint;
mod error;
mod lock;
mod outbox;
mod outbox_care;
mod outbox_due;
mod outbox_orders;
mod quarantine;
mod registry;
mod seals;
mod snapshot;
mod sums;
mod writer;

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

pub use actions::ActionDelivery;
pub use audit::{AuditEntry, AuditProof, BrokenAudit};
pub use checkpoint::{MAX_REFUSED, RefusedPending, RefusedRow};
pub use error::{Retry, StoreError};
pub use lock::StateLock;
pub use outbox::{Due, OutboxEntry, OutboxItem, OutboxState, OutboxStats, Recovered, Settlement};
pub use outbox_care::{MAX_OPEN, OutboxLeft, Stale};
pub use quarantine::{Salvaged, set_aside};
pub use registry::{StageChange, StoredReference, StoredVersion, stage_text};
pub use snapshot::{Snapshot, has_state, inspect, put_in_place, snapshot};
pub use writer::{ApplyTicket, FailedApply, NotTaken, StoreHandle, Ticket, WRITER_QUEUE, spawn_writer};

const MIGRATIONS: &[&str] = &[
    include_str!("001_checkpoint.sql"),
    include_str!("002_registry.sql"),
    include_str!("003_audit_actor.sql"),
    include_str!("004_outbox.sql"),
    include_str!("005_audit_chain.sql"),
    include_str!("006_sums.sql"),
    include_str!("007_audit_basis.sql"),
    include_str!("008_seals.sql"),
    include_str!("009_refused_digest.sql"),
    include_str!("010_registry_indexes.sql"),
];

/// The migration with which rows of the outbox and the registry began to carry sums.
const SEALS: u32 = 8;

/// Name of the state file in its folder.
pub(in crate::store) const STATE_FILE: &str = "anchorwatch.db";

/// An open state file.
#[derive(Debug)]
pub struct Store {
    pub(in crate::store) path: PathBuf,
    pub(in crate::store) connection: Connection,
    pub(in crate::store) max_open: usize,
}

impl Store {
    /// Opens or creates `anchorwatch.db` in this folder, checks it and brings its schema up to date.
    ///
    /// # Errors
    /// When the folder is not writable, the file is damaged or of a newer version, or SQLite refuses.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(STATE_FILE);
        make_folder(data_dir)
            .and_then(|()| make_file(&path))
            .map_err(|source| StoreError::Folder { path: data_dir.to_owned(), source })?;
        let connection = connect(&path).map_err(|source| StoreError::sqlite(&path, source))?;
        let mut store = Self { path, connection, max_open: MAX_OPEN };
        store.check()?;
        store.migrate()?;
        Ok(store)
    }

    /// Opens the same file once more. It was checked when this one was opened, which takes seconds for a gigabyte.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn again(&self) -> Result<Self, StoreError> {
        let connection = connect(&self.path).map_err(|source| StoreError::sqlite(&self.path, source))?;
        Ok(Self { path: self.path.clone(), connection, max_open: MAX_OPEN })
    }

    /// The state file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bounds the state file at this many pages; beyond it every write fails like on a full disk.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn limit_pages(&mut self, pages: u32) -> Result<(), StoreError> {
        let set = self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        set.map_err(|source| StoreError::sqlite(&self.path, source))
    }

    fn check(&self) -> Result<(), StoreError> {
        let verdict: String = self
            .connection
            .pragma_query_value(None, "quick_check", |row| row.get(0))
            .map_err(|source| StoreError::sqlite(&self.path, source))?;
        if verdict == "ok" {
            return Ok(());
        }
        Err(StoreError::Damaged { path: self.path.clone(), what: verdict })
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let Self { path, connection, .. } = self;
        let failed = |source| StoreError::sqlite(path, source);
        let found: u32 =
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        let found = found as usize;
        if found > MIGRATIONS.len() {
            return Err(StoreError::Newer { path: path.clone(), found, known: MIGRATIONS.len() });
        }
        for (version, migration) in (1_u32..).zip(MIGRATIONS).skip(found) {
            let transaction = connection.transaction().map_err(failed)?;
            transaction.execute_batch(migration).map_err(failed)?;
            if version == SEALS {
                seals::seal_all(&transaction).map_err(failed)?;
            }
            transaction.pragma_update(None, "user_version", version).map_err(failed)?;
            transaction.commit().map_err(failed)?;
        }
        Ok(())
    }
}

/// Makes the folder of the state, unless there is one, for its owner only.
pub(in crate::store) fn make_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes an empty file, unless there is one, that only its owner may read: a message that asks for an approval stands in
/// the state. SQLite gives its log beside it the same mode.
pub(in crate::store) fn make_file(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    Ok(connection)
}
