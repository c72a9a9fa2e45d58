//! The watermark against a reading of everything that happened: who is waited for, and what the slowest of them has seen.

use anchorwatch::event::Record;
use anchorwatch::window::{Partitions, Patience};
use proptest::prelude::*;

const PATIENCE: Patience = Patience { lateness: 10, idle_after: 60, stalled_after: 600 };
const PARTITIONS: i32 = 3;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Happened {
    /// A record with this event time.
    Record(i32, i64),
    /// A record that says nothing about time, such as a refused one.
    Refused(i32),
    /// The position is at the end of the log.
    AtEnd(i32),
    /// The broker was found to answer, or not to.
    Answers(i32, bool),
    /// The watermark was asked for.
    Look,
}

fn happened() -> impl Strategy<Value = (i64, Happened)> {
    let partition = || 0..PARTITIONS;
    let what = prop_oneof![
        4 => (partition(), 0..1_000_i64).prop_map(|(partition, time)| Happened::Record(partition, time)),
        1 => partition().prop_map(Happened::Refused),
        2 => partition().prop_map(Happened::AtEnd),
        3 => (partition(), prop::bool::weighted(0.7)).prop_map(|(partition, does)| Happened::Answers(partition, does)),
        4 => Just(Happened::Look),
    ];
    (prop_oneof![0..20_i64, 50..70_i64, 300..700_i64], what)
}

/// What the history says of each partition at the last look: the newest event time, and whether it is waited for.
fn told(history: &[(i64, Happened)]) -> Vec<(Option<i64>, bool)> {
    let looks: Vec<usize> = (0..history.len()).filter(|place| history[*place].1 == Happened::Look).collect();
    // The clock of those that go on, at each look: before the first that finds any to go on it stands.
    let (mut clock, mut last) = (0, None);
    let mut found: Vec<(i64, Vec<Found>)> = Vec::new();
    for (number, look) in looks.iter().enumerate() {
        let before = if number == 0 { 0 } else { looks[number - 1] };
        let all: Vec<Found> =
            (0..PARTITIONS).map(|of| find(history, &looks[..number], before, *look, of)).collect();
        if all.iter().any(|one| one.goes_on) {
            let now = history[*look].0;
            clock += last.map_or(0, |last| now - last).min(PATIENCE.stalled_after / 4);
            last = Some(now);
        }
        found.push((clock, all));
    }
    (0..PARTITIONS)
        .map(|of| {
            let place = usize::try_from(of).expect("few");
            let times = history.iter().filter_map(|(_, what)| match what {
                Happened::Record(partition, time) if *partition == of => Some(*time),
                _ => None,
            });
            let began = found.iter().rposition(|(_, all)| all[place].goes_on).unwrap_or(0);
            let is_stalled =
                found.last().is_some_and(|(clock, _)| clock - found[began].0 >= PATIENCE.stalled_after);
            let is_idle = found.last().is_some_and(|(_, all)| all[place].idle);
            (times.max(), !is_idle && !is_stalled)
        })
        .collect()
}

/// What one look finds of one partition.
struct Found {
    goes_on: bool,
    idle: bool,
}

