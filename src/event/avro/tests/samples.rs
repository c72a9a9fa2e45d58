//! Random events and schemas, each value with its schema, its Avro value and the same in JSON.

use std::collections::HashMap;

use apache_avro::types::Value as AvroValue;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{event_of, record};

/// A value with the schema that it has in Avro, its Avro value, and the same in JSON.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) schema: Json,
    pub(super) avro: AvroValue,
    pub(super) json: Json,
}

impl Sample {
    fn new(schema: Json, avro: AvroValue, json: Json) -> Self {
        Self { schema, avro, json }
    }

    /// The same as a branch of a union with null, in either order.
    fn nullable(self, null_first: bool) -> Self {
        let (schema, place) =
            if null_first { (json!(["null", self.schema]), 1) } else { (json!([self.schema, "null"]), 0) };
        Self { schema, avro: AvroValue::Union(place, Box::new(self.avro)), json: self.json }
    }
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>().prop_filter("finite", |x| x.is_finite()), -1e3..1e3_f64, Just(-0.0)]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ -~]{0,20}", 2 => ".{0,12}", 1 => "[a-z]{120,140}", 1 => Just("2013-04-01T02:00:00.123+02:00".to_owned())]
}

/// Values without a choice of type.
fn leaves() -> impl Strategy<Value = Sample> {
    prop_oneof![
        4 => finite().prop_map(|x| Sample::new(json!("double"), AvroValue::Double(x), json!(x))),
        1 => any::<f32>().prop_filter("finite", |x| x.is_finite())
            .prop_map(|x| Sample::new(json!("float"), AvroValue::Float(x), json!(f64::from(x)))),
        2 => any::<i32>().prop_map(|x| Sample::new(json!("int"), AvroValue::Int(x), json!(x))),
        2 => any::<i64>().prop_map(|x| Sample::new(json!("long"), AvroValue::Long(x), json!(x))),
        1 => (1_364_774_400_000_i64..1_964_774_400_000)
            .prop_map(|x| Sample::new(json!("long"), AvroValue::Long(x), json!(x))),
        1 => any::<bool>().prop_map(|x| Sample::new(json!("boolean"), AvroValue::Boolean(x), json!(x))),
        1 => Just(Sample::new(json!("null"), AvroValue::Null, Json::Null)),
        4 => texts().prop_map(|x| Sample::new(json!("string"), AvroValue::String(x.clone()), json!(x))),
        1 => proptest::collection::vec(any::<i64>(), 0..3).prop_map(|items| {
            let avro = items.iter().map(|item| AvroValue::Long(*item)).collect();
            Sample::new(json!({"type": "array", "items": "long"}), AvroValue::Array(avro), json!(items))
        }),
        1 => proptest::collection::hash_map("[a-c]", any::<bool>(), 0..3).prop_map(|items| {
            let avro = items.iter().map(|(name, item)| (name.clone(), AvroValue::Boolean(*item))).collect();
            Sample::new(json!({"type": "map", "values": "boolean"}), AvroValue::Map(avro), json!(items))
        }),
        1 => (0_usize..5).prop_map(|depth| {
            let (mut schema, mut avro, mut json) = (json!("long"), AvroValue::Long(1), json!(1));
            for _ in 0..depth {
                schema = json!({"type": "array", "items": schema});
                avro = AvroValue::Array(vec![avro]);
                json = json!([json]);
            }
            Sample::new(schema, avro, json)
        }),
    ]
}

fn samples() -> impl Strategy<Value = Sample> {
    (leaves(), any::<Option<bool>>()).prop_map(|(sample, null_first)| match null_first {
        Some(null_first) if sample.schema != json!("null") => sample.nullable(null_first),
        _ => sample,
    })
}

/// The type of all values of a map.
fn choice() -> Json {
    json!(["null", "boolean", "long", "double", "string", {"type": "array", "items": "long"}])
}

/// A value of that type.
fn chosen(sample: &Sample) -> (AvroValue, Json) {
    let branch = match &sample.avro {
        AvroValue::Boolean(_) => 1,
        AvroValue::Long(_) => 2,
        AvroValue::Double(_) => 3,
        AvroValue::String(_) => 4,
        AvroValue::Array(items) if items.iter().all(|item| matches!(item, AvroValue::Long(_))) => 5,
        _ => return (AvroValue::Union(0, Box::new(AvroValue::Null)), Json::Null),
    };
    (AvroValue::Union(branch, Box::new(sample.avro.clone())), sample.json.clone())
}

