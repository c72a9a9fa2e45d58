//! Bodies that the operator writes: a template of MiniJinja, strict, bounded in work and size.
//!
//! Unknown names are errors, never empty texts. For JSON every value is written as JSON, so that no text can break out
//! of its place. A template sees the notification and nothing else: no environment, no files, no other template. What
//! could make a value grow without end is not part of the language (`language.rs`).

mod language;

use std::path::{Path, PathBuf};

use minijinja::{AutoEscape, ErrorKind, UndefinedBehavior};
use serde::Serialize;

use super::MAX_BODY;
use super::text::{bounded, instant, kind_title};
use crate::alert::{
    AlertKind, Evidence, Finding, Labels, Moved, Notification, Severity, Transition, WindowRef,
};

/// Steps of the template machine that one body may take.
const FUEL: u64 = 10_000;
/// Largest template that is read.
const MAX_TEMPLATE: u64 = 64 << 10;
/// What a body is said to be when the configuration says nothing.
const JSON: &str = "application/json";

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It cannot be read.
    #[error("{path} cannot be read ({source})")]
    Unreadable {
        /// File named by the configuration.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is larger than any body.
    #[error("{path} is larger than {MAX_TEMPLATE} bytes")]
    TooLarge {
        /// File named by the configuration.
        path: PathBuf,
    },
    /// It is no template, or not one for a notification.
    #[error("{path}, line {line}: {what} ({hint})")]
    Wrong {
        /// File named by the configuration.
        path: PathBuf,
        /// Line of the template, 0 if the whole is meant.
        line: usize,
        /// What is wrong.
        what: String,
        /// What to do.
        hint: &'static str,
    },
}

/// A template that made a body of a sample notification.
#[derive(Debug, Clone)]
pub struct Template {
    path: PathBuf,
    source: String,
    content_type: String,
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        (&self.source, &self.content_type) == (&other.source, &other.content_type)
    }
}

/// What a template can say.
#[derive(Serialize)]
struct Context {
    #[serde(flatten)]
    notification: Notification,
    title: &'static str,
    runbook: Option<String>,
    labels: Labels,
    evidence: Evidence,
    repeat: u32,
    at_text: String,
    since_text: String,
}

impl Template {
    /// Reads a template and tries it on a sample notification.
    ///
    /// # Errors
    /// When it cannot be read, or does not make a usable body; with the line and a hint.
    pub fn load(path: &Path, content_type: Option<&str>) -> Result<Self, TemplateError> {
        let unreadable = |source| TemplateError::Unreadable { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_TEMPLATE {
            return Err(TemplateError::TooLarge { path: path.to_owned() });
        }
        let source = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(path, source, content_type)
    }

    /// The same for a text; `path` names it in messages.
    ///
    /// # Errors
    /// As of [`Template::load`].
    pub fn parse(path: &Path, source: String, content_type: Option<&str>) -> Result<Self, TemplateError> {
        let content_type = content_type.unwrap_or(JSON).to_owned();
        language::check(&source).map_err(|language::Misuse { line, what, hint }| TemplateError::Wrong {
            path: path.to_owned(),
            line,
            what,
            hint,
        })?;
        let template = Self { path: path.to_owned(), source, content_type };
        for notification in samples() {
            template.render(&notification)?;
        }
        Ok(template)
    }

    /// What its bodies are said to be.
    #[must_use]
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    fn is_json(&self) -> bool {
        let essence = self.content_type.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case(JSON) || essence.to_ascii_lowercase().ends_with("+json")
    }

    /// The body for a notification.
    ///
    /// # Errors
    /// When the template asks for something that this notification does not have, takes too many steps, or makes too
    /// large a body or, for JSON, one that is none.
    pub fn render(&self, notification: &Notification) -> Result<Vec<u8>, TemplateError> {
        let escape = if self.is_json() { AutoEscape::Json } else { AutoEscape::None };
        let mut environment = language::environment();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(64);
        environment.set_auto_escape_callback(move |_| escape);
        let template = environment.template_from_str(&self.source).map_err(|error| self.wrong(&error))?;
        let mut body = Bounded(Vec::new());
        let bounded = bounded(notification);
        let context = Context {
            runbook: bounded.runbook.clone(),
            labels: bounded.labels.clone(),
            evidence: bounded.evidence,
            repeat: bounded.repeat,
            notification: bounded,
            title: kind_title(notification.kind),
            at_text: instant(notification.at),
            since_text: instant(notification.since),
        };
        template.render_captured_to(context, &mut body).map_err(|error| self.wrong(&error))?;
        match serde_json::from_slice::<serde::de::IgnoredAny>(&body.0) {
            Err(error) if self.is_json() => Err(TemplateError::Wrong {
                path: self.path.clone(),
                line: 0,
                what: format!("what it makes is not JSON: {error} (of the body)"),
                hint: "write values as `{{ summary }}`, without quotes around them, or set another content_type",
            }),
            Err(_) | Ok(_) => Ok(body.0),
        }
    }

    fn wrong(&self, error: &minijinja::Error) -> TemplateError {
        let hint = match error.kind() {
            ErrorKind::UndefinedError => "docs/guide/deliveries.md lists what a template can say",
            ErrorKind::OutOfFuel => "it takes too many steps: loop over `findings` only",
            ErrorKind::WriteFailure => "a body, and any text in it, may have at most 64 KiB",
            ErrorKind::UnknownFilter | ErrorKind::UnknownFunction | ErrorKind::UnknownTest => {
                "docs/guide/deliveries.md lists the filters, tests and functions that are known"
            }
            ErrorKind::TemplateNotFound => "a template cannot take in others",
            _ => "the syntax is that of Jinja",
        };
        let what = error
            .detail()
            .map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
        TemplateError::Wrong { path: self.path.clone(), line: error.line().unwrap_or(0), what, hint }
    }
}

/// A body that cannot grow without end.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + more.len() > MAX_BODY {
            return Err(std::io::Error::other("the body is too large"));
        }
        self.0.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Notifications as rich and as poor as they come, to try a template on.
