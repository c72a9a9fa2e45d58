//! Cases on state that is added to and read out: latencies, and the counts of a numeric column over time.

use std::collections::BTreeMap;

use anchorwatch_detectors::GapTie;
use anchorwatch_detectors::divergence::{Smoothing, group, psi, quantile_groups};
use anchorwatch_detectors::latency::{burn_rate, prometheus_quantile};
use anchorwatch_detectors::two_sample::{ks, mann_whitney};
use hdrhistogram::Histogram;
use serde_json::Value;

use crate::case::{Case, Check, Verdict, number, numbers};
use crate::data::{Cells, Datasets};

pub(crate) fn judge_latency(case: &Case, _: &Datasets) -> Verdict {
    let mut check = Check::new(case);
    match case.detector.as_str() {
        "hdr_quantiles" => judge_hdr(case, &mut check),
        "hdr_equivalence" => {
            let histogram = empty_histogram(case);
            let of = |f: fn(&Histogram<u64>, u64) -> u64| -> Vec<Option<f64>> {
                case.list("values").iter().map(|&value| Some(f(&histogram, value as u64) as f64)).collect()
            };
            check.extra_list("lowest_equivalent", &of(|h, value| h.lowest_equivalent(value)));
            check.extra_list("highest_equivalent", &of(|h, value| h.highest_equivalent(value)));
        }
        "prometheus_histogram_quantile" => {
            let cumulative: Vec<u64> = case.list("cumulative").iter().map(|&count| count as u64).collect();
            let bounds = case.list("upper_bounds");
            let of = |&q: &f64| prometheus_quantile(&bounds, &cumulative, q);
            check.extra_list("value", &case.list("q").iter().map(of).collect::<Vec<_>>());
        }
        "slo_burn_rate" => {
            let windows = case.params["windows"].as_array().unwrap();
            let count = |window: &Value, name: &str| window[name].as_u64().unwrap();
            let of =
                |window: &Value| burn_rate(count(window, "bad"), count(window, "total"), case.param("slo"));
            check.extra_list("burn", &windows.iter().map(of).collect::<Vec<_>>());
        }
        _ => return Verdict::NotOffered,
    }
    check.verdict()
}

fn empty_histogram(case: &Case) -> Histogram<u64> {
    let (low, high) = (case.param("lowest") as u64, case.param("highest") as u64);
    Histogram::new_with_bounds(low, high, case.param("significant_figures") as u8).unwrap()
}

/// The crate we read latencies out with gives the ranks that the case wants.
fn judge_hdr(case: &Case, check: &mut Check<'_>) {
    let values = case.list("values");
    let mut histogram = empty_histogram(case);
    values.iter().for_each(|&value| histogram.record(value as u64).unwrap());
    let of = |&percentile: &f64| Some(histogram.value_at_quantile(percentile / 100.0) as f64);
    let quantiles: Vec<_> = case.list("percentiles").iter().map(of).collect();
    check
        .extra_list("hdr", &quantiles)
        .extra("min", Some(histogram.min() as f64))
        .extra("max", Some(histogram.max() as f64))
        .extra("hdr_mean", Some(histogram.mean()))
        .extra("total", Some(histogram.len() as f64));
}

pub(crate) fn judge_state(case: &Case, _: &Datasets) -> Verdict {
    let reference = case.list("reference");
    let cells = Cells::new(&reference, &[]).unwrap();
    let mut check = Check::new(case);
    let mut slices: BTreeMap<String, GapTie> = BTreeMap::new();
    let mut window = GapTie::new(&cells.binning);
    for operation in case.params["ops"].as_array().unwrap() {
        let slice = || operation["slice"].as_str().unwrap().to_owned();
        match operation["op"].as_str().unwrap() {
            "add_slice" => {
                let mut state = GapTie::new(&cells.binning);
                numbers(&operation["values"]).iter().for_each(|&value| state.add(&cells.binning, value));
                window.merge(&state).unwrap();
                slices.insert(slice(), state);
            }
            "expire_slice" => window.subtract(&slices.remove(&slice()).unwrap()).unwrap(),
            _ => judge_checkpoint(&cells, &window, &slices, &operation["expected"], &mut check),
        }
    }
    check.verdict()
}

fn judge_checkpoint(
    cells: &Cells,
    window: &GapTie,
    slices: &BTreeMap<String, GapTie>,
    expected: &Value,
    check: &mut Check<'_>,
) {
    // Any other order of merging the live slices gives the same state.
    let mut merged = GapTie::new(&cells.binning);
    slices.values().rev().for_each(|slice| merged.merge(slice).unwrap());
    check.equal("state in another merge order", &merged, window);
    let want = |name: &str| number(&expected[name]);
    let ks = ks(&cells.reference, window.counts()).unwrap();
    let u = mann_whitney(&cells.reference, window.counts()).map(|test| test.u);
    let groups = quantile_groups(&cells.reference, 10);
    check.value("psi_bins", Some(groups.len() as f64), want("psi_bins"));
    let (reference, current) = (group(&cells.reference, &groups), group(window.counts(), &groups));
    let current_shares: Vec<f64> = current.iter().map(|&count| count as f64).collect();
    let transport = window.wasserstein(&cells.binning, &cells.reference).unwrap();
    check
        .value("n", Some(ks.m as f64), want("n"))
        .value("ks", Some(ks.statistic), want("ks"))
        .value("d_plus", Some(ks.d_plus), want("d_plus"))
        .value("d_minus", Some(ks.d_minus), want("d_minus"))
        .value("kuiper", Some(ks.kuiper()), want("kuiper"))
        .value("ks_p_asymp", ks.p_finite(), want("ks_p_asymp"))
        .value("mann_whitney_u", u, want("mann_whitney_u"))
        .equal("psi_cur_counts", &current_shares, &numbers(&expected["psi_cur_counts"]))
        .value("psi", psi(&reference, &current, Smoothing::default()), want("psi_floor_1e4"))
        .value("wasserstein_lower", Some(transport.low), want("wasserstein_lower"))
        .value("wasserstein_upper", Some(transport.high), want("wasserstein_upper"));
    let truth = want("wasserstein_true");
    check.holds(transport.low <= truth + 1e-9 && truth <= transport.high + 1e-9, || format!("{transport:?}"));
}
