//! The whole journey on real servers: a producer writes a stretch of the flights stream over three partitions of a real
//! Kafka, out of order and with bad, late and future records in between; the daemon counts, judges and tells.
//!
//! Proved here: every record is accounted for; the statistics of three chosen windows equal those computed offline from
//! the Parquet file, to the last count; a real Prometheus returns them; the shipped rules and dashboards work on them and
//! a rule's alert reaches a real Alertmanager; Slack, PagerDuty, webhook and automations get exactly the requests that
//! the core decided on; and the dead-letter topic holds one pointer per refused record and nothing of its value.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by saying what is wrong")]

#[path = "journey/bad_records.rs"]
mod bad_records;
#[path = "journey/dashboards.rs"]
mod dashboards;
#[path = "journey/offline.rs"]
mod offline;
#[path = "journey/requests.rs"]
mod requests;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anchorwatch::reference::Role;
use anchorwatch::registry::Registry;
use anchorwatch::store::{OutboxState, Store};
use anchorwatch::subject::Millis;
use anchorwatch_detectors::counts::decode_sparse;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use offline::{Offline, Panes, Tally};
use support::flights::{self, HOUR, MODEL, Produced, VERSION, at};
use support::{Alertmanager, Daemon, Kafka, Prometheus, Receiver, free_port, wait_until};

const TOPIC: &str = "flights";
const REFUSED: &str = "refused";
const PARTITIONS: i32 = 3;
const SEED: u64 = 20_130_410;
const PATIENCE: Duration = Duration::from_secs(120);
/// Events stand at most this far from their place in time: less than the lateness of an hour.
const DISORDER: Millis = 20 * 60_000;
/// The longest horizon of the configuration, and the panes that are kept for it.
const DAY: Millis = 24 * HOUR;
const KEPT_PANES: i64 = 24 + 2;
/// Rows below which a window gives no statistic.
const MIN_ROWS: u64 = 150;
/// Late records of each stretch, records from the future, feedback that no reference has a label for.
const LATE: u64 = 7;
const FUTURE: u64 = 4;
const UNMATCHED: u64 = 5;

/// What was produced so far, by what must become of it.
#[derive(Debug, Default)]
struct Law {
    counted: u64,
    late: u64,
    future: u64,
    unmatched: u64,
    refused: BTreeMap<&'static str, u64>,
}

impl Law {
    fn read(&self) -> u64 {
        self.counted + self.late + self.future + self.unmatched + self.refused.values().sum::<u64>()
    }
}

struct Journey {
    folder: TempDir,
    kafka: Kafka,
    receiver: Receiver,
    alertmanager: Alertmanager,
    prometheus: Prometheus,
    daemon: Daemon,
    offline: Offline,
    law: Law,
    from: Millis,
    produced_to: Millis,
}

