//! `anchorwatch tune`: what each false-alarm budget costs in delay, and which one and which floors to choose.

use std::io::Write;

use anchorwatch_detectors::calibrated::{Family, Loudness};
use clap::Args;
use serde::Serialize;

use super::CliContext;
use super::floors::{Recommended, recommend};
use super::history::{Baseline, BaselineArgs};
use super::table::{Output, percent, span, write_json, write_table};
use crate::config::{Span, Tolerated};
use crate::monitor::calibrated::sensitivity::{Injected, LONGEST, delays, floors, thresholds};
use crate::monitor::calibrated::{BudgetDays, ModelWatch, severity};
use crate::subject::Millis;

const DAY: Millis = 86_400_000;

/// Budgets that are compared, in days.
const BUDGETS: [u32; 5] = [7, 30, 90, 180, 365];

/// Drifts of numeric columns, in standard deviations.
const DEVIATIONS: [f64; 5] = [0.1, 0.2, 0.3, 0.5, 1.0];

/// Drifts of shares, in percentage points, and the kinds of quantities that are shares.
const POINTS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
const SHARES: [&str; 3] = ["missing", "new_category", "level"];

/// What a delay must be short for, if nothing else is asked.
const USUAL_DEVIATIONS: f64 = 0.3;
const USUAL_POINTS: f64 = 5.0;

/// Shows what each false-alarm budget costs in delay, by size of the drift.
#[derive(Debug, Args)]
pub struct TuneCommand {
    #[command(flatten)]
    baseline: BaselineArgs,
    /// Severity whose budget is tuned.
    #[arg(long, value_enum, default_value_t)]
    severity: Severity,
    /// Recommend the largest budget that notices a drift of 0.3 standard deviations, and of 5 points, within this many
    /// windows.
    #[arg(long, value_name = "WINDOWS", value_parser = clap::value_parser!(u32).range(1..))]
    want_delay: Option<u32>,
    /// Print the `monitor` section of a configuration instead, with what is recommended.
    #[arg(long)]
    print_config: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Which budget is tuned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Severity {
    /// That of critical alerts.
    #[default]
    Critical,
    /// That of warnings.
    Warning,
}

impl Severity {
    fn loudness(self) -> Loudness {
        match self {
            Self::Critical => Loudness::Page,
            Self::Warning => Loudness::Warn,
        }
    }
}

#[derive(Debug, Serialize)]
struct FamilyLimits {
    family: &'static str,
    quantities: usize,
    z_both_ways: Option<f64>,
    z_rises: Option<f64>,
    log_evidence: f64,
}

#[derive(Debug, Clone, Serialize)]
struct DelayOf {
    kind: &'static str,
    /// Standard deviations, or percentage points.
    size: f64,
    unit: &'static str,
    /// Quantities of the kind.
    quantities: usize,
    /// Those that notice it within 48 windows.
    noticed: usize,
    /// Median over the quantities; `None` is never.
    windows: Option<usize>,
    events: Option<f64>,
}

#[derive(Debug, Serialize)]
struct BudgetRow {
    one_false_alarm_in_days: u32,
    /// The budget in windows, as it is in force.
    windows: f64,
    /// Whether fewer windows were asked for than the least that is in force.
    raised: bool,
    limits: Vec<FamilyLimits>,
    delays: Vec<DelayOf>,
}

#[derive(Debug, Serialize)]
struct FloorOf {
    kind: &'static str,
    unit: &'static str,
    least: f64,
    most: f64,
}

#[derive(Debug, Serialize)]
struct Answer {
    window_ms: Millis,
    quantities: usize,
    severity: &'static str,
    floors: Vec<FloorOf>,
    budgets: Vec<BudgetRow>,
    want_delay_windows: Option<u32>,
    /// The largest budget whose delays are short enough.
    recommended_days: Option<u32>,
    recommended_floors: Recommended,
    assumptions: Vec<String>,
}

impl TuneCommand {
    /// Runs the command; the answer goes to `out`, what was assumed to `err`.
    ///
    /// # Errors
    /// When the baseline cannot be used, or no budget is short enough for a configuration to be printed.
    pub fn run_to(
        self,
        context: &CliContext,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let baseline = self.baseline.load(context)?;
        let answer = self.answer(&baseline)?;
        for assumption in &answer.assumptions {
            writeln!(err, "note: {assumption}")?;
        }
        if self.print_config {
            return self.write_config(out, &baseline, &answer);
        }
        match self.output {
            Output::Json => write_json(out, &answer)?,
            Output::Table => print_table(out, &answer)?,
        }
        Ok(())
    }

