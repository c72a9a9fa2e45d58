//! The outbox: deliveries decided by the core until a target has confirmed them.
//!
//! ```text
//! pending → inflight → delivered            told, or asked
//!              ├──────→ pending             failed, tried again at `next_at`
//!              ├──────→ dead                refused, or tried for too long
//!              └──────→ unknown             an action that may or may not have been received: held for a person
//! pending → expired                         no longer worth sending, or replaced by a newer one when all is full
//! ```
//! O-1: `(key, target)` is inserted once for ever, so a replayed transition never doubles. O-2: rows of one flow (an
//! alert group, or the actions of a model) reach a target in the order of decision. O-3: an action is sent at most
//! once: `inflight` is durable before the first byte, and a row found `inflight` after a crash becomes `unknown`.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::audit::append_audit;
use super::checkpoint::{bounded, rows};
use super::outbox_care::is_replaceable;
use super::outbox_due::due;
use super::seals::{self, Sealed};
use super::{Store, StoreError};
use crate::alert::{ActionRequest, Delivery, Finding, Notification};
use crate::engine::{AuditRow, OutboxRow};
use crate::subject::Millis;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutboxState {
    /// Waits for its turn or its next attempt.
    Pending,
    /// Being sent.
    Inflight,
    /// Confirmed by the target.
    Delivered,
    /// Given up; kept for a person.
    Dead,
    /// Was no longer worth sending.
    Expired,
    /// An action whose outcome is not known; never sent again.
    Unknown,
    /// An action that waits for an approval.
    Held,
}

impl OutboxState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Inflight,
        Self::Delivered,
        Self::Dead,
        Self::Expired,
        Self::Unknown,
        Self::Held,
    ];

    /// Name in the state file, in labels and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Inflight => "inflight",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::Held => "held",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A delivery whose turn has come.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxItem {
    /// Number of the row.
    pub id: i64,
    /// Target by name.
    pub target: String,
    /// Attempts made before this one.
    pub attempt: u32,
    /// When the first attempt began, by the clock of whoever attempts; `None` before it.
    pub first_attempt_at: Option<Millis>,
    /// Wall-clock time after which it is no longer worth sending.
    pub expires_at: Option<Millis>,
    /// What to deliver.
    pub delivery: Delivery,
}

/// What a target has to do now, and when to ask again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Due {
    /// Deliveries to attempt, oldest first, at most one per flow.
    pub items: Vec<OutboxItem>,
    /// When the next delivery falls due that is not due yet.
    pub next_at: Option<Millis>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The target confirmed.
    Delivered,
    /// Try again at this time, by the clock that says what is due.
    Retry {
        /// When.
        next_at: Millis,
        /// Why the attempt failed.
        error: String,
    },
    /// Never try again.
    Dead {
        /// Why.
        error: String,
    },
    /// Was no longer worth sending.
    Expired,
    /// An action may or may not have been received.
    Unknown {
        /// What was seen last.
        error: String,
    },
}

impl Settlement {
    const fn state(&self) -> OutboxState {
        match self {
            Self::Delivered => OutboxState::Delivered,
            Self::Retry { .. } => OutboxState::Pending,
            Self::Dead { .. } => OutboxState::Dead,
            Self::Expired => OutboxState::Expired,
            Self::Unknown { .. } => OutboxState::Unknown,
        }
    }

    fn error(&self) -> Option<&str> {
        match self {
            Self::Delivered | Self::Expired => None,
            Self::Retry { error, .. } | Self::Dead { error } | Self::Unknown { error } => Some(error),
        }
    }
}

/// Rows of one target by state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboxStats {
    /// Target by name.
    pub target: String,
    /// Waiting.
    pub pending: u64,
    /// Being sent.
    pub inflight: u64,
    /// Given up.
    pub dead: u64,
    /// Actions with an unknown outcome.
    pub unknown: u64,
    /// Wall-clock time at which the oldest row that still waits was decided.
    pub oldest_pending_at: Option<Millis>,
}

/// A row for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Number of the row.
    pub id: i64,
    /// Idempotency key.
    pub key: String,
    /// Target by name.
    pub target: String,
    /// Alert group, model of an action, or route of a digest; deliveries of one flow reach a target in order.
    pub flow: String,
    /// State as [`OutboxState::as_str`].
    pub state: String,
    /// Attempts made.
    pub attempt: u32,
    /// Wall-clock time of the decision.
    pub decided_at: Millis,
    /// Wall-clock time of the end, if it has ended.
    pub settled_at: Option<Millis>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// What a start found half sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Notifications that will be sent again under the same key.
    pub notifications: usize,
    /// Actions whose outcome is unknown and which are held.
    pub actions: usize,
}

