//! Cases on streams: at which values a detector alarms, and what it holds in the end.

use std::collections::BTreeMap;

use anchorwatch_detectors::sequential::bounded_mean::{Bet, BoundedMean};
use anchorwatch_detectors::sequential::confidence_sequence::BetaBinomial;
use anchorwatch_detectors::sequential::conformal::{Options, Ranks};
use anchorwatch_detectors::sequential::wealth::Renewal;
use anchorwatch_detectors::sequential::{self, Detector, Sequential, Signal};
use serde_json::{Map, Value};

use crate::case::{Case, Check, Verdict, number, numbers};
use crate::data::Datasets;

/// Cases of river, and of frouros where its convention is offered by name.
pub(crate) fn judge_stream(case: &Case, datasets: &Datasets) -> Verdict {
    let peer = case.other["convention"] == "frouros";
    let name = if peer { format!("{}_frouros", case.detector) } else { case.detector.clone() };
    let mut given = parameters(&case.params);
    // The two-sided tests of frouros alarm without end and are not offered.
    let two_sided = peer && given.remove("two_sided_test").is_some_and(|on| on != 0.0);
    if !sequential::ALL.iter().any(|spec| spec.name == name) || case.tier == "info" || two_sided {
        return Verdict::NotOffered;
    }
    let mut detector = sequential::build(&name, &given).unwrap();
    let values = datasets.stream(case.other["stream"].as_str().unwrap());
    let (mut alarms, mut warnings) = (Vec::new(), Vec::new());
    for (index, value) in values.into_iter().enumerate() {
        let signal = detector.update(value);
        let warns = match &detector {
            Detector::Eddm(eddm) => eddm.warns(),
            Detector::HddmA(hddm) => hddm.warns(),
            Detector::HddmW(hddm) => hddm.warns(),
            _ => signal == Signal::Warning,
        };
        alarms.extend((signal == Signal::Drift).then_some(index));
        warnings.extend(warns.then_some(index));
    }
    let mut check = Check::new(case);
    check.equal("alarms", &alarms, &indices(&case.other["expected_alarms"]));
    if let Some(want) = case.other.get("expected_warning_run_starts") {
        let before = |index: &usize| index.checked_sub(1).is_some_and(|before| warnings.contains(&before));
        let starts: Vec<usize> = warnings.iter().copied().filter(|index| !before(index)).collect();
        check.equal("warning_run_starts", &starts, &indices(want));
        check.equal("warnings", &warnings.len(), &(number(&case.other["expected_warning_count"]) as usize));
    }
    if let Some(want) = case.other.get("expected_final").and_then(Value::as_object) {
        judge_final(&detector, want, &mut check);
    }
    match check.verdict() {
        Verdict::Judged(errors) if peer => Verdict::Peer(errors),
        verdict => verdict,
    }
}

/// What the detector holds after the last value.
fn judge_final(detector: &Detector, want: &Map<String, Value>, check: &mut Check<'_>) {
    let state = serde_json::to_value(detector).unwrap();
    for (name, want) in want {
        let got = match (detector, name.as_str()) {
            (Detector::Adwin(adwin), "width") => adwin.width(),
            (Detector::Adwin(adwin), "estimation") => adwin.mean(),
            (Detector::Adwin(adwin), "variance_sum") => adwin.squares(),
            (Detector::Adwin(_), "n_detections_since_reset") => number(want),
            // River says 0 before there is a test.
            (Detector::Kswin(kswin), "p_value") => kswin.p_value().unwrap_or(0.0),
            (Detector::PageHinkley(_), "mean") => number(&state["page_hinkley"]["sums"]["mean"]["mean"]),
            (Detector::PageHinkley(_), sum) => number(&state["page_hinkley"]["sums"][sum]),
            (_, other) => panic!("nothing known of {other}"),
        };
        check.value(name, Some(got), number(want));
    }
}

fn parameters(given: &Map<String, Value>) -> BTreeMap<String, f64> {
    let said = given.iter().filter(|(name, value)| *name != "reset_on_alarm" && !value.is_null());
    said.map(|(name, value)| match value {
        Value::Bool(on) => (name.clone(), f64::from(u8::from(*on))),
        Value::String(mode) => ("direction".to_owned(), direction(mode)),
        value => (name.trim_end_matches('_').to_owned(), number(value)),
    })
    .collect()
}

