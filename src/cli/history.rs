//! A baseline and recorded events, as the commands read them that judge the past: their common arguments, the reference
//! with its watch, and what has to be said about the input.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::CliContext;
use super::table::when;
use super::topic::{TopicRange, is_topic};
use crate::config::{self, Config, Monitor, Span, Untimed, Verdicts};
use crate::monitor::calibrated::{About, BudgetDays, ModelWatch, category_name, quoted};
use crate::reference::{Reference, Slice};
use crate::registry::{
    BaselineOptions, BuildError, CountedSeries, Format, Registry, build, read_as_one, read_series,
};
use crate::subject::Millis;

const DAY: f64 = 86_400_000.0;

/// Shortest window that is judged, in milliseconds.
const SHORTEST_WINDOW: Millis = 1_000;

/// Fewest digits by which a registered reference is called.
const FEWEST_DIGITS: usize = 4;

/// The baseline, and how files are read.
#[derive(Debug, Args)]
pub(super) struct BaselineArgs {
    /// Baseline rows (Parquet, CSV, JSONL or Arrow IPC), or the first digits of a registered reference.
    #[arg(long, value_name = "FILE|ID")]
    pub(super) reference: PathBuf,
    /// Configuration whose `monitor` section holds; without it the defaults do.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Columns with a meaning under another name, such as `ts=event_time,label=churned`.
    #[arg(long, value_name = "MEANING=COLUMN", value_delimiter = ',')]
    pub(super) columns: Vec<String>,
    /// Length of the windows that are judged; by default that of the registered reference, or `monitor.window`.
    #[arg(long)]
    pub(super) window: Option<Span>,
    /// Columns to leave out; may be repeated or separated by commas.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub(super) ignore: Vec<String>,
    /// Label that counts as 1 where labels are names, such as `fraud`; every other one counts as 0.
    #[arg(long, value_name = "LABEL")]
    pub(super) positive_label: Option<String>,
    /// YAML or JSON list of {name, kind, required, ignore}; columns not named are inferred.
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<PathBuf>,
    /// Time zone whose days and weeks the traffic follows, such as `Europe/Berlin`.
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    pub(super) time_zone: chrono_tz::Tz,
    /// Versions of the model that serve at the same time and share its false-alarm budget; what is judged is one of them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=63))]
    pub(super) versions: u32,
    /// Format of the files, if neither their names nor their first bytes tell.
    #[arg(long, value_enum)]
    pub(super) format: Option<Format>,
}

/// A baseline that is ready to judge.
pub(super) struct Baseline {
    pub(super) reference: Reference,
    pub(super) monitor: Monitor,
    pub(super) budget: BudgetDays,
    pub(super) window_ms: Millis,
    pub(super) watch: ModelWatch,
    /// Versions that share the budget.
    pub(super) sharing: u32,
    /// Whether it was built from rows, not taken from the registry.
    pub(super) from_rows: bool,
    /// The configuration, if one was given.
    pub(super) config: Option<Config>,
    /// Whether classical verdicts are judged too.
    pub(super) judges_classical: bool,
}

/// The budgets of a configuration.
pub(super) fn budget(monitor: &Monitor) -> BudgetDays {
    let days = |span: Span| span.millis() as f64 / DAY;
    BudgetDays {
        warning: days(monitor.one_false_alarm_in.warning),
        critical: days(monitor.one_false_alarm_in.critical),
    }
}

