//! Step 8 of 10: verdicts × state → transitions, told once per group.
//!
//! An alert is a column of a subject with a kind; it lives at every horizon apart (`life.rs`). Firing alerts go down the
//! routing tree (`route.rs`) into groups (`group.rs`), unless a silence, a maintenance window (`quiet.rs`) or another
//! alert (`rules.rs`) keeps them back, and a notification tells of a group (`telling.rs`): it began to fire, more columns
//! joined, it lasts, or all cleared. Times are ends of windows, so a replay makes the same notifications with the same
//! keys; orders of people (`command.rs`) take effect between two records and are part of the checkpoint.

mod announce;
mod command;
mod digest;
mod explained;
mod group;
mod life;
mod matcher;
mod notification;
mod quiet;
mod round;
mod route;
mod rules;
mod show;
mod telling;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use announce::{Announcement, Round, SinkFilter};
pub use command::AlertCommand;
pub use explained::*;
pub use group::Suppression;
pub use matcher::{Labels, Matcher, MatcherError, OWN_LABELS, all_fit, is_label, parse_all};
pub use notification::*;
pub use quiet::{MAX_SILENCES, TimesError, check_times};
pub(crate) use round::Announcing;
pub use route::{DEFAULT_GROUP_BY, Destination, explain};
pub use rules::placeholders;
pub use show::{AlertList, FiringNow};

use crate::config;
use crate::monitor::calibrated::{CLEARED_AFTER, STILL_THERE, is_under_budget};
use crate::monitor::sequential::is_sequential;
use crate::subject::Millis;
use crate::view::{AlertState, AlertView, Level, VerdictView, WindowView};
use digest::Digests;
use group::{Group, GroupId};
use life::{Life, Pace, Sign, State, Step};
use quiet::{Maintenance, Silences};
use route::Tree;
use rules::{Inhibition, LabelRule, Runbook};

const DAY: Millis = 86_400_000;

/// How long an alert of a sequential detector lasts after its last alarm.
const HELD: Millis = 3_600_000;

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
    resolved: VecDeque<AlertView>,
    reference: String,
}

/// What the configuration says, read once.
#[derive(Debug)]
struct Rules {
    labels: Vec<LabelRule>,
    inhibitions: Vec<Inhibition>,
    maintenance: Vec<Maintenance>,
    runbooks: Vec<Runbook>,
    tree: Tree,
    sinks: Vec<SinkFilter>,
}

/// All alerts.
#[derive(Debug)]
pub struct Alerts {
    settings: config::Alerts,
    rules: Rules,
    versions: BTreeMap<(String, String), VersionAlerts>,
    groups: BTreeMap<GroupId, Group>,
    silences: Silences,
    digests: Digests,
    /// Labels of what ails Anchorwatch itself, which may inhibit.
    troubles: Vec<Labels>,
    /// Latest edge of a pane, in event time.
    clock: Option<Millis>,
    dirty: BTreeSet<(String, String)>,
    /// Documents that were written ahead of the checkpoint; of one that changed again the next text counts.
    written: BTreeMap<String, Option<String>>,
    dirty_groups: BTreeSet<GroupId>,
    steps: Vec<AlertStep>,
}

impl Alerts {
    /// No alerts yet. Groups that start actions are kept only if there are any.
    #[must_use]
    pub fn new(settings: config::Alerts, sinks: Vec<SinkFilter>, with_actions: bool) -> Self {
        let names: Vec<String> = sinks.iter().map(|sink| sink.name.clone()).collect();
        let rules = Rules {
            labels: rules::label_rules(&settings),
            inhibitions: rules::inhibitions(&settings),
            maintenance: quiet::maintenance(&settings),
            runbooks: rules::runbooks(&settings),
            tree: Tree::new(&settings.route, &names, with_actions),
            sinks,
        };
        Self {
            settings,
            rules,
            versions: BTreeMap::new(),
            groups: BTreeMap::new(),
            silences: Silences::default(),
            digests: Digests::default(),
            troubles: Vec::new(),
            clock: None,
            dirty: BTreeSet::new(),
            written: BTreeMap::new(),
            dirty_groups: BTreeSet::new(),
            steps: Vec::new(),
        }
    }

