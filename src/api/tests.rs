//! Every route over a real listener: empty, filled, and asked wrongly.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{
    ApiState, Asking, Health, Method, OutboxDesk, OutboxError, ROUTES, STUCK_AFTER, openapi_document, router,
    serve,
};
use crate::action::RequestState;
use crate::alert::{ActionKind, AlertKind, Severity};
use crate::engine::CommandError;
use crate::view::{
    ActionView, ActionsView, AlertState, AlertView, Board, DeliveryDetail, DeliveryView, EventCount,
    LawCounters, Level, ModelView, OutboxChanged, OutboxOrder, OutboxPage, OutboxQuery, ReferenceView,
    Scrape, ScrapeError, Stage, StatusView, TargetView, VersionView, WindowView,
};

struct NoMetrics;

impl Scrape for NoMetrics {
    fn scrape(&self) -> Result<String, ScrapeError> {
        Ok("# HELP anchorwatch_x X.\n".to_owned())
    }
}

/// An outbox with one delivery, number 7.
struct OneDelivery;

impl OutboxDesk for OneDelivery {
    fn list(&self, query: OutboxQuery) -> Asking<'_, OutboxPage> {
        Box::pin(async move {
            if query.state.as_deref().is_some_and(|state| state != "dead") {
                return Err(OutboxError::Refused(CommandError::Invalid("no such state".to_owned())));
            }
            let items = vec![DeliveryView { id: 7, ..DeliveryView::default() }];
            Ok(OutboxPage { targets: vec![TargetView::default()], items, next_before: None })
        })
    }

    fn show(&self, id: i64) -> Asking<'_, Option<DeliveryDetail>> {
        let delivery = DeliveryView { id, ..DeliveryView::default() };
        let found = (id == 7).then_some(DeliveryDetail { delivery, payload: None });
        Box::pin(async move { Ok(found) })
    }

    fn order(&self, order: OutboxOrder, by: String) -> Asking<'_, OutboxChanged> {
        Box::pin(async move {
            match order {
                OutboxOrder::Retry { ids } => Ok(OutboxChanged { changed: ids, state: by, left: 0 }),
                _ => Err(OutboxError::Refused(CommandError::Conflict("it is being sent".to_owned()))),
            }
        })
    }
}

struct Served {
    address: SocketAddr,
    board: Arc<Board>,
    health: Health,
    shutdown: watch::Sender<bool>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn served() -> Served {
    let board = Arc::new(Board::default());
    let state = ApiState::new(Arc::clone(&board), Arc::new(NoMetrics)).with_outbox(Arc::new(OneDelivery));
    let health = state.health();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("address");
    let (shutdown, asked) = watch::channel(false);
    let server = tokio::spawn(serve(listener, router(state), asked));
    Served { address, board, health, shutdown, server }
}

impl Served {
    async fn get(&self, path: &str) -> (u16, String, String) {
        let response = reqwest::get(format!("http://{}{path}", self.address)).await.expect("an answer");
        let content_type = response.headers()["content-type"].to_str().expect("text").to_owned();
        (response.status().as_u16(), content_type, response.text().await.expect("a body"))
    }

    async fn json(&self, path: &str) -> (u16, Value) {
        let (status, content_type, body) = self.get(path).await;
        assert_eq!(content_type, "application/json", "{path}");
        (status, serde_json::from_str(&body).expect("JSON"))
    }
}

impl Served {
    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let asked = reqwest::Client::new().post(format!("http://{}{path}", self.address)).json(&body);
        let response = asked.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }
}

