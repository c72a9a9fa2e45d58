//! From the readings of all quantities to what is told: one finding per column and slice, the loudest first.

use std::collections::{HashMap, HashSet};

use anchorwatch_detectors::calibrated::{Fall, Family, Loudness, Reading, Sample};

use super::quantities::{About, Monitored};
use crate::reference::Slice;

/// Something that stands out in a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Column, `latency_ms`, `performance`, `volume`, or two columns joined by a colon.
    pub feature: String,
    /// What changed.
    pub kind: &'static str,
    /// Category, quantile or column that the kind is about.
    pub about: Option<About>,
    /// The slice in which it changed, against the rest; `None` for the whole.
    pub slice: Option<Slice>,
    /// How loud.
    pub loudness: Loudness,
    /// Strength relative to the threshold of a critical alarm.
    pub heat: f64,
    /// Standard score of the most telling run of windows, or shortfall of traffic.
    pub statistic: f64,
    /// Its threshold.
    pub threshold: f64,
    /// Windows of that run.
    pub span: usize,
    /// Mean of the window, and what the baseline lets expect of it; `None` for traffic.
    pub means: Option<(f64, f64)>,
    /// Events behind the mean.
    pub rows: f64,
}

/// Traffic, among the columns.
pub const VOLUME: &str = "volume";

/// Kind of values that are not there.
const MISSING: &str = "missing";

/// What one step measured.
pub(super) struct Readings<'a> {
    pub(super) samples: &'a [Sample],
    pub(super) readings: &'a [Reading],
}

/// Whether a quantity of this kind says that the data are broken, rather than that the world moved.
pub(super) fn is_fault(kind: &str) -> bool {
    matches!(kind, MISSING | "wrong_type" | "new_category" | "new_value" | "range")
}

/// How loud a finding may be. A value between two known ones is another rounding, or belongs to a change of size, which
/// location, spread or range tell: by itself it is worth a look and nobody's sleep.
fn at_most(kind: &str) -> Loudness {
    if kind == "new_value" { Loudness::Warn } else { Loudness::Page }
}

/// Findings of a step. A pair is told only if neither of its columns stands out alone, a slice only if what it shows is
/// its own.
pub(super) fn findings(monitored: &[Monitored], step: &Readings<'_>, volume: Option<Fall>) -> Vec<Finding> {
    let mut hot: Vec<(usize, &Reading, Loudness)> = step
        .readings
        .iter()
        .enumerate()
        .filter_map(|(index, reading)| {
            Some((index, reading, reading.alarm?.min(at_most(monitored[index].kind))))
        })
        .collect();
    hot.sort_by(|a, b| b.2.cmp(&a.2).then(b.1.heat.total_cmp(&a.1.heat)).then(a.0.cmp(&b.0)));
    let alone: HashSet<&str> = hot
        .iter()
        .filter(|(index, _, _)| matches!(monitored[*index].family(), Family::Marginal | Family::Rate))
        .map(|(index, _, _)| monitored[*index].feature.as_str())
        .collect();
    let everywhere = everywhere(monitored, &hot);
    let mut told = HashSet::new();
    let mut moved = HashMap::new();
    let mut findings = Vec::new();
    for (index, reading, loudness) in hot {
        let index = culprit(monitored, step, index);
        let one = &monitored[index];
        let of_pair = one.family() == Family::Pair;
        if of_pair && one.feature.split(':').any(|side| alone.contains(side)) {
            continue;
        }
        let sample = step.samples.get(index).copied().unwrap_or_default();
        let what = (one.feature.as_str(), is_fault(one.kind));
        let own = step.readings.get(index).unwrap_or(reading);
        let ((statistic, threshold), expected) = (own.strongest(), own.expected);
        if let Some(slice) = &one.slice {
            let rises = statistic > 0.0;
            let first = *moved.entry((std::mem::discriminant(slice), what)).or_insert(rises);
            // The rest of every other slice holds the one that moved most, and leans its way.
            let leans = !is_fault(one.kind) && first != rises;
            if leans || everywhere.get(&what).is_some_and(|heat| *heat >= reading.heat) {
                continue;
            }
        }
        if !told.insert((&one.feature, &one.slice, is_fault(one.kind))) {
            continue;
        }
        findings.push(Finding {
            feature: one.feature.clone(),
            kind: one.kind,
            about: one.about.clone(),
            slice: one.slice.clone(),
            loudness,
            heat: reading.heat,
            statistic,
            threshold,
            span: reading.span,
            means: (sample.count > 0.0).then(|| (sample.sum / sample.count, expected)),
            rows: sample.count,
        });
    }
    findings.extend(volume.map(|fall| Finding {
        feature: VOLUME.to_owned(),
        kind: VOLUME,
        about: None,
        slice: None,
        loudness: Loudness::Page,
        heat: fall.score / fall.threshold,
        statistic: fall.score,
        threshold: fall.threshold,
        span: fall.span,
        means: None,
        rows: 0.0,
    }));
    findings
}