impl Store {
    /// Settles what a crash left `inflight`: notifications become `pending`, actions `unknown`. Called once per start,
    /// before the first attempt.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn recover_outbox(&mut self, now: Millis) -> Result<Recovered, StoreError> {
        self.write(|transaction| recover(transaction, now))
    }

    /// What this target has to do now, at most `limit` deliveries. What waits for longer than the longest pause was put
    /// there by another clock, and is due.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn due(
        &mut self,
        target: &str,
        (now, longest): (Millis, Millis),
        limit: usize,
    ) -> Result<Due, StoreError> {
        self.write(|transaction| due(transaction, target, (now, longest), limit))
    }

    /// Makes the attempt durable; only then may it be sent. `false` if the row no longer waits. That of an action is in the
    /// audit trail as well: whatever becomes of it, something may have gone out. The time is that of the clock by which
    /// rows are given up.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn attempting(&mut self, id: i64, now: Millis) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let sql = "UPDATE outbox SET state = 'inflight', attempt = attempt + 1,
                       first_attempt_at = coalesce(first_attempt_at, ?2) WHERE id = ?1 AND state = 'pending'";
            let taken = seals::change(transaction, Sealed::Outbox, sql, params![id, now])? == 1;
            let sql = "SELECT key, target, attempt FROM outbox WHERE id = ?1 AND class = 'action'";
            let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            let action: Option<(String, String, u32)> =
                if taken { transaction.prepare_cached(sql)?.query_row([id], row).optional()? } else { None };
            if let Some((key, target, attempt)) = action {
                let detail = format!("{target}: attempt {attempt}");
                audit_action(transaction, now, OutboxState::Inflight, &key, &detail)?;
            }
            Ok(taken)
        })
    }

    /// Records how an attempt ended. A row that has already ended stays as it is, and the answer is `false`.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn settle(&mut self, id: i64, now: Millis, settlement: &Settlement) -> Result<bool, StoreError> {
        self.write(|transaction| settle(transaction, id, now, settlement))
    }

    /// Rows by target and state.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn outbox_stats(&self) -> Result<Vec<OutboxStats>, StoreError> {
        let sql = "SELECT target, count(*) FILTER (WHERE state = 'pending'),
                   count(*) FILTER (WHERE state = 'inflight'), count(*) FILTER (WHERE state = 'dead'),
                   count(*) FILTER (WHERE state = 'unknown'),
                   min(decided_at) FILTER (WHERE state IN ('pending', 'inflight'))
                   FROM outbox WHERE state IN ('pending', 'inflight', 'dead', 'unknown')
                   GROUP BY target ORDER BY target";
        self.read(sql, [], |row| {
            let count = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
            let (pending, inflight, dead, unknown) = (count(1)?, count(2)?, count(3)?, count(4)?);
            let (target, oldest_pending_at) = (row.get(0)?, row.get(5)?);
            Ok(OutboxStats { target, pending, inflight, dead, unknown, oldest_pending_at })
        })
    }

    /// The newest rows of this state, newest first; of every state if `None`.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn list_outbox(
        &self,
        state: Option<OutboxState>,
        limit: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        let sql =
            format!("SELECT {ENTRY} FROM outbox WHERE ?1 IS NULL OR state = ?1 ORDER BY id DESC LIMIT ?2");
        self.read(&sql, params![state.map(OutboxState::as_str), bounded(limit)], entry)
    }

    pub(in crate::store) fn write<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let Self { path, connection, .. } = self;
        let run = || {
            let transaction = connection.transaction()?;
            let result = change(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|source| StoreError::sqlite(path, source))
    }
}

/// Inserts a delivery of a checkpoint unless its key is already known to the target.
pub(in crate::store) fn insert(
    connection: &Connection,
    row: &OutboxRow,
) -> rusqlite::Result<Result<(), StoreError>> {
    let delivery = storable(&row.delivery);
    let payload = match serde_json::to_string(&delivery) {
        Ok(payload) => payload,
        Err(source) => return Ok(Err(StoreError::Delivery { key: row.delivery.key().to_owned(), source })),
    };
    let (class, flow) = class_and_flow(&row.delivery);
    let (key, target, expires_at) = (row.delivery.key(), &row.target, row.expires_at);
    seals::change(
        connection,
        Sealed::Outbox,
        "INSERT OR IGNORE INTO outbox (key, target, class, flow, expires_at, payload, replaceable)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![key, target, class, flow, expires_at, payload, is_replaceable(&row.delivery)],
    )?;
    Ok(Ok(()))
}

fn class_and_flow(delivery: &Delivery) -> (&'static str, &str) {
    match delivery {
        Delivery::Notification(notification) => ("notification", &notification.group),
        Delivery::Action(request) => ("action", &request.model),
        Delivery::Digest(digest) => ("notification", &digest.route),
    }
}

