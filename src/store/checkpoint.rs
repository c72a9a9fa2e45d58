//! Step 5 of 10: the checkpoint as one transaction, and what a start restores from it.
//!
//! J-1: counts, positions, alert states, deliveries, refusals and audit of a checkpoint become durable together or not
//! at all. J-2: a position never goes back, so that no record counts twice.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::audit::append_audit;
use super::seals::{self, Sealed};
use super::{Store, StoreError, outbox, outbox_care, sums};
use crate::engine::{AuditRow, Checkpoint, PaneRow, Position, RefusedRecord, Restored, SubjectNumber};
use crate::fault::{Place, reach};
use crate::subject::{Millis, Subject};

/// Most refused records kept; older ones make room and are counted.
pub const MAX_REFUSED: i64 = 100_000;

/// A refused record that waits for the dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Number of the row.
    pub id: i64,
    /// The pointer.
    pub record: RefusedRecord,
}

/// Refused records that wait for the dead-letter topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedPending {
    /// Those that can be sent.
    pub rows: Vec<RefusedRow>,
    /// Rows that were looked at.
    pub looked_at: usize,
    /// Rows that were not what was written.
    pub rotten: usize,
}

/// What can go wrong inside the transaction.
enum Problem {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Problem {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite(source)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Store {
    /// Writes a checkpoint: all of it or nothing.
    ///
    /// # Errors
    /// When SQLite refuses ([`StoreError::retry`] says whether to try again) or a position would go back.
    pub fn apply(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let Self { path, connection, max_open } = self;
        write_all(connection, checkpoint, *max_open).map_err(|problem| match problem {
            Problem::Sqlite(source) => StoreError::sqlite(path, source),
            Problem::Store(error) => error,
        })
    }

    /// Reads everything that a start needs, and checks the rows that it does not need yet.
    ///
    /// # Errors
    /// When SQLite refuses, or any row is not what was written.
    pub fn restore(&self) -> Result<Restored, StoreError> {
        // One moment of the file, even while somebody writes it.
        let read = || read_all(&*self.connection.unchecked_transaction()?);
        read().map_err(|source| StoreError::sqlite(&self.path, source))
    }

    /// Forgets where a partition's counting stood, because its topic was created anew; the audit trail says so.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn forget_position(&mut self, topic: &str, partition: i32, now: Millis) -> Result<(), StoreError> {
        let Self { path, connection, .. } = self;
        forget(connection, topic, partition, now).map_err(|source| StoreError::sqlite(path, source))
    }

    /// Refused records that the dead-letter topic does not have yet, oldest first. Those that are not what was written are
    /// counted, noted in the audit trail and left out for good: nobody knows any more where they point.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn refused_pending(&mut self, limit: usize, now: Millis) -> Result<RefusedPending, StoreError> {
        let sql = "SELECT * FROM refused WHERE state = 'pending' ORDER BY id LIMIT ?1";
        let found = self.read(sql, [bounded(limit)], |row| {
            let id: i64 = row.get("id")?;
            Ok(refused_row(row).map_err(|_| id))
        })?;
        let looked_at = found.len();
        let (sound, rotten): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
        let rotten: Vec<i64> = rotten.into_iter().filter_map(Result::err).collect();
        if !rotten.is_empty() {
            self.write(|transaction| leave_out(transaction, &rotten, now))?;
        }
        Ok(RefusedPending { rows: sound.into_iter().flatten().collect(), looked_at, rotten: rotten.len() })
    }

    /// Marks refused records as sent.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn refused_sent(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        let Self { path, connection, .. } = self;
        mark_sent(connection, ids).map_err(|source| StoreError::sqlite(path, source))
    }

    /// How many refused records were dropped for want of space before the dead-letter topic had them.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn refused_dropped(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count FROM dropped WHERE what = 'refused'";
        let counts = self.read(sql, [], |row| row.get::<_, i64>(0))?;
        Ok(counts.first().copied().unwrap_or(0).unsigned_abs())
    }

    pub(in crate::store) fn read<T, P: rusqlite::Params>(
        &self,
        sql: &str,
        params: P,
        each: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        rows(&self.connection, sql, params, each).map_err(|source| StoreError::sqlite(&self.path, source))
    }
}

/// A count of rows as SQLite takes it.
pub(in crate::store) fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(in crate::store) fn rows<T, P: rusqlite::Params>(
    connection: &Connection,
    sql: &str,
    params: P,
    each: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(params, each)?.collect()
}

