//! Records of any bytes under schemas of any text: whatever comes, an event within the limits or a reason comes out, and the
//! same one whether its names are known or not. The first line is a schema, or the number of one of ours; each line behind
//! it is a record.
#![no_main]

use anchorwatch::event::avro::{AvroReader, Read, Schema};
use anchorwatch::event::{Event, Limits};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { max_bytes: 2_048, max_features: 12, max_depth: 4 };

const SCHEMAS: [&str; 3] = [
    r#"{"type": "record", "name": "E", "fields": [{"name": "id", "type": ["null", "string", "long"]},
        {"name": "model", "type": "string"}, {"name": "version", "type": {"type": "enum", "name": "V", "symbols": ["1", "2"]}},
        {"name": "ts", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}, "string", "double"]},
        {"name": "features", "type": ["null", {"type": "map", "values": ["null", "double", "string", "boolean", "V",
            {"type": "array", "items": "string"}]}]},
        {"name": "segment", "type": {"type": "map", "values": "string"}}]}"#,
    r#"{"type": "record", "name": "E", "fields": [
        {"name": "features", "type": {"type": "record", "name": "F", "fields": [{"name": "a", "type": ["null", "double"]},
            {"name": "b", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3}},
            {"name": "c", "type": ["string", "int", "F"]}, {"name": "d", "type": "float"}]}},
        {"name": "prediction", "type": ["null", "string", "double", {"type": "map", "values": ["double", "string"]}]},
        {"name": "extra", "type": {"type": "array", "items": {"type": "map", "values": "F"}}}]}"#,
    r#"[{"type": "record", "name": "A", "fields": [{"name": "score", "type": "double"}, {"name": "next", "type": ["null", "A"]}]},
        {"type": "record", "name": "B", "fields": [{"name": "label", "type": ["boolean", "string", "bytes"]},
            {"name": "nothing", "type": {"type": "array", "items": {"type": "array", "items": "null"}}}]}]"#,
];

/// As text, in which the sign of zero tells; names sorted, because their order means nothing.
fn told(mut event: Event<'_>) -> String {
    assert!(event.features.as_ref().is_none_or(|features| features.len() <= LIMITS.max_features));
    if let Some(features) = &mut event.features {
        features.sort_by(|a, b| a.0.cmp(&b.0));
    }
    event.segment.sort_by(|a, b| a.0.cmp(&b.0));
    format!("{event:?}")
}

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let text = match first {
        [number @ b'0'..=b'2'] => SCHEMAS[usize::from(number - b'0')],
        _ => std::str::from_utf8(first).unwrap_or_default(),
    };
    let Ok(schema) = Schema::parse(text, &[]) else { return };
    let mut reader = AvroReader::new(LIMITS);
    reader.set_schema(schema.clone());
    for line in lines {
        let again = reader.read(line).map(|read| told(read.event()));
        let mut fresh = AvroReader::new(LIMITS);
        fresh.set_schema(schema.clone());
        let event = fresh.read(line).map(Read::event).map(told);
        assert_eq!(again.as_ref().ok(), event.as_ref().ok());
        assert_eq!(again.is_ok(), event.is_ok());
    }
});
