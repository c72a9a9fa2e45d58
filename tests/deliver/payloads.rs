//! The page about payloads and the published schema say what is really sent.

use anchorwatch::alert::{ActionKind, Delivery, Explained, Transition};
use anchorwatch::deliver::{Attempt, Dialect, Sink};
use serde_json::Value;

use crate::fixtures::{ROUTING_KEY, asked, digest, every_sink, notification};

const GUIDE: &str = include_str!("../../docs/guide/payloads.md");
const SCHEMA: &str = include_str!("../../docs/schemas/webhook.schema.json");

fn body(sink: &Sink, delivery: &Delivery) -> Value {
    let attempt = Attempt { number: 1, at: 1_371_081_601_000 };
    let request = sink.request(delivery, attempt).expect("a request");
    let text = String::from_utf8(request.body).expect("text").replace(ROUTING_KEY, "R0UTINGKEY");
    serde_json::from_str(&text).expect("JSON")
}

/// The JSON block of the guide that follows this marker.
fn example(name: &str) -> Value {
    let marker = format!("<!-- example: {name} -->");
    let (_, after) = GUIDE.split_once(&marker).unwrap_or_else(|| panic!("the guide has no {marker}"));
    let (_, block) = after.split_once("```json\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    serde_json::from_str(block).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_examples_of_the_guide_are_what_is_sent() {
    let sinks = every_sink("https://hooks.example.com");
    let told = |transition| Delivery::Notification(notification(transition));
    let mut wrong = String::new();
    for (name, sink, delivery) in [
        ("slack", 0, told(Transition::Firing)),
        ("pagerduty-firing", 1, told(Transition::Firing)),
        ("pagerduty-resolved", 1, told(Transition::Resolved)),
        ("webhook", 2, told(Transition::Firing)),
        ("rollback", 3, asked("7b-rollback", ActionKind::Rollback)),
        ("slack-digest", 0, digest(2)),
        ("pagerduty-digest", 1, digest(2)),
        ("webhook-digest", 2, digest(2)),
    ] {
        let sent = body(&sinks[sink], &delivery);
        if example(name) != sent {
            let pretty = serde_json::to_string_pretty(&sent).expect("JSON");
            wrong.push_str(&format!("<!-- example: {name} -->\n```json\n{pretty}\n```\n"));
        }
    }
    assert!(wrong.is_empty(), "docs/guide/payloads.md should have:\n{wrong}");
}

#[test]
fn a_finding_explains_itself_as_guide_and_schema_say() {
    let explained: Explained = serde_json::from_value(example("explained")).expect("an explanation");
    let mut notification = notification(Transition::Firing);
    notification.findings[0].explained = Some(Box::new(explained));
    let sent = body(&every_sink("https://hooks.example.com")[2], &Delivery::Notification(notification));
    assert_eq!(sent["data"]["findings"][0]["explained"], example("explained"));
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<_> = validator.iter_errors(&sent).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?} in {sent}");
}

#[test]
fn every_webhook_body_follows_the_published_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let sinks = every_sink("https://hooks.example.com");
    let told = [Transition::Firing, Transition::Updated, Transition::Repeated, Transition::Resolved]
        .map(|transition| Delivery::Notification(notification(transition)));
    let asked = [ActionKind::Retrain, ActionKind::Rollback].map(|kind| asked("k", kind));
    for delivery in told.iter().chain(&asked).chain([&digest(3)]) {
        let event = body(&sinks[2], delivery);
        let errors: Vec<_> = validator.iter_errors(&event).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?} in {event}");
    }
    let mut wrong = body(&sinks[2], &told[0]);
    wrong["data"]["findings"][0]["surprise"] = Value::Bool(true);
    assert!(!validator.is_valid(&wrong), "the schema is closed");
}
