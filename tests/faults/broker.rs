//! Cases 4, 5 and 6: the broker dies and returns, refuses requests, or is hidden behind a broken line.

use std::time::Duration;

use rand::RngExt as _;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::kills::pause;
use crate::proxy::{Fault, Proxy};
use crate::support::{Kafka, wait_until};
use crate::world::{Mock, PATIENCE, World};
use crate::{invariants, times, workload};

/// Consumption resumes within so long once the broker can be reached.
const RESUMES: Duration = Duration::from_secs(30);

#[test]
fn a_broker_that_dies_and_returns_is_read_on() {
    let mut rng = workload::rng("outage");
    let kafka = Kafka::start();
    let records = workload::stream();
    let mut world = World::new("outage", &kafka, |_| {});
    world.start();
    let outages = times(2, 200);
    for chunk in records.chunks(records.len().div_ceil(outages + 1)) {
        world.produce(chunk);
        pause(rng.random_range(20..800));
        if world.produced.len() < records.len() {
            kafka.kill();
            // In the long form now and then for as long as a broker that moves to another machine.
            let long = outages > 2 && rng.random_range(0..40) == 0;
            pause(if long { rng.random_range(30_000..120_000) } else { rng.random_range(500..3_000) });
            assert!(!world.daemon().has_ended(), "an outage ended the process");
            kafka.start_again();
        }
    }
    let all = world.produced.len();
    wait_until(RESUMES, "reading to go on", || world.read() == Some(all as u64));
    world.settle();
    invariants::check(&mut world);
    let complaints = world.logs().lines().filter(|line| line.contains("trouble with the broker")).count();
    assert!(complaints <= 12 + outages * 6, "{complaints} lines about the broker");
    world.stop();
}

#[test]
fn a_broken_line_to_the_broker_loses_and_doubles_nothing() {
    let mut rng = workload::rng("line");
    let proxy = Proxy::start();
    let kafka = Kafka::start_behind(proxy.port());
    proxy.towards(&kafka.proxied());
    let records = workload::stream();
    let mut world = World::new("line", &kafka, |config| {
        config["kafka"]["bootstrap"] = format!("127.0.0.1:{}", proxy.port()).into();
        // A line that swallows everything is noticed after so long.
        config["kafka"]["properties"] = serde_json::json!({"socket.timeout.ms": 3_000});
        // In the long form silences are told. They are over with the first record and mute nothing that is judged of a backlog.
        config["kafka"]["no_data_after"] = format!("{}s", times(900, 20)).into();
    });
    world.start();
    let faults = [
        Fault::Delay(Duration::from_millis(200)),
        Fault::Reset,
        Fault::Slow(40_000),
        Fault::Truncate,
        Fault::Blackhole,
        Fault::Refuse,
        Fault::HalfOpen,
    ];
    let rounds = times(1, 14);
    for (number, chunk) in records.chunks(records.len().div_ceil(faults.len() * rounds)).enumerate() {
        proxy.set(faults[number % faults.len()]);
        world.produce(chunk);
        pause(rng.random_range(300..times(2_000, 60_000) as u64));
        proxy.set(Fault::Reset);
        proxy.set(Fault::None);
        assert!(!world.daemon().has_ended(), "a broken line ended the process");
    }
    let all = world.produced.len();
    wait_until(PATIENCE, "reading to go on", || world.read() == Some(all as u64));
    world.settle();
    // Before the silence after the last record is told.
    world.stop();
    invariants::check(&mut world);
}

/// Requests that the daemon makes.
const REQUESTS: [RDKafkaApiKey; 6] = [
    RDKafkaApiKey::Fetch,
    RDKafkaApiKey::OffsetCommit,
    RDKafkaApiKey::Produce, // pointers to refused records
    RDKafkaApiKey::Metadata,
    RDKafkaApiKey::ListOffsets,
    RDKafkaApiKey::FindCoordinator,
];

/// Errors that a broker may answer with, whether or not it would to every request.
const REFUSALS: [RDKafkaRespErr; 8] = [
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
];

#[test]
fn refused_requests_are_repeated_until_they_are_answered() {
    let mut rng = workload::rng("refusals");
    let mock = Mock::new(1).expect("a mock cluster");
    let records = workload::stream();
    let mut world = World::new("refusals", &mock, |_| {});
    world.start();
    // The short form leaves out three of four pairs; each request and each error remains.
    let pairs: Vec<(RDKafkaApiKey, RDKafkaRespErr)> = REQUESTS
        .iter()
        .enumerate()
        .flat_map(|(at, request)| {
            REFUSALS.iter().enumerate().map(move |(error, refusal)| (at + error, *request, *refusal))
        })
        .filter(|(number, ..)| number % times(4, 1) == 0)
        .map(|(_, request, refusal)| (request, refusal))
        .collect();
    assert_eq!(pairs.len(), times(12, 48));
    let rounds = times(1, 4);
    for (number, chunk) in records.chunks(records.len().div_ceil(pairs.len() * rounds)).enumerate() {
        world.produce(chunk);
        let (request, error) = pairs[number % pairs.len()];
        mock.request_errors(request, &vec![error; rng.random_range(1..6)]);
        pause(rng.random_range(100..900));
        mock.clear_request_errors(request);
        assert!(!world.daemon().has_ended(), "{error:?} ended the process: {}", world.logs());
    }
    world.settle();
    invariants::check(&mut world);
    world.stop();
}