/// JSON has no infinity and no NaN: such numbers are stored as the largest number and as 0, so that the row can be
/// read back.
fn storable(delivery: &Delivery) -> Cow<'_, Delivery> {
    let notification = match delivery {
        Delivery::Notification(notification)
        | Delivery::Action(ActionRequest { cause: notification, .. }) => notification,
        Delivery::Digest(_) => return Cow::Borrowed(delivery),
    };
    if notification.findings.iter().all(is_finite) {
        return Cow::Borrowed(delivery);
    }
    let finite =
        Notification { findings: notification.findings.iter().map(finite).collect(), ..notification.clone() };
    Cow::Owned(match delivery {
        Delivery::Notification(_) => Delivery::Notification(finite),
        Delivery::Action(request) => Delivery::Action(ActionRequest { cause: finite, ..request.clone() }),
        Delivery::Digest(digest) => Delivery::Digest(digest.clone()),
    })
}

fn is_finite(finding: &Finding) -> bool {
    let shares = finding.moved.iter().flat_map(|moved| [moved.from, moved.to]);
    [finding.statistic, finding.threshold]
        .into_iter()
        .chain(finding.p_value)
        .chain(shares)
        .all(f64::is_finite)
}

fn finite(finding: &Finding) -> Finding {
    let number = |x: f64| if x.is_nan() { 0.0 } else { x.clamp(f64::MIN, f64::MAX) };
    let mut finding = finding.clone();
    finding.statistic = number(finding.statistic);
    finding.threshold = number(finding.threshold);
    finding.p_value = finding.p_value.map(number);
    for moved in &mut finding.moved {
        (moved.from, moved.to) = (number(moved.from), number(moved.to));
    }
    finding
}

pub(in crate::store) fn settle(
    transaction: &Transaction<'_>,
    id: i64,
    now: Millis,
    settlement: &Settlement,
) -> rusqlite::Result<bool> {
    let state = settlement.state();
    let (next_at, ended) = match settlement {
        Settlement::Retry { next_at, .. } => (*next_at, None),
        Settlement::Delivered
        | Settlement::Dead { .. }
        | Settlement::Expired
        | Settlement::Unknown { .. } => (0, Some(now)),
    };
    let sql = "UPDATE outbox SET state = ?2, next_at = ?3, settled_at = ?4,
               last_error = coalesce(?5, last_error), payload = iif(?2 = 'delivered', NULL, payload)
               WHERE id = ?1 AND state IN ('pending', 'inflight') RETURNING class, key, target";
    let settled = transaction
        .prepare_cached(sql)?
        .query_row(params![id, state.as_str(), next_at, ended, settlement.error()], settled_row)
        .optional()?;
    if settled.is_some() {
        seals::seal(transaction, Sealed::Outbox, id)?;
    }
    match &settled {
        Some((class, key, target)) if class == "action" => {
            audit_action(
                transaction,
                now,
                state,
                key,
                &format!("{target}: {}", settlement.error().unwrap_or("ok")),
            )?;
        }
        Some(_) | None => {}
    }
    Ok(settled.is_some())
}

fn settled_row(row: &Row<'_>) -> rusqlite::Result<(String, String, String)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

/// What became of an action belongs into the audit trail.
fn audit_action(
    transaction: &Transaction<'_>,
    now: Millis,
    state: OutboxState,
    key: &str,
    detail: &str,
) -> rusqlite::Result<()> {
    let what = match state {
        OutboxState::Pending => "action_failed",
        OutboxState::Inflight => "action_attempting",
        OutboxState::Delivered => "action_delivered",
        OutboxState::Dead => "action_dead",
        OutboxState::Expired => "action_expired",
        OutboxState::Unknown => "action_unknown",
        OutboxState::Held => "action_held",
    };
    let (what, key, detail) = (what.to_owned(), key.to_owned(), detail.to_owned());
    append_audit(transaction, &AuditRow { at: now, actor: AuditRow::SELF.to_owned(), what, key, detail })
}

fn recover(transaction: &Transaction<'_>, now: Millis) -> rusqlite::Result<Recovered> {
    let sql = "SELECT id FROM outbox WHERE state = 'inflight' AND class = 'action'";
    let actions: Vec<i64> = rows(transaction, sql, [], |row| row.get(0))?;
    for id in &actions {
        let error = "the process ended while the request was under way".to_owned();
        settle(transaction, *id, now, &Settlement::Unknown { error })?;
    }
    let sql = "UPDATE outbox SET state = 'pending', next_at = 0 WHERE state = 'inflight'";
    let notifications = seals::change(transaction, Sealed::Outbox, sql, [])?;
    Ok(Recovered { notifications, actions: actions.len() })
}

/// Columns of an [`OutboxEntry`].
pub(in crate::store) const ENTRY: &str =
    "id, key, target, flow, state, attempt, decided_at, settled_at, last_error";

pub(in crate::store) fn entry(row: &Row<'_>) -> rusqlite::Result<OutboxEntry> {
    Ok(OutboxEntry {
        id: row.get(0)?,
        key: row.get(1)?,
        target: row.get(2)?,
        flow: row.get(3)?,
        state: row.get(4)?,
        attempt: row.get(5)?,
        decided_at: row.get(6)?,
        settled_at: row.get(7)?,
        last_error: row.get(8)?,
    })
}
