//! Every route with every token, without one and with a wrong one.

use std::fs;

use anchorwatch::api::{MOST_FAILURES, Method, ROUTES, Route, Scope, Surface};
use anchorwatch::config::{Http, TokenScope};

use crate::fixtures::{Served, token, token_of, tokens};

fn http() -> Http {
    Http { tokens: tokens(), metrics_token: true, ..Http::default() }
}

async fn ask(served: &Served, path: &str, token: Option<&str>) -> reqwest::Response {
    send(reqwest::Client::new().get(served.url(path)), token).await
}

/// The request that a route takes, with an order that says nothing.
async fn ask_route(served: &Served, route: &Route, path: &str, token: Option<&str>) -> reqwest::Response {
    let client = reqwest::Client::new();
    let request = match route.method {
        Method::Get => client.get(served.url(path)),
        Method::Post => client.post(served.url(path)).json(&serde_json::json!({})),
    };
    send(request, token).await
}

async fn send(request: reqwest::RequestBuilder, token: Option<&str>) -> reqwest::Response {
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    request.send().await.expect("an answer")
}

fn is_of(scope: Scope, token: TokenScope) -> bool {
    Scope::from(token) == scope
}

#[tokio::test]
async fn every_route_asks_for_its_own_scope() {
    let served = Served::start(http(), Surface::All).await;
    for route in ROUTES {
        let path = route.path.replace(['{', '}'], "");
        for token in [None, Some("wrong"), Some("")] {
            let answer = ask_route(&served, route, &path, token).await;
            if route.scope == Scope::Open {
                assert!([200, 503].contains(&answer.status().as_u16()), "{path}: {}", answer.status());
                continue;
            }
            // A wrong token is told so a few times a minute, and then to wait: it never passes.
            assert!([401, 429].contains(&answer.status().as_u16()), "{path}: {}", answer.status());
            let body: serde_json::Value = answer.json().await.expect("JSON");
            assert!(body["hint"].as_str().is_some_and(|hint| hint.len() > 10), "{path}: {body}");
        }
        for scope in TokenScope::ALL {
            let status = ask_route(&served, route, &path, Some(&token_of(scope))).await.status().as_u16();
            let allowed = route.scope == Scope::Open || is_of(route.scope, scope);
            assert_eq!(status == 403, !allowed, "{path} with {}: {status}", scope.as_str());
            assert!(status != 401 && status != 429, "{path}: a right token passes at any time");
        }
    }
}

#[tokio::test]
async fn without_tokens_everybody_on_loopback_may_ask() {
    let served = Served::start(Http::default(), Surface::All).await;
    assert_eq!(ask(&served, "/api/v1/models", None).await.status(), 200);
}

#[tokio::test]
async fn metrics_are_open_on_their_own_listener_and_elsewhere_if_so_configured() {
    let open = Http { tokens: tokens(), ..Http::default() };
    for (settings, surface, status) in [
        (open.clone(), Surface::Metrics, 200),
        (open.clone(), Surface::All, 200),
        (open, Surface::Api, 401),
        (http(), Surface::Metrics, 401),
        (http(), Surface::All, 401),
    ] {
        let served = Served::start(settings, surface).await;
        assert_eq!(ask(&served, "/metrics", None).await.status(), status, "{surface:?}");
        assert_eq!(ask(&served, "/metrics", Some(&token_of(TokenScope::Read))).await.status(), 200);
    }
}

#[tokio::test]
async fn the_listener_of_metrics_shows_nothing_else() {
    let served = Served::start(http(), Surface::Metrics).await;
    for route in ROUTES.iter().filter(|route| route.path != "/metrics" && route.scope != Scope::Open) {
        let path = route.path.replace(['{', '}'], "");
        let status = ask_route(&served, route, &path, Some(&token_of(TokenScope::Admin))).await.status();
        assert_eq!(status, 404, "{path}");
    }
    assert_ne!(ask(&served, "/livez", None).await.status(), 404);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_counted_without_hurting_others() {
    let served = Served::start(http(), Surface::All).await;
    let mut statuses = Vec::new();
    for guess in 0..MOST_FAILURES + 5 {
        statuses
            .push(ask(&served, "/api/v1/models", Some(&format!("guess-{guess}"))).await.status().as_u16());
    }
    let (told, throttled) = statuses.split_at(MOST_FAILURES as usize);
    assert!(
        told.iter().all(|status| *status == 401) && throttled.iter().all(|status| *status == 429),
        "{statuses:?}"
    );
    assert_eq!((served.refused("unauthorized"), served.refused("throttled")), (MOST_FAILURES as usize, 5));
    let right = ask(&served, "/api/v1/models", Some(&token_of(TokenScope::Read))).await;
    assert_eq!(right.status(), 200);
    served.stop().await;
}

#[tokio::test]
async fn the_file_of_tokens_is_read_again_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tokens.yaml");
    let write = |name: &str, text: &str| {
        let entry = token(name, text, &[TokenScope::Read]);
        fs::write(&file, serde_json::to_string(&[entry]).expect("JSON is YAML")).expect("writable");
    };
    write("first", "one");
    let settings = Http { tokens_file: Some(file.clone()), ..Http::default() };
    let served = Served::start(settings, Surface::All).await;
    let status = async |token| ask(&served, "/api/v1/models", Some(token)).await.status().as_u16();
    assert_eq!((status("one").await, status("two").await), (200, 401));
    write("second", "two");
    served.gate.reload().expect("a good file");
    assert_eq!((status("one").await, status("two").await), (401, 200), "revoked, granted");
    fs::write(&file, "- {name: x, sha256: s3cr3t, scopes: [read]}").expect("writable");
    let error = served.gate.reload().expect_err("no hash").to_string();
    assert!(error.contains("`x`") && !error.contains("s3cr3t"), "{error}");
    assert_eq!(status("two").await, 200);
}
