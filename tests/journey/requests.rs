//! What Slack, PagerDuty, the webhook and the automations must have been sent: decided anew by the core alone from the
//! records in Kafka, and compared with what arrived and with the outbox of the state file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anchorwatch::action::VersionFacts;
use anchorwatch::alert::{Delivery, Evidence, Notification, Severity, Transition};
use anchorwatch::config;
use anchorwatch::engine::{CatalogEntry, Engine, OutboxRow};
use anchorwatch::event::Record;
use anchorwatch::registry::Registry;
use anchorwatch::store::Store;
use anchorwatch::window::WatchedVersion;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{Kafka, Receiver, Request};

/// Signing secret of webhook and actions.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Integration key of PagerDuty.
pub(crate) const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
/// `alerts.link_base`.
pub(crate) const LINK_BASE: &str = "http://anchorwatch.example";

/// A wall clock that every event of 2013 lies behind and the year 2100 ahead of.
const NOW: i64 = 1_700_000_000_000;

/// The deliveries that the core decides on when it reads the log once, partition after partition.
pub(crate) fn decided(data: &Path, config: &Path, kafka: &Kafka, topic: &str) -> Vec<OutboxRow> {
    let config = config::load(config).expect("the configuration of the journey");
    let registry = Registry::open(data).expect("the registry");
    let mut engine = Engine::new(&config);
    let active = registry.active().expect("references").into_iter();
    let serving = active.filter(|entry| entry.stage != anchorwatch::view::Stage::Archived);
    let entries: Vec<CatalogEntry> = serving
        .map(|entry| {
            let reference = registry.load_reference(entry.reference_id.as_str()).expect("a reference");
            let rollback_to = registry.last_good(&entry.model, &entry.version).expect("a version");
            CatalogEntry {
                watched: WatchedVersion {
                    model: entry.model,
                    version: entry.version,
                    reference_id: entry.reference_id.as_str().to_owned(),
                    reference: Arc::new(reference),
                    takes_feedback: true,
                },
                facts: VersionFacts { current: true, rollback_to, ..VersionFacts::default() },
            }
        })
        .collect();
    engine.set_catalog(&entries);
    let log = kafka.read_all(topic);
    log.iter().for_each(|record| engine.assign(topic, record.partition, None));
    for record in &log {
        engine.ingest(
            &Record {
                topic,
                partition: record.partition,
                offset: record.offset,
                timestamp: None,
                appended_at: None,
                key: None,
                headers: &[],
                payload: Some(record.value.as_slice()).filter(|value| !value.is_empty()),
            },
            NOW,
        );
    }
    while engine.advance(NOW, 64).1 {}
    engine.checkpoint().outbox
}

/// Compares the deliveries that were decided with the outbox and with every request that arrived.
pub(crate) fn check(expected: &[OutboxRow], data: &Path, receiver: &Receiver) {
    check_outbox(expected, data);
    check_webhooks(expected, receiver);
    check_slack(&notifications(expected, "slack"), &receiver.requests_to("/slack"));
    check_pagerduty(&notifications(expected, "pagerduty"), &receiver.requests_to("/pagerduty"));
    check_actions(expected, data);
    let paths: BTreeSet<String> = receiver.requests().into_iter().map(|request| request.path).collect();
    let known = ["/alertmanager", "/pagerduty", "/slack", "/webhook"];
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), known, "each of them was told, and nobody else");
}

fn notifications<'e>(expected: &'e [OutboxRow], target: &str) -> Vec<&'e Notification> {
    let own = expected.iter().filter(|row| row.target == target);
    own.filter_map(|row| if let Delivery::Notification(told) = &row.delivery { Some(told) } else { None })
        .collect()
}

/// Every row that was decided is in the outbox and was delivered at the first attempt; there is no other.
fn check_outbox(expected: &[OutboxRow], data: &Path) {
    let store = Store::open(data).expect("the state file");
    let rows = store.list_outbox(None, usize::MAX).expect("the outbox");
    let found: BTreeSet<_> = rows
        .iter()
        .map(|row| (row.key.clone(), row.target.clone(), row.state.clone(), row.attempt))
        .collect();
    let expected: BTreeSet<_> = expected
        .iter()
        .map(|row| (row.delivery.key().to_owned(), row.target.clone(), "delivered".to_owned(), 1))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(rows.len(), expected.len());
}

/// Webhook and actions: one signed CloudEvent per row, under the row's key, with the whole evidence.
fn check_webhooks(expected: &[OutboxRow], receiver: &Receiver) {
    for target in ["webhook"] {
        let requests = receiver.requests_to(&format!("/{target}"));
        let found: BTreeMap<&str, &Request> =
            requests.iter().map(|request| (request.header("idempotency-key"), request)).collect();
        assert_eq!(found.len(), requests.len(), "{target}: a key was sent twice");
        let own: Vec<&OutboxRow> = expected.iter().filter(|row| row.target == target).collect();
        assert!(!own.is_empty(), "nothing was decided for {target}: the stretch is badly chosen");
        let keys: BTreeSet<&str> = own.iter().map(|row| row.delivery.key()).collect();
        assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), keys, "{target}");
        for row in own {
            let request = found[row.delivery.key()];
            check_signature(request);
            let (kind, subject, data) = match &row.delivery {
                Delivery::Notification(told) => {
                    (format!("alert.{}", told.transition.as_str()), told, json!(told))
                }
                Delivery::Digest(_) => panic!("no route collects"),
                Delivery::Action(asked) => {
                    (format!("action.{}", asked.kind.as_str()), &asked.cause, json!(asked))
                }
            };
            let body = request.json();
            assert_eq!(body["specversion"], "1.0");
            assert_eq!(body["id"], row.delivery.key());
            assert_eq!(body["type"], format!("io.anchorwatch.{kind}.v1"));
            assert_eq!(body["subject"], format!("{}/{}", subject.model, subject.version));
            assert_eq!(body["data"], data);
        }
    }
}

