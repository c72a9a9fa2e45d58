//! `anchorwatch replay --null`: how often a configuration really alarms while nothing drifts.
//!
//! Here live the streams without drift (`blocks.rs`, `urns.rs`), their replay through a fresh watch, and the comparison
//! with the stated budget.

mod blocks;
mod random;
mod urns;

use std::collections::BTreeMap;
use std::io::Write;

use anchorwatch_detectors::calibrated::{ASSUMED_ROWS, Loudness};
use anchorwatch_detectors::distributions::chi_square_isf;
use clap::Args;
use serde::Serialize;

use self::random::SplitMix64;
use self::urns::Urns;
use super::CliContext;
use super::classical::{Classical, ClassicalTally, NO_BUDGET};
use super::halves::{FEWEST_OF_HALF, calibrated_on, second_half};
use super::history::{Baseline, BaselineArgs};
use super::table::{Output, span, write_json, write_table};
use crate::config::Verdicts;
use crate::monitor::calibrated::{
    BudgetDays, Counted, Episodes, Finding, ModelWatch, SeriesWindow, severity, slice_name,
};
use crate::reference::{Layout, Reference};
use crate::registry::CountedSeries;
use crate::subject::Millis;
use crate::view::Level;

const DAY: f64 = 86_400_000.0;

/// What alarmed, at most so many lines of it.
const MOST_KINDS: usize = 5;

/// Measures how often this configuration alarms while nothing drifts, beside its stated budget.
#[derive(Debug, Args)]
pub struct ReplayCommand {
    #[command(flatten)]
    baseline: BaselineArgs,
    /// Replay a stream without drift, made of the baseline.
    #[arg(long, required = true)]
    null: bool,
    /// Draw every row uniformly from the whole baseline, instead of runs of windows at the same hour.
    #[arg(long)]
    permute: bool,
    /// Windows to replay.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    windows: u32,
    /// Seed of what is drawn; the same seed draws the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Alarms of one severity in one stream.
#[derive(Debug, Serialize)]
struct Row {
    /// `resampled`, `permuted`, `drawn` or `split`.
    stream: &'static str,
    windows: usize,
    severity: &'static str,
    /// The stated budget.
    one_false_alarm_in_days: f64,
    /// The budget in windows, as it is in force.
    one_false_alarm_in_windows: f64,
    /// False alarms that the budget allows in so many windows.
    allowed: f64,
    /// Runs of windows in which an alarm was on; each 48 windows of a longer run count anew.
    episodes: u64,
    windows_with_alarm: u64,
    /// Days of data for each episode; `None` if there was none.
    observed_days: Option<f64>,
    /// Lower bound of the mean number of days between episodes, at 95 %.
    at_least_days: f64,
    /// Whether the episodes could come from a rate within the budget (at 95 %).
    within_budget: bool,
}

/// What alarmed, how often.
#[derive(Debug, Serialize)]
struct Alarmed {
    stream: &'static str,
    severity: &'static str,
    feature: String,
    kind: &'static str,
    slice: String,
    windows: usize,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Answer {
    reference_rows: u64,
    reference_windows: usize,
    /// Whether how windows differ is assumed, not seen in the baseline.
    assumed: bool,
    window_ms: Millis,
    quantities: usize,
    seed: u64,
    notes: Vec<String>,
    rows: Vec<Row>,
    alarmed: Vec<Alarmed>,
    /// Where the configuration lets them alert.
    classical: Vec<ClassicalRow>,
}

/// Alarms of one severity, counted.
#[derive(Debug, Default)]
struct Tally {
    on: Episodes,
    kinds: BTreeMap<(String, &'static str, String), usize>,
}

impl Tally {
    fn take(&mut self, findings: &[Finding], loudness: Loudness) {
        let loud: Vec<&Finding> = findings.iter().filter(|finding| finding.loudness >= loudness).collect();
        self.on.take(!loud.is_empty());
        for finding in loud {
            let key = (finding.feature.clone(), finding.kind, slice_name(finding.slice.as_ref()));
            *self.kinds.entry(key).or_default() += 1;
        }
    }
}

/// Classical alarms of one detector in one stream; no budget holds for them.
#[derive(Debug, Serialize)]
struct ClassicalRow {
    stream: &'static str,
    /// Its name, or `any`.
    detector: String,
    windows: usize,
    /// Runs of windows in which one was over its threshold; each 48 windows of a longer run count anew.
    episodes: u64,
    windows_with_alarm: u64,
    /// Days of data for each episode; `None` if there was none.
    observed_days: Option<f64>,
}

/// One stream through a fresh watch.
#[derive(Debug, Default)]
struct Replayed {
    windows: usize,
    tallies: [Tally; 2],
    classical: ClassicalTally,
}

/// What judges a stream: the watch, and the classical detectors where they alert.
struct Judges {
    watch: ModelWatch,
    classical: Option<Classical>,
}

impl Judges {
    fn new(baseline: &Baseline, reference: &Reference) -> Option<Self> {
        let watch = ModelWatch::new(reference, baseline.budget)?
            .tolerating(&baseline.monitor.tolerated)
            .shared_by(baseline.sharing);
        // What is assumed holds for windows of any length.
        let watch = if watch.is_assumed() { watch.over_windows_of(baseline.window_ms)? } else { watch };
        Some(Self { watch, classical: Classical::asked_for(baseline, reference) })
    }
}

fn replay(judges: &mut Judges, stream: impl Iterator<Item = SeriesWindow>) -> Replayed {
    let mut replayed = Replayed::default();
    let Judges { watch, classical } = judges;
    let mut state = watch.state();
    for window in stream {
        let counted = Counted { whole: &window.whole, slices: &window.slices };
        let findings = watch.step(&mut state, window.start, counted).findings;
        replayed.windows += 1;
        for (tally, loudness) in replayed.tallies.iter_mut().zip(Loudness::ALL) {
            tally.take(&findings, loudness);
        }
        if let Some(classical) = classical {
            replayed.classical.take(classical.verdicts(window.start, &window.whole, Level::Drift));
        }
    }
    replayed
}

impl ReplayCommand {
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
        let series = self.baseline.own_windows(&baseline)?;
        let answer = self.measure(&baseline, &series);
        for note in &answer.notes {
            writeln!(err, "note: {note}")?;
        }
        match self.output {
            Output::Json => write_json(out, &answer)?,
            Output::Table => print_table(out, &answer)?,
        }
        Ok(())
    }

