//! An Avro event means what the same event means in JSON, and no bytes and no schema do harm.

mod samples;

use apache_avro::types::Value as AvroValue;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use self::samples::{events, schemas};
use super::*;
use crate::event::decode;
use crate::event::scan::MAX_SHAPES;

const LIMITS: Limits = Limits { max_bytes: 1 << 16, max_features: 12, max_depth: 4 };

fn reader(schema: &Json) -> AvroReader {
    let mut reader = AvroReader::new(LIMITS);
    reader.set_schema(
        Schema::parse(&schema.to_string(), &[]).unwrap_or_else(|error| panic!("{error}: {schema}")),
    );
    reader
}

/// A schema of an event with these fields.
fn event_of(fields: &[(&str, Json)]) -> Json {
    let fields: Vec<Json> = fields.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
    json!({"type": "record", "name": "Event", "namespace": "a.b", "fields": fields})
}

fn record(values: Vec<(&str, AvroValue)>) -> AvroValue {
    AvroValue::Record(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Bytes as the Avro library writes them.
fn bytes(schema: &Json, value: AvroValue) -> Vec<u8> {
    let schema = apache_avro::Schema::parse(schema).unwrap_or_else(|error| panic!("{error}: {schema}"));
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
    writer.write_value_to_vec(value).expect("a value of the schema")
}

/// An event as text in which the sign of zero tells; features and segment fields sorted.
fn told(mut event: Event<'_>) -> String {
    let sort = |fields: &mut Vec<(Cow<'_, str>, Scalar<'_>)>| fields.sort_by(|a, b| a.0.cmp(&b.0));
    event.features.iter_mut().for_each(sort);
    sort(&mut event.segment);
    format!("{event:?}")
}

fn reads(reader: &mut AvroReader, payload: &[u8]) -> Result<String, Refusal> {
    Ok(match reader.read(payload)? {
        Read::Placed(scanned, shape, bytes) => {
            assert_eq!(scanned.features.len(), shape.features().len());
            assert_eq!(scanned.segment.len(), shape.segment().len());
            let event = scanned.event(bytes, shape);
            assert_eq!(scanned.is_feedback(), event.is_feedback());
            told(event)
        }
        Read::Whole(event) => told(*event),
    })
}

fn strict(json: &Json) -> Result<String, Refusal> {
    decode(json.to_string().as_bytes(), &LIMITS).map(told)
}

proptest! {
    #[test]
    fn an_avro_event_means_what_the_same_event_means_in_json(
        stream in proptest::collection::vec(events(), 1..4),
    ) {
        // Twice each: with names that are learned, and with names that are known.
        for event in &stream {
            let payload = bytes(&event.schema, event.avro.clone());
            let mut reader = reader(&event.schema);
            for _ in 0..2 {
                match (reads(&mut reader, &payload), strict(&event.json)) {
                    (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs, "{}", event.json),
                    // Nulls take no bytes.
                    (Err(Refusal::Empty), _) if payload.is_empty() => {}
                    (Err(ours), Err(theirs)) => prop_assert!(
                        ours.reason() == theirs.reason() || faults(&event.json) > 1,
                        "{ours} instead of {theirs}: {}", event.json
                    ),
                    (ours, theirs) => prop_assert!(false, "{:?} instead of {:?}: {}", ours, theirs, event.json),
                }
            }
        }
    }

    #[test]
    fn whatever_becomes_of_the_bytes_an_event_or_a_reason_comes_out(
        event in events(),
        harms in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..12),
    ) {
        let payload = bytes(&event.schema, event.avro.clone());
        let mut reader = reader(&event.schema);
        for (at, byte, what) in harms {
            let mut harmed = payload.clone();
            let at = at.index(harmed.len() + 1);
            match what {
                0 => harmed.truncate(at),
                1 => harmed.insert(at, byte),
                2 => drop(harmed.splice(at..at, [0xff; 9])),
                _ => if let Some(old) = harmed.get_mut(at) { *old = byte },
            }
            // The bytes may still be an event; then it is one within the limits.
            if let Ok(event) = reader.read(&harmed).map(Read::event) {
                prop_assert!(event.features.is_none_or(|features| features.len() <= LIMITS.max_features));
            }
        }
    }

    #[test]
    fn whatever_a_schema_says_it_is_read_or_refused(
        text in r#"[\[\]{}":,a-z0-9]{0,60}"#,
        schema in schemas(),
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = Schema::parse(&text, &[]);
        if let Ok(schema) = Schema::parse(&event_of(&[("features", schema.clone()), ("other", schema)]).to_string(), &[]) {
            let mut reader = AvroReader::new(LIMITS);
            reader.set_schema(schema);
            let _ = reader.read(&payload);
        }
    }
}

/// How many of an event's fields are refused; which one is told depends on their order.
fn faults(event: &Json) -> usize {
    let Json::Object(fields) = event else { return 1 };
    let mut faults: usize =
        fields.iter().filter(|(name, value)| strict(&json!({name.as_str(): value})).is_err()).count();
    // Within an object too.
    for name in ["features", "segment"] {
        if let Some(Json::Object(members)) = fields.get(name) {
            let deep = members
                .iter()
                .filter(|(member, value)| strict(&json!({name: {member.as_str(): value}})).is_err());
            faults += deep.count().saturating_sub(1) + usize::from(members.len() > LIMITS.max_features);
        }
    }
    faults
}

const MILLIS: i64 = 1_364_774_400_123;

#[test]
fn times_are_read_in_their_unit_and_local_ones_are_refused() {
    let read = |kind: Json, ticks: i64| {
        let schema = event_of(&[("ts", kind), ("label", json!("string"))]);
        let mut reader = reader(&schema);
        let long = event_of(&[("ts", json!("long")), ("label", json!("string"))]);
        let payload = bytes(
            &long,
            record(vec![("ts", AvroValue::Long(ticks)), ("label", AvroValue::String("x".into()))]),
        );
        reader.read(&payload).map(|read| read.event().ts)
    };
    let logical = |name: &str| json!({"type": "long", "logicalType": name});
    assert_eq!(read(json!("long"), MILLIS), Ok(Some(MILLIS)));
    assert_eq!(read(logical("timestamp-millis"), MILLIS), Ok(Some(MILLIS)));
    assert_eq!(read(logical("timestamp-micros"), MILLIS * 1_000 + 999), Ok(Some(MILLIS)));
    assert_eq!(read(logical("timestamp-nanos"), MILLIS * 1_000_000 + 999_999), Ok(Some(MILLIS)));
    assert_eq!(read(logical("nobody-knows"), MILLIS), Ok(Some(MILLIS)));
    for (kind, ticks) in [
        (logical("local-timestamp-millis"), MILLIS),
        (logical("timestamp-micros"), MILLIS),
        (json!("long"), MILLIS * 1_000),
        (json!("long"), -1),
    ] {
        assert_eq!(read(kind, ticks).map_err(|refusal| refusal.reason()), Err("bad_timestamp"));
    }
}

#[test]
fn enums_and_decimals_are_texts_and_numbers() {
    let schema = event_of(&[
        ("model", json!({"type": "enum", "name": "Model", "symbols": ["fraud", "churn"]})),
        (
            "features",
            json!({"type": "record", "name": "Features", "fields": [
            {"name": "country", "type": ["null", {"type": "enum", "name": "Country", "symbols": ["DE", "FR"]}]},
            {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2}},
            {"name": "fine", "type": {"type": "fixed", "name": "Fine", "size": 3, "logicalType": "decimal", "precision": 4, "scale": 1}},
            {"name": "raw", "type": "bytes"},
            {"name": "text", "type": "string"}]}),
        ),
        ("label", json!("a.b.Country")),
    ]);
    let mut reader = reader(&schema);
    let payload = |amount: &[u8]| {
        [&b"\x02\x02\x00"[..], &[amount.len() as u8 * 2], amount, b"\xff\xff\x85\x04ab\x08text\x02"].concat()
    };
    let expected = |amount: f64| {
        format!(
            r#"{{"model":"churn","features":{{"country":"DE","amount":{amount:?},"fine":-12.3,"raw":[],"text":"text"}},"label":"FR"}}"#
        )
    };
    let huge = 123_456_789_012_345_678_901_234_567_i128.to_be_bytes();
    for (amount, number) in [
        (&b"\x04\xd2"[..], 12.34),
        (b"", 0.0),
        (b"\xff", -0.01),
        (&huge, 1_234_567_890_123_456_789_012_345.67),
    ] {
        let expected = decode(expected(number).as_bytes(), &LIMITS).map(told);
        for _ in 0..2 {
            assert_eq!(reads(&mut reader, &payload(amount)), expected);
        }
    }
    let wrong_symbol = [b"\x04", &payload(b"")[1..]].concat();
    assert_eq!(reads(&mut reader, &wrong_symbol).map_err(|refusal| refusal.reason()), Err("not_avro"));
}