/// Standard score from which a slice may be the one that moved, where it is known that one did.
const LEAST_OF_CULPRIT: f64 = 2.0;

/// Part of the largest difference from which another slice may as well be the one that moved: of two slices that are all
/// of the traffic both differ by the same.
const AS_LARGE: f64 = 0.8;

/// The slice that moved, where a slice alarms because the rest that it is compared with holds another that did: where one
/// slice moves, its own difference is the largest, and those of the others lean the other way. What alarms first is the
/// steadiest, which may be any of them. Of differences as large the one is meant that the whole traffic moves along with.
fn culprit(monitored: &[Monitored], step: &Readings<'_>, alarming: usize) -> usize {
    let one = &monitored[alarming];
    let Some(slice) = one.slice.as_ref().filter(|_| !is_fault(one.kind)) else { return alarming };
    let change = |index: usize| {
        let (sample, reading) = (step.samples.get(index)?, step.readings.get(index)?);
        (sample.count > 0.0).then(|| (sample.sum / sample.count - reading.expected, reading.z))
    };
    let Some((own, _)) = change(alarming) else { return alarming };
    let same = |other: &Monitored| other.measure == one.measure;
    let others = monitored.iter().enumerate().filter(|(_, other)| {
        let dimension = other.slice.as_ref().map(std::mem::discriminant);
        dimension == Some(std::mem::discriminant(slice)) && same(other)
    });
    let leaning_away = others.filter_map(|(index, _)| Some((index, change(index)?)));
    let leaning_away = leaning_away
        .filter(|(_, (other, z))| other * own < 0.0 && z * other > 0.0 && z.abs() >= LEAST_OF_CULPRIT)
        .map(|(index, (other, _))| (index, other));
    // The one that alarms stands last, and so is chosen where nothing tells them apart.
    let candidates: Vec<(usize, f64)> = leaning_away.chain([(alarming, own)]).collect();
    let largest = candidates.iter().map(|(_, change)| change.abs()).fold(0.0, f64::max);
    let whole = monitored.iter().position(|other| other.slice.is_none() && same(other)).and_then(change);
    let whole = whole.filter(|(_, z)| z.abs() >= LEAST_OF_CULPRIT).map_or(0.0, |(change, _)| change);
    let along = |change: f64| change * whole > 0.0;
    candidates
        .into_iter()
        .filter(|(_, change)| change.abs() >= AS_LARGE * largest)
        .max_by(|a, b| along(a.1).cmp(&along(b.1)).then(a.1.abs().total_cmp(&b.1.abs())))
        .map_or(alarming, |(index, _)| index)
}

