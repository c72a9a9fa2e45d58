//! Cases of tier `compat`: what other tools give, compared with the convention of that name, counted apart from the core.
//!
//! A difference fails nothing by itself; the guide's table must state it. Cases of tier `info` are quirks that nobody
//! should copy; they are never compared.

use std::collections::BTreeMap;
use std::path::Path;

use anchorwatch_detectors::compat::evidently::{self, ColumnType, default_test};
use anchorwatch_detectors::compat::{alibi, frouros, nannyml, whylogs};
use anchorwatch_detectors::contingency::ChiSquare;
use anchorwatch_detectors::two_sample::Alternative;
use anchorwatch_detectors::two_sample::rank::RankTest;
use serde_json::Value;

use crate::case::{Case, Check, Verdict, number, read};
use crate::data::Datasets;
use crate::{Judge, multivariate, performance};

/// Files that hold cases of this tier, also beside core ones.
const FILES: [(&str, Judge); 9] = [
    ("performance", performance::judge),
    ("multivariate", multivariate::judge),
    ("quality_threshold", multivariate::judge_quality),
    ("default_selection", judge_choice),
    ("peer_evidently", judge_evidently),
    ("peer_nannyml", judge_nannyml),
    ("peer_alibi", judge_alibi),
    ("peer_frouros", judge_frouros),
    ("peer_whylogs", judge_whylogs),
];

/// Cases passed and asked, by convention and detector.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) by_detector: BTreeMap<(String, String), (usize, usize)>,
    pub(crate) failed: Vec<String>,
}

impl Tally {
    /// Judges every case of this tier in the folder; files that the folder does not have are left out.
    pub(crate) fn of(folder: &Path, datasets: &Datasets) -> Self {
        let mut tally = Self::default();
        for (file, judge) in FILES.iter().filter(|(file, _)| folder.join(format!("{file}.json")).exists()) {
            for case in read(folder, file).iter().filter(|case| case.tier == "compat") {
                tally.take(case, judge(case, datasets));
            }
        }
        tally
    }

    fn take(&mut self, case: &Case, verdict: Verdict) {
        let convention = case.convention().split_whitespace().next().unwrap_or("").to_owned();
        let (passed, asked) = self.by_detector.entry((convention, case.detector.clone())).or_default();
        *asked += 1;
        match verdict {
            Verdict::Judged(errors) if errors.is_empty() => *passed += 1,
            Verdict::Judged(errors) => self.failed.push(format!("{case}: {}", errors.join("; "))),
            _ => {}
        }
    }

    /// Passed and asked in all.
    pub(crate) fn sums(&self) -> (usize, usize) {
        self.by_detector.values().fold((0, 0), |(a, b), (passed, asked)| (a + passed, b + asked))
    }

    /// Rows of the guide's table, whose first cells are convention and detector, that state other figures or are missing.
    pub(crate) fn contradictions(&self, guide: &str) -> Vec<String> {
        let stated: BTreeMap<(String, String), String> = guide.lines().filter_map(row_of).collect();
        let wrong = self.by_detector.iter().filter_map(|(key, (passed, asked))| {
            let want = format!("{passed} of {asked}");
            let got = stated.get(key);
            (got != Some(&want)).then(|| format!("compat.md: {key:?} is {want}, the guide says {got:?}"))
        });
        wrong.collect()
    }
}

fn row_of(line: &str) -> Option<((String, String), String)> {
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
    let name = |cell: &&str| cell.trim_matches('`').to_owned();
    let figures = (*cells.last()?).to_owned();
    (cells.len() > 3).then(|| Some(((name(cells.first()?), name(cells.get(1)?)), figures)))?
}

fn other<'a>(case: &'a Case, key: &str) -> &'a Value {
    case.other.get(key).unwrap_or(&Value::Null)
}

