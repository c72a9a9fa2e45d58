//! Laws of the synchronous core: the same records give the same windows and alerts in any order that Kafka may hand
//! them over, and across any restart.
#![expect(clippy::expect_used, reason = "a helper fails its test by saying what is wrong")]

#[path = "engine_laws/arrivals.rs"]
mod arrivals;
#[path = "engine_laws/leaving.rs"]
mod leaving;
#[path = "engine_laws/protocol.rs"]
mod protocol;
#[path = "engine_laws/silent.rs"]
mod silent;
#[path = "engine_laws/slices.rs"]
mod slices;
#[path = "support/stored.rs"]
mod stored;
#[path = "engine_laws/threads.rs"]
mod threads;
#[path = "engine_laws/waiting.rs"]
mod waiting;
#[path = "engine_laws/watermark.rs"]
mod watermark;

use std::collections::BTreeMap;
use std::sync::Arc;

use anchorwatch::action::VersionFacts;
use anchorwatch::alert::AlertCommand;
use anchorwatch::config::{self, Config};
use anchorwatch::engine::{CatalogEntry, Command, Engine, Order, Restored};
use anchorwatch::event::Record;
use anchorwatch::reference::{Column, ColumnKind, Joint, Layout, Provenance, Reference, Role, Value};
use anchorwatch::view::{AlertState, WindowView};
use anchorwatch::window::{GapReason, WatchedVersion};
use anchorwatch_detectors::binning::{Binning, CategoricalBinning, NumericBinning};
use proptest::prelude::*;
use stored::apply;

const MINUTE: i64 = 60_000;
const START: i64 = 1_700_000_040_000;
const NOW: i64 = START + 10_000 * MINUTE;

fn settings() -> Config {
    let text = r#"
kafka: { bootstrap: "127.0.0.1:9", topics: [t] }
windows: { pane: 1m, horizons: [{ length: 5m, every: 1m }, { length: 20m, every: 5m }], lateness: 2m, min_rows: 20 }
segments: { field: country }
monitor: { floors: { ks: 0.2 } }
alerts:
  fire_after: 1
  of_last: 1
  clear_after: 1
  route:
    group_wait: 2m
    group_interval: 3m
    repeat_interval: 7m
    routes:
      - { matchers: ['feature=x'], continue: true, group_by: [model, feature], digest: 15m }
      - { matchers: ['feature=x'] }
sinks: [{ name: w, type: webhook, url: "http://localhost/" }]
"#;
    config::parse(text, "test").expect("valid settings")
}

fn column(name: &str, role: Role, binning: Binning) -> Column {
    let kind = match binning {
        Binning::Numeric(_) => ColumnKind::Numeric,
        Binning::Categorical(_) => ColumnKind::Categorical,
    };
    Column {
        name: name.to_owned(),
        role,
        kind,
        required: true,
        single_precision: false,
        binning,
        usual: None,
        unseen_beyond: 0.0,
        notes: Vec::new(),
    }
}

fn reference() -> Arc<Reference> {
    let knots = NumericBinning::new((0..=20).map(f64::from).collect()).expect("ascending");
    let countries = CategoricalBinning::new(vec!["DE".to_owned(), "FR".to_owned()]).expect("distinct");
    let columns = vec![
        column("x", Role::Feature, Binning::Numeric(knots)),
        column("country", Role::Feature, Binning::Categorical(countries)),
    ];
    let layout = Layout::new(&columns);
    let mut profile = vec![0; layout.len()];
    for i in 0..400_u32 {
        profile[Layout::ROWS] += 1;
        profile[layout.index(0, columns[0].slot(Value::Number(f64::from(i % 10))))] += 1;
        let country = if i % 2 == 0 { "DE" } else { "FR" };
        profile[layout.index(1, columns[1].slot(Value::Text(country)))] += 1;
    }
    Arc::new(Reference {
        model: "m".to_owned(),
        version: "1.0.0".to_owned(),
        columns,
        has_latency: false,
        profile,
        window_ms: None,
        windows: Default::default(),
        segment_field: None,
        segments: BTreeMap::new(),
        joint: Joint { new_values: true, ..Joint::default() },
        calibration: None,
        provenance: Provenance::default(),
    })
}

/// An order; silences are compared with event time, so that it does not matter between which records it is given.
fn order(command: AlertCommand) -> Order {
    Order { by: "me".to_owned(), at: START, command: Command::Alert(command) }
}

fn silence(matcher: &str, from: i64, to: i64) -> Order {
    let matchers = vec![matcher.parse().expect("a matcher")];
    let (starts_at, ends_at) = (Some(START + from * MINUTE), START + to * MINUTE);
    order(AlertCommand::Silence { matchers, starts_at, ends_at, comment: String::new() })
}

