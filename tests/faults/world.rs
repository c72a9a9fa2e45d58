//! One daemon under test with its topic, its configuration and its paths at the receiver; started, ended, started again.
#![allow(dead_code, reason = "the tests of faults use all of it, the bench beside Alertmanager a part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::outcome::Outcome;
use crate::support::{Daemon, Kafka, Receiver, free_port, http, wait_until};
use crate::workload::{self, PARTITIONS, Planned, Replay};

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// `memory.max` of every case, in KiB.
pub(crate) const MEMORY_MAX_KIB: u64 = 512 * 1_024;
/// Never to be seen outside their files and the requests that carry them.
pub(crate) const SECRET_CANARIES: [&str; 2] =
    ["0123456789abcdef0123456789abcdef", "d2hzZWMtY2FuYXJ5LXNlY3JldC1vZi10aGUtdGVzdHM="];

/// Where the records of a case live.
pub(crate) trait Broker {
    /// Makes a topic.
    fn create(&self, topic: &str, partitions: i32);
    /// Properties with which any client begins.
    fn client(&self) -> ClientConfig;
    /// Address for the daemon.
    fn bootstrap(&self) -> String;
}

impl Broker for Kafka {
    fn create(&self, topic: &str, partitions: i32) {
        self.create_topic(topic, partitions);
    }

    fn client(&self) -> ClientConfig {
        Kafka::client(self)
    }

    fn bootstrap(&self) -> String {
        Kafka::bootstrap(self).to_owned()
    }
}

/// librdkafka's own cluster, which can be told to answer with errors; it keeps about 5 MB a partition.
pub(crate) type Mock = MockCluster<'static, DefaultProducerContext>;

impl Broker for Mock {
    fn create(&self, topic: &str, partitions: i32) {
        self.create_topic(topic, partitions, 1).expect("a topic of the mock cluster");
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap_servers());
        config
    }

    fn bootstrap(&self) -> String {
        self.bootstrap_servers()
    }
}

/// A daemon and its surroundings.
pub(crate) struct World<'k> {
    pub(crate) name: String,
    folder: TempDir,
    pub(crate) broker: &'k dyn Broker,
    pub(crate) receiver: Receiver,
    pub(crate) topic: String,
    pub(crate) config: PathBuf,
    pub(crate) http: String,
    pub(crate) daemon: Option<Daemon>,
    pub(crate) produced: Vec<Planned>,
    /// Ends of the process so far that were not in order.
    pub(crate) crashes: usize,
    /// Failures that the receiver was told to answer with.
    pub(crate) scripted: usize,
    /// Times that the process stood still for so long that requests under way may have run into their timeout.
    pub(crate) standstills: usize,
    pub(crate) peak_rss_kib: u64,
    /// Times that an older state was put in place of a newer one.
    pub(crate) put_back: usize,
    pub(crate) partitions: i32,
    /// Offsets over which duplicates are known by their ids.
    pub(crate) dedup: Option<u32>,
    positions: BTreeMap<i32, i64>,
    logs: String,
    replay: Replay,
}

impl<'k> World<'k> {
    /// A topic, a registered state folder and a configuration; nothing runs yet. `bend` changes the configuration.
    pub(crate) fn new(name: &str, broker: &'k dyn Broker, bend: impl FnOnce(&mut Value)) -> Self {
        eprintln!("case {name}: ANCHORWATCH_SEED={}", workload::seed());
        let folder = tempfile::Builder::new().prefix(&format!("faults-{name}-")).tempdir().expect("a folder");
        copy(workload::registered(), &folder.path().join("data"));
        let topic = format!("{name}-{:08x}", rand::random::<u32>());
        broker.create(&topic, PARTITIONS);
        broker.create(&format!("{topic}-refused"), 1);
        let mut world = Self {
            name: name.to_owned(),
            config: folder.path().join("anchorwatch.yaml"),
            folder,
            broker,
            receiver: Receiver::start(),
            topic,
            http: format!("127.0.0.1:{}", free_port()),
            daemon: None,
            produced: Vec::new(),
            crashes: 0,
            scripted: 0,
            standstills: 0,
            peak_rss_kib: 0,
            put_back: 0,
            partitions: PARTITIONS,
            dedup: None,
            positions: BTreeMap::new(),
            logs: String::new(),
            replay: Replay,
        };
        let mut config = world.configuration();
        bend(&mut config);
        world.dedup = config["events"]["dedup"]["last"].as_u64().and_then(|reach| reach.try_into().ok());
        fs::write(&world.config, config.to_string()).expect("a writable folder"); // JSON is YAML
        world.daemon = None;
        world
    }

