//! Partitions without a record that counts hold nobody back.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::proxy::{Fault, Proxy};
use super::{NOON, PATIENCE, Place, coverage, event, events, law, send, stop, wait_read};
use crate::support::{Daemon, Kafka, Receiver, wait_until};

#[test]
fn a_partition_busy_with_a_model_that_nobody_registered_freezes_no_window() {
    let kafka = Kafka::shared();
    // One partition is never at its end for long, one is empty.
    kafka.create_topic("silent", 3);
    let mut place = Place::new(kafka.bootstrap(), "silent");
    place.config["windows"]["idle_after"] = json!("3s");
    let mut daemon = place.daemon();
    daemon.wait_ready();
    send(kafka, "silent", 0, events(0..20 * 60));
    let foreign = json!({"model": "nobody", "version": "1", "ts": NOON, "features": {"x": 1}});
    let judged = |daemon: &Daemon| {
        let windows = daemon.try_get("/api/v1/windows?model=m")?.json()["items"].take();
        let newest = windows.as_array()?.first()?.clone();
        Some(((newest["end"].as_i64()? - NOON) / 60_000, newest["coverage"].as_f64()?))
    };
    wait_until(PATIENCE, "windows of the model that is registered", || {
        send(kafka, "silent", 1, vec![foreign.clone(); 10]);
        judged(&daemon).is_some_and(|(end, coverage)| end >= 18 && coverage >= 1.0)
    });
    stop(&mut daemon);
}

#[test]
fn an_outage_longer_than_idle_after_makes_no_partition_idle() {
    let proxy = Proxy::start();
    let kafka = Kafka::start_behind(proxy.port());
    proxy.towards(&kafka.proxied());
    kafka.create_topic("outage", 2);
    let mut place = Place::new(&format!("127.0.0.1:{}", proxy.port()), "outage");
    let idle_after = Duration::from_secs(10);
    place.config["windows"]["idle_after"] = json!(format!("{}s", idle_after.as_secs()));
    let mut daemon = place.daemon();
    daemon.wait_ready();
    send(&kafka, "outage", 0, events(0..20 * 60));
    send(&kafka, "outage", 1, events(0..10 * 60));
    wait_read(&daemon, 30 * 60);
    // The client hears of an end from an answer without records.
    thread::sleep(idle_after / 5);
    proxy.set(Fault::Blackhole);
    wait_until(PATIENCE, "what both partitions hold to be judged", || {
        coverage(&daemon).is_some_and(|(end, ..)| end == 8)
    });
    // Both were read to their ends, and nothing says any more that these are the ends.
    send(&kafka, "outage", 1, events(10 * 60..20 * 60));
    thread::sleep(idle_after * 5 / 2);
    assert_eq!(coverage(&daemon).map(|(end, ..)| end), Some(8), "judged without the second partition");
    proxy.set(Fault::Reset);
    proxy.set(Fault::None);
    wait_read(&daemon, 40 * 60);
    wait_until(PATIENCE, "the rest to be judged", || {
        coverage(&daemon).is_some_and(|(end, share, _)| end == 18 && share >= 1.0)
    });
    assert_eq!(law(&daemon)["late"], 0);
    stop(&mut daemon);
}

#[test]
fn what_is_judged_after_a_silence_is_not_muted_by_it() {
    let kafka = Kafka::shared();
    let receiver = Receiver::start();
    kafka.create_topic("muted", 1);
    let mut place = Place::new(kafka.bootstrap(), "muted");
    place.config["kafka"]["no_data_after"] = json!("3s");
    place.config["monitor"] = json!({"untimed": "classical"});
    place.config["sinks"] = json!([{"name": "hook", "type": "webhook", "url": receiver.url("/hook"),
                                    "kinds": ["operation", "drift"]}]);
    let mut daemon = place.daemon();
    daemon.wait_ready();
    send(kafka, "muted", 0, events(0..10 * 60));
    let told = receiver.wait_for_requests("/hook", 1, PATIENCE);
    let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    assert!(text(&told[0].body).contains("no_data"), "{}", text(&told[0].body));
    // All of it is judged in the first moments after the silence, and nothing comes after it.
    send(kafka, "muted", 0, (600..1_800).map(|i| event(i % 5, NOON + i * 1_000)));
    wait_until(PATIENCE, "the drift to be told", || {
        receiver.requests_to("/hook").iter().any(|request| text(&request.body).contains(r#""kind":"drift""#))
    });
    stop(&mut daemon);
}
