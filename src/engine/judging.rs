//! Steps 6 to 9 of 10: at a closing edge the windows that end there are judged one after the other, and then all of it is
//! told.
//!
//! An edge may take many calls, so that records are read in between: ten thousand subjects are judged in a second, and a
//! batch of records never waits for that. What is judged is fixed when the edge begins: the subjects, what is known to be
//! missing, the windows whose labels are final. Records that come meanwhile count in later panes, and late ones wait
//! until the edge is finished, so that it brings the same whether it takes one call or thousands. A checkpoint is of
//! whole edges; an edge that was cut short by a crash is judged anew from the start.

use std::cell::RefCell;

use super::budgeted::Watching;
use super::labels::FinalLabels;
use super::tell::Telling;
use super::{Engine, Progress, SubjectId};
use crate::fault::{Place, reach};
use crate::monitor::{Known, WindowPlace, silence, withhold_all};
use crate::subject::{Millis, Subject};
use crate::view::{Level, VerdictView, WindowView};
use crate::window::Lent;
use crate::workers;

/// Rows that are counted in one step, of those that waited when the edge began.
const SETTLE: usize = 256;

/// Subjects whose panes are packed in one step.
const TIDY: usize = 16;

/// Small documents, as those of alerts, that are written in one step.
const DOCUMENTS: usize = 16;

/// Steps that judging a version under the budget is worth: its quantities take as long as two windows of a horizon.
const STEPS_OF_A_VERSION: usize = 2;

/// Most windows that are judged in one go, shared out among the threads.
const TOGETHER: usize = 16;

/// Late events that may wait for the edge under way; at this many it is finished at once, however long that takes.
const MAX_WAITING: usize = 50_000;

/// Where the judging of an edge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No edge is due.
    Idle,
    /// An edge is under way.
    Judging,
    /// An edge was finished; another may be due.
    EdgeDone,
}

/// A horizon that is due at an edge.
#[derive(Debug)]
struct DueHorizon {
    index: usize,
    name: String,
    start: Millis,
    coverage: f64,
}

/// What is done next.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Rows that waited are counted.
    Settle,
    /// Which versions serve is noted.
    Serving,
    /// Panes are packed, from this subject on.
    Tidy(usize),
    /// Windows are judged: the place among the horizons and among the subjects.
    Windows(usize, usize),
    /// Windows under the budget, by the place among the versions.
    Watches(usize),
    /// Versions of a model against one another, by the place among the models.
    Comparisons(usize),
    /// Detectors in sequence take the closed pane, by the place among the subjects.
    Sequences(usize),
    /// Burn rates, by the place among the subjects.
    Burns(usize),
    /// Windows of labels, by their place.
    Labels(usize),
    /// What the alerts tell.
    Telling,
    /// What changed is written for the next checkpoint.
    Documents,
}

/// A window that is to be judged.
struct DueWindow {
    subject: Subject,
    silent: Option<Millis>,
    covered: bool,
    lent: Lent,
    known: Known,
}

/// An edge under way.
#[derive(Debug)]
pub(super) struct Boundary {
    edge: i64,
    end: Millis,
    horizons: Vec<DueHorizon>,
    /// Every watched subject, and how long it had been silent when the edge began.
    subjects: Vec<(SubjectId, Option<Millis>)>,
    /// Share of the pane that closed in which nothing is missing.
    pane_coverage: f64,
    watching: Option<Watching>,
    labels: Vec<FinalLabels>,
    /// What actions ask of the windows that were judged; `None` if there are no actions.
    acted_on: Option<Vec<WindowView>>,
    /// What is told, once everything is judged.
    telling: Option<Telling>,
    stage: Stage,
    /// Whether the last step computed what is normal for a reference.
    calibrated: bool,
}

impl Engine {
    /// Steps 6 to 9: closes every pane that the watermark has passed, judges the windows that end there, and puts what
    /// is worth telling into the outbox. At most `most` panes are closed; `true` says that more are due. `now` is a clock
    /// that only goes forward.
    pub fn advance(&mut self, now: Millis, most: usize) -> (Progress, bool) {
        self.look(now);
        let mut progress = std::mem::take(&mut self.judged);
        for _ in 0..most {
            if self.judge(now, usize::MAX, &mut progress) == Standing::Idle {
                return (progress, false);
            }
        }
        (progress, true)
    }

