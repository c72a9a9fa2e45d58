//! `anchorwatch backtest`: judges recorded events against a baseline, with the code that judges live windows.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anchorwatch_detectors::calibrated::Loudness;
use anchorwatch_detectors::distributions::normal_sf;
use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::table::{span, when, write_json, write_table};
use crate::config::{self, Span};
use crate::monitor::calibrated::{About, BudgetDays, Counted, Finding, ModelWatch, category_name, severity};
use crate::reference::{Layout, Reference, Slice};
use crate::registry::{BaselineOptions, Format, build, read_series};
use crate::subject::Millis;

const DAY: f64 = 86_400_000.0;

/// How the answer is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// One line per column and slice, for people.
    #[default]
    Table,
    /// One JSON value: what was read, what was assumed, and every alarm.
    Json,
    /// One JSON object a line for every window in which an alarm is on.
    Jsonl,
}

/// Which alarms are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Severity {
    /// Those under the budget of critical alerts.
    #[default]
    Critical,
    /// Those under the budget of warnings too.
    Warning,
}

/// Judges recorded events against a baseline: what would have alerted, and when.
#[derive(Debug, Args)]
pub struct BacktestCommand {
    /// Baseline rows: Parquet, CSV, JSONL or Arrow IPC.
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
    /// Events to judge, in any of the same formats.
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// Configuration whose `monitor` section holds; without it the defaults do.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// Least severity to print.
    #[arg(long, value_enum, default_value_t)]
    severity: Severity,
    /// Columns with a meaning under another name, such as `ts=event_time,label=churned`.
    #[arg(long, value_name = "MEANING=COLUMN", value_delimiter = ',')]
    columns: Vec<String>,
    /// Length of the windows that are judged; by default `monitor.window`.
    #[arg(long)]
    window: Option<Span>,
    /// Columns to leave out; may be repeated or separated by commas.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    ignore: Vec<String>,
    /// YAML or JSON list of {name, kind, required, ignore}; columns not named are inferred.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Format of both files, if neither their names nor their first bytes tell.
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// An alarm that is on in a window.
#[derive(Debug, Serialize)]
struct Alarm {
    window_start: Millis,
    window_end: Millis,
    detector: &'static str,
    feature: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    severity: &'static str,
    statistic: f64,
    threshold: f64,
    p: f64,
    n: f64,
    /// Windows that the most telling run of windows spans.
    span: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<f64>,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Answer {
    reference_rows: u64,
    reference_windows: usize,
    events: u64,
    windows: usize,
    window_ms: Millis,
    quantities: usize,
    one_false_alarm_in_days: f64,
    assumptions: Vec<String>,
    alarms: Vec<Alarm>,
}

impl BacktestCommand {
    /// Runs the command; the answer goes to `out`, what was assumed to `err`.
    ///
    /// # Errors
    /// When an input cannot be used; the message says what to do.
    pub fn run_to(self, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<()> {
        let monitor = match &self.config {
            None => config::Monitor::default(),
            Some(path) => config::load(path)?.monitor,
        };
        let days = |span: Span| span.millis() as f64 / DAY;
        let budget = BudgetDays {
            warning: days(monitor.one_false_alarm_in.warning),
            critical: days(monitor.one_false_alarm_in.critical),
        };
        let window_ms = self.window.unwrap_or(monitor.window).millis();
        anyhow::ensure!(window_ms >= 1_000, "--window must be at least 1s");
        let reference = build(&self.options(self.reference.clone(), window_ms)?)?;
        let answer = self.replay(&reference, budget, window_ms)?;
        for assumption in &answer.assumptions {
            writeln!(err, "note: {assumption}")?;
        }
        match self.output {
            Output::Json => write_json(out, &answer)?,
            Output::Jsonl => {
                for alarm in &answer.alarms {
                    serde_json::to_writer(&mut *out, alarm)?;
                    writeln!(out)?;
                }
            }
            Output::Table => print_table(out, &answer)?,
        }
        Ok(())
    }

    fn options(&self, file: PathBuf, window_ms: Millis) -> anyhow::Result<BaselineOptions> {
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
        options.ignore.extend(self.ignore.iter().cloned());
        options.schema.clone_from(&self.schema);
        options.format = self.format;
        options.window_ms = window_ms;
        options.progress = true;
        Ok(options)
    }

    fn replay(&self, reference: &Reference, budget: BudgetDays, window_ms: Millis) -> anyhow::Result<Answer> {
        let watch = ModelWatch::new(reference, budget).with_context(|| {
            format!(
                "{}: it has no readable time column `ts`, so nothing is known of how the baseline varies; name the \
                 column with --columns ts=COLUMN",
                self.reference.display()
            )
        })?;
        let calibration = reference.calibration.as_ref();
        let slices = calibration.map(|calibration| calibration.slices.clone()).unwrap_or_default();
        let options = self.options(self.events.clone(), window_ms)?;
        let series = read_series(reference, &slices, &options, window_ms, "judging")?;
        anyhow::ensure!(
            !series.is_empty(),
            "{}: none of {} rows has a readable time in `{}`; name the column with --columns ts=COLUMN",
            self.events.display(),
            series.rows,
            options.roles.time
        );
        let mut assumptions =
            calibration.map(|calibration| calibration.assumptions.clone()).unwrap_or_default();
        if series.left_out > 0 {
            assumptions.push(format!(
                "{} events have no readable time or are beyond the windows kept",
                series.left_out
            ));
        }
        let mut state = watch.state();
        let mut alarms = Vec::new();
        let mut windows = 0;
        for window in series.windows(None) {
            windows += 1;
            let counted = Counted { whole: &window.whole, slices: &window.slices };
            let rows = window.whole.get(Layout::ROWS).copied().unwrap_or(0) as f64;
            let findings = watch.step(&mut state, window.start, counted).findings;
            let loud = findings
                .into_iter()
                .filter(|finding| finding.loudness == Loudness::Page || self.severity == Severity::Warning);
            alarms.extend(loud.map(|finding| alarm(reference, finding, window.start, window_ms, rows)));
        }
        Ok(Answer {
            reference_rows: reference.provenance.rows,
            reference_windows: calibration.map_or(0, |calibration| calibration.windows),
            events: series.rows,
            windows,
            window_ms,
            quantities: watch.monitored().len(),
            one_false_alarm_in_days: match self.severity {
                Severity::Critical => budget.critical,
                Severity::Warning => budget.warning,
            },
            assumptions,
            alarms,
        })
    }
}

fn alarm(reference: &Reference, finding: Finding, start: Millis, window_ms: Millis, rows: f64) -> Alarm {
    let kind = match &finding.about {
        None => finding.kind.to_owned(),
        Some(About::Quantile(q)) => format!("{}:{q}", finding.kind),
        Some(About::Column(name)) => format!("{}:{name}", finding.kind),
        Some(About::Category(place)) => {
            format!("{}:{}", finding.kind, category_name(reference, &finding.feature, *place))
        }
    };
    let (segment, version) = match finding.slice {
        None => (None, None),
        Some(Slice::Segment(value)) => (Some(value), None),
        Some(Slice::Version(value)) => (None, Some(value)),
    };
    Alarm {
        window_start: start,
        window_end: start + window_ms,
        detector: "anchorwatch",
        kind,
        segment,
        version,
        severity: severity(finding.loudness),
        statistic: finding.statistic,
        threshold: finding.threshold,
        p: (2.0 * normal_sf(finding.statistic.abs())).min(1.0),
        n: if finding.means.is_some() { finding.rows } else { rows },
        span: finding.span,
        mean: finding.means.map(|(mean, _)| mean),
        expected: finding.means.map(|(_, expected)| expected),
        feature: finding.feature,
    }
}

fn print_table(out: &mut dyn Write, answer: &Answer) -> std::io::Result<()> {
    writeln!(
        out,
        "{} events in {} windows of {} against {} rows in {} windows; {} quantities, at most one false alarm in {} days",
        answer.events,
        answer.windows,
        span(answer.window_ms),
        answer.reference_rows,
        answer.reference_windows,
        answer.quantities,
        answer.one_false_alarm_in_days,
    )?;
    if answer.alarms.is_empty() {
        return writeln!(out, "no alarm");
    }
    let mut lines: BTreeMap<(String, String), Vec<&Alarm>> = BTreeMap::new();
    for alarm in &answer.alarms {
        let slice = match (&alarm.segment, &alarm.version) {
            (Some(segment), _) => format!("segment {segment}"),
            (_, Some(version)) => format!("version {version}"),
            _ => String::new(),
        };
        lines.entry((alarm.feature.clone(), slice)).or_default().push(alarm);
    }
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by_key(|(name, alarms)| (alarms.first().map(|alarm| alarm.window_start), name.clone()));
    let rows: Vec<[String; 8]> = lines
        .iter()
        .filter_map(|((feature, slice), alarms)| {
            let strongest = alarms.iter().max_by(|a, b| a.statistic.abs().total_cmp(&b.statistic.abs()))?;
            let number = |x: Option<f64>| x.map_or_else(String::new, |x| format!("{x:.4}"));
            Some([
                when(alarms.first()?.window_start),
                alarms.len().to_string(),
                feature.clone(),
                slice.clone(),
                strongest.kind.clone(),
                format!("{:.1} (limit {:.1})", strongest.statistic, strongest.threshold),
                number(strongest.mean),
                number(strongest.expected),
            ])
        })
        .collect();
    write_table(out, ["SINCE", "WINDOWS", "FEATURE", "SLICE", "KIND", "STATISTIC", "MEAN", "EXPECTED"], &rows)
}
