//! The exposition is linted by us and by Prometheus' own tool.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use proptest::prelude::*;

use super::{Kind, Metrics, TABLE, metrics_page};
use crate::alert::{AlertKind, Severity};
use crate::reference::{Provenance, Reference, Role};
use crate::view::{
    AlarmRateView, AlertState, AlertView, ColumnRatios, EstimateView, EventCount, EventShapesView, Interval,
    JoinView, LabelsView, LatencyHistogram, LatencyQuantile, LatencyView, LawCounters, Level, OutboxView,
    PerformanceView, PositionView, ProvisionalView, QueueView, ReferenceView, StatusView, TargetView,
    VerdictView, WindowView,
};

fn verdict(column: &str, statistic: Option<f64>, level: Level) -> VerdictView {
    VerdictView {
        column: column.into(),
        role: Some(Role::Feature),
        detector: "ks".into(),
        statistic,
        threshold: Some(0.1),
        p_value: statistic.map(|_| 0.01),
        adjusted_p_value: None,
        rows: 500,
        reference_rows: 10_000,
        level,
        kind: AlertKind::Drift,
        severity: None,
        inhibited_by: None,
        moved: Vec::new(),
        explained: None,
    }
}

fn window(version: &str) -> WindowView {
    WindowView {
        coverage: 1.0,
        model: "fraud".into(),
        version: version.into(),
        horizon: "1h".into(),
        end: 7_200_000,
        rows: 500,
        reference: "abc".into(),
        level: Level::Drift,
        verdicts: vec![verdict("age", Some(0.3), Level::Drift), verdict("city", None, Level::Insufficient)],
        latency: Some(LatencyView {
            quantiles: vec![LatencyQuantile { quantile: 0.99, value_ms: 250.0, reference_ms: Some(200.0) }],
            objective_exceeded: Some(0.02),
        }),
        columns: vec![ColumnRatios {
            column: "age".into(),
            missing: Some(0.01),
            distinct: Some(4.0),
            ..ColumnRatios::default()
        }],
        ..WindowView::default()
    }
}

fn alert(state: AlertState) -> AlertView {
    AlertView {
        group: "g".into(),
        model: "fraud".into(),
        version: "1.0.0".into(),
        segment: None,
        column: "age".into(),
        detector: "ks".into(),
        kind: AlertKind::Drift,
        severity: Severity::Warning,
        state,
        horizon: "1h".into(),
        since: 0,
        changed_at: 0,
        statistic: 0.3,
        threshold: 0.1,
        reference: "abc".into(),
        moved: Vec::new(),
        explained: None,
        labels: Default::default(),
        suppressed_by: None,
        acknowledged_by: None,
        comment: None,
        runbook: None,
    }
}

