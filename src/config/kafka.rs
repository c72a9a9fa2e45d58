//! Where events come from: the Kafka connection and its topics.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Secret, SecretError, SecretSource};

/// Kafka connection and topics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// `host:port`, several separated by commas.
    #[schemars(length(min = 1))]
    pub bootstrap: String,
    /// Topics of prediction and feedback events.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub topics: Vec<String>,
    /// Consumer group.
    #[serde(default = "default_group")]
    #[schemars(length(min = 1))]
    pub group: String,
    /// Where to start a partition that has no checkpoint, or whose checkpoint points outside the log.
    #[serde(default)]
    pub start: StartPolicy,
    /// Topic that receives a pointer to each refused record.
    #[serde(default)]
    pub dead_letter_topic: Option<String>,
    /// Further librdkafka properties, passed on as they are. Passwords belong in `secret_properties`.
    #[serde(default, deserialize_with = "texts")]
    #[schemars(extend("additionalProperties" = {"type": ["string", "number", "boolean"]}))]
    pub properties: BTreeMap<String, String>,
    /// librdkafka properties that are secrets, such as `sasl.password`.
    #[serde(default)]
    pub secret_properties: BTreeMap<String, SecretSource>,
}

impl Kafka {
    /// Reads the secret properties.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn secrets(&self) -> Result<BTreeMap<&str, Secret>, SecretError> {
        self.secret_properties.iter().map(|(name, source)| Ok((name.as_str(), source.read()?))).collect()
    }
}

/// Numbers and truth values as their text, so that `session.timeout.ms: 6000` needs no quotes.
fn texts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let text = |value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    let values = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|(name, value)| (name, text(value))).collect())
}

fn default_group() -> String {
    "anchorwatch".to_owned()
}

/// Where reading starts without a usable checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartPolicy {
    /// First record still in the log.
    #[default]
    Earliest,
    /// Only records produced from now on.
    Latest,
    /// Stop with an error and let a person decide.
    Halt,
}
