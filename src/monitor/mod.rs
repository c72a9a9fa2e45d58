//! Step 7 of 10: a window's counts against its reference's become verdicts.
//!
//! Order of judgement: enough rows, and for drift a window that was watched from its beginning, else `insufficient`; data faults, which keep drift of the same column from
//! alerting; then drift, which needs both an effect over its threshold and significance after false-discovery control
//! (Benjamini and Hochberg 1995) over the columns of the subject. Control over time and hysteresis are `alert/`'s.
//! Pure: no clock, no state but the calibrations computed from references.

pub mod calibrated;
mod calibration;
mod calibrations;
mod chance;
pub mod estimate;
mod faults;
mod judgement;
mod latency;
pub mod misfit;
mod moved;
mod multivariate;
pub mod sequential;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anchorwatch_detectors::batch::Baseline;
use smol_str::SmolStr;

use crate::alert::AlertKind;
use crate::config::Monitor;
use crate::reference::{Layout, Role};
use crate::subject::{Millis, Subject};
use crate::view::{Level, VerdictView, WindowView};
use crate::window::Plan;

pub use calibration::Calibration;
pub(crate) use calibrations::CALIBRATION_DOCUMENTS;

use calibrations::Calibrations;
use faults::{ReferenceSide, Sides};
use judgement::{Judgement, Pair, ratios};
use misfit::{InUse, Misfit, misfits};

/// Factor on the thresholds of a segment: the calibration saw windows of the whole traffic, and a part varies more.
const SEGMENT_SLACK: f64 = 1.5;

/// Place and time of a window that is to be judged.
#[derive(Debug, Clone, Copy)]
pub struct WindowPlace<'a> {
    /// Whose window.
    pub subject: &'a Subject,
    /// Name of the horizon.
    pub horizon: &'a str,
    /// First instant, inclusive.
    pub start: Millis,
    /// Last instant, exclusive.
    pub end: Millis,
    /// Whether the stream was watched over the whole window. Part of a day is not like a day.
    pub covered: bool,
}

/// Judges windows; keeps one calibration per reference and window length, and what every window needs again of a
/// reference's columns.
#[derive(Debug)]
pub struct Judge {
    monitor: Monitor,
    min_rows: u64,
    clear_below: f64,
    segment_field: Option<String>,
    calibrations: Calibrations,
    /// By reference, and by segment where the reference knows it; the whole is at no segment.
    baselines: HashMap<String, HashMap<Option<String>, Arc<KnownReference>>>,
}

/// What every window needs again of a reference.
#[derive(Debug)]
struct KnownReference {
    columns: Vec<KnownColumn>,
    latency: latency::KnownLatency,
}

/// What every window needs again of a column.
#[derive(Debug)]
struct KnownColumn {
    baseline: Baseline,
    reference: ReferenceSide,
}

/// Whether windows are judged by what the baseline of a reference shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    /// They are, as far as any were.
    Calibrated,
    /// Nothing was judged against it yet, or it has no windows.
    NotAsked,
    /// Its windows cannot be read, for this reason.
    Unread(&'a str),
}

/// What every window of a reference, a length and a segment needs again.
#[derive(Debug)]
pub(crate) struct Known {
    calibration: Arc<Calibration>,
    baselines: Arc<KnownReference>,
}

impl Judge {
    /// A judge with these thresholds. In a segment the column of `segment_field` has one value by definition and is not
    /// judged; `clear_below` is the share of a threshold above which a window is a warning.
    #[must_use]
    pub fn new(monitor: Monitor, min_rows: u64, clear_below: f64, segment_field: Option<String>) -> Self {
        let (calibrations, baselines) = (Calibrations::new(&monitor, min_rows), HashMap::new());
        Self { monitor, min_rows, clear_below, segment_field, calibrations, baselines }
    }

    /// What of its settings does not fit the references in use.
    pub(crate) fn misfits(&self, in_use: &[InUse<'_>]) -> BTreeMap<(Misfit, String), String> {
        misfits(&self.monitor, in_use)
    }

    /// Forgets calibrations of references that are no longer in use.
    pub fn retain(&mut self, in_use: impl Fn(&str) -> bool) {
        self.calibrations.retain(&in_use);
        self.baselines.retain(|reference, _| in_use(reference));
    }

    /// What is known of a plan's reference, or of one of its segments that it knows.
    fn baselines(&mut self, plan: &Plan, segment: Option<&str>) -> Arc<KnownReference> {
        let segment = segment.filter(|value| plan.reference.segments.contains_key(*value));
        if let Some(known) =
            self.baselines.get(&plan.reference_id).and_then(|known| known.get(&segment.map(str::to_owned)))
        {
            return Arc::clone(known);
        }
        let profile = plan.reference.profile_of(segment);
        let columns = (0..).zip(&plan.reference.columns);
        let columns = columns
            .map(|(index, column)| {
                let counts = plan.layout.column(profile, index);
                let baseline = Baseline::new(&column.binning, counts.cells);
                KnownColumn { baseline, reference: ReferenceSide::new(counts) }
            })
            .collect();
        let latency = latency::KnownLatency::new(&self.monitor.latency.quantiles, plan);
        let made = Arc::new(KnownReference { columns, latency });
        let known = self.baselines.entry(plan.reference_id.clone()).or_default();
        known.insert(segment.map(str::to_owned), Arc::clone(&made));
        made
    }

    /// What a checkpoint keeps of the calibrations that changed; one without text is to be deleted.
    pub(crate) fn take_documents(&mut self) -> BTreeMap<String, Option<String>> {
        self.calibrations.take_documents()
    }

    /// Takes such a document back.
    pub(crate) fn restore(&mut self, name: &str, text: &str) {
        self.calibrations.restore(name, text);
    }

    /// What of its references could not be read and is read now, as far as it was asked for.
    pub(crate) fn standing(&self, reference: &str) -> Standing<'_> {
        match self.calibrations.unread(reference) {
            Some(why) => Standing::Unread(why),
            None if self.calibrations.is_known(reference) => Standing::Calibrated,
            None => Standing::NotAsked,
        }
    }

