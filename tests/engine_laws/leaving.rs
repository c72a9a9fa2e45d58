//! Versions that come and go for long: what is kept is bounded, nobody is taken for somebody else, and a kill changes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use anchorwatch::action::VersionFacts;
use anchorwatch::engine::{CatalogEntry, Engine, Restored};
use anchorwatch::event::Record;
use anchorwatch::subject::Subject;
use anchorwatch::view::WindowView;
use anchorwatch::window::WatchedVersion;

use super::{MINUTE, NOW, START, Sent, apply, record, reference, settings};

/// So many models in turn; each is watched for two rounds of ten minutes.
const ROUNDS: i64 = 60;
const ROUND: i64 = 10 * MINUTE;
const EVENTS: i64 = 120;
/// Versions that are known at a time: those of an hour, which is the longest window, and those that are watched.
const MOST: usize = 11;

fn name(number: i64) -> String {
    format!("m{number}")
}

fn entry(model: &str, reference_id: &str) -> CatalogEntry {
    let watched = WatchedVersion {
        model: model.to_owned(),
        version: "1.0.0".to_owned(),
        reference_id: reference_id.to_owned(),
        reference: reference(),
        takes_feedback: true,
    };
    CatalogEntry { watched, facts: VersionFacts { current: true, ..VersionFacts::default() } }
}

/// The one that stays, whose reference is another one every few rounds, and two that come and go.
fn catalog(round: i64) -> Vec<CatalogEntry> {
    let references = format!("ref{}", round / 3);
    vec![entry("stays", &references), entry(&name(round), "ref"), entry(&name(round + 1), "ref")]
}

/// Events of a round; the values of those that go in their second round have moved.
fn events(round: i64) -> Vec<String> {
    let event = |i: i64| {
        let ts = START + round * ROUND + i * (ROUND / EVENTS);
        let (model, x) = match i % 3 {
            0 => ("stays".to_owned(), i % 10),
            1 => (name(round), i % 10 + 8),
            _ => (name(round + 1), i % 10),
        };
        let country = ["DE", "FR"][usize::from(i % 2 == 0)];
        format!(
            r#"{{"model":"{model}","version":"1.0.0","ts":{ts},"features":{{"x":{x},"country":"{country}"}},"segment":{{"country":"{country}"}}}}"#
        )
    };
    (0..EVENTS).map(event).collect()
}

/// What must not depend on kills.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    windows: BTreeMap<(i64, String, String, Option<String>), WindowView>,
    told: BTreeSet<String>,
    /// Every subject that the state file ever had, by its number.
    subjects: BTreeMap<u32, Subject>,
    counted: u64,
}

struct Run {
    engine: Engine,
    stored: Restored,
    seen: Seen,
}

impl Run {
    fn start() -> Self {
        let mut engine = Engine::new(&settings());
        engine.assign("t", 0, None);
        Self { engine, stored: Restored::default(), seen: Seen::default() }
    }

    fn kill(&mut self, round: i64) {
        self.engine = Engine::new(&settings());
        let report = self.engine.restore(self.stored.clone(), |_| Some(reference())).expect("its own");
        assert_eq!(report.panes_left_out, 0);
        self.engine.set_catalog(&catalog(round));
        self.engine.assign("t", 0, None);
    }

    /// Feeds what was not counted yet, up to this offset.
    fn feed(&mut self, round: i64, until: i64) {
        let next = self.engine.resume("t", 0).map_or(0, |resume| resume.next_offset);
        for (offset, json) in (round * EVENTS..until).zip(events(round)).skip_while(|(at, _)| *at < next) {
            let record = Record {
                topic: "t",
                partition: 0,
                offset,
                timestamp: None,
                appended_at: None,
                key: None,
                headers: &[],
                payload: Some(json.as_bytes()),
            };
            self.engine.ingest(&record, NOW);
        }
        let (progress, _) = self.engine.advance(NOW, usize::MAX);
        for window in progress.windows {
            let key = (window.end, window.horizon.clone(), window.model.clone(), window.segment.clone());
            self.seen.windows.insert(key, window);
        }
        self.seen.told.extend(progress.notifications.into_iter().map(|one| one.key + &one.summary));
    }

    fn write(&mut self) {
        let checkpoint = self.engine.checkpoint();
        for (number, subject) in &checkpoint.subjects {
            let before = self.seen.subjects.insert(*number, subject.clone());
            assert!(before.is_none_or(|before| before == *subject), "number {number} was given twice");
        }
        apply(&mut self.stored, checkpoint);
        self.seen.counted = self.engine.law().counted;
    }

