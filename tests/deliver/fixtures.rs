//! Notifications, actions and stores to test with.

use std::path::Path;

use anchorwatch::alert::{
    ActionKind, ActionRequest, AlertKind, Delivery, Digest, DigestEntry, Finding, Moved, Notification,
    Severity, Transition, WindowRef,
};
use anchorwatch::config::SecretSource;
use anchorwatch::deliver::{ActionWebhook, Endpoint, Pagerduty, SigningKeys, Sink, Slack, Webhook};
use anchorwatch::engine::{Checkpoint, OutboxRow};
use anchorwatch::store::Store;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const SLACK_PATH: &str = "/services/T0CANARY/B0CANARY/slackcanary";

pub(crate) fn open(folder: &Path) -> Store {
    Store::open(folder).expect("a state file")
}

pub(crate) fn finding() -> Finding {
    let (start, end) = (1_370_995_200_000, 1_371_081_600_000);
    Finding {
        segment: None,
        column: "distance".into(),
        detector: "psi".into(),
        statistic: 0.312,
        threshold: 0.1,
        p_value: Some(3e-9),
        window: WindowRef { horizon: "24h".into(), start, end, rows: 12_031, coverage: 1.0 },
        since: 1_370_998_800_000,
        moved: vec![
            Moved { bin: "(1089, 1416]".into(), from: 0.1, to: 0.352 },
            Moved { bin: "(2446, 4983]".into(), from: 0.098, to: 0.021 },
        ],
        explained: None,
        subject: None,
    }
}

pub(crate) fn notification(transition: Transition) -> Notification {
    Notification {
        key: format!("5f0c2a-{}", transition.as_str()),
        group: "5f0c2a".into(),
        transition,
        model: "flights".into(),
        version: "1.0.0".into(),
        kind: AlertKind::Drift,
        severity: Severity::Warning,
        summary: "flights 1.0.0: distance drifts (psi 0.312 over 0.1) in 24h".into(),
        at: 1_371_081_600_000,
        since: 1_370_998_800_000,
        reference: "sha256:9b1c04aa".into(),
        coverage: 1.0,
        findings: vec![finding()],
        more_findings: 0,
        link: Some("http://127.0.0.1:9464/alerts/5f0c2a".into()),
        runbook: Some("https://wiki.example.com/drift#distance".into()),
        labels: [("team".to_owned(), "network".to_owned())].into(),
        evidence: Default::default(),
        repeat: 0,
    }
}

pub(crate) fn told(key: &str, group: &str) -> Delivery {
    let firing = notification(Transition::Firing);
    Delivery::Notification(Notification { key: key.into(), group: group.into(), ..firing })
}

pub(crate) fn asked(key: &str, kind: ActionKind) -> Delivery {
    Delivery::Action(ActionRequest {
        approved_by: Vec::new(),
        key: key.into(),
        action: format!("{}-flights", kind.as_str()),
        kind,
        model: "flights".into(),
        version: "1.0.0".into(),
        to_version: (kind == ActionKind::Rollback).then(|| "0.9.0".into()),
        cause: notification(Transition::Firing),
    })
}

pub(crate) fn row(target: &str, delivery: Delivery) -> OutboxRow {
    OutboxRow { target: target.into(), delivery, expires_at: None }
}

pub(crate) fn decided(rows: impl IntoIterator<Item = OutboxRow>) -> Checkpoint {
    Checkpoint { outbox: rows.into_iter().collect(), ..Checkpoint::default() }
}

pub(crate) fn endpoint(url: &str) -> Endpoint {
    Endpoint::parse(url).expect(url)
}

pub(crate) fn keys() -> SigningKeys {
    SigningKeys::parse(SECRET).expect("a signing secret")
}

pub(crate) fn webhook(url: &str) -> Sink {
    Sink::Webhook(Webhook { url: endpoint(url), keys: Some(keys()), template: None })
}

pub(crate) fn automation(url: &str) -> Sink {
    Sink::Action(ActionWebhook { url: endpoint(url), keys: Some(keys()) })
}

/// One sink of every kind, all below this address.
pub(crate) fn every_sink(base: &str) -> Vec<Sink> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("routing_key");
    std::fs::write(&file, ROUTING_KEY).expect("a secret file");
    let routing_key = SecretSource::File(file).read().expect("a secret");
    vec![
        Sink::Slack(Slack { url: endpoint(&format!("{base}{SLACK_PATH}")) }),
        Sink::Pagerduty(Pagerduty { url: endpoint(&format!("{base}/v2/enqueue")), routing_key }),
        webhook(&format!("{base}/hook")),
        automation(&format!("{base}/action")),
    ]
}

/// A day's warnings of one route.
pub(crate) fn digest(entries: usize) -> Delivery {
    let entry = DigestEntry {
        group: "5f0c2a".into(),
        transition: Transition::Firing,
        model: "flights".into(),
        version: "1.0.0".into(),
        kind: AlertKind::Drift,
        summary: "flights 1.0.0: distance drifts (psi 0.312 over 0.1) in 24h".into(),
        at: 1_371_081_600_000,
    };
    Delivery::Digest(Digest {
        key: "d1".into(),
        route: "root".into(),
        from: 1_371_081_600_000,
        to: 1_371_168_000_000,
        entries: vec![entry; entries],
        more: 3,
    })
}
