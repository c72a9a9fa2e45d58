//! From a file of baseline rows whose score foretells a quantile to what late labels say of it: also after restarts, and
//! where labels come with their predictions.

use anchorwatch::reference::{decode, encode};
use anchorwatch::registry::{BaselineOptions, build};
use anchorwatch::telemetry::Metrics;
use anchorwatch::view::{PerformanceView, StatusView};

use super::figures::{COMPLETE, numbers, raw};
use super::*;

/// A reference of a file in which labels are the score, 1 more and 2 more, as it is read back from its artifact.
fn foretelling(quantile: Option<f64>) -> Arc<Reference> {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = (0..300).map(|i| {
        let x = i % 10;
        format!("{x},{},{}\n", 2 * x, 2 * x + i / 10 % 3)
    });
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, format!("x,score,label\n{}", rows.collect::<String>())).expect("a file");
    let built = build(&BaselineOptions { quantile, ..BaselineOptions::new("m", "1.0.0", path) });
    let bytes = encode(&built.expect("a reference")).expect("bytes");
    Arc::new(decode(&bytes).expect("the same"))
}

/// The latest final window of such events, the engine being started anew in the middle of them.
fn judged(sent: &Sent, reference: &Arc<Reference>) -> (PerformanceView, String) {
    let settings = settings(COMPLETE);
    let (mut stored, mut turn) = (Restored::default(), 0);
    let start = engine(&settings, &catalog_of(Arc::clone(reference)));
    let (seen, _) = run_in(start, sent, &[(0, 40), (1, 40)], |engine| {
        turn += 1;
        if turn % 3 == 0 {
            restart_with(engine, &settings, &mut stored, Arc::clone(reference))
        } else {
            engine
        }
    });
    let window = seen.labels[0].latest.clone().expect("a final window");
    let metrics = Metrics::with_budget(1_000).expect("metrics");
    metrics.status(Arc::new(StatusView { labels: seen.labels, ..StatusView::default() }));
    (window, metrics.encode().expect("text"))
}

/// Mean pinball loss, and share of labels that the score is not below.
fn by_hand((labels, scores): &(Vec<f64>, Vec<f64>), quantile: f64) -> (f64, f64) {
    let pairs = || labels.iter().zip(scores);
    let loss = |(label, score): (&f64, &f64)| {
        if label > score { quantile * (label - score) } else { (1.0 - quantile) * (score - label) }
    };
    let n = labels.len() as f64;
    (pairs().map(loss).sum::<f64>() / n, pairs().filter(|(label, score)| label <= score).count() as f64 / n)
}

#[test]
fn late_labels_say_how_well_a_quantile_is_foretold() {
    let sent = numbers();
    let mut losses = Vec::new();
    for quantile in [0.1, 0.9] {
        let (window, text) = judged(&sent, &foretelling(Some(quantile)));
        let outcomes = raw(&sent, &window);
        assert_eq!(outcomes.0.len() as i64, PER_HOUR);
        let (loss, coverage) = by_hand(&outcomes, quantile);
        assert!(
            window.quantile_loss.is_some_and(|seen| (seen / loss - 1.0).abs() < 1e-12),
            "{loss} {window:?}"
        );
        assert_eq!(window.quantile_coverage, Some(coverage));
        assert!((0.01..0.5).contains(&coverage), "labels on either side: {coverage}");
        for (figure, value) in [("loss", window.quantile_loss), ("coverage", window.quantile_coverage)] {
            let value = value.expect("a figure");
            let line = format!(
                "anchorwatch_performance_quantile_{figure}{{model=\"m\",version=\"1.0.0\"}} {value}\n"
            );
            assert!(text.contains(&line), "{line}{text}");
        }
        losses.push(loss);
    }
    assert!(losses[1] > 2.0 * losses[0], "most labels are above the score: {losses:?}");
}

#[test]
fn labels_that_come_with_their_predictions_count_in_the_same_figures() {
    let (mut sent, reference) = (numbers(), foretelling(Some(0.9)));
    let (late, _) = judged(&sent, &reference);
    let labels: HashMap<String, String> = sent.partitions[1]
        .iter()
        .filter_map(|(_, json)| {
            let event: serde_json::Value = serde_json::from_str(json).expect("JSON");
            Some((event["id"].as_str()?.to_owned(), event["label"].to_string()))
        })
        .collect();
    for (at, json) in &mut sent.partitions[0] {
        let event: serde_json::Value = serde_json::from_str(json).expect("JSON");
        // Of every other prediction the label is known at once.
        let label =
            event["id"].as_str().filter(|_| *at / (HOUR / PER_HOUR) % 2 == 0).and_then(|id| labels.get(id));
        if let Some(label) = label {
            *json = format!("{},\"label\":{label}}}", json.strip_suffix('}').expect("an object"));
        }
    }
    let (both, _) = judged(&sent, &reference);
    assert_eq!((both.start, both.predictions, both.labelled), (late.start, late.predictions, late.labelled));
    assert_eq!((both.quantile_loss, both.quantile_coverage), (late.quantile_loss, late.quantile_coverage));
}

#[test]
fn without_a_quantile_there_is_no_figure_of_one() {
    let (window, text) = judged(&numbers(), &foretelling(None));
    assert!(window.mae.is_some() && text.contains("anchorwatch_performance_mae{"), "{window:?}");
    assert_eq!((window.quantile_loss, window.quantile_coverage), (None, None));
    assert!(!text.contains("performance_quantile"), "{text}");
    let json = serde_json::to_string(&window).expect("JSON");
    assert!(!json.contains("quantile"), "{json}");
}
