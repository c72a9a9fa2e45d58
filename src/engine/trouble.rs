//! What ails Anchorwatch itself: found by the edges, told to the sinks like any alert, and part of the checkpoint.
//!
//! A trouble is known by what it is and whom it concerns; raising it twice tells once, clearing it resolves it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Engine, OutboxRow};
use crate::alert::{AlertKind, Delivery, Evidence, Labels, Notification, Severity, Transition};
use crate::subject::Millis;
use crate::view::{AlertState, AlertView};

/// Name of the model in notifications about Anchorwatch itself.
pub const SELF: &str = "anchorwatch";

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// No event at all for a while, from any partition.
    NoData,
    /// A partition is behind and does not move.
    Stalled,
    /// Records are gone, or the topic is another one.
    Gap,
    /// A target has not taken a delivery for long.
    TargetDown,
    /// Nobody knows whether an action was taken.
    ActionUnknown,
    /// Actions are suspended.
    ActionsSuspended,
    /// The state cannot be written.
    StateFull,
    /// The schema registry does not answer, and records wait for it or were refused.
    SchemasAway,
    /// A reference is calibrated for windows of another length than are judged.
    OtherWindow,
    /// A sequential rule watches nothing, or a detector that is asked for.
    IdleRule,
    /// The windows of a reference's baseline cannot be read, so that fixed thresholds alone hold for classical verdicts.
    BaselineUnread,
    /// The state file was damaged, and was taken from a copy or made anew.
    StateDamaged,
}

impl TroubleKind {
    /// Name in keys, labels and the payload's group.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::Stalled => "stalled",
            Self::Gap => "gap",
            Self::TargetDown => "target_down",
            Self::ActionUnknown => "action_unknown",
            Self::ActionsSuspended => "actions_suspended",
            Self::StateFull => "state_full",
            Self::SchemasAway => "schemas_away",
            Self::OtherWindow => "other_window",
            Self::IdleRule => "idle_rule",
            Self::BaselineUnread => "baseline_unread",
            Self::StateDamaged => "state_damaged",
        }
    }
}

/// One trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong.
    pub kind: TroubleKind,
    /// Whom it concerns: a target, a partition as `topic/0`, or nothing.
    pub of: String,
    /// One line for people.
    pub summary: String,
}

/// Troubles that are not over: since when, the line, and who was told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Troubles {
    open: Vec<((TroubleKind, String), Open)>,
    #[serde(skip)]
    dirty: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Open {
    since: Millis,
    summary: String,
    /// Sinks that were told; absent while a silence or a maintenance window keeps it back.
    #[serde(default)]
    told: Option<BTreeSet<String>>,
}

impl Troubles {
    pub(super) fn take_document(&mut self) -> Option<String> {
        std::mem::take(&mut self.dirty).then(|| serde_json::to_string(self).unwrap_or_default())
    }
}

impl Engine {
    /// Tells the sinks of a trouble, once until it is cleared. Gives whether it is new.
    ///
    /// It goes through the routing tree at once: groups and repeats wait for windows, which may be what is missing.
    pub fn raise(&mut self, trouble: &Trouble, at: Millis) -> bool {
        let id = (trouble.kind, trouble.of.clone());
        if self.troubles.open.iter().any(|(open, _)| *open == id) {
            return false;
        }
        let open = Open { since: at, summary: trouble.summary.clone(), told: None };
        self.troubles.open.push((id, open));
        self.troubles.dirty = true;
        self.share_troubles();
        self.tell_held_troubles(at);
        true
    }

    /// Tells whoever heard of a trouble that it is over. Gives whether there was one.
    pub fn clear(&mut self, kind: TroubleKind, of: &str, at: Millis) -> bool {
        let position = self.troubles.open.iter().position(|(open, _)| open.0 == kind && open.1 == of);
        let Some(position) = position else { return false };
        let (id, open) = self.troubles.open.remove(position);
        if let Some(told) = &open.told {
            let notification = notification(&id, &open, Transition::Resolved, at);
            self.outbox.extend(told.iter().map(|sink| row(sink, &notification)));
        }
        self.troubles.dirty = true;
        self.share_troubles();
        true
    }

