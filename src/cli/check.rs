//! `anchorwatch check FILE`: all problems of a configuration at once, or a summary of what it means.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::{self, Config};

/// Exit code of a bad configuration, as in `sysexits.h`.
pub const EX_USAGE: u8 = 64;

/// Checks a configuration file and reports all its problems at once.
#[derive(Debug, Clone, Args)]
pub struct CheckCommand {
    /// Configuration file.
    pub file: PathBuf,
    /// Print the effective configuration with every default, without secrets.
    #[arg(long)]
    pub print: bool,
}

impl CheckCommand {
    /// Writes problems to `err` with exit code 64, or the summary or the effective configuration to `out` with 0.
    ///
    /// # Errors
    /// When a stream cannot be written.
    pub fn run(&self, out: &mut dyn Write, err: &mut dyn Write) -> std::io::Result<ExitCode> {
        match config::load(&self.file) {
            Err(errors) => {
                writeln!(err, "{errors}")?;
                Ok(ExitCode::from(EX_USAGE))
            }
            Ok(config) if self.print => {
                out.write_all(config.to_yaml().map_err(std::io::Error::other)?.as_bytes())?;
                Ok(ExitCode::SUCCESS)
            }
            Ok(config) => {
                writeln!(out, "{}: good", self.file.display())?;
                out.write_all(summary(&config).as_bytes())?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// What a configuration means, in a few lines.
#[must_use]
pub fn summary(config: &Config) -> String {
    let kafka = &config.kafka;
    let pane = config.windows.pane;
    let horizons = config.windows.horizons.iter();
    let judged = horizons.map(|horizon| format!("{} every {}", horizon.name(), horizon.step(pane)));
    let longest =
        config.windows.horizons.iter().map(|horizon| horizon.length.millis()).max().unwrap_or_default();
    let sinks = config.sinks.iter().map(|sink| format!("{} ({})", sink.name, sink.target.as_str()));
    let actions = config.actions.iter().map(|action| format!("{} ({})", action.name, action.kind.as_str()));
    let lines = [
        (
            "reads",
            format!(
                "{} from {}, as group {}",
                joined(kafka.topics.iter().cloned()),
                kafka.bootstrap,
                kafka.group
            ),
        ),
        ("judges", joined(judged)),
        (
            "keeps",
            format!(
                "{} panes of {pane} per subject in memory and in the state file",
                longest / pane.millis().max(1)
            ),
        ),
        (
            "segments",
            config
                .segments
                .as_ref()
                .map_or("none".to_owned(), |s| format!("{} (at most {})", s.field, s.max)),
        ),
        ("tells", joined(sinks)),
        ("starts", joined(actions)),
        ("listens", listens(config)),
        ("state", config.data_dir.display().to_string()),
    ];
    lines.iter().map(|(what, text)| format!("  {what:<9} {text}\n")).collect()
}

fn listens(config: &Config) -> String {
    let http = &config.http;
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    let api = http.api.as_ref().map(|api| format!(", API on {scheme}://{}", api.listen)).unwrap_or_default();
    let asks = if http.authenticates() { ", for those with a token or certificate" } else { "" };
    format!("{scheme}://{}{api}{asks}", http.listen)
}

fn joined(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "nobody".to_owned() } else { items.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, print: bool) -> (bool, String, String) {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, text).expect("write");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = CheckCommand { file, print }.run(&mut out, &mut err).expect("streams");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (code == ExitCode::SUCCESS, text(out), text(err))
    }

    #[test]
    fn problems_go_to_standard_error_one_per_line() {
        let (good, out, err) = run("kafka: {bootstrap: 'h:1', topics: [], gruop: x}", false);
        assert!(!good && out.is_empty());
        insta::assert_snapshot!(err, @r"
        kafka.gruop: unknown field, did you mean `group`?
        kafka.topics: is empty, expected a list of at least one item
        ");
    }

    #[test]
    fn a_good_file_is_summed_up() {
        let (good, out, err) = run("kafka: {bootstrap: 'h:1', topics: [predictions]}", false);
        assert!(good && err.is_empty(), "{err}");
        let lines: Vec<_> = out.lines().skip(1).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        reads     predictions from h:1, as group anchorwatch
        judges    15m every 1m, 1h every 5m, 24h every 2h
        keeps     1440 panes of 1m per subject in memory and in the state file
        segments  none
        tells     nobody
        starts    nobody
        listens   http://127.0.0.1:9464
        state     ./data
        ");
    }

    #[test]
    fn the_effective_configuration_can_be_checked_again() {
        let (_, printed, _) = run("kafka: {bootstrap: 'h:1', topics: [predictions]}", true);
        let (good, again, err) = run(&printed, true);
        assert!(good, "{err}");
        assert_eq!(again, printed);
    }
}
