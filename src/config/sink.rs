//! Who is told: the sinks of a configuration.
//!
//! A sink is one flat mapping in the file, its common fields beside those of its `type`. The generated JSON Schema
//! closes each type for itself, so that a field of another type, or of none, is refused with its name.

use std::path::PathBuf;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::SecretSource;
use crate::alert::{AlertKind, Severity};

/// Somebody who is told. Secrets come from files or the environment, never from this file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = close_types)]
pub struct Sink {
    /// Name in metrics, logs and the outbox; unique among sinks and actions.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Payload dialect and address.
    #[serde(flatten)]
    pub target: SinkTarget,
    /// Kinds of alerts that are sent; empty sends all.
    #[serde(default)]
    pub kinds: Vec<AlertKind>,
    /// Lowest severity that is sent.
    #[serde(default)]
    pub min_severity: Option<Severity>,
    /// Most requests per minute.
    #[serde(default = "default_rate")]
    #[schemars(range(min = 1, max = 60_000))]
    pub rate_per_minute: u32,
    /// Most requests at once after a quiet time, before `rate_per_minute` holds.
    #[serde(default = "default_burst")]
    #[schemars(range(min = 1, max = 10_000))]
    pub burst: u32,
    /// Most requests under way at a time; those of one alert group always follow one another.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: usize,
}

/// Requests per minute to a target that says nothing else.
#[must_use]
pub const fn default_rate() -> u32 {
    30
}

/// Requests at once to a target that says nothing else.
#[must_use]
pub const fn default_burst() -> u32 {
    10
}

/// Requests under way to a target that says nothing else.
#[must_use]
pub const fn default_concurrency() -> usize {
    4
}

impl Sink {
    /// A sink that is told everything, with every default.
    #[must_use]
    pub fn new(name: &str, target: SinkTarget) -> Self {
        Self {
            name: name.to_owned(),
            target,
            kinds: Vec::new(),
            min_severity: None,
            rate_per_minute: default_rate(),
            burst: default_burst(),
            concurrency: default_concurrency(),
        }
    }
}

/// Payload dialect and address of a sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SinkTarget {
    /// Slack incoming webhook (Block Kit). The URL is a secret.
    Slack {
        /// Webhook URL.
        url: SecretSource,
    },
    /// PagerDuty Events v2.
    Pagerduty {
        /// Integration key.
        routing_key: SecretSource,
        /// Events endpoint.
        #[serde(default = "default_pagerduty_url")]
        url: String,
    },
    /// CloudEvents POST, signed after the Standard Webhooks scheme if a secret is given.
    Webhook {
        /// Address.
        url: String,
        /// Signing secret, `whsec_…`; two on one line while one replaces the other.
        #[serde(default)]
        secret: Option<SecretSource>,
        /// File with a template of the body, in place of the CloudEvent.
        #[serde(default)]
        template_file: Option<PathBuf>,
        /// Content type of what the template makes; by default `application/json`.
        #[serde(default)]
        content_type: Option<String>,
    },
}

fn default_pagerduty_url() -> String {
    "https://events.pagerduty.com/v2/enqueue".to_owned()
}

impl SinkTarget {
    /// The `type` in the file.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Pagerduty { .. } => "pagerduty",
            Self::Webhook { .. } => "webhook",
        }
    }
}

/// Moves the common fields into each type's own schema and closes it.
fn close_types(schema: &mut Schema) {
    let common = schema.remove("properties");
    let required = schema.remove("required");
    let Some(Value::Array(types)) = schema.get_mut("oneOf") else { return };
    for one in types.iter_mut().filter_map(Value::as_object_mut) {
        extend_properties(one, common.as_ref().and_then(Value::as_object));
        extend_required(one, required.as_ref().and_then(Value::as_array));
        one.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}

fn extend_properties(one: &mut Map<String, Value>, common: Option<&Map<String, Value>>) {
    let own = one.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let (Some(own), Some(common)) = (own.as_object_mut(), common) {
        own.extend(common.clone());
    }
}

fn extend_required(one: &mut Map<String, Value>, common: Option<&Vec<Value>>) {
    let own = one.entry("required").or_insert_with(|| Value::Array(Vec::new()));
    if let (Some(own), Some(common)) = (own.as_array_mut(), common) {
        own.extend(common.iter().cloned());
    }
}
