//! What a page of strangers can make a browser do, and what an answer may be used for.

use anchorwatch::api::{ROUTES, Surface};
use anchorwatch::config::Http;

use crate::fixtures::Served;

async fn send(
    served: &Served,
    method: reqwest::Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, String) {
    let mut request = reqwest::Client::new().request(method, served.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

#[tokio::test]
async fn every_answer_forbids_frames_scripts_sniffing_and_caches() {
    let served = Served::start(Http::default(), Surface::All).await;
    let paths = ROUTES.iter().map(|route| route.path).chain(["/nothing-here"]);
    for path in paths.map(|path| path.replace(['{', '}'], "")) {
        let answer = reqwest::get(served.url(&path)).await.expect("an answer");
        let header =
            |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().expect("text"));
        assert!(header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("access-control-allow-origin"), "", "{path}: nobody else reads answers");
    }
}

/// A name that leads to 127.0.0.1 makes a browser think that the daemon is a site of strangers.
#[tokio::test]
async fn a_foreign_host_is_turned_away_on_loopback() {
    let served = Served::start(Http::default(), Surface::All).await;
    for (host, status) in [
        ("evil.example", 403),
        ("evil.example:9464", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost", 200),
        ("LocalHost:9464", 200),
        ("[::1]:9464", 200),
        ("127.0.0.2", 200),
    ] {
        let (found, body) = send(&served, reqwest::Method::GET, "/api/v1/models", &[("host", host)]).await;
        assert_eq!(found, status, "{host}: {body}");
    }
    assert_eq!(send(&served, reqwest::Method::GET, "/livez", &[("host", "evil.example")]).await.0, 200);
    assert_eq!(served.refused("foreign_host"), 3);
    let named = Http { hosts: vec!["monitor.example".to_owned()], ..Http::default() };
    let served = Served::start(named, Surface::All).await;
    let of = async |host| send(&served, reqwest::Method::GET, "/api/v1/models", &[("host", host)]).await.0;
    assert_eq!((of("monitor.example:443").await, of("evil.example").await), (200, 403));
}

#[tokio::test]
async fn orders_come_as_json_and_never_from_a_page_of_strangers() {
    let served = Served::start(Http::default(), Surface::All).await;
    let own = format!("http://{}", served.address);
    const JSON: (&str, &str) = ("content-type", "application/json");
    for (headers, turned_away) in [
        (vec![], true),
        (vec![("content-type", "text/plain")], true),
        (vec![("content-type", "application/x-www-form-urlencoded")], true),
        (vec![JSON, ("origin", "https://evil.example")], true),
        (vec![JSON, ("origin", "null")], true),
        (vec![JSON, ("sec-fetch-site", "cross-site")], true),
        (vec![JSON], false),
        (vec![("content-type", "application/json; charset=utf-8")], false),
        (vec![JSON, ("origin", &own)], false),
        (vec![JSON, ("sec-fetch-site", "same-origin")], false),
    ] {
        // A path that takes no orders: whoever is let in hears that.
        let (status, body) = send(&served, reqwest::Method::POST, "/api/v1/models", &headers).await;
        assert_eq!([403, 415].contains(&status), turned_away, "{headers:?}: {status} {body}");
        assert!(turned_away || status == 405, "{headers:?}: {status}");
    }
}

#[tokio::test]
async fn a_body_is_bounded() {
    let served = Served::start(Http::default(), Surface::All).await;
    for route in ROUTES {
        let path = route.path.replace(['{', '}'], "");
        let request =
            reqwest::Client::new().post(served.url(&path)).header("content-type", "application/json");
        let answer = request.body(vec![b' '; 1 << 20]).send().await;
        // Refused, or cut off while it still sends.
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status().is_client_error()), "{path}");
    }
}