fn status() -> StatusView {
    let law = LawCounters {
        read: 9,
        counted: 7,
        refused: [("not_json".into(), 2)].into(),
        ..LawCounters::default()
    };
    StatusView {
        actions_suspended: None,
        law,
        events: vec![EventCount {
            model: "fraud".into(),
            version: "1.0.0".into(),
            events: 7,
            out_of_order: 2,
            newest: Some(60_500),
        }],
        positions: vec![PositionView {
            topic: "t".into(),
            partition: 0,
            next_offset: 9,
            end_offset: Some(12),
            max_event_time: None,
        }],
        watermark: Some(60_000),
        queues: vec![QueueView { queue: "windows".into(), depth: 3, capacity: 64 }],
        outbox: vec![OutboxView { target: "ops".into(), pending: 1 }],
        joins: vec![JoinView { model: "fraud".into(), joined: 4, expired: 2, ..JoinView::default() }],
        labels: vec![LabelsView {
            model: "fraud".into(),
            version: "1.0.0".into(),
            provisional_predictions: 8,
            provisional_labelled: 2,
            provisional: Some(ProvisionalView {
                effective: 1.5,
                accuracy: Some(0.875),
                accuracy_interval: Some(Interval { lower: 0.25, upper: 0.9375 }),
                precision: Some(0.75),
                recall: Some(0.625),
                specificity: Some(0.5),
                f1: Some(0.25),
                positive_share: Some(0.125),
                mae: Some(3.5),
                rmse: Some(4.5),
                bias: Some(-1.5),
                ..ProvisionalView::default()
            }),
            latest: Some(PerformanceView {
                predictions: 10,
                labelled: 9,
                mean_residual: Some(-0.01),
                mean_squared_residual: Some(0.1),
                accuracy: Some(0.9),
                accuracy_interval: Some(Interval { lower: 0.8, upper: 0.95 }),
                precision: Some(0.8),
                recall: Some(0.7),
                specificity: Some(0.95),
                f1: Some(0.75),
                mcc: Some(0.6),
                roc_auc: Some(0.85),
                roc_auc_certified: Some(Interval { lower: 0.84, upper: 0.86 }),
                average_precision: Some(0.8),
                log_loss: Some(0.3),
                calibration_error: Some(0.02),
                mae: Some(1.5),
                rmse: Some(2.0),
                mape: Some(0.1),
                bias: Some(-0.5),
                r2: Some(0.7),
                quantile_loss: Some(0.25),
                quantile_coverage: Some(0.875),
                delay_p50: Some(3_600.0),
                ..PerformanceView::default()
            }),
        }],
        estimates: vec![EstimateView {
            model: "fraud".into(),
            version: "1.0.0".into(),
            accuracy: Some(0.9),
            accuracy_band: Some(Interval { lower: 0.87, upper: 0.93 }),
            precision: Some(0.8),
            recall: Some(0.7),
            specificity: Some(0.95),
            f1: Some(0.75),
            roc_auc: Some(0.8),
            average_precision: Some(0.7),
            brier: Some(0.1),
            accuracy_thresholded: Some(0.91),
            accuracy_label_shift: Some(0.88),
            positive_share: Some(0.2),
            positive_share_label_shift: Some(0.25),
            confidence: Some(0.9),
            entropy: Some(0.3),
            mae: Some(1.25),
            rmse: Some(1.5),
            ..EstimateView::default()
        }],
        alarm_rates: ["warning", "critical"].map(rate).into(),
        event_shapes: EventShapesView { learned: 3, ..EventShapesView::default() },
        latencies: vec![Arc::new(LatencyHistogram {
            model: "fraud".into(),
            version: "1.0.0".into(),
            bounds: [0.0256, 0.1024].into(),
            counts: vec![7, 2, 1],
            sum: 0.75,
        })],
        ..StatusView::default()
    }
}

fn rate(severity: &'static str) -> AlarmRateView {
    AlarmRateView {
        model: "fraud".into(),
        version: "1.0.0".into(),
        horizon: "calibrated",
        severity,
        windows: 360,
        episodes: 3,
        windows_with_alarm: 12,
        allowed_per_30d: 1.0,
        observed_per_30d: Some(6.0),
    }
}

fn reference() -> Reference {
    Reference {
        model: "fraud".into(),
        version: "1.0.0".into(),
        columns: Vec::new(),
        has_latency: false,
        profile: Vec::new(),
        window_ms: None,
        windows: Default::default(),
        segment_field: None,
        segments: std::collections::BTreeMap::new(),
        joint: Default::default(),
        calibration: None,
        provenance: Provenance::default(),
    }
}

/// Metrics in which every line of the table shows something.
fn full() -> Metrics {
    let metrics = Metrics::with_budget(1_000).expect("metrics");
    let mut shown = window("1.0.0");
    shown.columns[0].unseen = Some(0.0);
    shown.columns[0].out_of_range = Some(0.0);
    shown.columns[0].wrong_type = Some(0.0);
    metrics.window(&shown);
    metrics.window(&WindowView { segment: Some("a\"\\\nb".into()), ..shown });
    let states = [AlertState::Firing, AlertState::Pending, AlertState::Resolved];
    metrics.alerts(Arc::new(states.map(alert).to_vec()));
    metrics.reference(&ReferenceView::of("abc", &reference(), true));
    metrics.status(Arc::new(status()));
    metrics.broker_errors("transport", 2);
    metrics.schema_looked_up("found");
    metrics.kafka_client(1_024, &[("broker-1:9092".to_owned(), 0.002)]);
    metrics.kafka_stalls(1, false);
    metrics.gap("truncated");
    metrics.backup_made(1_700_000_000_000);
    metrics.checkpoint_done(0.003);
    metrics.checkpoint_failed();
    metrics.alert_transition(AlertKind::Drift, AlertState::Firing);
    metrics.delivery("ops", "delivered");
    metrics.delivery_took("ops", 0.03);
    metrics.action("retrain", "held");
    metrics.action_held("retrain", "cooldown");
    metrics.actions_suspended(true);
    metrics.audit_head("00ff");
    metrics.request_refused("unauthorized");
    let target = TargetView { target: "ops".to_owned(), configured: true, ..TargetView::default() };
    metrics.targets(&[target], 0);
    metrics.template_failed("ops");
    metrics.reloaded("done");
    metrics.outbox_left(0, 0);
    metrics.handler_panicked();
    metrics
}

