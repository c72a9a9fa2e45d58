//! A client of schema registries: a schema by its number, with those that it refers to.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::{Certificate, Client, RequestBuilder, StatusCode, redirect};
use serde::Deserialize;
use url::Url;

use crate::config::{SchemaRegistry, Secret};
use crate::event::avro::{MAX_SCHEMA_BYTES, Schema};

const CONNECT: Duration = Duration::from_secs(3);
const TOTAL: Duration = Duration::from_secs(10);
/// Most bytes of an answer: a schema whose JSON is a text within JSON.
const MAX_ANSWER: usize = 2 * MAX_SCHEMA_BYTES;
/// Most schemas that one refers to, directly or not.
const MAX_REFERENCES: usize = 32;

/// Why a schema was not had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaLookupError {
    /// The registry has none with this number, or one that cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The registry did not say: to be asked again.
    #[error("the schema registry did not answer: {0}")]
    Unanswered(String),
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum SchemaClientError {
    /// The address is none.
    #[error("events.avro.registry.url is no address: {0}")]
    Url(#[from] url::ParseError),
    /// A secret cannot be read.
    #[error("events.avro.registry: {0}")]
    Secret(#[from] crate::config::SecretError),
    /// The certificates cannot be read.
    #[error("events.avro.registry.ca_file: {0}")]
    File(#[from] std::io::Error),
    /// Nobody would be trusted.
    #[error("events.avro.registry.ca_file: the file holds no certificate")]
    NoCertificate,
    /// A certificate cannot be used, or there is no encryption.
    #[error("events.avro.registry: {0}")]
    Client(#[from] reqwest::Error),
}

/// Asks a schema registry. The interface is that of Confluent's.
#[derive(Debug)]
pub struct SchemaClient {
    client: Client,
    base: Url,
    login: Option<(String, Secret)>,
    token: Option<Secret>,
}

/// What the registry says of a schema.
#[derive(Debug, Deserialize)]
struct Found {
    schema: String,
    /// Absent for Avro.
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

/// A schema that another refers to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
struct Reference {
    subject: String,
    version: i64,
}

impl SchemaClient {
    /// A client that follows no redirect, so that credentials stay with the registry.
    ///
    /// # Errors
    /// When a secret or certificate cannot be read.
    pub fn new(registry: &SchemaRegistry) -> Result<Self, SchemaClientError> {
        let mut builder = Client::builder()
            .user_agent(concat!("anchorwatch/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false);
        if let Some(file) = &registry.ca_file {
            let authorities = Certificate::from_pem_bundle(&std::fs::read(file)?)?;
            if authorities.is_empty() {
                return Err(SchemaClientError::NoCertificate);
            }
            builder = builder.tls_certs_only(authorities);
        }
        let login = match (&registry.username, &registry.password) {
            (Some(name), Some(password)) => Some((name.clone(), password.read()?)),
            _ => None,
        };
        let token = registry.token.as_ref().map(crate::config::SecretSource::read).transpose()?;
        Ok(Self { client: builder.build()?, base: Url::parse(&registry.url)?, login, token })
    }

    /// The schema with this number.
    ///
    /// # Errors
    /// When there is none, it cannot be used, or the registry does not answer.
    pub async fn fetch(&self, id: u32) -> Result<Schema, SchemaLookupError> {
        let found = self.get(&["schemas", "ids", &id.to_string()]).await?;
        let unusable = |what: String| SchemaLookupError::Unusable(format!("schema {id}: {what}"));
        if let Some(kind) = found.kind.filter(|kind| kind != "AVRO") {
            return Err(unusable(format!("it is {}, not Avro", kind.to_ascii_lowercase())));
        }
        let references = self.references(found.references).await?;
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        Schema::parse(&found.schema, &references).map_err(|error| unusable(error.to_string()))
    }

    /// Texts of all that is referred to, each behind those that it refers to itself.
    async fn references(&self, first: Vec<Reference>) -> Result<Vec<String>, SchemaLookupError> {
        /// What is left to do with a reference.
        enum Task {
            Fetch(Reference),
            Put(String),
        }
        let mut tasks: Vec<Task> = first.into_iter().rev().map(Task::Fetch).collect();
        let mut seen = HashSet::new();
        let mut texts = Vec::new();
        while let Some(task) = tasks.pop() {
            let reference = match task {
                Task::Fetch(reference) => reference,
                Task::Put(text) => {
                    texts.push(text);
                    continue;
                }
            };
            if !seen.insert(reference.clone()) {
                continue;
            }
            if seen.len() > MAX_REFERENCES {
                let what = format!("it refers to more than {MAX_REFERENCES} other schemas");
                return Err(SchemaLookupError::Unusable(what));
            }
            let version = reference.version.to_string();
            let found = self.get(&["subjects", &reference.subject, "versions", &version]).await?;
            tasks.push(Task::Put(found.schema));
            tasks.extend(found.references.into_iter().rev().map(Task::Fetch));
        }
        Ok(texts)
    }

    async fn get(&self, path: &[&str]) -> Result<Found, SchemaLookupError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let unanswered = |error: &reqwest::Error| SchemaLookupError::Unanswered(cause(error));
        let request = self.authorized(self.client.get(url));
        let request = request.header("accept", "application/vnd.schemaregistry.v1+json, application/json");
        let mut response = request.send().await.map_err(|error| unanswered(&error))?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            let what = format!("the schema registry has no {}", path.join("/"));
            return Err(SchemaLookupError::Unusable(what));
        }
        if !status.is_success() {
            return Err(SchemaLookupError::Unanswered(format!("status {}", status.as_u16())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                let what = format!("{} has more than {MAX_ANSWER} bytes", path.join("/"));
                return Err(SchemaLookupError::Unusable(what));
            }
            body.extend_from_slice(&chunk);
        }
        // A proxy's page is no answer of the registry.
        serde_json::from_slice(&body)
            .map_err(|error| SchemaLookupError::Unanswered(format!("not the JSON of a schema: {error}")))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match (&self.login, &self.token) {
            (_, Some(token)) => request.bearer_auth(token.expose()),
            (Some((name, password)), None) => request.basic_auth(name, Some(password.expose())),
            (None, None) => request,
        }
    }
}

/// The innermost cause says it best.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() { "timed out".to_owned() } else { cause.to_string() }
}
