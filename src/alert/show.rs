//! Alerts and silences as readers see them.

use std::collections::BTreeMap;

use super::group::{AlertId, Member, episode, group_labels};
use super::life::{Life, State};
use super::rules::Sources;
use super::{AlertKey, Alerts, Evidence, VersionAlerts, rules, severity_of};
use crate::config;
use crate::subject::Millis;
use crate::view::{AlertState, AlertView, SilenceState, SilenceView};
use crate::workers;

/// Versions whose alerts a thread looks at in one go.
const TOGETHER: usize = 64;

/// A version by model and version.
type Named<'a> = (&'a (String, String), &'a VersionAlerts);

impl Alerts {
    /// Every alert that is pending, firing or was resolved lately; this many threads share the versions.
    #[must_use]
    pub fn views(&self, threads: usize) -> Vec<AlertView> {
        let at = self.clock.unwrap_or(Millis::MIN);
        let versions: Vec<Named<'_>> = self.versions.iter().collect();
        let firing = workers::each(threads, versions.chunks(TOGETHER).collect(), |part: &[Named<'_>]| {
            let (mut members, mut sources) = (Vec::new(), vec![Sources::new(); self.rules.inhibitions.len()]);
            for (id, version) in part {
                self.members_of(id, version, &mut members, &mut sources);
            }
            (part, members, sources)
        });
        let mut sources = self.sources();
        let mut parts = Vec::with_capacity(firing.len());
        for (part, members, of_part) in firing {
            sources.iter_mut().zip(of_part).for_each(|(all, of_part)| all.extend(of_part));
            parts.push((part, members));
        }
        let views = workers::each(threads, parts, |(part, mut members): (&[Named<'_>], Vec<Member>)| {
            for member in &mut members {
                member.suppressed = self.kept_back(&member.labels, &sources, at);
            }
            self.views_of(part, &members)
        });
        views.into_iter().flatten().collect()
    }

    /// The alerts of these versions; `members` are those of them that fire.
    fn views_of(&self, versions: &[Named<'_>], members: &[Member]) -> Vec<AlertView> {
        let members: BTreeMap<&AlertId, &Member> = members.iter().map(|one| (&one.id, one)).collect();
        let mut views = Vec::new();
        for (id, version) in versions {
            for (key, lives) in &version.lives {
                let own = AlertId {
                    model: id.0.clone(),
                    version: id.1.clone(),
                    kind: key.kind,
                    segment: key.segment.clone(),
                    column: key.column.clone(),
                };
                let member = members.get(&own).copied();
                for (horizon, life) in lives.iter().filter(|(_, life)| life.state != State::Inactive) {
                    let view = view(id, version, key, (horizon, life), &self.settings);
                    views.extend(view.map(|view| self.with_group(view, key, life, member)));
                }
            }
            views.extend(version.resolved.iter().cloned());
        }
        views
    }

    /// What the groups and the rules add to an alert.
    fn with_group(
        &self,
        mut view: AlertView,
        key: &AlertKey,
        life: &Life,
        member: Option<&Member>,
    ) -> AlertView {
        let id = (view.model.clone(), view.version.clone());
        view.labels = match member {
            Some(member) => member.labels.clone(),
            None => self.labels(&id, key, view.severity),
        };
        view.runbook = rules::runbook(&self.rules.runbooks, &view.labels);
        let Some(member) = member.filter(|_| life.state == State::Firing) else { return view };
        view.severity = member.severity;
        view.suppressed_by =
            member.suppressed.as_ref().map(|(reason, what)| format!("{}: {what}", reason.as_str()));
        for node in self.rules.tree.find(&member.labels) {
            let group_id = (node.id.clone(), group_labels(node, &member.labels));
            let Some(group) = self.groups.get(&group_id) else { continue };
            view.group.clone_from(&group.episode);
            if let Some(acknowledged) = &group.acknowledged {
                view.acknowledged_by = Some(acknowledged.by.clone());
                view.comment = Some(acknowledged.comment.clone()).filter(|text| !text.is_empty());
                if view.state == AlertState::Firing {
                    view.state = AlertState::Acknowledged;
                }
            }
            break;
        }
        view
    }

    /// Silences, the newest first.
    #[must_use]
    pub fn silences(&self) -> Vec<SilenceView> {
        let at = self.clock.unwrap_or(Millis::MIN);
        let view = |one: &super::quiet::Silence| SilenceView {
            id: one.id.clone(),
            state: match (one.is_over(at), one.starts_at.is_some_and(|from| from > at)) {
                (true, _) => SilenceState::Expired,
                (false, true) => SilenceState::Pending,
                (false, false) => SilenceState::Active,
            },
            matchers: one.matchers.iter().map(ToString::to_string).collect(),
            starts_at: one.starts_at,
            ends_at: one.ends_at,
            created_by: one.by.clone(),
            created_at: one.created_at,
            expired_at: one.expired_at,
            comment: one.comment.clone(),
        };
        self.silences.list.iter().rev().map(view).collect()
    }
}

/// One alert at one horizon; `None` before it has evidence.
pub(super) fn view(
    id: &(String, String),
    version: &VersionAlerts,
    key: &AlertKey,
    (horizon, life): (&str, &Life),
    settings: &config::Alerts,
) -> Option<AlertView> {
    let finding = life.finding.as_ref()?;
    let labels = [("model", &id.0), ("version", &id.1)].map(|(name, value)| (name.to_owned(), value.clone()));
    let mut group = super::Labels::from(labels);
    group.insert("kind".to_owned(), key.kind.as_str().to_owned());
    Some(AlertView {
        group: episode(&super::route::Node::orphaned(""), &group, life.since),
        model: id.0.clone(),
        version: id.1.clone(),
        segment: key.segment.clone(),
        column: key.column.clone(),
        detector: finding.detector.clone(),
        kind: key.kind,
        severity: severity_of(key.kind, life, settings),
        state: match (life.state, life.evidence) {
            (State::Inactive, _) => AlertState::Resolved,
            (State::Pending, _) => AlertState::Pending,
            (State::Firing, Evidence::Sufficient) => AlertState::Firing,
            (State::Firing, Evidence::Insufficient) => AlertState::Insufficient,
            (State::Firing, Evidence::NoData) => AlertState::NoData,
        },
        horizon: horizon.to_owned(),
        since: life.since,
        changed_at: life.changed_at,
        statistic: finding.statistic,
        threshold: finding.threshold,
        reference: version.reference.clone(),
        moved: finding.moved.clone(),
        explained: finding.explained.clone(),
        labels: super::Labels::new(),
        suppressed_by: None,
        acknowledged_by: None,
        comment: None,
        runbook: None,
    })
}