    fn pace(&self) -> Pace {
        Pace {
            fire_after: self.settings.fire_after,
            of_last: self.settings.of_last,
            clear_after: self.settings.clear_after,
            no_evidence_after: self.settings.no_evidence_after,
            escalate_after: self.settings.escalate.after.unwrap_or(0),
        }
    }

    /// Takes in one judged window. The whole of a version must come before its segments.
    pub fn observe(&mut self, window: &WindowView) {
        let id = (window.model.clone(), window.version.clone());
        let mut pace = self.pace();
        let budgeted = is_under_budget(&window.horizon);
        if budgeted {
            // The budget has already counted every look: no further windows are asked for.
            (pace.fire_after, pace.of_last, pace.escalate_after) = (1, 1, 0);
            // A change that shows at some hours only is over when days are quiet, or all that is remembered.
            let length = (window.end - window.start).max(1);
            pace.clear_after = u32::try_from(3 * DAY / length).unwrap_or(1).clamp(1, CLEARED_AFTER);
        }
        let sequential = is_sequential(&window.horizon);
        if sequential {
            // A detector alarms once and then takes what it sees for normal.
            (pace.fire_after, pace.of_last, pace.escalate_after) = (1, 1, 0);
            let length = (window.end - window.start).max(1);
            pace.clear_after = u32::try_from(HELD / length).unwrap_or(1).max(1);
        }
        let factor = self.settings.escalate.factor.filter(|_| !budgeted && !sequential);
        let version = self.versions.entry(id.clone()).or_default();
        version.reference.clone_from(&window.reference);
        let over = |verdict: &VerdictView| verdict.level == Level::Drift && verdict.inhibited_by.is_none();
        if version.lives.is_empty() && !window.verdicts.iter().any(over) {
            // Nothing lives, and nothing begins to: so it is for nearly every window.
            return;
        }
        let mut changed = false;
        for (key, verdicts) in version.concerned(window) {
            // There a segment is compared with the rest of its window, so it says something of its own.
            if budgeted && window.rows == 0 && !is_over(&verdicts) {
                // Nights without events neither prove nor clear anything.
                continue;
            }
            if sequential && verdicts.iter().all(|verdict| verdict.level == Level::Insufficient) {
                continue;
            }
            let sign = if budgeted || sequential {
                match is_over(&verdicts) {
                    true => Sign::Over,
                    false if budgeted && still_there(&verdicts) => Sign::Between,
                    false => Sign::Quiet,
                }
            } else if version.whole_is_over(&key, &window.horizon) {
                Sign::Quiet
            } else {
                sign_of(&verdicts, window.rows)
            };
            let Some(index) = version.index_of(&key, sign) else { continue };
            let life = version.lives[index].1.entry(window.horizon.clone()).or_default();
            let before = life.clone();
            if sign == Sign::Over {
                let latest = finding(window, &key, &verdicts, life.since);
                if budgeted && life.state != State::Firing {
                    // After a quiet day the same column may alert once more: that is news, whatever else is in its group.
                    life.turned = window.end;
                }
                if budgeted && life.has_turned(latest.as_ref()) {
                    (life.since, life.turned) = (window.end, window.end);
                }
                life.finding = latest;
                let said = verdicts.iter().filter(|verdict| over(verdict));
                life.severity = life.severity.max(said.filter_map(|verdict| verdict.severity).max());
                life.escalated |=
                    life.finding.as_ref().zip(factor).is_some_and(|(finding, factor)| {
                        finding.statistic.abs() >= factor * finding.threshold
                    });
            }
            let step = life.step(sign, window.end, pace);
            if let Some(finding) = &mut life.finding {
                finding.since = life.since;
            }
            changed |= before != *life;
            if let Some(step) = step {
                self.steps.push(AlertStep { kind: key.kind, to: state_after(step) });
                if step == Step::Resolved {
                    version.remember_resolved(&id, &key, &window.horizon, &self.settings);
                }
            }
        }
        version.forget_finished();
        if changed {
            self.dirty.insert(id);
        }
    }

    /// Withdraws the alerts of versions that are no longer watched; their groups resolve at the next edge.
    pub fn retain(&mut self, mut is_watched: impl FnMut(&str, &str) -> bool) {
        self.versions.retain(|id, _| {
            let stays = is_watched(&id.0, &id.1);
            if !stays {
                // Its document goes.
                self.dirty.insert(id.clone());
            }
            stays
        });
    }

