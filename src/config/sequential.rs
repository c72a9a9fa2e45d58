//! Sequential detectors that are asked for by name: what each watches, and the check of their names and parameters.

use std::collections::BTreeMap;

use anchorwatch_detectors::sequential::{self, BuildError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;
use crate::alert::Severity;

/// Most sequential detectors.
const MOST: usize = 64;

/// What `on` names besides columns.
const ON_LATENCY: &str = "latency";
/// The rate of wrong predictions, where labels come.
pub const ON_ERROR: &str = "error";

/// What `on` begins with for the share of rows without a value of a column, or of latencies over a limit.
const ON_MISSING: &str = "missing:";
const ON_LATENCY_OVER: &str = "latency_over:";

/// What a rule watches, as its `on` says it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WatchedBy<'a> {
    /// Values of a column.
    Column(&'a str),
    /// The latency in milliseconds.
    Latency,
    /// The share of wrong predictions.
    Error,
    /// The share of rows without a value of this column.
    Missing(&'a str),
    /// The share of latencies over this many milliseconds.
    LatencyOver(f64),
}

/// Detectors whose theory is of values between 0 and 1, and which cut others off.
const OF_SHARES: [&str; 6] =
    ["e_bounded_mean", "confidence_sequence", "hddm_a", "hddm_w", "hddm_a_frouros", "hddm_w_frouros"];

/// Detectors that only make sense of an error rate.
const OF_ERRORS: [&str; 8] =
    ["ddm", "ddm_frouros", "eddm", "eddm_frouros", "fhddm", "ecdd_wt_frouros", "stepd", "stepd_frouros"];

/// A sequential detector, fed from closed panes in the order of event time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SequentialRule {
    /// Its name, such as `adwin`, `page_hinkley` or `e_detector`: `docs/guide/detectors`.
    #[schemars(length(min = 1))]
    pub detector: String,
    /// A column of the reference, `score`, `prediction`, `label`, `latency` (milliseconds) or `error` (predictions that the
    /// label proves wrong), `missing:COLUMN` (rows without a value of it) or `latency_over:MS` (predictions that took
    /// longer).
    #[schemars(length(min = 1))]
    pub on: String,
    /// The model whose versions it watches; absent: all models.
    #[serde(default)]
    pub model: Option<String>,
    /// Its parameters; those not named have their defaults.
    #[serde(default)]
    pub parameters: BTreeMap<String, f64>,
    /// What it is fed.
    #[serde(default)]
    pub values: SequentialValues,
    /// Most values of one pane that it is fed.
    #[serde(default = "default_draws")]
    #[schemars(range(min = 1, max = 10_000))]
    pub draws: u32,
    /// Severity of its alerts.
    #[serde(default = "default_severity")]
    pub severity: Severity,
}

/// What a sequential detector is fed.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SequentialValues {
    /// The middle of the cell that a number fell into, in its own unit; of a category, its rank.
    #[default]
    Value,
    /// The rank of the cell in the reference, within 0 to 1.
    Rank,
}

fn default_draws() -> u32 {
    256
}

const fn default_severity() -> Severity {
    Severity::Warning
}

impl SequentialRule {
    /// Name in verdicts: the detector, with the parameters that were given.
    #[must_use]
    pub fn title(&self) -> String {
        if self.parameters.is_empty() {
            return self.detector.clone();
        }
        let given = self.parameters.iter().map(|(name, value)| format!("{name}={value}"));
        format!("{}({})", self.detector, given.collect::<Vec<_>>().join(","))
    }

    /// What tells it apart from the others: two of the same would be one.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{} on {} as {:?}, {} a pane", self.title(), self.on, self.values, self.draws)
    }

    /// What it watches. A limit that is no number is one that nothing exceeds; the check of the configuration tells of it.
    #[must_use]
    pub fn watched(&self) -> WatchedBy<'_> {
        match self.on.as_str() {
            ON_LATENCY => WatchedBy::Latency,
            ON_ERROR => WatchedBy::Error,
            on => match (on.strip_prefix(ON_MISSING), on.strip_prefix(ON_LATENCY_OVER)) {
                (Some(column), _) => WatchedBy::Missing(column),
                (_, Some(limit)) => WatchedBy::LatencyOver(limit.parse().unwrap_or(f64::MAX)),
                (None, None) => WatchedBy::Column(on),
            },
        }
    }

    /// Whether its detector takes values between 0 and 1 only.
    #[must_use]
    pub fn takes_shares(&self) -> bool {
        OF_SHARES.contains(&self.detector.as_str())
    }

    /// Whether it watches the versions of this model.
    #[must_use]
    pub fn watches(&self, model: &str) -> bool {
        self.model.as_deref().is_none_or(|name| name == model)
    }
}

