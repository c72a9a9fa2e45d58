//! One attempt: rendered, sent, judged, and its end recorded whatever happens.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::clocks::Clocks;
use super::http::{NoAnswer, Post};
use super::policy::millis;
use super::pulse::Pulse;
use super::seldom::Seldom;
use super::sinks::{Answer, Attempt, Dialect, Outcome, Sink};
use super::worker::STORE_PAUSE;
use super::{DeliveryObserver, DeliveryOutcome, DeliverySettings, Target};
use crate::alert::Delivery;
use crate::fault::{Place, reach};
use crate::store::{OutboxItem, Retry, Settlement, StoreError, StoreHandle};
use crate::subject::Millis;

/// What the requests to one target need.
pub(in crate::deliver) struct Gear {
    pub(in crate::deliver) name: String,
    pub(in crate::deliver) store: StoreHandle,
    pub(in crate::deliver) post: Post,
    pub(in crate::deliver) settings: DeliverySettings,
    pub(in crate::deliver) observer: Arc<dyn DeliveryObserver>,
    /// The targets with their secrets as last read.
    pub(in crate::deliver) targets: watch::Receiver<Arc<Vec<Target>>>,
    pub(in crate::deliver) pulse: Arc<Pulse>,
    pub(in crate::deliver) clocks: Clocks,
    pub(in crate::deliver) seldom: Arc<Seldom>,
    pub(in crate::deliver) shutdown: watch::Receiver<bool>,
}

/// What an attempt says about its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::deliver) enum Reach {
    /// It took the delivery.
    Delivered,
    /// It answered, and will never take this one.
    Refused(String),
    /// It could not take it now, or did not answer.
    Failed {
        /// Why.
        error: String,
        /// Whether this was the last attempt.
        gave_up: bool,
    },
    /// Nothing was sent, for reasons of our own.
    Withdrawn,
}

/// Sends a delivery whose attempt is durable, and records what became of it.
pub(in crate::deliver) async fn deliver(gear: Arc<Gear>, item: Arc<OutboxItem>, now: Millis) -> Reach {
    let (settlement, what) = gear.attempt(&item, now).await;
    reach(Place::DeliveryAnswered);
    if let Err(error) = gear.settle(item.id, settlement).await {
        tracing::error!(target_name = %gear.name, id = item.id, %error, "the end of an attempt is not recorded");
    }
    reach(Place::DeliverySettled);
    what
}

impl Gear {
    /// The wall clock.
    pub(in crate::deliver) fn now(&self) -> Millis {
        self.clocks.wall()
    }

    fn sink(&self) -> Option<Sink> {
        let targets = self.targets.borrow();
        targets.iter().find(|target| target.name == self.name).map(|target| target.sink.clone())
    }

    async fn attempt(&self, item: &OutboxItem, now: Millis) -> (Settlement, Reach) {
        let Some(sink) = self.sink() else {
            let error = "the target is no longer configured".to_owned();
            return (Settlement::Dead { error }, Reach::Withdrawn);
        };
        let attempt = Attempt { number: item.attempt.saturating_add(1), at: now };
        let request = match sink.request(&item.delivery, attempt) {
            Ok(request) => request,
            Err(error) => return (Settlement::Dead { error: error.to_string() }, Reach::Withdrawn),
        };
        if let Some(error) = &request.fell_back {
            tracing::warn!(target_name = %self.name, id = item.id, %error, "sent without the template, which failed");
            self.observer.template_failed(&self.name);
        }
        let begun = Instant::now();
        let answer = self.post.send(request, now).await;
        self.observer.duration(&self.name, begun.elapsed().as_secs_f64());
        let outcome = judge(&sink, &item.delivery, answer);
        self.settlement(item, outcome)
    }

