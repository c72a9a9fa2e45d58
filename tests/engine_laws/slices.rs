//! An edge that is judged in small steps, with records read, checkpoints taken and kills in between, brings what it
//! brings at once.

use std::collections::BTreeMap;

use anchorwatch::engine::{Engine, Restored, Standing};
use anchorwatch::view::WindowView;
use proptest::prelude::*;

use super::{
    MINUTE, NOW, START, Sent, apply, catalog, engine, engine_with, feed, reference, run, settings, stream,
};

/// What is durable or shown in the end, however it came about.
#[derive(Debug, Default, PartialEq)]
struct Durable {
    windows: BTreeMap<(i64, String, Option<String>), WindowView>,
    /// Keys of deliveries with their targets, in the order of the outbox.
    outbox: Vec<(String, String)>,
}

impl Durable {
    fn take(&mut self, windows: Vec<WindowView>) {
        for window in windows {
            self.windows.insert((window.end, window.horizon.clone(), window.segment.clone()), window);
        }
    }

    fn write(&mut self, engine: &mut Engine, stored: &mut Restored) {
        let checkpoint = engine.checkpoint();
        let rows = checkpoint.outbox.iter();
        self.outbox.extend(rows.map(|row| (row.target.clone(), row.delivery.key().to_owned())));
        apply(stored, checkpoint);
    }
}

/// Reads and judges in turns of a few steps; `kill` says after which turns the engine is gone. Also gives how often it
/// was gone in the middle of an edge.
fn killed(
    partitions: &[Vec<Sent>],
    choices: &[(usize, usize)],
    steps: usize,
    kill: impl Fn(usize) -> bool,
) -> (Durable, usize) {
    let (mut engine, mut durable, mut stored) = (engine(), Durable::default(), Restored::default());
    let (mut next, mut in_the_middle) = ([0_usize; 3], 0);
    durable.write(&mut engine, &mut stored);
    let mut turns = choices.iter().cycle().enumerate();
    while next.iter().zip(partitions).any(|(next, records)| *next < records.len()) {
        let (turn, (partition, length)) = turns.next().expect("a cycle never ends");
        for sent in partitions[*partition].iter().skip(next[*partition]).take(*length) {
            feed(&mut engine, sent);
            next[*partition] += 1;
        }
        let (progress, standing) = engine.advance_some(NOW, steps);
        durable.take(progress.windows);
        if turn % 5 == 1 {
            durable.write(&mut engine, &mut stored);
        }
        if turn % 5 == 3 && kill(turn) {
            in_the_middle += usize::from(standing == Standing::Judging);
            engine = Engine::new(&settings());
            engine.restore(stored.clone(), |_| Some(reference())).expect("its own documents");
            engine.set_catalog(&catalog());
            (0..3).for_each(|partition| engine.assign("t", partition, None));
            for (partition, next) in (0..).zip(&mut next) {
                let at = engine.resume("t", partition).map_or(0, |resume| resume.next_offset);
                *next = usize::try_from(at).expect("an offset");
            }
        }
    }
    durable.take(engine.advance(NOW, usize::MAX).0.windows);
    durable.write(&mut engine, &mut stored);
    (durable, in_the_middle)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// W-5: the steps that an edge is judged in, and what is read between them, do not show.
    #[test]
    fn an_edge_judged_in_small_steps_between_records_brings_the_same(
        seed in any::<u64>(),
        steps in 1..9_usize,
        choices in proptest::collection::vec((0..3_usize, 1..120_usize), 4..12),
    ) {
        let mut choices = choices;
        choices.extend([(0, 50), (1, 50), (2, 50)]);
        let partitions = stream(seed, MINUTE);
        let at_once = run(&partitions, &choices, |engine| engine);
        let (in_steps, _) = killed(&partitions, &choices, steps, |_| false);
        prop_assert_eq!(in_steps.windows, at_once.windows);
    }

    /// C-2: a kill in the middle of an edge changes nothing; the edge is judged anew.
    #[test]
    fn a_kill_in_the_middle_of_an_edge_changes_nothing(
        seed in any::<u64>(), steps in 1..4_usize, kills in proptest::collection::vec(any::<bool>(), 8),
    ) {
        let partitions = stream(seed, MINUTE);
        let choices = [(0, 70), (1, 70), (2, 70)];
        let (calm, _) = killed(&partitions, &choices, steps, |_| false);
        prop_assert!(!calm.outbox.is_empty());
        let (broken, in_the_middle) = killed(&partitions, &choices, steps, |turn| kills[turn / 5 % 8] || turn < 20);
        prop_assert!(in_the_middle > 0);
        prop_assert_eq!(broken, calm);
    }
}

/// Windows by horizon and end, after one event a second for 12 minutes, a late one, and 6 minutes more. The late one
/// comes when an edge is due: before it is judged, in the middle, or when it is over.
fn with_a_late_event(steps: Option<usize>) -> Vec<(String, i64, u64)> {
    let mut config = settings();
    config.windows.correction = anchorwatch::config::Span::from_mins(10);
    let (mut engine, mut offset) = (engine_with(&config), 0);
    let mut send = |engine: &mut Engine, at: i64| {
        let json = format!(
            r#"{{"model":"m","version":"1.0.0","ts":{at},"features":{{"x":3,"country":"DE"}},"segment":{{"country":"DE"}}}}"#
        );
        feed(engine, &Sent { partition: 0, offset, json });
        offset += 1;
    };
    for partition in 1..3 {
        engine.at_end("t", partition, 0);
        engine.broker_answers("t", partition, true, NOW);
    }
    for second in 0..12 * 60 {
        send(&mut engine, START + second * 1_000);
    }
    let mut windows = Vec::new();
    if let Some(steps) = steps {
        let (progress, standing) = engine.advance_some(NOW, steps);
        assert_eq!(standing, Standing::Judging, "the late event comes in the middle");
        windows.extend(progress.windows);
    } else {
        // One edge, whole.
        let (progress, standing) = engine.advance_some(NOW, usize::MAX);
        assert_eq!(standing, Standing::EdgeDone);
        windows.extend(progress.windows);
    }
    send(&mut engine, START + 30_000);
    windows.extend(engine.advance_some(NOW, usize::MAX).0.windows);
    for second in 12 * 60..18 * 60 {
        send(&mut engine, START + second * 1_000);
    }
    windows.extend(engine.advance(NOW, usize::MAX).0.windows);
    assert!(!engine.is_judging());
    windows.into_iter().map(|window| (window.horizon, window.end, window.rows)).collect()
}

#[test]
fn a_late_event_that_comes_while_an_edge_is_judged_counts_from_the_next_edge_on() {
    let at_once = with_a_late_event(None);
    let amended = at_once.iter().filter(|(horizon, _, rows)| horizon == "5m" && rows % 60 == 1).count();
    assert!(amended >= 2, "it is in the windows that follow: {at_once:?}");
    for steps in [1, 2, 3] {
        assert_eq!(with_a_late_event(Some(steps)), at_once, "after {steps} steps");
    }
}