    fn answer(&self, baseline: &Baseline) -> anyhow::Result<Answer> {
        let budgets: Vec<BudgetRow> =
            BUDGETS.iter().filter_map(|days| self.budget_row(baseline, *days)).collect();
        let quick = |row: &&BudgetRow| {
            let asked = row.delays.iter().filter(|one| match one.unit {
                "sd" => one.size == USUAL_DEVIATIONS,
                _ => one.size == USUAL_POINTS,
            });
            self.want_delay.is_some_and(|want| {
                asked.clone().all(|one| one.windows.is_some_and(|windows| windows <= want as usize))
            })
        };
        let recommended_days = budgets.iter().filter(quick).map(|row| row.one_false_alarm_in_days).max();
        let budget = recommended_days.map_or(baseline.budget, |days| BudgetDays {
            warning: f64::from(days),
            critical: f64::from(days),
        });
        let of_baseline = (&self.baseline, baseline);
        let recommended_floors =
            recommend(of_baseline, budget, self.severity.loudness(), drift_starts(baseline))?;
        let floor = |floor: crate::monitor::calibrated::sensitivity::Floor| FloorOf {
            kind: floor.kind,
            unit: if floor.in_deviations { "sd" } else { "share" },
            least: floor.least,
            most: floor.most,
        };
        Ok(Answer {
            window_ms: baseline.window_ms,
            quantities: baseline.watch.monitored().len(),
            severity: severity(self.severity.loudness()),
            floors: floors(&baseline.watch).into_iter().map(floor).collect(),
            budgets,
            want_delay_windows: self.want_delay,
            recommended_days,
            recommended_floors,
            assumptions: baseline.assumptions(),
        })
    }

    fn budget_row(&self, baseline: &Baseline, days: u32) -> Option<BudgetRow> {
        let both = BudgetDays { warning: f64::from(days), critical: f64::from(days) };
        let watch = ModelWatch::new(&baseline.reference, both)?;
        let watch = watch.tolerating(&baseline.monitor.tolerated).shared_by(baseline.sharing);
        let budgets = both.budgets(baseline.window_ms);
        let loudness = self.severity.loudness();
        let in_force = match loudness {
            Loudness::Page => budgets.page,
            Loudness::Warn => budgets.warn,
        };
        let start = drift_starts(baseline);
        let numeric = DEVIATIONS.iter().map(|size| ("location", "sd", *size, Injected::Deviations(*size)));
        let shares = SHARES.iter().flat_map(|kind| {
            POINTS.iter().map(|size| (*kind, "points", *size, Injected::Share(*size / 100.0)))
        });
        let of = |(kind, unit, size, injected): (&'static str, &'static str, f64, Injected)| {
            let delays = delays(&watch, loudness, kind, injected, start);
            let mut windows: Vec<usize> =
                delays.iter().map(|one| one.windows.unwrap_or(usize::MAX)).collect();
            let mut events: Vec<f64> = delays
                .iter()
                .map(|one| one.windows.map_or(f64::INFINITY, |n| n as f64 * one.events_each))
                .collect();
            windows.sort_unstable();
            events.sort_by(f64::total_cmp);
            let middle = windows.len() / 2;
            Some(DelayOf {
                kind,
                size,
                unit,
                quantities: windows.len(),
                noticed: windows.iter().filter(|n| **n <= LONGEST).count(),
                windows: Some(*windows.get(middle)?).filter(|n| *n <= LONGEST),
                events: Some(*events.get(middle)?).filter(|n| n.is_finite()),
            })
        };
        let limits =
            thresholds(watch.monitored(), in_force, baseline.sharing).into_iter().map(|one| FamilyLimits {
                family: family_name(one.family),
                quantities: one.quantities,
                z_both_ways: one.both_ways,
                z_rises: one.rises,
                log_evidence: one.evidence,
            });
        Some(BudgetRow {
            one_false_alarm_in_days: days,
            windows: in_force.windows,
            raised: in_force.windows * baseline.window_ms as f64 > f64::from(days) * DAY as f64 * 1.000_001,
            limits: limits.collect(),
            delays: numeric.chain(shares).filter_map(of).collect(),
        })
    }

    /// The `monitor` section: the recommended floors, and the recommended budget, or the one in use if none was asked for.
    fn write_config(&self, out: &mut dyn Write, baseline: &Baseline, answer: &Answer) -> anyhow::Result<()> {
        let used = baseline.monitor.one_false_alarm_in;
        let (mut warning, mut critical) = (used.warning, used.critical);
        if let Some(want) = self.want_delay {
            let days = answer.recommended_days.ok_or_else(|| {
                anyhow::anyhow!(
                    "no budget notices a drift of {USUAL_DEVIATIONS} standard deviations and of {USUAL_POINTS} points \
                     within {want} windows; the table shows what is possible"
                )
            })?;
            let budget = Span::from_hours(i64::from(days) * 24);
            match self.severity {
                Severity::Critical => {
                    critical = budget;
                    warning = warning.min(budget);
                }
                Severity::Warning => {
                    warning = budget;
                    critical = critical.max(budget);
                }
            }
        }
        writeln!(out, "monitor:")?;
        writeln!(out, "  window: {}", Span::from_millis(baseline.window_ms))?;
        writeln!(out, "  one_false_alarm_in:")?;
        writeln!(out, "    warning: {warning}")?;
        writeln!(out, "    critical: {critical}")?;
        let Tolerated { deviations, rate, level, tail } = answer.recommended_floors.tolerated;
        writeln!(out, "  tolerated:")?;
        for (name, size) in [("deviations", deviations), ("rate", rate), ("level", level), ("tail", tail)] {
            writeln!(out, "    {name}: {size}")?;
        }
        Ok(())
    }
}

/// Start of the first window after the baseline.
fn drift_starts(baseline: &Baseline) -> Millis {
    let last = baseline.reference.provenance.time_range.map_or(0, |(_, last)| last);
    last.div_euclid(baseline.window_ms) * baseline.window_ms
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Marginal => "distribution",
        Family::Rate => "faults and tails",
        Family::Performance => "performance",
        Family::Pair => "pairs",
        Family::Version => "versions",
        Family::Segment => "segments",
    }
}

