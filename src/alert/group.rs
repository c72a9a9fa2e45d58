//! Groups of alerts: what the sinks of one route were told of the alerts that share its labels, and what is due next.
//!
//! Times are event times, taken at edges of panes: `group_wait` before the first notification, `group_interval` between
//! two about changes, `repeat_interval` before the same is told again.
//!
//! Law A-2: every sink hears of an episode first `firing`, last `resolved`, each once, and of nothing in between unless
//! it heard `firing`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::matcher::Labels;
use super::route::{AUTOMATION, DEFAULT_GROUP_BY, Node};
use super::{AlertKind, Evidence, Finding, Severity, Transition};
use crate::subject::Millis;

/// Identity of a group: its route and the values of the labels by which the route groups.
pub(super) type GroupId = (String, Labels);

/// Identity of an alert over all horizons.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct AlertId {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) kind: AlertKind,
    pub(super) segment: Option<String>,
    pub(super) column: String,
}

/// What keeps an alert from being told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suppression {
    /// A silence that somebody set.
    Silence,
    /// A maintenance window of the configuration.
    Maintenance,
    /// Another alert that explains it.
    Inhibition,
    /// Somebody has acknowledged it: a repeat was due.
    Acknowledged,
    /// There are too many groups.
    TooMany,
}

impl Suppression {
    /// All reasons.
    pub const ALL: [Self; 5] =
        [Self::Silence, Self::Maintenance, Self::Inhibition, Self::Acknowledged, Self::TooMany];

    /// Label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Maintenance => "maintenance",
            Self::Inhibition => "inhibition",
            Self::Acknowledged => "acknowledged",
            Self::TooMany => "too_many",
        }
    }
}

/// A firing alert, as the groups see it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: AlertId,
    pub(super) labels: Labels,
    pub(super) severity: Severity,
    /// What it lacks for long enough to be told.
    pub(super) evidence: Evidence,
    pub(super) since: Millis,
    /// When it last turned into another change; the epoch if never.
    pub(super) turned: Millis,
    pub(super) finding: Finding,
    pub(super) reference: String,
    pub(super) suppressed: Option<(Suppression, String)>,
}

/// Somebody has taken an episode on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Acknowledged {
    pub(super) by: String,
    /// Wall-clock time.
    pub(super) at: Millis,
    pub(super) comment: String,
}

/// What the sinks were last told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) at: Millis,
    repeat_from: Millis,
    pub(super) repeats: u32,
    alerts: BTreeSet<AlertId>,
    pub(super) severity: Severity,
    pub(super) evidence: Evidence,
    /// Sinks that heard of the episode directly.
    pub(super) sinks: BTreeSet<String>,
    /// Sinks in whose digest it stands.
    pub(super) digested: BTreeSet<String>,
    /// How the group looked, for the notification of its end.
    pub(super) face: Face,
}

/// What a notification says of a group as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Face {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) kind: AlertKind,
    pub(super) reference: String,
    pub(super) labels: Labels,
    pub(super) runbook: Option<String>,
    /// Whether all alerts are of one model version.
    pub(super) one_subject: bool,
}

/// One episode of a group; one document of the checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) route: String,
    pub(super) labels: Labels,
    /// Identity over the whole episode.
    pub(super) episode: String,
    pub(super) since: Millis,
    /// Edge at which it had its first member.
    created: Millis,
    pub(super) told: Option<Told>,
    pub(super) acknowledged: Option<Acknowledged>,
    /// Members that are kept back and were counted as such.
    held: BTreeSet<AlertId>,
}

impl Group {
    pub(super) fn new(id: &GroupId, node: &Node, members: &[&Member], at: Millis) -> Self {
        let since = members.iter().map(|member| member.since).min().unwrap_or(at);
        Self {
            route: id.0.clone(),
            labels: id.1.clone(),
            episode: episode(node, &id.1, since),
            since,
            created: at,
            told: None,
            acknowledged: None,
            held: BTreeSet::new(),
        }
    }

    pub(super) fn kind(&self) -> Option<AlertKind> {
        self.told.as_ref().map(|told| told.face.kind)
    }

