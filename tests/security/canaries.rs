//! Secrets and raw values are planted wherever they can be, things go wrong, and then everything that came out is
//! searched for them: logs, answers, metrics, the state file, webhooks, dead letters.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anchorwatch::api::ROUTES;
use serde_json::{Value, json};

use crate::support::flights::{self, Cell, Produced, at};
use crate::support::{Daemon, Kafka, Receiver, Reply, free_port, wait_for, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);
/// Begins every planted secret.
const SECRET: &str = "C4N4RYSECRET";
/// Begins every planted raw value.
const RAW: &str = "C4N4RYRAW";

fn secret(folder: &Path, name: &str, value: &str) -> Value {
    let path = folder.join(name);
    fs::write(&path, value).expect("a writable folder");
    json!({"file": path})
}

fn configuration(folder: &Path, kafka: &Kafka, receiver: &Receiver, http: &str) -> PathBuf {
    let dead = free_port();
    let config = json!({
        "data_dir": folder.join("data"),
        "kafka": {"bootstrap": kafka.bootstrap(), "topics": ["canaries"], "group": "canaries",
                  "dead_letter_topic": "canaries-refused",
                  "secret_properties": {"ssl.key.password": secret(folder, "key", &format!("{SECRET}KAFKA"))}},
        "windows": {"pane": "1h", "horizons": [{"length": "6h", "every": "1h"}, {"length": "24h", "every": "2h"}],
                    "lateness": "1h", "idle_after": "1s", "min_rows": 150},
        "monitor": {"verdicts": "classical"},
        "alerts": {"fire_after": 1, "of_last": 1},
        "sinks": [
            {"name": "dead", "type": "slack",
             "url": secret(folder, "slack", &format!("http://127.0.0.1:{dead}/services/{SECRET}SLACK"))},
            {"name": "refusing", "type": "pagerduty", "url": receiver.url("/refusing"),
             "routing_key": secret(folder, "pagerduty", &format!("{SECRET}ROUTINGKEY0123456789"))},
            {"name": "hook", "type": "webhook", "url": receiver.url(&format!("/hook?token={SECRET}QUERY")),
             "secret": secret(folder, "signing", &format!("whsec_{SECRET}SIGNING0123456789abcdefg"))},
        ],
        "actions": [{"name": "retrain", "kind": "retrain", "url": receiver.url("/retrain"), "mode": "approve",
                     "on": ["drift", "data_fault"], "min_signals": 1, "min_coverage": 0.0, "min_rows": 1}],
        "action_guards": {"deploy_grace": "0s"},
        "http": {"listen": http, "tokens_file": folder.join("tokens.yaml")},
        "checkpoint": {"every": "300ms"},
        "telemetry": {"log_filter": "debug"},
    });
    let path = folder.join("anchorwatch.yaml"); // JSON is YAML
    fs::write(&path, config.to_string()).expect("a writable folder");
    path
}

/// Events of an incident, with raw values where producers put such, and records that are wrong in every way.
fn records() -> Vec<Produced> {
    let mut records: Vec<Vec<u8>> = Vec::new();
    for (i, event) in flights::events(at(7, 13, 0), at(7, 18, 0)).into_iter().enumerate() {
        let mut event: Value = serde_json::from_slice(&event.json).expect("JSON");
        event["id"] = format!("{RAW}ID{i}").into();
        if event["features"].is_object() {
            if i % 4 == 0 {
                event["features"]["carrier"] = format!("{RAW}CATEGORY{i}").into();
            }
            event["features"]["email"] = format!("{RAW}MAIL@example.com").into();
            event["features"]["temp"] =
                if i % 50 == 0 { format!("{RAW}TYPE").into() } else { event["features"]["temp"].clone() };
        }
        event["note"] = json!({"free": format!("{RAW}FREE")});
        records.push(event.to_string().into_bytes());
    }
    let name = |length: usize| RAW.repeat(length / RAW.len() + 1);
    let wrong = [
        format!("{{\"model\": \"flights\", \"{RAW}"),
        format!("\"{RAW}\""),
        format!("{{\"model\":\"flights\",\"version\":\"1.0.0\",\"ts\":\"{RAW}\",\"features\":{{}}}}"),
        format!("{{\"model\":\"flights\",\"version\":\"1.0.0\",\"latency_ms\":\"{RAW}\",\"features\":{{}}}}"),
        format!("{{\"model\":\"flights\",\"version\":\"1.0.0\",\"features\":{{\"{}\":1}}}}", name(200)),
        format!("{{\"model\":\"flights\",\"version\":\"1.0.0\",\"features\":{{\"{RAW}\":1,\"{RAW}\":2}}}}"),
        format!("{{\"model\":\"flights\",\"features\":{{\"a\":\"{RAW}\"}}}}"),
        name(2 << 20).chars().take(900_000).collect(),
    ];
    records.extend(wrong.map(String::into_bytes));
    records.into_iter().map(|value| Produced { partition: 0, value: Some(value) }).collect()
}

