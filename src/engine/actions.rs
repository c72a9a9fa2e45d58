//! Step 9 of 10 inside the core: what actions are shown, and what they leave behind.

use std::collections::{BTreeMap, BTreeSet};

use super::{AuditRow, CommandError, CommandOutcome, Engine, OutboxRow, Progress, Trouble, TroubleKind};
use crate::action::{
    ActionCommand, ApprovalKey, ModelFacts, SendRules, Settled, Signal, Situation, Suspension,
};
use crate::alert::{Delivery, Notification};
use crate::subject::Millis;
use crate::view::{ActionsView, ModelView, Stage, WindowView};

/// Which suspension a trouble tells of.
const KILL_SWITCH: &str = "kill_switch_file";
const BY_ORDER: &str = "";

/// What fires at a moment.
#[derive(Debug, Default)]
struct Firing {
    /// Alerts that are not kept back.
    signals: Vec<Signal>,
    /// Model and version of every alert, of those that are kept back too.
    versions: BTreeSet<(String, String)>,
}

impl Engine {
    /// Sets the secret from which approval tokens are made.
    pub fn set_approval_key(&mut self, key: ApprovalKey) {
        self.actions.set_approval_key(key);
    }

    /// Replaces what is known of all registered models. Answers whether it shows that a request was carried out.
    pub fn set_models(&mut self, models: &[ModelView], now: Millis) -> bool {
        let facts = |model: &ModelView| ModelFacts {
            serving: model
                .versions
                .iter()
                .find(|version| version.stage == Stage::Production)
                .map(|version| version.version.clone()),
            versions: model.versions.iter().map(|version| version.version.clone()).collect(),
        };
        self.models = models.iter().map(|model| (model.model.clone(), facts(model))).collect();
        let seen = self.actions.registry_changed(&self.models);
        self.take_action_leavings();
        seen | self.tell_action_troubles(now)
    }

    /// Notes whether the file of the kill switch exists. Answers whether that is news, which is told.
    pub fn set_kill_switch(&mut self, exists: bool, now: Millis) -> bool {
        let news = self.actions.set_kill_switch(exists);
        if news {
            let what = if exists { "actions_suspended" } else { "actions_resumed" };
            self.audit.push(AuditRow {
                at: now,
                actor: AuditRow::SELF.to_owned(),
                what: what.to_owned(),
                key: KILL_SWITCH.to_owned(),
                detail: if exists { "the file exists" } else { "the file is gone" }.to_owned(),
            });
        }
        // After a restart the trouble may stand in the state though the file is gone, or the other way round.
        news | self.tell_action_troubles(now)
    }

    /// Suspends actions, if there are any, because people may have ordered so, or silenced what would start one, and nobody
    /// remembers it; `now` is the wall clock.
    pub fn orders_were_lost(&mut self, now: Millis) {
        self.actions.orders_were_lost(now);
        self.take_action_leavings();
        self.tell_action_troubles(now);
    }

    /// Notes how the delivery of a request ended. Answers whether that is news.
    pub fn action_settled(&mut self, key: &str, settled: Settled, detail: &str, now: Millis) -> bool {
        let news = self.actions.settled(key, settled, detail, now);
        self.take_action_leavings();
        news | self.tell_action_troubles(now)
    }

    /// What is known of a request whose delivery does not know it: whether it was taken, and how that is known.
    #[must_use]
    pub fn action_known(&self, key: &str) -> Option<(bool, &str)> {
        self.actions.known(key)
    }

    /// Ends requests that waited too long for people, by the clock that only goes forward. Answers whether there were any.
    pub fn expire_actions(&mut self, now: Millis) -> bool {
        self.now = self.now.max(now);
        let any = self.actions.expire(now);
        self.take_action_leavings();
        any
    }

    /// Requests of which the outbox may know more: key and name of the action.
    #[must_use]
    pub fn unsettled_actions(&self) -> Vec<(String, String)> {
        self.actions.unsettled()
    }

    /// What may be sent at this moment.
    #[must_use]
    pub fn send_rules(&self) -> SendRules {
        let firing = if self.actions.waits_to_be_sent() { self.firing() } else { Firing::default() };
        let Self { facts, models, actions, .. } = self;
        let situation = Situation {
            at: actions.clock(),
            now: self.now,
            signals: &firing.signals,
            firing: &firing.versions,
            windows: &[],
            state_lost: self.lost_lately(),
            facts,
            models,
        };
        actions.send_rules(&situation)
    }

    /// Actions for display.
    #[must_use]
    pub fn action_views(&self) -> ActionsView {
        ActionsView {
            suspended: self.actions.suspended(),
            items: self.actions.views(),
            held: self.actions.held(),
        }
    }

    /// Whether what is judged matters to any action.
    pub(super) fn has_actions(&self) -> bool {
        !self.actions.is_idle()
    }

