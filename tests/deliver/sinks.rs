//! Every sink of the list keeps the same promises.

use anchorwatch::alert::{
    ActionKind, AlertKind, Consequence, Delivery, DriftShare, Evidence, Explained, Finding, Moved,
    Notification, QuantileShift, Severity, SliceShift, Transition,
};
use anchorwatch::config::{self, SecretSource, SinkTarget};
use anchorwatch::deliver::{
    Allowed, Answer, Attempt, DeliveryOutcome, Dialect, MAX_BODY, Outcome, Sink, SinkRequest, Unsendable,
    targets,
};
use serde_json::Value;

use crate::fixtures::{ROUTING_KEY, SECRET, SLACK_PATH, asked, digest, every_sink, finding, notification};

const ATTEMPT: Attempt = Attempt { number: 2, at: 1_371_081_601_500 };
const TRANSITIONS: [Transition; 4] =
    [Transition::Firing, Transition::Updated, Transition::Repeated, Transition::Resolved];

/// Texts and numbers as hostile as the types allow.
fn monster(transition: Transition) -> Notification {
    let text = |n: usize| "<!channel> & `\u{0}\"\\\u{1F6A8}\n".repeat(n);
    let moved = Moved { bin: text(500), from: f64::NAN, to: f64::INFINITY };
    let share = DriftShare { column: text(500), slice: Some(text(500)), share: f64::NAN };
    let (mean, expected, z) = (f64::NAN, f64::INFINITY, f64::NEG_INFINITY);
    let explained = Explained {
        kind: text(500),
        mean: Some(mean),
        expected: Some(expected),
        run_windows: usize::MAX,
        change_since: Some(i64::MIN),
        quantiles: vec![QuantileShift { quantile: 0.5, from: f64::MIN, to: f64::MAX }; 50],
        shares: vec![share; 50],
        slices: vec![SliceShift { slice: text(500), kind: text(500), mean, expected, z }; 50],
        follows: vec![
            Consequence {
                column: text(500),
                kind: text(500),
                slice: Some(text(500)),
                statistic: f64::NAN,
                threshold: f64::MIN
            };
            50
        ],
        assumed: true,
        command: Some("x\"\\".repeat(133)),
    };
    let finding = Finding {
        segment: Some(text(500)),
        column: text(500),
        detector: text(500),
        statistic: f64::INFINITY,
        threshold: f64::NEG_INFINITY,
        p_value: Some(f64::NAN),
        moved: vec![moved; 50],
        explained: Some(Box::new(explained)),
        subject: Some(text(1_000)),
        ..finding()
    };
    Notification {
        key: text(100),
        group: text(100),
        model: text(1_000),
        version: text(1_000),
        summary: text(10_000),
        reference: text(1_000),
        at: i64::MAX,
        since: i64::MIN,
        findings: vec![finding; 200],
        more_findings: usize::MAX,
        link: Some(format!("https://x/{}", text(1_000))),
        runbook: Some(format!("https://y/{}", text(1_000))),
        labels: (0..100).map(|i| (format!("{i}{}", text(1_000)), text(1_000))).collect(),
        evidence: Evidence::NoData,
        repeat: u32::MAX,
        ..notification(transition)
    }
}

fn monstrous_digest() -> Delivery {
    let Delivery::Digest(mut all) = digest(200) else { panic!("a digest") };
    let text = "<!channel> & `\u{0}\"\\\u{1F6A8}\n".repeat(1_000);
    for entry in &mut all.entries {
        entry.group.clone_from(&text);
        entry.model.clone_from(&text);
        entry.version.clone_from(&text);
        entry.summary.clone_from(&text);
    }
    Delivery::Digest(anchorwatch::alert::Digest { key: text.clone(), route: text, more: u64::MAX, ..all })
}

