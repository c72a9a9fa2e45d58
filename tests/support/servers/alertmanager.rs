//! Alertmanager: groups nothing, waits for nothing, and tells one webhook.

use std::fs;

use serde_json::{Value, json};

use super::Server;
use crate::support::http;

/// A running Alertmanager.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    server: Server,
}

impl Alertmanager {
    /// Sends each alert, and its end, to `webhook_url`.
    pub(crate) fn start(webhook_url: &str) -> Self {
        Self::start_with(&json!({
            "route": {"receiver": "hook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s",
                      "repeat_interval": "1h"},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": webhook_url, "send_resolved": true}]}],
        }))
    }

    /// With this configuration.
    pub(crate) fn start_with(config: &Value) -> Self {
        let server = Server::start("alertmanager", |dir| {
            let file = dir.join("alertmanager.yml"); // JSON is YAML
            fs::write(&file, config.to_string()).expect("a writable temporary folder");
            Some(file)
        });
        Self { server }
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&self) {
        self.server.end("kill");
    }

    /// Starts it again on the same data and port.
    pub(crate) fn start_again(&self) {
        assert_eq!(self.server.started(), self.server.address, "Alertmanager came back on another port");
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.server.address
    }

    /// Alerts that are active now.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let answer = http::get(self.address(), "/api/v2/alerts").expect("Alertmanager answers");
        match answer.json() {
            Value::Array(alerts) => alerts,
            other => panic!("not a list of alerts: {other}"),
        }
    }
}