    /// What ails Anchorwatch itself, as labels that may inhibit.
    pub fn set_troubles(&mut self, troubles: Vec<Labels>) {
        self.troubles = troubles;
    }

    /// Sets the event time after a restart.
    pub fn resume_at(&mut self, at: Option<Millis>) {
        self.clock = at;
    }

    /// Steps since the last call.
    pub fn take_steps(&mut self) -> Vec<AlertStep> {
        std::mem::take(&mut self.steps)
    }

    /// Writes at most so many documents of versions and groups ahead of the next checkpoint, so that an edge at which
    /// thousands of them change does not make it long. False if there were none.
    pub fn write_some(&mut self, most: usize) -> bool {
        let mut any = false;
        for _ in 0..most {
            let (name, text) = if let Some(id) = self.dirty.pop_first() {
                let name = format!("{DOCUMENT_PREFIX}{}/{}", id.0, id.1);
                let version = self.versions.get(&id);
                (name, version.map(|version| json(&(&id.0, &id.1, version))))
            } else if let Some(id) = self.dirty_groups.pop_first() {
                (group_document(&id), self.groups.get(&id).map(json))
            } else {
                break;
            };
            any = true;
            match text {
                None => _ = self.written.insert(name, None),
                Some(text) => self.written.extend(text.map(|text| (name, Some(text)))),
            }
        }
        any
    }

    /// Documents that changed since the last call, by name; one without text is to be deleted.
    pub fn take_documents(&mut self) -> BTreeMap<String, Option<String>> {
        self.write_some(usize::MAX);
        let mut documents = std::mem::take(&mut self.written);
        if std::mem::take(&mut self.silences.dirty) {
            documents.extend(json(&self.silences).map(|text| (SILENCES.to_owned(), Some(text))));
        }
        if std::mem::take(&mut self.digests.dirty) {
            documents.extend(json(&self.digests).map(|text| (DIGESTS.to_owned(), Some(text))));
        }
        documents
    }

    /// Takes a document back. `false` when it is not about alerts.
    ///
    /// # Errors
    /// When it has the name of such a document, but not its form.
    pub fn restore(&mut self, name: &str, document: &str) -> Result<bool, serde_json::Error> {
        if name.starts_with(DOCUMENT_PREFIX) {
            let (model, version, alerts): (String, String, VersionAlerts) = serde_json::from_str(document)?;
            self.versions.insert((model, version), alerts);
        } else if name.starts_with(GROUP_PREFIX) {
            let group: Group = serde_json::from_str(document)?;
            self.groups.insert((group.route.clone(), group.labels.clone()), group);
        } else if name == SILENCES {
            self.silences = serde_json::from_str(document)?;
        } else if name == DIGESTS {
            self.digests = serde_json::from_str(document)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// Names of documents: alerts of a version, a group, all silences, all digests.
const DOCUMENT_PREFIX: &str = "alerts/";
const GROUP_PREFIX: &str = "alert-groups/";
const SILENCES: &str = "alert-silences";
const DIGESTS: &str = "alert-digests";

fn json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

fn group_document((route, labels): &GroupId) -> String {
    let hash = Sha256::digest(format!("{route}\n{labels:?}"));
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{GROUP_PREFIX}{hex}")
}

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

    /// The alerts that a window says something about: those of its verdicts, and those that are known at its horizon
    /// though it has no verdict on them.
    fn concerned<'a>(&self, window: &'a WindowView) -> BTreeMap<AlertKey, Vec<&'a VerdictView>> {
        let mut alerts = by_alert(window);
        for (key, lives) in &self.lives {
            if key.segment == window.segment && lives.contains_key(&window.horizon) {
                alerts.entry(key.clone()).or_default();
            }
        }
        alerts
    }

    /// Place of an alert among the lives; a new one begins only when it is over.
    fn index_of(&mut self, key: &AlertKey, sign: Sign) -> Option<usize> {
        let known = self.lives.iter().position(|(known, _)| known == key);
        if known.is_none() && sign == Sign::Over {
            self.lives.push((key.clone(), BTreeMap::new()));
            return Some(self.lives.len() - 1);
        }
        known
    }