    fn measure(&self, baseline: &Baseline, series: &CountedSeries) -> Answer {
        let mut answer = Answer {
            reference_rows: baseline.reference.provenance.rows,
            reference_windows: baseline.windows(),
            assumed: baseline.watch.is_assumed(),
            window_ms: baseline.window_ms,
            quantities: baseline.watch.monitored().len(),
            seed: self.seed,
            notes: baseline.notes(),
            rows: Vec::new(),
            alarmed: Vec::new(),
            classical: Vec::new(),
        };
        if baseline.monitor.verdicts != Verdicts::Calibrated {
            answer.notes.push(format!("{NO_BUDGET}: how often they alarm is shown, window by window"));
        }
        let mut random = SplitMix64::new(self.seed);
        if answer.assumed {
            let drawn = drawn(baseline, series, self.windows, &mut random);
            answer.take("drawn", (baseline.budget, baseline.sharing), drawn);
            answer.notes.push(format!(
                "rows without windows cannot be replayed as they came: windows of {ASSUMED_ROWS} rows are drawn from all \
                 of them, without season and as if rows were independent"
            ));
            return answer;
        }
        let starts: Vec<Millis> = series.windows(None).map(|window| window.start).collect();
        let placed = blocks::resample(&starts, baseline.window_ms, self.windows as usize, &mut random);
        let resampled =
            placed.iter().map(|one| SeriesWindow { start: one.start, ..series.window(starts[one.source]) });
        let (name, replayed) = if self.permute {
            let urns = Urns::new(&baseline.reference, &series.term_variances, series.windows(None));
            let mut drawn = |window: SeriesWindow| {
                let rows = window.whole.get(Layout::ROWS).copied().unwrap_or(0);
                urns.draw(window.start, rows, &mut random)
            };
            // What was calibrated on the season would alarm at its absence: the baseline is permuted too.
            let permuted: Vec<SeriesWindow> = series.windows(None).map(&mut drawn).collect();
            let reference = calibrated_on(baseline, series, || permuted.iter().cloned());
            let judges = reference.and_then(|reference| Judges::new(baseline, &reference));
            let replayed =
                judges.map_or_else(Replayed::default, |mut judges| replay(&mut judges, resampled.map(drawn)));
            ("permuted", replayed)
        } else {
            let judges = Judges::new(baseline, &baseline.reference);
            ("resampled", judges.map_or_else(Replayed::default, |mut judges| replay(&mut judges, resampled)))
        };
        answer.take(name, (baseline.budget, baseline.sharing), replayed);
        match split(baseline, series) {
            Some(replayed) => answer.take("split", (baseline.budget, baseline.sharing), replayed),
            None => answer.notes.push(format!(
                "half of the baseline has fewer than {FEWEST_OF_HALF} windows: nothing was calibrated on one half \
                 and replayed on the other"
            )),
        }
        answer
    }
}

/// Windows of rows drawn from a baseline that has none of its own.
fn drawn(baseline: &Baseline, series: &CountedSeries, windows: u32, random: &mut SplitMix64) -> Replayed {
    let urns = Urns::new(&baseline.reference, &series.term_variances, series.windows(None));
    let starts = (0..Millis::from(windows)).map(|index| index * baseline.window_ms);
    let drawn = starts.map(|start| urns.draw(start, ASSUMED_ROWS as u64, random));
    let judges = Judges::new(baseline, &baseline.reference);
    judges.map_or_else(Replayed::default, |mut judges| replay(&mut judges, drawn))
}

/// The second half of the baseline as it was, judged by a watch that knows only the first.
fn split(baseline: &Baseline, series: &CountedSeries) -> Option<Replayed> {
    let half = second_half(series)?;
    let first = || series.windows(None).take_while(|window| window.start < half);
    let mut judges = Judges::new(baseline, &calibrated_on(baseline, series, first)?)?;
    Some(replay(&mut judges, series.windows(None).skip_while(|window| window.start < half)))
}

impl Answer {
    fn take(&mut self, stream: &'static str, (budget, sharing): (BudgetDays, u32), replayed: Replayed) {
        let budgets = budget.budgets(self.window_ms);
        let stated =
            [(budget.warning, budgets.warn.among(sharing)), (budget.critical, budgets.page.among(sharing))];
        let days = replayed.windows as f64 * self.window_ms as f64 / DAY;
        let classical = replayed.classical.on.into_iter().map(|(detector, on)| ClassicalRow {
            stream,
            detector,
            windows: replayed.windows,
            episodes: on.episodes,
            windows_with_alarm: on.windows,
            observed_days: (on.episodes > 0).then(|| days / on.episodes as f64),
        });
        self.classical.extend(classical);
        for ((loudness, tally), (one_in, in_force)) in
            Loudness::ALL.into_iter().zip(replayed.tallies).zip(stated)
        {
            let allowed = replayed.windows as f64 / in_force.windows;
            let (least, most) = poisson_bounds(tally.on.episodes);
            self.rows.push(Row {
                stream,
                windows: replayed.windows,
                severity: severity(loudness),
                one_false_alarm_in_days: one_in,
                one_false_alarm_in_windows: in_force.windows,
                allowed,
                episodes: tally.on.episodes,
                windows_with_alarm: tally.on.windows,
                observed_days: (tally.on.episodes > 0).then(|| days / tally.on.episodes as f64),
                at_least_days: days / most,
                within_budget: least <= allowed,
            });
            let mut kinds: Vec<_> = tally.kinds.into_iter().collect();
            kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            let told = kinds.into_iter().take(MOST_KINDS);
            self.alarmed.extend(told.map(|((feature, kind, slice), windows)| Alarmed {
                stream,
                severity: severity(loudness),
                feature,
                kind,
                slice,
                windows,
            }));
        }
    }
}

/// One-sided bounds of the mean of a Poisson count, each at 95 % (Garwood 1936).
fn poisson_bounds(count: u64) -> (f64, f64) {
    let count = count as f64;
    let half = |p: f64, df: f64| chi_square_isf(p, df).unwrap_or(0.0) / 2.0;
    let least = if count > 0.0 { half(0.95, 2.0 * count) } else { 0.0 };
    (least, half(0.05, 2.0 * count + 2.0))
}

fn print_table(out: &mut dyn Write, answer: &Answer) -> std::io::Result<()> {
    writeln!(
        out,
        "{} rows {} of {}; {} quantities; seed {}",
        answer.reference_rows,
        if answer.assumed {
            "in windows that are drawn,".to_owned()
        } else {
            format!("in {} windows", answer.reference_windows)
        },
        span(answer.window_ms),
        answer.quantities,
        answer.seed,
    )?;
    let rows: Vec<[String; 9]> = answer
        .rows
        .iter()
        .map(|row| {
            [
                row.stream.to_owned(),
                row.severity.to_owned(),
                row.windows.to_string(),
                format!("1 in {:.0}d", row.one_false_alarm_in_days),
                format!("{:.2}", row.allowed),
                row.episodes.to_string(),
                row.windows_with_alarm.to_string(),
                row.observed_days.map_or_else(
                    || format!("> {:.0}d", row.at_least_days),
                    |days| format!("{days:.0}d (> {:.0}d)", row.at_least_days),
                ),
                if row.within_budget { "yes" } else { "NO" }.to_owned(),
            ]
        })
        .collect();
    let heading =
        ["STREAM", "SEVERITY", "WINDOWS", "BUDGET", "ALLOWED", "ALARMS", "IN WINDOWS", "ONE IN", "WITHIN"];
    write_table(out, heading, &rows)?;
    print_classical(out, answer)?;
    if answer.alarmed.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let rows: Vec<[String; 6]> = answer
        .alarmed
        .iter()
        .map(|one| {
            let (feature, slice) = (one.feature.clone(), one.slice.clone());
            let kind = one.kind.to_owned();
            [one.stream.to_owned(), one.severity.to_owned(), feature, slice, kind, one.windows.to_string()]
        })
        .collect();
    write_table(out, ["STREAM", "SEVERITY", "FEATURE", "SLICE", "KIND", "WINDOWS"], &rows)
}

fn print_classical(out: &mut dyn Write, answer: &Answer) -> std::io::Result<()> {
    if answer.classical.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nclassical verdicts, for which no budget holds:")?;
    let row = |row: &ClassicalRow| {
        [
            row.stream.to_owned(),
            row.detector.clone(),
            row.windows.to_string(),
            row.episodes.to_string(),
            row.windows_with_alarm.to_string(),
            row.observed_days.map_or_else(|| "none".to_owned(), |days| format!("{days:.1}d")),
        ]
    };
    let rows: Vec<[String; 6]> = answer.classical.iter().map(row).collect();
    write_table(out, ["STREAM", "DETECTOR", "WINDOWS", "ALARMS", "IN WINDOWS", "ONE IN"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_a_count_are_those_of_garwood() {
        let (least, most) = poisson_bounds(0);
        assert!(least == 0.0 && (most - 2.9957).abs() < 1e-3, "{least} {most}");
        let (least, most) = poisson_bounds(10);
        assert!((least - 5.4254).abs() < 1e-3 && (most - 16.9622).abs() < 1e-3, "{least} {most}");
    }
}
