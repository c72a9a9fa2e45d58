//! The classical verdicts on recorded windows, for `backtest` where the configuration lets them alert: by the judge of the
//! daemon, of the whole of a version. Not here: alerts, which wait for windows that agree and end again.

use std::sync::Arc;

use crate::config::{Config, Span};
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
    pub(super) fn new(config: &Config, reference: &Reference, window_ms: Millis) -> Self {
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