#[test]
fn a_union_of_predictions_and_feedback_is_two_kinds_of_events() {
    let schema = json!([
        {"type": "record", "name": "Prediction", "fields": [{"name": "features", "type": {"type": "map", "values": "double"}}]},
        {"type": "record", "name": "Feedback", "fields": [{"name": "id", "type": "string"}, {"name": "label", "type": "boolean"}]},
        "null"
    ]);
    let mut reader = reader(&schema);
    let one = 1_f64.to_le_bytes();
    let prediction = [&b"\x00\x02\x02a"[..], &one, b"\x00"].concat();
    assert_eq!(reads(&mut reader, &prediction), strict(&json!({"features": {"a": 1.0}})));
    assert_eq!(reads(&mut reader, b"\x02\x02x\x01"), strict(&json!({"id": "x", "label": true})));
    let refused =
        |payload: &[u8], reader: &mut AvroReader| reads(reader, payload).map_err(|refusal| refusal.reason());
    assert_eq!(refused(b"\x04", &mut reader), Err("wrong_shape"));
    assert_eq!(refused(b"\x06", &mut reader), Err("not_avro"));
}

/// A schema with a map of features, and one with whatever is not counted.
fn two() -> (Json, Json) {
    let any = json!({"type": "array", "items": {"type": "array", "items": "null"}});
    let map = json!({"type": "map", "values": ["null", "double", "string"]});
    (event_of(&[("features", map)]), event_of(&[("other", any)]))
}