fn deliveries() -> Vec<Delivery> {
    let plain = TRANSITIONS.map(notification).into_iter().chain(TRANSITIONS.map(monster));
    let mut all: Vec<_> = plain.map(Delivery::Notification).collect();
    for kind in [AlertKind::DataFault, AlertKind::Latency, AlertKind::Volume] {
        let severity = Severity::Critical;
        let empty =
            Notification { kind, severity, findings: vec![], link: None, ..notification(Transition::Firing) };
        all.push(Delivery::Notification(empty));
    }
    all.extend([digest(0), digest(3), monstrous_digest()]);
    for kind in [ActionKind::Retrain, ActionKind::Rollback] {
        all.push(asked("6a-1", kind));
        if let Delivery::Action(request) = asked("6a-2", kind) {
            all.push(Delivery::Action(anchorwatch::alert::ActionRequest {
                approved_by: Vec::new(),
                cause: monster(Transition::Firing),
                ..request
            }));
        }
    }
    all
}

fn sinks() -> Vec<Sink> {
    every_sink("https://hooks.example.com")
}

fn json(request: &SinkRequest) -> Value {
    serde_json::from_slice(&request.body).expect("valid JSON")
}

fn header<'a>(request: &'a SinkRequest, name: &str) -> &'a str {
    request.headers.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
}

#[test]
fn the_list_has_every_kind_once() {
    assert_eq!(sinks().iter().map(Sink::kind).collect::<Vec<_>>(), Sink::KINDS);
}

#[test]
fn every_sink_renders_every_delivery_bounded_deterministic_and_without_secrets() {
    for sink in sinks() {
        for delivery in deliveries() {
            let request = match sink.request(&delivery, ATTEMPT) {
                Ok(request) => request,
                Err(Unsendable::Mismatch { .. }) => {
                    assert!(matches!((&sink, &delivery), (Sink::Pagerduty(_), Delivery::Action(_))));
                    continue;
                }
                Err(error) => panic!("{} cannot say {}: {error}", sink.kind(), delivery.key()),
            };
            assert_eq!(sink.request(&delivery, ATTEMPT).expect("the same again"), request);
            assert!(request.body.len() <= MAX_BODY, "{}: {} bytes", sink.kind(), request.body.len());
            assert!(json(&request).is_object());
            assert_no_secret(&sink, &request);
            let printable = |value: &str| value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            assert!(request.headers.iter().all(|(_, value)| printable(value)));
        }
    }
}

/// The routing key is PagerDuty's way to say who is told, and stands in its body alone.
fn assert_no_secret(sink: &Sink, request: &SinkRequest) {
    let body = String::from_utf8(request.body.clone()).expect("text");
    let shown = format!("{sink:?} {request:?} {}", request.url);
    for secret in [SECRET, ROUTING_KEY, SLACK_PATH, "slackcanary"] {
        assert!(!shown.contains(secret), "{shown}");
        let allowed = matches!(sink, Sink::Pagerduty(_)) && secret == ROUTING_KEY;
        assert!(allowed || !body.contains(secret), "{} shows a secret", sink.kind());
    }
}

fn render(index: usize, delivery: &Delivery) -> (SinkRequest, Value) {
    let request = sinks()[index].request(delivery, ATTEMPT).expect("a request");
    let body = json(&request);
    (request, body)
}

