//! Deliveries and their targets, as people see them and order about them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::subject::Millis;

/// How a target is doing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetView {
    /// Name of the sink or action.
    pub target: String,
    /// Whether the configuration still has it; deliveries of others are given up after a day.
    pub configured: bool,
    /// Circuit breaker: `closed`, `open` or `half_open`.
    pub breaker: String,
    /// Wall-clock time since which the target has taken nothing; absent while it does.
    pub failing_since: Option<Millis>,
    /// Failures in a row.
    pub failures: u32,
    /// Requests that its rate allows at once now.
    pub tokens: f64,
    /// Requests under way.
    pub inflight: usize,
    /// Whether the other sinks were told that it is down.
    pub down: bool,
    /// What went wrong last, until something was delivered.
    pub last_error: Option<String>,
    /// Deliveries that wait or are being sent.
    pub pending: u64,
    /// Deliveries given up.
    pub dead: u64,
    /// Actions of which nobody knows whether they were taken.
    pub unknown: u64,
    /// Wall-clock time at which the oldest delivery that still waits was decided.
    pub oldest_pending_at: Option<Millis>,
}

/// One delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryView {
    /// Number of the delivery.
    pub id: i64,
    /// Idempotency key that the target sees.
    pub key: String,
    /// Name of the sink or action.
    pub target: String,
    /// `notification` or `action`.
    pub class: String,
    /// Deliveries of one flow reach a target in order: an alert group, or the actions of a model.
    pub flow: String,
    /// `pending`, `inflight`, `delivered`, `dead`, `expired`, `unknown` or `held`.
    pub state: String,
    /// Attempts made.
    pub attempt: u32,
    /// Wall-clock time of the decision.
    pub decided_at: Millis,
    /// Wall-clock time of the next attempt, if it waits for one.
    pub next_at: Option<Millis>,
    /// Wall-clock time after which it is no longer worth sending.
    pub expires_at: Option<Millis>,
    /// Wall-clock time of the end, if it has ended.
    pub settled_at: Option<Millis>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// One delivery with what it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryDetail {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: DeliveryView,
    /// What is delivered, before the target's dialect; forgotten once it was.
    pub payload: Option<Value>,
}

/// The deliveries asked for, and all targets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutboxPage {
    /// Every target, configured or not.
    pub targets: Vec<TargetView>,
    /// The newest deliveries first.
    pub items: Vec<DeliveryView>,
    /// Number to ask `before` for the next page; absent on the last.
    pub next_before: Option<i64>,
}

/// Which deliveries are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboxQuery {
    /// Only in this state.
    pub state: Option<String>,
    /// Only of this target.
    pub target: Option<String>,
    /// Only with a smaller number.
    pub before: Option<i64>,
    /// Most that are wanted.
    pub limit: usize,
}

/// What a person orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxOrder {
    /// Send these notifications again that were given up.
    Retry {
        /// Their numbers.
        ids: Vec<i64>,
    },
    /// Send all notifications of a target again that were given up.
    RetryDead {
        /// Its name.
        target: String,
    },
    /// Never send this one.
    Drop {
        /// Its number.
        id: i64,
    },
    /// Say whether an action was taken whose outcome is not known.
    Settle {
        /// Its number.
        id: i64,
        /// Whether it was taken.
        taken: bool,
    },
}

/// What an order changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutboxChanged {
    /// Numbers of the deliveries that changed.
    pub changed: Vec<i64>,
    /// What they are now.
    pub state: String,
    /// Actions that were left alone: an action is asked for once.
    pub left: u64,
}
