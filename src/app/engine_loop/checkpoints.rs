//! Checkpoints as the loop sees them: when one is due, that it is under way, and what it means that it failed.

use super::{EngineLoop, LEAVE_PATIENCE, Turn};
use crate::app::wall_clock;
use crate::engine::{Checkpoint, Position, Trouble, TroubleKind};
use crate::fault::{Place, reach};
use crate::store::{ApplyTicket, FailedApply, NotTaken, Retry, StoreError};
use crate::subject::Millis;

const RETRY_CHECKPOINT_AFTER: Millis = 1_000;

/// A checkpoint that the store is writing.
pub(super) struct UnderWay {
    ticket: ApplyTicket,
    positions: Vec<Position>,
    pub(super) since: Millis,
}

/// A checkpoint that is offered again at this time.
pub(super) type Failed = (Box<Checkpoint>, Millis);

impl EngineLoop {
    pub(super) fn checkpoint_is_due(&self, now: Millis) -> bool {
        let due = self.dirty_since.is_some_and(|since| now - since >= self.checkpoint_every);
        due || self.urgent || self.engine.dirty_bytes() >= self.dirty_bytes
    }

    /// Whether the next look takes a new checkpoint. It is of whole edges.
    pub(super) fn would_take_checkpoint(&self, now: Millis) -> bool {
        let is_free = self.under_way.is_none() && self.failed.is_none();
        is_free && !self.engine.is_judging() && self.checkpoint_is_due(now)
    }

    /// Offers a checkpoint when one is due: by time, or at once when somebody is to be told. Gives whether a new one was
    /// taken, or rows were counted ahead of it.
    pub(super) fn begin_checkpoint(&mut self, now: Millis) -> anyhow::Result<Turn> {
        if self.under_way.is_some() {
            return Ok(Turn::Nothing);
        }
        let is_new = self.failed.is_none();
        let checkpoint = match self.failed.take() {
            // One that failed is of whole edges, and must not wait for the edge under way: while reading is paused for it, no
            // edge goes on.
            Some((checkpoint, retry_at)) if now >= retry_at => checkpoint,
            Some(waiting) => {
                self.failed = Some(waiting);
                return Ok(Turn::Nothing);
            }
            None => {
                if !self.would_take_checkpoint(now) {
                    return Ok(Turn::Nothing);
                }
                if self.engine.settle_ahead() {
                    return Ok(Turn::Counting);
                }
                self.dirty_since = None;
                self.urgent = false;
                self.answers.checkpoint_taken();
                Box::new(self.engine.checkpoint())
            }
        };
        reach(Place::CheckpointTaken);
        let positions = checkpoint.positions.clone();
        match self.store.try_apply(checkpoint) {
            Ok(ticket) => self.under_way = Some(UnderWay { ticket, positions, since: now }),
            Err(NotTaken::Busy(checkpoint)) => self.failed = Some((checkpoint, now)),
            Err(NotTaken::Ended) => return Err(StoreError::Stopped.into()),
        }
        Ok(if is_new { Turn::Checkpoint } else { Turn::Nothing })
    }

    pub(super) fn settle_checkpoint(&mut self, now: Millis) -> anyhow::Result<()> {
        let Some(mut under_way) = self.under_way.take() else { return Ok(()) };
        match under_way.ticket.poll() {
            None => self.under_way = Some(under_way),
            Some(Ok(())) => {
                reach(Place::CheckpointSettled);
                self.source.commit(&under_way.positions);
                reach(Place::OffsetsCommitted);
                self.publisher.metrics().checkpoint_done((now - under_way.since) as f64 / 1_000.0);
                self.last_checkpoint_at = Some(wall_clock());
                if std::mem::take(&mut self.broken) {
                    tracing::info!("the state can be written again: reading goes on");
                    self.publisher.metrics().state_writable(true);
                }
                // Whether or not it was this process that told of it.
                self.urgent |= self.engine.clear(TroubleKind::StateFull, "", wall_clock());
                if self.answers.checkpoint_durable() {
                    // Whoever asks next sees what the order did.
                    self.show_status();
                }
            }
            Some(Err(failure)) => self.take_failure(failure, now)?,
        }
        Ok(())
    }

    fn take_failure(&mut self, failure: FailedApply, now: Millis) -> anyhow::Result<()> {
        self.publisher.metrics().checkpoint_failed();
        let FailedApply { error, checkpoint } = failure;
        match checkpoint {
            Some(checkpoint) if error.retry() != Retry::Never => {
                self.tell(now, "checkpoint", || {
                    tracing::error!(%error, "the checkpoint cannot be written: reading is paused until it can");
                });
                if !std::mem::replace(&mut self.broken, true) {
                    self.publisher.metrics().state_writable(false);
                    let summary = format!("the state could not be written, reading was paused: {error}");
                    let trouble = Trouble { kind: TroubleKind::StateFull, of: String::new(), summary };
                    self.urgent |= self.engine.raise(&trouble, wall_clock());
                }
                self.failed = Some((checkpoint, now + RETRY_CHECKPOINT_AFTER));
                Ok(())
            }
            _ => Err(error.into()),
        }
    }

    /// The last checkpoint, after any that is still under way.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        reach(Place::Stopping);
        self.source.pause();
        if let Some(under_way) = self.under_way.take()
            && let Err(FailedApply { checkpoint: Some(checkpoint), .. }) = under_way.ticket.wait()
        {
            self.failed = Some((checkpoint, 0));
        }
        if let Some((checkpoint, _)) = self.failed.take() {
            self.store.apply_blocking(checkpoint).map_err(|failure| failure.error)?;
        }
        let checkpoint = self.engine.checkpoint();
        let positions = checkpoint.positions.clone();
        self.store.apply_blocking(Box::new(checkpoint)).map_err(|failure| failure.error)?;
        reach(Place::Stopped);
        self.publisher.status(&mut self.engine, Vec::new(), Vec::new(), Some(wall_clock()));
        self.publisher.alerts(self.engine.alert_views());
        self.answers.all_shown();
        self.source.leave(&positions, LEAVE_PATIENCE);
        Ok(())
    }
}
