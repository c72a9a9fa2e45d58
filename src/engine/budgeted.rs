//! The windows that end at an edge and are judged under the false-alarm budget: each version against its reference, with
//! its segments, and the versions of a model that serve in the same window against one another, with the traffic of all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::watches::{Kind, Step, Stepped};
use super::{Engine, Progress, SubjectId};
use crate::monitor::calibrated::{
    CALIBRATED, Counted, ModelWatch, Place, Teller, Told, VERSION_WINDOWS, VOLUME, compares_versions,
    version_views, views,
};
use crate::monitor::estimate::estimate;
use crate::reference::{Layout, Reference, Slice};
use crate::subject::Subject;
use crate::view::{EstimateView, WindowView};
use crate::window::{Plan, Plans};
use crate::workers;

/// Each version against its reference.
pub(super) const CALIBRATED_WATCH: Kind = Kind {
    horizon: CALIBRATED,
    prefix: "watch/",
    windows: "watch-windows/",
    make: ModelWatch::of_version,
    tells: |_| true,
};

/// The versions of a model against one another.
pub(super) const VERSION_WATCH: Kind = Kind {
    horizon: VERSION_WINDOWS,
    prefix: "version-watch/",
    windows: "version-watch-windows/",
    make: ModelWatch::of_versions,
    tells: |finding| matches!(finding.slice, Some(Slice::Version(_))) || finding.feature == VOLUME,
};

/// The window that is judged.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// First pane.
    from: i64,
    /// The pane after the last.
    to: i64,
    coverage: f64,
}

/// What is judged under the budget at an edge, fixed when the edge begins.
#[derive(Debug)]
pub(super) struct Watching {
    window: Window,
    /// The whole of each version, and its segments.
    versions: Vec<(SubjectId, Vec<SubjectId>)>,
    /// Versions that are compared with one another.
    comparable: Vec<Vec<SubjectId>>,
}

/// A version's counts in the window.
struct Serving {
    subject: Subject,
    plan: Arc<Plan>,
    counts: Vec<u64>,
    /// Whether it was seen before the window began.
    whole_window: bool,
}

/// A version whose window is to be judged.
struct DueVersion<'a> {
    whole: SubjectId,
    segments: &'a [SubjectId],
    subject: Subject,
    plan: Arc<Plan>,
    sharing: u32,
    step: Step,
}

/// A version whose window was judged.
struct JudgedVersion {
    step: Step,
    views: Vec<WindowView>,
    estimate: Option<EstimateView>,
}

impl Engine {
    /// What of these subjects is judged under the budget at this edge.
    pub(super) fn watching(&self, edge: i64, subjects: impl Iterator<Item = SubjectId>) -> Option<Watching> {
        let settings = self.windows.settings();
        let (pane_ms, panes) = (settings.pane_ms, settings.watch_panes);
        let (end, length) = (edge * pane_ms, panes * pane_ms);
        if panes == 0 || end.rem_euclid(length) != 0 {
            return None;
        }
        let (from, min_coverage) = (edge - panes, settings.min_coverage);
        let coverage = self.coverage(end - length, end);
        if coverage < min_coverage {
            return None;
        }
        let window = Window { from, to: edge, coverage };
        let versions = self.by_version(subjects);
        let comparable = self.comparable(versions.iter().map(|(whole, _)| *whole).collect());
        Some(Watching { window, versions, comparable })
    }

    /// Judges at most so many versions from this place on; gives how many, 0 if there is none.
    pub(super) fn watch_some(
        &mut self,
        watching: &Watching,
        place: usize,
        most: usize,
        progress: &mut Progress,
    ) -> usize {
        let Watching { window, versions, .. } = watching;
        let versions = versions.iter().skip(place).take(most);
        // A window that began before the version was seen is not whole.
        let whole = versions.clone().filter(|(whole, _)| self.windows.seen_before(*whole, window.from + 1));
        let whole: Vec<_> = whole.collect();
        let due: Vec<DueVersion<'_>> =
            whole.into_iter().filter_map(|version| self.due_version(version, *window)).collect();
        let engine: &Self = self;
        let judged = workers::each(self.threads, due, |due| engine.judge_version(due, *window));
        for JudgedVersion { step, views, estimate } in judged {
            self.watches.end(step);
            self.labels.expect(estimate);
            for view in views {
                self.alerts.observe(&view);
                progress.windows.push(view);
            }
        }
        versions.len()
    }

