//! The list of routes: path, handler and answer of each stand in one place, from which the router and the OpenAPI
//! document are both made.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use super::actions::{self, Approval, Reason, Report};
use super::auth::{Gate, Rule, admit};
use super::handlers::{self as answer, VersionDetail};
use super::outbox::{self, RetryBody, SettleBody};
use super::query::Page;
use super::{AcknowledgeRequest, ApiState, Nothing, Readiness, Scope, SilenceRequest, Surface, alerts};
use crate::view::{
    ActionView, ActionsView, AlertView, DeliveryDetail, ModelView, OutboxChanged, OutboxPage, ReferenceView,
    SCRAPE_CONTENT_TYPE, SilenceView, StatusView, WindowView,
};

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
        summary: "Alerts, by state: pending, firing, acknowledged, insufficient, no_data or resolved.",
        query: &["state", "model", "limit", "offset"],
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<Page<AlertView>>,
        handler: || get(answer::alerts),
    },
    Route {
        path: "/api/v1/alerts/acknowledge",
        summary: "Takes the episode of an alert group on: it is not repeated until it resolves.",
        query: &[],
        content_type: JSON,
        scope: Scope::Silence,
        method: Method::Post,
        request: Some(SchemaGenerator::subschema_for::<AcknowledgeRequest>),
        schema: SchemaGenerator::subschema_for::<Value>,
        handler: || post(alerts::acknowledge),
    },
    Route {
        path: "/api/v1/silences",
        summary: "Silences, the newest first.",
        query: PAGE,
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<Page<SilenceView>>,
        handler: || get(alerts::silences),
    },
    Route {
        path: "/api/v1/silences",
        summary: "Creates a silence: alerts that fit are not told until it ends.",
        query: &[],
        content_type: JSON,
        scope: Scope::Silence,
        method: Method::Post,
        request: Some(SchemaGenerator::subschema_for::<SilenceRequest>),
        schema: SchemaGenerator::subschema_for::<Value>,
        handler: || post(alerts::silence),
    },
    Route {
        path: "/api/v1/silences/{id}/expire",
        summary: "Ends a silence now.",
        query: &[],
        content_type: JSON,
        scope: Scope::Silence,
        method: Method::Post,
        request: Some(SchemaGenerator::subschema_for::<Nothing>),
        schema: SchemaGenerator::subschema_for::<Value>,
        handler: || post(alerts::expire),
    },
    Route {
        path: "/api/v1/actions",
        summary: "Actions: requests, what a guard holds, and whether they are suspended.",
        query: &[],
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<ActionsView>,
        handler: || get(actions::list),
    },
    Route {
        path: "/api/v1/actions/{key}",
        summary: "One request of an action with its evidence.",
        query: &[],
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<ActionView>,
        handler: || get(actions::show),
    },
    Route {
        path: "/api/v1/actions/{key}/approve",
        summary: "Lets a waiting request go; every guard is asked once more.",
        query: &[],
        content_type: JSON,
        scope: Scope::Approve,
        method: Method::Post,
        request: Some(SchemaGenerator::subschema_for::<Approval>),
        schema: SchemaGenerator::subschema_for::<Value>,
        handler: || post(actions::approve),
    },
    Route {
        path: "/api/v1/actions/{key}/refuse",
        summary: "Says no to a waiting request.",
        query: &[],
        content_type: JSON,
        scope: Scope::Approve,
        method: Method::Post,
        request: Some(SchemaGenerator::subschema_for::<Reason>),
        schema: SchemaGenerator::subschema_for::<Value>,
        handler: || post(actions::refuse),
    },
    Route {
        path: "/api/v1/actions/{key}/outcome",
        summary: "Says what became of a request: for the automation itself, or for a person who looked.",
        query: &[],
        content_type: JSON,
        scope: Scope::Approve,
        method: Method::Post,
        request: Some(SchemaGenerator::subschema_for::<Report>),
        schema: SchemaGenerator::subschema_for::<Value>,
        handler: || post(actions::outcome),
    },
    Route {
        path: "/api/v1/actions/suspend",
        summary: "Nothing is started or sent from now on.",
        query: &[],
        content_type: JSON,
        scope: Scope::Approve,
        method: Method::Post,
        request: Some(SchemaGenerator::subschema_for::<Reason>),
        schema: SchemaGenerator::subschema_for::<Value>,
        handler: || post(actions::suspend),
    },
    Route {
        path: "/api/v1/actions/resume",
        summary: "Lets actions go on.",
        query: &[],
        content_type: JSON,
        scope: Scope::Approve,
        method: Method::Post,
        request: Some(SchemaGenerator::subschema_for::<Nothing>),
        schema: SchemaGenerator::subschema_for::<Value>,
        handler: || post(actions::resume),
    },
    Route {
        path: "/api/v1/outbox",
        summary: "Deliveries, newest first, and how every target is doing.",
        query: &["state", "target", "limit", "before"],
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<OutboxPage>,
        handler: || get(outbox::list),
    },
    Route {
        path: "/api/v1/outbox/{number}",
        summary: "One delivery with what it says.",
        query: &[],
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<DeliveryDetail>,
        handler: || get(outbox::show),
    },
    Route {
        path: "/api/v1/outbox/retry",
        summary: "Sends notifications again that were given up: some, or all of a target.",
        query: &[],
        content_type: JSON,
        scope: Scope::Silence,
        method: Method::Post,
        request: Some(SchemaGenerator::subschema_for::<RetryBody>),
        schema: SchemaGenerator::subschema_for::<OutboxChanged>,
        handler: || post(outbox::retry),
    },
    Route {
        path: "/api/v1/outbox/{number}/drop",
        summary: "Drops a delivery that waits or was given up.",
        query: &[],
        content_type: JSON,
        scope: Scope::Silence,
        method: Method::Post,
        request: None,
        schema: SchemaGenerator::subschema_for::<OutboxChanged>,
        handler: || post(outbox::drop_one),
    },
    Route {
        path: "/api/v1/outbox/{number}/settle",
        summary: "Says whether an action was taken whose outcome is unknown, and whether it is asked once more.",
        query: &[],
        content_type: JSON,
        scope: Scope::Approve,
        method: Method::Post,
        request: Some(SchemaGenerator::subschema_for::<SettleBody>),
        schema: SchemaGenerator::subschema_for::<OutboxChanged>,
        handler: || post(outbox::settle),
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
