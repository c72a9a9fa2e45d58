//! How events of a model version are counted: its reference, laid out for fast look-up, from a pane on.

use std::collections::HashMap;
use std::sync::Arc;

use super::Windows;
use super::join::tells_classes;
use super::pairs::Pairs;
use super::pane::Size;
use super::rows::RowShape;
use crate::reference::{Layout, Reference, Role};

/// A reference made ready for counting.
#[derive(Debug)]
pub struct Plan {
    /// Content address of the reference.
    pub reference_id: String,
    /// The reference itself.
    pub reference: Arc<Reference>,
    /// The flat layout of panes.
    pub layout: Layout,
    /// How the values of events wait to be counted.
    pub(super) rows: RowShape,
    /// Pairs of columns for blocks of rows; `None` where these cannot hold them.
    pub(super) pairs: Option<Pairs>,
    features: HashMap<Box<str>, usize>,
    feature_columns: Vec<usize>,
    roles: [Option<usize>; 3],
    /// Whether predictions and labels name one of several classes.
    pub(super) classes: bool,
}

impl Plan {
    /// Lays a reference out.
    #[must_use]
    pub fn new(reference_id: String, reference: Arc<Reference>) -> Self {
        let columns = || reference.columns.iter().enumerate();
        let feature = |(_, column): &(usize, &crate::reference::Column)| column.role == Role::Feature;
        let features =
            columns().filter(feature).map(|(i, column)| (column.name.as_str().into(), i)).collect();
        let feature_columns = columns().filter(feature).map(|(i, _)| i).collect();
        let role = |role| columns().find(|(_, column)| column.role == role).map(|(i, _)| i);
        let roles = [role(Role::Score), role(Role::Prediction), role(Role::Label)];
        let layout = reference.live_layout();
        Self {
            rows: RowShape::new(&reference, &layout),
            pairs: Pairs::new(&reference.joint),
            layout,
            reference_id,
            features,
            feature_columns,
            roles,
            classes: tells_classes(&reference),
            reference,
        }
    }

    /// How many counters a pane has.
    pub(super) fn size(&self) -> Size {
        Size { len: self.layout.len(), joint: self.layout.len() - self.layout.joint(0) }
    }

    /// Position of a feature's column; `guess` is tried first, since events repeat their order.
    #[must_use]
    pub fn feature(&self, name: &str, guess: usize) -> Option<usize> {
        let guessed = self.reference.columns.get(guess);
        if guessed.is_some_and(|column| column.role == Role::Feature && column.name == name) {
            return Some(guess);
        }
        self.features.get(name).copied()
    }

    /// Positions of all feature columns.
    #[must_use]
    pub fn feature_columns(&self) -> &[usize] {
        &self.feature_columns
    }

    /// Position of the score's column.
    #[must_use]
    pub fn score(&self) -> Option<usize> {
        self.roles[0]
    }

    /// Position of the prediction's column.
    #[must_use]
    pub fn prediction(&self) -> Option<usize> {
        self.roles[1]
    }

    /// Position of the label's column.
    #[must_use]
    pub fn label(&self) -> Option<usize> {
        self.roles[2]
    }
}

/// The plans of a model version in the order of the panes from which they hold; cheap to clone.
#[derive(Debug, Default, Clone)]
pub struct Plans(Arc<[(i64, Arc<Plan>)]>);

impl Plans {
    /// Makes a plan hold from this pane on. Panes before it keep the plan they were counted with.
    pub fn begin(&mut self, pane: i64, plan: Arc<Plan>) {
        let before = self.0.iter().filter(|(from, _)| *from < pane).cloned();
        self.0 = before.chain([(pane, plan)]).collect();
    }

    /// The plan that holds for a pane, with the first pane it holds for.
    #[must_use]
    pub fn at(&self, pane: i64) -> Option<(i64, &Arc<Plan>)> {
        self.0.iter().rev().find(|(from, _)| *from <= pane).map(|(from, plan)| (*from, plan))
    }

    /// The newest plan.
    #[must_use]
    pub fn newest(&self) -> Option<&Arc<Plan>> {
        self.0.last().map(|(_, plan)| plan)
    }

    /// The newest plan with this reference.
    #[must_use]
    pub fn with_reference(&self, reference_id: &str) -> Option<&Arc<Plan>> {
        self.0.iter().rev().map(|(_, plan)| plan).find(|plan| plan.reference_id == reference_id)
    }

    /// `(first pane, reference id)` of every plan, for the checkpoint.
    pub fn entries(&self) -> impl Iterator<Item = (i64, &str)> {
        self.0.iter().map(|(from, plan)| (*from, plan.reference_id.as_str()))
    }

    /// Forgets plans that hold for no pane from `pane` on.
    pub fn forget_before(&mut self, pane: i64) {
        let keep = self.0.iter().rposition(|(from, _)| *from <= pane).unwrap_or(0);
        self.0 = self.0.iter().skip(keep).cloned().collect();
    }
}

impl Windows {
    /// The plan of a version that has this reference.
    #[must_use]
    pub fn plan_of(&self, model: &str, version: &str, reference_id: &str) -> Option<Arc<Plan>> {
        let state = &self.versions[*self.by_name.get(model)?.get(version)?];
        state.plans.with_reference(reference_id).cloned()
    }
}
