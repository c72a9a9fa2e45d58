//! The life of a request.
//!
//! ```text
//! (approve)  waiting ──▶ pending        enough people approved, and every guard agreed once more
//!               ├──────▶ refused        a person said no
//!               ├──────▶ expired        nobody answered in time
//!               └──────▶ withdrawn      the alert is over
//! (auto)     pending ──▶ sent           the target took it
//!               ├──────▶ withdrawn      a guard stopped it at the last moment: not one byte was sent
//!               ├──────▶ failed         the target refused it, or was not reached in time
//!               └──────▶ unknown        perhaps taken: never sent again, people are told
//! unknown ─────────────▶ sent           by a person who says only that it was taken (`outbox settle`)
//! sent, unknown ───────▶ confirmed      by the registry, by the automation or by a person
//!               ├──────▶ failed         by the automation or by a person
//! sent ────────────────▶ unconfirmed    nobody said so in time
//! confirmed ───────────▶ effective, ineffective
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Evidence, Situation};
use crate::alert::{ActionKind, ActionRequest, Notification};
use crate::config::Action;
use crate::subject::Millis;

/// Where a request stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// For people to approve.
    #[default]
    Waiting,
    /// In the outbox.
    Pending,
    /// Taken by the target.
    Sent,
    /// Perhaps taken.
    Unknown,
    /// Done.
    Confirmed,
    /// Done, and the alert ended.
    Effective,
    /// Done, and the alert did not end.
    Ineffective,
    /// Nobody said in time that it was done.
    Unconfirmed,
    /// A person said no.
    Refused,
    /// Nobody answered, or nobody could be reached, in time.
    Expired,
    /// Not needed any more, or not allowed any more, before it was sent.
    Withdrawn,
    /// Not done.
    Failed,
}

impl RequestState {
    /// Name in views, payloads and the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Confirmed => "confirmed",
            Self::Effective => "effective",
            Self::Ineffective => "ineffective",
            Self::Unconfirmed => "unconfirmed",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more will become of it by itself.
    #[must_use]
    pub fn is_over(self) -> bool {
        !self.is_open() && self != Self::Confirmed
    }

    /// Whether it keeps others for the same model back; once it is done the cooldown does.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::Waiting | Self::Pending | Self::Sent | Self::Unknown => true,
            Self::Confirmed
            | Self::Effective
            | Self::Ineffective
            | Self::Unconfirmed
            | Self::Refused
            | Self::Expired
            | Self::Withdrawn
            | Self::Failed => false,
        }
    }
}

/// One request with all that its life needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Stable identity; the idempotency key.
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
    /// The notification that caused it.
    pub cause: Notification,
    /// Newest window behind it.
    pub evidence: Evidence,
    /// Event time of the decision.
    pub decided_at: Millis,
    /// When the target took it, by the engine's own clock.
    #[serde(default)]
    pub taken_at: Option<Millis>,
    /// Time of the engine's own clock until which people may approve it.
    pub approve_until: Option<Millis>,
    /// Who has approved it.
    pub approved_by: Vec<String>,
    /// Approvals of it that were declined.
    #[serde(default)]
    pub declined: u32,
    /// Versions of the model when it was decided; a retraining adds one.
    pub known_versions: Option<Vec<String>>,
    /// Event time at which it was known to be done.
    pub confirmed_at: Option<Millis>,
    /// Judged windows since then, and how many of the last ones were calm.
    pub judged: (u32, u32),
}

impl Request {
    pub(super) fn new(action: &Action, cause: &Notification, evidence: Evidence, s: &Situation<'_>) -> Self {
        let to = s.facts_of(&cause.model, &cause.version).rollback_to;
        Self {
            key: key(&action.name, cause),
            action: action.name.clone(),
            kind: action.kind,
            model: cause.model.clone(),
            version: cause.version.clone(),
            to_version: to.filter(|_| action.kind == ActionKind::Rollback),
            state: RequestState::Pending,
            detail: String::new(),
            cause: cause.clone(),
            evidence,
            decided_at: s.at,
            taken_at: None,
            approve_until: None,
            approved_by: Vec::new(),
            declined: 0,
            known_versions: s.models.get(&cause.model).map(|model| model.versions.iter().cloned().collect()),
            confirmed_at: None,
            judged: (0, 0),
        }
    }

    /// What is sent.
    #[must_use]
    pub fn payload(&self) -> ActionRequest {
        ActionRequest {
            key: self.key.clone(),
            action: self.action.clone(),
            kind: self.kind,
            model: self.model.clone(),
            version: self.version.clone(),
            to_version: self.to_version.clone(),
            approved_by: self.approved_by.clone(),
            cause: self.cause.clone(),
        }
    }

    /// `rollback of fraud 1.4.2 to 1.4.1`.
    #[must_use]
    pub fn title(&self) -> String {
        let to = self.to_version.as_ref().map_or_else(String::new, |to| format!(" to {to}"));
        format!("{} of {} {}{to}", self.kind.as_str(), self.model, self.version)
    }
}

/// Identity of the request that this action makes of this notification.
pub(super) fn key(action: &str, cause: &Notification) -> String {
    hex(&Sha256::digest(format!("{action}\n{}", cause.key)))
}

/// The first 32 hexadecimal digits of a digest.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
