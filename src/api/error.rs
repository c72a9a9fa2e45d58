//! Errors of the API: what is wrong, and what to do about it.

use axum::Json;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// Body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub hint: String,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// There is no such thing.
    #[error("{error}")]
    NotFound {
        /// What is missing.
        error: String,
        /// Where to look.
        hint: &'static str,
    },
    /// The request is not understood.
    #[error("{error}")]
    BadRequest {
        /// What is not understood.
        error: String,
        /// What would be.
        hint: &'static str,
    },
    /// The thing asked about is not in a state for it.
    #[error("{error}")]
    Conflict {
        /// What is in the way.
        error: String,
        /// What to do.
        hint: &'static str,
    },
    /// Not now.
    #[error("{error}")]
    Unavailable {
        /// What is in the way.
        error: String,
        /// What to do.
        hint: &'static str,
    },
    /// The answer could not be made.
    #[error("{error}")]
    Internal {
        /// What failed.
        error: String,
    },
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error, hint) = match self {
            Self::NotFound { error, hint } => (StatusCode::NOT_FOUND, error, hint),
            Self::BadRequest { error, hint } => (StatusCode::BAD_REQUEST, error, hint),
            Self::Conflict { error, hint } => (StatusCode::CONFLICT, error, hint),
            Self::Unavailable { error, hint } => (StatusCode::SERVICE_UNAVAILABLE, error, hint),
            Self::Internal { error } => {
                (StatusCode::INTERNAL_SERVER_ERROR, error, "this is a defect: please report it")
            }
        };
        (status, Json(ErrorBody { error, hint: hint.to_owned() })).into_response()
    }
}

/// Answer to every other path.
pub(super) async fn no_such_route(uri: Uri) -> ApiError {
    ApiError::NotFound { error: format!("there is no {}", uri.path()), hint: "all routes are listed at /" }
}
