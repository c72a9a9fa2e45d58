//! Actions as a reader sees them. Tokens are not shown.

use schemars::JsonSchema;
use serde::Serialize;

use crate::action::{Request, RequestState};
use crate::alert::{ActionKind, Finding};
use crate::subject::Millis;

/// One request of an action.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ActionView {
    /// Stable identity; the idempotency key of the request.
    pub key: String,
    /// Name of the configured action.
    pub action: String,
    /// What is asked.
    pub kind: ActionKind,
    /// Model name.
    pub model: String,
    /// Version that the alert judged.
    pub version: String,
    /// For a rollback: the version to return to.
    pub to_version: Option<String>,
    /// Where it stands.
    pub state: RequestState,
    /// Why it stands there.
    pub detail: String,
    /// Event time of the decision.
    pub decided_at: Millis,
    /// Wall-clock time until which it may be approved, if it waits for that.
    pub approve_until: Option<Millis>,
    /// Approvals that it needs.
    pub approvals: u32,
    /// Who has approved it.
    pub approved_by: Vec<String>,
    /// Summary of the alert that caused it.
    pub because: String,
    /// Identity of that alert group's episode.
    pub group: String,
    /// Its evidence.
    pub findings: Vec<Finding>,
}

impl ActionView {
    /// The view of a request.
    #[must_use]
    pub fn of(request: &Request, approvals: u32) -> Self {
        Self {
            key: request.key.clone(),
            action: request.action.clone(),
            kind: request.kind,
            model: request.model.clone(),
            version: request.version.clone(),
            to_version: request.to_version.clone(),
            state: request.state,
            detail: request.detail.clone(),
            decided_at: request.decided_at,
            approve_until: request.approve_until.filter(|_| request.state == RequestState::Waiting),
            approvals,
            approved_by: request.approved_by.clone(),
            because: request.cause.summary.clone(),
            group: request.cause.group.clone(),
            findings: request.cause.findings.clone(),
        }
    }
}

/// An action that a guard keeps back at present; it is looked at again at each judged window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HeldView {
    /// Name of the configured action.
    pub action: String,
    /// Model name.
    pub model: String,
    /// Version that the alert judged.
    pub version: String,
    /// Name of the guard.
    pub guard: String,
    /// Summary of the alert that would start it.
    pub because: String,
}

/// All about actions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct ActionsView {
    /// Why nothing is started at present; absent if actions are not suspended.
    pub suspended: Option<String>,
    /// Requests that are not over and the last finished ones, newest first.
    pub items: Vec<ActionView>,
    /// What a guard holds at present.
    pub held: Vec<HeldView>,
}
