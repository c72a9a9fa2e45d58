//! Step 8 of 10: verdicts × state → transitions, told once per group.
//!
//! An alert is a column of a subject with a kind; it lives at every horizon apart (`life.rs`). Alerts of one model
//! version and kind form a group, and a notification tells of a group: it began to fire, more columns joined, or all
//! cleared. Times are ends of windows, so a replay makes the same notifications with the same keys.

mod command;
mod group;
mod life;
mod notification;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

pub use command::AlertCommand;
pub use notification::*;

use crate::config;
use crate::subject::Millis;
use crate::view::{AlertState, AlertView, Level, VerdictView, WindowView};
use group::{Announced, GroupKey};
use life::{Life, Pace, Sign, State, Step};

/// Resolved alerts that a version remembers for display.
const REMEMBERED: usize = 50;

/// Identity of an alert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct AlertKey {
    segment: Option<String>,
    column: String,
    kind: AlertKind,
}

/// A step in the life of an alert, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertStep {
    /// Kind of the alert.
    pub kind: AlertKind,
    /// State it stepped into; a pending alert that came to nothing is `resolved`.
    pub to: AlertState,
}

/// Alerts of one model version; one document of the checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct VersionAlerts {
    /// As pairs, since a JSON object cannot have such keys.
    lives: Vec<(AlertKey, BTreeMap<String, Life>)>,
    announced: Vec<(AlertKind, Announced)>,
    resolved: VecDeque<AlertView>,
    reference: String,
}

/// All alerts.
#[derive(Debug)]
pub struct Alerts {
    settings: config::Alerts,
    versions: BTreeMap<(String, String), VersionAlerts>,
    dirty: BTreeSet<(String, String)>,
    steps: Vec<AlertStep>,
}

impl Alerts {
    /// No alerts yet.
    #[must_use]
    pub fn new(settings: config::Alerts) -> Self {
        Self { settings, versions: BTreeMap::new(), dirty: BTreeSet::new(), steps: Vec::new() }
    }

    /// Takes in one judged window. The whole of a version must come before its segments.
    pub fn observe(&mut self, window: &WindowView) {
        let id = (window.model.clone(), window.version.clone());
        let pace = Pace {
            fire_after: self.settings.fire_after,
            of_last: self.settings.of_last,
            clear_after: self.settings.clear_after,
        };
        let version = self.versions.entry(id.clone()).or_default();
        version.reference.clone_from(&window.reference);
        let mut changed = false;
        for (key, verdicts) in by_alert(window) {
            let sign =
                if version.whole_is_over(&key, &window.horizon) { Sign::Quiet } else { sign_of(&verdicts) };
            let known = version.lives.iter().position(|(known, _)| *known == key);
            let index = match (known, sign) {
                (Some(index), _) => index,
                (None, Sign::Over) => {
                    version.lives.push((key.clone(), BTreeMap::new()));
                    version.lives.len() - 1
                }
                (None, _) => continue,
            };
            let life = version.lives[index].1.entry(window.horizon.clone()).or_default();
            if sign == Sign::Over {
                life.finding = finding(window, &key, &verdicts, life.since);
            }
            let before = life.clone();
            let step = life.step(sign, window.end, pace);
            if let Some(finding) = &mut life.finding {
                finding.since = life.since;
            }
            changed |= before != *life || sign == Sign::Over;
            if let Some(step) = step {
                self.steps.push(AlertStep { kind: key.kind, to: state_after(step) });
                if step == Step::Resolved {
                    let view =
                        version.view(&id, &key, &window.horizon, index, AlertState::Resolved, &self.settings);
                    version.remember(view);
                }
            }
        }
        version.forget_finished();
        if changed {
            self.dirty.insert(id);
        }
    }

    /// Groups what changed since the last call into notifications; `at` is the end of the windows just observed.
    pub fn announce(&mut self, at: Millis) -> Vec<Notification> {
        let mut told = Vec::new();
        for (id, version) in &mut self.versions {
            for kind in AlertKind::ALL {
                let group = GroupKey { model: &id.0, version: &id.1, kind };
                if let Some(notification) = version.announce(&group, at, &self.settings) {
                    self.dirty.insert(id.clone());
                    told.push(notification);
                }
            }
        }
        told
    }

    /// Steps since the last call.
    pub fn take_steps(&mut self) -> Vec<AlertStep> {
        std::mem::take(&mut self.steps)
    }

    /// Every alert that is pending, firing or was resolved lately.
    #[must_use]
    pub fn views(&self) -> Vec<AlertView> {
        let mut views = Vec::new();
        for (id, version) in &self.versions {
            for (index, (key, lives)) in version.lives.iter().enumerate() {
                for (horizon, life) in lives {
                    let state = match life.state {
                        State::Inactive => continue,
                        State::Pending => AlertState::Pending,
                        State::Firing => AlertState::Firing,
                    };
                    views.extend(version.view(id, key, horizon, index, state, &self.settings));
                }
            }
            views.extend(version.resolved.iter().cloned());
        }
        views
    }

