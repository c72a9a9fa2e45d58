//! What the scanner takes, and that it never reads anything else than the strict decoder does.

use proptest::prelude::*;

use super::*;
use crate::event::{Event, Scalar};

const LIMITS: Limits = Limits { max_bytes: 1 << 16, max_features: 40, max_depth: 4 };

const USUAL: &str = r#"{"id":"r1","model":"flights","version":"1.0.0","ts":1364774400123,"features":{"temp":39.0,"carrier":"UA","gust":null,"wet":true,"delay":-0.25},"prediction":{"label":"late","score":0.61},"latency_ms":5.2,"segment":{"origin":"JFK","cabin":"Zürich"}}"#;

/// An event as text in which the order of names and the sign of zero tell; features and segment fields sorted.
fn told(mut event: Event<'_>) -> String {
    let sort =
        |fields: &mut Vec<(std::borrow::Cow<'_, str>, Scalar<'_>)>| fields.sort_by(|a, b| a.0.cmp(&b.0));
    event.features.iter_mut().for_each(sort);
    sort(&mut event.segment);
    format!("{event:?}")
}

/// Scans, and compares with the strict decoder whatever was taken; whether it was.
fn taken(scanner: &mut Scanner, payload: &[u8]) -> bool {
    let Some(scanned) = scanner.scan(payload).cloned() else { return false };
    let shape = scanner.shape(scanned.shape);
    assert_eq!(scanned.features.len(), shape.features().len());
    assert_eq!(scanned.segment.len(), shape.segment().len());
    let strict = decode(payload, &LIMITS);
    let text = String::from_utf8_lossy(payload);
    let strict = strict.unwrap_or_else(|refusal| panic!("taken, but refused: {refusal}: {text}"));
    assert_eq!(scanned.is_feedback(), strict.is_feedback(), "{text}");
    assert_eq!(told(scanned.event(payload, shape)), told(strict), "{text}");
    true
}

fn takes(json: &str) -> bool {
    taken(&mut Scanner::new(LIMITS), json.as_bytes())
}

#[test]
fn a_usual_event_is_taken_in_any_order_and_spacing() {
    let mut scanner = Scanner::new(LIMITS);
    assert!(taken(&mut scanner, USUAL.as_bytes()));
    let spaced = USUAL.replace("\":", "\": ").replace(",\"", ", \"");
    let wide = USUAL.replace(':', " :\r\n\t").replace(',', " ,\n").replace('}', "\n}");
    let turned = r#"{"segment":{"cabin":"x","origin":"y"},"features":{"wet":1,"temp":2,"delay":3,"carrier":4},"model":"flights"}"#;
    for json in [&spaced, USUAL, &wide, turned, &spaced, &format!(" {USUAL}\n"), turned, &wide] {
        assert!(taken(&mut scanner, json.as_bytes()), "{json}");
    }
    assert_eq!(scanner.learned(), Learned { shapes: 1, ..Learned::default() });
}

