//! Producers that write in transactions: what was taken back never counts, and one that stays open is told.

use std::time::Duration;

use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use serde_json::{Value, json};

use super::{NOON, PATIENCE, Place, event, events, law, send, stop, wait_read};
use crate::support::{Daemon, Kafka, Receiver, wait_until};

const TOPIC: &str = "transactions";
const WAIT: Duration = Duration::from_secs(20);

fn producer(kafka: &Kafka) -> ThreadedProducer<rdkafka::producer::DefaultProducerContext> {
    let mut settings = kafka.client();
    settings.set("transactional.id", "serving").set("transaction.timeout.ms", "120000");
    let producer: ThreadedProducer<_> = settings.create().expect("a producer");
    producer.init_transactions(WAIT).expect("a coordinator");
    producer
}

/// Sends within the open transaction and waits until the broker has it.
fn write(producer: &ThreadedProducer<rdkafka::producer::DefaultProducerContext>, events: &[Value]) {
    for event in events {
        let text = event.to_string();
        let record = BaseRecord::<(), str>::to(TOPIC).partition(0).payload(&text);
        producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
    }
    producer.flush(WAIT).expect("Kafka takes the records");
}

fn stalled(daemon: &Daemon) -> Option<Value> {
    let alerts = daemon.try_get("/api/v1/alerts")?.json()["items"].take();
    let told = |alert: &&Value| alert["labels"]["version"] == "stalled";
    alerts.as_array()?.iter().find(told).cloned()
}

#[test]
fn what_a_transaction_took_back_never_counts_and_one_that_stays_open_is_told() {
    let kafka = Kafka::shared();
    let receiver = Receiver::start();
    kafka.create_topic(TOPIC, 1);
    let mut place = Place::new(kafka.bootstrap(), TOPIC);
    place.config["windows"]["stalled_after"] = json!("3s");
    place.config["sinks"] =
        json!([{"name": "hook", "type": "webhook", "url": receiver.url("/hook"), "kinds": ["operation"]}]);
    let mut daemon = place.daemon();
    daemon.wait_ready();
    let producer = producer(kafka);

    producer.begin_transaction().expect("a transaction");
    write(&producer, &events(0..50));
    producer.commit_transaction(WAIT).expect("committed");
    assert_eq!(wait_read(&daemon, 50)["counted"], 50);
    producer.begin_transaction().expect("a transaction");
    write(&producer, &events(50..80));
    producer.abort_transaction(WAIT).expect("taken back");
    producer.begin_transaction().expect("a transaction");
    write(&producer, &events(80..100));
    producer.commit_transaction(WAIT).expect("committed");
    assert_eq!(wait_read(&daemon, 70)["counted"], 70);

    // Open: what stands behind its first record waits, whoever wrote it.
    producer.begin_transaction().expect("a transaction");
    write(&producer, &events(100..110));
    send(kafka, TOPIC, 0, [event(200, NOON + 200_000)]);
    wait_until(PATIENCE, "the open transaction to be told", || stalled(&daemon).is_some());
    assert_eq!(law(&daemon)["read"], 70, "nothing behind it was read");
    let told = receiver.wait_for_requests("/hook", 1, PATIENCE);
    let body = String::from_utf8_lossy(&told[0].body).into_owned();
    assert!(body.contains("transactions/0") && body.contains("transaction is open"), "{body}");

    // Across an end of the process too; nothing is counted twice.
    daemon.kill_9();
    let mut daemon = place.daemon();
    daemon.wait_ready();
    producer.commit_transaction(WAIT).expect("committed");
    assert_eq!(wait_read(&daemon, 81)["counted"], 81);
    wait_until(PATIENCE, "the end of the trouble", || {
        stalled(&daemon).is_none_or(|alert| alert["state"] == "resolved")
    });
    let told = receiver.wait_for_requests("/hook", 2, PATIENCE);
    assert!(String::from_utf8_lossy(&told[1].body).contains("over"), "the trouble is over");
    stop(&mut daemon);
    assert_eq!(place.audit(), [], "markers of transactions are no gaps");
}
