//! Steps 8 and 9 at an edge of panes: what the alerts tell goes into the outbox, and so do the actions that it starts.

use std::collections::HashMap;

use super::{AuditRow, Engine, OutboxRow, Progress};
use crate::action::{Actions, Decision, VersionFacts};
use crate::alert::{Announcement, Delivery, Notification};
use crate::subject::Millis;

impl Engine {
    /// Tells what is due at the edge `at`.
    pub(super) fn tell(&mut self, at: Millis, progress: &mut Progress) {
        let round = self.alerts.announce(at);
        for Announcement { notification, sinks, acts } in round.announcements {
            if acts {
                if let Some(why) = self.no_actions(notification.coverage) {
                    self.withhold_actions(&notification, why);
                    continue;
                }
                progress.decisions.extend(act(
                    &notification,
                    &mut self.actions,
                    &self.facts,
                    (&mut self.outbox, &mut self.audit),
                ));
                continue;
            }
            let row = |target| OutboxRow {
                target,
                delivery: Delivery::Notification(notification.clone()),
                expires_at: None,
            };
            self.outbox.extend(sinks.into_iter().map(row));
            progress.notifications.push(notification);
        }
        progress.digests = round.digests.len();
        let row = |(target, delivery)| OutboxRow { target, delivery, expires_at: None };
        self.outbox.extend(round.digests.into_iter().map(row));
        progress.suppressed = round.suppressed;
        progress.steps = self.alerts.take_steps();
        self.tell_held_troubles(at);
    }
}

impl Engine {
    /// Notes that an action which this notification could start is not even considered.
    fn withhold_actions(&mut self, notification: &Notification, why: String) {
        if self.actions.wanted_by(notification) {
            self.audit.push(AuditRow {
                at: notification.at,
                actor: AuditRow::SELF.to_owned(),
                what: "action_withheld".to_owned(),
                key: notification.key.clone(),
                detail: why,
            });
        }
    }
}

/// Puts the actions that a notification starts into the outbox.
fn act(
    notification: &Notification,
    actions: &mut Actions,
    facts: &HashMap<(String, String), VersionFacts>,
    (outbox, audit): (&mut Vec<OutboxRow>, &mut Vec<AuditRow>),
) -> Vec<(String, Decision)> {
    let id = (notification.model.clone(), notification.version.clone());
    let facts = facts.get(&id).cloned().unwrap_or_default();
    let decided = actions.decide(notification, &facts);
    let told = decided.iter().map(|one| (one.action.clone(), one.decision)).collect();
    for one in decided {
        outbox.extend(one.outbox);
        audit.push(one.audit);
    }
    told
}
