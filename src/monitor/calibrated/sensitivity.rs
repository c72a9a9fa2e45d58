//! What a budget costs in delay: drifts of known size are put into the statistics that a window is expected to show,
//! and the watch is stepped until it alarms. No chance is involved, so the answer is that of the typical course.

use anchorwatch_detectors::calibrated::{Budget, Family, Law, Loudness, REMEMBERED, Reading, Sample, split};

use super::{ModelWatch, Monitored};
use crate::subject::Millis;

/// Windows after which a drift counts as never noticed.
pub const LONGEST: usize = REMEMBERED;

/// A change that is put in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Injected {
    /// Of the mean, in standard deviations of one event's score.
    Deviations(f64),
    /// Of a share.
    Share(f64),
    /// Of a share, as a part of what the baseline had.
    Part(f64),
}

impl Injected {
    fn of(self, law: Law, usual: f64) -> f64 {
        match (self, law) {
            (Self::Deviations(size), Law::Mean { variance }) => size * variance.sqrt(),
            (Self::Share(size), Law::Share) => size,
            (Self::Part(size), Law::Share) => size * usual,
            (Self::Deviations(_), Law::Share) | (Self::Share(_) | Self::Part(_), Law::Mean { .. }) => 0.0,
        }
    }
}

/// How long one quantity takes to alarm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delay {
    /// Windows until the alarm, the first with drift counted; `None` if there is none within [`LONGEST`].
    pub windows: Option<usize>,
    /// Events of a typical window.
    pub events_each: f64,
}

/// Delays of every quantity of `kind` of the whole after `injected` from the window at `start` on; quantities that the
/// baseline hardly shows are left out.
#[must_use]
pub fn delays(
    watch: &ModelWatch,
    loudness: Loudness,
    kind: &str,
    injected: Injected,
    start: Millis,
) -> Vec<Delay> {
    let of_kind: Vec<usize> = (0..watch.monitored.len())
        .filter(|index| watch.monitored[*index].kind == kind && watch.monitored[*index].slice.is_none())
        .filter(|index| watch.watch.fit(*index).is_some_and(|fit| fit.typical_count > 0.0))
        .collect();
    let mut noticed: Vec<Option<usize>> = vec![None; of_kind.len()];
    let mut state = watch.watch.state();
    for step in 0..2 * LONGEST {
        let at = start + (step as i64 - LONGEST as i64) * watch.window_ms;
        let row = watch.watch.design().row(at);
        let mut samples = vec![Sample::default(); watch.monitored.len()];
        for index in &of_kind {
            let Some(fit) = watch.watch.fit(*index) else { continue };
            let law = watch.monitored[*index].quantity.law;
            let effect = if step < LONGEST { 0.0 } else { injected.of(law, fit.mean) };
            let mean = fit.predict(&row) + effect;
            let mean = if law == Law::Share { mean.clamp(0.0, 1.0) } else { mean };
            samples[*index] = Sample { sum: mean * fit.typical_count, count: fit.typical_count };
        }
        let readings: Vec<Reading> = watch.watch.step_among(&mut state, &samples, at, watch.sharing);
        for (index, noticed) in of_kind.iter().zip(&mut noticed) {
            let loud = readings.get(*index).and_then(|reading| reading.alarm).is_some_and(|l| l >= loudness);
            if loud && step >= LONGEST && noticed.is_none() {
                *noticed = Some(step + 1 - LONGEST);
            }
        }
        if noticed.iter().all(Option::is_some) {
            break;
        }
    }
    let events = |index: &usize| watch.watch.fit(*index).map_or(0.0, |fit| fit.typical_count);
    let delay = |(index, windows): (&usize, Option<usize>)| Delay { windows, events_each: events(index) };
    of_kind.iter().zip(noticed).map(delay).collect()
}

/// Thresholds of one family under a budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FamilyThresholds {
    /// The family.
    pub family: Family,
    /// Its quantities.
    pub quantities: usize,
    /// |z| of the scan over which a quantity alarms that may rise and fall; the least of the family.
    pub both_ways: Option<f64>,
    /// The same of quantities that only matter when they rise.
    pub rises: Option<f64>,
    /// Logarithm of the e-detector's statistic over which it alarms.
    pub evidence: f64,
}

/// Thresholds of each family that has quantities, of one of `sharing` watches that share the budget.
#[must_use]
pub fn thresholds(monitored: &[Monitored], budget: Budget, sharing: u32) -> Vec<FamilyThresholds> {
    let quantities: Vec<_> = monitored.iter().map(|one| one.quantity).collect();
    let all = split(budget, &quantities);
    let of_family = |family: Family| {
        let members = || quantities.iter().zip(&all).filter(move |(one, _)| one.family == family);
        let least = |rises: bool| {
            members().find(|(one, _)| one.rises_only == rises).map(|(_, limits)| limits.scan_among(sharing))
        };
        Some(FamilyThresholds {
            family,
            quantities: members().count(),
            both_ways: least(false),
            rises: least(true),
            evidence: members().next()?.1.evidence,
        })
    };
    Family::ALL.into_iter().filter_map(of_family).collect()
}

/// The changes that stay quiet however certain they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// Kind of quantity.
    pub kind: &'static str,
    /// Whether in standard deviations of one event; else in shares.
    pub in_deviations: bool,
    /// Least and largest over the quantities of the kind.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

/// Effect floors in force for the whole, by kind of quantity, in the order of the quantities.
#[must_use]
pub fn floors(watch: &ModelWatch) -> Vec<Floor> {
    let mut floors: Vec<Floor> = Vec::new();
    for (index, one) in watch.monitored.iter().enumerate().filter(|(_, one)| one.slice.is_none()) {
        let Some(fit) = watch.watch.fit(index) else { continue };
        let in_deviations = matches!(one.quantity.law, Law::Mean { .. });
        let unit = if in_deviations { fit.deviation() } else { 1.0 };
        let swing = fit.assumed.map_or(0.0, |assumed| assumed.rise.max(assumed.fall));
        let floor = (one.quantity.tolerated(fit) + swing) / unit;
        match floors.iter_mut().find(|known| known.kind == one.kind) {
            Some(known) => {
                known.least = known.least.min(floor);
                known.most = known.most.max(floor);
            }
            None => floors.push(Floor { kind: one.kind, in_deviations, least: floor, most: floor }),
        }
    }
    floors
}

#[cfg(test)]
#[path = "sensitivity_tests.rs"]
mod tests;
