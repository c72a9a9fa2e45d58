//! The shipped rules and dashboards on what a real Prometheus scraped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Alertmanager, Prometheus, Receiver, http, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

/// Queries that may be empty because nothing of the kind happened: trouble with the broker, an alert that is pending at
/// this very moment, and windows under the budget, since the classical verdicts alert here.
const MAY_BE_EMPTY: [&str; 4] =
    ["anchorwatch_broker_errors_total", "state=\"pending\"", OF_BUDGET[0], OF_BUDGET[1]];

/// Metrics that appear with the first event of their kind.
const MAY_BE_ABSENT: [&str; 3] = ["anchorwatch_broker_errors_total", OF_BUDGET[0], OF_BUDGET[1]];

/// Metrics of windows under the false-alarm budget.
const OF_BUDGET: [&str; 2] =
    ["anchorwatch_false_alarms_allowed_per_30d", "anchorwatch_alarm_episodes_per_30d"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

/// A shipped rule file.
pub(crate) fn rules(name: &str) -> PathBuf {
    folder().join("prometheus").join(name)
}

fn texts() -> Vec<(PathBuf, String)> {
    let grafana =
        fs::read_dir(folder().join("grafana")).expect("dashboards").flatten().map(|entry| entry.path());
    let boards = grafana.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(path).expect("a readable file"));
    boards.chain([rules("recording.yaml"), rules("alerts.yaml")]).map(read).collect()
}

/// Every rule is loaded and evaluates; the data fault reaches Alertmanager, and through it a webhook.
pub(crate) fn check_rules(prometheus: &Prometheus, alertmanager: &Alertmanager, receiver: &Receiver) {
    let groups = || {
        http::get(prometheus.address(), "/api/v1/rules").expect("Prometheus answers").json()["data"]["groups"]
            .take()
    };
    wait_until(PATIENCE, "every rule to be evaluated", || {
        let groups = groups();
        let rules =
            groups.as_array().into_iter().flatten().filter_map(|group| group["rules"].as_array()).flatten();
        let health: Vec<&str> = rules.filter_map(|rule| rule["health"].as_str()).collect();
        assert!(!health.contains(&"err"), "{groups}");
        health.len() > 15 && health.iter().all(|health| *health == "ok")
    });
    for record in [
        "anchorwatch:feature_distance:ratio",
        "anchorwatch:feature_verdict:max10m",
        "anchorwatch:events:rate5m",
    ] {
        assert!(!prometheus.series(record).is_empty());
    }
    let is_fault =
        |labels: &Value| labels["alertname"] == "AnchorwatchDataFault" && labels["model"] == "flights";
    wait_until(PATIENCE, "the rule's alert in Alertmanager", || {
        alertmanager
            .alerts()
            .iter()
            .any(|alert| is_fault(&alert["labels"]) && alert["labels"]["severity"] == "critical")
    });
    wait_until(PATIENCE, "Alertmanager's own webhook", || {
        let told = receiver.requests_to("/alertmanager");
        let alerts = told.iter().map(|request| request.json()["alerts"].take());
        alerts.into_iter().any(|alerts| {
            alerts.as_array().is_some_and(|alerts| {
                alerts.iter().any(|a| is_fault(&a["labels"]) && a["status"] == "firing")
            })
        })
    });
}

/// Every query of every panel returns data, with the variables as they stand when a dashboard is opened.
pub(crate) fn check_panels(prometheus: &Prometheus) {
    let mut queries = Vec::new();
    for (path, text) in texts().iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "json")) {
        let board: Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        collect(&board, "", &mut queries);
    }
    assert!(queries.len() > 50, "only {} queries", queries.len());
    for (title, query) in queries {
        let promql = ["version", "segment", "horizon", "feature"]
            .into_iter()
            .fold(query.clone(), |query, name| query.replace(&format!("${name}"), ".*"))
            .replace("$model", "flights")
            .replace("$__rate_interval", "1m");
        assert!(!promql.contains('$'), "a variable that is not known: {promql}");
        if !MAY_BE_EMPTY.iter().any(|part| query.contains(part)) {
            wait_until(PATIENCE, &format!("data of the panel `{title}`: {promql}"), || {
                prometheus.query(&promql).as_array().is_some_and(|series| !series.is_empty())
            });
        } else {
            prometheus.query(&promql); // is understood
        }
    }
}

/// Title and expression of every query below a node.
fn collect(node: &Value, title: &str, queries: &mut Vec<(String, String)>) {
    match node {
        Value::Object(fields) => {
            let title = fields.get("title").and_then(Value::as_str).unwrap_or(title);
            if let Some(query) = fields.get("expr").and_then(Value::as_str) {
                queries.push((title.to_owned(), query.to_owned()));
            }
            fields.values().for_each(|value| collect(value, title, queries));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, title, queries)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every metric that a dashboard or a rule names is there.
pub(crate) fn check_names(metrics: &str) {
    let shown: BTreeSet<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for (path, text) in texts() {
        for (start, _) in text.match_indices("anchorwatch_") {
            let rest = &text[start..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let name = &rest[..end];
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(name);
            let known = shown.contains(name) || shown.contains(base) || MAY_BE_ABSENT.contains(&name);
            assert!(known, "{} names {name}, which /metrics does not show", path.display());
        }
    }
}