#[test]
fn producers_that_write_differently_take_turns() {
    let mut scanner = Scanner::new(LIMITS);
    let spaced = USUAL.replace("\":", "\": ").replace(",\"", ", \"");
    let without_gust = USUAL.replace("\"gust\":null,", "");
    let long = USUAL.replace("39.0", "3.9000000000000004e1").replace("JFK", &"J".repeat(60));
    let plain = USUAL.replace(r#"{"label":"late","score":0.61}"#, "0.61");
    let empty = r#"{"model":"flights","version":"1.0.0","ts":1364774400123,"features":{},"label":true}"#;
    for turn in 0..200 {
        let events = [&*spaced, USUAL, &without_gust, &long, &plain, empty, USUAL];
        let event = events[turn * 5 % 7].replace("39.0", &format!("{}.5", turn % 50));
        assert!(taken(&mut scanner, event.as_bytes()), "{event}");
    }
}

#[test]
fn events_with_other_fields_are_taken() {
    for json in [
        "{}",
        r#"{"features":{}}"#,
        r#"{"features":null,"segment":null,"ts":null,"id":null,"model":null,"latency_ms":null,"label":null}"#,
        r#"{"id":7,"version":1.5,"label":"late"}"#,
        r#"{"prediction":true}"#,
        r#"{"prediction":"late","score":[1]}"#,
        r#"{"prediction":0.5,"score":1}"#,
        r#"{"score":1,"prediction":0.5}"#,
        r#"{"score":1,"prediction":{"score":null}}"#,
        r#"{"prediction":{"label":null,"why":{"a":[]}},"score":null}"#,
        r#"{"prediction":{}}"#,
        r#"{"ts":"2013-04-01T02:00:00.123+02:00"}"#,
        r#"{"extra":[1,{"a":2,"b":[]},{}],"features":{"x":[1,{}]}}"#,
        r#"{"other":1,"other":{"a":1,"a":2}}"#,
        r#"{"":1,"features":{"":1}}"#,
    ] {
        assert!(takes(json), "{json}");
    }
}

#[test]
fn what_is_unusual_or_broken_is_left_to_the_strict_decoder() {
    let long = "x".repeat(MAX_NAME);
    for json in [
        "",
        " ",
        "[]",
        "{",
        r#"{"id":"a"#,
        r#"{"id":"a"}}"#,
        r#"{"id":"a",}"#,
        r#"{"id" "a"}"#,
        r#"{"i\u0064":"a"}"#,
        r#"{"id":"a\n"}"#,
        "{\"id\":\"a\n\"}",
        r#"{"id":true}"#,
        r#"{"model":7}"#,
        r#"{"model":"a","model":"a"}"#,
        r#"{"features":{"a":1,"a":2}}"#,
        r#"{"features":[1]}"#,
        r#"{"features":{"a":[[[1]]]}}"#,
        r#"{"features":{"a":1}"#,
        r#"{"features":{"a\"":1}}"#,
        r#"{"features":{"a":1,}}"#,
        r#"{"prediction":[1]}"#,
        r#"{"prediction":{"score":1,"score":1}}"#,
        r#"{"label":{}}"#,
        r#"{"ts":true}"#,
        r#"{"ts":"yesterday"}"#,
        r#"{"ts":1364774400}"#,
        r#"{"latency_ms":"5"}"#,
        r#"{"x":[1,]}"#,
        r#"{"x":[1}"#,
        r#"{"x":{"a"}}"#,
        r#"{"x":{1:2}}"#,
        r#"{"x":nul}"#,
        r#"{"x":nulll}"#,
        &format!(r#"{{"id":"{long}"}}"#),
        &format!(r#"{{"features":{{"{long}":1}}}}"#),
        &format!(r#"{{"x":{}1{}}}"#, "[".repeat(90), "]".repeat(90)),
        &format!("{{\"x\":\"{}\"}}", "x".repeat(LIMITS.max_bytes)),
    ] {
        assert!(!takes(json), "{json}");
    }
    assert!(!taken(&mut Scanner::new(LIMITS), b"{\"id\":\"\xff\"}"));
    assert!(!taken(&mut Scanner::new(LIMITS), b"{\"features\":{\"\xc3\x28\":1}}"));
}

const MAX_NAME: usize = crate::event::MAX_NAME_BYTES + 1;

#[test]
fn a_learned_name_with_a_quote_never_stands_for_broken_json() {
    let mut scanner = Scanner::new(LIMITS);
    for json in
        [r#"{"features":{"a\":1,\"b":2}}"#, r#"{"features":{"a":1,"b":2}}"#, r#"{"features":{"a\":1}}"#]
    {
        taken(&mut scanner, json.as_bytes());
    }
    assert_eq!(scanner.learned().shapes, 1);
}

#[test]
fn producers_that_leave_out_what_they_do_not_know_share_a_shape() {
    let mut scanner = Scanner::new(LIMITS);
    let names = ["a", "b", "c", "d", "e", "f"];
    for left_out in 3..40_usize {
        let fields: Vec<String> = names
            .iter()
            .enumerate()
            .filter(|(i, _)| (left_out * 7 + i * i) % 5 != 0)
            .map(|(i, name)| format!("\"{name}\":{i}"))
            .collect();
        assert!(taken(&mut scanner, format!("{{\"features\":{{{}}}}}", fields.join(",")).as_bytes()));
    }
    let learned = scanner.learned();
    assert!(learned.shapes == 1 && (1..=5).contains(&learned.widened), "{learned:?}");
}

#[test]
fn interleaved_models_keep_their_shapes() {
    let mut scanner = Scanner::new(LIMITS);
    let event = |model: usize| {
        format!(r#"{{"model":"m{model}","version":"1","features":{{"x{model}":1,"y{model}":2}}}}"#)
    };
    for turn in 0..50 {
        for model in 0..40 {
            assert!(taken(&mut scanner, event((turn * 7 + model * 11) % 40).as_bytes()));
        }
    }
    assert_eq!(scanner.learned(), Learned { shapes: 40, ..Learned::default() });
}

#[test]
fn many_and_long_names_are_found_in_any_order() {
    let mut scanner = Scanner::new(LIMITS);
    let name = |i: usize| format!("{}{i}", "name-of-some-length-".repeat(i % 6));
    for turn in 0..60 {
        let of = if turn % 2 == 0 { 40 } else { 20 };
        let turned = (0..of).map(|i| (i * 7 + turn) % of).filter(|i| i % 5 != turn % 5);
        let fields: Vec<String> = turned.map(|i| format!("\"{}\":{i}", name(i))).collect();
        for json in [fields.join(","), fields.join(" , ")] {
            assert!(taken(&mut scanner, format!("{{\"features\":{{{json}}}}}").as_bytes()), "{json}");
        }
    }
    let almost = format!("{{\"features\":{{\"{}x\":1}}}}", name(5));
    assert!(taken(&mut scanner, almost.as_bytes()));
}

#[test]
fn memory_and_learning_are_bounded_whatever_names_come() {
    let mut scanner = Scanner::new(LIMITS);
    let mut ids = std::collections::HashSet::new();
    let events = 30_000;
    for name in 0..events {
        let json = format!(r#"{{"features":{{"n{name}":1,"m{name}":1}},"k{name}":1}}"#);
        if taken(&mut scanner, json.as_bytes()) {
            ids.insert(scanner.shape(scanner.scanned.shape).id());
        }
    }
    let learned = scanner.learned();
    assert_eq!(learned.shapes, ids.len() as u64);
    assert_eq!(learned.forgotten, learned.shapes - (MAX_SHAPES as u64 - 1));
    assert_eq!(learned.shapes + learned.declined, events);
    assert!(learned.shapes <= MAX_SHAPES as u64 + events / 64, "{learned:?}");
}

#[test]
fn an_index_that_never_was_one_has_no_names() {
    let scanner = Scanner::new(LIMITS);
    assert!(scanner.shape(7).features().is_empty() && scanner.shape(7).id() == 0);
}

/// Text of a number as producers write it, and as none would.
fn numbers() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(|x| format!("{x:?}")),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(|x| format!("{x}")),
        any::<u64>().prop_map(|bits| format!("{:e}", f64::from_bits(bits >> 1))
            .replace("NaN", "1")
            .replace("inf", "2")),
        (-2_000.0..2_000.0).prop_map(|x: f64| format!("{x:.4}")),
        any::<i64>().prop_map(|x| x.to_string()),
        any::<u128>().prop_map(|x| x.to_string()),
        r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?",
        r"-?[0-9.]{0,10}[eE+-]{0,2}[0-9]{0,3}",
    ]
}

fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => numbers(),
        4 => "[ -~]{0,40}".prop_map(|text| serde_json::Value::from(text).to_string()),
        2 => ".{0,20}".prop_map(|text| format!("\"{text}\"")),
        1 => Just("null".to_owned()),
        1 => Just("true".to_owned()),
        1 => Just("false".to_owned()),
        1 => Just("1364774400123".to_owned()),
        1 => Just("\"2013-04-01T02:00:00.123+02:00\"".to_owned()),
        1 => "[\\[\\]{}\":,1]{0,12}",
    ]
}

fn objects(names: &'static str) -> impl Strategy<Value = String> {
    let field = (names, values()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    prop_oneof![
        9 => proptest::collection::vec(field, 0..8).prop_map(|fields| format!("{{{}}}", fields.join(","))),
        1 => values(),
    ]
}

fn fields() -> impl Strategy<Value = String> {
    prop_oneof![
        ("id|model|version|ts|latency_ms|label|score|extra|other|pred[a-z]{0,3}", values())
            .prop_map(|(name, value)| format!("\"{name}\":{value}")),
        objects("[a-e]|amount|country|[é\u{1f600}]{1,3}").prop_map(|object| format!("\"features\":{object}")),
        objects("region|[a-c]").prop_map(|object| format!("\"segment\":{object}")),
        objects("label|score|why").prop_map(|object| format!("\"prediction\":{object}")),
    ]
}

fn events() -> impl Strategy<Value = String> {
    let spacings = prop_oneof![4 => Just(""), 2 => Just(" "), 1 => Just("\n  "), 1 => Just("\t\r")];
    (proptest::collection::vec(fields(), 0..8), spacings).prop_map(|(fields, space)| {
        format!("{{{}}}", fields.join(&format!(",{space}"))).replace("\":", &format!("\":{space}"))
    })
}

/// What can happen to the bytes of an event.
#[derive(Debug, Clone)]
enum Harm {
    None,
    Cut(prop::sample::Index),
    Put(prop::sample::Index, u8),
    Insert(prop::sample::Index, String),
    Repeat(prop::sample::Index, prop::sample::Index),
}

fn harms() -> impl Strategy<Value = Harm> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        Just(Harm::None),
        index().prop_map(Harm::Cut),
        (index(), any::<u8>()).prop_map(|(at, byte)| Harm::Put(at, byte)),
        (index(), r#"[ \n"\\,:{}\[\]0-9eE.+-]{1,3}|null|\\u0061|ü"#)
            .prop_map(|(at, text)| Harm::Insert(at, text)),
        (index(), index()).prop_map(|(from, to)| Harm::Repeat(from, to)),
    ]
}

fn harmed(event: &str, harm: &Harm) -> Vec<u8> {
    let mut bytes = event.as_bytes().to_vec();
    let length = bytes.len();
    match harm {
        Harm::None => {}
        Harm::Cut(at) => bytes.truncate(at.index(length)),
        Harm::Put(at, byte) => bytes[at.index(length)] = *byte,
        Harm::Insert(at, text) => {
            let at = at.index(length);
            bytes.splice(at..at, text.bytes());
        }
        Harm::Repeat(from, to) => {
            let (from, to) = (from.index(length), to.index(length));
            let part = bytes[from.min(to)..from.max(to)].to_vec();
            bytes.splice(to..to, part);
        }
    }
    bytes
}

proptest! {
    #[test]
    fn numbers_are_read_to_the_last_bit(texts in proptest::collection::vec(numbers(), 1..6)) {
        let mut scanner = Scanner::new(LIMITS);
        for text in &texts {
            let json = format!(r#"{{"features":{{"a":{text},"b":{text}}}, "x": "{}"}}"#, "y".repeat(40));
            let is_taken = taken(&mut scanner, json.as_bytes());
            prop_assert_eq!(is_taken, decode(json.as_bytes(), &LIMITS).is_ok(), "{}", json);
        }
    }

    #[test]
    fn whatever_comes_is_read_as_the_strict_decoder_reads_it(
        stream in proptest::collection::vec((prop_oneof![1 => Just(USUAL.to_owned()), 3 => events()], harms()), 1..12),
    ) {
        let mut scanner = Scanner::new(LIMITS);
        for (event, harm) in &stream {
            taken(&mut scanner, &harmed(event, harm));
            taken(&mut scanner, event.as_bytes());
            // By the template of the event.
            taken(&mut scanner, &harmed(event, harm));
        }
    }

    #[test]
    fn an_event_written_like_another_is_read_with_its_own_values(
        rows in proptest::collection::vec(proptest::collection::vec(values(), 9), 2..8),
        spaced in any::<bool>(),
    ) {
        let mut scanner = Scanner::new(LIMITS);
        for row in &rows {
            let json = format!(
                r#"{{"id":{},"model":"flights","version":{},"ts":1364774400123,"features":{{"a":{},"b":{},"c":{}}},"extra":{},"prediction":{{"label":{},"score":{}}},"segment":{{"s":{}}}}}"#,
                row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8]
            );
            let json = if spaced { json.replace("\",\"", "\", \"").replace("\":", "\": ") } else { json };
            taken(&mut scanner, json.as_bytes());
        }
    }
}
