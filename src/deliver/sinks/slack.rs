//! Slack: a Block Kit message through an incoming webhook.
//!
//! Limits: header 150 characters, section 3,000, ten fields of 2,000, and about 13,000 in all, above which Slack
//! refuses the whole message. Incoming webhooks cannot edit, so "resolved" is a message of its own.

use serde_json::{Value, json};

use super::digest;
use super::text::{bounded, clip, count, instant, kind_title, level, number};
use super::{Answer, Attempt, Dialect, Outcome, SinkRequest, Unsendable, judge_status};
use crate::alert::{ActionKind, ActionRequest, Delivery, Evidence, Finding, Moved, Notification, Transition};
use crate::deliver::guard::Endpoint;

/// Bytes of findings after which the rest is only counted.
const FINDINGS_BUDGET: usize = 8_000;
const MAX_HEADER: usize = 150;

/// A Slack channel behind an incoming webhook.
#[derive(Debug, Clone, PartialEq)]
pub struct Slack {
    /// The webhook's URL, which is a secret.
    pub url: Endpoint,
}

impl Dialect for Slack {
    fn request(&self, delivery: &Delivery, _attempt: Attempt) -> Result<SinkRequest, Unsendable> {
        let message = match delivery {
            Delivery::Notification(notification) => {
                message(&title(notification), notification.transition.as_str(), &bounded(notification))
            }
            Delivery::Action(request) => {
                let title = action_title(request);
                message(&title, &title, &bounded(&request.cause))
            }
            Delivery::Digest(digest) => digest::slack(digest),
        };
        let headers = vec![("content-type", "application/json".to_owned())];
        Ok(SinkRequest { url: self.url.clone(), headers, body: serde_json::to_vec(&message)? })
    }

    /// Slack confirms by 200 with the body `ok`; a 200 with anything else comes from somebody else.
    fn judge(&self, answer: &Answer) -> Outcome {
        let said = String::from_utf8_lossy(&answer.body);
        let said = said.trim();
        match answer.status {
            200 if said == "ok" => Outcome::Delivered,
            200 if answer.cut_short => {
                Outcome::Retry { after: None, reason: "the answer broke off".to_owned() }
            }
            _ => with_code(answer, said),
        }
    }
}

/// Slack's error codes are words such as `channel_is_archived`; nothing else of the body is repeated.
fn with_code(answer: &Answer, said: &str) -> Outcome {
    let is_code = (1..=64).contains(&said.len()) && said.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let code = if is_code { format!(" `{said}`") } else { String::new() };
    match judge_status(answer) {
        Outcome::Delivered => {
            Outcome::Dead { reason: format!("answered {}{code} where Slack answers `ok`", answer.status) }
        }
        Outcome::Retry { after, reason } => Outcome::Retry { after, reason: reason + &code },
        Outcome::Dead { reason } => Outcome::Dead { reason: reason + &code },
        Outcome::Unknown { reason } => Outcome::Unknown { reason: reason + &code },
    }
}

fn title(notification: &Notification) -> String {
    let what = match notification.transition {
        Transition::Firing => "firing",
        Transition::Updated => match notification.evidence {
            Evidence::Sufficient => "more columns",
            Evidence::Insufficient => "too few rows",
            Evidence::NoData => "no data",
        },
        Transition::Repeated => "still firing",
        Transition::Resolved => "resolved",
    };
    let (kind, model) = (kind_title(notification.kind), clip(&notification.model, 60));
    format!("{kind} {what}: {model} {}", clip(&notification.version, 40))
}

fn action_title(request: &ActionRequest) -> String {
    let (model, version) = (clip(&request.model, 50), clip(&request.version, 30));
    match (request.kind, &request.to_version) {
        (ActionKind::Retrain, _) => format!("Retraining requested: {model} {version}"),
        (ActionKind::Rollback, Some(to)) => {
            format!("Rollback requested: {model} {version} → {}", clip(to, 30))
        }
        (ActionKind::Rollback, None) => format!("Rollback requested: {model} {version}"),
    }
}

