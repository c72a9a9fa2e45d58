//! `anchorwatch backtest`: judges recorded events against a baseline, with the code that judges live windows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anchorwatch_detectors::calibrated::Loudness;
use anchorwatch_detectors::distributions::normal_sf;
use clap::Args;
use serde::Serialize;

use super::CliContext;
use super::classical::{Classical, NO_BUDGET};
use super::history::{Baseline, BaselineArgs, Events, kind_of, windows_of};
use super::table::{span, when, write_json, write_table};
use crate::config::Verdicts;
use crate::monitor::calibrated::{Counted, Finding, severity, verdict_address};
use crate::reference::{Layout, Reference, Slice};
use crate::subject::Millis;
use crate::view::{Level, VerdictView};

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
    #[command(flatten)]
    baseline: BaselineArgs,
    /// Events to judge, in any of the same formats, or `kafka://BROKER:PORT/TOPIC?from=…&to=…&model=…&version=…`.
    #[arg(long, value_name = "FILE|URL")]
    events: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// Least severity to print.
    #[arg(long, value_enum, default_value_t)]
    severity: Severity,
}

/// An alarm that is on in a window.
#[derive(Debug, Serialize)]
struct Alarm {
    /// Its address, for `explain`; a classical verdict has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
    window_start: Millis,
    window_end: Millis,
    detector: Cow<'static, str>,
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
    /// Whether how windows differ is assumed, not seen in the baseline.
    assumed: bool,
    assumptions: Vec<String>,
    alarms: Vec<Alarm>,
}

impl BacktestCommand {
    /// Runs the command; the answer goes to `out`, what was assumed to `err`.
    ///
    /// # Errors
    /// When an input cannot be used; the message says what to do.
    pub fn run_to(
        self,
        context: &CliContext,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let mut baseline = self.baseline.load(context)?;
        baseline.judges_classical = true;
        let events = self.baseline.events(&baseline, &self.events)?;
        let answer = self.replay(&baseline, events);
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

    fn replay(&self, baseline: &Baseline, Events { series, mut notes }: Events) -> Answer {
        let Baseline { reference, watch, window_ms, .. } = baseline;
        let mut state = watch.state();
        let mut classical = Classical::asked_for(baseline, reference);
        if classical.is_some() {
            notes.push(NO_BUDGET.to_owned());
        }
        let alone = baseline.monitor.verdicts == Verdicts::Classical;
        let least = if self.severity == Severity::Warning { Level::Warning } else { Level::Drift };
        let mut alarms = Vec::new();
        let mut windows = 0;
        for window in series.windows(None) {
            windows += 1;
            let counted = Counted { whole: &window.whole, slices: &window.slices };
            let rows = window.whole.get(Layout::ROWS).copied().unwrap_or(0) as f64;
            let findings = watch.step(&mut state, window.start, counted).findings;
            let loud = findings
                .into_iter()
                .filter(|finding| finding.loudness == Loudness::Page || self.severity == Severity::Warning)
                .filter(|_| !alone);
            alarms.extend(loud.map(|finding| alarm(reference, finding, window.start, *window_ms, rows)));
            if let Some(classical) = &mut classical {
                let verdicts = classical.verdicts(window.start, &window.whole, least);
                alarms.extend(verdicts.map(|verdict| of_classical(verdict, window.start, *window_ms)));
            }
        }
        Answer {
            reference_rows: reference.provenance.rows,
            reference_windows: baseline.windows(),
            events: series.rows,
            windows,
            window_ms: *window_ms,
            quantities: watch.monitored().len(),
            one_false_alarm_in_days: match self.severity {
                Severity::Critical => baseline.budget.critical,
                Severity::Warning => baseline.budget.warning,
            },
            assumed: watch.is_assumed(),
            assumptions: notes,
            alarms,
        }
    }
}

fn alarm(reference: &Reference, finding: Finding, start: Millis, window_ms: Millis, rows: f64) -> Alarm {
    let kind = kind_of(reference, &finding.feature, finding.kind, finding.about.as_ref());
    let verdict = Some(verdict_address(&finding.feature, start, finding.slice.as_ref()));
    let (segment, version) = match finding.slice {
        None => (None, None),
        Some(Slice::Segment(value)) => (Some(value), None),
        Some(Slice::Version(value)) => (None, Some(value)),
    };
    Alarm {
        verdict,
        window_start: start,
        window_end: start + window_ms,
        detector: "anchorwatch".into(),
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

/// A classical verdict as an alarm of its window: none has heard of its neighbours.
fn of_classical(verdict: VerdictView, start: Millis, window_ms: Millis) -> Alarm {
    let loudness = if verdict.level == Level::Drift { Loudness::Page } else { Loudness::Warn };
    Alarm {
        verdict: None,
        window_start: start,
        window_end: start + window_ms,
        detector: verdict.detector.to_string().into(),
        kind: verdict.kind.as_str().to_owned(),
        segment: None,
        version: None,
        severity: severity(loudness),
        statistic: verdict.statistic.unwrap_or(0.0),
        threshold: verdict.threshold.unwrap_or(0.0),
        p: verdict.adjusted_p_value.or(verdict.p_value).unwrap_or(1.0),
        n: verdict.rows as f64,
        span: 1,
        mean: None,
        expected: None,
        feature: verdict.column.into(),
    }
}

fn print_table(out: &mut dyn Write, answer: &Answer) -> std::io::Result<()> {
    writeln!(
        out,
        "{} events in {} windows of {} against {} rows {}; {} quantities, at most one false alarm in {} days",
        answer.events,
        answer.windows,
        span(answer.window_ms),
        answer.reference_rows,
        windows_of(answer.assumed, answer.reference_windows),
        answer.quantities,
        answer.one_false_alarm_in_days,
    )?;
    if answer.alarms.is_empty() {
        return writeln!(out, "no alarm");
    }
    // A line for each classical detector of a column, and one for all that is under the budget.
    let mut lines: BTreeMap<(String, String, Option<&str>), Vec<&Alarm>> = BTreeMap::new();
    for alarm in &answer.alarms {
        let slice = match (&alarm.segment, &alarm.version) {
            (Some(segment), _) => format!("segment {segment}"),
            (_, Some(version)) => format!("version {version}"),
            _ => String::new(),
        };
        let classical = alarm.verdict.is_none().then_some(&*alarm.detector);
        lines.entry((alarm.feature.clone(), slice, classical)).or_default().push(alarm);
    }
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by_key(|(name, alarms)| (alarms.first().map(|alarm| alarm.window_start), name.clone()));
    let rows: Vec<[String; 8]> = lines
        .iter()
        .filter_map(|((feature, slice, classical), alarms)| {
            let strongest = alarms.iter().max_by(|a, b| a.statistic.abs().total_cmp(&b.statistic.abs()))?;
            // Classical statistics are of many scales; the others are standard scores.
            let (kind, digits) = match classical {
                Some(detector) => (format!("{}: {detector}", strongest.kind), 3),
                None => (strongest.kind.clone(), 1),
            };
            let statistic =
                format!("{:.digits$} (limit {:.digits$})", strongest.statistic, strongest.threshold);
            let number = |x: Option<f64>| x.map_or_else(String::new, |x| format!("{x:.4}"));
            Some([
                when(alarms.first()?.window_start),
                alarms.len().to_string(),
                feature.clone(),
                slice.clone(),
                kind,
                statistic,
                number(strongest.mean),
                number(strongest.expected),
            ])
        })
        .collect();
    write_table(out, ["SINCE", "WINDOWS", "FEATURE", "SLICE", "KIND", "STATISTIC", "MEAN", "EXPECTED"], &rows)
}
