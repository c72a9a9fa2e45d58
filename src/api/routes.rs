//! The list of routes: path, handler and answer of each stand in one place, from which the router and the OpenAPI
//! document are both made.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get};
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use super::auth::{Gate, Rule, admit};
use super::handlers::{self as answer, VersionDetail};
use super::query::Page;
use super::{ApiState, Readiness, Scope, Surface};
use crate::view::{AlertView, ModelView, ReferenceView, SCRAPE_CONTENT_TYPE, StatusView, WindowView};

/// How a route is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Changes nothing.
    Get,
    /// Gives an order; its body is described in the OpenAPI document.
    Post,
}

/// One route of the API.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Path, with its parameters in braces.
    pub path: &'static str,
    /// One line for the page and the OpenAPI document.
    pub summary: &'static str,
    /// Query parameters.
    pub query: &'static [&'static str],
    /// Content type of a good answer.
    pub content_type: &'static str,
    /// What a caller needs.
    pub scope: Scope,
    /// How it is asked.
    pub method: Method,
    /// Body of an order.
    pub(super) request: Option<fn(&mut SchemaGenerator) -> Schema>,
    pub(super) schema: fn(&mut SchemaGenerator) -> Schema,
    pub(super) handler: fn() -> MethodRouter<ApiState>,
}

const JSON: &str = "application/json";
const PAGE: &[&str] = &["limit", "offset"];

/// Every route there is.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/",
        summary: "A page for people: links, models, alerts.",
        query: &[],
        content_type: "text/html; charset=utf-8",
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<String>,
        handler: || get(answer::page),
    },
    Route {
        path: "/metrics",
        summary: "Metrics in the Prometheus text format 0.0.4.",
        query: &[],
        content_type: SCRAPE_CONTENT_TYPE,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<String>,
        handler: || get(answer::metrics),
    },
    Route {
        path: "/livez",
        summary: "Whether the process works: 200, or 503 with the reasons.",
        query: &[],
        content_type: JSON,
        scope: Scope::Open,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<Readiness>,
        handler: || get(answer::livez),
    },
    Route {
        path: "/readyz",
        summary: "Whether events are read and judged: 200, or 503 with the reasons.",
        query: &[],
        content_type: JSON,
        scope: Scope::Open,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<Readiness>,
        handler: || get(answer::readyz),
    },
    Route {
        path: "/api/v1/openapi.json",
        summary: "This API as an OpenAPI 3.1 document.",
        query: &[],
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<Value>,
        handler: || get(answer::openapi),
    },
    Route {
        path: "/api/v1/models",
        summary: "Registered models with their versions.",
        query: PAGE,
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<Page<ModelView>>,
        handler: || get(answer::models),
    },
    Route {
        path: "/api/v1/models/{model}/versions/{version}",
        summary: "One model version with its latest windows and alerts.",
        query: &[],
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<VersionDetail>,
        handler: || get(answer::version),
    },
    Route {
        path: "/api/v1/references",
        summary: "References, without their counts.",
        query: PAGE,
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<Page<ReferenceView>>,
        handler: || get(answer::references),
    },
    Route {
        path: "/api/v1/references/{id}",
        summary: "One reference, by its content address or an unambiguous beginning of it.",
        query: &[],
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<ReferenceView>,
        handler: || get(answer::reference),
    },
    Route {
        path: "/api/v1/windows",
        summary: "Latest judged window of each subject and horizon, with its verdicts. An empty segment is the whole.",
        query: &["model", "version", "segment", "horizon", "limit", "offset"],
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<Page<WindowView>>,
        handler: || get(answer::windows),
    },
    Route {
        path: "/api/v1/alerts",
        summary: "Alerts, by state: pending, firing or resolved.",
        query: &["state", "model", "limit", "offset"],
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<Page<AlertView>>,
        handler: || get(answer::alerts),
    },
    Route {
        path: "/api/v1/status",
        summary: "The conservation law, positions and lag, watermark, queues, outbox.",
        query: &[],
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<StatusView>,
        handler: || get(answer::status),
    },
];

/// The routes of a listener, each behind the layer that enforces its scope.
pub(super) fn router(gate: &Gate, surface: Surface, loopback: bool) -> Router<ApiState> {
    let shown = ROUTES.iter().filter(|route| surface != Surface::Metrics || route.is_of_metrics());
    shown.fold(Router::new(), |router, route| {
        let open = route.path == METRICS && surface != Surface::Api && gate.metrics_are_open();
        let needs = if open { Scope::Open } else { route.scope };
        let rule = Rule { gate: gate.clone(), scope: route.scope, needs, loopback };
        router.route(route.path, (route.handler)().layer(from_fn_with_state(rule, admit)))
    })
}

const METRICS: &str = "/metrics";

impl Route {
    /// Whether it is served where only metrics and health are.
    fn is_of_metrics(&self) -> bool {
        self.path == METRICS || self.scope == Scope::Open
    }
}
