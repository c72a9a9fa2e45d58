//! One target's worker: begins what is due as far as rate, breaker and concurrency allow, and sleeps until more is.
//!
//! It waits for the state file and for its own requests, for nobody else's: other targets have workers of their own, and
//! no job of the state file holds the writer while a request is under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{self, JoinSet};

use super::attempt::{Gear, Reach, deliver};
use super::breaker::Breaker;
use super::policy::millis;
use super::rate::{Bucket, Rate};
use crate::action::LAST_MOMENT;
use crate::alert::Delivery;
use crate::fault::{Place, reach};
use crate::store::{Due, OutboxItem, Settlement, Stale, StoreError};
use crate::subject::Millis;

/// Longest sleep, so that a change of the system's clock cannot keep a delivery for ever.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Pause after the state file refused.
pub(in crate::deliver) const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Rows given up at a time for a target that takes nothing.
const GIVE_UP_AT_ONCE: usize = 1_000;

/// Sends what is due to one target.
pub(in crate::deliver) struct Worker {
    gear: Arc<Gear>,
    concurrency: usize,
    breaker: Breaker,
    bucket: Bucket,
    under_way: JoinSet<Reach>,
    /// What each of them sends.
    sent: HashMap<task::Id, Arc<OutboxItem>>,
    shutdown: watch::Receiver<bool>,
}

/// Whether the worker goes on, and when at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Now,
    Sleep(Duration),
    Stop,
}

impl Worker {
    pub(in crate::deliver) fn new(gear: Gear, rate: Rate, concurrency: usize) -> Self {
        let breaker = Breaker::new(gear.settings.breaker);
        let shutdown = gear.shutdown.clone();
        Self {
            gear: Arc::new(gear),
            concurrency: concurrency.max(1),
            breaker,
            bucket: Bucket::new(rate),
            under_way: JoinSet::new(),
            sent: HashMap::new(),
            shutdown,
        }
    }

    /// Works until told to stop; requests under way are finished first.
    pub(in crate::deliver) async fn run(mut self) {
        let mut decided = self.gear.store.decided();
        loop {
            // Marked as seen before asking, so that a delivery decided in between still wakes the sleep below.
            decided.mark_unchanged();
            let next = match self.begin().await {
                Ok(next) => next,
                Err(error) => self.after_store_error(&error),
            };
            self.beat();
            let pause = match next {
                Next::Stop => break,
                Next::Now => continue,
                Next::Sleep(pause) => pause.min(LONGEST_SLEEP),
            };
            tokio::select! {
                Some(ended) = self.under_way.join_next_with_id(), if !self.under_way.is_empty() => {
                    self.ended(ended).await;
                }
                changed = decided.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(pause) => {}
                _ = self.shutdown.changed() => break,
            }
        }
        while let Some(ended) = self.under_way.join_next_with_id().await {
            self.ended(ended).await;
        }
        self.beat();
    }

    /// Since the start, by the steady clock.
    fn steady(&self) -> Duration {
        self.gear.clocks.up()
    }

    /// Begins what is due and allowed.
    async fn begin(&mut self) -> Result<Next, StoreError> {
        if *self.shutdown.borrow() {
            return Ok(Next::Stop);
        }
        let now = self.steady();
        let room = self.concurrency.saturating_sub(self.under_way.len()).min(self.breaker.permits(now));
        if room == 0 {
            let probe = self.breaker.opens_at().filter(|_| self.under_way.len() < self.concurrency);
            return Ok(Next::Sleep(probe.map_or(LONGEST_SLEEP, |at| at.saturating_sub(now))));
        }
        let token = self.bucket.next_at(now);
        if token > now {
            return Ok(Next::Sleep(token - now));
        }
        let most = room.min(self.bucket.available(now) as usize).max(1);
        let Due { items, next_at } = self.due(most).await?;
        if items.is_empty() {
            return Ok(Next::Sleep(next_at.map_or(LONGEST_SLEEP, |at| self.until(at))));
        }
        for item in items {
            if *self.shutdown.borrow() {
                return Ok(Next::Stop);
            }
            self.deliver(item).await?;
        }
        Ok(Next::Now)
    }

    fn until(&self, at: Millis) -> Duration {
        Duration::from_millis(at.saturating_sub(self.gear.clocks.steady()).max(1).unsigned_abs())
    }

    async fn due(&self, most: usize) -> Result<Due, StoreError> {
        let (name, now) = (self.gear.name.clone(), self.gear.clocks.steady());
        let longest = millis(self.gear.settings.retry.longest());
        self.gear.store.call(move |store| store.due(&name, (now, longest), most)).await
    }

