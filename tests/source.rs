//! The edge to Kafka on a real broker: logs that are cut, topics that are made anew, partitions that are added, brokers
//! that die, producers that repeat themselves, and connections that must be encrypted or proven.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by saying what is wrong")]

#[path = "source/pauses.rs"]
mod pauses;
#[path = "faults/proxy.rs"]
mod proxy;
#[path = "source/silent.rs"]
mod silent;
#[path = "source/stalls.rs"]
mod stalls;
mod support;
#[path = "source/transactions.rs"]
mod transactions;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anchorwatch::store::Store;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use support::flights::{Produced, produce, succeeds};
use support::{Daemon, Kafka, Receiver, free_port, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
/// Noon of a day in the past.
const NOON: i64 = 1_700_049_600_000;

/// A folder with a configuration, and what belongs to it.
struct Place {
    folder: TempDir,
    http: String,
    config: Value,
}

impl Place {
    fn new(bootstrap: &str, topic: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let http = format!("127.0.0.1:{}", free_port());
        let config = json!({
            "data_dir": folder.path().join("data"),
            "kafka": {"bootstrap": bootstrap, "topics": [topic], "group": topic, "statistics_every": "1s"},
            "windows": {"pane": "1m", "horizons": [{"length": "5m", "every": "1m"}], "min_rows": 10,
                        "lateness": "1m", "idle_after": "1h"},
            "http": {"listen": http},
            "checkpoint": {"every": "200ms"},
        });
        let place = Self { folder, http, config };
        place.register();
        place
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a writable folder");
        path
    }

    fn register(&self) {
        let rows: String = (0..600).map(|i| format!("{}\n", i % 50)).collect();
        let baseline = self.file("baseline.csv", &format!("x\n{rows}"));
        let (data, baseline) = (self.data().display().to_string(), baseline.display().to_string());
        let model = ["reference", "create", "--model", "m", "--version", "1.0.0"];
        succeeds(&[&["--data-dir", &data], &model[..], &["--from", &baseline]].concat());
    }

    fn daemon(&self) -> Daemon {
        let config = self.file("anchorwatch.yaml", &self.config.to_string()); // JSON is YAML
        Daemon::spawn(&config, &self.http, &[])
    }

    fn audit(&self) -> Vec<(String, String, String)> {
        let store = Store::open(&self.data()).expect("the state file");
        let rows = store.audit(1_000).expect("the audit trail").into_iter().map(|entry| entry.row);
        rows.map(|row| (row.what, row.key, row.detail)).collect()
    }
}

fn event(i: i64, ts: i64) -> Value {
    json!({"id": format!("e{i}"), "model": "m", "version": "1.0.0", "ts": ts, "features": {"x": i % 50}})
}

/// Events of one second each from noon on.
fn events(range: std::ops::Range<i64>) -> Vec<Value> {
    range.map(|i| event(i, NOON + i * 1_000)).collect()
}

fn send(kafka: &Kafka, topic: &str, partition: i32, events: impl IntoIterator<Item = Value>) {
    let record = |event: Value| Produced { partition, value: Some(event.to_string().into_bytes()) };
    produce(kafka, topic, &events.into_iter().map(record).collect::<Vec<_>>());
}

fn law(daemon: &Daemon) -> Value {
    daemon.http_get("/api/v1/status").json()["law"].take()
}

#[track_caller]
fn wait_read(daemon: &Daemon, read: u64) -> Value {
    wait_until(PATIENCE, &format!("{read} records to be read"), || {
        daemon.try_get("/api/v1/status").is_some_and(|answer| answer.json()["law"]["read"] == read)
    });
    law(daemon)
}

fn stop(daemon: &mut Daemon) {
    assert_eq!(daemon.terminate().code(), Some(0), "{}", daemon.stderr());
}

#[track_caller]
fn wait_log(daemon: &Daemon, part: &str) {
    wait_until(PATIENCE, &format!("a log line with `{part}`"), || daemon.stderr().contains(part));
}

/// Coverage of the windows judged so far, by their end in minutes after noon, newest only.
fn coverage(daemon: &Daemon) -> Option<(i64, f64, String)> {
    let window = daemon.try_get("/api/v1/windows?model=m")?.json()["items"][0].take();
    let end = (window["end"].as_i64()? - NOON) / 60_000;
    Some((end, window["coverage"].as_f64()?, window["level"].as_str()?.to_owned()))
}

#[test]
fn records_that_were_deleted_before_they_were_read_are_a_gap_that_windows_and_people_learn_of() {
    let kafka = Kafka::shared();
    let receiver = Receiver::start();
    kafka.create_topic("cut", 1);
    let mut place = Place::new(kafka.bootstrap(), "cut");
    place.config["sinks"] =
        json!([{"name": "hook", "type": "webhook", "url": receiver.url("/hook"), "kinds": ["operation"]}]);
    let mut daemon = place.daemon();
    daemon.wait_ready();
    send(kafka, "cut", 0, events(0..600));
    wait_read(&daemon, 600);
    wait_until(PATIENCE, "a whole window", || coverage(&daemon).is_some_and(|(end, ..)| end == 8));
    assert_eq!(coverage(&daemon).map(|(_, share, _)| share), Some(1.0));
    stop(&mut daemon);
    // Ten to fifteen minutes after noon are gone.
    send(kafka, "cut", 0, events(600..900));
    kafka.delete_records("cut", 0, 900);
    send(kafka, "cut", 0, events(900..960));
    let mut daemon = place.daemon();
    assert_eq!(wait_read(&daemon, 660)["counted"], 660);
    wait_until(PATIENCE, "windows over the gap", || coverage(&daemon).is_some_and(|(end, ..)| end == 14));
    let (_, share, level) = coverage(&daemon).expect("a window");
    assert!(share == 0.0 && level == "insufficient", "{share} {level}");
    let told = receiver.wait_for_requests("/hook", 1, PATIENCE);
    let body = String::from_utf8_lossy(&told[0].body).into_owned();
    assert!(body.contains("cut/0") && body.contains("missing"), "{body}");
    // Windows that begin behind the gap are whole again.
    send(kafka, "cut", 0, events(960..1_500));
    wait_read(&daemon, 1_200);
    wait_until(PATIENCE, "windows behind the gap", || coverage(&daemon).is_some_and(|(end, ..)| end == 23));
    assert_eq!(coverage(&daemon).map(|(_, share, _)| share), Some(1.0));
    let told = receiver.wait_for_requests("/hook", 2, PATIENCE);
    assert!(String::from_utf8_lossy(&told[1].body).contains("over"), "the trouble is over");
    stop(&mut daemon);
    let gaps: Vec<_> = place.audit().into_iter().filter(|(what, ..)| what == "offset_gap").collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(
        gaps[0].1 == "cut/0" && gaps[0].2.contains("offset 600") && gaps[0].2.contains("900"),
        "{gaps:?}"
    );
}

#[test]
fn a_topic_made_anew_while_the_daemon_was_down_is_known_by_its_records() {
    let kafka = Kafka::shared();
    kafka.create_topic("anew", 1);
    let place = Place::new(kafka.bootstrap(), "anew");
    let mut daemon = place.daemon();
    daemon.wait_ready();
    send(kafka, "anew", 0, events(0..100));
    wait_read(&daemon, 100);
    stop(&mut daemon);
    kafka.delete_topic("anew");
    kafka.create_topic("anew", 1);
    // Longer than before, so that only the records themselves give it away.
    send(kafka, "anew", 0, (0..150).map(|i| event(i + 7, NOON + 200_000 + i * 1_000)));
    let mut daemon = place.daemon();
    assert_eq!(wait_read(&daemon, 250)["counted"], 250);
    stop(&mut daemon);
    let gaps: Vec<_> = place.audit().into_iter().filter(|(what, ..)| what == "offset_gap").collect();
    assert!(gaps.len() == 1 && gaps[0].2.contains("another record"), "{gaps:?}");
    // It goes on from there as if nothing had been.
    let mut daemon = place.daemon();
    send(kafka, "anew", 0, (0..10).map(|i| event(i, NOON + 400_000)));
    assert_eq!(wait_read(&daemon, 260)["counted"], 260);
    stop(&mut daemon);
}

#[test]
fn a_topic_made_anew_under_the_running_daemon_is_read_from_its_beginning() {
    let kafka = Kafka::shared();
    kafka.create_topic("live", 1);
    let place = Place::new(kafka.bootstrap(), "live");
    let mut daemon = place.daemon();
    daemon.wait_ready();
    send(kafka, "live", 0, events(0..100));
    wait_read(&daemon, 100);
    kafka.delete_topic("live");
    kafka.create_topic("live", 1);
    send(kafka, "live", 0, (0..30).map(|i| event(i + 7, NOON + 200_000 + i * 1_000)));
    assert_eq!(wait_read(&daemon, 130)["counted"], 130);
    send(kafka, "live", 0, (30..150).map(|i| event(i + 7, NOON + 200_000 + i * 1_000)));
    assert_eq!(wait_read(&daemon, 250)["counted"], 250);
    stop(&mut daemon);
    let gaps = place.audit().into_iter().filter(|(what, ..)| what == "offset_gap").count();
    assert_eq!(gaps, 1);
}

#[test]
fn a_log_that_ends_before_the_position_halts_if_people_are_to_decide() {
    let kafka = Kafka::shared();
    kafka.create_topic("short", 1);
    let mut place = Place::new(kafka.bootstrap(), "short");
    let mut daemon = place.daemon();
    daemon.wait_ready();
    send(kafka, "short", 0, events(0..100));
    wait_read(&daemon, 100);
    stop(&mut daemon);
    kafka.delete_topic("short");
    kafka.create_topic("short", 1);
    send(kafka, "short", 0, events(0..30));
    place.config["kafka"]["start"] = json!("halt");
    let mut daemon = place.daemon();
    assert_eq!(daemon.wait().code(), Some(1));
    assert!(daemon.stderr().contains("kafka.start is `halt`"), "{}", daemon.stderr());
    place.config["kafka"]["start"] = json!("earliest");
    let mut daemon = place.daemon();
    assert_eq!(wait_read(&daemon, 130)["read"], 130);
    stop(&mut daemon);
}

#[test]
fn partitions_added_later_are_read_from_their_first_record_even_where_the_start_is_latest() {
    let kafka = Kafka::shared();
    kafka.create_topic("grows", 1);
    send(kafka, "grows", 0, events(0..50));
    let mut place = Place::new(kafka.bootstrap(), "grows");
    place.config["kafka"]["start"] = json!("latest");
    let mut daemon = place.daemon();
    daemon.wait_ready();
    send(kafka, "grows", 0, events(50..60));
    wait_read(&daemon, 10);
    stop(&mut daemon);
    kafka.grow_topic("grows", 3);
    wait_until(PATIENCE, "three partitions", || kafka.offsets("grows").len() == 3);
    send(kafka, "grows", 1, events(60..80));
    send(kafka, "grows", 2, events(80..100));
    let mut daemon = place.daemon();
    assert_eq!(wait_read(&daemon, 50)["counted"], 50);
    stop(&mut daemon);
}

#[test]
fn a_broker_that_is_killed_and_comes_back_costs_nothing() {
    let kafka = Kafka::start();
    kafka.create_topic("killed", 2);
    let place = Place::new(kafka.bootstrap(), "killed");
    let mut daemon = place.daemon();
    daemon.wait_ready();
    for round in 0..2 {
        let from = i64::from(round) * 400;
        send(&kafka, "killed", 0, events(from..from + 200));
        send(&kafka, "killed", 1, events(from + 200..from + 400));
        kafka.kill();
        kafka.start_again();
    }
    send(&kafka, "killed", 0, events(800..900));
    assert_eq!(wait_read(&daemon, 900)["counted"], 900);
    stop(&mut daemon);
    assert_eq!(place.audit(), [], "no gap");
}

#[test]
fn events_produced_twice_count_once_across_a_restart() {
    let kafka = Kafka::shared();
    kafka.create_topic("twice", 1);
    let mut place = Place::new(kafka.bootstrap(), "twice");
    place.config["events"] = json!({"dedup": {"last": 150}});
    let mut daemon = place.daemon();
    daemon.wait_ready();
    send(kafka, "twice", 0, events(0..100));
    send(kafka, "twice", 0, events(90..100));
    assert_eq!(wait_read(&daemon, 110)["duplicate"], 10);
    daemon.kill_9();
    // Ids 0 to 49 stand 110 offsets back, within reach; the set itself died with the process.
    send(kafka, "twice", 0, events(0..50));
    let mut daemon = place.daemon();
    let law = wait_read(&daemon, 160);
    assert_eq!((&law["counted"], &law["duplicate"]), (&json!(100), &json!(60)));
    // Out of reach it is another event.
    send(kafka, "twice", 0, events(1_000..1_200));
    send(kafka, "twice", 0, [event(60, NOON + 1_199_000)]);
    let law = wait_read(&daemon, 361);
    assert_eq!((&law["counted"], &law["duplicate"]), (&json!(301), &json!(60)));
    stop(&mut daemon);
}

#[test]
fn two_daemons_never_count_into_one_folder() {
    let kafka = Kafka::shared();
    kafka.create_topic("one-folder", 1);
    let mut place = Place::new(kafka.bootstrap(), "one-folder");
    let mut daemon = place.daemon();
    daemon.wait_ready();
    place.config["http"]["listen"] = json!(format!("127.0.0.1:{}", free_port()));
    let config = place.file("second.yaml", &place.config.to_string());
    let mut second = Daemon::spawn(&config, &place.http, &[]);
    assert_eq!(second.wait().code(), Some(1));
    assert!(
        second.stderr().contains("another daemon") && second.stderr().contains("data_dir"),
        "{}",
        second.stderr()
    );
    send(kafka, "one-folder", 0, events(0..10));
    wait_read(&daemon, 10);
    stop(&mut daemon);
}

/// A certificate authority with certificates for a broker and a client, as PEM files.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("written");
        write("ca.pem", authority.pem());
        for (name, usage) in
            [("broker", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let key = KeyPair::generate().expect("a key");
            let mut params =
                CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("names");
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.extended_key_usages = vec![usage];
            let certificate = params.signed_by(&key, &authority).expect("a certificate");
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
            write(&format!("{name}-both.pem"), key.serialize_pem() + &certificate.pem());
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A broker with three more listeners: SCRAM, bearer tokens, and certificates of both sides.
fn guarded(certificates: &Certificates) -> (Kafka, [u16; 3]) {
    let [scram, oauth, mtls] = [free_port(), free_port(), free_port()];
    let validator = "org.apache.kafka.common.security.oauthbearer.internals.unsecured.\
                     OAuthBearerUnsecuredValidatorCallbackHandler";
    let properties = format!(
        "listeners=PLAINTEXT://127.0.0.1:@BROKER@,CONTROLLER://127.0.0.1:@CONTROLLER@,SCRAM://127.0.0.1:{scram},\
         OAUTH://127.0.0.1:{oauth},MTLS://127.0.0.1:{mtls}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:@BROKER@,SCRAM://127.0.0.1:{scram},OAUTH://127.0.0.1:{oauth},\
         MTLS://127.0.0.1:{mtls}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_PLAINTEXT,\
         OAUTH:SASL_PLAINTEXT,MTLS:SSL\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512\n\
         listener.name.scram.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER\n\
         listener.name.oauth.oauthbearer.sasl.jaas.config=\
         org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
         unsecuredLoginStringClaim_sub=\"broker\";\n\
         listener.name.oauth.oauthbearer.sasl.server.callback.handler.class={validator}\n\
         listener.name.mtls.ssl.client.auth=required\n\
         listener.name.mtls.ssl.keystore.type=PEM\n\
         listener.name.mtls.ssl.keystore.location={}\n\
         listener.name.mtls.ssl.truststore.type=PEM\n\
         listener.name.mtls.ssl.truststore.location={}\n",
        certificates.path("broker-both.pem").display(),
        certificates.path("ca.pem").display(),
    );
    let users = ["--add-scram", "SCRAM-SHA-512=[name=watch,password=the right one]"];
    (Kafka::start_with(&properties, &users), [scram, oauth, mtls])
}

/// A token as an identity provider would sign it, but unsigned.
fn token(subject: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let now = anchorwatch::app::wall_clock() / 1_000;
    let claims = json!({"sub": subject, "iat": now - 10, "exp": now + 3_600});
    format!("{}.{}.", part(json!({"alg": "none"})), part(claims))
}

fn reads_all(place: &Place, count: u64) {
    let mut daemon = place.daemon();
    assert_eq!(wait_read(&daemon, count)["counted"], count);
    stop(&mut daemon);
}

fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn secret_file(path: &Path, text: &str) -> Value {
    fs::write(path, text).expect("a writable folder");
    json!({ "file": path })
}

#[test]
fn passwords_tokens_and_certificates_open_a_guarded_broker_and_a_wrong_password_is_told() {
    let certificates = Certificates::new();
    let (kafka, [scram, oauth, mtls]) = guarded(&certificates);
    kafka.create_topic("guarded", 1);
    send(&kafka, "guarded", 0, events(0..50));

    let mut place = Place::new(&at(scram), "guarded");
    let password = place.folder.path().join("password");
    place.config["kafka"]["sasl"] = json!({"mechanism": "SCRAM-SHA-512", "username": "watch",
        "password": secret_file(&password, "a wrong one")});
    let mut daemon = place.daemon();
    wait_log(&daemon, "check kafka.sasl");
    wait_until(PATIENCE, "the wrong password to be counted", || {
        daemon
            .metric("anchorwatch_broker_errors_total{kind=\"Authentication\"}")
            .is_some_and(|errors| errors > 0.0)
    });
    assert_eq!(daemon.http_get("/livez").status, 200, "it waits and tries again");
    assert_eq!(daemon.http_get("/readyz").status, 503);
    assert!(!daemon.stderr().contains("a wrong one"), "secrets are not for logs");
    stop(&mut daemon);
    fs::write(&password, "the right one").expect("a writable folder");
    reads_all(&place, 50);

    let mut place = Place::new(&at(oauth), "guarded");
    let file = place.file("token", &token("watch"));
    place.config["kafka"]["sasl"] = json!({"mechanism": "OAUTHBEARER", "token_file": file});
    reads_all(&place, 50);

    let mut place = Place::new(&at(mtls), "guarded");
    place.config["kafka"]["tls"] = json!({"ca_file": certificates.path("ca.pem")});
    let mut daemon = place.daemon();
    wait_log(&daemon, "check kafka.tls");
    stop(&mut daemon);
    place.config["kafka"]["tls"] = json!({"ca_file": certificates.path("ca.pem"),
        "certificate_file": certificates.path("client.pem"), "key_file": certificates.path("client.key")});
    reads_all(&place, 50);
}
