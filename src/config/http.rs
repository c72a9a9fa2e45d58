//! Listeners of metrics, health and API: where they are, who may ask, and how they are protected.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;

/// Listeners of metrics, health and API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port of metrics and health, and of the API and the page unless `http.api` names another.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Allow `http.listen` to be an address that others can reach although it is not protected: behind a proxy that is.
    pub insecure_allow_remote: bool,
    /// A listener of its own for the API and the page.
    pub api: Option<ApiListener>,
    /// HTTPS, for all listeners.
    pub tls: Option<Tls>,
    /// Who may ask the API, and for what. Without tokens and clients, everybody who reaches a loopback listener may.
    pub tokens: Vec<Token>,
    /// File with more such entries, a list as in `http.tokens`; read again on SIGHUP.
    pub tokens_file: Option<PathBuf>,
    /// Whether `/metrics` asks for a token of scope `read` too.
    pub metrics_token: bool,
    /// Names under which a proxy or a browser may ask for the daemon (`Host`), besides loopback's own. Given any, others are refused.
    pub hosts: Vec<String>,
    /// Most connections of one listener; further ones wait to be accepted.
    #[schemars(range(min = 1, max = 65_536))]
    pub max_connections: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
            insecure_allow_remote: false,
            api: None,
            tls: None,
            tokens: Vec::new(),
            tokens_file: None,
            metrics_token: false,
            hosts: Vec::new(),
            max_connections: 256,
        }
    }
}

/// A listener of its own for the API and the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiListener {
    /// Address and port.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Allow an address that others can reach although it is not protected: behind a proxy that is.
    #[serde(default)]
    pub insecure_allow_remote: bool,
}

/// HTTPS. The files are read again on SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The daemon's certificate with those of the authorities between, as PEM.
    pub certificate_file: PathBuf,
    /// Its private key, as PEM.
    pub key_file: PathBuf,
    /// Certificates (PEM) of the authorities whose clients are trusted. Needed by `http.tls.clients`.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
    /// Clients that may ask with a certificate instead of a token.
    #[serde(default)]
    pub clients: Vec<Client>,
}

/// A client known by its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// A subject alternative name of its certificate: DNS name, URI or mail address. Also its name in the audit trail.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What it may do; each scope stands for itself.
    #[schemars(length(min = 1))]
    pub scopes: BTreeSet<TokenScope>,
}

/// A bearer token, known by its hash only. `anchorwatch token new` makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is: the name in the audit trail.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// SHA-256 of the token, as 64 hexadecimal digits.
    pub sha256: String,
    /// What it allows; each scope stands for itself.
    #[schemars(length(min = 1))]
    pub scopes: BTreeSet<TokenScope>,
}

impl Token {
    /// The hash as bytes; `None` if it is none.
    #[must_use]
    pub fn digest(&self) -> Option<[u8; 32]> {
        let hex = self.sha256.as_bytes();
        let mut digest = [0; 32];
        if hex.len() != 64 {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
            let digits = std::str::from_utf8(pair).ok().filter(|_| pair.iter().all(u8::is_ascii_hexdigit))?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(digest)
    }
}

/// What a token or client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// See models, windows, alerts, metrics.
    Read,
    /// Acknowledge and silence alerts, retry deliveries.
    Silence,
    /// Approve and suspend actions.
    Approve,
    /// Everything else that changes the daemon.
    Admin,
}

impl TokenScope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Read, Self::Silence, Self::Approve, Self::Admin];

    /// Name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Silence => "silence",
            Self::Approve => "approve",
            Self::Admin => "admin",
        }
    }
}

/// Largest file of tokens.
const MAX_TOKENS_FILE: u64 = 1 << 20;

/// Why the tokens cannot be had. Nothing of what stands in the file is repeated.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The file cannot be read.
    #[error("the file {path} cannot be read ({source})")]
    Unreadable {
        /// File of `http.tokens_file`.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a list of tokens.
    #[error(
        "the file {0} is not a list of {{name, sha256, scopes}}: `anchorwatch token new` prints such entries"
    )]
    Malformed(PathBuf),
    /// An entry cannot be used.
    #[error("{0}")]
    Entry(String),
}