#[tokio::test]
async fn orders_about_deliveries_are_passed_on_with_the_name_of_who_gives_them() {
    let served = served().await;
    let (status, body) = served.post("/api/v1/outbox/retry", json!({"ids": [3, 4]})).await;
    assert_eq!((status, &body["changed"], &body["state"]), (200, &json!([3, 4]), &json!("local")));
    let (status, body) = served.post("/api/v1/outbox/7/drop", Value::Null).await;
    assert_eq!((status, &body["error"]), (409, &json!("it is being sent")));
    for empty in [json!({}), json!({"ids": [1], "target": "slack"})] {
        assert_eq!(served.post("/api/v1/outbox/retry", empty).await.0, 400);
    }
    assert_eq!(served.json("/api/v1/outbox/8").await.0, 404);
    assert_eq!(served.json("/api/v1/outbox?state=waiting").await.0, 400);
}

fn window(model: &str, segment: Option<&str>, horizon: &str) -> WindowView {
    WindowView {
        model: model.into(),
        version: "1.0.0".into(),
        segment: segment.map(Into::into),
        horizon: horizon.into(),
        rows: 500,
        level: Level::Drift,
        ..WindowView::default()
    }
}

fn alert(model: &str, state: AlertState) -> AlertView {
    AlertView {
        group: "g".into(),
        model: model.into(),
        version: "1.0.0".into(),
        segment: None,
        column: "age".into(),
        detector: "ks".into(),
        kind: AlertKind::Drift,
        severity: Severity::Warning,
        state,
        horizon: "1h".into(),
        since: 1,
        changed_at: 2,
        statistic: 0.3,
        threshold: 0.1,
        reference: "abc".into(),
        moved: Vec::new(),
        explained: None,
        labels: Default::default(),
        suppressed_by: None,
        acknowledged_by: None,
        comment: None,
        runbook: None,
    }
}

fn fill(board: &Board) {
    board.publish(window("fraud", None, "1h"));
    board.publish(window("fraud", None, "24h"));
    board.publish(window("fraud", Some("DE"), "1h"));
    board.publish(window("<b>", None, "1h"));
    board.set_alerts(vec![alert("fraud", AlertState::Firing), alert("<b>", AlertState::Pending)]);
    let version = VersionView {
        version: "1.0.0".into(),
        stage: Stage::Production,
        reference: Some("abcdef0123456789".into()),
        references: vec!["abcdef0123456789".into()],
    };
    let action = ActionView {
        key: "k1".into(),
        action: "retrain".into(),
        kind: ActionKind::Retrain,
        model: "fraud".into(),
        version: "1.0.0".into(),
        to_version: None,
        state: RequestState::Sent,
        detail: "the target took it".into(),
        decided_at: 1,
        approve_until: None,
        approvals: 1,
        approved_by: Vec::new(),
        because: "drift".into(),
        group: "g".into(),
        findings: Vec::new(),
    };
    board.set_actions(ActionsView { items: vec![action], ..ActionsView::default() });
    board.set_models(vec![ModelView { model: "fraud".into(), versions: vec![version] }]);
    let reference =
        |id: &str| ReferenceView { id: id.into(), model: "fraud".into(), ..ReferenceView::default() };
    board.set_references(vec![reference("abcdef0123456789"), reference("abcdef01ffffffff")]);
    board.set_status(StatusView {
        law: LawCounters { read: 4, counted: 4, ..LawCounters::default() },
        events: vec![EventCount {
            model: "fraud".into(),
            version: "1.0.0".into(),
            events: 4,
            out_of_order: 2,
            newest: Some(60_500),
        }],
        ..StatusView::default()
    });
}

#[tokio::test]
async fn every_list_is_empty_before_anything_happened() {
    let served = served().await;
    for path in ["models", "references", "windows", "alerts"] {
        let (status, body) = served.json(&format!("/api/v1/{path}")).await;
        assert_eq!(
            (status, &body["items"], &body["total"]),
            (200, &Value::Array(vec![]), &0.into()),
            "{path}"
        );
    }
    let (status, body) = served.json("/api/v1/status").await;
    assert_eq!((status, &body["law"]["read"]), (200, &0.into()));
    let (status, _, page) = served.get("/").await;
    assert!(status == 200 && page.contains("No window was judged yet"), "{page}");
}

