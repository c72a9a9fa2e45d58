//! Webhook of an automation: retraining or rollback, asked at most once.
//!
//! Only answers that say "not processed" lead to another attempt: 408, 425, 429, and 503 with `Retry-After`. Any other
//! 5xx may come from a server that had already begun, or from a proxy whose upstream had (Envoy answers a plain 503 when
//! the upstream closes the connection after it took the request), so the outcome is unknown and the action is held for a
//! person.

use super::{Answer, Attempt, Dialect, Outcome, SinkRequest, Unsendable, event, judge_status};
use crate::alert::Delivery;
use crate::deliver::guard::Endpoint;
use crate::deliver::signature::SigningKeys;

/// An automation that starts a retraining or a rollback.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionWebhook {
    /// Address.
    pub url: Endpoint,
    /// Signing keys; without them requests are not signed.
    pub keys: Option<SigningKeys>,
}

impl Dialect for ActionWebhook {
    fn request(&self, delivery: &Delivery, attempt: Attempt) -> Result<SinkRequest, Unsendable> {
        event::request(&self.url, self.keys.as_ref(), delivery, attempt)
    }

    fn judge(&self, answer: &Answer) -> Outcome {
        match (answer.status, judge_status(answer)) {
            (408 | 425 | 429, outcome) => outcome,
            (503, outcome @ Outcome::Retry { after: Some(_), .. }) => outcome,
            (_, Outcome::Retry { reason, .. }) => {
                Outcome::Unknown { reason: format!("{reason}: it may have begun all the same") }
            }
            (_, outcome) => outcome,
        }
    }
}
