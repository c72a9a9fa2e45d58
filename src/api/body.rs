//! Bodies of orders: JSON, refused with the API's own error.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ApiError;

/// Nothing more to say: `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A JSON body that is refused with the API's own error.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let refused = |rejection: JsonRejection| ApiError::BadRequest {
            error: rejection.body_text(),
            hint: "the body of each order is described at /api/v1/openapi.json; send it as application/json",
        };
        Json::<T>::from_request(request, state).await.map(|Json(body)| Self(body)).map_err(refused)
    }
}
