//! From the readings of all quantities to what is told: one finding per column and slice, the loudest first.

use std::collections::{HashMap, HashSet};

use anchorwatch_detectors::calibrated::{Family, Loudness, Reading, Sample};

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

/// Findings of a step. A pair is told only if neither of its columns stands out alone, a slice only if what it shows is
/// its own.
pub(super) fn findings(
    monitored: &[Monitored],
    step: &Readings<'_>,
    volume: Option<(f64, f64)>,
) -> Vec<Finding> {
    let mut hot: Vec<(usize, &Reading, Loudness)> = step
        .readings
        .iter()
        .enumerate()
        .filter_map(|(index, reading)| Some((index, reading, reading.alarm?)))
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
        let one = &monitored[index];
        let of_pair = one.family() == Family::Pair;
        if of_pair && one.feature.split(':').any(|side| alone.contains(side)) {
            continue;
        }
        let sample = step.samples.get(index).copied().unwrap_or_default();
        let what = (one.feature.as_str(), is_fault(one.kind));
        if let Some(slice) = &one.slice {
            let rises = sample.sum > reading.expected * sample.count;
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
            statistic: reading.z,
            threshold: reading.threshold,
            span: reading.span,
            means: (sample.count > 0.0).then(|| (sample.sum / sample.count, reading.expected)),
            rows: sample.count,
        });
    }
    findings.extend(volume.map(|(fall, threshold)| Finding {
        feature: VOLUME.to_owned(),
        kind: VOLUME,
        about: None,
        slice: None,
        loudness: Loudness::Page,
        heat: fall / threshold,
        statistic: fall,
        threshold,
        span: 1,
        means: None,
        rows: 0.0,
    }));
    findings
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
