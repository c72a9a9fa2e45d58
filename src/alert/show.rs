//! Alerts and silences as readers see them.

use std::collections::BTreeMap;

use super::group::{episode, group_labels};
use super::life::{Life, State};
use super::rules::Sources;
use super::{AlertKey, Alerts, Evidence, Labels, Severity, Suppression, VersionAlerts, rules, severity_of};
use crate::config;
use crate::subject::Millis;
use crate::view::{AlertState, AlertView, SilenceState, SilenceView};
use crate::workers;

/// Versions whose alerts a thread looks at in one go.
const TOGETHER: usize = 64;

/// A version by model and version.
type Named<'a> = (&'a (String, String), &'a VersionAlerts);

/// An alert that fires, over all horizons.
struct Firing {
    labels: Labels,
    severity: Severity,
    /// What keeps it back.
    suppressed: Option<(Suppression, String)>,
}

impl Alerts {
    /// Every alert that is pending, firing or was resolved lately; this many threads share the versions.
    #[must_use]
    pub fn views(&self, threads: usize) -> Vec<AlertView> {
        let at = self.clock.unwrap_or(Millis::MIN);
        let versions: Vec<Named<'_>> = self.versions.iter().collect();
        let firing = workers::each(threads, versions.chunks(TOGETHER).collect(), |part: &[Named<'_>]| {
            let (mut firing, mut sources) = (Vec::new(), vec![Sources::new(); self.rules.inhibitions.len()]);
            for (id, version) in part {
                let before = firing.len();
                firing.extend(version.lives.iter().map(|(key, lives)| self.firing(id, key, lives)));
                let labels = || firing.iter().skip(before).flatten().map(|one: &Firing| &one.labels);
                for (rule, sources) in self.rules.inhibitions.iter().zip(&mut sources) {
                    sources.extend(rule.sources(labels()));
                }
            }
            (part, firing, sources)
        });
        let mut sources = self.sources();
        let mut parts = Vec::with_capacity(firing.len());
        for (part, firing, of_part) in firing {
            sources.iter_mut().zip(of_part).for_each(|(all, of_part)| all.extend(of_part));
            parts.push((part, firing));
        }
        let views =
            workers::each(threads, parts, |(part, mut firing): (&[Named<'_>], Vec<Option<Firing>>)| {
                for one in firing.iter_mut().flatten() {
                    one.suppressed = self.kept_back(&one.labels, &sources, at);
                }
                self.views_of(part, firing)
            });
        views.into_iter().flatten().collect()
    }

    /// What the alerts of a key have in common, if one of them fires.
    fn firing(
        &self,
        id: &(String, String),
        key: &AlertKey,
        lives: &BTreeMap<String, Life>,
    ) -> Option<Firing> {
        let firing = || lives.values().filter(|life| life.state == State::Firing);
        firing().min_by_key(|life| life.since)?.finding.as_ref()?;
        let severity = firing().map(|life| severity_of(key.kind, life, &self.settings)).max()?;
        Some(Firing { labels: self.labels(id, key, severity), severity, suppressed: None })
    }

    /// The alerts of these versions; `firing` is what there is of each of their keys.
    fn views_of(&self, versions: &[Named<'_>], firing: Vec<Option<Firing>>) -> Vec<AlertView> {
        let mut firing = firing.into_iter();
        let mut views = Vec::new();
        for (id, version) in versions {
            for (key, lives) in &version.lives {
                let firing = firing.next().flatten();
                for (horizon, life) in lives.iter().filter(|(_, life)| life.state != State::Inactive) {
                    let view = view(id, version, key, (horizon, life), &self.settings);
                    views.extend(view.map(|view| self.with_group(view, key, life, firing.as_ref())));
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
        firing: Option<&Firing>,
    ) -> AlertView {
        view.labels = match firing {
            Some(firing) => firing.labels.clone(),
            None => self.labels(&(view.model.clone(), view.version.clone()), key, view.severity),
        };
        view.runbook = rules::runbook(&self.rules.runbooks, &view.labels);
        let Some(firing) = firing.filter(|_| life.state == State::Firing) else { return view };
        view.severity = firing.severity;
        view.suppressed_by =
            firing.suppressed.as_ref().map(|(reason, what)| format!("{}: {what}", reason.as_str()));
        for node in self.rules.tree.find(&firing.labels) {
            let group_id = (node.id.clone(), group_labels(node, &firing.labels));
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
    let mut group = Labels::from(labels);
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
        labels: Labels::new(),
        suppressed_by: None,
        acknowledged_by: None,
        comment: None,
        runbook: None,
    })
}