    /// Documents that changed since the last call, by name.
    pub fn take_documents(&mut self) -> Vec<(String, String)> {
        let dirty = std::mem::take(&mut self.dirty);
        let document = |id: (String, String)| {
            let version = self.versions.get(&id)?;
            let name = format!("{DOCUMENT_PREFIX}{}/{}", id.0, id.1);
            Some((name, serde_json::to_string(&(&id.0, &id.1, version)).ok()?))
        };
        dirty.into_iter().filter_map(document).collect()
    }

    /// Takes a document back.
    ///
    /// # Errors
    /// When it is not one of this program's documents.
    pub fn restore(&mut self, document: &str) -> Result<(), serde_json::Error> {
        let (model, version, alerts): (String, String, VersionAlerts) = serde_json::from_str(document)?;
        self.versions.insert((model, version), alerts);
        Ok(())
    }
}

/// Names of alert documents begin with this.
pub const DOCUMENT_PREFIX: &str = "alerts/";

impl VersionAlerts {
    /// Whether the same column and kind of the whole traffic is over at this horizon: a segment then adds nothing.
    fn whole_is_over(&self, key: &AlertKey, horizon: &str) -> bool {
        key.segment.is_some()
            && self.lives.iter().any(|(known, lives)| {
                known.segment.is_none()
                    && known.column == key.column
                    && known.kind == key.kind
                    && lives.get(horizon).is_some_and(|life| life.state != State::Inactive)
            })
    }

    fn forget_finished(&mut self) {
        self.lives.iter_mut().for_each(|(_, lives)| lives.retain(|_, life| !life.is_over()));
        self.lives.retain(|(_, lives)| !lives.is_empty());
    }

    fn remember(&mut self, view: Option<AlertView>) {
        self.resolved.extend(view);
        while self.resolved.len() > REMEMBERED {
            self.resolved.pop_front();
        }
    }

    fn view(
        &self,
        id: &(String, String),
        key: &AlertKey,
        horizon: &str,
        index: usize,
        state: AlertState,
        settings: &config::Alerts,
    ) -> Option<AlertView> {
        let life = self.lives.get(index)?.1.get(horizon)?;
        let finding = life.finding.as_ref()?;
        let group = GroupKey { model: &id.0, version: &id.1, kind: key.kind };
        let announced = self.announced.iter().find(|(kind, _)| *kind == key.kind);
        Some(AlertView {
            group: group.episode(announced.map_or(life.since, |(_, announced)| announced.since)),
            model: id.0.clone(),
            version: id.1.clone(),
            segment: key.segment.clone(),
            column: key.column.clone(),
            detector: finding.detector.clone(),
            kind: key.kind,
            severity: severity_of(key.kind, settings),
            state,
            horizon: horizon.to_owned(),
            since: life.since,
            changed_at: life.changed_at,
            statistic: finding.statistic,
            threshold: finding.threshold,
            reference: self.reference.clone(),
            moved: finding.moved.clone(),
        })
    }
}

fn severity_of(kind: AlertKind, settings: &config::Alerts) -> Severity {
    settings.severity.get(&kind).copied().unwrap_or(Severity::Warning)
}

const fn state_after(step: Step) -> AlertState {
    match step {
        Step::Pending => AlertState::Pending,
        Step::Firing => AlertState::Firing,
        Step::Resolved | Step::Withdrawn => AlertState::Resolved,
    }
}

/// Verdicts of a window by the alert they speak for.
fn by_alert(window: &WindowView) -> BTreeMap<AlertKey, Vec<&VerdictView>> {
    let mut alerts: BTreeMap<AlertKey, Vec<&VerdictView>> = BTreeMap::new();
    for verdict in &window.verdicts {
        let key =
            AlertKey { segment: window.segment.clone(), column: verdict.column.clone(), kind: verdict.kind };
        alerts.entry(key).or_default().push(verdict);
    }
    alerts
}

fn sign_of(verdicts: &[&VerdictView]) -> Sign {
    let judged = || verdicts.iter().filter(|verdict| verdict.level != Level::Insufficient);
    let free = || judged().filter(|verdict| verdict.inhibited_by.is_none());
    match free().map(|verdict| verdict.level).max() {
        _ if judged().next().is_none() => Sign::Insufficient,
        Some(Level::Drift) => Sign::Over,
        Some(Level::Warning) => Sign::Between,
        _ => Sign::Quiet,
    }
}

/// Evidence of the verdict that passed its threshold by the largest factor.
fn finding(window: &WindowView, key: &AlertKey, verdicts: &[&VerdictView], since: Millis) -> Option<Finding> {
    let over = |verdict: &&&VerdictView| verdict.level == Level::Drift && verdict.inhibited_by.is_none();
    let excess = |verdict: &VerdictView| {
        verdict.statistic.unwrap_or(0.0) / verdict.threshold.unwrap_or(1.0).max(1e-12)
    };
    let worst = verdicts.iter().filter(over).max_by(|a, b| excess(a).total_cmp(&excess(b)))?;
    Some(Finding {
        segment: key.segment.clone(),
        column: key.column.clone(),
        detector: worst.detector.clone(),
        statistic: worst.statistic?,
        threshold: worst.threshold?,
        p_value: worst.adjusted_p_value,
        window: WindowRef {
            horizon: window.horizon.clone(),
            start: window.start,
            end: window.end,
            rows: window.rows,
            coverage: window.coverage,
        },
        since,
        moved: worst.moved.clone(),
    })
}