#[test]
fn hostile_bytes_are_refused_with_a_reason() {
    let (map, other) = two();
    let deep =
        json!({"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]});
    let deep = event_of(&[("other", deep)]);
    let minus = |count: i64| bytes(&json!("long"), AvroValue::Long(count));
    let many: Vec<u8> = (0..20_u8).flat_map(|i| [2, b'a' + i, 0]).collect();
    let cases: [(&Json, Vec<u8>, &str); 14] = [
        (&map, b"".to_vec(), "empty"),
        (&map, vec![0; LIMITS.max_bytes + 1], "too_large"),
        (&map, b"\x02\x02a\x02\x00\x00".to_vec(), "not_avro"),
        (&map, [&minus(i64::MAX)[..], b"\x02a\x00\x02b\x00"].concat(), "not_avro"),
        (&map, [&minus(i64::MIN)[..], b"\x01\x02a\x00"].concat(), "not_avro"),
        (&map, [&b"\x02"[..], &minus(i64::MAX), b"abc"].concat(), "not_avro"),
        (&map, [&b"\x02"[..], &minus(-2), b"abc"].concat(), "not_avro"),
        (&map, b"\x02\x04\xff\xfe\x00\x00".to_vec(), "not_avro"),
        (&map, [&[0xff; 11][..], b"\x00"].concat(), "not_avro"),
        (&map, b"\x00\x00".to_vec(), "not_avro"),
        (&map, b"\x04\x02a\x00\x02a\x00\x00".to_vec(), "duplicate_key"),
        (&map, [&b"\x28"[..], &many, b"\x00"].concat(), "too_many_features"),
        (&map, [&b"\x02\x84\x02"[..], &[b'x'; 130], b"\x00\x00"].concat(), "name_too_long"),
        (&deep, vec![2; 60_000], "too_deep"),
    ];
    for (schema, payload, reason) in cases {
        let mut reader = reader(schema);
        for _ in 0..2 {
            let refused = reads(&mut reader, &payload).map_err(|refusal| refusal.reason());
            assert_eq!(refused, Err(reason), "{payload:?}");
        }
    }
    // A number of nulls that no loop would live to see, without a byte for any of them.
    let nulls = [&b"\x02"[..], &minus(i64::MAX), b"\x00\x00"].concat();
    assert!(reads(&mut reader(&other), &nulls).is_ok());
}

#[test]
fn blocks_may_come_with_their_size() {
    let (map, _) = two();
    let mut reader = reader(&map);
    let one = 1_f64.to_le_bytes();
    let payload = [&b"\x01\x16\x02a\x02"[..], &one, b"\x02\x02b\x00\x00"].concat();
    assert_eq!(reads(&mut reader, &payload), strict(&json!({"features": {"a": 1.0, "b": null}})));
}

#[test]
fn hostile_schemas_are_refused_or_cost_little() {
    let parse = |schema: &Json| Schema::parse(&schema.to_string(), &[]);
    let endless = json!({"type": "record", "name": "A", "fields": [{"name": "a", "type": "A"}]});
    assert!(matches!(parse(&endless), Err(SchemaError::Endless(name)) if name == "A"));
    let deep = format!("{}\"long\"{}", "{\"type\":".repeat(5_000), "}".repeat(5_000));
    assert!(matches!(Schema::parse(&deep, &[]), Err(SchemaError::Json(_))));
    let many: Vec<Json> = (0..20_000).map(|i| json!({"name": format!("f{i}"), "type": "int"})).collect();
    let many = json!({"type": "record", "name": "A", "fields": many});
    assert!(matches!(parse(&many), Err(SchemaError::TooLarge { .. })));
    let long = format!("{}\"long\"", " ".repeat(MAX_SCHEMA_BYTES));
    assert!(matches!(Schema::parse(&long, &[]), Err(SchemaError::TooLarge { .. })));
    for wrong in [
        "\"long\"",
        "[]",
        "[\"null\"]",
        "{}",
        "7",
        "{\"type\":\"record\"}",
        "\"Unknown\"",
        "{\"type\":\"fixed\",\"name\":\"F\"}",
    ] {
        assert!(Schema::parse(wrong, &[]).is_err(), "{wrong}");
    }
    // Twice as many nulls with each record: 2 to the power of 40 in no bytes at all.
    let mut kind = json!({"type": "record", "name": "R0", "fields": [{"name": "n", "type": "null"}]});
    for level in 1..40 {
        kind = json!({"type": "record", "name": format!("R{level}"), "fields": [
            {"name": "a", "type": kind}, {"name": "b", "type": format!("R{}", level - 1)}]});
    }
    let schema = json!({"type": "record", "name": "Event", "fields": [{"name": "other", "type": kind}, {"name": "label", "type": "boolean"}]});
    let schema = parse(&schema).expect("a schema");
    let mut reader = AvroReader::new(Limits { max_depth: 100, ..LIMITS });
    reader.set_schema(schema.clone());
    assert!(reader.read(b"\x01").is_ok());
    let mut reader = AvroReader::new(LIMITS);
    reader.set_schema(schema);
    assert_eq!(reads(&mut reader, b"\x01").map_err(|refusal| refusal.reason()), Err("too_deep"));
}

#[test]
fn names_of_other_schemas_are_found_with_and_without_their_namespace() {
    let country = r#"{"type": "enum", "name": "Country", "namespace": "x.y", "symbols": ["DE"]}"#;
    let features =
        r#"{"type": "record", "name": "x.y.Features", "fields": [{"name": "country", "type": "Country"}]}"#;
    let event =
        r#"{"type": "record", "name": "x.Event", "fields": [{"name": "features", "type": "x.y.Features"}]}"#;
    let mut reader = AvroReader::new(LIMITS);
    assert!(Schema::parse(event, &[country]).is_err());
    reader.set_schema(Schema::parse(event, &[country, features]).expect("a schema"));
    assert_eq!(reads(&mut reader, b"\x00"), strict(&json!({"features": {"country": "DE"}})));
}

/// A framed event of the schema with this number, whose one feature has this name.
fn framed(id: u32, name: &str) -> Vec<u8> {
    let name = [&[name.len() as u8 * 2], name.as_bytes()].concat();
    [&[0][..], &id.to_be_bytes(), b"\x02", &name, b"\x00\x00"].concat()
}

#[test]
fn the_number_before_a_record_names_its_schema() {
    let (map, _) = two();
    let schema = || Schema::parse(&map.to_string(), &[]).ok();
    let mut reader = AvroReader::new(LIMITS);
    let payload = framed(7, "a");
    assert_eq!(reader.lacks(&payload), Some(7));
    assert_eq!(reads(&mut reader, &payload), Err(Refusal::UnknownSchema { id: 7 }));
    reader.learn_schema(7, None);
    assert_eq!(reader.lacks(&payload), None);
    assert_eq!(reads(&mut reader, &payload), Err(Refusal::UnknownSchema { id: 7 }));
    reader.forget_missing();
    assert_eq!(reader.lacks(&payload), Some(7));
    reader.learn_schema(7, schema());
    assert_eq!(reader.lacks(&payload), None);
    assert_eq!(reads(&mut reader, &payload), strict(&json!({"features": {"a": null}})));
    for other in [&b"{}"[..], b"\x00\x00\x00", b"\x01\x00\x00\x00\x07\x00"] {
        assert_eq!(reader.lacks(other), None);
        assert_eq!(reads(&mut reader, other).map_err(|refusal| refusal.reason()), Err("not_avro"));
    }
}

#[test]
fn schemas_and_names_are_bounded_whatever_comes() {
    let (map, _) = two();
    let schema = || Schema::parse(&map.to_string(), &[]).ok();
    let mut reader = AvroReader::new(LIMITS);
    let mut asked = 0;
    let records = 20_000_u32;
    for id in 0..records {
        let payload = framed(id, &format!("n{id}"));
        if reader.lacks(&payload).is_some() {
            asked += 1;
            reader.learn_schema(id, schema());
        }
        // What is not looked up is refused, and what is gets its names, learned or not.
        let expected = strict(&json!({"features": {format!("n{id}"): null}}));
        assert!(
            reads(&mut reader, &payload)
                .map_or_else(|refusal| refusal.reason() == "unknown_schema", |event| Ok(event) == expected)
        );
        assert!(reader.known.size() <= MAX_SCHEMAS);
    }
    assert!(asked <= MAX_SCHEMAS as u32 + records / 64 + 1, "{asked}");
    let learned = reader.learned();
    assert!(learned.shapes <= MAX_SHAPES as u64 + u64::from(records) / 64, "{learned:?}");
    assert!(learned.declined > 0, "{learned:?}");
}
