//! Straight through the engine: as many as are asked for, as fast as they are counted.

use anchorwatch::event::Refusal;

use crate::known::{CATEGORICAL, Run, alone, event, resident, settings, ts};

/// Most memory that an attack may cost.
const MOST_GROWTH: usize = 64 << 20;
/// Events of the known model, beside which each attack is spread.
const KNOWN: i64 = 3_000;

/// Runs the known model's events with what `attack` sends after each; checks that the known model sees nothing of it
/// and that memory and series stay bounded. Gives the run.
fn attacked(config: &str, mut attack: impl FnMut(&mut Run, i64)) -> Run {
    let _alone = alone();
    let models = ["known", "attacked"];
    let mut quiet = Run::new(&settings(config), &models);
    let mut loud = Run::new(&settings(config), &models);
    let begin = resident();
    for i in 0..KNOWN {
        for run in [&mut quiet, &mut loud] {
            run.send(Some(b"known"), event(i).as_bytes());
        }
        attack(&mut loud, i);
        if i % 100 == 99 {
            quiet.settle("known");
            loud.settle("known");
        }
    }
    let growth = resident().saturating_sub(begin);
    assert!(quiet.windows.len() > 50 && quiet.panes.len() > 50, "something was judged");
    assert_eq!(loud.windows, quiet.windows, "the known model is judged as if nothing had happened");
    assert_eq!(loud.panes, quiet.panes, "bit by bit");
    assert!(growth <= MOST_GROWTH, "{} MiB more", growth >> 20);
    assert!(loud.series() <= 2_500, "{} series", loud.series());
    loud
}

fn refused(run: &Run, reason: &str) -> u64 {
    run.engine.law().refused.get(reason).copied().unwrap_or(0)
}

#[test]
fn one_event_from_long_ago_does_not_have_every_minute_since_judged() {
    let _alone = alone();
    let mut plain = Run::new(&settings(""), &["known"]);
    let mut aged = Run::new(&settings(""), &["known"]);
    let long_ago = event(0).replace(&ts(0).to_string(), "100000000000");
    assert_ne!(long_ago, event(0));
    aged.send(Some(b"known"), long_ago.as_bytes());
    for i in 0..KNOWN {
        plain.send(Some(b"known"), event(i).as_bytes());
        aged.send(Some(b"known"), event(i).as_bytes());
    }
    // Windows of half a century were 26 million of one minute.
    plain.settle("known");
    aged.settle("known");
    assert_eq!(aged.engine.edges_due(), 0, "all that is due is judged");
    assert_eq!(aged.engine.law().counted, 1 + plain.engine.law().counted);
    let rows = |run: &Run| -> Vec<(String, i64, u64)> {
        let from = run.windows.iter().filter(|window| window.end > ts(0));
        from.map(|window| (window.horizon.clone(), window.end, window.rows)).collect()
    };
    assert!(rows(&plain).len() > 50);
    assert_eq!(rows(&aged), rows(&plain));
}

