//! Errors of the API: what is wrong, and what to do about it.

use axum::Json;
use axum::http::{StatusCode, Uri, header};
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
    /// Nobody known asks.
    #[error("{error}")]
    Unauthorized {
        /// What is missing.
        error: String,
        /// What to send.
        hint: &'static str,
    },
    /// Whoever asks may not.
    #[error("{error}")]
    Forbidden {
        /// What is in the way.
        error: String,
        /// What to do.
        hint: &'static str,
    },
    /// The body is of another kind.
    #[error("{error}")]
    UnsupportedMediaType {
        /// What is wrong.
        error: String,
        /// What to send.
        hint: &'static str,
    },
    /// Too often.
    #[error("{error}")]
    Throttled {
        /// What there was too much of.
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
            Self::Unauthorized { error, hint } => (StatusCode::UNAUTHORIZED, error, hint),
            Self::Forbidden { error, hint } => (StatusCode::FORBIDDEN, error, hint),
            Self::UnsupportedMediaType { error, hint } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, error, hint),
            Self::Throttled { error, hint } => (StatusCode::TOO_MANY_REQUESTS, error, hint),
            Self::Internal { error } => {
                (StatusCode::INTERNAL_SERVER_ERROR, error, "this is a defect: please report it")
            }
        };
        let mut response = (status, Json(ErrorBody { error, hint: hint.to_owned() })).into_response();
        let further = match status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer realm=\"anchorwatch\"")),
            StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, "60")),
            _ => None,
        };
        if let Some((name, value)) = further {
            response.headers_mut().insert(name, header::HeaderValue::from_static(value));
        }
        response
    }
}

/// Answer to every other path.
pub(super) async fn no_such_route(uri: Uri) -> ApiError {
    ApiError::NotFound { error: format!("there is no {}", uri.path()), hint: "all routes are listed at /" }
}
