//! Windows that are judged under the false-alarm budget: they do not overlap, and each version's watch takes them in one
//! after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Engine, Progress, SubjectId};
use crate::config::{Monitor, Verdicts};
use crate::monitor::calibrated::{BudgetDays, Counted, Judged, ModelWatch, ModelWatchState, Place, views};
use crate::reference::{Layout, Reference, Slice};
use crate::subject::Millis;
use crate::window::Plan;

/// Names of this module's documents.
pub(super) const DOCUMENT_PREFIX: &str = "watch/";

/// What is watched of a reference.
type Make = fn(&Reference, BudgetDays) -> Option<ModelWatch>;

/// Watches by reference, and what they remember by version.
#[derive(Debug)]
pub(super) struct Watches {
    prefix: &'static str,
    make: Make,
    verdicts: Verdicts,
    budget: BudgetDays,
    show_categories: bool,
    window_ms: Millis,
    watches: HashMap<String, Option<Arc<ModelWatch>>>,
    /// By model and version: the reference that the state belongs to, and the state.
    states: BTreeMap<(String, String), (String, ModelWatchState)>,
    dirty: BTreeSet<(String, String)>,
}

impl Watches {
    /// Watches that `make` makes, with documents under a prefix of their own.
    pub(super) fn new(monitor: &Monitor, prefix: &'static str, make: Make) -> Self {
        let days = |span: crate::config::Span| span.millis() as f64 / 86_400_000.0;
        Self {
            prefix,
            make,
            verdicts: monitor.verdicts,
            budget: BudgetDays {
                warning: days(monitor.one_false_alarm_in.warning),
                critical: days(monitor.one_false_alarm_in.critical),
            },
            show_categories: monitor.show_categories,
            window_ms: monitor.window.millis(),
            watches: HashMap::new(),
            states: BTreeMap::new(),
            dirty: BTreeSet::new(),
        }
    }

    pub(super) fn verdicts(&self) -> Verdicts {
        self.verdicts
    }

    pub(super) fn show_categories(&self) -> bool {
        self.show_categories
    }

    /// Takes the window of a version that starts at `start` in; `None` if nothing watches it.
    pub(super) fn step(
        &mut self,
        plan: &Plan,
        id: (String, String),
        start: Millis,
        counted: Counted<'_>,
    ) -> Option<(Arc<ModelWatch>, Judged)> {
        let watch = self.watch(plan)?;
        let known = self.states.remove(&id).filter(|(reference, _)| *reference == plan.reference_id);
        let (_, mut state) = known.unwrap_or_else(|| (plan.reference_id.clone(), watch.state()));
        let judged = watch.step(&mut state, start, counted);
        self.states.insert(id.clone(), (plan.reference_id.clone(), state));
        self.dirty.insert(id);
        Some((watch, judged))
    }

    /// Whether the classical verdicts of a version alert.
    pub(super) fn classical_alerts(&self, calibrated: bool) -> bool {
        match self.verdicts {
            Verdicts::Calibrated => !calibrated,
            Verdicts::Classical | Verdicts::Both => true,
        }
    }

    /// Forgets what belongs to references and versions that are no longer in use.
    pub(super) fn retain(&mut self, in_use: impl Fn(&str) -> bool, watched: impl Fn(&str, &str) -> bool) {
        self.watches.retain(|reference, _| in_use(reference));
        self.states.retain(|(model, version), _| watched(model, version));
    }

    /// The watch against a plan's reference; `None` if that has no calibration for windows of this length.
    fn watch(&mut self, plan: &Plan) -> Option<Arc<ModelWatch>> {
        let (budget, window_ms, make) = (self.budget, self.window_ms, self.make);
        let known = self.watches.entry(plan.reference_id.clone()).or_insert_with(|| {
            let watch = make(&plan.reference, budget)?;
            (watch.window_ms() == window_ms).then(|| Arc::new(watch))
        });
        known.clone()
    }

