//! Generic webhook: a CloudEvent by POST, signed after the Standard Webhooks scheme. Every 2xx confirms.

use super::{Attempt, Dialect, SinkRequest, Unsendable, event};
use crate::alert::Delivery;
use crate::deliver::guard::Endpoint;
use crate::deliver::signature::SigningKeys;

/// Somebody who reads CloudEvents.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// Address.
    pub url: Endpoint,
    /// Signing keys; without them requests are not signed.
    pub keys: Option<SigningKeys>,
}

impl Dialect for Webhook {
    fn request(&self, delivery: &Delivery, attempt: Attempt) -> Result<SinkRequest, Unsendable> {
        event::request(&self.url, self.keys.as_ref(), delivery, attempt)
    }
}