fn lint(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    let of = |word: &str, name: &str| text.lines().any(|line| line.starts_with(&format!("# {word} {name} ")));
    for spec in TABLE {
        if !of("HELP", spec.name) || !of("TYPE", spec.name) {
            problems.push(format!("{} has no help or type", spec.name));
        }
        if spec.name.ends_with("_total") != (spec.kind == Kind::Counter) {
            problems.push(format!("{}: only counters end in _total, and all of them", spec.name));
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
        if !seen.insert(series) {
            problems.push(format!("{series} is there twice"));
        }
        if line.ends_with("NaN") {
            problems.push(format!("{line} is no number"));
        }
    }
    problems
}

#[test]
fn every_metric_of_the_table_is_shown_well_formed_and_once() {
    let text = full().encode().expect("encodes");
    assert_eq!(lint(&text), Vec::<String>::new(), "{text}");
}

#[test]
fn promtool_finds_nothing_to_say() {
    let text = full().encode().expect("encodes");
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child =
        child.expect("promtool is missing: install the Debian package `prometheus`, or run `make test`");
    child.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("write");
    let output = child.wait_with_output().expect("promtool ends");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn intervals_of_figures_have_two_ends() {
    let metrics = Metrics::with_budget(1_000).expect("metrics");
    metrics.status(Arc::new(status()));
    let text = metrics.encode().expect("encodes");
    for (family, figure, lower, upper) in [
        ("performance_bound", "accuracy", "0.8", "0.95"),
        ("performance_certified_bound", "roc_auc", "0.84", "0.86"),
        ("estimated_bound", "accuracy", "0.87", "0.93"),
        ("provisional_bound", "accuracy", "0.25", "0.9375"),
    ] {
        for (side, value) in [("lower", lower), ("upper", upper)] {
            let line = format!(
                "anchorwatch_{family}{{figure=\"{figure}\",model=\"fraud\",side=\"{side}\",version=\"1.0.0\"}} {value}\n"
            );
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}

#[test]
fn estimates_say_what_they_assume() {
    let metrics = Metrics::with_budget(1_000).expect("metrics");
    metrics.status(Arc::new(status()));
    let text = metrics.encode().expect("encodes");
    let of = "model=\"fraud\",version=\"1.0.0\"";
    for (assumption, share) in [("covariate", 0.2), ("label", 0.25)] {
        let line =
            format!("anchorwatch_estimated_positive_share{{assumption=\"{assumption}\",{of}}} {share}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    for (figure, value) in [("accuracy_thresholded", 0.91), ("accuracy_label_shift", 0.88), ("rmse", 1.5)] {
        let line = format!("anchorwatch_estimated_{figure}{{{of}}} {value}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[test]
fn persisted_counters_are_what_the_engine_says_also_after_a_restart() {
    let metrics = Metrics::with_budget(1_000).expect("metrics");
    metrics.status(Arc::new(status()));
    metrics.status(Arc::new(status()));
    let text = metrics.encode().expect("encodes");
    assert!(text.contains("# TYPE anchorwatch_records_read_total counter"), "{text}");
    assert!(text.contains("\nanchorwatch_records_read_total 9\n"), "{text}");
    assert!(text.contains("anchorwatch_records_refused_total{reason=\"not_json\"} 2"), "{text}");
    assert!(text.contains("anchorwatch_records_refused_total{reason=\"too_large\"} 0"), "{text}");
    assert!(text.contains("anchorwatch_labels_total{model=\"fraud\",outcome=\"joined\"} 4"), "{text}");
    let of_version = "{horizon=\"calibrated\",model=\"fraud\",severity=\"critical\",version=\"1.0.0\"}";
    assert!(text.contains(&format!("anchorwatch_alarm_episodes_total{of_version} 3")), "{text}");
    assert!(text.contains(&format!("anchorwatch_alarm_windows_total{of_version} 12")), "{text}");
    assert!(text.contains(&format!("anchorwatch_alarm_episodes_per_30d{of_version} 6")), "{text}");
    let judged = "anchorwatch_budget_windows_judged_total{horizon=\"calibrated\",model=\"fraud\",version=\"1.0.0\"} 360";
    assert!(text.contains(judged), "{text}");
    let coverage =
        "anchorwatch_label_coverage_ratio{model=\"fraud\",state=\"provisional\",version=\"1.0.0\"} 0.25";
    assert!(text.contains(coverage), "{text}");
    assert!(text.contains("anchorwatch_events_total{model=\"fraud\",version=\"1.0.0\"} 7"), "{text}");
    assert!(text.contains("anchorwatch_consumer_lag_records{partition=\"0\",topic=\"t\"} 3"), "{text}");
    assert!(text.contains("anchorwatch_event_shapes{what=\"learned\"} 3"), "{text}");
}

#[test]
fn insufficient_evidence_has_a_verdict_but_no_statistic() {
    let metrics = Metrics::with_budget(1_000).expect("metrics");
    metrics.window(&window("1.0.0"));
    let text = metrics.encode().expect("encodes");
    let of = |name: &str, feature: &str| {
        text.lines().find(|line| line.starts_with(name) && line.contains(&format!("feature=\"{feature}\"")))
    };
    assert!(of("anchorwatch_feature_statistic", "age").is_some_and(|line| line.ends_with(" 0.3")));
    assert_eq!(of("anchorwatch_feature_statistic", "city"), None);
    assert!(of("anchorwatch_feature_verdict", "city").is_some_and(|line| line.ends_with(" -1")));
}

#[test]
fn a_later_window_leaves_no_stale_series_behind() {
    let metrics = Metrics::with_budget(1_000).expect("metrics");
    metrics.window(&window("1.0.0"));
    let thin = WindowView { verdicts: Vec::new(), columns: Vec::new(), latency: None, ..window("1.0.0") };
    metrics.window(&thin);
    let text = metrics.encode().expect("encodes");
    assert!(!text.contains("feature=\"age\""), "{text}");
    assert!(text.contains("anchorwatch_window_rows{"), "{text}");
}

#[test]
fn over_the_budget_new_series_are_dropped_and_counted() {
    let metrics = Metrics::with_budget(5).expect("metrics");
    metrics.window(&window("1.0.0"));
    assert_eq!(metrics.shown_series(), 5);
    let text = metrics.encode().expect("encodes");
    assert!(!text.contains("anchorwatch_series_dropped_total 0"), "{text}");
    // Once it is full, what has no room is counted just as if it had been built.
    metrics.window(&window("2.0.0"));
    let roomy = Metrics::with_budget(1_000).expect("metrics");
    ["1.0.0", "2.0.0"].iter().for_each(|version| roomy.window(&window(version)));
    let text = metrics.encode().expect("encodes");
    let dropped = format!("anchorwatch_series_dropped_total {}\n", roomy.shown_series() - 5);
    assert!(text.contains(&dropped) && metrics.shown_series() == 5, "{dropped}{text}");
    // Those that are shown are replaced by newer ones.
    metrics.window(&window("1.0.0"));
    assert_eq!(metrics.shown_series(), 5);
}

#[test]
fn a_version_that_leaves_takes_its_series_with_it() {
    let metrics = Metrics::with_budget(1_000).expect("metrics");
    metrics.window(&window("1.0.0"));
    metrics.window(&window("2.0.0"));
    metrics.remove_version("fraud", "1.0.0");
    let text = metrics.encode().expect("encodes");
    assert!(!text.contains("version=\"1.0.0\"") && text.contains("version=\"2.0.0\""), "{text}");
    metrics.reference(&ReferenceView::of("abc", &reference(), true));
    metrics.remove_version("fraud", "1.0.0");
    metrics.remove_version("fraud", "2.0.0");
    assert_eq!(metrics.shown_series(), 0);
}

#[test]
fn generated_pages_of_the_metrics_are_current() {
    crate::docs::compare("docs/guide/metrics.md", &metrics_page());
}

proptest! {
    #[test]
    fn the_budget_holds_in_every_order(budget in 0_usize..40, versions in prop::collection::vec(0_u8..6, 1..30)) {
        let metrics = Metrics::with_budget(budget).expect("metrics");
        for version in versions {
            metrics.window(&window(&version.to_string()));
            prop_assert!(metrics.shown_series() <= budget);
            if version % 2 == 0 {
                metrics.remove_version("fraud", &version.to_string());
            }
        }
    }
}
