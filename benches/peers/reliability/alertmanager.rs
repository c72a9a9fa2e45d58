//! Debian's Alertmanager beside Anchorwatch: one alert over many ends, an alert accepted and not told, a target that
//! refuses. Alertmanager is told what Prometheus tells it; Anchorwatch reads records in which two models drift.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::outcome::Outcome;
use crate::support::{Alertmanager, Kafka, Receiver, Reply, http, wait_until};
use crate::world::World;
use crate::{Bar, PATIENCE, only_webhook, pause, times, workload};

const KILLS: usize = 5;
/// How long a target refuses, of both at the same time.
const OUTAGE: Duration = Duration::from_secs(600);

/// The rows of the table.
pub(crate) fn bars() -> Vec<Bar> {
    vec![one_alert_many_kills(), accepted_then_killed(), refusing_target()]
}

/// What the program says of itself.
pub(crate) fn version() -> String {
    let asked = ["prometheus-alertmanager", "alertmanager"].into_iter().find_map(|program| {
        let output = std::process::Command::new(program).arg("--version").output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).lines().next().map(|line| line.trim().to_owned())
    });
    asked.unwrap_or_else(|| "Alertmanager of an unknown version".to_owned())
}

fn alertmanager(receiver: &Receiver, group_wait: &str) -> Alertmanager {
    Alertmanager::start_with(&json!({
        "route": {"receiver": "hook", "group_by": ["alertname"], "group_wait": group_wait, "group_interval": "1s",
                  "repeat_interval": "4h"},
        "receivers": [{"name": "hook", "webhook_configs": [{"url": receiver.url("/hook"), "send_resolved": false}]}],
    }))
}

/// What Prometheus posts for an alert that goes on, and posts again every minute or so.
fn post(alertmanager: &Alertmanager) {
    // Without a beginning it begins now: one that began long ago would not wait for its group.
    let alert = json!([{"labels": {"alertname": "drift", "model": "m0"}}]);
    let posted = http::post(alertmanager.address(), "/api/v2/alerts", &alert.to_string()).expect("an answer");
    assert_eq!(posted.status, 200, "{}", posted.body);
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
        let outcome = Outcome::read(&world.data());
        outcome.outbox.len()
    };
    wait_until(PATIENCE, "decisions", || decided() > 0);
    world.kill();
    let before = Outcome::read(&world.data()).keys();
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
    let world = anchorwatch("bench-refusing", Kafka::shared(), Reply::status(503));
    let begun = Instant::now();
    while begun.elapsed() < OUTAGE {
        // Prometheus does so as long as the alert lasts.
        pause(Duration::from_secs(60));
        post(&peer);
    }
    let tried = receiver.requests_to("/hook").len();
    let ours_tried = world.receiver.requests_to("/webhook").len();
    receiver.always("/hook", Reply::ok());
    world.receiver.always("/webhook", Reply::ok());
    let begun = Instant::now();
    let (mut late, mut ours_late, mut ours_first) = (None, None, None);
    wait_until(PATIENCE * 5, "everything to be told", || {
        let now = begun.elapsed().as_secs_f64();
        if receiver.requests_to("/hook").len() > tried {
            late.get_or_insert(now);
        }
        if world.receiver.requests_to("/webhook").len() > ours_tried {
            ours_first.get_or_insert(now);
        }
        let outcome = Outcome::read(&world.data());
        if outcome.is_judged() && outcome.outbox.values().all(|row| row.state == "delivered") {
            ours_late.get_or_insert(now);
        }
        late.is_some() && ours_late.is_some()
    });
    let outcome = Outcome::read(&world.data());
    Bar {
        what: format!("target answers 503 for {} s", OUTAGE.as_secs()),
        peer: format!(
            "told {:.1} s after it is well again; {tried} tries for one alert",
            late.unwrap_or_default()
        ),
        ours: format!(
            "first told {:.1} s after it is well again, all {} after {:.1} s; {ours_tried} tries",
            ours_first.unwrap_or_default(),
            outcome.outbox.len(),
            ours_late.unwrap_or_default(),
        ),
    }
}
