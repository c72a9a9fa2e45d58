//! Rows of many models that wait when an edge begins are counted in steps: what comes in between belongs to later edges, as it
//! does if all of them are counted at once.

use anchorwatch::config::Span;
use anchorwatch::engine::{CatalogEntry, Engine, PaneRow, Standing};
use anchorwatch::view::WindowView;

use super::{MINUTE, NOW, START, Sent, catalog, engine_with, feed, settings};

/// More than are counted in one step, each with a row of its own.
const MODELS: usize = 700;

fn watch(engine: &mut Engine, models: usize) {
    let entry = |model: usize| {
        let [mut entry] = catalog();
        entry.watched.model = format!("m-{model}");
        entry
    };
    engine.set_catalog(&(0..models).map(entry).collect::<Vec<CatalogEntry>>());
    for partition in 1..3 {
        engine.at_end("t", partition, 0);
        engine.broker_answers("t", partition, true, NOW);
    }
}

fn send(engine: &mut Engine, offset: &mut i64, model: usize, at: i64) {
    let json = format!(
        r#"{{"model":"m-{model}","version":"1.0.0","ts":{at},"features":{{"x":3,"country":"DE"}},"segment":{{"country":"DE"}}}}"#
    );
    feed(engine, &Sent { partition: 0, offset: *offset, json });
    *offset += 1;
}

/// Windows by model, segment, horizon and end, with their rows. Every model has a row in each of the first minutes; when the
/// first edge is due, late ones and newer ones come: between its first steps, or after it.
fn judged(steps: Option<usize>) -> Vec<(String, Option<String>, String, i64, u64)> {
    let mut config = settings();
    config.windows.correction = Span::from_mins(10);
    let (mut engine, mut offset) = (engine_with(&config), 0);
    watch(&mut engine, MODELS);
    for model in 0..MODELS {
        send(&mut engine, &mut offset, model, START + 30_000);
    }
    // The watermark passes the end of the first pane.
    send(&mut engine, &mut offset, 0, START + 3 * MINUTE);
    let mut windows = Vec::new();
    let mut between = |engine: &mut Engine| {
        for model in 0..MODELS {
            send(engine, &mut offset, model, START + 10_000);
            send(engine, &mut offset, model, START + 2 * MINUTE);
        }
    };
    match steps {
        Some(steps) => {
            let mut turns = 0;
            loop {
                let (progress, standing) = engine.advance_some(NOW, steps);
                windows.extend(progress.windows);
                if turns == 1 {
                    assert!(windows.is_empty(), "rows are still being counted");
                    between(&mut engine);
                }
                turns += 1;
                if standing != Standing::Judging {
                    break;
                }
            }
            assert!(turns > 3, "{turns}");
        }
        None => {
            let (progress, standing) = engine.advance_some(NOW, usize::MAX);
            assert_eq!(standing, Standing::EdgeDone);
            windows.extend(progress.windows);
            between(&mut engine);
        }
    }
    for minute in 4..12 {
        send(&mut engine, &mut offset, 1, START + minute * MINUTE);
        windows.extend(engine.advance(NOW, usize::MAX).0.windows);
    }
    assert!(engine.law().holds() && !engine.is_judging());
    windows
        .into_iter()
        .map(|window| (window.model, window.segment, window.horizon, window.end, window.rows))
        .collect()
}

#[test]
fn rows_that_wait_at_an_edge_count_in_it_however_many_steps_that_takes() {
    let at_once = judged(None);
    let first: Vec<u64> = at_once.iter().filter(|one| one.3 == START + MINUTE).map(|one| one.4).collect();
    assert!(first.len() >= 2 * MODELS && first.iter().all(|rows| *rows == 1), "{:?}", first.first());
    let later = at_once.iter().filter(|(.., rows)| *rows == 3).count();
    assert!(later >= 2 * MODELS, "late and newer ones are in the windows that follow: {later}");
    for steps in [1, 2] {
        assert!(judged(Some(steps)) == at_once, "in turns of {steps} steps");
    }
}

