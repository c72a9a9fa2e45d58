//! Beside the workers: shows how the targets are doing, says which are down, and keeps the outbox bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::clocks::Clocks;
use super::pulse::{Beat, Pulse};
use super::seldom::Seldom;
use super::{DeliveryObserver, DeliverySettings};
use crate::store::{OutboxStats, Stale, StoreError, StoreHandle};
use crate::view::TargetView;

/// Rows that one job of the state file forgets or gives up.
const AT_ONCE: usize = 1_000;

/// Actions with an unknown outcome that are told of one by one.
const MOST_UNKNOWN: usize = 100;

/// When upkeep looks, and what it finds too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpkeepPolicy {
    /// Between two looks at the targets.
    pub look_every: Duration,
    /// Between two looks at the state file, unless something happened.
    pub tend_every: Duration,
    /// How long a breaker may be open before others are told.
    pub tell_after: Duration,
    /// How long settled rows are kept.
    pub keep_settled: Duration,
    /// How long rows of a target wait that is no longer configured.
    pub orphan_after: Duration,
}

impl Default for UpkeepPolicy {
    fn default() -> Self {
        let deliver = crate::config::Deliver::default();
        Self {
            look_every: Duration::from_secs(1),
            tend_every: Duration::from_secs(10),
            tell_after: deliver.tell_after.to_std(),
            keep_settled: deliver.keep_settled.to_std(),
            orphan_after: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// What is known about a target since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TargetHealth {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It took its last delivery.
    Well,
    /// It takes nothing, or refused a delivery for good; with a line for people.
    Down(String),
}

/// What people should know about deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ailments {
    /// Every configured target.
    pub targets: BTreeMap<String, TargetHealth>,
    /// Actions of which nobody knows whether they were taken, as `target/number`, with a line for people.
    pub unknown: BTreeMap<String, String>,
}

/// What upkeep works with.
pub(in crate::deliver) struct Upkeep {
    pub(in crate::deliver) store: StoreHandle,
    pub(in crate::deliver) settings: DeliverySettings,
    pub(in crate::deliver) observer: Arc<dyn DeliveryObserver>,
    pub(in crate::deliver) pulses: BTreeMap<String, Arc<Pulse>>,
    pub(in crate::deliver) shutdown: watch::Receiver<bool>,
    pub(in crate::deliver) clocks: Clocks,
    pub(in crate::deliver) seldom: Arc<Seldom>,
}

/// What it saw in the state file last.
#[derive(Debug, Default)]
struct Seen {
    stats: Vec<OutboxStats>,
    unknown: Option<BTreeMap<String, String>>,
    told: Option<Ailments>,
    tended: Option<Instant>,
}

impl Upkeep {
    /// Works until told to stop.
    pub(in crate::deliver) async fn run(mut self) {
        let mut decided = self.store.decided();
        decided.mark_changed();
        let mut seen = Seen::default();
        loop {
            let changed = decided.has_changed();
            let happened = self
                .pulses
                .values()
                .filter(|pulse| pulse.with(|beat| std::mem::take(&mut beat.unknown)))
                .count()
                > 0;
            let due = seen.tended.is_none_or(|at| at.elapsed() >= self.settings.upkeep.tend_every);
            let looked = if changed.unwrap_or(false) || happened || due {
                decided.mark_unchanged();
                self.tend(&mut seen, due).await
            } else {
                Ok(())
            };
            match looked {
                Ok(()) => self.show(&mut seen),
                Err(StoreError::Stopped) => return,
                Err(error) => {
                    if let Some(held_back) = self.seldom.may_say("upkeep") {
                        tracing::warn!(%error, held_back, "upkeep of the outbox waits for the state file");
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.settings.upkeep.look_every) => {}
                _ = self.shutdown.changed() => return,
            }
        }
    }

    /// Reads the outbox, and now and then clears it up.
    async fn tend(&self, seen: &mut Seen, clear_up: bool) -> Result<(), StoreError> {
        if clear_up {
            self.clear_up(&seen.stats).await?;
            seen.tended = Some(Instant::now());
        }
        let (stats, unknown, left) = self
            .store
            .call(|store| {
                let unknown = store.unknown_actions(MOST_UNKNOWN)?;
                Ok((store.outbox_stats()?, unknown, store.outbox_left()?))
            })
            .await?;
        self.observer.outbox_left(left.replaced, left.pruned);
        seen.stats = stats;
        let named = unknown.into_iter().map(|row| {
            let why = row.last_error.as_deref().unwrap_or("no answer");
            let (target, id, order) = (row.target, row.id, format!("anchorwatch actions outcome {}", row.key));
            let line = format!(
                "nobody knows whether {target} took action {id} ({why}): look there, then `{order} succeeded` or \
                 `{order} failed`"
            );
            (format!("{target}/{id}"), line)
        });
        seen.unknown = Some(named.collect());
        Ok(())
    }

    async fn clear_up(&self, stats: &[OutboxStats]) -> Result<(), StoreError> {
        let (policy, now) = (self.settings.upkeep, self.clocks.wall());
        if let Some(settled_before) = self.clocks.too_old(policy.keep_settled) {
            self.store.call(move |store| store.prune_outbox(settled_before, AT_ONCE)).await?;
        }
        let Some(decided_before) = self.clocks.too_old(policy.orphan_after) else { return Ok(()) };
        let orphans =
            stats.iter().filter(|stats| stats.pending > 0 && !self.pulses.contains_key(&stats.target));
        for orphan in orphans {
            let target = orphan.target.clone();
            let error = format!("target `{target}` is no longer configured");
            let stale = Stale { target: target.clone(), decided_before, actions: true, error };
            let given_up = self.store.call(move |store| store.give_up_outbox(&stale, now, AT_ONCE)).await?;
            if given_up > 0 {
                tracing::error!(target_name = %target, given_up, "deliveries to a target that is not configured were given up");
                let outcome = super::DeliveryOutcome::Dead;
                (0..given_up).for_each(|_| self.observer.outcome(&target, outcome));
            }
        }
        Ok(())
    }

    fn show(&self, seen: &mut Seen) {
        let mut views = Vec::new();
        let mut ailments = Ailments::default();
        for (name, pulse) in &self.pulses {
            let beat = pulse.read();
            let health = self.health(name, &beat, &seen.stats);
            views.push(view(name, Some((&beat, &health)), &seen.stats));
            ailments.targets.insert(name.clone(), health);
        }
        let orphans = seen.stats.iter().filter(|stats| !self.pulses.contains_key(&stats.target));
        views.extend(orphans.map(|stats| view(&stats.target, None, &seen.stats)));
        self.observer.targets(&views);
        let Some(unknown) = seen.unknown.clone() else { return };
        ailments.unknown = unknown;
        if seen.told.as_ref() != Some(&ailments) {
            self.observer.ailments(&ailments);
            seen.told = Some(ailments);
        }
    }

    fn health(&self, name: &str, beat: &Beat, stats: &[OutboxStats]) -> TargetHealth {
        let open_for = beat.open_since.map(|since| self.clocks.up().saturating_sub(since));
        let tell_after = self.settings.upkeep.tell_after;
        let error = beat.last_error.as_deref().unwrap_or("no answer");
        if open_for.is_some_and(|open_for| open_for >= tell_after) {
            let waiting = stats.iter().find(|stats| stats.target == name).map_or(0, |stats| stats.pending);
            return TargetHealth::Down(format!(
                "{name} has taken nothing for {} s and more ({error}); {waiting} deliveries wait",
                tell_after.as_secs()
            ));
        }
        match (&beat.gave_up, beat.delivered) {
            (Some(error), _) => TargetHealth::Down(format!(
                "a delivery to {name} was given up ({error}): see `anchorwatch outbox list --state dead`"
            )),
            (None, true) if beat.failing_since.is_none() => TargetHealth::Well,
            (None, _) => TargetHealth::Unknown,
        }
    }
}

fn view(name: &str, beat: Option<(&Beat, &TargetHealth)>, stats: &[OutboxStats]) -> TargetView {
    let stats = stats.iter().find(|stats| stats.target == name).cloned().unwrap_or_default();
    let counted = TargetView {
        target: name.to_owned(),
        pending: stats.pending + stats.inflight,
        dead: stats.dead,
        unknown: stats.unknown,
        oldest_pending_at: stats.oldest_pending_at,
        ..TargetView::default()
    };
    let Some((beat, health)) = beat else { return counted };
    TargetView {
        configured: true,
        breaker: beat.breaker.to_owned(),
        failing_since: beat.failing_since,
        failures: beat.failures,
        tokens: (beat.tokens * 10.0).round() / 10.0,
        inflight: beat.inflight,
        down: matches!(health, TargetHealth::Down(_)),
        last_error: beat.last_error.clone(),
        ..counted
    }
}
