//! What every client of the cluster begins with: address, encryption, credentials, and the check that librdkafka was
//! built with what they need.

use std::error::Error;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use serde::Deserialize;

use super::SourceError;
use crate::config::{Kafka, KafkaTls, Sasl, SaslMechanism};
use crate::subject::Millis;

/// How long a token without an expiry of its own is used before the file is read again.
const OPAQUE_TOKEN_LIFE: Millis = 300_000;

/// Adds the properties of the connection, with secrets.
pub(super) fn settings(kafka: &Kafka, mut settings: ClientConfig) -> Result<ClientConfig, SourceError> {
    settings.set("client.id", "anchorwatch");
    kafka.properties.iter().for_each(|(name, value)| {
        settings.set(name, value);
    });
    for (name, secret) in kafka.secrets().map_err(SourceError::Secrets)? {
        settings.set(name, secret.expose());
    }
    if let Some(tls) = &kafka.tls {
        encrypt(&mut settings, tls)?;
    }
    if let Some(sasl) = &kafka.sasl {
        authenticate(&mut settings, sasl)?;
    }
    let protocol = match (&kafka.tls, &kafka.sasl) {
        (None, None) => None,
        (Some(_), None) => Some("ssl"),
        (None, Some(_)) => Some("sasl_plaintext"),
        (Some(_), Some(_)) => Some("sasl_ssl"),
    };
    protocol.map(|protocol| settings.set("security.protocol", protocol));
    settings.set("bootstrap.servers", &kafka.bootstrap);
    check_features(&settings)?;
    Ok(settings)
}

fn encrypt(settings: &mut ClientConfig, tls: &KafkaTls) -> Result<(), SourceError> {
    for (name, field, path) in [
        ("ssl.ca.location", "ca_file", &tls.ca_file),
        ("ssl.certificate.location", "certificate_file", &tls.certificate_file),
        ("ssl.key.location", "key_file", &tls.key_file),
    ] {
        let Some(path) = path else { continue };
        let failed =
            |source| SourceError::File { field: format!("kafka.tls.{field}"), path: path.clone(), source };
        std::fs::metadata(path).map_err(failed)?;
        settings.set(name, path.display().to_string());
    }
    if let Some(password) = &tls.key_password {
        settings.set("ssl.key.password", password.read().map_err(SourceError::Secrets)?.expose());
    }
    if tls.insecure_skip_hostname {
        settings.set("ssl.endpoint.identification.algorithm", "none");
    }
    Ok(())
}

fn authenticate(settings: &mut ClientConfig, sasl: &Sasl) -> Result<(), SourceError> {
    settings.set("sasl.mechanism", sasl.mechanism.as_str());
    if let Some(username) = sasl.username.as_ref().filter(|_| sasl.mechanism != SaslMechanism::OauthBearer) {
        settings.set("sasl.username", username);
    }
    if let Some(password) = &sasl.password {
        settings.set("sasl.password", password.read().map_err(SourceError::Secrets)?.expose());
    }
    Ok(())
}

