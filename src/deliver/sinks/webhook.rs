//! Generic webhook: a CloudEvent by POST, or the body that the operator's template makes, signed after the Standard
//! Webhooks scheme. Every 2xx confirms.

use super::{Attempt, Dialect, SinkRequest, Template, Unsendable, event};
use crate::alert::Delivery;
use crate::deliver::guard::Endpoint;
use crate::deliver::signature::{SigningKeys, signed_headers};

/// Somebody who reads CloudEvents, or what a template makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// Address.
    pub url: Endpoint,
    /// Signing keys; without them requests are not signed.
    pub keys: Option<SigningKeys>,
    /// Template of the body, in place of the CloudEvent.
    pub template: Option<Template>,
}

impl Dialect for Webhook {
    fn request(&self, delivery: &Delivery, attempt: Attempt) -> Result<SinkRequest, Unsendable> {
        let built_in = || event::request(&self.url, self.keys.as_ref(), delivery, attempt);
        let (Some(template), Delivery::Notification(notification)) = (&self.template, delivery) else {
            return built_in();
        };
        match template.render(notification) {
            Ok(body) => {
                let mut headers = vec![("content-type", template.content_type().to_owned())];
                headers.extend(signed_headers(self.keys.as_ref(), delivery.key(), attempt.at, &body));
                Ok(SinkRequest { url: self.url.clone(), headers, body, fell_back: None })
            }
            // Being told in other words is better than not being told.
            Err(error) => Ok(SinkRequest { fell_back: Some(error.to_string()), ..built_in()? }),
        }
    }
}
