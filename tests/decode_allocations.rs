//! Decoding allocates nothing once an event's shape is known, counted by the allocator of this test.

use anchorwatch::event::Limits;
use anchorwatch::event::scan::Scanner;

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
    let events: Vec<String> = (0..600).map(event).collect();
    let mut scanner = Scanner::new(LIMITS);
    for json in &events[..300] {
        scanner.scan(json.as_bytes()).expect("a usual event");
    }
    let learned = scanner.learned();
    let counted = allocation_counter::measure(|| {
        for json in &events[300..] {
            scanner.scan(json.as_bytes()).expect("a usual event");
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(scanner.learned(), learned);
    let owned = allocation_counter::measure(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(1))));
    assert_eq!(owned.count_total, 1, "the allocator counts");
}
