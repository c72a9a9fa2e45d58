//! Partitions that say nothing about time: empty ones, and such whose records are all refused or of models that nobody
//! registered. They freeze and blind nobody else.

use anchorwatch::config;
use anchorwatch::engine::{Engine, Restored, StateLoss, TroubleKind};
use anchorwatch::view::WindowView;
use anchorwatch::window::GapReason;

use super::{MINUTE, START, Sent, catalog, record, restart, settings};

/// Two partitions and the steady clock, which goes with event time.
struct Place {
    engine: Engine,
    offsets: [i64; 2],
    windows: Vec<WindowView>,
}

impl Place {
    fn new() -> Self {
        let mut engine = Engine::new(&settings());
        engine.set_catalog(&catalog());
        Self { engine, offsets: [0; 2], windows: Vec::new() }
    }

    fn assign(&mut self) {
        (0..2).for_each(|partition| self.engine.assign("t", partition, None));
    }

    fn send(&mut self, partition: i32, json: String, now: i64) {
        let next = &mut self.offsets[usize::try_from(partition).expect("small")];
        self.engine.ingest(&record(&Sent { partition, offset: *next, json }), now);
        *next += 1;
    }

    /// One event a second that counts, in the first partition, and what `other` does with the second.
    fn live(&mut self, seconds: std::ops::Range<i64>, mut other: impl FnMut(&mut Self, i64, i64)) {
        for second in seconds {
            let now = START + second * 1_000;
            let x = second % 10;
            let json = format!(
                r#"{{"model":"m","version":"1.0.0","ts":{now},"features":{{"x":{x},"country":"DE"}}}}"#
            );
            self.send(0, json, now);
            other(self, second, now);
            self.windows.extend(self.engine.advance(now, usize::MAX).0.windows);
        }
    }

    fn newest(&self) -> Option<&WindowView> {
        self.windows.iter().filter(|window| window.horizon == "5m").max_by_key(|window| window.end)
    }
}