impl BaselineArgs {
    /// Builds the reference from its rows, or takes it from the registry.
    pub(super) fn load(&self, context: &CliContext) -> anyhow::Result<Baseline> {
        let config = self.config.as_deref().map(config::load).transpose()?;
        let monitor = config.as_ref().map_or_else(Monitor::default, |config| config.monitor.clone());
        let asked = self.window.map(Span::millis);
        if let Some(window_ms) = asked {
            anyhow::ensure!(window_ms >= SHORTEST_WINDOW, "--window must be at least 1s");
        }
        let from_rows = self.reference.exists();
        let reference = if from_rows {
            let window_ms = asked.unwrap_or(monitor.window.millis());
            build(&self.options(&self.reference, window_ms)?).map_err(as_named_here)?
        } else {
            self.registered(context)?
        };
        let budget = budget(&monitor);
        let watch = ModelWatch::new(&reference, budget).with_context(|| {
            let lacks = match reference.calibration {
                None => "an older version made it of rows without times, and nothing in it says how windows vary; make it \
                         anew with `anchorwatch reference create`",
                Some(_) => "no column has the 50 values that are the least to judge by; give more rows",
            };
            format!("{}: {lacks}", self.reference.display())
        })?;
        let watch = watch.tolerating(&monitor.tolerated).shared_by(self.versions);
        // What is assumed holds for windows of any length.
        let wanted =
            asked.unwrap_or(if watch.is_assumed() { monitor.window.millis() } else { watch.window_ms() });
        let watch = match watch.is_assumed() {
            true => watch.over_windows_of(wanted).context("windows of any length fit what is assumed")?,
            false => watch,
        };
        let window_ms = watch.window_ms();
        if let Some(asked) = asked.filter(|asked| *asked != window_ms) {
            anyhow::bail!(
                "--window {} does not fit: the reference was calibrated for windows of {}",
                Span::from_millis(asked),
                Span::from_millis(window_ms)
            );
        }
        let (sharing, judges_classical) = (self.versions, false);
        Ok(Baseline {
            reference,
            monitor,
            budget,
            window_ms,
            watch,
            sharing,
            from_rows,
            config,
            judges_classical,
        })
    }

    fn registered(&self, context: &CliContext) -> anyhow::Result<Reference> {
        let value = self.reference.to_string_lossy();
        let digits = value.len() >= FEWEST_DIGITS && value.chars().all(|c| c.is_ascii_hexdigit());
        let folder = &context.data_dir;
        anyhow::ensure!(
            digits && folder.exists(),
            "cannot read {value}: there is no such file, and it is not the address of a reference in {}; \
             `anchorwatch reference list` shows those",
            folder.display()
        );
        Ok(Registry::open(folder)?.load_reference(&value)?)
    }

    /// How a file of the baseline's shape is read.
    pub(super) fn options(&self, file: &Path, window_ms: Millis) -> anyhow::Result<BaselineOptions> {
        let mut options = BaselineOptions::new("backtest", "0.0.0", file);
        let roles = &mut options.roles;
        for mapping in &self.columns {
            let (meaning, column) = mapping.split_once('=').with_context(|| {
                format!("--columns {mapping}: expected MEANING=COLUMN, such as ts=event_time")
            })?;
            let role = match meaning.trim() {
                "ts" => &mut roles.time,
                "model" => &mut roles.model,
                "version" => &mut roles.version,
                "segment" => &mut roles.segment,
                "score" => &mut roles.score,
                "prediction" => &mut roles.prediction,
                "label" => &mut roles.label,
                "latency_ms" => &mut roles.latency,
                other => anyhow::bail!(
                    "--columns {mapping}: `{other}` has no meaning; use ts, model, version, segment, score, \
                     prediction, label or latency_ms"
                ),
            };
            column.trim().clone_into(role);
        }
        options.positive_label.clone_from(&self.positive_label);
        options.ignore.extend(self.ignore.iter().cloned());
        options.schema.clone_from(&self.schema);
        options.format = self.format;
        options.window_ms = window_ms;
        options.time_zone = self.time_zone;
        options.progress = true;
        Ok(options)
    }

    /// The baseline's own rows as windows; as one, if how windows differ is assumed.
    pub(super) fn own_windows(&self, baseline: &Baseline) -> anyhow::Result<CountedSeries> {
        anyhow::ensure!(
            baseline.from_rows,
            "{}: a registered reference keeps no rows; give the file that it was built from",
            self.reference.display()
        );
        let options = self.options(&self.reference, baseline.window_ms)?;
        if baseline.watch.is_assumed() {
            return Ok(read_as_one(&baseline.reference, baseline.slices(), &options, "resampling")?);
        }
        Ok(baseline.read(&options, "resampling")?)
    }

