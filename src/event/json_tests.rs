//! What is read of an event, and why others are refused.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { max_bytes: 1 << 16, max_features: 4, max_depth: 4 };

fn refused(json: &str) -> Refusal {
    decode(json.as_bytes(), &LIMITS).expect_err("should be refused")
}

#[test]
fn a_full_prediction_borrows_every_text() {
    let json = br#"{"id":"r1","model":"flights","version":"1.0.0","ts":1364774400123,
        "features":{"temp":39.0,"carrier":"UA","gust":null,"wet":true},
        "prediction":{"label":"late","score":0.61},"latency_ms":5.2,"segment":{"origin":"JFK"},"extra":[1,{"a":2}]}"#;
    let event = decode(json, &LIMITS).expect("valid");
    assert!(matches!(event.model, Some(Cow::Borrowed("flights"))));
    assert_eq!(event.ts, Some(1_364_774_400_123));
    let features = event.features.expect("has features");
    assert_eq!(features[0], (Cow::Borrowed("temp"), Scalar::Number(39.0)));
    assert!(matches!(&features[1].1, Scalar::Text(Cow::Borrowed("UA"))));
    assert_eq!(features[2].1, Scalar::Missing);
    assert_eq!(event.prediction, Some(Scalar::Text("late".into())));
    assert_eq!(event.score, Some(Scalar::Number(0.61)));
    assert_eq!(event.segment, vec![("origin".into(), Scalar::Text("JFK".into()))]);
}

#[test]
fn a_number_is_a_score_and_a_text_is_a_label() {
    let event = decode(br#"{"prediction":0.25}"#, &LIMITS).expect("valid");
    assert_eq!((event.prediction, event.score), (None, Some(Scalar::Number(0.25))));
    let event = decode(br#"{"prediction":"yes"}"#, &LIMITS).expect("valid");
    assert_eq!((event.prediction, event.score), (Some(Scalar::Text("yes".into())), None));
}

#[test]
fn a_label_alone_is_feedback() {
    let event = decode(br#"{"id":"r1","model":"flights","label":"late","ts":1364780000000}"#, &LIMITS)
        .expect("valid");
    assert!(event.is_feedback());
}

#[test]
fn every_fault_has_its_reason() {
    assert_eq!(refused("").reason(), "empty");
    assert_eq!(refused("{").reason(), "not_json");
    assert_eq!(refused("{} {}").reason(), "not_json");
    assert_eq!(refused("[1]").reason(), "wrong_shape");
    assert_eq!(refused("7").reason(), "wrong_shape");
    assert_eq!(refused(r#"{"features":[1]}"#).reason(), "wrong_shape");
    assert_eq!(refused(r#"{"features":7}"#).reason(), "wrong_shape");
    assert_eq!(refused(r#"{"features":{"a":[[[[[1]]]]]}}"#).reason(), "too_deep");
    assert_eq!(refused(r#"{"features":{"a":1,"b":1,"c":1,"d":1,"e":1}}"#).reason(), "too_many_features");
    assert_eq!(refused(r#"{"features":{"a":1,"a":2}}"#).reason(), "duplicate_key");
    assert_eq!(refused(r#"{"model":"a","model":"b"}"#).reason(), "duplicate_key");
    assert_eq!(refused(r#"{"ts":"yesterday"}"#).reason(), "bad_timestamp");
    assert_eq!(refused(r#"{"ts":1364774400}"#).reason(), "bad_timestamp");
    assert_eq!(refused(r#"{"ts":1364774400123000}"#).reason(), "bad_timestamp");
    assert_eq!(refused(r#"{"latency_ms":"fast"}"#).reason(), "wrong_shape");
    assert_eq!(refused(&format!(r#"{{"features":{{"{}":1}}}}"#, "x".repeat(200))).reason(), "name_too_long");
    assert_eq!(refused(&format!(r#"{{"x":"{}"}}"#, "x".repeat(1 << 16))).reason(), "too_large");
}

#[test]
fn bytes_that_are_no_utf_8_are_refused_at_their_place() {
    let refusal = decode(b"{\"id\":\n\"a\xff\"}", &LIMITS).expect_err("no UTF-8");
    assert_eq!(refusal, Refusal::NotJson { line: 2, column: 3 });
}

#[test]
fn many_features_are_checked_for_duplicates_too() {
    let limits = Limits { max_features: 200, ..LIMITS };
    let mut fields: Vec<String> = (0..100).map(|i| format!(r#""f{i}":{i}"#)).collect();
    assert!(decode(format!(r#"{{"features":{{{}}}}}"#, fields.join(",")).as_bytes(), &limits).is_ok());
    fields.push(r#""f7":1"#.to_owned());
    let text = format!(r#"{{"features":{{{}}}}}"#, fields.join(","));
    let twice = decode(text.as_bytes(), &limits);
    assert_eq!(twice.expect_err("twice").reason(), "duplicate_key");
}

#[test]
fn an_iso_time_equals_its_milliseconds() {
    let event = decode(br#"{"ts":"2013-04-01T02:00:00.123+02:00"}"#, &LIMITS).expect("valid");
    assert_eq!(event.ts, Some(1_364_774_400_123));
}

#[test]
fn escaped_text_is_owned_and_right() {
    let event = decode(br#"{"features":{"n\u0061me":"a\"b"}}"#, &LIMITS).expect("valid");
    assert_eq!(event.features.expect("has features"), vec![("name".into(), Scalar::Text("a\"b".into()))]);
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode(&bytes, &LIMITS);
    }

    #[test]
    fn a_name_given_twice_is_found_wherever_it_stands(names in proptest::collection::vec("[ab]{0,4}", 0..60)) {
        let distinct = names.iter().collect::<std::collections::HashSet<_>>().len() == names.len();
        let fields: Vec<String> = names.iter().map(|name| format!(r#""{name}":1"#)).collect();
        let json = format!(r#"{{"features":{{{}}}}}"#, fields.join(","));
        let limits = Limits { max_features: 64, ..LIMITS };
        prop_assert_eq!(decode(json.as_bytes(), &limits).is_ok(), distinct);
    }

    #[test]
    fn whatever_serde_json_refuses_is_refused(text in r#"[\[\]{}",:0-9a-z.\\ -]{0,40}"#) {
        if serde_json::from_str::<serde_json::Value>(&text).is_err() {
            prop_assert!(decode(text.as_bytes(), &LIMITS).is_err());
        }
    }
}