    /// Records that an attempt broke off by an error in this program: whether the target has it nobody knows.
    pub(in crate::deliver) async fn broke_off(&self, item: &OutboxItem) -> Reach {
        let reason = "the attempt broke off by an error in this program".to_owned();
        let outcome = match &item.delivery {
            Delivery::Action(_) => Outcome::Unknown { reason },
            Delivery::Notification(_) | Delivery::Digest(_) => Outcome::Retry { after: None, reason },
        };
        let (settlement, what) = self.settlement(item, outcome);
        if let Err(error) = self.settle(item.id, settlement).await {
            tracing::error!(target_name = %self.name, id = item.id, %error, "the end of an attempt is not recorded");
        }
        what
    }

    fn settlement(&self, item: &OutboxItem, outcome: Outcome) -> (Settlement, Reach) {
        let (after, error) = match outcome {
            Outcome::Delivered => return (Settlement::Delivered, Reach::Delivered),
            Outcome::Dead { reason } => {
                return (Settlement::Dead { error: reason.clone() }, Reach::Refused(reason));
            }
            Outcome::Unknown { reason } => {
                let reach = Reach::Failed { error: reason.clone(), gave_up: false };
                return (Settlement::Unknown { error: reason }, reach);
            }
            Outcome::Retry { after, reason } => (after, reason),
        };
        let give_up_after = self.settings.retry.give_up_after;
        if item.first_attempt_at.is_some_and(|first| self.clocks.is_older(first, give_up_after)) {
            let reach = Reach::Failed { error: error.clone(), gave_up: true };
            return (Settlement::Dead { error: format!("given up: {error}") }, reach);
        }
        let pause = millis(self.settings.retry.pause(item.attempt, after, &mut rand::rng()));
        // Until then on the wall clock is as long on the steady one.
        let left = item.expires_at.map_or(Millis::MAX, |end| end.saturating_sub(self.now()).max(0));
        let next_at = self.clocks.steady().saturating_add(pause.min(left));
        let reach = Reach::Failed { error: error.clone(), gave_up: false };
        (Settlement::Retry { next_at, error }, reach)
    }

    /// Records the end of an attempt, however long the state file refuses: an unrecorded end means a second request.
    pub(in crate::deliver) async fn settle(&self, id: i64, settlement: Settlement) -> Result<(), StoreError> {
        self.report(id, &settlement);
        let mut shutdown = self.shutdown.clone();
        loop {
            let (now, end) = (self.now(), settlement.clone());
            let error = match self.store.call(move |store| store.settle(id, now, &end)).await {
                Ok(_) => break,
                Err(error) => error,
            };
            if error.retry() == Retry::Never {
                return Err(error);
            }
            if let Some(held_back) = self.seldom.may_say("settle") {
                tracing::error!(target_name = %self.name, %error, held_back, "the ends of attempts wait for the state file");
            }
            tokio::select! {
                () = tokio::time::sleep(STORE_PAUSE) => {}
                _ = shutdown.changed() => return Err(error),
            }
        }
        if matches!(settlement, Settlement::Unknown { .. }) {
            self.pulse.with(|beat| beat.unknown = true);
        }
        Ok(())
    }

    /// Counts rows that were given up together.
    pub(in crate::deliver) fn gave_up(&self, rows: usize) {
        (0..rows).for_each(|_| self.observer.outcome(&self.name, DeliveryOutcome::Dead));
    }

    fn report(&self, id: i64, settlement: &Settlement) {
        let target = &self.name;
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

/// Silence after the request was sent is a failure to tell, but an action may have been started.
fn judge(sink: &Sink, delivery: &Delivery, answer: Result<Answer, NoAnswer>) -> Outcome {
    match (answer, delivery) {
        (Ok(answer), _) => sink.judge(&answer),
        (Err(NoAnswer::Lost(reason)), Delivery::Action(_)) => Outcome::Unknown { reason },
        (Err(NoAnswer::NotSent(reason) | NoAnswer::Lost(reason)), _) => {
            Outcome::Retry { after: None, reason }
        }
    }
}
