//! One target's worker: asks the outbox what is due, sends it, records what became of it, sleeps until more is due.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::Instant;

use super::http::{NoAnswer, Post};
use super::policy::millis;
use super::sinks::{Answer, Attempt, Dialect, Outcome};
use super::{DeliveryObserver, DeliveryOutcome, DeliverySettings, Target};
use crate::alert::Delivery;
use crate::fault::{Place, reach};
use crate::store::{Due, OutboxItem, Retry, Settlement, StoreError, StoreHandle};
use crate::subject::Millis;

/// Deliveries taken from the outbox at a time.
const BATCH: usize = 16;

/// Longest sleep, so that a change of the system's clock cannot keep a delivery for ever.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Pause after the state file refused.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Sends what is due to one target, one delivery after the other.
pub(in crate::deliver) struct Worker {
    target: Arc<Target>,
    store: StoreHandle,
    post: Post,
    settings: DeliverySettings,
    observer: Arc<dyn DeliveryObserver>,
    shutdown: watch::Receiver<bool>,
    rng: StdRng,
}

/// Whether the worker goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

impl Worker {
    pub(in crate::deliver) fn new(
        target: Target,
        store: StoreHandle,
        post: Post,
        settings: DeliverySettings,
        observer: Arc<dyn DeliveryObserver>,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        let rng = StdRng::from_rng(&mut rand::rng());
        Self { target: Arc::new(target), store, post, settings, observer, shutdown, rng }
    }

    /// Works until told to stop; a request under way is finished first.
    pub(in crate::deliver) async fn run(mut self) {
        let mut decided = self.store.decided();
        loop {
            // Marked as seen before asking, so that a delivery decided in between still wakes the sleep below.
            decided.mark_unchanged();
            let next = match self.due().await {
                Ok(due) if due.items.is_empty() => self.sleep(&mut decided, due.next_at).await,
                Ok(due) => self.deliver_all(due.items).await,
                Err(error) => self.after_store_error(&error).await,
            };
            if next == Next::Stop || *self.shutdown.borrow() {
                return;
            }
        }
    }

    fn now(&self) -> Millis {
        (self.settings.clock)()
    }

    async fn due(&self) -> Result<Due, StoreError> {
        let (target, now) = (Arc::clone(&self.target), self.now());
        self.store.call(move |store| store.due(&target.name, now, BATCH)).await
    }

    async fn sleep(&mut self, decided: &mut watch::Receiver<u64>, next_at: Option<Millis>) -> Next {
        let ahead = next_at.map(|next_at| next_at.saturating_sub(self.now()).max(1).unsigned_abs());
        let pause = ahead.map_or(LONGEST_SLEEP, Duration::from_millis).min(LONGEST_SLEEP);
        tokio::select! {
            changed = decided.changed() => if changed.is_err() { Next::Stop } else { Next::Go },
            () = tokio::time::sleep(pause) => Next::Go,
            _ = self.shutdown.changed() => Next::Stop,
        }
    }

    async fn after_store_error(&mut self, error: &StoreError) -> Next {
        if matches!(error, StoreError::Stopped) {
            return Next::Stop;
        }
        tracing::error!(target_name = %self.target.name, %error, "deliveries wait for the state file");
        tokio::select! {
            () = tokio::time::sleep(STORE_PAUSE) => Next::Go,
            _ = self.shutdown.changed() => Next::Stop,
        }
    }

    async fn deliver_all(&mut self, items: Vec<OutboxItem>) -> Next {
        for item in items {
            if *self.shutdown.borrow() {
                return Next::Stop;
            }
            if let Err(error) = self.deliver(item).await {
                return self.after_store_error(&error).await;
            }
        }
        Next::Go
    }

