//! A configuration that prints itself: with every default filled in, and without secrets.

use serde_json::Value;

use super::{Config, REDACTED};

/// Endings of property names whose values are secrets. Locations of key files are none.
const SECRET_ENDINGS: [&str; 5] = ["password", "secret", "token", "jaas.config", "key.pem"];

/// Whether a librdkafka property of this name holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    SECRET_ENDINGS.iter().any(|ending| name.to_ascii_lowercase().ends_with(ending))
}

impl Config {
    /// The effective configuration as YAML: every default written out, secrets replaced by `***`.
    ///
    /// # Errors
    /// When a value cannot be written as YAML, which a parsed configuration does not cause.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::ser_error::Error> {
        serde_saphyr::to_string(&self.redacted())
    }

    /// The same as a JSON value.
    #[must_use]
    pub fn redacted(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or(Value::Null);
        if let Some(properties) = value["kafka"]["properties"].as_object_mut() {
            properties
                .iter_mut()
                .filter(|(name, _)| is_secret_name(name))
                .for_each(|(_, value)| redact(value));
        }
        hide_credentials(&mut value);
        drop_absent(&mut value);
        value
    }
}

fn redact(value: &mut Value) {
    *value = Value::String(REDACTED.to_owned());
}

/// Replaces what each URL may carry in secret: user, password and the values of its query.
fn hide_credentials(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Ok(url) = url::Url::parse(text)
                && url.has_host()
            {
                *text = without_secrets(url, text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_credentials),
        Value::Object(fields) => fields.values_mut().for_each(hide_credentials),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn without_secrets(mut url: url::Url, text: &str) -> String {
    let plain = url.password().is_none() && url.username().is_empty() && url.query().is_none();
    if plain {
        return text.to_owned();
    }
    if url.password().is_some() {
        _ = url.set_password(Some(REDACTED));
    }
    if !url.username().is_empty() {
        _ = url.set_username(REDACTED);
    }
    if url.query().is_some() {
        let names: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
        url.query_pairs_mut().clear().extend_pairs(names.iter().map(|name| (name, REDACTED)));
    }
    url.to_string()
}

/// Leaves out fields that say nothing.
fn drop_absent(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_absent),
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_absent);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
