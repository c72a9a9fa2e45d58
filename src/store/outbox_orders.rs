//! What people see of the outbox and order about it; each order is one transaction with its row of the audit trail.
//!
//! O-4: an action is never put back, whoever asks: what is to be done again, its next alert decides. O-5: an order is carried out as a whole
//! or not at all.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde_json::Value;

use super::audit::append_audit;
use super::checkpoint::{bounded, rows};
use super::outbox::OutboxState;
use super::seals::{self, Sealed};
use super::{Store, StoreError};
use crate::action::without_token;
use crate::engine::{AuditRow, CommandError};
use crate::subject::Millis;
use crate::view::{DeliveryDetail, DeliveryView, OutboxChanged, OutboxOrder, OutboxQuery};

/// Most deliveries that one order puts back, so that the writer is never held for long.
const MOST_AT_ONCE: usize = 10_000;

const COLUMNS: &str =
    "id, key, target, class, flow, state, attempt, decided_at, next_at, expires_at, settled_at, last_error";

/// Who orders, and when.
struct By<'a> {
    name: &'a str,
    at: Millis,
}

impl Store {
    /// Deliveries as asked for, newest first.
    ///
    /// # Errors
    /// When SQLite refuses; inside, when the state that is asked for is none.
    pub fn outbox_rows(
        &self,
        query: &OutboxQuery,
    ) -> Result<Result<Vec<DeliveryView>, CommandError>, StoreError> {
        if let Some(state) = query.state.as_deref().filter(|state| OutboxState::parse(state).is_none()) {
            let all = OutboxState::ALL.map(OutboxState::as_str).join(", ");
            return Ok(Err(CommandError::Invalid(format!("`{state}` is no state: expected one of {all}"))));
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM outbox WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR target = ?2)
             AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4"
        );
        let params = params![query.state, query.target, query.before, bounded(query.limit)];
        self.read(&sql, params, view).map(Ok)
    }

    /// One delivery with what it says, but for the token of an approval: whoever may read may not approve.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn outbox_detail(&self, id: i64) -> Result<Option<DeliveryDetail>, StoreError> {
        let sql = format!("SELECT {COLUMNS}, payload FROM outbox WHERE id = ?1");
        let found = self.read(&sql, [id], |row| {
            let payload: Option<String> = row.get(12)?;
            let mut payload = payload.and_then(|text| serde_json::from_str::<Value>(&text).ok());
            payload.iter_mut().for_each(hide_tokens);
            Ok(DeliveryDetail { delivery: view(row)?, payload })
        })?;
        Ok(found.into_iter().next())
    }

    /// Carries a person's order out.
    ///
    /// # Errors
    /// When SQLite refuses; inside, when the order cannot be carried out and nothing has changed.
    pub fn outbox_order(
        &mut self,
        order: &OutboxOrder,
        by: &str,
        now: Millis,
    ) -> Result<Result<OutboxChanged, CommandError>, StoreError> {
        let by = By { name: by, at: now };
        self.write(|transaction| match order {
            OutboxOrder::Retry { ids } => retry(transaction, ids, &by),
            OutboxOrder::RetryDead { target } => retry_dead(transaction, target, &by),
            OutboxOrder::Drop { id } => drop_one(transaction, *id, &by),
            OutboxOrder::Settle { id, taken } => settle(transaction, *id, *taken, &by),
        })
    }

    /// Notes what was found out elsewhere about an action whose outcome was unknown here; `false` if it no longer is.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn action_known(
        &mut self,
        id: i64,
        (taken, how): (bool, &str),
        now: Millis,
    ) -> Result<bool, StoreError> {
        let by = By { name: AuditRow::SELF, at: now };
        self.write(|transaction| {
            let Ok(row) = one(transaction, id)? else { return Ok(false) };
            if OutboxState::parse(&row.state) != Some(OutboxState::Unknown) {
                return Ok(false);
            }
            close(transaction, &row, (taken, &format!(": {how}")), &by)?;
            Ok(true)
        })
    }
}

type Answer = rusqlite::Result<Result<OutboxChanged, CommandError>>;

