//! The listeners of metrics, health, API and page: bound before anything else, opened last, reloaded on SIGHUP.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::api::{self, ApiState, Doors, Gate, Surface, Tls};
use crate::config::Http;
use crate::telemetry::Metrics;

use super::vital::Vital;

/// Listeners that have their ports, but do not answer yet.
#[derive(Debug)]
pub(super) struct Listeners {
    gate: Gate,
    tls: Option<Tls>,
    max_connections: usize,
    observer: Observer,
    bound: Vec<(TcpListener, Surface)>,
    /// Address of metrics and health.
    pub(super) address: SocketAddr,
    /// Address of the API and the page.
    pub(super) api: SocketAddr,
}

/// What is read again on SIGHUP.
#[derive(Debug, Clone)]
pub(super) struct Reload {
    gate: Gate,
    tls: Option<Tls>,
}

impl Listeners {
    /// Takes the ports and reads certificates and tokens.
    pub(super) fn bind(http: &Http, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let (first, address) = listener(http.listen, "http.listen")?;
        let mut bound = vec![(first, if http.api.is_some() { Surface::Metrics } else { Surface::All })];
        let mut api = address;
        if let Some(asked) = &http.api {
            let (second, address) = listener(asked.listen, "http.api.listen")?;
            bound.push((second, Surface::Api));
            api = address;
        }
        let observer = Observer(metrics);
        let gate = Gate::new(http.clone(), observer.clone()).context("http.tokens")?;
        let tls = http.tls.clone().map(Tls::new).transpose()?;
        Ok(Self { gate, tls, max_connections: http.max_connections, observer, bound, address, api })
    }

    /// What the routes are guarded by.
    pub(super) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// Begins to answer.
    pub(super) fn open(
        self,
        state: &ApiState,
        shut: &watch::Receiver<bool>,
        (runtime, vital): (&Runtime, &Vital),
    ) -> anyhow::Result<Reload> {
        let _guard = runtime.enter();
        for (listener, surface) in self.bound {
            let loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
            let listener = tokio::net::TcpListener::from_std(listener).context("a listener of http")?;
            let doors = Doors::new(listener, self.tls.clone(), self.max_connections)
                .observed(Arc::new(self.observer.clone()));
            let router = api::router_of(state.clone(), surface, loopback);
            let served = api::serve_at(doors, router, shut.clone());
            runtime.spawn(vital.keep("a listener of http", served));
        }
        Ok(Reload { gate: self.gate, tls: self.tls })
    }
}

impl Reload {
    /// Reads tokens and certificates again. What cannot be used is said, and that of before stays.
    pub(super) fn reload(&self) {
        match self.gate.reload() {
            Ok(tokens) => tracing::info!(tokens, "tokens were read again"),
            Err(error) => tracing::error!(%error, "the tokens of before stay"),
        }
        match self.tls.as_ref().map(Tls::reload) {
            Some(Ok(())) => tracing::info!("certificates were read again; connections to come use them"),
            Some(Err(error)) => tracing::error!(%error, "the certificates of before stay"),
            None => {}
        }
    }
}

fn listener(address: SocketAddr, field: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!("cannot listen on {address}: another process has the port; set {field} to a free one")
    })?;
    listener.set_nonblocking(true).with_context(|| format!("the listener of {field}"))?;
    let address = listener.local_addr().with_context(|| format!("the listener of {field}"))?;
    Ok((listener, address))
}

/// Counts what is turned away.
#[derive(Debug, Clone)]
struct Observer(Arc<Metrics>);

impl api::ApiObserver for Observer {
    fn refused(&self, reason: &'static str) {
        self.0.request_refused(reason);
    }

    fn panicked(&self) {
        self.0.handler_panicked();
    }
}
