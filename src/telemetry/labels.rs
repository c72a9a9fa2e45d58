//! Labels that come later, as metrics: what waits, how much is labelled, how long it took, and what the labels say.

use prometheus::GaugeVec;

use super::families::Families;
use crate::view::{EstimateView, Interval, LabelsView, PerformanceView, ProvisionalView, StatusView};

/// Shows the labels of every version in place of the last look.
pub(super) fn show(families: &Families, status: &StatusView) {
    all(families).iter().for_each(|family| family.reset());
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
        if let Some(view) = &labels.provisional {
            provisional(families, subject, view);
        }
        if let Some(latest) = &labels.latest {
            performance(families, labels, latest);
        }
    }
    status.estimates.iter().for_each(|estimate| estimated(families, estimate));
}

/// Every family that is shown here.
fn all(families: &Families) -> [&GaugeVec; 54] {
    [
        &families.labels_waiting,
        &families.labels_early,
        &families.label_coverage_ratio,
        &families.label_delay_seconds,
        &families.performance_mean_residual,
        &families.performance_mean_squared_residual,
        &families.performance_accuracy,
        &families.performance_precision,
        &families.performance_recall,
        &families.performance_specificity,
        &families.performance_f1,
        &families.performance_mcc,
        &families.performance_roc_auc,
        &families.performance_average_precision,
        &families.performance_log_loss,
        &families.performance_calibration_error,
        &families.performance_mae,
        &families.performance_rmse,
        &families.performance_mape,
        &families.performance_bias,
        &families.performance_r2,
        &families.performance_quantile_loss,
        &families.performance_quantile_coverage,
        &families.performance_bound,
        &families.performance_certified_bound,
        &families.performance_window_end_timestamp_seconds,
        &families.provisional_accuracy,
        &families.provisional_precision,
        &families.provisional_recall,
        &families.provisional_specificity,
        &families.provisional_f1,
        &families.provisional_positive_share,
        &families.provisional_mae,
        &families.provisional_rmse,
        &families.provisional_bias,
        &families.provisional_bound,
        &families.provisional_effective_labels,
        &families.estimated_accuracy,
        &families.estimated_precision,
        &families.estimated_recall,
        &families.estimated_specificity,
        &families.estimated_f1,
        &families.estimated_roc_auc,
        &families.estimated_average_precision,
        &families.estimated_brier,
        &families.estimated_accuracy_thresholded,
        &families.estimated_accuracy_label_shift,
        &families.estimated_positive_share,
        &families.estimated_confidence,
        &families.estimated_entropy,
        &families.estimated_mae,
        &families.estimated_rmse,
        &families.estimated_bound,
        &families.estimate_calibration_at_risk,
    ]
}

fn performance(families: &Families, labels: &LabelsView, latest: &PerformanceView) {
    let subject = [labels.model.as_str(), labels.version.as_str()];
    set(&families.label_coverage_ratio, subject, Some("final"), latest.coverage());
    for (q, delay) in [("0.5", latest.delay_p50), ("0.9", latest.delay_p90), ("0.99", latest.delay_p99)] {
        set(&families.label_delay_seconds, subject, Some(q), delay);
    }
    let figures = [
        (&families.performance_mean_residual, latest.mean_residual),
        (&families.performance_mean_squared_residual, latest.mean_squared_residual),
        (&families.performance_accuracy, latest.accuracy),
        (&families.performance_precision, latest.precision),
        (&families.performance_recall, latest.recall),
        (&families.performance_specificity, latest.specificity),
        (&families.performance_f1, latest.f1),
        (&families.performance_mcc, latest.mcc),
        (&families.performance_roc_auc, latest.roc_auc),
        (&families.performance_average_precision, latest.average_precision),
        (&families.performance_log_loss, latest.log_loss),
        (&families.performance_calibration_error, latest.calibration_error),
        (&families.performance_mae, latest.mae),
        (&families.performance_rmse, latest.rmse),
        (&families.performance_mape, latest.mape),
        (&families.performance_bias, latest.bias),
        (&families.performance_r2, latest.r2),
        (&families.performance_quantile_loss, latest.quantile_loss),
        (&families.performance_quantile_coverage, latest.quantile_coverage),
        (&families.performance_window_end_timestamp_seconds, Some(latest.end as f64 / 1_000.0)),
    ];
    figures.iter().for_each(|(family, value)| set(family, subject, None, *value));
    let intervals = [
        ("accuracy", latest.accuracy_interval),
        ("precision", latest.precision_interval),
        ("recall", latest.recall_interval),
        ("specificity", latest.specificity_interval),
        ("roc_auc", latest.roc_auc_interval),
        ("mae", latest.mae_interval),
    ];
    bounds(&families.performance_bound, subject, &intervals);
    let certified =
        [("roc_auc", latest.roc_auc_certified), ("average_precision", latest.average_precision_certified)];
    bounds(&families.performance_certified_bound, subject, &certified);
}

