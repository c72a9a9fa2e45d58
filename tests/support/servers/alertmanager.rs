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
        let config = json!({
            "route": {"receiver": "hook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s",
                      "repeat_interval": "1h"},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": webhook_url, "send_resolved": true}]}],
        });
        let server = Server::start("alertmanager", |dir| {
            let file = dir.join("alertmanager.yml"); // JSON is YAML
            fs::write(&file, config.to_string()).expect("a writable temporary folder");
            Some(file)
        });
        Self { server }
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
