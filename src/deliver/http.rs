//! One POST: guarded, bounded in time and size, and clear about what may have arrived.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Proxy, Response, Url, redirect};

use super::allow::{Allowed, GuardedResolver};
use super::policy::retry_after;
use super::sinks::{Answer, SinkRequest};
use crate::subject::Millis;

/// Most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 10;

/// Bounds in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Finding the address and connecting.
    pub connect: Duration,
    /// The whole request, with the answer.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), total: Duration::from_secs(10) }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::deliver) enum NoAnswer {
    /// Nothing was sent: there was no connection.
    NotSent(String),
    /// The request may have arrived.
    Lost(String),
}

/// Sends requests; cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::deliver) struct Post {
    client: Client,
}

impl Post {
    /// A client that follows no redirect, uses no proxy but the one given, repeats nothing by itself and never reuses a
    /// connection, so that a failure to connect means that nothing was sent.
    pub(in crate::deliver) fn new(
        timeouts: Timeouts,
        allowed: &Allowed,
        proxy: Option<&Url>,
    ) -> Result<Self, reqwest::Error> {
        let allowed = allowed.clone().with_proxy(proxy.and_then(Url::host_str));
        let mut builder = Client::builder()
            .user_agent(concat!("anchorwatch/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.total)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(0)
            .dns_resolver(GuardedResolver(Arc::new(allowed)));
        if let Some(proxy) = proxy {
            builder = builder.proxy(Proxy::all(proxy.clone())?);
        }
        Ok(Self { client: builder.build()? })
    }

    /// Sends a request and reads the beginning of the answer.
    pub(in crate::deliver) async fn send(
        &self,
        request: SinkRequest,
        now: Millis,
    ) -> Result<Answer, NoAnswer> {
        let mut builder = self.client.post(request.url.expose().clone()).body(request.body);
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        match builder.send().await {
            Ok(response) => Ok(read(response, now).await),
            Err(error) => Err(no_answer(&error)),
        }
    }
}

async fn read(mut response: Response, now: Millis) -> Answer {
    let asked = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = asked.and_then(|text| retry_after(text, now));
    let mut answer =
        Answer { status: response.status().as_u16(), retry_after, body: Vec::new(), cut_short: false };
    while answer.body.len() < MAX_ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = MAX_ANSWER - answer.body.len();
                answer.body.extend(chunk.iter().take(room));
            }
            Ok(None) => break,
            Err(_) => {
                answer.cut_short = true;
                break;
            }
        }
    }
    answer
}

/// The innermost cause says it best, and unlike the outer ones it never repeats the URL.
fn no_answer(error: &reqwest::Error) -> NoAnswer {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let detail = if error.is_timeout() { "timed out".to_owned() } else { cause.to_string() };
    if error.is_connect() || error.is_builder() {
        NoAnswer::NotSent(format!("could not connect: {detail}"))
    } else {
        NoAnswer::Lost(format!("no answer: {detail}"))
    }
}