    /// Makes one attempt durable and lets it go, unless there is a reason not to.
    async fn deliver(&mut self, item: OutboxItem) -> Result<(), StoreError> {
        let (id, now) = (item.id, self.gear.now());
        reach(Place::DeliveryDue);
        if item.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return self.gear.settle(id, Settlement::Expired).await;
        }
        if let Delivery::Action(request) = &item.delivery
            && let Err(reason) = self.gear.settings.guard.check(request, now)
        {
            let error = format!("{LAST_MOMENT}: {reason}");
            return self.gear.settle(id, Settlement::Dead { error }).await;
        }
        let noted = self.gear.clocks.steady();
        if !self.gear.store.call(move |store| store.attempting(id, noted)).await? {
            return Ok(());
        }
        reach(Place::DeliveryAttempting);
        let steady = self.steady();
        self.bucket.take(steady);
        self.breaker.began();
        let item = Arc::new(item);
        let task = self.under_way.spawn(deliver(Arc::clone(&self.gear), Arc::clone(&item), now));
        self.sent.insert(task.id(), item);
        Ok(())
    }

    /// The end of a request, be it by a panic: its row must not stay under way, or its flow would wait for ever.
    async fn ended(&mut self, ended: Result<(task::Id, Reach), task::JoinError>) {
        let reach = match ended {
            Ok((task, reach)) => {
                self.sent.remove(&task);
                reach
            }
            Err(error) => match self.sent.remove(&error.id()) {
                Some(item) => {
                    tracing::error!(target_name = %self.gear.name, id = item.id, %error, "an attempt broke off");
                    self.gear.broke_off(&item).await
                }
                None => Reach::Withdrawn,
            },
        };
        self.take(reach).await;
    }

    /// What the end of a request says about the target.
    async fn take(&mut self, reach: Reach) {
        let (now, wall) = (self.steady(), self.gear.now());
        match reach {
            Reach::Delivered => {
                self.breaker.answered();
                self.gear.pulse.with(|beat| {
                    (beat.last_error, beat.gave_up, beat.failing_since) = (None, None, None);
                    beat.delivered = true;
                });
            }
            Reach::Refused(error) => {
                self.breaker.answered();
                self.gear.pulse.with(|beat| {
                    (beat.last_error, beat.gave_up) = (Some(error.clone()), Some(error));
                });
            }
            Reach::Failed { error, gave_up } => {
                self.breaker.failed(now);
                self.gear.pulse.with(|beat| {
                    beat.failing_since.get_or_insert(wall);
                    if gave_up {
                        beat.gave_up = Some(error.clone());
                    }
                    beat.last_error = Some(error.clone());
                });
                if self.breaker.is_open() {
                    self.give_up_stale(wall, error).await;
                }
            }
            Reach::Withdrawn => self.breaker.withdrawn(now),
        }
        self.beat();
    }

    /// While the breaker is open most rows are not tried themselves: the probe that just failed stands for them.
    async fn give_up_stale(&self, now: Millis, error: String) {
        let too_old = self.gear.clocks.too_old(self.gear.settings.retry.give_up_after);
        let Some(decided_before) = too_old else { return };
        let error = format!("given up: {error}");
        let stale =
            Stale { target: self.gear.name.clone(), decided_before, actions: false, error: error.clone() };
        let given_up = self.gear.store.call(move |store| store.give_up_outbox(&stale, now, GIVE_UP_AT_ONCE));
        match given_up.await {
            Ok(0) => {}
            Ok(given_up) => {
                tracing::error!(target_name = %self.gear.name, given_up, %error, "deliveries given up");
                self.gear.gave_up(given_up);
                self.gear.pulse.with(|beat| beat.gave_up = Some(error));
            }
            Err(error) => {
                if let Some(held_back) = self.gear.seldom.may_say("give_up") {
                    tracing::warn!(target_name = %self.gear.name, %error, held_back, "old deliveries wait to be given up");
                }
            }
        }
    }

    fn after_store_error(&self, error: &StoreError) -> Next {
        if matches!(error, StoreError::Stopped) {
            return Next::Stop;
        }
        if let Some(held_back) = self.gear.seldom.may_say("due") {
            tracing::error!(target_name = %self.gear.name, %error, held_back, "deliveries wait for the state file");
        }
        Next::Sleep(STORE_PAUSE)
    }

    /// Shows how the target is doing.
    fn beat(&self) {
        let now = self.steady();
        let (inflight, open) = (self.under_way.len(), self.breaker.is_open());
        self.gear.pulse.with(|beat| {
            beat.breaker = self.breaker.name(now);
            beat.failures = self.breaker.failures();
            beat.tokens = self.bucket.available(now);
            beat.inflight = inflight;
            beat.open_since = open.then(|| beat.open_since.unwrap_or(now));
        });
    }
}
