//! What the API sees of the outbox and orders about it: through the state file's one writer, like everything else.

use std::sync::Arc;

use crate::api::{Asking, OutboxDesk, OutboxError};
use crate::deliver::{Ailments, DeliveryObserver, DeliveryOutcome};
use crate::store::{StoreError, StoreHandle};
use crate::telemetry::Metrics;
use crate::view::{Board, DeliveryDetail, OutboxChanged, OutboxOrder, OutboxPage, OutboxQuery, TargetView};

use super::wall_clock;

/// The desk at which the API asks.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) store: StoreHandle,
    pub(super) board: Arc<Board>,
}

fn refused(error: &StoreError) -> OutboxError {
    OutboxError::Unavailable(error.to_string())
}

impl OutboxDesk for Desk {
    fn list(&self, query: OutboxQuery) -> Asking<'_, OutboxPage> {
        Box::pin(async move {
            let limit = query.limit;
            let rows = self
                .store
                .call(move |store| store.outbox_rows(&query))
                .await
                .map_err(|error| refused(&error))?;
            let items = rows.map_err(OutboxError::Refused)?;
            let next_before = (items.len() == limit).then(|| items.last().map(|row| row.id)).flatten();
            Ok(OutboxPage { targets: self.board.targets().to_vec(), items, next_before })
        })
    }

    fn show(&self, id: i64) -> Asking<'_, Option<DeliveryDetail>> {
        Box::pin(async move {
            self.store.call(move |store| store.outbox_detail(id)).await.map_err(|error| refused(&error))
        })
    }

    fn order(&self, order: OutboxOrder, by: String) -> Asking<'_, OutboxChanged> {
        Box::pin(async move {
            let now = wall_clock();
            let done = self.store.call(move |store| store.outbox_order(&order, &by, now)).await;
            let changed = done.map_err(|error| refused(&error))?.map_err(OutboxError::Refused)?;
            self.store.wake();
            Ok(changed)
        })
    }
}

/// Passes on what deliveries say of themselves: to the metrics, to the board, and to the engine.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) metrics: Arc<Metrics>,
    pub(super) board: Arc<Board>,
    pub(super) ailments: tokio::sync::watch::Sender<Option<Ailments>>,
}

impl DeliveryObserver for Witness {
    fn outcome(&self, target: &str, outcome: DeliveryOutcome) {
        self.metrics.delivery(target, outcome.as_str());
    }

    fn duration(&self, target: &str, seconds: f64) {
        self.metrics.delivery_took(target, seconds);
    }

    fn template_failed(&self, target: &str) {
        self.metrics.template_failed(target);
    }

    fn targets(&self, targets: &[TargetView]) {
        self.metrics.targets(targets, wall_clock());
        self.board.set_targets(targets.to_vec());
    }

    fn ailments(&self, ailments: &Ailments) {
        self.ailments.send_replace(Some(ailments.clone()));
    }

    fn outbox_left(&self, replaced: u64, pruned: u64) {
        self.metrics.outbox_left(replaced, pruned);
    }
}