    /// Has duplicates known by their ids over so many offsets.
    pub(crate) fn know_duplicates(config: &mut Value, reach: u32) {
        config["events"] = json!({"dedup": {"last": reach}});
    }

    fn configuration(&self) -> Value {
        let secret = |file: &str, value: &str| {
            let path = self.folder.path().join(file);
            fs::write(&path, value).expect("a writable folder");
            json!({"file": path})
        };
        let action = |name: &str| {
            json!({"name": name, "kind": name, "url": self.receiver.url(&format!("/{name}")), "mode": "auto",
                   "on": ["drift", "data_fault"], "cooldown": "12h", "daily_budget": 1, "min_signals": 1,
                   // The records are older than any evidence should be.
                   "max_evidence_age": "36500d"})
        };
        json!({
            "data_dir": self.data(),
            "kafka": {"bootstrap": self.broker.bootstrap(), "topics": [self.topic], "group": self.topic,
                      "dead_letter_topic": format!("{}-refused", self.topic)},
            "windows": {"pane": "1m", "horizons": [{"length": "15m"}, {"length": "24h"}], "lateness": "2m",
                        "idle_after": "1h", "min_rows": 100},
            "segments": {"field": "region"},
            "monitor": {"verdicts": "both", "window": "15m"},
            "sinks": [
                {"name": "slack", "type": "slack", "url": secret("slack", &self.receiver.url("/slack")),
                 "rate_per_minute": 60_000, "burst": 1_000},
                {"name": "pagerduty", "type": "pagerduty", "url": self.receiver.url("/pagerduty"),
                 "rate_per_minute": 60_000, "burst": 1_000,
                 "routing_key": secret("pagerduty", SECRET_CANARIES[0])},
                {"name": "webhook", "type": "webhook", "url": self.receiver.url("/webhook"),
                 "rate_per_minute": 60_000, "burst": 1_000,
                 "secret": secret("webhook", &format!("whsec_{}", SECRET_CANARIES[1]))},
            ],
            "actions": [action("retrain"), action("rollback")],
            "action_guards": {"deploy_grace": "0s"},
            "http": {"listen": self.http},
            "checkpoint": {"every": "200ms"},
            "memory": {"max": MEMORY_MAX_KIB * 1_024},
        })
    }

    /// The folder of everything of this case.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The state folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the daemon and returns at once.
    pub(crate) fn spawn(&mut self, environment: &[(&str, &str)]) {
        self.spawn_under(&[], environment);
    }

    /// The same, as an argument of another program.
    pub(crate) fn spawn_under(&mut self, wrapper: &[&str], environment: &[(&str, &str)]) {
        assert!(self.daemon.is_none(), "one daemon at a time");
        self.daemon = Some(Daemon::spawn_under(wrapper, environment, &self.config, &self.http));
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) fn start(&mut self) {
        self.spawn(&[]);
        self.daemon.as_mut().expect("a daemon").wait_ready();
    }