#[test]
fn slack_shows_what_moved_from_where_to_where_since_when() {
    let (_, message) = render(0, &Delivery::Notification(notification(Transition::Firing)));
    let text = message["blocks"].to_string();
    for part in [
        "Drift firing: flights 1.0.0",
        "*distance*: psi 0.312 (threshold 0.1, p 3.0e-9), 12,031 rows in 24h",
        "since 2013-06-12T01:00:00Z",
        "`(1089, 1416]` 10.0 % → 35.2 %",
        "sha256:9b1c04aa",
        "24h, 2013-06-12T00:00:00Z to 2013-06-13T00:00:00Z",
        "http://127.0.0.1:9464/alerts/5f0c2a",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn slack_keeps_within_its_limits_and_mentions_nobody() {
    for delivery in deliveries() {
        let (_, message) = render(0, &delivery);
        let blocks = message["blocks"].as_array().expect("blocks");
        assert!(blocks.len() <= 50);
        let mut total = 0;
        for block in blocks {
            let length = |value: &Value| value["text"].as_str().unwrap_or_default().chars().count();
            let fields = block["fields"].as_array().cloned().unwrap_or_default();
            let limit = if block["type"] == "header" { 150 } else { 3_000 };
            assert!(length(&block["text"]) <= limit && fields.len() <= 10);
            assert!(fields.iter().all(|field| length(field) <= 2_000));
            total += length(&block["text"]) + fields.iter().map(length).sum::<usize>();
        }
        assert!(total <= 13_000, "{total}");
        assert!(!message["blocks"][1].to_string().contains("<!channel>"), "{message}");
    }
}

#[test]
fn slack_confirms_by_its_ok_alone() {
    let judge =
        |status, body: &str| sinks()[0].judge(&Answer { status, body: body.into(), ..Answer::default() });
    assert_eq!(judge(200, "ok\n"), Outcome::Delivered);
    assert!(matches!(judge(200, "<html>login</html>"), Outcome::Dead { reason } if !reason.contains("html")));
    assert!(
        matches!(judge(404, "channel_is_archived"), Outcome::Dead { reason } if reason.contains("archived"))
    );
    assert!(matches!(judge(500, "rollup_error"), Outcome::Retry { .. }));
    let cut = Answer { status: 200, cut_short: true, ..Answer::default() };
    assert!(matches!(sinks()[0].judge(&cut), Outcome::Retry { .. }));
}

#[test]
fn pagerduty_triggers_while_firing_and_resolves_under_the_same_key() {
    let [firing, updated, repeated, resolved] =
        TRANSITIONS.map(|transition| render(1, &Delivery::Notification(notification(transition))).1);
    assert_eq!(
        [&firing, &updated, &repeated, &resolved].map(|event| event["event_action"].as_str()),
        [Some("trigger"), Some("trigger"), Some("trigger"), Some("resolve")]
    );
    assert!([&firing, &updated, &repeated, &resolved].iter().all(|event| event["dedup_key"] == "5f0c2a"));
    assert_eq!(firing["payload"]["severity"], "warning");
    assert_eq!(firing["payload"]["component"], "distance");
    assert_eq!(firing["payload"]["custom_details"]["findings"][0]["moved"][0]["to"], 0.352);
    let long = Notification { group: "g".repeat(300), ..notification(Transition::Resolved) };
    let key = render(1, &Delivery::Notification(long)).1["dedup_key"].as_str().map(str::len);
    assert_eq!(key, Some(43), "a hash");
}

#[test]
fn a_webhook_is_a_cloud_event_under_a_stable_identity() {
    let (request, event) = render(2, &Delivery::Notification(notification(Transition::Resolved)));
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["id"], "5f0c2a-resolved");
    assert_eq!(event["type"], "io.anchorwatch.alert.resolved.v1");
    assert_eq!(event["subject"], "flights/1.0.0");
    assert_eq!(event["time"], "2013-06-13T00:00:00Z");
    assert_eq!(header(&request, "content-type"), "application/cloudevents+json");
    assert_eq!(header(&request, "webhook-id"), "5f0c2a-resolved");
    assert_eq!(header(&request, "idempotency-key"), "5f0c2a-resolved");
    assert_eq!(header(&request, "webhook-timestamp"), "1371081601");
}

#[test]
fn an_action_says_what_to_do_and_why() {
    let (request, event) = render(3, &asked("7b-1", ActionKind::Rollback));
    assert_eq!(event["type"], "io.anchorwatch.action.rollback.v1");
    assert_eq!(event["data"]["version"], "1.0.0");
    assert_eq!(event["data"]["to_version"], "0.9.0");
    assert_eq!(event["data"]["cause"]["findings"][0]["column"], "distance");
    assert_eq!(header(&request, "idempotency-key"), "7b-1");
    let (_, event) = render(3, &asked("7b-2", ActionKind::Retrain));
    assert_eq!(event["type"], "io.anchorwatch.action.retrain.v1");
}

#[test]
fn a_name_is_never_cut_in_a_rollback() {
    let Delivery::Action(mut request) = asked("k", ActionKind::Rollback) else { panic!("an action") };
    request.to_version = Some("1".repeat(300));
    let error = sinks()[3].request(&Delivery::Action(request), ATTEMPT).expect_err("too long");
    assert!(error.to_string().contains("version to return to"), "{error}");
}

#[test]
fn an_automation_that_may_have_begun_is_never_asked_again() {
    let judge = |status| sinks()[3].judge(&Answer { status, ..Answer::default() });
    assert_eq!(judge(202), Outcome::Delivered);
    for status in [500, 502, 503, 504] {
        assert!(matches!(judge(status), Outcome::Unknown { .. }), "{status}");
    }
    for status in [408, 425, 429] {
        assert!(matches!(judge(status), Outcome::Retry { .. }), "{status}");
    }
    let retry_after = Some(std::time::Duration::ZERO);
    let asks_to_wait = Answer { status: 503, retry_after, ..Answer::default() };
    assert!(matches!(sinks()[3].judge(&asks_to_wait), Outcome::Retry { .. }), "it says that it did nothing");
    assert!(matches!(sinks()[3].judge(&Answer { status: 500, ..asks_to_wait }), Outcome::Unknown { .. }));
    assert!(matches!(judge(404), Outcome::Dead { .. }));
}

#[test]
fn every_problem_of_the_targets_is_reported_at_once_and_no_secret_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, "ftp://hunter2.example.com/hunter2\n").expect("a file");
    let sink = config::Sink::new;
    let webhook = |url: &str, secret| SinkTarget::Webhook {
        url: url.into(),
        secret,
        template_file: None,
        content_type: None,
    };
    let targets = |sinks: &[config::Sink]| targets(sinks, &[], &Allowed::default());
    let source = || SecretSource::File(file.clone());
    let missing = SecretSource::File(folder.path().join("missing"));
    let sinks = [
        sink("slack", SinkTarget::Slack { url: source() }),
        sink(
            "pager",
            SinkTarget::Pagerduty { routing_key: missing, url: "https://events.example.com".into() },
        ),
        sink("hook", webhook("http://169.254.169.254/", None)),
        sink("hook2", webhook("http://hooks.example.com/", Some(source()))),
    ];
    let errors = targets(&sinks).expect_err("four errors");
    let text: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 4, "{text:?}");
    assert!(text[0].contains("`slack`: its url has the scheme `ftp`"), "{}", text[0]);
    assert!(text[1].contains("routing_key cannot be read"), "{}", text[1]);
    assert!(text[2].contains("link-local"), "{}", text[2]);
    assert!(text[3].contains("whsec_"), "{}", text[3]);
    assert!(text.iter().all(|line| !line.contains("hunter2")), "{text:?}");

    let twice = ["a", "a"].map(|n| sink(n, webhook("http://e.example/", None)));
    assert!(targets(&twice).expect_err("a name")[0].to_string().contains("used twice"));
    let found = targets(&twice[..1]).expect("targets");
    assert!(found.warnings[0].contains("plain http"), "{:?}", found.warnings);
}

#[test]
fn outcomes_have_distinct_names() {
    use DeliveryOutcome::{Dead, Delivered, Expired, Retry, Unknown};
    let names: std::collections::BTreeSet<_> =
        [Delivered, Retry, Dead, Expired, Unknown].map(DeliveryOutcome::as_str).into();
    assert_eq!(names.len(), 5);
}