/// So many models that a batch of theirs is too large to be counted at once, and is full before a minute is over.
const MANY: usize = 1_100;

/// Rows of a minute of each model, and minutes.
const ROWS: i64 = 40;
const MINUTES: i64 = 5;

/// Rows of each model at the end, before which no edge comes any more: more than a checkpoint counts at once.
const MORE: i64 = 16;

/// How rows are counted: at once, since their keys are unusual, or in batches.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    AtOnce,
    InBatches { steps: usize, ahead: bool },
}

/// What was judged, the panes when all was read, and what was judged after that.
struct Counted {
    windows: Vec<WindowView>,
    panes: Vec<PaneRow>,
    last: Vec<WindowView>,
}

/// All models take turns, and one row in eleven is of two minutes before.
fn counted(way: Way) -> Counted {
    let mut config = settings();
    config.windows.correction = Span::from_mins(10);
    let mut engine = engine_with(&config);
    watch(&mut engine, MANY);
    let key = if way == Way::AtOnce { r"\u0061" } else { "aaaaaa" };
    let (mut windows, mut offset) = (Vec::new(), 0);
    for row in 0..ROWS * MINUTES + MORE {
        if row == ROWS * MINUTES {
            windows.extend(engine.advance(NOW, usize::MAX).0.windows);
        }
        for model in 0..MANY {
            let (minute, late) = ((row / ROWS).min(MINUTES - 1), if offset % 11 == 0 { 2 } else { 0 });
            let at = START + (minute - late).max(0) * MINUTE + row % ROWS * 1_400;
            let x = (offset * 7 + row) % 10;
            let json = format!(
                r#"{{"{key}":0,"model":"m-{model}","version":"1.0.0","ts":{at},"features":{{"x":{x},"country":"DE"}},"segment":{{"country":"DE"}}}}"#
            );
            feed(&mut engine, &Sent { partition: 0, offset, json });
            offset += 1;
            if offset % 1_000 == 0 && row < ROWS * MINUTES {
                let steps = if let Way::InBatches { steps, .. } = way { steps } else { usize::MAX };
                windows.extend(engine.advance_some(NOW, steps).0.windows);
            }
        }
    }
    if let Way::InBatches { ahead: true, .. } = way {
        let turns = (0..100).take_while(|_| engine.settle_ahead()).count();
        assert!(turns > 0 && turns < 100, "rows wait, and some are counted in each of {turns} turns");
    }
    let mut panes = engine.checkpoint().panes;
    panes.sort_by_key(|row| (row.subject, row.pane));
    for minutes in 0..30 {
        send(&mut engine, &mut offset, 0, START + (MINUTES + minutes) * MINUTE);
    }
    let last = engine.advance(NOW, usize::MAX).0.windows;
    assert!(last.len() > MANY, "the latest panes and all the long windows: {}", last.len());
    assert_eq!(engine.law().counted, offset.unsigned_abs(), "{:?}", engine.law());
    Counted { windows, panes, last }
}

#[test]
fn rows_of_full_batches_stand_aside_and_count_as_one_by_one() {
    let at_once = counted(Way::AtOnce);
    assert!(at_once.windows.len() > 2 * MANY && at_once.panes.len() > 2 * MANY);
    let in_batches = counted(Way::InBatches { steps: usize::MAX, ahead: false });
    assert!(in_batches.windows == at_once.windows, "the same rows are in each window");
    assert!(in_batches.panes == at_once.panes && in_batches.last == at_once.last);
    let in_steps = counted(Way::InBatches { steps: 2, ahead: true });
    assert!(in_steps.panes == at_once.panes, "while an edge is under way, and ahead of a checkpoint");
    assert!(in_steps.last == at_once.last, "what amended closed panes is in the totals once");
}
