//! Cases on labelled predictions: realised metrics, calibration, and estimates without labels.

use anchorwatch_detectors::estimate::cbpe::estimate_samples;
use anchorwatch_detectors::estimate::sampling_error::SamplingErrors;
use anchorwatch_detectors::estimate::{Isotonic, Trust};
use anchorwatch_detectors::performance::calibration::expected_error_equal_count;
use anchorwatch_detectors::performance::{
    CalibrationBins, ClassificationMetrics, ClassificationState, Confusion, RegressionMetrics,
    RegressionScale, RegressionState,
};
use anchorwatch_detectors::samples::Moments;

use crate::case::{Case, Check, Verdict};
use crate::data::{Binary, Datasets};

pub(crate) fn judge(case: &Case, datasets: &Datasets) -> Verdict {
    let mut check = Check::new(case);
    match case.detector.as_str() {
        "realised_performance" => judge_classification(datasets.binary(&case.data), &mut check),
        "ece" => judge_calibration_error(case, datasets.binary(&case.data), &mut check),
        "isotonic_calibration" => judge_isotonic(datasets.binary(&case.data), &mut check),
        "cbpe" => judge_cbpe(case, datasets.binary(&case.data), &mut check),
        "sampling_error" => judge_sampling_error(case, datasets.binary(&case.data), &mut check),
        "realised_regression" => judge_regression(case, datasets, &mut check),
        _ => return Verdict::NotOffered,
    }
    check.verdict()
}

fn labels(of: &[u8]) -> Vec<bool> {
    of.iter().map(|&label| label == 1).collect()
}

/// By the raw arrays and by the mergeable state, whose areas must hold the truth between their bounds.
fn judge_classification(data: &Binary, check: &mut Check<'_>) {
    let truth = labels(&data.cur_y);
    let raw = ClassificationMetrics::of_samples(&truth, &data.cur_score, data.threshold);
    let mut state = ClassificationState::new(data.threshold);
    truth.iter().zip(&data.cur_score).for_each(|(&label, &score)| state.add(label, score));
    let streamed = state.metrics();
    for metrics in [&raw, &streamed] {
        let confusion = metrics.confusion;
        check
            .extra("tp", Some(confusion.true_positive as f64))
            .extra("fp", Some(confusion.false_positive as f64))
            .extra("fn", Some(confusion.false_negative as f64))
            .extra("tn", Some(confusion.true_negative as f64))
            .extra("accuracy", confusion.accuracy())
            .extra("precision", confusion.precision())
            .extra("recall", confusion.recall())
            .extra("specificity", confusion.specificity())
            .extra("f1", confusion.f1())
            .extra("positive_rate", confusion.positive_rate())
            .extra("mcc", confusion.matthews())
            .extra("log_loss", metrics.log_loss)
            .extra("brier", metrics.brier);
    }
    check
        .extra("roc_auc", raw.roc_auc.map(|area| area.value))
        .extra("average_precision", raw.average_precision.map(|area| area.value));
    for (name, raw, streamed) in [
        ("roc_auc", raw.roc_auc, streamed.roc_auc),
        ("average_precision", raw.average_precision, streamed.average_precision),
    ] {
        let holds = match (raw, streamed) {
            (Some(raw), Some(streamed)) => {
                streamed.low <= raw.value + 1e-12 && raw.value <= streamed.high + 1e-12
            }
            (raw, streamed) => raw.is_none() && streamed.is_none(),
        };
        check.holds(holds, || format!("{name}: {raw:?} is not within {streamed:?}"));
    }
}

fn judge_calibration_error(case: &Case, data: &Binary, check: &mut Check<'_>) {
    let (truth, bins) = (labels(&data.cur_y), case.param("bins") as usize);
    let error = if case.convention().starts_with("nannyml") {
        expected_error_equal_count(&truth, &data.cur_score, bins)
    } else {
        let mut curve = CalibrationBins::new(bins);
        truth.iter().zip(&data.cur_score).for_each(|(&label, &score)| curve.add(label, score));
        curve.expected_error()
    };
    check.statistic(error);
}

fn fit(data: &Binary) -> Option<Isotonic> {
    Isotonic::fit(&data.ref_score, &labels(&data.ref_y))
}

