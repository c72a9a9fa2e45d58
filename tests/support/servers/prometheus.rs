//! Prometheus: scrapes and judges every second.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::Server;
use crate::support::{http, wait_for};

/// Longest wait for a query's first answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running Prometheus.
#[derive(Debug)]
pub(crate) struct Prometheus {
    server: Server,
}

impl Prometheus {
    /// Scrapes `targets` (`host:port`), loads `rule_files`, and tells `alertmanagers` (`host:port`).
    pub(crate) fn start(targets: &[String], rule_files: &[PathBuf], alertmanagers: &[String]) -> Self {
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": rule_files,
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": alertmanagers}]}]},
            "scrape_configs": [{"job_name": "anchorwatch", "static_configs": [{"targets": targets}]}],
        });
        let server = Server::start("prometheus", |dir| {
            let file = dir.join("prometheus.yml"); // JSON is YAML
            fs::write(&file, config.to_string()).expect("a writable temporary folder");
            Some(file)
        });
        Self { server }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.server.address
    }

    /// The result of an instant query: an array of `{metric, value}`, or `[time, value]` of a scalar.
    #[track_caller]
    pub(crate) fn query(&self, promql: &str) -> Value {
        let path = format!("/api/v1/query?query={}", http::percent_encoded(promql));
        let answer = http::get(self.address(), &path).expect("Prometheus answers");
        assert_eq!(answer.status, 200, "{promql}: {}", answer.body);
        answer.json()["data"]["result"].take()
    }

    /// Waits until a query returns at least one series, and returns them.
    #[track_caller]
    pub(crate) fn series(&self, promql: &str) -> Vec<Value> {
        wait_for(PATIENCE, &format!("series of {promql}"), || match self.query(promql) {
            Value::Array(series) if !series.is_empty() => Some(series),
            _ => None,
        })
    }

    /// Waits until a query returns one series, and returns its value.
    #[track_caller]
    pub(crate) fn value(&self, promql: &str) -> f64 {
        let series = self.series(promql);
        assert_eq!(series.len(), 1, "{promql} has {} series: {series:?}", series.len());
        series[0]["value"][1].as_str().and_then(|text| text.parse().ok()).expect("a number")
    }

    /// Alerts of the rules that are pending or firing.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let answer = http::get(self.address(), "/api/v1/alerts").expect("Prometheus answers");
        match answer.json()["data"]["alerts"].take() {
            Value::Array(alerts) => alerts,
            other => panic!("not a list of alerts: {other}"),
        }
    }
}
