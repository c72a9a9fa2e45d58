//! How deliveries are made: bounds in time and number that all sinks and actions share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// How deliveries are made, for all sinks and actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deliver {
    /// How long a target may take nothing before the other sinks are told.
    pub tell_after: Span,
    /// How long after its first attempt a notification is given up.
    pub give_up_after: Span,
    /// Longest time to find a target's address and connect.
    pub connect_timeout: Span,
    /// Longest time of a whole request, with its answer.
    pub timeout: Span,
    /// Most deliveries that wait, over all targets. Above it updates of an alert group that a newer one replaces are left out, then all updates; firing and resolved never.
    #[schemars(range(min = 100))]
    pub max_open: usize,
    /// How long settled deliveries are kept; must exceed the longest horizon, since their keys guard against telling twice.
    pub keep_settled: Span,
    /// Proxy for requests that leave this network, `http://proxy:3128`; those of the environment are not used. It resolves names itself, so only addresses written as numbers are checked then.
    pub proxy: Option<String>,
    /// Hosts to which deliveries may go, `hooks.slack.com` or `.example.com` for all below; a name listed here may also lead to loopback. Empty, together with `allow_cidrs`, allows every host of this file.
    pub allow_hosts: Vec<String>,
    /// Networks to which deliveries may go, `10.20.0.0/16`; also allows names that lead to loopback there.
    pub allow_cidrs: Vec<String>,
}

impl Default for Deliver {
    fn default() -> Self {
        Self {
            tell_after: Span::from_mins(10),
            give_up_after: Span::from_hours(24),
            connect_timeout: Span::from_secs(3),
            timeout: Span::from_secs(10),
            max_open: 100_000,
            keep_settled: Span::from_hours(30 * 24),
            proxy: None,
            allow_hosts: Vec::new(),
            allow_cidrs: Vec::new(),
        }
    }
}
