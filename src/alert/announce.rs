//! What one round at an edge of panes is made of: firing alerts with what keeps them back, and what is due of a group to
//! its sinks. The order in which it is done is `round.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::digest::Digests;
use super::group::{AlertId, Group, GroupId, Member, Suppression};
use super::life::{Life, State};
use super::route::{AUTOMATION, Node};
use super::rules::{Sources, add_static};
use super::telling::{face, notification};
use super::{
    AlertKey, AlertKind, Alerts, Delivery, Labels, Notification, Rules, Severity, Transition, VersionAlerts,
    severity_of,
};
use crate::config;
use crate::subject::Millis;

/// Most groups at a time; further ones wait and are counted as suppressed.
const MAX_GROUPS: usize = 10_000;

/// A sink's own filter; its address is the delivery's business.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkFilter {
    /// Name of the sink.
    pub name: String,
    kinds: Vec<AlertKind>,
    min_severity: Option<Severity>,
}

impl SinkFilter {
    /// The filter of a configured sink.
    #[must_use]
    pub fn of(sink: &config::Sink) -> Self {
        Self { name: sink.name.clone(), kinds: sink.kinds.clone(), min_severity: sink.min_severity }
    }

    /// Whether it takes alerts of this kind and severity.
    #[must_use]
    pub fn takes(&self, kind: AlertKind, severity: Severity) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && self.min_severity.is_none_or(|least| severity >= least)
    }
}

/// A notification, and who is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// What is told.
    pub notification: Notification,
    /// Sinks that are told now; others may read it in their digest.
    pub sinks: Vec<String>,
    /// Whether it is for the actions, and not for people.
    pub acts: bool,
}

/// What one edge of panes brought about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Round {
    /// What is told.
    pub announcements: Vec<Announcement>,
    /// Digests that are due, each with its sink.
    pub digests: Vec<(String, Delivery)>,
    /// Why alerts were kept back, once each.
    pub suppressed: Vec<Suppression>,
}

impl Alerts {
    /// Tells what is due at the edge `at`, the end of the windows just observed.
    pub fn announce(&mut self, at: Millis) -> Round {
        let (mut announcing, mut round) = self.begin_round(at);
        while self.announce_some(&mut announcing, &mut round) {}
        round
    }

    /// What Anchorwatch's own troubles are to the rules of inhibition.
    pub(super) fn sources(&self) -> Vec<Sources> {
        self.rules.inhibitions.iter().map(|rule| rule.sources(self.troubles.iter())).collect()
    }

    /// Adds the firing alerts of a version, and what they are to the rules of inhibition.
    pub(super) fn members_of(
        &self,
        id: &(String, String),
        version: &VersionAlerts,
        members: &mut Vec<Member>,
        sources: &mut [Sources],
    ) {
        let before = members.len();
        members.extend(version.lives.iter().filter_map(|(key, lives)| self.member(id, version, key, lives)));
        let new = || members.iter().skip(before).map(|member| &member.labels);
        for (rule, sources) in self.rules.inhibitions.iter().zip(sources) {
            sources.extend(rule.sources(new()));
        }
    }

    /// What keeps an alert with these labels back, given what fires.
    pub(super) fn kept_back(
        &self,
        labels: &Labels,
        sources: &[Sources],
        at: Millis,
    ) -> Option<(Suppression, String)> {
        self.suppression(labels, at).or_else(|| {
            let mut rules = self.rules.inhibitions.iter().zip(sources);
            let held = rules.find(|(rule, from)| rule.holds(labels, from));
            held.map(|(rule, _)| (Suppression::Inhibition, rule.text().to_owned()))
        })
    }

    /// The silence or maintenance window that keeps labels back.
    pub(crate) fn suppression(&self, labels: &Labels, at: Millis) -> Option<(Suppression, String)> {
        if let Some(silence) = self.silences.holding(labels, at) {
            return Some((Suppression::Silence, silence.id.clone()));
        }
        let open = self.rules.maintenance.iter().find(|window| window.holds(labels, at))?;
        Some((Suppression::Maintenance, open.name.clone()))
    }

    /// One alert over all horizons, if any of them fires; its evidence is that of the one that began first.
    fn member(
        &self,
        id: &(String, String),
        version: &VersionAlerts,
        key: &AlertKey,
        lives: &BTreeMap<String, Life>,
    ) -> Option<Member> {
        let firing = || lives.values().filter(|life| life.state == State::Firing);
        let first = firing().min_by_key(|life| life.since)?;
        let pace = self.pace();
        let severity = firing().map(|life| severity_of(key.kind, life, &self.settings)).max()?;
        Some(Member {
            id: AlertId {
                model: id.0.clone(),
                version: id.1.clone(),
                kind: key.kind,
                segment: key.segment.clone(),
                column: key.column.clone(),
            },
            labels: self.labels(id, key, severity),
            severity,
            evidence: firing().map(|life| life.lacks(pace)).min().unwrap_or_default(),
            since: first.since,
            turned: firing().map(|life| life.turned).max().unwrap_or(0),
            finding: first.finding.clone()?,
            reference: version.reference.clone(),
            suppressed: None,
        })
    }

    pub(super) fn labels(&self, id: &(String, String), key: &AlertKey, severity: Severity) -> Labels {
        let own = [
            ("model", id.0.as_str()),
            ("version", &id.1),
            ("kind", key.kind.as_str()),
            ("severity", severity.as_str()),
            ("segment", key.segment.as_deref().unwrap_or_default()),
            ("feature", &key.column),
        ];
        let mut labels: Labels =
            own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        add_static(&self.rules.labels, &mut labels);
        labels
    }