/// What people do now and then: silence for a while, acknowledge what fires, end a silence early.
fn interfere(engine: &mut Engine, turn: usize) {
    let firing =
        |engine: &Engine| engine.alert_views().into_iter().find(|view| view.state == AlertState::Firing);
    let command = match turn % 7 {
        2 => silence("feature=x", 0, 10_000),
        4 => order(AlertCommand::Expire { id: format!("s{}", turn / 7 + 2) }),
        5 => match firing(engine) {
            Some(view) => order(AlertCommand::Acknowledge { group: view.group, comment: "seen".to_owned() }),
            None => return,
        },
        _ => return,
    };
    // What it says stands in the outcome: an order that comes too late changes nothing.
    let _ = engine.command(&command);
}

fn engine() -> Engine {
    engine_with(&settings())
}

fn engine_with(settings: &Config) -> Engine {
    let mut engine = Engine::new(settings);
    engine.set_catalog(&catalog());
    (0..3).for_each(|partition| engine.assign("t", partition, None));
    engine.command(&silence("feature=x", 38, 45)).expect("a silence");
    engine
}

fn catalog() -> [CatalogEntry; 1] {
    let watched = WatchedVersion {
        model: "m".to_owned(),
        version: "1.0.0".to_owned(),
        reference_id: "ref".to_owned(),
        reference: reference(),
        takes_feedback: false,
    };
    [CatalogEntry { watched, facts: VersionFacts { current: true, ..VersionFacts::default() } }]
}

/// A record of partition `p`, as a producer would have written it.
#[derive(Debug, Clone)]
struct Sent {
    partition: i32,
    offset: i64,
    json: String,
}

/// Events of an hour in three partitions; `x` jumps after half of it. Some are broken, late or of another model.
fn stream(seed: u64, jitter: i64) -> Vec<Vec<Sent>> {
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut partitions = vec![Vec::new(); 3];
    for i in 0..3_000_i64 {
        let drift = if i > 1_500 { 8 } else { 0 };
        let ts = START + i * 1_200 - i64::try_from(random(jitter.unsigned_abs() + 1)).expect("small");
        let x = random(10) + drift;
        let country = match random(200) {
            0 => "IT",
            even if even % 2 == 0 => "DE",
            _ => "FR",
        };
        let json = match random(50) {
            0 => "not json".to_owned(),
            1 => format!(r#"{{"model":"other","version":"1.0.0","ts":{ts},"features":{{}}}}"#),
            2 => format!(
                r#"{{"model":"m","version":"1.0.0","ts":{},"features":{{"x":{x}}}}}"#,
                ts - 30 * MINUTE
            ),
            _ => format!(
                r#"{{"model":"m","version":"1.0.0","ts":{ts},"features":{{"x":{x},"country":"{country}"}},"segment":{{"country":"{country}"}}}}"#
            ),
        };
        let partition = usize::try_from(random(3)).expect("small");
        let offset = i64::try_from(partitions[partition].len()).expect("small");
        partitions[partition].push(Sent {
            partition: i32::try_from(partition).expect("small"),
            offset,
            json,
        });
    }
    partitions
}

/// What a run leaves behind that must not depend on the order of hand-over.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    windows: BTreeMap<(i64, String, Option<String>), WindowView>,
    told: Vec<String>,
    /// Why alerts were kept back, in order.
    suppressed: Vec<&'static str>,
    /// Digests that were due.
    digests: usize,
}

fn record(sent: &Sent) -> Record<'_> {
    Record {
        topic: "t",
        partition: sent.partition,
        offset: sent.offset,
        timestamp: None,
        appended_at: None,
        key: None,
        headers: &[],
        payload: Some(sent.json.as_bytes()),
    }
}

fn feed(engine: &mut Engine, sent: &Sent) {
    engine.ingest(&record(sent), NOW);
    assert!(engine.law().holds(), "L-1");
}

fn advance(engine: &mut Engine, outcome: &mut Outcome) {
    let (progress, more) = engine.advance(NOW, usize::MAX);
    assert!(!more);
    for window in progress.windows {
        outcome.windows.insert((window.end, window.horizon.clone(), window.segment.clone()), window);
    }
    outcome.suppressed.extend(progress.suppressed.iter().map(|reason| reason.as_str()));
    outcome.digests += progress.digests;
    outcome.told.extend(progress.notifications.into_iter().map(|one| one.key + &one.summary));
}

/// Hands the partitions over in runs chosen by `choices`, each partition in its own order.
fn run(
    partitions: &[Vec<Sent>],
    choices: &[(usize, usize)],
    mut between: impl FnMut(Engine) -> Engine,
) -> Outcome {
    let (mut engine, mut outcome) = (engine(), Outcome::default());
    let mut next = [0; 3];
    let mut choices = choices.iter().cycle();
    while next.iter().zip(partitions).any(|(next, records)| *next < records.len()) {
        let (partition, length) = *choices.next().expect("a cycle never ends");
        for sent in partitions[partition].iter().skip(next[partition]).take(length) {
            feed(&mut engine, sent);
            next[partition] += 1;
        }
        advance(&mut engine, &mut outcome);
        engine = between(engine);
    }
    outcome
}