    /// What is due at this edge; `visible` are the members that are not suppressed.
    pub(super) fn due(
        &self,
        node: &Node,
        members: &[&Member],
        visible: &[&Member],
        at: Millis,
    ) -> Option<Transition> {
        let Some(told) = &self.told else {
            let waited = at >= self.created.saturating_add(node.group_wait);
            return (waited && !visible.is_empty()).then_some(Transition::Firing);
        };
        let rested = at >= told.at.saturating_add(node.group_interval);
        if members.is_empty() {
            return rested.then_some(Transition::Resolved);
        }
        if visible.is_empty() {
            return None;
        }
        let more = visible.iter().any(|member| !told.alerts.contains(&member.id) || member.turned > told.at);
        if more || severity(visible) > told.severity || evidence(visible) > told.evidence {
            return rested.then_some(Transition::Updated);
        }
        let lasted = at >= told.repeat_from.saturating_add(node.repeat_interval);
        (node.repeat_interval > 0 && rested && lasted).then_some(Transition::Repeated)
    }

    /// Notes what the sinks are told now.
    pub(super) fn note(&mut self, transition: Transition, visible: &[&Member], face: Face, at: Millis) {
        let ids = visible.iter().map(|member| member.id.clone());
        let (severity, evidence) = (severity(visible), evidence(visible));
        match &mut self.told {
            None => {
                self.told = Some(Told {
                    at,
                    repeat_from: at,
                    repeats: 0,
                    alerts: ids.collect(),
                    severity,
                    evidence,
                    sinks: BTreeSet::new(),
                    digested: BTreeSet::new(),
                    face,
                });
            }
            Some(told) => {
                (told.at, told.repeat_from) = (at, at);
                told.repeats += u32::from(transition == Transition::Repeated);
                told.alerts.extend(ids);
                told.severity = told.severity.max(severity);
                told.evidence = evidence;
                told.face = face;
            }
        }
    }

    /// A repeat that is not told, since somebody has acknowledged the group.
    pub(super) fn skip_repeat(&mut self, at: Millis) {
        if let Some(told) = &mut self.told {
            told.repeat_from = at;
        }
    }

    /// Counts the members that are kept back since the last edge, and forgets those that no longer are. `true` when
    /// anything changed.
    pub(super) fn hold(&mut self, members: &[&Member], count: &mut Vec<Suppression>) -> bool {
        let held: BTreeSet<AlertId> =
            members.iter().filter(|one| one.suppressed.is_some()).map(|one| one.id.clone()).collect();
        for member in members.iter().filter(|one| !self.held.contains(&one.id)) {
            count.extend(member.suppressed.as_ref().map(|(reason, _)| *reason));
        }
        let changed = held != self.held;
        self.held = held;
        changed
    }

    /// Forgets that evidence was missing once it is there again. `true` when anything changed.
    pub(super) fn see(&mut self, visible: &[&Member]) -> bool {
        let Some(told) = self.told.as_mut().filter(|_| !visible.is_empty()) else { return false };
        let better = evidence(visible) < told.evidence;
        if better {
            told.evidence = evidence(visible);
        }
        better
    }
}

pub(super) fn severity(members: &[&Member]) -> Severity {
    members.iter().map(|member| member.severity).max().unwrap_or(Severity::Warning)
}

/// A group can be judged as long as one of its alerts can.
pub(super) fn evidence(members: &[&Member]) -> Evidence {
    members.iter().map(|member| member.evidence).min().unwrap_or_default()
}

/// The values of the labels by which a route groups.
pub(super) fn group_labels(node: &Node, labels: &Labels) -> Labels {
    let value = |name: &String| (name.clone(), labels.get(name).cloned().unwrap_or_default());
    node.group_by.iter().map(value).collect()
}

/// Identity of one episode of a group.
pub(super) fn episode(node: &Node, labels: &Labels, since: Millis) -> String {
    let route = match node.id.as_str() {
        "" | AUTOMATION => String::new(),
        id => format!("{id}/"),
    };
    let is_default = labels.len() == DEFAULT_GROUP_BY.len()
        && DEFAULT_GROUP_BY.iter().all(|name| labels.contains_key(*name));
    let place = if is_default {
        DEFAULT_GROUP_BY.map(|name| labels.get(name).map_or("", String::as_str)).join("/")
    } else {
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
    };
    format!("anchorwatch/{route}{place}/{since}")
}
