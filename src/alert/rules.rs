//! What the configuration says of alerts, read once: static labels, inhibition, runbooks.

use std::collections::BTreeSet;

use super::matcher::{Labels, Matcher, all_fit, parse_all};
use crate::config;

/// Labels set where matchers fit.
#[derive(Debug, Clone)]
pub(super) struct LabelRule {
    matchers: Vec<Matcher>,
    set: Labels,
}

/// Rules of a configuration that was checked; one whose matchers cannot be read fits nothing.
pub(super) fn label_rules(settings: &config::Alerts) -> Vec<LabelRule> {
    let rule = |rule: &config::LabelRule| {
        Some(LabelRule { matchers: parse_all(&rule.matchers).ok()?, set: rule.set.clone() })
    };
    settings.labels.iter().filter_map(rule).collect()
}

/// Sets static labels; the first rule that sets a label wins, and no rule changes a label that is there.
pub(super) fn add_static(rules: &[LabelRule], labels: &mut Labels) {
    let own = labels.clone();
    for rule in rules.iter().filter(|rule| all_fit(&rule.matchers, &own)) {
        for (name, value) in &rule.set {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// An alert that fits `target` is held back while one fires that fits `source`.
#[derive(Debug, Clone)]
pub(super) struct Inhibition {
    source: Vec<Matcher>,
    target: Vec<Matcher>,
    equal: Vec<String>,
    text: String,
}

/// Silence of a model says that what its features showed before is old.
const MODEL_OVER_FEATURES: ([&str; 1], [&str; 1], &[&str]) =
    ([r#"kind="volume""#], [r#"kind=~"drift|data_fault""#], &["model", "version"]);
/// Without the data of the source, what is left of the stream is no sample of it. Of a gap it is known how far it reaches:
/// the coverage of the windows that it touches withholds their verdicts, and no others.
const SOURCE_OVER_MODELS: ([&str; 2], [&str; 1], &[&str]) =
    ([r#"kind="operation""#, r#"version=~"no_data|stalled""#], [r#"kind=~"drift|volume""#], &[]);

pub(super) fn inhibitions(settings: &config::Alerts) -> Vec<Inhibition> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let (a, b) = (MODEL_OVER_FEATURES, SOURCE_OVER_MODELS);
    let built_in = [(owned(&a.0), owned(&a.1), owned(a.2)), (owned(&b.0), owned(&b.1), owned(b.2))];
    let built_in = built_in.into_iter().filter(|_| settings.inhibit_defaults);
    let configured = settings.inhibit.iter();
    let configured = configured
        .map(|rule| (rule.source_matchers.clone(), rule.target_matchers.clone(), rule.equal.clone()));
    let rule = |(source, target, equal): (Vec<String>, Vec<String>, Vec<String>)| {
        Some(Inhibition {
            text: source.join(", "),
            source: parse_all(&source).ok()?,
            target: parse_all(&target).ok()?,
            equal,
        })
    };
    built_in.chain(configured).filter_map(rule).collect()
}

/// Values of the `equal` labels of the alerts that fit the source of a rule.
pub(super) type Sources = BTreeSet<Vec<String>>;

impl Inhibition {
    /// What the source of this rule is among these firing alerts.
    pub(super) fn sources<'a>(&self, firing: impl Iterator<Item = &'a Labels>) -> Sources {
        firing
            .filter(|labels| all_fit(&self.source, labels))
            .map(|labels| self.equal_values(labels))
            .collect()
    }

    fn equal_values(&self, labels: &Labels) -> Vec<String> {
        self.equal.iter().map(|name| labels.get(name).cloned().unwrap_or_default()).collect()
    }

    /// Whether an alert is held back. One that fits both sides is not held back by others that do, itself included.
    pub(super) fn holds(&self, target: &Labels, sources: &Sources) -> bool {
        !sources.is_empty()
            && all_fit(&self.target, target)
            && !all_fit(&self.source, target)
            && sources.contains(&self.equal_values(target))
    }

    /// The source of the rule, for people.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// A page that says what to do.
#[derive(Debug, Clone)]
pub(super) struct Runbook {
    matchers: Vec<Matcher>,
    url: String,
}

pub(super) fn runbooks(settings: &config::Alerts) -> Vec<Runbook> {
    let runbook = |one: &config::Runbook| {
        Some(Runbook { matchers: parse_all(&one.matchers).ok()?, url: one.url.clone() })
    };
    settings.runbooks.iter().filter_map(runbook).collect()
}

/// Address of the first runbook that fits, its placeholders filled in.
pub(super) fn runbook(runbooks: &[Runbook], labels: &Labels) -> Option<String> {
    let found = runbooks.iter().find(|one| all_fit(&one.matchers, labels))?;
    let mut url = String::new();
    let mut rest = found.url.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        url.push_str(before);
        url.push_str(&encoded(labels.get(name).map_or("", String::as_str)));
        rest = after;
    }
    url.push_str(rest);
    Some(url)
}

/// Names in braces of a runbook's address.
#[must_use]
pub fn placeholders(url: &str) -> Vec<&str> {
    url.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

/// A value as part of an address, so that no name of a column can change where it leads.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => text.push(char::from(byte)),
            b'.' if value.bytes().any(|other| other != b'.') => text.push('.'),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_rule_inhibits_where_the_equal_labels_agree_and_never_its_own_source() {
        let rules = inhibitions(&config::Alerts::default());
        let held = |target: &Labels, firing: &[Labels]| {
            rules.iter().any(|rule| rule.holds(target, &rule.sources(firing.iter())))
        };
        let volume = labels(&[("kind", "volume"), ("model", "m"), ("version", "1")]);
        let drift = labels(&[("kind", "drift"), ("model", "m"), ("version", "1")]);
        let other = labels(&[("kind", "drift"), ("model", "n"), ("version", "1")]);
        assert!(held(&drift, std::slice::from_ref(&volume)));
        assert!(!held(&other, std::slice::from_ref(&volume)));
        assert!(!held(&volume, std::slice::from_ref(&volume)));
        let silent = labels(&[("kind", "operation"), ("model", "anchorwatch"), ("version", "no_data")]);
        assert!(held(&volume, std::slice::from_ref(&silent)) && held(&other, &[silent]));
    }

    #[test]
    fn a_runbook_is_filled_in_and_a_name_cannot_lead_elsewhere() {
        let url = "https://wiki/{team}/{kind}#{feature}".to_owned();
        let settings = config::Alerts {
            runbooks: vec![config::Runbook { matchers: Vec::new(), url }],
            ..Default::default()
        };
        let given = labels(&[("team", ".."), ("kind", "drift"), ("feature", "a/b?c&ü")]);
        let filled = runbook(&runbooks(&settings), &given);
        assert_eq!(filled.as_deref(), Some("https://wiki/%2E%2E/drift#a%2Fb%3Fc%26%C3%BC"));
    }

    #[test]
    fn static_labels_never_change_what_an_alert_says_of_itself() {
        let rule = |matchers: &[&str], set: &[(&str, &str)]| config::LabelRule {
            matchers: matchers.iter().map(|one| (*one).to_owned()).collect(),
            set: labels(set),
        };
        let settings = config::Alerts {
            labels: vec![
                rule(&["model=fraud"], &[("team", "payments"), ("kind", "other")]),
                rule(&[], &[("team", "platform"), ("tier", "2")]),
            ],
            ..Default::default()
        };
        let mut given = labels(&[("model", "fraud"), ("kind", "drift")]);
        add_static(&label_rules(&settings), &mut given);
        let expected = labels(&[("model", "fraud"), ("kind", "drift"), ("team", "payments"), ("tier", "2")]);
        assert_eq!(given, expected);
    }
}
