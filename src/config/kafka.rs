//! Where events come from: the Kafka connection and its topics.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Secret, SecretError, SecretSource, Span};

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
    /// Where to start a partition that has no checkpoint, or whose checkpoint points outside the log or at another
    /// record than the one that was counted. A partition added to a known topic starts at its first record.
    #[serde(default)]
    pub start: StartPolicy,
    /// Encryption of the connection; absent: none.
    #[serde(default)]
    pub tls: Option<KafkaTls>,
    /// How this client proves who it is; absent: not at all, or by the certificate of `tls`.
    #[serde(default)]
    pub sasl: Option<Sasl>,
    /// Rack or availability zone of this process, so that it reads from a replica nearby.
    #[serde(default)]
    pub rack: Option<String>,
    /// How much is fetched ahead.
    #[serde(default)]
    pub fetch: Fetch,
    /// How often the client tells of lag, queues, round trips and brokers that are silent; no less often than half of
    /// `windows.idle_after` and a quarter of `windows.stalled_after`.
    #[serde(default = "default_statistics_every")]
    pub statistics_every: Span,
    /// Silence of all partitions, after there was traffic, that is told to the sinks; `0s` turns it off.
    #[serde(default = "default_no_data_after")]
    pub no_data_after: Span,
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

fn default_statistics_every() -> Span {
    Span::from_secs(15)
}

fn default_no_data_after() -> Span {
    Span::from_mins(15)
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

/// Encryption of the connection to the brokers, and the certificate of this client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTls {
    /// Certificates (PEM) of the authorities that sign the brokers'; absent: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Certificate chain (PEM) of this client, for brokers that ask for one.
    pub certificate_file: Option<PathBuf>,
    /// Private key (PEM) of that certificate.
    pub key_file: Option<PathBuf>,
    /// Password of the private key, if it is encrypted.
    pub key_password: Option<SecretSource>,
    /// Does not compare the broker's certificate with its host name. Whoever has any certificate of the same authority
    /// can then pretend to be the broker.
    pub insecure_skip_hostname: bool,
}

/// How this client proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// Which scheme.
    pub mechanism: SaslMechanism,
    /// Name of the user; for `OAUTHBEARER` only where the token does not name one.
    #[serde(default)]
    pub username: Option<String>,
    /// Password of the user.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// File with the bearer token of `OAUTHBEARER`, such as a projected service-account token; read again before the
    /// token expires.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// A scheme of authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// Name and password as they are: only over TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Challenge and response over SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Challenge and response over SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A bearer token from a file.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

impl SaslMechanism {
    /// Name as Kafka knows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// Bounds on what is fetched ahead of the counting, in KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    /// Most that waits in memory, over all partitions.
    #[schemars(range(min = 1024, max = 2_097_151))]
    pub queue_kib: u32,
    /// Most of one partition in one answer of a broker.
    #[schemars(range(min = 1, max = 976_562))]
    pub partition_kib: u32,
    /// Most of one answer of a broker.
    #[schemars(range(min = 1024, max = 976_562))]
    pub response_kib: u32,
}

impl Default for Fetch {
    fn default() -> Self {
        Self { queue_kib: 16_384, partition_kib: 1_024, response_kib: 16_384 }
    }
}
