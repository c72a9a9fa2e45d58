//! The page about events runs: its examples are decoded, and follow the published schema.

use serde_json::Value;

use super::EVENT_SCHEMA;
use crate::event::avro::Schema;
use crate::event::{Limits, Refusal, decode};

const PAGE: &str = include_str!("../../docs/guide/events.md");
const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_features: 1_024, max_depth: 16 };

/// Information string and content of each block of JSON.
fn blocks() -> Vec<(&'static str, &'static str)> {
    PAGE.split("\n```json").skip(1).filter_map(|rest| rest.split("\n```").next()?.split_once('\n')).collect()
}

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(EVENT_SCHEMA).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
}

#[test]
fn every_example_on_the_page_is_decoded_or_refused_as_it_says() {
    let validator = validator();
    assert!(blocks().len() >= 8);
    for (info, text) in blocks() {
        if info.trim() == "schema:avro" {
            assert!(Schema::parse(text, &[]).is_ok(), "{text}");
            continue;
        }
        let decoded = decode(text.as_bytes(), &LIMITS);
        match info.trim().strip_prefix("refused:") {
            None => {
                assert!(decoded.is_ok(), "{text}: {decoded:?}");
                let value: Value = serde_json::from_str(text).expect("JSON");
                assert!(validator.is_valid(&value), "{text}");
            }
            Some(reason) => assert_eq!(decoded.expect_err(text).reason(), reason, "{text}"),
        }
    }
}

#[test]
fn the_page_names_every_reason_for_a_refusal() {
    for reason in Refusal::REASONS {
        assert!(PAGE.contains(&format!("`{reason}`")), "{reason} is missing in docs/guide/events.md");
    }
}

#[test]
fn the_examples_inside_the_schema_are_events() {
    let schema: Value = serde_json::from_str(EVENT_SCHEMA).expect("JSON");
    let validator = validator();
    for kind in ["prediction", "feedback"] {
        for example in schema["$defs"][kind]["examples"].as_array().expect("examples") {
            assert!(validator.is_valid(example), "{example}");
            let text = example.to_string();
            let event = decode(text.as_bytes(), &LIMITS).expect("an event");
            assert_eq!(event.is_feedback(), kind == "feedback");
        }
    }
}

#[test]
fn the_schema_refuses_what_the_decoder_refuses() {
    let validator = validator();
    for text in [
        r#"{"features":[1]}"#,
        r#"{"features":{"a":1},"ts":1750000000}"#,
        r#"{"prediction":[1]}"#,
        r#"{"features":{"a":1},"model":3}"#,
        r#"{"features":{"a":1},"segment":3}"#,
        "[]",
        "3",
    ] {
        assert!(decode(text.as_bytes(), &LIMITS).is_err(), "{text}");
        assert!(!validator.is_valid(&serde_json::from_str(text).expect("JSON")), "{text}");
    }
}