    /// Troubles that are not over, with the instant each began.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<(TroubleKind, String), Millis> {
        self.troubles.open.iter().map(|(id, open)| (id.clone(), open.since)).collect()
    }

    /// Whom troubles of one kind concern.
    pub(super) fn troubles_of(&self, kind: TroubleKind) -> impl Iterator<Item = &String> {
        self.troubles.open.iter().filter(move |((open, _), _)| *open == kind).map(|((_, of), _)| of)
    }

    /// Lets the alerts know what may inhibit them.
    pub(super) fn share_troubles(&mut self) {
        self.alerts_changed = true;
        self.alerts.set_troubles(self.troubles.open.iter().map(|(id, _)| labels(id)).collect());
    }

    /// Tells of every trouble that nobody was told of, unless something keeps it back. A dead target hears nothing of its
    /// own trouble: the others do.
    pub(super) fn tell_held_troubles(&mut self, at: Millis) {
        for (id, open) in &mut self.troubles.open {
            let labels = labels(id);
            if open.told.is_some() || self.alerts.suppression(&labels, at).is_some() {
                continue;
            }
            let mut sinks = self.alerts.sinks_for(&labels, AlertKind::Operation, Severity::Critical);
            if id.0 == TroubleKind::TargetDown {
                sinks.remove(&id.1);
            }
            let notification = notification(id, open, Transition::Firing, at);
            self.outbox.extend(sinks.iter().map(|sink| row(sink, &notification)));
            open.told = Some(sinks);
            self.troubles.dirty = true;
            self.alerts_changed = true;
        }
    }

    /// Adds what ails Anchorwatch itself to the alerts shown. While nothing comes at all no window ends that could say
    /// so: every firing alert is then one that can no longer be judged.
    pub(super) fn show_troubles(&self, views: &mut Vec<AlertView>) {
        if self.troubles.open.iter().any(|(id, _)| id.0 == TroubleKind::NoData) {
            for view in views.iter_mut() {
                if matches!(view.state, AlertState::Firing | AlertState::Acknowledged) {
                    view.state = AlertState::NoData;
                }
            }
        }
        let at = self.watermark.unwrap_or(Millis::MIN);
        views.extend(self.troubles.open.iter().map(|(id, open)| {
            let labels = labels(id);
            let held = self.alerts.suppression(&labels, at).filter(|_| open.told.is_none());
            AlertView {
                group: group(id, open),
                model: SELF.to_owned(),
                version: id.0.as_str().to_owned(),
                segment: None,
                column: id.1.clone(),
                detector: "self".to_owned(),
                kind: AlertKind::Operation,
                severity: Severity::Critical,
                state: AlertState::Firing,
                horizon: String::new(),
                since: open.since,
                changed_at: open.since,
                statistic: 1.0,
                threshold: 1.0,
                reference: String::new(),
                moved: Vec::new(),
                explained: None,
                labels,
                suppressed_by: held.map(|(reason, what)| format!("{}: {what}", reason.as_str())),
                acknowledged_by: None,
                comment: Some(open.summary.clone()),
                runbook: None,
            }
        }));
    }
}

/// Labels by which a trouble is routed, silenced, and inhibits alerts.
fn labels((kind, of): &(TroubleKind, String)) -> Labels {
    let own = [
        ("model", SELF),
        ("version", kind.as_str()),
        ("kind", AlertKind::Operation.as_str()),
        ("severity", Severity::Critical.as_str()),
        ("segment", ""),
        ("feature", of.as_str()),
    ];
    own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn group((kind, of): &(TroubleKind, String), open: &Open) -> String {
    format!("{SELF}/{}/{of}/{}", kind.as_str(), open.since)
}

fn row(sink: &str, notification: &Notification) -> OutboxRow {
    OutboxRow {
        target: sink.to_owned(),
        delivery: Delivery::Notification(notification.clone()),
        expires_at: None,
    }
}

fn notification(id: &(TroubleKind, String), open: &Open, transition: Transition, at: Millis) -> Notification {
    let group = group(id, open);
    let digest = Sha256::digest(format!("{group}\n{}\n{at}", transition.as_str()));
    Notification {
        key: digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
        group,
        transition,
        model: SELF.to_owned(),
        version: id.0.as_str().to_owned(),
        kind: AlertKind::Operation,
        severity: Severity::Critical,
        summary: match transition {
            Transition::Resolved => format!("over: {}", open.summary),
            Transition::Firing | Transition::Updated | Transition::Repeated => open.summary.clone(),
        },
        at,
        since: open.since,
        reference: String::new(),
        coverage: 1.0,
        findings: Vec::new(),
        more_findings: 0,
        link: None,
        runbook: None,
        labels: Labels::new(),
        evidence: Evidence::Sufficient,
        repeat: 0,
    }
}