fn judge_isotonic(data: &Binary, check: &mut Check<'_>) {
    let fit = fit(data);
    let known = |values: &[f64]| -> Vec<Option<f64>> { values.iter().copied().map(Some).collect() };
    let calibrated: Vec<f64> =
        fit.iter().flat_map(|fit| data.cur_score.iter().map(|&score| fit.apply(score))).collect();
    let first: Vec<Option<f64>> = calibrated.iter().take(20).copied().map(Some).collect();
    check
        .extra_list("x_thresholds", &known(fit.as_ref().map_or(&[], Isotonic::thresholds)))
        .extra_list("y_thresholds", &known(fit.as_ref().map_or(&[], Isotonic::probabilities)))
        .extra_list("calibrated_first20", &first)
        .extra("calibrated_mean", Moments::new(&calibrated).map(|moments| moments.mean));
}

fn judge_cbpe(case: &Case, data: &Binary, check: &mut Check<'_>) {
    let fit = (case.text("calibration") == "isotonic").then(|| fit(data)).flatten();
    let calibrated = |&score: &f64| fit.as_ref().map_or(score, |fit| fit.apply(score));
    let probabilities: Vec<f64> = data.cur_score.iter().map(calibrated).collect();
    let estimate = estimate_samples(&data.cur_score, &probabilities, data.threshold, Trust::Trusted);
    check
        .extra("accuracy", estimate.accuracy())
        .extra("precision", estimate.precision())
        .extra("recall", estimate.recall())
        .extra("specificity", estimate.specificity())
        .extra("f1", estimate.f1())
        .extra("tp_rate_sum", Some(estimate.true_positive))
        .extra("fn_sum", Some(estimate.false_negative))
        .extra("roc_auc_tie_half", estimate.roc_auc);
    // The peer rounds cumulative counts to five decimals before it forms these two.
    for (name, got) in [("roc_auc", estimate.roc_auc), ("average_precision", estimate.average_precision)] {
        if let Some(want) = case.expected_extra.get(name).map(crate::case::number) {
            check.holds(got.is_some_and(|got| (got - want).abs() <= 1e-5), || {
                format!("{name}: {got:?}, want {want}")
            });
        }
    }
}

/// All but the ROC AUC, for which the peer's own function gave NaN on three of five data sets here.
fn judge_sampling_error(case: &Case, data: &Binary, check: &mut Check<'_>) {
    let mut confusion = Confusion::default();
    for (label, &score) in labels(&data.ref_y).into_iter().zip(&data.ref_score) {
        confusion.add(label, score >= data.threshold);
    }
    let errors = SamplingErrors::new(&confusion, case.param("chunk_len") as u64);
    check
        .extra("accuracy", errors.accuracy)
        .extra("precision", errors.precision)
        .extra("recall", errors.recall)
        .extra("specificity", errors.specificity)
        .extra("f1", errors.f1);
}

/// By the raw arrays and by the mergeable state, which knows all but the largest error.
fn judge_regression(case: &Case, datasets: &Datasets, check: &mut Check<'_>) {
    let data = datasets.regression(&case.data);
    let raw = RegressionMetrics::of_samples(&data.y_true, &data.y_pred, 0.5);
    let truth = Moments::new(&data.y_true);
    let scale = truth.map_or_else(RegressionScale::default, |truth| RegressionScale {
        centre: truth.mean,
        spread: truth.variance_population().sqrt(),
        quantile: 0.5,
    });
    let mut state = RegressionState::new(scale);
    data.y_true.iter().zip(&data.y_pred).for_each(|(&truth, &prediction)| state.add(truth, prediction));
    for metrics in [raw, state.metrics()] {
        check
            .extra("mae", metrics.map(|metrics| metrics.mae))
            .extra("mse", metrics.map(|metrics| metrics.mse))
            .extra("rmse", metrics.map(|metrics| metrics.rmse))
            .extra("mape", metrics.map(|metrics| metrics.mape))
            .extra("msle", metrics.and_then(|metrics| metrics.msle))
            .extra("rmsle", metrics.and_then(|metrics| metrics.rmsle()))
            .extra("r2", metrics.and_then(|metrics| metrics.r2))
            .extra("bias", metrics.map(|metrics| metrics.bias))
            .extra("mae_se", metrics.map(|metrics| metrics.mae_standard_error));
    }
    check.extra("max_abs_error", raw.and_then(|metrics| metrics.max_error));
}
