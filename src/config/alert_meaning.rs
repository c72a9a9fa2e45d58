//! The meaning of the section `alerts`: matchers that can be read, labels and sinks that exist, routes that are reached.

use std::collections::BTreeSet;

use super::{Alerts, Config, Problem, Route};
use crate::alert::{self, AlertKind, Matcher, OWN_LABELS, Severity};

/// Most routes of the tree.
const MAX_ROUTES: usize = 500;
/// Longest value of a label.
const MAX_VALUE: usize = 128;
const UNREACHED: &str =
    "a route that some alert reaches: put it further up, or say `continue: true` in the other";

pub(super) fn problems(config: &Config, found: &mut Vec<Problem>) {
    let alerts = &config.alerts;
    let checks = Checks {
        labels: labels(alerts),
        sinks: config.sinks.iter().map(|sink| sink.name.as_str()).collect(),
    };
    checks.label_rules(alerts, found);
    for (index, rule) in alerts.inhibit.iter().enumerate() {
        let path = format!("alerts.inhibit[{index}]");
        checks.matchers(&format!("{path}.source_matchers"), &rule.source_matchers, found);
        checks.matchers(&format!("{path}.target_matchers"), &rule.target_matchers, found);
        checks.known_labels(&format!("{path}.equal"), &rule.equal, found);
    }
    for (index, window) in alerts.maintenance.iter().enumerate() {
        let path = format!("alerts.maintenance[{index}]");
        checks.matchers(&format!("{path}.matchers"), &window.matchers, found);
        if let Err(error) = alert::check_times(window) {
            found.push(Problem::at(format!("{path}.{}", error.field), error.what).expected(error.expected));
        }
    }
    checks.runbooks(alerts, found);
    if !alerts.route.matchers.is_empty() || alerts.route.go_on {
        let path = if alerts.route.go_on { "alerts.route.continue" } else { "alerts.route.matchers" };
        let problem = Problem::at(path, "the outermost route takes every alert");
        found.push(problem.expected("matchers in `alerts.route.routes`"));
        return;
    }
    if count(&alerts.route) > MAX_ROUTES {
        let problem = Problem::at("alerts.route", format!("has more than {MAX_ROUTES} routes"));
        found.push(problem.expected("fewer routes: regular expressions join several values"));
        return;
    }
    checks.route("alerts.route", &alerts.route, &[], found);
}

fn count(route: &Route) -> usize {
    1 + route.routes.iter().map(count).sum::<usize>()
}

/// Names of labels that an alert can have.
fn labels(alerts: &Alerts) -> Vec<&str> {
    let set = alerts.labels.iter().flat_map(|rule| rule.set.keys().map(String::as_str));
    let names: BTreeSet<&str> = OWN_LABELS.into_iter().chain(set).collect();
    names.into_iter().collect()
}

struct Checks<'a> {
    labels: Vec<&'a str>,
    sinks: Vec<&'a str>,
}