fn direction(mode: &str) -> f64 {
    match mode {
        "both" => 0.0,
        "up" => 1.0,
        "down" => -1.0,
        other => panic!("unknown mode {other}"),
    }
}

fn indices(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|index| index as usize).collect()
}

/// Cases of the detectors that bet.
pub(crate) fn judge_bets(case: &Case, datasets: &Datasets) -> Verdict {
    let mut check = Check::new(case);
    match case.detector.as_str() {
        "e_shiryaev_roberts" => judge_conformal(case, &mut check),
        "e_sr_bounded_mean" => judge_bounded_mean(case, datasets, &mut check),
        "betabinomial_confidence_sequence" => judge_sequence(case, datasets, &mut check),
        _ => return Verdict::NotOffered,
    }
    check.verdict()
}

fn judge_conformal(case: &Case, check: &mut Check<'_>) {
    let detector = |renewal: Renewal, alarm_at: f64| {
        let (linear, quadratic) = (case.list("linear_bets"), case.list("quadratic_bets"));
        let counts = case.list("reference_cell_counts").into_iter().map(|count| count as u64).collect();
        Ranks::new(counts, &Options { alarm_at, stream: 0, linear, quadratic, renewal })
    };
    let (cells, u) = (case.list("cells"), case.list("u"));
    let stream = || cells.iter().zip(&u).map(|(&cell, &u)| (cell as usize, u));
    let mut added = detector(Renewal::Add, f64::INFINITY);
    let mut raised = detector(Renewal::Raise, f64::INFINITY);
    let mut all = [Vec::new(), Vec::new(), Vec::new()];
    for (cell, u) in stream() {
        added.update_with(cell, u);
        raised.update_with(cell, u);
        for (list, value) in all.iter_mut().zip([added.p_value(), added.statistic(), raised.statistic()]) {
            list.push(value);
        }
    }
    for (name, values) in ["p", "mean_R", "mean_cusum"].into_iter().zip(all) {
        check.extra_list(name, &at_checkpoints(case, &values));
    }
    check_first_alarms(case, check, |threshold| {
        let mut detector = detector(Renewal::Add, threshold);
        stream().position(|(cell, u)| detector.update_with(cell, u) == Signal::Drift)
    });
}

fn judge_bounded_mean(case: &Case, datasets: &Datasets, check: &mut Check<'_>) {
    let detector = |alarm_at: f64| {
        let p0 = case.param("null_mean_at_most");
        let bets = case.list("lambdas").into_iter().map(|lambda| Bet::above(p0, lambda)).collect();
        BoundedMean::new(bets, alarm_at, Renewal::Add)
    };
    let values = datasets.stream(case.text("stream"));
    let mut endless = detector(f64::INFINITY);
    let wealth = |&value: &f64| {
        endless.update(value);
        endless.statistic()
    };
    let all: Vec<f64> = values.iter().map(wealth).collect();
    check.extra_list("mean_R", &at_checkpoints(case, &all));
    check_first_alarms(case, check, |threshold| {
        let mut detector = detector(threshold);
        values.iter().position(|&value| detector.update(value) == Signal::Drift)
    });
}

fn judge_sequence(case: &Case, datasets: &Datasets, check: &mut Check<'_>) {
    let values = datasets.stream(case.text("stream"));
    let interval = |&t: &f64| {
        let mut sequence = BetaBinomial::new(case.param("a"), case.param("b"));
        values.iter().take(t as usize).for_each(|&value| sequence.add(value));
        sequence.interval(case.param("alpha")).unwrap()
    };
    let intervals: Vec<_> = case.list("t").iter().map(interval).collect();
    check
        .extra_list("lower", &intervals.iter().map(|interval| Some(interval.low)).collect::<Vec<_>>())
        .extra_list("upper", &intervals.iter().map(|interval| Some(interval.high)).collect::<Vec<_>>());
}

fn at_checkpoints(case: &Case, values: &[f64]) -> Vec<Option<f64>> {
    case.list("checkpoints").into_iter().map(|index| values.get(index as usize).copied()).collect()
}

/// Each alarm level with the first value at which it is reached.
fn check_first_alarms(case: &Case, check: &mut Check<'_>, first: impl Fn(f64) -> Option<usize>) {
    let Some(levels) = case.expected_extra.get("first_alarm").and_then(Value::as_object) else { return };
    for (level, want) in levels {
        let want = want.as_u64().map(|index| index as usize);
        check.equal(&format!("first_alarm {level}"), &first(level.parse().unwrap()), &want);
    }
}
