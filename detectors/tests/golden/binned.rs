//! Cases on groups of cells: quantile groups of numeric columns, and categories.

use std::collections::BTreeSet;

use anchorwatch_detectors::CategoricalBinning;
use anchorwatch_detectors::contingency::{
    ChiSquare, ChiSquareOptions, category_changes, chi_square, fisher_exact, g_test, new_category_rate,
    odds_ratio, reference_as_expected,
};
use anchorwatch_detectors::counts::total;
use anchorwatch_detectors::divergence::{
    Smoothing, group, hellinger, jensen_shannon, kl, l_infinity, psi, psi_p_value, quantile_groups,
    total_variation,
};
use serde_json::Value;

use crate::case::{Case, Check, Verdict};
use crate::data::Datasets;

pub(crate) fn judge_numeric(case: &Case, datasets: &Datasets) -> Verdict {
    let mut check = Check::new(case);
    let cells = datasets.numeric(&case.data, case.text("nan_policy")).cells().unwrap();
    let groups = quantile_groups(&cells.reference, case.param("bins") as usize);
    let (reference, current) = (group(&cells.reference, &groups), group(&cells.current, &groups));
    if case.detector == "psi" {
        let edges: Vec<Option<f64>> = groups
            .iter()
            .take(groups.len() - 1)
            .map(|range| cells.binning.bounds(range.end - 1).map(|(_, high)| high))
            .collect();
        check.extra_list("edges", &edges);
        check.extra_list("ref_counts", &as_numbers(&reference));
        check.extra_list("cur_counts", &as_numbers(&current));
        let psi = psi(&reference, &current, smoothing(case));
        let (n, m) = (total(&reference), total(&current));
        check.p_value(psi.and_then(|psi| psi_p_value(psi, n, m, groups.len())));
    }
    judge_distance(case, &reference, &current, &mut check)
}

pub(crate) fn judge_categorical(case: &Case, datasets: &Datasets) -> Verdict {
    let (reference, current) = datasets.categorical(&case.data);
    let all: BTreeSet<&str> = reference.iter().chain(&current).copied().collect();
    let seen: BTreeSet<&str> = reference.iter().copied().collect();
    let known = if case.text("zero").starts_with("unseen_bucket") { seen } else { all };
    let names: Vec<String> = known.into_iter().map(str::to_owned).collect();
    let binning = CategoricalBinning::new(names).unwrap();
    let count = |side: &[&str]| {
        let mut counts = vec![0; binning.cells()];
        side.iter().for_each(|category| counts[binning.cell(category)] += 1);
        counts
    };
    let (mut reference, mut current) = (count(&reference), count(&current));
    if !case.text("zero").starts_with("unseen_bucket") {
        // With every category known, the cell of the unseen is empty by construction and no bin of the case.
        assert_eq!((reference.pop(), current.pop()), (Some(0), Some(0)));
    }
    let mut check = Check::new(case);
    match case.detector.as_str() {
        "chi2_contingency" => {
            let yates = case.params.get("yates") == Some(&Value::Bool(true));
            let options = ChiSquareOptions { yates, pool_below: None };
            check.extra_list("ref_counts", &as_numbers(&reference));
            check.extra_list("cur_counts", &as_numbers(&current));
            judge_chi_square(chi_square(&reference, &current, options), &mut check)
        }
        "g_test" => judge_chi_square(g_test(&reference, &current), &mut check),
        "chi2_gof" => judge_chi_square(reference_as_expected(&reference, &current), &mut check),
        "fisher_exact" => {
            let table = [[reference[0], reference[1]], [current[0], current[1]]];
            check.statistic(odds_ratio(table)).p_value(fisher_exact(table)).verdict()
        }
        "new_category_rate" => judge_new(case, &binning, &reference, &current, &mut check),
        _ => judge_distance(case, &reference, &current, &mut check),
    }
}

fn judge_chi_square(test: Option<ChiSquare>, check: &mut Check<'_>) -> Verdict {
    check
        .statistic(test.map(|test| test.statistic))
        .p_value(test.and_then(|test| test.p_value))
        .extra("dof", test.map(|test| test.df as f64))
        .verdict()
}

fn judge_new(
    case: &Case,
    binning: &CategoricalBinning,
    reference: &[u64],
    current: &[u64],
    check: &mut Check<'_>,
) -> Verdict {
    let changes = category_changes(reference, current);
    let names = |cells: &[usize]| -> Vec<Value> {
        cells.iter().map(|&cell| Value::String(binning.categories()[cell].clone())).collect()
    };
    let want = |name: &str| case.expected_extra[name].as_array().unwrap().clone();
    check
        .statistic(new_category_rate(reference, current))
        .equal("new_categories", &names(&changes.appeared), &want("new_categories"))
        .equal("vanished", &names(&changes.vanished), &want("vanished"))
        .verdict()
}

fn judge_distance(case: &Case, reference: &[u64], current: &[u64], check: &mut Check<'_>) -> Verdict {
    match case.detector.as_str() {
        "psi" => check.statistic(psi(reference, current, smoothing(case))),
        "jensen_shannon" => {
            let divergence = jensen_shannon(reference, current);
            let base_2 = case.text("base") == "2";
            check
                .statistic(divergence.map(|js| if base_2 { js.distance_base_2() } else { js.distance() }))
                .extra("divergence", divergence.map(|js| if base_2 { js.bits() } else { js.nats }))
        }
        "kl" => check
            .statistic(kl(reference, current, smoothing(case)))
            .extra("reverse", kl(current, reference, smoothing(case))),
        "hellinger" => check.statistic(hellinger(reference, current)),
        "tvd" => check
            .statistic(total_variation(reference, current))
            .extra("l_inf", l_infinity(reference, current)),
        _ => return Verdict::NotOffered,
    };
    check.verdict()
}

fn smoothing(case: &Case) -> Smoothing {
    let zero = case.text("zero").trim_start_matches("unseen_bucket_");
    match zero.split_once(':') {
        Some(("floor", value)) => Smoothing::Floor(value.parse().unwrap()),
        Some(("add", value)) => Smoothing::Add(value.parse().unwrap()),
        _ => Smoothing::Half,
    }
}

fn as_numbers(counts: &[u64]) -> Vec<Option<f64>> {
    counts.iter().map(|&count| Some(count as f64)).collect()
}
