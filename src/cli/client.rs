//! The commands that speak to a running daemon do it over its API, with the caller's token.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;
use url::Url;

/// Longest wait for an answer; an order is answered once it is durable.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the daemon is, and who asks.
#[derive(Debug, Clone, Args)]
pub struct ClientArgs {
    /// Address of the daemon's API.
    #[arg(long, env = "ANCHORWATCH_URL", default_value = "http://127.0.0.1:9464")]
    url: Url,
    /// File with the bearer token, if the API asks for one.
    #[arg(long, env = "ANCHORWATCH_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// File with the certificate (PEM) of the authority that signed the daemon's, if the system does not know it.
    #[arg(long, env = "ANCHORWATCH_CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// A client of a running daemon.
#[derive(Debug)]
pub struct Client {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

/// Whether nobody listens there at all.
#[must_use]
pub fn is_unreachable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect))
}

impl ClientArgs {
    /// A client as asked for.
    ///
    /// # Errors
    /// When a file cannot be read or https cannot be set up.
    pub fn client(&self) -> anyhow::Result<Client> {
        let token = self.token_file.as_ref().map(|path| {
            let text = std::fs::read_to_string(path);
            text.map(|text| text.trim().to_owned())
                .with_context(|| format!("cannot read the token in {}", path.display()))
        });
        let mut http =
            reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &self.ca_file {
            let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let certificate = reqwest::Certificate::from_pem(&pem)
                .with_context(|| format!("{} is no PEM certificate", path.display()))?;
            http = http.add_root_certificate(certificate);
        }
        Ok(Client {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            http: http.build().context("cannot set up https")?,
            base: self.url.clone(),
            token: token.transpose()?,
        })
    }
}

impl Client {
    /// The answer to a question, `/api/v1/…`.
    ///
    /// # Errors
    /// When the daemon cannot be reached or refuses; what it says is passed on.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.send(self.http.get(self.address(path)?).query(query))
    }

    /// The answer to an order.
    ///
    /// # Errors
    /// As of [`Client::get`].
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(self.http.post(self.address(path)?).json(body))
    }

    fn address(&self, path: &str) -> anyhow::Result<Url> {
        self.base.join(path).with_context(|| format!("{} is no base of an address", self.base))
    }

    fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        self.runtime.block_on(async {
            let answer = request.send().await.with_context(|| {
                format!("no answer from {}: is the daemon running there? (--url names another)", self.base)
            })?;
            let status = answer.status();
            let body: Value = answer.json().await.unwrap_or_default();
            if status.is_success() {
                return Ok(body);
            }
            let said = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            bail!("{status}: {} ({})", said("error"), said("hint"))
        })
    }
}
