//! The outbox stays bounded: room is made when it is full, what was settled long ago leaves, what nobody will send ends.
//!
//! O-6: firing and resolved are never dropped for want of space; updates of a group are, those first that a newer row of
//! the group replaces. O-7: whatever leaves is counted.
//!
//! A key may be forgotten with its row, although keys guard against telling twice: a transition is decided again only
//! when its windows are judged again, for which their events must be read again. State and outbox are one file and go
//! back together; an event older than the longest horizon is no longer part of any window, and rows are kept longer.

use rusqlite::{Transaction, params};

use super::checkpoint::{bounded, rows};
use super::outbox::{Settlement, settle};
use super::seals::{self, Sealed};
use super::{Store, StoreError};
use crate::alert::{Delivery, Transition};
use crate::subject::Millis;

/// Most deliveries that wait, unless the configuration says otherwise.
pub const MAX_OPEN: usize = 100_000;

const REPLACED: &str = "outbox_replaced";
const PRUNED: &str = "outbox_pruned";

/// What left the outbox, since the state file was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxLeft {
    /// Updates that made room for newer rows.
    pub replaced: u64,
    /// Settled rows that were kept long enough.
    pub pruned: u64,
}

/// Rows that have waited for too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// Their target.
    pub target: String,
    /// Wall-clock time before which they were decided.
    pub decided_before: Millis,
    /// Whether actions are meant as well; they have an end of their own, unless nobody will ever send them.
    pub actions: bool,
    /// Why they are given up.
    pub error: String,
}

impl Store {
    /// Bounds the deliveries that wait; by default [`MAX_OPEN`].
    pub fn limit_outbox(&mut self, most: usize) {
        self.max_open = most;
    }

    /// Forgets at most `limit` rows that were settled before this wall-clock time; unknown ones stay until somebody
    /// settles them.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn prune_outbox(&mut self, settled_before: Millis, limit: usize) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let sql = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE settled_at IS NOT NULL
                       AND settled_at < ?1 AND state IN ('delivered', 'dead', 'expired') LIMIT ?2)";
            let pruned = transaction.prepare_cached(sql)?.execute(params![settled_before, bounded(limit)])?;
            count(transaction, PRUNED, pruned)?;
            Ok(pruned)
        })
    }

    /// Gives up what has waited for too long; at most `limit` rows.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn give_up_outbox(&mut self, stale: &Stale, now: Millis, limit: usize) -> Result<usize, StoreError> {
        let Stale { target, decided_before, actions, error } = stale;
        self.write(|transaction| {
            let sql = "SELECT id FROM outbox WHERE target = ?1 AND state = 'pending' AND decided_at < ?2
                       AND (?3 OR class = 'notification') ORDER BY id LIMIT ?4";
            let params = params![target, decided_before, actions, bounded(limit)];
            let old: Vec<i64> = rows(transaction, sql, params, |row| row.get(0))?;
            for id in &old {
                settle(transaction, *id, now, &Settlement::Dead { error: error.clone() })?;
            }
            Ok(old.len())
        })
    }

    /// What has left the outbox so far.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn outbox_left(&self) -> Result<OutboxLeft, StoreError> {
        let counts: Vec<(String, i64)> =
            self.read("SELECT what, count FROM dropped", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let of = |name: &str| {
            counts.iter().find(|(what, _)| what == name).map_or(0, |(_, count)| count.unsigned_abs())
        };
        Ok(OutboxLeft { replaced: of(REPLACED), pruned: of(PRUNED) })
    }
}

/// Whether a newer row of its group may replace it.
pub(in crate::store) fn is_replaceable(delivery: &Delivery) -> bool {
    match delivery {
        Delivery::Notification(notification) => {
            !matches!(notification.transition, Transition::Firing | Transition::Resolved)
        }
        Delivery::Action(_) | Delivery::Digest(_) => false,
    }
}

/// Makes room inside the checkpoint that brought more rows than may wait.
pub(in crate::store) fn make_room(transaction: &Transaction<'_>, most: usize) -> rusqlite::Result<()> {
    if excess(transaction, most)? <= 0 {
        return Ok(());
    }
    const LEAVE: &str = "UPDATE outbox SET state = 'expired', payload = NULL,
                         settled_at = CAST(unixepoch('subsec') * 1000 AS INTEGER),";
    let sql = format!(
        "{LEAVE} last_error = 'replaced by a newer one of its group: the outbox was full'
         WHERE replaceable = 1 AND state = 'pending' AND EXISTS (SELECT 1 FROM outbox AS newer
         WHERE newer.target = outbox.target AND newer.flow = outbox.flow AND newer.id > outbox.id
         AND newer.state IN ('pending', 'inflight'))"
    );
    let replaced = seals::change(transaction, Sealed::Outbox, &sql, [])?;
    let excess = excess(transaction, most)?.max(0);
    let sql = format!(
        "{LEAVE} last_error = 'an update, left out: the outbox was full' WHERE id IN
         (SELECT id FROM outbox WHERE replaceable = 1 AND state = 'pending' ORDER BY id LIMIT ?1)"
    );
    let left_out = seals::change(transaction, Sealed::Outbox, &sql, [excess])?;
    count(transaction, REPLACED, replaced + left_out)
}

fn excess(transaction: &Transaction<'_>, most: usize) -> rusqlite::Result<i64> {
    let sql = "SELECT count(*) FROM outbox WHERE state IN ('pending', 'inflight')";
    let open: i64 = transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(open - bounded(most))
}

/// Counts what left a table, since the state file was created.
pub(in crate::store) fn count(
    transaction: &Transaction<'_>,
    what: &str,
    more: usize,
) -> rusqlite::Result<()> {
    if more > 0 {
        let sql = "INSERT INTO dropped (what, count) VALUES (?1, ?2)
                   ON CONFLICT (what) DO UPDATE SET count = count + excluded.count";
        transaction.prepare_cached(sql)?.execute(params![what, bounded(more)])?;
    }
    Ok(())
}
