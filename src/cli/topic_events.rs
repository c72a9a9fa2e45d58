//! Records of a topic as lines of JSON, in whichever format the configuration says that they are.

use std::borrow::Cow;

use anyhow::Context as _;
use serde_json::{Map, Number, Value};

use crate::config::{Avro, Config, EventFormat};
use crate::event::avro::AvroReader;
use crate::event::{Event, Limits, Refusal, Scalar, decode};
use crate::source::{SchemaClient, SchemaLookupError};

/// Decodes records of one topic.
pub(super) enum TopicEvents {
    Json(Limits),
    Avro {
        reader: Box<AvroReader>,
        /// Where schemas are asked for, and what the asking runs on.
        registry: Option<Box<(SchemaClient, tokio::runtime::Runtime)>>,
    },
}

impl TopicEvents {
    /// The format of the configuration, JSON without one.
    pub(super) fn new(config: Option<&Config>, limits: Limits) -> anyhow::Result<Self> {
        let events = match config.map(|config| &config.events) {
            Some(events) if events.format == EventFormat::Avro => events,
            _ => return Ok(Self::Json(limits)),
        };
        let mut reader = Box::new(AvroReader::new(limits));
        let avro = events.avro.as_ref();
        if let Some(file) = avro.and_then(|avro| avro.schema.as_deref()) {
            reader.set_schema(Avro::read_schema(file).map_err(anyhow::Error::msg)?);
        }
        let registry = match avro.and_then(|avro| avro.registry.as_ref()) {
            Some(registry) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                Some(Box::new((
                    SchemaClient::new(registry)?,
                    runtime.context("the thread that asks for schemas")?,
                )))
            }
            None => None,
        };
        Ok(Self::Avro { reader, registry })
    }

    /// The event of a record, and its text where it is JSON already.
    ///
    /// # Errors
    /// When the schema registry does not answer.
    pub(super) fn read<'r>(&'r mut self, payload: &'r [u8]) -> std::io::Result<Result<Event<'r>, Refusal>> {
        match self {
            Self::Json(limits) => Ok(decode(payload, limits)),
            Self::Avro { reader, registry } => {
                if let (Some(id), Some((client, runtime))) = (reader.lacks(payload), registry.as_deref()) {
                    match runtime.block_on(client.fetch(id)) {
                        Ok(schema) => reader.learn_schema(id, Some(schema)),
                        Err(SchemaLookupError::Unusable(_)) => reader.learn_schema(id, None),
                        Err(error) => return Err(std::io::Error::other(error)),
                    }
                }
                Ok(reader.read(payload).map(|read| read.event()))
            }
        }
    }

    /// Whether records are lines of JSON but for their line breaks.
    pub(super) const fn are_json(&self) -> bool {
        matches!(self, Self::Json(_))
    }
}

/// An event as JSON. Numbers that JSON does not have become null.
pub(super) fn json_of(event: &Event<'_>) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<Cow<'_, str>>| text.as_deref().map(Value::from);
    put("id", text(&event.id));
    put("model", text(&event.model));
    put("version", text(&event.version));
    put("ts", event.ts.map(Value::from));
    put("features", event.features.as_deref().map(members));
    put("latency_ms", event.latency_ms.map(number));
    put("segment", (!event.segment.is_empty()).then(|| members(&event.segment)));
    put("label", event.label.as_ref().map(value));
    let predicted = [("label", &event.prediction), ("score", &event.score)];
    let predicted: Map<String, Value> = predicted
        .into_iter()
        .filter_map(|(name, part)| Some((name.to_owned(), value(part.as_ref()?))))
        .collect();
    put("prediction", (!predicted.is_empty()).then_some(Value::Object(predicted)));
    Value::Object(object)
}

fn members(members: &[(Cow<'_, str>, Scalar<'_>)]) -> Value {
    members.iter().map(|(name, scalar)| (name.to_string(), value(scalar))).collect()
}

fn value(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Number(x) => number(*x),
        Scalar::Text(text) => Value::from(text.as_ref()),
        Scalar::Bool(truth) => Value::from(*truth),
        Scalar::Missing => Value::Null,
        Scalar::Nested => Value::Array(Vec::new()),
    }
}

/// Whole numbers without a point, as producers of JSON write them.
fn number(x: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let is_whole = x.fract() == 0.0 && x.abs() < EXACT && (x != 0.0 || x.is_sign_positive());
    if is_whole { Value::from(x as i64) } else { Number::from_f64(x).map_or(Value::Null, Value::Number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_bytes: 1 << 16, max_features: 16, max_depth: 8 };

    #[test]
    fn an_event_is_the_same_event_as_json() {
        for text in [
            r#"{"id":"a","model":"m","version":"1.0.0","ts":1750000000000,"features":{"x":1,"y":-0.0,"z":1e300,"t":"é\"","b":true,"n":null,"d":[1]},"segment":{"s":"eu"},"latency_ms":2.5,"prediction":{"label":"ok","score":0.5},"label":false}"#,
            r#"{"features":{}}"#,
            r#"{"id":7,"label":1}"#,
            r#"{"prediction":{"label":null}}"#,
        ] {
            // The order of names means nothing.
            let sorted = |text: &str| {
                let mut event = decode(text.as_bytes(), &LIMITS).expect("an event");
                event.features.iter_mut().for_each(|features| features.sort_by(|a, b| a.0.cmp(&b.0)));
                format!("{event:?}")
            };
            let event = decode(text.as_bytes(), &LIMITS).expect("an event");
            assert_eq!(sorted(&json_of(&event).to_string()), sorted(text));
        }
    }

    #[test]
    fn avro_of_a_topic_becomes_lines() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("event.avsc");
        let schema = r#"{"type": "record", "name": "E", "fields": [{"name": "model", "type": "string"}, {"name": "score", "type": "double"}]}"#;
        std::fs::write(&file, schema).expect("a writable folder");
        let config = format!(
            "kafka: {{bootstrap: 'b:1', topics: [t]}}\nevents: {{format: avro, avro: {{schema: '{}'}}}}",
            file.display()
        );
        let config = crate::config::parse(&config, "test").expect("a configuration");
        let mut events = TopicEvents::new(Some(&config), LIMITS).expect("a reader");
        let payload = [&b"\x02m"[..], &0.5_f64.to_le_bytes()].concat();
        let event = events.read(&payload).expect("no registry").expect("an event");
        assert_eq!(json_of(&event).to_string(), r#"{"model":"m","prediction":{"score":0.5}}"#);
        assert!(!events.are_json() && events.read(b"{}").expect("no registry").is_err());
    }
}
