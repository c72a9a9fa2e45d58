//! Receivers that behave badly in every known way, while another target goes on undisturbed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anchorwatch::alert::ActionKind;
use anchorwatch::deliver::{
    Allowed, BreakerPolicy, DeliveryOutcome, DeliverySettings, Rate, Sink, Target, TargetHealth, Template,
    Timeouts, UpkeepPolicy, Webhook,
};
use anchorwatch::store::OutboxState;
use anchorwatch::view::OutboxOrder;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::fixtures::{asked, automation, endpoint, row, told, webhook};
use crate::support::{Receiver, Reply, wait_until};
use crate::workers::{DEADLINE, Running, folder, give_up_after, ids, quick_settings, unhurried};

/// A server that does with each connection as told; gives its address.
fn raw(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    format!("http://{address}/")
}

/// Reads one byte of what comes and closes: the rest is answered with a reset.
fn reset(mut stream: TcpStream) {
    _ = stream.read_exact(&mut [0]);
}

/// Waits with its answer until the caller has gone.
fn hang(mut stream: TcpStream) {
    _ = std::io::copy(&mut stream, &mut std::io::sink());
}

/// Begins an answer and never ends it; counts what the caller took.
fn endless(mut stream: TcpStream, sent: &AtomicUsize) {
    let chunk = vec![b'x'; 64 << 10];
    _ = stream.read(&mut [0; 4_096]);
    _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
    while sent.load(Ordering::Relaxed) < 1 << 30 && stream.write_all(&chunk).is_ok() {
        sent.fetch_add(chunk.len(), Ordering::Relaxed);
    }
}

fn short() -> DeliverySettings {
    let timeouts = Timeouts { connect: Duration::from_secs(3), total: Duration::from_millis(300) };
    DeliverySettings { timeouts, ..quick_settings() }
}

/// Twenty deliveries to a bad target and twenty to a good one: the good one gets all of them. Gives what runs on.
fn beside_a_good_one(bad: &Sink, good: &Receiver, folder: &std::path::Path) -> Running {
    let targets = vec![unhurried("bad", bad), unhurried("good", &webhook(&good.url("/good")))];
    let running = Running::with(folder, targets, short());
    let rows = (0..20)
        .flat_map(|n| ["bad", "good"].map(|target| row(target, told(&format!("k{n}"), &format!("g{n}")))));
    running.decide(rows);
    wait_until(DEADLINE, "the good target to get everything", || good.requests_to("/good").len() == 20);
    running
}

#[test]
fn no_bad_receiver_delays_a_good_one() {
    let good = Receiver::start();
    let slow = Receiver::start();
    slow.always("/slow", Reply::ok().after(Duration::from_secs(30)));
    let failing = Receiver::start();
    failing.always("/failing", Reply::status(500));
    failing.always("/busy", Reply::retry_after(429, 900));
    for (name, url) in [
        ("200 after 30 s", slow.url("/slow")),
        ("hang", raw(hang)),
        ("reset", raw(reset)),
        ("500 for ever", failing.url("/failing")),
        ("429 with Retry-After", failing.url("/busy")),
    ] {
        let (folder, good) = (folder(), &good);
        let before = good.requests().len();
        let target = Receiver::start();
        let running = beside_a_good_one(&webhook(&url), &target, folder.path());
        wait_until(DEADLINE, name, || running.seen.of("bad").contains(&DeliveryOutcome::Retry));
        assert!(!running.seen.of("bad").contains(&DeliveryOutcome::Delivered), "{name}");
        assert_eq!(running.rows(OutboxState::Dead).len(), 0, "{name}: nothing is given up");
        assert_eq!(good.requests().len(), before);
        running.stop();
    }
}

