//! The metrics of one process, written by the edges and read by a scrape.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::{GaugeVec, Registry, TextEncoder};

use super::families::Families;
use super::histogram::LatencyCollector;
use super::latest::Latest;
use super::law::LawCollector;
use super::series::{Owner, Sample, Series};
use crate::alert::{AlertKind, Suppression};
use crate::subject::Millis;
use crate::view::{
    AlertState, AlertView, Level, ReferenceView, Scrape, ScrapeError, StatusView, TargetView, VerdictView,
    WindowView,
};

/// All metrics, on a registry of their own.
///
/// ```
/// # fn main() -> Result<(), prometheus::Error> {
/// use anchorwatch::telemetry::Metrics;
/// let metrics = Metrics::new()?;
/// metrics.checkpoint_done(0.012);
/// assert!(metrics.encode()?.contains("anchorwatch_checkpoints_total 1"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    law: LawCollector,
    latencies: LatencyCollector,
    series: Mutex<Series>,
    latest: Latest,
}

pub(super) fn seconds(millis: Millis) -> f64 {
    millis as f64 / 1_000.0
}

fn breaker_number(state: &str) -> f64 {
    match state {
        "open" => 2.0,
        "half_open" => 1.0,
        _ => 0.0,
    }
}

/// Label of a segment: the whole traffic is the empty label, which Prometheus treats as absent.
fn segment_label(segment: Option<&str>) -> String {
    match segment {
        None => String::new(),
        Some("") => "(empty)".to_owned(),
        Some(value) => value.to_owned(),
    }
}

