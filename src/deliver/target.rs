//! From configuration to targets: addresses checked, secrets read, every problem at once.

use super::allow::Allowed;
use super::guard::{Endpoint, EndpointError};
use super::rate::Rate;
use super::signature::{SigningKeyError, SigningKeys};
use super::sinks::{ActionWebhook, Pagerduty, Sink, Slack, Template, TemplateError, Webhook};
use crate::config::{self, SecretError, SecretSource, SinkTarget};

/// A named place to which deliveries go.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Name of the configured sink or action.
    pub name: String,
    /// How to speak to it.
    pub sink: Sink,
    /// How fast.
    pub rate: Rate,
    /// Most requests under way at a time.
    pub concurrency: usize,
}

impl Target {
    /// A target with the default bounds.
    #[must_use]
    pub fn new(name: &str, sink: Sink) -> Self {
        let concurrency = config::default_concurrency();
        Self { name: name.to_owned(), sink, rate: Rate::default(), concurrency }
    }
}

/// The targets of a configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Targets {
    /// One per sink and action.
    pub list: Vec<Target>,
    /// What is allowed but unwise, one sentence each.
    pub warnings: Vec<String>,
}

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("target `{target}`: its {field} {problem}")]
pub struct TargetError {
    /// Name of the sink or action.
    pub target: String,
    /// Field of the configuration.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: TargetProblem,
}

/// What is wrong with a field of a target. Texts that may be secret are not repeated.
#[derive(Debug, thiserror::Error)]
pub enum TargetProblem {
    /// The secret cannot be read.
    #[error("cannot be read: {0}")]
    Secret(#[from] SecretError),
    /// Not an address to which deliveries may go.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Not a signing secret.
    #[error(transparent)]
    Signing(#[from] SigningKeyError),
    /// Not a template of a body.
    #[error("cannot be used: {0}")]
    Template(#[from] TemplateError),
    /// Two targets share the name.
    #[error("is used twice: sinks and actions share one list of names")]
    Taken,
}

/// Reads the secrets and checks the addresses of all sinks and actions.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn targets(
    sinks: &[config::Sink],
    actions: &[config::Action],
    allowed: &Allowed,
) -> Result<Targets, Vec<TargetError>> {
    let of_sink = |sink: &config::Sink| {
        let rate = Rate { per_minute: sink.rate_per_minute, burst: sink.burst };
        let made = from_sink(&sink.target, allowed);
        (sink.name.clone(), made, rate, sink.concurrency)
    };
    let of_action = |action: &config::Action| {
        let made = from_action(action, allowed);
        (action.name.clone(), made, Rate::default(), config::default_concurrency())
    };
    let all = sinks.iter().map(of_sink).chain(actions.iter().map(of_action));
    let (mut found, mut errors) = (Targets::default(), Vec::new());
    for (name, made, rate, concurrency) in all {
        if found.list.iter().any(|target| target.name == name) {
            errors.push(TargetError { target: name.clone(), field: "name", problem: TargetProblem::Taken });
        }
        match made {
            Ok(sink) => {
                found.warnings.extend(warning(&name, &sink));
                found.list.push(Target { name, sink, rate, concurrency });
            }
            Err((field, problem)) => errors.push(TargetError { target: name, field, problem }),
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

type Field<T> = Result<T, (&'static str, TargetProblem)>;

fn from_sink(target: &SinkTarget, allowed: &Allowed) -> Field<Sink> {
    let endpoint = |text: &str| endpoint(text, allowed);
    Ok(match target {
        SinkTarget::Slack { url } => {
            let text = url.read().map_err(|error| ("url", error.into()))?;
            Sink::Slack(Slack { url: endpoint(text.expose())? })
        }
        SinkTarget::Pagerduty { routing_key, url } => {
            let routing_key = routing_key.read().map_err(|error| ("routing_key", error.into()))?;
            Sink::Pagerduty(Pagerduty { url: endpoint(url)?, routing_key })
        }
        SinkTarget::Webhook { url, secret, template_file, content_type } => {
            let load = |path| Template::load(path, content_type.as_deref());
            let template = template_file.as_deref().map(load).transpose();
            let template = template.map_err(|error| ("template_file", error.into()))?;
            Sink::Webhook(Webhook { url: endpoint(url)?, keys: keys(secret.as_ref())?, template })
        }
    })
}

fn from_action(action: &config::Action, allowed: &Allowed) -> Field<Sink> {
    let (url, keys) = (endpoint(&action.url, allowed)?, keys(action.secret.as_ref())?);
    Ok(Sink::Action(ActionWebhook { url, keys }))
}

fn endpoint(text: &str, allowed: &Allowed) -> Field<Endpoint> {
    Endpoint::parse_allowed(text, allowed).map_err(|error| ("url", error.into()))
}

fn keys(source: Option<&SecretSource>) -> Field<Option<SigningKeys>> {
    let Some(source) = source else { return Ok(None) };
    let secret = source.read().map_err(|error| ("secret", error.into()))?;
    SigningKeys::parse(secret.expose()).map(Some).map_err(|error| ("secret", error.into()))
}

fn warning(name: &str, sink: &Sink) -> Option<String> {
    let url = match sink {
        Sink::Slack(Slack { url })
        | Sink::Pagerduty(Pagerduty { url, .. })
        | Sink::Webhook(Webhook { url, .. })
        | Sink::Action(ActionWebhook { url, .. }) => url,
    };
    url.is_plain_text()
        .then(|| format!("target `{name}` is reached over plain http: anybody on the way can read it"))
}
