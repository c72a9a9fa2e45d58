//! The daemon as a process: orders over its API and on its state file, secrets replaced under way.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anchorwatch::app::Stop;
use anchorwatch::store::{Store, StoreError};
use serde_json::{Value, json};

use crate::fixtures::{SECRET, decided, open, row, told};
use crate::support::{Daemon, Receiver, Reply, free_port, http, wait_until};
use crate::workers::{DEADLINE, folder};

const NEW: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A configuration without a broker that answers: deliveries do not need one.
fn configuration(folder: &Path, http: &str, receiver: &Receiver) -> PathBuf {
    std::fs::write(folder.join("secret"), SECRET).expect("a writable folder");
    let config = json!({
        "data_dir": folder.join("data"),
        "kafka": {"bootstrap": "127.0.0.1:1", "topics": ["predictions"]},
        "sinks": [{"name": "hook", "type": "webhook", "url": receiver.url("/hook"),
                   "secret": {"file": folder.join("secret")}}],
        "http": {"listen": http},
    });
    let path = folder.join("anchorwatch.yaml"); // JSON is YAML
    std::fs::write(&path, config.to_string()).expect("a writable folder");
    path
}

fn outbox(folder: &Path, args: &[&str]) -> Output {
    let data = folder.join("data");
    let output = Command::new(env!("CARGO_BIN_EXE_anchorwatch"))
        .args(["--data-dir", &data.display().to_string(), "outbox"])
        .args(args)
        .output();
    output.expect("the binary that cargo built runs")
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn hang_up(daemon: &Daemon) {
    let told = Command::new("sh").args(["-c", "kill -HUP \"$0\"", &daemon.pid().to_string()]).status();
    assert!(told.is_ok_and(|status| status.success()), "the daemon could not be told");
}

fn reloads(daemon: &Daemon, outcome: &str, count: f64) {
    let series = format!("anchorwatch_secret_reloads_total{{outcome=\"{outcome}\"}}");
    wait_until(DEADLINE, &format!("{count} reloads {outcome}"), || daemon.metric(&series) == Some(count));
}

#[test]
fn without_a_daemon_orders_work_on_the_state_file() {
    let folder = folder();
    let mut store = open(&folder.path().join("data"));
    store.apply(&decided([row("hook", told("k-1", "g"))])).expect("a checkpoint");
    drop(store);
    let listed = json_of(&outbox(folder.path(), &["--offline", "list", "--output", "json"]));
    assert_eq!(
        (&listed["items"][0]["key"], &listed["items"][0]["state"]),
        (&json!("k-1"), &json!("pending"))
    );
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let dropped = outbox(folder.path(), &["--url", &nobody, "drop", "1"]);
    assert!(
        dropped.status.success() && String::from_utf8_lossy(&dropped.stderr).contains("no daemon answers")
    );
    let shown = json_of(&outbox(folder.path(), &["--offline", "show", "1"]));
    assert_eq!((&shown["state"], &shown["payload"]["model"]), (&json!("expired"), &json!("flights")));
    let again = outbox(folder.path(), &["--offline", "drop", "1"]);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("nothing to drop"));
    let trail = open(&folder.path().join("data")).audit(1).expect("rows");
    assert_eq!(
        (trail[0].row.what.as_str(), trail[0].row.actor.as_str()),
        ("delivery_dropped", "local (offline)")
    );
}

#[test]
fn a_running_daemon_takes_orders_and_new_secrets_and_keeps_the_old_ones_if_the_new_are_bad() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.next("/hook", [Reply::status(404)]);
    let mut store = open(&folder.path().join("data"));
    store
        .apply(&decided([row("hook", told("k-1", "g")), row("hook", told("k-2", "h"))]))
        .expect("a checkpoint");
    drop(store);
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{address}");
    let daemon = Daemon::spawn(&configuration(folder.path(), &address, &receiver), &address, &[]);
    let state = |id: u32| {
        let answer = http::get(&address, &format!("/api/v1/outbox/{id}")).ok()?;
        answer.json()["state"].as_str().map(str::to_owned)
    };
    wait_until(DEADLINE, "one delivery and one refusal", || {
        let mut states = [state(1), state(2)];
        states.sort();
        states == [Some("dead".to_owned()), Some("delivered".to_owned())]
    });
    let dead = if state(1).as_deref() == Some("dead") { "1" } else { "2" };
    let page =
        json_of(&outbox(folder.path(), &["--url", &url, "list", "--state", "dead", "--output", "json"]));
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));

    std::fs::write(folder.path().join("secret"), "not a secret").expect("a writable folder");
    hang_up(&daemon);
    reloads(&daemon, "refused", 1.0);
    std::fs::write(folder.path().join("secret"), format!("{NEW} {SECRET}")).expect("a writable folder");
    hang_up(&daemon);
    reloads(&daemon, "done", 1.0);

    let retried = outbox(folder.path(), &["--url", &url, "retry", dead]);
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    let requests = receiver.wait_for_requests("/hook", 3, Duration::from_secs(30));
    let signatures: Vec<usize> =
        requests.iter().map(|request| request.header("webhook-signature").split(' ').count()).collect();
    assert_eq!(signatures, [1, 1, 2]);
    wait_until(DEADLINE, "the target to be well", || {
        daemon.metric("anchorwatch_target_down{target=\"hook\"}") == Some(0.0)
    });
    assert!(!daemon.stderr().contains("not a secret"), "a secret in the log");
}

#[test]
fn a_daemon_whose_state_thread_or_deliveries_ended_ends_and_says_so() {
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON outbox BEGIN SELECT RAISE(ABORT, 'no'); END";
    for (kill_thread, expected) in [(true, "nothing can be written"), (false, "deliveries cannot go on")] {
        let (folder, receiver) = (folder(), Receiver::start());
        let mut store = open(&folder.path().join("data"));
        store.apply(&decided([row("hook", told("k-1", "g"))])).expect("a checkpoint");
        if !kill_thread {
            assert!(store.attempting(1, 1).expect("durable"), "as if the process had ended now");
            let file = rusqlite::Connection::open(store.path()).expect("the file");
            file.execute(refuse, []).expect("a trigger");
        }
        drop(store);
        let address = format!("127.0.0.1:{}", free_port());
        let path = configuration(folder.path(), &address, &receiver);
        let text = std::fs::read_to_string(path).expect("readable");
        let config = anchorwatch::config::parse(&text, "test").expect("a configuration");
        let daemon = anchorwatch::app::start(&config, &Stop::default()).expect("a daemon");
        if kill_thread {
            let job = |_: &mut Store| -> Result<(), StoreError> { panic!("a job that fails on purpose") };
            assert!(daemon.store().call_blocking(job).is_err());
        }
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || ended.send(daemon.wait()));
        let why = end.recv_timeout(DEADLINE).expect("it ends").expect_err("with an error");
        assert!(format!("{why:#}").contains(expected), "{why:#}");
    }
}
