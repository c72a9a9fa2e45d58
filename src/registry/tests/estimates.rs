//! From a file with labels to what windows without any let expect, against figures by hand.

use super::Baseline;
use crate::monitor::estimate::estimate;
use crate::reference::{Reference, decode, encode};
use crate::registry::read_as_one;
use crate::view::{EstimateView, WindowView};

/// A baseline of such rows, as it is read back from its artifact.
fn learned(header: &str, rows: &[String]) -> Reference {
    let built = Baseline::new("rows.csv", &format!("{header}\n{}\n", rows.join("\n"))).built();
    let read = decode(&encode(&built).unwrap()).unwrap();
    assert_eq!(read, built);
    read
}

/// What a window of such rows lets expect.
fn expected(reference: &Reference, header: &str, rows: &[String]) -> Option<EstimateView> {
    let file = Baseline::new("window.csv", &format!("{header}\n{}\n", rows.join("\n")));
    let counted = read_as_one(reference, &[], &file.options, "reading").unwrap();
    estimate(reference, &counted.window(0).whole, &[WindowView::default()])
}

fn times(n: usize, row: &str) -> Vec<String> {
    vec![row.to_owned(); n]
}

#[track_caller]
fn near(seen: Option<f64>, by_hand: f64) {
    assert!(seen.is_some_and(|seen| (seen - by_hand).abs() < 1e-9), "{seen:?}, {by_hand} by hand");
}

#[test]
fn two_classes_are_expected_under_either_assumption() {
    let parts = [times(90, "0.2,0"), times(10, "0.2,1"), times(20, "0.7,0"), times(80, "0.7,1")];
    let reference = learned("score,label", &parts.concat());
    let window = [times(30, "0.2"), times(10, "0.7")].concat();
    let seen = expected(&reference, "score", &window).unwrap();
    assert_eq!((seen.predictions, seen.mae, seen.class_shares_label_shift.len()), (40, None, 0));
    near(seen.accuracy, (30.0 * 0.9 + 10.0 * 0.8) / 40.0);
    near(seen.confidence, (30.0 * 0.9 + 10.0 * 0.8) / 40.0);
    near(seen.positive_share, (30.0 * 0.1 + 10.0 * 0.8) / 40.0);
    // 170 of 200 were right: the 100 with confidence 0.9, and 70 of 100 with 0.8.
    near(seen.accuracy_thresholded, (30.0 + 0.7 * 10.0) / 40.0);
    let entropy = |p: f64| -p * p.ln() - (1.0 - p) * (1.0 - p).ln();
    near(seen.entropy, (30.0 * entropy(0.1) + 10.0 * entropy(0.8)) / 40.0);
    // A quarter is predicted positive: of positives 80 of 90 are, of negatives 20 of 110.
    let positives = (0.25 - 20.0 / 110.0) / (80.0 / 90.0 - 20.0 / 110.0);
    near(seen.positive_share_label_shift, positives);
    near(seen.accuracy_label_shift, positives * 80.0 / 90.0 + (1.0 - positives) * 90.0 / 110.0);
}

#[test]
fn a_score_at_which_most_decisions_are_wrong_is_not_a_sure_one() {
    // From 0.5 on says yes; at 0.6 that is wrong nine times of ten.
    let parts = [times(80, "0.2,0"), times(20, "0.2,1"), times(90, "0.6,0"), times(10, "0.6,1")];
    let reference = learned("score,label", &[parts.concat(), times(100, "0.9,1")].concat());
    // 190 of 300 were right: all at 0.9 and 90 of 100 at 0.2.
    let seen = |rows: &[String]| expected(&reference, "score", rows).unwrap().accuracy_thresholded;
    near(seen(&times(5, "0.6")), 0.0);
    near(seen(&times(5, "0.9")), 1.0);
    near(seen(&times(5, "0.2")), 0.9);
}

/// Predictions below 48 are off by 1, all others by 10, to either side.
fn numbers() -> Vec<String> {
    let row = |i: i32| {
        let (score, side) = (i % 100, if i / 100 % 2 == 0 { 1.0 } else { -1.0 });
        let off = if score < 48 { 1.0 } else { 10.0 };
        format!("{}.5,{}", score, f64::from(score) + 0.5 + side * off)
    };
    (0..2_000).map(row).collect()
}

#[test]
fn errors_of_a_number_are_expected_by_the_size_of_the_prediction() {
    let mut rows = numbers();
    let reference = learned("score,label", &rows);
    let window = [times(30, "10.5"), times(10, "90.5")].concat();
    let seen = expected(&reference, "score", &window).unwrap();
    near(seen.mae, (30.0 * 1.0 + 10.0 * 10.0) / 40.0);
    near(seen.rmse, ((30.0 * 1.0 + 10.0 * 100.0) / 40.0f64).sqrt());
    assert_eq!((seen.predictions, seen.accuracy, seen.accuracy_label_shift), (40, None, None));
    let beyond = expected(&reference, "score", &times(3, "5000")).unwrap();
    near(beyond.mae, 10.0);
    let losses = |reference: &Reference| reference.calibration.as_ref().and_then(|one| one.losses.clone());
    rows.reverse();
    assert_eq!(losses(&learned("score,label", &rows)), losses(&reference), "whatever the order of rows");
    assert!(losses(&reference).is_some_and(|groups| groups.len() <= 32));
}

