//! `anchorwatch schema config|event|notification`: JSON Schemas for editors, producers and receivers.

use std::io::Write;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::alert::Delivery;
use crate::config;

/// The JSON Schema of prediction and feedback events, as published in `docs/schemas/`.
pub const EVENT_SCHEMA: &str = include_str!("../../docs/schemas/event.schema.json");

/// Prints a JSON Schema.
#[derive(Debug, Clone, Args)]
pub struct SchemaCommand {
    /// What to describe.
    pub of: SchemaOf,
}

/// What can be described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The configuration file.
    Config,
    /// Prediction and feedback events.
    Event,
    /// What sinks and actions are sent, before a target's dialect.
    Notification,
}

impl SchemaCommand {
    /// Writes the schema.
    ///
    /// # Errors
    /// When the stream cannot be written.
    pub fn run(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if self.of == SchemaOf::Event {
            return out.write_all(EVENT_SCHEMA.as_bytes());
        }
        let schema = match self.of {
            SchemaOf::Config => config::json_schema(),
            SchemaOf::Notification | SchemaOf::Event => notification(),
        };
        writeln!(out, "{schema:#}")
    }
}

fn notification() -> Value {
    schemars::schema_for!(Delivery).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(of: SchemaOf) -> Value {
        let mut out = Vec::new();
        SchemaCommand { of }.run(&mut out).expect("a stream");
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn every_schema_is_a_schema() {
        for of in SchemaOf::value_variants() {
            let schema = printed(*of);
            assert!(jsonschema::meta::is_valid(&schema), "{of:?}");
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{of:?}");
        }
    }

    #[test]
    fn a_configuration_file_follows_the_printed_schema() {
        let example = include_str!("../../deploy/examples/anchorwatch.yaml");
        let value: Value = serde_saphyr::from_str(example).expect("YAML");
        let validator = jsonschema::validator_for(&printed(SchemaOf::Config)).expect("a schema");
        let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod page;
