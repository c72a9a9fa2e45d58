//! The classical verdicts on recorded windows, for `backtest` and `replay --null` where the configuration lets them alert: by the
//! judge of the daemon, of the whole of a version. Not here: alerts, which wait for windows that agree and end again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::history::Baseline;
use crate::config::{Config, Span, Verdicts};
use crate::monitor::calibrated::Episodes;
use crate::monitor::{Judge, WindowPlace};
use crate::reference::Reference;
use crate::subject::{Millis, Subject};
use crate::view::{Level, VerdictView};
use crate::window::Plan;

/// The judge of a configuration, and what it judges.
pub(super) struct Classical {
    judge: Judge,
    plan: Plan,
    subject: Subject,
    window_ms: Millis,
}

impl Classical {
    /// The judge against this reference; `None` where the configuration lets no classical verdict alert.
    pub(super) fn asked_for(baseline: &Baseline, reference: &Reference) -> Option<Self> {
        let config = baseline.config.as_ref()?;
        let asked = config.monitor.verdicts != Verdicts::Calibrated;
        asked.then(|| Self::new(config, reference, baseline.window_ms))
    }

    fn new(config: &Config, reference: &Reference, window_ms: Millis) -> Self {
        let judge =
            Judge::new(config.monitor.clone(), config.windows.min_rows, config.alerts.clear_below, None);
        let subject =
            Subject { model: "backtest".into(), version: reference.version.as_str().into(), segment: None };
        Self { judge, plan: Plan::new(String::new(), Arc::new(reference.clone())), subject, window_ms }
    }

    /// Verdicts of this level or a worse one on the window that starts at `start`; none that a data fault keeps back.
    pub(super) fn verdicts(
        &mut self,
        start: Millis,
        counts: &[u64],
        least: Level,
    ) -> impl Iterator<Item = VerdictView> + use<> {
        let horizon = Span::from_millis(self.window_ms).to_string();
        let end = start + self.window_ms;
        let place = WindowPlace { subject: &self.subject, horizon: &horizon, start, end, covered: true };
        let verdicts = self.judge.judge(&self.plan, place, counts).verdicts;
        verdicts.into_iter().filter(move |one| one.level >= least && one.inhibited_by.is_none())
    }
}

/// What is said of classical verdicts wherever they are judged.
pub(super) const NO_BUDGET: &str = "the false-alarm budget does not hold for the classical verdicts";

/// Name of all detectors together.
const ANY: &str = "any";

/// Drifts and faults over their thresholds in one stream, by detector, and of any of them.
#[derive(Debug, Default)]
pub(super) struct ClassicalTally {
    pub(super) on: BTreeMap<String, Episodes>,
}

impl ClassicalTally {
    /// Takes the verdicts on the next window in.
    pub(super) fn take(&mut self, verdicts: impl Iterator<Item = VerdictView>) {
        let mut alarming: BTreeSet<String> = verdicts.map(|verdict| verdict.detector.into()).collect();
        if !alarming.is_empty() {
            alarming.insert(ANY.to_owned());
        }
        for detector in alarming.iter().map(String::as_str).chain([ANY]) {
            self.on.entry(detector.to_owned()).or_default();
        }
        self.on.iter_mut().for_each(|(detector, on)| on.take(alarming.contains(detector)));
    }
}
