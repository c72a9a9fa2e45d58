//! Baselines whose score foretells a quantile of the label, and those whose score cannot.

use super::Baseline;
use crate::reference::{QuantileOutcome, ReferenceId, decode, encode};
use crate::registry::BaselineOptions;

/// Scores of 10 to 29 with a label 2 above each, 1 below, and the same.
fn numbers() -> Vec<String> {
    let row = |score: i32, off: i32| format!("{score},{}", score + off);
    (10..30).flat_map(|score| [2, -1, 0].map(|off| row(score, off))).collect()
}

fn of(header: &str, rows: &[String]) -> Baseline {
    Baseline::new("rows.csv", &format!("{header}\n{}\n", rows.join("\n")))
}

fn foretelling(share: f64) -> impl FnOnce(&mut BaselineOptions) {
    move |options| options.quantile = Some(share)
}

#[test]
fn a_quantile_is_kept_with_what_the_baseline_says_of_it() {
    let built = of("score,label", &numbers()).with(foretelling(0.9)).built();
    let bytes = encode(&built).unwrap();
    let read = decode(&bytes).unwrap();
    assert_eq!((&read, read.quantile()), (&built, Some(0.9)));
    let QuantileOutcome { loss, coverage } = read.calibration.and_then(|one| one.quantile).unwrap();
    assert!((loss - (0.9 * 2.0 + 0.1 * 1.0) / 3.0).abs() < 1e-14, "{loss}");
    assert!((coverage - 2.0 / 3.0).abs() < 1e-14, "{coverage}");
    let without = of("score,label", &numbers()).built();
    assert_eq!((without.quantile(), without.calibration.as_ref().and_then(|one| one.quantile)), (None, None));
    assert_ne!(ReferenceId::of(&bytes), ReferenceId::of(&encode(&without).unwrap()));
}

#[test]
fn rows_that_lack_score_or_label_say_nothing_of_a_quantile() {
    let gaps = ["50,".to_owned(), ",1000".to_owned(), ",".to_owned()];
    let built = of("score,label", &[numbers(), gaps.to_vec()].concat()).with(foretelling(0.9)).built();
    let outcome = built.calibration.and_then(|one| one.quantile).unwrap();
    assert!(
        (outcome.loss - 1.9 / 3.0).abs() < 1e-14 && (outcome.coverage - 2.0 / 3.0).abs() < 1e-14,
        "{outcome:?}"
    );
}

#[test]
fn shares_of_which_there_is_no_quantile_are_refused() {
    for share in [0.0, 1.0, -0.5, 90.0, f64::NAN, f64::INFINITY] {
        let refused = of("score,label", &numbers()).with(foretelling(share)).refused();
        let expected = format!("--quantile is {share}; use a number above 0 and below 1, such as 0.9");
        assert_eq!(refused, expected);
    }
}

#[test]
fn where_score_or_label_is_no_number_a_quantile_is_refused() {
    let rows = |row: fn(usize) -> String| -> Vec<String> { (0..60).map(row).collect() };
    for (header, rows, reason) in [
        ("score,other", numbers(), "it has no column `label` with values"),
        ("other,label", numbers(), "it has no column `score` with values"),
        ("score,label", rows(|row| format!("{row},")), "it has no column `label` with values"),
        ("score,label", rows(|row| format!("s{},{row}", row % 3)), "`score` holds names or truth values"),
        ("score,label", rows(|row| format!("{row},c{}", row % 3)), "`label` holds names or truth values"),
        (
            "score,label",
            rows(|row| format!("0.{row},{}", row % 2 == 0)),
            "`label` holds names or truth values",
        ),
        (
            "score,label",
            rows(|row| format!("0.{row},{}", row % 2)),
            "`label` is never another number than 0 and 1",
        ),
        ("score,label", rows(|row| format!("{row},7")), "or always the same"),
    ] {
        let refused = of(header, &rows).with(foretelling(0.9)).refused();
        assert!(
            refused.contains("--quantile cannot be used with") && refused.contains(reason),
            "{header}: {refused}"
        );
        assert!(refused.contains("leave it out"), "{refused}");
        assert!(
            of(header, &rows).build().is_ok(),
            "{header}: there is nothing wrong with it but the quantile"
        );
    }
    let named = of("score,label", &rows(|row| format!("0.{row},c{}", row % 3)))
        .with(|options| options.positive_label = Some("c1".to_owned()));
    assert!(named.with(foretelling(0.9)).refused().contains("`label` holds names or truth values"));
}