    /// The same in small steps, at most `most` of them and within one edge: a step judges one window or does as much, and
    /// the last is one that computed what is normal for a reference. The outcome does not depend on the steps that it takes.
    pub fn advance_some(&mut self, now: Millis, most: usize) -> (Progress, Standing) {
        self.look(now);
        let mut progress = std::mem::take(&mut self.judged);
        let standing = self.judge(now, most, &mut progress);
        (progress, standing)
    }

    /// Edges that the watermark had passed when it was last looked at and that are not judged, one under way included.
    #[must_use]
    pub fn edges_due(&self) -> u64 {
        let next = self.windows.closed().or(self.windows.start());
        let due = self.watermark.zip(next).map_or(0, |(watermark, next)| {
            watermark.div_euclid(self.windows.settings().pane_ms).saturating_sub(next)
        });
        u64::try_from(due).unwrap_or(0) + u64::from(self.is_judging())
    }

    /// Whether an edge is under way.
    #[must_use]
    pub fn is_judging(&self) -> bool {
        self.judging.is_some()
    }

    /// Finishes the edge under way, before something that it must not see half of. What it brings is given out by the
    /// next call that advances.
    pub(super) fn finish_edge(&mut self) {
        if self.judging.is_some() {
            let mut progress = std::mem::take(&mut self.judged);
            self.judge(self.now, usize::MAX, &mut progress);
            self.judged = progress;
        }
    }

    fn look(&mut self, now: Millis) {
        let patience = self.windows.settings().patience();
        self.watermark = self.watermark.max(self.partitions.watermark(now, patience));
        self.end_gaps(now);
        self.look_after_completeness(now);
    }

    fn judge(&mut self, now: Millis, most: usize, progress: &mut Progress) -> Standing {
        let waiting = self.windows.held_amendments();
        let mut left = if waiting >= MAX_WAITING { usize::MAX } else { most };
        let all = left == usize::MAX;
        let mut boundary = match self.judging.take() {
            Some(boundary) => boundary,
            None => {
                let Some(boundary) = self.begin_edge() else { return Standing::Idle };
                // Looking at every subject takes as long as a call may.
                left = if all { left } else { 0 };
                boundary
            }
        };
        while left > 0 {
            let before = progress.windows.len();
            let done = self.step(&mut boundary, left.min(TOGETHER), progress);
            left = left.saturating_sub(done);
            if std::mem::take(&mut boundary.calibrated) && !all {
                // It takes as long as many windows do, and new references would do it one after the other.
                left = 0;
            }
            let more = done > 0;
            if let Some(windows) = &mut boundary.acted_on {
                windows.extend(progress.windows[before..].iter().map(drifts_only));
            }
            if !more {
                let windows = boundary.acted_on.as_deref().unwrap_or_default();
                self.finish_telling(boundary.telling.take(), (boundary.end, now), windows, progress);
                self.windows.apply_amendments();
                self.alerts_changed = true;
                reach(Place::WindowsJudged);
                return Standing::EdgeDone;
            }
        }
        self.judging = Some(boundary);
        Standing::Judging
    }

    fn begin_edge(&mut self) -> Option<Box<Boundary>> {
        let edge = self.windows.close_next(self.watermark?)?;
        self.core_dirty = true;
        reach(Place::PaneClosed);
        self.windows.hold_amendments();
        let end = edge * self.windows.settings().pane_ms;
        self.look_after_references(end);
        self.look_after_baselines(end);
        let settings = self.windows.settings();
        let horizons: Vec<DueHorizon> = (0..)
            .zip(&settings.horizons)
            .filter(|(_, horizon)| edge.rem_euclid(horizon.every) == 0)
            .map(|(index, horizon)| {
                let start = end - horizon.panes * settings.pane_ms;
                DueHorizon { index, name: horizon.name.clone(), start, coverage: self.coverage(start, end) }
            })
            .collect();
        let subjects: Vec<SubjectId> = self.windows.watched_subjects();
        let pane_coverage = self.coverage(end - self.windows.settings().pane_ms, end);
        let watching = self.watching(edge, subjects.iter().copied());
        let silences = match self.silence_after {
            Some(_) => self.windows.silences(&subjects, end),
            None => vec![None; subjects.len()],
        };
        let subjects = subjects.into_iter().zip(silences).collect();
        let labels = self.final_labels(end);
        let stage = Stage::Settle;
        let acted_on = self.has_actions().then(Vec::new);
        Some(Box::new(Boundary {
            edge,
            end,
            horizons,
            subjects,
            pane_coverage,
            watching,
            labels,
            acted_on,
            telling: None,
            stage,
            calibrated: false,
        }))
    }