    /// Decides on actions after the windows of an edge were judged and alerts announced.
    pub(super) fn consider_actions(
        &mut self,
        acting: &[Notification],
        (at, now): (Millis, Millis),
        windows: &[WindowView],
        progress: &mut Progress,
    ) {
        if self.actions.is_idle() {
            return;
        }
        let Firing { signals, versions } = &self.firing();
        let state_lost = self.lost_lately();
        let Self { facts, models, actions, .. } = self;
        let situation = Situation { at, now, signals, firing: versions, windows, state_lost, facts, models };
        actions.consider(acting, &situation);
        progress.decisions.extend(self.take_action_leavings());
        self.tell_action_troubles(at);
    }

    /// Carries out an order about actions, given at `now` by the wall clock; that a guard or a wrong token stopped the
    /// approval of a request that waits is kept as well, a bounded number of times.
    pub(super) fn command_action(
        &mut self,
        command: &ActionCommand,
        by: &str,
        now: Millis,
    ) -> Result<CommandOutcome, CommandError> {
        let Firing { signals, versions } = &self.firing();
        let state_lost = self.lost_lately();
        let Self { facts, models, actions, now: steady, .. } = self;
        let situation = Situation {
            at: actions.clock(),
            now: *steady,
            signals,
            firing: versions,
            windows: &[],
            state_lost,
            facts,
            models,
        };
        let outcome = actions.command(command, (by, now), &situation);
        if let (Err(error), ActionCommand::Approve { key, .. }) = (&outcome, command)
            && actions.declined(key)
        {
            let (actor, what) = (by.to_owned(), "action_approval_declined".to_owned());
            let key = key.clone();
            self.audit.push(AuditRow { at: now, actor, what, key, detail: error.to_string() });
        }
        self.take_action_leavings();
        self.tell_action_troubles(now);
        outcome
    }

    /// Everything that fires. What is kept back starts nothing: somebody silenced it, or another alert stands for it. An
    /// alert that can no longer be judged goes on, but the window behind it then has too few rows to act on.
    fn firing(&self) -> Firing {
        let mut firing = Firing::default();
        for alert in self.alerts.firing_now(self.threads) {
            if !firing.versions.contains(alert.id) {
                firing.versions.insert(alert.id.clone());
            }
            if !alert.is_kept_back {
                firing.signals.push(Signal {
                    model: alert.id.0.clone(),
                    version: alert.id.1.clone(),
                    kind: alert.kind,
                    segment: alert.segment.map(str::to_owned),
                    column: alert.column.to_owned(),
                    horizon: alert.horizon.to_owned(),
                    since: alert.since,
                    began: alert.changed_at,
                });
            }
        }
        firing
    }

    fn take_action_leavings(&mut self) -> Vec<crate::action::Decided> {
        let left = self.actions.take_left();
        self.outbox.extend(left.outbox);
        self.audit.extend(left.audit);
        left.told.iter().for_each(|notification| self.tell_of_action(notification));
        left.decided
    }

    /// Puts a message about an action into the outbox of every sink that it is routed to. Silences are for alerts: whoever
    /// must approve is asked all the same.
    fn tell_of_action(&mut self, notification: &Notification) {
        let labels = [
            ("model", notification.model.as_str()),
            ("version", &notification.version),
            ("kind", notification.kind.as_str()),
            ("severity", notification.severity.as_str()),
            ("segment", ""),
            ("feature", "action"),
        ];
        let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let sinks = self.alerts.sinks_for(&labels, notification.kind, notification.severity);
        self.outbox.extend(sinks.into_iter().map(|target| OutboxRow {
            target,
            delivery: Delivery::Notification(notification.clone()),
            expires_at: None,
        }));
    }

    /// Raises and clears the troubles that stand for suspensions. Answers whether any changed.
    fn tell_action_troubles(&mut self, at: Millis) -> bool {
        let mut wanted: BTreeMap<(TroubleKind, String), String> = BTreeMap::new();
        if self.actions.kill_switch() {
            let line = "actions are suspended: the file of the kill switch exists".to_owned();
            wanted.insert((TroubleKind::ActionsSuspended, KILL_SWITCH.to_owned()), line);
        }
        if let Some(Suspension { by, reason, .. }) = self.actions.suspension() {
            let line = format!(
                "actions are suspended by {by}: {reason}; `anchorwatch actions resume` lets them go on"
            );
            wanted.insert((TroubleKind::ActionsSuspended, BY_ORDER.to_owned()), line);
        }
        let mut changed = false;
        for (kind, of) in self.troubles().into_keys() {
            if kind == TroubleKind::ActionsSuspended && !wanted.contains_key(&(kind, of.clone())) {
                changed |= self.clear(kind, &of, at);
            }
        }
        for ((kind, of), summary) in wanted {
            changed |= self.raise(&Trouble { kind, of, summary }, at);
        }
        changed
    }
}
