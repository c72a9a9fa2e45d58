//! Steps 8 and 9 at an edge of panes: what the alerts tell goes into the outbox, and so do the actions that it starts.

use super::{Engine, OutboxRow, Progress};
use crate::alert::{Announcement, Delivery};
use crate::subject::Millis;
use crate::view::WindowView;

impl Engine {
    /// Tells what is due at the edge `at`, at which these windows were judged.
    pub(super) fn tell(&mut self, at: Millis, now: Millis, windows: &[WindowView], progress: &mut Progress) {
        let round = self.alerts.announce(at);
        let mut acting = Vec::new();
        for Announcement { notification, sinks, acts } in round.announcements {
            if acts {
                acting.push(notification);
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
        progress.digests += round.digests.len();
        let row = |(target, delivery)| OutboxRow { target, delivery, expires_at: None };
        self.outbox.extend(round.digests.into_iter().map(row));
        progress.suppressed.extend(round.suppressed);
        progress.steps.extend(self.alerts.take_steps());
        self.tell_held_troubles(at);
        self.consider_actions(&acting, (at, now), windows, progress);
    }
}
