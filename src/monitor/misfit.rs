//! What of a configuration does not fit the references in use: said where it is found, since otherwise nothing would be
//! watched and nobody would know.

use std::collections::BTreeMap;

use super::sequential::{Feed, Unfed};
use crate::config::{Monitor, Multivariate, SequentialRule, Span};
use crate::reference::Reference;

/// What does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misfit {
    /// A reference is calibrated for windows of another length than are judged.
    Window,
    /// A sequential rule is fed by no version, or a detector has nothing in a reference to compare with.
    Rule,
}

/// A version, and the reference that it is judged against.
#[derive(Debug, Clone, Copy)]
pub struct InUse<'a> {
    /// Model name.
    pub model: &'a str,
    /// Version of the model.
    pub version: &'a str,
    /// Its active reference.
    pub reference: &'a Reference,
}

/// One sentence for each misfit, by whom it concerns: `model version`, or the rule as `monitor.sequential[0]`.
#[must_use]
pub fn misfits(monitor: &Monitor, in_use: &[InUse<'_>]) -> BTreeMap<(Misfit, String), String> {
    let mut found = BTreeMap::new();
    for InUse { model, version, reference } in in_use {
        if let Some(line) = other_window(monitor, reference) {
            let of = format!("{model} {version}");
            let line = format!("{of}: {line}");
            found.insert((Misfit::Window, of), line);
        }
    }
    if monitor.detectors.multivariate.contains(&Multivariate::Mmd) {
        for InUse { model, version, .. } in
            in_use.iter().filter(|one| one.reference.joint.embedding.is_none())
        {
            let of = format!("monitor.detectors.multivariate of {model} {version}");
            let line = format!(
                "{of}: `mmd` watches nothing: its reference has no random features; make it anew with `anchorwatch \
                 reference create --mmd`"
            );
            found.insert((Misfit::Rule, of), line);
        }
    }
    for (index, rule) in monitor.sequential.iter().enumerate() {
        if let Some(why) = unfed(rule, in_use) {
            let of = format!("monitor.sequential[{index}]");
            let line = format!("{of}: `{}` on `{}` watches nothing: {why}", rule.detector, rule.on);
            found.insert((Misfit::Rule, of), line);
        }
    }
    found
}

/// Why nothing is judged under the budget against a reference that is calibrated.
fn other_window(monitor: &Monitor, reference: &Reference) -> Option<String> {
    let judged = monitor.watch_window()?;
    let calibrated = reference.calibration.as_ref().filter(|calibration| !calibration.assumed)?.window_ms;
    (calibrated != judged).then(|| {
        let (calibrated, judged) = (Span::from_millis(calibrated), Span::from_millis(judged));
        format!(
            "its reference is calibrated for windows of {calibrated} and `monitor.window` is {judged}, so nothing is \
             judged under the false-alarm budget and the fixed thresholds alert; make it anew with \
             `anchorwatch reference create --window {judged}`"
        )
    })
}

/// Why no version of the models that a rule watches feeds it; `None` if one does, or there is none.
fn unfed(rule: &SequentialRule, in_use: &[InUse<'_>]) -> Option<Unfed> {
    let mut why = None;
    for InUse { model, version, reference } in in_use.iter().filter(|one| rule.watches(one.model)) {
        match Feed::new(rule, reference, (model, version)) {
            Ok(_) => return None,
            Err(unfed) => why = Some(unfed),
        }
    }
    why
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::registry::{BaselineOptions, build};

    const HOUR: i64 = 3_600_000;
    const START: i64 = 1_704_067_200_000;

    fn reference() -> Reference {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("baseline.csv");
        let mut text = "ts,amount,share,colour\n".to_owned();
        for row in 0..4_000_i64 {
            let (ts, amount, share) =
                (START + row * HOUR / 40, 50 + row * 37 % 101, (row * 53 % 97) as f64 / 97.0);
            writeln!(text, "{ts},{amount},{share:.3},{}", ["red", "blue"][row as usize % 2])
                .expect("a string");
        }
        std::fs::write(&path, text).expect("writable");
        build(&BaselineOptions::new("m", "1.0.0", &path)).expect("a reference")
    }

    fn found(reference: &Reference, monitor: &str) -> Vec<(Misfit, String)> {
        let text = format!("kafka: {{bootstrap: 'h:1', topics: [t]}}\nmonitor: {monitor}");
        let monitor = crate::config::parse(&text, "test").expect("settings").monitor;
        let in_use = [InUse { model: "m", version: "1.0.0", reference }];
        misfits(&monitor, &in_use).into_iter().map(|((misfit, _), line)| (misfit, line)).collect()
    }

    #[test]
    fn a_reference_for_other_windows_is_named_with_what_makes_it_fit() {
        let reference = reference();
        assert_eq!(found(&reference, "{window: 1h}"), []);
        assert_eq!(found(&reference, "{window: 2h, verdicts: classical}"), [], "nothing is under a budget");
        let told = found(&reference, "{window: 2h}");
        assert_eq!(told.len(), 1);
        assert!(told[0].1.starts_with("m 1.0.0: ") && told[0].1.contains("create --window 2h"), "{told:?}");
    }

    #[test]
    fn a_rule_that_no_version_feeds_is_named_and_so_is_one_that_would_cut_values_off() {
        let reference = reference();
        let rules = |rule: &str| found(&reference, &format!("{{sequential: [{rule}]}}"));
        for good in [
            "{detector: adwin, on: amount}",
            "{detector: hddm_a, on: share}",
            "{detector: hddm_a, on: colour}",
            "{detector: hddm_a, on: amount, values: rank}",
            "{detector: ddm, on: 'missing:amount'}",
            "{detector: fhddm, on: 'latency_over:50'}",
            "{detector: adwin, on: nope, model: other}",
        ] {
            assert_eq!(rules(good), [], "{good}");
        }
        for (bad, why) in [
            ("{detector: adwin, on: nope}", "no reference has that column"),
            ("{detector: ddm, on: 'missing:nope'}", "no reference has that column"),
            ("{detector: e_bounded_mean, on: amount}", "between 0 and 1"),
        ] {
            let told = rules(bad);
            assert!(told.len() == 1 && told[0].0 == Misfit::Rule && told[0].1.contains(why), "{told:?}");
        }
    }

    #[test]
    fn a_reference_without_random_features_is_named_where_they_are_asked_for() {
        let told = found(&reference(), "{detectors: {multivariate: [hotelling_t2, mmd]}}");
        assert!(
            told.len() == 1 && told[0].0 == Misfit::Rule && told[0].1.contains("create --mmd"),
            "{told:?}"
        );
        assert_eq!(found(&reference(), "{detectors: {multivariate: [hotelling_t2]}}"), []);
    }

    #[test]
    fn missing_values_and_slow_predictions_are_fed_as_two_cells() {
        let reference = reference();
        let layout = reference.layout();
        let fed = |on: &str, counts: &[u64]| {
            let rule = SequentialRule {
                detector: "ddm".to_owned(),
                on: on.to_owned(),
                ..serde_json::from_str(r#"{"detector":"ddm","on":"error"}"#).expect("a rule")
            };
            let feed = Feed::new(&rule, &reference, ("m", "1.0.0")).expect("it is fed");
            feed.cells(&layout, counts).into_owned()
        };
        assert_eq!(fed("missing:amount", &reference.profile), [4_000, 0]);
        let mut slow = vec![0; layout.len()];
        let first = layout.latency(&slow).as_ptr() as usize;
        let start = (first - slow.as_ptr() as usize) / size_of::<u64>();
        for ms in [10.0, 20.0, 90.0] {
            slow[start + anchorwatch_detectors::latency::bucket(ms).expect("a bucket")] += 1;
        }
        assert_eq!(fed("latency_over:50", &slow), [2, 1]);
        assert_eq!(fed("latency_over:5", &slow), [0, 3]);
    }
}
