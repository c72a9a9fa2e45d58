//! Who may pass: tokens and client certificates against the scope of a route, browsers against being used by strangers.
//!
//! A token is known by the SHA-256 of its 256 random bits; every entry is compared, each in constant time. A token that
//! is right always passes. Of wrong ones, an address is told so [`MOST_FAILURES`] times a minute; after that it only
//! hears that it is to wait, and nothing is logged for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::doors::Peer;
use super::handlers::now;
use super::{ApiError, Caller, Scope};
use crate::config::{Http, TokenScope, TokensError};
use crate::subject::Millis;

/// Wrong attempts of one address in a minute that are answered as such.
pub const MOST_FAILURES: u32 = 10;
const FAILURES_FORGOTTEN_AFTER: Millis = 60_000;
/// Addresses whose failures are remembered; above it the one that failed longest ago is forgotten.
const MOST_ADDRESSES: usize = 1_024;
/// Longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 512;

/// Told of every request that is turned away.
pub trait ApiObserver: Send + Sync {
    /// A request, or a connection, was refused; `reason` is one of [`REFUSALS`].
    fn refused(&self, reason: &'static str);
    /// A handler panicked; whoever asked gets an error, and everybody else goes on.
    fn panicked(&self) {}
}

/// Reasons to turn a request away.
pub const REFUSALS: [&str; 7] = [
    "unauthorized",
    "forbidden",
    "throttled",
    "foreign_origin",
    "foreign_host",
    "content_type",
    "connections",
];

/// Nobody watches.
struct Unobserved;

impl ApiObserver for Unobserved {
    fn refused(&self, _: &'static str) {}
}

/// Somebody who may ask, and for what.
struct Grant {
    name: String,
    scopes: Vec<Scope>,
}

/// Everybody who may ask.
#[derive(Default)]
struct Grants {
    asked: bool,
    tokens: Vec<([u8; 32], Grant)>,
    clients: Vec<Grant>,
}

/// What guards the routes; cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    settings: Http,
    grants: RwLock<Arc<Grants>>,
    failures: Mutex<HashMap<IpAddr, (u32, Millis)>>,
    observer: Box<dyn ApiObserver>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Inner {
            settings: Http::default(),
            grants: RwLock::default(),
            failures: Mutex::default(),
            observer: Box::new(Unobserved),
        }))
    }
}

impl From<TokenScope> for Scope {
    fn from(scope: TokenScope) -> Self {
        match scope {
            TokenScope::Read => Self::Read,
            TokenScope::Silence => Self::Silence,
            TokenScope::Approve => Self::Approve,
            TokenScope::Admin => Self::Admin,
        }
    }
}

impl Gate {
    /// A gate as configured.
    ///
    /// # Errors
    /// When the tokens cannot be read.
    pub fn new(settings: Http, observer: impl ApiObserver + 'static) -> Result<Self, TokensError> {
        let grants = RwLock::new(Arc::new(grants(&settings)?));
        Ok(Self(Arc::new(Inner {
            settings,
            grants,
            failures: Mutex::default(),
            observer: Box::new(observer),
        })))
    }

    /// Reads the file of tokens again; what was revoked no longer passes.
    ///
    /// # Errors
    /// When the file cannot be used; the tokens of before stay.
    pub fn reload(&self) -> Result<usize, TokensError> {
        let fresh = grants(&self.0.settings)?;
        let count = fresh.tokens.len();
        *self.0.grants.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(count)
    }

    pub(super) fn panicked(&self) {
        self.0.observer.panicked();
    }

    pub(super) fn metrics_are_open(&self) -> bool {
        !self.0.settings.metrics_token
    }

    fn refuse(&self, reason: &'static str, error: ApiError) -> ApiError {
        self.0.observer.refused(reason);
        error
    }

    /// Who asks, if the route's scope allows it.
    fn caller(&self, scope: Scope, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Caller, ApiError> {
        let grants = Arc::clone(&self.0.grants.read().unwrap_or_else(PoisonError::into_inner));
        if !grants.asked || scope == Scope::Open {
            return Ok(Caller { name: "local".to_owned() });
        }
        let token = bearer(headers);
        let known = match token {
            Some(token) => grants.token(token),
            None => peer.and_then(|peer| grants.client(&peer.names)),
        };
        match known {
            Some(grant) if grant.scopes.contains(&scope) => Ok(Caller { name: grant.name.clone() }),
            Some(grant) => Err(self.refuse("forbidden", forbidden(grant, scope))),
            None => Err(self.stranger(token.is_some(), peer)),
        }
    }

    fn stranger(&self, with_token: bool, peer: Option<&Peer>) -> ApiError {
        let failures = peer.map_or(1, |peer| self.failed(network(peer.address.ip()), now()));
        if failures > MOST_FAILURES {
            return self.refuse(
                "throttled",
                ApiError::Throttled {
                    error: "too many attempts from this address".to_owned(),
                    hint: "wait a minute; a token that is right passes at any time",
                },
            );
        }
        let address = peer.map(|peer| peer.address.ip().to_string()).unwrap_or_default();
        tracing::warn!(address, with_token, failures, "a request without a valid token or certificate");
        let error = match (with_token, peer.is_some_and(|peer| !peer.names.is_empty())) {
            (true, _) => "this token is not known",
            (false, true) => "no name of this certificate is in http.tls.clients",
            (false, false) => "this needs a token",
        };
        self.refuse(
            "unauthorized",
            ApiError::Unauthorized {
                error: error.to_owned(),
                hint: "send `Authorization: Bearer TOKEN`; `anchorwatch token new` makes a token",
            },
        )
    }

    /// Counts a failure; gives how many there were within the last minute.
    fn failed(&self, address: IpAddr, now: Millis) -> u32 {
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MOST_ADDRESSES && !failures.contains_key(&address) {
            let oldest = failures.iter().min_by_key(|(_, (_, since))| *since).map(|(address, _)| *address);
            oldest.map(|oldest| failures.remove(&oldest));
        }
        let (count, since) = failures.entry(address).or_insert((0, now));
        if now - *since >= FAILURES_FORGOTTEN_AFTER {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
        *count
    }
}

impl Grants {
    /// Whose token this is. All entries are compared, so that the time taken tells nothing.
    fn token(&self, token: &str) -> Option<&Grant> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        self.tokens.iter().fold(
            None,
            |found, (known, grant)| {
                if bool::from(known.ct_eq(&digest)) { Some(grant) } else { found }
            },
        )
    }

    fn client(&self, names: &[String]) -> Option<&Grant> {
        self.clients.iter().find(|grant| names.contains(&grant.name))
    }
}

fn grants(settings: &Http) -> Result<Grants, TokensError> {
    let scopes =
        |scopes: &std::collections::BTreeSet<TokenScope>| scopes.iter().map(|one| (*one).into()).collect();
    let tokens = settings.read_tokens()?.into_iter();
    let clients = settings.tls.iter().flat_map(|tls| &tls.clients);
    Ok(Grants {
        asked: settings.authenticates(),
        tokens: tokens
            .filter_map(|one| Some((one.digest()?, Grant { scopes: scopes(&one.scopes), name: one.name })))
            .collect(),
        clients: clients.map(|one| Grant { name: one.name.clone(), scopes: scopes(&one.scopes) }).collect(),
    })
}

fn forbidden(grant: &Grant, scope: Scope) -> ApiError {
    let name = &grant.name;
    ApiError::Forbidden {
        error: format!("`{name}` lacks the scope `{}`", scope.as_str()),
        hint: "each scope stands for itself: give it to the token in http.tokens, or ask with another token",
    }
}

/// The token of the request; a header that is none counts as a wrong token.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
        _ => Some(""),
    }
}

