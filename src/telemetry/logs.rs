//! Logs: readable on a terminal, one JSON object per line otherwise, always to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::LogFormat;

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not understood.
    #[error(
        "telemetry.log_filter `{filter}` is not understood ({source}); write for example `info,anchorwatch=debug`"
    )]
    Filter {
        /// The filter as configured.
        filter: String,
        /// What the parser said.
        source: ParseError,
    },
    /// Logging had already begun.
    #[error("logging was started twice: {0}")]
    Twice(#[from] TryInitError),
}

/// Begins logging to standard error.
///
/// # Errors
/// When the filter is not understood, or logging had already begun.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let failed = |source| LogError::Filter { filter: filter.to_owned(), source };
    let filter = EnvFilter::builder().parse(filter).map_err(failed)?;
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    if is_json(format, std::io::stderr().is_terminal()) {
        builder.json().flatten_event(true).with_target(true).finish().try_init()?;
    } else {
        let colours = std::io::stderr().is_terminal();
        builder.with_ansi(colours).with_target(false).compact().finish().try_init()?;
    }
    Ok(())
}

const fn is_json(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_gets_json_and_a_terminal_gets_text() {
        assert!(is_json(LogFormat::Auto, false) && is_json(LogFormat::Json, true));
        assert!(!is_json(LogFormat::Auto, true) && !is_json(LogFormat::Text, false));
    }

    #[test]
    fn a_broken_filter_is_named() {
        let error = init(LogFormat::Json, "info,=[").expect_err("broken").to_string();
        assert!(error.contains("telemetry.log_filter `info,=[`"), "{error}");
    }
}