/// Three classes; confidences of 0.4, 0.6 and 0.9 are right in 30, 60 and 95 of 100 predictions of each class, and where
/// they are wrong the next class is.
fn classes() -> Vec<String> {
    let names = ["ant", "bee", "cat"];
    let of = |class: usize, confidence: f64, right: usize| {
        let row = |label: usize| format!("{},{confidence},{}", names[class], names[label % 3]);
        [times(right, &row(class)), times(100 - right, &row(class + 1))].concat()
    };
    let sure = [(0.4, 30), (0.6, 60), (0.9, 95)];
    (0..3).flat_map(|class| sure.iter().flat_map(move |(p, right)| of(class, *p, *right))).collect()
}

#[test]
fn predictions_of_several_classes_are_expected_by_their_confidence_and_by_their_shares() {
    let reference = learned("prediction,score,label", &classes());
    let window = [times(10, "ant,0.9"), times(5, "bee,0.6"), times(5, "cat,0.4")].concat();
    let seen = expected(&reference, "prediction,score", &window).unwrap();
    assert_eq!((seen.predictions, seen.precision, seen.roc_auc, seen.brier), (20, None, None, None));
    near(seen.accuracy, (10.0 * 0.95 + 5.0 * 0.6 + 5.0 * 0.3) / 20.0);
    near(seen.confidence, (10.0 * 0.9 + 5.0 * 0.6 + 5.0 * 0.4) / 20.0);
    // 555 of 900 were right: all 300 at 0.9 and 255 of 300 at 0.6.
    near(seen.accuracy_thresholded, (10.0 + 5.0 * 0.85) / 20.0);
    let (right, wrong) = (185.0 / 300.0, 115.0 / 300.0);
    let band = seen.accuracy_band.unwrap();
    near(Some(0.7 - band.lower), 3.0 * (right * wrong / 20.0f64).sqrt());
    near(Some(band.upper), 1.0);
    // Of each class 185 in 300 are predicted right, and 115 as the class before.
    near(seen.accuracy_label_shift, right);
    let q = [0.5, 0.25, 0.25];
    let whole = right.powi(3) + wrong.powi(3);
    for (i, share) in seen.class_shares_label_shift.iter().enumerate() {
        let (this, next, after) = (q[i], q[(i + 1) % 3], q[(i + 2) % 3]);
        near(
            Some(share.share),
            (right * right * this - right * wrong * next + wrong * wrong * after) / whole,
        );
    }
    let names: Vec<&str> = seen.class_shares_label_shift.iter().map(|one| one.class.as_str()).collect();
    assert_eq!(names, ["ant", "bee", "cat"]);
    assert_eq!(expected(&reference, "prediction,score", &times(3, "dog,")), None, "no class and no score");
}

#[test]
fn classes_without_a_score_are_expected_by_their_shares_alone() {
    let rows = classes().into_iter().map(|row| {
        let parts: Vec<&str> = row.split(',').collect();
        format!("{},{}", parts[0], parts[2])
    });
    let reference = learned("prediction,label", &rows.collect::<Vec<_>>());
    let window = [times(10, "ant"), times(5, "bee"), times(5, "cat"), times(7, "dog")].concat();
    let seen = expected(&reference, "prediction", &window).unwrap();
    assert_eq!((seen.predictions, seen.accuracy, seen.confidence), (20, None, None));
    near(seen.accuracy_label_shift, 185.0 / 300.0);
}

#[test]
fn the_share_of_one_of_two_names_is_no_confidence_of_the_predicted_one() {
    let parts = [times(90, "no,0.2,no"), times(10, "no,0.2,yes"), times(20, "yes,0.7,no")];
    let rows = [parts.concat(), times(80, "yes,0.7,yes")].concat();
    let reference = learned("prediction,score,label", &rows);
    let window = [times(30, "no,0.2"), times(10, "yes,0.7")].concat();
    let seen = expected(&reference, "prediction,score", &window).unwrap();
    assert_eq!((seen.predictions, seen.accuracy, seen.accuracy_thresholded), (40, None, None));
    let yes = (0.25 - 20.0 / 110.0) / (80.0 / 90.0 - 20.0 / 110.0);
    near(seen.accuracy_label_shift, yes * 80.0 / 90.0 + (1.0 - yes) * 90.0 / 110.0);
    near(seen.class_shares_label_shift.get(1).map(|one| one.share), yes);
}

#[test]
fn of_many_classes_the_confidence_alone_is_used() {
    let row =
        |i: usize| format!("c{},0.8,c{}", i % 40, if i.is_multiple_of(5) { (i + 1) % 40 } else { i % 40 });
    let reference = learned("prediction,score,label", &(0..4_000).map(row).collect::<Vec<_>>());
    let classes = reference.calibration.as_ref().and_then(|one| one.classes.clone()).unwrap();
    assert!(classes.names.is_empty() && classes.confusion.is_empty());
    let seen = expected(&reference, "prediction,score", &times(10, "c3,0.8")).unwrap();
    near(seen.accuracy, 0.8);
    assert_eq!(seen.accuracy_label_shift, None);
}
