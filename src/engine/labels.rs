//! Labels that come later: feedback is joined to its prediction, and a window of prediction time is judged under the
//! false-alarm budget once its labels are complete, or as complete as they get.

use std::collections::BTreeMap;

use super::sharing::Sharing;
use super::watches::{Kind, Stepped, Watches};
use super::{Engine, Progress};
use crate::config::{Config, Verdicts};
use crate::event::{Event, Named, Scalar};
use crate::monitor::calibrated::{Counted, ModelWatch, PERFORMANCE_WINDOWS, Place, Told, views};
use crate::reference::{Layout, Outcome, Slice};
use crate::subject::Millis;
use crate::view::{EstimateView, JoinView, LabelsView};
use crate::window::{FinalWindow, Join, JoinSettings, Predicted, WindowSettings, Windows};

/// Predictions with their labels, in windows of prediction time.
pub(super) const PERFORMANCE_WATCH: Kind = Kind {
    horizon: PERFORMANCE_WINDOWS,
    prefix: "performance-watch/",
    windows: "performance-watch-windows/",
    make: ModelWatch::of_performance,
    tells: |_| true,
};

/// References whose provisional labels are weighed at a time: some milliseconds of work.
const WEIGHED_AT_ONCE: usize = 100;

/// The join, and the watches over what it brings.
#[derive(Debug)]
pub(super) struct Labels {
    pub(super) join: Join,
    /// Length of the windows of prediction time.
    window_ms: Millis,
    pub(super) watches: Watches,
    /// By model and version; not part of the checkpoint, since every window brings them anew.
    pub(super) estimates: BTreeMap<(String, String), EstimateView>,
}

/// A window of prediction time whose labels are final, and the share of it in which nothing is missing.
#[derive(Debug)]
pub(super) struct FinalLabels {
    window: FinalWindow,
    coverage: f64,
}

impl Labels {
    pub(super) fn new(config: &Config, windows: &WindowSettings) -> Self {
        let settings = &config.events.labels;
        // Labels are joined whether or not they are judged under the budget.
        let panes = (config.monitor.window.millis() + windows.pane_ms - 1) / windows.pane_ms;
        let window_ms = panes.max(1) * windows.pane_ms;
        Self {
            window_ms,
            join: Join::new(JoinSettings {
                wait: settings.wait.millis(),
                max: settings.max,
                complete: settings.complete,
                window_ms,
                grace: windows.correction + windows.pane_ms,
                show_categories: config.monitor.show_categories,
            }),
            watches: Watches::new(&config.monitor, PERFORMANCE_WATCH),
            estimates: BTreeMap::new(),
        }
    }

    /// Who shares a budget, for windows of this length that wait for their labels; a version counts for `longest`.
    pub(super) fn sharing(&self, longest: Millis) -> Sharing {
        let JoinSettings { wait, grace, .. } = self.join.settings();
        Sharing::new(self.window_ms, longest, wait + grace + 2 * self.window_ms)
    }

    /// Shows what a window that was judged lets expect of the performance, if anything.
    pub(super) fn expect(&mut self, estimate: Option<EstimateView>) {
        let Some(mut estimate) = estimate else { return };
        if !self.join.settings().show_categories {
            estimate.class_shares_label_shift.clear();
            estimate.class_shares.clear();
        }
        self.estimates.insert((estimate.model.clone(), estimate.version.clone()), estimate);
    }

    /// Forgets versions that are no longer watched, and models that are not known.
    pub(super) fn retain(
        &mut self,
        in_use: impl Fn(&str) -> bool,
        watched: impl Fn(&str, &str) -> bool,
        known: impl Fn(&str) -> bool,
    ) {
        self.estimates.retain(|(model, version), _| watched(model, version));
        self.join.retain(&watched, known);
        self.watches.retain(in_use, watched);
    }

    /// Whether labels of the last event that was counted are joined.
    pub(super) fn concern(&self, windows: &Windows) -> bool {
        windows.plan_of_last().is_some_and(|plan| self.join.concerns(plan))
    }

    /// Whether labels of an event of this version and time are joined.
    pub(super) fn concern_at(&self, windows: &Windows, version: usize, ts: Millis) -> bool {
        windows.plan_at(version, ts).is_some_and(|plan| self.join.concerns(plan))
    }

