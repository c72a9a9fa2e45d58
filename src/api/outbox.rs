//! Deliveries: what waits, what failed, and the orders of people about both.
//!
//! Notifications are retried and dropped with the scope `silence`. Whether an action was taken is said with the scope
//! `approve`: it lets the next one go.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::query::{Filter, MAX_LIMIT};
use super::{ApiError, ApiState, Caller};
use crate::engine::CommandError;
use crate::view::{DeliveryDetail, OutboxChanged, OutboxOrder, OutboxPage, OutboxQuery};

/// Why the desk has no answer.
#[derive(Debug)]
pub enum OutboxError {
    /// The state file cannot be used now.
    Unavailable(String),
    /// The order or question makes no sense as things stand.
    Refused(CommandError),
}

/// An answer of the desk under way.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = Result<T, OutboxError>> + Send + 'a>>;

/// Who knows the outbox.
pub trait OutboxDesk: Send + Sync {
    /// Deliveries as asked for, and all targets.
    fn list(&self, query: OutboxQuery) -> Asking<'_, OutboxPage>;
    /// One delivery with what it says.
    fn show(&self, id: i64) -> Asking<'_, Option<DeliveryDetail>>;
    /// Carries an order out and leaves its row in the audit trail.
    fn order(&self, order: OutboxOrder, by: String) -> Asking<'_, OutboxChanged>;
}

/// Parameters of `/api/v1/outbox`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    state: Option<String>,
    target: Option<String>,
    limit: Option<usize>,
    before: Option<i64>,
}

/// Body of `/api/v1/outbox/retry`: some deliveries, or all dead ones of a target.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryBody {
    /// Numbers of deliveries that were given up.
    pub ids: Vec<i64>,
    /// Target whose dead notifications are all sent again.
    pub target: Option<String>,
}

/// Body of `/api/v1/outbox/{id}/settle`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleBody {
    /// Whether the action was taken.
    pub taken: bool,
}

type Answer<T> = Result<Json<T>, ApiError>;

fn desk(state: &ApiState) -> Result<&Arc<dyn OutboxDesk>, ApiError> {
    state.outbox.as_ref().ok_or_else(|| unavailable("there is no outbox here".to_owned()))
}

fn unavailable(error: String) -> ApiError {
    ApiError::Unavailable { error, hint: "try again in a moment; if it lasts, see /readyz" }
}

fn refused(error: OutboxError) -> ApiError {
    let list = "deliveries are listed at /api/v1/outbox";
    match error {
        OutboxError::Unavailable(error) => unavailable(error),
        OutboxError::Refused(CommandError::NotFound(error)) => ApiError::NotFound { error, hint: list },
        OutboxError::Refused(CommandError::Conflict(error)) => ApiError::Conflict {
            error,
            hint: "look at its state, then ask again; see docs/guide/deliveries.md",
        },
        OutboxError::Refused(CommandError::Invalid(error)) => {
            ApiError::BadRequest { error, hint: "see docs/guide/deliveries.md" }
        }
    }
}

pub(super) async fn list(
    State(state): State<ApiState>,
    Filter(query): Filter<ListQuery>,
) -> Answer<OutboxPage> {
    let ListQuery { state: of, target, limit, before } = query;
    let limit = limit.unwrap_or(100);
    if limit == 0 || limit > MAX_LIMIT {
        let error = format!("limit is {limit}");
        return Err(ApiError::BadRequest { error, hint: "a limit is a whole number from 1 to 1000" });
    }
    let query = OutboxQuery { state: of, target, before, limit };
    desk(&state)?.list(query).await.map(Json).map_err(refused)
}

pub(super) async fn show(State(state): State<ApiState>, Path(id): Path<i64>) -> Answer<DeliveryDetail> {
    let found = desk(&state)?.show(id).await.map_err(refused)?;
    let missing = || CommandError::NotFound(format!("there is no delivery {id}"));
    found.map(Json).ok_or_else(|| refused(OutboxError::Refused(missing())))
}

async fn order(state: &ApiState, caller: Caller, order: OutboxOrder) -> Answer<OutboxChanged> {
    desk(state)?.order(order, caller.name).await.map(Json).map_err(refused)
}

pub(super) async fn retry(
    State(state): State<ApiState>,
    caller: Caller,
    Json(body): Json<RetryBody>,
) -> Answer<OutboxChanged> {
    let asked = match (body.ids, body.target) {
        (ids, None) if !ids.is_empty() && ids.len() <= MAX_LIMIT => OutboxOrder::Retry { ids },
        (ids, Some(target)) if ids.is_empty() => OutboxOrder::RetryDead { target },
        _ => {
            let error = "say which deliveries: `ids` with 1 to 1000 numbers, or `target`".to_owned();
            return Err(ApiError::BadRequest { error, hint: "deliveries are listed at /api/v1/outbox" });
        }
    };
    order(&state, caller, asked).await
}

pub(super) async fn drop_one(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Answer<OutboxChanged> {
    order(&state, caller, OutboxOrder::Drop { id }).await
}

pub(super) async fn settle(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(body): Json<SettleBody>,
) -> Answer<OutboxChanged> {
    order(&state, caller, OutboxOrder::Settle { id, taken: body.taken }).await
}
