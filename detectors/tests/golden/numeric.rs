//! Cases on two numeric samples: through cells as production counts them, and through the raw samples.

use anchorwatch_detectors::GapTie;
use anchorwatch_detectors::distributions::kolmogorov::{kolmogorov_sf, kstwo_sf};
use anchorwatch_detectors::distributions::normal_sf;
use anchorwatch_detectors::samples::epps_singleton::epps_singleton;
use anchorwatch_detectors::samples::{
    Moments, Pooled, TTest, energy_distance, quantile_linear, sorted, student_t, wasserstein, welch_t,
};
use anchorwatch_detectors::two_sample::rank::{AndersonDarling, anderson_darling, cramer_von_mises_exact};
use anchorwatch_detectors::two_sample::{
    Alternative, Ks, cramer_von_mises, ks, ks_one_sample, ks_uncertainty, mann_whitney, transport,
};

use crate::case::{Case, Check, Verdict};
use crate::data::{Datasets, Pair};

pub(crate) fn judge(case: &Case, datasets: &Datasets) -> Verdict {
    let pair = datasets.numeric(&case.data, case.text("nan_policy"));
    let mut check = Check::new(case);
    match case.detector.as_str() {
        "ks_2samp" => judge_ks(case, &pair, &mut check),
        "kuiper_2samp" => judge_kuiper(&pair, &mut check),
        "cvm_2samp" => judge_cramer_von_mises(case, &pair, &mut check),
        "ad_2samp" => judge_anderson_darling(case, &pair, &mut check),
        "mann_whitney_u" => judge_mann_whitney(case, &pair, &mut check),
        "t_test" => judge_t(&pair, &mut check, student_t, |n, m| n + m - 2.0),
        "welch_t" => judge_t(&pair, &mut check, welch_t, |_, _| 1.0),
        "wasserstein_1" => judge_wasserstein(&pair, &mut check),
        "energy_distance" => {
            check.statistic(energy_distance(&pair.reference, &pair.current));
        }
        "epps_singleton" => {
            let t = case.list("t").try_into().unwrap();
            let test = epps_singleton(&pair.reference, &pair.current, t);
            check.statistic(test.map(|test| test.statistic)).p_value(test.map(|test| test.p_value));
        }
        "moments" => judge_moments(&pair, &mut check),
        "ks_1samp" => judge_one_sample(case, datasets, &mut check),
        _ => return Verdict::NotOffered,
    }
    check.verdict()
}

fn pooled(pair: &Pair) -> Pooled {
    Pooled::new(&pair.reference, &pair.current)
}

/// The distance by both routes, which must agree to the bit.
fn both_ks(pair: &Pair, check: &mut Check<'_>) -> Option<Ks> {
    let pooled = pooled(pair);
    let raw = ks(&pooled.reference, &pooled.window);
    if let Some(cells) = pair.cells() {
        let streamed = ks(&cells.reference, &cells.current);
        check.equal("ks by cells", &streamed, &raw);
        let interval = ks_uncertainty(&cells.reference, &cells.current);
        check.holds(interval.is_some_and(|interval| interval.low == interval.high), || {
            format!("{interval:?}")
        });
        return streamed;
    }
    raw
}

fn alternative(case: &Case) -> Alternative {
    match case.text("alternative") {
        "less" => Alternative::Less,
        "greater" => Alternative::Greater,
        _ => Alternative::TwoSided,
    }
}

fn judge_ks(case: &Case, pair: &Pair, check: &mut Check<'_>) {
    let Some(ks) = both_ks(pair, check) else {
        check.statistic(None).p_value(None);
        return;
    };
    let alternative = alternative(case);
    let statistic = match alternative {
        Alternative::TwoSided => ks.statistic,
        Alternative::Less => ks.d_minus,
        Alternative::Greater => ks.d_plus,
    };
    let p_value = match (case.text("method"), alternative) {
        ("exact", _) => ks.p_exact_as_scipy(alternative),
        ("limit", _) => Some(ks.p_limit()),
        (_, Alternative::TwoSided) => ks.p_finite(),
        (_, one_sided) => Some(ks.p_hodges(one_sided)),
    };
    check.statistic(Some(statistic)).p_value(p_value).extra("effective_n", Some(ks.effective_size()));
}

fn judge_kuiper(pair: &Pair, check: &mut Check<'_>) {
    let ks = both_ks(pair, check);
    check
        .statistic(ks.map(|ks| ks.kuiper()))
        .extra("d_plus", ks.map(|ks| ks.d_plus))
        .extra("d_minus", ks.map(|ks| ks.d_minus));
}

fn judge_cramer_von_mises(case: &Case, pair: &Pair, check: &mut Check<'_>) {
    let pooled = pooled(pair);
    let test = cramer_von_mises(&pooled.reference, &pooled.window);
    let p_value = match case.text("method") {
        "exact" => cramer_von_mises_exact(&pooled.reference, &pooled.window),
        _ => test.map(|test| test.p_value),
    };
    check.statistic(test.map(|test| test.statistic)).p_value(p_value);
}

