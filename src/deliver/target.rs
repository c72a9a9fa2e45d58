//! From configuration to targets: addresses checked, secrets read, every problem at once.

use super::guard::{Endpoint, EndpointError};
use super::signature::{SigningKeyError, SigningKeys};
use super::sinks::{ActionWebhook, Pagerduty, Sink, Slack, Webhook};
use crate::config::{self, SecretError, SecretSource, SinkTarget};

/// A named place to which deliveries go.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Name of the configured sink or action.
    pub name: String,
    /// How to speak to it.
    pub sink: Sink,
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
    /// Two targets share the name.
    #[error("is used twice: sinks and actions share one list of names")]
    Taken,
}

/// Reads the secrets and checks the addresses of all sinks and actions.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn targets(sinks: &[config::Sink], actions: &[config::Action]) -> Result<Targets, Vec<TargetError>> {
    let named_sinks = sinks.iter().map(|sink| (&sink.name, from_sink(&sink.target)));
    let named_actions = actions.iter().map(|action| (&action.name, from_action(action)));
    let (mut found, mut errors) = (Targets::default(), Vec::new());
    for (name, sink) in named_sinks.chain(named_actions) {
        if found.list.iter().any(|target| target.name == *name) {
            errors.push(TargetError { target: name.clone(), field: "name", problem: TargetProblem::Taken });
        }
        match sink {
            Ok(sink) => {
                found.warnings.extend(warning(name, &sink));
                found.list.push(Target { name: name.clone(), sink });
            }
            Err((field, problem)) => errors.push(TargetError { target: name.clone(), field, problem }),
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

type Field<T> = Result<T, (&'static str, TargetProblem)>;

fn from_sink(target: &SinkTarget) -> Field<Sink> {
    Ok(match target {
        SinkTarget::Slack { url } => {
            let text = url.read().map_err(|error| ("url", error.into()))?;
            Sink::Slack(Slack { url: endpoint(text.expose())? })
        }
        SinkTarget::Pagerduty { routing_key, url } => {
            let routing_key = routing_key.read().map_err(|error| ("routing_key", error.into()))?;
            Sink::Pagerduty(Pagerduty { url: endpoint(url)?, routing_key })
        }
        SinkTarget::Webhook { url, secret } => {
            Sink::Webhook(Webhook { url: endpoint(url)?, keys: keys(secret.as_ref())? })
        }
    })
}

fn from_action(action: &config::Action) -> Field<Sink> {
    let (url, keys) = (endpoint(&action.url)?, keys(action.secret.as_ref())?);
    Ok(Sink::Action(ActionWebhook { url, keys }))
}

fn endpoint(text: &str) -> Field<Endpoint> {
    Endpoint::parse(text).map_err(|error| ("url", error.into()))
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
