//! What the labels so far say of windows that still wait for some: near to what all of them will say, also where one class
//! is labelled sooner than the other, and the same after a restart.

use super::*;

/// Hours of predictions; so far the labels have come that were told until the last of them.
const HOURS: i64 = 100;

/// One prediction, whether it is right, and when its label is told.
struct One {
    at: i64,
    truth: bool,
    right: bool,
    told_at: i64,
}

/// What comes true is told within hours and is hard to foretell; what does not is told after a day, and easy.
fn fast_and_slow() -> Vec<One> {
    let mut random = random(21);
    (0..HOURS * PER_HOUR)
        .map(|i| {
            let at = START + i * HOUR / PER_HOUR;
            let truth = random(10) < 3;
            let right = random(100) < if truth { 40 } else { 95 };
            let told_at = at + if truth { HOUR } else { 20 * HOUR };
            One { at, truth, right, told_at: told_at + random((10 * HOUR).unsigned_abs()) }
        })
        .collect()
}

fn sent(all: &[One], score: impl Fn(&One) -> f64) -> Sent {
    let mut sent = Sent::default();
    let end = START + HOURS * HOUR;
    for (i, one) in all.iter().enumerate() {
        let (at, told_at) = (one.at, one.told_at);
        let prediction = format!(
            r#"{{"model":"m","version":"1.0.0","id":"p{i}","ts":{at},"features":{{"x":1}},"score":{}}}"#,
            score(one)
        );
        sent.partitions[0].push((at, prediction));
        if told_at < end {
            let label = u8::from(one.truth);
            let label = format!(r#"{{"model":"m","id":"p{i}","label":{label},"ts":{told_at}}}"#);
            sent.partitions[1].push((told_at, label));
        }
    }
    sent.partitions[1].sort();
    // The watermark passes the last of these hours.
    let last = end + 16 * MINUTE;
    sent.partitions[0]
        .push((last, format!(r#"{{"model":"m","version":"1.0.0","ts":{last},"features":{{"x":1}}}}"#)));
    sent.partitions[1].push((last, format!(r#"{{"model":"m","label":1,"ts":{last}}}"#)));
    sent
}

#[test]
fn labels_of_the_slower_class_stand_for_those_that_are_late() {
    let all = fast_and_slow();
    let sent = sent(&all, |one| if one.truth == one.right { 0.95 } else { 0.05 });
    let settings = settings(USUAL);
    let (mut stored, mut turn) = (Restored::default(), 0);
    let (seen, _) = run(&sent, &settings, &IN_STEP, |engine| {
        turn += 1;
        if turn % 7 == 0 { restart(engine, &settings, &mut stored) } else { engine }
    });
    let view = seen.labels[0].provisional.as_ref().expect("windows that are over");
    let of_windows = || all.iter().filter(|one| (view.start..view.end).contains(&one.at));
    let end = START + HOURS * HOUR;
    let labelled = || of_windows().filter(|one| one.told_at < end);
    assert_eq!((view.predictions, view.labelled), (of_windows().count() as u64, labelled().count() as u64));
    let share = |part: usize, all: usize| part as f64 / all as f64;
    let truth = share(of_windows().filter(|one| one.right).count(), of_windows().count());
    let naive = share(labelled().filter(|one| one.right).count(), labelled().count());
    let accuracy = view.accuracy.expect("decisions");
    assert!(truth - naive > 0.07, "{truth} {naive}");
    assert!((accuracy - truth).abs() < 0.03, "{truth} {accuracy} {naive}");
    let interval = view.accuracy_interval.expect("labels");
    assert!(interval.lower < truth && truth < interval.upper, "{view:?}");
    assert!(view.effective < view.labelled as f64 && view.effective > 200.0, "{view:?}");

    let came = of_windows().filter(|one| one.truth).count();
    let near = |seen: Option<f64>, expected: f64| seen.is_some_and(|seen| (seen - expected).abs() < 0.04);
    assert!(near(view.positive_share, share(came, of_windows().count())), "{view:?}");
    let hits = of_windows().filter(|one| one.truth && one.right).count();
    let said = of_windows().filter(|one| one.truth == one.right).count();
    assert!(near(view.recall, share(hits, came)) && near(view.precision, share(hits, said)), "{view:?}");
    assert!(near(view.specificity, 0.95) && near(view.f1, share(2 * hits, came + said)), "{view:?}");
    assert_eq!((view.mae, view.rmse, view.bias), (None, None, None));

    let (unbroken, _) = run(&sent, &settings, &IN_STEP, |engine| engine);
    assert_eq!(unbroken.labels, seen.labels);
}

#[test]
fn nothing_is_provisional_before_a_final_window_has_shown_how_late_labels_come() {
    let mut sent = sent(&fast_and_slow(), |_| 0.95);
    let until = START + 12 * HOUR;
    for (partition, record) in [
        (0, format!(r#"{{"model":"m","version":"1.0.0","ts":{until},"features":{{"x":1}}}}"#)),
        (1, format!(r#"{{"model":"m","label":1,"ts":{until}}}"#)),
    ] {
        sent.partitions[partition].retain(|(at, _)| *at < until);
        sent.partitions[partition].push((until, record));
    }
    let (seen, _) = run(&sent, &settings(USUAL), &IN_STEP, |engine| engine);
    assert!(seen.labels[0].provisional_labelled > 100 && seen.labels[0].latest.is_none());
    assert_eq!(seen.labels[0].provisional, None);
}