    fn all(kills: impl Fn(i64) -> bool) -> (Self, Vec<usize>) {
        let (mut run, mut charged) = (Self::start(), Vec::new());
        for round in 0..ROUNDS {
            run.engine.set_catalog(&catalog(round));
            run.feed(round, round * EVENTS + EVENTS / 2);
            if kills(round) {
                run.kill(round);
            }
            run.feed(round, (round + 1) * EVENTS);
            run.write();
            charged.push(run.engine.memory().charged);
            assert!(run.engine.memory().versions <= MOST, "{:?}", run.engine.memory());
            assert!(run.stored.subjects.len() <= 3 * MOST, "{}", run.stored.subjects.len());
            assert!(run.stored.documents.len() < 60, "{:?}", run.stored.documents.keys());
            assert!(run.stored.documents["core"].len() < 8_192, "{}", run.stored.documents["core"]);
        }
        (run, charged)
    }
}

#[test]
fn versions_that_come_and_go_for_long_leave_nothing_behind_and_kills_change_nothing() {
    let (alone, charged) = Run::all(|_| false);
    assert!(alone.engine.memory().forgotten >= 45, "{:?}", alone.engine.memory());
    assert_eq!(alone.seen.counted, (ROUNDS * EVENTS).unsigned_abs(), "nothing was left out");
    assert!(charged[50..].iter().max() <= charged[10..20].iter().max(), "{charged:?}");
    assert_eq!(alone.seen.subjects.len(), 3 * usize::try_from(ROUNDS + 2).expect("small"));
    assert!(alone.seen.told.len() > 50, "each had moved before it left: {}", alone.seen.told.len());
    for every in [1, 3, 7] {
        let (killed, _) = Run::all(|round| round % every == 0);
        assert_eq!(killed.seen.counted, alone.seen.counted);
        assert_eq!(killed.seen.subjects, alone.seen.subjects);
        assert_eq!(killed.seen.told, alone.seen.told);
        assert!(killed.seen.windows == alone.seen.windows, "windows differ");
        let panes = |run: &Run| {
            let rows = run.stored.panes.iter();
            rows.map(|row| ((row.subject, row.pane), row.counts.packed().into_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        assert!(panes(&killed) == panes(&alone), "counts differ");
        assert_eq!(killed.stored.documents["core"], alone.stored.documents["core"]);
    }
}

#[test]
fn one_that_comes_back_after_it_was_forgotten_begins_anew_under_another_number() {
    let mut run = Run::start();
    for round in 0..12 {
        run.engine.set_catalog(&catalog(round));
        run.feed(round, (round + 1) * EVENTS);
        run.write();
    }
    let of = |run: &Run| {
        let known = run.stored.subjects.iter().find(|(_, subject)| *subject.model == *name(2));
        known.map(|(number, _)| *number)
    };
    assert_eq!(of(&run), None, "it is long gone");
    let highest = run.seen.subjects.keys().copied().max();
    run.kill(11);
    let mut again = catalog(12);
    again.push(entry(&name(2), "ref"));
    run.engine.set_catalog(&again);
    run.feed(12, 13 * EVENTS);
    let back = Record {
        topic: "t",
        partition: 0,
        offset: 13 * EVENTS,
        timestamp: None,
        appended_at: None,
        key: None,
        headers: &[],
        payload: Some(
            br#"{"model":"m2","version":"1.0.0","ts":1700007960000,"features":{"x":1,"country":"DE"}}"#,
        ),
    };
    let before = run.engine.law().counted;
    run.engine.ingest(&back, NOW);
    assert_eq!(run.engine.law().counted, before + 1);
    run.write();
    assert!(of(&run) > highest, "{:?}", of(&run));
}

#[test]
fn a_pane_with_more_events_than_there_can_be_is_left_out() {
    let mut engine = Engine::new(&settings());
    engine.set_catalog(&super::catalog());
    engine.assign("t", 0, None);
    let json =
        format!(r#"{{"model":"m","version":"1.0.0","ts":{START},"features":{{"x":1,"country":"DE"}}}}"#);
    engine.ingest(&record(&Sent { partition: 0, offset: 0, json }), START);
    let mut stored = Restored::default();
    apply(&mut stored, engine.checkpoint());
    assert!(!stored.panes.is_empty());
    // The first counter holds as many as 64 bits can.
    let most: Vec<u8> = [&[0][..], &[0xff; 9], &[1]].concat();
    let panes = stored.panes.len();
    stored.panes.iter_mut().for_each(|row| row.counts = most.as_slice().into());
    let mut restarted = Engine::new(&settings());
    let report = restarted.restore(stored, |_| Some(reference())).expect("its own documents");
    assert_eq!((report.panes, report.panes_left_out), (0, panes));
}
