//! Encoding of events, and where the schemas of Avro events are.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Events, Problem, SecretSource, Span};
use crate::event::avro::{MAX_SCHEMA_BYTES, Schema};

/// Encoding of the records' values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventFormat {
    /// One JSON object.
    #[default]
    Json,
    /// One Avro record with the same fields.
    Avro,
}

/// Where the schemas of Avro events are: in a file or in a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Avro {
    /// File with the schema (`.avsc`) of all events, which then are not framed.
    pub schema: Option<PathBuf>,
    /// Registry that has the schemas by their numbers, which then stand before each event.
    pub registry: Option<SchemaRegistry>,
}

/// A schema registry with the interface of Confluent's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaRegistry {
    /// Address, such as `https://registry:8081`.
    #[schemars(length(min = 1))]
    pub url: String,
    /// Name of the user.
    #[serde(default)]
    pub username: Option<String>,
    /// Password of the user.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// Bearer token, instead of name and password.
    #[serde(default)]
    pub token: Option<SecretSource>,
    /// Certificates (PEM) of the authority that signs the registry's; absent: those that the system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long all records wait for a schema while the registry does not answer. Then those that need it are refused.
    #[serde(default = "default_wait")]
    pub wait: Span,
}

fn default_wait() -> Span {
    Span::from_mins(5)
}

/// Longest wait: counting stands still so long.
const MAX_WAIT: Span = Span::from_hours(1);

impl Avro {
    /// Reads the file of the schema.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read_schema(path: &Path) -> Result<Schema, String> {
        let size = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
        if size > MAX_SCHEMA_BYTES as u64 {
            return Err(format!("the file {} has more than {MAX_SCHEMA_BYTES} bytes", path.display()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        Schema::parse(&text, &[]).map_err(|error| format!("the file {}: {error}", path.display()))
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("the file {} cannot be read ({error})", path.display())
}

/// Problems of meaning of this section.
pub(super) fn problems(events: &Events, found: &mut Vec<Problem>) {
    let is_avro = events.format == EventFormat::Avro;
    match (&events.avro, is_avro) {
        (None, false) => {}
        (None, true) => {
            let problem = Problem::at("events.avro", "Avro events need a schema");
            found.push(problem.expected("`schema: events.avsc` or `registry: {url: …}`"));
        }
        (Some(_), false) => {
            let problem = Problem::at("events.avro", "the events are JSON");
            found.push(problem.expected("`events.format: avro`, or no `events.avro`"));
        }
        (Some(avro), true) => {
            if avro.schema.is_some() == avro.registry.is_some() {
                let problem = Problem::at("events.avro", "there is one place of schemas");
                found.push(problem.expected("either `schema` or `registry`"));
            }
            if let Some(Err(what)) = avro.schema.as_deref().map(Avro::read_schema) {
                found.push(Problem::at("events.avro.schema", what));
            }
            if let Some(one) = &avro.registry {
                registry(one, found);
            }
        }
    }
}

fn registry(registry: &SchemaRegistry, found: &mut Vec<Problem>) {
    let path = |field: &str| format!("events.avro.registry.{field}");
    let has_secret = registry.password.is_some() || registry.token.is_some();
    match Url::parse(&registry.url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            if !url.username().is_empty() || url.password().is_some() {
                let problem = Problem::at(path("url"), "credentials stand in the address");
                found.push(problem.expected("`username` and `password` beside it"));
            }
            let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
            if has_secret && url.scheme() == "http" && !loopback {
                let problem = Problem::at(path("url"), "credentials would be sent in clear text");
                found.push(problem.expected("an address that begins with `https://`"));
            }
        }
        _ => {
            let what = format!("`{}` is not an address", registry.url);
            found.push(Problem::at(path("url"), what).expected("`http://host:port` or `https://host:port`"));
        }
    }
    if registry.username.is_some() != registry.password.is_some() {
        let problem = Problem::at(path("username"), "`username` and `password` need each other");
        found.push(problem.expected("both, or neither"));
    }
    if registry.password.is_some() && registry.token.is_some() {
        let problem = Problem::at(path("token"), "there is a password as well");
        found.push(problem.expected("a password or a token"));
    }
    for (field, source) in [("password", &registry.password), ("token", &registry.token)] {
        if let Some(Err(error)) = source.as_ref().map(SecretSource::read) {
            found.push(Problem::at(path(field), error.to_string()));
        }
    }
    if let Some(file) = &registry.ca_file
        && let Err(error) = std::fs::read(file)
    {
        found.push(Problem::at(path("ca_file"), unreadable(file, &error)));
    }
    if registry.wait > MAX_WAIT {
        let what = format!("`{}` is longer than {MAX_WAIT}", registry.wait);
        found
            .push(Problem::at(path("wait"), what).expected("a shorter time: no record is counted meanwhile"));
    }
}