/// HMAC-SHA256 over `id.timestamp.body`, as any receiver would verify it.
fn check_signature(request: &Request) {
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    let (id, time) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    mac.update(format!("{id}.{time}.").as_bytes());
    mac.update(&request.body);
    let own = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(request.header("webhook-signature"), own);
    assert_eq!(id, request.header("idempotency-key"));
    assert_eq!(request.header("content-type"), "application/cloudevents+json");
}

fn check_slack(expected: &[&Notification], requests: &[Request]) {
    let texts = |told: &&Notification| {
        let kind = match told.kind {
            anchorwatch::alert::AlertKind::DataFault => "Data fault",
            anchorwatch::alert::AlertKind::Drift => "Drift",
            anchorwatch::alert::AlertKind::Latency => "Latency",
            anchorwatch::alert::AlertKind::Volume => "Volume",
            anchorwatch::alert::AlertKind::Operation => "Operation",
        };
        let what = match told.transition {
            Transition::Updated if told.evidence == Evidence::Insufficient => "too few rows",
            Transition::Firing => "firing",
            Transition::Updated => "more columns",
            Transition::Repeated => "still firing",
            Transition::Resolved => "resolved",
        };
        let line = format!("{}: {}", told.transition.as_str(), told.summary);
        (line, format!("{kind} {what}: {} {}", told.model, told.version), told.summary.clone())
    };
    let mut own: Vec<_> = expected.iter().map(texts).collect();
    let bodies: Vec<Value> = requests.iter().map(Request::json).collect();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let shown = |body: &Value| {
        (
            text(&body["text"]),
            text(&body["blocks"][0]["text"]["text"]),
            text(&body["blocks"][1]["text"]["text"]),
        )
    };
    let mut found: Vec<_> = bodies.iter().map(shown).collect();
    own.sort();
    found.sort();
    assert_eq!(found, own);
    for body in &bodies {
        let blocks = body["blocks"].as_array().expect("blocks");
        let types: Vec<&str> = blocks.iter().filter_map(|block| block["type"].as_str()).collect();
        assert_eq!(types.len(), blocks.len());
        assert!(
            types.starts_with(&["header", "section", "section"]) && types.ends_with(&["actions"]),
            "{types:?}"
        );
        assert!(blocks.len() <= 50, "Slack takes at most 50 blocks");
        assert!(text(&blocks[0]["text"]["text"]).len() <= 150, "Slack takes no longer header");
        let fields = blocks[2]["fields"].as_array().expect("fields");
        let has = |name: &str| {
            fields.iter().any(|f| f["text"].as_str().is_some_and(|t| t.starts_with(&format!("*{name}*"))))
        };
        assert!(["Severity", "Since", "Model", "Reference"].into_iter().all(has), "{fields:?}");
        let link = blocks.last().expect("blocks")["elements"][0]["url"].as_str();
        assert_eq!(link, Some("http://anchorwatch.example/models/flights/versions/1.0.0"));
    }
}

/// A trigger or a resolve per notification, all of one episode under one key, the resolve last.
fn check_pagerduty(expected: &[&Notification], requests: &[Request]) {
    assert!(expected.iter().all(|told| told.severity == Severity::Critical), "min_severity");
    let events = |told: &&Notification| {
        let action = if told.transition == Transition::Resolved { "resolve" } else { "trigger" };
        let summary = (action == "trigger").then(|| told.summary.clone());
        (told.group.clone(), action.to_owned(), summary)
    };
    let mut own: Vec<_> = expected.iter().map(events).collect();
    let bodies: Vec<Value> = requests.iter().map(Request::json).collect();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut found: Vec<_> = bodies
        .iter()
        .map(|body| {
            let key = text(&body["dedup_key"]).expect("a dedup_key");
            (key, text(&body["event_action"]).expect("an event_action"), text(&body["payload"]["summary"]))
        })
        .collect();
    let resolved =
        found.iter().position(|(_, action, _)| action == "resolve").expect("an episode that ended");
    let (episode, _, _) = found[resolved].clone();
    let begun = found.iter().position(|(key, action, _)| *key == episode && action == "trigger");
    assert!(begun.is_some_and(|begun| begun < resolved), "{episode} was resolved before it was triggered");
    assert!(
        !found[resolved + 1..].iter().any(|(key, _, _)| *key == episode),
        "{episode} went on after its end"
    );
    own.sort();
    found.sort();
    assert_eq!(found, own);
    for body in &bodies {
        assert_eq!(body["routing_key"], ROUTING_KEY);
        if body["event_action"] == "trigger" {
            assert_eq!(body["payload"]["severity"], "critical");
            // A repeat may have the words of an earlier one, and newer evidence.
            let details = &body["payload"]["custom_details"];
            let is_told = expected.iter().any(|told| {
                body["payload"]["summary"] == told.summary
                    && details["findings"] == json!(told.findings)
                    && details["reference"] == told.reference
            });
            assert!(is_told, "nobody decided {body}");
        }
    }
}

/// What would have been asked stands in the audit trail, and nothing was.
fn check_actions(expected: &[OutboxRow], data: &Path) {
    assert!(expected.iter().all(|row| !matches!(row.delivery, Delivery::Action(_))), "only recorded");
    let audit = Store::open(data).expect("the state file").audit(10_000).expect("the audit trail");
    for what in ["retrain_dry_run", "rollback_dry_run"] {
        assert!(audit.iter().any(|entry| entry.row.what == what), "no {what} in {audit:?}");
    }
}