fn foreign(now: i64) -> String {
    format!(r#"{{"model":"other","version":"1.0.0","ts":{now},"features":{{"x":1}}}}"#)
}

#[test]
fn a_model_that_nobody_registered_alone_on_a_partition_freezes_no_other() {
    let mut place = Place::new();
    place.assign();
    place.live(0..1_800, |place, second, now| {
        if second % 59 == 0 {
            place.send(1, foreign(now), now);
            place.engine.at_end("t", 1, now);
        }
    });
    let end = place.newest().map(|window| window.end);
    assert!(end.is_some_and(|end| end >= START + 26 * MINUTE), "{end:?}: nothing is judged any more");
    assert!(place.windows.iter().all(|window| window.coverage >= 1.0));
}

#[test]
fn a_partition_so_busy_that_its_end_is_never_reached_freezes_no_other_with_records_that_do_not_count() {
    for payload in ["not json".to_owned(), foreign(START), foreign(START + 100_000 * MINUTE)] {
        let mut place = Place::new();
        place.assign();
        place.live(0..1_800, |place, second, now| {
            (0..10).for_each(|_| place.send(1, payload.clone(), now));
            if second % 15 == 0 {
                let end = place.offsets[1];
                place.engine.set_end_offset("t", 1, end, end);
            }
        });
        let end = place.newest().map(|window| window.end);
        assert!(end.is_some_and(|end| end >= START + 26 * MINUTE), "{end:?}: nothing is judged any more");
        assert!(place.windows.iter().all(|window| window.coverage >= 1.0));
    }
}

#[test]
fn a_producer_whose_clock_stands_still_freezes_no_other_partition() {
    let mut place = Place::new();
    place.assign();
    place.live(0..1_800, |place, second, now| {
        if second % 20 == 0 {
            let json = format!(r#"{{"model":"m","version":"1.0.0","ts":{START},"features":{{"x":1}}}}"#);
            place.send(1, json, now);
            place.engine.at_end("t", 1, now);
        }
    });
    let end = place.newest().map(|window| window.end);
    assert!(end.is_some_and(|end| end >= START + 26 * MINUTE), "{end:?}: nothing is judged any more");
}

#[test]
fn after_a_loss_of_state_a_partition_without_an_event_blinds_no_window_for_ever() {
    let mut place = Place::new();
    place.engine.state_was_lost(StateLoss::Everything, "lost", START);
    place.assign();
    assert!(place.engine.rebuild_from().is_some());
    place.live(0..3_600, |place, _, now| place.engine.at_end("t", 1, now));
    let newest = place.newest().cloned().unwrap_or_default();
    assert!(newest.end >= START + 56 * MINUTE, "{newest:?}");
    assert!((newest.coverage - 1.0).abs() < 1e-9, "{newest:?}");
    assert_eq!(place.engine.rebuild_from(), None, "what is added now has lost nothing");
    place.engine.assign("t", 2, Some(0));
    assert_eq!(place.engine.gaps(), []);
}

#[test]
fn a_topic_made_anew_with_a_silent_partition_blinds_no_window_for_ever() {
    let mut place = Place::new();
    place.assign();
    place.live(0..600, |place, second, now| {
        if second < 300 {
            let json = format!(r#"{{"model":"m","version":"1.0.0","ts":{now},"features":{{"x":1}}}}"#);
            place.send(1, json, now);
        }
        if second == 300 {
            place.engine.reset_position("t", 1, 0, GapReason::OtherRecord, now);
        }
        place.engine.at_end("t", 1, now);
    });
    let gap = place.engine.gaps().first().cloned();
    assert!(gap.is_some_and(|gap| gap.until.is_some_and(|until| until >= START + 300_000)));
    place.live(600..3_600, |place, _, now| place.engine.at_end("t", 1, now));
    let newest = place.newest().cloned().unwrap_or_default();
    assert!((newest.coverage - 1.0).abs() < 1e-9, "{newest:?}");
    assert_eq!(place.engine.gaps(), [], "and it is forgotten");
}

#[test]
fn the_gap_of_a_partition_that_is_no_more_ends() {
    let mut place = Place::new();
    place.assign();
    place.live(0..60, |_, _, _| {});
    place.engine.reset_position("t", 1, 0, GapReason::Truncated, START + MINUTE);
    place.engine.forget_partitions_from("t", 1, START + MINUTE);
    assert!(place.engine.gaps().iter().all(|gap| gap.until.is_some()));
    place.live(60..3_600, |_, _, _| {});
    assert_eq!(place.engine.gaps(), []);
}

/// Whether it is told that something stands still.
fn stands_still(place: &Place) -> bool {
    place.engine.troubles().into_keys().any(|(kind, of)| kind == TroubleKind::Stalled && of == "t")
}

#[test]
fn a_standstill_that_ended_with_a_restart_is_over_and_one_that_did_not_stays() {
    let behind = |place: &mut Place, second: i64, now: i64| {
        if second == 0 {
            place.send(1, foreign(now), now);
            place.engine.set_end_offset("t", 1, 100, 100);
        }
    };
    let mut place = Place::new();
    place.assign();
    place.live(0..900, behind);
    assert!(stands_still(&place), "ten minutes without a step");
    let mut stored = Restored::default();
    place.engine = restart(place.engine, &mut stored);
    place.engine.forget_partitions_from("t", 2, START);
    place.live(900..960, |_, _, _| {});
    assert!(stands_still(&place), "nobody knows better yet, and to take it back would be to tell it twice");
    place.live(960..1_000, |place, _, now| {
        let json = format!(r#"{{"model":"m","version":"1.0.0","ts":{now},"features":{{"x":1}}}}"#);
        place.send(1, json, now);
    });
    assert!(!stands_still(&place), "it goes on");
    // A topic that is no longer read keeps nobody waiting for news of it.
    place.live(1_000..2_000, |_, _, _| {});
    assert!(stands_still(&place));
    place.engine.forget_partitions_from("t", 0, START);
    place.engine.advance(START + 2_000_000, usize::MAX);
    assert!(!stands_still(&place));
}

#[test]
fn settings_of_these_tests_wait_as_the_defaults_do() {
    let defaults = config::parse("kafka: {bootstrap: 'h:1', topics: [t]}", "test").expect("a configuration");
    let ours = settings();
    assert_eq!(ours.windows.idle_after, defaults.windows.idle_after);
    assert_eq!(ours.windows.stalled_after, defaults.windows.stalled_after);
}