    /// Whether the windows of any baseline could not be read.
    pub(crate) fn any_unread(&self) -> bool {
        self.calibrations.any_unread()
    }

    /// Whether [`Judge::known`] would compute a calibration, which takes as long as many windows do.
    pub(crate) fn owes(&mut self, plan: &Plan, place: WindowPlace<'_>) -> bool {
        self.calibrations.owes(plan, place.end - place.start, place.end)
    }

    /// Judges one window.
    pub fn judge(&mut self, plan: &Plan, place: WindowPlace<'_>, counts: &[u64]) -> WindowView {
        let known = self.known(plan, place);
        self.judge_known(plan, place, counts, &known)
    }

    /// What is known of a window before it is counted; kept, so that the next one of its kind costs nothing.
    pub(crate) fn known(&mut self, plan: &Plan, place: WindowPlace<'_>) -> Known {
        let settings = (&self.monitor, self.min_rows);
        let calibration = self.calibrations.of(plan, place.end - place.start, place.end, settings);
        Known { calibration, baselines: self.baselines(plan, place.subject.segment.as_deref()) }
    }

    /// Judges one window, on whatever thread.
    pub(crate) fn judge_known(
        &self,
        plan: &Plan,
        place: WindowPlace<'_>,
        counts: &[u64],
        Known { calibration, baselines }: &Known,
    ) -> WindowView {
        let segment = place.subject.segment.as_deref();
        let reference = plan.reference.profile_of(segment);
        let beside = (0..)
            .zip(&plan.reference.columns)
            .zip(&baselines.columns)
            .filter(|((_, column), _)| segment.is_none() || self.segment_field.as_ref() != Some(&column.name))
            .map(|((index, column), known)| {
                let (reference, window) =
                    (plan.layout.column(reference, index), plan.layout.column(counts, index));
                let sides = Sides::new(column, (reference, known.reference), window);
                let new_values = plan.layout.new_values(counts, index);
                let (rates, baseline) = (sides.all_rates(), &known.baseline);
                Pair { index, column, rates, sides, baseline, new_values }
            });
        let mut pairs: Vec<Pair<'_>> = Vec::with_capacity(plan.reference.columns.len());
        pairs.extend(beside);
        let slack = if place.subject.segment.is_some() { SEGMENT_SLACK } else { 1.0 };
        let mut verdicts = self.faults(&pairs, calibration, slack);
        let faulty: Vec<(SmolStr, SmolStr)> = verdicts
            .iter()
            .filter(|verdict| verdict.level == Level::Drift)
            .map(|verdict| (verdict.column.clone(), verdict.detector.clone()))
            .collect();
        let mut drifts = self.drifts(&pairs, calibration, slack, &faulty);
        if segment.is_none() {
            drifts.extend(multivariate::judge(self, plan, counts, &faulty));
        }
        if !place.covered {
            drifts.iter_mut().for_each(withhold);
        }
        verdicts.extend(drifts);
        let (latency, latency_verdicts) =
            latency::judge(self, plan, (calibration, &baselines.latency), counts);
        verdicts.extend(latency_verdicts);
        let rows = counts[Layout::ROWS];
        WindowView {
            model: place.subject.model.to_string(),
            version: place.subject.version.to_string(),
            segment: place.subject.segment.as_deref().map(str::to_owned),
            horizon: place.horizon.to_owned(),
            start: place.start,
            end: place.end,
            rows,
            coverage: 1.0,
            reference: plan.reference_id.clone(),
            level: overall(&verdicts),
            verdicts,
            latency,
            columns: pairs.iter().map(ratios).collect(),
        }
    }
}

/// The verdict on a version that sent nothing for `silent` milliseconds of event time.
#[must_use]
pub fn silence(silent: Millis, limit: Millis) -> VerdictView {
    let seconds = |millis: Millis| millis as f64 / 1_000.0;
    VerdictView {
        column: "volume".into(),
        role: None,
        detector: "silence_seconds".into(),
        statistic: Some(seconds(silent)),
        threshold: Some(seconds(limit)),
        p_value: None,
        adjusted_p_value: None,
        rows: 0,
        reference_rows: 0,
        level: if silent >= limit { Level::Drift } else { Level::Stable },
        kind: AlertKind::Volume,
        severity: None,
        inhibited_by: None,
        moved: Vec::new(),
        explained: None,
    }
}

/// Takes every verdict of a window back, of which too much is missing.
pub fn withhold_all(window: &mut WindowView) {
    window.verdicts.iter_mut().for_each(withhold);
    window.level = overall(&window.verdicts);
}

/// Turns a verdict into one that the evidence does not allow.
fn withhold(verdict: &mut VerdictView) {
    *verdict = VerdictView {
        statistic: None,
        threshold: None,
        p_value: None,
        adjusted_p_value: None,
        level: Level::Insufficient,
        moved: Vec::new(),
        explained: None,
        ..verdict.clone()
    };
}

/// Worst level that is not inhibited; labels are late, so their absence does not make a window insufficient.
fn overall(verdicts: &[VerdictView]) -> Level {
    let judged = verdicts.iter().filter(|verdict| verdict.inhibited_by.is_none());
    judged
        .filter(|verdict| verdict.role != Some(Role::Label))
        .map(|verdict| verdict.level)
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod rule_tests;
