//! The same faults for Anchorwatch and for Debian's Alertmanager, side by side: what arrives, how often, how late.
//!
//! `cargo bench --bench reliability` writes the table of `benches/RESULTS.md`. Alertmanager is told what Prometheus
//! tells it; Anchorwatch reads records in which two models drift. Both tell the same kind of webhook.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench ends by saying what is wrong"
)]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

#[path = "../../../tests/faults/outcome.rs"]
#[allow(dead_code, reason = "the bench uses a part of it")]
mod outcome;
#[path = "../../../tests/support/mod.rs"]
mod support;
#[path = "../../../tests/faults/workload.rs"]
#[allow(dead_code, reason = "the bench uses a part of it")]
mod workload;
#[path = "../../../tests/faults/world.rs"]
#[allow(dead_code, reason = "the bench uses a part of it")]
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::{Alertmanager, Kafka, Receiver, Reply, http, wait_until};
use world::World;

const KILLS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a target refuses.
const OUTAGE: Duration = Duration::from_secs(40);

/// A line of the table.
struct Bar {
    what: String,
    peer: String,
    ours: String,
}

fn main() {
    let bars = [one_alert_many_kills(), accepted_then_killed(), refusing_target()];
    let mut table = String::from("| | Alertmanager | Anchorwatch |\n|---|---|---|\n");
    for Bar { what, peer, ours } in bars {
        table.push_str(&format!("| {what} | {peer} | {ours} |\n"));
    }
    println!("{table}");
    save(&table);
}

fn pause(time: Duration) {
    let begun = Instant::now();
    wait_until(time + PATIENCE, "time to pass", || begun.elapsed() >= time);
}

// --- Alertmanager ----------------------------------------------------------------------------------------------------

fn alertmanager(receiver: &Receiver, group_wait: &str) -> Alertmanager {
    Alertmanager::start_with(&json!({
        "route": {"receiver": "hook", "group_by": ["alertname"], "group_wait": group_wait, "group_interval": "1s",
                  "repeat_interval": "4h"},
        "receivers": [{"name": "hook", "webhook_configs": [{"url": receiver.url("/hook"), "send_resolved": false}]}],
    }))
}

/// What Prometheus posts for an alert that goes on, and posts again every minute or so.
fn post(alertmanager: &Alertmanager) {
    let alert =
        json!([{"labels": {"alertname": "drift", "model": "m0"}, "startsAt": "2026-01-05T01:00:00Z"}]);
    let posted = http::post(alertmanager.address(), "/api/v2/alerts", &alert.to_string()).expect("an answer");
    assert_eq!(posted.status, 200, "{}", posted.body);
}

// --- Anchorwatch -----------------------------------------------------------------------------------------------------

fn only_webhook(config: &mut Value) {
    let sinks = config["sinks"].as_array().expect("sinks").clone();
    config["sinks"] = sinks.into_iter().filter(|sink| sink["name"] == "webhook").collect();
    config["actions"] = json!([]);
}

/// How often each notification arrived.
fn times(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for request in receiver.requests_to("/webhook") {
        *times.entry(request.header("idempotency-key").to_owned()).or_default() += 1;
    }
    times
}

/// A daemon that has read a stream with drift in it.
fn anchorwatch<'k>(name: &str, kafka: &'k Kafka, reply: Reply) -> World<'k> {
    let mut world = World::new(name, kafka, only_webhook);
    world.receiver.always("/webhook", reply);
    world.start();
    let records = workload::stream();
    world.produce(&records);
    world.wait_read(records.len());
    world
}

// --- the bars --------------------------------------------------------------------------------------------------------

fn one_alert_many_kills() -> Bar {
    let receiver = Receiver::start();
    let peer = alertmanager(&receiver, "0s");
    post(&peer);
    receiver.wait_for_requests("/hook", 1, PATIENCE);
    for _ in 0..KILLS {
        peer.kill();
        peer.start_again();
        post(&peer);
        pause(Duration::from_secs(4));
    }
    let told = receiver.requests_to("/hook").len();

    let mut world = anchorwatch("bench-kills", Kafka::shared(), Reply::ok());
    world.settle();
    for _ in 0..KILLS {
        world.kill();
        world.start();
        pause(Duration::from_secs(4));
    }
    let times = times(&world.receiver);
    let most = times.values().max().copied().unwrap_or_default();
    Bar {
        what: format!("notifications of one lasting alert over {KILLS} × `kill -9`"),
        peer: format!("{told}"),
        ours: format!("{most} (most of {} notifications)", times.len()),
    }
}

