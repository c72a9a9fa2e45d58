//! Retraining and rollback on a real Kafka with a real receiver: asked, approved, refused, stopped, confirmed, and held
//! when nobody knows. What each guard does is shown beside it, in `src/action`.
#![expect(clippy::expect_used, reason = "a test fails by saying what is wrong")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::flights::{self, Produced};
use support::{Daemon, Kafka, Receiver, Reply, Request, free_port, http, wait_for, wait_until};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
/// Events of one second.
const RATE: i64 = 40;

#[expect(clippy::disallowed_methods, reason = "the age of evidence is measured on the wall clock")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("small")
}

/// A model in production with an earlier version, its events, and a daemon that watches it.
struct Case {
    folder: TempDir,
    config: PathBuf,
    topic: String,
    receiver: Receiver,
    http: String,
    daemon: Daemon,
    /// Event time up to which events were produced.
    produced_to: i64,
}

impl Case {
    fn start(topic: &str, action: &Value, guards: &Value) -> Self {
        Self::with_tokens(topic, action, guards, &json!([]))
    }

    fn with_tokens(topic: &str, action: &Value, guards: &Value, tokens: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kafka = Kafka::shared();
        kafka.create_topic(topic, 1);
        let receiver = Receiver::start();
        let http = format!("127.0.0.1:{}", free_port());
        register(&folder);
        let mut own = json!({"url": receiver.url("/automation")});
        own.as_object_mut().expect("a mapping").extend(action.as_object().expect("a mapping").clone());
        let mut all = json!({"deploy_grace": "0s"});
        all.as_object_mut().expect("a mapping").extend(guards.as_object().expect("a mapping").clone());
        let config = json!({
            "data_dir": folder.path().join("data"),
            "kafka": {"bootstrap": kafka.bootstrap(), "topics": [topic], "group": topic},
            "windows": {"pane": "1s", "horizons": [{"length": "10s", "every": "1s"}], "lateness": "0s",
                        "idle_after": "1h", "min_rows": 50},
            "monitor": {"untimed": "classical"},
            "alerts": {"fire_after": 1, "of_last": 1, "clear_after": 3},
            "sinks": [{"name": "people", "type": "webhook", "url": receiver.url("/people")}],
            "actions": [own],
            "action_guards": all,
            "http": {"listen": http, "tokens": tokens},
            "checkpoint": {"every": "300ms"},
        });
        let path = folder.path().join("anchorwatch.yaml"); // JSON is YAML
        fs::write(&path, config.to_string()).expect("a writable folder");
        let mut daemon = Daemon::spawn(&path, &http, &[]);
        daemon.wait_ready();
        let produced_to = now() - 60_000;
        Self { folder, config: path, topic: topic.to_owned(), receiver, http, daemon, produced_to }
    }

    /// So many seconds of events, as the baseline or far from it.
    fn produce(&mut self, seconds: i64, drifted: bool) {
        let shift = if drifted { 40 } else { 0 };
        let events = (0..seconds * RATE).map(|index| {
            let ts = self.produced_to + index * 1_000 / RATE;
            let (x, y) = (index * 7 % 50 + shift, index * 11 % 50 + shift);
            let features = json!({"x": x, "y": y});
            let event = json!({"model": "m", "version": "1.0.0", "ts": ts, "features": features});
            Produced { partition: 0, value: Some(event.to_string().into_bytes()) }
        });
        flights::produce(Kafka::shared(), &self.topic, &events.collect::<Vec<_>>());
        self.produced_to += seconds * 1_000;
    }

    /// Events as the baseline for long enough, then drift of both columns.
    fn drift(&mut self) {
        self.produce(15, false);
        self.produce(8, true);
    }

    fn actions(&self) -> Value {
        self.daemon.http_get("/api/v1/actions").json()
    }

    /// Waits until the newest request is in this state.
    #[track_caller]
    fn wait_state(&self, state: &str) -> Value {
        wait_for(PATIENCE, &format!("an action that is {state}"), || {
            let newest = self.actions()["items"].get(0).cloned()?;
            (newest["state"] == state).then_some(newest)
        })
    }

    /// Waits until the delivery of the action is in this state.
    #[track_caller]
    fn wait_delivery(&self, state: &str) -> Value {
        wait_for(PATIENCE, &format!("a delivery that is {state}"), || {
            let page = self.daemon.http_get("/api/v1/outbox?target=automation").json();
            let newest = page["items"].get(0).cloned()?;
            (newest["state"] == state).then_some(newest)
        })
    }

    #[track_caller]
    fn wait_held(&self, guard: &str) {
        wait_until(PATIENCE, &format!("an action held by {guard}"), || {
            self.actions()["held"][0]["guard"] == guard
        });
    }