    fn remember_resolved(
        &mut self,
        id: &(String, String),
        key: &AlertKey,
        horizon: &str,
        settings: &config::Alerts,
    ) {
        let life =
            self.lives.iter().find(|(known, _)| known == key).and_then(|(_, lives)| lives.get(horizon));
        let view = life.and_then(|life| show::view(id, self, key, (horizon, life), settings));
        self.resolved.extend(view.map(|view| AlertView { state: AlertState::Resolved, ..view }));
        while self.resolved.len() > REMEMBERED {
            self.resolved.pop_front();
        }
    }
}

/// Severity of an alert at one horizon: critical if it was escalated, else what is configured for its kind, else what the
/// verdict says, else what its kind has by default.
fn severity_of(kind: AlertKind, life: &Life, settings: &config::Alerts) -> Severity {
    if life.escalated {
        return Severity::Critical;
    }
    let usual = match kind {
        AlertKind::DataFault => Severity::Critical,
        AlertKind::Drift | AlertKind::Latency | AlertKind::Volume | AlertKind::Operation => Severity::Warning,
    };
    settings.severity.get(&kind).copied().or(life.severity).unwrap_or(usual)
}

const fn state_after(step: Step) -> AlertState {
    match step {
        Step::Pending => AlertState::Pending,
        Step::Firing => AlertState::Firing,
        Step::Resolved | Step::Withdrawn => AlertState::Resolved,
        Step::Blind(Evidence::NoData) => AlertState::NoData,
        Step::Blind(Evidence::Insufficient | Evidence::Sufficient) => AlertState::Insufficient,
    }
}

/// Verdicts of a window by the alert they speak for.
fn by_alert(window: &WindowView) -> BTreeMap<AlertKey, Vec<&VerdictView>> {
    let mut alerts: BTreeMap<AlertKey, Vec<&VerdictView>> = BTreeMap::new();
    for verdict in &window.verdicts {
        let key = AlertKey {
            segment: window.segment.clone(),
            column: verdict.column.to_string(),
            kind: verdict.kind,
        };
        alerts.entry(key).or_default().push(verdict);
    }
    alerts
}

fn sign_of(verdicts: &[&VerdictView], rows: u64) -> Sign {
    let judged = || verdicts.iter().filter(|verdict| verdict.level != Level::Insufficient);
    let free = || judged().filter(|verdict| verdict.inhibited_by.is_none());
    match free().map(|verdict| verdict.level).max() {
        _ if judged().next().is_none() && rows == 0 => Sign::NoData,
        _ if judged().next().is_none() => Sign::Insufficient,
        Some(Level::Drift) => Sign::Over,
        Some(Level::Warning) => Sign::Between,
        _ => Sign::Quiet,
    }
}

/// Whether a window judged under the budget, which has verdicts on what stands out only, speaks for an alert.
fn is_over(verdicts: &[&VerdictView]) -> bool {
    verdicts.iter().any(|verdict| verdict.level == Level::Drift && verdict.inhibited_by.is_none())
}

/// Whether what it was about has not gone: it is over as a part of another alert, it shows elsewhere as a part of this one,
/// or it is no longer over, but not within what a baseline shows by chance either.
fn still_there(verdicts: &[&VerdictView]) -> bool {
    let size = |verdict: &VerdictView| verdict.statistic.zip(verdict.threshold);
    verdicts.iter().any(|verdict| {
        verdict.level >= Level::Warning
            || size(verdict).is_some_and(|(statistic, threshold)| statistic.abs() >= STILL_THERE * threshold)
    })
}

/// Evidence of the verdict that passed its threshold by the largest factor.
fn finding(window: &WindowView, key: &AlertKey, verdicts: &[&VerdictView], since: Millis) -> Option<Finding> {
    let over = |verdict: &&&VerdictView| verdict.level == Level::Drift && verdict.inhibited_by.is_none();
    let excess = |verdict: &VerdictView| {
        verdict.statistic.unwrap_or(0.0).abs() / verdict.threshold.unwrap_or(1.0).max(1e-12)
    };
    let worst = verdicts.iter().filter(over).max_by(|a, b| excess(a).total_cmp(&excess(b)))?;
    Some(Finding {
        segment: key.segment.clone(),
        column: key.column.clone(),
        detector: worst.detector.to_string(),
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
        explained: worst.explained.clone(),
        subject: None,
    })
}