fn write_all(connection: &mut Connection, checkpoint: &Checkpoint, max_open: usize) -> Result<(), Problem> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    reach(Place::CheckpointBegun);
    drop_subjects(&transaction, &checkpoint.left_subjects)?;
    write_subjects(&transaction, &checkpoint.subjects)?;
    drop_panes(&transaction, &checkpoint.gone_panes)?;
    write_panes(&transaction, &checkpoint.panes, checkpoint.drop_panes_below)?;
    forget_positions(&transaction, &checkpoint.resets)?;
    write_positions(&transaction, &checkpoint.positions)?;
    write_documents(&transaction, checkpoint)?;
    for row in &checkpoint.outbox {
        outbox::insert(&transaction, row)??;
    }
    if !checkpoint.outbox.is_empty() {
        outbox_care::make_room(&transaction, max_open)?;
    }
    write_refused(&transaction, &checkpoint.refused)?;
    for row in &checkpoint.audit {
        append_audit(&transaction, row)?;
    }
    reach(Place::CheckpointWritten);
    transaction.commit()?;
    reach(Place::CheckpointCommitted);
    Ok(())
}

fn write_subjects(
    transaction: &Transaction<'_>,
    subjects: &[(SubjectNumber, Subject)],
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO subject (id, model, version, segment, sum) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE
         SET model = excluded.model, version = excluded.version, segment = excluded.segment, sum = excluded.sum",
    )?;
    for (id, subject) in subjects {
        insert.execute(params![
            id,
            &*subject.model,
            &*subject.version,
            subject.segment.as_deref(),
            sums::of_subject(*id, subject)
        ])?;
    }
    Ok(())
}

/// Also their panes: some may have been left out by a restore, and nobody would ask for them any more.
fn drop_subjects(transaction: &Transaction<'_>, left: &[SubjectNumber]) -> rusqlite::Result<()> {
    if left.is_empty() {
        return Ok(());
    }
    let mut list = String::from("[");
    for (index, number) in left.iter().enumerate() {
        list.push_str(if index > 0 { "," } else { "" });
        list.push_str(&number.to_string());
    }
    list.push(']');
    for (table, column) in [("pane", "subject"), ("subject", "id")] {
        let sql = format!("DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?1))");
        transaction.prepare_cached(&sql)?.execute([&list])?;
    }
    Ok(())
}

fn drop_panes(transaction: &Transaction<'_>, gone: &[(SubjectNumber, i64)]) -> rusqlite::Result<()> {
    let mut delete = transaction.prepare_cached("DELETE FROM pane WHERE pane = ?1 AND subject = ?2")?;
    for (subject, pane) in gone {
        delete.execute(params![pane, subject])?;
    }
    Ok(())
}

fn write_panes(transaction: &Transaction<'_>, panes: &[PaneRow], below: Option<i64>) -> rusqlite::Result<()> {
    let mut upsert = transaction.prepare_cached(
        "INSERT INTO pane (pane, subject, reference, counts, sum) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (pane, subject) DO UPDATE
         SET reference = excluded.reference, counts = excluded.counts, sum = excluded.sum",
    )?;
    for row in panes {
        let counts = row.counts.packed();
        let sum = sums::of_pane(row.subject, row.pane, &row.reference, &counts);
        upsert.execute(params![row.pane, row.subject, row.reference, counts, sum])?;
    }
    if let Some(below) = below {
        transaction.prepare_cached("DELETE FROM pane WHERE pane < ?1")?.execute([below])?;
    }
    Ok(())
}

fn forget_positions(transaction: &Transaction<'_>, resets: &[(String, i32)]) -> rusqlite::Result<()> {
    let mut delete =
        transaction.prepare_cached("DELETE FROM position WHERE topic = ?1 AND partition = ?2")?;
    for (topic, partition) in resets {
        delete.execute(params![topic, partition])?;
    }
    Ok(())
}

fn write_positions(transaction: &Transaction<'_>, positions: &[Position]) -> Result<(), Problem> {
    let mut stored =
        transaction.prepare_cached("SELECT next_offset FROM position WHERE topic = ?1 AND partition = ?2")?;
    let mut replace = transaction.prepare_cached(
        "REPLACE INTO position (topic, partition, next_offset, max_event_time, last_record_hash, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for position in positions {
        let Position { topic, partition, next_offset, max_event_time, last_record_hash } = position;
        let before: Option<i64> = stored.query_row(params![topic, partition], |row| row.get(0)).optional()?;
        if let Some(before) = before.filter(|before| before > next_offset) {
            let (topic, partition, offered) = (topic.clone(), *partition, *next_offset);
            return Err(StoreError::Backwards { topic, partition, stored: before, offered }.into());
        }
        let hash = last_record_hash.map(u64::cast_signed);
        let sum = sums::of_position(position);
        replace.execute(params![topic, partition, next_offset, max_event_time, hash, sum])?;
    }
    Ok(())
}

