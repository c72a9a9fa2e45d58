//! The same events in Avro, as the Avro library writes them.

use anchorwatch::event::avro::Schema;
use anyhow::Context as _;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Value as Json, json};

/// How the features are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Features {
    /// A record with a type for each.
    Record,
    /// The same, each a union with null.
    Nullable,
    /// A map.
    Map,
}

/// Writes events of one schema.
pub(crate) struct Writer {
    features: Features,
    schema: apache_avro::Schema,
    text: String,
}

impl Writer {
    /// A writer of events such as this one.
    pub(crate) fn new(features: Features, event: &Json) -> anyhow::Result<Self> {
        let kind = |value: &Json| if value.is_number() { "double" } else { "string" };
        let members = event["features"].as_object().context("no features")?;
        let fields: Vec<Json> = members
            .iter()
            .map(|(name, value)| match features {
                Features::Nullable => json!({"name": name, "type": ["null", kind(value)]}),
                _ => json!({"name": name, "type": kind(value)}),
            })
            .collect();
        let of_features = match features {
            Features::Map => json!({"type": "map", "values": ["null", "double", "string"]}),
            _ => json!({"type": "record", "name": "Features", "fields": fields}),
        };
        let record = |name: &str, fields: &[(&str, Json)]| {
            let fields: Vec<Json> =
                fields.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
            json!({"type": "record", "name": name, "fields": fields})
        };
        let text = || json!("string");
        let schema = record(
            "Event",
            &[
                ("id", text()),
                ("model", text()),
                ("version", text()),
                ("ts", json!({"type": "long", "logicalType": "timestamp-millis"})),
                ("features", of_features),
                ("prediction", record("Prediction", &[("label", text()), ("score", json!("double"))])),
                ("latency_ms", json!("double")),
                (
                    "segment",
                    record("Segment", &[("environment", text()), ("region", text()), ("tenant", text())]),
                ),
            ],
        );
        Ok(Self { features, schema: apache_avro::Schema::parse(&schema)?, text: schema.to_string() })
    }

    /// The schema as Anchorwatch reads it.
    pub(crate) fn schema(&self) -> anyhow::Result<Schema> {
        Ok(Schema::parse(self.text(), &[])?)
    }

    /// The JSON of the schema.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The schema as the Avro library reads it.
    pub(crate) const fn library_schema(&self) -> &apache_avro::Schema {
        &self.schema
    }

    /// Bytes of an event.
    pub(crate) fn write(&self, event: &Json) -> anyhow::Result<Vec<u8>> {
        let value = |value: &Json| match value {
            Json::String(text) => Value::String(text.clone()),
            other => Value::Double(other.as_f64().unwrap_or_default()),
        };
        let union = |place: fn(&Json) -> u32, of: &Json| Value::Union(place(of), Box::new(value(of)));
        let members = event["features"].as_object().context("no features")?;
        let member = |(name, of): (&String, &Json)| {
            let value = match self.features {
                Features::Record => value(of),
                Features::Nullable => union(|_| 1, of),
                Features::Map => union(|of| if of.is_number() { 1 } else { 2 }, of),
            };
            (name.clone(), value)
        };
        let features = match self.features {
            Features::Map => Value::Map(members.iter().map(member).collect()),
            _ => Value::Record(members.iter().map(member).collect()),
        };
        let object = |name: &str| -> anyhow::Result<Value> {
            let fields = event[name].as_object().context("no object")?;
            Ok(Value::Record(fields.iter().map(|(name, of)| (name.clone(), value(of))).collect()))
        };
        let mut fields = Vec::new();
        for name in ["id", "model", "version"] {
            fields.push((name.to_owned(), value(&event[name])));
        }
        fields.push(("ts".to_owned(), Value::TimestampMillis(event["ts"].as_i64().context("no time")?)));
        fields.push(("features".to_owned(), features));
        fields.push(("prediction".to_owned(), object("prediction")?));
        fields.push(("latency_ms".to_owned(), value(&event["latency_ms"])));
        fields.push(("segment".to_owned(), object("segment")?));
        let writer = GenericDatumWriter::builder(&self.schema).build()?;
        Ok(writer.write_value_to_vec(Value::Record(fields))?)
    }
}
