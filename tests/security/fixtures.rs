//! A daemon's HTTP side without a daemon: the real router and doors on a free port of loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anchorwatch::api::{ApiObserver, ApiState, Doors, Gate, Patience, Surface, Tls, router_of, serve_at};
use anchorwatch::config::{Http, Token, TokenScope};
use anchorwatch::view::{Board, Scrape, ScrapeError};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

/// The token of a scope in [`tokens`].
pub(crate) fn token_of(scope: TokenScope) -> String {
    format!("anchorwatch_{}_token", scope.as_str())
}

/// One token per scope.
pub(crate) fn tokens() -> Vec<Token> {
    TokenScope::ALL.map(|scope| token(scope.as_str(), &token_of(scope), &[scope])).to_vec()
}

pub(crate) fn token(name: &str, token: &str, scopes: &[TokenScope]) -> Token {
    let digest = Sha256::digest(token);
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Token { name: name.to_owned(), sha256, scopes: scopes.iter().copied().collect() }
}

struct NoMetrics;

impl Scrape for NoMetrics {
    fn scrape(&self) -> Result<String, ScrapeError> {
        Ok("# HELP anchorwatch_x X.\n".to_owned())
    }
}

/// Counts of what was turned away, by reason.
#[derive(Clone, Default)]
pub(crate) struct Refused(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl ApiObserver for Refused {
    fn refused(&self, reason: &'static str) {
        *self.0.lock().expect("free").entry(reason).or_default() += 1;
    }
}

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) gate: Gate,
    refused: Refused,
    shutdown: watch::Sender<bool>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Served {
    /// Serves as configured, on a free port.
    pub(crate) async fn start(settings: Http, surface: Surface) -> Self {
        let tls = settings.tls.clone().map(|tls| Tls::new(tls).expect("certificates"));
        Self::with(settings, surface, tls).await
    }

    pub(crate) async fn with(settings: Http, surface: Surface, tls: Option<Tls>) -> Self {
        Self::open(settings, surface, tls, Patience::default()).await
    }

    pub(crate) async fn open(settings: Http, surface: Surface, tls: Option<Tls>, patience: Patience) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("address");
        let (refused, most) = (Refused::default(), settings.max_connections);
        let gate = Gate::new(settings, refused.clone()).expect("tokens");
        let state = ApiState::new(Arc::new(Board::default()), Arc::new(NoMetrics)).with_gate(gate.clone());
        let (shutdown, asked) = watch::channel(false);
        let doors = Doors::new(listener, tls, most).with_patience(patience);
        let server = tokio::spawn(serve_at(doors, router_of(state, surface, true), asked));
        Self { address, gate, refused, shutdown, server }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn stop(self) {
        self.shutdown.send_replace(true);
        self.server.await.expect("ends").expect("in order");
    }

    pub(crate) fn refused(&self, reason: &str) -> usize {
        self.refused.0.lock().expect("free").get(reason).copied().unwrap_or(0)
    }
}