fn write_documents(transaction: &Transaction<'_>, checkpoint: &Checkpoint) -> rusqlite::Result<()> {
    let mut replace =
        transaction.prepare_cached("REPLACE INTO document (name, json, sum) VALUES (?1, ?2, ?3)")?;
    let mut delete = transaction.prepare_cached("DELETE FROM document WHERE name = ?1")?;
    for (name, json) in checkpoint.every_document() {
        match json {
            Some(json) => replace.execute(params![name, json, sums::of_document(name, &json)])?,
            None => delete.execute([name])?,
        };
    }
    Ok(())
}

fn write_refused(transaction: &Transaction<'_>, refused: &[RefusedRecord]) -> rusqlite::Result<()> {
    let insert = "INSERT INTO refused (topic, partition, \"offset\", reason, detail, size, sha256)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    for record in refused {
        let RefusedRecord { topic, partition, offset, reason, detail, size, sha256 } = record;
        let size = size.and_then(|size| i64::try_from(size).ok());
        let values = params![topic, partition, offset, reason, detail, size, sha256];
        seals::change(transaction, Sealed::Refused, insert, values)?;
    }
    if refused.is_empty() {
        Ok(())
    } else {
        drop_oldest_refused(transaction, transaction.last_insert_rowid())
    }
}

fn drop_oldest_refused(transaction: &Transaction<'_>, newest: i64) -> rusqlite::Result<()> {
    let oldest_kept = newest - MAX_REFUSED + 1;
    let unsent: i64 = transaction
        .prepare_cached("SELECT count(*) FROM refused WHERE id < ?1 AND state = 'pending'")?
        .query_row([oldest_kept], |row| row.get(0))?;
    if unsent > 0 {
        transaction.execute(
            "INSERT INTO dropped (what, count) VALUES ('refused', ?1)
             ON CONFLICT (what) DO UPDATE SET count = count + excluded.count",
            [unsent],
        )?;
    }
    transaction.prepare_cached("DELETE FROM refused WHERE id < ?1")?.execute([oldest_kept])?;
    Ok(())
}

fn leave_out(transaction: &Transaction<'_>, rotten: &[i64], now: Millis) -> rusqlite::Result<()> {
    for id in rotten {
        transaction.prepare_cached("DELETE FROM refused WHERE id = ?1")?.execute([id])?;
        let detail = "a pointer to a refused record was not what was written, and is left out".to_owned();
        let (actor, what) = (AuditRow::SELF.to_owned(), "pointer_damaged".to_owned());
        append_audit(transaction, &AuditRow { at: now, actor, what, key: format!("refused/{id}"), detail })?;
    }
    outbox_care::count(transaction, "refused_damaged", rotten.len())
}

fn mark_sent(connection: &mut Connection, ids: &[i64]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for id in ids {
        let update = "UPDATE refused SET state = 'sent' WHERE id = ?1";
        seals::change(&transaction, Sealed::Refused, update, [id])?;
    }
    transaction.commit()
}

fn forget(connection: &mut Connection, topic: &str, partition: i32, now: Millis) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let before: Option<i64> = transaction
        .query_row(
            "DELETE FROM position WHERE topic = ?1 AND partition = ?2 RETURNING next_offset",
            params![topic, partition],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(before) = before {
        let detail = format!("next offset was {before}");
        let (what, key) = ("position_forgotten".to_owned(), format!("{topic}[{partition}]"));
        append_audit(
            &transaction,
            &AuditRow { at: now, actor: AuditRow::SELF.to_owned(), what, key, detail },
        )?;
    }
    transaction.commit()
}

const SUBJECTS: &str = "SELECT id, model, version, segment, sum FROM subject ORDER BY id";
/// In the order of the table: by its index each row would be looked for at a place of its own.
const PANES: &str = "SELECT pane, subject, reference, counts, sum, id FROM pane NOT INDEXED";
/// Nothing but the index.
const PANE_KEYS: &str = "SELECT pane, subject, id FROM pane ORDER BY pane, subject";
const POSITIONS: &str =
    "SELECT topic, partition, next_offset, max_event_time, last_record_hash, sum FROM position
     ORDER BY topic, partition";
const DOCUMENTS: &str = "SELECT name, json, sum FROM document";