    /// What people were told of actions and of Anchorwatch itself.
    fn told(&self) -> Vec<String> {
        let lines = |request: Request| request.json()["data"]["summary"].as_str().map(str::to_owned);
        self.receiver.requests_to("/people").into_iter().filter_map(lines).collect()
    }

    #[track_caller]
    fn wait_told(&self, part: &str) -> String {
        wait_for(PATIENCE, &format!("people to be told `{part}`"), || {
            self.told().into_iter().find(|line| line.contains(part))
        })
    }

    fn asked(&self) -> Vec<Request> {
        self.receiver.requests_to("/automation")
    }

    /// `anchorwatch actions …`: whether it succeeded, and what it said.
    fn cli(&self, args: &[&str]) -> (bool, String) {
        let url = format!("http://{}", self.http);
        let output = flights::anchorwatch(&[&["actions", "--url", &url], args].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Key and token from the message that asked.
    fn key_and_token(&self) -> (String, String) {
        let line = self.wait_told("waits for approval");
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| {
            let at = words.iter().position(|found| *found == word).expect("in the message");
            words[at + 1].to_owned()
        };
        (after("approve"), after("--token"))
    }

    /// The trail holds, and says what was done; the token is nowhere but in the message.
    fn check_audit(&self, expected: &[&str], token: Option<&str>) {
        let data = self.folder.path().join("data").display().to_string();
        let told = flights::succeeds(&["--data-dir", &data, "audit", "verify"]);
        assert!(told.contains("rows holds"), "{told}");
        let head = flights::succeeds(&["--data-dir", &data, "audit", "head"]);
        let head = head.trim();
        flights::succeeds(&["--data-dir", &data, "audit", "verify", "--head", head]);
        let rows = flights::succeeds(&["--data-dir", &data, "audit", "export"]);
        let what: Vec<String> = rows
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["what"].clone())
            .map(|what| what.as_str().expect("a text").to_owned())
            .collect();
        for one in expected {
            assert!(what.iter().any(|found| found == one), "no {one} in {what:?}");
        }
        if let Some(token) = token {
            assert!(!rows.contains(token) && !self.daemon.stderr().contains(token), "the token leaked");
        }
    }
}

fn register(folder: &TempDir) {
    let data = folder.path().join("data").display().to_string();
    let rows: String = (0..2_000).map(|i| format!("{},{}\n", i * 7 % 50, i * 11 % 50)).collect();
    let file = folder.path().join("baseline.csv");
    fs::write(&file, format!("x,y\n{rows}")).expect("a writable folder");
    let file = file.display().to_string();
    for version in ["0.9.0", "1.0.0"] {
        let model = ["--data-dir", &data, "reference", "create", "--model", "m", "--version", version];
        flights::succeeds(&[&model[..], &["--from", &file]].concat());
        flights::succeeds(&["--data-dir", &data, "model", "promote", "m", version]);
    }
}

fn retrain(mode: &str) -> Value {
    json!({"name": "automation", "kind": "retrain", "on": ["drift"], "mode": mode})
}

fn rollback(mode: &str) -> Value {
    json!({"name": "automation", "kind": "rollback", "on": ["drift"], "mode": mode})
}

#[test]
fn in_auto_mode_a_retraining_is_asked_once_and_its_callback_confirms_it() {
    let mut case = Case::start("auto", &retrain("auto"), &json!({}));
    case.drift();
    let action = case.wait_state("sent");
    let asked = case.asked();
    assert_eq!(
        (asked.len(), asked[0].header("idempotency-key")),
        (1, action["key"].as_str().expect("a key"))
    );
    case.wait_told("is asked of automation");

    let path = format!("/api/v1/actions/{}/outcome", action["key"].as_str().expect("a key"));
    let post = |body: &str| http::post(&case.http, &path, body).expect("an answer");
    assert_eq!(post(r#"{"outcome": "maybe"}"#).status, 400);
    assert_eq!(post(r#"{"outcome": "succeeded", "detail": "run 17"}"#).json()["state"], "confirmed");
    assert_eq!(post(r#"{"outcome": "succeeded"}"#).status, 409, "it is known already");
    case.wait_told("confirmed (local: run 17)");
    // The alert goes on: the action did not help, and people hear of it.
    case.produce(14, true);
    case.wait_told("ineffective");
    assert_eq!(case.asked().len(), 1);
    case.check_audit(&["retrain_sent", "action_delivered", "action_outcome", "action_ineffective"], None);
}

#[test]
fn a_rollback_is_approved_by_its_token_and_confirmed_by_the_registry() {
    let mut case = Case::start("approve", &rollback("approve"), &json!({}));
    case.drift();
    case.wait_state("waiting");
    let (key, token) = case.key_and_token();
    let (done, said) = case.cli(&["approve", &key, "--token", "0123456789abcdef0123456789abcdef"]);
    assert!(!done && said.contains("not the token of this request"), "{said}");
    assert!(case.asked().is_empty(), "nothing is sent before an approval");

    // While actions are suspended an approval is declined, and the request goes on waiting.
    assert!(case.cli(&["suspend", "--reason", "a freeze"]).0);
    let (done, said) = case.cli(&["approve", &key, "--token", &token]);
    assert!(!done && said.contains("held by suspended"), "{said}");
    let status = case.daemon.http_get("/api/v1/status").json();
    assert_eq!(status["actions_suspended"], "a freeze (by local)");
    case.wait_told("actions are suspended by local: a freeze");
    assert!(case.cli(&["list"]).1.starts_with("SUSPENDED: a freeze"));
    assert!(case.cli(&["resume"]).0);

    let (done, said) = case.cli(&["approve", &key, "--token", &token]);
    assert!(done && said.contains("approved by local"), "{said}");
    assert!(!case.cli(&["approve", &key, "--token", &token]).0, "a token is good once");
    case.wait_state("sent");
    let data = case.asked()[0].json()["data"].take();
    assert_eq!((&data["to_version"], &data["approved_by"]), (&json!("0.9.0"), &json!(["local"])));
    assert_eq!(case.asked().len(), 1);

    let folder = case.folder.path().join("data").display().to_string();
    flights::succeeds(&["--data-dir", &folder, "model", "promote", "m", "0.9.0", "--rollback"]);
    case.wait_told("confirmed (the registry shows it)");
    let expected = [
        "rollback_asked",
        "action_approval_declined",
        "actions_suspended",
        "action_approved",
        "action_confirmed",
    ];
    case.check_audit(&expected, Some(&token));
}

#[test]
fn a_request_that_nobody_approves_in_time_expires_and_one_that_is_refused_ends() {
    let mut case = Case::start("expire", &retrain("approve"), &json!({"approval_ttl": "2s"}));
    case.drift();
    let (key, token) = case.key_and_token();
    case.wait_state("expired");
    case.wait_told("expired (nobody approved it in time)");
    let (done, said) = case.cli(&["approve", &key, "--token", &token]);
    assert!(!done && said.contains("it is expired"), "{said}");

    let mut other = Case::start("refuse", &retrain("approve"), &json!({}));
    other.drift();
    let (key, token) = other.key_and_token();
    assert!(other.cli(&["refuse", &key, "--reason", "a known incident"]).0);
    assert!(!other.cli(&["approve", &key, "--token", &token]).0);
    let shown = other.cli(&["show", &key]).1;
    assert!(shown.contains("refused by local: a known incident"), "{shown}");
    assert!(case.asked().is_empty() && other.asked().is_empty());
    case.check_audit(&["retrain_asked", "action_expired"], Some(&token));
    other.check_audit(&["retrain_asked", "action_refused"], Some(&token));
}

#[test]
fn two_people_must_approve_where_two_are_asked_and_one_cannot_for_both() {
    let mut action = rollback("approve");
    action["approvals"] = json!(2);
    let people: Value = ["anna", "bert", "carl"]
        .iter()
        .map(|name| {
            let digest = Sha256::digest(token_of(name));
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let scopes = if *name == "carl" { json!(["read"]) } else { json!(["read", "approve"]) };
            json!({"name": name, "sha256": digest, "scopes": scopes})
        })
        .collect();
    let mut case = Case::with_tokens("two", &action, &json!({}), &people);
    case.drift();
    let (key, token) = case.key_and_token();
    let by = |name: &str| {
        let file = case.folder.path().join(name);
        fs::write(&file, token_of(name)).expect("a writable folder");
        let file = file.display().to_string();
        case.cli(&["--token-file", &file, "approve", &key, "--token", &token])
    };
    let (done, said) = by("carl");
    assert!(!done && said.contains("403"), "{said}");
    let (done, said) = by("anna");
    assert!(done && said.contains("approved by anna: 1 of 2"), "{said}");
    let (done, said) = by("anna");
    assert!(!done && said.contains("another person must"), "{said}");
    assert!(case.asked().is_empty());
    let (done, said) = by("bert");
    assert!(done && said.contains("approved by anna, bert"), "{said}");
    case.receiver.wait_for_requests("/automation", 1, PATIENCE);
    assert_eq!(case.asked()[0].json()["data"]["approved_by"], json!(["anna", "bert"]));
    let expected = ["action_approved_in_part", "action_approval_declined", "action_approved"];
    case.check_audit(&expected, Some(&token));
}

/// The bearer token of a person.
fn token_of(name: &str) -> String {
    format!("anchorwatch_{name}_0123456789abcdef0123456789abcdef")
}

#[test]
fn while_the_file_of_the_kill_switch_exists_nothing_is_started_or_sent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let switch = folder.path().join("STOP");
    fs::write(&switch, "").expect("a writable folder");
    let mut case = Case::start("switch", &retrain("auto"), &json!({"kill_switch_file": switch}));
    case.drift();
    case.wait_held("suspended");
    assert_eq!(case.daemon.metric("anchorwatch_actions_suspended"), Some(1.0));
    let held = "anchorwatch_actions_held_total{action=\"automation\",guard=\"suspended\"}";
    assert_eq!(case.daemon.metric(held), Some(1.0));
    case.wait_told("the file of the kill switch exists");

    // Without the file it is not lost; but the target is busy, and then the file is there again.
    case.receiver.always("/automation", Reply::retry_after(503, 0));
    fs::remove_file(&switch).expect("it exists");
    wait_until(PATIENCE, "the switch to be seen", || {
        case.daemon.metric("anchorwatch_actions_suspended") == Some(0.0)
    });
    case.produce(2, true);
    case.receiver.wait_for_requests("/automation", 1, PATIENCE);
    fs::write(&switch, "").expect("a writable folder");
    let refused = case.asked().len();
    case.receiver.always("/automation", Reply::ok());
    let action = case.wait_state("withdrawn");
    let detail = action["detail"].as_str().expect("a text");
    assert!(detail.contains("held at the last moment") && detail.contains("STOP exists"), "{detail}");
    assert!(case.asked().len() <= refused + 1, "a request under way may end");
    case.check_audit(
        &["actions_suspended", "retrain_held", "actions_resumed", "retrain_sent", "action_dead"],
        None,
    );
}

#[test]
fn an_action_of_which_nobody_knows_is_held_and_people_are_told_also_after_a_kill() {
    let mut case = Case::start("unknown", &retrain("auto"), &json!({}));
    case.receiver.always("/automation", Reply::Drop);
    case.drift();
    let action = case.wait_state("unknown");
    let key = action["key"].as_str().expect("a key").to_owned();
    case.wait_told("retrain of m 1.0.0: unknown (");
    case.wait_told("nobody knows whether automation took action");
    case.receiver.always("/automation", Reply::ok());

    case.daemon.kill_9();
    case.daemon = Daemon::spawn(&case.config, &case.http, &[]);
    case.daemon.wait_ready();
    case.wait_state("unknown");
    let (done, said) = case.cli(&["outcome", &key, "failed", "--detail", "looked"]);
    assert!(done && said.contains("failed (local: looked)"), "{said}");
    case.wait_told("failed (local: looked)");
    // The one word ends both: the request, and the delivery with the trouble that told of it.
    case.wait_delivery("dead");
    case.wait_told("over: nobody knows whether automation took action");
    assert_eq!(case.asked().len(), 1, "never sent again");
    case.check_audit(&["action_unknown", "action_outcome", "action_settled_not_taken"], None);
}

#[test]
fn what_was_said_about_an_unknown_delivery_also_without_a_daemon_lets_the_model_go() {
    for offline in [false, true] {
        let mut case = Case::start(&format!("settled-{offline}"), &retrain("auto"), &json!({}));
        case.receiver.always("/automation", Reply::Drop);
        case.drift();
        case.wait_state("unknown");
        let line = case.wait_told("nobody knows whether automation took action");
        let key = case.actions()["items"][0]["key"].as_str().expect("a key").to_owned();
        assert!(line.contains(&format!("`anchorwatch actions outcome {key} succeeded`")), "{line}");
        let id = case.wait_delivery("unknown")["id"].to_string();
        let (data, url) =
            (case.folder.path().join("data").display().to_string(), format!("http://{}", case.http));
        if offline {
            assert!(case.daemon.terminate().success());
            flights::succeeds(&["--data-dir", &data, "outbox", "--offline", "settle", &id, "--taken"]);
            case.daemon = Daemon::spawn(&case.config, &case.http, &[]);
            case.daemon.wait_ready();
        } else {
            flights::succeeds(&["--data-dir", &data, "outbox", "--url", &url, "settle", &id, "--taken"]);
        }
        let action = case.wait_state("sent");
        assert!(action["detail"].as_str().is_some_and(|why| why.starts_with("taken, says")), "{action}");
        case.wait_delivery("delivered");
        case.wait_told("over: nobody knows whether automation took action");
        assert!(case.cli(&["outcome", &key, "succeeded"]).0, "whether it was done is said as of any other");
        assert_eq!(case.asked().len(), 1, "never sent again");
        case.check_audit(&["action_unknown", "action_settled_taken", "action_outcome"], None);
    }
}
