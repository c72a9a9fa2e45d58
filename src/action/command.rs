//! What people and automations can ask of actions.

use serde_json::json;

use super::guard::{Look, Phase};
use super::{Actions, Request, RequestState, Situation, Suspension, basis};
use crate::alert::Transition;
use crate::engine::{AuditRow, CommandError, CommandOutcome};
use crate::subject::Millis;
use crate::view::ActionView;

/// Longest reason or detail that is kept.
const MAX_TEXT: usize = 500;

/// Declined approvals of one request that stand in the audit trail.
const MOST_DECLINED: u32 = 10;

/// An order about actions.
#[derive(Clone, PartialEq)]
pub enum ActionCommand {
    /// Let a waiting action go.
    Approve {
        /// Key of the request.
        key: String,
        /// Token from the message that asked.
        token: String,
    },
    /// Say no to a waiting action.
    Refuse {
        /// Key of the request.
        key: String,
        /// Why.
        reason: String,
    },
    /// Say what became of a request.
    Outcome {
        /// Key of the request.
        key: String,
        /// Whether it was done.
        succeeded: bool,
        /// One line.
        detail: String,
    },
    /// Start and send nothing from now on.
    Suspend {
        /// Why.
        reason: String,
    },
    /// Go on.
    Resume,
}

impl std::fmt::Debug for ActionCommand {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Approve { key, .. } => write!(f, "Approve({key})"),
            Self::Refuse { key, .. } => write!(f, "Refuse({key})"),
            Self::Outcome { key, succeeded, .. } => write!(f, "Outcome({key}, {succeeded})"),
            Self::Suspend { .. } => f.write_str("Suspend"),
            Self::Resume => f.write_str("Resume"),
        }
    }
}

impl Actions {
    /// Carries out an order.
    ///
    /// # Errors
    /// When there is no such request, or it is not in a state for it; nothing has changed then.
    pub fn command(
        &mut self,
        command: &ActionCommand,
        (by, at): (&str, Millis),
        situation: &Situation<'_>,
    ) -> Result<CommandOutcome, CommandError> {
        match command {
            ActionCommand::Approve { key, token } => self.approve(key, token, by, situation),
            ActionCommand::Refuse { key, reason } => self.refuse(key, reason, by),
            ActionCommand::Outcome { key, succeeded, detail } => {
                self.report(key, *succeeded, &clip(detail), by)
            }
            ActionCommand::Suspend { reason } => self.suspend_by(&clip(reason), by, at),
            ActionCommand::Resume => self.resume_by(by),
        }
    }

    fn approve(
        &mut self,
        key: &str,
        token: &str,
        by: &str,
        s: &Situation<'_>,
    ) -> Result<CommandOutcome, CommandError> {
        let index = self.waiting(key)?;
        let request = &self.memory.requests[index];
        if request.approve_until.is_none_or(|until| s.now >= until) {
            return Err(CommandError::Conflict("the time for an approval is over".to_owned()));
        }
        if !self.approval_key.fits(request, token) {
            return Err(CommandError::Invalid("this is not the token of this request".to_owned()));
        }
        if request.approved_by.iter().any(|name| name == by) {
            let error = format!("{by} has approved it already: another person must");
            return Err(CommandError::Conflict(error));
        }
        let action = self.configured.iter().find(|action| action.name == request.action).cloned();
        let action = action.ok_or_else(|| {
            CommandError::Conflict(format!("the action `{}` is no longer configured", request.action))
        })?;
        let Request { cause, evidence, .. } = request;
        let look = Look { action: &action, cause, evidence, own: Some(request), situation: *s };
        if let Some(guard) = self.guard(&look, Phase::Approve) {
            return Err(CommandError::Conflict(basis::held(guard)));
        }
        self.dirty = true;
        let request = &mut self.memory.requests[index];
        request.approved_by.push(by.to_owned());
        let given = request.approved_by.len();
        if given < action.approvals as usize {
            let detail = format!("approved by {by}: {given} of {}", action.approvals);
            detail.clone_into(&mut request.detail);
            return Ok(self.outcome(index, "action_approved_in_part", detail));
        }
        request.decided_at = s.at;
        let detail = format!("approved by {}", request.approved_by.join(", "));
        self.set_state(index, RequestState::Pending, &detail);
        let request = self.memory.requests[index].clone();
        self.let_go(&action, &request, s.at);
        self.tell_index(index, Transition::Updated, request.cause.severity, s.at);
        Ok(self.outcome(index, "action_approved", detail))
    }