impl Journey {
    fn start(from: Millis, to: Millis) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kafka = Kafka::start();
        kafka.create_topic(TOPIC, PARTITIONS);
        kafka.create_topic(REFUSED, 1);
        let receiver = Receiver::start();
        let http = format!("127.0.0.1:{}", free_port());
        let alertmanager = Alertmanager::start(&receiver.url("/alertmanager"));
        let rules = [dashboards::rules("recording.yaml"), dashboards::rules("alerts.yaml")];
        let prometheus =
            Prometheus::start(std::slice::from_ref(&http), &rules, &[alertmanager.address().to_owned()]);
        flights::register(&folder.path().join("data"));
        register_without_label(folder.path());
        let config = configuration(folder.path(), &kafka, &receiver, &http);
        let mut daemon = Daemon::spawn(&config, &http, &[]);
        daemon.wait_ready();
        let reference = reference(&folder.path().join("data"));
        let offline = Offline::new(reference, from, to);
        let law = Law::default();
        Self {
            folder,
            kafka,
            receiver,
            alertmanager,
            prometheus,
            daemon,
            offline,
            law,
            from,
            produced_to: from,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Produces the next stretch, with its share of records that must not be counted, up to an hour and forty minutes
    /// after `end`, so that the windows that end there are complete.
    fn produce_past(&mut self, end: Millis, seed: u64) {
        let to = end + 100 * 60_000;
        let events = flights::events(self.produced_to, to);
        self.law.counted += events.len() as u64;
        let first = events[0].ts;
        let mut strays: Vec<Produced> = Vec::new();
        let mut rng = StdRng::seed_from_u64(SEED + seed);
        for (reason, value) in bad_records::all(first, seed) {
            *self.law.refused.entry(reason).or_default() += 1;
            strays.push(Produced { partition: partition(strays.len()), value });
        }
        for index in 0..FUTURE {
            let value = bad_records::future(index);
            strays.push(Produced { partition: partition(strays.len()), value: Some(value) });
        }
        (self.law.future, self.law.unmatched) = (self.law.future + FUTURE, self.law.unmatched + UNMATCHED);
        strays.shuffle(&mut rng);
        let events = flights::shuffled(events, DISORDER, SEED + seed);
        let mut records = flights::spread(events, PARTITIONS, SEED + seed);
        let every = records.len() / strays.len();
        for (index, stray) in strays.into_iter().enumerate() {
            records.insert(index * (every + 1), stray);
        }
        let unmatched = || Produced { partition: 0, value: Some(bad_records::unmatched(first)) };
        records.splice(0..0, (0..UNMATCHED).map(|_| unmatched()));
        // Only at the end of the stretch is every partition known to be far enough for these to be late.
        for index in 0..LATE {
            let value = bad_records::prediction(end - 5 * HOUR, &format!("late-{seed}-{index}"));
            records.push(Produced { partition: partition(index as usize), value: Some(value) });
        }
        self.law.late += LATE;
        flights::produce(&self.kafka, TOPIC, &records);
        self.produced_to = to;
    }

    /// The latest windows of the whole and of each origin, once those that end at `end` are judged.
    fn windows(&self, horizon: &str, end: Millis) -> Vec<Value> {
        let path = format!("/api/v1/windows?model={MODEL}&version={VERSION}&horizon={horizon}&limit=1000");
        let mut windows = Vec::new();
        wait_until(PATIENCE, &format!("the {horizon} windows that end at {end}"), || {
            let page = self.daemon.http_get(&path).json();
            windows = page["items"].as_array().expect("items").clone();
            let ends: Vec<i64> = windows.iter().filter_map(|window| window["end"].as_i64()).collect();
            assert!(ends.iter().all(|found| *found <= end), "judged beyond what was produced: {ends:?}");
            windows.len() == 4 && ends.iter().all(|found| *found == end)
        });
        windows
    }

    /// Law L-1 with the expected number in each class, from the API and from `/metrics`.
    fn check_law(&self) {
        let status = || self.daemon.http_get("/api/v1/status").json();
        wait_until(PATIENCE, "every record to be read", || status()["law"]["read"] == self.law.read());
        let law = status()["law"].take();
        let Law { counted, late, future, unmatched, refused } = &self.law;
        let expected = json!({"read": self.law.read(), "counted": counted, "late": late, "future": future,
                              "unmatched": unmatched, "duplicate": 0, "refused": refused});
        assert_eq!(law, expected, "L-1");
        for class in ["read", "counted", "late", "future", "unmatched", "duplicate"] {
            let shown = self.daemon.metric(&format!("anchorwatch_records_{class}_total"));
            assert_eq!(shown, expected[class].as_f64(), "records_{class}_total");
        }
        for (reason, count) in refused {
            let shown =
                self.daemon.metric(&format!("anchorwatch_records_refused_total{{reason=\"{reason}\"}}"));
            assert_eq!(shown, Some(*count as f64), "records_refused_total of {reason}");
        }
    }

    /// Every pane of the state file equals the one counted offline, and no pane is missing or added.
    fn check_panes(&self, expected: &Panes, end: Millis) {
        let read = self.law.read();
        let mut restored = None;
        wait_until(PATIENCE, "a checkpoint of every record", || {
            let state = Store::open(&self.data()).and_then(|store| store.restore()).expect("the state file");
            let done: i64 = state.positions.iter().map(|position| position.next_offset).sum();
            let core: Value = state
                .documents
                .get("core")
                .map_or(Value::Null, |core| serde_json::from_str(core).expect("JSON"));
            let closed = core["closed"] == end / HOUR;
            restored = (done.unsigned_abs() == read && closed).then_some(state);
            restored.is_some()
        });
        let restored = restored.expect("just found");
        let layout = self.offline.reference.layout();
        let subjects: BTreeMap<_, _> = restored.subjects.iter().map(|(id, subject)| (*id, subject)).collect();
        let mut found = Panes::new();
        for row in &restored.panes {
            let counts = decode_sparse(&row.counts.packed(), self.offline.reference.live_layout().len())
                .expect("a packed pane");
            let tally = Tally::of_counters(&layout, &counts);
            let columns = &counts[..layout.len()];
            assert_eq!(tally.total(), columns.iter().sum::<u64>(), "every counter belongs to a column");
            let segment = subjects[&row.subject].segment.as_deref().map(str::to_owned);
            found.insert((segment, row.pane), tally);
        }
        let kept = end / HOUR - KEPT_PANES;
        let expected: Panes = expected
            .iter()
            .filter(|((_, pane), _)| *pane >= kept)
            .map(|(key, tally)| (key.clone(), tally.clone()))
            .collect();
        let keys = |panes: &Panes| panes.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&found), keys(&expected), "the panes that are kept");
        for (key, tally) in &expected {
            assert_eq!(&found[key], tally, "pane {key:?}");
        }
    }

    /// What the API shows of the windows that end at `end` equals what the raw values give.
    fn check_windows(&self, panes: &Panes, horizon: &str, length: Millis, end: Millis) {
        for window in self.windows(horizon, end) {
            let segment = window["segment"].as_str();
            let (from, to) = (end - length, end);
            assert_eq!(window["start"], from);
            let tally = self.offline.window(panes, segment, from, to);
            assert_eq!(window["rows"], tally.rows, "rows of {segment:?}");
            self.check_ratios(&window, &tally);
            let recomputed = self.check_statistics(&window, &tally, (from, to));
            let enough = tally.rows >= MIN_ROWS;
            assert!(
                recomputed >= 25 || !enough,
                "only {recomputed} statistics of {segment:?} were recomputed"
            );
            assert!(enough || segment.is_some(), "the stretch is badly chosen");
            if segment.is_none() {
                self.check_latency(&window, (from, to));
            }
        }
    }

    fn check_ratios(&self, window: &Value, tally: &Tally) {
        // A segment is not judged on the field that makes it one.
        let judged = |name: &str| name != "origin" || window["segment"].is_null();
        let columns =
            self.offline.reference.columns.iter().enumerate().filter(|(_, column)| judged(&column.name));
        let mut all = window["columns"].as_array().expect("columns").iter();
        for (index, column) in columns {
            let (counts, cells) = (&tally.columns[index], column.binning.cells());
            let shown = all.next().expect("as many columns as the reference has");
            assert_eq!(shown["column"], column.name);
            let (total, present) = (counts.iter().sum::<u64>(), counts[..cells].iter().sum::<u64>());
            let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
            let edges = match &column.binning {
                anchorwatch_detectors::Binning::Numeric(_) => ("out_of_range", counts[0] + counts[cells - 1]),
                anchorwatch_detectors::Binning::Categorical(_) => ("unseen", counts[cells - 1]),
            };
            assert_eq!(shown["missing"].as_f64(), share(counts[cells], total), "missing {}", column.name);
            assert_eq!(shown["wrong_type"].as_f64(), share(counts[cells + 1] + counts[cells + 2], total));
            assert_eq!(shown[edges.0].as_f64(), share(edges.1, present), "{} {}", edges.0, column.name);
        }
        assert_eq!(all.next(), None, "a column that the reference does not have");
    }

    /// Every drift statistic that is shown equals the one recomputed; those with enough rows are shown.
    fn check_statistics(&self, window: &Value, tally: &Tally, span: (Millis, Millis)) -> usize {
        let segment = window["segment"].as_str();
        let mut recomputed = 0;
        for verdict in
            window["verdicts"].as_array().expect("verdicts").iter().filter(|v| v["kind"] == "drift")
        {
            let (name, detector) =
                (verdict["column"].as_str().expect("a name"), verdict["detector"].as_str().expect("one"));
            let index = self.offline.reference.columns.iter().position(|c| c.name == name).expect("a column");
            let column = &self.offline.reference.columns[index];
            let present: u64 = tally.columns[index][..column.binning.cells()].iter().sum();
            assert_eq!(verdict["rows"], present, "rows of {name}");
            let Some(shown) = verdict["statistic"].as_f64() else {
                assert!(present < MIN_ROWS, "{name} has {present} rows and no statistic");
                continue;
            };
            if detector == "wasserstein" {
                continue; // an estimate from the cut points with bounds of its own, which are tested where it is made
            }
            let own = self.offline.statistic(column, detector, segment, span);
            let own = own.unwrap_or_else(|| panic!("{detector} of {name} is not recomputed: {verdict}"));
            assert!(
                (shown - own).abs() <= 1e-9 * own.abs().max(1.0),
                "{name} {detector}: {shown}, offline {own}"
            );
            if detector == "ks" && segment.is_none() && column.role != Role::Label {
                let (exact, gap) = self.offline.exact_ks(column, span).expect("a numeric column");
                assert!(
                    (shown - 1e-12..=shown + gap + 1e-12).contains(&exact),
                    "{name}: {shown} is not within {gap} of {exact}"
                );
            }
            recomputed += 1;
        }
        recomputed
    }

    fn check_latency(&self, window: &Value, span: (Millis, Millis)) {
        let quantiles = window["latency"]["quantiles"].as_array().expect("quantiles");
        assert_eq!(quantiles.len(), 3);
        for quantile in quantiles {
            let own = self.offline.latency_quantile(quantile["quantile"].as_f64().expect("q"), span);
            let shown = quantile["value_ms"].as_f64().expect("a value");
            // The stated limit: half a bucket of a sixteenth of an octave, and three significant figures.
            assert!((shown / own - 1.0).abs() <= 1.0 / 32.0 + 0.001, "{quantile}: offline {own}");
        }
    }

    /// PromQL returns what the API shows.
    fn check_prometheus(&self, horizon: &str, end: Millis) {
        let subject = format!("model=\"{MODEL}\",version=\"{VERSION}\"");
        let seconds = (end / 1_000).to_string();
        let ends = format!("anchorwatch_window_end_timestamp_seconds{{{subject},horizon=\"{horizon}\"}}");
        wait_until(PATIENCE, "Prometheus to have scraped the windows", || {
            self.prometheus.query(&ends)[0]["value"][1].as_str() == Some(seconds.as_str())
        });
        let mut compared = 0;
        for window in self.windows(horizon, end) {
            let segment = window["segment"].as_str().unwrap_or_default();
            let own = format!("{subject},segment=\"{segment}\",horizon=\"{horizon}\"");
            let value = |promql: String| self.prometheus.value(&promql);
            assert_eq!(Some(value(format!("anchorwatch_window_rows{{{own}}}"))), window["rows"].as_f64());
            let found = self.prometheus.series(&format!("anchorwatch_feature_statistic{{{own}}}"));
            let shown: BTreeMap<(String, String), f64> = found
                .iter()
                .map(|series| {
                    let label = |name: &str| series["metric"][name].as_str().expect("a label").to_owned();
                    let text = series["value"][1].as_str().expect("a value");
                    ((label("feature"), label("detector")), text.parse().expect("a number"))
                })
                .collect();
            for verdict in window["verdicts"].as_array().expect("verdicts") {
                let label = |name: &str| verdict[name].as_str().expect("a text").to_owned();
                let scraped = shown.get(&(label("column"), label("detector"))).copied();
                assert_eq!(scraped, verdict["statistic"].as_f64(), "{verdict}");
                compared += usize::from(scraped.is_some());
            }
        }
        assert!(compared > 200, "only {compared} statistics were scraped");
        // The scrape that showed the windows may have come before the last records of the batch were read.
        let all = self.law.read() as f64;
        let read = || self.prometheus.value("anchorwatch_records_read_total");
        wait_until(PATIENCE, "Prometheus to have scraped every record read", || read() == all);
        let left = self.prometheus.value(
            "sum(anchorwatch_records_refused_total) + sum(anchorwatch_records_late_total) \
             + sum(anchorwatch_records_future_total) + sum(anchorwatch_records_unmatched_total) \
             + sum(anchorwatch_records_duplicate_total) + sum(anchorwatch_records_counted_total)",
        );
        assert_eq!(left, all, "L-1 as Prometheus sees it");
    }

    fn check_everything(&mut self, end: Millis, seed: u64) {
        self.produce_past(end, seed);
        let panes = self.offline.panes(self.from, self.produced_to);
        self.check_windows(&panes, "24h", DAY, end);
        self.check_windows(&panes, "6h", 6 * HOUR, end);
        self.check_law();
        self.check_panes(&panes, end);
        self.check_prometheus("24h", end);
    }

    /// One pointer per refused record, with nothing of its value.
    fn check_dead_letters(&self) {
        let refused: u64 = self.law.refused.values().sum();
        let count = || self.kafka.offsets(REFUSED).iter().map(|(first, next)| next - first).sum::<i64>();
        wait_until(PATIENCE, "the pointers to refused records", || count().unsigned_abs() >= refused);
        let mut expected = BTreeSet::new();
        for record in self.kafka.read_all(TOPIC) {
            if let Some(reason) = bad_records::reason_of(&record.value) {
                expected.insert((record.partition.into(), record.offset, reason.to_owned()));
            }
        }
        let mut found: BTreeSet<(i64, i64, String)> = BTreeSet::new();
        let pointers = self.kafka.read_all(REFUSED);
        for pointer in &pointers {
            let text = String::from_utf8(pointer.value.clone()).expect("a text");
            assert!(!text.contains(bad_records::MARK), "a value was repeated: {text}");
            let fields: BTreeMap<String, Value> = serde_json::from_str(&text).expect("a JSON object");
            let names: Vec<&str> =
                fields.keys().map(String::as_str).filter(|name| *name != "sha256").collect();
            assert_eq!(names, ["detail", "offset", "partition", "reason", "size", "topic"]);
            let digits = fields.get("sha256").and_then(Value::as_str).map_or(0, str::len);
            assert!(digits == 64 || fields["size"] == 0, "{text}");
            assert_eq!(fields["topic"], TOPIC);
            let number = |name: &str| fields[name].as_i64().expect("a number");
            let reason = fields["reason"].as_str().expect("a reason").to_owned();
            found.insert((number("partition"), number("offset"), reason));
        }
        assert_eq!(found, expected);
        assert_eq!(pointers.len() as u64, refused, "one pointer each");
    }
}