/// Only events that are counted, by event time, with an id each.
fn ordered(seed: u64) -> Vec<Vec<(i64, String)>> {
    let countable = |sent: &Sent| {
        let mut event: serde_json::Value = serde_json::from_str(&sent.json).ok()?;
        event["features"].get("country")?;
        event["id"] = format!("{}/{}", sent.partition, sent.offset).into();
        Some((event["ts"].as_i64()?, event.to_string()))
    };
    let partitions = stream(seed, MINUTE).into_iter();
    partitions
        .map(|records| {
            let mut events: Vec<_> = records.iter().filter_map(countable).collect();
            events.sort_by_key(|(ts, _)| *ts);
            events
        })
        .collect()
}

/// As a log: offsets in this order.
fn log(partitions: Vec<Vec<(i64, String)>>) -> Vec<Vec<Sent>> {
    let sent = |partition: i32, records: Vec<(i64, String)>| {
        (0..).zip(records).map(|(offset, (_, json))| Sent { partition, offset, json }).collect()
    };
    (0..).zip(partitions).map(|(partition, records)| sent(partition, records)).collect()
}

/// Small random numbers that depend on nothing but the seed.
fn random(seed: u64) -> impl FnMut(u64) -> i64 {
    let mut state = seed | 1;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % below).expect("small")
    }
}

fn restart(mut engine: Engine, stored: &mut Restored) -> Engine {
    apply(stored, engine.checkpoint());
    let mut restarted = Engine::new(&settings());
    let report = restarted.restore(stored.clone(), |_| Some(reference())).expect("its own documents");
    assert_eq!(report.panes_left_out, 0);
    restarted.set_catalog(&catalog());
    (0..3).for_each(|partition| restarted.assign("t", partition, None));
    assert_eq!(restarted.law(), engine.law());
    restarted
}