    /// Takes in a prediction that was counted and came with its label.
    pub(super) fn observe_labelled(
        &mut self,
        windows: &Windows,
        [score, prediction, label]: [Option<&Scalar<'_>>; 3],
        at: Millis,
    ) {
        let [score, prediction, label] = [score, prediction, label].map(|field| field.map(Scalar::value));
        let Some(label) = label else { return };
        let Some((names, plan)) = windows.version_of_last().zip(windows.plan_of_last()) else { return };
        if !plan.has_outcomes() {
            return;
        }
        let column = plan.reference.joint.residual.as_ref().map(|terms| &plan.reference.columns[terms.score]);
        let cell = column.zip(score).and_then(|(column, score)| {
            Some(column.slot(score)).filter(|slot| *slot < column.binning.cells())
        });
        if let Some((score, label)) = plan.said(score, prediction).zip(plan.came_true(label)) {
            self.join.labelled(names, plan, cell, Outcome { score, label }, at);
        }
    }

    /// Takes in an event that was counted.
    pub(super) fn observe(
        &mut self,
        windows: &mut Windows,
        named: &Named<'_>,
        event: &Event<'_>,
        at: Millis,
    ) {
        if !event.is_feedback() && event.label.is_some() {
            let fields = [event.score.as_ref(), event.prediction.as_ref(), event.label.as_ref()];
            return self.observe_labelled(windows, fields, at);
        }
        let Some(id) = event.id.as_deref().filter(|id| !id.is_empty()) else { return };
        if !self.concern(windows) {
            return;
        }
        let segment = windows.segment_of(event);
        let Some((model, version, plan, cells)) = windows.last_counted() else { return };
        if event.is_feedback() {
            let label = event.label.as_ref().and_then(|label| plan.came_true(label.value()));
            if let Some(label) = label {
                self.join.fed_back(&named.model, id, label, at);
            }
        } else if let Some(score) =
            plan.said(event.score.as_ref().map(Scalar::value), event.prediction.as_ref().map(Scalar::value))
        {
            let segment = segment.as_deref();
            self.join.predicted(Predicted { model, version, plan, cells, segment, score, id, at });
        }
    }
}

impl Engine {
    /// What waits for its label or its prediction, by model.
    #[must_use]
    pub fn joins(&self) -> Vec<JoinView> {
        self.labels.join.models()
    }

    /// How far the labels of each version have come.
    #[must_use]
    pub fn labels(&self) -> Vec<LabelsView> {
        self.labels.join.versions()
    }

    /// Weighs the labels of windows that still wait for some, for a bounded number of versions: what [`Engine::labels`] then
    /// shows of them as provisional.
    pub fn weigh_labels(&mut self) {
        self.labels.join.weigh(WEIGHED_AT_ONCE);
    }

    /// Performance expected of the latest window of each version, without labels.
    #[must_use]
    pub fn estimates(&self) -> Vec<EstimateView> {
        self.labels.estimates.values().cloned().collect()
    }

    /// The windows of prediction time whose labels are final at an edge that ends at `end`, if they are judged.
    pub(super) fn final_labels(&mut self, end: Millis) -> Vec<FinalLabels> {
        let mut all = Vec::new();
        if end.rem_euclid(self.labels.window_ms) != 0 {
            return all;
        }
        self.labels.join.close(end);
        while let Some(window) = self.labels.join.next_final() {
            // What came with its prediction is judged with all else of that.
            if window.waited_for == 0 {
                continue;
            }
            let coverage = self.coverage(window.start, window.end);
            all.push(FinalLabels { window, coverage });
        }
        all
    }

    /// Judges one of them.
    pub(super) fn judge_labels(&mut self, labels: &FinalLabels, progress: &mut Progress) {
        let FinalLabels { window, coverage } = labels;
        self.feed_late_errors(window, progress);
        // Of several classes there is nothing whose mean the baseline's windows would show: their errors were fed above.
        let compared = window.plan.reference.joint.residual.is_some();
        let judged = compared && self.labels.watches.verdicts() != Verdicts::Classical;
        if judged && *coverage >= self.windows.settings().min_coverage {
            self.judge_performance(window, *coverage, progress);
        }
    }

    fn judge_performance(&mut self, window: &FinalWindow, coverage: f64, progress: &mut Progress) {
        let counted = Counted { whole: &window.counts, slices: &window.slices };
        let watches = &mut self.labels.watches;
        let id = (window.model.clone(), window.version.clone());
        let sharing = self.sharing.among(&window.model, window.end);
        let Some(stepped) = watches.step(&window.plan, id, (window.start, sharing), counted) else { return };
        let place = Place {
            model: &window.model,
            version: &window.version,
            reference_id: &window.plan.reference_id,
            start: window.start,
            end: window.end,
            coverage,
            show_categories: self.watches.show_categories(),
            late_labels: true,
            sharing,
        };
        let mut rows = BTreeMap::from([(None, window.labelled)]);
        for (slice, counts) in &window.slices {
            if let Slice::Segment(value) = slice {
                rows.insert(Some(value.clone()), counts.get(Layout::ROWS).copied().unwrap_or(0));
            }
        }
        let teller = self.teller(place, &window.plan.reference, &stepped);
        let told: &Told<'_> = &|finding| teller.tell(finding);
        let Stepped { watch, judged, .. } = &stepped;
        let views = views(place, &window.plan.reference, watch.monitored(), judged, &rows, told);
        for mut view in views.into_iter().filter(|view| view.segment.is_none() || view.rows > 0) {
            PERFORMANCE_WINDOWS.clone_into(&mut view.horizon);
            self.alerts.observe(&view);
            progress.windows.push(view);
        }
    }
}