fn read_all(connection: &Connection) -> rusqlite::Result<Restored> {
    seals::check_all(connection)?;
    let subjects = rows(connection, SUBJECTS, [], subject_row)?;
    let mut keys = Vec::new();
    let mut panes = rows(connection, PANES, [], |row| pane_row(row, &mut keys))?;
    same_keys(connection, keys)?;
    panes.sort_unstable_by_key(|row| (row.pane, row.subject));
    let positions = positions(connection)?;
    let documents = rows(connection, DOCUMENTS, [], document_row)?;
    Ok(Restored { subjects, panes, positions, documents: documents.into_iter().collect() })
}

/// Where the counting stood.
pub(in crate::store) fn positions(connection: &Connection) -> rusqlite::Result<Vec<Position>> {
    rows(connection, POSITIONS, [], position_row)
}

/// An error if any row of the state is not what was written; holds one row at a time, and the keys of panes.
pub(in crate::store) fn check_rows(connection: &Connection) -> rusqlite::Result<()> {
    seals::check_all(connection)?;
    check_each(connection, SUBJECTS, subject_row)?;
    let mut keys = Vec::new();
    check_each(connection, PANES, |row| pane_row(row, &mut keys))?;
    same_keys(connection, keys)?;
    check_each(connection, POSITIONS, position_row)?;
    check_each(connection, DOCUMENTS, document_row).map(|_| ())
}

fn check_each<T>(
    connection: &Connection,
    sql: &str,
    each: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<()> {
    let mut select = connection.prepare(sql)?;
    select.query_map([], each)?.try_for_each(|row| row.map(|_| ()))
}

/// Pane, subject and number of a row.
type PaneKey = (i64, SubjectNumber, i64);

/// An error if the index by which panes are changed is not that of the rows: a row that it does not show would be written
/// a second time. The sums cover the rows alone.
fn same_keys(connection: &Connection, mut of_rows: Vec<PaneKey>) -> rusqlite::Result<()> {
    of_rows.sort_unstable();
    let mut of_rows = of_rows.into_iter();
    let mut select = connection.prepare(PANE_KEYS)?;
    let of_index = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    for key in of_index {
        if of_rows.next() != Some(key?) {
            return Err(sums::damaged("pane"));
        }
    }
    if of_rows.next().is_none() { Ok(()) } else { Err(sums::damaged("pane")) }
}

fn pane_row(row: &Row<'_>, keys: &mut Vec<PaneKey>) -> rusqlite::Result<PaneRow> {
    let (pane, subject, reference) = (row.get(0)?, row.get(1)?, row.get::<_, String>(2)?);
    let counts = row.get_ref(3)?.as_blob()?;
    sums::check(row.get(4)?, sums::of_pane(subject, pane, &reference, counts), "pane")?;
    keys.push((pane, subject, row.get(5)?));
    Ok(PaneRow { pane, subject, reference, counts: counts.into() })
}

fn subject_row(row: &Row<'_>) -> rusqlite::Result<(SubjectNumber, Subject)> {
    let text = |index| row.get::<_, String>(index).map(Into::into);
    let segment = row.get::<_, Option<String>>(3)?.map(Into::into);
    let (id, subject) = (row.get(0)?, Subject { model: text(1)?, version: text(2)?, segment });
    sums::check(row.get(4)?, sums::of_subject(id, &subject), "subject")?;
    Ok((id, subject))
}

fn document_row(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    let (name, json): (String, String) = (row.get(0)?, row.get(1)?);
    sums::check(row.get(2)?, sums::of_document(&name, &json), "document")?;
    Ok((name, json))
}

fn position_row(row: &Row<'_>) -> rusqlite::Result<Position> {
    let position = Position {
        topic: row.get(0)?,
        partition: row.get(1)?,
        next_offset: row.get(2)?,
        max_event_time: row.get(3)?,
        last_record_hash: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
    };
    sums::check(row.get(5)?, sums::of_position(&position), "position")?;
    Ok(position)
}

fn refused_row(row: &Row<'_>) -> rusqlite::Result<RefusedRow> {
    seals::check(Sealed::Refused, row)?;
    let record = RefusedRecord {
        topic: row.get("topic")?,
        partition: row.get("partition")?,
        offset: row.get("offset")?,
        reason: row.get("reason")?,
        detail: row.get("detail")?,
        size: row.get::<_, Option<i64>>("size")?.and_then(|size| u64::try_from(size).ok()),
        sha256: row.get("sha256")?,
    };
    Ok(RefusedRow { id: row.get("id")?, record })
}
