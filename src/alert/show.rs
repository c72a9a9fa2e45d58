//! Alerts and silences as readers see them, and what fires for who acts on it. Not here: how alerts live (`life.rs`) and are
//! told (`announce.rs`).

use std::collections::BTreeMap;
use std::ops::Bound;

use super::group::{episode, group_labels};
use super::life::{Life, State};
use super::rules::Sources;
use super::{
    AlertKey, AlertKind, Alerts, Evidence, Labels, Severity, Suppression, VersionAlerts, rules, severity_of,
};
use crate::config;
use crate::subject::Millis;
use crate::view::{AlertState, AlertView, SilenceState, SilenceView};
use crate::workers;

/// Most versions whose alerts a thread looks at in one go.
const TOGETHER: usize = 64;

/// A list of alerts that is made some versions at a time: first what all of them are to the rules of inhibition, then what
/// readers see of each. What changes meanwhile is in the next list, if it is not in this one.
#[derive(Debug)]
pub struct AlertList {
    sources: Vec<Sources>,
    knows_sources: bool,
    /// The last version that was looked at.
    after: Option<(String, String)>,
    views: Vec<AlertView>,
}

impl AlertList {
    /// The alerts that are listed so far.
    pub fn views_mut(&mut self) -> &mut Vec<AlertView> {
        &mut self.views
    }

    /// The alerts, once all are listed.
    #[must_use]
    pub fn into_views(self) -> Vec<AlertView> {
        self.views
    }
}

/// An alert that fires at one horizon, for who acts on it.
#[derive(Debug, Clone, Copy)]
pub struct FiringNow<'a> {
    /// Model and version.
    pub id: &'a (String, String),
    /// What went wrong.
    pub kind: AlertKind,
    /// Segment value; absent for the whole traffic.
    pub segment: Option<&'a str>,
    /// Column, or `latency` or `volume`.
    pub column: &'a str,
    /// Name of the horizon.
    pub horizon: &'a str,
    /// End of the first window of the episode.
    pub since: Millis,
    /// End of the window with which it began to fire.
    pub changed_at: Millis,
    /// Whether a silence, or another alert, keeps it back.
    pub is_kept_back: bool,
}

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
        let mut list = self.begin_list();
        while !self.extend_list(&mut list, usize::MAX, threads) {}
        list.views
    }

    /// A list of what [`Self::views`] gives, for [`Self::extend_list`].
    #[must_use]
    pub fn begin_list(&self) -> AlertList {
        AlertList {
            sources: self.sources(),
            knows_sources: self.rules.inhibitions.is_empty(),
            after: None,
            views: Vec::new(),
        }
    }

    /// Goes on with so many versions, or fewer once they have as many alerts, which this many threads share. Gives whether
    /// the list is complete.
    pub fn extend_list(&self, list: &mut AlertList, most: usize, threads: usize) -> bool {
        let after = list.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut next, mut left): (Vec<Named<'_>>, usize) = (Vec::new(), most);
        for named in self.versions.range((after, Bound::Unbounded)) {
            next.push(named);
            left = left.saturating_sub((named.1.lives.len() + named.1.resolved.len()).max(1));
            if left == 0 {
                break;
            }
        }
        let Some((last, _)) = next.last() else {
            list.after = None;
            return std::mem::replace(&mut list.knows_sources, true);
        };
        list.after = Some((*last).clone());
        let parts = next.chunks(next.len().div_ceil(threads.max(1)).clamp(1, TOGETHER)).collect();
        if list.knows_sources {
            let parts = workers::each(threads, parts, |part| self.views_of(part, &list.sources));
            list.views.extend(parts.into_iter().flatten());
        } else {
            for part in workers::each(threads, parts, |part| self.sources_of(part)) {
                list.sources.iter_mut().zip(part).for_each(|(all, part)| all.extend(part));
            }
        }
        false
    }

    /// Every alert that fires; this many threads share the versions.
    #[must_use]
    pub fn firing_now(&self, threads: usize) -> Vec<FiringNow<'_>> {
        let mut list = self.begin_list();
        while !list.knows_sources {
            self.extend_list(&mut list, usize::MAX, threads);
        }
        let versions: Vec<Named<'_>> = self.versions.iter().collect();
        let parts = workers::each(threads, versions.chunks(TOGETHER).collect(), |part: &[Named<'_>]| {
            let alerts =
                part.iter().flat_map(|(id, version)| version.lives.iter().map(move |life| (*id, life)));
            alerts
                .flat_map(|(id, (key, lives))| self.firing_of(id, key, lives, &list.sources))
                .collect::<Vec<_>>()
        });
        parts.into_iter().flatten().collect()
    }

    /// Where an alert fires.
    fn firing_of<'a>(
        &self,
        id: &'a (String, String),
        key: &'a AlertKey,
        lives: &'a BTreeMap<String, Life>,
        sources: &[Sources],
    ) -> impl Iterator<Item = FiringNow<'a>> + use<'a> {
        let at = self.clock.unwrap_or(Millis::MIN);
        let firing = self.firing(id, key, lives);
        let is_kept_back = firing.is_some_and(|one| self.kept_back(&one.labels, sources, at).is_some());
        let fires = |life: &Life| life.state == State::Firing && life.finding.is_some();
        lives.iter().filter(move |(_, life)| fires(life)).map(move |(horizon, life)| FiringNow {
            id,
            kind: key.kind,
            segment: key.segment.as_deref(),
            column: &key.column,
            horizon,
            since: life.since,
            changed_at: life.changed_at,
            is_kept_back,
        })
    }

    /// What the firing alerts of these versions are to the rules of inhibition.
    fn sources_of(&self, versions: &[Named<'_>]) -> Vec<Sources> {
        let firing: Vec<Firing> = versions
            .iter()
            .flat_map(|(id, version)| {
                version.lives.iter().filter_map(|(key, lives)| self.firing(id, key, lives))
            })
            .collect();
        let labels = || firing.iter().map(|one| &one.labels);
        self.rules.inhibitions.iter().map(|rule| rule.sources(labels())).collect()
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

    /// The alerts of these versions.
    fn views_of(&self, versions: &[Named<'_>], sources: &[Sources]) -> Vec<AlertView> {
        let at = self.clock.unwrap_or(Millis::MIN);
        let mut views = Vec::new();
        for (id, version) in versions {
            for (key, lives) in &version.lives {
                let mut firing = self.firing(id, key, lives);
                if let Some(one) = &mut firing {
                    one.suppressed = self.kept_back(&one.labels, sources, at);
                }
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
