//! Cases on tail probabilities and on many p-values at once, without data.

use anchorwatch_detectors::distributions::lattice::{Alternative, ks_two_sample_sf};
use anchorwatch_detectors::distributions::{
    chi_square_sf, clopper_pearson, cramer_von_mises, kolmogorov, wilson,
};
use anchorwatch_detectors::multiple::{Correction, adjust, e_bh, mean_e_value};

use crate::case::{Case, Check, Verdict};
use crate::data::Datasets;

pub(crate) fn judge_distribution(case: &Case, _: &Datasets) -> Verdict {
    let mut check = Check::new(case);
    let pairs = |a: &str, b: &str| case.list(a).into_iter().zip(case.list(b)).collect::<Vec<(f64, f64)>>();
    match case.detector.as_str() {
        "kolmogorov_sf" => {
            let sf: Vec<_> = case.list("x").iter().map(|&x| Some(kolmogorov::kolmogorov_sf(x))).collect();
            check.extra_list("sf", &sf)
        }
        "ks_one_sample_exact_sf" => {
            let sf: Vec<_> =
                pairs("d", "n").iter().map(|&(d, n)| kolmogorov::kstwo_sf(d, n as u64)).collect();
            check.extra_list("sf", &sf)
        }
        "ks_two_sample_exact_sf" => {
            let sizes = pairs("m", "n").into_iter().zip(case.list("h"));
            let law = |((m, n), h): ((f64, f64), f64)| {
                ks_two_sample_sf(m as u64, n as u64, h as u64, Alternative::TwoSided)
            };
            check.extra_list("sf", &sizes.map(law).collect::<Vec<_>>())
        }
        "cvm_limit_cdf" => {
            let cdf: Vec<_> = case.list("x").iter().map(|&x| Some(cramer_von_mises::limit_cdf(x))).collect();
            check.extra_list("cdf", &cdf)
        }
        "chi2_sf" => {
            let sf: Vec<_> = pairs("x", "df").iter().map(|&(x, df)| chi_square_sf(x, df)).collect();
            check.extra_list("sf", &sf)
        }
        "clopper_pearson_95" | "wilson_95" => {
            let interval = if case.detector == "wilson_95" { wilson } else { clopper_pearson };
            let of = |&(successes, n): &(f64, f64)| interval(successes as u64, n as u64, 0.95);
            let all: Vec<_> = pairs("successes", "n").iter().map(of).collect();
            let lower: Vec<_> = all.iter().map(|interval| interval.map(|interval| interval.low)).collect();
            let upper: Vec<_> = all.iter().map(|interval| interval.map(|interval| interval.high)).collect();
            check.extra_list("lower", &lower).extra_list("upper", &upper)
        }
        _ => return Verdict::NotOffered,
    };
    check.verdict()
}

pub(crate) fn judge_multiple(case: &Case, _: &Datasets) -> Verdict {
    let mut check = Check::new(case);
    match case.detector.as_str() {
        "p_adjust" => {
            let p_values = case.list("p_values");
            for (name, correction) in [
                ("bh", Correction::BenjaminiHochberg),
                ("by", Correction::BenjaminiYekutieli),
                ("holm", Correction::Holm),
                ("bonferroni", Correction::Bonferroni),
            ] {
                let adjusted: Vec<_> = adjust(&p_values, correction).into_iter().map(Some).collect();
                check.extra_list(name, &adjusted);
            }
        }
        "e_bh" => {
            let e_values = case.list("e_values");
            let rejected = e_bh(&e_values, case.param("alpha"));
            let indices: Vec<_> = rejected.iter().map(|&index| Some(index as f64)).collect();
            check
                .extra("rejections", Some(rejected.len() as f64))
                .extra_list("rejected_indices", &indices)
                .extra("average_e", mean_e_value(&e_values));
        }
        _ => return Verdict::NotOffered,
    }
    check.verdict()
}
