//! Steps 8 and 9 at an edge of panes: what the alerts tell goes into the outbox, in steps, and so do the actions that it
//! starts.

use super::{Engine, OutboxRow, Progress};
use crate::alert::{Announcement, Announcing, Delivery, Notification, Round};
use crate::subject::Millis;
use crate::view::WindowView;

/// What is being told at an edge.
#[derive(Debug)]
pub(super) struct Telling {
    announcing: Announcing,
    /// What was told last and is not in the outbox yet; digests come after all else.
    round: Round,
    /// What is for the actions.
    acting: Vec<Notification>,
}

impl Engine {
    /// One step of what is told at the edge `at`, whose windows were all judged; false if there was none left.
    pub(super) fn tell_some(
        &mut self,
        at: Millis,
        telling: &mut Option<Telling>,
        progress: &mut Progress,
    ) -> bool {
        let Telling { announcing, round, acting } = telling.get_or_insert_with(|| {
            let (announcing, round) = self.alerts.begin_round(at);
            Telling { announcing, round, acting: Vec::new() }
        });
        let more = self.alerts.announce_some(announcing, round);
        for Announcement { notification, sinks, acts } in round.announcements.drain(..) {
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
        progress.suppressed.append(&mut round.suppressed);
        more
    }

    /// What comes after all that: digests, troubles that were held back, and actions. `windows` were judged at the edge.
    pub(super) fn finish_telling(
        &mut self,
        telling: Option<Telling>,
        (at, now): (Millis, Millis),
        windows: &[WindowView],
        progress: &mut Progress,
    ) {
        let (digests, acting) =
            telling.map_or_else(Default::default, |telling| (telling.round.digests, telling.acting));
        progress.digests += digests.len();
        let row = |(target, delivery)| OutboxRow { target, delivery, expires_at: None };
        self.outbox.extend(digests.into_iter().map(row));
        progress.steps.extend(self.alerts.take_steps());
        self.tell_held_troubles(at);
        self.consider_actions(&acting, (at, now), windows, progress);
    }
}
