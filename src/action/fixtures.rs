//! Configurations, notifications and situations to test with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Actions, ApprovalKey, ModelFacts, Signal, Situation, VersionFacts};
use crate::alert::{ActionKind, AlertKind, Finding, Notification, Severity, Transition, WindowRef};
use crate::config::{self, ActionMode, Config};
use crate::subject::Millis;
use crate::view::{Level, WindowView};

pub(super) const MINUTE: Millis = 60_000;
pub(super) const HOUR: Millis = 60 * MINUTE;
/// A midnight, so that days of budgets are easy to reckon.
pub(super) const START: Millis = 1_699_920_000_000;

/// One retraining on drift and one rollback on data faults; panes of a minute, a horizon of 15 judged each minute.
pub(super) fn config(mode: ActionMode) -> Config {
    let mode = match mode {
        ActionMode::DryRun => "dry_run",
        ActionMode::Approve => "approve",
        ActionMode::Auto => "auto",
    };
    let text = format!(
        r#"
kafka: {{ bootstrap: "127.0.0.1:9", topics: [t] }}
windows: {{ pane: 1m, horizons: [{{ length: 15m, every: 1m }}], min_rows: 100 }}
actions:
- {{ name: again, kind: retrain, url: "http://127.0.0.1/", on: [drift], mode: {mode} }}
- {{ name: back, kind: rollback, url: "http://127.0.0.1/", on: [data_fault], mode: {mode} }}
"#
    );
    config::parse(&text, "test").expect("valid settings")
}

pub(super) fn actions(config: &Config) -> Actions {
    let mut actions = Actions::new(config);
    actions.set_approval_key(ApprovalKey::new(*b"a key of the tests, long enough."));
    actions
}

pub(super) fn signal(model: &str, kind: AlertKind, column: &str, since: Millis) -> Signal {
    Signal {
        model: model.to_owned(),
        version: "1.0.0".to_owned(),
        kind,
        segment: None,
        column: column.to_owned(),
        horizon: "15m".to_owned(),
        since,
        began: since,
    }
}

pub(super) fn notification(
    model: &str,
    kind: AlertKind,
    transition: Transition,
    at: Millis,
    since: Millis,
) -> Notification {
    let window =
        WindowRef { horizon: "15m".to_owned(), start: at - 15 * MINUTE, end: at, rows: 1_000, coverage: 1.0 };
    let finding = Finding {
        subject: None,
        segment: None,
        column: "x".to_owned(),
        detector: "psi".to_owned(),
        statistic: 0.5,
        threshold: 0.1,
        p_value: None,
        window,
        since,
        moved: Vec::new(),
        explained: None,
    };
    Notification {
        key: format!("{model}-{}-{at}", kind.as_str()),
        group: format!("{model}/{}/{since}", kind.as_str()),
        transition,
        model: model.to_owned(),
        version: "1.0.0".to_owned(),
        kind,
        severity: Severity::Warning,
        summary: "x moved".to_owned(),
        at,
        since,
        reference: "r".to_owned(),
        coverage: 1.0,
        findings: vec![finding],
        more_findings: 0,
        link: None,
        runbook: None,
        labels: Default::default(),
        evidence: Default::default(),
        repeat: 0,
    }
}

/// The world around a decision, to be bent by each test.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) at: Millis,
    pub(super) now: Millis,
    pub(super) signals: Vec<Signal>,
    /// Versions of which something fires, silenced or not.
    pub(super) firing: BTreeSet<(String, String)>,
    pub(super) windows: Vec<WindowView>,
    pub(super) facts: HashMap<(String, String), VersionFacts>,
    pub(super) models: BTreeMap<String, ModelFacts>,
}

impl World {
    /// Models of which each has an earlier good version; nothing fires.
    pub(super) fn new(models: &[&str]) -> Self {
        let facts = |model: &&str| {
            let facts = VersionFacts {
                current: true,
                rollback_to: Some("0.9.0".to_owned()),
                since: Some(START - 10 * HOUR),
                target_rolled_back_at: None,
            };
            (((*model).to_owned(), "1.0.0".to_owned()), facts)
        };
        let registered = |model: &&str| {
            let versions: BTreeSet<String> = ["0.9.0", "1.0.0"].map(str::to_owned).into();
            ((*model).to_owned(), ModelFacts { serving: Some("1.0.0".to_owned()), versions })
        };
        let mut world = Self {
            at: START,
            now: START,
            signals: Vec::new(),
            firing: BTreeSet::new(),
            windows: Vec::new(),
            facts: models.iter().map(facts).collect(),
            models: models.iter().map(registered).collect(),
        };
        world.judge(START);
        world
    }

    /// Lets two columns of a model fire since now.
    pub(super) fn fire(&mut self, model: &str, kind: AlertKind) {
        for column in ["x", "y"] {
            self.signals.push(signal(model, kind, column, self.at));
        }
    }

    pub(super) fn calm(&mut self, model: &str, kind: AlertKind) {
        self.signals.retain(|signal| signal.model != model || signal.kind != kind);
    }

    /// Judges a window of every model.
    pub(super) fn judge(&mut self, at: Millis) {
        (self.at, self.now) = (at, self.now.max(at));
        let window = |(model, version): &(String, String)| WindowView {
            model: model.clone(),
            version: version.clone(),
            horizon: "15m".to_owned(),
            start: at - 15 * MINUTE,
            end: at,
            rows: 1_000,
            coverage: 1.0,
            level: Level::Stable,
            ..WindowView::default()
        };
        self.windows = self.facts.keys().map(window).collect();
        self.windows.sort_by(|a, b| a.model.cmp(&b.model));
    }

    pub(super) fn facts_mut(&mut self, model: &str) -> &mut VersionFacts {
        self.facts.get_mut(&(model.to_owned(), "1.0.0".to_owned())).expect("a model of this world")
    }

    pub(super) fn situation(&self) -> Situation<'_> {
        Situation {
            state_lost: false,
            at: self.at,
            now: self.now,
            signals: &self.signals,
            firing: &self.firing,
            windows: &self.windows,
            facts: &self.facts,
            models: &self.models,
        }
    }
}

/// The kind of alert that starts a kind of action in these settings.
pub(super) const fn alert_of(kind: ActionKind) -> AlertKind {
    match kind {
        ActionKind::Retrain => AlertKind::Drift,
        ActionKind::Rollback => AlertKind::DataFault,
    }
}