    /// Notes that an approval was declined. Answers whether that belongs into the audit trail: a request that waits has
    /// room for some of them, and for a key that nobody asked for there is none, or the trail would be anybody's to fill.
    pub fn declined(&mut self, key: &str) -> bool {
        let Some(index) = self.position(key, |state| state == RequestState::Waiting) else { return false };
        let request = &mut self.memory.requests[index];
        if request.declined >= MOST_DECLINED {
            return false;
        }
        request.declined += 1;
        self.dirty = true;
        true
    }

    fn refuse(&mut self, key: &str, reason: &str, by: &str) -> Result<CommandOutcome, CommandError> {
        let index = self.waiting(key)?;
        let reason = clip(reason);
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let detail = format!("refused by {by}{why}");
        self.set_state(index, RequestState::Refused, &detail);
        let at = self.memory.clock;
        self.tell_index(index, Transition::Resolved, crate::alert::Severity::Warning, at);
        Ok(self.outcome(index, "action_refused", detail))
    }

    /// By a callback of the automation, or by a person who looked.
    fn report(
        &mut self,
        key: &str,
        succeeded: bool,
        detail: &str,
        by: &str,
    ) -> Result<CommandOutcome, CommandError> {
        let open = |state| {
            matches!(
                state,
                RequestState::Pending
                    | RequestState::Sent
                    | RequestState::Unknown
                    | RequestState::Unconfirmed
            )
        };
        let index = self.position(key, open).ok_or_else(|| self.not_in_state(key, "waits for an outcome"))?;
        let at = self.memory.clock;
        let detail = if detail.is_empty() { format!("reported by {by}") } else { format!("{by}: {detail}") };
        if succeeded {
            self.confirm(index, &detail, at);
        } else {
            self.end(index, RequestState::Failed, &detail, (Transition::Updated, at));
        }
        Ok(self.outcome(index, "action_outcome", detail))
    }

    /// Suspends until a person resumes: there may have been a suspension, or a silence, of which nobody knows any more.
    pub fn orders_were_lost(&mut self, now: Millis) {
        if self.configured.is_empty() || self.memory.suspended.is_some() {
            return;
        }
        let reason =
            "the orders of people were lost with the state: suspend and silence what should be, then resume";
        let by = AuditRow::SELF.to_owned();
        self.suspend(Suspension { by, at: now, reason: reason.to_owned(), until: None });
        self.audit(now, "actions_suspended", "", reason.to_owned());
    }

    fn suspend_by(&mut self, reason: &str, by: &str, at: Millis) -> Result<CommandOutcome, CommandError> {
        if let Some(suspension) = &self.memory.suspended {
            let error =
                format!("actions are suspended already: {} (by {})", suspension.reason, suspension.by);
            return Err(CommandError::Conflict(error));
        }
        let reason = if reason.is_empty() { "no reason given" } else { reason };
        self.suspend(Suspension { by: by.to_owned(), at, reason: reason.to_owned(), until: None });
        let answer = json!({"suspended": reason});
        let (what, detail) = ("actions_suspended".to_owned(), reason.to_owned());
        Ok(CommandOutcome { what, key: String::new(), detail, answer })
    }

    fn resume_by(&mut self, by: &str) -> Result<CommandOutcome, CommandError> {
        if self.memory.suspended.is_none() {
            let hint = if self.kill_switch { "; remove the file of the kill switch" } else { "" };
            return Err(CommandError::Conflict(format!("actions are not suspended by an order{hint}")));
        }
        self.resume();
        let (what, detail) = ("actions_resumed".to_owned(), format!("by {by}"));
        let answer = json!({"suspended": self.suspended()});
        Ok(CommandOutcome { what, key: String::new(), detail, answer })
    }

    fn waiting(&self, key: &str) -> Result<usize, CommandError> {
        self.position(key, |state| state == RequestState::Waiting)
            .ok_or_else(|| self.not_in_state(key, "waits for approval"))
    }

    fn not_in_state(&self, key: &str, what: &str) -> CommandError {
        match self.memory.requests.iter().find(|request| request.key == key) {
            None => CommandError::NotFound(format!("there is no action `{key}`")),
            Some(request) => CommandError::Conflict(format!(
                "no action `{key}` {what}: it is {} ({})",
                request.state.as_str(),
                request.detail
            )),
        }
    }

    fn outcome(&self, index: usize, what: &str, detail: String) -> CommandOutcome {
        let request = &self.memory.requests[index];
        let action = self.configured.iter().find(|action| action.name == request.action);
        let view = ActionView::of(request, action.map_or(1, |action| action.approvals));
        let answer = serde_json::to_value(view).unwrap_or_default();
        CommandOutcome { what: what.to_owned(), key: request.key.clone(), detail, answer }
    }
}

/// One bounded line without control characters.
fn clip(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}
