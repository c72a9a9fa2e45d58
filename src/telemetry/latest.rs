//! How everything stands, as metrics. It is kept until somebody scrapes, and written then: that takes as long as there
//! are versions, and whoever shows it counts records.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::families::Families;
use super::metrics::seconds;
use crate::view::{AlertState, AlertView, StatusView};

/// What was shown last and is not written yet.
#[derive(Debug, Default)]
pub(super) struct Latest {
    status: Mutex<Option<Arc<StatusView>>>,
    alerts: Mutex<Option<Arc<Vec<AlertView>>>>,
    /// Held by who scrapes: nobody else reads between a reset and what is set after it.
    scraping: Mutex<()>,
}

fn hold<T>(one: &Mutex<T>) -> MutexGuard<'_, T> {
    one.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Latest {
    /// Shows it in place of the last one.
    pub(super) fn status(&self, status: Arc<StatusView>) {
        *hold(&self.status) = Some(status);
    }

    /// Shows them in place of the last ones.
    pub(super) fn alerts(&self, alerts: Arc<Vec<AlertView>>) {
        *hold(&self.alerts) = Some(alerts);
    }

    /// What `gather` gives once all of it is written.
    pub(super) fn written<T>(&self, families: &Families, gather: impl FnOnce() -> T) -> T {
        let _scraping = hold(&self.scraping);
        let status = hold(&self.status).take();
        status.iter().for_each(|status| write_status(families, status));
        let alerts = hold(&self.alerts).take();
        alerts.iter().for_each(|alerts| write_alerts(families, alerts));
        gather()
    }
}

fn write_alerts(families: &Families, alerts: &[AlertView]) {
    let mut counts: BTreeMap<_, f64> = BTreeMap::new();
    for alert in alerts.iter().filter(|alert| alert.state != AlertState::Resolved) {
        *counts.entry((&alert.model, &alert.version, alert.kind, alert.state)).or_default() += 1.0;
    }
    families.alerts_active.reset();
    for ((model, version, kind, state), count) in counts {
        let labels = [model.as_str(), version.as_str(), kind.as_str(), state.as_str()];
        families.alerts_active.with_label_values(&labels).set(count);
    }
}

fn write_status(families: &Families, status: &StatusView) {
    super::labels::show(families, status);
    super::rates::show(families, &status.alarm_rates);
    families.watermark_timestamp_seconds.reset();
    if let Some(watermark) = status.watermark {
        families.watermark_timestamp_seconds.with_label_values::<&str>(&[]).set(seconds(watermark));
    }
    families.newest_event_timestamp_seconds.reset();
    for count in &status.events {
        if let Some(newest) = count.newest {
            let labels = [count.model.as_str(), count.version.as_str()];
            families.newest_event_timestamp_seconds.with_label_values(&labels).set(seconds(newest));
        }
    }
    families.edges_due.with_label_values::<&str>(&[]).set(status.edges_due as f64);
    families.consumer_lag_records.reset();
    for position in &status.positions {
        if let Some(lag) = position.lag() {
            let labels = [position.topic.as_str(), &position.partition.to_string()];
            families.consumer_lag_records.with_label_values(&labels).set(lag as f64);
        }
    }
    families.memory_budget_bytes.with_label_values::<&str>(&[]).set(status.memory.budget as f64);
    families.memory_charged_bytes.with_label_values::<&str>(&[]).set(status.memory.charged as f64);
    let versions = [("known", status.memory.versions as u64), ("forgotten", status.memory.forgotten)];
    for (what, count) in versions {
        families.versions.with_label_values(&[what]).set(count as f64);
    }
    let shapes = &status.event_shapes;
    for (what, times) in [
        ("learned", shapes.learned),
        ("widened", shapes.widened),
        ("forgotten", shapes.forgotten),
        ("declined", shapes.declined),
    ] {
        families.event_shapes.with_label_values(&[what]).set(times as f64);
    }
    for queue in &status.queues {
        families.queue_depth.with_label_values(&[&queue.queue]).set(queue.depth as f64);
    }
    for outbox in &status.outbox {
        families.outbox_pending.with_label_values(&[&outbox.target]).set(outbox.pending as f64);
    }
}
