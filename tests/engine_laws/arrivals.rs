//! How events came, and how many different values they had: shown, and the same after a restart.

use std::collections::BTreeMap;

use anchorwatch::engine::{Engine, Restored};
use anchorwatch::view::EventCount;

use super::{MINUTE, NOW, START, Sent, engine, feed, restart};

fn event(at: i64, country: &str) -> String {
    format!(r#"{{"model":"m","version":"1.0.0","ts":{at},"features":{{"x":3,"country":"{country}"}}}}"#)
}

fn came(engine: &Engine) -> EventCount {
    engine.event_counts().pop().expect("one version")
}

#[test]
fn events_behind_a_later_one_of_their_partition_are_out_of_order() {
    let mut engine = engine();
    let sent = [(0, 0, 10_000), (0, 1, 5_000), (1, 0, 7_000), (0, 2, 10_000), (0, 3, 9_999), (1, 1, 11_000)];
    for (partition, offset, at) in sent {
        feed(&mut engine, &Sent { partition, offset, json: event(START + at, "DE") });
    }
    // The time of a label is not when the model was asked.
    let label = format!(r#"{{"id":"e","model":"m","version":"1.0.0","ts":{},"label":1}}"#, START + 20_000);
    feed(&mut engine, &Sent { partition: 2, offset: 0, json: label });
    let seen = came(&engine);
    assert_eq!((seen.events, seen.out_of_order, seen.newest), (6, 2, Some(START + 11_000)));
    assert_eq!(came(&restart(engine, &mut Restored::default())), seen);
}

#[test]
fn different_values_of_a_window_are_told_and_leave_with_it() {
    let (mut engine, mut stored, mut offset) = (engine(), Restored::default(), 0);
    let mut distinct: BTreeMap<i64, f64> = BTreeMap::new();
    for minute in 0..12_i64 {
        for i in 0..40 {
            // One new spelling in the first minute, twenty in the third; both often.
            let country = match (minute, i) {
                (0, 20..) => "UAL".to_owned(),
                (2, _) => format!("new-{}", i % 20),
                (_, 10..) => "FR".to_owned(),
                _ => "DE".to_owned(),
            };
            let json = event(START + minute * MINUTE + i * 1_000, &country);
            feed(&mut engine, &Sent { partition: 0, offset, json });
            offset += 1;
        }
        if minute == 1 {
            engine = restart(engine, &mut stored);
        }
        for partition in 1..3 {
            engine.at_end("t", partition, 0);
            engine.broker_answers("t", partition, true, NOW);
        }
        for window in engine.advance(NOW, usize::MAX).0.windows {
            let country = window.columns.iter().find(|column| column.column == "country");
            if window.horizon == "5m" && window.segment.is_none() {
                let told = country.and_then(|country| country.distinct).expect("a column of categories");
                distinct.insert((window.end - START) / MINUTE, told);
            }
        }
    }
    let near = |minute: i64, expected: f64, off: f64| {
        assert!((distinct[&minute] - expected).abs() <= off, "{minute}: {distinct:?}");
    };
    // DE, FR and UAL; the estimate of one new value is off by a sixtieth.
    near(1, 3.0, 0.02);
    near(2, 3.0, 0.02);
    near(3, 23.0, 6.0);
    near(5, 23.0, 6.0);
    near(6, 22.0, 7.0);
    assert_eq!(distinct[&8].to_bits(), 2.0_f64.to_bits(), "all of them are gone: {distinct:?}");
}

#[test]
fn a_histogram_of_latencies_begins_anew_with_a_start_and_holds_a_pane_once() {
    let (mut engine, mut stored, mut offset) = (engine(), Restored::default(), 0);
    let send = |engine: &mut Engine, at: i64, offset: &mut i64| {
        let json = format!(
            r#"{{"model":"m","version":"1.0.0","ts":{at},"features":{{"x":3,"country":"DE"}},"latency_ms":5}}"#
        );
        feed(engine, &Sent { partition: 0, offset: *offset, json });
        *offset += 1;
    };
    let close = |engine: &mut Engine| {
        for partition in 1..3 {
            engine.at_end("t", partition, 0);
            engine.broker_answers("t", partition, true, NOW);
        }
        engine.advance(NOW, usize::MAX);
        engine.status().latencies.iter().map(|latencies| latencies.count()).sum::<u64>()
    };
    (0..10).for_each(|second| send(&mut engine, START + second * 1_000, &mut offset));
    engine = restart(engine, &mut stored);
    assert_eq!(close(&mut engine), 0, "the pane is open");
    (10..15).for_each(|second| send(&mut engine, START + second * 1_000, &mut offset));
    send(&mut engine, START + 5 * MINUTE, &mut offset);
    assert_eq!(close(&mut engine), 15, "what came before the restart is in it, too");
    engine = restart(engine, &mut stored);
    send(&mut engine, START + 12 * MINUTE, &mut offset);
    assert_eq!(close(&mut engine), 1, "panes that closed before the start are not in it");
}
