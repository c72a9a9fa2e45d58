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
    /// The watermark was asked for.
    Look,
}

fn happened() -> impl Strategy<Value = (i64, Happened)> {
    let partition = || 0..PARTITIONS;
    let what = prop_oneof![
        4 => (partition(), 0..1_000_i64).prop_map(|(partition, time)| Happened::Record(partition, time)),
        1 => partition().prop_map(Happened::Refused),
        2 => partition().prop_map(Happened::AtEnd),
        4 => Just(Happened::Look),
    ];
    (prop_oneof![0..20_i64, 50..70_i64, 300..700_i64], what)
}

/// What the history says of one partition at its last look: the newest event time, and whether it is waited for.
fn told(history: &[(i64, Happened)], partition: i32) -> (Option<i64>, bool) {
    let looks = (0..history.len()).filter(|place| history[*place].1 == Happened::Look);
    let (mut moved, mut behind, mut before, mut awaited) = (i64::MIN / 2, None, 0, true);
    for look in looks {
        let (now, came) = (history[look].0, &history[before..look]);
        let is_timed = |what: &Happened| matches!(what, Happened::Record(of, _) if *of == partition);
        let is_record = |what: &Happened| is_timed(what) || *what == Happened::Refused(partition);
        let end_after = |place: usize| {
            let rest = history[place..look].iter();
            rest.clone().find(|(_, what)| *what == Happened::AtEnd(partition)).map(|(at, _)| *at)
        };
        if came.iter().any(|(_, what)| is_record(what)) {
            moved = now;
        }
        let last_record = history[..look].iter().rposition(|(_, what)| is_record(what));
        let at_end = end_after(last_record.map_or(0, |last| last + 1));
        let quiet = end_after(last_that_moved_time(&history[..look], partition).map_or(0, |last| last + 1));
        let is_quiet = quiet.is_some_and(|since| now - since >= PATIENCE.idle_after);
        let idle = is_quiet && (at_end.is_some() || now - moved < PATIENCE.idle_after);
        let tells = came.iter().any(|(_, what)| is_timed(what));
        let since = behind.filter(|_| !idle && at_end.is_none() && !tells).unwrap_or(now);
        awaited = !idle && now - since < PATIENCE.stalled_after;
        (behind, before) = (Some(since), look);
    }
    let times = history.iter().filter_map(|(_, what)| match what {
        Happened::Record(of, time) if *of == partition => Some(*time),
        _ => None,
    });
    (times.max(), awaited)
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
                Happened::Look => {
                    let all: Vec<_> = (0..PARTITIONS).map(|partition| told(&history, partition)).collect();
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
