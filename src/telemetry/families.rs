//! The table of all metrics. One line is one metric: its name, type, labels and help stand nowhere else.

use prometheus::core::Collector;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Prefix of every metric.
pub(super) const PREFIX: &str = "anchorwatch_";

/// Type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// A value that only grows.
    Counter,
    /// Counts per bucket.
    Histogram,
}

impl Kind {
    /// Name in the exposition format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Full name.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// Labels in their order.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

/// A family that a line of the table can create.
pub(super) trait Family: Collector + Clone + Sized + 'static {
    const KIND: Kind;
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error>;
}

impl Family for GaugeVec {
    const KIND: Kind = Kind::Gauge;
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Family for IntCounterVec {
    const KIND: Kind = Kind::Counter;
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Family for HistogramVec {
    const KIND: Kind = Kind::Histogram;
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        Self::new(HistogramOpts::new(name, help), labels)
    }
}

macro_rules! families {
    (
        registered { $($name:ident: $type:ident [$($label:ident)*] $help:literal;)* }
        persisted { $($kept:ident [$($kept_label:ident)*] $kept_help:literal;)* }
        latencies { $latency:ident [$($latency_label:ident)*] $latency_help:literal; }
    ) => {
        /// One field per registered metric.
        #[derive(Debug, Clone)]
        pub(super) struct Families { $(pub(super) $name: $type,)* }

        impl Families {
            /// Creates every family and registers it.
            pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
                $(
                    let $name = <$type as Family>::make(
                        concat!("anchorwatch_", stringify!($name)), $help, &[$(stringify!($label)),*],
                    )?;
                    registry.register(Box::new($name.clone()))?;
                )*
                Ok(Self { $($name,)* })
            }
        }

        /// Counters that survive a restart, in the order of the table.
        pub(super) const PERSISTED: &[Spec] = &[$(Spec {
            name: concat!("anchorwatch_", stringify!($kept)), kind: Kind::Counter,
            labels: &[$(stringify!($kept_label)),*], help: $kept_help,
        },)*];

        /// Latencies as a histogram, whose bounds are configured.
        pub(super) const LATENCIES: Spec = Spec {
            name: concat!("anchorwatch_", stringify!($latency)), kind: Kind::Histogram,
            labels: &[$(stringify!($latency_label)),*], help: $latency_help,
        };

        /// Every metric that `/metrics` can show.
        pub const TABLE: &[Spec] = &[
            $(Spec {
                name: concat!("anchorwatch_", stringify!($name)), kind: <$type as Family>::KIND,
                labels: &[$(stringify!($label)),*], help: $help,
            },)*
            $(Spec {
                name: concat!("anchorwatch_", stringify!($kept)), kind: Kind::Counter,
                labels: &[$(stringify!($kept_label)),*], help: $kept_help,
            },)*
            LATENCIES,
        ];
    };
}