impl Checks<'_> {
    /// The matchers of a list that can be read; the others are reported.
    fn matchers(&self, path: &str, texts: &[String], found: &mut Vec<Problem>) -> Vec<Matcher> {
        let mut read = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match text.parse::<Matcher>() {
                Err(error) => found.push(Problem::at(path, error.to_string())),
                Ok(matcher) => {
                    self.known_label(path, matcher.label(), found);
                    read.push(matcher);
                }
            }
        }
        read
    }

    fn known_label(&self, path: String, name: &str, found: &mut Vec<Problem>) {
        if !self.labels.contains(&name) {
            let problem = Problem::at(path, format!("no alert has a label `{name}`"));
            let expected = format!("one of {}, or a label set in `alerts.labels`", self.labels.join(", "));
            found.push(problem.expected(expected).nearest(name, self.labels.iter().copied()));
        }
    }

    fn known_labels(&self, path: &str, names: &[String], found: &mut Vec<Problem>) {
        for (index, name) in names.iter().enumerate() {
            self.known_label(format!("{path}[{index}]"), name, found);
        }
    }

    fn label_rules(&self, alerts: &Alerts, found: &mut Vec<Problem>) {
        for (index, rule) in alerts.labels.iter().enumerate() {
            let path = format!("alerts.labels[{index}]");
            self.matchers(&format!("{path}.matchers"), &rule.matchers, found);
            for (name, value) in &rule.set {
                let at = |what: String| Problem::at(format!("{path}.set.{name}"), what);
                if !alert::is_label(name) {
                    found.push(
                        at("is not the name of a label".to_owned()).expected("letters, digits and `_`"),
                    );
                } else if OWN_LABELS.contains(&name.as_str()) {
                    found
                        .push(at("every alert has this label by itself".to_owned()).expected("another name"));
                } else if value.len() > MAX_VALUE {
                    found.push(at(format!("is longer than {MAX_VALUE} bytes")));
                }
            }
        }
    }

    fn runbooks(&self, alerts: &Alerts, found: &mut Vec<Problem>) {
        for (index, runbook) in alerts.runbooks.iter().enumerate() {
            let path = format!("alerts.runbooks[{index}]");
            self.matchers(&format!("{path}.matchers"), &runbook.matchers, found);
            let names = alert::placeholders(&runbook.url);
            for name in &names {
                self.known_label(format!("{path}.url"), name, found);
            }
            let filled =
                names.iter().fold(runbook.url.clone(), |url, name| url.replace(&format!("{{{name}}}"), "x"));
            if filled.contains(['{', '}']) {
                found.push(Problem::at(format!("{path}.url"), "has a brace that is not closed or opened"));
            } else {
                super::meaning::address(format!("{path}.url"), &filled, found);
            }
        }
    }

    /// A route and those below it; `above` are the matchers on the way to it.
    fn route(&self, path: &str, route: &Route, above: &[Matcher], found: &mut Vec<Problem>) {
        let before = found.len();
        let own = self.matchers(&format!("{path}.matchers"), &route.matchers, found);
        let all: Vec<Matcher> = above.iter().chain(&own).cloned().collect();
        if found.len() == before && combinations(&all).is_empty() {
            let what = "no alert fits its matchers and those above it";
            found.push(Problem::at(format!("{path}.matchers"), what));
        }
        for (index, name) in route.sinks.iter().flatten().enumerate() {
            if !self.sinks.contains(&name.as_str()) {
                let problem =
                    Problem::at(format!("{path}.sinks[{index}]"), format!("there is no sink `{name}`"));
                found.push(problem.expected("a name in `sinks`").nearest(name, self.sinks.iter().copied()));
            }
        }
        self.known_labels(&format!("{path}.group_by"), route.group_by.as_deref().unwrap_or_default(), found);
        if route.digest.is_some_and(|span| span.millis() == 0) {
            let problem = Problem::at(format!("{path}.digest"), "`0s` is out of range");
            found.push(problem.expected("a length of time above 0, or nothing"));
        }
        let mut earlier: Vec<(String, Vec<Matcher>)> = Vec::new();
        for (index, child) in route.routes.iter().enumerate() {
            let path = format!("{path}.routes[{index}]");
            let Ok(own) = alert::parse_all(&child.matchers) else {
                self.route(&path, child, &all, found);
                continue;
            };
            if let Some(other) = covering(&earlier, &own, &all) {
                found.push(
                    Problem::at(&path, format!("is never reached: {other} takes its alerts"))
                        .expected(UNREACHED),
                );
            }
            self.route(&path, child, &all, found);
            if !child.go_on {
                earlier.push((path, own));
            }
        }
    }
}

/// Kinds and severities that fit; empty too when two matchers on another label exclude each other.
fn combinations(matchers: &[Matcher]) -> Vec<(AlertKind, Severity)> {
    let excluded = matchers.iter().any(|one| {
        one.only_value().is_some_and(|value| {
            matchers.iter().any(|other| other.label() == one.label() && !other.fits_value(value))
        })
    });
    let all =
        AlertKind::ALL.into_iter().flat_map(|kind| [(kind, Severity::Warning), (kind, Severity::Critical)]);
    all.filter(|combination| !excluded && fits(matchers, *combination)).collect()
}

/// Whether the matchers on kind and severity fit; others are not looked at.
fn fits(matchers: &[Matcher], (kind, severity): (AlertKind, Severity)) -> bool {
    matchers.iter().all(|matcher| match matcher.label() {
        "kind" => matcher.fits_value(kind.as_str()),
        "severity" => matcher.fits_value(severity.as_str()),
        _ => true,
    })
}

/// The earlier route that takes every alert of a route with these matchers, if that can be told from the matchers alone.
fn covering(earlier: &[(String, Vec<Matcher>)], own: &[Matcher], above: &[Matcher]) -> Option<String> {
    let wider = earlier.iter().find(|(_, other)| other.iter().all(|matcher| own.contains(matcher)));
    if let Some((path, _)) = wider {
        return Some(path.clone());
    }
    let of_kind =
        |matchers: &[Matcher]| matchers.iter().all(|matcher| matches!(matcher.label(), "kind" | "severity"));
    let mut left = combinations(&above.iter().chain(own).cloned().collect::<Vec<_>>());
    if left.is_empty() {
        return None;
    }
    for (path, other) in earlier.iter().filter(|(_, other)| of_kind(other)) {
        left.retain(|combination| !fits(other, *combination));
        if left.is_empty() {
            return Some(path.clone());
        }
    }
    None
}