fn judge_choice(case: &Case, _: &Datasets) -> Verdict {
    let column = match other(case, "column_type").as_str() {
        Some("num") => ColumnType::Numeric,
        _ => ColumnType::Categorical,
    };
    let size = |key: &str| other(case, key).as_u64().unwrap();
    let test = default_test(column, size("n_ref"), size("n_unique_pooled"));
    Check::new(case)
        .equal("selected", &Some(test.name()), &other(case, "selected").as_str())
        .value("threshold", Some(test.threshold()), number(other(case, "threshold")))
        .verdict()
}

/// Counts per category in the sorted order of all names.
fn counts(case: &Case, datasets: &Datasets) -> (Vec<u64>, Vec<u64>) {
    let (reference, current) = datasets.categorical(&case.data);
    let mut names: Vec<&str> = reference.iter().chain(&current).copied().collect();
    names.sort_unstable();
    names.dedup();
    let of = |side: &[&str]| -> Vec<u64> {
        let mut counts = vec![0; names.len()];
        side.iter().for_each(|row| counts[names.binary_search(row).unwrap()] += 1);
        counts
    };
    (of(&reference), of(&current))
}

fn samples(case: &Case, datasets: &Datasets) -> (Vec<f64>, Vec<f64>) {
    let pair = datasets.numeric_rows(&case.data);
    (pair.reference, pair.current)
}

fn judge_evidently(case: &Case, datasets: &Datasets) -> Verdict {
    let Some(test) = evidently::Test::ALL.into_iter().find(|test| test.name() == case.detector) else {
        return Verdict::NotOffered;
    };
    let value = if case.text("column_type") == "cat" {
        let (reference, window) = counts(case, datasets);
        test.categorical(&reference, &window)
    } else {
        let (reference, window) = samples(case, datasets);
        test.numeric(&reference, &window)
    };
    let mut check = Check::new(case);
    if test.is_p_value() {
        check.p_value(value)
    } else {
        check.statistic(value)
    };
    let drift = test.drifts(value, test.threshold());
    check
        .equal("drift", &Some(drift), &other(case, "expected_drift").as_bool())
        .extra("threshold", Some(test.threshold()))
        .verdict()
}

fn judge_nannyml(case: &Case, datasets: &Datasets) -> Verdict {
    let mut check = Check::new(case);
    let categorical = case.text("feature_type") == "categorical";
    if case.detector == "chi2" {
        let (reference, window) = counts(case, datasets);
        return judge_chi_square(nannyml::chi2(&reference, &window), &mut check);
    }
    let Some(method) = nannyml::Method::ALL.into_iter().find(|method| method.name() == case.detector) else {
        return Verdict::NotOffered;
    };
    let value = if categorical {
        let (reference, window) = counts(case, datasets);
        method.categorical(&reference, &window)
    } else {
        let (reference, window) = samples(case, datasets);
        method.numeric(&reference, &window)
    };
    check.statistic(value).verdict()
}

fn judge_chi_square(test: Option<ChiSquare>, check: &mut Check<'_>) -> Verdict {
    check.statistic(test.map(|test| test.statistic)).p_value(test.and_then(|test| test.p_value)).verdict()
}

fn judge_test(test: Option<RankTest>, check: &mut Check<'_>) -> Verdict {
    check.statistic(test.map(|test| test.statistic)).p_value(test.map(|test| test.p_value)).verdict()
}

fn judge_alibi(case: &Case, datasets: &Datasets) -> Verdict {
    let mut check = Check::new(case);
    match case.detector.as_str() {
        "ks" => {
            let (reference, window) = samples(case, datasets);
            let test = alibi::ks(&reference, &window);
            check.statistic(test.map(|test| test.0)).p_value(test.and_then(|test| test.1)).verdict()
        }
        "cvm" => {
            let (reference, window) = samples(case, datasets);
            judge_test(alibi::cramer_von_mises(&reference, &window), &mut check)
        }
        "chisquare" => {
            let (reference, window) = counts(case, datasets);
            judge_chi_square(alibi::chi_square(&reference, &window), &mut check)
        }
        "fisher_exact" => {
            let (reference, window) = counts(case, datasets);
            let alternative = match case.text("alternative") {
                "greater" => Alternative::Greater,
                "less" => Alternative::Less,
                _ => Alternative::TwoSided,
            };
            judge_test(alibi::fisher_exact(&reference, &window, alternative), &mut check)
        }
        _ => Verdict::NotOffered,
    }
}

