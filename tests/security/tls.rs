//! HTTPS and client certificates, against real handshakes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anchorwatch::api::{Surface, Tls};
use anchorwatch::config::{self, Client, Http, TokenScope};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::TcpStream;

use crate::fixtures::{Served, token_of, tokens};

/// An authority that signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate with its key, as PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn sign(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).expect("signed").pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("a writable folder");
    path
}

fn settings(folder: &Path, server: &Identity, clients: Option<&Authority>) -> Http {
    let client = |name: &str| Client { name: name.to_owned(), scopes: BTreeSet::from([TokenScope::Read]) };
    let tls = config::Tls {
        certificate_file: write(folder, "certificate.pem", &server.certificate),
        key_file: write(folder, "key.pem", &server.key),
        client_ca_file: clients.map(|authority| write(folder, "clients.pem", &authority.pem)),
        clients: clients.map(|_| vec![client("dashboards.example")]).unwrap_or_default(),
    };
    Http { tls: Some(tls), tokens: tokens(), ..Http::default() }
}

fn client(authority: &Authority, identity: Option<&Identity>) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(authority.pem.as_bytes()).expect("a certificate");
    let builder = reqwest::Client::builder().add_root_certificate(root).pool_max_idle_per_host(0);
    let builder = match identity {
        Some(one) => builder.identity(
            reqwest::Identity::from_pkcs8_pem(one.certificate.as_bytes(), one.key.as_bytes())
                .expect("an identity"),
        ),
        None => builder,
    };
    builder.build().expect("a client")
}

async fn status(
    client: &reqwest::Client,
    served: &Served,
    token: Option<&str>,
) -> Result<u16, reqwest::Error> {
    let request = client.get(format!("https://localhost:{}/api/v1/models", served.address.port()));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    Ok(request.send().await?.status().as_u16())
}

#[tokio::test]
async fn answers_come_over_tls_and_a_reload_takes_new_certificates_up() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("servers"));
    let settings = settings(folder.path(), &authority.sign("localhost"), None);
    let tls = Tls::new(settings.tls.clone().expect("tls")).expect("certificates");
    let served = Served::with(settings, Surface::All, Some(tls.clone())).await;
    let read = token_of(TokenScope::Read);
    let known = client(&authority, None);
    assert_eq!(status(&known, &served, Some(&read)).await.expect("an answer"), 200);
    assert_eq!(status(&known, &served, None).await.expect("an answer"), 401);
    assert!(reqwest::get(served.url("/livez")).await.is_err(), "nothing in clear text");

    let other = Authority::new("new servers");
    let fresh = other.sign("localhost");
    write(folder.path(), "certificate.pem", &fresh.certificate);
    let error = tls.reload().expect_err("half of a new pair").to_string();
    assert!(error.contains("key.pem"), "{error}");
    assert_eq!(status(&known, &served, Some(&read)).await.expect("the old pair still serves"), 200);
    write(folder.path(), "key.pem", &fresh.key);
    tls.reload().expect("a new pair");
    assert!(status(&known, &served, Some(&read)).await.is_err(), "the old authority did not sign this");
    assert_eq!(status(&client(&other, None), &served, Some(&read)).await.expect("an answer"), 200);
    served.stop().await;
}

#[tokio::test]
async fn a_client_is_known_by_a_name_of_its_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let served =
        Served::start(settings(folder.path(), &servers.sign("localhost"), Some(&clients)), Surface::All)
            .await;
    let of = async |identity: Option<&Identity>, token: Option<&str>| {
        status(&client(&servers, identity), &served, token).await
    };
    let (listed, unlisted) = (clients.sign("dashboards.example"), clients.sign("stranger.example"));
    let forged = Authority::new("clients").sign("dashboards.example");
    assert_eq!(of(Some(&listed), None).await.expect("an answer"), 200);
    assert_eq!(of(Some(&unlisted), None).await.expect("an answer"), 401);
    assert!(of(Some(&forged), None).await.is_err(), "signed by somebody else: no handshake");
    assert_eq!(of(None, None).await.expect("an answer"), 401);
    assert_eq!(of(None, Some(&token_of(TokenScope::Read))).await.expect("an answer"), 200);
    assert_eq!(
        of(Some(&listed), Some("wrong")).await.expect("an answer"),
        401,
        "a wrong token is not overlooked"
    );
}

#[tokio::test]
async fn a_stalled_handshake_keeps_nobody_waiting() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("servers"));
    let served =
        Served::start(settings(folder.path(), &authority.sign("localhost"), None), Surface::All).await;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        stalled.push(TcpStream::connect(served.address).await.expect("connects"));
    }
    let read = token_of(TokenScope::Read);
    assert_eq!(status(&client(&authority, None), &served, Some(&read)).await.expect("an answer"), 200);
    drop(stalled);
}

#[tokio::test]
async fn versions_before_1_2_are_refused() {
    use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("servers"));
    let served =
        Served::start(settings(folder.path(), &authority.sign("localhost"), None), Surface::All).await;
    let address = served.address;
    let shakes = move |version| {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("a client");
        builder.set_verify(SslVerifyMode::NONE);
        // The client is as lax as can be, so that it is the server that refuses.
        builder.set_cipher_list("ALL:@SECLEVEL=0").expect("ciphers");
        builder.set_min_proto_version(None).expect("any");
        builder.set_max_proto_version(Some(version)).expect("a version");
        let stream = std::net::TcpStream::connect(address).expect("connects");
        builder.build().connect("localhost", stream).is_ok()
    };
    let asked = tokio::task::spawn_blocking(move || {
        [SslVersion::TLS1, SslVersion::TLS1_1, SslVersion::TLS1_2, SslVersion::TLS1_3].map(shakes)
    });
    assert_eq!(asked.await.expect("ends"), [false, false, true, true]);
}
