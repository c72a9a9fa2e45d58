//! What a target has to do now: the heads of its flows, each checked before it is taken up.
//!
//! O-7 of the outbox's care counts what leaves; here, O-8: a row that cannot be read, or is not what was written, never
//! blocks those behind it and is never sent. A notification of that kind is dead; an action is unknown, because nobody
//! can tell any more whether it was asked for.

use rusqlite::{Row, Transaction, params};

use super::checkpoint::{bounded, rows};
use super::outbox::{Due, OutboxItem, Settlement, settle};
use super::seals::{self, Sealed};
use crate::alert::Delivery;
use crate::subject::Millis;

/// A row whose turn has come.
enum Head {
    Item(Box<OutboxItem>),
    /// Its sum is right, but this version cannot read it.
    Unreadable,
    /// Not what was written.
    Damaged {
        action: bool,
    },
}

impl Head {
    /// How it ends, if it cannot be sent.
    fn end(self) -> Result<OutboxItem, Settlement> {
        let error = "the stored delivery is not what was written".to_owned();
        match self {
            Self::Item(item) => Ok(*item),
            Self::Unreadable => {
                let error = "the stored delivery cannot be read by this version".to_owned();
                Err(Settlement::Dead { error })
            }
            Self::Damaged { action: false } => Err(Settlement::Dead { error }),
            Self::Damaged { action: true } => Err(Settlement::Unknown { error }),
        }
    }
}

pub(in crate::store) fn due(
    transaction: &Transaction<'_>,
    target: &str,
    (now, longest): (Millis, Millis),
    limit: usize,
) -> rusqlite::Result<Due> {
    let latest = now.saturating_add(longest);
    let head = "FROM outbox AS head JOIN (SELECT min(id) AS first FROM outbox WHERE target = ?1
                AND state IN ('pending', 'inflight') GROUP BY flow) ON head.id = first
                WHERE head.state = 'pending'";
    let sql = format!("SELECT head.* {head} AND (next_at <= ?2 OR next_at > ?3) ORDER BY id LIMIT ?4");
    let found = rows(transaction, &sql, params![target, now, latest, bounded(limit)], head_row)?;
    let mut items = Vec::with_capacity(found.len());
    for (id, head) in found {
        match head.end() {
            Ok(item) => items.push(item),
            Err(end) => _ = settle(transaction, id, now, &end)?,
        }
    }
    let sql = format!("SELECT min(next_at) {head} AND next_at > ?2 AND next_at <= ?3");
    let next_at =
        transaction.prepare_cached(&sql)?.query_row(params![target, now, latest], |row| row.get(0))?;
    Ok(Due { items, next_at })
}

fn head_row(row: &Row<'_>) -> rusqlite::Result<(i64, Head)> {
    let id = row.get("id")?;
    if seals::check(Sealed::Outbox, row).is_err() {
        let class: Option<String> = row.get("class").ok();
        return Ok((id, Head::Damaged { action: class.as_deref() != Some("notification") }));
    }
    let payload: Option<String> = row.get("payload")?;
    let Some(delivery) = payload.and_then(|payload| serde_json::from_str::<Delivery>(&payload).ok()) else {
        return Ok((id, Head::Unreadable));
    };
    let item = OutboxItem {
        id,
        target: row.get("target")?,
        attempt: row.get("attempt")?,
        first_attempt_at: row.get("first_attempt_at")?,
        expires_at: row.get("expires_at")?,
        delivery,
    };
    Ok((id, Head::Item(Box::new(item))))
}