/// `prefix` begins the one line that phones show instead of the blocks.
fn message(title: &str, prefix: &str, notification: &Notification) -> Value {
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": clip(title, MAX_HEADER)}}),
        section(&escape(&clip(&notification.summary, 400))),
        json!({"type": "section", "fields": fields(notification)}),
    ];
    let (sections, left_out) = findings(notification);
    blocks.extend(sections.iter().map(|text| section(text)));
    if left_out > 0 {
        let text = format!("and {} more", count(left_out as u64));
        blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}));
    }
    let links = [("Open in Anchorwatch", &notification.link), ("Runbook", &notification.runbook)];
    let buttons: Vec<Value> =
        links.into_iter().filter_map(|(label, link)| Some(button(label, link.as_ref()?))).collect();
    if !buttons.is_empty() {
        blocks.push(json!({"type": "actions", "elements": buttons}));
    }
    json!({"text": escape(&clip(&format!("{prefix}: {}", notification.summary), 500)), "blocks": blocks})
}

fn button(label: &str, link: &str) -> Value {
    json!({"type": "button", "text": {"type": "plain_text", "text": label}, "url": link})
}

pub(super) fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

fn fields(notification: &Notification) -> Vec<Value> {
    let mut pairs = vec![
        ("Severity", notification.severity.as_str().to_owned()),
        ("Since", instant(notification.since)),
        ("Model", format!("{} {}", clip(&notification.model, 80), clip(&notification.version, 40))),
        ("Reference", clip(&notification.reference, 80)),
    ];
    if let Some(finding) = notification.findings.first() {
        let window = &finding.window;
        let span =
            format!("{}, {} to {}", clip(&window.horizon, 20), instant(window.start), instant(window.end));
        pairs.push(("Window", span));
        pairs.push(("Rows", count(window.rows)));
    }
    let field = |(name, value): (&str, String)| json!({"type": "mrkdwn", "text": format!("*{name}*\n{}", escape(&value))});
    pairs.into_iter().map(field).collect()
}

/// The findings that fit, and how many do not.
fn findings(notification: &Notification) -> (Vec<String>, usize) {
    let (mut shown, mut bytes) = (Vec::new(), 0);
    for finding in &notification.findings {
        let text = finding_text(notification, finding);
        bytes += text.len();
        if bytes > FINDINGS_BUDGET {
            break;
        }
        shown.push(text);
    }
    let left_out = notification.findings.len() - shown.len();
    (shown, left_out.saturating_add(notification.more_findings))
}

fn finding_text(notification: &Notification, finding: &Finding) -> String {
    let segment =
        finding.segment.as_ref().map(|s| format!(" [{}]", escape(&clip(s, 40)))).unwrap_or_default();
    let p_value = finding.p_value.map(|p| format!(", p {}", number(p))).unwrap_or_default();
    let subject =
        finding.subject.as_ref().map(|s| format!(" of {}", escape(&clip(s, 80)))).unwrap_or_default();
    let mut text = format!(
        "*{}*{subject}{segment}: {} {} (threshold {}{p_value}), {} rows in {}, since {}",
        escape(&clip(&finding.column, 60)),
        escape(&clip(&finding.detector, 30)),
        number(finding.statistic),
        number(finding.threshold),
        count(finding.window.rows),
        escape(&clip(&finding.window.horizon, 20)),
        instant(finding.since),
    );
    for Moved { bin, from, to } in &finding.moved {
        let (from, to) = (level(notification.kind, *from), level(notification.kind, *to));
        text.push_str(&format!("\n• `{}` {from} → {to}", escape(&clip(bin, 40).replace('`', "'"))));
    }
    text
}

/// Slack reads `&`, `<` and `>` as markup, mentions included.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