    /// The running daemon.
    pub(crate) fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("a running daemon")
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.look();
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill_9();
            self.crashes += 1;
            self.ended(&daemon);
        }
    }

    /// Waits until it ends by itself and returns whether a signal ended it.
    pub(crate) fn wait_end(&mut self) -> std::process::ExitStatus {
        let mut daemon = self.daemon.take().expect("a running daemon");
        let status = daemon.wait();
        self.crashes += usize::from(!status.success());
        self.ended(&daemon);
        status
    }

    /// Asks it to stop and waits.
    pub(crate) fn stop(&mut self) {
        self.look();
        let mut daemon = self.daemon.take().expect("a running daemon");
        let status = daemon.terminate();
        self.ended(&daemon);
        assert!(status.success(), "{status}: {}", daemon.stderr());
    }

    fn ended(&mut self, daemon: &Daemon) {
        let log = daemon.stderr();
        assert!(!log.contains("panicked at"), "a panic:\n{log}");
        self.logs.push_str(&log);
        self.logs.push_str(&daemon.stdout());
        self.check_positions();
    }

    /// Everything it has said so far, those ended before included.
    pub(crate) fn logs(&self) -> String {
        let now = self.daemon.as_ref().map(|daemon| daemon.stderr() + &daemon.stdout());
        self.logs.clone() + &now.unwrap_or_default()
    }

    /// What was said so far is no longer of interest.
    pub(crate) fn forget_logs(&mut self) {
        self.logs.clear();
    }

    /// Notes the memory it uses.
    pub(crate) fn look(&mut self) {
        let Some(daemon) = &self.daemon else { return };
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap_or_default();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
        self.peak_rss_kib = self.peak_rss_kib.max(peak.unwrap_or(0));
    }

    /// I5: positions on disk only move forward.
    fn check_positions(&mut self) {
        for (partition, next) in Outcome::positions_of(&self.data()) {
            let before = self.positions.insert(partition, next).unwrap_or(0);
            assert!(next >= before, "I5: partition {partition} went back from {before} to {next}");
        }
    }

    /// The state or the topic is replaced on purpose: positions may go back.
    pub(crate) fn forget_positions(&mut self) {
        self.positions.clear();
    }

    /// Produces the next records.
    pub(crate) fn produce(&mut self, records: &[Planned]) {
        workload::produce(self.broker, &self.topic, records);
        self.produced.extend_from_slice(records);
    }

    /// Records that the running daemon has accounted for, if it answers.
    pub(crate) fn read(&self) -> Option<u64> {
        http::get(&self.http, "/api/v1/status").ok()?.json()["law"]["read"].as_u64()
    }

    /// Waits until it has accounted for so many records.
    #[track_caller]
    pub(crate) fn wait_read(&self, records: usize) {
        let what = format!("{} to read {records} records", self.name);
        wait_until(PATIENCE, &what, || self.read().is_some_and(|read| read >= records as u64));
    }

    /// Waits until all that was produced is read, durable, judged and delivered.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        let all = self.produced.len() as u64;
        // A long stream has many windows to be judged.
        let patience = PATIENCE + Duration::from_secs(all / 50);
        wait_until(patience, &format!("{} to read everything", self.name), || self.read() == Some(all));
        let mut last = Outcome::default();
        let mut said = String::new();
        wait_until(patience, &format!("{} to save everything", self.name), || {
            last = Outcome::read(&self.data());
            let (records, waiting, judged) = (last.records(), last.pointers_waiting, last.is_judged());
            // Shown if this is waited for in vain.
            let say = format!(
                "{records:?} of {all} records, {waiting} pointers wait, judged: {judged}, {:?}",
                last.positions
            );
            if say != said {
                eprintln!("{}: {say}", self.name);
                said = say;
            }
            records == Some(all) && waiting == 0 && judged
        });
        self.wait_delivered(patience);
        self.look();
    }

    /// Waits until all that was decided so far is delivered.
    #[track_caller]
    pub(crate) fn wait_delivered(&self, patience: Duration) {
        wait_until(patience, &format!("{} to deliver everything", self.name), || {
            Outcome::read(&self.data()).outbox.iter().all(|((_, target), row)| {
                // An action may be held at the last moment: then it is dead and was not sent.
                let held = row.state == "dead" && ["retrain", "rollback"].contains(&target.as_str());
                held || ["delivered", "unknown"].contains(&row.state.as_str())
            })
        });
    }
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a writable folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (path, into) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &into);
        } else {
            fs::copy(path, into).expect("a copy");
        }
    }
}