#[tokio::test]
async fn windows_are_filtered_by_each_part_of_their_name() {
    let served = served().await;
    fill(&served.board);
    let total = async |query: &str| served.json(&format!("/api/v1/windows{query}")).await.1["total"].clone();
    assert_eq!(total("").await, 4);
    assert_eq!(total("?model=fraud").await, 3);
    assert_eq!(total("?model=fraud&segment=").await, 2);
    assert_eq!(total("?segment=DE&horizon=1h&version=1.0.0").await, 1);
    assert_eq!(total("?version=9.9.9").await, 0);
    let (_, body) = served.json("/api/v1/windows?model=fraud&horizon=1h&segment=").await;
    assert_eq!(body["items"][0]["level"], "drift");
}

#[tokio::test]
async fn a_later_window_takes_the_place_of_the_last_one() {
    let served = served().await;
    served.board.publish(window("fraud", None, "1h"));
    served.board.publish(WindowView { rows: 7, ..window("fraud", None, "1h") });
    let (_, body) = served.json("/api/v1/windows").await;
    assert_eq!((&body["total"], &body["items"][0]["rows"]), (&1.into(), &7.into()));
    served.board.remove_version("fraud", "1.0.0");
    assert_eq!(served.json("/api/v1/windows").await.1["total"], 0);
}

#[tokio::test]
async fn alerts_are_filtered_by_state_and_a_wrong_state_is_named() {
    let served = served().await;
    fill(&served.board);
    let (_, body) = served.json("/api/v1/alerts?state=firing").await;
    assert_eq!((&body["total"], &body["items"][0]["model"]), (&1.into(), &"fraud".into()));
    let (status, body) = served.json("/api/v1/alerts?state=fire").await;
    assert_eq!(status, 400);
    let known = "pending, firing, acknowledged, insufficient, no_data or resolved";
    assert_eq!(body["error"], format!("`fire` is not an alert state: expected {known}"));
}

