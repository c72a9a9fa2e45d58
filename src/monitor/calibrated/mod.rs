//! Verdicts under a false-alarm budget: the monitored quantities of a model version, calibrated on its baseline's
//! windows, judged window by window.
//!
//! Here live the quantities of a reference (`quantities.rs`), their samples in a window (`sampler.rs`), the calibration
//! of a baseline ([`calibrate()`]), the watch over live windows ([`ModelWatch`]), what stands behind an alarm ([`explain`]),
//! how often alarms really come ([`AlarmTally`]), what a budget costs in delay ([`sensitivity`]) and which floors a baseline asks for
//! ([`tolerance`]). The statistics themselves are in [`anchorwatch_detectors::calibrated`]. Pure: time enters as the start of a window.

mod calibrate;
mod cause;
mod changes;
mod contrasts;
pub mod explain;
mod faulty;
mod findings;
mod quantities;
mod rate;
mod sampler;
pub mod sensitivity;
mod shapes;
mod stored;
mod told;
pub mod tolerance;
mod verdicts;

use std::collections::{BTreeSet, HashMap};

use anchorwatch_detectors::calibrated::{
    Budget, Budgets, Fall, Family, Fit, Loudness, MOST_SHARING, REMEMBERED, Reading, Sample, VolumeFit,
    Watch, WatchState,
};

use crate::config::Tolerated;
use crate::reference::{Layout, Reference, Slice};
use crate::subject::Millis;

pub use calibrate::{Series, SeriesWindow, assume, calibrate, joint_terms, slices_worth_watching};
pub use cause::Cause;
pub use contrasts::version_views;
pub use explain::Seen;
pub use findings::{Finding, VOLUME};
pub use quantities::{About, LATENCY, Monitored, PERFORMANCE};
pub use rate::{AlarmTally, Episodes};
pub use sampler::{Counted, Sampler};
pub use stored::{BLOCKS, json_of_about};
pub use told::{Teller, Topic, quoted, slice_name, verdict_address};
pub use verdicts::{Place, Told, views};

use cause::LatestCause;
use changes::Changes;
use faulty::Faults;
use findings::{Readings, findings};
use quantities::Measure;

/// Name that the windows judged under the budget have among the horizons.
pub const CALIBRATED: &str = "calibrated";

/// Name of the windows of prediction time in which performance is judged once the labels are there.
pub const PERFORMANCE_WINDOWS: &str = "performance";

/// Name of the windows in which the versions of a model are compared with one another.
pub const VERSION_WINDOWS: &str = "versions";

/// Whether verdicts of windows with this name are under the budget.
#[must_use]
pub fn is_under_budget(horizon: &str) -> bool {
    matches!(horizon, CALIBRATED | PERFORMANCE_WINDOWS | VERSION_WINDOWS)
}

/// Quiet windows with events after which an alert under the budget clears, if they do not make three days before.
pub const CLEARED_AFTER: u32 = 48;

/// Part of its threshold over which a quantity shows that a change is still there. The hottest of a column's quantities
/// comes so far by chance about once in a hundred windows; a change that lasts does so in most of them.
pub const STILL_THERE: f64 = 0.7;

/// Fewest windows between two false alarms that a budget may stand for, however long the windows are.
const FEWEST_WINDOWS: f64 = 2_000.0;

/// The false-alarm budgets of a model: at most one false alarm on average in this many days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetDays {
    /// Of warnings.
    pub warning: f64,
    /// Of critical alarms.
    pub critical: f64,
}

impl Default for BudgetDays {
    fn default() -> Self {
        Self { warning: 30.0, critical: 180.0 }
    }
}

impl BudgetDays {
    /// The same in windows of this length, bounded below: a budget of a few long windows would mean nothing.
    #[must_use]
    pub fn budgets(self, window_ms: Millis) -> Budgets {
        let of =
            |days: f64, least: f64| Budget { windows: Budget::per_days(days, window_ms).windows.max(least) };
        Budgets { warn: of(self.warning, FEWEST_WINDOWS / 4.0), page: of(self.critical, FEWEST_WINDOWS) }
    }
}

/// Everything that is watched of one model version; immutable while its reference is in use.
#[derive(Debug)]
pub struct ModelWatch {
    window_ms: Millis,
    time_zone: chrono_tz::Tz,
    monitored: Vec<Monitored>,
    sampler: Sampler,
    watch: Watch,
    volume: Option<VolumeFit>,
    inputs: BTreeSet<String>,
    /// Whether slices are all that it is about: what moved everywhere does not explain how they differ.
    of_slices: bool,
    /// Versions of the model that share the budget where nobody says how many do.
    sharing: u32,
    /// Whether how windows differ is assumed, not seen in the baseline.
    assumed: bool,
}