/// What failures are counted by: an address, of IPv6 the network that one household gets.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (u128::MAX << 64)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// What one route asks of a request.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) gate: Gate,
    /// The route's own scope.
    pub(super) scope: Scope,
    /// What the caller needs; differs only for metrics that are open.
    pub(super) needs: Scope,
    /// Whether the listener is on loopback, where only loopback's own names can be right.
    pub(super) loopback: bool,
}

/// The one layer before every handler.
pub(super) async fn admit(State(rule): State<Rule>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|ConnectInfo(peer)| peer.clone());
    let passed = rule.not_a_browser_misled(request.method(), request.headers());
    match passed.and_then(|()| rule.gate.caller(rule.needs, request.headers(), peer.as_ref())) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

impl Rule {
    /// A page of strangers can make a browser send requests: to a name that leads to loopback, or forms of its own.
    fn not_a_browser_misled(&self, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let host = text(header::HOST);
        if self.scope != Scope::Open && host.is_some_and(|host| !self.is_ours(host)) {
            return Err(self.gate.refuse(
                "foreign_host",
                ApiError::Forbidden {
                    error: "the daemon is not known by this name (Host)".to_owned(),
                    hint: "ask for it by 127.0.0.1 or localhost, or add the name to http.hosts",
                },
            ));
        }
        if matches!(*method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        let foreign = |origin: &str| {
            let origin = origin.split_once("://").map_or(origin, |(_, host)| host);
            host.is_none_or(|host| !host.eq_ignore_ascii_case(origin))
        };
        let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
        if text(header::ORIGIN).is_some_and(foreign) || matches!(site, Some("cross-site" | "same-site")) {
            return Err(self.gate.refuse(
                "foreign_origin",
                ApiError::Forbidden {
                    error: "a page of another origin asked for this".to_owned(),
                    hint: "orders come from the daemon's own page, the command line or a program",
                },
            ));
        }
        let json = |kind: &str| {
            kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        };
        if !text(header::CONTENT_TYPE).is_some_and(json) {
            return Err(self.gate.refuse(
                "content_type",
                ApiError::UnsupportedMediaType {
                    error: "the body is not said to be JSON".to_owned(),
                    hint: "send `Content-Type: application/json`",
                },
            ));
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        let hosts = &self.gate.0.settings.hosts;
        if !self.loopback && hosts.is_empty() {
            return true;
        }
        let name = name_of(host);
        let is_loopback = || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
        name.eq_ignore_ascii_case("localhost")
            || is_loopback()
            || hosts.iter().any(|known| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host))
    }
}

/// The name in `name:port` and `[v6]:port`.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

/// What every answer tells browsers: nothing of it is to be kept, framed, or run.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    const HEADERS: [(&str, &str); 6] = [
        (
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_address_and_forgotten_after_a_minute() {
        let gate = Gate::default();
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        for count in 1..=20 {
            assert_eq!(gate.failed(address(1), 0), count);
        }
        assert_eq!(gate.failed(address(2), 0), 1);
        assert_eq!(gate.failed(address(1), FAILURES_FORGOTTEN_AFTER), 1);
    }

    #[test]
    fn the_table_of_failures_is_bounded() {
        let gate = Gate::default();
        for i in 0..5_000_u32 {
            gate.failed(IpAddr::from(i.to_be_bytes()), i.into());
        }
        assert_eq!(gate.0.failures.lock().expect("free").len(), MOST_ADDRESSES);
    }

    #[test]
    fn hosts_are_read_with_and_without_ports() {
        for (host, name) in [
            ("localhost:9464", "localhost"),
            ("[::1]:9464", "::1"),
            ("a.b", "a.b"),
            ("127.0.0.1:1", "127.0.0.1"),
        ] {
            assert_eq!(name_of(host), name);
        }
    }
}