fn judge_anderson_darling(case: &Case, pair: &Pair, check: &mut Check<'_>) {
    let variant = match case.text("variant") {
        "midrank" => AndersonDarling::Midrank,
        _ => AndersonDarling::Right,
    };
    let pooled = pooled(pair);
    let test = anderson_darling(&pooled.reference, &pooled.window, variant);
    check.statistic(test.map(|test| test.statistic)).p_value(test.map(|test| test.p_value));
}

fn judge_mann_whitney(case: &Case, pair: &Pair, check: &mut Check<'_>) {
    let pooled = pooled(pair);
    let test = mann_whitney(&pooled.reference, &pooled.window);
    let p_value = match case.text("method") {
        "exact" => test.and_then(|test| test.p_exact()),
        _ => test.map(|test| test.p_value(alternative(case))),
    };
    check.statistic(test.map(|test| test.u)).p_value(p_value);
    if let Some(cells) = pair.cells() {
        let streamed = mann_whitney(&cells.reference, &cells.current);
        check.equal("u by cells", &streamed.map(|test| test.u), &test.map(|test| test.u));
    }
}

fn judge_t(
    pair: &Pair,
    check: &mut Check<'_>,
    test: fn(&Moments, &Moments) -> Option<TTest>,
    df_without_spread: fn(f64, f64) -> f64,
) {
    let test = Moments::new(&pair.reference)
        .zip(Moments::new(&pair.current))
        .and_then(|(reference, current)| test(&reference, &current));
    let (n, m) = (pair.reference.len() as f64, pair.current.len() as f64);
    check
        .statistic(test.map(|test| test.statistic))
        .p_value(test.map(|test| test.p_value))
        .extra("df", Some(test.map_or(df_without_spread(n, m), |test| test.df)));
}

fn judge_wasserstein(pair: &Pair, check: &mut Check<'_>) {
    let distance = wasserstein(&pair.reference, &pair.current);
    let deviation = Moments::new(&pair.reference).map(|moments| moments.variance_population().sqrt());
    let normalised = distance.zip(deviation).map(|(distance, deviation)| distance / deviation.max(0.001));
    check.statistic(distance).extra("ref_std_pop", deviation).extra("normalised", normalised);
    let (Some(cells), Some(distance)) = (pair.cells(), distance) else {
        return;
    };
    let mut state = GapTie::new(&cells.binning);
    pair.current.iter().for_each(|&value| state.add(&cells.binning, value));
    let largest = pair.reference.iter().chain(&pair.current).fold(0.0f64, |largest, x| largest.max(x.abs()));
    let slack = 1e-12 * largest;
    for bounds in [
        transport::wasserstein(&cells.binning, &cells.reference, &cells.current),
        state.wasserstein(&cells.binning, &cells.reference),
    ] {
        let holds = bounds.is_some_and(|b| b.low <= distance + slack && distance <= b.high + slack);
        check.holds(holds, || format!("{distance} is not within {bounds:?}"));
    }
}

fn judge_moments(pair: &Pair, check: &mut Check<'_>) {
    let (reference, current) = (Moments::new(&pair.reference), Moments::new(&pair.current));
    let values = sorted(&pair.current);
    let quantiles = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99].map(|q| quantile_linear(&values, q));
    check
        .statistic(current.map(|moments| moments.mean))
        .extra("ref_mean", reference.map(|moments| moments.mean))
        .extra("cur_mean", current.map(|moments| moments.mean))
        .extra("ref_std_pop", reference.map(|moments| moments.variance_population().sqrt()))
        .extra("cur_std_pop", current.map(|moments| moments.variance_population().sqrt()))
        .extra("cur_std_sample", current.and_then(|moments| moments.variance_sample()).map(f64::sqrt))
        .extra("cur_min", current.map(|moments| moments.min))
        .extra("cur_max", current.map(|moments| moments.max))
        .extra("cur_median", quantile_linear(&values, 0.5))
        .extra_list("cur_q", &quantiles);
}

fn judge_one_sample(case: &Case, datasets: &Datasets, check: &mut Check<'_>) {
    let values = sorted(&datasets.numeric(&case.data, "omit_nonfinite").current);
    let (loc, scale) = (case.param("loc"), case.param("scale"));
    let cdf = |x: f64| {
        let z = (x - loc) / scale;
        match case.text("dist") {
            "norm" => normal_sf(-z),
            "uniform" => z.clamp(0.0, 1.0),
            "expon" => -(-z.max(0.0)).exp_m1(),
            other => panic!("unknown law {other}"),
        }
    };
    let distance = ks_one_sample(&values, cdf);
    let n = values.len();
    let p_value = distance.and_then(|d| match case.text("method") {
        "exact" => kstwo_sf(d, n as u64),
        _ => Some(kolmogorov_sf(d * (n as f64).sqrt())),
    });
    check.statistic(distance).p_value(p_value);
}
