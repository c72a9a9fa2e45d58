//! What a window lets expect, against figures by hand.

use super::*;

#[test]
fn the_middle_of_a_cell_is_its_cut_point_or_half_way_between_two() {
    let knots = [0.25, 0.75];
    let middles: Vec<f64> = (0..5).map(|cell| middle(&knots, cell)).collect();
    assert_eq!(middles, [0.25, 0.25, 0.5, 0.75, 0.75]);
}

#[test]
fn calibrated_scores_never_fall_and_reach_into_cells_without_labels() {
    let shares = calibrated_scores(&[[10, 0], [0, 0], [4, 6], [6, 4], [0, 5]]).expect("labels");
    assert_eq!((shares[0], shares[2], shares[3], shares[4]), (0.0, 0.5, 0.5, 1.0));
    assert!((0.0..=0.5).contains(&shares[1]) && shares.is_sorted());
    assert_eq!(calibrated_scores(&[[0, 0]]), None);
}

#[test]
fn bands_are_three_standard_errors_of_so_many_predictions() {
    let view =
        EstimateView { predictions: 400, accuracy: Some(0.7), f1: Some(0.99), ..EstimateView::default() };
    let decisions =
        Confusion { true_positive: 30, false_positive: 10, false_negative: 20, true_negative: 40 };
    let seen = with_bands(view, &Sampling { decisions, roc_auc: Some(0.5) });
    let away = 3.0 * (0.7f64 * 0.3 / 400.0).sqrt();
    let accuracy = seen.accuracy_band.expect("a band");
    assert!((accuracy.lower - 0.7 + away).abs() < 1e-12 && (accuracy.upper - 0.7 - away).abs() < 1e-12);
    let f1 = seen.f1_band.expect("a band");
    assert!(f1.lower < 0.99 && f1.upper == 1.0, "no share is above 1");
    assert_eq!((seen.recall_band, seen.roc_auc_band), (None, None), "nothing was expected of them");
}