    /// Compares the versions of the model at this place; false if there is none.
    pub(super) fn compare_one(&mut self, watching: &Watching, place: usize, progress: &mut Progress) -> bool {
        let Some(wholes) = watching.comparable.get(place) else { return false };
        self.watch_versions(wholes, watching.window, progress);
        true
    }

    /// The versions of each model of which one has a baseline that held several.
    fn comparable(&self, wholes: Vec<SubjectId>) -> Vec<Vec<SubjectId>> {
        let compares = |plans: &Plans| plans.newest().is_some_and(|plan| compares_versions(&plan.reference));
        let models: BTreeSet<&str> =
            self.windows.plans().filter(|(_, _, plans)| compares(plans)).map(|(model, _, _)| model).collect();
        if models.is_empty() {
            return Vec::new();
        }
        let mut versions: BTreeMap<&str, Vec<SubjectId>> = BTreeMap::new();
        for whole in wholes {
            let subject = self.windows.subject(whole).filter(|subject| models.contains(&*subject.model));
            if let Some(subject) = subject {
                versions.entry(&*subject.model).or_default().push(whole);
            }
        }
        versions.into_values().collect()
    }

    /// Gives out the memory of a version, if its window can be judged.
    fn due_version<'a>(
        &mut self,
        (whole, segments): &'a (SubjectId, Vec<SubjectId>),
        window: Window,
    ) -> Option<DueVersion<'a>> {
        let subject = self.windows.subject(*whole)?.clone();
        let plan = Arc::clone(self.windows.plan_over(*whole, window.from, window.to)?);
        let id = (subject.model.to_string(), subject.version.to_string());
        let sharing = self.sharing.among(&subject.model, window.to * self.windows.settings().pane_ms);
        let step = self.watches.begin(&plan, id)?;
        Some(DueVersion { whole: *whole, segments, subject, plan, sharing, step })
    }

    /// Judges the window of a version, on whatever thread.
    fn judge_version(&self, due: DueVersion<'_>, window: Window) -> JudgedVersion {
        let DueVersion { whole, segments, subject, plan, sharing, step } = due;
        let windows = &self.windows;
        let sum = windows.sum(whole, window.from, window.to);
        let counts = sum.map_or_else(Vec::new, |(_, counts)| counts);
        let mut slices = HashMap::new();
        let mut rows = BTreeMap::from([(None, rows_of(&counts))]);
        for id in segments {
            let name = windows.subject(*id).and_then(|subject| subject.segment.clone());
            if let (Some(name), Some((_, counts))) = (name, windows.sum(*id, window.from, window.to)) {
                rows.insert(Some(name.to_string()), rows_of(&counts));
                slices.insert(Slice::Segment(name.to_string()), counts);
            }
        }
        let place = Place { sharing, ..self.place(&subject, &plan, window) };
        let counted = Counted { whole: &counts, slices: &slices };
        let (step, stepped) = step.step((place.start, sharing), counted);
        let teller = self.teller(place, &plan.reference, &stepped);
        let told: &Told<'_> = &|finding| teller.tell(finding);
        let Stepped { watch, judged, .. } = &stepped;
        let views = views(place, &plan.reference, watch.monitored(), judged, &rows, told);
        let estimate = estimate(&plan.reference, &counts, &views);
        JudgedVersion { step, views, estimate }
    }

    /// Compares the versions of a model whose baseline held several, those of one shape at a time: events that were cut at
    /// different points cannot be held against one another.
    fn watch_versions(&mut self, wholes: &[SubjectId], window: Window, progress: &mut Progress) {
        let mut left: Vec<Serving> = wholes.iter().filter_map(|id| self.serving(*id, window)).collect();
        left.sort_by(|a, b| a.subject.version.cmp(&b.subject.version));
        let mut groups = Vec::new();
        while let Some(lead) = left.iter().position(|one| compares_versions(&one.plan.reference)) {
            let reference = Arc::clone(&left[lead].plan.reference);
            let (alike, others) =
                left.into_iter().partition(|one| are_alike(&reference, &one.plan.reference));
            groups.push(alike);
            left = others;
        }
        // What is for contrasts of versions is spent once for each group of them.
        let sharing = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        for alike in groups {
            self.watch_alike(alike, (window, sharing), progress);
        }
    }

    /// Versions whose counters mean the same; the watch is that of the first one's reference.
    fn watch_alike(
        &mut self,
        alike: Vec<Serving>,
        (window, sharing): (Window, u32),
        progress: &mut Progress,
    ) {
        let lead = alike.iter().position(|one| compares_versions(&one.plan.reference));
        let Some(lead) = lead.filter(|_| alike.iter().any(|one| one.whole_window)) else { return };
        let (subject, plan) = (alike[lead].subject.clone(), Arc::clone(&alike[lead].plan));
        let mut whole = vec![0; plan.layout.len()];
        let (mut slices, mut versions) = (HashMap::new(), BTreeMap::new());
        for one in alike {
            anchorwatch_detectors::counts::merge(&mut whole, &one.counts);
            let version = one.subject.version.to_string();
            versions.insert(version.clone(), (rows_of(&one.counts), one.plan.reference_id.clone()));
            slices.insert(Slice::Version(version), one.counts);
        }
        let known = plan.reference.calibration.iter().flat_map(|one| &one.slices);
        let known: Vec<&Slice> = known.collect();
        versions.retain(|version, _| {
            *version == *subject.version || known.contains(&&Slice::Version(version.clone()))
        });
        let id = (subject.model.to_string(), subject.version.to_string());
        let start = window.from * self.windows.settings().pane_ms;
        let counted = Counted { whole: &whole, slices: &slices };
        let Some(stepped) = self.versions.step(&plan, id, (start, sharing), counted) else { return };
        let place = self.place(&subject, &plan, window);
        let teller = self.teller(place, &plan.reference, &stepped);
        let told: &Told<'_> = &|finding| teller.tell(finding);
        for view in version_views(place, &plan.reference, &stepped.judged, &versions, told) {
            self.alerts.observe(&view);
            progress.windows.push(view);
        }
    }

    fn serving(&self, id: SubjectId, Window { from, to, .. }: Window) -> Option<Serving> {
        let subject = self.windows.subject(id)?.clone();
        let (plan, counts) = self.windows.sum(id, from, to)?;
        let whole_window = self.windows.seen_before(id, from + 1);
        Some(Serving { subject, plan, counts, whole_window })
    }

    fn place<'a>(&self, subject: &'a Subject, plan: &'a Plan, window: Window) -> Place<'a> {
        let pane_ms = self.windows.settings().pane_ms;
        Place {
            model: &subject.model,
            version: &subject.version,
            reference_id: &plan.reference_id,
            start: window.from * pane_ms,
            end: window.to * pane_ms,
            coverage: window.coverage,
            show_categories: self.watches.show_categories(),
            late_labels: false,
            sharing: 1,
        }
    }

    pub(super) fn teller<'a>(
        &'a self,
        place: Place<'a>,
        reference: &'a Reference,
        stepped: &'a Stepped,
    ) -> Teller<'a> {
        Teller { place, reference, watch: &stepped.watch, seen: &stepped.seen, topic: &self.topic }
    }

    /// The whole of every version with its segments, given the subjects in this order.
    fn by_version(&self, subjects: impl Iterator<Item = SubjectId>) -> Vec<(SubjectId, Vec<SubjectId>)> {
        let mut versions: Vec<(SubjectId, Vec<SubjectId>)> = Vec::new();
        for id in subjects {
            let whole = self.windows.subject(id).is_some_and(|subject| subject.segment.is_none());
            match versions.last_mut() {
                Some((_, segments)) if !whole => segments.push(id),
                _ => versions.push((id, Vec::new())),
            }
        }
        versions
    }
}

fn rows_of(counts: &[u64]) -> u64 {
    counts.get(Layout::ROWS).copied().unwrap_or(0)
}

/// Whether two references count the same values in the same counters.
fn are_alike(one: &Reference, other: &Reference) -> bool {
    one.columns.len() == other.columns.len()
        && one.joint == other.joint
        && one.columns.iter().zip(&other.columns).all(|(a, b)| {
            a.name == b.name
                && a.role == b.role
                && a.kind == b.kind
                && a.single_precision == b.single_precision
                && a.binning == b.binning
        })
}
