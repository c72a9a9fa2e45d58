//! Orders to the engine: handed over through a bounded queue, answered once what they changed is durable.

use std::time::Duration;

use axum::Json;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::handlers::now;
use super::{ApiError, ApiState, Caller};
use crate::engine::{Command, CommandError, Order};

/// Orders that may wait for the engine; beyond it callers are turned away.
pub const COMMAND_QUEUE: usize = 64;

/// Longest wait for the checkpoint that makes an order durable.
const PATIENCE: Duration = Duration::from_secs(30);

/// An order with the place for its answer.
#[derive(Debug)]
pub struct Asked {
    /// What is asked, by whom.
    pub order: Order,
    /// Where the answer goes, after the checkpoint that holds what the order changed.
    pub reply: oneshot::Sender<Result<Value, CommandError>>,
}

/// The way to the engine.
pub type Commands = mpsc::Sender<Asked>;

/// Gives an order to the engine and waits until it is durable.
pub(super) async fn ask(
    state: &ApiState,
    caller: &Caller,
    command: Command,
) -> Result<Json<Value>, ApiError> {
    let busy = || ApiError::Unavailable {
        error: "the engine does not take orders now".to_owned(),
        hint: "try again in a moment; if it lasts, see /readyz",
    };
    let commands = state.commands.as_ref().ok_or_else(busy)?;
    let (reply, answer) = oneshot::channel();
    let order = Order { by: caller.name.clone(), at: now(), command };
    commands.try_send(Asked { order, reply }).map_err(|_| busy())?;
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(Ok(answer))) => Ok(Json(answer)),
        Ok(Ok(Err(CommandError::NotFound(error)))) => Err(ApiError::NotFound {
            error,
            hint: "see /api/v1/alerts and /api/v1/actions for what there is",
        }),
        Ok(Ok(Err(CommandError::Conflict(error)))) => {
            Err(ApiError::Conflict { error, hint: "look at its state and ask again" })
        }
        Ok(Ok(Err(CommandError::Invalid(error)))) => {
            Err(ApiError::BadRequest { error, hint: "see /openapi.json for what is asked" })
        }
        Ok(Err(_)) | Err(_) => Err(ApiError::Unavailable {
            error: "no answer: the order may or may not have been carried out".to_owned(),
            hint: "look at the state before asking again; an order takes effect only once it is durable",
        }),
    }
}
