//! Decoding allocates nothing once an event's shape is known, counted by the allocator of this test.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

use anchorwatch::event::Limits;
use anchorwatch::event::avro::{AvroReader, Read, Schema};
use anchorwatch::event::scan::{BYTES_A_NAME, MAX_NAMES, Scanner};

const LIMITS: Limits = Limits { max_bytes: 1 << 16, max_features: 64, max_depth: 8 };

/// Events that differ in all that may differ within two shapes: values, order, blanks, fields left out, feedback.
fn event(number: usize) -> String {
    let fields = ["\"temp\":-1.25", "\"carrier\":\"UA\"", "\"delay\":0.8414709848078965e-3", "\"gust\":null"];
    let mut fields: Vec<&str> = fields.iter().copied().cycle().skip(number % 4).take(4).collect();
    fields.truncate(2 + number % 3);
    let model = if number.is_multiple_of(2) { "flights" } else { "trains" };
    let json = format!(
        r#"{{"id":"r{number}","model":"{model}","version":"1.0.0","ts":"2025-06-15T15:06:40.123Z","extra":[{{"a":[]}}],
        "features":{{{}}},"segment":{{"origin":"Zürich"}},"prediction":{{"label":"late","score":0.5}}}}"#,
        fields.join(",")
    );
    match number % 5 {
        0 => format!(r#"{{"id":{number},"model":"{model}","label":true}}"#),
        1 => json.replace("\":", "\": ").replace(",\"", ", \""),
        _ => json,
    }
}

#[test]
fn an_event_of_a_known_shape_is_scanned_without_an_allocation() {
    // More ways to write an event than are read by templates, which are made ever less often.
    let events: Vec<String> = (0..2_400).map(event).collect();
    let mut scanner = Scanner::new(LIMITS);
    for json in &events[..2_100] {
        scanner.scan(json.as_bytes()).expect("a usual event");
    }
    let learned = scanner.learned();
    let counted = allocation_counter::measure(|| {
        for json in &events[2_100..] {
            scanner.scan(json.as_bytes()).expect("a usual event");
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(scanner.learned(), learned);
    let owned = allocation_counter::measure(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(1))));
    assert_eq!(owned.count_total, 1, "the allocator counts");
}

/// Features in a map, and an enum.
const WITH_MAP: &str = r#"{"type": "record", "name": "E", "fields": [{"name": "model", "type": "string"},
    {"name": "version", "type": {"type": "enum", "name": "V", "symbols": ["1.0.0", "1.1.0"]}},
    {"name": "features", "type": {"type": "map", "values": ["null", "double", "string"]}}]}"#;
/// Features in a record.
const WITH_RECORD: &str = r#"{"type": "record", "name": "E", "fields": [{"name": "model", "type": "string"},
    {"name": "features", "type": {"type": "record", "name": "F", "fields": [{"name": "a", "type": ["null", "double"]},
        {"name": "b", "type": "string"},
        {"name": "c", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 4}}]}}]}"#;

/// A record of one schema or the other, behind its number.
fn record(number: usize) -> Vec<u8> {
    let id = u32::try_from(number % 2).expect("one or two");
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short") << 1], text.as_bytes()].concat();
    let model = text(if number.is_multiple_of(3) { "flights" } else { "trains" });
    let value = (number as f64).to_le_bytes();
    let body = if id == 0 {
        let member = |name: &str, value: &[u8]| [&text(name), value].concat();
        let mut members = vec![
            member("amount", &[&[2][..], &value].concat()),
            member("country", &[&[4][..], &text("Zürich")].concat()),
            member("a name of some length, for once", &[0]),
        ];
        members.rotate_left(number % 3);
        members.truncate(2 + number % 2);
        let count = u8::try_from(members.len()).expect("few") << 1;
        [&[2][..], &[count], &members.concat(), &[0]].concat()
    } else {
        [&[2][..], &value, &text("UA"), &[32], &u128::MAX.to_be_bytes()].concat()
    };
    [&[0][..], &id.to_be_bytes(), &model, &body].concat()
}

#[test]
fn an_avro_event_of_a_known_schema_is_read_without_an_allocation() {
    let records: Vec<Vec<u8>> = (0..600).map(record).collect();
    let mut reader = AvroReader::new(LIMITS);
    for (id, schema) in [WITH_MAP, WITH_RECORD].into_iter().enumerate() {
        let schema = Schema::parse(schema, &[]).expect("a schema");
        reader.learn_schema(u32::try_from(id).expect("small"), Some(schema));
    }
    let mut read = |payload: &[u8]| {
        let read = reader.read(payload).expect("an event");
        assert!(matches!(read, Read::Placed(..)));
    };
    records[..300].iter().for_each(|payload| read(payload));
    let counted = allocation_counter::measure(|| records[300..].iter().for_each(|payload| read(payload)));
    assert_eq!(counted.count_total, 0);
}

/// Memory of a decoder that has met so many events with names of the greatest length that were never seen before.
fn learned_bytes(mut read: impl FnMut(&str)) -> u64 {
    let counted = allocation_counter::measure(|| {
        for event in 0..500 {
            let names: Vec<String> =
                (0..1_000).map(|name| format!("{event:>64}{name:>64}").replace(' ', "x")).collect();
            names.chunks(1_000).for_each(|names| read(&names.join(" ")));
        }
    });
    u64::try_from(counted.bytes_current).expect("it holds memory")
}

#[test]
fn names_that_are_learned_take_no_more_memory_than_is_stated() {
    let limits = Limits { max_bytes: 1 << 20, max_features: 1_024, max_depth: 8 };
    let mut scanner = Scanner::new(limits);
    let of_json = learned_bytes(|names| {
        let fields: Vec<String> = names.split(' ').map(|name| format!("\"{name}\":1")).collect();
        scanner.scan(format!("{{\"features\":{{{}}}}}", fields.join(",")).as_bytes());
    });
    let mut reader = AvroReader::new(limits);
    let schema = r#"{"type": "record", "name": "E", "fields": [
        {"name": "features", "type": {"type": "map", "values": "null"}}]}"#;
    reader.set_schema(Schema::parse(schema, &[]).expect("a schema"));
    let of_avro = learned_bytes(|names| {
        // 1,000 members of 128 bytes each, by their lengths as Avro writes them.
        let members: Vec<u8> =
            names.split(' ').flat_map(|name| [b"\x80\x02", name.as_bytes()].concat()).collect();
        drop(reader.read(&[b"\xd0\x0f", &members[..], b"\x00"].concat()).expect("an event"));
    });
    let most = (MAX_NAMES * BYTES_A_NAME) as u64;
    for (format, bytes) in [("JSON", of_json), ("Avro", of_avro)] {
        assert!(bytes > most / 4, "{format}: so many names were learned: {bytes}");
        assert!(bytes < most, "{format}: {bytes} of {most} bytes");
    }
    assert!(scanner.learned().forgotten > 0);
}