fn provisional(families: &Families, subject: [&str; 2], view: &ProvisionalView) {
    let figures = [
        (&families.provisional_accuracy, view.accuracy),
        (&families.provisional_precision, view.precision),
        (&families.provisional_recall, view.recall),
        (&families.provisional_specificity, view.specificity),
        (&families.provisional_f1, view.f1),
        (&families.provisional_positive_share, view.positive_share),
        (&families.provisional_mae, view.mae),
        (&families.provisional_rmse, view.rmse),
        (&families.provisional_bias, view.bias),
        (&families.provisional_effective_labels, Some(view.effective)),
    ];
    figures.iter().for_each(|(family, value)| set(family, subject, None, *value));
    bounds(&families.provisional_bound, subject, &[("accuracy", view.accuracy_interval)]);
}

fn estimated(families: &Families, estimate: &EstimateView) {
    let subject = [estimate.model.as_str(), estimate.version.as_str()];
    let at_risk = f64::from(u8::from(estimate.calibration_at_risk));
    let figures = [
        (&families.estimated_accuracy, estimate.accuracy),
        (&families.estimated_precision, estimate.precision),
        (&families.estimated_recall, estimate.recall),
        (&families.estimated_specificity, estimate.specificity),
        (&families.estimated_f1, estimate.f1),
        (&families.estimated_roc_auc, estimate.roc_auc),
        (&families.estimated_average_precision, estimate.average_precision),
        (&families.estimated_brier, estimate.brier),
        (&families.estimated_accuracy_thresholded, estimate.accuracy_thresholded),
        (&families.estimated_accuracy_label_shift, estimate.accuracy_label_shift),
        (&families.estimated_confidence, estimate.confidence),
        (&families.estimated_entropy, estimate.entropy),
        (&families.estimated_mae, estimate.mae),
        (&families.estimated_rmse, estimate.rmse),
        (&families.estimate_calibration_at_risk, Some(at_risk)),
    ];
    figures.iter().for_each(|(family, value)| set(family, subject, None, *value));
    let shares = [("covariate", estimate.positive_share), ("label", estimate.positive_share_label_shift)];
    for (assumption, share) in shares {
        set(&families.estimated_positive_share, subject, Some(assumption), share);
    }
    let bands = [
        ("accuracy", estimate.accuracy_band),
        ("precision", estimate.precision_band),
        ("recall", estimate.recall_band),
        ("specificity", estimate.specificity_band),
        ("f1", estimate.f1_band),
        ("roc_auc", estimate.roc_auc_band),
    ];
    bounds(&families.estimated_bound, subject, &bands);
}

/// Both ends of each interval that there is.
fn bounds(family: &GaugeVec, [model, version]: [&str; 2], intervals: &[(&str, Option<Interval>)]) {
    for (figure, interval) in intervals {
        let Some(Interval { lower, upper }) = interval else { continue };
        for (side, value) in [("lower", lower), ("upper", upper)] {
            family.with_label_values(&[model, version, figure, side]).set(*value);
        }
    }
}

/// Absent is better than NaN.
fn set(family: &GaugeVec, subject: [&str; 2], rest: Option<&str>, value: Option<f64>) {
    let labels: Vec<&str> = subject.into_iter().chain(rest).collect();
    if let Some(value) = value.filter(|value| value.is_finite()) {
        family.with_label_values(&labels).set(value);
    }
}
