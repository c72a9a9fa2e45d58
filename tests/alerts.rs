//! Alerts as people meet them: listed, acknowledged, silenced and routed from the command line and over the API of a
//! running daemon, and none of it forgotten when that is killed.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use support::flights::{Produced, anchorwatch, produce, succeeds};
use support::{Daemon, Kafka, Receiver, free_port, http, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
/// Noon of a day in the past.
const NOON: i64 = 1_700_049_600_000;
const TOPIC: &str = "told";

struct Place {
    folder: TempDir,
    http: String,
    receiver: Receiver,
    kafka: Kafka,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let http = format!("127.0.0.1:{}", free_port());
        let place = Self { folder, http, receiver: Receiver::start(), kafka: Kafka::start() };
        place.kafka.create_topic(TOPIC, 1);
        place.register();
        place
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a writable folder");
        path
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn config(&self) -> PathBuf {
        let sink = |name: &str| json!({"name": name, "type": "webhook", "url": self.receiver.url(&format!("/{name}"))});
        let config = json!({
            "data_dir": self.data(),
            "kafka": {"bootstrap": self.kafka.bootstrap(), "topics": [TOPIC], "group": TOPIC},
            "windows": {"pane": "1m", "horizons": [{"length": "5m", "every": "1m"}], "min_rows": 100,
                        "lateness": "1m", "idle_after": "1h"},
            "monitor": {"untimed": "classical"},
            "alerts": {
                "labels": [{"matchers": ["model=m"], "set": {"team": "payments"}}],
                "route": {"sinks": ["ops"], "group_by": ["model", "version", "kind", "feature"],
                          "repeat_interval": "10m",
                          "routes": [{"matchers": ["team=payments", "feature=z"], "sinks": ["payments"]}]},
                "runbooks": [{"url": "https://wiki.example.com/{kind}/{feature}"}]
            },
            "sinks": [sink("ops"), sink("payments")],
            "http": {"listen": self.http},
            "checkpoint": {"every": "200ms"},
        });
        self.file("anchorwatch.yaml", &config.to_string()) // JSON is YAML
    }

    /// Registers model `m` with the texts `x`, `y` and `z`.
    fn register(&self) {
        let rows: String = (0..600).map(|i| format!("{0},{0},{0}\n", letter(i))).collect();
        let baseline = self.file("baseline.csv", &format!("x,y,z\n{rows}")).display().to_string();
        let model = ["reference", "create", "--model", "m", "--version", "1.0.0"];
        succeeds(&[&["--data-dir", &self.data()], &model[..], &["--from", &baseline]].concat());
    }

    /// Minutes `[from, to)` of traffic in which the named columns have one value only.
    fn send(&self, minutes: std::ops::Range<i64>, drifted: &str) {
        let value = |column: &str, i: i64| if drifted.contains(column) { "a" } else { letter(i) };
        let record = |i: i64| {
            let event = json!({"model": "m", "version": "1.0.0", "ts": NOON + i * 1_000,
                "features": {"x": value("x", i), "y": value("y", i), "z": value("z", i)}});
            Produced { partition: 0, value: Some(event.to_string().into_bytes()) }
        };
        produce(&self.kafka, TOPIC, &(minutes.start * 60..minutes.end * 60).map(record).collect::<Vec<_>>());
    }

    fn daemon(&self) -> Daemon {
        let mut daemon = Daemon::spawn(&self.config(), &self.http, &[]);
        daemon.wait_ready();
        daemon
    }

    fn args<'a>(url: &'a str, args: &[&'a str]) -> Vec<&'a str> {
        [&["alerts"], args, &["--url", url]].concat()
    }

    /// `anchorwatch alerts ARGS…` against the daemon.
    #[track_caller]
    fn alerts(&self, args: &[&str]) -> String {
        succeeds(&Self::args(&format!("http://{}", self.http), args))
    }

    /// The same where it is refused.
    #[track_caller]
    fn refused(&self, args: &[&str]) -> String {
        let output = anchorwatch(&Self::args(&format!("http://{}", self.http), args));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        told
    }

    /// State of each alert by column.
    fn states(&self) -> Vec<(String, String)> {
        let listed: Value = serde_json::from_str(&self.alerts(&["list", "--output", "json"])).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let mut states: Vec<_> = listed
            .as_array()
            .expect("a list")
            .iter()
            .map(|alert| (text(&alert["column"]), text(&alert["state"])))
            .collect();
        states.sort();
        states
    }

    #[track_caller]
    fn wait_states(&self, expected: &[(&str, &str)]) {
        let expected: Vec<(String, String)> =
            expected.iter().map(|(column, state)| ((*column).to_owned(), (*state).to_owned())).collect();
        let mut found = Vec::new();
        wait_until(PATIENCE, &format!("{expected:?}"), || {
            found = self.states();
            found == expected
        });
    }

    /// Transitions told to a sink, with the column that was told.
    fn told(&self, sink: &str) -> Vec<(String, String)> {
        let line = |request: &support::Request| {
            let data = request.json()["data"].take();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&data["transition"]), text(&data["findings"][0]["column"]))
        };
        self.receiver.requests_to(&format!("/{sink}")).iter().map(line).collect()
    }
}

fn letter(i: i64) -> &'static str {
    ["a", "b", "c"][i as usize % 3]
}

