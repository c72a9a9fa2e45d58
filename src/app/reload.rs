//! SIGHUP: secrets, addresses in secrets, and templates are read again; nobody is disturbed.
//!
//! The configuration file itself is not read again: what else changed takes effect at the next start. When anything
//! cannot be read or used, everything stays as it was.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::{Action, Config, Sink};
use crate::deliver::{self, Allowed, Target};
use crate::telemetry::Metrics;

use super::vital::Vital;

/// Reads the targets of a configuration again.
#[derive(Debug)]
pub(super) struct ReloadTargets {
    sinks: Vec<Sink>,
    actions: Vec<Action>,
    allowed: Allowed,
    targets: watch::Sender<Arc<Vec<Target>>>,
    metrics: Arc<Metrics>,
}

impl ReloadTargets {
    pub(super) fn new(
        config: &Config,
        targets: watch::Sender<Arc<Vec<Target>>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (sinks, actions) = (config.sinks.clone(), config.actions.clone());
        Self { sinks, actions, allowed: Allowed::from(&config.deliver), targets, metrics }
    }

    /// Reads everything again; gives whether the new is used from now on.
    pub(super) fn now(&self) -> bool {
        match deliver::targets(&self.sinks, &self.actions, &self.allowed) {
            Ok(targets) => {
                self.targets.send_replace(Arc::new(targets.list));
                self.metrics.reloaded("done");
                tracing::info!("secrets and templates of sinks and actions were read again");
                true
            }
            Err(errors) => {
                for error in errors {
                    tracing::error!(%error, "read again in vain: the former secrets and templates stay in use");
                }
                self.metrics.reloaded("refused");
                false
            }
        }
    }

    /// Reads everything again whenever the process is told to.
    ///
    /// # Errors
    /// When the system refuses a signal handler.
    pub(super) fn on_hangup(self, runtime: &tokio::runtime::Handle, vital: &Vital) -> std::io::Result<()> {
        let _guard = runtime.enter();
        let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        let reloading = async move {
            while hangup.recv().await.is_some() {
                self.now();
            }
        };
        runtime.spawn(vital.keep("the reload of secrets and templates", reloading));
        Ok(())
    }
}
