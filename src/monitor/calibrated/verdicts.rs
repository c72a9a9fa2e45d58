//! From a judged step to the windows that the rest of the system knows: one verdict per column of the whole, one more
//! for whatever else stands out, and a window per segment in which something does.

use std::collections::{BTreeMap, BTreeSet};

use anchorwatch_detectors::calibrated::{Loudness, Reading};
use anchorwatch_detectors::distributions::normal_sf;

use super::cause::Cause;
use super::findings::{Finding, is_fault};
use super::quantities::{About, LATENCY, Monitored};
use super::told::slice_name;
use super::{CALIBRATED, Judged, STILL_THERE};
use crate::alert::{AlertKind, Consequence, Explained, MAX_FOLLOWS, Moved, Severity};
use crate::reference::{Layout, Reference, Role, Slice};
use crate::subject::Millis;
use crate::view::{Level, VerdictView, WindowView};

/// Where and when a window was judged.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Model name.
    pub model: &'a str,
    /// Model version.
    pub version: &'a str,
    /// Content address of the reference.
    pub reference_id: &'a str,
    /// First instant, inclusive.
    pub start: Millis,
    /// Last instant, exclusive.
    pub end: Millis,
    /// Share of the window's time in which no record is known to be missing.
    pub coverage: f64,
    /// Whether categories are named.
    pub show_categories: bool,
    /// Whether it is about labels that came later than their predictions.
    pub late_labels: bool,
    /// Versions of the model that share its budget in this window.
    pub sharing: u32,
}

/// The window of the whole, then one for each segment of the calibration.
#[must_use]
pub fn views(
    place: Place<'_>,
    reference: &Reference,
    monitored: &[Monitored],
    judged: &Judged,
    rows: &BTreeMap<Option<String>, u64>,
    told: &Told<'_>,
) -> Vec<WindowView> {
    let window = |segment: Option<String>, verdicts: Vec<VerdictView>| WindowView {
        model: place.model.to_owned(),
        version: place.version.to_owned(),
        rows: rows.get(&segment).copied().unwrap_or(0),
        segment,
        horizon: CALIBRATED.to_owned(),
        start: place.start,
        end: place.end,
        coverage: place.coverage,
        reference: place.reference_id.to_owned(),
        level: verdicts.iter().map(|verdict| verdict.level).max().unwrap_or_default(),
        verdicts,
        latency: None,
        columns: Vec::new(),
    };
    // Versions are compared with one another in windows of their own (`contrasts.rs`).
    let found = |slice: Option<&Slice>| -> Vec<&Finding> {
        judged.findings.iter().filter(|finding| finding.slice.as_ref() == slice).collect()
    };
    let of_whole = found(None);
    let verdict = |finding: &Finding| judged_verdict(place, reference, (judged, finding), told);
    let mut whole: Vec<VerdictView> = of_whole.iter().map(|finding| verdict(finding)).collect();
    let elsewhere = shows_elsewhere(judged, None);
    for (feature, (reading, n)) in calm(monitored, judged) {
        if of_whole.iter().all(|finding| finding.feature != feature) {
            whole.push(quiet(reference, feature, (reading, n), elsewhere.contains(feature)));
        }
    }
    let segments = reference.calibration.iter().flat_map(|calibration| &calibration.slices);
    let of_segment = |slice: &Slice| {
        let Slice::Segment(value) = slice else { return None };
        let of_slice = found(Some(slice));
        let mut verdicts: Vec<VerdictView> = of_slice.iter().map(|finding| verdict(finding)).collect();
        let elsewhere = shows_elsewhere(judged, Some(slice));
        for (feature, (reading, n)) in of_one_slice(monitored, judged, slice) {
            let shows = elsewhere.contains(feature);
            let stays = shows || reading.z.abs() >= STILL_THERE * reading.threshold;
            if stays && of_slice.iter().all(|finding| finding.feature != feature) {
                verdicts.push(quiet(reference, feature, (reading, n), shows));
            }
        }
        Some(window(Some(value.clone()), verdicts))
    };
    [window(None, whole)].into_iter().chain(segments.filter_map(of_segment)).collect()
}

/// Columns whose change in this place shows elsewhere, as a part of it: its alert here goes on.
fn shows_elsewhere<'a>(judged: &'a Judged, slice: Option<&Slice>) -> BTreeSet<&'a str> {
    let parts = judged.parts.iter().flatten();
    parts.filter(|cause| cause.slice.as_ref() == slice).map(|cause| cause.feature.as_str()).collect()
}

/// Hottest reading of each column of the whole, pairs left out.
fn calm<'a>(monitored: &'a [Monitored], judged: &'a Judged) -> BTreeMap<&'a str, (&'a Reading, f64)> {
    hottest(monitored, judged, |one| one.slice.is_none() && one.kind != "correlation")
}

/// The same of a slice.
fn of_one_slice<'a>(
    monitored: &'a [Monitored],
    judged: &'a Judged,
    slice: &Slice,
) -> BTreeMap<&'a str, (&'a Reading, f64)> {
    hottest(monitored, judged, |one| one.slice.as_ref() == Some(slice))
}

fn hottest<'a>(
    monitored: &'a [Monitored],
    judged: &'a Judged,
    keep: impl Fn(&Monitored) -> bool,
) -> BTreeMap<&'a str, (&'a Reading, f64)> {
    let mut hottest: BTreeMap<&str, (&Reading, f64)> = BTreeMap::new();
    for ((one, reading), sample) in monitored.iter().zip(&judged.readings).zip(&judged.samples) {
        if reading.threshold <= 0.0 || !keep(one) {
            continue;
        }
        let entry = hottest.entry(one.feature.as_str()).or_insert((reading, sample.count));
        if reading.heat > entry.0.heat {
            *entry = (reading, sample.count);
        }
    }
    hottest
}