/// What a watch remembers between windows.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelWatchState {
    watch: WatchState,
    /// How far the last windows fell short of the expected traffic, newest first.
    shortfalls: Vec<f64>,
    /// Start of the window that follows the last one.
    next_start: Option<Millis>,
    cause: LatestCause,
    changes: Changes,
    faults: Faults,
}

impl ModelWatch {
    /// A watch against this reference; `None` if the reference has no calibration.
    #[must_use]
    pub fn new(reference: &Reference, budget: BudgetDays) -> Option<Self> {
        let calibration = reference.calibration.as_ref()?;
        let watch = Self::of_those(reference, budget, |_| true)?;
        Some(Self { volume: calibration.volume.clone(), ..watch })
    }

    /// A watch over one version apart from others: the same, but for traffic if the baseline's was that of several.
    #[must_use]
    pub fn of_version(reference: &Reference, budget: BudgetDays) -> Option<Self> {
        let watch = Self::new(reference, budget)?;
        let volume = watch.volume.clone().filter(|_| !compares_versions(reference));
        Some(Self { volume, ..watch })
    }

    /// A watch over nothing but what score and label say of each other, for labels that come later: of the whole, and of
    /// segments against the rest. `None` if the reference has no calibration or no such quantity.
    #[must_use]
    pub fn of_performance(reference: &Reference, budget: BudgetDays) -> Option<Self> {
        Self::of_those(reference, budget, |one| {
            matches!(one.measure, Measure::Term(_))
                && matches!(one.family(), Family::Performance | Family::Segment)
        })
    }

    /// A watch over all versions that serve in the same window: how each differs from the others, and the traffic of all.
    /// `None` if the reference has no calibration, or none of versions.
    #[must_use]
    pub fn of_versions(reference: &Reference, budget: BudgetDays) -> Option<Self> {
        let calibration = reference.calibration.as_ref()?;
        // What stands out more in the whole is not told of a version.
        let watched = |one: &Monitored| {
            one.family() == Family::Version || (one.slice.is_none() && one.family() != Family::Pair)
        };
        let watch = Self::of_those(reference, budget, watched).filter(|_| compares_versions(reference))?;
        Some(Self { volume: calibration.volume.clone(), of_slices: true, ..watch })
    }

    /// A watch over some quantities, each with the thresholds that it has among all of them; without traffic.
    fn of_those(
        reference: &Reference,
        budget: BudgetDays,
        keep: impl Fn(&Monitored) -> bool,
    ) -> Option<Self> {
        let calibration = reference.calibration.as_ref()?;
        let mut monitored = quantities::monitored(reference, &calibration.slices, &[]);
        let kept: Vec<bool> = monitored.iter().map(keep).collect();
        let quantities: Vec<_> = monitored.iter().map(|one| one.quantity).collect();
        let fits = monitored.iter().map(|one| calibration.fits.get(&one.key()).cloned()).collect();
        let budgets = budget.budgets(calibration.window_ms);
        let mut watch = Watch::new(&quantities, fits, calibration.season, budgets);
        watch.retain(&kept);
        let mut kept = kept.into_iter();
        monitored.retain(|_| kept.next().unwrap_or(false));
        (!monitored.is_empty()).then(|| Self {
            window_ms: calibration.window_ms,
            time_zone: calibration.time_zone.parse().unwrap_or(chrono_tz::UTC),
            watch,
            monitored,
            sampler: Sampler::new(reference),
            volume: None,
            inputs: cause::inputs(reference),
            of_slices: false,
            sharing: 1,
            assumed: calibration.assumed,
        })
    }

    /// The same, tolerating changes of another size.
    #[must_use]
    pub fn tolerating(mut self, tolerated: &Tolerated) -> Self {
        for (index, one) in self.monitored.iter_mut().enumerate() {
            let Some(fit) = self.watch.fit(index) else { continue };
            let change = one.tolerated(fit, tolerated);
            one.quantity.tolerance = Some(change);
            self.watch.tolerate(index, change);
        }
        self
    }

    /// The same as one of `versions` watches (1 to 63) that share the model's budget evenly.
    #[must_use]
    pub fn shared_by(self, versions: u32) -> Self {
        Self { sharing: versions.clamp(1, MOST_SHARING), ..self }
    }

    /// The same over windows of this length; `None` if the reference is calibrated for those of another. What is assumed
    /// holds for any.
    #[must_use]
    pub fn over_windows_of(self, window_ms: Millis) -> Option<Self> {
        (self.assumed || self.window_ms == window_ms).then_some(Self { window_ms, ..self })
    }