impl Http {
    /// Whether anybody is asked who they are.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        !self.tokens.is_empty()
            || self.tokens_file.is_some()
            || self.tls.as_ref().is_some_and(|tls| !tls.clients.is_empty())
    }

    /// All tokens: those of the configuration and those of the file as it is now.
    ///
    /// # Errors
    /// When the file cannot be used, or an entry of either is not usable.
    pub fn read_tokens(&self) -> Result<Vec<Token>, TokensError> {
        let mut all = self.tokens.clone();
        if let Some(path) = &self.tokens_file {
            all.extend(tokens_of(path)?);
        }
        let mut names = BTreeSet::new();
        for token in &all {
            if token.digest().is_none() {
                return Err(TokensError::Entry(format!(
                    "the sha256 of token `{}` is not 64 hexadecimal digits",
                    token.name
                )));
            }
            if !names.insert(&token.name) {
                return Err(TokensError::Entry(format!("two tokens are named `{}`", token.name)));
            }
        }
        Ok(all)
    }
}

fn tokens_of(path: &Path) -> Result<Vec<Token>, TokensError> {
    let failed = |source| TokensError::Unreadable { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_TOKENS_FILE {
        return Err(TokensError::Malformed(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    serde_saphyr::from_str(&text).map_err(|_| TokensError::Malformed(path.to_owned()))
}

/// Problems of meaning of this section.
pub(super) fn problems(http: &Http, found: &mut Vec<Problem>) {
    if let Err(error) = http.read_tokens() {
        let path = if matches!(error, TokensError::Entry(_)) { "http.tokens" } else { "http.tokens_file" };
        found.push(Problem::at(path, error.to_string()));
    }
    if let Some(tls) = &http.tls {
        tls_problems(tls, found);
    }
    let metrics_asks = http.metrics_token && http.authenticates();
    // `/metrics` names models and segments, and is open unless a token is asked for.
    let protected = metrics_asks;
    reachable("http.listen", http.listen, http.insecure_allow_remote, (http.tls.is_some(), protected), found);
    if let Some(api) = &http.api {
        let protected = (http.tls.is_some(), http.authenticates());
        reachable("http.api.listen", api.listen, api.insecure_allow_remote, protected, found);
        if api.listen == http.listen && api.listen.port() != 0 {
            let what = format!("`{}` is also http.listen", api.listen);
            found.push(Problem::at("http.api.listen", what).expected("another port, or no `http.api`"));
        }
    }
    if http.metrics_token && !http.authenticates() {
        let problem = Problem::at("http.metrics_token", "there is no token to ask for");
        found.push(problem.expected("`http.tokens`, `http.tokens_file` or `http.tls.clients`"));
    }
}

fn tls_problems(tls: &Tls, found: &mut Vec<Problem>) {
    let files = [
        ("certificate_file", Some(&tls.certificate_file)),
        ("key_file", Some(&tls.key_file)),
        ("client_ca_file", tls.client_ca_file.as_ref()),
    ];
    for (field, path) in files {
        if let Some(path) = path
            && let Err(error) = std::fs::read(path)
        {
            let what = format!("the file {} cannot be read ({error})", path.display());
            found.push(Problem::at(format!("http.tls.{field}"), what));
        }
    }
    if tls.client_ca_file.is_some() == tls.clients.is_empty() {
        let problem = Problem::at("http.tls", "`clients` and `client_ca_file` need each other");
        found.push(problem.expected("both, or neither"));
    }
}

/// A listener that others can reach is protected, or somebody has said that it need not be.
fn reachable(
    path: &str,
    address: SocketAddr,
    allowed: bool,
    (tls, asks): (bool, bool),
    found: &mut Vec<Problem>,
) {
    if address.ip().is_loopback() || allowed || (tls && asks) {
        return;
    }
    let lacks = match (tls, asks) {
        (true, false) if path == "http.listen" => "`/metrics` does not ask who they are",
        (true, false) => "nobody is asked who they are",
        (false, true) => "tokens would be sent in clear text",
        _ => "there is neither encryption nor authentication",
    };
    let section = path.trim_end_matches("listen");
    let metrics = if path == "http.listen" { " and `http.metrics_token: true`" } else { "" };
    let expected = format!(
        "a loopback address such as `127.0.0.1:9464`; `http.tls` with `http.tokens` or `http.tls.clients`{metrics}; \
         or `{section}insecure_allow_remote: true` behind a proxy that protects it"
    );
    found.push(
        Problem::at(path, format!("`{address}` can be reached by others, and {lacks}")).expected(expected),
    );
}
