//! Rows of the registry: models, versions with their stages and stage changes, references and which is active.

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::seals::{self, Sealed};
use super::{Store, StoreError};
use crate::subject::Millis;
use crate::view::Stage;

/// A reference's row; the artifact itself is a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReference {
    /// Content address.
    pub id: String,
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// Wall-clock time of its registration.
    pub added_at: Millis,
    /// Rows of the baseline.
    pub rows: u64,
    /// Columns compared.
    pub columns: u64,
    /// Where the baseline came from.
    pub dataset: String,
    /// Whether windows of its version are judged against it.
    pub active: bool,
}

/// A version's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVersion {
    /// Model name.
    pub model: String,
    /// Semantic version.
    pub version: String,
    /// Stage.
    pub stage: Stage,
    /// Wall-clock time of its registration.
    pub created_at: Millis,
}

/// One change of a version's stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageChange {
    /// Model name.
    pub model: String,
    /// Semantic version.
    pub version: String,
    /// Stage before.
    pub from: Stage,
    /// Stage after.
    pub to: Stage,
    /// Why, in one word.
    pub reason: String,
    /// Wall-clock time.
    pub at: Millis,
}

/// A stage as it is stored.
#[must_use]
pub fn stage_text(stage: Stage) -> &'static str {
    match stage {
        Stage::None => "none",
        Stage::Staging => "staging",
        Stage::Production => "production",
        Stage::Archived => "archived",
    }
}

/// The table's check constraint admits these four only.
fn stage_of(text: &str) -> Stage {
    match text {
        "staging" => Stage::Staging,
        "production" => Stage::Production,
        "archived" => Stage::Archived,
        _ => Stage::None,
    }
}

fn reference_row(row: &Row<'_>) -> rusqlite::Result<StoredReference> {
    seals::check(Sealed::Reference, row)?;
    let count = |column| row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0));
    Ok(StoredReference {
        id: row.get("id")?,
        model: row.get("model")?,
        version: row.get("version")?,
        added_at: row.get("added_at")?,
        rows: count("rows")?,
        columns: count("columns")?,
        dataset: row.get("dataset")?,
        active: row.get("active")?,
    })
}

fn version_row(row: &Row<'_>) -> rusqlite::Result<StoredVersion> {
    seals::check(Sealed::Version, row)?;
    let stage: String = row.get("stage")?;
    Ok(StoredVersion {
        model: row.get("model")?,
        version: row.get("version")?,
        stage: stage_of(&stage),
        created_at: row.get("created_at")?,
    })
}

fn change_row(row: &Row<'_>) -> rusqlite::Result<StageChange> {
    seals::check(Sealed::StageChange, row)?;
    let (from, to): (String, String) = (row.get("from_stage")?, row.get("to_stage")?);
    Ok(StageChange {
        model: row.get("model")?,
        version: row.get("version")?,
        from: stage_of(&from),
        to: stage_of(&to),
        reason: row.get("reason")?,
        at: row.get("at")?,
    })
}

fn raise_revision(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE registry_revision SET revision = revision + 1", [])?;
    Ok(())
}

fn insert_reference(connection: &Connection, new: &StoredReference) -> rusqlite::Result<bool> {
    let StoredReference { id, model, version, added_at, rows, columns, dataset, active: _ } = new;
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    seals::change(
        connection,
        Sealed::Model,
        "INSERT OR IGNORE INTO model (name, created_at) VALUES (?1, ?2)",
        params![model, added_at],
    )?;
    seals::change(
        connection,
        Sealed::Version,
        "INSERT OR IGNORE INTO version (model, version, stage, created_at) VALUES (?1, ?2, 'none', ?3)",
        params![model, version, added_at],
    )?;
    let added = seals::change(
        connection,
        Sealed::Reference,
        "INSERT OR IGNORE INTO reference (id, model, version, added_at, rows, columns, dataset, active)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7,
             NOT EXISTS (SELECT 1 FROM reference WHERE model = ?2 AND version = ?3)",
        params![id, model, version, added_at, count(*rows), count(*columns), dataset],
    )?;
    raise_revision(connection)?;
    Ok(added > 0)
}

fn change_stage(connection: &Connection, change: &StageChange) -> rusqlite::Result<bool> {
    let StageChange { model, version, from, to, reason, at } = change;
    let (from, to) = (stage_text(*from), stage_text(*to));
    let changed = seals::change(
        connection,
        Sealed::Version,
        "UPDATE version SET stage = ?4 WHERE model = ?1 AND version = ?2 AND stage = ?3",
        params![model, version, from, to],
    )?;
    seals::change(
        connection,
        Sealed::StageChange,
        "INSERT INTO stage_change (model, version, from_stage, to_stage, reason, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![model, version, from, to, reason, at],
    )?;
    Ok(changed == 1)
}