fn find(history: &[(i64, Happened)], looks: &[usize], before: usize, look: usize, of: i32) -> Found {
    let (now, came) = (history[look].0, &history[before..look]);
    let is_timed = |what: &Happened| matches!(what, Happened::Record(partition, _) if *partition == of);
    let is_record = |what: &Happened| is_timed(what) || *what == Happened::Refused(of);
    let end_after = |place: usize| {
        let rest = history[place..look].iter();
        rest.clone().find(|(_, what)| *what == Happened::AtEnd(of)).map(|(at, _)| *at)
    };
    // When a look last found that records had come.
    let moved = |looks: &[usize]| {
        let last = (0..looks.len()).rev().find(|number| {
            let from = if *number == 0 { 0 } else { looks[*number - 1] };
            history[from..looks[*number]].iter().any(|(_, what)| is_record(what))
        });
        last.map(|number| history[looks[number]].0)
    };
    let with_this: Vec<usize> = looks.iter().copied().chain([look]).collect();
    let says = |upto: usize| {
        let said = history[..upto].iter().filter(|(_, what)| {
            matches!(what, Happened::AtEnd(partition) | Happened::Answers(partition, true) if *partition == of)
        });
        said.map(|(at, _)| *at).max()
    };
    let heard = says(look).max(moved(&with_this));
    let heard_before = looks.last().and_then(|last| says(*last).max(moved(looks)));
    let last_record = history[..look].iter().rposition(|(_, what)| is_record(what));
    let at_end = end_after(last_record.map_or(0, |last| last + 1)).is_some();
    let began = last_that_moved_time(&history[..look], of).map_or(0, |last| last + 1);
    let quiet = end_after(began).map(|since| {
        let silent = history[began..look].iter().filter(|(_, what)| *what == Happened::Answers(of, false));
        silent.map(|(at, _)| *at).max().map_or(since, |silent| silent.max(since))
    });
    let is_quiet = quiet.zip(heard).is_some_and(|(since, until)| until - since >= PATIENCE.idle_after);
    let lately = moved(&with_this).is_some_and(|moved| now - moved < PATIENCE.idle_after);
    let idle = is_quiet && (at_end || lately);
    let tells = came.iter().any(|(_, what)| is_timed(what));
    Found { goes_on: tells || ((at_end || idle) && heard_before < heard), idle }
}

/// Place of the last record whose event time is above all before it.
fn last_that_moved_time(history: &[(i64, Happened)], partition: i32) -> Option<usize> {
    let (mut newest, mut last) = (None, None);
    for (place, (_, what)) in history.iter().enumerate() {
        match what {
            Happened::Record(of, time) if *of == partition && newest < Some(*time) => {
                (newest, last) = (Some(*time), Some(place));
            }
            _ => {}
        }
    }
    last
}

fn record(partition: i32, offset: i64) -> Record<'static> {
    Record {
        topic: "t",
        partition,
        offset,
        timestamp: None,
        appended_at: None,
        key: None,
        headers: &[],
        payload: None,
    }
}

proptest! {
    /// W-5: the watermark is the slowest partition that is waited for, or the newest of all where none is.
    #[test]
    fn the_watermark_is_what_the_history_says(steps in prop::collection::vec(happened(), 1..60)) {
        let mut partitions = Partitions::default();
        (0..PARTITIONS).for_each(|partition| _ = partitions.entry("t", partition));
        let (mut now, mut history) = (0, Vec::new());
        for (offset, (later, what)) in (0..).zip(steps) {
            now += later;
            history.push((now, what));
            match what {
                Happened::Record(partition, time) => {
                    let state = partitions.entry("t", partition);
                    state.passed(&record(partition, offset));
                    state.saw(time);
                    state.told_time();
                }
                Happened::Refused(partition) => {
                    partitions.entry("t", partition).passed(&record(partition, offset));
                }
                Happened::AtEnd(partition) => partitions.entry("t", partition).is_at_end(now),
                Happened::Answers(partition, answers) => {
                    partitions.entry("t", partition).broker_answers(answers, now);
                }
                Happened::Look => {
                    let all = told(&history);
                    let awaited: Vec<_> = all.iter().filter(|(_, awaited)| *awaited).collect();
                    let expected = if awaited.is_empty() {
                        all.iter().filter_map(|(newest, _)| *newest).max()
                    } else {
                        awaited.iter().map(|(newest, _)| *newest).min().flatten()
                    };
                    let found = partitions.watermark(now, PATIENCE);
                    prop_assert_eq!(found, expected.map(|newest| newest - PATIENCE.lateness), "{:?}", history);
                }
            }
        }
    }
}
