//! Sequential detectors of the running core: each version's closed panes are fed to the detectors that were asked for, in
//! the order of event time. Which values a detector gets is `monitor/sequential.rs`.
//!
//! Nothing here depends on how partitions are interleaved: panes are fed when they close, by their counts. Bounds: one
//! detector per rule and version, of the size that its parameters say, and two counters per open pane for errors.

use std::collections::BTreeMap;
use std::sync::Arc;

use anchorwatch_detectors::sequential::{Detector, Signal};
use serde::{Deserialize, Serialize};

use super::changed::Changed;
use super::{Engine, Progress, SubjectId};
use crate::alert::{AlertKind, Moved};
use crate::config::{Monitor, ON_ERROR, SequentialRule, WatchedBy};
use crate::event::{Event, Scalar};
use crate::monitor::sequential::{Fed, Feed, SEQUENTIAL, SEQUENTIAL_LABELS, Watched};
use crate::reference::{Layout, Outcome, Reference};
use crate::subject::{Millis, Subject};
use crate::view::{Level, VerdictView, WindowView};
use crate::window::{Decisions, FinalWindow, Plan, Windows, truth};

/// Names of this module's documents.
pub(super) const DOCUMENT_PREFIX: &str = "sequential/";

/// A rule in a version.
#[derive(Debug)]
struct Lane {
    rule: usize,
    feed: Feed,
    detector: Detector,
}

/// What is remembered of a version.
#[derive(Debug, Default)]
struct OfVersion {
    /// Reference that the detectors were made for; empty before the first pane.
    reference: String,
    /// `None` before the first pane, and after a restart.
    lanes: Option<Vec<Lane>>,
    /// Detectors by key of their rule, as a checkpoint had them.
    restored: BTreeMap<String, Detector>,
    /// Predictions with a label of their own in panes that are not closed.
    decisions: BTreeMap<i64, Decisions>,
}

/// A version in the checkpoint.
#[derive(Serialize, Deserialize)]
struct Stored {
    model: String,
    version: String,
    reference: String,
    detectors: BTreeMap<String, Detector>,
    decisions: BTreeMap<i64, Decisions>,
}

/// All sequential detectors.
#[derive(Debug)]
pub(super) struct Sequences {
    rules: Vec<SequentialRule>,
    versions: BTreeMap<String, BTreeMap<String, OfVersion>>,
    changed: Changed<(String, String)>,
}

impl Sequences {
    /// Detectors that were fed nothing.
    pub(super) fn new(monitor: &Monitor) -> Self {
        Self { rules: monitor.sequential.clone(), versions: BTreeMap::new(), changed: Changed::default() }
    }

    /// Whether there are no such detectors.
    pub(super) fn are_none(&self) -> bool {
        self.rules.is_empty()
    }

    fn watches(&self, model: &str, on: impl Fn(&str) -> bool) -> bool {
        self.rules.iter().any(|rule| rule.watches(model) && on(&rule.on))
    }

    /// Notes whether a prediction that was counted with its label was wrong.
    pub(super) fn observe(&mut self, windows: &Windows, event: &Event<'_>, at: Millis) {
        if self.rules.is_empty() || event.is_feedback() || event.label.is_none() {
            return;
        }
        let Some((model, version)) = windows.version_of_last() else { return };
        let pane = windows.settings().pane_of(at);
        // What amends a closed pane was not in time for the detectors.
        let closed = windows.closed().is_some_and(|closed| pane < closed);
        if closed || !self.watches(model, |on| on == ON_ERROR) {
            return;
        }
        let of_version = self.versions.entry(model.to_owned()).or_default();
        let of_version = of_version.entry(version.to_owned()).or_default();
        let mut decisions = Decisions::default();
        decide(&mut decisions, event, windows.plan_of_last().is_some_and(|plan| plan.names_classes()));
        if decisions.all > 0 {
            of_version.decisions.entry(pane).or_default().merge(decisions);
            self.changed.note((model.to_owned(), version.to_owned()));
        }
    }

