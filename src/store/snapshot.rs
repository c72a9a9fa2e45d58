//! A consistent copy of the state file while the daemon writes it: read by a connection of its own, which the
//! write-ahead log lets see one moment of the file.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::checkpoint::{check_rows, positions};
use super::{MIGRATIONS, STATE_FILE, StoreError, make_file};
use crate::engine::Position;

/// A copy of the state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The copy.
    pub path: PathBuf,
    /// Schema of the file.
    pub schema: usize,
    /// Where the counting stood.
    pub positions: Vec<Position>,
}

/// Copies the state file of this folder to `to`, which must not exist; only its owner may read the copy.
///
/// # Errors
/// When there is no state file, the disk is full, or SQLite refuses.
pub fn snapshot(data_dir: &Path, to: &Path) -> Result<Snapshot, StoreError> {
    let from = data_dir.join(STATE_FILE);
    let failed = |source| StoreError::sqlite(&from, source);
    if !from.exists() {
        return Err(StoreError::NoState { path: from });
    }
    let connection = Connection::open_with_flags(&from, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(failed)?;
    // Into an empty file SQLite copies as into none.
    make_file(to).map_err(|source| StoreError::Folder { path: to.to_owned(), source })?;
    connection.execute("VACUUM INTO ?1", [to.display().to_string()]).map_err(failed)?;
    inspect(to)
}

/// Checks a copy, down to the sum of each row, and tells what is in it: a copy is as rotten as the file that it was
/// made of.
///
/// # Errors
/// When it is damaged, of a newer version, or no state file.
pub fn inspect(copy: &Path) -> Result<Snapshot, StoreError> {
    let failed = |source| StoreError::sqlite(copy, source);
    let connection = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    let verdict: String =
        connection.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(StoreError::Damaged { path: copy.to_owned(), what: verdict });
    }
    let schema: u32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let schema = schema as usize;
    if schema > MIGRATIONS.len() {
        return Err(StoreError::Newer { path: copy.to_owned(), found: schema, known: MIGRATIONS.len() });
    }
    if schema == MIGRATIONS.len() {
        check_rows(&connection).map_err(failed)?;
    }
    let positions = positions(&connection).map_err(failed)?;
    Ok(Snapshot { path: copy.to_owned(), schema, positions })
}

/// Whether this folder holds a state file.
#[must_use]
pub fn has_state(data_dir: &Path) -> bool {
    data_dir.join(STATE_FILE).exists()
}

/// Puts a checked copy in the place of the state file, in one step.
///
/// # Errors
/// When the system refuses.
pub fn put_in_place(data_dir: &Path, copy: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Folder { path: data_dir.to_owned(), source };
    // A log left behind would be replayed into the copy.
    for suffix in ["-wal", "-shm"] {
        match std::fs::remove_file(data_dir.join(format!("{STATE_FILE}{suffix}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    std::fs::rename(copy, data_dir.join(STATE_FILE)).map_err(failed)?;
    let folder = std::fs::File::open(data_dir).map_err(failed)?;
    folder.sync_all().map_err(failed)
}