/// Heat of what stands out in the whole traffic, by column and whether it is a fault. A slice that is the only one to move
/// stands out more in its contrast than in the whole that it is the smaller part of; one that stands out less has only
/// moved along.
fn everywhere<'a>(
    monitored: &'a [Monitored],
    hot: &[(usize, &Reading, Loudness)],
) -> HashMap<(&'a str, bool), f64> {
    let mut everywhere = HashMap::new();
    for (index, reading, _) in hot {
        let one = &monitored[*index];
        if one.slice.is_none() {
            let heat = everywhere.entry((one.feature.as_str(), is_fault(one.kind))).or_insert(0.0_f64);
            *heat = heat.max(reading.heat);
        }
    }
    everywhere
}

#[cfg(test)]
mod tests {
    use anchorwatch_detectors::calibrated::{Law, Quantity};

    use super::super::quantities::Measure;
    use super::*;

    fn of_segment(name: &str, kind: &'static str) -> Monitored {
        let quantity = Quantity {
            law: Law::Mean { variance: 1.0 },
            family: Family::Segment,
            rises_only: false,
            tolerance: None,
            prior: 0.0,
            column: None,
            other_column: None,
            tail_of: None,
            borrows: false,
            score: None,
            part_of: None,
        };
        Monitored {
            feature: "pressure".to_owned(),
            kind,
            about: None,
            slice: Some(Slice::Segment(name.to_owned())),
            quantity,
            measure: Measure::Score { column: 0, degree: 0 },
        }
    }

    /// Slices that are named, given the change and the standard score of north, south and east, of which one alarms.
    fn named(changes: [(f64, f64); 3], alarming: usize) -> Vec<String> {
        let monitored = ["north", "south", "east"].map(|name| of_segment(name, "location"));
        let samples = changes.map(|(change, _)| Sample { sum: 10.0 * change, count: 10.0 });
        let mut readings = changes.map(|(_, z)| Reading { z, threshold: 5.0, ..Reading::default() });
        readings[alarming].alarm = Some(Loudness::Page);
        let step = Readings { samples: &samples, readings: &readings };
        findings(&monitored, &step, None)
            .into_iter()
            .filter_map(|finding| match finding.slice {
                Some(Slice::Segment(name)) => Some(name),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn the_slice_that_moved_is_named_though_a_steadier_one_alarms_first() {
        assert_eq!(named([(1.0, 4.0), (-0.6, -9.0), (-0.4, -3.0)], 1), ["north"]);
        assert_eq!(named([(1.0, 1.5), (-0.6, -9.0), (-0.4, -3.0)], 1), ["south"], "north may be noise");
        assert_eq!(named([(1.0, 4.0), (0.6, 9.0), (-0.4, -3.0)], 1), ["south"], "north has moved along");
        assert_eq!(named([(1.0, 9.0), (-0.6, -4.0), (-0.4, -3.0)], 0), ["north"]);
    }

    #[test]
    fn of_two_slices_that_are_all_of_the_traffic_the_one_is_named_that_the_whole_moves_with() {
        let named = |of_whole: (f64, f64)| {
            let mut monitored = vec![of_segment("most", "location"), of_segment("few", "location")];
            monitored.push(Monitored { slice: None, ..of_segment("", "location") });
            let changes = [(1.0, 9.0), (-1.0, -9.0), of_whole];
            let samples = changes.map(|(change, _)| Sample { sum: 10.0 * change, count: 10.0 });
            let mut readings = changes.map(|(_, z)| Reading { z, threshold: 5.0, ..Reading::default() });
            readings[1].alarm = Some(Loudness::Page);
            let found = findings(&monitored, &Readings { samples: &samples, readings: &readings }, None);
            found.first().and_then(|one| one.slice.clone())
        };
        let segment = |name: &str| Some(Slice::Segment(name.to_owned()));
        assert_eq!(named((0.65, 4.0)), segment("most"));
        assert_eq!(named((-0.35, -3.0)), segment("few"));
        assert_eq!(named((0.65, 1.0)), segment("few"), "what the whole shows is chance");
    }
}