    /// The lanes of a version against this plan's reference, made anew where it is another one than before.
    fn lanes<'a>(
        of_version: &'a mut OfVersion,
        rules: &[SequentialRule],
        subject: &Subject,
        plan: &Plan,
    ) -> &'a mut [Lane] {
        let same = of_version.reference == plan.reference_id;
        if !same {
            of_version.lanes = None;
        }
        of_version.reference.clone_from(&plan.reference_id);
        of_version.lanes.get_or_insert_with(|| {
            let mut restored = std::mem::take(&mut of_version.restored);
            let names = (&*subject.model, &*subject.version);
            let lane = |(index, rule): (usize, &SequentialRule)| {
                let feed = Feed::new(rule, &plan.reference, names).ok()?;
                let known = restored.remove(&rule.key()).filter(|_| same);
                let detector = known.or_else(|| feed.detector(rule, &plan.reference))?;
                Some(Lane { rule: index, feed, detector })
            };
            let watching = rules.iter().enumerate().filter(|(_, rule)| rule.watches(&subject.model));
            watching.filter_map(lane).collect()
        })
    }

    /// Feeds the detectors of a version what `cells` gives of the counts behind each; one that gets `None` is left alone.
    /// `moved` says where values lie that did not, for one that alarms.
    fn feed(
        &mut self,
        subject: &Subject,
        plan: &Plan,
        pane: i64,
        cells: impl Fn(&Feed) -> Option<Vec<u64>>,
        moved: impl Fn(&Feed) -> Vec<Moved>,
    ) -> Vec<VerdictView> {
        let names = (subject.model.to_string(), subject.version.to_string());
        let of_model = self.versions.entry(names.0.clone()).or_default();
        let of_version = of_model.entry(names.1.clone()).or_default();
        let mut verdicts = Vec::new();
        for lane in Self::lanes(of_version, &self.rules, subject, plan) {
            if let (Some(cells), Some(rule)) = (cells(&lane.feed), self.rules.get(lane.rule)) {
                let fed = lane.feed.feed(&mut lane.detector, &cells, pane);
                let mut verdict = verdict(rule, &plan.reference, lane.feed.watched, fed);
                if verdict.level == Level::Drift {
                    verdict.moved = moved(&lane.feed);
                }
                verdicts.push(verdict);
            }
        }
        self.changed.note(names);
        verdicts
    }

    /// Right and wrong predictions of a closed pane.
    fn take_decisions(&mut self, subject: &Subject, pane: i64) -> Option<Decisions> {
        let of_version = self.versions.get_mut(&*subject.model)?.get_mut(&*subject.version)?;
        let open = of_version.decisions.split_off(&(pane + 1));
        let closed = std::mem::replace(&mut of_version.decisions, open);
        closed.into_iter().find(|(at, _)| *at == pane).map(|(_, decisions)| decisions)
    }

    /// Forgets versions that are no longer watched.
    pub(super) fn retain(&mut self, watched: impl Fn(&str, &str) -> bool) {
        for (model, versions) in &mut self.versions {
            versions.retain(|version, _| {
                let stays = watched(model, version);
                if !stays {
                    // Its document goes.
                    self.changed.note((model.clone(), version.clone()));
                }
                stays
            });
        }
        self.versions.retain(|_, versions| !versions.is_empty());
    }

    /// Fixes which documents [`Self::write_some`] writes.
    pub(super) fn begin_writing(&mut self) {
        self.changed.begin();
    }

    /// Writes the documents of at most so many versions ahead of the next checkpoint; gives how many.
    pub(super) fn write_some(&mut self, most: usize) -> usize {
        let Self { versions, rules, changed } = self;
        changed.write_some(most, |(model, version)| {
            let name = format!("{DOCUMENT_PREFIX}{model}/{version}");
            let Some(of_version) = versions.get(&model).and_then(|versions| versions.get(&version)) else {
                return Some((name, None));
            };
            let key = |lane: &Lane| Some((rules.get(lane.rule)?.key(), lane.detector.clone()));
            let mut detectors = of_version.restored.clone();
            detectors.extend(of_version.lanes.iter().flatten().filter_map(key));
            let (reference, decisions) = (of_version.reference.clone(), of_version.decisions.clone());
            let stored = Stored { model, version, reference, detectors, decisions };
            Some((name, Some(serde_json::to_string(&stored).ok()?)))
        })
    }

    /// Documents of the versions that changed since the last call.
    pub(super) fn take_documents(&mut self) -> BTreeMap<String, Option<String>> {
        self.changed.begin();
        self.write_some(usize::MAX);
        self.changed.take_written()
    }

    /// Takes a document back. Without any rule there is nothing to go on with.
    pub(super) fn restore(&mut self, text: &str) -> Result<(), serde_json::Error> {
        if self.rules.is_empty() {
            return Ok(());
        }
        let Stored { model, version, reference, detectors, decisions } = serde_json::from_str(text)?;
        let of_version = OfVersion { reference, lanes: None, restored: detectors, decisions };
        self.versions.entry(model).or_default().insert(version, of_version);
        Ok(())
    }
}

impl Engine {
    /// Whether there is any detector in sequence.
    pub(super) fn has_sequences(&self) -> bool {
        !self.sequences.rules.is_empty()
    }

    /// Feeds the pane of a subject that has just closed; `coverage` is the pane's.
    pub(super) fn feed_sequence(&mut self, id: SubjectId, edge: i64, coverage: f64, progress: &mut Progress) {
        let settings = self.windows.settings();
        let (pane, pane_ms, min_coverage) = (edge - 1, settings.pane_ms, settings.min_coverage);
        let Some(subject) = self.windows.subject(id).cloned() else { return };
        if subject.segment.is_some() || !self.sequences.watches(&subject.model, |_| true) {
            return;
        }
        let decisions = self.sequences.take_decisions(&subject, pane);
        let Some((plan, counts)) = self.windows.sum(id, pane, edge) else { return };
        let rows = counts.get(Layout::ROWS).copied().unwrap_or(0);
        if rows == 0 || coverage < min_coverage {
            return;
        }
        let cells = |feed: &Feed| match (feed.watched, decisions) {
            (Watched::Error, decisions) => decisions.map(|one| vec![one.all - one.wrong, one.wrong]),
            _ => Some(feed.cells(&plan.layout, &counts).into_owned()),
        };
        let show = self.watches.show_categories();
        let moved = |feed: &Feed| feed.moved(&plan.reference, &plan.layout, &counts, show);
        let verdicts = self.sequences.feed(&subject, &plan, pane, cells, moved);
        let view = view(&subject, &plan, (SEQUENTIAL, pane * pane_ms, edge * pane_ms), rows, verdicts);
        self.take_view(WindowView { coverage, ..view }, progress);
    }

