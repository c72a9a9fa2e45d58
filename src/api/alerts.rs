//! Orders about alerts: acknowledge, silence, expire.

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::{Body, Nothing};
use super::commands::ask;
use super::handlers::now;
use super::query::{Filter, Page, PageQuery, paged};
use super::{ApiError, ApiState, Caller};
use crate::alert::{AlertCommand, Matcher, parse_all};
use crate::config::Span;
use crate::engine::Command;
use crate::subject::Millis;
use crate::view::SilenceView;

type Answer<T> = Result<Json<T>, ApiError>;

/// Takes an episode on: its repeats are held until it resolves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeRequest {
    /// The `group` of an alert.
    pub group: String,
    /// Why, or what is being done.
    #[serde(default)]
    pub comment: String,
}

/// A silence to create. Begin and end are compared with event time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SilenceRequest {
    /// Conditions that an alert must fit, such as `model="fraud"`; at least one that does not fit the empty value.
    pub matchers: Vec<String>,
    /// Begin in milliseconds since the Unix epoch; absent means from now on.
    #[serde(default)]
    pub starts_at: Option<Millis>,
    /// End in milliseconds since the Unix epoch; either this or `duration`.
    #[serde(default)]
    pub ends_at: Option<Millis>,
    /// Length from its begin, or from now: `2h`.
    #[serde(default)]
    pub duration: Option<String>,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

pub(super) async fn acknowledge(
    State(state): State<ApiState>,
    caller: Caller,
    Body(request): Body<AcknowledgeRequest>,
) -> Answer<Value> {
    let AcknowledgeRequest { group, comment } = request;
    ask(&state, &caller, Command::Alert(AlertCommand::Acknowledge { group, comment })).await
}

pub(super) async fn silences(
    State(state): State<ApiState>,
    Filter(query): Filter<PageQuery>,
) -> Answer<Page<SilenceView>> {
    let silences = state.board.silences();
    paged(silences.iter().cloned(), query.limit, query.offset).map(Json)
}

pub(super) async fn silence(
    State(state): State<ApiState>,
    caller: Caller,
    Body(request): Body<SilenceRequest>,
) -> Answer<Value> {
    let bad = |error: String, hint| ApiError::BadRequest { error, hint };
    let matchers: Vec<Matcher> = parse_all(&request.matchers)
        .map_err(|error| bad(error.to_string(), "write each matcher as a text, `model=\"fraud\"`"))?;
    let ends_at = match (request.ends_at, &request.duration) {
        (Some(ends_at), None) => ends_at,
        (None, Some(text)) => {
            let length: Span = text.parse().map_err(|error: crate::config::SpanError| {
                bad(error.to_string(), "write `duration` as `2h`")
            })?;
            request.starts_at.unwrap_or_else(now).saturating_add(length.millis())
        }
        _ => {
            let error = "it is not clear when the silence ends".to_owned();
            return Err(bad(error, "give either `ends_at` or `duration`"));
        }
    };
    let SilenceRequest { starts_at, comment, .. } = request;
    let command = AlertCommand::Silence { matchers, starts_at, ends_at, comment };
    ask(&state, &caller, Command::Alert(command)).await
}

pub(super) async fn expire(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Value> {
    ask(&state, &caller, Command::Alert(AlertCommand::Expire { id })).await
}
