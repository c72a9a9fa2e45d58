//! What a group says: the notification with its evidence, key, summary and links.

use sha2::{Digest as _, Sha256};

use super::group::{Face, Group, Member, evidence, severity};
use super::matcher::Labels;
use super::rules::{self, Runbook};
use super::{AlertKind, Evidence, Finding, MAX_FINDINGS, Notification, Severity, Transition};
use crate::subject::Millis;

/// Stands for the model or version of a group whose alerts speak of several.
const SEVERAL: &str = "several";

/// How a group looks now; `visible` is not empty.
pub(super) fn face(visible: &[&Member], runbooks: &[Runbook]) -> Option<Face> {
    let lead = visible.iter().max_by(|a, b| excess(&a.finding).total_cmp(&excess(&b.finding)))?;
    let same = |value: fn(&Member) -> &String| visible.iter().all(|one| value(one) == value(lead));
    let shared = |value: fn(&Member) -> &String| {
        if same(value) { value(lead).clone() } else { SEVERAL.to_owned() }
    };
    let (model, version) = (shared(|one| &one.id.model), shared(|one| &one.id.version));
    let own = ["model", "version", "kind", "severity"];
    let common = |(name, value): &(&String, &String)| {
        !own.contains(&name.as_str()) && visible.iter().all(|one| one.labels.get(*name) == Some(*value))
    };
    let of_column = |name: &str| matches!(name, "feature" | "segment");
    let labels: Labels = lead
        .labels
        .iter()
        .filter(|(name, _)| !of_column(name))
        .filter(common)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Some(Face {
        one_subject: model != SEVERAL && version != SEVERAL,
        model,
        version,
        kind: lead.id.kind,
        reference: lead.reference.clone(),
        labels,
        runbook: rules::runbook(runbooks, &lead.labels),
    })
}

/// The notification of a transition. For `resolved` there are no visible members and the face is the last one.
pub(super) fn notification(
    group: &Group,
    face: &Face,
    transition: Transition,
    visible: &[&Member],
    (at, link_base): (Millis, Option<&str>),
) -> Notification {
    let mut findings: Vec<Finding> = visible.iter().map(|member| finding(member, face)).collect();
    findings.sort_by(|a, b| excess(b).total_cmp(&excess(a)));
    let coverage = findings.iter().map(|finding| finding.window.coverage).fold(1.0, f64::min);
    let more_findings = findings.len().saturating_sub(MAX_FINDINGS);
    let told = group.told.as_ref();
    let evidence = evidence(visible);
    let severity = match transition {
        Transition::Resolved => told.map_or(Severity::Warning, |told| told.severity),
        _ => severity(visible).max(told.map_or(Severity::Warning, |told| told.severity)),
    };
    let escalated = told.is_some_and(|told| severity > told.severity);
    let repeat = match transition {
        Transition::Repeated => told.map_or(0, |told| told.repeats) + 1,
        _ => 0,
    };
    let summary = summary(face, transition, &findings, (evidence, escalated));
    findings.truncate(MAX_FINDINGS);
    Notification {
        key: key(&group.episode, transition, at, repeat),
        link: link_base.filter(|_| face.one_subject).map(|base| link(base, face)),
        group: group.episode.clone(),
        transition,
        model: face.model.clone(),
        version: face.version.clone(),
        kind: face.kind,
        severity,
        summary,
        at,
        since: group.since,
        reference: face.reference.clone(),
        coverage,
        findings,
        more_findings,
        runbook: face.runbook.clone(),
        labels: face.labels.clone(),
        evidence,
        repeat,
    }
}

fn finding(member: &Member, face: &Face) -> Finding {
    let subject = (!face.one_subject).then(|| format!("{} {}", member.id.model, member.id.version));
    Finding { subject, ..member.finding.clone() }
}

/// How far it is beyond its threshold, whichever way it lies.
fn excess(finding: &Finding) -> f64 {
    finding.statistic.abs() / finding.threshold.max(1e-12)
}