    /// Feeds the errors of a window of predictions whose labels came later.
    pub(super) fn feed_late_errors(&mut self, window: &FinalWindow, progress: &mut Progress) {
        if window.decisions.all == 0 || !self.sequences.watches(&window.model, |on| on == ON_ERROR) {
            return;
        }
        let names = [&window.model, &window.version].map(|name| Arc::<str>::from(name.as_str()));
        let [model, version] = names;
        let subject = Subject { model, version, segment: None };
        let Decisions { all, wrong, .. } = window.decisions;
        let cells = |feed: &Feed| (feed.watched == Watched::Error).then(|| vec![all - wrong, wrong]);
        let pane = self.windows.settings().pane_of(window.start);
        let verdicts = self.sequences.feed(&subject, &window.plan, pane, cells, |_| Vec::new());
        let at = (SEQUENTIAL_LABELS, window.start, window.end);
        let view = view(&subject, &window.plan, at, window.labelled, verdicts);
        self.take_view(view, progress);
    }

    fn take_view(&mut self, view: WindowView, progress: &mut Progress) {
        if !view.verdicts.is_empty() {
            self.alerts.observe(&view);
            progress.windows.push(view);
        }
    }
}

/// Adds what an event with prediction and label says: by the score if the label is 0 or 1 and no class by that name, else by
/// the prediction, if both are of one type.
fn decide(decisions: &mut Decisions, event: &Event<'_>, by_name: bool) {
    let number = |scalar: Option<&Scalar<'_>>| scalar.and_then(|scalar| truth(scalar.value()));
    let label = number(event.label.as_ref()).filter(|label| [0.0, 1.0].contains(label));
    if let Some((score, label)) = number(event.score.as_ref()).zip(label).filter(|_| !by_name) {
        return decisions.add(Outcome { score, label });
    }
    let wrong = match (event.prediction.as_ref(), event.label.as_ref()) {
        (Some(Scalar::Text(said)), Some(Scalar::Text(is))) => said != is,
        (Some(Scalar::Number(said)), Some(Scalar::Number(is))) => said != is,
        (Some(Scalar::Bool(said)), Some(Scalar::Bool(is))) => said != is,
        _ => return,
    };
    decisions.merge(Decisions { all: 1, wrong: u64::from(wrong), ..Decisions::default() });
}

fn view(
    subject: &Subject,
    plan: &Plan,
    (horizon, start, end): (&str, Millis, Millis),
    rows: u64,
    verdicts: Vec<VerdictView>,
) -> WindowView {
    WindowView {
        model: subject.model.to_string(),
        version: subject.version.to_string(),
        segment: None,
        horizon: horizon.to_owned(),
        start,
        end,
        rows,
        coverage: 1.0,
        reference: plan.reference_id.clone(),
        level: verdicts.iter().map(|verdict| verdict.level).max().unwrap_or_default(),
        verdicts,
        latency: None,
        columns: Vec::new(),
    }
}

fn verdict(rule: &SequentialRule, reference: &Reference, watched: Watched, fed: Fed) -> VerdictView {
    let level = match fed.signal {
        _ if fed.values == 0 => Level::Insufficient,
        Signal::Stable => Level::Stable,
        Signal::Warning => Level::Warning,
        Signal::Drift => Level::Drift,
    };
    let column = match watched {
        Watched::Column(column) | Watched::Missing(column) => reference.columns.get(column),
        Watched::Latency | Watched::LatencyOver(_) | Watched::Error => None,
    };
    VerdictView {
        column: rule.on.as_str().into(),
        role: column.map(|column| column.role),
        detector: rule.title().into(),
        statistic: (fed.values > 0).then_some(fed.statistic),
        threshold: (fed.values > 0).then_some(fed.threshold),
        p_value: None,
        adjusted_p_value: None,
        rows: fed.values as u64,
        reference_rows: reference.profile.get(Layout::ROWS).copied().unwrap_or(0),
        level,
        kind: match rule.watched() {
            WatchedBy::Latency | WatchedBy::LatencyOver(_) => AlertKind::Latency,
            WatchedBy::Missing(_) => AlertKind::DataFault,
            WatchedBy::Column(_) | WatchedBy::Error => AlertKind::Drift,
        },
        severity: (level == Level::Drift).then_some(rule.severity),
        inhibited_by: None,
        moved: Vec::new(),
        explained: None,
    }
}
