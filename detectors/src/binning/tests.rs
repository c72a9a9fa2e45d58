//! What a binning promises about cells, labels, order and the knots it chooses.

use proptest::prelude::*;

use super::*;

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

#[test]
fn knots_must_be_finite_and_increase() {
    assert!(matches!(NumericBinning::new(vec![1.0, 1.0]), Err(BinningError::OutOfOrder { index: 1, .. })));
    assert!(matches!(NumericBinning::new(vec![-0.0, 0.0]), Err(BinningError::OutOfOrder { index: 1, .. })));
    assert!(matches!(NumericBinning::new(vec![f64::NAN]), Err(BinningError::NotFinite { index: 0, .. })));
    assert!(matches!(NumericBinning::new(vec![0.0; MAX_POINTS + 1]), Err(BinningError::TooMany { .. })));
}

#[test]
fn negative_zero_is_zero() {
    let binning = NumericBinning::new(vec![-0.0]).unwrap();
    assert!(binning.knots()[0].is_sign_positive());
    assert_eq!((binning.cell(0.0), binning.cell(-0.0)), (1, 1));
}

#[test]
fn no_value_makes_a_binning_panic() {
    let binning = NumericBinning::new(vec![]).unwrap();
    assert_eq!(binning.cells(), 1);
    for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0] {
        assert_eq!(binning.cell(x), 0);
    }
    assert_eq!(binning.count(&[1.0, f64::NAN]), [1]);
}

#[test]
fn labels_read_like_a_person_would_say_them() {
    let numeric = Binning::Numeric(NumericBinning::new(vec![3.1, 4.0]).unwrap());
    let labels: Vec<String> = (0..6).map(|cell| numeric.label(cell)).collect();
    assert_eq!(labels, ["< 3.1", "3.1", "(3.1, 4.0)", "4.0", "> 4.0", "cell 5"]);
    let categorical = Binning::Categorical(CategoricalBinning::new(vec!["a".into()]).unwrap());
    assert_eq!((categorical.label(0), categorical.label(1)), ("a".to_owned(), "unseen".to_owned()));
}

#[test]
fn a_binning_survives_json_and_is_checked_on_the_way_in() {
    let binning = Binning::Numeric(NumericBinning::new(vec![0.1, 1e300]).unwrap());
    let json = serde_json::to_string(&binning).unwrap();
    assert_eq!(json, r#"{"kind":"numeric","knots":[0.1,1e+300]}"#);
    assert_eq!(serde_json::from_str::<Binning>(&json).unwrap(), binning);
    assert!(serde_json::from_str::<Binning>(r#"{"kind":"numeric","knots":[2,1]}"#).is_err());
    let known: Binning = serde_json::from_str(r#"{"kind":"categorical","categories":["x","y"]}"#).unwrap();
    assert!(matches!(known, Binning::Categorical(known) if known.cell("y") == 1 && known.cell("z") == 2));
    assert!(serde_json::from_str::<Binning>(r#"{"kind":"categorical","categories":["x","x"]}"#).is_err());
}

#[test]
fn heavy_values_become_atoms() {
    let mut values: Vec<f64> = (0..10_000).map(f64::from).collect();
    values.extend(vec![1234.5; 3_000]);
    let binning = NumericBinning::from_sorted_values(&sorted(values), 256).unwrap();
    assert!(binning.knots().contains(&1234.5));
    assert!(binning.knots().len() > 220);
}

#[test]
fn a_budget_of_nothing_is_refused() {
    assert_eq!(NumericBinning::from_sorted_values(&[1.0], 0), Err(BinningError::NoPoints));
    assert!(NumericBinning::from_sorted_values(&[2.0, 1.0], 5).is_err());
    assert_eq!(NumericBinning::from_sorted_values(&[], 5).unwrap().cells(), 1);
}

proptest! {
    #[test]
    fn every_value_lies_within_its_cell(knots in proptest::collection::btree_set(-50i32..50, 0..20), x in -60.0f64..60.0) {
        let binning = NumericBinning::new(knots.into_iter().map(f64::from).collect()).unwrap();
        for x in [x, x.round()] {
            let (low, high) = binning.bounds(binning.cell(x)).unwrap();
            let inside = if low == high { x == low } else { low < x && x < high };
            prop_assert!(inside, "{x} in ({low}, {high})");
        }
    }

    #[test]
    fn chosen_knots_keep_their_promises(raw in proptest::collection::vec(0i32..2000, 1..3000), points in 1usize..300) {
        let values = sorted(raw.into_iter().map(f64::from).collect());
        let binning = NumericBinning::from_sorted_values(&values, points).unwrap();
        let distinct = values.chunk_by(|a, b| a == b).count();
        prop_assert!(binning.knots().len() <= points);
        prop_assert_eq!(distinct <= points, binning.knots().len() == distinct);
        if points >= 11 {
            for i in 1..10 {
                let decile = values[(i * values.len()).div_ceil(10) - 1];
                prop_assert!(binning.knots().contains(&decile));
            }
        }
        if points >= 42 {
            let counts = binning.count(&values);
            let widest = counts.iter().step_by(2).max().copied().unwrap_or(0);
            prop_assert!(widest as usize <= 2 * values.len() / points + 1);
        }
    }
}

proptest! {
    /// Values looked up together fall where each falls alone, knots and infinities included.
    #[test]
    fn cells_in_lock_step_are_those_of_single_values(
        knots in proptest::collection::btree_set(-40_i32..40, 0..70),
        values in proptest::array::uniform8(prop_oneof![
            (-41_i32..41).prop_map(f64::from),
            -41.0..41.0,
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(-0.0),
        ]),
    ) {
        let binning = NumericBinning::new(knots.into_iter().map(f64::from).collect()).unwrap();
        prop_assert_eq!(binning.cells_of(values), values.map(|x| binning.cell(x)));
    }

    #[test]
    fn cells_across_columns_are_those_of_each(
        knots in proptest::array::uniform8(proptest::collection::btree_set(-40_i32..40, 0..70)),
        values in proptest::array::uniform8(prop_oneof![
            (-41_i32..41).prop_map(f64::from),
            -41.0..41.0,
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(-0.0),
        ]),
    ) {
        let binnings = knots.map(|knots| NumericBinning::new(knots.into_iter().map(f64::from).collect()).unwrap());
        let singly: Vec<usize> = binnings.iter().zip(values).map(|(binning, x)| binning.cell(x)).collect();
        prop_assert_eq!(NumericBinning::cells_across(binnings.each_ref(), values).to_vec(), singly);
    }
}
