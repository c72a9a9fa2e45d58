//! Records that must not be counted, one kind for every reason to refuse, each recognisable by its value.

use anchorwatch::event::Refusal;
use anchorwatch::subject::Millis;
use serde_json::{Value, json};

/// `events.max_bytes` of the journey.
pub(crate) const MAX_BYTES: usize = 1 << 16;
/// `events.max_features` of the journey.
pub(crate) const MAX_FEATURES: usize = 64;
/// Stands in every value that is refused; must not appear in a pointer.
pub(crate) const MARK: &str = "confidential";
/// The year 2100.
const FAR_AHEAD: Millis = 4_102_444_800_000;

/// Reasons for which no JSON event is refused.
const NOT_OF_JSON: [&str; 2] = ["not_avro", "unknown_schema"];

/// For every reason a different number of records, of which at least one; `None` is a tombstone.
pub(crate) fn all(ts: Millis, seed: u64) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let reasons = Refusal::REASONS.into_iter().filter(|reason| !NOT_OF_JSON.contains(reason)).enumerate();
    reasons
        .flat_map(|(index, reason)| {
            (0..=(index as u64 + seed) % 5).map(move |n| (reason, value(reason, ts, n)))
        })
        .collect()
}

fn event(ts: Millis, mark: &str) -> Value {
    json!({"id": mark, "model": "flights", "version": "1.0.0", "ts": ts, "features": {"temp": 40.0, "note": mark}})
}

fn value(reason: &str, ts: Millis, n: u64) -> Option<Vec<u8>> {
    let mark = format!("{MARK} {reason} {n}");
    let mut value = event(ts, &mark);
    let mut without = |field: &str| value.as_object_mut().and_then(|fields| fields.remove(field));
    match reason {
        "empty" => return None,
        "not_json" => return Some(format!("{{\"id\": \"{mark}\", \"model\": flights").into_bytes()),
        "duplicate_key" => {
            let text = value.to_string();
            return Some(text.replacen('{', &format!("{{\"id\": \"{mark}\","), 1).into_bytes());
        }
        "too_large" => value["pad"] = json!("x".repeat(MAX_BYTES)),
        "wrong_shape" => value["features"] = json!("a text"),
        "too_deep" => value["features"]["deep"] = (0..20).fold(json!(1), |inner, _| json!([inner])),
        "too_many_features" => {
            (0..=MAX_FEATURES).for_each(|i| value["features"][format!("f{i}")] = json!(i));
        }
        "name_too_long" => value["model"] = json!("m".repeat(2_000)),
        "no_model" => drop(without("model")),
        "no_version" => drop(without("version")),
        "nothing_to_count" => drop(without("features")),
        "bad_timestamp" => value["ts"] = json!("yesterday"),
        "unknown_model" => value["model"] = json!("ghost"),
        "unknown_version" => value["version"] = json!("7.7.7"),
        other => panic!("a reason without an example: {other}"),
    }
    Some(value.to_string().into_bytes())
}

/// The reason for which a value of [`all`] is refused; `None` for a value that is not.
pub(crate) fn reason_of(value: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(value);
    if text.is_empty() {
        return Some("empty");
    }
    Refusal::REASONS.into_iter().find(|reason| text.contains(&format!("{MARK} {reason} ")))
}

/// A prediction like any other.
pub(crate) fn prediction(ts: Millis, id: &str) -> Vec<u8> {
    event(ts, id).to_string().into_bytes()
}

/// A prediction far ahead of the clock.
pub(crate) fn future(n: u64) -> Vec<u8> {
    prediction(FAR_AHEAD, &format!("future-{n}"))
}

/// Feedback for a model whose reference has no label column.
pub(crate) fn unmatched(ts: Millis) -> Vec<u8> {
    json!({"id": "q1", "model": "quiet", "ts": ts, "label": true}).to_string().into_bytes()
}
