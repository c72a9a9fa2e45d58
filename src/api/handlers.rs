//! What each route answers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::query::{AlertQuery, Filter, Page, PageQuery, WindowQuery, paged};
use super::{ApiError, ApiState, Readiness, openapi, page as human};
use crate::subject::Millis;
use crate::view::{
    AlertState, AlertView, ModelView, ReferenceView, SCRAPE_CONTENT_TYPE, StatusView, VersionView, WindowView,
};

/// Fewest digits of a content address that name a reference.
const SHORTEST_ID: usize = 8;

type Answer<T> = Result<Json<T>, ApiError>;

/// One model version with what is known about it now.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct VersionDetail {
    /// Model name.
    pub model: String,
    /// What the registry says.
    #[serde(flatten)]
    pub registered: VersionView,
    /// Events counted, over all segments.
    pub events: u64,
    /// Latest windows, of the whole traffic and of each segment.
    pub windows: Vec<Arc<WindowView>>,
    /// Its alerts.
    pub alerts: Vec<AlertView>,
}

#[expect(clippy::disallowed_methods, reason = "an edge: liveness is about the wall clock")]
pub(super) fn now() -> Millis {
    chrono::Utc::now().timestamp_millis()
}

pub(super) async fn page(State(state): State<ApiState>) -> Html<String> {
    Html(human::render(&state.board, &state.health.readiness(now())))
}

pub(super) async fn metrics(State(state): State<ApiState>) -> Result<Response, ApiError> {
    // With thousands of versions it takes as long as others would wait for.
    let scrape = Arc::clone(&state.scrape);
    let internal = |error: &dyn std::fmt::Display| ApiError::Internal { error: error.to_string() };
    let scraped =
        tokio::task::spawn_blocking(move || scrape.scrape()).await.map_err(|error| internal(&error))?;
    let text = scraped.map_err(|error| internal(&error))?;
    Ok(([(header::CONTENT_TYPE, SCRAPE_CONTENT_TYPE)], text).into_response())
}

fn probe(readiness: Readiness) -> Response {
    let status = if readiness.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

pub(super) async fn livez(State(state): State<ApiState>) -> Response {
    probe(state.health.liveness(now()))
}

pub(super) async fn readyz(State(state): State<ApiState>) -> Response {
    probe(state.health.readiness(now()))
}

pub(super) async fn openapi() -> Json<Value> {
    Json(openapi::document())
}

pub(super) async fn models(
    State(state): State<ApiState>,
    Filter(query): Filter<PageQuery>,
) -> Answer<Page<ModelView>> {
    let models = state.board.models();
    paged(models.iter().cloned(), query.limit, query.offset).map(Json)
}

pub(super) async fn version(
    State(state): State<ApiState>,
    Path((model, version)): Path<(String, String)>,
) -> Answer<VersionDetail> {
    let models = state.board.models();
    let known = models.iter().find(|view| view.model == model).ok_or_else(|| ApiError::NotFound {
        error: format!("there is no model `{model}`"),
        hint: "models are listed at /api/v1/models; register one with `anchorwatch reference create`",
    })?;
    let registered = known.versions.iter().find(|view| view.version == version);
    let registered = registered.cloned().ok_or_else(|| ApiError::NotFound {
        error: format!("model `{model}` has no version `{version}`"),
        hint: "versions are listed at /api/v1/models; register one with `anchorwatch reference create`",
    })?;
    let status = state.board.status();
    let events = status.events.iter().filter(|count| count.model == model && count.version == version);
    let events = events.map(|count| count.events).sum();
    let subjects = state.board.subjects().into_iter();
    let own = subjects.filter(|(subject, _)| *subject.model == *model && *subject.version == *version);
    let windows = own.flat_map(|(_, view)| view.windows.clone()).collect();
    let alerts = state.board.alerts();
    let alerts =
        alerts.iter().filter(|alert| alert.model == model && alert.version == version).cloned().collect();
    Ok(Json(VersionDetail { model, registered, events, windows, alerts }))
}

pub(super) async fn references(
    State(state): State<ApiState>,
    Filter(query): Filter<PageQuery>,
) -> Answer<Page<ReferenceView>> {
    let references = state.board.references();
    paged(references.iter().cloned(), query.limit, query.offset).map(Json)
}

pub(super) async fn reference(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Answer<ReferenceView> {
    let references = state.board.references();
    let fits = |view: &&ReferenceView| view.id == id || id.len() >= SHORTEST_ID && view.id.starts_with(&id);
    let found: Vec<_> = references.iter().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(Json((*one).clone())),
        [] => Err(ApiError::NotFound {
            error: format!("there is no reference `{id}`"),
            hint: "references are listed at /api/v1/references; give at least 8 digits of the id",
        }),
        _ => Err(ApiError::BadRequest {
            error: format!("`{id}` is the beginning of {} references", found.len()),
            hint: "give more digits of the id",
        }),
    }
}

pub(super) async fn windows(
    State(state): State<ApiState>,
    Filter(query): Filter<WindowQuery>,
) -> Answer<Page<Arc<WindowView>>> {
    let is = |asked: &Option<String>, found: &str| asked.as_deref().is_none_or(|asked| asked == found);
    let all = state.board.subjects().into_iter().flat_map(|(_, view)| view.windows.clone());
    let asked = all.filter(|window| {
        is(&query.model, &window.model)
            && is(&query.version, &window.version)
            && is(&query.segment, window.segment.as_deref().unwrap_or_default())
            && is(&query.horizon, &window.horizon)
    });
    paged(asked, query.limit, query.offset).map(Json)
}

pub(super) async fn alerts(
    State(state): State<ApiState>,
    Filter(query): Filter<AlertQuery>,
) -> Answer<Page<AlertView>> {
    let refused = |error: crate::view::AlertStateError| ApiError::BadRequest {
        error: error.to_string(),
        hint: "leave `state` out to see all alerts",
    };
    let wanted: Option<AlertState> = query.state.as_deref().map(str::parse).transpose().map_err(refused)?;
    let alerts = state.board.alerts();
    let asked = alerts.iter().filter(|alert| {
        wanted.is_none_or(|wanted| wanted == alert.state)
            && query.model.as_ref().is_none_or(|model| *model == alert.model)
    });
    paged(asked.cloned(), query.limit, query.offset).map(Json)
}

pub(super) async fn status(State(state): State<ApiState>) -> Json<StatusView> {
    Json(StatusView::clone(&state.board.status()))
}
