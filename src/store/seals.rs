//! Sums of rows whose columns change one by one: deliveries, the registry, pointers to refused records.
//!
//! S-1: whoever writes such a row seals it in the same transaction ([`change`], [`seal`]); whoever takes one up checks
//! it, and a start checks them all. The sum covers every column by its name; a column that a later version adds
//! changes nothing where it is NULL. Rows that a checkpoint writes as a whole have their sums in `sums`.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Row, params};

use super::sums::{self, Sum};

/// Column of the sum, which it does not cover.
const SUM: &str = "sum";

/// A table whose rows are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sealed {
    Outbox,
    Refused,
    Model,
    Version,
    Reference,
    StageChange,
}

impl Sealed {
    const ALL: [Self; 6] =
        [Self::Outbox, Self::Refused, Self::Model, Self::Version, Self::Reference, Self::StageChange];

    /// Name in SQL.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::Refused => "refused",
            Self::Model => "model",
            Self::Version => "version",
            Self::Reference => "reference",
            Self::StageChange => "stage_change",
        }
    }

    /// The table of this name, if its rows are sealed.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// What is in the column of the sum, and what should be; the row must come from a `SELECT` of all columns.
fn sums_of(table: Sealed, row: &Row<'_>) -> rusqlite::Result<(Option<i64>, i64)> {
    let statement = row.as_ref();
    let (mut stored, mut sum) = (None, Sum::of(table.name()));
    for index in 0..statement.column_count() {
        let name = statement.column_name(index)?;
        if name == SUM {
            stored = row.get(index)?;
            continue;
        }
        let named = |sum: Sum, kind| sum.bytes(name.as_bytes()).word(kind);
        sum = match row.get_ref(index)? {
            ValueRef::Null => sum,
            ValueRef::Integer(number) => named(sum, 1).number(number),
            ValueRef::Real(number) => named(sum, 2).word(number.to_bits()),
            ValueRef::Text(text) => named(sum, 3).bytes(text),
            ValueRef::Blob(bytes) => named(sum, 4).bytes(bytes),
        };
    }
    Ok((stored, sum.end()))
}

/// An error if this row of all columns is not what was written.
pub(super) fn check(table: Sealed, row: &Row<'_>) -> rusqlite::Result<()> {
    let (stored, computed) = sums_of(table, row)?;
    if stored == Some(computed) { Ok(()) } else { Err(sums::damaged(table.name())) }
}

/// An error if the schema is no text any more: names of columns are taken from it, and SQLite does not look at them.
pub(super) fn check_schema(connection: &Connection) -> rusqlite::Result<()> {
    let mut all = connection.prepare("SELECT name, sql FROM sqlite_schema")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        for index in 0..2 {
            if let ValueRef::Text(text) = row.get_ref(index)?
                && std::str::from_utf8(text).is_err()
            {
                return Err(sums::damaged("sqlite_schema"));
            }
        }
    }
    Ok(())
}

/// An error if any sealed row is not what was written, or an index does not show the rows of its table: `quick_check`
/// leaves indexes out, and a delivery that the index of open ones does not show would never be sent.
pub(super) fn check_all(connection: &Connection) -> rusqlite::Result<()> {
    check_schema(connection)?;
    for table in Sealed::ALL {
        let pragma = format!("PRAGMA integrity_check({})", table.name());
        let verdict: String = connection.query_row(&pragma, [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(sums::damaged(table.name()));
        }
        let mut all = connection.prepare(&format!("SELECT * FROM {}", table.name()))?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            check(table, row)?;
        }
    }
    Ok(())
}

/// Seals a row as it is now.
pub(super) fn seal(connection: &Connection, table: Sealed, rowid: i64) -> rusqlite::Result<()> {
    let name = table.name();
    let (_, sum) = connection
        .prepare_cached(&format!("SELECT * FROM {name} WHERE rowid = ?1"))?
        .query_row([rowid], |row| sums_of(table, row))?;
    connection
        .prepare_cached(&format!("UPDATE {name} SET {SUM} = ?2 WHERE rowid = ?1"))?
        .execute(params![rowid, sum])
        .map(|_| ())
}

/// Runs an `INSERT` or `UPDATE` of this table and seals the rows that it wrote; gives their number.
pub(super) fn change(
    connection: &Connection,
    table: Sealed,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<usize> {
    let written: Vec<i64> = connection
        .prepare_cached(&format!("{sql} RETURNING rowid"))?
        .query_map(params, |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for rowid in &written {
        seal(connection, table, *rowid)?;
    }
    Ok(written.len())
}

/// Seals every row as it is; called once for a file from before there were seals.
pub(super) fn seal_all(connection: &Connection) -> rusqlite::Result<()> {
    for table in Sealed::ALL {
        let all = format!("SELECT rowid FROM {}", table.name());
        let rowids: Vec<i64> =
            connection.prepare(&all)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        for rowid in rowids {
            seal(connection, table, rowid)?;
        }
    }
    Ok(())
}
