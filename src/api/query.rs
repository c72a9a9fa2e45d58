//! Query strings, with bounded pages and refusals that name the parameter.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ApiError;

/// Most items of one page.
pub const MAX_LIMIT: usize = 1_000;

/// A query string that is refused with the API's own error.
#[derive(Debug)]
pub(super) struct Filter<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Filter<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let refused = |rejection: QueryRejection| ApiError::BadRequest {
            error: rejection.body_text(),
            hint: "the parameters of each route are described at /api/v1/openapi.json",
        };
        Query::<T>::from_request_parts(parts, state).await.map(|Query(query)| Self(query)).map_err(refused)
    }
}

/// Parameters of a list without filters.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    pub(super) limit: Option<usize>,
    pub(super) offset: Option<usize>,
}

/// Parameters of `/api/v1/windows`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowQuery {
    pub(super) model: Option<String>,
    pub(super) version: Option<String>,
    pub(super) segment: Option<String>,
    pub(super) horizon: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) offset: Option<usize>,
}

/// Parameters of `/api/v1/alerts`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertQuery {
    pub(super) state: Option<String>,
    pub(super) model: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) offset: Option<usize>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// How many items the whole list has.
    pub total: usize,
    /// Offset of the next page; absent on the last.
    pub next_offset: Option<usize>,
}

/// The part of the list that was asked for.
pub(super) fn paged<T>(
    items: impl Iterator<Item = T>,
    limit: Option<usize>,
    offset: Option<usize>,
) -> Result<Page<T>, ApiError> {
    let (limit, offset) = (limit.unwrap_or(100), offset.unwrap_or(0));
    if limit == 0 || limit > MAX_LIMIT {
        let error = format!("limit is {limit}");
        return Err(ApiError::BadRequest { error, hint: "a limit is a whole number from 1 to 1000" });
    }
    let all: Vec<T> = items.collect();
    let total = all.len();
    let items: Vec<T> = all.into_iter().skip(offset).take(limit).collect();
    let end = offset.saturating_add(items.len());
    Ok(Page { items, total, next_offset: (end < total).then_some(end) })
}
