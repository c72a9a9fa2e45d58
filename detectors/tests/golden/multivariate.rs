//! Cases on rows of several columns, and on the quality of one.

use anchorwatch_detectors::compat::evidently;
use anchorwatch_detectors::multivariate::embedding::{Metric, mean_distance};
use anchorwatch_detectors::multivariate::hotelling::mean_mahalanobis_squared;
use anchorwatch_detectors::multivariate::{
    Bandwidth, Gaussian, MomentSums, Pca, Scaling, correlation_shift, hotelling, mmd2_unbiased,
};
use anchorwatch_detectors::quality::{Limits, Rate, missing, out_of_range, unseen};
use serde_json::Value;

use crate::case::{Case, Check, Verdict};
use crate::data::{Datasets, Rows};

pub(crate) fn judge(case: &Case, datasets: &Datasets) -> Verdict {
    let mut check = Check::new(case);
    let rows = datasets.rows(&case.data);
    match case.detector.as_str() {
        "hotelling_t2" => judge_hotelling(rows, &mut check),
        "correlation_shift" => judge_correlation(rows, &mut check),
        "mmd2_unbiased" => judge_mmd(case, rows, &mut check),
        "pca_reconstruction" => judge_pca(case, rows, &mut check),
        "embedding_distance" => {
            let metric = match case.text("dist") {
                "euclidean" => Metric::Euclidean,
                "cosine" => Metric::Cosine,
                "cityblock" => Metric::Cityblock,
                _ => Metric::Chebyshev,
            };
            let distance = mean_distance(&rows.reference, &rows.current, metric);
            let drift = distance.is_some_and(|distance| distance > case.param("threshold"));
            check.statistic(distance);
            check_drift(drift, &mut check);
        }
        "embedding_ratio" => {
            let limit = case.param("component_threshold");
            let ratio = evidently::embedding_ratio(&rows.reference, &rows.current, limit);
            check.statistic(ratio);
            check_drift(ratio.is_some_and(|ratio| ratio > case.param("threshold")), &mut check);
        }
        _ => return Verdict::NotOffered,
    }
    check.verdict()
}

fn check_drift(drift: bool, check: &mut Check<'_>) {
    if let Some(want) = check.wanted("drift").and_then(Value::as_bool) {
        check.equal("drift", &drift, &want);
    }
}

/// Means and covariances by the raw rows and by the mergeable sums.
fn gaussians(rows: &Rows) -> Option<[(Gaussian, Gaussian); 2]> {
    let raw = (Gaussian::of_rows(&rows.reference)?, Gaussian::of_rows(&rows.current)?);
    let scaling = Scaling::of_rows(&rows.reference)?;
    let streamed = |rows: &[Vec<f64>]| {
        let mut sums = MomentSums::new(&scaling);
        rows.iter().for_each(|row| sums.add(&scaling, row).unwrap());
        sums.gaussian(&scaling)
    };
    Some([raw, (streamed(&rows.reference)?, streamed(&rows.current)?)])
}

fn judge_hotelling(rows: &Rows, check: &mut Check<'_>) {
    for (reference, current) in gaussians(rows).unwrap() {
        let test = hotelling(&reference, &current);
        check
            .statistic(test.map(|test| test.t2))
            .p_value(test.map(|test| test.p_value))
            .extra("F", test.map(|test| test.f))
            .extra("mean_mahalanobis_sq_vs_ref", mean_mahalanobis_squared(&reference, &rows.current));
    }
}

fn judge_correlation(rows: &Rows, check: &mut Check<'_>) {
    for (reference, current) in gaussians(rows).unwrap() {
        let shift = correlation_shift(&reference, &current);
        check
            .statistic(shift.map(|shift| shift.max_z))
            .extra("frobenius", shift.map(|shift| shift.frobenius));
    }
}

fn judge_mmd(case: &Case, rows: &Rows, check: &mut Check<'_>) {
    let bandwidth = match case.convention() {
        "evidently" => Bandwidth::CrossMedian,
        "frouros" => Bandwidth::Sigma(case.param("sigma")),
        _ => Bandwidth::ReferenceMedian,
    };
    let mmd2 = mmd2_unbiased(&rows.reference, &rows.current, bandwidth);
    let clip = case.params.get("clip_at_zero") == Some(&Value::Bool(true));
    let mmd2 = mmd2.map(|mmd2| if clip { mmd2.max(0.0) } else { mmd2 });
    check.statistic(mmd2).extra("sigma", bandwidth.sigma(&rows.reference, &rows.current));
    if case.params.contains_key("threshold") {
        check_drift(mmd2.is_some_and(|mmd2| mmd2 > case.param("threshold")), check);
    }
}

fn judge_pca(case: &Case, rows: &Rows, check: &mut Check<'_>) {
    let pca = Pca::fit(&rows.reference, case.param("n_components")).unwrap();
    let error = pca.reconstruction(&rows.current);
    let list = |values: &[f64]| -> Vec<Option<f64>> { values.iter().copied().map(Some).collect() };
    check
        .statistic(error.map(|error| error.mean))
        .extra("sampling_error", error.and_then(|error| error.standard_error))
        .extra("kept", Some(pca.kept() as f64))
        .extra_list("ref_mean", &list(pca.scaling().centre()))
        .extra_list("ref_std_pop", &list(pca.scaling().spread()))
        .extra_list("eigenvalues", &list(pca.eigenvalues()));
}

pub(crate) fn judge_quality(case: &Case, datasets: &Datasets) -> Verdict {
    let mut check = Check::new(case);
    if case.detector == "std_threshold" {
        let (lower, upper) = (case.param("lower_multiplier"), case.param("upper_multiplier"));
        let limits = Limits::of_chunks(&case.list("values"), lower, upper);
        return check
            .statistic(limits.map(|limits| limits.upper))
            .extra("lower", limits.map(|limits| limits.lower))
            .extra("upper", limits.map(|limits| limits.upper))
            .verdict();
    }
    let rate = match (case.detector.as_str(), datasets.is_numeric(&case.data)) {
        ("missing_rate", true) => missing(&datasets.numeric_rows(&case.data).current),
        ("missing_rate", false) => Rate::of(datasets.categorical_rows(&case.data).1, |row| row.is_none()),
        ("out_of_range_rate", _) => {
            let (low, high) = (case.param("lower"), case.param("upper"));
            out_of_range(&datasets.numeric_rows(&case.data).current, low, high)
        }
        ("unseen_rate", _) => {
            let (reference, current) = datasets.categorical_rows(&case.data);
            unseen(&reference, &current)
        }
        _ => return Verdict::NotOffered,
    };
    check
        .statistic(rate.share())
        .extra("count", Some(rate.count as f64))
        .extra("total", Some(rate.total as f64))
        .verdict()
}
