//! Carries pointers to refused records from the state file to the dead-letter topic: at least once, never ahead of the
//! checkpoint that holds them.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::troubles::{Damage, Damaged};
use super::wall_clock;
use crate::fault::{Place, reach};
use crate::source::DeadLetters;
use crate::store::{RefusedPending, StoreHandle};

const BATCH: usize = 500;
const PAUSE: Duration = Duration::from_secs(1);
/// Between two lines of the log about the same trouble.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

pub(super) async fn run(
    store: StoreHandle,
    topic: DeadLetters,
    damage: Damage,
    mut shutdown: watch::Receiver<bool>,
) {
    let (mut told, mut rotten) = (None::<Instant>, 0);
    loop {
        let more = match carry(&store, &topic).await {
            Ok(Carried { full, rotten: more }) => {
                if more > 0 {
                    rotten += more;
                    tell(&damage, rotten);
                }
                full
            }
            Err(error) => {
                if told.is_none_or(|at| at.elapsed() >= REPEAT_AFTER) {
                    tracing::warn!(%error, "pointers to refused records wait: they are tried again");
                    told = Some(Instant::now());
                }
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

fn tell(damage: &Damage, rotten: usize) {
    let line = format!(
        "{rotten} pointers to refused records were not what was written and were left out, see the audit trail: is the \
         disk in order? The next start checks every row"
    );
    tracing::error!("{line}");
    damage.set(Damaged::Pointers, Some(line));
}

/// What one round did.
struct Carried {
    /// Whether more may wait.
    full: bool,
    /// Pointers that were not what was written.
    rotten: usize,
}

async fn carry(store: &StoreHandle, topic: &DeadLetters) -> anyhow::Result<Carried> {
    let now = wall_clock();
    let RefusedPending { rows, looked_at, rotten } =
        store.call(move |store| store.refused_pending(BATCH, now)).await?;
    let mut sent = Vec::with_capacity(rows.len());
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
    match outcome {
        // What was left out is told all the same.
        Err(error) if rotten > 0 => {
            tracing::warn!(%error, "pointers to refused records wait: they are tried again");
        }
        outcome => outcome?,
    }
    Ok(Carried { full: looked_at == BATCH, rotten })
}
