//! Groups of alerts: one per model version and kind. What a group tells, and when.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::life::State;
use super::{AlertKind, Finding, MAX_FINDINGS, Notification, Transition, VersionAlerts, severity_of};
use crate::config;
use crate::subject::Millis;

/// Identity of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupKey<'a> {
    pub(super) model: &'a str,
    pub(super) version: &'a str,
    pub(super) kind: AlertKind,
}

impl GroupKey<'_> {
    /// Identity of one episode of the group.
    pub(super) fn episode(&self, since: Millis) -> String {
        format!("anchorwatch/{}/{}/{}/{since}", self.model, self.version, self.kind.as_str())
    }
}

/// What the sinks were last told of a firing group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Announced {
    pub(super) since: Millis,
    columns: BTreeSet<(Option<String>, String)>,
}

impl VersionAlerts {
    /// The notification that brings the sinks up to date with a group, if anything is new.
    pub(super) fn announce(
        &mut self,
        group: &GroupKey<'_>,
        at: Millis,
        settings: &config::Alerts,
    ) -> Option<Notification> {
        let mut findings = self.firing(group.kind);
        let columns: BTreeSet<_> =
            findings.iter().map(|finding| (finding.segment.clone(), finding.column.clone())).collect();
        let known = self.announced.iter().position(|(kind, _)| *kind == group.kind);
        let (transition, since) = match known {
            None if columns.is_empty() => return None,
            None => {
                let since = findings.iter().map(|finding| finding.since).min().unwrap_or(at);
                self.announced.push((group.kind, Announced { since, columns }));
                (Transition::Firing, since)
            }
            Some(index) if columns.is_empty() => (Transition::Resolved, self.announced.remove(index).1.since),
            Some(index) => {
                let announced = &mut self.announced[index].1;
                if columns.is_subset(&announced.columns) {
                    return None;
                }
                announced.columns.extend(columns);
                (Transition::Updated, announced.since)
            }
        };
        findings.sort_by(|a, b| excess(b).total_cmp(&excess(a)));
        let coverage = findings.iter().map(|finding| finding.window.coverage).fold(1.0, f64::min);
        let more_findings = findings.len().saturating_sub(MAX_FINDINGS);
        let summary = summary(group, transition, &findings);
        findings.truncate(MAX_FINDINGS);
        let episode = group.episode(since);
        Some(Notification {
            key: key(&episode, transition, at),
            link: settings.link_base.as_deref().map(|base| link(base, group)),
            group: episode,
            transition,
            model: group.model.to_owned(),
            version: group.version.to_owned(),
            kind: group.kind,
            severity: severity_of(group.kind, settings),
            summary,
            at,
            since,
            reference: self.reference.clone(),
            coverage,
            findings,
            more_findings,
        })
    }

    /// Evidence of every firing alert of a kind; of several horizons the one that began first.
    fn firing(&self, kind: AlertKind) -> Vec<Finding> {
        let firing = self.lives.iter().filter(|(key, _)| key.kind == kind).filter_map(|(_, lives)| {
            let firing = lives.values().filter(|life| life.state == State::Firing);
            firing.min_by_key(|life| life.since).and_then(|life| life.finding.clone())
        });
        firing.collect()
    }
}

fn excess(finding: &Finding) -> f64 {
    finding.statistic / finding.threshold.max(1e-12)
}

/// Stable identity of a transition: the same on every replay.
fn key(episode: &str, transition: Transition, at: Millis) -> String {
    let digest = Sha256::digest(format!("{episode}\n{}\n{at}", transition.as_str()));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn link(base: &str, group: &GroupKey<'_>) -> String {
    format!("{}/models/{}/versions/{}", base.trim_end_matches('/'), group.model, group.version)
}

fn summary(group: &GroupKey<'_>, transition: Transition, findings: &[Finding]) -> String {
    let what = match group.kind {
        AlertKind::DataFault => "data fault",
        AlertKind::Drift => "drift",
        AlertKind::Latency => "latency",
        AlertKind::Volume => "volume",
        AlertKind::Operation => "operation",
    };
    let place = format!("{} {}: {what}", group.model, group.version);
    let Some(first) = findings.first() else { return format!("{place} cleared") };
    let segment = first.segment.as_ref().map_or_else(String::new, |segment| format!(" in segment {segment}"));
    let more = match findings.len() - 1 {
        0 => String::new(),
        1 => ", and 1 more column".to_owned(),
        more => format!(", and {more} more columns"),
    };
    let verb = match transition {
        Transition::Firing | Transition::Resolved => "",
        Transition::Updated => " spreads",
    };
    let (column, detector) = (&first.column, &first.detector);
    format!(
        "{place}{verb}: {column}{segment}, {detector} {:.3} over {:.3}{more}",
        first.statistic, first.threshold
    )
}