/// Stable identity of a transition: the same on every replay.
pub(super) fn key(episode: &str, transition: Transition, at: Millis, repeat: u32) -> String {
    let repeat = if repeat == 0 { String::new() } else { format!("\n{repeat}") };
    let digest = Sha256::digest(format!("{episode}\n{}\n{at}{repeat}", transition.as_str()));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn link(base: &str, face: &Face) -> String {
    format!("{}/models/{}/versions/{}", base.trim_end_matches('/'), face.model, face.version)
}

/// What is wrong, in the middle of a line.
pub(super) const fn kind_word(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::DataFault => "data fault",
        AlertKind::Drift => "drift",
        AlertKind::Latency => "latency",
        AlertKind::Volume => "volume",
        AlertKind::Operation => "operation",
    }
}

fn summary(
    face: &Face,
    transition: Transition,
    findings: &[Finding],
    (evidence, escalated): (Evidence, bool),
) -> String {
    let place = match (face.model.as_str(), face.version.as_str()) {
        (SEVERAL, _) => "several models".to_owned(),
        (model, SEVERAL) => format!("{model}, several versions"),
        (model, version) => format!("{model} {version}"),
    };
    let place = format!("{place}: {}", kind_word(face.kind));
    let Some(first) = findings.first() else { return format!("{place} cleared") };
    let segment = first.segment.as_ref().map_or_else(String::new, |segment| format!(" in segment {segment}"));
    let more = match findings.len() - 1 {
        0 => String::new(),
        1 => ", and 1 more column".to_owned(),
        more => format!(", and {more} more columns"),
    };
    let verb = match (transition, evidence) {
        (Transition::Updated, Evidence::NoData) => " still firing, but no rows come any more",
        (Transition::Updated, Evidence::Insufficient) => " still firing, but too few rows come to judge",
        (Transition::Updated, Evidence::Sufficient) if escalated => " is critical now",
        (Transition::Updated, Evidence::Sufficient) => " spreads",
        (Transition::Repeated, _) => " still firing",
        (Transition::Firing | Transition::Resolved, _) => "",
    };
    let burst = burst(findings)
        .map_or_else(String::new, |(kind, columns)| format!("{kind} of {columns} columns, above all "));
    let (column, detector) = (&first.column, &first.detector);
    let subject = first.subject.as_ref().map_or_else(String::new, |subject| format!(" of {subject}"));
    let follows = follows(first);
    // Whoever is woken should know how much the limit is worth.
    let assumed = first.explained.as_ref().is_some_and(|explained| explained.assumed);
    let assumed = if assumed { " (how windows differ is assumed)" } else { "" };
    format!(
        "{place}{verb}: {burst}{column}{subject}{segment}, {detector} {:.3} over {:.3}{assumed}{more}{follows}",
        first.statistic, first.threshold
    )
}

/// What follows from a finding, in a few words.
fn follows(finding: &Finding) -> String {
    let follows = finding.explained.as_ref().map_or(&[][..], |explained| &explained.follows);
    let Some(first) = follows.first() else { return String::new() };
    let more = match follows.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("; with it {} of {}{more}", first.kind, first.column)
}

/// Columns that show the same in the same place, from which it is one cause upstream.
const BURST: usize = 3;

/// What several columns show alike, the loudest first, and how many of them: one cause upstream, which is to be read first.
fn burst(findings: &[Finding]) -> Option<(&str, usize)> {
    let first = findings.first()?;
    let kind = first.explained.as_ref()?.kind.as_str();
    let same_place = |one: &&Finding| one.segment == first.segment && one.subject == first.subject;
    let alike = |one: &&Finding| one.explained.as_ref().is_some_and(|explained| explained.kind == kind);
    let columns = findings.iter().filter(same_place).filter(alike).count();
    (columns >= BURST).then_some((kind, columns))
}
