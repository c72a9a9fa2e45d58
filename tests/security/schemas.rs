//! The client of schema registries: over TLS, known by a token or a password, and never to anybody else.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anchorwatch::api::{Doors, Tls, serve_at};
use anchorwatch::config::{self, SchemaRegistry, SecretSource, Span};
use anchorwatch::source::{SchemaClient, SchemaClientError, SchemaLookupError};
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;
use tokio::sync::watch;

use crate::tls::{Authority, Identity, write};

const TOKEN: &str = "a token that only the registry may see";
const SCHEMA: &str = r#"{"type": "record", "name": "E", "fields": [{"name": "model", "type": "string"}]}"#;

/// A registry behind TLS that knows one schema and who may ask for it.
struct Registry {
    port: u16,
    /// What each request said of who it is from.
    seen: Arc<Mutex<Vec<String>>>,
    _shutdown: watch::Sender<bool>,
}

impl Registry {
    async fn start(folder: &Path, identity: &Identity) -> Self {
        let tls = Tls::new(config::Tls {
            certificate_file: write(folder, "registry.pem", &identity.certificate),
            key_file: write(folder, "registry.key", &identity.key),
            client_ca_file: None,
            clients: Vec::new(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let (port, seen) = (address.port(), Arc::<Mutex<Vec<String>>>::default());
        let noted = Arc::clone(&seen);
        let answer = move |headers: HeaderMap, path: axum::extract::Path<u32>| {
            let from = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            let from = from.unwrap_or_default().to_owned();
            noted.lock().expect("free").push(from.clone());
            std::future::ready(reply(&from, path.0, port))
        };
        let router = Router::new().route("/schemas/ids/{id}", get(answer));
        let (shutdown, asked) = watch::channel(false);
        tokio::spawn(serve_at(Doors::new(listener, Some(tls.expect("certificates")), 10), router, asked));
        Self { port, seen, _shutdown: shutdown }
    }

    fn take_seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().expect("free"))
    }
}

fn reply(from: &str, id: u32, port: u16) -> Response {
    // `me:and my password`, as RFC 7617 writes it.
    let known = [format!("Bearer {TOKEN}"), "Basic bWU6YW5kIG15IHBhc3N3b3Jk".to_owned()];
    match id {
        _ if !known.iter().any(|known| known == from) => StatusCode::UNAUTHORIZED.into_response(),
        7 => axum::Json(json!({"schema": SCHEMA})).into_response(),
        8 => {
            let elsewhere = format!("https://127.0.0.1:{port}/schemas/ids/7");
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, elsewhere)]).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn asking(host: &str, port: u16) -> SchemaRegistry {
    SchemaRegistry {
        url: format!("https://{host}:{port}"),
        username: None,
        password: None,
        token: None,
        ca_file: None,
        wait: Span::from_mins(1),
    }
}

#[tokio::test]
async fn a_registry_behind_tls_is_asked_with_a_token_or_a_password_and_with_nothing_else() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("registries"));
    let registry = Registry::start(folder.path(), &authority.sign("localhost")).await;
    let ca_file = Some(write(folder.path(), "ca.pem", &authority.pem));
    let token = Some(SecretSource::File(write(folder.path(), "token", &format!("{TOKEN}\n"))));
    let trusting = SchemaRegistry { ca_file, ..asking("localhost", registry.port) };
    let known = SchemaRegistry { token: token.clone(), ..trusting.clone() };

    let client = SchemaClient::new(&known).expect("a client");
    assert!(!format!("{client:?}").contains(TOKEN), "the token shows");
    client.fetch(7).await.expect("the schema");
    assert!(matches!(client.fetch(9).await, Err(SchemaLookupError::Unusable(_))), "there is none");
    assert_eq!(registry.take_seen(), [format!("Bearer {TOKEN}"), format!("Bearer {TOKEN}")]);
    // Another address might be anybody's: nothing is asked there.
    let moved = client.fetch(8).await.expect_err("a redirect");
    assert_eq!(moved, SchemaLookupError::Unanswered("status 307".to_owned()));
    assert_eq!(registry.take_seen().len(), 1);

    let password = Some(SecretSource::File(write(folder.path(), "password", "and my password")));
    let by_name = SchemaRegistry { username: Some("me".to_owned()), password, ..trusting.clone() };
    SchemaClient::new(&by_name).expect("a client").fetch(7).await.expect("the schema");
    let stranger = SchemaClient::new(&trusting).expect("a client").fetch(7).await;
    let refused = SchemaLookupError::Unanswered("status 401".to_owned());
    assert_eq!(stranger.expect_err("nobody we know"), refused, "it may be told the token later");
}

#[tokio::test]
async fn a_registry_whose_certificate_does_not_hold_never_sees_the_token() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("registries"));
    let registry = Registry::start(folder.path(), &authority.sign("localhost")).await;
    let token = Some(SecretSource::File(write(folder.path(), "token", TOKEN)));
    let ca_file = Some(write(folder.path(), "ca.pem", &authority.pem));
    let other = Authority::new("somebody else");
    let others = Some(write(folder.path(), "other.pem", &other.pem));
    let cases = [
        ("localhost", None, "signed by nobody that the system trusts"),
        ("localhost", others, "signed by another authority"),
        ("127.0.0.1", ca_file, "for another name"),
    ];
    for (host, ca_file, why) in cases {
        let asked = SchemaRegistry { token: token.clone(), ca_file, ..asking(host, registry.port) };
        let answer = SchemaClient::new(&asked).expect("a client").fetch(7).await;
        assert!(matches!(answer, Err(SchemaLookupError::Unanswered(_))), "{why}: {answer:?}");
    }
    assert!(registry.take_seen().is_empty(), "it was asked");
}

#[test]
fn certificates_and_tokens_that_are_none_are_found_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let none = Some(write(folder.path(), "none.pem", "no certificate\n"));
    let asked = SchemaRegistry { ca_file: none, ..asking("localhost", 1) };
    let error = SchemaClient::new(&asked).expect_err("no certificate");
    assert!(matches!(error, SchemaClientError::NoCertificate), "{error}");
    let gone = folder.path().join("gone");
    let asked = SchemaRegistry { ca_file: Some(gone.clone()), ..asking("localhost", 1) };
    assert!(matches!(SchemaClient::new(&asked), Err(SchemaClientError::File(_))));
    let asked = SchemaRegistry { token: Some(SecretSource::File(gone)), ..asking("localhost", 1) };
    assert!(matches!(SchemaClient::new(&asked), Err(SchemaClientError::Secret(_))));
}
