//! The list of routes: path, handler and answer of each stand in one place, from which the router and the OpenAPI
//! document are both made.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};
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

/// A route that shows a `T` to whoever may read.
const fn reads<T: JsonSchema>(
    path: &'static str,
    summary: &'static str,
    handler: fn() -> MethodRouter<ApiState>,
) -> Route {
    Route {
        path,
        summary,
        query: &[],
        content_type: JSON,
        scope: Scope::Read,
        method: Method::Get,
        request: None,
        schema: SchemaGenerator::subschema_for::<T>,
        handler,
    }
}

/// A route that takes an order `O` and answers with a `T`.
const fn orders<O: JsonSchema, T: JsonSchema>(
    scope: Scope,
    path: &'static str,
    summary: &'static str,
    handler: fn() -> MethodRouter<ApiState>,
) -> Route {
    Route {
        scope,
        method: Method::Post,
        request: Some(SchemaGenerator::subschema_for::<O>),
        ..reads::<T>(path, summary, handler)
    }
}

/// Every route there is.
pub const ROUTES: &[Route] = &[
    Route {
        content_type: "text/html; charset=utf-8",
        ..reads::<String>("/", "A page for people: links, models, alerts.", || get(answer::page))
    },
    Route {
        content_type: SCRAPE_CONTENT_TYPE,
        ..reads::<String>("/metrics", "Metrics in the Prometheus text format 0.0.4.", || get(answer::metrics))
    },
    Route {
        scope: Scope::Open,
        ..reads::<Readiness>("/livez", "Whether the process works: 200, or 503 with the reasons.", || {
            get(answer::livez)
        })
    },
    Route {
        scope: Scope::Open,
        ..reads::<Readiness>(
            "/readyz",
            "Whether events are read and judged: 200, or 503 with the reasons.",
            || get(answer::readyz),
        )
    },
    reads::<Value>("/api/v1/openapi.json", "This API as an OpenAPI 3.1 document.", || get(answer::openapi)),
    Route {
        query: PAGE,
        ..reads::<Page<ModelView>>("/api/v1/models", "Registered models with their versions.", || {
            get(answer::models)
        })
    },
    reads::<VersionDetail>(
        "/api/v1/models/{model}/versions/{version}",
        "One model version with its latest windows and alerts.",
        || get(answer::version),
    ),
    Route {
        query: PAGE,
        ..reads::<Page<ReferenceView>>("/api/v1/references", "References, without their counts.", || {
            get(answer::references)
        })
    },
    reads::<ReferenceView>(
        "/api/v1/references/{id}",
        "One reference, by its content address or an unambiguous beginning of it.",
        || get(answer::reference),
    ),
    Route {
        query: &["model", "version", "segment", "horizon", "limit", "offset"],
        ..reads::<Page<WindowView>>(
            "/api/v1/windows",
            "Latest judged window of each subject and horizon, with its verdicts. An empty segment is the whole.",
            || get(answer::windows),
        )
    },
    Route {
        query: &["state", "model", "limit", "offset"],
        ..reads::<Page<AlertView>>(
            "/api/v1/alerts",
            "Alerts, by state: pending, firing, acknowledged, insufficient, no_data or resolved.",
            || get(answer::alerts),
        )
    },
    orders::<AcknowledgeRequest, Value>(
        Scope::Silence,
        "/api/v1/alerts/acknowledge",
        "Takes the episode of an alert group on: it is not repeated until it resolves.",
        || post(alerts::acknowledge),
    ),
    Route {
        query: PAGE,
        ..reads::<Page<SilenceView>>("/api/v1/silences", "Silences, the newest first.", || {
            get(alerts::silences)
        })
    },
    orders::<SilenceRequest, Value>(
        Scope::Silence,
        "/api/v1/silences",
        "Creates a silence: alerts that fit are not told until it ends.",
        || post(alerts::silence),
    ),
    orders::<Nothing, Value>(Scope::Silence, "/api/v1/silences/{id}/expire", "Ends a silence now.", || {
        post(alerts::expire)
    }),
    reads::<ActionsView>(
        "/api/v1/actions",
        "Actions: requests, what a guard holds, and whether they are suspended.",
        || get(actions::list),
    ),
    reads::<ActionView>("/api/v1/actions/{key}", "One request of an action with its evidence.", || {
        get(actions::show)
    }),
    orders::<Approval, Value>(
        Scope::Approve,
        "/api/v1/actions/{key}/approve",
        "Lets a waiting request go; every guard is asked once more.",
        || post(actions::approve),
    ),
    orders::<Reason, Value>(
        Scope::Approve,
        "/api/v1/actions/{key}/refuse",
        "Says no to a waiting request.",
        || post(actions::refuse),
    ),
    orders::<Report, Value>(
        Scope::Approve,
        "/api/v1/actions/{key}/outcome",
        "Says what became of a request: for the automation itself, or for a person who looked.",
        || post(actions::outcome),
    ),
    orders::<Reason, Value>(
        Scope::Approve,
        "/api/v1/actions/suspend",
        "Nothing is started or sent from now on.",
        || post(actions::suspend),
    ),
    orders::<Nothing, Value>(Scope::Approve, "/api/v1/actions/resume", "Lets actions go on.", || {
        post(actions::resume)
    }),
    Route {
        query: &["state", "target", "limit", "before"],
        ..reads::<OutboxPage>(
            "/api/v1/outbox",
            "Deliveries, newest first, and how every target is doing.",
            || get(outbox::list),
        )
    },
    reads::<DeliveryDetail>("/api/v1/outbox/{number}", "One delivery with what it says.", || {
        get(outbox::show)
    }),
    orders::<RetryBody, OutboxChanged>(
        Scope::Silence,
        "/api/v1/outbox/retry",
        "Sends notifications again that were given up: some, or all of a target.",
        || post(outbox::retry),
    ),
    Route {
        request: None,
        ..orders::<Nothing, OutboxChanged>(
            Scope::Silence,
            "/api/v1/outbox/{number}/drop",
            "Drops a delivery that waits or was given up.",
            || post(outbox::drop_one),
        )
    },
    orders::<SettleBody, OutboxChanged>(
        Scope::Approve,
        "/api/v1/outbox/{number}/settle",
        "Says whether an action was taken whose outcome is unknown; its request follows.",
        || post(outbox::settle),
    ),
    reads::<StatusView>(
        "/api/v1/status",
        "The conservation law, positions and lag, watermark, queues, outbox.",
        || get(answer::status),
    ),
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