    /// Documents of the versions whose state changed since the last call.
    pub(super) fn take_documents(&mut self) -> impl Iterator<Item = (String, String)> + use<> {
        let dirty = std::mem::take(&mut self.dirty).into_iter();
        let prefix = self.prefix;
        let documents: Vec<_> = dirty
            .filter_map(|id| {
                let (reference, state) = self.states.get(&id)?;
                let (model, version) = id;
                let name = format!("{prefix}{model}/{version}");
                let text = serde_json::to_string(&(model, version, reference, state.encode().ok()?)).ok()?;
                Some((name, text))
            })
            .collect();
        documents.into_iter()
    }

    /// Takes a document back. A state that cannot be read begins anew.
    pub(super) fn restore(&mut self, text: &str) -> Result<(), serde_json::Error> {
        let (model, version, reference, state): (String, String, String, String) =
            serde_json::from_str(text)?;
        if let Some(state) = ModelWatchState::decode(&state) {
            self.states.insert((model, version), (reference, state));
        }
        Ok(())
    }
}

impl Engine {
    /// Judges the windows that end at this edge under the budget.
    pub(super) fn watch_windows(&mut self, edge: i64, progress: &mut Progress) {
        let settings = self.windows.settings();
        let (pane_ms, panes) = (settings.pane_ms, settings.watch_panes);
        let (end, length) = (edge * pane_ms, panes * pane_ms);
        if panes == 0 || end.rem_euclid(length) != 0 {
            return;
        }
        let (from, min_coverage) = (edge - panes, settings.min_coverage);
        let coverage = self.coverage(end - length, end);
        if coverage < min_coverage {
            return;
        }
        for (whole, segments) in self.versions_with_segments() {
            // A window that began before the version was seen is not whole.
            if !self.windows.seen_before(whole, from + 1) {
                continue;
            }
            self.watch_version(whole, &segments, (from, edge), coverage, progress);
        }
    }

    fn watch_version(
        &mut self,
        whole: SubjectId,
        segments: &[SubjectId],
        (from, to): (i64, i64),
        coverage: f64,
        progress: &mut Progress,
    ) {
        let Some(subject) = self.windows.subject(whole).cloned() else { return };
        let Some((plan, counts)) = self.windows.sum(whole, from, to) else { return };
        let mut slices = HashMap::new();
        let mut rows = BTreeMap::from([(None, counts.get(Layout::ROWS).copied().unwrap_or(0))]);
        for id in segments {
            let name = self.windows.subject(*id).and_then(|subject| subject.segment.clone());
            if let (Some(name), Some((_, counts))) = (name, self.windows.sum(*id, from, to)) {
                rows.insert(Some(name.to_string()), counts.get(Layout::ROWS).copied().unwrap_or(0));
                slices.insert(Slice::Segment(name.to_string()), counts);
            }
        }
        let pane_ms = self.windows.settings().pane_ms;
        let id = (subject.model.to_string(), subject.version.to_string());
        let start = from * pane_ms;
        let counted = Counted { whole: &counts, slices: &slices };
        let Some((watch, judged)) = self.watches.step(&plan, id, start, counted) else { return };
        let place = Place {
            model: &subject.model,
            version: &subject.version,
            reference_id: &plan.reference_id,
            start,
            end: to * pane_ms,
            coverage,
            show_categories: self.watches.show_categories,
        };
        let judged = views(place, &plan.reference, watch.monitored(), &judged, &rows);
        self.labels.estimate(&plan.reference, &counts, &judged);
        for view in judged {
            self.alerts.observe(&view);
            progress.windows.push(view);
        }
    }

    /// The whole of every watched version with its segments.
    fn versions_with_segments(&self) -> Vec<(SubjectId, Vec<SubjectId>)> {
        let mut versions: Vec<(SubjectId, Vec<SubjectId>)> = Vec::new();
        for id in self.windows.watched_subjects() {
            let whole = self.windows.subject(id).is_some_and(|subject| subject.segment.is_none());
            match versions.last_mut() {
                Some((_, segments)) if !whole => segments.push(id),
                _ => versions.push((id, Vec::new())),
            }
        }
        versions
    }
}