/// Column name as verdicts write it.
fn column_of(feature: &str) -> &str {
    if feature == LATENCY { "latency" } else { feature }
}

fn role_of(reference: &Reference, feature: &str) -> Option<Role> {
    reference.columns.iter().find(|column| column.name == feature).map(|column| column.role)
}

/// What is told of a column that does not stand out here; `elsewhere` if its change shows elsewhere.
fn quiet(
    reference: &Reference,
    feature: &str,
    (reading, n): (&Reading, f64),
    elsewhere: bool,
) -> VerdictView {
    let level = if n > 0.0 { Level::Stable } else { Level::Insufficient };
    VerdictView {
        column: column_of(feature).into(),
        role: role_of(reference, feature),
        detector: CALIBRATED.into(),
        statistic: (n > 0.0).then_some(reading.z),
        threshold: (n > 0.0).then_some(reading.threshold),
        p_value: None,
        adjusted_p_value: None,
        rows: n as u64,
        reference_rows: reference.profile.get(Layout::ROWS).copied().unwrap_or(0),
        level: if elsewhere { Level::Warning } else { level },
        kind: AlertKind::Drift,
        severity: None,
        inhibited_by: None,
        moved: Vec::new(),
        explained: None,
    }
}

/// What changed, with the category, quantile or column that it is about; categories by their place unless they may be
/// named.
pub(super) fn kind_text(
    reference: &Reference,
    (feature, kind, about): (&str, &str, Option<&About>),
    show_categories: bool,
) -> String {
    match about {
        None => kind.to_owned(),
        Some(About::Quantile(q)) => format!("{kind} {q}"),
        Some(About::Column(name)) => format!("{kind} {name}"),
        Some(About::Category(at)) => match show_categories {
            true => format!("{kind} {}", super::category_name(reference, feature, *at)),
            false => format!("{kind} category {}", at + 1),
        },
    }
}

/// What stands behind the findings of a window, for those of which it is told.
pub type Told<'a> = dyn Fn(&Finding) -> Option<(Vec<Moved>, Explained)> + 'a;

/// Most bins of a verdict.
const MOST_MOVED: usize = 5;

pub(super) fn verdict(
    place: Place<'_>,
    reference: &Reference,
    finding: &Finding,
    told: &Told<'_>,
) -> VerdictView {
    let about = (finding.feature.as_str(), finding.kind, finding.about.as_ref());
    let bin = kind_text(reference, about, place.show_categories);
    let mut moved: Vec<Moved> = finding.means.map(|(to, from)| Moved { bin, from, to }).into_iter().collect();
    let (bins, explained) = told(finding).map_or_else(Default::default, |(bins, one)| (bins, Some(one)));
    let news: Vec<Moved> =
        bins.into_iter().filter(|one| moved.iter().all(|known| known.bin != one.bin)).collect();
    moved.extend(news);
    moved.truncate(MOST_MOVED);
    VerdictView {
        column: column_of(&finding.feature).into(),
        role: role_of(reference, &finding.feature),
        detector: CALIBRATED.into(),
        statistic: Some(finding.statistic),
        threshold: Some(finding.threshold),
        p_value: Some((2.0 * normal_sf(finding.statistic.abs())).min(1.0)),
        adjusted_p_value: None,
        rows: finding.rows as u64,
        reference_rows: reference.profile.get(Layout::ROWS).copied().unwrap_or(0),
        level: Level::Drift,
        kind: kind_of(finding),
        severity: Some(severity_of(finding.loudness)),
        inhibited_by: None,
        moved,
        explained: explained.map(Box::new),
    }
}

/// The verdict on a finding with what it follows from and what follows from it. A fault is as severe as the drift that it
/// speaks for.
pub(super) fn judged_verdict(
    place: Place<'_>,
    reference: &Reference,
    (judged, finding): (&Judged, &Finding),
    told: &Told<'_>,
) -> VerdictView {
    let follows = judged.follows_from(reference, finding);
    let mut verdict = verdict(place, reference, finding, told);
    verdict.inhibited_by = follows.map(Cause::text);
    let consequences = || judged.consequences(reference, finding);
    if is_fault(finding.kind) {
        let loudest = consequences().map(|one| severity_of(one.loudness)).max();
        verdict.severity = verdict.severity.max(loudest);
    }
    if let Some(explained) = &mut verdict.explained {
        let consequence = |one: &Finding| Consequence {
            column: column_of(&one.feature).to_owned(),
            kind: kind_text(
                reference,
                (one.feature.as_str(), one.kind, one.about.as_ref()),
                place.show_categories,
            ),
            slice: one.slice.as_ref().map(|slice| slice_name(Some(slice))),
            statistic: one.statistic,
            threshold: one.threshold,
        };
        let finite = |one: &&Finding| one.statistic.is_finite() && one.threshold.is_finite();
        explained.follows = consequences().filter(finite).take(MAX_FOLLOWS).map(consequence).collect();
    }
    verdict
}

fn severity_of(loudness: Loudness) -> Severity {
    match loudness {
        Loudness::Warn => Severity::Warning,
        Loudness::Page => Severity::Critical,
    }
}

fn kind_of(finding: &Finding) -> AlertKind {
    match (finding.feature.as_str(), finding.kind) {
        (LATENCY, _) => AlertKind::Latency,
        (_, kind) if is_fault(kind) => AlertKind::DataFault,
        (_, "volume") => AlertKind::Volume,
        _ => AlertKind::Drift,
    }
}