    /// Whether how windows differ is assumed, not seen in the baseline.
    #[must_use]
    pub fn is_assumed(&self) -> bool {
        self.assumed
    }

    /// Length of the windows that are judged.
    #[must_use]
    pub fn window_ms(&self) -> Millis {
        self.window_ms
    }

    /// The quantities, in the order of the readings.
    #[must_use]
    pub fn monitored(&self) -> &[Monitored] {
        &self.monitored
    }

    /// What the baseline says of a quantity; `None` if it hardly shows it.
    #[must_use]
    pub fn fit(&self, quantity: usize) -> Option<&Fit> {
        self.watch.fit(quantity)
    }

    /// A memory of nothing.
    #[must_use]
    pub fn state(&self) -> ModelWatchState {
        ModelWatchState {
            watch: self.watch.state(),
            shortfalls: Vec::new(),
            next_start: None,
            cause: LatestCause::default(),
            changes: Changes::default(),
            faults: Faults::default(),
        }
    }

    /// Takes in the window that starts at `start` and says what stands out, loudest first.
    pub fn step(&self, state: &mut ModelWatchState, start: Millis, counted: Counted<'_>) -> Judged {
        self.step_among(state, start, counted, self.sharing)
    }

    /// The same where this many versions share the model's budget in the window.
    pub fn step_among(
        &self,
        state: &mut ModelWatchState,
        start: Millis,
        counted: Counted<'_>,
        versions: u32,
    ) -> Judged {
        let samples = self.samples(counted);
        let at = local(self.time_zone, start);
        let readings = self.watch.step_among(&mut state.watch, &samples, at, versions);
        let volume = self.step_volume(state, start, counted.whole);
        state.next_start = Some(start + self.window_ms);
        let findings =
            findings(&self.monitored, &Readings { samples: &samples, readings: &readings }, volume);
        let rows = counted.whole.get(Layout::ROWS).copied().unwrap_or(0);
        let explains = |finding: &Finding| !self.of_slices || finding.slice.is_some();
        let causes = findings.iter().filter(|finding| explains(finding));
        let cause = state.cause.take(cause::cause(&self.inputs, causes), rows);
        let still = |faults: bool, feature: &str, slice: Option<&Slice>| {
            let of_column = self.monitored.iter().zip(&readings).filter(|(one, _)| {
                one.feature == feature
                    && one.slice.as_ref() == slice
                    && findings::is_fault(one.kind) == faults
            });
            of_column.map(|(_, reading)| reading.z.abs() / reading.threshold).any(|part| part >= STILL_THERE)
        };
        let unconfirmed = self.unconfirmed(&readings);
        let of_faults = |feature: &str, slice: Option<&Slice>| still(true, feature, slice);
        let follows = state.faults.take(&findings, rows, &unconfirmed, explains, of_faults);
        let moves = |feature: &str, slice: Option<&Slice>| still(false, feature, slice);
        let parts = state.changes.take(&findings, rows, explains, moves);
        let parts = follows.into_iter().zip(parts).map(|(fault, part)| fault.or(part)).collect();
        Judged { samples, readings, findings, cause, parts }
    }

    /// A window's samples, one per quantity.
    fn samples(&self, counted: Counted<'_>) -> Vec<Sample> {
        // Windows may be steady though their events differ, as those of a timetable are: wider is what is wider than both.
        let usual = |quantity, count| {
            let fit = self.watch.fit(quantity)?;
            Some((count / fit.precision(count)).max(fit.inside.unwrap_or(0.0)))
        };
        self.sampler.samples(&self.monitored, counted, usual)
    }

    /// The windows that a state remembers, oldest first, as far as it does: samples and expectations in single precision,
    /// and of the last window, which was just judged, everything.
    #[must_use]
    pub fn remembered(&self, state: &ModelWatchState, counted: Counted<'_>, judged: &Judged) -> Vec<Seen> {
        let known = state.watch.known();
        let nothing = SeriesWindow { start: 0, whole: Vec::new(), slices: HashMap::new() };
        let empty = Judged {
            samples: vec![Sample::default(); self.monitored.len()],
            readings: vec![Reading::default(); self.monitored.len()],
            findings: Vec::new(),
            cause: None,
            parts: Vec::new(),
        };
        let mut seen = vec![Seen { window: nothing, judged: empty }; known];
        for quantity in 0..self.monitored.len() {
            let windows = self.watch.remembered(&state.watch, quantity);
            for (seen, (sample, expected)) in seen.iter_mut().zip(windows) {
                seen.judged.samples[quantity] = sample;
                seen.judged.readings[quantity].expected = expected;
            }
        }
        if let (Some(last), Some(next)) = (seen.last_mut(), state.next_start) {
            let (whole, slices) = (counted.whole.to_vec(), counted.slices.clone());
            let window = SeriesWindow { start: next - self.window_ms, whole, slices };
            *last = Seen { window, judged: judged.clone() };
        }
        seen
    }

