//! What people are told of a request: one group per request, from its beginning to its end.

use chrono::DateTime;
use sha2::{Digest, Sha256};

use super::request::hex;
use super::{Actions, Request, RequestState};
use crate::alert::{AlertKind, Notification, Severity, Transition};
use crate::config::{Action, REDACTED};
use crate::subject::Millis;

/// What stands before the token in the message that asks.
const TOKEN: &str = " --token ";

/// A message as others than its receivers may see it: without the approval token that it may carry.
///
/// ```
/// let told = anchorwatch::action::without_token("anchorwatch actions approve k --token 0123abcd and so on");
/// assert_eq!(told, "anchorwatch actions approve k --token *** and so on");
/// ```
#[must_use]
pub fn without_token(message: &str) -> String {
    let mut parts = message.split(TOKEN);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.find(char::is_whitespace).map_or("", |end| &part[end..]);
        shown.push_str(&format!("{TOKEN}{REDACTED}{rest}"));
    }
    shown
}

impl Actions {
    /// Asks people for an approval. The token stands in the message only, not in the logs, the audit trail or the API.
    pub(super) fn ask_people(&mut self, action: &Action, request: &Request, at: Millis) {
        let until = request.approve_until.and_then(DateTime::from_timestamp_millis);
        let until = until.map_or_else(String::new, |until| until.format("%H:%M UTC").to_string());
        let token = self.approval_key.token(request).unwrap_or_default();
        let people =
            if action.approvals > 1 { format!(" ({} people)", action.approvals) } else { String::new() };
        let line = format!(
            "{} waits for approval{people} until {until}: anchorwatch actions approve {}{TOKEN}{token}",
            request.title(),
            request.key
        );
        self.tell(request, Transition::Firing, Severity::Critical, (line, at));
    }

    pub(super) fn tell_start(&mut self, request: &Request, at: Millis) {
        let line = format!("{} is asked of {}: {}", request.title(), request.action, request.cause.summary);
        self.tell(request, Transition::Firing, request.cause.severity, (line, at));
    }

    pub(super) fn tell_index(
        &mut self,
        index: usize,
        transition: Transition,
        severity: Severity,
        at: Millis,
    ) {
        let request = self.memory.requests[index].clone();
        let mut line = format!("{}: {} ({})", request.title(), request.state.as_str(), request.detail);
        if request.state == RequestState::Unknown {
            let order = format!("anchorwatch actions outcome {}", request.key);
            line.push_str(&format!(
                "; look whether it was done, then `{order} succeeded` or `{order} failed`"
            ));
        }
        self.tell(&request, transition, severity, (line, at));
    }

    fn tell(
        &mut self,
        request: &Request,
        transition: Transition,
        severity: Severity,
        (summary, at): (String, Millis),
    ) {
        let group = format!("anchorwatch/action/{}", request.key);
        let state = request.state.as_str();
        let digest = Sha256::digest(format!("{group}\n{}\n{state}\n{at}", transition.as_str()));
        let base = self.limits.link_base.as_deref();
        self.left.told.push(Notification {
            key: hex(&digest),
            group,
            transition,
            model: request.model.clone(),
            version: request.version.clone(),
            kind: AlertKind::Operation,
            severity,
            summary,
            at,
            since: request.decided_at,
            reference: request.cause.reference.clone(),
            coverage: request.cause.coverage,
            findings: request.cause.findings.clone(),
            more_findings: request.cause.more_findings,
            link: base.map(|base| format!("{}/api/v1/actions/{}", base.trim_end_matches('/'), request.key)),
            runbook: request.cause.runbook.clone(),
            labels: request.cause.labels.clone(),
            evidence: crate::alert::Evidence::default(),
            repeat: 0,
        });
    }
}
