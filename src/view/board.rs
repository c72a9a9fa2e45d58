//! The board on which the core writes and from which the edges read.

use std::hash::BuildHasher as _;
use std::sync::{Arc, PoisonError, RwLock};

use dashmap::DashMap;

use super::{
    ActionsView, AlertView, ModelView, ReferenceView, SilenceView, StatusView, SubjectView, TargetView,
    WindowView,
};
use crate::subject::Subject;
use crate::workers;

/// A document that is replaced as a whole; readers keep the one they took.
#[derive(Debug, Default)]
struct Slot<T>(RwLock<Arc<T>>);

impl<T> Slot<T> {
    fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, value: impl Into<Arc<T>>) {
        let value = value.into();
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *held, value);
        drop(held);
        // Nobody waits for it to be taken apart.
        drop(before);
    }
}

/// The latest state of everything, shared by `Arc`.
///
/// ```
/// use anchorwatch::view::{Board, WindowView};
/// let board = Board::default();
/// let window = WindowView { model: "fraud".into(), version: "1.0.0".into(), horizon: "1h".into(), ..WindowView::default() };
/// let subject = window.subject();
/// board.publish(window);
/// assert_eq!(board.subject(&subject).map(|view| view.windows.len()), Some(1));
/// ```
#[derive(Debug, Default)]
pub struct Board {
    subjects: DashMap<Subject, Arc<SubjectView>>,
    alerts: Slot<Vec<AlertView>>,
    actions: Slot<ActionsView>,
    silences: Slot<Vec<SilenceView>>,
    status: Slot<StatusView>,
    models: Slot<Vec<ModelView>>,
    references: Slot<Vec<ReferenceView>>,
    targets: Slot<Vec<TargetView>>,
}

impl Board {
    /// Shows a judged window in place of the last one of its subject and horizon.
    pub fn publish(&self, window: WindowView) {
        self.show(window);
    }

    /// Shows judged windows, those of a subject in this order; several threads share the subjects. A window is hundreds of
    /// small pieces, which the one whose place it takes gives back, and at an edge there are thousands of them.
    pub fn publish_all(&self, windows: impl IntoIterator<Item = WindowView>) {
        let threads = workers::available();
        let mut parts: Vec<Vec<WindowView>> = (0..threads).map(|_| Vec::new()).collect();
        for window in windows {
            let names = (&window.model, &window.version, &window.segment);
            let part = self.subjects.hasher().hash_one(names) % threads as u64;
            parts[part as usize].push(window);
        }
        workers::each(threads, parts, |part| {
            part.into_iter().for_each(|window| drop(self.show(window)));
        });
    }

    /// Gives the window whose place this one takes.
    fn show(&self, window: WindowView) -> Option<Arc<WindowView>> {
        let mut entry = self.subjects.entry(window.subject()).or_default();
        let (next, gone) = entry.with(Arc::new(window));
        *entry = Arc::new(next);
        gone
    }

    /// Forgets all windows of a version, with its segments.
    pub fn remove_version(&self, model: &str, version: &str) {
        self.subjects.retain(|subject, _| &*subject.model != model || &*subject.version != version);
    }

    /// The windows of one subject.
    #[must_use]
    pub fn subject(&self, subject: &Subject) -> Option<Arc<SubjectView>> {
        self.subjects.get(subject).map(|entry| Arc::clone(&entry))
    }

    /// All subjects with their windows, in the order of their names.
    #[must_use]
    pub fn subjects(&self) -> Vec<(Subject, Arc<SubjectView>)> {
        let mut all: Vec<_> =
            self.subjects.iter().map(|entry| (entry.key().clone(), Arc::clone(entry.value()))).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Replaces the list of alerts.
    pub fn set_alerts(&self, alerts: impl Into<Arc<Vec<AlertView>>>) {
        self.alerts.set(alerts);
    }

    /// The alerts.
    #[must_use]
    pub fn alerts(&self) -> Arc<Vec<AlertView>> {
        self.alerts.get()
    }

    /// Replaces what is shown of actions.
    pub fn set_actions(&self, actions: ActionsView) {
        self.actions.set(actions);
    }

    /// What is shown of actions.
    #[must_use]
    pub fn actions(&self) -> Arc<ActionsView> {
        self.actions.get()
    }

    /// Replaces the list of silences.
    pub fn set_silences(&self, silences: Vec<SilenceView>) {
        self.silences.set(silences);
    }

    /// The silences, the newest first.
    #[must_use]
    pub fn silences(&self) -> Arc<Vec<SilenceView>> {
        self.silences.get()
    }

    /// Replaces the status.
    pub fn set_status(&self, status: impl Into<Arc<StatusView>>) {
        self.status.set(status);
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Arc<StatusView> {
        self.status.get()
    }

    /// Replaces the list of models.
    pub fn set_models(&self, models: Vec<ModelView>) {
        self.models.set(models);
    }

    /// The registered models.
    #[must_use]
    pub fn models(&self) -> Arc<Vec<ModelView>> {
        self.models.get()
    }

    /// Replaces the list of references.
    pub fn set_references(&self, references: Vec<ReferenceView>) {
        self.references.set(references);
    }

    /// Replaces the list of targets.
    pub fn set_targets(&self, targets: Vec<TargetView>) {
        self.targets.set(targets);
    }

    /// Targets of deliveries.
    #[must_use]
    pub fn targets(&self) -> Arc<Vec<TargetView>> {
        self.targets.get()
    }

    /// The registered references.
    #[must_use]
    pub fn references(&self) -> Arc<Vec<ReferenceView>> {
        self.references.get()
    }
}