#[test]
fn a_huge_answer_is_read_to_its_bound_and_no_further() {
    let (folder, good, sent) = (folder(), Receiver::start(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&sent);
    let url = raw(move |stream| endless(stream, &counted));
    let running = beside_a_good_one(&webhook(&url), &good, folder.path());
    running.wait_for(OutboxState::Delivered, 40);
    // What the kernels' buffers take comes on top of the 64 KiB that are read.
    assert!(sent.load(Ordering::Relaxed) < 20 * (32 << 20), "{} bytes", sent.load(Ordering::Relaxed));
    running.stop();
}

#[test]
fn a_redirect_to_the_metadata_service_is_not_followed() {
    let (folder, receiver) = (folder(), Receiver::start());
    let metadata = vec![("Location", "http://169.254.169.254/latest/meta-data/".to_owned())];
    receiver.always("/moved", Reply::Answer(302, metadata, String::new()));
    let running = Running::start(folder.path(), &[("moved", webhook(&receiver.url("/moved")))]);
    running.decide([row("moved", told("k-1", "g"))]);
    let dead = running.wait_for(OutboxState::Dead, 1);
    assert!(dead[0].last_error.as_deref().is_some_and(|error| error.contains("never followed")));
    assert_eq!(receiver.requests().len(), 1);
    running.stop();
}

#[test]
fn a_target_that_only_fails_is_left_alone_and_others_hear_of_it_until_it_is_well() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.always("/hook", Reply::status(503));
    let breaker = BreakerPolicy {
        failures: 5,
        pause: Duration::from_secs(3_600),
        max_pause: Duration::from_secs(3_600),
    };
    let settings = || DeliverySettings { breaker, ..quick_settings() };
    let target = || vec![Target { concurrency: 1, ..unhurried("hook", &webhook(&receiver.url("/hook"))) }];
    let running = Running::with(folder.path(), target(), settings());
    running.decide((0..9).map(|n| row("hook", told(&format!("k{n}"), &format!("g{n}")))));
    wait_until(DEADLINE, "the breaker to open", || running.seen.target("hook").breaker == "open");
    wait_until(
        DEADLINE,
        "the others to be told",
        || matches!(running.seen.ailments().targets.get("hook"), Some(TargetHealth::Down(why)) if why.contains("503")),
    );
    let view = running.seen.target("hook");
    assert_eq!((view.down, view.failures, view.pending), (true, 5, 9));
    assert_eq!(receiver.requests().len(), 5, "five failures, then silence");
    running.stop();

    receiver.always("/hook", Reply::ok());
    let running = Running::with(folder.path(), target(), settings());
    running.wait_for(OutboxState::Delivered, 9);
    wait_until(DEADLINE, "the target to be well", || {
        running.seen.ailments().targets.get("hook") == Some(&TargetHealth::Well)
    });
    running.stop();
}

#[test]
fn a_target_that_comes_back_is_found_by_a_probe() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.next("/hook", (0..12).map(|_| Reply::status(500)));
    let running = Running::start(folder.path(), &[("hook", webhook(&receiver.url("/hook")))]);
    running.decide((0..9).map(|n| row("hook", told(&format!("k{n}"), &format!("g{n}")))));
    running.wait_for(OutboxState::Delivered, 9);
    wait_until(DEADLINE, "a closed breaker", || running.seen.target("hook").breaker == "closed");
    running.stop();
}

#[test]
fn what_waits_for_a_dead_target_is_given_up_some_time_after_its_decision() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.always("/hook", Reply::status(500));
    let target = unhurried("hook", &webhook(&receiver.url("/hook")));
    let settings = give_up_after(Duration::from_millis(500));
    let running = Running::with(folder.path(), vec![target], settings);
    running.decide((0..50).map(|n| row("hook", told(&format!("k{n}"), &format!("g{n}")))));
    running.wait_for(OutboxState::Dead, 50);
    let dead = |health: Option<&TargetHealth>| matches!(health, Some(TargetHealth::Down(_)));
    wait_until(DEADLINE, "the others to be told", || dead(running.seen.ailments().targets.get("hook")));
    running.stop();
}

#[test]
fn a_refusal_for_good_is_told_to_the_others_too() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.next("/hook", [Reply::status(404)]);
    let running = Running::start(folder.path(), &[("hook", webhook(&receiver.url("/hook")))]);
    running.decide([row("hook", told("k-1", "g"))]);
    wait_until(
        DEADLINE,
        "the refusal to be known",
        || matches!(running.seen.ailments().targets.get("hook"), Some(TargetHealth::Down(why)) if why.contains("404")),
    );
    running.decide([row("hook", told("k-2", "g"))]);
    wait_until(DEADLINE, "the target to be well", || {
        running.seen.ailments().targets.get("hook") == Some(&TargetHealth::Well)
    });
    running.stop();
}

#[test]
fn the_rate_of_a_target_is_kept() {
    let (folder, receiver) = (folder(), Receiver::start());
    let rate = Rate { per_minute: 1, burst: 3 };
    let target = Target { rate, ..Target::new("hook", webhook(&receiver.url("/hook"))) };
    let running = Running::with(folder.path(), vec![target], quick_settings());
    running.decide((0..9).map(|n| row("hook", told(&format!("k{n}"), &format!("g{n}")))));
    running.wait_for(OutboxState::Delivered, 3);
    wait_until(DEADLINE, "an empty bucket", || running.seen.target("hook").tokens < 1.0);
    assert_eq!(receiver.requests().len(), 3, "the burst, and then one a minute");
    running.stop();
}