    /// Recorded events as windows, with what has to be said of them.
    pub(super) fn events(&self, baseline: &Baseline, file: &Path) -> anyhow::Result<Events> {
        let (series, mut notes) = if is_topic(file) {
            let range = TopicRange::read(&file.to_string_lossy(), self.config.as_deref())?;
            let options = BaselineOptions {
                format: Some(Format::Jsonl),
                ..self.options(range.path(), baseline.window_ms)?
            };
            (baseline.read(&options, "judging")?, range.notes().to_vec())
        } else {
            let options = self.options(file, baseline.window_ms)?;
            let read = baseline.read(&options, "judging").map_err(|error| match error {
                BuildError::Empty { path } => anyhow::anyhow!("{} has no events", path.display()),
                error => error.into(),
            });
            (read?, Vec::new())
        };
        anyhow::ensure!(series.rows > 0, "{} has no events", file.display());
        anyhow::ensure!(
            !series.is_empty(),
            "{}: none of {} events has a readable time in `{}`; name the column with --columns ts=COLUMN",
            file.display(),
            series.rows,
            self.options(file, baseline.window_ms)?.roles.time
        );
        notes.extend(baseline.notes_on(&series));
        Ok(Events { series, notes })
    }

    /// These arguments as somebody would type them.
    pub(super) fn typed(&self) -> String {
        let mut words = vec!["--reference".to_owned(), quoted(&self.reference.to_string_lossy())];
        let mut add = |name: &str, value: String| words.extend([name.to_owned(), quoted(&value)]);
        if let Some(config) = &self.config {
            add("--config", config.display().to_string());
        }
        if let Some(window) = self.window {
            add("--window", window.to_string());
        }
        if self.versions > 1 {
            add("--versions", self.versions.to_string());
        }
        if self.time_zone != chrono_tz::UTC {
            add("--time-zone", self.time_zone.name().to_owned());
        }
        if let Some(label) = &self.positive_label {
            add("--positive-label", label.clone());
        }
        if let Some(schema) = &self.schema {
            add("--schema", schema.display().to_string());
        }
        for (name, list) in [("--columns", &self.columns), ("--ignore", &self.ignore)] {
            if !list.is_empty() {
                add(name, list.join(","));
            }
        }
        if let Some(format) = self.format.as_ref().and_then(clap::ValueEnum::to_possible_value) {
            add("--format", format.get_name().to_owned());
        }
        words.join(" ")
    }
}

/// What the daemon would judge by these settings, and the commands that judge the past do not.
fn unjudged(monitor: &Monitor, judges_classical: bool) -> Option<String> {
    let parts = [
        (monitor.verdicts != Verdicts::Calibrated && !judges_classical, "classical verdicts"),
        (!monitor.sequential.is_empty(), "sequential rules"),
        (monitor.latency.objective_ms.is_some(), "burn rates"),
        (monitor.silence_after.is_some(), "silence"),
    ];
    let parts: Vec<&str> = parts.into_iter().filter(|(asked, _)| *asked).map(|(_, name)| name).collect();
    (!parts.is_empty())
        .then(|| format!("the configuration also asks for what is not judged here: {}", parts.join(", ")))
}

/// Options of `reference create` go by other names here.
fn as_named_here(error: BuildError) -> BuildError {
    match error {
        BuildError::NoSuchColumn { path, column, named_by, hint } if named_by.ends_with("-column") => {
            BuildError::NoSuchColumn { path, column, named_by: "--columns".to_owned(), hint }
        }
        other => other,
    }
}

/// Recorded events as windows.
pub(super) struct Events {
    pub(super) series: CountedSeries,
    /// What has to be said of baseline and events.
    pub(super) notes: Vec<String>,
}

impl Baseline {
    fn read(&self, options: &BaselineOptions, what: &'static str) -> Result<CountedSeries, BuildError> {
        read_series(&self.reference, self.slices(), options, self.window_ms, what)
    }

    /// Slices that are compared with the rest.
    fn slices(&self) -> &[Slice] {
        self.reference.calibration.as_ref().map_or(&[], |calibration| &calibration.slices)
    }

    /// What the baseline was too short or too poor for.
    pub(super) fn assumptions(&self) -> Vec<String> {
        self.reference.assumptions().to_vec()
    }

