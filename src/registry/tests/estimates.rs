//! From a file with labels to what windows without any let expect, against figures by hand.

use super::Baseline;
use crate::monitor::estimate::estimate;
use crate::reference::{Reference, decode, encode};
use crate::registry::{BaselineOptions, BuildError, build, read_as_one};
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
    near_to(seen, by_hand, 1e-9);
}

#[track_caller]
fn near_to(seen: Option<f64>, by_hand: f64, off: f64) {
    assert!(seen.is_some_and(|seen| (seen - by_hand).abs() < off), "{seen:?}, {by_hand} by hand");
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

/// Errors of any score are 1 where `kind` is `near`, 5 where it is `far`, 9 without it; `other` says nothing.
fn by_kind() -> Vec<String> {
    let row = |i: usize| {
        let (score, side) = (i % 50, if i.is_multiple_of(2) { 1 } else { -1 });
        let (kind, off) = [("near", 1), ("far", 5), ("", 9), ("near", 1)][i / 50 % 4];
        format!("{score},{},{kind},{}", score as i64 + side * off, i / 7 % 5)
    };
    (0..4_000).map(row).collect()
}

#[test]
fn errors_of_a_number_are_expected_by_the_feature_that_they_depend_on_most() {
    let mut rows = by_kind();
    let reference = learned("score,label,kind,other", &rows);
    let window =
        [times(6, "10,near,1"), times(3, "10,far,1"), times(1, "40,,1"), times(2, ",far,1")].concat();
    let seen = expected(&reference, "score,kind,other", &window).unwrap();
    assert_eq!((seen.predictions, seen.loss_feature.as_deref()), (10, Some("kind")));
    near_to(seen.mae, (6.0 + 3.0 * 5.0 + 9.0) / 10.0, 1e-5);
    near_to(seen.rmse, ((6.0 + 3.0 * 25.0 + 81.0) / 10.0f64).sqrt(), 1e-5);
    rows.reverse();
    let again = learned("score,label,kind,other", &rows);
    assert_eq!(again.joint.expected, reference.joint.expected, "whatever the order of rows");
    let none = expected(&reference, "score,kind,other", &times(3, ",far,1"));
    assert_eq!(none, None, "no score, nothing to expect");
}

#[test]
fn errors_that_no_feature_explains_are_expected_by_the_prediction_alone() {
    let with_noise = |(i, row): (usize, String)| format!("{row},{}", i * 7_919 % 13);
    let rows: Vec<String> = numbers().into_iter().enumerate().map(with_noise).collect();
    let reference = learned("score,label,noise", &rows);
    assert_eq!(reference.joint.expected, None);
    let seen = expected(&reference, "score,noise", &times(10, "90.5,3")).unwrap();
    near(seen.mae, 10.0);
    assert_eq!(seen.loss_feature, None);
}

/// Three classes with a score each. Of 100 rows with the scores of the first line 80 are ants and 20 bees, and so on.
fn scored_classes() -> Vec<String> {
    let of = |row: &str, labels: [(&str, usize); 2]| {
        labels.into_iter().flat_map(move |(label, n)| times(n, &format!("{row},{label}"))).collect::<Vec<_>>()
    };
    [
        of("ant,0.7,0.2,0.1", [("ant", 80), ("bee", 20)]),
        of("bee,0.1,0.8,0.1", [("bee", 90), ("cat", 10)]),
        of("cat,0.2,0.3,0.5", [("cat", 60), ("bee", 40)]),
    ]
    .concat()
}

fn with_scores(header: &str, rows: &[String], scores: &[(&str, &str)]) -> Result<Reference, BuildError> {
    let file = Baseline::new("rows.csv", &format!("{header}\n{}\n", rows.join("\n")));
    let named = scores.iter().map(|(class, column)| ((*class).to_owned(), (*column).to_owned()));
    let built = build(&BaselineOptions { class_scores: named.collect(), ..file.options })?;
    assert_eq!(decode(&encode(&built).unwrap()).unwrap(), built);
    Ok(built)
}

const SCORED: &str = "prediction,p_ant,p_bee,p_cat,label";
const OF_CLASSES: [(&str, &str); 3] = [("ant", "p_ant"), ("bee", "p_bee"), ("cat", "p_cat")];

#[test]
fn several_classes_are_expected_by_a_score_of_each() {
    let reference = with_scores(SCORED, &scored_classes(), &OF_CLASSES).unwrap();
    let window = [
        times(10, "ant,0.7,0.2,0.1"),
        times(5, "cat,0.2,0.3,0.5"),
        times(4, "dog,0.7,0.2,0.1"),
        times(2, "cat,,0.3,0.5"),
    ];
    let seen = expected(&reference, "prediction,p_ant,p_bee,p_cat", &window.concat()).unwrap();
    assert_eq!(seen.predictions, 15, "neither an unknown class nor a missing score");
    let within =
        |seen: Option<f64>, by_hand: f64| assert!((seen.unwrap() - by_hand).abs() < 1e-5, "{seen:?}");
    // Against the rest: 0.7 is an ant in 80 of 100, 0.2 and 0.1 never; bees at 0.2, 0.3 and 0.8 in 20, 40 and 90 of 100; at
    // 0.1 a cat comes in 10 of 200 rows, at 0.5 in 60 of 100.
    let (a, b, c) = (0.8, 0.2, 0.05);
    let first = [a / (a + b + c), b / (a + b + c), c / (a + b + c)];
    let second = [0.0, 0.4, 0.6];
    let right = 10.0 * first[0] + 5.0 * second[2];
    within(seen.accuracy, right / 15.0);
    within(seen.precision, (first[0] + second[2]) / 2.0);
    let cats = 10.0 * first[2] + 5.0 * second[2];
    within(seen.recall, (1.0 + 0.0 + 5.0 * second[2] / cats) / 3.0);
    let f1 = [2.0 * 10.0 * first[0] / (10.0 + 10.0 * first[0]), 0.0, 2.0 * 5.0 * second[2] / (5.0 + cats)];
    within(seen.f1, f1.iter().sum::<f64>() / 3.0);
    let shares: Vec<&str> = seen.class_shares.iter().map(|one| one.class.as_str()).collect();
    assert_eq!(shares, ["ant", "bee", "cat"]);
    within(seen.class_shares.get(2).map(|one| one.share), cats / 15.0);
    // Scores of rows that lack another, or predict none of the classes, count in the areas: of ants 14 rows at 0.7 and 5 at
    // 0.2; of bees 14 at 0.2 and 7 at 0.3; of cats 14 at 0.1 and 7 at 0.5.
    let area = |[low, high]: [(f64, f64); 2]| {
        let (yes, no) = ([low.0 * low.1, high.0 * high.1], [low.0 * (1.0 - low.1), high.0 * (1.0 - high.1)]);
        (yes[1] * (no[0] + no[1] / 2.0) + yes[0] * no[0] / 2.0) / ((yes[0] + yes[1]) * (no[0] + no[1]))
    };
    let [ants, bees, cats] =
        [[(5.0, 0.0), (14.0, 0.8)], [(14.0, 0.2), (7.0, 0.4)], [(14.0, 0.05), (7.0, 0.6)]];
    within(seen.roc_auc, (area(ants) + area(bees) + area(cats)) / 3.0);
    assert!(seen.accuracy_band.is_some() && seen.accuracy_label_shift.is_some());
}

#[test]
fn of_a_confidence_beside_the_scores_of_classes_its_own_figures_stay() {
    let with_confidence = |row: &String| {
        let confidence = if row.starts_with("cat") { 0.5 } else { 0.75 };
        format!("{confidence},{row}")
    };
    let rows: Vec<String> = scored_classes().iter().map(with_confidence).collect();
    let reference = with_scores(&format!("score,{SCORED}"), &rows, &OF_CLASSES).unwrap();
    let window = times(10, "0.75,ant,0.7,0.2,0.1");
    let seen = expected(&reference, "score,prediction,p_ant,p_bee,p_cat", &window).unwrap();
    near(seen.confidence, 0.75);
    near_to(seen.accuracy, 0.8 / (0.8 + 0.2 + 0.05), 1e-5);
    assert!(seen.accuracy_thresholded.is_some(), "{seen:?}");
}

#[test]
fn scores_of_as_many_classes_as_may_be_are_used() {
    let header: Vec<String> = (0..32).map(|class| format!("p{class}")).collect();
    let row = |i: usize| {
        let scores: Vec<&str> = (0..32).map(|class| if class == i % 32 { "0.69" } else { "0.01" }).collect();
        format!(
            "c{},{},c{}",
            i % 32,
            scores.join(","),
            if i.is_multiple_of(5) { (i + 1) % 32 } else { i % 32 }
        )
    };
    let rows: Vec<String> = (0..3_200).map(row).collect();
    let named: Vec<(String, String)> =
        (0..32).map(|class| (format!("c{class}"), format!("p{class}"))).collect();
    let named: Vec<(&str, &str)> =
        named.iter().map(|(class, column)| (class.as_str(), column.as_str())).collect();
    let header = format!("prediction,{},label", header.join(","));
    let reference = with_scores(&header, &rows, &named).unwrap();
    let window: Vec<String> = rows.iter().map(|row| row[..row.rfind(',').unwrap()].to_owned()).collect();
    let seen = expected(&reference, header.strip_suffix(",label").unwrap(), &window[..320]).unwrap();
    near_to(seen.accuracy, 0.8, 1e-3);
    assert_eq!((seen.predictions, seen.class_shares.len()), (320, 32));
}

#[test]
fn scores_of_classes_that_cannot_be_used_are_refused() {
    let rows = scored_classes();
    let refused = |scores: &[(&str, &str)]| with_scores(SCORED, &rows, scores).unwrap_err().to_string();
    assert!(refused(&OF_CLASSES[..1]).contains("2 to 32"));
    assert!(refused(&[("ant", "p_ant"), ("ant", "p_bee")]).contains("each class and each column once"));
    assert!(refused(&OF_CLASSES[..2]).contains("`cat` has no score"));
    assert!(refused(&[("ant", "p_ant"), ("wasp", "p_bee")]).contains("ever `wasp`"));
    assert!(refused(&[("ant", "p_ant"), ("bee", "p_wasp")]).contains("`p_wasp` is no feature"));
    let numbers =
        with_scores("score,label,p_a,p_b", &times(50, "1,0,0.5,0.5"), &[("0", "p_a"), ("1", "p_b")]);
    assert!(numbers.unwrap_err().to_string().contains("compared with the one score"));
    let file = Baseline::new("rows.csv", &format!("{SCORED}\n{}\n", rows.join("\n")));
    let class_scores: Vec<(String, String)> =
        OF_CLASSES[..2].iter().map(|(class, column)| ((*class).to_owned(), (*column).to_owned())).collect();
    let few = build(&BaselineOptions { class_scores, max_categories: 2, ..file.options });
    assert!(few.unwrap_err().to_string().contains("--max-categories"), "one class is none of the two");
    let without = with_scores("label,p_a,p_b", &times(50, "b,0.5,0.5"), &[("a", "p_a"), ("b", "p_b")]);
    assert!(without.unwrap_err().to_string().contains("`prediction` has to be there"));
}
