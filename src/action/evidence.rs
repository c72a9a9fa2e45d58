//! What a decision rests on: what fires now, what was judged, and what the registry says.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::alert::{AlertKind, Notification};
use crate::subject::Millis;
use crate::view::WindowView;

/// What the registry says of a version that is watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionFacts {
    /// Whether the version is still watched and not archived.
    pub current: bool,
    /// The version that a rollback returns to.
    pub rollback_to: Option<String>,
    /// When the version came to its stage.
    pub since: Option<Millis>,
    /// When that version was last rolled back from itself, if ever.
    pub target_rolled_back_at: Option<Millis>,
}

/// What the registry says of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFacts {
    /// The version in production.
    pub serving: Option<String>,
    /// All its versions.
    pub versions: BTreeSet<String>,
}

/// An alert that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Model name.
    pub model: String,
    /// Model version.
    pub version: String,
    /// What went wrong.
    pub kind: AlertKind,
    /// Segment value; absent for the whole traffic.
    pub segment: Option<String>,
    /// Column, or `latency` or `volume`.
    pub column: String,
    /// Name of the horizon.
    pub horizon: String,
    /// End of the first window of the episode.
    pub since: Millis,
    /// End of the window with which it began to fire.
    pub began: Millis,
}

/// The newest window that stands behind an alert.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its end.
    pub at: Millis,
    /// Rows counted in it.
    pub rows: u64,
    /// Share of it that was watched without a gap.
    pub coverage: f64,
    /// Time between two judgements of its horizon.
    pub step: Millis,
}

/// The moment of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Event time: end of the windows judged last.
    pub at: Millis,
    /// The engine's own clock, which only goes forward; only for the time that people and automations have to answer.
    pub now: Millis,
    /// Everything that fires and is not kept back by a silence or by another alert.
    pub signals: &'a [Signal],
    /// Model and version of everything that fires, whether or not it is kept back.
    pub firing: &'a BTreeSet<(String, String)>,
    /// Windows judged at this edge; of their verdicts only drifts are asked for.
    pub windows: &'a [WindowView],
    /// Whether the state was lost lately and its counts are not whole again.
    pub state_lost: bool,
    /// Facts of every watched version, by model and version.
    pub facts: &'a HashMap<(String, String), VersionFacts>,
    /// Facts of every registered model.
    pub models: &'a BTreeMap<String, ModelFacts>,
}

impl<'a> Situation<'a> {
    /// What fires of the alert group that a notification told of.
    pub(super) fn signals_of(&self, cause: &'a Notification) -> impl Iterator<Item = &'a Signal> {
        self.signals.iter().filter(move |signal| {
            signal.model == cause.model && signal.version == cause.version && signal.kind == cause.kind
        })
    }

    /// Whether anything of a version fires, also what somebody silenced: a silence makes no version good.
    pub(super) fn fires(&self, model: &str, version: &str) -> bool {
        self.firing.contains(&(model.to_owned(), version.to_owned()))
    }

    /// Different columns and kinds that fire for a version.
    pub(super) fn independent(&self, model: &str, version: &str) -> usize {
        let own = self.signals.iter().filter(|signal| signal.model == model && signal.version == version);
        own.map(|signal| (signal.kind, signal.column.as_str())).collect::<BTreeSet<_>>().len()
    }

    /// The best of the windows judged just now behind the group: newest end first, then coverage and rows.
    pub(super) fn evidence(
        &self,
        cause: &'a Notification,
        steps: &BTreeMap<String, Millis>,
    ) -> Option<Evidence> {
        let behind = self.signals_of(cause).flat_map(|signal| {
            self.windows.iter().filter(move |window| {
                window.model == signal.model
                    && window.version == signal.version
                    && window.segment == signal.segment
                    && window.horizon == signal.horizon
            })
        });
        let evidence = behind.map(|window| Evidence {
            at: window.end,
            rows: window.rows,
            coverage: window.coverage,
            step: steps.get(&window.horizon).copied().unwrap_or_default(),
        });
        evidence
            .max_by(|a, b| a.at.cmp(&b.at).then(a.coverage.total_cmp(&b.coverage)).then(a.rows.cmp(&b.rows)))
    }

    /// Facts of a version; nothing is known of one that is not watched.
    pub(super) fn facts_of(&self, model: &str, version: &str) -> VersionFacts {
        self.facts.get(&(model.to_owned(), version.to_owned())).cloned().unwrap_or_default()
    }
}
