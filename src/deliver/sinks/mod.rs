//! The list of sinks. Each file renders a delivery for one kind of target and judges its answer; nothing here waits.
//!
//! Adding one: a file with a type that is a [`Dialect`], one variant of [`Sink`]. The conformance tests iterate the
//! list.

mod action;
mod digest;
mod event;
mod pagerduty;
mod slack;
mod text;
mod webhook;

use std::fmt;
use std::time::Duration;

pub use action::ActionWebhook;
pub use pagerduty::Pagerduty;
pub use slack::Slack;
pub use webhook::Webhook;

use super::guard::Endpoint;
use crate::alert::Delivery;
use crate::subject::Millis;

/// Largest body that any sink renders.
pub const MAX_BODY: usize = 64 << 10;

/// One attempt at a delivery, as far as a request shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// Wall-clock time, which is signed.
    pub at: Millis,
}

/// A request ready to be sent by POST. `Debug` shows neither path nor body, which may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkRequest {
    /// Where to.
    pub url: Endpoint,
    /// Headers, in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The exact bytes of the body.
    pub body: Vec<u8>,
}

impl fmt::Debug for SinkRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.body.len();
        f.debug_struct("SinkRequest")
            .field("url", &self.url)
            .field("body_bytes", &bytes)
            .finish_non_exhaustive()
    }
}

/// What a target said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Pause that it asks for.
    pub retry_after: Option<Duration>,
    /// Beginning of the body.
    pub body: Vec<u8>,
    /// Whether the body broke off.
    pub cut_short: bool,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Confirmed.
    Delivered,
    /// Not now.
    Retry {
        /// Pause that the target asks for.
        after: Option<Duration>,
        /// What it said, fit for a log.
        reason: String,
    },
    /// Never.
    Dead {
        /// What it said, fit for a log.
        reason: String,
    },
    /// An action may or may not have been taken.
    Unknown {
        /// What it said, fit for a log.
        reason: String,
    },
}

/// Why a delivery cannot be put into a sink's words. Trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum Unsendable {
    /// The sink has no words for it.
    #[error("{sink} cannot be told about an action: route it to a webhook")]
    Mismatch {
        /// Type of the sink.
        sink: &'static str,
    },
    /// A name would have to be cut, and the action would then concern something else.
    #[error("the {what} is longer than {limit} bytes")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// JSON refused.
    #[error("the payload cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// What each sink can do.
pub trait Dialect {
    /// Renders a delivery; the same arguments give the same bytes.
    ///
    /// # Errors
    /// When the delivery cannot be put into this sink's words.
    fn request(&self, delivery: &Delivery, attempt: Attempt) -> Result<SinkRequest, Unsendable>;

    /// Reads what the target said.
    fn judge(&self, answer: &Answer) -> Outcome {
        judge_status(answer)
    }
}

/// Every kind of target.
#[derive(Debug, Clone, PartialEq)]
pub enum Sink {
    /// Slack incoming webhook.
    Slack(Slack),
    /// PagerDuty Events v2.
    Pagerduty(Pagerduty),
    /// CloudEvents webhook.
    Webhook(Webhook),
    /// Webhook of an automation.
    Action(ActionWebhook),
}

impl Sink {
    /// Name of each kind, in the order of the variants.
    pub const KINDS: [&'static str; 4] = ["slack", "pagerduty", "webhook", "action"];

    /// Name of this kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Slack(_) => Self::KINDS[0],
            Self::Pagerduty(_) => Self::KINDS[1],
            Self::Webhook(_) => Self::KINDS[2],
            Self::Action(_) => Self::KINDS[3],
        }
    }

    fn dialect(&self) -> &dyn Dialect {
        match self {
            Self::Slack(sink) => sink,
            Self::Pagerduty(sink) => sink,
            Self::Webhook(sink) => sink,
            Self::Action(sink) => sink,
        }
    }
}

impl Dialect for Sink {
    fn request(&self, delivery: &Delivery, attempt: Attempt) -> Result<SinkRequest, Unsendable> {
        self.dialect().request(delivery, attempt)
    }

    fn judge(&self, answer: &Answer) -> Outcome {
        self.dialect().judge(answer)
    }
}

/// The common reading of a status: 2xx confirms; 408, 425, 429 and 5xx mean later; everything else means never.
fn judge_status(answer: &Answer) -> Outcome {
    let reason = format!("answered {}", answer.status);
    match answer.status {
        200..=299 => Outcome::Delivered,
        408 | 425 | 429 | 500..=599 => Outcome::Retry { after: answer.retry_after, reason },
        300..=399 => Outcome::Dead { reason: format!("{reason}, a redirect, which is never followed") },
        410 => Outcome::Dead { reason: format!("{reason}: the address is gone for good") },
        _ => Outcome::Dead { reason },
    }
}