fn carriers() -> BTreeSet<String> {
    let table = flights::Table::read("reference.parquet");
    let column = table.column("carrier");
    table.rows().iter().filter_map(|row| Cell::text(&row[column]).map(str::to_owned)).collect()
}

/// Every file below a folder, with its bytes as text.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((
                path.clone(),
                String::from_utf8_lossy(&fs::read(&path).expect("readable")).into_owned(),
            ));
        }
    }
    found
}

fn search(place: &str, text: &str) {
    for canary in [SECRET, RAW] {
        if let Some(at) = text.find(canary) {
            let around: String = text[..at].chars().rev().take(200).collect();
            let around: String = around.chars().rev().collect();
            panic!("{canary} came out in {place}, after: {around}");
        }
    }
}

/// Only the owner reads the state: counts, deliveries, and the token of an approval while its message waits.
fn only_the_owner_reads(data: &Path) {
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(data), 0o700, "{}", data.display());
    for (path, _) in files(data) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("anchorwatch.db") || name == "approval.key" {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}

/// Answers of all routes, asked for everything that there is.
fn answers(address: &str, token: &str) -> Vec<(String, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = reqwest::Client::new();
    let ask = async |path: &str, token: &str| {
        let request = client.get(format!("http://{address}{path}")).bearer_auth(token);
        let answer = request.send().await.expect("an answer");
        let headers = format!("{:?}", answer.headers());
        (headers, answer.text().await.expect("text"))
    };
    let items = async |path: &str, name: &str| {
        let listed: Value = serde_json::from_str(&ask(path, token).await.1).expect("JSON");
        let all = listed["items"].as_array().expect("a list").iter().map(|item| item[name].clone());
        all.map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned)).collect::<Vec<_>>()
    };
    runtime.block_on(async {
        let numbers = items("/api/v1/outbox?limit=1000", "id").await;
        let keys = items("/api/v1/actions", "key").await;
        let references = items("/api/v1/references", "id").await;
        assert!(!numbers.is_empty() && !keys.is_empty() && !references.is_empty());
        let mut all = Vec::new();
        for route in ROUTES {
            let path = route.path.replace("{model}", "flights").replace("{version}", "1.0.0");
            let places = [("{number}", &numbers), ("{key}", &keys), ("{id}", &references)];
            let paths: Vec<String> = match places.into_iter().find(|(place, _)| path.contains(place)) {
                Some((place, names)) => names.iter().map(|name| path.replace(place, name)).collect(),
                None => vec![path],
            };
            let wrong = format!("{SECRET}WRONG");
            let first = paths.first().cloned();
            let asked = paths.into_iter().map(|path| (path, token));
            for (path, token) in asked.chain(first.map(|path| (path, wrong.as_str()))) {
                let (headers, text) = ask(&path, token).await;
                all.push((path, headers + &text));
            }
        }
        all
    })
}