    /// Faults that are over in this window and alert once they are in the next one too.
    fn unconfirmed(&self, readings: &[Reading]) -> Vec<Cause> {
        let is_over = |reading: &Reading| {
            let threshold = reading.warning.0;
            reading.alarm.is_none() && threshold > 0.0 && reading.z.abs() > threshold
        };
        let over = self.monitored.iter().zip(readings).filter(|(one, reading)| {
            findings::is_fault(one.kind) && (!self.of_slices || one.slice.is_some()) && is_over(reading)
        });
        let cause = |(one, reading): (&Monitored, &Reading)| Cause {
            feature: one.feature.clone(),
            kind: one.kind.to_owned(),
            slice: one.slice.clone(),
            columns: 1,
            heat: reading.heat,
        };
        over.map(cause).collect()
    }

    /// How far traffic fell short, if by more than the threshold.
    fn step_volume(&self, state: &mut ModelWatchState, start: Millis, counts: &[u64]) -> Option<Fall> {
        let fit = self.volume.as_ref()?;
        let rows = counts.get(Layout::ROWS).copied().unwrap_or(0) as f64;
        let shortfall = fit.shortfall(rows, local(self.time_zone, start), self.watch.design());
        state.shortfalls.insert(0, shortfall);
        state.shortfalls.truncate(REMEMBERED);
        fit.worst_fall(state.shortfalls.iter().copied()).filter(|fall| fall.score > fall.threshold)
    }
}

/// Whether a reference knows how versions differ while nothing is wrong: its baseline held several.
#[must_use]
pub fn compares_versions(reference: &Reference) -> bool {
    let mut slices = reference.calibration.iter().flat_map(|calibration| &calibration.slices);
    slices.any(|slice| matches!(slice, Slice::Version(_)))
}

/// What one step brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// One sample per monitored quantity.
    pub samples: Vec<Sample>,
    /// One reading per monitored quantity.
    pub readings: Vec<Reading>,
    /// What stands out, loudest first.
    pub findings: Vec<Finding>,
    /// What explains others among them: of this window, or of an alert that still fires.
    pub cause: Option<Cause>,
    /// By finding: the fault of its column that it follows from, or the change of the same column elsewhere that it is a part
    /// of, while that one's alert fires.
    pub parts: Vec<Option<Cause>>,
}

impl Judged {
    /// What a finding of this window follows from, if it does.
    fn follows_from(&self, reference: &Reference, finding: &Finding) -> Option<&Cause> {
        let place = self.findings.iter().position(|one| one == finding);
        let part = place.and_then(|place| self.parts.get(place)).and_then(Option::as_ref);
        part.or_else(|| self.cause.as_ref().filter(|cause| cause::follows(reference, finding, cause)))
    }

    /// What follows from a finding of this window, the loudest first.
    fn consequences<'a>(
        &'a self,
        reference: &'a Reference,
        of: &'a Finding,
    ) -> impl Iterator<Item = &'a Finding> + 'a {
        let is = |cause: &Cause| {
            let alike = findings::is_fault(&cause.kind) == findings::is_fault(of.kind);
            alike && cause.feature == of.feature && cause.slice == of.slice
        };
        let follows = move |one: &&Finding| *one != of && self.follows_from(reference, one).is_some_and(is);
        self.findings.iter().filter(follows)
    }
}

/// What the clocks of a time zone show, as milliseconds since they would have shown the epoch.
fn local(time_zone: chrono_tz::Tz, at: Millis) -> Millis {
    use chrono::{Offset as _, TimeZone as _};
    let Some(utc) = chrono::DateTime::from_timestamp_millis(at) else { return at };
    let offset = time_zone.offset_from_utc_datetime(&utc.naive_utc()).fix();
    at + i64::from(offset.local_minus_utc()) * 1_000
}

/// Name of a category of a column, by its place in the reference.
#[must_use]
pub fn category_name(reference: &Reference, column: &str, place: usize) -> String {
    let column = reference.columns.iter().find(|one| one.name == column);
    column.map_or_else(|| place.to_string(), |column| column.binning.label(place))
}

/// Name of a loudness as alerts write their severity.
#[must_use]
pub fn severity(loudness: Loudness) -> &'static str {
    match loudness {
        Loudness::Warn => "warning",
        Loudness::Page => "critical",
    }
}