#[test]
fn five_million_distinct_categories_are_one_bin_and_fifty_segments() {
    let events = 5_000_000 / CATEGORICAL as i64 / KNOWN + 1;
    let run = attacked("", |run, i| {
        for event in i * events..(i + 1) * events {
            let categories: Vec<String> =
                (0..CATEGORICAL).map(|c| format!(r#""c{c}":"new-{event}-{c}""#)).collect();
            let json = format!(
                r#"{{"model":"attacked","version":"1.0.0","ts":{},"segment":{{"segment":"s{event}"}},"features":{{"x":1,{}}}}}"#,
                ts(i),
                categories.join(",")
            );
            run.send(Some(b"attacked"), json.as_bytes());
        }
    });
    let sent = u64::try_from(KNOWN * events).expect("a count");
    assert_eq!(run.engine.law().counted, sent + 3_000);
    assert_eq!(
        run.engine.law().not_admitted["segments"],
        sent - 50,
        "counted in the whole, not in a segment"
    );
}

#[test]
fn a_million_unknown_models_are_a_counter_and_a_hundred_names() {
    let run = attacked("", |run, i| {
        for model in 0..334 {
            let json = format!(
                r#"{{"model":"unknown-{i}-{model}","version":"1.{model}.0","ts":{},"features":{{}}}}"#,
                ts(i)
            );
            run.send(None, json.as_bytes());
        }
        for _ in 0..4 {
            run.send(None, br#"{"model":"known","version":"9.9.9","ts":1700000040000,"features":{}}"#);
        }
    });
    assert_eq!(refused(&run, "unknown_model"), 3_000 * 334);
    assert_eq!(refused(&run, "unknown_version"), 3_000 * 4);
    let frequent = &run.engine.unknown_models()[0];
    assert_eq!(
        (frequent.model.as_str(), frequent.version.as_deref()),
        ("known", Some("9.9.9")),
        "found among a million"
    );
}

#[test]
fn oversized_events_are_refused_before_they_cost_anything() {
    let many: Vec<String> = (0..10_000).map(|i| format!(r#""f{i}":{i}"#)).collect();
    let prefix = r#"{"model":"attacked","version":"1.0.0","ts":1700000040000,"features":"#;
    let mib = 1 << 20;
    let filled = |text: &str| text.repeat((mib - 200) / text.len());
    let attacks: Vec<(&str, Vec<u8>)> = vec![
        ("too_many_features", format!("{prefix}{{{}}}}}", many.join(",")).into_bytes()),
        ("too_deep", format!("{prefix}{{\"x\":{}", filled("[")).into_bytes()),
        ("too_deep", format!("{prefix}{{\"x\":{}", filled("{\"a\":")).into_bytes()),
        ("not_json", filled("[").into_bytes()),
        ("name_too_long", format!("{prefix}{{\"{}\":1}}}}", filled("k")).into_bytes()),
        ("too_large", vec![b' '; mib + 1]),
        ("not_json", format!("{prefix}{{\"x\":1e999}}}}").into_bytes()),
        ("not_json", format!("{prefix}{{\"x\":NaN}}}}").into_bytes()),
        ("not_json", [prefix.as_bytes(), b"{\"x\":\"\xff\xfe\"}}"].concat()),
        ("duplicate_key", format!("{prefix}{{\"x\":1,\"x\":2}}}}").into_bytes()),
        ("duplicate_key", format!("{prefix}{{}},\"model\":\"known\"}}").into_bytes()),
        ("wrong_shape", format!("{prefix}[{}]}}", filled("1,") + "1").into_bytes()),
    ];
    for (reason, payload) in &attacks {
        assert!(Refusal::REASONS.contains(reason), "{reason}");
        let run = attacked("", |run, i| {
            if i % 30 == 0 {
                run.send(None, payload);
            }
        });
        let found = run.engine.law().refused.clone();
        // Arrays at the top are refused for their depth or their shape, whichever is noticed first.
        let all: u64 = found.values().sum();
        assert_eq!(all, 100, "{reason}: {found:?}");
        assert!(found.contains_key(*reason) || payload[0] == b'[', "{reason}: {found:?}");
    }
}

/// What is not refused is a fault of one value: nested, or text as long as a record may be.
#[test]
fn huge_values_are_counted_as_faults_and_forgotten() {
    let filled = |text: &str| text.repeat((1_000_000) / text.len());
    let values = [
        format!("\"{}\"", filled("v")),
        format!("\"{}\"", filled("\\u0041")),
        format!("[{}0]", filled("{\"a\":1},")),
        format!("[{}0]", filled("[],")),
    ];
    for value in values {
        let payload = format!(
            r#"{{"model":"attacked","version":"1.0.0","ts":1700000040000,"features":{{"x":1,"c0":{value}}},"segment":{{"segment":{value}}}}}"#
        );
        assert!(payload.len() > 1 << 20 || payload.len() > 900_000);
        let config = "events: { max_bytes: 4194304 }";
        let run = attacked(config, |run, i| {
            if i < 100 {
                run.send(None, payload.as_bytes());
            }
        });
        assert_eq!(run.engine.law().counted, 3_100, "{:?}", run.engine.law());
        let names = run.engine.event_counts();
        assert!(names.iter().all(|count| count.model.len() < 20));
    }
}

#[test]
fn keys_of_a_mebibyte_name_no_model() {
    let key = vec![b'k'; 1 << 20];
    let run = attacked("events: { model_from: key }", |run, i| {
        if i % 30 == 0 {
            run.send(Some(&key), event(i).as_bytes());
        }
    });
    assert_eq!(refused(&run, "name_too_long"), 100);
    assert!(run.engine.unknown_models().is_empty());
}