    /// At most `most` steps of an edge; gives how many it took, 0 if there was none left.
    fn step(&mut self, boundary: &mut Boundary, most: usize, progress: &mut Progress) -> usize {
        loop {
            let (done, next) = match boundary.stage {
                Stage::Settle => {
                    let more = self.windows.settle_closing(SETTLE);
                    (1, if more { Stage::Settle } else { Stage::Serving })
                }
                Stage::Serving => {
                    self.note_sharing(boundary.edge, boundary.subjects.iter().map(|(id, _)| *id));
                    // All subjects are as much as a call may take.
                    (most, Stage::Tidy(0))
                }
                Stage::Tidy(first) => {
                    let next = self.windows.tidy(boundary.edge, (first, TIDY), self.threads);
                    (1, next.map_or(Stage::Windows(0, 0), Stage::Tidy))
                }
                Stage::Windows(horizon, _) if horizon >= boundary.horizons.len() => (0, Stage::Watches(0)),
                Stage::Windows(horizon, place) => {
                    let done = self.judge_windows(boundary, (horizon, place), most, progress);
                    (
                        done,
                        if done > 0 {
                            Stage::Windows(horizon, place + done)
                        } else {
                            Stage::Windows(horizon + 1, 0)
                        },
                    )
                }
                Stage::Watches(place) => {
                    let watching = boundary.watching.as_ref();
                    let at_once = most.div_ceil(STEPS_OF_A_VERSION);
                    let done =
                        watching.map_or(0, |watching| self.watch_some(watching, place, at_once, progress));
                    let steps = (done * STEPS_OF_A_VERSION).min(most);
                    (steps, if done > 0 { Stage::Watches(place + done) } else { Stage::Comparisons(0) })
                }
                Stage::Comparisons(place) => {
                    let watching = boundary.watching.as_ref();
                    let more = watching.is_some_and(|watching| self.compare_one(watching, place, progress));
                    (
                        usize::from(more),
                        if more { Stage::Comparisons(place + 1) } else { Stage::Sequences(0) },
                    )
                }
                Stage::Sequences(place) => {
                    let subject = boundary.subjects.get(place).filter(|_| self.has_sequences());
                    if let Some((id, _)) = subject {
                        self.feed_sequence(*id, boundary.edge, boundary.pane_coverage, progress);
                    }
                    let more = subject.is_some();
                    (usize::from(more), if more { Stage::Sequences(place + 1) } else { Stage::Burns(0) })
                }
                Stage::Burns(place) => {
                    let subject = boundary.subjects.get(place).filter(|_| self.has_objective());
                    if let Some((id, _)) = subject {
                        self.judge_burn_rate(*id, boundary.edge, boundary.pane_coverage, progress);
                    }
                    let more = subject.is_some();
                    (usize::from(more), if more { Stage::Burns(place + 1) } else { Stage::Labels(0) })
                }
                Stage::Labels(place) => {
                    let labels = boundary.labels.get(place);
                    if let Some(labels) = labels {
                        self.judge_labels(labels, progress);
                    }
                    let more = labels.is_some();
                    (usize::from(more), if more { Stage::Labels(place + 1) } else { Stage::Telling })
                }
                Stage::Telling => {
                    let more = self.tell_some(boundary.end, &mut boundary.telling, progress);
                    if !more {
                        self.begin_documents();
                    }
                    (usize::from(more), if more { Stage::Telling } else { Stage::Documents })
                }
                Stage::Documents => return self.write_documents(most),
            };
            boundary.stage = next;
            if done > 0 {
                return done;
            }
        }
    }

    /// Fixes which documents are written with this edge.
    fn begin_documents(&mut self) {
        self.sharing.begin_writing();
        self.sequences.begin_writing();
        self.burns.begin_writing();
    }

    /// Writes at most so many of the documents that this edge changed; gives how many, 0 if that is done.
    fn write_documents(&mut self, most: usize) -> usize {
        let threads = self.threads;
        [&mut self.watches, &mut self.versions, &mut self.labels.watches]
            .into_iter()
            .map(|watches| watches.write_some(most, threads))
            .find(|done| *done > 0)
            .unwrap_or_else(|| {
                let more = self.alerts.write_some(DOCUMENTS)
                    || self.sharing.write_some(DOCUMENTS) > 0
                    || self.burns.write_some(DOCUMENTS) > 0
                    || self.sequences.write_some(1) > 0;
                usize::from(more)
            })
    }