    /// One attempt, durable before the first byte is sent.
    async fn deliver(&mut self, item: OutboxItem) -> Result<(), StoreError> {
        let (id, now) = (item.id, self.now());
        reach(Place::DeliveryDue);
        if item.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return self.settle(id, Settlement::Expired).await;
        }
        if let Delivery::Action(request) = &item.delivery
            && let Err(reason) = self.settings.guard.check(request, now)
        {
            return self
                .settle(id, Settlement::Dead { error: format!("held at the last moment: {reason}") })
                .await;
        }
        if !self.store.call(move |store| store.attempting(id, now)).await? {
            return Ok(());
        }
        reach(Place::DeliveryAttempting);
        let settlement = self.attempt(&item, now).await;
        reach(Place::DeliveryAnswered);
        self.settle(id, settlement).await?;
        reach(Place::DeliverySettled);
        Ok(())
    }

    async fn attempt(&mut self, item: &OutboxItem, now: Millis) -> Settlement {
        let attempt = Attempt { number: item.attempt.saturating_add(1), at: now };
        let request = match self.target.sink.request(&item.delivery, attempt) {
            Ok(request) => request,
            Err(error) => return Settlement::Dead { error: error.to_string() },
        };
        let begun = Instant::now();
        let answer = self.post.send(request, now).await;
        self.observer.duration(&self.target.name, begun.elapsed().as_secs_f64());
        let outcome = self.judge(&item.delivery, answer);
        self.settlement(item, outcome)
    }

    /// Silence after the request was sent is a failure to tell, but an action may have been started.
    fn judge(&self, delivery: &Delivery, answer: Result<Answer, NoAnswer>) -> Outcome {
        match (answer, delivery) {
            (Ok(answer), _) => self.target.sink.judge(&answer),
            (Err(NoAnswer::Lost(reason)), Delivery::Action(_)) => Outcome::Unknown { reason },
            (Err(NoAnswer::NotSent(reason) | NoAnswer::Lost(reason)), _) => {
                Outcome::Retry { after: None, reason }
            }
        }
    }

    fn settlement(&mut self, item: &OutboxItem, outcome: Outcome) -> Settlement {
        let (after, error) = match outcome {
            Outcome::Delivered => return Settlement::Delivered,
            Outcome::Dead { reason } => return Settlement::Dead { error: reason },
            Outcome::Unknown { reason } => return Settlement::Unknown { error: reason },
            Outcome::Retry { after, reason } => (after, reason),
        };
        let now = self.now();
        if item.first_attempt_at.is_some_and(|first| self.settings.retry.is_over(first, now)) {
            return Settlement::Dead { error: format!("given up: {error}") };
        }
        let pause = millis(self.settings.retry.pause(item.attempt, after, &mut self.rng));
        let next_at = now.saturating_add(pause).min(item.expires_at.unwrap_or(Millis::MAX));
        Settlement::Retry { next_at, error }
    }

    /// Records the end of an attempt, however long the state file refuses: an unrecorded end means a second request.
    async fn settle(&mut self, id: i64, settlement: Settlement) -> Result<(), StoreError> {
        self.report(id, &settlement);
        loop {
            let (now, end) = (self.now(), settlement.clone());
            match self.store.call(move |store| store.settle(id, now, &end)).await {
                Ok(_) => return Ok(()),
                Err(error) if error.retry() == Retry::Never => return Err(error),
                Err(error) => {
                    if self.after_store_error(&error).await == Next::Stop {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn report(&self, id: i64, settlement: &Settlement) {
        let target = &self.target.name;
        let outcome = match settlement {
            Settlement::Delivered => DeliveryOutcome::Delivered,
            Settlement::Retry { error, .. } => {
                tracing::info!(target_name = %target, id, %error, "delivery failed, will be tried again");
                DeliveryOutcome::Retry
            }
            Settlement::Dead { error } => {
                tracing::error!(target_name = %target, id, %error, "delivery given up");
                DeliveryOutcome::Dead
            }
            Settlement::Expired => {
                tracing::warn!(target_name = %target, id, "delivery expired before it could be sent");
                DeliveryOutcome::Expired
            }
            Settlement::Unknown { error } => {
                tracing::error!(target_name = %target, id, %error, "action held: nobody knows whether it was taken");
                DeliveryOutcome::Unknown
            }
        };
        self.observer.outcome(target, outcome);
    }
}