#[test]
fn several_groups_are_told_at_a_time_and_one_group_one_by_one() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.always("/hook", Reply::ok().after(Duration::from_secs(600)));
    let running = Running::with(
        folder.path(),
        vec![unhurried("hook", &webhook(&receiver.url("/hook")))],
        quick_settings(),
    );
    let rows = (0..12).map(|n| row("hook", told(&format!("k{n}"), &format!("g{}", n % 6))));
    running.decide(rows);
    let asked = receiver.wait_for_requests("/hook", 4, DEADLINE);
    assert_eq!(ids(&asked[..4]).len(), 4);
    wait_until(DEADLINE, "four under way", || running.seen.target("hook").inflight == 4);
    assert_eq!(running.rows(OutboxState::Inflight).len(), 4);
    drop(receiver); // lets the answers go
    running.stop();
}

/// D-3 under concurrency, failures and lost answers: of each group a later delivery is sent only after the earlier was
/// confirmed.
#[test]
fn groups_stay_in_order_however_the_target_behaves() {
    let seed: u64 = std::env::var("ANCHORWATCH_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(11);
    let mut rng = StdRng::seed_from_u64(seed);
    let (folder, receiver) = (folder(), Receiver::start());
    let script = (0..120).map(|_| match rng.random_range(0..6) {
        0 => Reply::status(500),
        1 => Reply::Drop,
        2 => Reply::Refuse,
        3 => Reply::status(429),
        _ => Reply::ok().after(Duration::from_millis(rng.random_range(0..4))),
    });
    receiver.next("/hook", script.collect::<Vec<_>>());
    let running = Running::start(folder.path(), &[("hook", webhook(&receiver.url("/hook")))]);
    for step in 0..4 {
        running
            .decide((0..8).map(|group| row("hook", told(&format!("{group}-{step}"), &format!("g{group}")))));
    }
    running.wait_for(OutboxState::Delivered, 32);
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    for id in ids(&receiver.requests()) {
        let (group, step) = id.split_once('-').expect("a key");
        let step: u32 = step.parse().expect("a step");
        let before = last.entry(group.to_owned()).or_default();
        assert!(step == *before || step == *before + 1, "seed {seed}: {id} came after step {before}");
        *before = step;
    }
    assert!(last.values().all(|step| *step == 3), "seed {seed}: {last:?}");
    running.stop();
}

#[test]
fn an_action_that_was_taken_without_an_answer_is_unknown_told_and_never_repeated() {
    let (folder, receiver) = (folder(), Receiver::start());
    receiver.always("/retrain", Reply::Drop); // reads the request, then cuts the connection
    let running = Running::start(folder.path(), &[("retrain", automation(&receiver.url("/retrain")))]);
    running.decide([row("retrain", asked("a-1", ActionKind::Retrain))]);
    running.wait_for(OutboxState::Unknown, 1);
    wait_until(DEADLINE, "people to be told", || running.seen.ailments().unknown.contains_key("retrain/1"));
    assert_eq!(receiver.requests().len(), 1);

    let settle = OutboxOrder::Settle { id: 1, taken: true };
    let done = running.store.call_blocking(move |store| store.outbox_order(&settle, "mia", 1));
    assert!(done.expect("a state file").is_ok());
    running.store.wake();
    wait_until(DEADLINE, "the trouble to be over", || running.seen.ailments().unknown.is_empty());
    assert_eq!(receiver.requests().len(), 1);
    running.stop();
}

#[test]
fn a_template_makes_the_body_and_its_failure_falls_back() {
    let (folder, receiver) = (folder(), Receiver::start());
    let source = "{\"text\": {{ summary }}{% if model == 'flights' and key == 'k-2' %}, {{ findings[9].column }}{% endif %}}";
    let template = Template::parse("body.json".as_ref(), source.to_owned(), None).expect("a template");
    let sink = Sink::Webhook(Webhook {
        url: endpoint(&receiver.url("/hook")),
        keys: None,
        template: Some(template),
    });
    let running = Running::start(folder.path(), &[("hook", sink)]);
    running.decide([row("hook", told("k-1", "g")), row("hook", told("k-2", "g"))]);
    running.wait_for(OutboxState::Delivered, 2);
    let requests = receiver.requests();
    let text = "flights 1.0.0: distance drifts (psi 0.312 over 0.1) in 24h";
    assert_eq!(requests[0].json(), serde_json::json!({"text": text}));
    assert_eq!(requests[0].header("content-type"), "application/json");
    assert_eq!(requests[1].json()["data"]["summary"], text, "the built-in body");
    assert_eq!(running.seen.fell_back(), 1);
    running.stop();
}

#[test]
fn replaced_secrets_sign_from_the_next_request_on() {
    let (folder, receiver) = (folder(), Receiver::start());
    let running = Running::start(folder.path(), &[("hook", webhook(&receiver.url("/hook")))]);
    running.decide([row("hook", told("k-1", "g"))]);
    running.wait_for(OutboxState::Delivered, 1);
    let unsigned =
        Sink::Webhook(Webhook { url: endpoint(&receiver.url("/hook")), keys: None, template: None });
    running.targets.send_replace(Arc::new(vec![unhurried("hook", &unsigned)]));
    running.decide([row("hook", told("k-2", "g"))]);
    running.wait_for(OutboxState::Delivered, 2);
    let signed: Vec<bool> =
        receiver.requests().iter().map(|r| !r.header("webhook-signature").is_empty()).collect();
    assert_eq!(signed, [true, false]);
    running.stop();
}

#[test]
fn deliveries_to_a_target_that_is_gone_end_with_a_reason() {
    let (folder, receiver) = (folder(), Receiver::start());
    let upkeep = UpkeepPolicy { orphan_after: Duration::ZERO, ..quick_settings().upkeep };
    let settings = DeliverySettings { upkeep, ..quick_settings() };
    let targets = vec![unhurried("hook", &webhook(&receiver.url("/hook")))];
    let running = Running::with(folder.path(), targets, settings);
    running.decide([row("gone", told("k-1", "g")), row("hook", told("k-1", "g"))]);
    let dead = running.wait_for(OutboxState::Dead, 1);
    assert_eq!(dead[0].last_error.as_deref(), Some("target `gone` is no longer configured"));
    wait_until(DEADLINE, "it to be shown", || {
        let view = running.seen.target("gone");
        !view.configured && view.dead == 1
    });
    running.stop();
}

#[test]
fn a_name_that_leads_to_loopback_is_refused_when_it_is_resolved() {
    let (folder, receiver) = (folder(), Receiver::start());
    let url = receiver.url("/hook").replace("127.0.0.1", "localhost");
    let listed = Allowed::new(&["hooks.example.com".into()], &[]);
    let open = Running::start(folder.path(), &[("hook", webhook(&url))]);
    open.decide([row("hook", told("k-1", "g"))]);
    open.wait_for(OutboxState::Delivered, 1);
    open.stop();
    let settings = DeliverySettings { allowed: listed, ..quick_settings() };
    let strict = Running::with(folder.path(), vec![unhurried("hook", &webhook(&url))], settings);
    strict.decide([row("hook", told("k-2", "g"))]);
    wait_until(DEADLINE, "a refusal", || strict.seen.target("hook").last_error.is_some());
    assert_eq!(receiver.requests().len(), 1, "only while it was allowed");
    strict.stop();
}

#[test]
fn every_way_to_write_an_address_is_judged_alike() {
    use anchorwatch::deliver::{Endpoint, EndpointError, Forbidden};
    let elsewhere = Allowed::new(&["hooks.example.com".into()], &["192.0.2.0/24".into()]);
    let loopback = Allowed::new(&[], &["127.0.0.0/8".into()]);
    let forms = [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ];
    for host in forms {
        let url = format!("http://{host}:8080/hook");
        let refused = Endpoint::parse_allowed(&url, &elsewhere).expect_err(host);
        assert_eq!(refused, EndpointError::Forbidden(Forbidden::NotListed), "{host}");
        assert!(Endpoint::parse_allowed(&url, &loopback).is_ok(), "{host}");
        assert!(Endpoint::parse(&url).is_ok(), "{host}: the file itself says so");
    }
    let everything = Allowed::new(&[], &["0.0.0.0/0".into(), "::/0".into()]);
    for host in [
        "0.0.0.0",
        "0",
        "0.1.2.3",
        "[::]",
        "[::ffff:0.0.0.0]",
        "169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[fe80::1]",
        "[febf::1]",
        "[fd00:ec2::254]",
        "224.0.0.1",
        "239.255.255.250",
        "[ff02::1]",
        "255.255.255.255",
    ] {
        let refused = Endpoint::parse_allowed(&format!("http://{host}/"), &everything);
        assert!(matches!(refused, Err(EndpointError::Forbidden(_))), "{host}: {refused:?}");
    }
}