fn partition(index: usize) -> i32 {
    i32::try_from(index % PARTITIONS as usize).expect("a partition")
}

/// A model whose reference has no label column: feedback for it has nothing to be matched with.
fn register_without_label(folder: &Path) {
    let rows: String = (0..300).map(|i| format!("{}\n", i % 50)).collect();
    let (file, data) = (folder.join("quiet.csv"), folder.join("data"));
    fs::write(&file, format!("amount\n{rows}")).expect("a writable folder");
    let (file, data) = (file.display().to_string(), data.display().to_string());
    let args = ["reference", "create", "--model", "quiet", "--version", "1.0.0", "--from", &file];
    flights::succeeds(&[&["--data-dir", &data], &args[..]].concat());
}

fn configuration(folder: &Path, kafka: &Kafka, receiver: &Receiver, http: &str) -> PathBuf {
    let secret = |name: &str, value: &str| {
        fs::write(folder.join(name), value).expect("a writable folder");
        json!({"file": folder.join(name)})
    };
    let signing = secret("signing", requests::SECRET);
    let config = json!({
        "data_dir": folder.join("data"),
        "kafka": {"bootstrap": kafka.bootstrap(), "topics": [TOPIC], "group": "journey", "dead_letter_topic": REFUSED},
        "events": {"max_bytes": bad_records::MAX_BYTES, "max_features": bad_records::MAX_FEATURES},
        "windows": {
            "pane": "1h", "horizons": [{"length": "6h", "every": "1h"}, {"length": "24h", "every": "2h"}],
            "lateness": "1h", "idle_after": "1h", "min_rows": MIN_ROWS,
        },
        "segments": {"field": "origin"},
        "monitor": {"verdicts": "classical", "baseline_margin": 1.0, "latency": {"objective_ms": 20}},
        "alerts": {"severity": {"data_fault": "critical"}, "link_base": requests::LINK_BASE},
        "sinks": [
            {"name": "slack", "type": "slack", "url": secret("slack", &receiver.url("/slack")),
             "rate_per_minute": 60_000, "burst": 1_000},
            {"name": "pagerduty", "type": "pagerduty", "url": receiver.url("/pagerduty"), "rate_per_minute": 60_000, "burst": 1_000,
             "routing_key": secret("pagerduty", requests::ROUTING_KEY), "min_severity": "critical"},
            {"name": "webhook", "type": "webhook", "url": receiver.url("/webhook"), "secret": signing,
             "rate_per_minute": 60_000, "burst": 1_000},
        ],
        "actions": [
            // Only recorded: days of the stream pass in seconds here, so that alerts are over before anything is sent.
            // What is really sent, and what becomes of it, is the business of tests/actions.rs.
            {"name": "retrain", "kind": "retrain", "url": receiver.url("/retrain"), "on": ["drift"], "mode": "dry_run",
             "cooldown": "3d", "max_evidence_age": "36500d", "secret": signing},
            {"name": "rollback", "kind": "rollback", "url": receiver.url("/rollback"), "on": ["data_fault"],
             "mode": "dry_run", "cooldown": "3d", "max_evidence_age": "36500d", "secret": signing},
        ],
        "action_guards": {"deploy_grace": "0s"},
        "http": {"listen": http},
        "checkpoint": {"every": "1s"},
    });
    let path = folder.join("anchorwatch.yaml"); // JSON is YAML
    fs::write(&path, config.to_string()).expect("a writable folder");
    path
}