fn pair(a: &str, b: &str) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn alerts_are_listed_acknowledged_and_silenced_and_a_killed_daemon_forgets_none_of_it() {
    let place = Place::new();
    let mut daemon = place.daemon();
    let silenced = place.alerts(&["silence", "add", "feature=y", "--for", "2h", "--comment", "a backfill"]);
    assert_eq!(silenced, "silenced as s1\n");
    place.send(0..15, "");
    place.send(15..25, "xyz");
    let firing = [("x", "firing"), ("y", "firing"), ("z", "firing")];
    place.wait_states(&firing);
    place.receiver.wait_for_requests("/ops", 1, PATIENCE);
    place.receiver.wait_for_requests("/payments", 1, PATIENCE);
    assert_eq!(place.told("ops"), [pair("firing", "x")], "`y` is silenced");
    assert_eq!(place.told("payments"), [pair("firing", "z")]);
    let body = place.receiver.requests_to("/ops")[0].json();
    assert_eq!(body["data"]["runbook"], "https://wiki.example.com/drift/x");
    assert_eq!(body["data"]["labels"], json!({"team": "payments"}));

    let shown = place.alerts(&["show", "feature=y"]);
    assert!(shown.contains("silence: s1") && shown.contains("team=\"payments\""), "{shown}");
    assert!(place.refused(&["acknowledge", "drift"]).contains("names 3 groups"));
    assert!(place.refused(&["acknowledge", "feature=w"]).contains("alerts list"));
    place.alerts(&["acknowledge", "feature=x", "--comment", "on it"]);
    assert!(place.refused(&["acknowledge", "feature=x"]).contains("`local` has acknowledged it already"));
    daemon.kill_9();
    drop(daemon);

    // What was answered is durable: the next process knows it, and repeats only what nobody took on.
    let mut daemon = place.daemon();
    let known = [("x", "acknowledged"), ("y", "firing"), ("z", "firing")];
    place.wait_states(&known);
    let gauge = r#"anchorwatch_alerts_active{kind="drift",model="m",state="acknowledged",version="1.0.0"}"#;
    wait_until(PATIENCE, "the gauge", || daemon.metric(gauge) == Some(1.0));
    place.send(25..31, "xyz");
    wait_until(PATIENCE, "a repeat", || place.told("payments").len() == 2);
    assert_eq!(place.told("payments")[1], pair("repeated", "z"));
    assert_eq!(place.told("ops"), [pair("firing", "x")]);
    let held =
        |reason: &str| daemon.metric(&format!(r#"anchorwatch_alerts_suppressed_total{{reason="{reason}"}}"#));
    assert_eq!(held("acknowledged"), Some(1.0));

    assert!(place.alerts(&["silence", "list"]).contains("a backfill"));
    assert!(place.refused(&["silence", "expire", "s9"]).contains("no silence `s9`"));
    place.alerts(&["silence", "expire", "s1"]);
    assert!(place.refused(&["silence", "expire", "s1"]).contains("is over already"));
    assert!(!place.alerts(&["silence", "list"]).contains("s1"));
    place.send(31..33, "xyz");
    wait_until(PATIENCE, "`y` to be told after its silence", || {
        place.told("ops").contains(&pair("firing", "y"))
    });
    place.send(33..50, "");
    let over = [("x", "resolved"), ("y", "resolved"), ("z", "resolved")];
    place.wait_states(&over);
    wait_until(PATIENCE, "two resolves", || {
        place.told("ops").iter().filter(|(transition, _)| transition == "resolved").count() == 2
    });
    assert!(daemon.terminate().success(), "{}", daemon.stderr());
}

#[test]
fn a_bad_order_changes_nothing_and_says_what_to_do() {
    let place = Place::new();
    let mut daemon = place.daemon();
    let refused = |path: &str, body: &str, status: u16| {
        let answer = http::post(&place.http, path, body).expect("an answer");
        assert_eq!(answer.status, status, "{}", answer.body);
        let said = answer.json();
        format!(
            "{}; {}",
            said["error"].as_str().unwrap_or_default(),
            said["hint"].as_str().unwrap_or_default()
        )
    };
    let silence = "/api/v1/silences";
    assert!(refused(silence, "{", 400).contains("openapi.json"));
    assert!(refused(silence, r#"{"matchers": ["model=m"]}"#, 400).contains("`ends_at` or `duration`"));
    assert!(refused(silence, r#"{"matchers": ["model"], "duration": "1h"}"#, 400).contains("kind=drift"));
    assert!(refused(silence, r#"{"matchers": [], "duration": "1h"}"#, 400).contains("every alert"));
    assert!(refused(silence, r#"{"matchers": ["a=b"], "duration": "soon"}"#, 400).contains("`2h`"));
    assert!(refused(silence, r#"{"matcher": ["a=b"]}"#, 400).contains("matcher"));
    assert!(refused("/api/v1/alerts/acknowledge", r#"{"group": "g"}"#, 404).contains("no firing group `g`"));
    let listed = http::get(&place.http, "/api/v1/silences").expect("an answer").json();
    assert_eq!(listed["total"], 0);
    assert!(place.refused(&["list", "--state", "burning"]).contains("is not an alert state"));

    let file = place.config().display().to_string();
    let route = succeeds(&["alerts", "route", "model=m", "feature=z", "--config", &file]);
    assert!(route.contains("tells       payments") && route.contains("alerts.route.routes[0]"), "{route}");
    assert!(daemon.terminate().success(), "{}", daemon.stderr());
    let told = place.refused(&["list"]);
    assert!(told.contains("is the daemon running there?"), "{told}");
}