    /// Judges at most so many windows from a place among the horizons and among the subjects on, and computes at most one
    /// calibration; gives how many subjects that were, 0 if there was none left.
    fn judge_windows(
        &mut self,
        boundary: &mut Boundary,
        (horizon, place): (usize, usize),
        most: usize,
        progress: &mut Progress,
    ) -> usize {
        let Some(horizon) = boundary.horizons.get(horizon) else { return 0 };
        let subjects = boundary.subjects.iter().skip(place).take(most);
        let (start, end) = (horizon.start, boundary.end);
        let mut due = Vec::with_capacity(most.min(TOGETHER));
        let mut done = 0;
        for (id, silent) in subjects.copied() {
            done += 1;
            let Some(subject) = self.windows.subject(id).cloned() else { continue };
            let covered = self.windows.covered(id, horizon.index, boundary.edge);
            let Some(lent) = self.windows.lend(id, horizon.index, boundary.edge) else { continue };
            let place = WindowPlace { subject: &subject, horizon: &horizon.name, start, end, covered };
            let owes = self.judge.owes(lent.plan(), place);
            let known = self.judge.known(lent.plan(), place);
            due.push(DueWindow { subject, silent, covered, lent, known });
            if owes {
                boundary.calibrated = true;
                break;
            }
        }
        let (judge, windows) = (&self.judge, &self.windows);
        let judged = workers::each(self.threads, due, |mut due| {
            let (subject, covered) = (&due.subject, due.covered);
            let place = WindowPlace { subject, horizon: &horizon.name, start, end, covered };
            let view = with_counts(|counts| {
                windows.move_there(&mut due.lent, counts);
                judge.judge_known(due.lent.plan(), place, counts, &due.known)
            });
            (view, due)
        });
        for (view, due) in judged {
            self.take_window(horizon, view, due, progress);
        }
        done
    }

    fn take_window(
        &mut self,
        horizon: &DueHorizon,
        mut view: WindowView,
        due: DueWindow,
        progress: &mut Progress,
    ) {
        let all_alert = self.watches.classical_alerts(due.lent.plan());
        self.windows.take_back(due.lent);
        let silent = due.silent.filter(|_| horizon.index == 0 && due.subject.segment.is_none());
        let silence = silent.zip(self.silence_after).map(|(silent, limit)| silence(silent, limit));
        view.verdicts.extend(silence);
        view.coverage = horizon.coverage;
        if horizon.coverage < self.windows.settings().min_coverage {
            withhold_all(&mut view);
        }
        if all_alert {
            self.alerts.observe(&view);
        } else if let Some(silence) = silent.and_then(|_| view.verdicts.last()) {
            // It is under no budget: whoever sets a limit hears of it whatever else alerts.
            let alone = WindowView { level: silence.level, ..with(&view, vec![silence.clone()]) };
            self.alerts.observe(&alone);
        }
        progress.windows.push(view);
    }
}

thread_local! {
    /// Counters of the window that this thread judges, kept: there are tens of thousands of windows at an edge, each with
    /// as many counters as would have memory fetched from the system.
    static COUNTS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Lends counters that this thread keeps.
fn with_counts<R>(work: impl FnOnce(&mut Vec<u64>) -> R) -> R {
    COUNTS.with(|kept| {
        let mut counts = kept.take();
        let done = work(&mut counts);
        kept.replace(counts);
        done
    })
}

/// A window without what no action asks for: of the verdicts the drifts are left.
fn drifts_only(window: &WindowView) -> WindowView {
    let drifts = window.verdicts.iter().filter(|verdict| verdict.level == Level::Drift);
    with(window, drifts.cloned().collect())
}

/// The same window with these verdicts, and nothing else that was measured.
fn with(window: &WindowView, verdicts: Vec<VerdictView>) -> WindowView {
    WindowView {
        model: window.model.clone(),
        version: window.version.clone(),
        segment: window.segment.clone(),
        horizon: window.horizon.clone(),
        start: window.start,
        end: window.end,
        rows: window.rows,
        coverage: window.coverage,
        level: window.level,
        reference: window.reference.clone(),
        verdicts,
        ..WindowView::default()
    }
}
