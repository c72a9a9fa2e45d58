//! Actions over HTTP: what there is, and the orders of people and automations.

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::body::{Body, Nothing};
use super::commands::ask;
use super::{ApiError, ApiState, Caller};
use crate::action::ActionCommand;
use crate::engine::Command;
use crate::view::{ActionView, ActionsView};

/// Body of an approval.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Approval {
    /// Token from the message that asked.
    pub(super) token: String,
}

/// Body of a refusal or a suspension.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    /// Why; kept in the audit trail.
    #[serde(default)]
    pub(super) reason: String,
}

/// Body of a callback.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    /// What became of it.
    pub(super) outcome: Outcome,
    /// One line; kept in the audit trail.
    #[serde(default)]
    pub(super) detail: String,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It was done.
    Succeeded,
    /// It was not done.
    Failed,
}

type Answer = Result<Json<Value>, ApiError>;

pub(super) async fn list(State(state): State<ApiState>) -> Json<ActionsView> {
    Json(ActionsView::clone(&state.board.actions()))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    Path(key): Path<String>,
) -> Result<Json<ActionView>, ApiError> {
    let actions = state.board.actions();
    let found = actions.items.iter().find(|action| action.key == key).cloned();
    found.map(Json).ok_or_else(|| ApiError::NotFound {
        error: format!("there is no action `{key}`"),
        hint: "actions are listed at /api/v1/actions; finished ones are forgotten after a while, but not in the audit trail",
    })
}

pub(super) async fn approve(
    State(state): State<ApiState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(Approval { token }): Body<Approval>,
) -> Answer {
    ask(&state, &caller, Command::Action(ActionCommand::Approve { key, token })).await
}

pub(super) async fn refuse(
    State(state): State<ApiState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(Reason { reason }): Body<Reason>,
) -> Answer {
    ask(&state, &caller, Command::Action(ActionCommand::Refuse { key, reason })).await
}

pub(super) async fn outcome(
    State(state): State<ApiState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(Report { outcome, detail }): Body<Report>,
) -> Answer {
    let succeeded = outcome == Outcome::Succeeded;
    ask(&state, &caller, Command::Action(ActionCommand::Outcome { key, succeeded, detail })).await
}

pub(super) async fn suspend(
    State(state): State<ApiState>,
    caller: Caller,
    Body(Reason { reason }): Body<Reason>,
) -> Answer {
    ask(&state, &caller, Command::Action(ActionCommand::Suspend { reason })).await
}

pub(super) async fn resume(
    State(state): State<ApiState>,
    caller: Caller,
    Body(Nothing {}): Body<Nothing>,
) -> Answer {
    ask(&state, &caller, Command::Action(ActionCommand::Resume)).await
}
