//! PagerDuty Events v2: a trigger while an alert group fires, a resolve when it clears.
//!
//! Limits: summary 1,024 characters, `dedup_key` 255 (hashed if longer), body 512 KB.

use serde_json::{Value, json};

use super::digest;
use super::text::{bounded, clip, instant};
use super::{Attempt, Dialect, SinkRequest, Unsendable};
use crate::alert::{Delivery, Notification, Severity, Transition};
use crate::config::Secret;
use crate::deliver::guard::Endpoint;
use crate::deliver::signature::short_hash;

const MAX_DEDUP_KEY: usize = 255;

/// A PagerDuty service behind an integration key.
#[derive(Debug, Clone, PartialEq)]
pub struct Pagerduty {
    /// Events endpoint.
    pub url: Endpoint,
    /// Integration key.
    pub routing_key: Secret,
}

impl Dialect for Pagerduty {
    fn request(&self, delivery: &Delivery, _attempt: Attempt) -> Result<SinkRequest, Unsendable> {
        let body = match delivery {
            Delivery::Notification(notification) => match notification.transition {
                Transition::Firing | Transition::Updated | Transition::Repeated => self.trigger(notification),
                Transition::Resolved => self.event("resolve", &notification.group),
            },
            Delivery::Digest(digest) => {
                let mut event = self.event("trigger", &digest.key);
                event["payload"] = digest::pagerduty(digest);
                event
            }
            Delivery::Action(_) => return Err(Unsendable::Mismatch { sink: "pagerduty" }),
        };
        let headers = vec![("content-type", "application/json".to_owned())];
        Ok(SinkRequest { url: self.url.clone(), headers, body: serde_json::to_vec(&body)? })
    }
}

impl Pagerduty {
    fn event(&self, action: &str, group: &str) -> Value {
        json!({
            "routing_key": self.routing_key.expose(),
            "event_action": action,
            "dedup_key": dedup_key(group),
        })
    }

    fn trigger(&self, notification: &Notification) -> Value {
        let mut event = self.event("trigger", &notification.group);
        let notification = bounded(notification);
        event["payload"] = payload(&notification);
        event["client"] = json!("Anchorwatch");
        if let Some(link) = &notification.link {
            event["client_url"] = json!(link);
        }
        let links = [("Open in Anchorwatch", &notification.link), ("Runbook", &notification.runbook)];
        let links: Vec<Value> = links
            .into_iter()
            .filter_map(|(text, link)| Some(json!({"href": link.as_ref()?, "text": text})))
            .collect();
        if !links.is_empty() {
            event["links"] = json!(links);
        }
        event
    }
}

fn payload(notification: &Notification) -> Value {
    let component = notification.findings.first().map_or("", |finding| finding.column.as_str());
    json!({
        "summary": clip(&notification.summary, 1_024),
        "source": "anchorwatch",
        "severity": match notification.severity {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        },
        "timestamp": instant(notification.at),
        "component": component,
        "group": notification.model,
        "class": notification.kind.as_str(),
        "custom_details": {
            "model": notification.model,
            "version": notification.version,
            "reference": notification.reference,
            "since": instant(notification.since),
            "findings": notification.findings,
            "more_findings": notification.more_findings,
        },
    })
}

fn dedup_key(group: &str) -> String {
    if group.chars().count() <= MAX_DEDUP_KEY {
        group.to_owned()
    } else {
        format!("aw_{}", short_hash(group))
    }
}