/// Settings that work but that nobody should keep.
#[must_use]
pub fn warnings(kafka: &Kafka) -> Vec<String> {
    let loopback = |server: &str| {
        let host = server.trim().rsplit_once(':').map_or(server, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    let mut warnings = Vec::new();
    let in_clear = kafka.tls.is_none() && !kafka.bootstrap.split(',').all(loopback);
    match kafka.sasl.as_ref().map(|sasl| sasl.mechanism) {
        Some(SaslMechanism::Plain) if in_clear => warnings.push(
            "kafka.sasl: PLAIN without kafka.tls sends the password readable over the network".to_owned(),
        ),
        Some(SaslMechanism::OauthBearer) if in_clear => warnings.push(
            "kafka.sasl: OAUTHBEARER without kafka.tls sends the token readable over the network".to_owned(),
        ),
        Some(SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512) | None if in_clear => warnings.push(
            "kafka.tls is not set: records go readable over the network, and somebody on the way could change them"
                .to_owned(),
        ),
        Some(_) | None => {}
    }
    if kafka.tls.as_ref().is_some_and(|tls| tls.insecure_skip_hostname) {
        warnings.push(
            "kafka.tls.insecure_skip_hostname: any certificate of the same authority can pretend to be the broker"
                .to_owned(),
        );
    }
    warnings
}

/// What librdkafka was built with.
///
/// # Errors
/// When it does not say.
pub fn builtin_features() -> Result<String, KafkaError> {
    ClientConfig::new().create_native_config()?.get("builtin.features")
}

/// Refuses what this build of librdkafka cannot do, before the first connection fails for no visible reason.
fn check_features(settings: &ClientConfig) -> Result<(), SourceError> {
    let features = builtin_features().map_err(SourceError::Properties)?;
    lacks(settings, &features).map_or(Ok(()), |(asked, feature)| {
        Err(SourceError::NotBuiltIn { asked, feature: feature.to_owned(), features: features.clone() })
    })
}

/// The first thing asked for that these features do not hold: what asks, and the feature.
fn lacks(settings: &ClientConfig, features: &str) -> Option<(String, &'static str)> {
    let protocol = settings.get("security.protocol").unwrap_or_default().to_ascii_lowercase();
    let mechanism = settings.get("sasl.mechanism").or_else(|| settings.get("sasl.mechanisms"));
    let mechanism = mechanism.unwrap_or_default().to_ascii_uppercase();
    let of_mechanism = match mechanism.as_str() {
        "PLAIN" => "sasl_plain",
        "SCRAM-SHA-256" | "SCRAM-SHA-512" => "sasl_scram",
        "OAUTHBEARER" => "sasl_oauthbearer",
        _ => "sasl_gssapi",
    };
    let is_sasl = protocol.starts_with("sasl");
    let needs = [
        (true, "zstd-compressed topics".to_owned(), "zstd"),
        (protocol.ends_with("ssl"), "TLS (kafka.tls)".to_owned(), "ssl"),
        (is_sasl, format!("SASL {mechanism} (kafka.sasl)"), of_mechanism),
    ];
    let has = |feature: &str| features.split(',').any(|known| known.trim() == feature);
    needs
        .into_iter()
        .find(|(asked, _, feature)| *asked && !has(feature))
        .map(|(_, what, feature)| (what, feature))
}

/// Where bearer tokens come from.
#[derive(Debug, Clone)]
pub(super) struct TokenFile {
    path: PathBuf,
    /// Name of the principal where the token has none.
    username: String,
}

/// The part of a JSON Web Token that the client must know.
#[derive(Debug, Default, Deserialize)]
struct Claims {
    sub: Option<String>,
    /// Seconds since the epoch, in some issuers' tokens with a fraction.
    exp: Option<f64>,
}

impl TokenFile {
    pub(super) fn of(kafka: &Kafka) -> Option<Self> {
        let sasl = kafka.sasl.as_ref().filter(|sasl| sasl.mechanism == SaslMechanism::OauthBearer)?;
        let username = sasl.username.clone().unwrap_or_else(|| "anchorwatch".to_owned());
        Some(Self { path: sasl.token_file.clone()?, username })
    }

    /// The token as it is in the file now.
    fn read(&self, now: Millis) -> Result<OAuthToken, Box<dyn Error>> {
        let text = std::fs::read_to_string(&self.path)
            .map_err(|error| format!("kafka.sasl.token_file {}: {error}", self.path.display()))?;
        let token = text.trim().to_owned();
        if token.is_empty() {
            return Err(format!("kafka.sasl.token_file {} is empty", self.path.display()).into());
        }
        let claims = claims(&token).unwrap_or_default();
        let lifetime_ms = claims.exp.map_or(now + OPAQUE_TOKEN_LIFE, |exp| (exp * 1_000.0) as Millis);
        let principal_name = claims.sub.unwrap_or_else(|| self.username.clone());
        Ok(OAuthToken { token, principal_name, lifetime_ms })
    }
}

fn claims(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&json).ok()
}

/// A token for librdkafka, asked for a while before the last one expires.
pub(super) fn bearer_token(file: Option<&TokenFile>) -> Result<OAuthToken, Box<dyn Error>> {
    let now = wall_clock();
    file.ok_or("kafka.sasl.token_file is not set")?.read(now)
}

#[expect(clippy::disallowed_methods, reason = "only for tokens that do not say when they expire")]
fn wall_clock() -> Millis {
    chrono::Utc::now().timestamp_millis()
}

/// Context of a client that nobody looks after: silent, but able to renew its token.
#[derive(Debug)]
pub(super) struct Quiet(pub(super) Option<TokenFile>);

impl ClientContext for Quiet {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        bearer_token(self.0.as_ref())
    }

    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(properties: &[(&str, &str)]) -> ClientConfig {
        let mut settings = ClientConfig::new();
        properties.iter().for_each(|(name, value)| {
            settings.set(*name, *value);
        });
        settings
    }

    #[test]
    fn this_build_can_do_what_the_configuration_can_ask() {
        let features = builtin_features().expect("it says");
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] {
            let asked = asks(&[("security.protocol", "sasl_ssl"), ("sasl.mechanism", mechanism)]);
            assert_eq!(lacks(&asked, &features), None, "{mechanism}: {features}");
        }
    }

    #[test]
    fn what_a_build_lacks_is_named() {
        let ssl = asks(&[("security.protocol", "SSL")]);
        assert_eq!(lacks(&ssl, "snappy,zstd").map(|(_, feature)| feature), Some("ssl"));
        assert_eq!(lacks(&asks(&[]), "snappy").map(|(_, feature)| feature), Some("zstd"));
        let scram = asks(&[("security.protocol", "sasl_ssl"), ("sasl.mechanism", "SCRAM-SHA-512")]);
        assert_eq!(lacks(&scram, "zstd,ssl,sasl_plain").map(|(_, feature)| feature), Some("sasl_scram"));
    }

    #[test]
    fn records_in_clear_are_warned_of_unless_they_stay_on_this_machine() {
        let kafka = |bootstrap: &str, tls: bool| {
            let tls = if tls { ", tls: {}" } else { "" };
            let text = format!("kafka: {{ bootstrap: \"{bootstrap}\", topics: [events]{tls} }}\n");
            crate::config::parse(&text, "test.yaml").expect("a configuration").kafka
        };
        for (bootstrap, tls, warned) in [
            ("localhost:9092,127.0.0.1:9093,[::1]:9094", false, 0),
            ("127.0.0.1:9092,broker-2:9092", false, 1),
            ("broker-1:9093", true, 0),
        ] {
            assert_eq!(warnings(&kafka(bootstrap, tls)).len(), warned, "{bootstrap}");
        }
    }

    #[test]
    fn a_token_says_when_it_expires_and_whose_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let payload = URL_SAFE_NO_PAD.encode(r#"{"sub":"watch","exp":1700000000}"#);
        std::fs::write(&path, format!("e30.{payload}.\n")).expect("written");
        let file = TokenFile { path: path.clone(), username: "u".into() };
        let token = file.read(5).expect("a token");
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("watch", 1_700_000_000_000));
        std::fs::write(&path, "opaque").expect("written");
        let token = file.read(5).expect("a token");
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("u", 5 + OPAQUE_TOKEN_LIFE));
        std::fs::write(&path, "\n").expect("written");
        assert!(file.read(5).is_err());
    }
}
