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

/// Replaces the password of each URL that carries one.
fn hide_credentials(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Ok(mut url) = url::Url::parse(text)
                && url.password().is_some()
                && url.set_password(Some(REDACTED)).is_ok()
            {
                *text = url.to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_credentials),
        Value::Object(fields) => fields.values_mut().for_each(hide_credentials),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
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
