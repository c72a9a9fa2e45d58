//! Partitions without a record that counts hold nobody back.

use serde_json::json;

use super::{NOON, PATIENCE, Place, events, send, stop};
use crate::support::{Daemon, Kafka, wait_until};

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