families! {
    registered {
        feature_statistic: GaugeVec [model version segment feature detector horizon] "Statistic of the detector in the latest window; absent when the evidence is insufficient.";
        feature_threshold: GaugeVec [model version segment feature detector horizon] "Threshold of the detector for this window length.";
        feature_p_value: GaugeVec [model version segment feature detector horizon] "P-value of the detector after false-discovery control, or before it where there is none.";
        feature_verdict: GaugeVec [model version segment feature horizon] "Worst verdict on the feature: 0 stable, 1 warning, 2 drift, -1 insufficient evidence.";
        feature_missing_ratio: GaugeVec [model version segment feature horizon] "Share of rows in the latest window whose value was null or absent.";
        feature_unseen_ratio: GaugeVec [model version segment feature horizon] "Share of rows in the latest window with a category that the reference does not know.";
        feature_out_of_range_ratio: GaugeVec [model version segment feature horizon] "Share of rows in the latest window outside the range of the reference.";
        feature_wrong_type_ratio: GaugeVec [model version segment feature horizon] "Share of rows in the latest window of another type, NaN or infinite.";
        feature_distinct_values: GaugeVec [model version segment feature horizon] "Different values of a column of categories in the latest window: those of the reference that came, and about how many others, up to a hundred.";
        window_rows: GaugeVec [model version segment horizon] "Rows counted in the latest window.";
        window_end_timestamp_seconds: GaugeVec [model version horizon] "End of the latest judged window, in event time.";
        newest_event_timestamp_seconds: GaugeVec [model version] "Latest event time of the events counted: once all was read that there is, the time since is the gap since the last arrival.";
        latency_quantile_seconds: GaugeVec [model version segment horizon q] "Latency of predictions in the latest window at the quantile q.";
        latency_reference_quantile_seconds: GaugeVec [model version q] "Latency of the reference at the quantile q.";
        latency_objective_exceeded_ratio: GaugeVec [model version segment horizon] "Share of predictions in the latest window that took longer than the objective.";
        alerts_active: GaugeVec [model version kind state] "Alerts that are not resolved, by state: pending, firing, acknowledged, insufficient or no_data.";
        window_coverage_ratio: GaugeVec [model version segment horizon] "Share of the latest window's time in which no record is known to be missing.";
        labels_waiting: GaugeVec [model] "Predictions that wait for their label.";
        labels_early: GaugeVec [model] "Labels that wait for their prediction.";
        label_coverage_ratio: GaugeVec [model version state] "Share of predictions that have a label: of the latest window judged (final), and of those that are over but not judged yet (provisional).";
        label_delay_seconds: GaugeVec [model version q] "Delay of labels after their prediction in the latest window judged, at the quantile q.";
        performance_mean_residual: GaugeVec [model version] "Mean of label minus score in the latest window of prediction time that was judged.";
        performance_mean_squared_residual: GaugeVec [model version] "Mean squared difference of label and score in that window: the Brier score, where labels are 0 and 1.";
        performance_accuracy: GaugeVec [model version] "Share of right decisions in that window, a score from 0.5 on saying yes; absent unless labels are 0 and 1.";
        performance_precision: GaugeVec [model version] "Share of right ones among the decisions of that window that said yes.";
        performance_recall: GaugeVec [model version] "Share of what came true in that window of which the score said so.";
        performance_specificity: GaugeVec [model version] "Share of what did not come true in that window of which the score said so.";
        performance_f1: GaugeVec [model version] "Harmonic mean of precision and recall in that window.";
        performance_mcc: GaugeVec [model version] "Correlation of decision and label (Matthews) in that window, from -1 to 1.";
        performance_roc_auc: GaugeVec [model version] "Area under the ROC curve in that window, scores of one cell of the baseline counting as ties; absent unless labels are 0 and 1.";
        performance_average_precision: GaugeVec [model version] "Average precision in that window, scores of one cell counting as ties.";
        performance_log_loss: GaugeVec [model version] "Mean log loss in nats in that window; absent unless labels are 0 and 1 and all scores from 0 to 1.";
        performance_calibration_error: GaugeVec [model version] "Expected calibration error in that window on ten bins of equal width; absent as the log loss is.";
        performance_mae: GaugeVec [model version] "Mean absolute error of a number in that window; as the next four, not cut off, and absent where labels are 0 and 1.";
        performance_rmse: GaugeVec [model version] "Root of the mean squared error in that window.";
        performance_mape: GaugeVec [model version] "Mean of the absolute error over the size of the label in that window: huge as soon as one label is 0.";
        performance_bias: GaugeVec [model version] "Mean of score minus label in that window.";
        performance_r2: GaugeVec [model version] "Share of the variance of the labels of that window that the scores explain.";
        performance_quantile_loss: GaugeVec [model version] "Mean pinball loss of that window, in units of the label; as the next one, absent unless the reference says of which quantile the score is.";
        performance_quantile_coverage: GaugeVec [model version] "Share of labels of that window that the score is not below: near the quantile, if the model is right.";
        performance_bound: GaugeVec [model version figure side] "Lower and upper end of the interval at 95 % of a figure of that window: accuracy, precision, recall, specificity, roc_auc or mae.";
        performance_certified_bound: GaugeVec [model version figure side] "Lowest and highest roc_auc and average_precision of that window, whatever the order of scores within cells of the baseline.";
        performance_window_end_timestamp_seconds: GaugeVec [model version] "End of that window, in event time of its predictions.";
        provisional_accuracy: GaugeVec [model version] "Share of right decisions in windows that still wait for labels, each label standing for those of its class that are late; as the next ones, shown and never judged.";
        provisional_precision: GaugeVec [model version] "Share of right ones among the decisions of those windows that said yes.";
        provisional_recall: GaugeVec [model version] "Share of what came true in those windows of which the score said so.";
        provisional_specificity: GaugeVec [model version] "Share of what did not come true in those windows of which the score did not say so.";
        provisional_f1: GaugeVec [model version] "Harmonic mean of precision and recall in those windows.";
        provisional_positive_share: GaugeVec [model version] "Share of labels of 1 in those windows.";
        provisional_mae: GaugeVec [model version] "Mean absolute error of a number in those windows.";
        provisional_rmse: GaugeVec [model version] "Root of the mean squared error in those windows.";
        provisional_bias: GaugeVec [model version] "Mean of score minus label in those windows.";
        provisional_bound: GaugeVec [model version figure side] "Lower and upper end of the interval at 95 % of the provisional accuracy.";
        provisional_effective_labels: GaugeVec [model version] "As many labels that stand for one prediction each would say as much as those windows have.";
        estimated_accuracy: GaugeVec [model version] "Share of right predictions that the scores of the latest window let expect, without labels.";
        estimated_precision: GaugeVec [model version] "Share of right ones that they let expect among the positives; of several classes with a score each the mean over the classes, as of recall, F1 and area.";
        estimated_recall: GaugeVec [model version] "Share of what comes true that they let expect to be found.";
        estimated_specificity: GaugeVec [model version] "Share of what does not come true that they let expect to be left alone.";
        estimated_f1: GaugeVec [model version] "F1 of the counts that they let expect.";
        estimated_average_precision: GaugeVec [model version] "Average precision that they let expect.";
        estimated_bound: GaugeVec [model version figure side] "Lower and upper end of where chance puts accuracy, precision, recall, specificity, f1 or roc_auc if the estimate is right: three standard errors.";
        estimated_roc_auc: GaugeVec [model version] "Area under the ROC curve that they let expect.";
        estimated_brier: GaugeVec [model version] "Brier score that they let expect.";
        estimated_accuracy_thresholded: GaugeVec [model version] "Share of right predictions by average thresholded confidence: of those that are surer than a threshold of the baseline.";
        estimated_accuracy_label_shift: GaugeVec [model version] "Share of right predictions if rows of a class are predicted as in the baseline and only the classes' shares changed.";
        estimated_positive_share: GaugeVec [model version assumption] "Share of positives, if a score means what it did in the baseline (covariate), or if rows of a class are predicted as in it (label).";
        estimated_confidence: GaugeVec [model version] "Mean calibrated confidence in the likelier of two classes; of several classes the mean score.";
        estimated_entropy: GaugeVec [model version] "Mean entropy of the calibrated scores in nats: 0 is certain, 0.69 a coin.";
        estimated_mae: GaugeVec [model version] "Mean absolute error that the latest window lets expect, where labels are numbers: by the score, or by it and the feature that errors depend on most.";
        estimated_rmse: GaugeVec [model version] "Root of the mean squared error that they let expect.";
        estimate_calibration_at_risk: GaugeVec [model version] "1 while a feature or the score drifts, so that the estimates may no longer hold, else 0.";
        false_alarms_allowed_per_30d: GaugeVec [model version severity] "False alarms in 30 days that the model's budget allows this version at most, on average; all versions of a model add up to what is stated.";
        alarm_episodes_per_30d: GaugeVec [model version horizon severity] "Episodes of alarms in 30 days of the windows judged since the state file was created, drift or not.";
        kafka_queue_bytes: GaugeVec [] "Bytes that the Kafka client has fetched and that wait to be counted.";
        kafka_round_trip_seconds: GaugeVec [broker] "Average time of a request to a broker.";
        state_writable: GaugeVec [] "1 while checkpoints can be written, 0 while reading is paused because they cannot.";
        backup_timestamp_seconds: GaugeVec [] "When the last copy of the state was made.";
        watermark_timestamp_seconds: GaugeVec [] "Event time up to which every window is complete.";
        edges_due: GaugeVec [] "Edges of panes that the watermark has passed and that are not judged yet; records wait above 16.";
        consumer_lag_records: GaugeVec [topic partition] "Records between the next record to count and the end of the partition.";
        memory_budget_bytes: GaugeVec [] "Memory that windows may take, by estimate.";
        memory_charged_bytes: GaugeVec [] "Memory that the admitted windows take at most, by estimate.";
        versions: GaugeVec [what] "Versions of models: known (in the registry, or left and still in a window), and forgotten since the start (left, and in no window any more).";
        event_shapes: GaugeVec [what] "What was learned of the names in events and their order since the start: learned, widened, forgotten, declined; each of the last two costs a slower decoding.";
        queue_depth: GaugeVec [queue] "Items waiting in a queue of the process.";
        outbox_pending: GaugeVec [target] "Deliveries decided but not yet confirmed.";
        outbox_dead: GaugeVec [target] "Deliveries given up, kept for a person.";
        outbox_unknown: GaugeVec [target] "Actions of which nobody knows whether they were taken.";
        outbox_oldest_pending_seconds: GaugeVec [target] "Age of the oldest delivery that still waits.";
        target_down: GaugeVec [target] "1 while the other sinks were told that the target takes nothing or refused a delivery, else 0.";
        target_breaker_state: GaugeVec [target] "Circuit breaker of the target: 0 closed, 1 half open, 2 open.";
        target_rate_tokens: GaugeVec [target] "Requests that the rate of the target allows at once now.";
        target_inflight: GaugeVec [target] "Requests to the target under way.";
        build_info: GaugeVec [version git_commit] "Always 1; the labels name the build.";
        reference_info: GaugeVec [model version reference] "Always 1; the labels name the active reference of a model version.";
        broker_errors_total: IntCounterVec [kind] "Errors reported by the Kafka client.";
        schema_lookups_total: IntCounterVec [outcome] "Answers to look-ups of event schemas: found, unusable, unanswered, given_up.";
        source_gaps_total: IntCounterVec [reason] "Positions that no longer held, because records were gone or the topic was another one.";
        source_stalls_total: IntCounterVec [remedy] "Partitions or clients that were taken up anew because nothing came.";
        backups_total: IntCounterVec [outcome] "Copies of the state that were made or failed.";
        checkpoints_total: IntCounterVec [] "Checkpoints written.";
        checkpoint_failures_total: IntCounterVec [] "Checkpoints that could not be written.";
        windows_judged_total: IntCounterVec [verdict] "Windows judged, by their worst verdict.";
        alert_transitions_total: IntCounterVec [kind to] "Transitions of alert groups.";
        alerts_suppressed_total: IntCounterVec [reason] "Firing alerts that were not told, by what kept them back; once each, and once per repeat that an acknowledgement held.";
        deliveries_total: IntCounterVec [target outcome] "Attempts to deliver a notification or an action.";
        delivery_template_failures_total: IntCounterVec [target] "Notifications sent with the built-in body because the template failed.";
        outbox_replaced_total: IntCounterVec [] "Updates of alert groups left out because the outbox was full.";
        outbox_pruned_total: IntCounterVec [] "Settled deliveries forgotten after deliver.keep_settled.";
        secret_reloads_total: IntCounterVec [outcome] "Times that secrets and templates were read again: done or refused.";
        actions_total: IntCounterVec [action decision] "Decisions on actions.";
        actions_held_total: IntCounterVec [action guard] "Actions that a guard kept back, counted once per alert and guard.";
        actions_suspended: GaugeVec [] "1 while no action is started or sent, by order, by the blast-radius stop or by the kill switch.";
        audit_head_info: GaugeVec [hash] "Always 1; the label is the hash of the newest row of the audit trail.";
        series_dropped_total: IntCounterVec [] "Updates of series that were left out because telemetry.max_series was reached.";
        http_refused_total: IntCounterVec [reason] "Requests turned away before they reached a handler.";
        http_handler_panics_total: IntCounterVec [] "Requests whose handler panicked; they were answered with an error.";
        checkpoint_duration_seconds: HistogramVec [] "Time to write a checkpoint.";
        delivery_duration_seconds: HistogramVec [target] "Time of an attempt to deliver.";
    }
    persisted {
        budget_windows_judged_total [model version horizon] "Windows judged under the false-alarm budget.";
        alarm_episodes_total [model version horizon severity] "Runs of such windows in which an alarm of this severity or worse was on; each 48 windows of a longer run count anew.";
        alarm_windows_total [model version horizon severity] "Windows judged under the budget in which an alarm of this severity or worse was on.";
        labels_total [model outcome] "Labels in feedback events with an id: joined, unmatched (no prediction with that id came, or it came too long before); and ids that came twice (repeated).";
        predictions_unlabelled_total [model reason] "Predictions that no longer wait for a label: expired after events.labels.wait, dropped because too many waited, or late for a window that was judged.";
        events_total [model version] "Events counted, since the state file was created.";
        events_out_of_order_total [model version] "Events counted that came after a later one of their partition; in state files of earlier versions from the upgrade on.";
        records_read_total [] "Records read: refused + late + future + unmatched + duplicate + counted.";
        records_counted_total [] "Records counted in a window.";
        records_refused_total [reason] "Records that are no event.";
        records_not_admitted_total [reason] "Records of a version, or in a segment, for which there was no room: memory, versions, segment_memory, segments.";
        refused_pointers_dropped_total [] "Refused records without a pointer in the dead-letter topic, because too many came between two checkpoints.";
        records_late_total [] "Records that came after their window was closed.";
        records_future_total [] "Records too far ahead of the clock.";
        records_unmatched_total [] "Records of a model version without an active reference, and feedback without its prediction.";
        records_duplicate_total [] "Records that were counted before.";
    }
    latencies {
        latency_seconds [model version] "Latencies of the whole traffic of a version, in panes that closed since the start; `le` is a bound of monitor.latency.buckets_ms, moved up to the next edge of the buckets in which panes count.";
    }
}
