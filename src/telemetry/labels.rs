//! Labels that come later, as metrics: what waits, how much is labelled, how long it took, and what the labels say.

use prometheus::GaugeVec;

use super::families::Families;
use crate::view::{LabelsView, PerformanceView, StatusView};

/// Shows the labels of every version in place of the last look.
pub(super) fn show(families: &Families, status: &StatusView) {
    let all = [
        &families.labels_waiting,
        &families.labels_early,
        &families.label_coverage_ratio,
        &families.label_delay_seconds,
        &families.performance_mean_residual,
        &families.performance_mean_squared_residual,
        &families.performance_accuracy,
        &families.performance_precision,
        &families.performance_recall,
        &families.performance_f1,
        &families.performance_roc_auc,
        &families.performance_window_end_timestamp_seconds,
        &families.estimated_accuracy,
        &families.estimated_roc_auc,
        &families.estimated_brier,
        &families.estimate_calibration_at_risk,
    ];
    all.iter().for_each(|family| family.reset());
    for join in &status.joins {
        families.labels_waiting.with_label_values(&[&join.model]).set(join.waiting as f64);
        families.labels_early.with_label_values(&[&join.model]).set(join.early as f64);
    }
    for labels in &status.labels {
        let subject = [labels.model.as_str(), labels.version.as_str()];
        if labels.provisional_predictions > 0 {
            let share = labels.provisional_labelled as f64 / labels.provisional_predictions as f64;
            set(&families.label_coverage_ratio, subject, Some("provisional"), Some(share));
        }
        if let Some(latest) = &labels.latest {
            performance(families, labels, latest);
        }
    }
    for estimate in &status.estimates {
        let subject = [estimate.model.as_str(), estimate.version.as_str()];
        set(&families.estimated_accuracy, subject, None, estimate.accuracy);
        set(&families.estimated_roc_auc, subject, None, estimate.roc_auc);
        set(&families.estimated_brier, subject, None, estimate.brier);
        let at_risk = f64::from(u8::from(estimate.calibration_at_risk));
        set(&families.estimate_calibration_at_risk, subject, None, Some(at_risk));
    }
}

fn performance(families: &Families, labels: &LabelsView, latest: &PerformanceView) {
    let subject = [labels.model.as_str(), labels.version.as_str()];
    set(&families.label_coverage_ratio, subject, Some("final"), latest.coverage());
    for (q, delay) in [("0.5", latest.delay_p50), ("0.9", latest.delay_p90), ("0.99", latest.delay_p99)] {
        set(&families.label_delay_seconds, subject, Some(q), delay);
    }
    set(&families.performance_mean_residual, subject, None, latest.mean_residual);
    set(&families.performance_mean_squared_residual, subject, None, latest.mean_squared_residual);
    set(&families.performance_accuracy, subject, None, latest.accuracy);
    set(&families.performance_precision, subject, None, latest.precision);
    set(&families.performance_recall, subject, None, latest.recall);
    set(&families.performance_f1, subject, None, latest.f1);
    set(&families.performance_roc_auc, subject, None, latest.roc_auc);
    let end = Some(latest.end as f64 / 1_000.0);
    set(&families.performance_window_end_timestamp_seconds, subject, None, end);
}

/// Absent is better than NaN.
fn set(family: &GaugeVec, subject: [&str; 2], rest: Option<&str>, value: Option<f64>) {
    let labels: Vec<&str> = subject.into_iter().chain(rest).collect();
    if let Some(value) = value.filter(|value| value.is_finite()) {
        family.with_label_values(&labels).set(value);
    }
}