#[test]
fn drift_is_told_once_and_its_windows_are_complete() {
    let outcome = run(&stream(7, 0), &[(0, 10), (1, 10), (2, 10)], |engine| engine);
    assert!(outcome.told.iter().any(|told| told.contains("drift: x")), "{:?}", outcome.told);
    assert!(outcome.told.iter().any(|told| told.contains("still firing")), "{:?}", outcome.told);
    assert!(outcome.suppressed.contains(&"silence") && outcome.digests > 0, "{:?}", outcome.suppressed);
    let whole = outcome.windows.values().filter(|window| window.segment.is_none() && window.horizon == "5m");
    assert!(whole.count() > 40);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// W-4: windows and notifications do not depend on how the partitions are interleaved.
    #[test]
    fn any_interleaving_of_the_partitions_gives_the_same_windows_and_notifications(
        seed in any::<u64>(),
        choices in proptest::collection::vec((0..3_usize, 1..200_usize), 8..32),
    ) {
        let mut choices = choices;
        choices.extend([(0, 50), (1, 50), (2, 50)]);
        let partitions = stream(seed, MINUTE);
        let ordered = run(&partitions, &[(0, 1), (1, 1), (2, 1)], |engine| engine);
        prop_assert_eq!(&run(&partitions, &choices, |engine| engine), &ordered);
    }

    /// C-1: a restart from a checkpoint at any moment changes nothing.
    #[test]
    fn a_restart_at_any_moment_changes_nothing(
        seed in any::<u64>(),
        choices in proptest::collection::vec((0..3_usize, 1..300_usize), 4..12),
        restarts in proptest::collection::vec(any::<bool>(), 16),
    ) {
        let mut choices = choices;
        choices.extend([(0, 100), (1, 100), (2, 100)]);
        let partitions = stream(seed, MINUTE);
        let mut turn = 0;
        let unbroken = run(&partitions, &choices, |mut engine| {
            turn += 1;
            interfere(&mut engine, turn);
            engine
        });
        let (mut stored, mut turn) = (Restored::default(), 0);
        let broken = run(&partitions, &choices, |mut engine| {
            turn += 1;
            interfere(&mut engine, turn);
            if restarts[turn % restarts.len()] { restart(engine, &mut stored) } else { engine }
        });
        prop_assert_eq!(broken, unbroken);
    }

    /// R-1: whatever comes out of order, but no later than the lateness, is counted as if it had come in order.
    #[test]
    fn a_replay_shuffled_within_the_lateness_gives_the_same_windows(seed in any::<u64>()) {
        let in_order = ordered(seed);
        let mut jitter = random(seed);
        let shuffled = in_order.iter().map(|records| {
            let mut keyed: Vec<_> =
                records.iter().map(|one| (one.0 + jitter(2 * MINUTE.unsigned_abs()), one.clone())).collect();
            keyed.sort_by_key(|(at, _)| *at);
            keyed.into_iter().map(|(_, one)| one).collect()
        });
        let [shuffled, in_order] = [shuffled.collect(), in_order].map(|records| {
            let mut outcome = run(&log(records), &[(0, 7), (2, 40), (1, 3)], |engine| engine);
            // Judging begins with the first record that comes, which is another one.
            outcome.windows.retain(|(end, ..), _| *end > START + 4 * MINUTE);
            outcome
        });
        prop_assert_eq!(shuffled, in_order);
    }

    /// D-1: events that were produced twice, within reach, change nothing but the law's counter, across restarts too.
    #[test]
    fn duplicates_within_reach_change_nothing(
        seed in any::<u64>(),
        restarts in proptest::collection::vec(any::<bool>(), 8),
    ) {
        const REACH: usize = 200;
        let once = ordered(seed);
        let mut choose = random(seed);
        let doubled: Vec<Vec<(i64, String)>> = once
            .iter()
            .map(|records| {
                let mut doubled: Vec<(i64, String)> = Vec::new();
                for record in records {
                    doubled.push(record.clone());
                    if choose(5) == 0 {
                        let back = usize::try_from(choose(80)).expect("small").min(doubled.len() - 1);
                        doubled.push(doubled[doubled.len() - 1 - back].clone());
                    }
                }
                doubled
            })
            .collect();
        let added: usize =
            doubled.iter().map(Vec::len).sum::<usize>() - once.iter().map(Vec::len).sum::<usize>();
        let doubled = log(doubled);
        let mut settings = settings();
        settings.events.dedup = Some(config::Dedup { last: u32::try_from(REACH).expect("small") });
        let (mut engine, mut outcome) = (engine_with(&settings), Outcome::default());
        let (mut stored, mut turn, mut next) = (Restored::default(), 0, [0; 3]);
        while next.iter().zip(&doubled).any(|(next, records)| *next < records.len()) {
            for (next, records) in next.iter_mut().zip(&doubled) {
                records.iter().skip(*next).take(150).for_each(|sent| feed(&mut engine, sent));
                *next = (*next + 150).min(records.len());
            }
            advance(&mut engine, &mut outcome);
            turn += 1;
            if restarts[turn % restarts.len()] {
                apply(&mut stored, engine.checkpoint());
                engine = engine_with(&settings);
                engine.restore(stored.clone(), |_| Some(reference())).expect("its own documents");
                engine.set_catalog(&catalog());
                for (next, records) in next.iter().zip(&doubled) {
                    records[next.saturating_sub(REACH)..*next].iter().for_each(|sent| engine.remember(&record(sent)));
                }
            }
        }
        prop_assert_eq!(engine.law().duplicate, added as u64);
        let plain = run(&log(once), &[(0, 150), (1, 150), (2, 150)], |engine| engine);
        prop_assert_eq!(outcome.windows, plain.windows);
        prop_assert_eq!(outcome.told, plain.told);
    }

    /// G-1: a window that misses rows says so. None is silently wrong.
    #[test]
    fn a_window_without_all_of_its_rows_has_a_coverage_below_one(
        seed in any::<u64>(),
        partition in 0..3_usize,
        from in 0..900_usize,
        lost in 1..400_usize,
    ) {
        let whole = log(ordered(seed));
        let full = run(&whole, &[(0, 30), (1, 30), (2, 30)], |engine| engine);
        let (mut engine, mut outcome, mut next) = (engine(), Outcome::default(), [0_usize; 3]);
        let last = whole[partition].len();
        let (from, to) = (from.min(last - 2), (from + lost).min(last - 1));
        while next.iter().zip(&whole).any(|(next, records)| *next < records.len()) {
            for (number, records) in whole.iter().enumerate() {
                for _ in 0..30 {
                    if number == partition && next[number] == from {
                        next[number] = to.max(from);
                        let (number, to) = (i32::try_from(number).expect("small"), i64::try_from(to).expect("small"));
                        engine.reset_position("t", number, to, GapReason::Truncated, NOW);
                    }
                    if let Some(sent) = records.get(next[number]) {
                        feed(&mut engine, sent);
                        next[number] += 1;
                    }
                }
            }
            advance(&mut engine, &mut outcome);
        }
        for (key, window) in &full.windows {
            let rows = outcome.windows.get(key).map(|window| (window.rows, window.coverage));
            if let Some((rows, coverage)) = rows {
                prop_assert!(rows == window.rows || coverage < 1.0, "{:?}: {} of {}", key, rows, window.rows);
            }
        }
    }
}
