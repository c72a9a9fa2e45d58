//! What a calibration learns of slices.

use std::collections::HashMap;
use std::fmt::Write as _;

use anchorwatch_detectors::binning::Binning;

use super::super::{BudgetDays, ModelWatch};
use super::*;
use crate::registry::{BaselineOptions, build};

const HOUR: Millis = 3_600_000;
const START: Millis = 1_704_067_200_000;
/// Values that come every hour, in each half of the traffic.
const VALUES: std::ops::Range<u32> = 0..10;
const HALVES: [(&str, u32); 2] = [("north", 0), ("south", 5)];
const NORTH: &str = "segment north/x/location";

/// A timetable: the same values come every hour, widely apart.
fn reference() -> Reference {
    let mut csv = "ts,x,place\n".to_owned();
    for hour in 0..14 * 24 {
        for (place, from) in HALVES {
            for value in VALUES {
                let ts = START + hour * HOUR + i64::from(value) * 1_000;
                writeln!(csv, "{ts},{},{place}", from + value).expect("a string");
            }
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("baseline.csv");
    std::fs::write(&path, csv).expect("writable");
    let options = BaselineOptions::new("m", "1.0.0", &path);
    build(&BaselineOptions { segment_field: Some("place".to_owned()), ..options }).expect("a reference")
}

/// Effective events of the difference of the north from the rest, in a window as all of the baseline's were.
fn effective(reference: &Reference) -> f64 {
    let watch = ModelWatch::new(reference, BudgetDays::default()).expect("calibrated");
    let layout = reference.live_layout();
    let column = reference.columns.iter().position(|column| column.name == "x").expect("a column");
    let Binning::Numeric(binning) = &reference.columns[column].binning else { panic!("a number") };
    let counts = |halves: &[(&str, u32)]| {
        let mut counts = vec![0; layout.len()];
        for value in halves.iter().flat_map(|(_, from)| VALUES.map(move |value| from + value)) {
            counts[Layout::ROWS] += 1;
            counts[layout.index(column, binning.cell(f64::from(value)))] += 1;
        }
        counts
    };
    let (whole, north) = (counts(&HALVES), counts(&HALVES[..1]));
    let slices = HashMap::from([(Slice::Segment("north".to_owned()), north)]);
    let samples = watch.samples(Counted { whole: &whole, slices: &slices });
    let place = watch.monitored().iter().position(|one| one.key() == NORTH).expect("a quantity");
    samples[place].count
}

#[test]
fn a_timetable_is_steady_however_widely_its_events_lie() {
    let mut reference = reference();
    let calibration = reference.calibration.as_mut().expect("the baseline has times");
    let north = &calibration.fits[NORTH];
    assert!(north.stretch < 0.1, "it is steady: {north:?}");
    // Inside a half lies what lies in all, but for the distance of the halves.
    assert!(north.inside.is_some_and(|inside| (0.5..1.0).contains(&inside)), "{north:?}");
    assert_eq!(calibration.fits["x/location"].inside, None, "it is of no slice");
    assert!((effective(&reference) - 5.0).abs() < 1e-9, "ten and ten events, which are as usual");
    let calibration = reference.calibration.as_mut().expect("the baseline has times");
    calibration.fits.get_mut(NORTH).expect("a fit").inside = None;
    assert!(effective(&reference) < 1.0, "as of references made before");
}
