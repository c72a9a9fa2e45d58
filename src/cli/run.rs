//! `anchorwatch run FILE`: the daemon.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::check::EX_USAGE;
use crate::app::{self, Stop};
use crate::{config, telemetry};

/// Watches the models of a configuration file until told to stop.
#[derive(Debug, Clone, Args)]
pub struct RunCommand {
    /// Configuration file.
    #[arg(env = "ANCHORWATCH_CONFIG")]
    pub file: PathBuf,
}

impl RunCommand {
    /// Runs the daemon until it is told to stop.
    ///
    /// # Errors
    /// When it cannot start, or cannot go on.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let config = match config::load(&self.file) {
            Ok(config) => config,
            Err(errors) => {
                writeln!(std::io::stderr(), "{errors}")?;
                return Ok(ExitCode::from(EX_USAGE));
            }
        };
        telemetry::logs::init(config.telemetry.log_format, &config.telemetry.log_filter)?;
        let _fail_points = crate::fault::armed();
        let stop = Stop::default();
        let daemon = app::start(&config, &stop)?;
        daemon.stop_on_signals()?;
        let (version, address) = (env!("CARGO_PKG_VERSION"), daemon.address);
        let scheme = if config.http.tls.is_some() { "https" } else { "http" };
        let (kafka, data_dir) = (config.kafka.bootstrap.as_str(), config.data_dir.display());
        tracing::info!(version, kafka, %data_dir, "watching; metrics and API on {scheme}://{address}");
        if daemon.api_address != address {
            tracing::info!("API on {scheme}://{}", daemon.api_address);
        }
        daemon.wait()?;
        tracing::info!("stopped; nothing is lost");
        Ok(ExitCode::SUCCESS)
    }
}