impl Metrics {
    /// Empty metrics with the default budget of series.
    ///
    /// # Errors
    /// When two lines of the table contradict each other, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        Self::with_budget(crate::config::Telemetry::default().max_series)
    }

    /// Empty metrics that show at most `max_series` series about features.
    ///
    /// # Errors
    /// When two lines of the table contradict each other, which a test rules out.
    pub fn with_budget(max_series: usize) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let families = Families::register(&registry)?;
        let law = LawCollector::new()?;
        registry.register(Box::new(law.clone()))?;
        let latencies = LatencyCollector::new()?;
        registry.register(Box::new(latencies.clone()))?;
        let commit = option_env!("ANCHORWATCH_GIT_COMMIT").unwrap_or("unknown");
        families.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), commit]).set(1.0);
        families.checkpoints_total.with_label_values::<&str>(&[]);
        families.checkpoint_failures_total.with_label_values::<&str>(&[]);
        families.series_dropped_total.with_label_values::<&str>(&[]);
        families.state_writable.with_label_values::<&str>(&[]).set(1.0);
        for reason in Suppression::ALL {
            families.alerts_suppressed_total.with_label_values(&[reason.as_str()]);
        }
        for level in Level::ALL {
            families.windows_judged_total.with_label_values(&[level.as_str()]);
        }
        Ok(Self {
            registry,
            families,
            law,
            latencies,
            series: Mutex::new(Series::new(max_series)),
            latest: Latest::default(),
        })
    }

    /// The text of a scrape, to be sent with [`crate::view::SCRAPE_CONTENT_TYPE`].
    ///
    /// # Errors
    /// When the encoder refuses, which families of the table do not cause.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        let families = self.latest.written(&self.families, || self.registry.gather());
        TextEncoder::new().encode_to_string(&families)
    }

    /// Shows the law's counters, latencies, lag, watermark, queues and outbox, from the next scrape on.
    pub fn status(&self, status: Arc<StatusView>) {
        self.law.publish(Arc::clone(&status));
        self.latencies.publish(Arc::clone(&status));
        self.latest.status(status);
    }

    /// Shows how many alerts are in each state, from the next scrape on.
    pub fn alerts(&self, alerts: Arc<Vec<AlertView>>) {
        self.latest.alerts(alerts);
    }

    fn series(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a judged window in place of the last one of its subject and horizon, and counts it.
    pub fn window(&self, window: &WindowView) {
        self.window_judged(window.level);
        let owner =
            |part: String| Owner { model: window.model.clone(), version: window.version.clone(), part };
        let segment = segment_label(window.segment.as_deref());
        let of_window = owner(format!("{}\0{segment}", window.horizon));
        let mut series = self.series();
        let has_room = series.has_room(&of_window);
        let WindowSamples { samples, counted, .. } =
            window_samples(&self.families, window, &segment, has_room);
        let mut dropped = if has_room { series.replace(of_window, samples) } else { counted };
        drop(series);
        if let (None, Some(latency)) = (&window.segment, &window.latency) {
            let owner = owner("reference".to_owned());
            let shown = || latency.quantiles.iter().filter_map(|q| Some((q.quantile, q.reference_ms?)));
            let family = &self.families.latency_reference_quantile_seconds;
            let name = "latency_reference_quantile_seconds";
            let sample = |(quantile, reference_ms): (f64, f64)| {
                let labels = vec![window.model.clone(), window.version.clone(), quantile.to_string()];
                Sample { name, family, labels, value: reference_ms / 1_000.0 }
            };
            let mut series = self.series();
            let has_room = series.has_room(&owner);
            dropped += match has_room {
                true => series.replace(owner, shown().map(sample).collect()),
                false => shown().count() as u64,
            };
        }
        self.families.series_dropped_total.with_label_values::<&str>(&[]).inc_by(dropped);
    }

    /// Counts a judged window whose figures are not shown, since a newer one is at hand.
    pub fn window_judged(&self, level: Level) {
        self.families.windows_judged_total.with_label_values(&[level.as_str()]).inc();
    }

    /// Deletes every series of a version that left.
    pub fn remove_version(&self, model: &str, version: &str) {
        self.series().remove_version(model, version);
    }

    /// Number of series about features shown now.
    #[must_use]
    pub fn shown_series(&self) -> usize {
        self.series().shown()
    }

    /// Shows the active reference of a model version in place of the last one.
    pub fn reference(&self, reference: &ReferenceView) {
        let (model, version) = (reference.model.clone(), reference.version.clone());
        let owner = Owner { model: model.clone(), version: version.clone(), part: "active".to_owned() };
        let labels = vec![model, version, reference.id.clone()];
        let family = &self.families.reference_info;
        self.series().replace(owner, vec![Sample { name: "reference_info", family, labels, value: 1.0 }]);
    }

    /// Counts errors reported by the Kafka client.
    pub fn broker_errors(&self, kind: &str, count: u64) {
        self.families.broker_errors_total.with_label_values(&[kind]).inc_by(count);
    }

    /// Counts what came of looking up the schema of events.
    pub fn schema_looked_up(&self, outcome: &str) {
        self.families.schema_lookups_total.with_label_values(&[outcome]).inc();
    }

    /// Shows what the Kafka client tells of itself: bytes that wait, and brokers with their round trip in seconds.
    pub fn kafka_client(&self, queue_bytes: u64, round_trips: &[(String, f64)]) {
        let families = &self.families;
        families.kafka_queue_bytes.with_label_values::<&str>(&[]).set(queue_bytes as f64);
        families.kafka_round_trip_seconds.reset();
        for (broker, seconds) in round_trips {
            families.kafka_round_trip_seconds.with_label_values(&[broker]).set(*seconds);
        }
    }

    /// Counts partitions that were taken up anew because nothing came, and whether the whole client was.
    pub fn kafka_stalls(&self, partitions: usize, client: bool) {
        let family = &self.families.source_stalls_total;
        family.with_label_values(&["reassign"]).inc_by(partitions as u64);
        family.with_label_values(&["rebuild"]).inc_by(u64::from(client));
    }

    /// Counts a position that no longer held.
    pub fn gap(&self, reason: &str) {
        self.families.source_gaps_total.with_label_values(&[reason]).inc();
    }

    /// Shows whether checkpoints can be written.
    pub fn state_writable(&self, writable: bool) {
        self.families.state_writable.with_label_values::<&str>(&[]).set(f64::from(u8::from(writable)));
    }

    /// Counts a copy of the state, made at this time.
    pub fn backup_made(&self, created: Millis) {
        self.families.backups_total.with_label_values(&["made"]).inc();
        self.families.backup_timestamp_seconds.with_label_values::<&str>(&[]).set(seconds(created));
    }

    /// Counts a copy that could not be made.
    pub fn backup_failed(&self) {
        self.families.backups_total.with_label_values(&["failed"]).inc();
    }

    /// Counts a durable checkpoint.
    pub fn checkpoint_done(&self, seconds: f64) {
        self.families.checkpoints_total.with_label_values::<&str>(&[]).inc();
        self.families.checkpoint_duration_seconds.with_label_values::<&str>(&[]).observe(seconds);
    }

    /// Counts a checkpoint that could not be written.
    pub fn checkpoint_failed(&self) {
        self.families.checkpoint_failures_total.with_label_values::<&str>(&[]).inc();
    }

    /// Counts a transition of an alert group.
    pub fn alert_transition(&self, kind: AlertKind, to: AlertState) {
        self.families.alert_transitions_total.with_label_values(&[kind.as_str(), to.as_str()]).inc();
    }

    /// Counts an alert that was not told.
    pub fn alert_suppressed(&self, reason: Suppression) {
        self.families.alerts_suppressed_total.with_label_values(&[reason.as_str()]).inc();
    }

    /// Counts an attempt to deliver.
    pub fn delivery(&self, target: &str, outcome: &str) {
        self.families.deliveries_total.with_label_values(&[target, outcome]).inc();
    }

    /// Notes how long an attempt to deliver took.
    pub fn delivery_took(&self, target: &str, seconds: f64) {
        self.families.delivery_duration_seconds.with_label_values(&[target]).observe(seconds);
    }

    /// Counts an action that a guard kept back.
    pub fn action_held(&self, action: &str, guard: &str) {
        self.families.actions_held_total.with_label_values(&[action, guard]).inc();
    }

    /// Shows whether actions are suspended.
    pub fn actions_suspended(&self, suspended: bool) {
        self.families.actions_suspended.with_label_values::<&str>(&[]).set(f64::from(suspended));
    }

    /// Shows the hash of the newest row of the audit trail, so that somebody else keeps it.
    pub fn audit_head(&self, hash: &str) {
        self.families.audit_head_info.reset();
        self.families.audit_head_info.with_label_values(&[hash]).set(1.0);
    }

    /// Counts a notification whose template failed.
    pub fn template_failed(&self, target: &str) {
        self.families.delivery_template_failures_total.with_label_values(&[target]).inc();
    }

    /// Counts a reading of the secrets, `done` or `refused`.
    pub fn reloaded(&self, outcome: &str) {
        self.families.secret_reloads_total.with_label_values(&[outcome]).inc();
    }

    /// Shows what has left the outbox since the state file was created.
    pub fn outbox_left(&self, replaced: u64, pruned: u64) {
        for (family, total) in
            [(&self.families.outbox_replaced_total, replaced), (&self.families.outbox_pruned_total, pruned)]
        {
            let counter = family.with_label_values::<&str>(&[]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    /// Shows how the targets are doing, in place of the last look.
    pub fn targets(&self, targets: &[TargetView], now: Millis) {
        let families = &self.families;
        let all = [
            &families.outbox_dead,
            &families.outbox_unknown,
            &families.outbox_oldest_pending_seconds,
            &families.target_down,
            &families.target_breaker_state,
            &families.target_rate_tokens,
            &families.target_inflight,
        ];
        all.iter().for_each(|family| family.reset());
        for target in targets {
            let set = |family: &GaugeVec, value: f64| family.with_label_values(&[&target.target]).set(value);
            set(&families.outbox_dead, target.dead as f64);
            set(&families.outbox_unknown, target.unknown as f64);
            let age = target.oldest_pending_at.map_or(0, |at| now.saturating_sub(at).max(0));
            set(&families.outbox_oldest_pending_seconds, seconds(age));
            if target.configured {
                set(&families.target_down, f64::from(u8::from(target.down)));
                set(&families.target_breaker_state, breaker_number(&target.breaker));
                set(&families.target_rate_tokens, target.tokens);
                set(&families.target_inflight, target.inflight as f64);
            }
        }
    }

    /// Counts a request that was turned away.
    pub fn request_refused(&self, reason: &str) {
        self.families.http_refused_total.with_label_values(&[reason]).inc();
    }

    /// Counts a request whose handler panicked.
    pub fn handler_panicked(&self) {
        self.families.http_handler_panics_total.with_label_values::<&str>(&[]).inc();
    }

    /// Counts a decision on an action.
    pub fn action(&self, action: &str, decision: &str) {
        self.families.actions_total.with_label_values(&[action, decision]).inc();
    }
}

impl Scrape for Metrics {
    fn scrape(&self) -> Result<String, ScrapeError> {
        self.encode().map_err(|error| ScrapeError(error.to_string()))
    }
}

/// Builds the series of one window, or counts them where there is no room for any: of many subjects most have none.
struct WindowSamples<'a> {
    window: &'a WindowView,
    segment: &'a str,
    has_room: bool,
    counted: u64,
    samples: Vec<Sample<'a>>,
}

impl<'a> WindowSamples<'a> {
    /// Adds a series, unless there is no finite value to show: absent is better than NaN.
    fn push(&mut self, name: &'static str, family: &'a GaugeVec, rest: &[&str], value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        self.counted += 1;
        if !self.has_room {
            return;
        }
        let subject = [self.window.model.as_str(), self.window.version.as_str(), self.segment];
        let labels = subject.iter().chain(rest).map(|&label| label.to_owned()).collect();
        self.samples.push(Sample { name, family, labels, value });
    }

    fn push_whole(&mut self, name: &'static str, family: &'a GaugeVec, value: f64) {
        self.counted += 1;
        if !self.has_room {
            return;
        }
        let window = self.window;
        let labels = vec![window.model.clone(), window.version.clone(), window.horizon.clone()];
        self.samples.push(Sample { name, family, labels, value });
    }
}

fn window_samples<'a>(
    families: &'a Families,
    window: &'a WindowView,
    segment: &'a str,
    has_room: bool,
) -> WindowSamples<'a> {
    let mut all = WindowSamples { window, segment, has_room, counted: 0, samples: Vec::new() };
    let horizon = window.horizon.as_str();
    all.push("window_rows", &families.window_rows, &[horizon], Some(window.rows as f64));
    all.push("window_coverage_ratio", &families.window_coverage_ratio, &[horizon], Some(window.coverage));
    if window.segment.is_none() {
        all.push_whole(
            "window_end_timestamp_seconds",
            &families.window_end_timestamp_seconds,
            seconds(window.end),
        );
    }
    for verdict in &window.verdicts {
        let rest = [verdict.column.as_str(), verdict.detector.as_str(), horizon];
        let p_value = verdict.adjusted_p_value.or(verdict.p_value);
        all.push("feature_statistic", &families.feature_statistic, &rest, verdict.statistic);
        all.push("feature_threshold", &families.feature_threshold, &rest, verdict.threshold);
        all.push("feature_p_value", &families.feature_p_value, &rest, p_value);
    }
    for (column, level) in worst(&window.verdicts) {
        all.push("feature_verdict", &families.feature_verdict, &[column, horizon], Some(level.gauge()));
    }
    for column in &window.columns {
        let rest = [column.column.as_str(), horizon];
        all.push("feature_missing_ratio", &families.feature_missing_ratio, &rest, column.missing);
        all.push("feature_unseen_ratio", &families.feature_unseen_ratio, &rest, column.unseen);
        all.push(
            "feature_out_of_range_ratio",
            &families.feature_out_of_range_ratio,
            &rest,
            column.out_of_range,
        );
        all.push("feature_wrong_type_ratio", &families.feature_wrong_type_ratio, &rest, column.wrong_type);
        all.push("feature_distinct_values", &families.feature_distinct_values, &rest, column.distinct);
    }
    if let Some(latency) = &window.latency {
        for q in &latency.quantiles {
            if !has_room {
                all.counted += u64::from(q.value_ms.is_finite());
                continue;
            }
            let rest = [horizon, &q.quantile.to_string()];
            all.push(
                "latency_quantile_seconds",
                &families.latency_quantile_seconds,
                &rest,
                Some(q.value_ms / 1_000.0),
            );
        }
        let family = &families.latency_objective_exceeded_ratio;
        all.push("latency_objective_exceeded_ratio", family, &[horizon], latency.objective_exceeded);
    }
    all
}

/// Worst verdict per column; what is inhibited does not count.
fn worst(verdicts: &[VerdictView]) -> Vec<(&str, Level)> {
    let mut worst: Vec<(&str, Level)> = Vec::new();
    let mut last = 0;
    for verdict in verdicts.iter().filter(|verdict| verdict.inhibited_by.is_none()) {
        // Verdicts of a column stand together, or in the order of the columns before.
        let is_at = |place: &usize| worst.get(*place).is_some_and(|(column, _)| *column == verdict.column);
        let place = [last, last + 1].into_iter().find(is_at);
        let place = place.or_else(|| (0..worst.len()).find(is_at)).unwrap_or(worst.len());
        match worst.get_mut(place) {
            Some((_, level)) => *level = verdict.level.max(*level),
            None => worst.push((&verdict.column, verdict.level)),
        }
        last = place;
    }
    worst
}