    /// Tells what is due of one group, given its members.
    pub(super) fn tell_group(&mut self, id: &GroupId, members: &[&Member], at: Millis, round: &mut Round) {
        let orphaned = Node::orphaned(&id.0);
        let node = self.rules.tree.node(&id.0).unwrap_or(&orphaned);
        let known = self.groups.contains_key(id);
        if !known && self.groups.len() >= MAX_GROUPS {
            round.suppressed.push(Suppression::TooMany);
            return;
        }
        let group = self.groups.entry(id.clone()).or_insert_with(|| Group::new(id, node, members, at));
        let visible: Vec<&Member> =
            members.iter().copied().filter(|member| member.suppressed.is_none()).collect();
        let mut suppressed = Vec::new();
        let mut changed = !known | group.hold(members, &mut suppressed) | group.see(&visible);
        let due = group.due(node, members, &visible, at);
        if let Some(transition) = due {
            changed = true;
            if transition == Transition::Repeated && group.acknowledged.is_some() {
                group.skip_repeat(at);
                suppressed.push(Suppression::Acknowledged);
            } else {
                let teller =
                    Teller { rules: &self.rules, node, link_base: self.settings.link_base.as_deref(), at };
                teller.tell(group, transition, &visible, &mut self.digests, round);
            }
        }
        let ended = due == Some(Transition::Resolved) || members.is_empty() && group.told.is_none();
        if ended {
            self.groups.remove(id);
        }
        if changed || ended {
            self.dirty_groups.insert(id.clone());
        }
        if node.id != AUTOMATION {
            round.suppressed.append(&mut suppressed);
        }
    }

    /// The sinks that hear of labels which belong to no group, such as those of Anchorwatch's own troubles.
    #[must_use]
    pub fn sinks_for(&self, labels: &Labels, kind: AlertKind, severity: Severity) -> BTreeSet<String> {
        let mut labels = labels.clone();
        add_static(&self.rules.labels, &mut labels);
        let nodes = self.rules.tree.find(&labels);
        let taken = nodes.into_iter().flat_map(|node| takers(&self.rules, node, &[kind], severity));
        taken.collect()
    }
}

/// The sinks of a route whose own filters let some of these kinds through.
fn takers(rules: &Rules, node: &Node, kinds: &[AlertKind], severity: Severity) -> BTreeSet<String> {
    let takes = |name: &&String| {
        let filter = rules.sinks.iter().find(|sink| sink.name == **name);
        filter.is_some_and(|filter| kinds.iter().any(|kind| filter.takes(*kind, severity)))
    };
    node.sinks.iter().filter(takes).cloned().collect()
}

/// Tells the sinks of one route.
struct Teller<'a> {
    rules: &'a Rules,
    node: &'a Node,
    link_base: Option<&'a str>,
    at: Millis,
}

impl Teller<'_> {
    fn tell(
        &self,
        group: &mut Group,
        transition: Transition,
        visible: &[&Member],
        digests: &mut Digests,
        round: &mut Round,
    ) {
        let last = group.told.as_ref().map(|told| told.face.clone());
        let Some(face) = face(visible, &self.rules.runbooks).or(last) else { return };
        let make = |group: &Group, transition| {
            notification(group, &face, transition, visible, (self.at, self.link_base))
        };
        let told = make(group, transition);
        if transition == Transition::Resolved {
            return self.resolve(group, told, digests, round);
        }
        let knowing = self.knowing(group);
        let kinds: BTreeSet<AlertKind> = visible.iter().map(|member| member.id.kind).collect();
        let kinds: Vec<AlertKind> = kinds.into_iter().collect();
        let takers = takers(self.rules, self.node, &kinds, told.severity);
        let newcomers: BTreeSet<String> = takers.difference(&knowing).cloned().collect();
        let firing = make(group, Transition::Firing);
        group.note(transition, visible, face.clone(), self.at);
        let Some(state) = &mut group.told else { return };
        let digest = self.node.digest.filter(|_| told.severity < Severity::Critical);
        let newcomers = match digest {
            Some(length) => {
                if transition != Transition::Repeated {
                    newcomers.iter().for_each(|sink| digests.add(&self.node.id, sink, length, &told));
                }
                state.digested.extend(newcomers);
                if transition == Transition::Repeated && knowing.is_empty() {
                    return;
                }
                BTreeSet::new()
            }
            None => newcomers,
        };
        state.sinks.extend(newcomers.iter().cloned());
        if transition == Transition::Firing {
            return self.push(round, told, newcomers);
        }
        if !knowing.is_empty() || newcomers.is_empty() {
            self.push(round, told, knowing);
        }
        if !newcomers.is_empty() {
            self.push(round, firing, newcomers);
        }
    }

    /// Whoever heard that it fires hears that it is over, whatever the filters say now.
    fn resolve(&self, group: &Group, told: Notification, digests: &mut Digests, round: &mut Round) {
        let knowing = self.knowing(group);
        if let (Some(length), Some(state)) = (self.node.digest, &group.told) {
            let only_digested = state.digested.difference(&state.sinks);
            only_digested.for_each(|sink| digests.add(&self.node.id, sink, length, &told));
        }
        self.push(round, told, knowing);
    }

    /// Sinks that heard of the episode and still exist.
    fn knowing(&self, group: &Group) -> BTreeSet<String> {
        let exists = |name: &&String| self.rules.sinks.iter().any(|sink| sink.name == **name);
        group.told.iter().flat_map(|told| &told.sinks).filter(exists).cloned().collect()
    }

    fn push(&self, round: &mut Round, notification: Notification, sinks: BTreeSet<String>) {
        let acts = self.node.id == AUTOMATION;
        round.announcements.push(Announcement { notification, sinks: sinks.into_iter().collect(), acts });
    }
}
