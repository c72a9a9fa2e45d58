//! What ails Anchorwatch itself: found by the edges, told to the sinks like any alert, and part of the checkpoint.
//!
//! A trouble is known by what it is and whom it concerns; raising it twice tells once, clearing it resolves it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Engine, OutboxRow};
use crate::alert::{AlertKind, Delivery, Notification, Severity, Transition};
use crate::subject::Millis;

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

/// Troubles that were told and are not over: since when, and the line that was told.
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
}

impl Troubles {
    pub(super) fn take_document(&mut self) -> Option<String> {
        std::mem::take(&mut self.dirty).then(|| serde_json::to_string(self).unwrap_or_default())
    }
}

impl Engine {
    /// Tells the sinks of a trouble, once until it is cleared. Gives whether it is new.
    pub fn raise(&mut self, trouble: &Trouble, at: Millis) -> bool {
        let id = (trouble.kind, trouble.of.clone());
        if self.troubles.open.iter().any(|(open, _)| *open == id) {
            return false;
        }
        let open = Open { since: at, summary: trouble.summary.clone() };
        self.tell_trouble(&id, &open, Transition::Firing, at);
        self.troubles.open.push((id, open));
        self.troubles.dirty = true;
        true
    }

    /// Tells the sinks that a trouble is over. Gives whether there was one.
    pub fn clear(&mut self, kind: TroubleKind, of: &str, at: Millis) -> bool {
        let position = self.troubles.open.iter().position(|(open, _)| open.0 == kind && open.1 == of);
        let Some(position) = position else { return false };
        let (id, open) = self.troubles.open.remove(position);
        self.tell_trouble(&id, &open, Transition::Resolved, at);
        self.troubles.dirty = true;
        true
    }

    /// Troubles that are not over, with the instant each began.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<(TroubleKind, String), Millis> {
        self.troubles.open.iter().map(|(id, open)| (id.clone(), open.since)).collect()
    }

    /// A dead target hears nothing of its own trouble: the others do.
    fn tell_trouble(&mut self, id: &(TroubleKind, String), open: &Open, transition: Transition, at: Millis) {
        let (kind, of) = id;
        let group = format!("{SELF}/{}/{of}/{}", kind.as_str(), open.since);
        let digest = Sha256::digest(format!("{group}\n{}\n{at}", transition.as_str()));
        let notification = Notification {
            key: digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
            group,
            transition,
            model: SELF.to_owned(),
            version: kind.as_str().to_owned(),
            kind: AlertKind::Operation,
            severity: Severity::Critical,
            summary: match transition {
                Transition::Resolved => format!("over: {}", open.summary),
                Transition::Firing | Transition::Updated => open.summary.clone(),
            },
            at,
            since: open.since,
            reference: String::new(),
            coverage: 1.0,
            findings: Vec::new(),
            more_findings: 0,
            link: None,
        };
        let told = self.routes.iter().filter(|route| {
            route.takes(&notification) && !(*kind == TroubleKind::TargetDown && route.name == *of)
        });
        self.outbox.extend(told.map(|route| OutboxRow {
            target: route.name.clone(),
            delivery: Delivery::Notification(notification.clone()),
            expires_at: None,
        }));
    }
}
