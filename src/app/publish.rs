//! What the engine brought about, onto the board and into the metrics.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;

use crate::action::{Decided, Guard};
use crate::engine::{Engine, Progress};
use crate::subject::Millis;
use crate::telemetry::Metrics;
use crate::view::{AlertView, Board, OutboxView, QueueView, StatusView, WindowView};

/// Alerts that are taken apart at once when others are shown in their place.
const AT_ONCE: usize = 500;

/// Writes to the read side.
#[derive(Debug)]
pub(super) struct Publisher {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
}

impl Publisher {
    pub(super) fn new(board: Arc<Board>, metrics: Arc<Metrics>) -> Self {
        Self { board, metrics }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn board(&self) -> &Board {
        &self.board
    }

    /// Forgets what is shown of versions that are no longer watched.
    pub(super) fn forget_all_but(&self, watched: &HashSet<(&str, &str)>) {
        let mut shown: Vec<_> = self.board.subjects().into_iter().map(|(subject, _)| subject).collect();
        shown.dedup_by(|a, b| a.model == b.model && a.version == b.version);
        for gone in shown.iter().filter(|subject| !watched.contains(&(&*subject.model, &*subject.version))) {
            self.metrics.remove_version(&gone.model, &gone.version);
            self.board.remove_version(&gone.model, &gone.version);
        }
    }

    pub(super) fn progress(&self, progress: Progress) {
        let newest = newest(&progress.windows);
        for (window, newest) in progress.windows.iter().zip(newest) {
            if newest {
                self.metrics.window(window);
            } else {
                self.metrics.window_judged(window.level);
            }
        }
        self.board.publish_all(progress.windows);
        for step in &progress.steps {
            self.metrics.alert_transition(step.kind, step.to);
        }
        for reason in &progress.suppressed {
            self.metrics.alert_suppressed(*reason);
        }
        for Decided { action, decision, guard } in &progress.decisions {
            self.metrics.action(action, decision.as_str());
            if let Some(guard) = guard {
                self.metrics.action_held(action, guard.as_str());
            }
            let (decision, guard) = (decision.as_str(), guard.map(Guard::as_str));
            tracing::info!(action, decision, guard, "decided on an action");
        }
        for notification in &progress.notifications {
            tracing::info!(
                kind = notification.kind.as_str(),
                transition = notification.transition.as_str(),
                at = notification.at,
                "{}",
                notification.summary
            );
        }
    }

    pub(super) fn status(
        &self,
        engine: &mut Engine,
        queues: Vec<QueueView>,
        outbox: Vec<OutboxView>,
        last_checkpoint_at: Option<Millis>,
    ) {
        let actions = engine.action_views();
        engine.weigh_labels();
        let status = StatusView {
            queues,
            outbox,
            last_checkpoint_at,
            actions_suspended: actions.suspended.clone(),
            ..engine.status()
        };
        let status = Arc::new(status);
        self.metrics.status(Arc::clone(&status));
        self.metrics.actions_suspended(actions.suspended.is_some());
        self.board.set_actions(actions);
        self.board.set_status(status);
        self.board.set_silences(engine.silences());
    }

    pub(super) fn alerts(&self, alerts: Vec<AlertView>) {
        let (before, alerts) = (self.board.alerts(), Arc::new(alerts));
        self.metrics.alerts(Arc::clone(&alerts));
        self.board.set_alerts(alerts);
        if before.len() > AT_ONCE {
            // Each is dozens of small pieces to give back, and records wait. Without a thread they do.
            _ = thread::Builder::new().name("gone".to_owned()).spawn(move || drop(before));
        }
    }
}

/// Whether each window is the last of its subject and horizon among these: of several that a catch-up brings at once, a
/// scrape sees only that one.
fn newest(windows: &[WindowView]) -> Vec<bool> {
    let mut seen = HashSet::new();
    let mut newest: Vec<bool> = windows
        .iter()
        .rev()
        .map(|window| seen.insert((&window.model, &window.version, &window.segment, &window.horizon)))
        .collect();
    newest.reverse();
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_windows_of_one_place_the_last_is_shown() {
        let window =
            |horizon: &str, end| WindowView { horizon: horizon.to_owned(), end, ..WindowView::default() };
        let windows = [window("15m", 1), window("1h", 1), window("15m", 2), window("15m", 3)];
        assert_eq!(newest(&windows), [false, true, false, true]);
    }
}