fn samples() -> [Notification; 2] {
    let window = WindowRef {
        horizon: "1h".to_owned(),
        start: 1_371_078_000_000,
        end: 1_371_081_600_000,
        rows: 812,
        coverage: 1.0,
    };
    let moved = Moved { bin: "(1089, 1416]".to_owned(), from: 0.1, to: 0.352 };
    let finding = Finding {
        segment: Some("EWR".to_owned()),
        column: "distance".to_owned(),
        detector: "psi".to_owned(),
        statistic: 0.312,
        threshold: 0.1,
        p_value: Some(3e-9),
        since: window.end,
        window,
        moved: vec![moved],
        explained: None,
        subject: None,
    };
    let rich = Notification {
        key: "sample".to_owned(),
        group: "sample".to_owned(),
        transition: Transition::Firing,
        model: "flights".to_owned(),
        version: "1.0.0".to_owned(),
        kind: AlertKind::Drift,
        severity: Severity::Warning,
        summary: "flights 1.0.0: distance drifts; \"quoted\"".to_owned(),
        at: 1_371_081_600_000,
        since: 1_371_081_600_000,
        reference: "sha256:9b1c04aa".to_owned(),
        coverage: 1.0,
        findings: vec![finding],
        more_findings: 0,
        link: Some("https://anchorwatch.example.com/alerts/sample".to_owned()),
        runbook: Some("https://runbooks.example.com/drift".to_owned()),
        labels: Labels::default(),
        evidence: Evidence::default(),
        repeat: 0,
    };
    let poor = Notification {
        transition: Transition::Resolved,
        kind: AlertKind::Operation,
        findings: Vec::new(),
        reference: String::new(),
        link: None,
        runbook: None,
        ..rich.clone()
    };
    [rich, poor]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(source: &str, content_type: Option<&str>) -> Result<Template, TemplateError> {
        Template::parse(Path::new("body.json"), source.to_owned(), content_type)
    }

    fn wrong(source: &str) -> String {
        parse(source, None).expect_err(source).to_string()
    }

    #[test]
    fn a_value_cannot_break_out_of_its_place_in_json() {
        let template =
            parse("{\"text\": {{ summary }}, \"all\": {{ findings|tojson }}}", None).expect("a template");
        let mut notification = samples()[0].clone();
        notification.summary = "\", \"admin\": true, \"x\": \"</script>".to_owned();
        let body: serde_json::Value =
            serde_json::from_slice(&template.render(&notification).expect("a body")).expect("JSON");
        assert_eq!(body["text"], notification.summary.as_str());
        assert_eq!(body["admin"], serde_json::Value::Null);
        assert_eq!(body["all"][0]["column"], "distance");
    }

    #[test]
    fn other_content_types_take_texts_as_they_are() {
        let template =
            parse("{{ title }}: {{ summary }} {{ at_text }}", Some("text/plain")).expect("a template");
        let body = template.render(&samples()[0]).expect("a body");
        let text = String::from_utf8(body).expect("text");
        assert_eq!(text, "Drift: flights 1.0.0: distance drifts; \"quoted\" 2013-06-13T00:00:00Z");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_a_hint() {
        for (source, line, says) in [
            ("{\n  \"m\": {{ modell }}\n}", 2, "lists what a template can say"),
            ("{\"m\": {{ model }", 1, "syntax"),
            ("{\"m\": \"{{ model }}\"}", 0, "without quotes around them"),
            ("{\"first\":\n{{ findings[0].column }}}", 2, "lists what a template can say"),
            ("{{ model|shout }}", 1, "lists the filters"),
        ] {
            let text = wrong(source);
            assert!(text.starts_with(&format!("body.json, line {line}: ")) && text.contains(says), "{text}");
        }
    }

    #[test]
    fn work_and_size_are_bounded_and_nothing_else_is_within_reach() {
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}1";
        assert!(wrong(endless).contains("too many steps"));
        let huge = "[{% for a in range(9000) %}{{ summary }},{% endfor %}1]";
        assert!(wrong(huge).contains("64 KiB"), "{}", wrong(huge));
        assert!(wrong("{% include '/etc/passwd' %}").contains("the tag `include`"));
        assert!(wrong("{{ env }}").contains("undefined"));
    }
}
