//! Carries pointers to refused records from the state file to the dead-letter topic: at least once, never ahead of the
//! checkpoint that holds them.

use std::time::Duration;

use tokio::sync::watch;

use crate::fault::{Place, reach};
use crate::source::DeadLetters;
use crate::store::StoreHandle;

const BATCH: usize = 500;
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run(store: StoreHandle, topic: DeadLetters, mut shutdown: watch::Receiver<bool>) {
    loop {
        let more = match carry(&store, &topic).await {
            Ok(carried) => carried == BATCH,
            Err(error) => {
                tracing::warn!(%error, "pointers to refused records wait: they are tried again");
                false
            }
        };
        if more {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = shutdown.changed() => return,
        }
    }
}

async fn carry(store: &StoreHandle, topic: &DeadLetters) -> anyhow::Result<usize> {
    let rows = store.call(|store| store.refused_pending(BATCH)).await?;
    let count = rows.len();
    let mut sent = Vec::with_capacity(count);
    let mut outcome = Ok(());
    for row in rows {
        outcome = topic.send(&row.record).await;
        if outcome.is_err() {
            break;
        }
        reach(Place::PointerSent);
        sent.push(row.id);
    }
    if !sent.is_empty() {
        store.call(move |store| store.refused_sent(&sent)).await?;
        reach(Place::PointersMarked);
    }
    outcome?;
    Ok(count)
}
