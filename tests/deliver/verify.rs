//! The sample verifiers that we ship, in Python and in Go, judge requests that our own code signed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anchorwatch::deliver::{Attempt, Dialect, SigningKeys, Sink, Webhook};

use crate::fixtures::{SECRET, endpoint, told};
use crate::workers::unix_millis;

const NEW: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const STRANGER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/verify")
}

/// A request as it is sent with these keys at this time.
struct Signed {
    id: String,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
}

fn signed(keys: &str, at: i64) -> Signed {
    let keys = Some(SigningKeys::parse(keys).expect("keys"));
    let sink = Sink::Webhook(Webhook { url: endpoint("https://hooks.example.com/"), keys, template: None });
    let request = sink.request(&told("k-1", "g"), Attempt { number: 1, at }).expect("a request");
    let header = |name: &str| {
        let found = request.headers.iter().find(|(header, _)| *header == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    Signed { id, timestamp, signature: header("webhook-signature"), body: request.body }
}

/// Whether a verifier that holds these secrets accepts the request.
fn accepts(verifier: &[String], secrets: &str, request: &Signed) -> bool {
    let mut child = Command::new(&verifier[0])
        .args(&verifier[1..])
        .args([secrets, &request.id, &request.timestamp, &request.signature])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{}: {error}: install it to test deploy/examples/verify", verifier[0])
        });
    // A verifier that refuses before it has read everything is right to do so.
    _ = child.stdin.take().expect("its input").write_all(&request.body);
    child.wait().expect("an end").code() == Some(0)
}

fn judge(verifier: &[String]) {
    let now = unix_millis();
    let rotating = signed(&format!("{NEW} {SECRET}"), now);
    for secrets in [SECRET, NEW, &format!("{NEW} {SECRET}")] {
        assert!(accepts(verifier, secrets, &rotating), "{verifier:?} holds {secrets}");
    }
    assert!(!accepts(verifier, STRANGER, &rotating), "a wrong key");
    assert!(!accepts(verifier, NEW, &signed(SECRET, now)), "only the former key signed");
    let mut changed = signed(SECRET, now);
    changed.body[10] ^= 1;
    assert!(!accepts(verifier, SECRET, &changed), "a changed body");
    for minutes in [-6, 6] {
        let stale = signed(SECRET, now + minutes * 60_000);
        assert!(!accepts(verifier, SECRET, &stale), "{minutes} minutes off");
    }
    let mut moved = signed(SECRET, now - 6 * 60_000);
    moved.timestamp = (now / 1_000).to_string();
    assert!(!accepts(verifier, SECRET, &moved), "an old request under a new timestamp");
    let mut renamed = signed(SECRET, now);
    renamed.id = "k-2".to_owned();
    assert!(!accepts(verifier, SECRET, &renamed), "another id");
}

#[test]
fn the_verifier_in_python_accepts_what_is_genuine_and_nothing_else() {
    let script = examples().join("python/verify_webhook.py").display().to_string();
    judge(&["python3".to_owned(), script]);
}

#[test]
fn the_verifier_in_go_accepts_what_is_genuine_and_nothing_else() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join("verify-go");
    let path = format!("{}:/usr/local/go/bin", std::env::var("PATH").unwrap_or_default());
    let built = Command::new("sh")
        .args(["-c", "go build -o \"$0\" ."])
        .arg(&program)
        .current_dir(examples().join("go"))
        .env("PATH", path)
        .env("GOCACHE", folder.join("go-cache"))
        .env("GOFLAGS", "-mod=mod")
        .env("CGO_ENABLED", "0")
        .status();
    let built = built.is_ok_and(|status| status.success());
    assert!(built, "go is needed to test deploy/examples/verify/go: install it");
    judge(&[program.display().to_string()]);
}