/// All problems of the detectors asked for, each with the nearest known name.
pub(super) fn problems(rules: &[SequentialRule], found: &mut Vec<Problem>) {
    if rules.len() > MOST {
        let what = format!("{} detectors are too many", rules.len());
        found.push(Problem::at("monitor.sequential", what).expected(format!("at most {MOST}")));
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("monitor.sequential[{index}]");
        let same = |other: &SequentialRule| other.key() == rule.key() && other.model == rule.model;
        if rules[..index].iter().any(same) {
            found.push(Problem::at(&path, format!("`{}` on `{}` is listed twice", rule.detector, rule.on)));
        }
        let is_share = match rule.watched() {
            WatchedBy::Error | WatchedBy::Missing(_) | WatchedBy::LatencyOver(_) => true,
            WatchedBy::Column(_) | WatchedBy::Latency => false,
        };
        if OF_ERRORS.contains(&rule.detector.as_str()) && !is_share {
            let what = format!("`{}` watches an error rate, not `{}`", rule.detector, rule.on);
            let expected = "`error`, `missing:COLUMN` or `latency_over:MS`";
            found.push(Problem::at(format!("{path}.on"), what).expected(expected));
        }
        // What values a column has only its reference knows.
        if rule.takes_shares() && rule.on == ON_LATENCY && rule.values == SequentialValues::Value {
            let what = format!("`{}` takes values between 0 and 1, not milliseconds", rule.detector);
            let expected = "`values: rank`, or `latency_over:MS`";
            found.push(Problem::at(format!("{path}.on"), what).expected(expected));
        }
        if let Some(limit) = rule.on.strip_prefix(ON_LATENCY_OVER)
            && !limit.parse::<f64>().is_ok_and(|limit| limit.is_finite() && limit > 0.0)
        {
            let what = format!("`{limit}` is no number of milliseconds");
            found.push(Problem::at(format!("{path}.on"), what).expected("such as `latency_over:250`"));
        }
        if let Err(error) = sequential::build(&rule.detector, &rule.parameters) {
            found.push(problem(&path, &error));
        }
    }
}

fn problem(path: &str, error: &BuildError) -> Problem {
    match error {
        BuildError::UnknownDetector { name, known } => {
            let problem =
                Problem::at(format!("{path}.detector"), format!("`{name}` is no sequential detector"));
            let near = problem.clone().nearest(name, known.iter().copied());
            match near.did_you_mean {
                Some(_) => near,
                None => problem.expected(format!("one of {}", known.join(", "))),
            }
        }
        BuildError::UnknownParameter { detector, parameter, known } => {
            let problem = Problem::at(
                format!("{path}.parameters.{parameter}"),
                format!("`{detector}` has no such parameter"),
            );
            let near = problem.clone().nearest(parameter, known.iter().copied());
            match near.did_you_mean {
                Some(_) => near,
                None => problem.expected(format!("one of {}", known.join(", "))),
            }
        }
        BuildError::OutOfRange { parameter, value, expected, .. } => {
            let what = format!("`{value}` is out of range");
            Problem::at(format!("{path}.parameters.{parameter}"), what).expected(expected.clone())
        }
        BuildError::Conflict { reason, .. } => Problem::at(format!("{path}.parameters"), *reason),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    fn found(yaml: &str) -> Vec<String> {
        let text = format!(
            "kafka: {{ bootstrap: \"127.0.0.1:9\", topics: [t] }}\nmonitor: {{ sequential: [{yaml}] }}\n"
        );
        match parse(&text, "test") {
            Ok(_) => Vec::new(),
            Err(error) => error.to_string().lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn a_mistake_is_one_line_with_the_nearest_name() {
        assert!(found("{ detector: adwin, on: amount, parameters: { delta: 0.01 } }").is_empty());
        assert!(
            found("{ detector: ddm, on: 'missing:amount' }, { detector: stepd, on: 'latency_over:250' }")
                .is_empty()
        );
        assert!(found("{ detector: hddm_a, on: latency, values: rank }").is_empty());
        for (yaml, wanted) in [
            ("{ detector: adwinn, on: x }", "did you mean `adwin`?"),
            ("{ detector: page_hinkly, on: x }", "did you mean `page_hinkley`?"),
            ("{ detector: adwin, on: x, parameters: { delt: 1 } }", "did you mean `delta`?"),
            ("{ detector: adwin, on: x, parameters: { delta: 2 } }", "`2` is out of range"),
            ("{ detector: ddm, on: x }", "watches an error rate"),
            ("{ detector: e_bounded_mean, on: latency }", "takes values between 0 and 1"),
            ("{ detector: adwin, on: 'latency_over:fast' }", "no number of milliseconds"),
            (
                "{ detector: e_bounded_mean, on: x, parameters: { at_most: 0.1, at_least: 0.2 } }",
                "must not exceed",
            ),
            ("{ detector: adwin, on: x }, { detector: adwin, on: x }", "is listed twice"),
            ("{ detector: adwin, on: x, draw: 5 }", "did you mean `draws`?"),
        ] {
            let lines = found(yaml);
            assert_eq!(lines.len(), 1, "{yaml}: {lines:?}");
            assert!(lines[0].contains(wanted) && lines[0].contains("monitor.sequential["), "{lines:?}");
        }
    }
}