#[tokio::test]
async fn one_version_shows_all_that_is_known_about_it() {
    let served = served().await;
    fill(&served.board);
    let (status, body) = served.json("/api/v1/models/fraud/versions/1.0.0").await;
    assert_eq!((status, &body["stage"], &body["events"]), (200, &"production".into(), &4.into()));
    assert_eq!(body["windows"].as_array().map(Vec::len), Some(3));
    assert_eq!(body["alerts"].as_array().map(Vec::len), Some(1));
    for path in ["nobody/versions/1.0.0", "fraud/versions/9.9.9"] {
        let (status, body) = served.json(&format!("/api/v1/models/{path}")).await;
        assert!(
            status == 404 && body["hint"].as_str().is_some_and(|hint| hint.contains("/api/v1/models")),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_reference_is_found_by_an_unambiguous_beginning() {
    let served = served().await;
    fill(&served.board);
    let of = async |id: &str| served.json(&format!("/api/v1/references/{id}")).await;
    assert_eq!(of("abcdef0123456789").await.0, 200);
    assert_eq!(of("abcdef0123").await.1["id"], "abcdef0123456789");
    assert_eq!(of("abcdef01").await.0, 400);
    assert_eq!(of("abc").await.0, 404);
    assert_eq!(of("00000000").await.0, 404);
}

#[tokio::test]
async fn pages_are_bounded_and_wrong_parameters_are_refused() {
    let served = served().await;
    fill(&served.board);
    let (_, first) = served.json("/api/v1/windows?limit=3").await;
    assert_eq!((first["items"].as_array().map(Vec::len), &first["next_offset"]), (Some(3), &3.into()));
    let (_, last) = served.json("/api/v1/windows?limit=3&offset=3").await;
    assert_eq!((last["items"].as_array().map(Vec::len), &last["next_offset"]), (Some(1), &Value::Null));
    let (status, beyond) = served.json("/api/v1/windows?offset=18446744073709551615").await;
    assert_eq!((status, &beyond["total"]), (200, &4.into()));
    for query in ["limit=0", "limit=1001", "limit=-1", "limit=many", "modl=fraud"] {
        let (status, body) = served.json(&format!("/api/v1/windows?{query}")).await;
        assert!(status == 400 && body["error"].is_string() && body["hint"].is_string(), "{query}: {body}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_a_clear_404() {
    let served = served().await;
    let (status, body) = served.json("/api/v2/models").await;
    assert_eq!((status, &body["error"]), (404, &"there is no /api/v2/models".into()));
}

#[tokio::test]
async fn metrics_have_the_exact_content_type() {
    let served = served().await;
    let (status, content_type, body) = served.get("/metrics").await;
    assert_eq!((status, content_type.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
    assert!(body.starts_with("# HELP"));
}

#[tokio::test]
async fn readiness_says_why_not() {
    let served = served().await;
    let (status, body) = served.json("/readyz").await;
    assert_eq!((status, &body["reasons"][0]), (503, &"the engine has not begun yet".into()));
    assert_eq!(served.json("/livez").await.0, 200);
    served.health.tick(chrono::DateTime::<chrono::Utc>::MAX_UTC.timestamp_millis());
    served.health.source(true, &["predictoins".to_owned()]);
    let (status, body) = served.json("/readyz").await;
    assert!(
        status == 503 && body["reasons"][0].as_str().is_some_and(|why| why.contains("predictoins")),
        "{body}"
    );
    served.health.source(true, &[]);
    assert_eq!(served.json("/readyz").await.0, 200);
    served.health.tick(0);
    assert_eq!(served.json("/livez").await.0, 503);
}

#[test]
fn silence_of_the_engine_is_noticed_after_a_while() {
    let health = Health::default();
    assert!(health.liveness(1 << 40).ok, "it has not begun");
    health.tick(1_000);
    assert!(health.liveness(1_000 + STUCK_AFTER).ok);
    assert!(!health.liveness(1_001 + STUCK_AFTER).ok);
}

#[tokio::test]
async fn the_page_shows_names_as_text_not_as_markup() {
    let served = served().await;
    fill(&served.board);
    let (_, content_type, page) = served.get("/").await;
    assert_eq!(content_type, "text/html; charset=utf-8");
    assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"), "{page}");
    assert!(page.contains("1h: drift, 24h: drift") && page.contains("<td>firing</td>"), "{page}");
}

#[tokio::test]
async fn the_openapi_document_lists_every_route_and_every_answer_follows_it() {
    let served = served().await;
    fill(&served.board);
    served.health.tick(chrono::DateTime::<chrono::Utc>::MAX_UTC.timestamp_millis());
    served.health.source(true, &[]);
    let (_, document) = served.json("/api/v1/openapi.json").await;
    assert_eq!(document, openapi_document());
    let listed: BTreeSet<_> =
        document["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    assert_eq!(listed, ROUTES.iter().map(|route| route.path).collect());
    for route in ROUTES.iter().filter(|route| route.method == Method::Get) {
        let path =
            route.path.replace("{model}", "fraud").replace("{version}", "1.0.0").replace("{key}", "k1");
        let path = path.replace("{number}", "7");
        let (status, content_type, body) = served.get(&path.replace("{id}", "abcdef0123456789")).await;
        assert_eq!((status, content_type.as_str()), (200, route.content_type), "{path}");
        if content_type != "application/json" {
            continue;
        }
        let mut schema = document.pointer(&format!(
            "/paths/{}/get/responses/200/content/application~1json/schema",
            route.path.replace('/', "~1")
        ));
        let mut schema = schema.take().expect("a schema").clone();
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("components".into(), document["components"].clone());
        }
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let errors: Vec<String> = jsonschema::validator_for(&schema)
            .expect("a schema")
            .iter_errors(&body)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{path}");
    }
}

#[tokio::test]
async fn it_stops_when_it_is_asked_to() {
    let served = served().await;
    served.shutdown.send_replace(true);
    assert!(served.server.await.expect("ends").is_ok());
}