/// The token of the message that asks for an approval.
fn approval_token(receiver: &Receiver, hook: &str) -> String {
    wait_for(PATIENCE, "people to be asked for an approval", || {
        let told = receiver.requests_to(hook).into_iter();
        let lines = told.filter_map(|request| request.json()["data"]["summary"].as_str().map(str::to_owned));
        lines.filter_map(|line| line.split_once("--token ").map(|(_, token)| token.to_owned())).next()
    })
}

#[test]
fn no_secret_and_no_raw_value_ever_comes_out() {
    let (folder, kafka, receiver) =
        (tempfile::tempdir().expect("a folder"), Kafka::shared(), Receiver::start());
    kafka.create_topic("canaries", 1);
    kafka.create_topic("canaries-refused", 1);
    receiver.always("/refusing", Reply::status(500));
    let token = format!("anchorwatch_{SECRET}TOKEN");
    let entry = crate::fixtures::token("canary", &token, &[anchorwatch::config::TokenScope::Read]);
    fs::write(folder.path().join("tokens.yaml"), json!([entry]).to_string()).expect("writable");
    let http = format!("127.0.0.1:{}", free_port());
    let config = configuration(folder.path(), kafka, &receiver, &http);
    let data = folder.path().join("data").display().to_string();
    flights::register(&folder.path().join("data"));
    let records = records();
    let count = records.len();
    flights::produce(kafka, "canaries", &records);
    let mut daemon = Daemon::spawn(&config, &http, &[]);
    daemon.wait_ready();
    wait_until(PATIENCE, "everything to be read", || {
        daemon.metric("anchorwatch_records_read_total") == Some(count as f64)
    });
    let hook = format!("/hook?token={SECRET}QUERY");
    let told = receiver.wait_for_requests(&hook, 3, PATIENCE);
    receiver.wait_for_requests("/refusing", 2, PATIENCE);
    wait_until(PATIENCE, "the dead letters", || kafka.read_all("canaries-refused").len() >= 8);

    let approval = approval_token(&receiver, &hook);
    let answers = answers(&http, &token);
    let waits = |(path, text): &&(String, String)| path.contains("/outbox/") && text.contains("--token ***");
    assert!(answers.iter().any(|answer| waits(&answer)), "the message waits for a dead target, and is shown");
    for (path, text) in &answers {
        assert!(!text.contains(&approval), "the approval token came out in {path}");
    }
    let windows = answers.iter().find(|(path, _)| path == "/api/v1/windows").expect("windows");
    assert!(windows.1.contains("of the reference"), "categories moved, by place: {}", windows.1);
    let names = carriers();
    assert!(names.len() > 5 && names.iter().all(|name| !windows.1.contains(&format!("\"bin\":\"{name}\""))));
    answers.iter().for_each(|(path, text)| search(path, text));
    for request in &told {
        search("a webhook", &String::from_utf8_lossy(&request.body));
    }
    for pointer in kafka.read_all("canaries-refused") {
        search("a dead letter", &String::from_utf8_lossy(&pointer.value));
        search("a dead letter", &format!("{:?} {:?}", pointer.key, pointer.headers));
    }
    files(&folder.path().join("data"))
        .iter()
        .for_each(|(path, text)| search(&path.display().to_string(), text));
    only_the_owner_reads(&folder.path().join("data"));
    assert!(daemon.terminate().success());
    search("standard error", &daemon.stderr());
    assert!(!daemon.stderr().contains(&approval), "the approval token came out in the log");
    let offline =
        flights::succeeds(&["--data-dir", &data, "outbox", "--offline", "list", "--output", "json"]);
    let listed: Value = serde_json::from_str(&offline).expect("JSON");
    for row in listed["items"].as_array().expect("a list") {
        let show = ["--data-dir", &data, "outbox", "--offline", "show", &row["id"].to_string()];
        assert!(!flights::succeeds(&show).contains(&approval), "the approval token came out in {row}");
    }
    search("standard output", &daemon.stdout());
    let printed = flights::succeeds(&["check", "--print", &config.display().to_string()]);
    search("the printed configuration", &printed);
    files(&folder.path().join("data"))
        .iter()
        .for_each(|(path, text)| search(&path.display().to_string(), text));
}