/// An object as a record or a map, which has these names.
fn objects(names: &'static str, record_name: &'static str) -> impl Strategy<Value = Sample> {
    let members = proptest::collection::hash_map(names, samples(), 0..14);
    (members, any::<bool>(), any::<Option<bool>>()).prop_map(move |(members, is_record, null_first)| {
        let sample = if is_record {
            let fields = members.iter().map(|(name, sample)| json!({"name": name, "type": sample.schema}));
            let schema = json!({"type": "record", "name": record_name, "fields": fields.collect::<Vec<_>>()});
            let avro = members.iter().map(|(name, sample)| (name.clone(), sample.avro.clone()));
            let json = members.iter().map(|(name, sample)| (name.clone(), sample.json.clone()));
            Sample::new(schema, AvroValue::Record(avro.collect()), Json::Object(json.collect()))
        } else {
            let values: Vec<(String, (AvroValue, Json))> =
                members.iter().map(|(name, sample)| (name.clone(), chosen(sample))).collect();
            let avro: HashMap<String, AvroValue> =
                values.iter().map(|(name, (avro, _))| (name.clone(), avro.clone())).collect();
            let json = values.into_iter().map(|(name, (_, json))| (name, json));
            Sample::new(
                json!({"type": "map", "values": choice()}),
                AvroValue::Map(avro),
                Json::Object(json.collect()),
            )
        };
        null_first.map_or(sample.clone(), |null_first| sample.nullable(null_first))
    })
}

/// An event with any of its fields, of any type.
pub(super) fn events() -> impl Strategy<Value = Sample> {
    let usual = proptest::collection::vec(
        (
            prop::sample::select(
                &["id", "model", "version", "ts", "latency_ms", "label", "score", "extra"][..],
            ),
            samples(),
        ),
        0..8,
    );
    let names = "[a-f]{1,2}|amount|country|name_of_some_length_[a-c]";
    let parts = (
        proptest::option::weighted(0.9, objects(names, "Features")),
        proptest::option::of(objects("region|cabin|[a-c]", "Segment")),
        proptest::option::of(prop_oneof![objects("label|score|why", "Prediction"), samples()]),
    );
    (usual, parts, any::<bool>()).prop_map(|(usual, (features, segment, prediction), reversed)| {
        let mut fields: Vec<(&str, Sample)> = Vec::new();
        for (name, sample) in usual {
            if fields.iter().all(|(known, _)| *known != name) {
                fields.push((name, sample));
            }
        }
        let parts = [("features", features), ("segment", segment), ("prediction", prediction)];
        fields.extend(parts.into_iter().filter_map(|(name, part)| Some((name, part?))));
        if reversed {
            fields.reverse();
        }
        let schemas: Vec<(&str, Json)> =
            fields.iter().map(|(name, sample)| (*name, sample.schema.clone())).collect();
        let avro = fields.iter().map(|(name, sample)| (*name, sample.avro.clone())).collect();
        let json = fields.iter().map(|(name, sample)| ((*name).to_owned(), sample.json.clone()));
        Sample::new(event_of(&schemas), record(avro), Json::Object(json.collect()))
    })
}

pub(super) fn schemas() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(json!("null")),
        Just(json!("long")),
        Just(json!("double")),
        Just(json!("string")),
        Just(json!("a.b.Event")),
        Just(json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2})),
        (0_u32..9, any::<u32>())
            .prop_map(|(size, name)| json!({"type": "fixed", "name": format!("F{name}"), "size": size})),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            inner.clone().prop_map(|values| json!({"type": "map", "values": values})),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            (any::<u32>(), proptest::collection::vec(inner, 0..4)).prop_map(|(name, kinds)| {
                let fields: Vec<Json> = kinds
                    .iter()
                    .zip(0..)
                    .map(|(kind, i)| json!({"name": format!("f{i}"), "type": kind}))
                    .collect();
                json!({"type": "record", "name": format!("R{name}"), "fields": fields})
            }),
        ]
    })
}