fn judge_frouros(case: &Case, datasets: &Datasets) -> Verdict {
    let mut check = Check::new(case);
    if case.detector == "chisquare" {
        let (reference, window) = counts(case, datasets);
        return judge_chi_square(frouros::chi_square(&reference, &window), &mut check);
    }
    let (reference, window) = samples(case, datasets);
    let distance = match case.detector.as_str() {
        "hellinger" => frouros::Distance::Hellinger,
        "bhattacharyya" => frouros::Distance::Bhattacharyya,
        "hist_intersection_complement" => frouros::Distance::HistogramIntersection,
        "jensen_shannon" => frouros::Distance::JensenShannon,
        "kl" => frouros::Distance::Kl,
        "emd" => frouros::Distance::Emd,
        "energy_distance" => frouros::Distance::Energy,
        "ks" => return judge_test(frouros::ks(&reference, &window), &mut check),
        "cvm" => return judge_test(frouros::cramer_von_mises(&reference, &window), &mut check),
        "anderson_darling" => return judge_test(frouros::anderson_darling(&reference, &window), &mut check),
        "incremental_ks" => return judge_sliding(case, &reference, &window, &mut check),
        "welch_t" => {
            let test = frouros::welch(&reference, &window);
            check.statistic(test.map(|test| test.statistic)).p_value(test.map(|test| test.p_value));
            return check.verdict();
        }
        "mmd" => {
            check.statistic(frouros::mmd(&reference, &window, case.param("sigma")));
            return check.verdict();
        }
        _ => return Verdict::NotOffered,
    };
    let bins = case.params.get("num_bins").map_or(10, |_| case.param("num_bins") as usize);
    check.statistic(distance.of_samples(&reference, &window, bins)).verdict()
}

/// The same test on each sliding window of the current values.
fn judge_sliding(case: &Case, reference: &[f64], window: &[f64], check: &mut Check<'_>) -> Verdict {
    let size = case.param("window_size") as usize;
    let series = other(case, "expected_series").as_array().unwrap();
    for (place, want) in series.iter().enumerate() {
        let test =
            (place + 1).checked_sub(size).and_then(|start| frouros::ks(reference, &window[start..=place]));
        let got = test.map(|test| [test.statistic, test.p_value]);
        let want = want.as_array().map(|pair| [number(&pair[0]), number(&pair[1])]);
        let near = |a: [f64; 2], b: [f64; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-10);
        let holds = got.zip(want).map_or(got.is_none() && want.is_none(), |(got, want)| near(got, want));
        check.holds(holds, || format!("at {place}: {got:?}, want {want:?}"));
    }
    check.verdict()
}

fn judge_whylogs(case: &Case, datasets: &Datasets) -> Verdict {
    let mut check = Check::new(case);
    let category = match case.detector.as_str() {
        "hellinger" => {
            let (reference, window) = samples(case, datasets);
            let distance = whylogs::hellinger(&reference, &window);
            check.statistic(distance);
            distance.map(whylogs::Category::of_hellinger)
        }
        "chisquare" => {
            let (reference, window) = counts(case, datasets);
            let test = whylogs::chi_square(&reference, &window);
            check.statistic(test.map(|test| test.statistic)).p_value(test.and_then(|test| test.p_value));
            test.and_then(|test| test.p_value).map(whylogs::Category::of_p_value)
        }
        _ => return Verdict::NotOffered,
    };
    let want = other(case, "expected_category").as_str();
    check.equal("category", &category.map(whylogs::Category::name), &want).verdict()
}