impl Store {
    fn refused(&self, source: rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, source)
    }

    /// Runs `work` in one transaction that is kept if it answers true.
    fn registry_write(
        &mut self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<bool>,
    ) -> Result<bool, StoreError> {
        let path = self.path.clone();
        let failed = |source| StoreError::sqlite(&path, source);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let done = work(&transaction).map_err(failed)?;
        if done {
            transaction.commit().map_err(failed)?;
        }
        Ok(done)
    }

    fn registry_rows<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        row: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let read = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map(parameters, row)?.collect()
        };
        read().map_err(|source| self.refused(source))
    }

    /// Registers a reference with its model and version; the first of a version becomes active.
    ///
    /// Answers false if it was registered before.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn add_reference(&mut self, new: &StoredReference) -> Result<bool, StoreError> {
        self.registry_write(|connection| insert_reference(connection, new))
    }

    /// References, of one model or all, newest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn references(&self, model: Option<&str>) -> Result<Vec<StoredReference>, StoreError> {
        // Two statements: one for both would look through all rows for those of a model.
        match model {
            Some(model) => {
                let sql = "SELECT * FROM reference WHERE model = ?1 ORDER BY added_at DESC, rowid DESC";
                self.registry_rows(sql, [model], reference_row)
            }
            None => {
                let sql = "SELECT * FROM reference ORDER BY model, added_at DESC, rowid DESC";
                self.registry_rows(sql, [], reference_row)
            }
        }
    }

    /// References whose content address begins with `prefix`, at most ten.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn references_like(&self, prefix: &str) -> Result<Vec<StoredReference>, StoreError> {
        // A range, for which there is an index: the last character of all comes after whatever may follow.
        let sql = "SELECT * FROM reference WHERE id BETWEEN ?1 AND ?1 || char(1114111) ORDER BY id LIMIT 10";
        self.registry_rows(sql, [prefix], reference_row)
    }

    /// Makes a reference the active one of its version; answers false if it is not registered.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn activate_reference(&mut self, id: &str) -> Result<bool, StoreError> {
        self.registry_write(|connection| {
            seals::change(
                connection,
                Sealed::Reference,
                "UPDATE reference SET active = 0 WHERE id <> ?1 AND (model, version) =
                     (SELECT model, version FROM reference WHERE id = ?1)",
                [id],
            )?;
            let activate = "UPDATE reference SET active = 1 WHERE id = ?1";
            let found = seals::change(connection, Sealed::Reference, activate, [id])?;
            raise_revision(connection)?;
            Ok(found == 1)
        })
    }

    /// Versions, of one model or all, in no useful order of versions.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn versions(&self, model: Option<&str>) -> Result<Vec<StoredVersion>, StoreError> {
        match model {
            Some(model) => {
                let sql = "SELECT * FROM version WHERE model = ?1 ORDER BY created_at, version";
                self.registry_rows(sql, [model], version_row)
            }
            None => {
                let sql = "SELECT * FROM version ORDER BY model, created_at, version";
                self.registry_rows(sql, [], version_row)
            }
        }
    }

    /// Makes all these changes of stage or, if a version is no longer in the stage to be left, none; then false.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn change_stages(&mut self, changes: &[StageChange]) -> Result<bool, StoreError> {
        self.registry_write(|connection| {
            for change in changes {
                if !change_stage(connection, change)? {
                    return Ok(false);
                }
            }
            raise_revision(connection)?;
            Ok(true)
        })
    }

    /// All changes of stage, of one model or all, oldest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn stage_changes(&self, model: Option<&str>) -> Result<Vec<StageChange>, StoreError> {
        match model {
            Some(model) => {
                let sql = "SELECT * FROM stage_change WHERE model = ?1 ORDER BY sequence";
                self.registry_rows(sql, [model], change_row)
            }
            None => self.registry_rows("SELECT * FROM stage_change ORDER BY sequence", [], change_row),
        }
    }

    /// A number that every change of the registry raises, whichever process makes it.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn registry_revision(&self) -> Result<i64, StoreError> {
        self.connection
            .query_row("SELECT revision FROM registry_revision", [], |row| row.get(0))
            .optional()
            .map(Option::unwrap_or_default)
            .map_err(|source| self.refused(source))
    }
}