    /// The same, and what of the configuration is not judged here.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.assumptions();
        notes.extend(unjudged(&self.monitor, self.judges_classical));
        if self.watch.is_assumed() && self.monitor.untimed == Untimed::Classical {
            notes.push(
                "the configuration says `monitor.untimed: classical`: the daemon judges this baseline by the classical \
                 detectors alone"
                    .to_owned(),
            );
        }
        if self.sharing > 1 {
            let sharing = self.sharing;
            notes.push(format!("{sharing} versions share the model's budget: each has 1/{sharing} of it"));
        }
        notes
    }

    /// Windows behind the calibration.
    pub(super) fn windows(&self) -> usize {
        self.reference.calibration.as_ref().map_or(0, |calibration| calibration.windows)
    }

    /// What has to be said of events before they are judged.
    fn notes_on(&self, events: &CountedSeries) -> Vec<String> {
        let mut notes = self.notes();
        if events.left_out > 0 {
            let left_out = events.left_out;
            notes.push(format!("{left_out} events have no readable time or are beyond the windows kept"));
        }
        if !events.absent.is_empty() {
            notes.push(format!("the events have no field for: {}", events.absent.join(", ")));
        }
        let ranges = events.range().zip(self.reference.provenance.time_range);
        if let Some(((first, _), (begin, end))) = ranges {
            if first + self.window_ms <= begin {
                notes.push(format!(
                    "the events begin at {}, before the baseline, which begins at {}",
                    when(first),
                    when(begin)
                ));
            } else if first + self.window_ms <= end {
                notes.push(format!(
                    "the events begin at {}, before the baseline ends at {}: the windows that both hold say little",
                    when(first),
                    when(end)
                ));
            }
        }
        notes
    }
}

/// The windows behind a calibration, in words.
pub(super) fn windows_of(assumed: bool, windows: usize) -> String {
    if assumed { "(how windows differ is assumed)".to_owned() } else { format!("in {windows} windows") }
}

/// What changed, with the category, quantile or column that it is about.
pub(super) fn kind_of(reference: &Reference, feature: &str, kind: &str, about: Option<&About>) -> String {
    match about {
        None => kind.to_owned(),
        Some(About::Quantile(q)) => format!("{kind}:{q}"),
        Some(About::Column(name)) => format!("{kind}:{name}"),
        Some(About::Category(place)) => format!("{kind}:{}", category_name(reference, feature, *place)),
    }
}

/// An instant of the command line.
pub(super) fn instant(name: &str, text: &str) -> anyhow::Result<Millis> {
    let number = text.parse::<Millis>().ok();
    let date = || chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis());
    number.or_else(date).with_context(|| {
        format!("{name} {text}: expected RFC 3339, such as 2024-01-04T06:00:00Z, or epoch milliseconds")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_configuration_asks_for_beside_the_budget_is_said_to_be_left_out() {
        let monitor = |yaml: &str| {
            let text = format!("kafka: {{bootstrap: 'h:1', topics: [t]}}\nmonitor: {yaml}");
            config::parse(&text, "test").unwrap().monitor
        };
        assert_eq!(unjudged(&monitor("{window: 2h}"), false), None);
        let all = monitor(
            "{verdicts: both, sequential: [{detector: adwin, on: x}], latency: {objective_ms: 50}, silence_after: 1h}",
        );
        let told = unjudged(&all, false).unwrap();
        assert!(told.ends_with(": classical verdicts, sequential rules, burn rates, silence"), "{told}");
        assert_eq!(unjudged(&monitor("{verdicts: classical}"), true), None);
    }

    #[test]
    fn instants_are_dates_or_milliseconds() {
        assert_eq!(instant("--at", "2024-01-04T04:00:00Z").ok(), Some(1_704_340_800_000));
        assert_eq!(instant("--at", "1704340800000").ok(), Some(1_704_340_800_000));
        assert!(instant("--at", "yesterday").is_err());
    }

    #[test]
    fn words_come_out_as_a_shell_takes_them() {
        assert_eq!(quoted("f00@1704340800000/segment=s03"), "f00@1704340800000/segment=s03");
        assert_eq!(quoted("a b's"), "'a b'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