fn print_table(out: &mut dyn Write, answer: &Answer) -> std::io::Result<()> {
    writeln!(
        out,
        "{} quantities, windows of {}, budget of {} alerts\n\nchanges that stay quiet however certain:",
        answer.quantities,
        span(answer.window_ms),
        answer.severity
    )?;
    let rows: Vec<_> = answer
        .floors
        .iter()
        .map(|floor| {
            let show = |x: f64| if floor.unit == "sd" { format!("{x:.3} sd") } else { percent(x) };
            [floor.kind.to_owned(), show(floor.least), show(floor.most)]
        })
        .collect();
    write_table(out, ["KIND", "FLOOR FROM", "TO"], &rows)?;
    print_limits(out, answer)?;
    print_delays(out, answer)?;
    answer.recommended_floors.print(out)?;
    match (answer.want_delay_windows, answer.recommended_days) {
        (Some(want), Some(days)) => writeln!(
            out,
            "\nrecommended: one false alarm in {days} days, the largest budget that notices {USUAL_DEVIATIONS} sd and \
             {USUAL_POINTS} points within {want} windows"
        ),
        (Some(want), None) => writeln!(
            out,
            "\nno budget notices {USUAL_DEVIATIONS} sd and {USUAL_POINTS} points within {want} windows"
        ),
        (None, _) => Ok(()),
    }
}

fn budget_name(row: &BudgetRow) -> String {
    let mark = if row.raised { "*" } else { "" };
    format!("{}d{mark}", row.one_false_alarm_in_days)
}

fn print_limits(out: &mut dyn Write, answer: &Answer) -> std::io::Result<()> {
    let Some(first) = answer.budgets.first() else { return Ok(()) };
    let rows: Vec<[String; 7]> = first
        .limits
        .iter()
        .enumerate()
        .map(|(family, limits)| {
            let limit = |budget: usize| {
                let one = answer.budgets.get(budget).and_then(|row| row.limits.get(family));
                let z = one.and_then(|one| one.z_both_ways.or(one.z_rises));
                z.map_or_else(String::new, |z| format!("{z:.2}"))
            };
            let name = limits.family.to_owned();
            [name, limits.quantities.to_string(), limit(0), limit(1), limit(2), limit(3), limit(4)]
        })
        .collect();
    writeln!(out, "\nthresholds of |z|, by budget:")?;
    print_by_budget(out, answer, ["FAMILY", "QUANTITIES"], &rows)
}

fn print_delays(out: &mut dyn Write, answer: &Answer) -> std::io::Result<()> {
    let Some(first) = answer.budgets.first() else { return Ok(()) };
    let rows: Vec<[String; 7]> = first
        .delays
        .iter()
        .enumerate()
        .map(|(index, drift)| {
            let delay = |budget: usize| {
                let one = answer.budgets.get(budget).and_then(|row| row.delays.get(index));
                one.map_or_else(String::new, |one| match one.windows.zip(one.events) {
                    Some((windows, events)) => format!("{windows} ({events:.0})"),
                    None if one.noticed == 0 => "never".to_owned(),
                    None => format!("{} of {}", one.noticed, one.quantities),
                })
            };
            let name = format!("{} +{} {}", drift.kind, drift.size, drift.unit);
            [name, drift.quantities.to_string(), delay(0), delay(1), delay(2), delay(3), delay(4)]
        })
        .collect();
    writeln!(
        out,
        "\ndelay in windows (in events), median over the quantities, by budget; or how many notice it within {LONGEST} windows:"
    )?;
    print_by_budget(out, answer, ["DRIFT", "QUANTITIES"], &rows)?;
    if let Some(row) = answer.budgets.iter().find(|row| row.raised) {
        writeln!(
            out,
            "* in force is one in {:.0} windows: with fewer a budget would mean little",
            row.windows
        )?;
    }
    Ok(())
}

fn print_by_budget(
    out: &mut dyn Write,
    answer: &Answer,
    names: [&str; 2],
    rows: &[[String; 7]],
) -> std::io::Result<()> {
    let budgets: Vec<String> = answer.budgets.iter().map(budget_name).collect();
    let mut heading = [names[0], names[1], "", "", "", "", ""];
    heading[2..].iter_mut().zip(&budgets).for_each(|(cell, name)| *cell = name);
    write_table(out, heading, rows)
}
