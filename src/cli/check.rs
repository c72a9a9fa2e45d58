//! `anchorwatch check FILE`: all problems of a configuration at once, or a summary of what it means.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::{self, Config};
use crate::deliver::{self, Allowed};
use crate::monitor::misfit::{InUse, misfits};
use crate::reference::Reference;
use crate::registry::{Registry, RegistryError};

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
    /// Also say what does not fit the active references in `data_dir`.
    #[arg(long)]
    pub references: bool,
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
                if let Err(errors) =
                    deliver::targets(&config.sinks, &config.actions, &Allowed::from(&config.deliver))
                {
                    errors.iter().try_for_each(|error| writeln!(err, "{error}"))?;
                    return Ok(ExitCode::from(EX_USAGE));
                }
                let misfits = match self.references.then(|| misfits_of(&config)) {
                    None => Vec::new(),
                    Some(Ok(misfits)) => misfits,
                    Some(Err(error)) => vec![error.to_string()],
                };
                if !misfits.is_empty() {
                    misfits.iter().try_for_each(|line| writeln!(err, "{line}"))?;
                    return Ok(ExitCode::from(EX_USAGE));
                }
                writeln!(out, "{}: good", self.file.display())?;
                out.write_all(summary(&config).as_bytes())?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// What of a configuration does not fit the active references of its own registry, a sentence each.
fn misfits_of(config: &Config) -> Result<Vec<String>, RegistryError> {
    let registry = Registry::open(&config.data_dir)?;
    let active = registry.list_references(None)?.into_iter().filter(|row| row.active);
    let references: Vec<Reference> =
        active.map(|row| registry.load_reference(&row.id)).collect::<Result<_, _>>()?;
    let in_use: Vec<InUse<'_>> = references
        .iter()
        .map(|reference| InUse { model: &reference.model, version: &reference.version, reference })
        .collect();
    Ok(misfits(&config.monitor, &in_use).into_values().collect())
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
    use crate::registry::{BaselineOptions, build};

    fn run(text: &str, print: bool) -> (bool, String, String) {
        run_with(text, print, false)
    }

    fn run_with(text: &str, print: bool, references: bool) -> (bool, String, String) {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, text).expect("write");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = CheckCommand { file, print, references }.run(&mut out, &mut err).expect("streams");
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
    fn what_does_not_fit_the_references_at_hand_is_found_when_asked_for() {
        let folder = tempfile::tempdir().expect("folder");
        let baseline = folder.path().join("rows.csv");
        let rows: String =
            (0..500).map(|row| format!("{},{}\n", 1_704_067_200_000_i64 + row * 600_000, row % 7)).collect();
        std::fs::write(&baseline, format!("ts,x\n{rows}")).expect("write");
        let reference = build(&BaselineOptions::new("m", "1.0.0", &baseline)).expect("a reference");
        let data = folder.path().join("data");
        Registry::open(&data).expect("a registry").add_reference(&reference).expect("kept");
        let text = |monitor: &str| {
            let data = data.display();
            format!("kafka: {{bootstrap: 'h:1', topics: [t]}}\ndata_dir: {data}\nmonitor: {monitor}")
        };
        let wrong = text("{window: 2h, sequential: [{detector: adwin, on: nope}]}");
        let (good, _, err) = run(&wrong, false);
        assert!(good, "nobody asked: {err}");
        let (good, out, err) = run_with(&wrong, false, true);
        assert!(!good && out.is_empty() && err.lines().count() == 2, "{err}");
        assert!(err.contains("m 1.0.0: its reference") && err.contains("monitor.sequential[0]"), "{err}");
        assert!(run_with(&text("{window: 1h, sequential: [{detector: adwin, on: x}]}"), false, true).0);
    }

    #[test]
    fn templates_are_tried_and_addresses_are_checked() {
        let folder = tempfile::tempdir().expect("folder");
        let template = folder.path().join("body.json");
        std::fs::write(&template, "{\n  \"text\": {{ sumary }}\n}").expect("write");
        let sink = |name: &str, rest: &str| format!("{{name: {name}, type: webhook, {rest}}}");
        let sinks = [
            sink("a", &format!("url: 'http://127.0.0.1/', template_file: {}", template.display())),
            sink("b", "url: 'http://169.254.169.254/'"),
        ];
        let text = format!("kafka: {{bootstrap: 'h:1', topics: [p]}}\nsinks: [{}]", sinks.join(", "));
        let (good, out, err) = run(&text, false);
        assert!(!good && out.is_empty());
        let lines: Vec<&str> = err.lines().collect();
        assert!(lines[0].contains("`a`: its template_file") && lines[0].contains("line 2"), "{err}");
        assert!(lines[1].contains("`b`: its url leads to a link-local address"), "{err}");
    }

    #[test]
    fn the_effective_configuration_can_be_checked_again() {
        let (_, printed, _) = run("kafka: {bootstrap: 'h:1', topics: [predictions]}", true);
        let (good, again, err) = run(&printed, true);
        assert!(good, "{err}");
        assert_eq!(again, printed);
    }
}
