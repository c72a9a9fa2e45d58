//! The first half of a baseline as a reference of its own, which judges the second: what `replay --null` measures on, and `tune`
//! takes floors from.

use super::history::Baseline;
use crate::monitor::calibrated::{Series, SeriesWindow, calibrate};
use crate::reference::Reference;
use crate::registry::CountedSeries;
use crate::subject::Millis;

/// Fewest windows of a half for it to be calibrated on.
pub(super) const FEWEST_OF_HALF: usize = 24;

/// Start of the first window of the second half; `None` if the halves are too short.
pub(super) fn second_half(series: &CountedSeries) -> Option<Millis> {
    let starts: Vec<Millis> = series.windows(None).map(|window| window.start).collect();
    let half = *starts.get(starts.len() / 2)?;
    (starts.len() / 2 >= FEWEST_OF_HALF).then_some(half)
}

/// A reference that knows of the baseline only these windows, which come in order; cut points, usual ranges and categories
/// stay.
pub(super) fn calibrated_on<I: Iterator<Item = SeriesWindow>>(
    baseline: &Baseline,
    series: &CountedSeries,
    windows: impl Fn() -> I,
) -> Option<Reference> {
    let mut reference = baseline.reference.clone();
    reference.profile.fill(0);
    let mut end = Millis::MIN;
    for window in windows() {
        end = window.start + baseline.window_ms;
        reference.profile.iter_mut().zip(&window.whole).for_each(|(sum, count)| *sum += count);
    }
    // By these the classical detectors know what is normal.
    // They are at hand: whoever judges the past read the reference whole.
    let all = reference.windows.read().ok()?;
    let own = all.iter().filter(|window| window.start < end);
    reference.windows = own.cloned().collect::<Vec<_>>().into();
    let calibration = reference.calibration.as_ref()?;
    let series = Series {
        window_ms: calibration.window_ms,
        slices: calibration.slices.clone(),
        time_zone: calibration.time_zone.parse().unwrap_or(chrono_tz::UTC),
        term_variances: series.term_variances.clone(),
        windows: windows(),
    };
    reference.calibration = Some(calibrate(&reference, series));
    Some(reference)
}