fn accepted_then_killed() -> Bar {
    let receiver = Receiver::start();
    let peer = alertmanager(&receiver, "10s");
    post(&peer);
    pause(Duration::from_secs(1));
    peer.kill();
    peer.start_again();
    pause(Duration::from_secs(25));
    let told = receiver.requests_to("/hook").len();

    // Decided and durable, but nobody took it yet: then the power goes.
    let mut world = anchorwatch("bench-accepted", Kafka::shared(), Reply::Refuse);
    let decided = || {
        let outcome = outcome::Outcome::read(&world.data());
        outcome.outbox.len()
    };
    wait_until(PATIENCE, "decisions", || decided() > 0);
    world.kill();
    let before = outcome::Outcome::read(&world.data()).keys();
    world.receiver.always("/webhook", Reply::ok());
    let begun = Instant::now();
    world.start();
    wait_until(PATIENCE, "what was decided before", || {
        let told = times(&world.receiver);
        before.iter().all(|(key, _)| told.contains_key(key))
    });
    Bar {
        what: "alert accepted, then `kill -9` before it was told".to_owned(),
        peer: if told == 0 {
            "lost, until its sender repeats it".to_owned()
        } else {
            format!("told {told} times")
        },
        ours: format!(
            "all {} told, {:.1} s after the restart began",
            before.len(),
            begun.elapsed().as_secs_f64()
        ),
    }
}

fn refusing_target() -> Bar {
    let receiver = Receiver::start();
    let peer = alertmanager(&receiver, "0s");
    receiver.always("/hook", Reply::status(503));
    post(&peer);
    pause(OUTAGE);
    let tried = receiver.requests_to("/hook").len();
    receiver.always("/hook", Reply::ok());
    let begun = Instant::now();
    receiver.wait_for_requests("/hook", tried + 1, PATIENCE);
    let late = begun.elapsed().as_secs_f64();

    let world = anchorwatch("bench-refusing", Kafka::shared(), Reply::status(503));
    pause(OUTAGE);
    let ours_tried = world.receiver.requests_to("/webhook").len();
    world.receiver.always("/webhook", Reply::ok());
    let begun = Instant::now();
    wait_until(PATIENCE * 5, "everything to be told", || {
        let outcome = outcome::Outcome::read(&world.data());
        outcome.is_judged() && outcome.outbox.values().all(|row| row.state == "delivered")
    });
    let outcome = outcome::Outcome::read(&world.data());
    Bar {
        what: format!("target answers 503 for {} s", OUTAGE.as_secs()),
        peer: format!("told {late:.1} s after it is well again; {tried} tries for one alert"),
        ours: format!(
            "all {} told {:.1} s after it is well again; {ours_tried} tries",
            outcome.outbox.len(),
            begun.elapsed().as_secs_f64()
        ),
    }
}

// --- the report ------------------------------------------------------------------------------------------------------

const BEGIN: &str = "<!-- reliability: written by `cargo bench --bench reliability` -->";
const END: &str = "<!-- end of reliability -->";

fn save(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md");
    let text = std::fs::read_to_string(&path).expect("benches/RESULTS.md");
    let version = std::process::Command::new("sh")
        .args(["-c", "(alertmanager --version || prometheus-alertmanager --version) 2>&1 | head -n 1"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default();
    let note = "Measured on one machine, one after the other, each process killed and started again by the same code \
                (`benches/peers/reliability`). Prometheus repeats an alert to Alertmanager every minute or so: where the \
                table says lost, it is told once the sender repeats it. Whether window counts are equal after 1,000 \
                kills is a test of ours (`kill_9_at_random_moments_loses_and_doubles_nothing`); no peer has such a test.";
    let section = format!(
        "{BEGIN}\n## Faults, side by side\n\n{table}\n{note}\n\n{version}; Anchorwatch {}.\n{END}\n",
        env!("CARGO_PKG_VERSION")
    );
    let text = match (text.find(BEGIN), text.find(END)) {
        (Some(begin), Some(end)) => {
            format!("{}{section}{}", &text[..begin], text[end + END.len()..].trim_start())
        }
        _ => format!("{}\n{section}", text.trim_end().to_owned() + "\n"),
    };
    std::fs::write(&path, text).expect("benches/RESULTS.md");
}
