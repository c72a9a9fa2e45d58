//! The daemon's listeners as a user configures them, tokens included. No Kafka: an API answers without one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Daemon, flights, free_port, http, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

fn configuration(folder: &Path, http: &Value) -> std::path::PathBuf {
    let config = json!({
        "data_dir": folder.join("data"),
        "kafka": {"bootstrap": "127.0.0.1:9", "topics": ["predictions"]},
        "http": http,
    });
    let path = folder.join("anchorwatch.yaml"); // JSON is YAML
    fs::write(&path, config.to_string()).expect("a writable folder");
    path
}

/// GET with a token; gives status and body.
fn get(address: &str, path: &str, token: &str) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let request = reqwest::Client::new().get(format!("http://{address}{path}")).bearer_auth(token.trim());
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    })
}

fn wait_for_answers(daemon: &Daemon, address: &str) {
    wait_until(PATIENCE, "the daemon to answer", || {
        let _ = daemon;
        http::get(address, "/livez").is_ok_and(|answer| answer.status == 200)
    });
}

/// Makes a token as a user would; gives the token and its entry.
fn new_token(folder: &Path, name: &str, scopes: &str) -> (String, String) {
    let file = folder.join(format!("{name}.token"));
    let out =
        flights::succeeds(&["token", "new", name, "--scopes", scopes, "--out", &file.display().to_string()]);
    let token = fs::read_to_string(&file).expect("the token");
    assert!(!out.contains(token.trim()), "the token is in the file only");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).expect("the file").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let entry = out.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    (token, entry + "\n")
}

#[test]
fn an_address_that_others_can_reach_needs_protection_or_somebody_who_takes_the_blame() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = json!([{"name": "a", "sha256": "0".repeat(64), "scopes": ["read"]}]);
    let pem = folder.path().join("x.pem");
    fs::write(&pem, "").expect("writable");
    let tls = json!({"certificate_file": pem, "key_file": pem});
    let loopback = json!({"listen": "127.0.0.1:9"});
    for (settings, good) in [
        (json!({"listen": "0.0.0.0:9464"}), false),
        (json!({"listen": "[::]:9464", "tokens": token}), false),
        (json!({"listen": "0.0.0.0:9464", "tls": tls}), false),
        (json!({"listen": "0.0.0.0:9464", "tls": tls, "tokens": token}), false),
        (json!({"listen": "0.0.0.0:9464", "tls": tls, "tokens": token, "metrics_token": true}), true),
        (json!({"listen": "0.0.0.0:9464", "insecure_allow_remote": true}), true),
        (json!({"listen": "0.0.0.0:9464", "tls": tls, "tokens": token, "api": loopback}), false),
        (
            json!({"listen": "0.0.0.0:9464", "tls": tls, "tokens": token, "metrics_token": true, "api": loopback}),
            true,
        ),
        (json!({"api": {"listen": "0.0.0.0:9465"}, "insecure_allow_remote": true}), false),
        (json!({"api": {"listen": "0.0.0.0:9465"}, "tls": tls, "tokens": token}), true),
        (json!({"api": {"listen": "0.0.0.0:9465", "insecure_allow_remote": true}}), true),
        (json!({"listen": "0.0.0.0:9464", "insecure_allow_remote": true, "api": loopback}), true),
    ] {
        let path = configuration(folder.path(), &settings);
        let output = flights::anchorwatch(&["check", &path.display().to_string()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), good, "{settings}: {said}");
        assert!(good || said.contains("insecure_allow_remote: true") && said.contains("http.tls"), "{said}");
        if !good {
            let started = flights::anchorwatch(&["run", &path.display().to_string()]);
            assert_eq!(started.status.code(), Some(64), "{settings}");
        }
    }
}

#[test]
fn metrics_and_api_have_listeners_of_their_own_if_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let [metrics, api] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let path = configuration(folder.path(), &json!({"listen": metrics, "api": {"listen": api}}));
    let daemon = Daemon::spawn(&path, &metrics, &[]);
    wait_for_answers(&daemon, &metrics);
    let status = |address: &str, path: &str| http::get(address, path).expect("an answer").status;
    assert_eq!(
        (status(&metrics, "/metrics"), status(&metrics, "/api/v1/models"), status(&metrics, "/")),
        (200, 404, 404)
    );
    assert_eq!((status(&api, "/api/v1/models"), status(&api, "/"), status(&api, "/livez")), (200, 200, 200));
}

#[test]
fn tokens_are_made_used_counted_and_revoked_without_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("127.0.0.1:{}", free_port());
    let ((reader, entry), (other, other_entry)) = (
        new_token(folder.path(), "dashboards", "read"),
        new_token(folder.path(), "on-call", "silence,approve"),
    );
    let file = folder.path().join("tokens.yaml");
    fs::write(&file, entry + &other_entry).expect("writable");
    let path = configuration(folder.path(), &json!({"listen": address, "tokens_file": file}));
    let mut daemon = Daemon::spawn(&path, &address, &[]);
    wait_for_answers(&daemon, &address);
    assert_eq!(get(&address, "/api/v1/models", &reader).0, 200);
    let (status, body) = get(&address, "/api/v1/models", &other);
    assert!(status == 403 && body.contains("`on-call` lacks the scope `read`"), "{status} {body}");
    assert_eq!(get(&address, "/api/v1/models", "guessed").0, 401);
    let refused =
        |reason: &str| daemon.metric(&format!("anchorwatch_http_refused_total{{reason=\"{reason}\"}}"));
    assert_eq!((refused("forbidden"), refused("unauthorized")), (Some(1.0), Some(1.0)));

    fs::write(&file, &other_entry).expect("writable");
    let told = Command::new("sh").args(["-c", "kill -HUP \"$0\"", &daemon.pid().to_string()]).status();
    assert!(told.is_ok_and(|status| status.success()));
    wait_until(PATIENCE, "the token to be revoked", || get(&address, "/api/v1/models", &reader).0 == 401);
    assert!(daemon.terminate().success());
    let log = daemon.stderr();
    for token in [&reader, &other] {
        assert!(!log.contains(token.trim()), "{log}");
    }
    assert!(!log.contains("guessed"), "{log}");
}
