//! More models, versions and segments than there is room for.

use anchorwatch::engine::CatalogEntry;

use crate::known::{MINUTE, NOW, Run, START, entry, event, settings, ts};

fn of(model: &str, version: &str, segment: usize, at: i64) -> String {
    format!(
        r#"{{"model":"{model}","version":"{version}","ts":{at},"features":{{"x":1}},"segment":{{"segment":"s{segment}"}}}}"#
    )
}

fn not_admitted(run: &Run, reason: &str) -> u64 {
    run.engine.law().not_admitted.get(reason).copied().unwrap_or(0)
}

#[test]
fn new_models_beyond_the_budget_are_turned_away_and_known_ones_are_not_touched() {
    let names: Vec<String> = (0..200).map(|i| format!("late-{i:03}")).collect();
    let models: Vec<&str> = std::iter::once("known").chain(names.iter().map(String::as_str)).collect();
    let mut quiet = Run::new(&settings(""), &models);
    let mut loud = Run::new(&settings(""), &models);
    loud.send(None, event(0).as_bytes());
    quiet.send(None, event(0).as_bytes());
    let one = loud.engine.memory().charged;
    loud.engine.set_memory_budget(one * 20);
    for i in 1..3_000 {
        quiet.send(None, event(i).as_bytes());
        loud.send(None, event(i).as_bytes());
        let name = &names[usize::try_from(i).expect("small") % names.len()];
        loud.send(None, of(name, "1.0.0", usize::try_from(i).expect("small"), ts(i)).as_bytes());
        if i % 100 == 0 {
            quiet.settle("known");
            loud.settle("known");
        }
        assert!(loud.engine.memory().charged <= one * 20);
    }
    assert_eq!((loud.windows, loud.panes), (quiet.windows, quiet.panes));
    let law = loud.engine.law();
    assert!(law.unmatched > 2_000 && law.unmatched == law.not_admitted["memory"], "{law:?}");
    assert!(law.not_admitted["segment_memory"] > 0 && law.holds(), "{law:?}");
    let shown = loud.engine.not_admitted();
    assert!(shown.iter().any(|view| view.reason == "memory" && view.model.starts_with("late-")), "{shown:?}");
    assert!(shown.iter().all(|view| view.model != "known"));
}

#[test]
fn who_has_left_the_longest_window_makes_room() {
    let mut run = Run::new(&settings(""), &["known", "early", "late"]);
    let send = |run: &mut Run, model: &str, at: i64| {
        let json = format!(r#"{{"model":"{model}","version":"1.0.0","ts":{at},"features":{{"x":1}}}}"#);
        run.send(None, json.as_bytes());
        run.settle("known");
    };
    send(&mut run, "early", START);
    let one = run.engine.memory().charged;
    run.engine.set_memory_budget(one * 2);
    send(&mut run, "known", START);
    send(&mut run, "late", START);
    assert_eq!(not_admitted(&run, "memory"), 1, "no room for a third");
    for minute in 0..60 {
        send(&mut run, "known", START + minute * MINUTE);
    }
    assert!(run.engine.memory().charged < one * 2, "the panes of `early` have left");
    run.engine.set_memory_budget(one * 3);
    let before = run.engine.law().counted;
    send(&mut run, "late", START + 60 * MINUTE);
    assert_eq!((run.engine.law().counted, not_admitted(&run, "memory")), (before + 1, 1), "admitted now");
}

#[test]
fn a_model_has_five_versions_at_a_time_the_serving_one_and_the_newest() {
    let mut run = Run::new(&settings(""), &[]);
    let mut entries: Vec<CatalogEntry> =
        (0..8).map(|minor| entry("known", &format!("1.{minor}.0"))).collect();
    entries[0].watched.takes_feedback = true;
    run.engine.set_catalog(&entries);
    for minor in 0..8 {
        run.send(None, of("known", &format!("1.{minor}.0"), 0, START).as_bytes());
    }
    run.send(None, of("known", "2.0.0", 0, START).as_bytes());
    let counted: Vec<String> =
        run.engine.event_counts().into_iter().filter(|one| one.events > 0).map(|one| one.version).collect();
    assert_eq!(
        counted.iter().map(String::as_str).collect::<std::collections::BTreeSet<_>>(),
        ["1.0.0", "1.4.0", "1.5.0", "1.6.0", "1.7.0"].into()
    );
    let law = run.engine.law();
    assert_eq!((law.unmatched, law.not_admitted["versions"], law.refused["unknown_version"]), (3, 3, 1));
    assert!(run.engine.advance(NOW, 1).0.windows.is_empty());
    // When a version is archived, the next one takes its place.
    entries.remove(7);
    run.engine.set_catalog(&entries);
    run.send(None, of("known", "1.3.0", 0, START).as_bytes());
    assert_eq!(run.engine.law().unmatched, 3);
}