fn reference(data: &Path) -> anchorwatch::reference::Reference {
    let registry = Registry::open(data).expect("the registry");
    let active = registry.active().expect("references");
    let serving =
        active.iter().find(|active| active.model == MODEL && active.version == VERSION).expect("one");
    registry.load_reference(serving.reference_id.as_str()).expect("the active reference")
}

#[test]
fn a_stream_becomes_statistics_metrics_alerts_and_requests_and_every_record_is_accounted_for() {
    let ends = [at(4, 5, 18), at(4, 10, 18), at(4, 16, 18)];
    let mut journey = Journey::start(at(4, 3, 0), ends[2] + 2 * HOUR);
    // Before the incident, inside it (the weather feed sends Celsius from the 9th to the 11th), and after it.
    journey.check_everything(ends[0], 0);
    journey.check_everything(ends[1], 1);
    dashboards::check_rules(&journey.prometheus, &journey.alertmanager, &journey.receiver);
    dashboards::check_panels(&journey.prometheus);
    dashboards::check_names(&journey.daemon.http_get("/metrics").body);
    journey.check_everything(ends[2], 2);
    journey.check_dead_letters();

    let expected = requests::decided(
        &journey.data(),
        &journey.folder.path().join("anchorwatch.yaml"),
        &journey.kafka,
        TOPIC,
    );
    let settled = || {
        let store = Store::open(&journey.data()).expect("the state file");
        let rows = store.list_outbox(Some(OutboxState::Delivered), usize::MAX).expect("the outbox");
        rows.len() >= expected.len()
    };
    wait_until(PATIENCE, "every delivery to be confirmed", settled);
    assert!(journey.daemon.terminate().success(), "{}", journey.daemon.stderr());
    requests::check(&expected, &journey.data(), &journey.receiver);
    let log = journey.daemon.stderr();
    assert!(!log.contains("ERROR") && !log.contains("\"level\":\"error\""), "{log}");
}