fn hide_tokens(value: &mut Value) {
    match value {
        Value::String(text) => *text = without_token(text),
        Value::Array(items) => items.iter_mut().for_each(hide_tokens),
        Value::Object(fields) => fields.values_mut().for_each(hide_tokens),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn view(row: &Row<'_>) -> rusqlite::Result<DeliveryView> {
    let state: String = row.get(5)?;
    let next_at: Millis = row.get(8)?;
    Ok(DeliveryView {
        id: row.get(0)?,
        key: row.get(1)?,
        target: row.get(2)?,
        class: row.get(3)?,
        flow: row.get(4)?,
        next_at: (next_at > 0 && state == OutboxState::Pending.as_str()).then_some(next_at),
        state,
        attempt: row.get(6)?,
        decided_at: row.get(7)?,
        expires_at: row.get(9)?,
        settled_at: row.get(10)?,
        last_error: row.get(11)?,
    })
}

fn one(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<Result<DeliveryView, CommandError>> {
    let sql = format!("SELECT {COLUMNS} FROM outbox WHERE id = ?1");
    let found = transaction.prepare_cached(&sql)?.query_row([id], view).optional()?;
    Ok(found.ok_or_else(|| CommandError::NotFound(format!("there is no delivery {id}"))))
}

fn conflict<T>(text: String) -> Result<T, CommandError> {
    Err(CommandError::Conflict(text))
}

fn changed(ids: Vec<i64>, state: OutboxState, left: u64) -> OutboxChanged {
    OutboxChanged { changed: ids, state: state.as_str().to_owned(), left }
}

fn retry(transaction: &Transaction<'_>, ids: &[i64], by: &By<'_>) -> Answer {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        match one(transaction, *id)? {
            Ok(row) => found.push(row),
            Err(error) => return Ok(Err(error)),
        }
    }
    for row in &found {
        let (id, state) = (row.id, row.state.as_str());
        if row.class == "action" {
            return Ok(conflict(format!(
                "delivery {id} asks for an action and is {state}: an action is asked for once, and the next alert \
                 decides anew"
            )));
        }
        if state != OutboxState::Dead.as_str() {
            return Ok(conflict(format!("delivery {id} is {state}: only what was given up is retried")));
        }
    }
    for row in &found {
        put_back(transaction, row.id)?;
        audit(
            transaction,
            by,
            "delivery_retried",
            &row.key,
            format!("delivery {} to {}", row.id, row.target),
        )?;
    }
    Ok(Ok(changed(ids.to_vec(), OutboxState::Pending, 0)))
}

fn retry_dead(transaction: &Transaction<'_>, target: &str, by: &By<'_>) -> Answer {
    let sql = "SELECT id FROM outbox WHERE state = 'dead' AND target = ?1 AND class = 'notification'
               ORDER BY id LIMIT ?2";
    let ids: Vec<i64> = rows(transaction, sql, params![target, bounded(MOST_AT_ONCE)], |row| row.get(0))?;
    let sql = "SELECT count(*) FROM outbox WHERE state = 'dead' AND target = ?1 AND class = 'action'";
    let left: i64 = transaction.prepare_cached(sql)?.query_row([target], |row| row.get(0))?;
    for id in &ids {
        put_back(transaction, *id)?;
    }
    let what = format!("{} deliveries to {target} that were given up", ids.len());
    audit(transaction, by, "delivery_retried", target, what)?;
    Ok(Ok(changed(ids, OutboxState::Pending, left.unsigned_abs())))
}

/// Its attempts begin anew, under the same key.
fn put_back(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE outbox SET state = 'pending', attempt = 0, next_at = 0, first_attempt_at = NULL,
               settled_at = NULL WHERE id = ?1";
    seals::change(transaction, Sealed::Outbox, sql, [id]).map(|_| ())
}

fn end(
    transaction: &Transaction<'_>,
    id: i64,
    state: OutboxState,
    by: &By<'_>,
    why: &str,
) -> rusqlite::Result<()> {
    let sql = "UPDATE outbox SET state = ?2, settled_at = ?3, last_error = ?4 WHERE id = ?1";
    seals::change(transaction, Sealed::Outbox, sql, params![id, state.as_str(), by.at, why]).map(|_| ())
}

fn drop_one(transaction: &Transaction<'_>, id: i64, by: &By<'_>) -> Answer {
    let row = match one(transaction, id)? {
        Ok(row) => row,
        Err(error) => return Ok(Err(error)),
    };
    match OutboxState::parse(&row.state) {
        Some(OutboxState::Pending | OutboxState::Dead) => {}
        Some(OutboxState::Unknown) => {
            return Ok(conflict(format!(
                "delivery {id} may have been taken: say what became of it with `anchorwatch actions outcome {} \
                 succeeded` or `failed`",
                row.key
            )));
        }
        Some(OutboxState::Inflight) => {
            return Ok(conflict(format!("delivery {id} is being sent: look again in a moment")));
        }
        Some(OutboxState::Held) => {
            return Ok(conflict(format!("delivery {id} waits for an approval: refuse the action")));
        }
        Some(OutboxState::Delivered | OutboxState::Expired) | None => {
            return Ok(conflict(format!("delivery {id} is {}: there is nothing to drop", row.state)));
        }
    }
    end(transaction, id, OutboxState::Expired, by, &format!("dropped by {}", by.name))?;
    audit(transaction, by, "delivery_dropped", &row.key, format!("delivery {id} to {}", row.target))?;
    Ok(Ok(changed(vec![id], OutboxState::Expired, 0)))
}

fn settle(transaction: &Transaction<'_>, id: i64, taken: bool, by: &By<'_>) -> Answer {
    let row = match one(transaction, id)? {
        Ok(row) => row,
        Err(error) => return Ok(Err(error)),
    };
    let is_unknown = OutboxState::parse(&row.state) == Some(OutboxState::Unknown);
    if row.class != "action" || !is_unknown {
        let (class, state) = (row.class, row.state);
        return Ok(conflict(format!(
            "delivery {id} is a {class} and {state}: only actions that are unknown are settled"
        )));
    }
    let state = close(transaction, &row, (taken, &format!(", says {}", by.name)), by)?;
    Ok(Ok(changed(vec![id], state, 0)))
}

/// Ends an unknown action, with its row of the audit trail; gives its state.
fn close(
    transaction: &Transaction<'_>,
    row: &DeliveryView,
    (taken, how): (bool, &str),
    by: &By<'_>,
) -> rusqlite::Result<OutboxState> {
    let (state, what, why) = if taken {
        (OutboxState::Delivered, "action_settled_taken", format!("taken{how}"))
    } else {
        (OutboxState::Dead, "action_settled_not_taken", format!("not taken{how}"))
    };
    end(transaction, row.id, state, by, &why)?;
    audit(transaction, by, what, &row.key, format!("delivery {} to {}: {why}", row.id, row.target))?;
    Ok(state)
}

fn audit(
    transaction: &Transaction<'_>,
    by: &By<'_>,
    what: &str,
    key: &str,
    detail: String,
) -> rusqlite::Result<()> {
    let (what, key) = (what.to_owned(), key.to_owned());
    append_audit(transaction, &AuditRow { at: by.at, actor: by.name.to_owned(), what, key, detail })
}
